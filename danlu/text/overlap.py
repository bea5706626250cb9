"""Whether a text was seen before: the n-gram test of Brown et al. (2020, "Language Models are Few-Shot Learners",
appendix C) on characters instead of words.

Compared are letters and digits alone, in NFKC and without case. An item (an exam question, say) is found in a document
when `overlap` of the n-grams of one of its texts stand in that one document. N-grams that stand in more than `common`
items belong to their form (a table, an instruction) and do not count. This is the rule of the step data.decontaminate.
Not covered: the same thing in other words or another language, and texts shorter than an n-gram.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Hashes = np.ndarray[Any, np.dtype[np.uint64]]

NGRAM = 13
OVERLAP = 0.5
COMMON = 10


def core(text: str) -> str:
    """Letters and digits in NFKC, without case."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).casefold())


def hashes(text: str, length: int) -> Hashes:
    """A 64-bit hash of the n-gram at each place, as many as the text has; none of a text shorter than that."""
    import numpy as np

    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
    count = max(0, len(codes) - length + 1)
    total = np.zeros(count, dtype=np.uint64)
    for place, factor in enumerate(_factors(length)):
        total += codes[place : place + count] * factor
    total ^= total >> np.uint64(31)
    total *= np.uint64(0xBF58476D1CE4E5B9)
    return total ^ (total >> np.uint64(29))


@lru_cache(maxsize=8)
def _factors(length: int) -> tuple[Any, ...]:
    """Odd numbers of 64 bits, one for each place."""
    import numpy as np

    draw = np.random.Generator(np.random.Philox(length))
    return tuple(draw.integers(0, 2**64, length, dtype=np.uint64, endpoint=False) | np.uint64(1))


class Items:
    """What is looked for: some texts of each item. `short` counts the items without a text as long as an n-gram."""

    def __init__(
        self,
        items: Sequence[Sequence[str]],
        ngram: int = NGRAM,
        overlap: float = OVERLAP,
        common: int = COMMON,
    ) -> None:
        import numpy as np

        self.ngram, self.overlap = ngram, overlap
        pieces: list[Hashes] = []
        owners: list[int] = []
        for item, texts in enumerate(items):
            for text in dict.fromkeys(texts):
                found = np.unique(hashes(core(text), ngram))
                if len(found):
                    pieces.append(found)
                    owners.append(item)
        self.short = len(items) - len(set(owners))
        self._owner = np.array(owners, dtype=np.int64)
        every = np.concatenate([np.zeros(0, dtype=np.uint64), *pieces])
        piece = np.repeat(np.arange(len(pieces)), [len(one) for one in pieces])
        self._grams, number = np.unique(every, return_inverse=True)
        told = np.unique(np.stack([number, self._owner[piece]]), axis=1)[0] if len(every) else number
        keep = (np.bincount(told, minlength=len(self._grams)) <= common)[number]
        order = np.argsort(number[keep], kind="stable")
        self._pieces = piece[keep][order]
        self._starts = np.searchsorted(number[keep][order], np.arange(len(self._grams) + 1))
        self._sizes = np.bincount(piece[keep], minlength=len(pieces))

    def found(self, document: str) -> dict[int, float]:
        """The items of which enough stands in the document, and the share of the text that has most."""
        import numpy as np

        if not len(self._grams):
            return {}
        there = np.unique(hashes(core(document), self.ngram))
        at = np.minimum(np.searchsorted(self._grams, there), len(self._grams) - 1)
        numbers = at[self._grams[at] == there]
        parts = [self._pieces[self._starts[one] : self._starts[one + 1]] for one in numbers]
        times = np.bincount(np.concatenate([np.zeros(0, np.int64), *parts]), minlength=len(self._sizes))
        shares = times / np.maximum(self._sizes, 1)
        best: dict[int, float] = {}
        for one in np.flatnonzero((times > 0) & (shares >= self.overlap)).tolist():
            item = int(self._owner[one])
            best[item] = max(best.get(item, 0.0), float(shares[one]))
        return best
