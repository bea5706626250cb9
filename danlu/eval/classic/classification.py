"""Classification: two classes, more, or several for an item; from classes alone or with scores of each class.

Values are scikit-learn's (its `zero_division=0`); what is not defined (the AUC of one class alone) is said instead of
written as a number. `y_score` is, for two classes, the probability of the positive one; otherwise an object {class: p}
or a list in the order of `classes`; in a table also one column a class, `y_score_<class>`. Scores beyond [0, 1] are
decision values: they rank, and have no log loss, Brier score or calibration.

Not covered: costs of mistakes, thresholds to be chosen, hierarchies of classes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.errors import DataError, nearest
from danlu.eval.classic import plots
from danlu.eval.classic.measure import Outcome, Statistic, by_subject, scored, share, values_of
from danlu.eval.classic.predictions import Predictions, in_order, label
from danlu.eval.classic.ranked import Calibration, Ranking
from danlu.eval.results import Sample
from danlu.track import Track

if TYPE_CHECKING:
    from danlu.eval.classic.step import ClassicSettings

_SUM = 1e-3
_TINY = 2.220446049250313e-16
_BINS = 10


@dataclass(frozen=True)
class Items:
    """Items of one class each. `truth` and `said` are places in `classes`; `scores` is n x classes, or None;
    `probable` says whether they are probabilities."""

    classes: list[str]
    truth: Any
    said: Any
    scores: Any
    probable: bool
    positive: int

    @property
    def n(self) -> int:
        return len(self.truth)


def measure(table: Predictions, settings: ClassicSettings, track: Track) -> Outcome:
    """Scores, samples and plots of a file of classes."""
    found = table.column(settings.truth, "the true classes")
    if settings.separator or any(isinstance(value, (list, tuple)) for value in found):
        from danlu.eval.classic import multilabel

        return multilabel.measure(table, settings, track)
    items, notes = _items(table, settings)
    statistics = _statistics(items, notes)
    scores, told = scored(statistics, items.n, settings.resamples, settings.seed, track)
    per_item = _per_item(items)
    names = [items.classes[place] for place in items.truth]
    subjects = table.labels(settings.group, "the groups") if settings.group else names
    samples = [
        Sample(
            id=table.identity(row, settings.id, settings.truth),
            subject=subjects[row],
            target=names[row],
            answer=items.classes[items.said[row]],
            values=values_of(per_item, row),
        )
        for row in range(items.n)
    ]
    right = list(per_item["accuracy"])
    by = by_subject("accuracy", right, subjects, lambda name, values: share(name, values, settings.seed))
    columns = ["class", "precision", "recall", "F1", "n"]
    return Outcome(
        scores=scores,
        samples=samples,
        subjects=by,
        notes=[*notes, *told],
        draw=lambda folder: _draw(items, folder),
        tables=[("Classes", columns, _class_rows(items))],
    )


def _items(table: Predictions, settings: ClassicSettings) -> tuple[Items, list[str]]:
    import numpy as np

    truth = table.labels(settings.truth, "the true classes")
    said = table.labels(settings.predicted, "the predicted classes") if table.has(settings.predicted) else None
    classes = list(map(label, settings.classes)) or _classes(table, settings, truth, said)
    place = {name: at for at, name in enumerate(classes)}
    known(table, settings.truth, ([one] for one in truth), place)
    if said is not None:
        known(table, settings.predicted, ([one] for one in said), place)
    positive = place[_positive(settings, classes)]
    scores = read_scores(table, settings, classes, positive)
    if said is None and scores is None:
        raise table.missing(settings.predicted, "neither the predicted classes nor scores are given")
    probable = scores is not None and bool((scores >= 0).all() and (scores <= 1).all())
    if probable and scores is not None and len(classes) > 2:
        _sums(table, scores, settings)
    truth_places = np.array([place[name] for name in truth])
    said_places = np.array([place[name] for name in said]) if said is not None else scores.argmax(axis=1)
    notes = []
    if probable and len(classes) < 2:
        probable = False
        notes.append("log loss, Brier score and calibration need the other class: name both with classes")
    elif scores is not None and not probable:
        notes.append("the scores leave [0, 1]: they rank, and have no log loss, Brier score or calibration")
    if said is None:
        notes.append(f"there is no column {settings.predicted!r}: the class of the highest score is taken")
    never = Counter(said or []).keys() - set(truth)
    notes += [f"{name!r} is predicted and never true" for name in in_order(never)]
    return Items(classes, truth_places, said_places, scores, probable, positive), notes


def _classes(table: Predictions, settings: ClassicSettings, truth: list[str], said: list[str] | None) -> list[str]:
    """The classes as the scores name them; else those that occur."""
    named = score_columns(table, settings)
    first = table.columns[settings.score][0] if table.has(settings.score) else None
    if isinstance(first, Mapping):
        return in_order(map(label, first))
    if named:
        return in_order(named)
    return in_order([*truth, *(said or [])])


def score_columns(table: Predictions, settings: ClassicSettings) -> dict[str, str]:
    """class → column, of a table with one column of scores a class."""
    prefix = f"{settings.score}_"
    return {label(name.removeprefix(prefix)): name for name in table.columns if name.startswith(prefix)}


def known(table: Predictions, column: str, values: Iterable[Iterable[str]], place: Mapping[str, int]) -> None:
    """DataError at the first of each row's classes that has no place."""
    for row, held in enumerate(values):
        for value in (one for one in held if one not in place):
            raise DataError(
                f"{column}: {value!r} is an unknown class",
                where=table.where(row),
                nearest=nearest(value, place),
                next=f"the classes are {', '.join(list(place)[:20])}: name them all with classes",
            )


def _positive(settings: ClassicSettings, classes: Sequence[str]) -> str:
    """The class that is looked for, of two: the one that is named, else the last in order."""
    if settings.positive is None:
        return classes[-1]
    if label(settings.positive) not in classes:
        raise DataError(
            f"the positive class {settings.positive!r} does not occur", nearest=nearest(settings.positive, classes)
        )
    return label(settings.positive)


def read_scores(table: Predictions, settings: ClassicSettings, classes: Sequence[str], positive: int) -> Any:
    """n x classes, or None when there are none. Of two classes one column is enough: the other's is 1 - p, or -s where
    these are decision values."""
    import numpy as np

    if not table.has(settings.score):
        named = score_columns(table, settings)
        if not named:
            return None
        lacking = [name for name in classes if name not in named]
        if lacking:
            raise DataError(
                f"the class {lacking[0]!r} has no column of scores",
                where=str(table.path),
                nearest=nearest(f"{settings.score}_{lacking[0]}", table.columns),
                next=f"call it {settings.score}_{lacking[0]}",
            )
        return np.array([table.numbers(named[name], "the scores") for name in classes]).T
    column = table.columns[settings.score]
    if isinstance(column[0], (Mapping, list, tuple)):
        return np.array([_row(table, settings.score, value, row, classes) for row, value in enumerate(column)])
    if len(classes) > 2:
        raise DataError(
            f"{settings.score} is one number, and there are {len(classes)} classes",
            where=table.where(0),
            next="give an object {class: p}, a list in the order of classes, or columns y_score_<class>",
        )
    one = np.array(table.numbers(settings.score, "the scores"))
    other = 1 - one if (one >= 0).all() and (one <= 1).all() else -one
    pair = [other, one] if positive == len(classes) - 1 else [one, other]
    return np.array(pair[-len(classes) :]).T


def _row(table: Predictions, name: str, value: Any, row: int, classes: Sequence[str]) -> list[float]:
    """One item's scores in the order of `classes`."""
    if isinstance(value, Mapping):
        held = {label(key): number for key, number in value.items()}
        lacking = next((one for one in classes if one not in held), None)
        strange = next((one for one in held if one not in classes), None)
        if lacking is not None or strange is not None:
            told = f"no score of the class {lacking!r}" if lacking is not None else f"a score of {strange!r}, no class"
            near = nearest(lacking, held) if lacking is not None else nearest(strange or "", classes)
            raise DataError(f"{name}: {told}", where=table.where(row), nearest=near)
        return [table.number(held[one], row, name) for one in classes]
    if not isinstance(value, (list, tuple)) or len(value) != len(classes):
        count = len(value) if isinstance(value, (list, tuple)) else "no"
        raise DataError(
            f"{name}: {count} scores for {len(classes)} classes ({', '.join(classes[:8])})", where=table.where(row)
        )
    return [table.number(one, row, name) for one in value]


def _sums(table: Predictions, scores: Any, settings: ClassicSettings) -> None:
    import numpy as np

    off = np.flatnonzero(np.abs(scores.sum(axis=1) - 1) > _SUM)
    if len(off):
        raise DataError(
            f"the probabilities add up to {scores[off[0]].sum():.4f}, not 1 ({len(off)} of {len(scores)} rows)",
            where=table.where(int(off[0])),
            next="give probabilities of all classes; scores beyond [0, 1] are read as decision values",
        )


def averages(support: Any, said: Any, right: Any) -> dict[str, float]:
    """Precision, recall and F1 over classes from their counts of true, predicted and right items: macro over the
    classes that occur, micro over all items, weighted by `support`. A class that is never predicted has precision 0."""
    import numpy as np

    here = (support + said) > 0
    zero = np.zeros_like(support, dtype=float)
    parts = {
        "precision": np.divide(right, said, out=zero.copy(), where=said > 0),
        "recall": np.divide(right, support, out=zero.copy(), where=support > 0),
        "f1": np.divide(2 * right, support + said, out=zero.copy(), where=here),
    }
    whole = {"precision": (right.sum(), said.sum()), "recall": (right.sum(), support.sum())}
    whole["f1"] = (2 * right.sum(), support.sum() + said.sum())
    found = {}
    for name, values in parts.items():
        found[f"{name}_macro"] = float(values[here].mean()) if here.any() else math.nan
        found[f"{name}_micro"] = float(whole[name][0] / whole[name][1]) if whole[name][1] else 0.0
        found[f"{name}_weighted"] = float((values * support).sum() / support.sum()) if support.sum() else math.nan
    return found


def matthews(table: Any) -> float:
    """Matthews' correlation of truth (rows) and prediction (columns), for any number of classes (Gorodkin, 2004); 0
    where either never varies, as in scikit-learn."""
    support, said, n = table.sum(axis=1), table.sum(axis=0), table.sum()
    above = float(table.trace() * n - (support * said).sum())
    below = float(n**2 - (support**2).sum()) * float(n**2 - (said**2).sum())
    return above / math.sqrt(below) if below > 0 else 0.0


class _Counted:
    """Scores that follow from the table of truth and prediction, counted once for each set of weights."""

    def __init__(self, items: Items) -> None:
        self.items = items
        self.size = len(items.classes)
        self.cells = items.truth * self.size + items.said
        self.seen: tuple[Any, dict[str, float]] | None = None

    def table(self, weights: Any) -> Any:
        import numpy as np

        return np.bincount(self.cells, weights, self.size**2).reshape(self.size, self.size)

    def values(self, weights: Any) -> dict[str, float]:
        if self.seen is None or self.seen[0] is not weights:
            self.seen = (weights, self._count(self.table(weights)))
        return self.seen[1]

    def _count(self, table: Any) -> dict[str, float]:
        support, said, right = table.sum(axis=1), table.sum(axis=0), table.diagonal()
        found = averages(support, said, right)
        found["accuracy"] = float(right.sum() / table.sum())
        held = support > 0
        found["balanced_accuracy"] = float((right[held] / support[held]).mean())
        found["mcc"] = matthews(table)
        at = self.items.positive
        found["precision"] = float(right[at] / said[at]) if said[at] else 0.0
        found["recall"] = float(right[at] / support[at]) if support[at] else math.nan
        found["f1"] = float(2 * right[at] / (support[at] + said[at])) if support[at] + said[at] else math.nan
        return found

    def statistic(self, name: str) -> Statistic:
        unit = "correlation" if name == "mcc" else "share"
        return Statistic(name, lambda weights: self.values(weights)[name], unit)


def _statistics(items: Items, notes: list[str]) -> list[Statistic]:
    counted = _Counted(items)
    names = ["accuracy", "balanced_accuracy"]
    names += ["precision", "recall", "f1"] if len(items.classes) == 2 else []
    names += [f"{part}_{how}" for part in ("precision", "recall", "f1") for how in ("macro", "micro", "weighted")]
    found = [counted.statistic(name) for name in (*names, "mcc")]
    if items.scores is None:
        return found
    found += _ranked(items, notes)
    return found + _probable(items) if items.probable else found


def _ranked(items: Items, notes: list[str]) -> list[Statistic]:
    """Areas under the curves; of more than two classes the mean over each class against the rest."""
    held = Counter(items.truth.tolist())
    if len(held) < 2:
        only = items.classes[items.truth[0]]
        notes.append(f"every item is {only!r}: with one class alone ROC-AUC and PR-AUC are not defined")
        return []
    if len(items.classes) == 2:
        one = Ranking(items.truth == items.positive, items.scores[:, items.positive])
        return [Statistic("roc_auc", one.roc_auc, "area"), Statistic("pr_auc", one.average_precision, "area")]
    absent = [items.classes[at] for at in range(len(items.classes)) if not held[at]]
    if absent:
        notes.append(f"no item is {', '.join(map(repr, absent))}: the areas are means over the other classes")
    each = [Ranking(items.truth == at, items.scores[:, at]) for at in sorted(held)]

    def roc(weights: Any) -> float:
        return sum(one.roc_auc(weights) for one in each) / len(each)

    def precision(weights: Any) -> float:
        return sum(one.average_precision(weights) for one in each) / len(each)

    return [Statistic("roc_auc_macro", roc, "area"), Statistic("pr_auc_macro", precision, "area")]


def _probable(items: Items) -> list[Statistic]:
    """Log loss, Brier score (over two classes half of the sum, as is usual) and calibration of the chosen class."""
    losses, squares = _losses(items)
    calibration = _calibration(items)
    return [
        Statistic("log_loss", lambda weights: float(weights @ losses / weights.sum()), "nats", "lower"),
        Statistic("brier", lambda weights: float(weights @ squares / weights.sum()), "squared error", "lower"),
        Statistic("ece", calibration.error, "share", "lower"),
    ]


def _losses(items: Items) -> tuple[Any, Any]:
    import numpy as np

    rows = np.arange(items.n)
    held = np.clip(items.scores, _TINY, 1 - _TINY)
    held = held / held.sum(axis=1, keepdims=True)
    losses = -np.log(held[rows, items.truth])
    aims = np.zeros_like(items.scores)
    aims[rows, items.truth] = 1.0
    squares = ((items.scores - aims) ** 2).sum(axis=1)
    return losses, squares / 2 if len(items.classes) <= 2 else squares


def _calibration(items: Items) -> Calibration:
    import numpy as np

    sure = items.scores[np.arange(items.n), items.said]
    return Calibration(sure, (items.truth == items.said).astype(float), _BINS)


def _per_item(items: Items) -> dict[str, Any]:
    """What each item adds to the scores that are means of items, or means over classes of such."""
    right = (items.truth == items.said).astype(float)
    found = {"accuracy": right, "balanced_accuracy": right}
    if items.probable:
        found["log_loss"], found["brier"] = _losses(items)
    return found


def _class_rows(items: Items) -> list[list[Any]]:
    import numpy as np

    table = _Counted(items).table(np.ones(items.n))
    rows = []
    for at, name in enumerate(items.classes):
        support, said, right = table[at].sum(), table[:, at].sum(), table[at, at]
        f1 = 2 * right / (support + said) if support + said else 0.0
        rows.append([name, right / said if said else 0.0, right / support if support else 0.0, f1, int(support)])
    return [[one[0], *(round(float(value), 6) for value in one[1:4]), one[4]] for one in rows]


def _draw(items: Items, folder: Path) -> dict[str, str]:
    import numpy as np

    table = _Counted(items).table(np.ones(items.n)).astype(int)
    made = {"confusion.svg": "Confusion matrix"}
    plots.confusion(folder / "confusion.svg", table, items.classes)
    held = np.bincount(items.truth, minlength=len(items.classes))
    if items.scores is not None and (held > 0).sum() > 1:
        which = [items.positive] if len(items.classes) == 2 else [at for at in np.argsort(-held)[:8] if held[at]]
        curves = {items.classes[at]: Ranking(items.truth == at, items.scores[:, at]) for at in which}
        plots.roc(folder / "roc.svg", curves, items.n)
        plots.precision_recall(folder / "precision-recall.svg", curves, items.n)
        made |= {"roc.svg": "ROC curve", "precision-recall.svg": "Precision and recall"}
    if items.probable:
        plots.reliability(folder / "reliability.svg", _calibration(items), items.n)
        made["reliability.svg"] = "Reliability: how sure, and how often right"
    return made
