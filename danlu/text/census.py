"""How many characters of each kind a text has, counted in one pass over its code points.

Every rule about shares of characters (script, language, symbols, letters) reads the same counts, so that a text is gone
over once. Kinds follow Unicode's general categories, Han characters split by the script that alone uses them.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from danlu.text import variants

if TYPE_CHECKING:
    from numpy import ndarray

    Codes = ndarray[Any, Any]

OTHER, SPACE, DIGIT, LATIN, LETTER, KANA, HANGUL, MARK, PUNCTUATION, SYMBOL, REPLACEMENT = range(11)
HAN, HAN_SIMPLIFIED, HAN_TRADITIONAL, HAN_SIGN = range(11, 15)
_KINDS = 15

_HAN_RANGES = ((0x3400, 0xA000), (0xF900, 0xFB00), (0x20000, 0x40000))
_KANA_RANGES = ((0x3041, 0x3097), (0x30A1, 0x30FB))
_BY_NAME = ((0, 0x3400), (0xA000, 0xAC00), (0xD7A4, 0xD800), (0xFB00, 0x20000))
"""Where Unicode's category decides. Elsewhere are Han, Hangul, or nothing that these kinds tell apart."""


class Census(NamedTuple):
    """Counts of characters; their sum is the length of the text. `han` is all Han characters, `simplified` and
    `traditional` those of them that the other script never uses; `signs` those in Han blocks that are no letters."""

    other: int
    space: int
    digit: int
    latin: int
    letter: int
    kana: int
    hangul: int
    mark: int
    punctuation: int
    symbol: int
    replacement: int
    shared: int
    simplified: int
    traditional: int
    signs: int

    @property
    def length(self) -> int:
        return sum(self)

    @property
    def visible(self) -> int:
        """Characters that are no white space."""
        return self.length - self.space

    @property
    def han(self) -> int:
        return self.shared + self.simplified + self.traditional + self.signs

    @property
    def letters(self) -> int:
        """What `str.isalpha` holds of: letters of any script, Han included."""
        return self.latin + self.letter + self.kana + self.hangul + self.han - self.signs


def codes(text: str) -> Codes:
    """The code points of `text`, uint32; lone surrogates as they are."""
    import numpy

    return numpy.frombuffer(text.encode("utf-32-le", "surrogatepass"), numpy.uint32)


def kinds(points: Codes) -> Codes:
    """The kind of each code point (the constants of this module), uint8."""
    return _table().take(points)


def census(text: str) -> Census:
    return counted(kinds(codes(text)))


def counted(found: Codes) -> Census:
    """The census of a text whose characters are of these `kinds`."""
    import numpy

    return Census(*numpy.bincount(found, minlength=_KINDS).tolist())


@lru_cache(maxsize=1)
def _table() -> Codes:
    """The kind of every code point."""
    import numpy

    table = numpy.zeros(0x110000, numpy.uint8)
    for start, end in _BY_NAME:
        table[start:end] = [_kind(chr(code)) for code in range(start, end)]
    table[0xAC00:0xD7A4] = HANGUL
    for start, end in _HAN_RANGES:
        table[start:end] = HAN
        table[[code for code in range(start, min(end, 0x32000)) if not chr(code).isalpha()]] = HAN_SIGN
    table[0x32000:0x40000] = HAN_SIGN
    for start, end in _KANA_RANGES:
        table[start:end] = KANA
    table[[ord(character) for character in variants.simplified()]] = HAN_SIMPLIFIED
    table[[ord(character) for character in variants.traditional()]] = HAN_TRADITIONAL
    table[0xE0000:0xE01F0] = MARK
    return table


_BY_CATEGORY = {"Z": SPACE, "N": DIGIT, "L": LETTER, "M": MARK, "P": PUNCTUATION, "S": SYMBOL}


def _kind(character: str) -> int:
    if character.isspace():
        return SPACE
    if character == "\ufffd":
        return REPLACEMENT
    kind = _BY_CATEGORY.get(unicodedata.category(character)[0], OTHER)
    if kind == LETTER and (character < "\u0250" or "\u1e00" <= character < "\u1f00" or "Ａ" <= character <= "ｚ"):
        return LATIN
    return kind
