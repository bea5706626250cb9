"""Several classes for an item: subset accuracy, Hamming loss, averages over classes, areas of each against the rest.

Macro is over the classes that occur, micro over all pairs of item and class, weighted by how often a class is true.
Not covered: averages over items, hierarchies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.errors import DataError
from danlu.eval.classic import plots
from danlu.eval.classic.classification import averages, known, read_scores, score_columns
from danlu.eval.classic.measure import Outcome, Statistic, average, by_subject, scored
from danlu.eval.classic.predictions import Predictions, in_order, label
from danlu.eval.classic.ranked import Ranking
from danlu.eval.results import Sample
from danlu.track import Track

if TYPE_CHECKING:
    from danlu.eval.classic.step import ClassicSettings


@dataclass(frozen=True)
class Sets:
    """n x classes: 1 where an item has a class, in truth and as predicted; scores are None where there are none."""

    classes: list[str]
    truth: Any
    said: Any
    scores: Any


def measure(table: Predictions, settings: ClassicSettings, track: Track) -> Outcome:
    """Scores, samples and plots of a file of sets of classes."""
    notes: list[str] = []
    sets = _read(table, settings, notes)
    statistics = [*_set_statistics(sets.truth, sets.said), *_set_areas(sets.truth, sets.scores, sets.classes, notes)]
    made, told = scored(statistics, table.n, settings.resamples, settings.seed, track)
    exact, apart = (sets.truth == sets.said).all(axis=1), (sets.truth != sets.said).mean(axis=1)
    groups = table.labels(settings.group, "the groups") if settings.group else [""] * table.n
    samples = [
        Sample(
            id=table.identity(row, settings.id, settings.truth),
            subject=groups[row],
            target=_names(sets.truth[row], sets.classes),
            answer=_names(sets.said[row], sets.classes),
            values={"subset_accuracy": float(exact[row]), "hamming_loss": float(apart[row])},
        )
        for row in range(table.n)
    ]
    make = average("subset_accuracy", "share", "higher", settings.seed)
    return Outcome(
        scores=made,
        samples=samples,
        subjects=by_subject("subset_accuracy", list(exact.astype(float)), groups, make),
        notes=[*notes, *told],
        draw=lambda folder: _draw_sets(sets.truth, sets.said, sets.scores, sets.classes, folder),
        tables=[
            ("Classes", ["class", "precision", "recall", "F1", "n"], _set_rows(sets.truth, sets.said, sets.classes))
        ],
    )


def _names(row: Any, classes: Sequence[str]) -> list[str]:
    return [name for name, held in zip(classes, row, strict=True) if held]


def _read(table: Predictions, settings: ClassicSettings, notes: list[str]) -> Sets:
    import numpy as np

    mark = settings.separator or "|"
    truth = table.sets(settings.truth, "the true classes", mark)
    said = table.sets(settings.predicted, "the predicted classes", mark) if table.has(settings.predicted) else None
    named = in_order(set().union(*truth, *(said or [])) | set(score_columns(table, settings)))
    classes = list(map(label, settings.classes)) or named
    place = {name: at for at, name in enumerate(classes)}
    known(table, settings.truth, (sorted(one) for one in truth), place)
    known(table, settings.predicted, (sorted(one) for one in said or []), place)
    there = table.has(settings.score) or bool(score_columns(table, settings))
    scores = read_scores(table, settings, classes, len(classes) - 1) if there else None
    if said is not None:
        saids = np.array([[name in held for name in classes] for held in said], dtype=float)
    elif scores is None:
        raise table.missing(settings.predicted, "neither the predicted classes nor scores are given")
    elif not bool((scores >= 0).all() and (scores <= 1).all()):
        raise DataError("the scores leave [0, 1]: which classes do they mean?", next=f"add {settings.predicted}")
    else:
        notes.append("the classes with a score of 0.5 or more are taken")
        saids = (scores >= 0.5).astype(float)
    truths = np.array([[name in held for name in classes] for held in truth], dtype=float)
    return Sets(classes, truths, saids, scores)


def _set_statistics(truths: Any, saids: Any) -> list[Statistic]:
    both, exact = truths * saids, (truths == saids).all(axis=1).astype(float)
    apart = (truths != saids).mean(axis=1)
    names = [f"{part}_{how}" for part in ("precision", "recall", "f1") for how in ("macro", "micro", "weighted")]
    memory: dict[str, Any] = {}

    def value(weights: Any, name: str) -> float:
        if memory.get("weights") is not weights:
            memory["weights"] = weights
            memory["values"] = averages(weights @ truths, weights @ saids, weights @ both)
        return float(memory["values"][name])

    found = [
        Statistic("subset_accuracy", lambda weights: float(weights @ exact / weights.sum())),
        Statistic("hamming_loss", lambda weights: float(weights @ apart / weights.sum()), better="lower"),
    ]
    return found + [Statistic(name, lambda weights, name=name: value(weights, name)) for name in names]  # type: ignore[misc]


def _set_areas(truths: Any, scores: Any, classes: Sequence[str], notes: list[str]) -> list[Statistic]:
    if scores is None:
        return []
    both = [at for at in range(len(classes)) if 0 < truths[:, at].sum() < len(truths)]
    alone = [classes[at] for at in range(len(classes)) if at not in both]
    if alone:
        notes.append(f"all or no items have {', '.join(map(repr, alone))}: the areas are means over the other classes")
    if not both:
        return []
    each = [Ranking(truths[:, at], scores[:, at]) for at in both]
    return [
        Statistic("roc_auc_macro", lambda w: sum(one.roc_auc(w) for one in each) / len(each), "area"),
        Statistic("pr_auc_macro", lambda w: sum(one.average_precision(w) for one in each) / len(each), "area"),
    ]


def _set_rows(truths: Any, saids: Any, classes: Sequence[str]) -> list[list[Any]]:
    rows = []
    for at, name in enumerate(classes):
        support, said, right = truths[:, at].sum(), saids[:, at].sum(), (truths[:, at] * saids[:, at]).sum()
        parts = (right / said if said else 0, right / support if support else 0, 2 * right / max(1, support + said))
        rows.append([name, *(round(float(part), 6) for part in parts), int(support)])
    return rows


def _draw_sets(truths: Any, saids: Any, scores: Any, classes: Sequence[str], folder: Path) -> dict[str, str]:
    import numpy as np

    plots.bars(folder / "classes.svg", list(classes), [row[3] for row in _set_rows(truths, saids, classes)], "F1")
    made = {"classes.svg": "F1 of each class"}
    shown = [at for at in np.argsort(-truths.sum(axis=0))[:8] if 0 < truths[:, at].sum() < len(truths)]
    if scores is not None and shown:
        curves = {classes[at]: Ranking(truths[:, at], scores[:, at]) for at in shown}
        plots.roc(folder / "roc.svg", curves, len(truths))
        plots.precision_recall(folder / "precision-recall.svg", curves, len(truths))
        made |= {"roc.svg": "ROC curve", "precision-recall.svg": "Precision and recall"}
    return made
