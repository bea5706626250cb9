"""Results by what a user calls them: a folder, an artifact of the store, a step of a recipe's latest run, or a model.

A model stands for its latest result of each task; those of other weights under the same name are left out, and said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danlu.artifact import Artifact, Store
from danlu.errors import DataError, UsageError, nearest
from danlu.eval.results import RESULTS, Results, TaskResult, read_results


@dataclass(frozen=True)
class Stored:
    """One results artifact, or a folder that holds results outside a store (`artifact` is None)."""

    results: Results
    folder: Path
    artifact: Artifact | None = None

    @property
    def id(self) -> str:
        return self.artifact.id if self.artifact else ""

    @property
    def created(self) -> str:
        return str(self.artifact.manifest["created"]) if self.artifact else ""

    @property
    def model(self) -> str:
        return str(self.results.model.get("name", ""))

    @property
    def fingerprint(self) -> str:
        return str(self.results.model.get("fingerprint", ""))


@dataclass(frozen=True)
class Held:
    """A task's result and the results that it stands in."""

    result: TaskResult
    stored: Stored


@dataclass(frozen=True)
class Measured:
    """What one side of a comparison scored. `name` is what the user wrote, `model` as in Results; `notes` says what was
    chosen for the user."""

    name: str
    model: Mapping[str, Any]
    tasks: Mapping[str, Held]
    notes: tuple[str, ...] = ()


def all_results(store: Store) -> list[Stored]:
    """Every results artifact of a store, oldest first."""
    return [Stored(read_results(one.path), one.path, one) for one in store.all() if one.kind == "results"]


def measured(stored: Stored, name: str = "") -> Measured:
    """The tasks of one results artifact or folder."""
    tasks = {task.task: Held(task, stored) for task in stored.results.tasks}
    return Measured(name or stored.model, stored.results.model, tasks)


def find(what: str, store: Store | None) -> Measured:
    """The results that `what` names: a folder with results.json, `recipe.step` of a latest run, a model's name, or the
    beginning of an artifact's id, in this order. DataError with the nearest name when there is none."""
    if (Path(what) / RESULTS).is_file():
        return measured(Stored(read_results(Path(what)), Path(what)), what)
    if store is None:
        raise DataError(
            f"{what!r} is no folder with {RESULTS}, and there is no store", next="danlu eval MODEL --tasks TASK"
        )
    recipe, _, step = what.rpartition(".")
    run = store.root / "runs" / recipe / step
    if recipe and (run / RESULTS).is_file():
        artifact = Artifact.load(run.resolve())
        return measured(Stored(read_results(artifact.path), artifact.path, artifact), what)
    known = all_results(store)
    named = [one for one in known if one.model == what]
    if named:
        return _latest(what, named)
    fitting = [one for one in known if one.id.startswith(what)]
    if len(fitting) == 1:
        return measured(fitting[0], what)
    if fitting:
        some = ", ".join(one.id for one in fitting[:4])
        raise UsageError(f"{what!r} is the beginning of {len(fitting)} ids: {some}", next="danlu ls")
    names = sorted({one.model for one in known} | {one.id for one in known})
    raise DataError(
        f"no results are called {what!r}",
        where=str(store.root),
        nearest=nearest(what, names),
        next="danlu ls lists the artifacts; danlu eval MODEL --tasks TASK makes results",
    )


def _latest(name: str, found: Sequence[Stored]) -> Measured:
    """The latest result of each task among those of the latest weights."""
    last = found[-1]
    same = [one for one in found if one.fingerprint == last.fingerprint]
    tasks = {task.task: Held(task, one) for one in same for task in one.results.tasks}
    others = len(found) - len(same)
    notes = (f"{name}: {others} older result(s) of other weights under this name are left out",) if others else ()
    return Measured(name, last.results.model, tasks, notes)
