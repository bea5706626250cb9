"""The recipe: YAML read into typed settings, with every problem shown at once and before any heavy import.

A recipe is::

    recipe: tutor            # its name; the file's name when left out
    description: …           # optional
    seed: 0                  # the default seed of every step that has one
    steps:
      <name>: {use: <step word>, <setting>: <value>, …}

A step refers to earlier steps by name. `use` is a word of `danlu.registry.STEPS`; nothing in a recipe can name a
Python path, run code or trust a model's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from danlu import registry
from danlu.errors import Problem, RecipeError, nearest
from danlu.recipe.source import Mark, Place, Source, Unreadable, parse_value
from danlu.registry import From, Settings, Step, markers

TOP = ("recipe", "description", "seed", "steps")
_STEP_NAME = re.compile(r"[^\W\d]\w*(-\w+)*")
# pydantic's name of a mistake → what should stand there
_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text (in quotes)",
}
_RECIPE_NAME = re.compile(r"\w[\w. -]{0,99}")


@dataclass(frozen=True)
class Entry:
    """One step of a recipe: `references` is settings field → name of the earlier step; of a field that names several,
    `field.0`, `field.1`, …"""

    name: str
    use: str
    step: type[Step[Settings]]
    settings: Settings
    references: dict[str, str]


@dataclass(frozen=True)
class Recipe:
    """A recipe without problems. `folder` (absolute) is where its relative paths start; `text` is the file as read."""

    name: str
    description: str
    seed: int
    path: Path
    folder: Path
    text: str
    entries: tuple[Entry, ...]
    sets: tuple[str, ...] = ()


def read_recipe(path: Path, sets: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe; `sets` are `step.key=value` (or `seed=value`), each value read as YAML.

    Raises RecipeError with all problems found, each with file, line and column.
    """
    text = _read_text(path)
    try:
        source = Source(text)
    except Unreadable as error:
        line, column = error.mark
        raise RecipeError([Problem(error.what, f"{path}:{line}:{column}", next=error.next)]) from None
    checker = _Checker(path, text, source)
    checker.apply(sets)
    return checker.recipe(tuple(sets))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        what, near = "there is no such recipe", _nearest_path(path)
    except IsADirectoryError:
        what, near = "a folder, not a recipe", next((str(p) for p in sorted(path.glob("*.y*ml"))), None)
    except UnicodeDecodeError as error:
        what, near = f"not UTF-8 text (byte {error.start})", None
    except OSError as error:
        what, near = f"cannot be read: {error.strerror}", None
    raise RecipeError([Problem(what, str(path), near, "danlu plan RECIPE checks a recipe")])


def _nearest_path(path: Path) -> str | None:
    """The existing path closest to one that does not exist: the first missing part is replaced by its likeliest."""
    for parent in [*reversed(path.parents), path]:
        if not parent.exists():
            folder = parent.parent
            found = nearest(parent.name, (item.name for item in folder.iterdir())) if folder.is_dir() else None
            return str(folder / found) if found else None
    return None


class _Checker:
    """Goes through a document once, top to bottom, and collects what is wrong with it."""

    def __init__(self, path: Path, text: str, source: Source) -> None:
        self.path, self.text, self.source = path, text, source
        self.problems: list[tuple[Mark, Problem]] = [
            (mark, Problem(p.what, self._at(mark), p.nearest, p.next)) for mark, p in source.problems
        ]
        self.data: Any = source.data
        self.set_places: dict[Place, str] = {}

    def _at(self, mark: Mark) -> str:
        return f"{self.path}:{mark[0]}:{mark[1]}"

    def problem(
        self, what: str, place: Place, *, key: bool = False, near: str | None = None, next: str | None = None
    ) -> None:
        for length in range(len(place), 0, -1):
            if place[:length] in self.set_places:
                self.problems.append(((10**9, 0), Problem(what, self.set_places[place[:length]], near, next)))
                return
        mark = self.source.mark(place, key)
        self.problems.append((mark, Problem(what, self._at(mark), near, next)))

    def apply(self, sets: Sequence[str]) -> None:
        """Put the values of `--set` in their places."""
        for text in sets:
            target, equals, raw = text.partition("=")
            step, dot, key = target.partition(".")
            steps = self.data.get("steps") if isinstance(self.data, dict) else None
            steps = steps if isinstance(steps, dict) else {}
            where = f"--set {text}"
            if not equals or not step or (dot and not key) or (not dot and target != "seed"):
                what, near = "not of the form step.key=value", None
            elif dot and step not in steps:
                what, near = f"the recipe has no step {step!r}", nearest(step, (str(name) for name in steps))
            elif dot and not isinstance(steps[step], dict):
                continue
            else:
                try:
                    value = parse_value(raw)
                except Unreadable as error:
                    what, near = error.what, None
                else:
                    place: Place = ("steps", step, key) if dot else ("seed",)
                    (steps[step] if dot else self.data)[place[-1]] = value
                    self.set_places[place] = where
                    continue
            self.problems.append(((10**9, 0), Problem(what, where, near, "danlu run RECIPE --set sft.rank=16")))

    def recipe(self, sets: tuple[str, ...]) -> Recipe:
        """The recipe, or RecipeError with everything found."""
        data = self.data if isinstance(self.data, dict) else {}
        if not isinstance(self.data, dict):
            self.problem("a recipe is a mapping with the key 'steps'", (), next="see recipes/ for examples")
        for key in data:
            if key not in TOP:
                self.problem(f"unknown key {key!r}", (key,), key=True, near=nearest(str(key), TOP))
        name = self._text(data, "recipe", self.path.stem)
        if not _RECIPE_NAME.fullmatch(name):
            self.problem(f"{name!r} cannot be a recipe's name (letters, digits, - _ . and spaces)", ("recipe",))
        description = self._text(data, "description", "")
        seed = data.get("seed", 0)
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            self.problem(f"seed: a whole number from 0 up is wanted, not {seed!r}", ("seed",))
            seed = 0
        entries = self._steps(data, seed)
        if self.problems:
            raise RecipeError([problem for _, problem in sorted(self.problems, key=lambda found: found[0])])
        folder = self.path.absolute().parent
        return Recipe(name, description, seed, self.path, folder, self.text, tuple(entries), sets)

    def _text(self, data: dict[Any, Any], key: str, default: str) -> str:
        value = data.get(key, default)
        if not isinstance(value, str):
            self.problem(f"{key}: text is wanted, not {value!r}", (key,))
            return default
        return value

    def _steps(self, data: dict[Any, Any], seed: int) -> list[Entry]:
        steps = data.get("steps")
        if not isinstance(steps, dict) or not steps:
            if isinstance(self.data, dict):
                what = "'steps' is missing" if "steps" not in data else "'steps' must name at least one step"
                self.problem(what, ("steps",), next="danlu ls --steps lists the steps there are")
            return []
        made: dict[str, str | None] = {}
        entries = []
        for name, fields in steps.items():
            checked = _StepChecker(self, name, fields, made, [str(other) for other in steps], seed)
            entry = checked.entry()
            if entry is not None:
                entries.append(entry)
            made[str(name)] = checked.makes
        return entries


class _StepChecker:
    """Checks one step; `made` is what each step above it makes (None when that is unknown)."""

    def __init__(
        self, recipe: _Checker, name: Any, fields: Any, made: dict[str, str | None], names: list[str], seed: int
    ) -> None:
        self.recipe, self.name, self.fields = recipe, name, fields
        self.made, self.names, self.seed = made, names, seed
        self.place: Place = ("steps", name)
        self.use = ""
        self.makes: str | None = None

    def entry(self) -> Entry | None:
        step = self._step_class()
        if step is None:
            return None
        known = step.Settings.model_fields
        values = {key: value for key, value in self.fields.items() if key != "use"}
        if "seed" in known and "seed" not in values:
            values["seed"] = self.seed
        before = len(self.recipe.problems)
        settings: Settings | None = None
        try:
            # as JSON, strict: texts become paths and lists tuples, but no text and no `true` becomes a number
            settings = step.Settings.model_validate_json(_json(values), strict=True)
        except ValidationError as error:
            self._translate(error, known)
        references = self._markers(step.Settings, settings, values)
        if settings is None or len(self.recipe.problems) > before:
            return None
        return Entry(str(self.name), self.use, step, settings, references)

    def _step_class(self) -> type[Step[Settings]] | None:
        problem = self.recipe.problem
        if not isinstance(self.name, str) or not _STEP_NAME.fullmatch(self.name):
            problem(f"{self.name!r} cannot be a step's name (letters, digits, - and _)", self.place, key=True)
        if not isinstance(self.fields, dict):
            problem(f"{self.name}: a step is a mapping: {{use: data.read, …}}", self.place, next="danlu ls --steps")
            return None
        use = self.fields.get("use")
        if use is None:
            problem(f"{self.name}: 'use' is missing", self.place, key=True, next="danlu ls --steps")
            return None
        if not isinstance(use, str) or use not in registry.STEPS:
            near = _nearest_step(str(use))
            problem(f"{self.name}: unknown step {use!r}", (*self.place, "use"), near=near, next="danlu ls --steps")
            return None
        self.use = use
        step = registry.step_class(use)
        self.makes = step.makes
        return step

    def _translate(self, error: ValidationError, known: Iterable[str]) -> None:
        for found in error.errors():
            path = [part for part in found["loc"] if not isinstance(part, str) or "[" not in part]
            place = (*self.place, *path)
            field = ".".join(str(part) for part in path)
            near, key, value = None, False, found.get("input")
            if found["type"] == "extra_forbidden":
                what, key = f"{self.name}: unknown key {field!r} of {self.use}", True
                near = nearest(field, known) if len(path) == 1 else None
            elif found["type"] == "missing":
                what, key = f"{self.name}: {field!r} is missing", True
            elif found["type"] == "literal_error":
                expected = found["ctx"]["expected"]
                what = f"{self.name}.{field}: {value!r} is not one of {expected}"
                near = nearest(str(value), re.findall(r"'([^']*)'", expected))
            elif found["type"] in _WANTED:
                what = f"{self.name}.{field}: {_WANTED[found['type']]} is wanted, not {_short(value)}"
                near = _meant(found["type"], value)
            else:
                message = found["msg"].removeprefix("Value error, ").split(", unable to")[0]
                message = message[:1].lower() + message[1:]
                what = f"{self.name}.{field}: {message}, not {_short(value)}" if field else f"{self.name}: {message}"
            self.recipe.problem(what, place, key=key, near=near, next=f"danlu ls --steps {self.use}")

    def _markers(self, kind: type[Settings], settings: Settings | None, values: dict[str, Any]) -> dict[str, str]:
        """Check the fields that name steps, paths and models, even when another field of the step is wrong."""
        references = {}
        for field, marker in markers(kind).items():
            value = values.get(field) if settings is None else getattr(settings, field)
            several = enumerate(value) if isinstance(value, (list, tuple)) else [(None, value)]
            for index, item in several:
                place = (*self.place, field) if index is None else (*self.place, field, index)
                if isinstance(marker, From):
                    if self._elsewhere(item, marker.or_):
                        continue
                    if isinstance(item, str) and self._reference(field, item, marker.kind, place):
                        references[field if index is None else f"{field}.{index}"] = item
                elif isinstance(item, (str, Path)) and not isinstance(marker, registry.Aside):
                    self._outside(field, item, marker, place)
        return references

    def _elsewhere(self, name: Any, marker: registry.ModelName | registry.ChatName | None) -> bool:
        """Whether a value that may name a step names a model or a Chat instead: no step is called so, and it is one."""
        if marker is None or not isinstance(name, str) or name in self.names:
            return False
        check = registry.chat_problem if isinstance(marker, registry.ChatName) else registry.model_problem
        return check(name, str(self.recipe.path.absolute().parent)) is None

    def _reference(self, field: str, name: str, kind: str, place: Place) -> bool:
        fitting = [other for other, makes in self.made.items() if makes == kind]
        wanted = _one(kind)
        if name not in self.made:
            later = name in self.names
            why = "is this step" if name == self.name else "comes later" if later else "is no step of this recipe"
            near = nearest(name, fitting) or nearest(name, self.made) or (fitting[-1] if fitting else None)
            advice = f"put {name!r} above {self.name!r}" if later and name != self.name else None
            what = f"{self.name}.{field} needs {wanted}, and {name!r} {why}"
            self.recipe.problem(what, place, near=near, next=advice)
            return False
        makes = self.made[name]
        if makes is not None and makes != kind:
            what = f"{self.name}.{field} needs {wanted}, but {name!r} makes {_one(makes)}"
            near = fitting[-1] if fitting else None
            words = [word for word in registry.STEPS if not fitting and registry.makes(word) == kind]
            advice = f"add a step that makes it: {', '.join(words)}" if words else None
            self.recipe.problem(what, place, near=near, next=advice)
            return False
        return True

    def _outside(self, field: str, value: str | Path, marker: object, place: Place) -> None:
        folder = self.recipe.path.absolute().parent
        if isinstance(marker, registry.Source):
            path = folder / Path(value).expanduser()
            if not path.exists():
                found = _nearest_path(path)
                near = _relative(Path(found), folder) if found and not Path(value).is_absolute() else found
                self.recipe.problem(f"{self.name}.{field}: there is no {str(value)!r}", place, near=near)
            return
        check = registry.chat_problem if isinstance(marker, registry.ChatName) else registry.model_problem
        problem = check(str(value), str(folder))
        if problem is not None:
            what, near = problem
            self.recipe.problem(f"{self.name}.{field}: {what}", place, near=near, next="danlu model ls")


def _json(values: dict[str, Any]) -> str:
    return json.dumps({str(key): value for key, value in values.items()}, default=str)


def _meant(kind: str, value: Any) -> str | None:
    """What was likely meant by a value of the wrong kind: `true` by `yes`, 1000 by `1_000`."""
    text = str(value).strip().lower()
    if kind == "bool_type":
        return {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}.get(text)
    if kind == "string_type":
        return None  # what was written (010) is not known any more
    if kind == "int_type" and isinstance(value, float) and value.is_integer():
        return str(int(value))
    plain = text.replace("_", "").replace(",", "")
    return plain if re.fullmatch(r"-?\d+(\.\d+)?", plain) else None


def _nearest_step(word: str) -> str | None:
    """The nearest step word, by its whole or by its last part (`sft` for `train.sft`)."""
    tails = {known.split(".")[-1]: known for known in registry.STEPS}
    tail = nearest(word.split(".")[-1], tails, 0.7)
    return nearest(word, registry.STEPS) or (tails[tail] if tail else None)


def _relative(path: Path, folder: Path) -> str:
    import os

    return Path(os.path.relpath(path, folder)).as_posix()


def _one(kind: str) -> str:
    """`a split`, `an adapter`, `documents`."""
    return kind if kind.endswith("s") else f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
