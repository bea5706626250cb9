"""One number from the measures of many questions, with its standard error."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

from danlu.eval.metrics.metric import Aggregation
from danlu.eval.statistics import mean, ratio

DRAWS = 10**8  # most places drawn for one bootstrap of a vectorised aggregation
BLOCK = 1000  # draws of one seeded generator, as in lm-evaluation-harness


def estimate(aggregation: Aggregation, measures: Sequence[Any]) -> tuple[float, float | None]:
    """The number and its standard error, None where none is defined (fewer than two measures, or an aggregation without
    one). The bootstrap draws the same questions on every call, whatever the seed of a run."""
    value = float(aggregation.of(measures))
    if len(measures) < 2 or aggregation.error == "none":
        return value, None
    if aggregation.error == "mean":
        error = mean([float(measure) for measure in measures])[1]
    elif aggregation.error == "bootstrap":
        error = bootstrap(aggregation, measures)
    else:
        tops, bottoms = [float(m[0]) for m in measures], [float(m[1]) for m in measures]
        plain, error = ratio(tops, bottoms)
        scale = value if aggregation.error == "log-ratio" else value / plain if plain else 0.0
        error *= abs(scale)
    return value, error if math.isfinite(error) else None


def bootstrap(aggregation: Aggregation, measures: Sequence[Any]) -> float:
    """The standard deviation of the number over resampled questions (Efron 1979).

    Draws as lm-evaluation-harness does: blocks of at most 1,000 draws, block i from Python's generator seeded with i.
    Where that would be more than 10^8 places in all, fewer draws are made, never fewer than 1,000.
    """
    draws = aggregation.resamples
    if aggregation.resample is not None:
        draws = min(draws, max(BLOCK, DRAWS // len(measures) // BLOCK * BLOCK))
    found: list[float] = []
    for places in _places(len(measures), draws):
        if aggregation.resample is not None:
            found.extend(map(float, aggregation.resample(measures, places)))
        else:
            found.extend(aggregation.of([measures[place] for place in row]) for row in places)
    centre = math.fsum(found) / len(found)
    return math.sqrt(math.fsum((x - centre) ** 2 for x in found) / (len(found) - 1))


def _places(n: int, draws: int) -> Iterator[Any]:
    """Places of resampled measures: int64 [rows, n], `draws` rows in all. The same as `random.Random(i).choices`."""
    import numpy as np

    block = min(BLOCK, draws)
    rows = max(1, min(block, 4_000_000 // n))
    for seed in range(draws // block):
        version, state, _ = random.Random(seed).getstate()
        assert version == 3
        generator = np.random.RandomState()
        generator.set_state(("MT19937", np.array(state[:-1], dtype=np.uint32), state[-1], 0, 0.0))
        for start in range(0, block, rows):
            count = min(rows, block - start)
            yield np.floor(generator.random_sample((count, n)) * float(n)).astype(np.int64)


def _median(measures: Sequence[float]) -> float:
    return sorted(measures)[len(measures) // 2]


def _medians(measures: Sequence[float], places: Any) -> Any:
    import numpy as np

    drawn = np.asarray(measures, dtype=float)[places]
    return np.partition(drawn, len(measures) // 2, axis=1)[:, len(measures) // 2]


def _nanmean(measures: Sequence[float]) -> float:
    known = [measure for measure in measures if not math.isnan(measure)]
    return sum(known) / len(known) if known else math.nan


def _nanmeans(measures: Sequence[float], places: Any) -> Any:
    import numpy as np

    drawn = np.asarray(measures, dtype=float)[places]
    known = ~np.isnan(drawn)
    with np.errstate(invalid="ignore"):
        return np.where(known, drawn, 0.0).sum(1) / known.sum(1)


MEDIAN = Aggregation("median", _median, "bootstrap", 100_000, _medians)
NANMEAN = Aggregation("nanmean", _nanmean, "bootstrap", 100_000, _nanmeans)
BYPASS = Aggregation("bypass", lambda measures: math.nan, "none")
