"""Token sequences that share beginnings, laid out so that no shared token is computed twice.

Sorted, each sequence repeats the beginning of the one before it and adds a rest. The rests of all sequences are one
long row: the trie in depth-first order. The row is cut into packs of a fixed number of tokens. At each cut only the
path of the sequence that goes on, the *stem*, has to be kept; a rest that crosses the cut goes on behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

Slices = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Path:
    """Where the first tokens of a sequence are, seen from a pack: `stem` of them in the stem, then the slices of the
    row."""

    stem: int
    row: Slices


@dataclass(frozen=True)
class Run:
    """Tokens `start` to `end` of `sequence`, at `at` in the pack's row; `path` leads to their last one, themselves
    included. `last`: the sequence ends with it."""

    sequence: int
    start: int
    end: int
    at: int
    path: Path
    last: bool


@dataclass
class Pack:
    """`ids` and `places` (positions) of its row, the runs in it, the row's number of its first token, and `stem`: the
    path that the stem follows, as seen from the pack before."""

    first: int
    stem: Path
    ids: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)


@dataclass
class Layout:
    """`order` sorts the sequences; `total` is the length of the row; `rows[i]` are the slices of the row that
    sequence i is made of, in order."""

    sequences: Sequence[Sequence[int]]
    order: list[int]
    shared: list[int]
    rows: list[Slices]
    total: int

    def row_of(self, sequence: int, place: int) -> int:
        """Which token of the row is the one at `place` of a sequence."""
        for a, b in self.rows[sequence]:
            if place < b - a:
                return a + place
            place -= b - a
        raise IndexError(place)


def lay_out(sequences: Sequence[Sequence[int]]) -> Layout:
    """The row of all sequences, each at least one token long and no two of them equal."""
    order = sorted(range(len(sequences)), key=lambda i: tuple(sequences[i]))
    shared: list[int] = []
    rows: list[Slices] = [() for _ in sequences]
    path: Slices = ()
    before: Sequence[int] = ()
    total = 0
    for i in order:
        tokens = sequences[i]
        common = _common(before, tokens)
        path = (*_cut(path, common), (total, total + len(tokens) - common))
        total += len(tokens) - common
        shared.append(common)
        rows[i], before = path, tokens
    return Layout(sequences, order, shared, rows, total)


def packs(layout: Layout, size: int) -> Iterator[Pack]:
    """The row in packs of `size` tokens, the last one shorter."""
    pack = Pack(0, Path(0, ()))
    for i, common in zip(layout.order, layout.shared, strict=True):
        tokens, slices, at = layout.sequences[i], layout.rows[i], common
        while at < len(tokens):
            if len(pack.ids) == size:
                yield pack
                first = pack.first + size
                pack = Pack(first, _seen(_cut(slices, at), pack.first))
            end = min(len(tokens), at + size - len(pack.ids))
            path = _seen(_cut(slices, end), pack.first)
            pack.runs.append(Run(i, at, end, len(pack.ids), path, end == len(tokens)))
            pack.ids.extend(tokens[at:end])
            pack.places.extend(range(at, end))
            at = end
    if pack.ids:
        yield pack


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two sequences begin alike with."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if a[low:middle] == b[low:middle] else (low, middle)
    return low


def _cut(slices: Slices, length: int) -> Slices:
    """The first `length` tokens of a path."""
    kept = []
    for a, b in slices:
        if length <= 0:
            break
        kept.append((a, min(b, a + length)))
        length -= b - a
    return tuple(kept)


def _seen(slices: Slices, first: int) -> Path:
    """A path as the pack that begins at `first` sees it."""
    stem = sum(max(0, min(b, first) - a) for a, b in slices)
    row = tuple((max(a, first) - first, b - first) for a, b in slices if b > first)
    return Path(stem, row)
