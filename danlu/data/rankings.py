"""Pairs from ranked answers: which two of several answers make a preference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from danlu.registry import Settings

Choice = Literal["best-worst", "neighbours", "all"]


class Scored(NamedTuple):
    """An answer and its score; higher is better."""

    answer: str
    score: float


class PairSettings(Settings):
    """The settings of every step that makes pairs of scored answers."""

    pairs: Choice = "best-worst"
    """Which answers to one prompt make a pair: the best with the worst, each with the next in rank, or all."""

    margin: Annotated[float, Field(ge=0)] = 0.0
    """The least difference of the two scores; equal scores never make a pair."""


def chosen(answers: Sequence[Scored], settings: PairSettings) -> Iterator[tuple[Scored, Scored]]:
    """The (better, worse) pairs, best first. Of answers that are the same word for word the best score counts."""
    best: dict[str, float] = {}
    for one in answers:
        best[one.answer] = max(one.score, best.get(one.answer, one.score))
    ranked = sorted((Scored(*entry) for entry in best.items()), key=lambda one: (-one.score, one.answer))
    if settings.pairs == "best-worst":
        found = iter([(ranked[0], ranked[-1])] if len(ranked) > 1 else [])
    elif settings.pairs == "neighbours":
        found = pairwise(ranked)
    else:
        found = combinations(ranked, 2)
    for better, worse in found:
        difference = better.score - worse.score
        if difference > 0 and difference >= settings.margin:
            yield better, worse
