"""Which records came before, in eight bytes a record.

Two different records have the same 64-bit hash with a probability below n²/2⁶⁵: 3 in a million at ten million records.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from danlu.extras import need

if TYPE_CHECKING:
    import numpy as np

    Keys = np.ndarray[Any, np.dtype[np.uint64]]
    Flags = np.ndarray[Any, np.dtype[np.bool_]]


def key(text: str | bytes) -> int:
    """64 bits that depend on `text` alone."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def keys(numbers: Iterable[int]) -> Keys:
    """64-bit numbers as an array."""
    numpy: Any = need("numpy", "data")
    found: Keys = numpy.array(list(numbers), dtype=numpy.uint64)
    return found


class Seen:
    """The keys that came so far, as sorted runs that double in length."""

    def __init__(self) -> None:
        self.runs: list[Keys] = []

    def __len__(self) -> int:
        return sum(len(run) for run in self.runs)

    def has(self, found: Keys) -> Flags:
        """For each key, whether it came before."""
        import numpy as np

        hit: Flags = np.zeros(len(found), dtype=bool)
        for run in self.runs:
            hit |= among(run, found)
        return hit

    def new(self, found: Keys) -> Flags:
        """For each key, whether it comes for the first time, in earlier calls and in this one. Remembers all."""
        import numpy as np

        first: Flags = np.zeros(len(found), dtype=bool)
        first[np.unique(found, return_index=True)[1]] = True
        first &= ~self.has(found)
        run = np.sort(found[first])
        while self.runs and len(self.runs[-1]) <= 2 * len(run):
            run = np.sort(np.concatenate([self.runs.pop(), run]), kind="stable")
        if len(run):
            self.runs.append(run)
        return first


def among(run: Any, found: Any) -> Flags:
    """For each key (of either size), whether it is in `run`, which is sorted."""
    import numpy as np

    if not len(run):
        return np.zeros(len(found), dtype=bool)
    places = np.minimum(np.searchsorted(run, found), len(run) - 1)
    hit: Flags = run[places] == found
    return hit
