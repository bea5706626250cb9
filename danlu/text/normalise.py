"""One form for what looks the same: what comes out of PDFs, web pages and keyboards, made plain and Taiwanese.

In this order: line ends to `\\n`, every kind of space to a space; control, zero-width and direction characters out;
NFC, Kangxi radicals to characters; full-width letters and digits to half-width; outside of Markdown code, Chinese
punctuation: , ; : ! ? after a Chinese character to their full-width forms, a full stop between two Chinese characters
to 。 (but for the one inside a foreign name: 弗蘭.布林), “中文” to 「中文」, 。。。 to ……, small and vertical forms to
the usual ones; no space at line ends, at most one empty line.

Every pattern begins with a fixed set of characters, which the engine skips to, and takes time in proportion to the text
whatever the text is (but for `quoted.code`).

Not covered: spaces that a PDF left between characters, hyphenation, half-width brackets, words.
"""

from __future__ import annotations

import re
import unicodedata

from danlu.text import quoted

_HAN = "\u3005\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_CONTROLS = "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"
_INVISIBLES = _CONTROLS + "\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb"
_BREAKS = "\r\x0b\x0c\x85\u2028\u2029"
_SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_RADICALS = "\u2e80-\u2fdf"
_FORMS = str.maketrans("﹐﹑﹔﹕﹖﹗︰︵︶﹁﹂﹃﹄｡｢｣､", "，、；：？！：（）「」『』。「」、")
_FORMS |= {code: code - 0xFEE0 for a, z in ("０９", "ＡＺ", "ａｚ") for code in range(ord(a), ord(z) + 1)}
_FORMED = "".join(map(chr, _FORMS))

_BREAK = re.compile(f"[{_BREAKS}]")
_INVISIBLE = re.compile(f"[{_INVISIBLES}]")
_JOINER = re.compile("(?<![^\x00-\x7f\u3000-\u9fff\uff00-\uffef])[\u200c\u200d]+")
_RADICAL = re.compile(f"[{_RADICALS}]")
_SPACE = re.compile(f"[{_SPACES}]")
_FORM = re.compile(f"[{_FORMED}]")
_ODD = re.compile(f"[{_INVISIBLES}\u200c\u200d{_RADICALS}{_FORMED}]")
_UNTIDY = re.compile(f"[{_INVISIBLES}\u200c\u200d{_RADICALS}{_FORMED}{_BREAKS}{_SPACES}]")

_WIDE = str.maketrans(",;:!?", "，；：！？")
_AFTER_HAN = re.compile(
    rf"[,;:!?](?<=[{_HAN}」』）》][,;:!?])(?:[ ]*(?=[{_HAN}「『（《])|(?=[ \t]*$))",
    re.M,
)
_STOP = re.compile(rf"\.(?<=[{_HAN}]\.)(?=[{_HAN}])")
_FOREIGN = frozenset(
    "阿埃艾愛安奧巴班貝本比彼賓波伯布查川戴達大丹德登迪蒂杜頓多恩爾法費佛弗福戈格古哈漢翰赫華懷霍基吉加傑金卡凱柯科可克庫"
    "拉萊蘭朗勞勒雷李里理利林琳魯路倫羅洛馬瑪邁麥曼梅蒙米密莫姆納娜奈尼寧諾歐帕派佩皮普奇喬瓊薩塞森沙莎史斯絲蘇索塔泰湯"
    "特提廷圖托瓦威韋維溫沃伍西希席夏謝辛休雅亞伊尤約扎詹朱茲鮑"
)
"""Characters that foreign names are written with."""
_DOTS = re.compile(rf"。。+|\.(?<=[{_HAN}]\.)\.\.+")
_DOUBLE = re.compile("“([^“”\n]+)”")
_SINGLE = re.compile("‘([^‘’\n]+)’")
_IS_HAN = re.compile(f"[{_HAN}]")
_EMPTY_LINES = re.compile("\n\n\n+")


def normalise(text: str) -> str:
    """`text` in the one form that the module describes. Idempotent; offsets into the text do not survive it."""
    text = text.replace("\r\n", "\n")
    if _UNTIDY.search(text) or not unicodedata.is_normalized("NFC", text):
        text = _characters(_SPACE.sub(" ", _BREAK.sub("\n", text)))
    text = _punctuate(text)
    if " \n" in text or "\t\n" in text or text.endswith((" ", "\t")):
        text = "\n".join([line.rstrip(" \t") for line in text.split("\n")])
    return (_EMPTY_LINES.sub("\n\n", text) if "\n\n\n" in text else text).strip("\n")


def _characters(text: str) -> str:
    """Until nothing changes: taking a character out or composing two can bring another pair together."""
    while _ODD.search(text) or not unicodedata.is_normalized("NFC", text):
        before = text
        text = _INVISIBLE.sub("", text)
        if "\u200c" in text or "\u200d" in text:
            text = _JOINER.sub("", text)
        text = _RADICAL.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
        text = _FORM.sub(lambda found: found[0].translate(_FORMS), unicodedata.normalize("NFC", text))
        if text == before:
            break
    return text


def _punctuate(text: str) -> str:
    """Chinese punctuation in the gaps between code."""
    if text.isascii():
        return text
    while True:
        before, pieces, start = text, [], 0
        for code_start, code_end in [*quoted.code(text), (len(text), len(text))]:
            pieces += [_gap(text[start:code_start]), text[code_start:code_end]]
            start = code_end
        text = "".join(pieces)
        if text == before:
            return text


def _gap(gap: str) -> str:
    if "。。" in gap or "..." in gap:
        gap = _DOTS.sub("……", gap)
    gap = _AFTER_HAN.sub(lambda found: found[0].rstrip().translate(_WIDE), gap)
    gap = _STOP.sub(_stop, gap)
    if "”" in gap:
        gap = _DOUBLE.sub(lambda found: f"「{found[1]}」" if _IS_HAN.search(found[1]) else found[0], gap)
    if "’" in gap:
        gap = _SINGLE.sub(lambda found: f"『{found[1]}』" if _IS_HAN.search(found[1]) else found[0], gap)
    return gap


def _stop(found: re.Match[str]) -> str:
    """。, or the point of a foreign name: two characters on each side of it that such names are written with."""
    around = found.string[max(0, found.start() - 2) : found.start()] + found.string[found.end() : found.end() + 2]
    return found[0] if len(around) == 4 and _FOREIGN.issuperset(around) else "。"
