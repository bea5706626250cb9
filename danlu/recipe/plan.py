"""The plan: a recipe's steps, frozen, each with all that its identity is made of.

A step's identity is the hash of its word, its settings (without the names of other steps and what stands aside), the
*content* of its inputs, of its source files and of its models, and the version of its code. A step whose input is not
made yet has no identity yet. Steps run in the order of writing, in which every reference points up.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danlu import registry
from danlu.artifact import Artifact, Store, digest, file_digest
from danlu.errors import DanluError, DataError, StorageError
from danlu.recipe.code import code_version
from danlu.recipe.schema import Entry, Recipe
from danlu.registry import Settings, Step, markers
from danlu.track import Track


@dataclass(frozen=True)
class PlannedStep:
    """A step with the hashes of what it reads from outside; `references` is settings field → earlier step (`field.0`,
    `field.1`, … of a field that names several)."""

    name: str
    use: str
    makes: str
    settings: Settings
    step: type[Step[Settings]]
    references: dict[str, str]
    sources: dict[str, str]
    models: dict[str, str]
    code: str

    def described(self) -> dict[str, Any]:
        """The settings as JSON values, without the names of other steps and what never changes the result."""
        special = markers(type(self.settings))
        aside = {field for field, marker in special.items() if isinstance(marker, registry.Aside)}
        named = {field.split(".")[0] for field in self.references}
        return {k: v for k, v in self.settings.model_dump(mode="json").items() if k not in named | aside}

    def identity(self, contents: Mapping[str, str]) -> str:
        """The id of the artifact, given the content hash of each input by its settings field."""
        return digest(
            {
                "use": self.use,
                "settings": self.described(),
                "inputs": dict(contents),
                "sources": self.sources,
                "models": self.models,
                "code": self.code,
            }
        )[:16]


@dataclass(frozen=True)
class Plan:
    recipe: Recipe
    steps: tuple[PlannedStep, ...]


@dataclass(frozen=True)
class State:
    """How a step stands: `state` is "cached", "to make" or "waits for X"; `id` is None while it waits."""

    step: PlannedStep
    state: str
    id: str | None
    artifact: Artifact | None


def make_plan(recipe: Recipe, track: Track | None = None) -> Plan:
    """Hash what the recipe's steps read from outside, and ask each step what it foresees.

    Raises DataError (a source cannot be read) and ModelError (a model that is not there, or of which a step can tell
    that it will not do).
    """
    quiet = track or Track(quiet=True)
    steps = tuple(_planned(entry, recipe, quiet) for entry in recipe.entries)
    _foresee(recipe)
    return Plan(recipe, steps)


def _foresee(recipe: Recipe) -> None:
    """Let each step look at the base model that comes down to it, and refuse what it can not do with it."""
    bases: dict[str, str] = {}
    for entry in recipe.entries:
        special = markers(type(entry.settings))
        own = (field for field, marker in special.items() if isinstance(marker, registry.ModelName))
        value = getattr(entry.settings, next(own, ""), None) if entry.step.makes == "adapter" else None
        above = (
            bases.get(name)
            for field, name in entry.references.items()
            if isinstance(marker := special[field.split(".")[0]], registry.From) and marker.kind in ("adapter", "model")
        )
        base = value if isinstance(value, str) else next((name for name in above if name), None)
        if base is None:
            continue
        bases[entry.name] = base
        try:
            entry.step(entry.settings).foresee(base, str(recipe.folder))
        except DanluError as error:
            error.add_note(f"in step {entry.name!r} ({entry.use}) of {recipe.path}; nothing was made")
            raise


def _planned(entry: Entry, recipe: Recipe, track: Track) -> PlannedStep:
    sources: dict[str, str] = {}
    models: dict[str, str] = {}
    exclude = getattr(entry.settings, "exclude", None) or []
    for field, marker in markers(type(entry.settings)).items():
        value = getattr(entry.settings, field)
        items = list(value) if isinstance(value, (list, tuple)) else [] if value is None else [value]
        if isinstance(marker, registry.Source):
            paths = [recipe.folder / Path(item).expanduser() for item in items]
            sources[field] = digest([source_digest(path, exclude, f"{entry.name}.{field}", track) for path in paths])
        named = marker.or_ if isinstance(marker, registry.From) and field not in entry.references else marker
        if isinstance(named, registry.ModelName):
            models[field] = digest([registry.model_fingerprint(str(item), str(recipe.folder)) for item in items])
        elif isinstance(named, registry.ChatName):
            models[field] = digest([registry.chat_fingerprint(str(item), str(recipe.folder)) for item in items])
    return PlannedStep(
        name=entry.name,
        use=entry.use,
        makes=entry.step.makes,
        settings=entry.settings,
        step=entry.step,
        references=entry.references,
        sources=sources,
        models=models,
        code=code_version(entry.step.__module__),
    )


def source_digest(path: Path, exclude: list[str], where: str, track: Track) -> str:
    """The hash of a file's bytes, or of the relative names and bytes of a folder's files.

    Left out: what is hidden (a name that starts with a dot) and what `exclude` names (patterns of a name at any depth
    or of a path from the folder). A file of a folder that the system refuses to give counts as that: the step that
    reads it says so.
    """

    def held(file: Path) -> str:
        try:
            return file_digest(file)
        except PermissionError:
            return "unreadable"

    try:
        if path.is_file():
            return file_digest(path)
        files = list(_source_files(path, exclude))
        return digest({name: held(path / name) for name in track.over(files, f"reading {path.name}")})
    except OSError as error:
        raise DataError(f"a source cannot be read: {error.strerror}", where=f"{where}: {error.filename}") from None


def _source_files(root: Path, exclude: list[str]) -> Iterator[str]:
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        ways = {*parts, *("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))}
        hidden = any(part.startswith(".") for part in parts)
        if not hidden and path.is_file() and not any(fnmatch.fnmatchcase(w, glob) for w in ways for glob in exclude):
            yield "/".join(parts)


def cached(store: Store | None, id: str) -> Artifact | None:
    """The finished artifact of that id, all of its files in their size; None when there is none or it is damaged."""
    if store is None:
        return None
    try:
        artifact = store.get(id)
    except StorageError:
        return None
    return artifact if artifact is not None and artifact.whole() else None


def states(plan: Plan, store: Store | None) -> list[State]:
    """How each step stands against the store, without making anything."""
    made: dict[str, Artifact] = {}
    found = []
    for step in plan.steps:
        waits = next((name for name in step.references.values() if name not in made), None)
        if waits is not None:
            found.append(State(step, f"waits for {waits}", None, None))
            continue
        id = step.identity({field: made[name].content for field, name in step.references.items()})
        artifact = cached(store, id)
        if artifact is not None:
            made[step.name] = artifact
        found.append(State(step, "cached" if artifact else "to make", id, artifact))
    return found
