"""Passages that occur before in the corpus, for data.dedup's `substring`; compiled by numba, so import it late.

A passage of `length` characters or more is found by what it shares with its first occurrence: of each run of
`length - k + 1` k-grams the one with the least hash is remembered, by its hash and place (winnowing: Schleimer,
Wilkerson and Aiken, 2003, "Winnowing: local algorithms for document fingerprinting"), so two equal passages of that
length remember one k-gram in common, k being half the length. The characters themselves decide, left and right of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from danlu.data.minhash import Array, compiled, mix, np, power, rolled, same

CONTEXTS = 64
"""Places that one k-gram is remembered at: those where something new follows or precedes it, the earliest ones."""

_END = np.uint32(0xFFFFFFFF)
_32 = np.uint64(32)
_BASE = np.uint64(0x9E3779B97F4A7C15)


class Passages:
    """The texts so far, in a file of 4 bytes a character (`path`), and the places that are remembered, in memory: some
    24 bytes for every quarter of `length` characters. `most` is the number of characters that may come."""

    def __init__(self, path: Path, length: int, most: int) -> None:
        self.length = length
        self.store = np.memmap(path, np.uint32, "w+", shape=(max(1, most),))
        self.heads = np.full(1 << 16, -1, np.int32)
        self.places = np.empty(1 << 16, np.int64)
        self.keys = np.empty(1 << 16, np.uint32)
        self.after = np.empty(1 << 16, np.int32)
        self.filled = np.zeros(2, np.int64)

    def add(self, codes: Array, bounds: Array) -> Iterator[list[tuple[int, int]]]:
        """For each text the spans of it, in characters, that occur before; in this text, not overlapping, or in one
        that was added earlier."""
        self._grow(len(codes))
        cut = repeated(
            codes, bounds, self.length, self.store, self.heads, self.places, self.keys, self.after, self.filled
        )
        self.store._mmap.madvise(4)  # MADV_DONTNEED: the file keeps it
        hit = set((np.searchsorted(bounds, np.flatnonzero(cut), "right") - 1).tolist())
        for text, (start, end) in enumerate(pairwise(bounds.tolist())):
            if text not in hit:
                yield []
                continue
            edges = np.flatnonzero(np.diff(cut[start:end], prepend=False, append=False)).tolist()
            yield list(zip(edges[::2], edges[1::2], strict=True))

    def _grow(self, more: int) -> None:
        used = int(self.filled[1])
        if used + more > len(self.places):
            size = max(2 * len(self.places), used + more)
            self.places, self.keys, self.after = (
                np.concatenate([array[:used], np.empty(size - used, array.dtype)])
                for array in (self.places, self.keys, self.after)
            )
        if used > len(self.heads):
            self.heads = np.full(4 * len(self.heads), -1, np.int32)
            relink(self.heads, self.keys, self.after, used)


@compiled
def relink(heads: Array, keys: Array, after: Array, used: int) -> None:
    """Chain the nodes anew by their keys, in the order in which they came."""
    for node in range(used):
        slot = keys[node] & np.uint32(len(heads) - 1)
        after[node] = heads[slot]
        heads[slot] = node


@compiled
def seeds(store: Array, start: int, end: int, k: int, window: int, places: Array, keys: Array) -> int:
    """Fill `places` and `keys` with the k-grams of `store[start:end]` that winnowing picks; returns how many. Of equal
    hashes the one picked before stays, so that a monotonous text is not remembered character by character."""
    count = end - start - k + 1
    hashes = np.empty(count, np.uint32)
    first = power(k)
    value = rolled(store, start, k)
    hashes[0] = np.uint32(mix(value) >> _32)
    for at in range(1, count):
        value = (value - np.uint64(store[start + at - 1]) * first) * _BASE + np.uint64(store[start + at + k - 1])
        hashes[at] = np.uint32(mix(value) >> _32)
    found = 0
    best = -1
    for last in range(min(window, count) - 1, count):
        low = max(0, last - window + 1)
        before = best
        if best < low:
            best = low
            for at in range(low + 1, last + 1):
                if hashes[at] < hashes[best]:
                    best = at
        elif hashes[last] < hashes[best]:
            best = last
        if best != before:
            places[found] = start + best
            keys[found] = hashes[best]
            found += 1
    return found


@compiled
def repeated(
    codes: Array, bounds: Array, length: int, store: Array,
    heads: Array, places: Array, keys: Array, after: Array, filled: Array,
) -> Array:  # fmt: skip
    """Which characters of `codes` stand in a passage that occurs before; see `Passages`. `filled` is [characters in
    the store, nodes]. Texts rest in the store with an end mark after each, so that no passage goes past it.

    A passage of `length` characters that holds a remembered k-gram lies between `first` and `last`: no more is
    compared, so that the work grows with the text, not with the length of what is repeated. Where all between them
    occurs before, this place need not be remembered."""
    k = length // 2
    cut = np.zeros(len(codes), np.bool_)
    longest = 1
    for text in range(len(bounds) - 1):
        longest = max(longest, bounds[text + 1] - bounds[text])
    new_places, new_keys = np.empty(longest, np.int64), np.empty(longest, np.uint32)
    wrap = np.uint32(len(heads) - 1)
    for text in range(len(bounds) - 1):
        size = bounds[text + 1] - bounds[text]
        start = filled[0]
        end = start + size
        store[start:end] = codes[bounds[text] : bounds[text + 1]]
        store[end] = _END
        filled[0] = end + 1
        if size < length:
            continue
        for seed in range(seeds(store, start, end, k, length - k + 1, new_places, new_keys)):
            place, key = new_places[seed], new_keys[seed]
            first, last = max(start, place - (length - k)), min(end, place + length)
            contexts = 0
            covered = False
            node = heads[key & wrap]
            while node >= 0 and not covered:
                other = places[node]
                fits = keys[node] == key and (other < start or place - other >= length)
                node = after[node]
                if not fits or not same(store, place, store, other, k):
                    continue
                contexts += 1
                shift, low, high = place - other, place, place + k
                while low > first and low > shift and store[low - 1] == store[low - 1 - shift]:
                    low -= 1
                while high < last and store[high] == store[high - shift]:
                    high += 1
                if high - low >= length:
                    cut[bounds[text] + low - start : bounds[text] + high - start] = True
                covered = low == first and high == last
            if not covered and contexts < CONTEXTS:
                node = filled[1]
                places[node] = place
                keys[node] = key
                after[node] = heads[key & wrap]
                heads[key & wrap] = node
                filled[1] += 1
    return cut


def without(text: str, spans: list[tuple[int, int]]) -> str:
    """The text without these spans."""
    kept = []
    at = 0
    for start, end in spans:
        kept.append(text[at:start])
        at = end
    return "".join([*kept, text[at:]])


def moved(meta: dict[str, Any], spans: list[tuple[int, int]]) -> dict[str, Any]:
    """The meta of a Document whose text lost these spans: what counts in characters (pages, slides, sheets) follows."""

    def new(place: int) -> int:
        return place - sum(min(end, place) - start for start, end in spans if start < place)

    told = {key: meta[key] for key in ("pages", "slides", "sheets") if isinstance(meta.get(key), list)}
    return meta | {key: [[*one[:-2], new(one[-2]), new(one[-1])] for one in ranges] for key, ranges in told.items()}
