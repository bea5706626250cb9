"""`normalise` and `script` as they were first written, one plain pass after another: what the fast ones must equal."""

from __future__ import annotations

import re
import unicodedata

from danlu.text import quoted, variants

_HAN = "\u3005\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]"
)
_JOINER = re.compile("(?<![^\x00-\x7f\u3000-\u9fff\uff00-\uffef])[\u200c\u200d]+")
_RADICAL = re.compile("[\u2e80-\u2fdf]")
_SPACE = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_FULL_WIDTH = {code: code - 0xFEE0 for a, z in ("０９", "ＡＺ", "ａｚ") for code in range(ord(a), ord(z) + 1)}
_FORMS = str.maketrans("﹐﹑﹔﹕﹖﹗︰︵︶﹁﹂﹃﹄｡｢｣､", "，、；：？！：（）「」『』。「」、")
_WIDE = str.maketrans(",;:!?", "，；：！？")
_AFTER_HAN = re.compile(rf"(?<=[{_HAN}」』）》])[,;:!?](?:[ ]*(?=[{_HAN}「『（《])|(?=[ \t]*$))", re.M)
_STOP = re.compile(rf"(?<=[{_HAN}])\.(?=[{_HAN}])")
_DOTS = re.compile(r"。{2,}|(?<=[" + _HAN + r"])\.{3,}")
_DOUBLE = re.compile(rf"“([^“”\n]*[{_HAN}][^“”\n]*)”")
_SINGLE = re.compile(rf"‘([^‘’\n]*[{_HAN}][^‘’\n]*)’")


def normalise(text: str) -> str:
    text = _LINE_ENDS.sub("\n", text)
    text = _SPACE.sub(" ", text)
    text = _characters(text)
    text = _punctuate(text)
    text = re.sub(r"[ \t]+$", "", text, flags=re.M)
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n")


def _characters(text: str) -> str:
    while True:
        before = text
        text = _JOINER.sub("", _INVISIBLE.sub("", text))
        text = _RADICAL.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
        text = unicodedata.normalize("NFC", text).translate(_FULL_WIDTH).translate(_FORMS)
        if text == before:
            return text


def _punctuate(text: str) -> str:
    while True:
        before, pieces, start = text, [], 0
        for code_start, code_end in [*quoted.code(text), (len(text), len(text))]:
            pieces += [_gap(text, start, code_start), text[code_start:code_end]]
            start = code_end
        text = "".join(pieces)
        if text == before:
            return text


def _gap(text: str, start: int, end: int) -> str:
    gap = text[start:end]
    gap = _DOTS.sub("……", gap)
    gap = _AFTER_HAN.sub(lambda found: found[0].rstrip().translate(_WIDE), gap)
    gap = _STOP.sub("。", gap)
    return _SINGLE.sub(r"『\1』", _DOUBLE.sub(r"「\1」", gap))


def script(text: str) -> str:
    han = len(re.findall(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]", text))
    if not han or len(re.findall(r"[\u3041-\u3096\u30a1-\u30fa]", text)) > han / 5:
        return "other"
    only_simplified, only_traditional = variants.simplified(), variants.traditional()
    simplified = sum(character in only_simplified for character in text)
    traditional = sum(character in only_traditional for character in text)
    if not simplified or simplified < (simplified + traditional) / 10:
        return "traditional"
    return "mixed" if traditional >= (simplified + traditional) / 10 else "simplified"
