"""An evaluation on disk: results.json, the samples, the tables of the report and a plot of each task's subjects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from danlu.artifact import Draft, digest
from danlu.errors import DataError
from danlu.eval.cache import SAME_ANYWAY
from danlu.eval.figure import new, save
from danlu.eval.results import RESULTS, Results, TaskResult
from danlu.eval.task import Task
from danlu.records import Record, Score, write_jsonl

COLUMNS = ["task", "metric", "value", "n", "failed", "better", "unit", "shots", "version"]
_TALLEST = 100


def write(out: Draft, results: Results, samples: dict[str, Sequence[Record]]) -> None:
    """Every file and table; what depends on the clock and the machine is no part of the artifact's content."""
    out.file(RESULTS).write_text(results.model_dump_json(indent=1) + "\n", encoding="utf-8")
    out.unstable(RESULTS, content(results))
    for name, some in samples.items():
        if "/" in name or name.startswith("."):
            raise DataError(f"a task called {name!r} cannot be kept: its name is that of a file")
        write_jsonl(out.file(f"samples/{name}.jsonl"), some)
    out.table(f"Scores of {results.model['name']} (value ± standard error)", COLUMNS, list(rows(results.tasks)))
    notes = [[task.task, note] for task in results.tasks for note in task.notes]
    if notes:
        out.table("Notes", ["task", ""], notes)
    for task in results.tasks:
        out.metrics.update({f"{task.task}.{score.name}": score.value for score in task.scores})
        if task.subjects:
            _subjects(out, task)


def content(results: Results) -> str:
    """The hash of what was measured, whenever and with however many processes."""
    told = results.model_dump(mode="json", exclude={"seconds", "environment"})
    told["model"]["facts"] = {name: fact for name, fact in told["model"]["facts"].items() if name not in SAME_ANYWAY}
    return digest(told)


def rows(tasks: Sequence[TaskResult]) -> Iterator[list[Any]]:
    """One row a score, as COLUMNS says; a task without a score has a row that says so."""
    for task in tasks:
        failed = sum(task.failures.values())
        for score in task.scores:
            told = [score.name, value(score), score.n, failed, score.better, score.unit]
            yield [task.task, *told, task.shots, task.version]
        if not task.scores:
            why = ", ".join(f"{reason} {count}" for reason, count in task.failures.items())
            yield [task.task, f"no score: {why}", "", 0, failed, "", "", task.shots, task.version]


def value(score: Score) -> str:
    """`0.4123 ± 0.0211`: four significant digits of the value; no error where none is defined."""
    digits = 4 if abs(score.value) < 100 else 1
    error = "" if score.stderr is None else f" ± {score.stderr:.{digits}f}"
    return f"{score.value:.{digits}f}{error}"


def primary(task: TaskResult) -> str:
    """The metric that stands for a task in plots: its first."""
    return task.scores[0].name


def _subjects(out: Draft, task: TaskResult) -> None:
    if not task.scores:
        return
    name = primary(task)
    found = {subject: next((s for s in scores if s.name == name), None) for subject, scores in task.subjects.items()}
    table = [
        [subject, value(score), score.n] if score else [subject, "no score", 0] for subject, score in found.items()
    ]
    out.table(f"{task.task}: {name} by subject", ["subject", "value", "n"], table)
    known = [(subject, score) for subject, score in found.items() if score]
    file = f"plots/{task.task}.svg"
    plot(task, known[:_TALLEST], out.file(file))
    out.image(f"{task.task}: {name} by subject, with one standard error", file)


def plot(task: TaskResult, subjects: Sequence[tuple[str, Score]], path: Path) -> None:
    """One bar a subject, sorted by value, with its standard error; the line is the score of all."""
    ordered = sorted(subjects, key=lambda pair: pair[1].value)
    whole = task.scores[0]
    figure = new(7, 1.2 + 0.24 * len(ordered))
    axes = figure.add_subplot()
    places = range(len(ordered))
    values = [score.value for _, score in ordered]
    axes.barh(places, values, xerr=[score.stderr or 0.0 for _, score in ordered], color="#b9c2cf", ecolor="#4a5361")
    axes.axvline(whole.value, color="#b3261e", linewidth=1.5, label=f"all {whole.n} questions")
    axes.set_yticks(list(places), [f"{name} ({score.n})" for name, score in ordered], fontsize=8)
    axes.set(xlabel=f"{whole.name}, {whole.unit} ({whole.better} is better)", ylim=(-0.7, len(ordered) - 0.3))
    axes.grid(axis="x", alpha=0.25)
    axes.legend(frameon=False, fontsize=8)
    save(figure, path)


def source_of(task: Task, shots: int | None) -> list[Any]:
    """What of a task's own decides its scores: its name, version and identity (`HarnessTask.identity`), or the digest
    of its data where it has none."""
    identity = getattr(task, "identity", None)
    wanted = task.shots if shots is None else shots
    return [task.name, task.version, identity(wanted) if identity else task.data.get("digest", "")]
