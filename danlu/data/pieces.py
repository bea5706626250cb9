"""The character n-grams of many texts as 64-bit hashes, and a set of them that never grows beyond its bound.

Two n-grams are taken for one when their hashes are the same, which happens to two different ones with a probability
below 2⁻⁵⁰.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.data.core import code_points
from danlu.data.seen import among

if TYPE_CHECKING:
    import numpy as np

    from danlu.data.seen import Keys

    Numbers = np.ndarray[Any, np.dtype[np.int64]]

_EVERYTHING = 2**64
_BETWEEN = "\0"


def hashes(text: str, length: int) -> Keys:
    """The hash of the n-gram at each place, uint64, as many as the text has; none of a text shorter than that."""
    import numpy as np

    codes = code_points(text).astype(np.uint64)
    count = max(0, len(codes) - length + 1)
    total = np.zeros(count, dtype=np.uint64)
    for place, factor in enumerate(_factors(length)):
        total += codes[place : place + count] * factor
    total ^= total >> np.uint64(29)
    total *= np.uint64(0xBF58476D1CE4E5B9)
    total ^= total >> np.uint64(32)
    return total


def of_each(texts: Sequence[str], length: int) -> tuple[Keys, Numbers]:
    """The different n-grams of each text, and which text each is of: two arrays, sorted by text and hash."""
    import numpy as np

    sizes = np.array([len(text) for text in texts], dtype=np.int64)
    found = hashes(_BETWEEN.join(texts), length)
    starts = np.cumsum(sizes + 1) - sizes - 1
    owner = np.repeat(np.arange(len(texts)), sizes + 1)[: len(found)]
    inside = np.arange(len(found)) + length <= (starts + sizes)[owner]
    return distinct(found[inside], owner[inside])


def distinct(found: Keys, owner: Numbers) -> tuple[Keys, Numbers]:
    """The different pairs of a hash and its owner, sorted by owner and hash."""
    import numpy as np

    order = np.lexsort((found, owner))
    found, owner = found[order], owner[order]
    first = np.ones(len(found), dtype=bool)
    first[1:] = (found[1:] != found[:-1]) | (owner[1:] != owner[:-1])
    return found[first], owner[first]


def unique(text: str, length: int) -> Keys:
    """The different n-grams of a text, sorted."""
    import numpy as np

    found: Keys = np.unique(hashes(text, length))
    return found


class Bounded:
    """A set of hashes of at most `most`. When there are more, those above a bound are forgotten, the bound halved until
    the rest fits: a sample that depends on what was added alone, not on its order. `bound` says what is compared."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.bound = _EVERYTHING
        self.runs: list[Keys] = []

    def add(self, found: Keys) -> None:
        """Add sorted, different hashes."""
        import numpy as np

        run = self._below(found)
        while self.runs and len(self.runs[-1]) <= 2 * len(run):
            run = np.unique(np.concatenate([self.runs.pop(), run]))
            while len(run) > self.most:
                self.bound //= 2
                run = self._below(run)
        if len(run):
            self.runs.append(run)

    def all(self) -> Keys:
        """Everything kept, sorted."""
        import numpy as np

        run = np.zeros(0, dtype=np.uint64)
        while self.runs:
            run = np.unique(np.concatenate([run, self._below(self.runs.pop())]))
        while len(run) > self.most:
            self.bound //= 2
            run = self._below(run)
        self.runs = [run]
        return run

    def _below(self, found: Keys) -> Keys:
        return below(found, self.bound)


def below(found: Keys, bound: int) -> Keys:
    """The hashes smaller than `bound`."""
    return found if bound >= _EVERYTHING else found[found < bound]


def shares(found: Keys, owner: Numbers, count: int, known: Keys, bound: int) -> tuple[Any, Any, Any]:
    """Of each of `count` texts: how many n-grams it has, how many of them are compared, how many are `known`."""
    import numpy as np

    compared = found < bound if bound < _EVERYTHING else np.ones(len(found), dtype=bool)
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
        state = (state + 0x9E3779B97F4A7C15) % _EVERYTHING
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) % _EVERYTHING
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) % _EVERYTHING
        found.append(np.uint64((mixed ^ (mixed >> 31)) | 1))
    return tuple(found)


def save(path: Path, values: Any) -> None:
    """An array, written for other processes to map."""
    import numpy as np

    with path.open("wb") as file:
        np.save(file, values)


def mapped(path: str) -> Any:
    """An array that `save` wrote; its pages are shared by all processes of a machine."""
    facts = Path(path).stat()
    return _mapped(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=32)
def _mapped(path: str, changed: int, size: int) -> Any:
    import numpy as np

    empty = np.load(path).size == 0 if size < 200 else False
    return np.load(path) if empty else np.load(path, mmap_mode="r")
