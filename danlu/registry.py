"""The late table of methods: the word in the recipe → the class that does it. Nothing is imported until asked for.

To add a method, write one file with a `Step` in it and add one row to `STEPS`. A step's module must import in a few
milliseconds: torch and its like are imported inside functions.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast, get_args

from pydantic import BaseModel, ConfigDict

from danlu.artifact import Artifact, Draft
from danlu.errors import UsageError, nearest
from danlu.track import Track


class Settings(BaseModel):
    """Base of every step's settings: unknown keys are refused, values are frozen, descriptions are the reference."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


@dataclass(frozen=True)
class From:
    """Marks a field that names an earlier step, or a tuple of them, which must make artifacts of this kind. With `or_`,
    a name that is no step of the recipe may be a model's or a Chat's, which is hashed as such."""

    kind: str
    or_: ModelName | ChatName | None = None


@dataclass(frozen=True)
class Source:
    """Marks a field with a path (or list of paths) outside the store, relative to the recipe's folder; the content of
    the files is part of the step's identity."""


@dataclass(frozen=True)
class ModelName:
    """Marks a field that names a model: a built-in name, a local folder or a hub id. Its weights' hash is part of the
    step's identity."""


@dataclass(frozen=True)
class ChatName:
    """Marks a field that names a Chat to be asked, as `danlu.model.named` writes it: an endpoint, a GGUF file, a
    built-in model or a script. What can be hashed of it is part of the step's identity."""


@dataclass(frozen=True)
class Aside:
    """Marks a field that never changes what is made (how many at once, how much it may cost): it is no part of the
    step's identity, so that a step that it stopped goes on, with another value, where it was."""


Marker = From | Source | ModelName | ChatName | Aside


def markers(settings: type[Settings]) -> dict[str, Marker]:
    """The fields of a settings class with a marker (they name a step, a path, a model or a Chat, or stand aside),
    wherever in the type it stands."""

    def search(annotation: Any, metadata: Iterable[Any]) -> Iterator[Marker]:
        yield from (item for item in metadata if isinstance(item, Marker))
        for part in get_args(annotation):
            yield from search(part, getattr(part, "__metadata__", ()))

    fields = settings.model_fields.items()
    found = {name: next(search(field.annotation, field.metadata), None) for name, field in fields}
    return {name: marker for name, marker in found.items() if marker is not None}


S = TypeVar("S", bound=Settings)


class Step(Generic[S]):
    """One step of a recipe. Subclasses set `Settings` and `makes` and write `run`; some write `foresee`."""

    Settings: ClassVar[type[Settings]]
    makes: ClassVar[str]

    def __init__(self, settings: S) -> None:
        self.settings = settings

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        """Read `inputs` (by the name of the settings field that named each; `field.0`, `field.1`, … where a field names
        several) and write the artifact's files in `out`.

        Must be deterministic in what it writes, and resume from `out.work` when that holds an earlier attempt.
        """
        raise NotImplementedError

    def foresee(self, model: str, root: str) -> None:
        """Raise what `run` would raise, after hours perhaps, for reasons that can be known when the recipe is planned.

        `model` names the base model of what this step reads or trains, `root` is the folder that its path is relative
        to. Makes nothing, opens no weights; nothing is foreseen by default.
        """


_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")

STEPS: dict[str, str] = {
    "data.read": "danlu.data.read:Read",
    "data.git": "danlu.data.git:Git",
    "data.sql": "danlu.data.sql:Sql",
    "data.web": "danlu.data.web:Web",
    "data.hub": "danlu.data.hub:Hub",
    "data.clean": "danlu.data.clean:Clean",
    "data.boilerplate": "danlu.data.boilerplate:Boilerplate",
    "data.filter": "danlu.data.filter:Filter",
    "data.pii": "danlu.data.pii:Pii",
    "data.dedup": "danlu.data.dedup:Dedup",
    "data.decontaminate": "danlu.data.decontaminate:Decontaminate",
    "data.instruct": "danlu.data.instruct:Instruct",
    "data.examples": "danlu.data.examples:Examples",
    "data.preferences": "danlu.data.preferences:Preferences",
    "data.self_instruct": "danlu.data.synthesize.self_instruct:SelfInstruct",
    "data.evolve": "danlu.data.synthesize.evolve:Evolve",
    "data.explain": "danlu.data.synthesize.explain:Explain",
    "data.ask": "danlu.data.synthesize.ask:Ask",
    "data.backtranslate": "danlu.data.synthesize.backtranslate:Backtranslate",
    "data.translate": "danlu.data.synthesize.translate:Translate",
    "data.judge": "danlu.data.judge:Judge",
    "data.diversity": "danlu.data.diversity:Diversity",
    "data.mix": "danlu.data.mix:Mix",
    "data.augment": "danlu.data.augment:Augment",
    "data.prefer": "danlu.data.prefer:Prefer",
    "data.best_of": "danlu.data.best_of:BestOf",
    "data.taiwan_pairs": "danlu.data.taiwan_pairs:TaiwanPairs",
    "data.split": "danlu.data.split:Split",
    "train.sft": "danlu.train.sft:Sft",
    "merge.adapter": "danlu.merge.adapter:Adapter",
    "quant.gguf": "danlu.quant.gguf:Gguf",
    "eval.parity": "danlu.eval.parity:Parity",
    "eval.compare": "danlu.eval.compare:Compare",
    "eval.run": "danlu.eval.run:Run",
    "eval.judge": "danlu.eval.judged:Judged",
    "eval.gate": "danlu.eval.gate:Gate",
    "eval.card": "danlu.eval.card:Card",
    "eval.classic": "danlu.eval.classic.step:Classic",
    "rag.index": "danlu.rag.index:Index",
    "rag.assistant": "danlu.rag.assistant:Assistant",
}


def step_class(word: str) -> type[Step[Settings]]:
    """The class behind a word of `STEPS`; UsageError with the nearest word when there is none."""
    if word not in STEPS:
        raise UsageError(f"unknown step {word!r}", nearest=nearest(word, STEPS), next="danlu ls --steps")
    module, name = STEPS[word].split(":")
    return cast("type[Step[Settings]]", getattr(importlib.import_module(module), name))


def model_fingerprint(name: str, root: str) -> str:
    """The hash of a model's weights; `root` is the folder that a relative path is taken from."""
    return cast(str, importlib.import_module("danlu.model.find").fingerprint(name, root))


def model_licence(name: str, root: str) -> dict[str, str]:
    """The licence and terms of a model: {licence, terms}."""
    return cast("dict[str, str]", importlib.import_module("danlu.model.find").licence(name, root))


def model_problem(name: str, root: str) -> tuple[str, str | None] | None:
    """What is wrong with a model's name and the nearest built-in one; None for a built-in name, a local folder, or
    the shape of a hub id (org/name). Asks no hub and opens no model."""
    builtin = importlib.import_module("danlu.model.catalog").CATALOG
    if name in builtin or (Path(root) / Path(name).expanduser()).is_dir() or _HUB_ID.fullmatch(name):
        return None
    return f"{name!r} is no built-in model, no local folder and no hub id (org/name)", nearest(name, builtin)


def chat_fingerprint(name: str, root: str) -> str:
    """The hash of what is known of a Chat: its weights, its script, or its address."""
    return cast(str, importlib.import_module("danlu.model.named").fingerprint(name, root))


def chat_licence(name: str, root: str) -> dict[str, str]:
    """The licence and terms of a Chat: {licence, terms}."""
    return cast("dict[str, str]", importlib.import_module("danlu.model.named").licence(name, root))


def chat_problem(name: str, root: str) -> tuple[str, str | None] | None:
    """What is wrong with a Chat's name and the nearest built-in model; None when nothing is. Opens nothing."""
    return cast("tuple[str, str | None] | None", importlib.import_module("danlu.model.named").problem(name, root))


def makes(word: str) -> str:
    """The kind of artifact that a step makes."""
    return step_class(word).makes
