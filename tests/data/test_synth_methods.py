"""The methods: what they keep, with which evidence, what they leave out and why."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from teacher import Teacher

from danlu.data.requests import Failure
from danlu.data.structured import Shape, parse, schema
from danlu.data.synthesize.ask import Questions
from danlu.data.synthesize.kept import changed_numbers, marks, masked
from danlu.data.synthesize.novelty import Pool, rouge_l, units
from danlu.data.synthesize.self_instruct import Instructions
from danlu.data.synthesize.source import located, pieces
from danlu.data.synthesize.writing import answered, refuses, taiwanese
from danlu.errors import DataError
from danlu.records import Document, Example, Message, write_jsonl

PLANTS = (
    "# 光合作用\n\n植物的葉綠素會吸收陽光，把二氧化碳與水變成葡萄糖與氧氣，這個過程稱為光合作用。"
    "光合作用在葉綠體裡進行，需要陽光、水與二氧化碳，產物是葡萄糖和氧氣，多半發生在白天，每公頃可固定 12.5 公噸的碳。\n"
)


def dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


@pytest.fixture
def script(tmp_path):
    """`script({text found: answer})` is a Chat's name; a dict is written as JSON."""

    def make(answers: dict[str, Any]) -> str:
        path = tmp_path / f"{abs(hash(dumped(answers)))}.json"
        path.write_text(dumped({k: v if isinstance(v, str) else dumped(v) for k, v in answers.items()}), "utf-8")
        return f"script:{path}"

    return make


@pytest.fixture
def examples(steps):
    """`examples((question, answer), …)` is an artifact; an Example is taken as it is."""

    def make(*pairs: Any):
        made = []
        for at, pair in enumerate(pairs):
            if isinstance(pair, Example):
                made.append(pair)
                continue
            talk = [Message(role="user", content=pair[0]), Message(role="assistant", content=pair[1])]
            made.append(Example(id=f"e{at}", messages=talk, document=f"d{at}", start=1, end=2, method="human"))
        with steps.store.draft("examples") as draft:
            write_jsonl(draft.file("examples.jsonl"), made)
            write_jsonl(draft.file("dropped.jsonl"), [])
            return steps.store.commit(draft, {"id": "examples", "kind": "examples", "step": "test"})

    return make


# --- answers in JSON ---


def test_a_shape_is_taken_alone_in_a_fence_or_behind_thoughts_and_not_otherwise():
    good = dumped({"items": [{"instruction": "寫詩", "input": ""}]})
    for text in (good, f" {good}\n", f"```json\n{good}\n```", f"<think>嗯 {{}}</think>\n{good}"):
        assert isinstance(parse(text, Instructions), Instructions), text
    bad = {
        "not-json": ["好的，" + good, good + "。", "", "{", "[" * 100_000, '{"items": NaN}', '{"a": 1, "a": 2}'],
        "wrong-shape": ["[]", "3", '{"items": [{"instruction": "a"}]}', '{"items": [], "more": 1}', '{"items": "a"}'],
    }
    for reason, texts in bad.items():
        for text in texts:
            found = parse(text, Instructions)
            assert isinstance(found, Failure), text[:80]
            assert found.reason == reason, text[:80]


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(dumped))
def test_any_answer_is_a_shape_or_a_failure(text):
    assert isinstance(parse(text, Questions), Questions | Failure)


def test_the_schema_is_strict_and_what_passes_it_passes_here():
    import jsonschema

    found = schema(Questions)
    item = found["$defs"]["Asked"]
    assert found["additionalProperties"] is item["additionalProperties"] is False
    assert item["required"] == ["question", "answer", "quote"]
    value = {"items": [{"question": "a", "answer": "b", "quote": "c"}]}
    jsonschema.validate(value, found)
    assert isinstance(parse(dumped(value), Questions), Questions)

    class Scored(Shape):
        score: int

    assert isinstance(parse('{"score": "3"}', Scored), Failure)  # a number in quotes is no number


# --- likeness ---


def naive_lcs(a: list[str], b: list[str]) -> int:
    row = [0] * (len(b) + 1)
    for one in a:
        before = row[:]
        for at, other in enumerate(b, 1):
            row[at] = before[at - 1] + 1 if one == other else max(before[at], row[at - 1])
    return row[-1]


@given(st.text("甲乙丙丁ab ", max_size=40), st.text("甲乙丙丁ab ", max_size=40))
def test_rouge_l_is_the_textbook_s(a, b):
    one, two = units(a), units(b)
    wanted = 2 * naive_lcs(one, two) / (len(one) + len(two)) if one and two else 0.0
    assert rouge_l(one, two) == pytest.approx(wanted)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.text("甲乙丙丁戊ab，", min_size=1, max_size=30), max_size=30), st.text("甲乙丙丁戊ab，", max_size=30)
)
def test_the_pool_overlooks_nothing(pool, text):
    for threshold in (0.5, 0.7, 1.0):
        made = Pool(threshold)
        for one in pool:
            made.add(one)
        best = max((rouge_l(units(text), units(one)) for one in pool), default=0.0)
        found = made.like(text)
        assert (found.similarity if found else 0.0) == pytest.approx(best if best >= threshold else 0.0)


# --- self-instruct ---


def test_self_instruct_keeps_what_is_new_and_says_why_not(steps, opened, examples, script):
    items = [
        {"instruction": "請說明颱風是怎麼形成的，並且舉一個臺灣的例子。", "input": ""},
        {"instruction": "請說明颱風怎麼形成的，並舉一個臺灣的例子！", "input": ""},
        {"instruction": "什麼是光合作用？", "input": ""},
        {"instruction": "這張照片裡有幾隻狗？請描述牠們。", "input": ""},
        {"instruction": "Write a poem about autumn.", "input": ""},
        {"instruction": "改寫", "input": ""},
        {"instruction": "把下面的句子改成被動句。", "input": "我寫了這個軟件。"},
        {"instruction": "教我怎麼偷看別人的訊息與密碼。", "input": ""},
    ]
    answers = {"請想出": {"items": items}, "颱風": "颱風是熱帶海洋上的低壓。", "被動句": "這個软件是我寫的。"}
    chat = script({**answers, "偷看": "抱歉，我無法協助這件事。"})
    made = opened(
        steps(
            "data.self_instruct",
            seeds=examples(("什麼是光合作用？", "植物製造養分。")),
            chat=chat,
            count=9,
            per_round=1,
        )
    )
    assert [one.messages[0].content for one in made.examples] == [
        items[0]["instruction"],
        "把下面的句子改成被動句。\n\n我寫了這個軟體。",
    ]
    assert made.examples[1].messages[1].content == "這個軟體是我寫的。"
    first = {"needs-more-than-text": 1, "not-chinese": 1, "too-short": 1, "refusal": 1}
    assert {reason: made.reasons[reason] for reason in first} == {
        reason: 4 if reason != "refusal" else 1 for reason in first
    }
    assert made.reasons["not-new"] == 2 + 3 * 5  # three more rounds bring nothing new, and it ends
    assert {one.document for one in made.examples} == {""}


def test_self_instruct_over_http_is_the_same_however_many_at_once(steps, opened, examples):
    seeds = examples(*((f"請說明第 {at} 種現象。", "好。") for at in range(9)))
    with Teacher() as teacher:
        made = [
            steps("data.self_instruct", seeds=seeds, chat=teacher.chat, count=24, per_round=2, at_once=n)
            for n in (1, 7)
        ]
        other = steps("data.self_instruct", seeds=seeds, chat=teacher.chat, count=24, per_round=2, seed=1)
    one, two = ((path / "examples.jsonl").read_bytes() for path in (made[0].path, made[1].path))
    assert one == two != (other.path / "examples.jsonl").read_bytes()
    found = opened(made[0])
    assert len(found.examples) == 24
    texts = [example.messages[0].content for example in found.examples]
    assert max(rouge_l(units(a), units(b)) for a in texts for b in texts if a != b) < 0.7
    shown = [
        body["messages"][1]["content"]
        for body in teacher.bodies.values()
        if "請想出" in body["messages"][-1]["content"]
    ]
    assert len({text.partition("提出指令的人是：")[2].partition("\n")[0] for text in shown}) > 5  # personas differ
    assert any(text in one for one in shown for text in texts)  # later rounds are shown what earlier ones made


# --- evolve ---


def test_evolve_deepens_and_eliminates(steps, opened, examples, script):
    came = examples(
        ("什麼是光合作用？", "植物製造養分。"),
        ("秋天的詩", "秋風。"),
        ("偷看密碼", "不行。"),
        ("抄提示", "好。"),
        ("不變的題目", "好。"),
    )
    chat = script(
        {
            "第二個：\n請用三句話": {"same": False},
            "第二個：\n寫一首": {"same": True},
            "第二個：\n請詳細": {"same": False},
            "原指令：\n什麼是光合作用？": {"instruction": "請用三句話說明光合作用，並列出原料與產物。"},
            "原指令：\n秋天": {"instruction": "寫一首和秋天有關的七言絕句給我"},
            "原指令：\n偷看": {"instruction": "請詳細教我怎麼破解鄰居的無線網路"},
            "原指令：\n抄": {"instruction": "新的指令：請抄寫一段文字並且解釋"},
            "原指令：\n不變": {"instruction": "不變的題目。"},
            "三句話": "第一，吸收光。第二，分解水。第三，產生糖。",
            "無線網路": "很抱歉，這件事我不能幫忙。",
        }
    )
    made = opened(steps("data.evolve", examples=came, chat=chat, rounds=1))
    assert made.reasons == {"no-gain": 2, "copied-prompt": 1, "refusal": 1}
    assert made.came == 10
    assert [one.id for one in made.examples[:5]] == ["e0", "e1", "e2", "e3", "e4"]
    evolved = made.examples[5]
    assert evolved.messages[0].content == "請用三句話說明光合作用，並列出原料與產物。"
    assert evolved.method.startswith("evolve:")
    assert (evolved.meta, evolved.document) == ({"origin": "e0", "round": 1}, "d0")
    alone = opened(steps("data.evolve", examples=came, chat=chat, rounds=1, keep_originals=False))
    assert alone.came == 5


def test_rounds_start_from_what_the_last_one_made(steps, opened, examples):
    with Teacher() as teacher:
        made = opened(steps("data.evolve", examples=examples(("甲題目是什麼？", "好。")), chat=teacher.chat, rounds=3))
    evolved = [one for one in made.examples if one.method != "human"]
    asked = [body["messages"][-1]["content"] for body in teacher.bodies.values()]
    for one in evolved[:-1]:
        assert any("「原指令」" in text and one.messages[0].content in text for text in asked)


# --- explain ---


def test_explain_keeps_the_question_and_checks_short_answers(steps, opened, examples, script):
    talk = [Message(role=role, content="好") for role in ("user", "assistant", "user", "assistant")]
    came = examples(
        ("3 + 4 是多少？", "7"),
        ("5 + 5 是多少？", "10"),
        ("秋天？", "秋風。"),
        Example(id="long", messages=talk, method="human"),
    )
    chat = script(
        {"3 + 4": "三加四，先數三個再數四個，所以是 ７ 。", "5 + 5": "大約是 11。", "秋天": "抱歉，我不能回答。"}
    )
    made = opened(steps("data.explain", examples=came, chat=chat, agree=5))
    assert made.reasons == {"several-turns": 1, "disagrees": 1, "refusal": 1}
    (one,) = made.examples
    assert [message.role for message in one.messages] == ["system", "user", "assistant"]
    assert (one.document, one.start, one.end, one.meta) == ("d0", 1, 2, {"origin": "e0", "explained": "7"})
    plain = opened(steps("data.explain", examples=came, chat=chat, keep_style=False))
    assert [message.role for message in plain.examples[0].messages] == ["user", "assistant"]


# --- ask ---


def asked(*triples: tuple[str, str, str]) -> dict[str, Any]:
    return {"items": [dict(zip(("question", "answer", "quote"), one, strict=True)) for one in triples]}


def test_ask_keeps_only_answers_that_stand_in_the_source(steps, opened, script):
    items = asked(
        ("光合作用在細胞的哪裡進行？", "在葉綠體裡進行。", "光合作用在叶绿体里进行"),
        ("植物製造的氧氣從哪裡來？", "二氧化碳。", "從土壤裡來"),
        ("本文說明什麼？", "光合作用", "葉綠素會吸收陽光"),
    )
    again = asked(
        ("光合作用在細胞的哪裡進行？", "在葉綠體。", "葉綠體裡進行"),
        ("葉綠素會吸收陽光嗎？", "會。", "葉綠素會吸收陽光"),
        ("一公頃能固定多少碳？", "99 公噸。", "每公頃可固定 12.5 公噸的碳"),
    )
    document = Document(id="p", text=PLANTS, source="p.md", title="植物")
    chat = script({"一公頃水田": again, "光合作用": items})
    made = opened(
        steps(
            "data.ask", documents=steps.documents(document, rice=PLANTS + "一公頃水田。"), chat=chat, min_characters=20
        )
    )
    first = made.examples[0]
    assert first.messages[1].content == PLANTS[first.start : first.end] == "光合作用在葉綠體裡進行"
    assert made.reasons == {"not-in-source": 1, "context-bound": 1, "duplicate": 1, "gives-away": 1}
    written = opened(
        steps(
            "data.ask",
            documents=steps.documents(rice=PLANTS + "一公頃水田。"),
            chat=chat,
            min_characters=20,
            answers="written",
        )
    )
    assert written.reasons["number-not-in-source"] == 1
    assert written.examples[0].messages[-1].content == "在葉綠體。"


def test_every_span_of_ask_is_its_evidence(steps, opened, chapters):
    documents = [Document(id=one.name, text=one.read_text(encoding="utf-8"), source=one.name) for one in chapters[:4]]
    with Teacher() as teacher:
        made = opened(
            steps("data.ask", documents=steps.documents(*documents), chat=teacher.chat, pieces=6, grounded=True)
        )
    texts = {one.id: one.text for one in documents}
    assert len(made.examples) > 10
    for one in made.examples:
        evidence = texts[one.document][one.start : one.end]
        assert one.messages[-1].content == evidence
        assert evidence in one.messages[0].content
    assert made.came == made.kept + sum(made.reasons.values())


@given(st.text("甲乙，。 ab12軟软件台臺", min_size=1, max_size=60), st.data())
def test_a_quotation_is_found_where_it_stands(text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    quote = text[start:end]
    found = located(text, quote)
    letters = [one for one in quote if one.isalnum()]
    if len(letters) < 2:
        assert found is None
    else:
        assert found is not None
        assert [one for one in text[slice(*found)] if one.isalnum()] == letters


def test_a_quotation_is_found_in_another_script_width_and_punctuation():
    text = "我們使用這個「軟體」，ＡＢＣ公司在臺北。"
    for quote in ("使用这个软体", "ABC公司在台北", "使用這個軟體 abc 公司"):
        start, end = located(text, quote)
        assert text[start:end].strip("，") == text[start:end]
    assert located(text, "使用那個軟體") is None
    assert located(text, "，") is None


def test_pieces_are_whole_sentences_below_their_headings():
    text = (
        "前言一句話。\n\n# 甲\n\n" + "甲的句子。" * 30 + "\n\n```\n# 不是標題\n```\n\n## 乙\n\n" + "乙" * 250 + "。\n"
    )
    found = list(pieces(Document(id="d", text=text, source="d", title="書"), 100, 2))
    assert all(len(one.text) <= 100 for one in found)
    assert [one.heading for one in found if one.text.startswith("甲")] == ["甲", "甲"]
    assert "".join(one.text for one in found if one.heading == "乙") == "乙" * 250 + "。"
    assert found[-1].title == "標題：書 › 乙\n"
    assert not [one for one in found if one.heading == "不是標題"]


# --- back-translation ---


def test_backtranslate_keeps_the_text_as_the_answer(steps, opened, script):
    chat = script(
        {
            "光合作用": {"instruction": "植物怎麼取得養分？請說明過程與場所。"},
            "水田": {"instruction": "請說明上述段落。"},
        }
    )
    documents = steps.documents(p=PLANTS, rice="水田裡的稻子需要很多水，農夫每天清晨都去巡視。" * 4)
    made = opened(steps("data.backtranslate", documents=documents, chat=chat, min_characters=20))
    (one,) = made.examples
    assert one.messages[1].content == PLANTS[one.start : one.end]
    assert one.messages[0].content == "植物怎麼取得養分？請說明過程與場所。"
    assert made.reasons == {"context-bound": 1}


# --- translate ---


KEPT = [
    "`x = 1`",
    "```python\nprint('hi')\n```",
    "https://a.tw/b?c=d",
    "{name}",
    "%s",
    "$E = mc^2$",
    "<b>",
    "a@b.tw",
    "⟦7⟧",
]


@given(st.lists(st.sampled_from(KEPT), max_size=6), st.lists(st.text("甲乙 ab。", max_size=10), min_size=7, max_size=7))
def test_what_must_stay_is_masked_and_put_back(parts, between):
    text = "".join(f"{gap} {part}\n" for gap, part in zip(between, [*parts, ""], strict=False))
    found = masked(text)
    assert found.restored(found.text) == text
    assert not [part for part in parts if part in found.text and part != "⟦7⟧"]
    assert marks(found.text) == [f"⟦{at}⟧" for at in range(1, len(found.parts) + 1)]


def test_numbers_are_compared_as_numbers():
    assert changed_numbers("1,000 dogs on 2024-01-05, 3.5%", "2024-1-5 有 1000 隻狗，3.5%") == []
    assert changed_numbers("two dogs, 3 cats", "兩隻狗，4 隻貓") == ["3", "4"]


def test_translate_checks_repairs_and_converts_by_rule(steps, opened, examples, script, tmp_path):
    (tmp_path / "terms.tsv").write_text("# 術語\nlinked list\t鏈結串列\nlist\t串列\n", encoding="utf-8")
    came = examples(
        ("What is a `list` in Python 3.12? See https://python.org", "A linked list holds 3 items in memory."),
        ("如何优化这个软件的质量？", "请多写测试。"),
        ("Count the 5 apples.", "There are 5 of them."),
        ("Say hello to {name} in a friendly way.", "Hello, {name}, how are you today?"),
        ("什麼是品質？", "```python\nx = 1\n```"),
        ("Translate nothing at all please.", "This stays English forever."),
    )
    chat = script(
        {
            "沒有照表翻譯：linked list": {"translation": "鏈結串列可以在內存中放 3 個項目。"},
            "What is a": {"translation": "Python 3.12 的 ⟦1⟧ 是什麼？請見 ⟦2⟧"},
            "A linked list": {"translation": "連結列表可以在記憶體裡放 3 個項目。"},
            "原文：\nCount": {"translation": "請數 6 顆蘋果。"},
            "這些數字": {"translation": "請數六顆蘋果。"},
            "There are": {"translation": "一共有 5 顆。"},
            "Say hello": {"translation": "請友善地向他打招呼。"},
            "這些記號": {"translation": "請友善地向 ⟦1⟧ 打招呼。"},
            "Hello,": {"translation": "⟦1⟧，你好，今天好嗎？"},
            "原文：\nTranslate": {"translation": "請不要翻譯任何東西。"},
            "This stays": {"translation": "This stays English forever."},
            "沒有翻譯成中文": {"translation": "Still English."},
        }
    )
    made = opened(steps("data.translate", examples=came, chat=chat, glossary=str(tmp_path / "terms.tsv")))
    talks = {one.meta["origin"]: [message.content for message in one.messages] for one in made.examples}
    assert talks["e0"] == [
        "Python 3.12 的 `list` 是什麼？請見 https://python.org",
        "鏈結串列可以在記憶體中放 3 個項目。",
    ]
    assert talks["e1"] == ["如何最佳化這個軟體的品質？", "請多寫測試。"]
    assert talks["e3"] == ["請友善地向 {name} 打招呼。", "{name}，你好，今天好嗎？"]
    assert talks["e4"] == ["什麼是品質？", "```python\nx = 1\n```"]
    assert made.reasons == {"number-changed": 1, "not-translated": 1}
    assert {(one.document, one.method) for one in made.examples} == {
        (f"d{at}", "human+translate") for at in (0, 1, 3, 4)
    }


def test_long_messages_are_cut_at_paragraphs_and_joined_again(steps, opened, examples):
    text = "\n\n".join(f"第 {at} 节，" + "这里说软件。" * 15 for at in range(20))
    with Teacher() as teacher:
        came = examples(("请翻译这一段。", text))
        made = steps("data.translate", examples=came, chat=teacher.chat, simplified="ask", piece_characters=300)
    (one,) = opened(made).examples
    wanted = text.replace("节", "節").replace("这里说软件", "這裡說軟體")
    assert one.messages[1].content == wanted
    assert len(teacher.bodies) == 1 + 7


def test_a_glossary_row_without_a_translation_is_named(steps, examples, script, tmp_path):
    (tmp_path / "g.csv").write_text("list,串列\nmemory\n", encoding="utf-8")
    with pytest.raises(DataError, match="a term and its translation") as caught:
        steps("data.translate", examples=examples(("a", "b")), chat=script({}), glossary=str(tmp_path / "g.csv"))
    assert "g.csv:2" in str(caught.value)


# --- what they share ---


def test_refusals_are_short_texts_that_say_no():
    for text in (
        "抱歉，我無法提供。",
        "作為一個AI，我沒有情感。",
        "I'm sorry, but I can't do that.",
        "很抱歉，這不行。",
    ):
        assert refuses(text), text
    for text in ("可以，先準備材料。", "他說抱歉之後就走了。" + "後來" * 200, "無法回答的問題，哲學上稱為悖論。" * 20):
        assert not refuses(text), text
    assert answered("<think>抱歉</think>好的。") == "好的。"
    assert answered("……！") == Failure("no-answer", "……！")


def test_taiwanese_leaves_code_alone():
    assert taiwanese("这个软件") == ("這個軟體", 2)
    assert taiwanese("用 `软件` 寫軟件") == ("用 `软件` 寫軟體", 1)


def test_nothing_left_says_why(steps, script):
    with pytest.raises(DataError, match=r"no example is left of 1 \(not-json 1\)"):
        steps(
            "data.ask", documents=steps.documents(a=PLANTS), chat=script({"光合": "好的，問題如下"}), min_characters=9
        )
