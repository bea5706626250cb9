"""What a turn wants, without any model or index."""

from __future__ import annotations

import pytest

from danlu.rag.turn import last_turn, plain_turn
from danlu.records import Message

KINDS = {
    "greeting": "你好|你好呀！|哈囉～😀|您好|嗨|hello|Hi there!|早安|晚安|大家好|有人在嗎？|good morning|how are you|"
    "你好，謝謝",
    "thanks": "謝謝|謝謝你！|感謝您的幫忙|辛苦了|thank you|thx|多謝|謝謝再見",
    "farewell": "再見|掰掰～|bye|先這樣|下次見|拜拜",
    "about": "你會什麼|你會什麼？|你是誰？|你可以做什麼|可以問你什麼|怎麼用|你有什麼功能|who are you|help|你是機器人嗎",
    "unclear": "好的|ok|OK！|測試|test|123|繼續|請繼續|嗯嗯|🙂|？|了解了|哈哈哈|好喔|"
    "對啊|為什麼？|然後呢|那是誰決定的？|它有什麼缺點？|怎麼借",
    "chore": "### Task:\nGenerate a concise title|<chat_history>\nUSER: x</chat_history>|"
    "### Task:\nGenerate 1-3 broad tags",
    "question": "LoRA？|什麼是量化|休假規定|EV-7K|測試集要怎麼切|繼續教育是什麼|早安圖書館在哪|好的做法是什麼|"
    "安全帽|你知道什麼是 LoRA 嗎|"
    "怎麼用 SQL 寫遞迴查詢？|可以借多久|那停車怎麼收費？|"
    "第一個電池是誰製造的？|服務為什麼只聽 127.0.0.1？|《大公報》創辦人是誰?",
}
ASKED = "借閱規則裡的借期有多久？"


def turns(*said: str) -> list[Message]:
    """The user's turns, each but the last answered."""
    talk = []
    for text in said:
        talk += [Message(role="user", content=text), Message(role="assistant", content="二十一天。")]
    return talk[:-1]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, all in KINDS.items() for text in all.split("|")])
def test_the_kind_of_a_turn(kind: str, text: str) -> None:
    assert last_turn(turns(text)).kind == kind


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("你好，請問休假規定是什麼？", "請問休假規定是什麼？"),
        ("好的，那停車怎麼收費？謝謝！", "那停車怎麼收費？"),
        ("哈囉 LoRA 是什麼", "LoRA 是什麼"),
        ("你好請問借期多久", "請問借期多久"),
        ("《大公報》創辦人是誰?", "《大公報》創辦人是誰?"),
    ],
)
def test_courtesies_around_a_question_are_left_out(text: str, question: str) -> None:
    assert plain_turn(text).text == question


@pytest.mark.parametrize(
    "text", ["那是誰決定的？", "為什麼？", "還有呢？", "它有什麼缺點？", "那第二個呢", "這個呢", "多少？", "例如？"]
)
def test_a_leaning_question_goes_with_the_one_before(text: str) -> None:
    turn = last_turn(turns(ASKED, text))
    assert (turn.kind, turn.before) == ("question", (ASKED,))
    assert turn.joined == f"{ASKED} {text}"
    assert last_turn(turns(ASKED, "謝謝", text)).before == (ASKED,)


def test_a_chain_of_leaning_questions_goes_back_to_one_that_stands_alone() -> None:
    assert last_turn(turns("機車停哪裡？", ASKED, "為什麼？", "那是誰決定的？")).before == (ASKED, "為什麼？")


@pytest.mark.parametrize("text", ["訪客停車怎麼收費？", "書可以借多久，它可以續借嗎？", "跑步機一次可以用多久"])
def test_a_question_of_its_own_stands_alone(text: str) -> None:
    assert last_turn(turns(ASKED, text)).before == ()


@pytest.mark.parametrize("text", ["你好" * 5000 + "測", "可以" * 5000 + "z", "a" * 20000, "謝" * 20000, "？" * 20000])
def test_long_turns_end(text: str) -> None:
    """A pattern that backtracks would take years: the runner's own limit ends it."""
    assert plain_turn(text).kind in ("question", "unclear", "thanks", "greeting")
