"""The character n-grams of many texts as 32-bit hashes, and a set of them that never grows beyond its bound.

Two n-grams are taken for one when their hashes are the same: of n kept ones, another is taken for one of them with
probability n/2³², below one in a hundred at 2²⁵. So a share of n-grams is too high by that at most; a text of which
half must be known is not decided by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.data.core import code_points
from danlu.data.seen import among

if TYPE_CHECKING:
    import numpy as np

    Hashes = np.ndarray[Any, np.dtype[np.uint32]]
    Numbers = np.ndarray[Any, np.dtype[np.int64]]

_BETWEEN = "\0"
_PARTS = 16


def hashes(text: str, length: int) -> Hashes:
    """The hash of the n-gram at each place, as many as the text has; none of a text shorter than that."""
    import numpy as np

    codes = code_points(text).astype(np.uint64)
    count = max(0, len(codes) - length + 1)
    total = np.zeros(count, dtype=np.uint64)
    for place, factor in enumerate(_factors(length)):
        total += codes[place : place + count] * factor
    total ^= total >> np.uint64(29)
    total *= np.uint64(0xBF58476D1CE4E5B9)
    return (total >> np.uint64(32)).astype(np.uint32)


def of_each(texts: Sequence[str], length: int) -> tuple[Hashes, Numbers]:
    """The different n-grams of each text, and which text each is of: two arrays, sorted by text and hash."""
    import numpy as np

    sizes = np.array([len(text) for text in texts], dtype=np.int64)
    found = hashes(_BETWEEN.join(texts), length)
    starts = np.cumsum(sizes + 1) - sizes - 1
    owner = np.repeat(np.arange(len(texts)), sizes + 1)[: len(found)]
    inside = np.arange(len(found)) + length <= (starts + sizes)[owner]
    return distinct(found[inside], owner[inside])


def distinct(found: Hashes, owner: Numbers) -> tuple[Hashes, Numbers]:
    """The different pairs of a hash and its owner, sorted by owner and hash."""
    import numpy as np

    order = np.lexsort((found, owner))
    found, owner = found[order], owner[order]
    first = np.ones(len(found), dtype=bool)
    first[1:] = (found[1:] != found[:-1]) | (owner[1:] != owner[:-1])
    return found[first], owner[first]


def unique(text: str, length: int) -> Hashes:
    """The different n-grams of a text, sorted."""
    return merged([hashes(text, length)])


def merged(runs: Iterable[Hashes]) -> Hashes:
    """The different hashes of all `runs`, sorted."""
    import numpy as np

    run = np.concatenate([np.zeros(0, dtype=np.uint32), *runs])
    run.sort()
    first = np.ones(len(run), dtype=bool)
    first[1:] = run[1:] != run[:-1]
    return run[first]


class Bounded:
    """A set of hashes of at most `most`. When there are more, only those stay that `every` divides, a power of two that
    doubles until they fit: a sample that depends on what was added alone, not on its order.

    Held as sorted runs that double in length, in `_PARTS` parts by the hash, so that merging takes little memory.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.every = 1
        self.parts: list[list[Hashes]] = [[] for _ in range(_PARTS)]

    def add(self, found: Hashes) -> None:
        """Add sorted, different hashes."""
        import numpy as np

        edges = np.arange(1, _PARTS, dtype=np.uint64) * np.uint64(2**32 // _PARTS)
        for runs, run in zip(self.parts, np.split(found, np.searchsorted(found, edges)), strict=True):
            run = sampled(run, self.every).copy()
            while runs and len(runs[-1]) <= 2 * len(run):
                run = merged([runs.pop(), run])
            if len(run):
                runs.append(run)
        while sum(max(map(len, runs), default=0) for runs in self.parts) > self.most:
            self._thin()

    def all(self) -> list[Hashes]:
        """Everything kept, in sorted arrays of which each begins where the one before ended."""
        for at, runs in enumerate(self.parts):
            self.parts[at] = [merged(runs)]
        while sum(len(runs[0]) for runs in self.parts) > self.most:
            self._thin()
        return [runs[0] for runs in self.parts]

    def _thin(self) -> None:
        self.every *= 2
        self.parts = [[sampled(run, self.every) for run in runs] for runs in self.parts]


def sampled(found: Hashes, every: int) -> Hashes:
    """The hashes that `every`, a power of two, divides."""
    import numpy as np

    return found if every == 1 else found[(found & np.uint32(every - 1)) == 0]


def shares(found: Hashes, owner: Numbers, count: int, known: Hashes, every: int) -> tuple[Any, Any, Any]:
    """Of each of `count` texts: how many n-grams it has, how many of them are compared, how many are `known`."""
    import numpy as np

    compared = (found & np.uint32(every - 1)) == 0
    hit = compared & among(known, found)
    return (
        np.bincount(owner, minlength=count),
        np.bincount(owner[compared], minlength=count),
        np.bincount(owner[hit], minlength=count),
    )


@lru_cache(maxsize=8)
def _factors(length: int) -> tuple[Any, ...]:
    """Odd numbers of 64 bits, one for each place (splitmix64)."""
    import numpy as np

    found, state = [], 0x9E3779B97F4A7C15
    for _ in range(length):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) % 2**64
        found.append(np.uint64((mixed ^ (mixed >> 31)) | 1))
    return tuple(found)


# --- arrays on disk ---


def save(path: Path, arrays: Sequence[Any]) -> None:
    """Arrays as one, written for other processes to map."""
    import numpy as np

    with path.open("wb") as file:
        header = {"descr": arrays[0].dtype.str, "fortran_order": False, "shape": (sum(map(len, arrays)),)}
        np.lib.format.write_array_header_1_0(file, header)
        for one in arrays:
            file.write(one.tobytes())


def mapped(path: str) -> Any:
    """An array that `save` wrote; its pages are shared by all processes of a machine."""
    facts = Path(path).stat()
    return _mapped(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=32)
def _mapped(path: str, changed: int, size: int) -> Any:
    import numpy as np

    whole = np.load(path) if size < 2**16 else None
    return np.load(path, mmap_mode="r") if whole is None else whole


def slices(sizes: Sequence[int], most: int) -> Iterator[slice]:
    """Neighbours together as long as their sizes add up to at most `most`; at least one each."""
    start = total = 0
    for at, size in enumerate(sizes):
        if at > start and total + size > most:
            yield slice(start, at)
            start, total = at, 0
        total += size
    if start < len(sizes):
        yield slice(start, len(sizes))
