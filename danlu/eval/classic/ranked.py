"""What a score says of two classes, for weighted items: ROC and precision-recall curves, calibration.

`Ranking` sorts once; its areas then cost one pass over the items, which makes bootstrapping them affordable. Items of
equal score are one point of the curve, as in scikit-learn, whose values these are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


class Ranking:
    """Items by falling score. `positive` is 1 for the items of the class and 0 for the others."""

    def __init__(self, positive: Any, score: Any) -> None:
        import numpy as np

        score = np.asarray(score, dtype=float)
        self.order = np.argsort(-score, kind="stable")
        self.positive = np.asarray(positive, dtype=float)[self.order]
        ordered = score[self.order]
        self.ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
        self.thresholds = ordered[self.ends]

    def counts(self, weights: Any) -> tuple[Floats, Floats]:
        """True and false positives above each threshold."""
        import numpy as np

        sorted_weights = np.asarray(weights, dtype=float)[self.order]
        right = np.cumsum(sorted_weights * self.positive)[self.ends]
        return right, np.cumsum(sorted_weights)[self.ends] - right

    def roc_auc(self, weights: Any) -> float:
        """The area under the ROC curve: the chance that an item of the class scores above another one, ties counting
        half (Hanley and McNeil, 1982). NaN without items of both."""
        import numpy as np

        right, wrong = self.counts(weights)
        if right[-1] <= 0 or wrong[-1] <= 0:
            return math.nan
        area = np.trapezoid(np.append(0.0, right), np.append(0.0, wrong))
        return float(area / (right[-1] * wrong[-1]))

    def average_precision(self, weights: Any) -> float:
        """The area under the precision-recall curve as a sum of steps (no interpolation). NaN without the class."""
        import numpy as np

        right, wrong = self.counts(weights)
        if right[-1] <= 0:
            return math.nan
        seen = right + wrong
        precision = np.divide(right, seen, out=np.zeros_like(right), where=seen > 0)
        return float((np.diff(np.append(0.0, right)) * precision).sum() / right[-1])


@dataclass(frozen=True)
class Calibration:
    """Items in bins of equal width by how sure the model was; `right` says whether it was right to be."""

    sure: Any
    right: Any
    bins: int

    def sums(self, weights: Any) -> tuple[Any, Any, Any]:
        """Weight, sureness and right ones of each bin."""
        import numpy as np

        place = np.minimum((np.asarray(self.sure) * self.bins).astype(int), self.bins - 1)
        return (
            np.bincount(place, weights, self.bins),
            np.bincount(place, weights * self.sure, self.bins),
            np.bincount(place, weights * self.right, self.bins),
        )

    def error(self, weights: Any) -> float:
        """Expected calibration error (Naeini et al., 2015; Guo et al., 2017): the mean distance of sureness and share
        right over the bins. It is never negative, so a calibrated model's is above 0 by chance."""
        import numpy as np

        held, sure, right = self.sums(weights)
        return float(np.abs(sure - right).sum() / held.sum())
