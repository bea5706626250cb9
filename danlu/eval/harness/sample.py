"""Which examples stand before each question: the samplers of lm-evaluation-harness, with the same draws."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from danlu.errors import DataError, nearest

SAMPLERS = ("default", "first_n")
SEED = 1234  # what lm-evaluation-harness draws its examples with

Row = Mapping[str, Any]


def draws(
    sampler: str, pool: Sequence[Row], docs: Sequence[Row], shots: int, seed: int, apart: bool, where: str
) -> list[list[int]]:
    """For each question the places of its examples in `pool`.

    One generator serves all questions in order, so the examples of a question depend on how many came before it, and on
    nothing else. With `apart` a question is never its own example: one more is drawn, and what equals the question is
    left out. DataError when the pool is too small.
    """
    if sampler not in SAMPLERS:
        known = f"; there are {', '.join(SAMPLERS)}"
        raise DataError(f"no sampler {sampler!r}{known}", where=where, nearest=nearest(sampler, SAMPLERS))
    if shots == 0:
        return [[] for _ in docs]
    generator = random.Random(seed)
    one = _first if sampler == "first_n" else _random
    try:
        return [one(generator, pool, doc if apart else None, shots) for doc in docs]
    except ValueError:
        raise DataError(
            f"{shots} examples are asked for before each question, {len(pool)} are there"
            + (" (one of them the question itself)" if apart else ""),
            where=where, next="ask with fewer: --shots N",
        ) from None  # fmt: skip


def _random(generator: random.Random, pool: Sequence[Row], doc: Row | None, shots: int) -> list[int]:
    if not doc:
        return generator.sample(range(len(pool)), shots)
    drawn = generator.sample(range(len(pool)), shots + 1)
    kept = [place for place in drawn if pool[place] != doc][:shots]
    if len(kept) < shots:
        kept = generator.sample([place for place in range(len(pool)) if pool[place] != doc], shots)
    return kept


def _first(generator: random.Random, pool: Sequence[Row], doc: Row | None, shots: int) -> list[int]:
    places = [place for place in range(len(pool)) if doc is None or pool[place] != doc][:shots]
    if len(places) < shots:
        raise ValueError
    return places
