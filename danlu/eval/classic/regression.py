"""Regression: how far predicted numbers are from true ones.

MAPE is over the items whose true value is not 0, and how many that leaves out is said; R2 is not defined where the true
values are all the same. Not covered: predicted distributions and intervals, several outputs for an item.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from danlu.eval.classic import plots
from danlu.eval.classic.measure import Outcome, Statistic, average, by_subject, scored
from danlu.eval.classic.predictions import Predictions
from danlu.eval.results import Sample
from danlu.track import Track

if TYPE_CHECKING:
    from pathlib import Path

    from danlu.eval.classic.step import ClassicSettings


def measure(table: Predictions, settings: ClassicSettings, track: Track) -> Outcome:
    """Scores, samples and plots of a file of numbers."""
    import numpy as np

    truth = np.array(table.numbers(settings.truth, "the true numbers"))
    said = np.array(table.numbers(settings.predicted, "the predicted numbers"))
    notes: list[str] = []
    statistics = _statistics(truth, said, settings.unit, notes)
    scores, told = scored(statistics, table.n, settings.resamples, settings.seed, track)
    apart = np.abs(said - truth)
    groups = table.labels(settings.group, "the groups") if settings.group else [""] * table.n
    samples = [
        Sample(
            id=table.identity(row, settings.id, settings.truth),
            subject=groups[row],
            target=float(truth[row]),
            answer=float(said[row]),
            values=_values(float(truth[row]), float(apart[row])),
        )
        for row in range(table.n)
    ]
    make = average("mae", settings.unit, "lower", settings.seed)

    def draw(folder: Path) -> dict[str, str]:
        plots.residuals(folder / "residuals.svg", truth, said)
        return {"residuals.svg": "Predicted and true values, and what is left"}

    return Outcome(scores, samples, by_subject("mae", list(apart), groups, make), [*notes, *told], draw)


def _values(truth: float, apart: float) -> dict[str, float]:
    found = {"mae": apart, "rmse": apart**2}
    return found | {"mape": apart / abs(truth)} if truth else found


def _statistics(truth: Any, said: Any, unit: str, notes: list[str]) -> list[Statistic]:
    import numpy as np

    left = said - truth
    found = [
        Statistic("mae", lambda w: float(w @ np.abs(left) / w.sum()), unit, "lower"),
        Statistic("rmse", lambda w: math.sqrt(w @ left**2 / w.sum()), unit, "lower"),
    ]
    if np.ptp(truth) == 0:
        notes.append("r2 is not defined: the true values are all the same")
    else:
        found.append(Statistic("r2", lambda w: _r2(w, truth, left), "share of the variance", "higher"))
    held = truth != 0
    if not held.all():
        notes.append(f"mape leaves out {int((~held).sum())} of {len(truth)} items whose true value is 0")
    if held.any():
        shares = np.where(held, np.abs(left) / np.where(held, np.abs(truth), 1.0), 0.0)

        def mape(w: Any) -> float:
            return float(w @ shares / (w @ held)) if w @ held else math.nan

        found.append(Statistic("mape", mape, "share", "lower"))
    return found


def _r2(weights: Any, truth: Any, left: Any) -> float:
    centre = weights @ truth / weights.sum()
    spread = float(weights @ (truth - centre) ** 2)
    return 1 - float(weights @ left**2) / spread if spread > 0 else math.nan
