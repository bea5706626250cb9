"""The hot path of data.dedup: MinHash, grouping and true Jaccard over arrays of code points, compiled by numba.

Import it late: it imports numba. Texts are laid end to end in one uint32 array `codes`; text i is
`codes[bounds[i] : bounds[i + 1]]`. Every function is pure but for the arrays that its docstring says it fills, holds no
Python object and releases the interpreter's lock. Compiled code is kept beside this file, or in numba's own folder
where that is not writable; where neither is, each process compiles for itself (some seconds).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

from danlu.data.core import CONTEXT, GONE, MANY, UNKNOWN, code_points, folding, whole
from danlu.extras import need

np = need("numpy", "data")
numba = need("numba", "data")

Array = Any
F = TypeVar("F", bound=Callable[..., Any])

_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_MIX2 = np.uint64(0xC4CEB9FE1A85EC53)
_ONE = np.uint64(1)
_33 = np.uint64(33)
_32 = np.uint64(32)
_MOST = np.uint32(0xFFFFFFFF)
_MANY = np.uint32(MANY)
_GONE = np.uint32(GONE)
_UNKNOWN = np.uint32(UNKNOWN)
_CONTEXT = np.uint32(CONTEXT)


def compiled(function: F) -> F:
    """`function` compiled by numba, its machine code kept on disk where some folder can be written."""
    try:
        made = numba.njit(function, nogil=True, cache=True)
    except RuntimeError:
        made = numba.njit(function, nogil=True)
    return made  # type: ignore[no-any-return]


# Texts to arrays


def laid(texts: Sequence[str]) -> tuple[Array, Array]:
    """(codes, bounds) of the texts as they are."""
    bounds = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)), out=bounds[1:])
    return code_points("".join(texts)), bounds


def cores(texts: Sequence[str]) -> tuple[Array, Array]:
    """(codes, bounds) of `danlu.data.core.core` of each text."""
    return folded(*laid(texts))


def folded(codes: Array, bounds: Array) -> tuple[Array, Array]:
    """(codes, bounds) of `danlu.data.core.core` of each text of (codes, bounds)."""
    known = folding()
    new = unknown(codes, known.table)
    if new.size:
        known.learn(new)
    sizes = np.fromiter(map(len, known.many), np.int64, len(known.many))
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    out, out_bounds, special = fold(codes, bounds, known.table, code_points("".join(known.many)), ends)
    at = np.flatnonzero(special)
    if not at.size:
        return out, out_bounds
    pieces = [out[start:end] for start, end in pairwise(out_bounds)]
    for one in at.tolist():
        text = str(codes[bounds[one] : bounds[one + 1]].tobytes(), "utf-32-le", "surrogatepass")
        pieces[one] = code_points(whole(text) or text)
    out_bounds[1:] = np.cumsum([len(piece) for piece in pieces])
    return np.concatenate(pieces), out_bounds


@compiled
def unknown(codes: Array, table: Array) -> Array:
    """The code points that the table does not know yet."""
    seen = np.zeros(len(table), np.bool_)
    for code in codes:
        if table[code] == _UNKNOWN:
            seen[code] = True
    return np.flatnonzero(seen).astype(np.uint32)


@compiled
def fold(codes: Array, bounds: Array, table: Array, many: Array, ends: Array) -> tuple[Array, Array, Array]:
    """(codes, bounds) with each character replaced by what the table says; texts with nothing left stay as they are.
    The third array marks texts with a character that depends on its neighbours; what stands there is of no use."""
    texts = len(bounds) - 1
    special = np.zeros(texts, np.bool_)
    out_bounds = np.zeros(texts + 1, np.int64)
    extra = 0
    for code in codes:
        found = table[code]
        if found >= _MANY and found < _GONE:
            extra += ends[found - _MANY + 1] - ends[found - _MANY]
    out = np.empty(len(codes) + extra, np.uint32)
    at = 0
    for text in range(texts):
        start = at
        for place in range(bounds[text], bounds[text + 1]):
            found = table[codes[place]]
            if found < _MANY:
                out[at] = found
                at += 1
            elif found < _GONE:
                for one in range(ends[found - _MANY], ends[found - _MANY + 1]):
                    out[at] = many[one]
                    at += 1
            elif found == _CONTEXT:
                special[text] = True
        if at == start:
            for place in range(bounds[text], bounds[text + 1]):
                out[at] = codes[place]
                at += 1
        out_bounds[text + 1] = at
    return out[:at], out_bounds, special


# MinHash


class Permutations(NamedTuple):
    """h(x) = a x + b mod 2**32, a odd: one permutation of the 32-bit numbers a row of `a` and `b` (uint32)."""

    a: Array
    b: Array


def permutations(count: int, seed: int) -> Permutations:
    """`count` permutations, from the 64-bit numbers of SplitMix64 (Steele, Lea and Flood, 2014)."""
    state = np.uint64(seed % 2**64) + np.arange(1, count + 1, dtype=np.uint64) * _BASE
    mixed = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return Permutations((mixed >> _32).astype(np.uint32) | np.uint32(1), mixed.astype(np.uint32))


@compiled
def mix(value: Any) -> Any:
    """A bijection of the 64-bit numbers that spreads every bit (the finalizer of MurmurHash3)."""
    value = (value ^ (value >> _33)) * _MIX
    value = (value ^ (value >> _33)) * _MIX2
    return value ^ (value >> _33)


@compiled
def rolled(codes: Array, start: int, length: int) -> Any:
    """The polynomial hash of `length` code points from `start`, before `mix`."""
    value = np.uint64(0)
    for place in range(start, start + length):
        value = value * _BASE + np.uint64(codes[place])
    return value


@compiled
def power(length: int) -> Any:
    """What the first of `length` code points was multiplied by in `rolled`."""
    value = _ONE
    for _ in range(length - 1):
        value *= _BASE
    return value


@compiled
def sign(codes: Array, bounds: Array, ngram: int, a: Array, b: Array, rows: int) -> Array:
    """The band hashes of each text, shape (texts, len(a) // rows), uint64; zeros for texts shorter than an n-gram.

    MinHash (Broder, 1997) of the set of character n-grams; a band is the hash of `rows` of its minima. n-grams go
    eight at a time, so that each pass over the permutations does enough to be worth its loads.
    """
    texts = len(bounds) - 1
    bands = len(a) // rows
    out = np.zeros((texts, bands), np.uint64)
    least = np.empty(len(a), np.uint32)
    x = np.empty(8, np.uint32)
    first = power(ngram)
    for text in range(texts):
        start, end = bounds[text], bounds[text + 1]
        if end - start < ngram:
            continue
        least[:] = _MOST
        value = rolled(codes, start, ngram)
        at = start + ngram
        x[:] = np.uint32(mix(value) >> _32)
        filled = 1
        while True:
            while filled < 8 and at < end:
                value = (value - np.uint64(codes[at - ngram]) * first) * _BASE + np.uint64(codes[at])
                x[filled] = np.uint32(mix(value) >> _32)
                filled += 1
                at += 1
            x0, x1, x2, x3, x4, x5, x6, x7 = x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
            for p in range(len(a)):
                m0 = min(np.uint32(a[p] * x0 + b[p]), np.uint32(a[p] * x1 + b[p]))
                m1 = min(np.uint32(a[p] * x2 + b[p]), np.uint32(a[p] * x3 + b[p]))
                m2 = min(np.uint32(a[p] * x4 + b[p]), np.uint32(a[p] * x5 + b[p]))
                m3 = min(np.uint32(a[p] * x6 + b[p]), np.uint32(a[p] * x7 + b[p]))
                least[p] = min(least[p], min(min(m0, m1), min(m2, m3)))
            filled = 0
            if at >= end:
                break
        for band in range(bands):
            value = np.uint64(band + 1)
            for row in range(band * rows, (band + 1) * rows):
                value = mix(value * _BASE + np.uint64(least[row]) + _ONE)
            out[text, band] = value
    return out


# Order and families


@compiled
def before(data: Array, starts: Array, one: int, other: int) -> bool:
    """Whether the bytes of record `one` come before those of `other`; equal ones are in the order of their numbers."""
    a, a_end, b, b_end = starts[one], starts[one + 1], starts[other], starts[other + 1]
    while a < a_end and b < b_end:
        if data[a] != data[b]:
            return bool(data[a] < data[b])
        a += 1
        b += 1
    if a_end - starts[one] != b_end - starts[other]:
        return bool(a == a_end and b < b_end)
    return one < other


@compiled
def sorted_bytes(data: Array, starts: Array) -> Array:
    """The order of the byte strings `data[starts[i] : starts[i + 1]]` (a merge sort: no copies, stable), int64."""
    count = len(starts) - 1
    order = np.arange(count)
    spare = np.empty(count, np.int64)
    width = 1
    while width < count:
        for low in range(0, count, 2 * width):
            middle, high = min(low + width, count), min(low + 2 * width, count)
            left, right = low, middle
            if middle < high and before(data, starts, order[middle - 1], order[middle]):
                spare[low:high] = order[low:high]
                continue
            for at in range(low, high):
                if left < middle and (right >= high or before(data, starts, order[left], order[right])):
                    spare[at] = order[left]
                    left += 1
                else:
                    spare[at] = order[right]
                    right += 1
        order, spare = spare, order
        width *= 2
    return order


@compiled
def equal_neighbours(data: Array, starts: Array, order: Array) -> Array:
    """The places of `order` whose byte string is the same as that of the next place."""
    found = np.zeros(len(order), np.bool_)
    for at in range(len(order) - 1):
        a, b = starts[order[at]], starts[order[at + 1]]
        size = starts[order[at] + 1] - a
        if starts[order[at + 1] + 1] - b == size:
            found[at] = same(data, a, data, b, size)
    return np.flatnonzero(found)


@compiled
def same(one: Array, at: int, other: Array, place: int, length: int) -> bool:
    """Whether `length` items from `at` and from `place` are the same."""
    for step in range(length):  # noqa: SIM110 numba compiles loops, not generators
        if one[at + step] != other[place + step]:
            return False
    return True


@compiled
def root(parent: Array, one: int) -> int:
    while parent[one] != one:
        parent[one] = parent[parent[one]]
        one = parent[one]
    return one


@compiled
def unite(members: Array, hashes: Array, order: Array, parent: Array, shared: Array, band: int) -> None:
    """Join in `parent` the members with equal hashes, and mark in `shared` that their band is somebody else's too.

    `order` sorts `hashes`, which are those of `members`; bit `band % 8` of `shared[member, band // 8]` is set.
    """
    bit = np.uint8(1 << (band % 8))
    for at in range(1, len(order)):
        one, other = order[at - 1], order[at]
        if hashes[one] != hashes[other]:
            continue
        shared[members[one], band // 8] |= bit
        shared[members[other], band // 8] |= bit
        a, b = root(parent, members[one]), root(parent, members[other])
        if a < b:
            parent[b] = a
        else:
            parent[a] = b


@compiled
def roots(parent: Array) -> Array:
    """The least member of each one's family."""
    found = np.empty(len(parent), np.int64)
    for one in range(len(parent)):
        found[one] = root(parent, one)
    return found


# True Jaccard, against those kept


class Kept:
    """The texts kept so far of some families, to be found by their bands. Arrays are of fixed size: `texts` members
    with `codes` code points and `entries` shared bands in all; memory is taken as it is filled."""

    def __init__(self, texts: int, codes: int, entries: int) -> None:
        slots = 1 << max(4, int(entries).bit_length())
        self.codes = np.empty(codes, np.uint32)
        self.bounds = np.zeros(texts + 1, np.int64)
        self.grams = np.empty(texts, np.int64)
        self.names = np.empty(texts, np.int64)
        self.keys = np.zeros(slots, np.uint64)
        self.heads = np.full(slots, -1, np.int32)
        self.after = np.empty(max(1, entries), np.int32)
        self.entry = np.empty(max(1, entries), np.int32)
        self.votes = np.zeros(texts, np.int32)
        self.filled = np.zeros(2, np.int64)

    def resolve(
        self, codes: Array, bounds: Array, names: Array, hashes: Array, shared: Array, ngram: int, threshold: float
    ) -> tuple[Array, Array]:
        """(name of the kept text that each repeats, or -1 and then it is kept too; their similarity)."""
        longest = int(np.diff(bounds).max(initial=1))
        slots = 1 << (2 * longest).bit_length()
        scratch = np.zeros(slots, np.int64), np.zeros(slots, np.int64), np.zeros(slots, np.uint64)
        return resolve(
            codes, bounds, names, hashes, shared, ngram, threshold, MOST, *scratch, np.zeros(slots, np.int64),
            self.codes, self.bounds, self.grams, self.names, self.keys, self.heads, self.after, self.entry,
            self.votes, self.filled,
        )  # fmt: skip


MOST = 2000
"""A text is compared with at most so many kept ones, those that share the most bands with it."""


@compiled
def tabulate(
    codes: Array, start: int, end: int, ngram: int, first: Any, stamp: int,
    stamps: Array, places: Array, hashes: Array,
) -> int:  # fmt: skip
    """Fill the table of n-grams of one text (open addressing; a slot is in use when its stamp is `stamp`); returns how
    many different ones there are. Equal hashes are told apart by the code points."""
    size = 16
    while size < 2 * (end - start):
        size *= 2
    wrap = size - 1
    count = 0
    value = rolled(codes, start, ngram)
    for at in range(start, end - ngram + 1):
        if at > start:
            value = (value - np.uint64(codes[at - 1]) * first) * _BASE + np.uint64(codes[at + ngram - 1])
        slot = np.int64(mix(value) >> _33) & wrap
        while stamps[slot] == stamp:
            if hashes[slot] == value and same(codes, places[slot], codes, at, ngram):
                break
            slot = (slot + 1) & wrap
        if stamps[slot] != stamp:
            stamps[slot] = stamp
            places[slot] = at
            hashes[slot] = value
            count += 1
    return count


@compiled
def overlap(
    codes: Array, length: int, ngram: int, first: Any, stamp: int, stamps: Array, places: Array, hashes: Array,
    marks: Array, mark: int, other: Array, start: int, end: int, least: int,
) -> int:  # fmt: skip
    """How many n-grams of the tabulated text (of `length` code points) are in `other[start:end]`, or -1 as soon as they
    cannot be `least`."""
    size = 16
    while size < 2 * length:
        size *= 2
    wrap = size - 1
    count = 0
    value = rolled(other, start, ngram)
    last = end - ngram
    for at in range(start, last + 1):
        if at > start:
            value = (value - np.uint64(other[at - 1]) * first) * _BASE + np.uint64(other[at + ngram - 1])
        slot = np.int64(mix(value) >> _33) & wrap
        while stamps[slot] == stamp:
            if hashes[slot] == value and same(codes, places[slot], other, at, ngram):
                if marks[slot] != mark:
                    marks[slot] = mark
                    count += 1
                break
            slot = (slot + 1) & wrap
        if count + last - at < least:
            return -1
    return count


@compiled
def find_slot(key: Any, keys: Array, heads: Array) -> Any:
    wrap = len(keys) - 1
    slot = np.int64(key >> _ONE) & wrap
    while heads[slot] >= 0 and keys[slot] != key:
        slot = (slot + 1) & wrap
    return slot


@compiled
def candidates(
    text: int, hashes: Array, shared: Array, keys: Array, heads: Array, after: Array, entry: Array,
    votes: Array, found: Array,
) -> int:  # fmt: skip
    """Fill `found` with the kept texts that share a band with the text, and `votes` with how many each; how many."""
    count = 0
    for band in range(hashes.shape[1]):
        if not shared[text, band // 8] >> (band % 8) & 1:
            continue
        node = heads[find_slot(hashes[text, band], keys, heads)]
        while node >= 0:
            kept = entry[node]
            if votes[kept] == 0:
                found[count] = kept
                count += 1
            votes[kept] += 1
            node = after[node]
    return count


@compiled
def fewer(found: Array, count: int, votes: Array, bands: int, most: int) -> int:
    """Leave in `found` the `most` with the most votes (of equal ones the earliest), in ascending order; how many."""
    found[:count].sort()
    if count <= most:
        return count
    tally = np.zeros(bands + 1, np.int64)
    for at in range(count):
        tally[votes[found[at]]] += 1
    lowest, above = bands, 0
    while above + tally[lowest] < most:
        above += tally[lowest]
        lowest -= 1
    room = most - above
    left = 0
    for at in range(count):
        if votes[found[at]] < lowest or (votes[found[at]] == lowest and room <= 0):
            continue
        room -= votes[found[at]] == lowest
        found[left] = found[at]
        left += 1
    return left


@compiled
def resolve(
    codes: Array, bounds: Array, names: Array, hashes: Array, shared: Array, ngram: int, threshold: float, most: int,
    stamps: Array, places: Array, grams: Array, marks: Array,
    kept_codes: Array, kept_bounds: Array, kept_grams: Array, kept_names: Array,
    keys: Array, heads: Array, after: Array, entry: Array, votes: Array, filled: Array,
) -> tuple[Array, Array]:  # fmt: skip
    """See `Kept.resolve`; `filled` is [texts kept, entries used]."""
    texts = len(bounds) - 1
    twin = np.full(texts, -1, np.int64)
    similarity = np.zeros(texts, np.float64)
    found = np.empty(len(votes), np.int64)
    again = np.empty(len(votes), np.int64)
    first = power(ngram)
    mark = 0
    for text in range(texts):
        start, end = bounds[text], bounds[text + 1]
        size = tabulate(codes, start, end, ngram, first, text + 1, stamps, places, grams)
        count = candidates(text, hashes, shared, keys, heads, after, entry, votes, found)
        again[:count] = found[:count]
        chosen = fewer(found, count, votes, hashes.shape[1], most)
        best = -1
        for at in range(chosen):
            kept = found[at]
            both = size + kept_grams[kept]
            least = np.int64(threshold * both / (1 + threshold) - 1e-6)
            if min(size, kept_grams[kept]) < least:
                continue
            mark += 1
            common = overlap(
                codes, end - start, ngram, first, text + 1, stamps, places, grams, marks, mark,
                kept_codes, kept_bounds[kept], kept_bounds[kept + 1], least,
            )  # fmt: skip
            if common >= 0 and common / (both - common) >= max(threshold, similarity[text]):
                if best >= 0 and common / (both - common) == similarity[text]:
                    continue
                best = kept
                similarity[text] = common / (both - common)
        for at in range(count):
            votes[again[at]] = 0
        if best >= 0:
            twin[text] = kept_names[best]
            continue
        kept = filled[0]
        kept_names[kept] = names[text]
        kept_grams[kept] = size
        kept_bounds[kept + 1] = kept_bounds[kept] + end - start
        kept_codes[kept_bounds[kept] : kept_bounds[kept + 1]] = codes[start:end]
        filled[0] += 1
        for band in range(hashes.shape[1]):
            if shared[text, band // 8] >> (band % 8) & 1:
                slot = find_slot(hashes[text, band], keys, heads)
                node = filled[1]
                keys[slot] = hashes[text, band]
                entry[node] = kept
                after[node] = heads[slot]
                heads[slot] = node
                filled[1] += 1
    return twin, similarity


# n-grams looked for


@compiled
def windows(codes: Array, start: int, end: int, ngram: int) -> Array:
    """The hash of each n-gram of `codes[start:end]` in order, uint64; none when that is shorter."""
    out = np.empty(max(0, end - start - ngram + 1), np.uint64)
    if len(out) == 0:
        return out
    first = power(ngram)
    value = rolled(codes, start, ngram)
    out[0] = mix(value)
    for at in range(1, len(out)):
        value = (value - np.uint64(codes[start + at - 1]) * first) * _BASE + np.uint64(codes[start + at + ngram - 1])
        out[at] = mix(value)
    return out


def grams(codes: Array, bounds: Array, ngram: int) -> list[Array]:
    """The hashes of the n-grams of each text; empty for one shorter than an n-gram."""
    return [windows(codes, start, end, ngram) for start, end in pairwise(bounds.tolist())]


def filtered(hashes: Array) -> Array:
    """A table of bytes that tells most other hashes from these at one look: its size is a power of two."""
    bits = max(12, int(16 * len(hashes)).bit_length())
    table = np.zeros(1 << min(bits, 28), np.bool_)
    table[(hashes & np.uint64(len(table) - 1)).astype(np.int64)] = True
    return table


@compiled
def hits(codes: Array, ngram: int, hashes: Array, table: Array) -> tuple[Array, Array]:
    """(places, numbers): where an n-gram of the text is one of the sorted `hashes`, and which of them; `table` is what
    `filtered` makes of them."""
    every = windows(codes, 0, len(codes), ngram)
    wrap = np.uint64(len(table) - 1)
    places = np.empty(len(every), np.int64)
    numbers = np.empty(len(every), np.int64)
    count = 0
    for place in range(len(every)):
        value = every[place]
        if not table[value & wrap]:
            continue
        low, high = 0, len(hashes)
        while low < high:
            middle = (low + high) // 2
            if hashes[middle] < value:
                low = middle + 1
            else:
                high = middle
        if low < len(hashes) and hashes[low] == value:
            places[count] = place
            numbers[count] = low
            count += 1
    return places[:count], numbers[:count]
