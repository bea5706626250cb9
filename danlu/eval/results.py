"""What an evaluation leaves behind: the kind of artifact `results`.

    results.json            one `Results`: the model, the environment, and each task with its scores
    samples/<task>.jsonl    one `Sample` a question, in the order of the task's documents

Two results of the same questions are paired by `Sample.id`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from danlu.errors import DataError, nearest
from danlu.records import Record, Score, read_jsonl

RESULTS = "results.json"


class Sample(Record):
    """One question and what came of it.

    `id` is the hash of the question's fields: the same in every run that asked the same. `values` has one entry a
    metric; a metric's score is sum(values) / sum(weights), a weight being 1 where none is given (bits over characters
    have others), or what the task's own aggregation says (F1 over a corpus, BLEU). A question that failed has no
    values and its reason in `failed`.
    """

    id: str
    subject: str = ""
    prompt: str = ""
    target: Any = None
    answer: Any = None
    values: dict[str, float] = Field(default_factory=dict)
    weights: dict[str, float] = Field(default_factory=dict)
    failed: str = ""


class TaskResult(Record):
    """The scores of one task. `failures` counts the questions without a value by reason: `n` of a score does not
    include them. `prompt` is the hash of all requests: equal ones were asked the same words. `data` says where the
    questions came from: {"source", "digest", "licence", "split"}."""

    task: str
    title: str = ""
    version: str
    kind: str
    shots: int
    seed: int
    came: int
    scores: list[Score]
    subjects: dict[str, list[Score]] = Field(default_factory=dict)
    failures: dict[str, int] = Field(default_factory=dict)
    prompt: str = ""
    data: dict[str, Any] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)


class Results(Record):
    """Everything that one model scored in one run. `model` is {"name", "fingerprint", "facts"}; `environment` has
    versions, commit, machine and threads."""

    model: dict[str, Any]
    tasks: list[TaskResult]
    environment: dict[str, Any] = Field(default_factory=dict)
    seconds: float = 0.0

    def score(self, reference: str) -> Score:
        """The score called `task.metric`; DataError with the nearest one when there is none."""
        known = {f"{task.task}.{score.name}": score for task in self.tasks for score in task.scores}
        if reference not in known:
            raise DataError(f"no score is called {reference!r}", nearest=nearest(reference, known))
        return known[reference]


def read_results(folder: Path) -> Results:
    """The results in a folder; DataError when it holds none."""
    path = folder / RESULTS
    try:
        return Results.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"no results: {error.strerror}", where=str(path), next="danlu eval MODEL --tasks TASK"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise DataError(f"not results: {field or 'file'}: {first['msg']}", where=str(path)) from None


def read_samples(folder: Path, task: str) -> Iterator[Sample]:
    """The questions of one task, in order."""
    return read_jsonl(folder / "samples" / f"{task}.jsonl", Sample)
