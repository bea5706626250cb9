"""The vectors of an index: in memory and multiplied flat, or, when there are too many, scanned in the table.

Flat at 60,000 passages takes 9 ms, Lance's own scan 108 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from danlu.model.embed import Vectors

IN_MEMORY = 100_000
"""Up to so many passages, the vectors are kept in memory (float32, 384 numbers: 150 MB)."""

_SAMPLE = 10_000


@dataclass(frozen=True)
class Near:
    """`cosines` of some passages by their rows; `mean` and `deviation` of the cosines of all, or of a fair sample."""

    cosines: dict[int, float]
    mean: float
    deviation: float


class Store(Protocol):
    def near(self, vector: Any, count: int, also: Sequence[int]) -> Near:
        """The cosines of the `count` nearest passages, and of those in `also`."""
        ...


class Flat:
    """All vectors, [passages, dim], in memory."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def near(self, vector: Any, count: int, also: Sequence[int]) -> Near:
        import numpy

        cosines = self._vectors @ vector
        rows = [*numpy.argsort(-cosines, kind="stable")[:count].tolist(), *also]
        return Near({row: float(cosines[row]) for row in rows}, *_spread(cosines))


class Scanned:
    """The vectors stay in the Lance table; a sample of them says how cosines spread."""

    def __init__(self, table: Any, passages: int) -> None:
        self._table = table
        step = max(1, passages // _SAMPLE)
        self._sample = _read(table.search().where(f"row % {step} = 0"), passages)

    def near(self, vector: Any, count: int, also: Sequence[int]) -> Near:
        found = self._scan(vector, count)
        missing = [row for row in also if row not in found]
        if missing:
            found.update(self._scan(vector, len(missing), f"row IN ({', '.join(map(str, missing))})"))
        return Near(found, *_spread(self._sample @ vector))

    def _scan(self, vector: Any, count: int, where: str = "") -> dict[int, float]:
        query = self._table.search(vector).distance_type("cosine").bypass_vector_index()
        query = query.where(where, prefilter=True) if where else query
        rows = query.select(["row", "_distance"]).limit(count).to_list()
        return {row["row"]: 1.0 - row["_distance"] for row in rows}


def open_vectors(table: Any, passages: int) -> Store:
    """The vectors of a table of `passages` rows; ValueError when it does not hold as many."""
    if table.count_rows() != passages:
        raise ValueError(f"it holds {table.count_rows()} passages, and chunks.jsonl {passages}")
    return Flat(_read(table.search(), passages)) if passages <= IN_MEMORY else Scanned(table, passages)


def _read(query: Any, most: int) -> Vectors:
    """The vectors that a query gives, in the order of their rows, float32."""
    import numpy

    table = query.select(["row", "vector"]).limit(most).to_arrow()
    flat = table["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    order = numpy.argsort(table["row"].to_numpy())
    vectors: Vectors = numpy.ascontiguousarray(flat.reshape(len(order), -1)[order], dtype=numpy.float32)
    return vectors


def _spread(cosines: Any) -> tuple[float, float]:
    return float(cosines.mean()), float(cosines.std()) or 1.0
