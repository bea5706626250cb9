"""The words of a question that say what it is about."""

from __future__ import annotations

import re

from danlu.text.segment import tokens

_ASKING = re.compile(
    "請問|為什麼|為何|什麼時候|什麼|甚麼|怎麼樣|怎麼辦|怎麼|怎樣|如何|哪一個|哪一種|哪一|哪些|哪個|哪種|哪裡|哪|"
    "是不是|有沒有|能不能|可不可以|會不會|要不要|該不該|多少|幾個|幾種|是否|可以|應該|需要|能夠|一下|簡單|說明|解釋|"
    "介紹|告訴我|我想知道|想知道|意思|時候|的話|何時|何地|何處|何人|何種|何者|何年|"
    "[嗎呢吧啊的了是在和與及或有把被它他她我你您這那就都也還跟讓誰於為之而到將由並]"
)
_LEADING = "要會該能做去"
_ENGLISH = frozenset(
    """a an the is are was were be do does did what which who whom whose when where why how can could should would will
    to of in on at for from by with and or not it its this that these those i you we they me my your our please tell
    about there""".split()  # noqa: SIM905 (a list of 60 literals is no easier to read)
)


def pieces(question: str) -> list[str]:
    """The question without its asking, cut where the asking stood."""
    found = _ASKING.sub(" ", question).split()
    return [piece.lstrip(_LEADING) if len(piece) > 2 else piece for piece in found]


def content_words(question: str) -> list[str]:
    """The words of a question that say what it is about: without the asking, and Chinese in pairs, as far as a piece
    is longer than one character."""
    wanted: list[str] = []
    for piece in pieces(question):
        found = [word for word in tokens(piece) if word not in _ENGLISH]
        long = [word for word in found if len(word) > 1]
        wanted += long or found
    return list(dict.fromkeys(wanted))


def lone_word(question: str) -> str | None:
    """The one word that a question is made of (LoRA, 量化, 什麼是休假？), in lower case; "" when it has no word of more
    than one letter, None when it has more than one."""
    telling = [word for word in content_words(question) if len(word) > 1]
    if not telling:
        return ""
    return telling[0] if len(telling) == 1 else None
