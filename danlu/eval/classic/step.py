"""eval.classic: scores of a file of predictions, beside all other results.

`measured` is what the command line calls; the step writes the same into an artifact of kind `results`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from danlu.artifact import Artifact, Draft, digest
from danlu.eval.classic.measure import VERSION, Outcome
from danlu.eval.classic.predictions import read
from danlu.eval.environment import environment
from danlu.eval.results import Results, TaskResult
from danlu.registry import Settings, Source, Step
from danlu.track import Track

KINDS = {
    "classification": "danlu.eval.classic.classification",
    "regression": "danlu.eval.classic.regression",
    "clustering": "danlu.eval.classic.clustering",
}


class ClassicSettings(Settings):
    predictions: Annotated[Path, Source()]
    """The predictions: .jsonl, .csv, .tsv or .parquet, one row an item."""

    kind: Literal["classification", "regression", "clustering"]
    """What was predicted: classes (one or several an item), numbers, or clusters."""

    model: str = Field("model", min_length=1)
    """What the model is called in comparisons and on the leaderboard."""

    fingerprint: str = ""
    """The hash of the model's weights, where one is known: results of one model stand in one row of the leaderboard."""

    task: Annotated[str, Field(pattern=r"[^./\s][^./\s]*")] = "classic"
    """What the task is called: its scores are task.metric."""

    title: str = ""
    """What the task is, for people."""

    truth: str = "y_true"
    """The column of what is true."""

    predicted: str = "y_pred"
    """The column of what was predicted. Without it classes are taken from the scores."""

    score: str = "y_score"
    """The column of scores: the probability of the positive class, an object {class: p}, or a list in the order of
    `classes`; or the beginning of columns with one class each, as y_score_cat."""

    id: str | None = None
    """The column that names an item: results are compared item by item. None compares by row."""

    group: str | None = None
    """A column to tell scores apart by. None takes the true class."""

    classes: tuple[str, ...] = ()
    """All classes, in order. Empty takes those that occur."""

    positive: str | None = None
    """The class that is looked for, of two. None takes the last in order."""

    separator: str = ""
    """What stands between classes where an item has several, as texts; lists need none."""

    features: tuple[str, ...] = ()
    """Columns of the items' features, for silhouettes: numbers, or lists of them."""

    unit: str = "units"
    """The unit of predicted numbers."""

    licence: str = "unknown"
    """The licence of the data."""

    resamples: int = Field(1000, ge=20)
    """Bootstrap resamples that the standard errors are from."""

    seed: int = 0
    """The seed of the bootstrap."""


def measured(settings: ClassicSettings, track: Track) -> tuple[Results, Outcome]:
    """Read, score, and put into the records of a measurement."""
    table = read(settings.predictions)
    for name in (settings.id, settings.group):
        if name is not None:
            table.column(name, "the settings")
    outcome: Outcome = importlib.import_module(KINDS[settings.kind]).measure(table, settings, track)
    asked = digest([[sample.id, sample.target] for sample in outcome.samples])
    task = TaskResult(
        task=settings.task,
        title=settings.title,
        version=VERSION,
        kind=settings.kind,
        shots=0,
        seed=settings.seed,
        came=table.n,
        scores=outcome.scores,
        subjects=outcome.subjects,
        data={"source": settings.predictions.name, "digest": asked, "licence": settings.licence},
        notes=outcome.notes,
    )
    facts = {"backend": "predictions in a file", "kind": settings.kind}
    model = {"name": settings.model, "fingerprint": settings.fingerprint, "facts": facts}
    return Results(model=model, tasks=[task], environment=environment()), outcome


def write(results: Results, outcome: Outcome, settings: ClassicSettings, out: Draft) -> None:
    """results.json, samples, plots and the report's tables."""
    from danlu.eval.write import write as write_results

    write_results(out, results, {settings.task: outcome.samples})
    for title, columns, rows in outcome.tables:
        out.table(f"{settings.task}: {title}", columns, rows)
    folder = out.file("plots/x").parent
    for file, title in outcome.draw(folder / settings.task).items():
        out.image(f"{settings.task}: {title}", f"plots/{settings.task}/{file}")
    out.licences[settings.predictions.name] = {"licence": settings.licence, "terms": "unknown"}


class Classic(Step[ClassicSettings]):
    """Scores a file of predictions: classification, regression or clustering, with bootstrap errors and plots.

    Writes results.json, samples and plots as `eval.run` does, so that comparisons, gates and the leaderboard take them.
    Not covered: making the predictions.
    """

    Settings: ClassVar[type[ClassicSettings]] = ClassicSettings
    makes: ClassVar[str] = "results"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        results, outcome = measured(self.settings, track)
        for note in outcome.notes:
            track.note(f"{self.settings.task}: {note}")
        write(results, outcome, self.settings, out)


def keep(settings: ClassicSettings, results: Results, outcome: Outcome, store: Any) -> Artifact:
    """Write the results into a store as an artifact of their own; equal predictions and settings have one id."""
    from danlu.artifact import file_digest

    described = settings.model_dump(mode="json")
    content = file_digest(settings.predictions)
    id = digest({"use": "eval.classic", "settings": described, "predictions": content})[:16]
    facts = {
        "id": id,
        "kind": "results",
        "step": settings.task,
        "use": "eval.classic",
        "recipe": "danlu metrics",
        "recipe_text": "",
        "sets": [],
        "settings": described,
        "inputs": {},
        "sources": {"predictions": content},
        "models": {},
        "code": VERSION,
        "seconds": 0.0,
        "peak_bytes": 0,
        "environment": results.environment,
    }
    with store.lock(id), store.draft(id) as draft:
        write(results, outcome, settings, draft)
        made: Artifact = store.commit(draft, facts)
    return made
