"""Simplified to Traditional characters as Taiwan writes them, each ambiguous one decided by its context.

Most Simplified characters have one Traditional form: a table. The others (后 里 干 只 发 面 …) are places, and each of
their forms has a score: the sum of the weights of the strings around the place (up to four characters to each side), a
log-linear model over hashed strings that `danlu.text.conversion_build` trains on text written in Taiwan. The strings
are read folded to Simplified characters, so that Traditional neighbours count the same, and converting twice is
converting once.

Not covered: Japanese, Korean and Cantonese (the caller chooses the spans); names whose own spelling departs from the
usual one; what needs more than four characters of context; vocabulary (see `danlu.text.usage`).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from danlu.text import variants
from danlu.text.variants import Style

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MODEL = Path(__file__).with_name("conversion.npz")
REACH = 4
"""Characters of context to each side."""

SPANS = [(0, 0)] + [(left, right) for left in range(4) for right in range(4) if left + right] + [(4, 0), (0, 4)]
"""The strings that a place is judged by: so many characters to the left of it, so many to the right."""

_SIEVE = 22  # bits: 4 MiB, which stays in the cache
_CODES = 0x34000  # planes 0 to 3 hold every Han character with two scripts
_LEFT, _RIGHT, _MIX, _CLASS = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xFF51AFD7ED558CCD, 0xD6E8FEB86659FD93


class Model(NamedTuple):
    """What conversion.npz holds, laid out for look-ups. Sizes: P ambiguous characters, F features.

    `plain` [0x34000] is each character's only form (itself where there is none), `place` [0x34000] the row of an
    ambiguous character plus one, `forms` [P, most] the forms of each (0 where there are fewer), `keys` [F] the sorted
    hashes and `weights` [F] their weights; `sieve` [2 ** 22] tells whether any key begins with these bits.
    """

    plain: NDArray[np.uint32]
    place: NDArray[np.uint16]
    forms: NDArray[np.uint32]
    keys: NDArray[np.uint32]
    weights: NDArray[np.int8]
    sieve: NDArray[np.bool_]


def convert(text: str, style: Style = "standard") -> str:
    """`text` with every Simplified character in its Taiwan form; of the same length.

    `style` picks between forms that mean the same (`free_variants.tsv`): "standard" as the Ministry of Education and
    OpenCC's s2tw have them (臺灣), "everyday" as most people write (台灣).
    """
    if not text:
        return text
    import numpy as np

    model = _model()
    codes = as_codes(text)
    result = model.plain[_within(codes)]
    beyond = codes >= _CODES
    if beyond.any():
        result[beyond] = codes[beyond]
    folded, at = folded_codes(codes)
    rows = model.place[_within(codes)]
    places = np.flatnonzero(rows)
    for start in range(0, len(places), _BLOCK):
        block = places[start : start + _BLOCK]
        result[block] = _decide(model, folded, at[block], rows[block].astype(np.int64) - 1)
    converted = result.tobytes().decode("utf-32-le", "surrogatepass")
    return converted.translate(_everyday()) if style == "everyday" else converted


_BLOCK = 1 << 15  # places at a time: their features stay in the cache


def _decide(
    model: Model, folded: NDArray[np.uint64], places: NDArray[np.int64], rows: NDArray[np.int64]
) -> NDArray[np.uint32]:
    import numpy as np

    spans = features(folded, places)
    forms = model.forms[rows]
    best = np.zeros(len(places), np.int32)
    chosen = forms[:, 0].copy()
    for index in range(1, forms.shape[1]):
        some = np.flatnonzero(forms[:, index])
        if not len(some):
            break
        scores = _weights(model, hashed(spans[some], index)).sum(axis=1, dtype=np.int32)
        better = some[scores > best[some]]
        best[some] = np.maximum(best[some], scores)
        chosen[better] = forms[better, index]
    return chosen


def _weights(model: Model, hashes: NDArray[np.uint32]) -> NDArray[np.int8]:
    """The weight of each hash, 0 for those that the model does not know."""
    import numpy as np

    result = np.zeros(hashes.shape, np.int8)
    some = np.flatnonzero(model.sieve[hashes >> np.uint32(32 - _SIEVE)])
    hashes = hashes.ravel()[some]
    at = np.minimum(np.searchsorted(model.keys, hashes), len(model.keys) - 1)
    result.ravel()[some] = np.where(model.keys[at] == hashes, model.weights[at], np.int8(0))
    return result


# --- features: the same code when training and when converting ---


def as_codes(text: str) -> NDArray[np.uint32]:
    """The code points of `text`; a lone surrogate stays as it is."""
    import numpy as np

    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def folded_codes(codes: NDArray[np.uint32]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """What the model reads, and where in it each character of `codes` is.

    Simplified for every Han character; a number is one digit, a run of letters one letter, spaces are left out, so that
    1,200 隻 reads like 3隻. `REACH` zeros stand at both ends.
    """
    import numpy as np

    folded = _folding()[_within(codes)]
    kept = folded != ord(" ")
    repeated = (folded[1:] == folded[:-1]) & (folded[1:] < 0x80)
    kept[1:] &= ~repeated
    at = np.cumsum(kept) + (REACH - 1)
    padded = np.zeros(int(kept.sum()) + 2 * REACH, np.uint64)
    padded[REACH:-REACH] = folded[kept]
    return padded, at


def features(folded: NDArray[np.uint64], places: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A number for each string of `SPANS` around each place of `folded` (`folded_codes`): [places, spans]."""
    import numpy as np

    at = places
    left = [np.zeros(len(at), np.uint64)]
    right = [folded[at] * np.uint64(_CLASS)]
    for reach in range(1, REACH + 1):
        left.append((left[-1] + folded[at - reach] + np.uint64(reach)) * np.uint64(_LEFT))
        right.append((right[-1] + folded[at + reach] + np.uint64(reach)) * np.uint64(_RIGHT))
    result = np.empty((len(at), len(SPANS)), np.uint64)
    for index, (before, after) in enumerate(SPANS):
        mixed = left[before] ^ (right[after] >> np.uint64(7)) ^ right[after]
        result[:, index] = (mixed + np.uint64(before * 8 + after)) * np.uint64(_MIX)
    return result


def hashed(spans: NDArray[np.uint64], form: int) -> NDArray[np.uint32]:
    """The key of each string together with the number of the form that it speaks for."""
    import numpy as np

    mixed = (spans ^ (spans >> np.uint64(29))) + np.uint64(form * _CLASS & 0xFFFFFFFFFFFFFFFF)
    return (mixed * np.uint64(_MIX) >> np.uint64(32)).astype(np.uint32)


def _within(codes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    import numpy as np

    return np.minimum(codes, np.uint32(_CODES - 1))


@lru_cache(maxsize=1)
def _folding() -> NDArray[np.uint64]:
    import numpy as np

    table = np.arange(_CODES, dtype=np.uint64)
    for code, character in enumerate(map(chr, range(0x3000))):
        if character.isdigit():
            table[code] = ord("0")
        elif character.isalpha():
            table[code] = ord("a")
        elif character.isspace():
            table[code] = ord(" ")
    table[[ord(","), ord(".")]] = ord("0")
    table[0x3000] = ord(" ")
    table[0xFF10:0xFF1A] = ord("0")
    table[0xFF21:0xFF3B] = table[0xFF41:0xFF5B] = ord("a")
    for code, simplified in variants.folding().items():
        table[code] = ord(simplified)
    return table


# --- the file ---


@lru_cache(maxsize=1)
def _model() -> Model:
    import numpy as np

    with np.load(MODEL, allow_pickle=False) as file:
        gaps = file["gaps"].astype(np.uint32)
        plain = np.arange(_CODES, dtype=np.uint32)
        plain[file["simplified"]] = file["traditional"]
        place = np.zeros(_CODES, np.uint16)
        place[file["ambiguous"]] = np.arange(1, len(file["ambiguous"]) + 1)
        keys = np.cumsum(gaps, dtype=np.uint32)
        sieve = np.zeros(1 << _SIEVE, np.bool_)
        sieve[keys >> np.uint32(32 - _SIEVE)] = True
        return Model(plain, place, file["forms"], keys, file["weights"], sieve)


@lru_cache(maxsize=1)
def _everyday() -> dict[int, str]:
    return {ord(standard): everyday for standard, everyday in free_variants().items() if len(standard) == 1}


def free_variants() -> dict[str, str]:
    """Each form or word that the converter writes by default, with the other that means the same everywhere."""
    return {row[0]: row[1] for row in variants.rows("free_variants.tsv")}
