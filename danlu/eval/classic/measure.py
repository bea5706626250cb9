"""Statistics of weighted items, and their bootstrap errors.

A statistic is a function of the items' weights (an array of n; 1 for each item as it stands, how often it was drawn in
a resample), so that one loop gives every error at once (Efron, 1979), each from the same resamples. Items are taken as
independent. A resample in which a statistic has no value (one class alone, say) is left out of its error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from danlu.eval.results import Sample
from danlu.records import Score
from danlu.track import Track

VERSION = "1"


@dataclass(frozen=True)
class Statistic:
    """A score to be: `compute` takes the weights of the n items and may return NaN where it is not defined."""

    name: str
    compute: Callable[[Any], float]
    unit: str = "share"
    better: Literal["higher", "lower"] = "higher"


@dataclass(frozen=True)
class Outcome:
    """What a file of predictions came to. `draw` writes the plots into a folder and returns {file: title}; `tables` are
    (title, columns, rows)."""

    scores: list[Score]
    samples: list[Sample]
    subjects: dict[str, list[Score]]
    notes: list[str]
    draw: Callable[[Path], dict[str, str]]
    tables: list[tuple[str, list[str], list[list[Any]]]] = field(default_factory=list)


def scored(
    statistics: Sequence[Statistic], n: int, resamples: int, seed: int, track: Track
) -> tuple[list[Score], list[str]]:
    """A score of each statistic that is defined on these items, and a note about each that is not."""
    import numpy as np

    whole = np.ones(n)
    values = {one.name: one.compute(whole) for one in statistics}
    defined = [one for one in statistics if math.isfinite(values[one.name])]
    again = np.full((resamples, len(defined)), np.nan)
    if n > 1:
        draw = np.random.default_rng(seed)
        for row in track.over(range(resamples), "bootstrap", unit="resample"):
            weights = np.bincount(draw.integers(0, n, n), minlength=n).astype(float)
            again[row] = [one.compute(weights) for one in defined]
    found, notes = [], []
    for place, one in enumerate(defined):
        held = again[np.isfinite(again[:, place]), place]
        error = float(held.std(ddof=1)) if len(held) > 1 else None
        if 0 < len(held) < 0.95 * resamples:
            notes.append(f"{one.name}: not defined in {resamples - len(held)} of {resamples} resamples")
        found.append(
            Score(
                name=one.name,
                value=values[one.name],
                n=n,
                stderr=error,
                unit=one.unit,
                better=one.better,
                version=VERSION,
                seed=seed,
            )
        )
    missing = [one.name for one in statistics if not math.isfinite(values[one.name])]
    return found, notes + [f"{name} is not defined on these items" for name in missing]


def share(name: str, right: Sequence[float], seed: int) -> Score:
    """A share of right items with its binomial standard error, for a subject."""
    n, value = len(right), sum(right) / len(right)
    error = math.sqrt(value * (1 - value) / (n - 1)) if n > 1 else None
    return Score(name=name, value=value, n=n, stderr=error, unit="share", better="higher", version=VERSION, seed=seed)


def by_subject(name: str, values: Sequence[float], subjects: Sequence[str], make: Any) -> dict[str, list[Score]]:
    """`make(name, values)` for each subject, in order of first appearance."""
    held: dict[str, list[float]] = {}
    for subject, value in zip(subjects, values, strict=True):
        held.setdefault(subject, []).append(value)
    return {subject: [make(name, found)] for subject, found in held.items() if subject}


def average(name: str, unit: str, better: Literal["higher", "lower"], seed: int) -> Any:
    """`make` for `by_subject`: the mean of a subject's values and its standard error."""
    from danlu.eval.statistics import mean

    def make(_: str, values: Sequence[float]) -> Score:
        value, error = mean(values)
        known = error if math.isfinite(error) else None
        return Score(
            name=name, value=value, n=len(values), stderr=known, unit=unit, better=better, version=VERSION, seed=seed
        )

    return make


def values_of(columns: Mapping[str, Any], row: int) -> dict[str, float]:
    """One item's entry in each of some arrays."""
    return {name: float(column[row]) for name, column in columns.items()}
