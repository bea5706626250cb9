"""`Scorer`: the log-likelihood of a continuation after a context.

The scripted fake is `danlu.model.fake.Likelihoods`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

Pair = tuple[list[int], list[int]]
"""Token ids of the context, and of the continuation."""


class Scorer(Protocol):
    """Anything that gives likelihoods."""

    def loglikelihood(self, pairs: Sequence[Pair]) -> list[tuple[float, bool]]:
        """For each (context, continuation): the sum of log p, in nats, of the continuation's tokens given all before
        them, and whether each of them is the most probable one (the continuation is the greedy one).

        An empty continuation scores (0.0, True). A pair longer than the model's context raises a ModelError; nothing
        is cut.
        """
        ...
