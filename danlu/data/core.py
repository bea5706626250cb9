"""What two texts are compared by: letters and digits alone, one form of each; their n-grams and how much they share."""

from __future__ import annotations

import re
import threading
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from danlu.extras import need

if TYPE_CHECKING:
    import numpy

    Codes = numpy.ndarray[Any, numpy.dtype[numpy.uint32]]

UNKNOWN = 0xFFFFFFFF
CONTEXT = 0xFFFFFFFE
GONE = 0xFFFFFFFD
MANY = 0x80000000

_SHORT = 48
_COMPOSED = (*range(0x3400), *range(0xA000, 0xAC00), *range(0xF900, 0x20000))
_JAMO = frozenset((*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)))


def core(text: str) -> str:
    """What two texts are compared by: letters and digits in NFKC, without case; the text itself when it has none.

    The characters of a longer text are looked up in a table; a text with one whose form depends on its neighbours
    (combining marks, say) goes through `unicodedata`, with the same result.
    """
    if len(text) < _SHORT:
        return whole(text) or text
    codes = code_points(text)
    known = folding()
    found = known.table.take(codes)
    if found.max() == UNKNOWN:
        known.learn(codes[found == UNKNOWN])
        found = known.table.take(codes)
    if ((found >= MANY) & (found != GONE)).any():
        return whole(text) or text
    return str(found[found < MANY].tobytes(), "utf-32-le", "surrogatepass") or text


def whole(text: str) -> str:
    """`core` by its definition; empty when the text has no letter and no digit."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).casefold())


def ngrams(text: str, length: int) -> set[str]:
    """The n-grams of `text`; of a text shorter than that, the text itself."""
    return {text[at : at + length] for at in range(max(1, len(text) - length + 1))}


def jaccard(one: set[str], other: set[str]) -> float:
    """|A ∩ B| / |A ∪ B|."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def code_points(text: str) -> Codes:
    """The code points of `text`, uint32; lone surrogates as they are."""
    codes: Codes = need("numpy", "data").frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    return codes


class Folding:
    """The table of what `core` makes of each character, filled as characters are met.

    An entry is the code point that stays, GONE (nothing stays), MANY + i (the i-th of `many` stays), CONTEXT (that
    depends on the neighbours) or UNKNOWN (not met yet). Shape (0x110000,), uint32.
    """

    def __init__(self) -> None:
        numpy = need("numpy", "data")
        self.table: Codes = numpy.full(0x110000, UNKNOWN, numpy.uint32)
        self.many: list[str] = []
        self._learning = threading.Lock()

    def learn(self, codes: Codes) -> None:
        """Fill in these characters. Several threads may: an entry never changes, and `many` has what it refers to."""
        with self._learning:
            for code in sorted(set(codes.tolist())):
                if self.table[code] == UNKNOWN:
                    self.table[code] = self._entry(folded(code))

    def _entry(self, stays: str | None) -> int:
        if not stays:
            return CONTEXT if stays is None else GONE
        if len(stays) == 1:
            return ord(stays)
        self.many.append(stays)
        return MANY + len(self.many) - 1


@lru_cache(maxsize=1)
def folding() -> Folding:
    """The table of this process."""
    return Folding()


def folded(code: int) -> str | None:
    """What `core` makes of the character wherever it stands; None when that depends on its neighbours.

    It does not when the first character of its compatibility decomposition is a starter that is never the second one
    of a composition: then nothing is reordered or composed across its front (Unicode Standard Annex 15).
    """
    character = chr(code)
    first = unicodedata.normalize("NFKD", character)[0]
    if unicodedata.combining(first) or first in _seconds():
        return None
    return whole(character)


@lru_cache(maxsize=1)
def _seconds() -> frozenset[str]:
    """The characters that a canonical composition may join to the one before. Ideographs and Hangul syllables, which no
    table decomposes into two, are not looked at."""
    pairs = (unicodedata.decomposition(chr(code)).split() for code in _COMPOSED)
    found = {chr(int(pair[1], 16)) for pair in pairs if len(pair) == 2 and not pair[0].startswith("<")}
    return frozenset(found) | {chr(code) for code in _JAMO}
