"""A task: questions from a file, what is asked of a model for each, and how the answers become scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from danlu.model.language_model import Request, Result
from danlu.records import Score


@dataclass(frozen=True)
class Doc:
    """A question of a task: its fields as the task's templates see them. `id` is the hash of the fields."""

    id: str
    fields: Mapping[str, Any]
    subject: str = ""


@dataclass(frozen=True)
class Scored:
    """What the answers to one question are worth. `values` and `weights` as in `danlu.eval.results.Sample`; `items` is
    what a metric's own aggregation wants instead of a number (a prediction and its reference, for F1 or BLEU)."""

    answer: Any
    target: Any
    values: Mapping[str, float]
    weights: Mapping[str, float] = field(default_factory=dict)
    items: Mapping[str, Any] = field(default_factory=dict)


class Task(Protocol):
    """What the runner knows of a task."""

    name: str
    title: str
    version: str
    kind: str
    shots: int
    data: Mapping[str, Any]

    def documents(self) -> Sequence[Doc]:
        """The questions, in order."""
        ...

    def requests(self, doc: Doc, shots: int, seed: int) -> list[Request]:
        """What is asked for one question, with so many examples before it. Depends on nothing else."""
        ...

    def score(self, doc: Doc, results: Sequence[Result]) -> Scored:
        """`results` are those of `requests`, in order; none of them is a Failure."""
        ...

    def aggregate(self, docs: Sequence[Doc], scored: Sequence[Scored], seed: int) -> list[Score]:
        """The scores over some questions, each with n, standard error, version and direction."""
        ...


@runtime_checkable
class Conversation(Protocol):
    """A task with later turns, which depend on what the model said before."""

    def follow(self, doc: Doc, requests: Sequence[Request], results: Sequence[Result]) -> list[Request]:
        """What is asked after the first results, none of which is a Failure; [] for nothing. The results of these
        come after the first ones in what `score` gets."""
        ...
