"""Standard errors of the scores."""

from __future__ import annotations

import math
from collections.abc import Sequence


def ratio(tops: Sequence[float], bottoms: Sequence[float]) -> tuple[float, float]:
    """sum(tops) / sum(bottoms) and its standard error by linearisation (Cochran, Sampling Techniques, 1977, §6.3).

    The pairs are taken as independent draws: sentences of one document are less independent than that, so the error
    is somewhat optimistic. With fewer than two pairs it is infinite.
    """
    total = sum(bottoms)
    if total <= 0:
        return math.nan, math.inf
    value = sum(tops) / total
    n = len(tops)
    if n < 2:
        return value, math.inf
    spread = sum((top - value * bottom) ** 2 for top, bottom in zip(tops, bottoms, strict=True))
    return value, math.sqrt(spread * n / (n - 1)) / total


def mean(values: Sequence[float]) -> tuple[float, float]:
    """The mean and its standard error (sample standard deviation over the root of n)."""
    return ratio(values, [1.0] * len(values))
