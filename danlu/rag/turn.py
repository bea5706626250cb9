"""What the last turn of a conversation wants: the documents, a word of courtesy, or a chore of the client's.

Three things are no questions for documents: courtesies (你好, 謝謝, 你會什麼), words that ask nothing (好的, 測試),
and the chores that chat clients send on their own (a title, tags, follow-up questions: Open WebUI begins them with
"### Task:"). A question that leans on the one before (那是誰決定的？, 為什麼？, 還有呢？) is found out by what it
points with or by having no word of its own.

Patterns, not a model: what is missed is treated as a question, and the evidence decides. Not covered: languages other
than Chinese and English, and questions that lean on anything but the questions before (on the assistant's own words).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from danlu.rag.words import content_words
from danlu.records import Message

_PARTICLES = "呀啊喔哦噢唷呦囉嘍啦耶嘿呢嗎哈喲欸誒吧唄嘛哇吶"
_CHORE = re.compile(r"\s*(?:#{1,4}\s*(?:task|任務|任务)\s*[:：])|<chat_history>", re.IGNORECASE)
_SPLIT = re.compile(r"[^\w'’]+|_+")

_KINDS: dict[str, str] = {
    "greeting": "(?:你|您|妳|大家|各位|老師|同學|助理|小幫手)們?好|你好[你您]好|哈[囉嘍羅啰喽]|嗨囉?|嘿|安安|早安?|"
    "[午晚]安|(?:早上|中午|下午|晚上)好|有?人?在不?在?|hi|hello|halo|hey|yo|there|howareyou|how|are|howdy|"
    "good(?:morning|afternoon|evening|night|day)|good|morning|afternoon|evening|你好",
    "thanks": "(?:非常|真的?|十分|太|好|很)?(?:謝謝|感謝|多謝|感恩|感激|谢谢|感谢)"
    "(?:你們?|您|妳|大家)?的?(?:幫忙|協助|回答|解答|說明|指教|告知|帮助)?了?|謝[了啦]|3q|thx|thank|thanks|you|"
    "alot|somuch|verymuch|ty|辛苦(?:你們?|您)?了?|麻煩(?:你們?|您)了?|真是幫了大忙",
    "farewell": "再見|再见|掰掰?|拜拜|bye|byebye|goodbye|see|ya|later|下次(?:再)?(?:見|聊)|(?:明天|改天|回頭)(?:見|聊)|"
    "(?:我)?先(?:這樣|走|離開|下線)了?|88|結束",
    "about": "(?:請問)?(?:你|您|妳)(?:到底)?(?:是|叫)(?:誰|哪位|甚麼|什麼|啥|機器人|ai|人工智慧|真人)"
    "(?:名字|東西|人|模型|助理)?|"
    "(?:請問)?(?:你|您|妳|這|這裡)?(?:都)?(?:會|能|可以|能夠|懂|知道|有|会)(?:做|幫我?|幫忙|回答|協助)?(?:我)?(?:做)?"
    "(?:哪|些|一些)*(?:甚麼|什麼|什么|啥|些|幹嘛)(?:事情?|問題|功能|忙|能力|用途?|用處|資料|文件|主題|樣)?|"
    "(?:請問)?我?(?:可以|能|該|要)(?:怎麼)?(?:問|請教|跟)(?:你|您)?(?:聊)?(?:哪|些)*(?:甚麼|什麼|啥|些)?(?:問題|事情?)?|"
    "(?:請問)?(?:要)?(?:怎麼|如何)(?:用|使用|開始|問)(?:你|您|這個)?|(?:請|先)?自我介紹(?:一下)?|"
    "(?:請)?介紹(?:一下)?(?:你|您)?自己|help|幫助|whoareyou|who|whatareyou|what|can|do|whatcanyoudo|are",
    "unclear": "好+的?了?|可以了?|ok|okay|k|嗯+|恩+|是的?|對的?|對對|沒錯|沒(?:問題|事|有|關係)了?|了解了?|瞭解了?|"
    "(?:我)?(?:知道|收到|明白|懂|會)了?|原來如此|原來|行|不用了?|不是?|不要|不必|(?:你?很|你?真|太|你好)?(?:讚|棒|強|厲害|酷)了?|"
    "(?:很|太)好了?|哈哈+|呵+|嘻+|lol|x+d+|w+|測試(?:一下|中|看看|用)*|测试|試試看?|test|testing|tests|(?<!\\d)1(?:23?4?)?(?!\\d)|(?<![a-z])[a-z](?![a-z])|asdf\\w*|"
    "qwer\\w*|(?:請|請你|麻煩)?(?:繼續|继续)(?:說|講|回答|寫)?下?去?|[說講]下去|接著?(?:說|講|呢)?|go|on|continue|more|next|再來|開始|start|隨便|"
    "我?不知道|(?:好)?無聊|真的|真假|yes|no|yeah|yep|nope|sure|fine|加油|對不起|抱歉|不好意思|sorry|please|拜託|請問|請教|"
    "(?:等|等等|稍等)一?下?|重來|再(?:說|講)一次|重新(?:說|來|回答)?|reset|clear|問題|我有(?:一個)?問題|想問|我想問(?:你|一下)*|聊天|"
    "聊聊|陪我聊天|說話|講話|回答|回答我|快",
}
_WHOLE = {kind: re.compile(f"(?:{pattern})+[{_PARTICLES}]*") for kind, pattern in _KINDS.items()}
_ANY = re.compile(f"(?:(?:{'|'.join(_KINDS.values())})[{_PARTICLES}]*)+")
_BEFORE = ("greeting", "thanks", "unclear")
_AFTER = ("greeting", "thanks", "farewell")
_PREFIX = re.compile(r"(?:你好|您好|哈囉|嗨)[呀啊喔哦]?(?=請問|想問|我想|想請教|請教|請告訴)")

_POINTS = re.compile(
    "[它他她牠祂]|這(?:個|種|些|項|位|次|樣|件|段|裡)|那(?:個|種|些|項|位|次|樣|件|段|裡|是|為|會|有|要|又)|"
    "前者|後者|上述|剛[才剛]|第[一二三四五六七八九十\\d]+[個點項種條步]|其(?![他它實餘中次間])|該(?!怎|如|做|不|去|用)|此(?!外)"
)
_LEANS = re.compile("(?:那麼?|所以|還有|另外|然後|而|再|如果|要是|也|又|除此之外)")
_ORDINAL = re.compile(r"第[一二三四五六七八九十\d]+[個點項種條步]|前者|後者|上面|剛[才剛]")
_MORE = re.compile("還有|其他|另外|更多|更詳細|詳細|再多|多說|舉例|例子|例如|比如|比方|具體")

_LONGEST = 40
"""A longer piece is no courtesy, and is not looked at: the patterns take time."""

_FEW = 4
"""A question that points with 它 or 那個 and has more words of its own than this may also stand alone."""

_FURTHEST = 4
"""How many questions back a chain of questions that lean on each other is followed."""


@dataclass(frozen=True)
class Turn:
    """`kind` is "question", "chore", "unclear", or a courtesy ("greeting", "thanks", "farewell", "about").

    Of a question, `text` is what is asked, without the courtesies around it; `before` the questions that it leans on,
    oldest first, none when it stands alone; `alone` whether it may also be taken as a question of its own.
    """

    kind: str
    text: str
    before: tuple[str, ...] = ()
    alone: bool = True

    @property
    def joined(self) -> str:
        """The question with those that it leans on."""
        return " ".join((*self.before, self.text))

    @property
    def points(self) -> bool:
        """Whether it points into the answer before (那第二個呢), which is not kept."""
        return _ORDINAL.search(self.text) is not None

    @property
    def more(self) -> bool:
        """Whether it asks for more of the same."""
        return _MORE.search(self.text) is not None


def last_turn(messages: Sequence[Message]) -> Turn:
    """What the last message wants, in the light of the user's messages before it."""
    said = [message.content for message in messages if message.role == "user"]
    turn = plain_turn(said[-1])
    if turn.kind != "question" or not (leaning := _leaning(turn.text)):
        return turn
    before: list[str] = []
    for earlier in reversed(said[:-1]):
        found = plain_turn(earlier)
        if found.kind != "question":
            continue
        before.insert(0, found.text)
        if not _leaning(found.text) or len(before) == _FURTHEST:
            break
    own = content_words(turn.text)
    if not before and leaning != "short" and len("".join(own)) <= 3:
        return Turn("unclear", turn.text)
    return Turn("question", turn.text, tuple(before), alone=leaning != "points" or not before)


def plain_turn(text: str) -> Turn:
    """What a message wants, taken by itself."""
    if _CHORE.match(text) or "<chat_history>" in text:
        return Turn("chore", text)
    asked, kinds = _without_courtesies(text)
    if asked:
        return Turn("question", asked)
    for kind in ("about", "greeting", "thanks", "farewell"):
        if kind in kinds:
            return Turn(kind, text.strip())
    return Turn("unclear", text.strip())


def _without_courtesies(text: str) -> tuple[str, set[str]]:
    """The text from its first to its last piece that says something, and the kinds of those that do not."""
    text = _PREFIX.sub("", text.strip())
    pieces: list[tuple[int, int]] = []
    at = 0
    for gap in [*_SPLIT.finditer(text), None]:
        end = gap.start() if gap else len(text)
        if end > at:
            pieces.append((at, end))
        at = gap.end() if gap else at
    kinds = [_kind(text[start:end]) for start, end in pieces]
    whole = _kind("".join(text[start:end] for start, end in pieces))
    if whole:
        return "", {whole}
    telling = [index for index, kind in enumerate(kinds) if kind is None]
    if not telling:
        return "", {kind for kind in kinds if kind}
    first = next((index for index, kind in enumerate(kinds) if kind not in _BEFORE), 0)
    last = len(kinds) - next((index for index, kind in enumerate(reversed(kinds)) if kind not in _AFTER), 0)
    start = pieces[first][0] if first else 0
    end = pieces[last][0] if last < len(pieces) else len(text)
    return text[start:end].strip(), {kind for kind in kinds if kind}


def _kind(piece: str) -> str | None:
    if len(piece) > _LONGEST:
        return None
    plain = unicodedata.normalize("NFKC", piece).lower()
    found = next((kind for kind in ("about", *_WHOLE) if _WHOLE[kind].fullmatch(plain)), None)
    if found is None and _ANY.fullmatch(plain):
        return next(kind for kind in _WHOLE if re.match(_KINDS[kind], plain))
    return found


def _leaning(question: str) -> str:
    """How a question leans on those before: "points" (它, 那是, 第二個), "leans" (那…呢, no word of its own), "short"
    (one short word), or "" when it stands alone. A pointer that follows a word of its own question points at that."""
    pointer = _POINTS.search(question)
    own = content_words(question)
    if pointer and not content_words(question[: pointer.start()]):
        return "points" if len(own) <= _FEW else "leans"
    if not own or max(map(len, own)) < 2:
        return "leans"
    if _LEANS.match(question) or _MORE.match(question):
        return "leans"
    return "short" if len(own) == 1 else ""
