"""Where the words of a Chinese sentence are: whether a piece of it is a word there, or lies across words.

A lattice of all words of `words.tsv` over a few characters on each side of the piece; a path's probability is the
product of its words' frequencies (a unigram model, as in jieba). `margin` weighs the best path that has a border at
both ends of the piece against the best one in which a word reaches over an end: 出租車|位 against 出租|車位.

All is folded to Simplified characters (`variants.fold`), of which each stands for one character of the text.

Not covered: words that the table lacks (names above all), and places where both readings are words and only the meaning
tells (把出租車道讓出來).
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import NamedTuple

from danlu.text import variants

_REACH = 5
"""Characters on each side of a piece that are looked at: a change in the path dies out within three."""
_LONGEST = 5
_ALONE = math.log(0.01)
"""Log factor on a single character: the table counts 位 and 器 also where they are a part of a word that it lacks."""
_NOT_HAN = re.compile("[^\u3400-\u9fff]")
_TAIWAN_COUNT = 400
"""Count of the words of Taiwan, which have none in the table: that of jieba's more usual words."""


Edge = tuple[int, float]
"""Where a word ends, and its log probability."""


class Lexicon(NamedTuple):
    counts: dict[str, int]
    """How often each word, folded, is found among `total` words."""
    weights: dict[str, float]
    """Its log probability, with `_ALONE` where it is one character."""
    total: int
    taiwan: frozenset[str]
    """Words of Taiwan, folded: one that holds a piece speaks against it (博客來 against 博客)."""


@lru_cache(maxsize=1)
def lexicon() -> Lexicon:
    counts: dict[str, int] = {}
    taiwan: set[str] = set()
    for column, listed in variants.rows("words.tsv"):
        words = variants.fold(listed).split()
        count = _TAIWAN_COUNT if column == "tw" else int(column)
        if column == "tw":
            taiwan.update(words)
        counts.update((word, max(count, counts.get(word, 0))) for word in words)
    total = sum(counts.values())
    weights = {word: math.log(count / total) + (_ALONE if len(word) == 1 else 0) for word, count in counts.items()}
    return Lexicon(counts, weights, total, frozenset(taiwan))


def margin(folded: str, start: int, end: int, count: float) -> float:
    """Log odds of `folded[start:end]` being one or several whole words against lying across words or inside one.

    `count` is how common the piece is taken to be as one word. inf when no word of the table reaches over an end.
    """
    first = max(0, start - _REACH)
    left = max((found.end() for found in _NOT_HAN.finditer(folded, first, start)), default=first)
    stop = _NOT_HAN.search(folded, end, end + _REACH)
    window = folded[left : stop.start() if stop else end + _REACH]
    return _margin(window, start - left, end - left, count)


@lru_cache(maxsize=1 << 14)
def _margin(window: str, start: int, end: int, count: float) -> float:
    ahead = _ahead(window, start, end)
    reaching = [
        (at, stop, weight) for at in range(end) for stop, weight in ahead[at] if at < start < stop or at < end < stop
    ]
    if not reaching:
        return math.inf
    ahead[start].append((end, math.log(count / lexicon().total)))
    size = len(window)
    forth = _best(ahead, 0, size)
    back = [-math.inf] * size + [0.0]
    for at in range(size - 1, -1, -1):
        back[at] = max(weight + back[stop] for stop, weight in ahead[at])
    across = max(forth[at] + weight + back[stop] for at, stop, weight in reaching)
    return forth[start] + _best(ahead, start, end)[end] + back[end] - across


def _best(ahead: list[list[Edge]], start: int, end: int) -> list[float]:
    """Log probability of the best path from `start` to each place up to `end`, which no word passes."""
    best = [-math.inf] * (len(ahead) + 1)
    best[start] = 0.0
    for at in range(start, end):
        for stop, weight in ahead[at]:
            if stop <= end and best[at] + weight > best[stop]:
                best[stop] = best[at] + weight
    return best


def _ahead(window: str, start: int, end: int) -> list[list[Edge]]:
    """The words that begin at each place of `window`; a single character always counts as one.

    A word around all of the piece says nothing about it (遊戲機 about 遊戲), unless it is one of Taiwan's.
    """
    known = lexicon()
    unknown = math.log(1 / known.total) + _ALONE
    ahead: list[list[Edge]] = []
    for at in range(len(window)):
        found = [(at + 1, known.weights.get(window[at], unknown))]
        for stop in range(at + 2, min(at + _LONGEST, len(window)) + 1):
            word = window[at:stop]
            if word in known.weights and (at > start or stop < end or word in known.taiwan):
                found.append((stop, known.weights[word]))
        ahead.append(found)
    return ahead
