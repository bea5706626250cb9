"""How alike two instructions are, and whether a new one is new.

ROUGE-L is the F-measure of the longest common subsequence (Lin, 2004), over Chinese characters and whole Latin words,
without punctuation and case; self-instruct keeps an instruction below 0.7 of everything in its pool (Wang et al., 2023,
"Self-Instruct", arXiv:2212.10560). The alternative, the Jaccard similarity of character trigrams, knows no order beyond
three characters and is quicker. Both are exact: a bound over character counts only leaves out what cannot be as alike.
Not covered: the same thing in other words.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from typing import Any, Literal, NamedTuple

from danlu.extras import need

Measure = Literal["rouge-l", "ngram"]

_UNIT = re.compile(r"[a-z0-9]+|\w")
_BINS = 256


class Nearest(NamedTuple):
    similarity: float
    text: str


def units(text: str) -> list[str]:
    """Characters, and runs of Latin letters and digits as one; folded, without punctuation."""
    return _UNIT.findall(unicodedata.normalize("NFKC", text).casefold())


def rouge_l(first: list[str], second: list[str]) -> float:
    """F1 of the longest common subsequence of two lists of units, 0 to 1."""
    if not first or not second:
        return 0.0
    return 2 * _lcs(first, second) / (len(first) + len(second))


def jaccard(first: list[str], second: list[str], n: int = 3) -> float:
    """Jaccard similarity of the sets of n-grams of units, 0 to 1."""
    one, two = _grams(first, n), _grams(second, n)
    return len(one & two) / len(one | two) if one or two else 0.0


class Pool:
    """Instructions, and the nearest of them to a new one; `threshold` is where an instruction is no longer new."""

    def __init__(self, threshold: float, measure: Measure = "rouge-l") -> None:
        self._np = need("numpy", "data")
        self.threshold, self.measure = threshold, measure
        self._texts: list[str] = []
        self._units: list[list[str]] = []
        self._counts: Any = self._np.zeros((64, _BINS), dtype=self._np.uint8)
        self._lengths: Any = self._np.zeros(64, dtype=self._np.int64)

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, text: str) -> None:
        split, at = units(text), len(self._texts)
        if at == len(self._counts):
            self._counts = self._np.concatenate([self._counts, self._np.zeros_like(self._counts)])
            self._lengths = self._np.concatenate([self._lengths, self._np.zeros_like(self._lengths)])
        self._counts[at] = self._histogram(split)
        self._lengths[at] = len(split)
        self._texts.append(text)
        self._units.append(split)

    def like(self, text: str) -> Nearest | None:
        """The instruction of the pool most like `text`, when it is at least as alike as the threshold."""
        split = units(text)
        best: Nearest | None = None
        for at in self._candidates(split):
            other = self._units[at]
            found = rouge_l(split, other) if self.measure == "rouge-l" else jaccard(split, other)
            if found >= self.threshold and (best is None or found > best.similarity):
                best = Nearest(found, self._texts[at])
        return best

    def _candidates(self, split: list[str]) -> list[int]:
        """Those that may reach the threshold: what two texts share in any order bounds what they share in order.

        With s units shared of lengths a and b: ROUGE-L ≤ 2s / (a + b). For trigrams the bound is left out.
        """
        count = len(self._texts)
        if self.measure == "ngram":
            return list(range(count))
        shared = self._np.minimum(self._counts[:count], self._histogram(split)).sum(axis=1, dtype=self._np.int64)
        full = self._np.maximum(self._lengths[:count], len(split)) > 255  # a count may have been cut at 255
        most = 2 * shared >= self.threshold * (self._lengths[:count] + len(split))
        return [int(at) for at in self._np.flatnonzero(most | full)]

    def _histogram(self, split: list[str]) -> Any:
        bins = [zlib.crc32(unit.encode()) % _BINS for unit in split]
        return self._np.minimum(self._np.bincount(bins, minlength=_BINS), 255).astype(self._np.uint8)


def _lcs(first: list[str], second: list[str]) -> int:
    """Length of the longest common subsequence, a bit for each unit of `first` (Hyyrö, 2004)."""
    masks: dict[str, int] = {}
    for at, unit in enumerate(first):
        masks[unit] = masks.get(unit, 0) | 1 << at
    full = row = (1 << len(first)) - 1
    for unit in second:
        matched = row & masks.get(unit, 0)
        row = (row + matched | row - matched) & full
    return (full & ~row).bit_count()


def _grams(split: list[str], n: int) -> set[tuple[str, ...]]:
    if len(split) < n:
        return {tuple(split)} if split else set()
    return {tuple(split[at : at + n]) for at in range(len(split) - n + 1)}
