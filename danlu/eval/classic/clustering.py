"""Clustering: agreement with true classes where these are known, and silhouettes where the items' features are.

Cluster names do not matter, except that each is one cluster: DBSCAN's noise, -1, is taken as a cluster too, and said.
The bootstrap draws items with replacement; two copies of one item count as together in both, which makes the resamples
agree a little more than the items do, so that errors of the adjusted Rand index are approximate.

Not covered: overlapping clusters, hierarchies. Silhouettes cost the square of the number of items.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.errors import DataError
from danlu.eval.classic import plots
from danlu.eval.classic.measure import Outcome, Statistic, average, by_subject, scored
from danlu.eval.classic.predictions import Predictions, in_order
from danlu.eval.results import Sample
from danlu.extras import need
from danlu.track import Track

if TYPE_CHECKING:
    from danlu.eval.classic.step import ClassicSettings


def measure(table: Predictions, settings: ClassicSettings, track: Track) -> Outcome:
    """Scores, samples and plots of a file of clusters."""
    import numpy as np

    said = table.labels(settings.predicted, "the clusters")
    truth = table.labels(settings.truth, "the true classes") if table.has(settings.truth) else None
    features = _features(table, settings)
    if truth is None and features is None:
        raise table.missing(settings.truth, "neither true classes nor features (settings `features`) are given")
    notes = ["the cluster '-1' (noise) is taken as one cluster"] if "-1" in said else []
    statistics: list[Statistic] = []
    names = (in_order(truth or []), in_order(said))
    if truth is not None:
        statistics += _agreement(truth, said, names)
    silhouette = None
    if features is not None:
        silhouette = _silhouettes(features, said, notes)
        if silhouette is not None:
            values = silhouette
            statistics.append(Statistic("silhouette", lambda w: float(w @ values / w.sum()), "silhouette"))
    scores, told = scored(statistics, table.n, settings.resamples, settings.seed, track)
    samples = [
        Sample(
            id=table.identity(row, settings.id, settings.truth),
            subject=said[row],
            target=truth[row] if truth is not None else None,
            answer=said[row],
            values={"silhouette": float(silhouette[row])} if silhouette is not None else {},
        )
        for row in range(table.n)
    ]
    by = {}
    if silhouette is not None:
        make = average("silhouette", "silhouette", "higher", settings.seed)
        by = by_subject("silhouette", list(map(float, silhouette)), said, make)

    def draw(folder: Path) -> dict[str, str]:
        made = {}
        if truth is not None:
            counts = _table(truth, said, names)(np.ones(table.n)).astype(int)
            plots.confusion(folder / "contingency.svg", counts, names[0], ("cluster", "true class"), names[1])
            made["contingency.svg"] = "True classes and clusters"
        if silhouette is not None:
            plots.silhouettes(folder / "silhouettes.svg", silhouette, said)
            plots.plane(folder / "plane.svg", features, said)
            made |= {"silhouettes.svg": "Silhouettes", "plane.svg": "Two principal components"}
        return made

    return Outcome(scores, samples, by, [*notes, *told], draw)


def _features(table: Predictions, settings: ClassicSettings) -> Any:
    """n x features; a column of lists is as many features. None when none are named."""
    import numpy as np

    if not settings.features:
        return None
    parts = []
    for name in settings.features:
        column = table.column(name, "a feature")
        if isinstance(column[0], (list, tuple)):
            rows = [[table.number(one, at, name) for one in value] for at, value in enumerate(column)]
            if len({len(row) for row in rows}) != 1:
                raise DataError(f"{name}: the rows have different numbers of features", where=str(table.path))
            parts.append(np.array(rows))
        else:
            parts.append(np.array(table.numbers(name, "a feature"))[:, None])
    return np.concatenate(parts, axis=1)


def _silhouettes(features: Any, said: list[str], notes: list[str]) -> Any:
    """Rousseeuw's silhouettes (1987) by Euclidean distance; None, and a note, where they are not defined."""
    import numpy as np

    clusters = len(set(said))
    if not 2 <= clusters <= len(said) - 1:
        notes.append(f"silhouette is not defined for {clusters} clusters of {len(said)} items")
        return None
    metrics = need("sklearn.metrics", "eval")
    places = {name: at for at, name in enumerate(in_order(said))}
    return np.asarray(metrics.silhouette_samples(features, [places[name] for name in said]))


def _table(truth: list[str], said: list[str], names: tuple[list[str], list[str]]) -> Any:
    """weights → the table of true classes (rows) and clusters (columns)."""
    import numpy as np

    rows = {name: at for at, name in enumerate(names[0])}
    columns = {name: at for at, name in enumerate(names[1])}
    cells = np.array([rows[t] * len(columns) + columns[s] for t, s in zip(truth, said, strict=True)])
    return lambda weights: np.bincount(cells, weights, len(rows) * len(columns)).reshape(len(rows), len(columns))


def _agreement(truth: list[str], said: list[str], names: tuple[list[str], list[str]]) -> list[Statistic]:
    table = _table(truth, said, names)
    memory: dict[str, Any] = {}

    def value(weights: Any, name: str) -> float:
        if memory.get("weights") is not weights:
            memory["weights"], memory["values"] = weights, agreement(table(weights))
        return float(memory["values"][name])

    units = {"ari": "index", "nmi": "share", "homogeneity": "share", "completeness": "share", "v_measure": "share"}
    return [Statistic(name, lambda w, name=name: value(w, name), unit) for name, unit in units.items()]  # type: ignore[misc]


def agreement(table: Any) -> dict[str, float]:
    """Of a table of counts: the adjusted Rand index (Hubert and Arabie, 1985), mutual information over the mean of the
    entropies, homogeneity, completeness and their harmonic mean (Rosenberg and Hirschberg, 2007), which equals that."""
    rows, columns, n = table.sum(axis=1), table.sum(axis=0), table.sum()

    def pairs(counts: Any) -> float:
        return float((counts * (counts - 1)).sum() / 2)

    both, one, other = pairs(table), pairs(rows), pairs(columns)
    chance = one * other / (n * (n - 1) / 2) if n > 1 else 0.0
    most = (one + other) / 2
    ari = 1.0 if most == chance else (both - chance) / (most - chance)
    true, found, joint = _entropy(rows), _entropy(columns), _entropy(table.ravel())
    mutual = max(0.0, true + found - joint)
    homogeneity = mutual / true if true else 1.0
    completeness = mutual / found if found else 1.0
    total = homogeneity + completeness
    v = 2 * homogeneity * completeness / total if total else 0.0
    nmi = mutual / ((true + found) / 2) if true + found else 1.0
    return {"ari": ari, "nmi": nmi, "homogeneity": homogeneity, "completeness": completeness, "v_measure": v}


def _entropy(counts: Any) -> float:
    """In nats; 0 for one class alone."""
    import numpy as np

    held = counts[counts > 0] / counts.sum()
    found = float(-(held * np.log(held)).sum())
    return found if found > 1e-12 and not math.isnan(found) else 0.0
