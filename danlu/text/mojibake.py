"""Text that was decoded in the wrong encoding, and the way back.

Covered: UTF-8 read as Latin-1, Windows-1252 or GBK (ä¸­æ–‡, 涓枃); Big5 and GBK read as each other (い地) or as
Latin-1 (¤¤¤å); other damage to Latin text by ftfy (CafÃ©). A stretch is mended only when all of it goes back to bytes
and on without loss, it read like nothing before and reads like everyday Chinese afterwards (`encoding.plausibility`),
so that rare characters, names and other languages stay.

Not covered: what a wrong reading lost (� or ? in place of bytes, as with nearly all UTF-8 read as Big5), text decoded
wrongly twice, lines with fewer than four damaged characters (ten between Big5 and GBK) in an otherwise good text,
encodings of other languages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from danlu.extras import need
from danlu.text.census import census, codes
from danlu.text.encoding import plausibility

_LEAST = 4
_SHARE = 0.3
"""A stretch is looked at that has so many characters beyond ASCII, and this share of its characters."""
_BEFORE, _GAIN, _AFTER = 0.5, 0.2, 0.65
"""It is mended when it reads less like Chinese than the first, and afterwards more by the second and than the third."""
_LEAST_DOUBLE, _KANA = 10, 0.35
"""Nearly any bytes are both Big5 and GBK, so more characters are asked for between these two, and few kana among them
(Big5's commonest characters look like kana in GBK, but Japanese has more of them)."""
_DOUBLE = (("gb18030", "cp950"), ("cp950", "gb18030"))
_LATIN = tuple(
    (wrong, right) for wrong in ("latin-1", "sloppy-windows-1252") for right in ("utf-8", "cp950", "gb18030")
)
_LOOKS_LATIN = re.compile("[\u00a1-\u00ff]")


def repair(text: str) -> tuple[str, int]:
    """`text` mended, as a whole where that goes, else line by line; and how many lines are not what they were."""
    if text.isascii():
        return text, 0
    suspects = _implausible(text)
    if not suspects:
        return text, 0
    old = text.split("\n")
    new = _mended(text).split("\n") if len(suspects) > 1 else old
    if new == old:
        new = list(old)
        for place in suspects:
            new[place] = _mended(old[place])
    return "\n".join(new), sum(before != after for before, after in zip(old, new, strict=True))


def _mended(stretch: str) -> str:
    """The reading of the stretch's bytes that is likeliest to be meant; itself when none is much likelier."""
    before = _plausible(stretch)
    if before >= _BEFORE:
        return stretch
    best, reading = stretch, max(_AFTER, before + _GAIN)
    for wrong, right in _ways(stretch):
        try:
            other = stretch.encode(wrong).decode(right)
        except UnicodeError:
            continue
        score = _plausible(other)
        if score >= reading and not other.isascii() and other.count("\n") == stretch.count("\n"):
            best, reading = other, score
    return best if best != stretch or before > 0 else _by_ftfy(stretch)


def _ways(stretch: str) -> Iterator[tuple[str, str]]:
    """What encoding the stretch may have been read in, and in which it may be."""
    yield "gb18030", "utf-8"
    beyond = [character for character in stretch if character > "\x7f"]
    if len(beyond) >= _LEAST_DOUBLE and census("".join(beyond)).kana <= _KANA * len(beyond):
        yield from _DOUBLE
    if _LOOKS_LATIN.search(stretch):
        need("ftfy.bad_codecs", "data")
        yield from _LATIN


def _plausible(stretch: str) -> float:
    """`encoding.plausibility`, quicker on long stretches."""
    import numpy

    ranks = _ranks().take(codes(stretch))
    beyond = int(numpy.count_nonzero(ranks))
    return (int(ranks.sum(dtype=numpy.int64)) - beyond) / 2 / beyond if beyond else 1.0


def _by_ftfy(line: str) -> str:
    """What ftfy makes of damage to a line without any Chinese (CafÃ©), when it makes letters of known kinds."""
    fixed: str = need("ftfy", "data").fix_encoding(line)
    new = "".join(set(fixed) - set(line))
    odd = census(new)
    return line if odd.letter or odd.other or odd.replacement else fixed


def _implausible(text: str) -> list[int]:
    """The lines, from 0, with `_LEAST` or more characters beyond ASCII that read less like Chinese than `_BEFORE`."""
    import numpy

    points = codes(text + "\n")
    ends = numpy.flatnonzero(points == 10)
    begins = numpy.concatenate(([0], ends[:-1] + 1))
    packed = numpy.array([0, 1 << 32, (1 << 32) + 1, (1 << 32) + 2], numpy.int64)
    sums = numpy.cumsum(packed.take(_ranks().take(points)))
    sums = numpy.diff(sums[ends], prepend=0)
    beyond, scores = sums >> 32, (sums & 0xFFFFFFFF) / 2
    enough = (beyond >= _LEAST) & (beyond >= _SHARE * (ends - begins))
    found: list[int] = numpy.flatnonzero(enough & (scores < _BEFORE * beyond)).tolist()
    return found


@lru_cache(maxsize=1)
def _ranks() -> Any:
    """By code point: 0 below 128, else 1 and twice what the character adds to `encoding.plausibility`."""
    import numpy

    table = numpy.zeros(0x110000, numpy.uint8)
    table[128:] = 1
    for start, end in ((128, 0xA000), (0xF900, 0x10000)):
        table[start:end] += (2 * numpy.array([plausibility(chr(code)) for code in range(start, end)])).astype(
            numpy.uint8
        )
    return table
