"""How much of a score is the prompt? The same questions asked in several wordings.

A score in one wording is one draw: with others it may be points away, and two models may change places (Sclar et al.,
2023, arXiv:2310.11324; Mizrahi et al., 2024, arXiv:2401.00595). Reported are the smallest and largest score over the
wordings, their mean and their standard deviation. Not covered: which wording is best; whoever chooses that by the
test questions has trained on them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.errors import DataError, UsageError
from danlu.eval.ask import Asker, evaluate_one
from danlu.eval.task import Task
from danlu.records import Score

if TYPE_CHECKING:
    from danlu.eval.harness.find import Loaded

_FIXED = frozenset({"task", "danlu", "output_type", "test_split", "validation_split", "process_docs"})


@dataclass(frozen=True)
class Spread:
    """One metric of one task over wordings: each wording's score, and what they come to. `sd` is the sample standard
    deviation over wordings (beside the standard error of each score, which is over questions)."""

    task: str
    metric: str
    scores: Mapping[str, Score]
    low: float
    high: float
    mean: float
    sd: float


def wordings(tasks: Sequence[Task], data: Path | None, limit: int | None) -> dict[str, dict[str, Task]]:
    """The tasks whose file has other wordings (`danlu: {templates: {name: {doc_to_text: …}}}`): each wording's name and
    the task in it, its own first. UsageError when there is no such task."""
    from danlu.eval.harness.task import HarnessTask

    found: dict[str, dict[str, Task]] = {}
    for task in tasks:
        if isinstance(task, HarnessTask) and task.config.danlu.templates:
            found[task.name] = {"own": task}
            for name in task.config.danlu.templates:
                found[task.name][name] = HarnessTask(_worded(task.loaded, name), data, limit)
    if not found:
        raise UsageError(
            f"none of the tasks has several wordings: {', '.join(task.name for task in tasks)}",
            next="write them into a task's file: danlu: {templates: {plain: {doc_to_text: …}, polite: {…}}}",
        )
    return found


def _worded(loaded: Loaded, name: str) -> Loaded:
    """The task's settings with those of one wording in their place."""
    from danlu.eval.harness.read import Read
    from danlu.eval.harness.schema import task_config

    values = loaded.config.danlu.templates[name]
    if fixed := sorted(set(values) & _FIXED):
        raise DataError(
            f"danlu.templates.{name}: a wording cannot change {fixed[0]}", where=loaded.where("danlu", "templates")
        )
    read = Read(loaded.read.path, {**loaded.read.values, **values}, loaded.read.places)
    return replace(loaded, config=task_config(read), read=read)


def prompt_spread(
    asker: Asker, task: str, wordings: Mapping[str, Task], shots: int | None, seed: int, fewer_shots: bool
) -> list[Spread]:
    """Ask a task in each wording (its name → the task in that wording); one Spread a metric that at least two wordings
    have a score of."""
    found: dict[str, dict[str, Score]] = {}
    for name, one in wordings.items():
        for score in evaluate_one(asker, one, shots, seed, fewer_shots).result.scores:
            found.setdefault(score.name, {})[name] = score
    return [_spread(task, metric, scores) for metric, scores in found.items() if len(scores) > 1]


def _spread(task: str, metric: str, scores: Mapping[str, Score]) -> Spread:
    values = [score.value for score in scores.values()]
    mean = sum(values) / len(values)
    sd = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return Spread(task, metric, scores, min(values), max(values), mean, sd)


def table(found: Sequence[Spread]) -> tuple[str, list[str], list[list[Any]]]:
    """(title, columns, rows) for the report."""
    rows = [
        [one.task, one.metric, len(one.scores), *(f"{x:.4f}" for x in (one.low, one.high, one.mean, one.sd))]
        for one in found
    ]
    return "The same questions in several wordings", ["task", "metric", "wordings", "low", "high", "mean", "sd"], rows


def note(found: Spread) -> str:
    """One line for people."""
    return (
        f"{len(found.scores)} wordings: {found.metric} from {found.low:.4f} to {found.high:.4f}, "
        f"mean {found.mean:.4f}, standard deviation {found.sd:.4f}"
    )
