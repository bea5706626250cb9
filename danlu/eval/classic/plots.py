"""Plots of classic tasks, as SVG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from danlu.eval.figure import new, save

COLOURS = ("#a8391f", "#2f6f9f", "#2f7d6b", "#b8862b", "#7a4fa3", "#5c6b2f", "#c0527f", "#5b6470")
_MOST = 30
_ANNOTATED = 12


def confusion(
    path: Path, table: Any, names: Sequence[str], labels: tuple[str, str] = ("predicted", "true"), columns: Any = None
) -> None:
    """Counts of truth (rows) and prediction (columns), coloured by their share of the row; the first thirty classes."""
    import numpy as np

    wide = list(columns if columns is not None else names)[:_MOST]
    table, names = np.asarray(table)[:_MOST, :_MOST], list(names)[:_MOST]
    share = table / np.maximum(1, table.sum(axis=1, keepdims=True))
    size = 2.2 + 0.42 * max(len(names), len(wide))
    figure = new(size + 0.8, size)
    axes = figure.add_subplot()
    shown = axes.imshow(share, cmap="YlGnBu", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(wide)), wide, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlabel=labels[0], ylabel=labels[1])
    if max(len(names), len(wide)) <= _ANNOTATED:
        for row in range(len(names)):
            for column in range(len(wide)):
                colour = "white" if share[row, column] > 0.55 else "#23211d"
                count = f"{int(table[row, column]):,}"
                axes.text(column, row, count, ha="center", va="center", color=colour, fontsize=9)
    figure.colorbar(shown, ax=axes, label="share of the row")
    save(figure, path)


def roc(path: Path, curves: Mapping[str, Any], n: int) -> None:
    """ROC curves with their areas; the dotted line is chance."""
    import numpy as np

    figure = new(5.4, 4.6)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], ":", color="#8a857b", linewidth=1)
    for (name, curve), colour in zip(curves.items(), COLOURS, strict=False):
        right, wrong = curve.counts(np.ones(n))
        area = curve.roc_auc(np.ones(n))
        x, y = np.append(0.0, wrong / wrong[-1]), np.append(0.0, right / right[-1])
        axes.plot(x, y, color=colour, linewidth=1.8, label=f"{name}: AUC {area:.3f}")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    save(figure, path)


def precision_recall(path: Path, curves: Mapping[str, Any], n: int) -> None:
    """Precision over recall, as steps; the dotted lines are each class's share of the items (chance)."""
    import numpy as np

    figure = new(5.4, 4.6)
    axes = figure.add_subplot()
    for (name, curve), colour in zip(curves.items(), COLOURS, strict=False):
        right, wrong = curve.counts(np.ones(n))
        seen = right + wrong
        x, y = np.append(0.0, right / right[-1]), np.append(right[0] / seen[0], right / seen)
        area = curve.average_precision(np.ones(n))
        axes.step(x, y, where="pre", color=colour, linewidth=1.8, label=f"{name}: AP {area:.3f}")
        axes.axhline(right[-1] / n, linestyle=":", color=colour, linewidth=1)
    axes.set(xlabel="recall", ylabel="precision", xlim=(-0.01, 1.01), ylim=(0, 1.03))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    save(figure, path)


def reliability(path: Path, calibration: Any, n: int) -> None:
    """How often a model was right over how sure it was, with 95 % Wilson intervals, and how many items that is."""
    import numpy as np

    from danlu.eval.statistics import wilson

    held, sure, right = calibration.sums(np.ones(n))
    full = held > 0
    figure = new(5.4, 5.4)
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (3, 1)})
    upper.plot([0, 1], [0, 1], ":", color="#8a857b", linewidth=1)
    x, y = sure[full] / held[full], right[full] / held[full]
    spans = np.array([wilson(float(a), float(b)) for a, b in zip(right[full], held[full], strict=True)])
    reach = np.maximum(0, [y - spans[:, 0], spans[:, 1] - y])
    label = f"ECE {calibration.error(np.ones(n)):.3f}"
    upper.errorbar(x, y, yerr=reach, fmt="o-", color=COLOURS[1], capsize=2, linewidth=1.6, label=label)
    upper.set(ylabel="share right", ylim=(-0.02, 1.02), xlim=(0, 1))
    upper.legend(frameon=False, fontsize=9, loc="upper left")
    edges = (np.arange(calibration.bins) + 0.5) / calibration.bins
    lower.bar(edges, held, width=0.9 / calibration.bins, color="#b9c2cf")
    lower.set(xlabel="how sure", ylabel="items")
    for axes in (upper, lower):
        axes.grid(alpha=0.25)
    save(figure, path)


def residuals(path: Path, truth: Any, said: Any) -> None:
    """Prediction over truth, what is left over prediction, and how it is spread."""
    import numpy as np

    truth, said = np.asarray(truth, dtype=float), np.asarray(said, dtype=float)
    left = said - truth
    figure = new(11, 3.6)
    one, two, three = figure.subplots(1, 3)
    style = {"s": 12, "alpha": max(0.15, min(0.8, 300 / len(truth))), "color": COLOURS[1], "linewidths": 0}
    one.scatter(truth, said, **style)
    span = [min(truth.min(), said.min()), max(truth.max(), said.max())]
    one.plot(span, span, ":", color="#8a857b")
    one.set(xlabel="true", ylabel="predicted")
    two.scatter(said, left, **style)
    two.axhline(0, linestyle=":", color="#8a857b")
    two.set(xlabel="predicted", ylabel="predicted - true")
    three.hist(left, bins=min(40, max(5, int(np.sqrt(len(left))))), color=COLOURS[3])
    three.axvline(0, linestyle=":", color="#8a857b")
    three.set(xlabel="predicted - true", ylabel="items")
    for axes in (one, two, three):
        axes.grid(alpha=0.25)
    save(figure, path)


def silhouettes(path: Path, values: Any, clusters: Sequence[str]) -> None:
    """Each item's silhouette, by cluster; the line is the mean."""
    import numpy as np

    values, held_by = np.asarray(values), np.asarray(clusters)
    figure = new(6, 4.6)
    axes = figure.add_subplot()
    start, middles = 0, []
    names = sorted(set(clusters))[:_MOST]
    for place, name in enumerate(names):
        held = np.sort(values[held_by == name])
        axes.fill_betweenx(
            np.arange(start, start + len(held)), 0, held, color=COLOURS[place % len(COLOURS)], alpha=0.75
        )
        middles.append(start + len(held) / 2)
        start += len(held) + max(2, len(values) // 60)
    axes.axvline(values.mean(), color="#23211d", linestyle="--", linewidth=1, label=f"mean {values.mean():.3f}")
    axes.set_yticks(middles, names, fontsize=8)
    axes.set(xlabel="silhouette", ylabel="cluster")
    axes.legend(frameon=False, fontsize=9)
    axes.grid(axis="x", alpha=0.25)
    save(figure, path)


def plane(path: Path, points: Any, clusters: Sequence[str]) -> None:
    """The items on their first two principal components, coloured by cluster."""
    import numpy as np

    points, held_by = np.asarray(points, dtype=float), np.asarray(clusters)
    centred = points - points.mean(axis=0)
    _, _, axes_of = np.linalg.svd(centred, full_matrices=False)
    flat = centred @ axes_of[:2].T
    flat = flat if flat.shape[1] == 2 else np.column_stack([flat, np.zeros(len(flat))])
    figure = new(5.6, 4.8)
    axes = figure.add_subplot()
    for place, name in enumerate(sorted(set(clusters))[:_MOST]):
        held = held_by == name
        axes.scatter(*flat[held].T, s=14, alpha=0.7, color=COLOURS[place % len(COLOURS)], label=str(name), linewidths=0)
    axes.set(xlabel="first principal component", ylabel="second")
    axes.legend(frameon=False, fontsize=8, ncols=2)
    axes.grid(alpha=0.25)
    save(figure, path)


def bars(path: Path, names: Sequence[str], values: Sequence[float], what: str) -> None:
    """One bar a name; the first thirty."""
    names, values = list(names)[:_MOST][::-1], list(values)[:_MOST][::-1]
    figure = new(6, 1.2 + 0.26 * len(names))
    axes = figure.add_subplot()
    axes.barh(range(len(names)), values, color="#b9c2cf")
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlabel=what, xlim=(0, max(1.0, *values)))
    axes.grid(axis="x", alpha=0.25)
    save(figure, path)
