"""Run a recipe: each step made once, kept, and never made again while nothing that it is made of changed.

A run can be stopped at any moment, by Ctrl-C, by kill -9, by a power cut or a full disk: finished steps stay, a step
that was being made leaves nothing but its `work` folder, and the same command goes on. Two runs at once on one store
wait for each other step by step.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from danlu import registry
from danlu.artifact import Artifact, Store
from danlu.errors import DanluError, GateError, StorageError, UsageError, nearest, storage_error
from danlu.recipe import report
from danlu.recipe.measure import Cost, duration, environment, size
from danlu.recipe.plan import Plan, PlannedStep, cached
from danlu.recipe.tracking import Tracker
from danlu.registry import markers
from danlu.track import Track


@dataclass
class Outcome:
    """What became of one step. `state`: made, cached, failed, interrupted, or not reached."""

    name: str
    use: str
    makes: str
    references: dict[str, str]
    state: str = "not reached"
    id: str | None = None
    content: str | None = None
    seconds: float = 0.0
    peak_bytes: int = 0
    report: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Record:
    """A run as run.json tells it. `state`: running, finished, failed, interrupted."""

    recipe: str
    path: str
    text: str
    sets: list[str]
    description: str
    seed: int
    steps: list[Outcome]
    environment: dict[str, str]
    started: str
    state: str = "running"
    ended: str | None = None
    pid: int = 0
    error: str | None = None
    figures: dict[str, float] = field(default_factory=dict)
    tracking: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Finished:
    """A finished run: its record, its artifacts by step, its folder with report.html and run.json."""

    record: Record
    artifacts: dict[str, Artifact]
    folder: Path

    @property
    def report(self) -> Path:
        return self.folder / "report.html"


def again(plan: Plan, start: str | None, force: Collection[str]) -> set[str]:
    """The steps to be made whether they are cached or not: `start` and all below it, and those of `force`."""
    names = [step.name for step in plan.steps]
    for name in [*([start] if start else []), *force]:
        if name not in names:
            raise UsageError(
                f"the recipe has no step {name!r}", nearest=nearest(name, names), next=f"danlu plan {plan.recipe.path}"
            )
    return {*force, *(names[names.index(start) :] if start else [])}


def run(plan: Plan, store: Store, track: Track, tracker: Tracker, remake: Collection[str] = ()) -> Finished:
    """Make every step of `plan` that is not cached, and those of `remake`.

    Raises what a step raises (GateError and the other DanluErrors, StorageError for a full or unwritable disk,
    KeyboardInterrupt), after the run's record and report were written.
    """
    return _Runner(plan, store, track, tracker, remake).run()


class _Runner:
    def __init__(self, plan: Plan, store: Store, track: Track, tracker: Tracker, remake: Collection[str]) -> None:
        self.plan, self.store, self.track, self.tracker, self.remake = plan, store, track, tracker, remake
        recipe = plan.recipe
        self.began = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        self.folder = store.root / "runs" / recipe.name
        self.artifacts: dict[str, Artifact] = {}
        self.record = Record(
            recipe=recipe.name,
            path=str(recipe.path),
            text=recipe.text,
            sets=list(recipe.sets),
            description=recipe.description,
            seed=recipe.seed,
            steps=[Outcome(step.name, step.use, step.makes, step.references) for step in plan.steps],
            environment=environment(),
            started=_now(),
            pid=os.getpid(),
        )

    def run(self) -> Finished:
        state = "failed"
        try:
            with _storage(self.folder):
                self.store.clean()
                self.folder.mkdir(parents=True, exist_ok=True)
                self._save()
                self.record.tracking = self.tracker.start(self.plan, self.record.environment)
            for number, step in enumerate(self.plan.steps):
                self._step(number, step)
            state = "finished"
        except KeyboardInterrupt:
            state = "interrupted"
            raise
        except DanluError as error:
            self.record.error = str(error)
            self.record.figures = error.figures if isinstance(error, GateError) else {}
            raise
        except Exception as error:
            self.record.error = f"{type(error).__name__}: {error}"
            raise
        finally:
            self._finish(state)
        return Finished(self.record, self.artifacts, self.folder)

    def _step(self, number: int, step: PlannedStep) -> None:
        outcome = self.record.steps[number]
        inputs = {field: self.artifacts[name] for field, name in step.references.items()}
        outcome.id = step.identity({field: artifact.content for field, artifact in inputs.items()})
        label = f"[{number + 1}/{len(self.plan.steps)}] {step.name}  {step.use}"
        who = f"process {os.getpid()} (recipe {self.plan.recipe.name}, step {step.name})"

        def waiting(holder: str) -> None:
            self.track.note(f"{label} … waits for {holder or 'another process'}, which is making the same")

        with _storage(self.store.root), self.store.lock(outcome.id, who=who, waiting=waiting):
            artifact = cached(self.store, outcome.id)
            fresh = artifact is not None and artifact.manifest["created"] >= self.began
            if artifact is not None and (fresh or step.name not in self.remake):
                outcome.state = "cached"
                self.track.note(f"{label} … cached")
            else:
                artifact = self._make(step, outcome, inputs, label)
        outcome.content = artifact.content
        outcome.seconds, outcome.peak_bytes = artifact.manifest["seconds"], artifact.manifest["peak_bytes"]
        self.artifacts[step.name] = artifact
        with _storage(self.folder):
            self._link(step.name, artifact)
            self._save()
            self.tracker.made(step, outcome.state, artifact)

    def _make(self, step: PlannedStep, outcome: Outcome, inputs: dict[str, Artifact], label: str) -> Artifact:
        assert outcome.id is not None
        self.track.note(f"{label} …")
        self.tracker.step = step.name
        if step.name in self.remake:
            shutil.rmtree(self.store.root / "work" / outcome.id, ignore_errors=True)
        cost = Cost()
        with self.store.draft(outcome.id) as draft:
            try:
                with cost, contextlib.chdir(self.plan.recipe.folder):
                    step.step(step.settings).run(inputs, draft, self.track)
                artifact = self.store.commit(draft, self._facts(step, outcome.id, inputs, cost))
            except BaseException as error:
                outcome.state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
                outcome.seconds, outcome.peak_bytes = cost.seconds, cost.peak
                outcome.report = [block for block in draft.report if block["type"] != "image"]
                error.add_note(f"in step {step.name!r} ({step.use}) of {self.plan.recipe.path}")
                raise
        outcome.state = "made"
        self.track.note(f"{label} … made in {duration(cost.seconds)} (peak {size(cost.peak)})")
        return artifact

    def _facts(self, step: PlannedStep, id: str, inputs: dict[str, Artifact], cost: Cost) -> dict[str, Any]:
        recipe = self.plan.recipe
        licences: dict[str, dict[str, str]] = {}
        for artifact in inputs.values():
            licences.update(artifact.licences)
        for field_name, marker in markers(type(step.settings)).items():
            name = getattr(step.settings, field_name)
            if isinstance(marker, registry.From) and field_name not in step.references:
                marker = marker.or_ or marker
            if isinstance(marker, registry.ModelName) and name is not None:
                licences[str(name)] = registry.model_licence(str(name), str(recipe.folder))
            elif isinstance(marker, registry.ChatName) and name is not None:
                licences[str(name)] = registry.chat_licence(str(name), str(recipe.folder))
        return {
            "id": id,
            "kind": step.makes,
            "step": step.name,
            "use": step.use,
            "recipe": recipe.name,
            "recipe_text": recipe.text,
            "sets": list(recipe.sets),
            "settings": step.described(),
            "inputs": {
                name: {"step": step.references[name], "id": artifact.id, "content": artifact.content}
                for name, artifact in inputs.items()
            },
            "sources": step.sources,
            "models": step.models,
            "code": step.code,
            "licences": licences,
            "seconds": round(cost.seconds, 3),
            "peak_bytes": cost.peak,
            "environment": self.record.environment,
        }

    def _link(self, name: str, artifact: Artifact) -> None:
        """A symbolic link runs/<recipe>/<step> to the artifact, for people who look around in the folder."""
        link = self.folder / name
        fresh = self.folder / f".{name}.{os.getpid()}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.path.relpath(artifact.path, self.folder))
        os.replace(fresh, link)

    def _save(self) -> None:
        text = json.dumps(asdict(self.record), ensure_ascii=False, indent=1)
        write_whole(self.folder / "run.json", text)

    def _finish(self, state: str) -> None:
        """Write the record and the report, whatever happened. What goes wrong here is raised only when nothing else
        has, so that it never hides the reason why the run stopped."""
        self.record.state, self.record.ended = state, _now()
        try:
            with _storage(self.folder):
                self._save()
                write_whole(self.folder / "report.html", report.render(asdict(self.record), self.artifacts))
                for name, value in self.record.figures.items():
                    self.tracker.metric(name, value, None)
                self.tracker.end(state, self.folder / "report.html", self.record.text)
        except Exception as error:
            if state == "finished":
                raise
            self.track.note(f"the report could not be written: {error}")


@contextlib.contextmanager
def _storage(where: Path) -> Iterator[None]:
    """Turn a full or unwritable disk, however a library words it, into a StorageError."""
    try:
        yield
    except DanluError:
        raise
    except Exception as error:
        told = storage_error(error, str(where))
        if told is None:
            raise
        for note in getattr(error, "__notes__", []):
            told.add_note(note)
        raise told from error


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all. Odd bytes of a file name are written `\\udcNN`."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def load_record(folder: Path) -> dict[str, Any]:
    """The record of the latest run in `folder` (store/runs/<recipe>); StorageError when there is none."""
    try:
        return dict(json.loads((folder / "run.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise StorageError(f"no record of a run: {error}", where=str(folder), next="danlu run RECIPE") from None
