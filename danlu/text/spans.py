"""Which part of a text is written in what: Taiwan's Chinese, Simplified, Japanese, Korean or Cantonese.

A text is cut into clauses, and the labels of all clauses together are those that cost least (Viterbi, 1967): a
character that a script does not use costs, and so does a change of label, the less the more the text breaks there (an
empty line least, a comma most). So one quoted sentence is Simplified and nothing around it, a clause of shared
characters goes with its neighbours, and a single Simplified character in a Taiwan clause is a slip, not a change of
script.

Evidence is what one script alone uses: Simplified characters and Traditional ones (`variants`); kana, and the
characters of JIS X 0208's level 1 that neither GB 2312 nor Big5 has (気 読 沢 込); hangul; the characters of written
Cantonese. All of level 1 is in use in Japan today (会 and 開), what is outside of JIS is not (们 and 你).

Cantonese is not converted in Simplified characters either: which of them stand for what is another dictionary's matter.
Classical Chinese is told for the sake of its words alone: in Simplified characters it is Simplified like any other
text.

Not covered: Japanese in Han characters that Chinese uses too (会議室), but for some words; a change of script inside a
clause, of which only the evident characters are mended; Vietnamese; Hakka and Taiwanese without a telling character.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from danlu.text import variants

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

Kind = Literal["traditional", "simplified", "japanese", "korean", "cantonese"]


class Span(NamedTuple):
    """Characters [start, end) of a text, written in `kind`; "traditional" is also what has no evidence of anything."""

    start: int
    end: int
    kind: Kind


_KINDS: tuple[Kind, ...] = get_args(Kind)
_ENTRY = (0.0, 0.0, 2.0, 0.8, 1.6)
"""What a change to each kind costs beyond the break: Japanese and the rest need more than one doubtful character."""
_COSTS = {
    "plain": (0, 0, 0, 0, 0),
    "han": (0, 0.006, 0.02, 0.05, 0.06),
    "simplified": (1, 0, 0.02, 1, 0.3),
    "likely": (0.6, 0, 0.02, 0.05, 0.06),
    "traditional": (0, 2, 0.02, 0.05, 0.1),
    "japanese": (3.5, 3.5, 0, 3, 3),
    "kana": (2, 2, 0, 1, 1),
    "hangul": (2, 2, 1, 0, 1),
    "cantonese": (1.5, 1.5, 3, 3, 0),
}
"""What a character costs in each of `_KINDS`. A shared one costs a little in Simplified, so that a clause of them
between both scripts is Taiwan's. Where both are there, Traditional characters count for more: what may be Taiwan's text
is left alone rather. That of Han characters in the last three makes these end where their evidence ends."""
_LEVEL_2 = b"\x98\x9f"
"""The first character of JIS X 0208's level 2, in Shift JIS."""
_RARE, _NO_JIS = 0.7, 3.0
"""What a Han character costs in Japanese beside that, by its place in JIS X 0208."""

_LIKELY = frozenset("并据种确着适价极广几儿筑听愿万党坏苹厂虫柜么")
"""Characters that Traditional text has for words of their own (万俟, 茶几, 拮据), but next to never: at most 10 of each
in 4.4 million characters of statutes, DRCD and manuals written in Taiwan, against a hundred times as many in Simplified
text. They are evidence, but alone are not mended."""
_CANTONESE = "嘅啲喺佢哋冇咗嚟唔嗰噉嘢㗎瞓攞乜咁咩嘥揾搵冧啱啩嚿曱甴𠊎"
"""Also 𠊎, which is Hakka: what is meant is a Sinitic language other than Mandarin."""
_MANDARIN = "這这們们你妳她麼么嗎吗吧很沒没哪說说讓让"
"""In JIS, some of them, and no word of Japanese."""
_WORDS = re.compile("会社|映画|写真|残念|声優|学園|昼食|万円|当社|区役所|国鉄|横浜|国立博物館|国会図書館|麺")
_WORD = 2.5
_NOT_JAPANESE = [place for place, kind in enumerate(_KINDS) if kind != "japanese"]

_CLAUSE = re.compile(r"[^\s，。、；：！？,.;:!?「」『』“”（）()《》〈〉【】|\"]+")
_EMPTY_LINE = re.compile(r"\n[ \t>]*\n")
_BREAKS = ((re.compile("\n"), 0.46), (re.compile("[。！？.!?]"), 0.5), (re.compile('["「」『』“”《》〈〉【】|]'), 0.6))
_START, _EMPTY, _COMMA = 0.5, 0.2, 0.8
_PART = 1 << 18
"""Characters that are looked at together, so that the memory used does not grow with the text."""

_SENTENCE = re.compile(r"[^。！？!?\n]+[。！？!?]*")
_PARTICLES = re.compile("[曰矣焉哉兮歟吾汝豈]|[也乎耳](?=[，。！？；」』])|是故|何以|未嘗|不亦|子曰")
_MODERN = re.compile("[的了們们這这那哪你她嗎吗吧呢很]|什麼|什么|可以|我們|如果")


def spans(text: str) -> list[Span]:
    """The parts of `text` in order, neighbours of different kinds; together they are the whole of it."""
    found: list[Span] = []
    for start, end in _parts(text):
        for span in _labelled(text, start, end):
            if found and found[-1].kind == span.kind:
                span = Span(found.pop().start, span.end, span.kind)
            found.append(span)
    return found


def to_traditional(text: str, style: variants.Style = "standard") -> str:
    """`text` with its Simplified spans in Taiwan's characters, of the same length; all else stays as it is.

    Of a clause in Traditional characters those change that are only ever Simplified; what they become the clause tells.
    """
    if not any_simplified(text):
        return text
    pieces = []
    for start, end, kind in spans(text):
        piece = text[start:end]
        if kind == "simplified":
            piece = _same_length(piece, style)
        elif kind == "traditional":
            piece = _CLAUSE.sub(lambda clause: _mended(clause[0], style), piece)
        pieces.append(piece)
    return "".join(pieces)


def any_simplified(text: str) -> bool:
    """Whether `text` has a character that is a sign of Simplified text (or of Japanese)."""
    return not variants.simplified().keys().isdisjoint(text) or not _LIKELY.isdisjoint(text)


def told(text: str) -> list[Span]:
    """The spans of `text` that are neither Traditional nor Simplified."""
    return [] if _telling().isdisjoint(text) else [span for span in spans(text) if _KINDS.index(span.kind) > 1]


def foreign(text: str) -> list[tuple[int, int]]:
    """The spans of `text` whose words are no matter of Taiwan's or the mainland's: Japanese, Korean, Cantonese and
    classical Chinese, in order, none overlapping."""
    other = told(text)
    return sorted([(span.start, span.end) for span in other] + list(_classical(text, other)))


def _classical(text: str, other: Iterable[Span]) -> Iterator[tuple[int, int]]:
    """Sentences outside of `other` with two or more words of classical Chinese and none of today's."""
    for sentence in _SENTENCE.finditer(text):
        if len(_PARTICLES.findall(sentence[0] + "\n")) >= 2 and not _MODERN.search(sentence[0]):
            start, end = sentence.span()
            if all(end <= span.start or start >= span.end for span in other):
                yield start, end


def _mended(clause: str, style: variants.Style) -> str:
    only = variants.simplified().keys() - _LIKELY
    if only.isdisjoint(clause):
        return clause
    after = list(_same_length(clause, style))
    for word in _WORDS.finditer(clause):
        after[slice(*word.span())] = word[0]
    return "".join(new if old in only else old for old, new in zip(clause, after, strict=True))


def _same_length(text: str, style: variants.Style) -> str:
    after = variants.to_traditional(text, style)
    return after if len(after) == len(text) else variants.plain_to_taiwan(text)


# --- labels ---


def _parts(text: str) -> Iterator[tuple[int, int]]:
    """Stretches of about `_PART` characters that end with a line, or where they must."""
    start = 0
    while start < len(text):
        end = min(len(text), start + _PART)
        line = text.rfind("\n", start, end) + 1
        end = line if line and end < len(text) else end
        yield start, end
        start = end


def _labelled(text: str, start: int, end: int) -> list[Span]:
    """text[start:end] in spans: each clause of a label with what stands before it."""
    clauses = [clause.span() for clause in _CLAUSE.finditer(text, start, end)]
    if not clauses:
        return [Span(start, end, "traditional")]
    costs = _costs(text[start:end], [(first - start, last - start) for first, last in clauses])
    breaks = [_break(text[last:first]) for (_, last), (first, _) in pairwise(clauses)]
    kinds = _cheapest(costs, breaks)
    found: list[Span] = []
    at = start
    for place, kind in enumerate(kinds):
        last = clauses[place + 1][0] if place + 1 < len(clauses) else end
        if place + 1 == len(kinds) or kinds[place + 1] != kind:
            found.append(Span(at, last, _KINDS[kind]))
            at = last
    return found


def _break(between: str) -> float:
    """What a change of label costs where two clauses are parted by `between`."""
    if _EMPTY_LINE.search(between):
        return _EMPTY
    return next((cost for mark, cost in _BREAKS if mark.search(between)), _COMMA)


def _cheapest(costs: list[list[float]], breaks: list[float]) -> list[int]:
    """The label of each clause, such that all together cost least; of equal ones that which stays as it was."""
    total = [cost + entry + _START for cost, entry in zip(costs[0], _ENTRY, strict=True)]
    total[0] -= _START
    came: list[list[int]] = []
    for cost, gap in zip(costs[1:], breaks, strict=True):
        best = min(range(len(total)), key=total.__getitem__)
        change = [total[best] + gap + entry for entry in _ENTRY]
        came.append([kind if total[kind] <= change[kind] else best for kind in range(len(total))])
        total = [min(stay, go) + more for stay, go, more in zip(total, change, cost, strict=True)]
    label = min(range(len(total)), key=total.__getitem__)
    labels = [label]
    for sources in reversed(came):
        label = sources[label]
        labels.append(label)
    return labels[::-1]


def _costs(text: str, clauses: list[tuple[int, int]]) -> list[list[float]]:
    """The cost of each clause in each of `_KINDS`."""
    import numpy

    from danlu.text.census import codes

    table, costs = _table()
    each = costs[table.take(codes(text))]
    for word in _WORDS.finditer(text):
        each[word.start(), _NOT_JAPANESE] += _WORD
    each = numpy.concatenate([each, numpy.zeros((1, len(_KINDS)), each.dtype)])
    edges = numpy.array(clauses).ravel()
    found: list[list[float]] = numpy.add.reduceat(each, edges, axis=0)[::2].round(4).tolist()
    return found


@lru_cache(maxsize=1)
def _table() -> tuple[Array, Array]:
    """The class of every code point, and what each class costs in each of `_KINDS`."""
    import numpy

    classes: list[tuple[float, ...]] = list(_COSTS.values())
    places = {name: place for place, name in enumerate(_COSTS)}
    table = numpy.zeros(0x110000, numpy.uint8)
    for name in ("han", "likely", "simplified", "traditional"):
        for more in (_RARE, _NO_JIS):
            places[f"{name}{more}"] = len(classes)
            row = _COSTS[name]
            classes.append((*row[:2], row[2] + more, *row[3:]))
    for start, end in ((0x3400, 0xA000), (0xF900, 0xFB00), (0x20000, 0x32000)):
        table[start:end] = [places[_class(chr(code))] for code in range(start, end)]
    for start, end, name in ((0x3041, 0x3097, "kana"), (0x30A1, 0x30FB, "kana"), (0xAC00, 0xD7A4, "hangul")):
        table[start:end] = places[name]
    table[[ord(character) for character in _CANTONESE]] = places["cantonese"]
    return table, numpy.array(classes, numpy.float64)


def _class(character: str) -> str:
    jis = _encoded(character, "shift_jis")
    if character in _LIKELY:
        name = "likely"
    elif character in variants.simplified():
        name = "simplified"
    elif character in variants.traditional():
        name = "traditional"
    elif b"" < jis < _LEVEL_2 and not _encoded(character, "gb2312") and not _encoded(character, "cp950"):
        return "japanese"
    else:
        name = "han"
    if not jis or character in _MANDARIN:
        return f"{name}{_NO_JIS}"
    return name if jis < _LEVEL_2 else f"{name}{_RARE}"


def _encoded(character: str, encoding: str) -> bytes:
    try:
        return character.encode(encoding)
    except UnicodeEncodeError:
        return b""


@lru_cache(maxsize=1)
def _telling() -> frozenset[str]:
    """The characters that neither script is written with, and the Simplified ones of `_WORDS`."""
    import numpy

    table, costs = _table()
    chosen = numpy.flatnonzero(costs[:, :2].min(axis=1) > 0)
    words = variants.simplified().keys() & set(_WORDS.pattern)
    return frozenset(chr(code) for code in numpy.flatnonzero(numpy.isin(table, chosen)).tolist()) | words
