"""How much of a text says what it said before: lines, paragraphs and n-grams (Rae et al., 2021, table A1).

An n-gram is of units: a Han or kana character, a punctuation mark, or a whole word of any other script. White space is
no unit, and shares are of the characters that are none. n-grams are compared by 64-bit hashes (multilinear, with fixed
random constants), so two different ones are taken for one with a chance of about 2⁻⁶⁴ a pair.

Not covered: the same thing in other words; repetition between documents (`data.dedup`, `data.boilerplate`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from danlu.text import census

Array = Any
_PARAGRAPH = re.compile("\n[ \t]*\n\\s*")
_PATTERN = 3
_MOST = 4096
"""Characters of a word that its hash tells apart by their place; longer words repeat the constants."""


class Share(NamedTuple):
    """Shares, 0 to 1: of the pieces that were there before, and of the characters in them."""

    pieces: float
    characters: float


def duplicate_lines(text: str) -> Share:
    """Lines with text, compared without white space at their ends."""
    return _duplicates([line for line in map(str.strip, text.split("\n")) if line])


def duplicate_paragraphs(text: str) -> Share:
    """Paragraphs: what empty lines part."""
    return _duplicates([part for part in map(str.strip, _PARAGRAPH.split(text)) if part])


def _duplicates(pieces: Sequence[str]) -> Share:
    distinct = set(pieces)
    if len(distinct) == len(pieces):
        return Share(0.0, 0.0)
    total, first = sum(map(len, pieces)), sum(map(len, distinct))
    return Share(1 - len(distinct) / len(pieces), 1 - first / total)


@dataclass(frozen=True)
class Units:
    """The units of a text: a hash of each (uint64) and where it ends, in characters that are no white space."""

    hashes: Array
    ends: Array
    words: int = 0
    """How many of them are whole words."""
    made: dict[int, Array] = field(default_factory=dict)
    """n-grams hashed so far, by n."""

    @property
    def characters(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0


def units(text: str) -> Units:
    import numpy

    codes = census.codes(text)
    kinds = census.kinds(codes)
    visible = kinds != census.SPACE
    word = _is_word()[kinds]
    begins = visible.copy()
    begins[1:] &= ~(word[1:] & word[:-1])
    starts = numpy.flatnonzero(begins)
    if not len(starts):
        return Units(numpy.zeros(0, numpy.uint64), numpy.zeros(0, numpy.int64))
    values = _mixed(codes.astype(numpy.uint64))
    values[~visible] = 0
    if len(starts) < numpy.count_nonzero(visible):
        places = numpy.arange(len(codes))
        place = places - numpy.maximum.accumulate(numpy.where(begins, places, 0))
        values *= _constants()[place % _MOST]
    lengths = numpy.add.reduceat(visible, starts, dtype=numpy.int64)
    words = int(numpy.count_nonzero(begins & word))
    return Units(_mixed(numpy.add.reduceat(values, starts)), numpy.cumsum(lengths), words)


def top_ngram(found: Units, n: int) -> float:
    """Share of the characters that the commonest n-gram makes up (the longest, of those as common), 1 at most; 0 when
    it stands there no more than twice, which in a short text is much of it and no pattern."""
    import numpy

    hashes = _ngrams(found, n)
    if not len(hashes):
        return 0.0
    ordered = numpy.sort(hashes)
    changes = numpy.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    counts = numpy.diff(changes, prepend=0, append=len(ordered))
    count = int(counts.max())
    if count < _PATTERN:
        return 0.0
    commonest = ordered[numpy.concatenate(([0], changes))[counts == count]]
    longest = int(_widths(found, n)[numpy.isin(hashes, commonest)].max())
    return min(1.0, count * longest / found.characters)


def duplicate_ngrams(found: Units, n: int) -> float:
    """Share of the characters that stand in an n-gram that was there before, none counted twice: from left to right,
    past each n-gram that repeats one, as Rae et al.'s filter is commonly computed."""
    hashes = _ngrams(found, n).tolist()
    ends = [0, *found.ends.tolist()]
    seen: set[int] = set()
    at = repeated = 0
    while at < len(hashes):
        if hashes[at] in seen:
            repeated += ends[at + n] - ends[at]
            at += n
        else:
            seen.add(hashes[at])
            at += 1
    return repeated / found.characters if found.characters else 0.0


def over_top(found: Units, most: Mapping[int, float]) -> tuple[int, float] | None:
    """The first n, from the smallest, whose `top_ngram` is more than `most[n]`, and that share; None when none is.

    Counted is only where some n-gram stands often enough to be too much, were it as wide as the widest.
    """
    import numpy

    for n in sorted(most):
        widths = _widths(found, n)
        if not len(widths):
            return None
        enough = max(_PATTERN, int(most[n] * found.characters / int(widths.max())))
        ordered = numpy.sort(_ngrams(found, n))
        often = ordered[enough - 1 :] == ordered[: max(0, len(ordered) - enough + 1)]
        if often.any() and (share := top_ngram(found, n)) > most[n]:
            return n, share
    return None


def over_duplicates(found: Units, most: Mapping[int, float]) -> tuple[int, float] | None:
    """The first n, from the smallest, whose `duplicate_ngrams` is more than `most[n]`, and that share.

    What the n-grams that repeat one cover together is more than what is counted, and falls as n grows: in most texts
    that bound settles it for every n at once, without the count from left to right.
    """
    for n in sorted(most):
        covered = _covered(found, n)
        if covered <= min(limit for m, limit in most.items() if m >= n):
            return None
        if covered > most[n] and (share := duplicate_ngrams(found, n)) > most[n]:
            return n, share
    return None


def _ngrams(found: Units, n: int) -> Array:
    """The hash of each n-gram, by the unit it begins with: made of those of its two parts, the left a power of two."""
    if n == 1:
        return found.hashes
    if n not in found.made:
        left = 1 << (n - 1).bit_length() - 1
        parts = _ngrams(found, left), _ngrams(found, n - left)
        count = max(0, len(found.hashes) - n + 1)
        heads, tails = parts[0][:count], parts[1][left : left + count]
        found.made[n] = heads * _constants()[2 * n] + tails * _constants()[2 * n + 1]
    return found.made[n]


def _widths(found: Units, n: int) -> Array:
    """The characters of each n-gram."""
    import numpy

    begins = numpy.concatenate(([0], found.ends))
    return begins[n:] - begins[: max(0, len(begins) - n)]


def _covered(found: Units, n: int) -> float:
    """At least the share of the characters that stand in some n-gram that was there before.

    The place of each n-gram takes the lowest bits of its hash, so that one sort tells what repeats and where; what the
    lost bits make equal by chance only adds to the answer.
    """
    import numpy

    hashes = _ngrams(found, n)
    if len(hashes) < 2:
        return 0.0
    bits = len(hashes).bit_length()
    ordered = numpy.sort(hashes >> bits << bits | numpy.arange(len(hashes), dtype=numpy.uint64))
    grams = ordered >> bits
    later = (ordered[1:][grams[1:] == grams[:-1]] & ((1 << bits) - 1)).astype(numpy.int64)
    if not len(later):
        return 0.0
    edges = numpy.bincount(later, minlength=len(found.hashes) + 1)
    edges -= numpy.bincount(later + n, minlength=len(found.hashes) + 1)
    inside = numpy.cumsum(edges)[:-1] > 0
    return float(_widths(found, 1)[inside].sum() / found.characters)


def _mixed(values: Array) -> Array:
    """Each uint64 scattered over all 64 bits (the finaliser of SplitMix64, Steele et al., 2014)."""
    values = values + 0x9E3779B97F4A7C15
    values = (values ^ (values >> 30)) * 0xBF58476D1CE4E5B9
    values = (values ^ (values >> 27)) * 0x94D049BB133111EB
    return values ^ (values >> 31)


@lru_cache(maxsize=1)
def _constants() -> Array:
    """Odd constants of a multilinear hash."""
    import numpy

    return _mixed(numpy.arange(1, _MOST + 1, dtype=numpy.uint64) << 32) | 1


@lru_cache(maxsize=1)
def _is_word() -> Array:
    """By kind: whether characters of it run together to a word."""
    import numpy

    table = numpy.zeros(32, bool)
    table[[census.LATIN, census.LETTER, census.DIGIT, census.MARK, census.HANGUL]] = True
    return table
