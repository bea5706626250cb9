"""From requests for log-likelihoods to token sequences, and back: the same for every engine that runs locally."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from danlu.model.language_model import Continuation, Failure, LogLikelihood, Result, Rolling
from danlu.model.pairs import Encoder, Pair


class Engine(Protocol):
    """What computes. For each of `sequences` (token ids) `wanted` lists (position, token): how likely is that token
    after the tokens up to and including that position? With `summed` only the sum over a text will be used: one log p
    may then err by a few 1e-4, and the bool be False."""

    def score(
        self, sequences: list[list[int]], wanted: list[list[tuple[int, int]]], *, summed: bool = False
    ) -> Iterator[tuple[int, list[tuple[float, bool]]]]:
        """(which sequence, (log p in nats, whether no token is more likely) of each wanted one), in any order."""
        ...


def scored(
    asked: Sequence[tuple[int, Continuation | Rolling]], encoder: Encoder, context: int, engine: Engine
) -> Iterator[tuple[int, Result]]:
    """(place, result) of each (place, request). A request is a few pairs of tokens (a rolling one has a pair a window);
    the input of a pair is all but its last token, and pairs with the same input are one sequence."""
    for kind in (Continuation, Rolling):
        if some := [(place, one) for place, one in asked if isinstance(one, kind)]:
            yield from _scored(some, encoder, context, engine, summed=kind is Rolling)


def _scored(
    asked: Sequence[tuple[int, Continuation | Rolling]], encoder: Encoder, context: int, engine: Engine, summed: bool
) -> Iterator[tuple[int, Result]]:
    sums: dict[int, _Sum] = {}
    sequences: dict[tuple[int, ...], list[tuple[int, int, list[int]]]] = {}
    for place, pairs in _pairs(asked, encoder, context):
        if failure := _refused(pairs, None if summed else context):
            yield place, failure
            continue
        sums[place] = _Sum(len(pairs), summed)
        for before, tokens in pairs:
            sequences.setdefault((*before, *tokens[:-1]), []).append((place, len(before) - 1, tokens))
    users = list(sequences.values())
    wanted = [sorted({(at + k, token) for _, at, tokens in some for k, token in enumerate(tokens)}) for some in users]
    for number, logs in engine.score(list(map(list, sequences)), wanted, summed=summed):
        known = dict(zip(wanted[number], logs, strict=True))
        for place, at, tokens in users[number]:
            sums[place].add([known[at + k, token] for k, token in enumerate(tokens)])
            if not sums[place].left:
                yield place, sums.pop(place).result()


def _pairs(
    asked: Sequence[tuple[int, Continuation | Rolling]], encoder: Encoder, context: int
) -> Iterator[tuple[int, list[Pair]]]:
    """(place, pairs) of each request."""
    single = [(place, one) for place, one in asked if isinstance(one, Continuation)]
    for (place, _), pair in zip(single, encoder.pairs([one for _, one in single]), strict=True):
        yield place, [pair]
    for place, one in asked:
        if isinstance(one, Rolling):
            yield place, encoder.windows(one.text, context)


def _refused(pairs: list[Pair], context: int | None) -> Failure | None:
    if not pairs or not all(tokens for _, tokens in pairs):
        return Failure("unsupported", "there is no token to score")
    length = max(len(before) + len(tokens) - 1 for before, tokens in pairs)
    if context is not None and length > context:
        return Failure("too-long", f"{length} tokens, the context holds {context}")
    return None


class _Sum:
    """A request on its way: windows that are left, and what the others gave."""

    def __init__(self, left: int, rolling: bool) -> None:
        self.left, self.rolling = left, rolling
        self.value, self.greedy, self.tokens = 0.0, True, 0

    def add(self, logs: Sequence[tuple[float, bool]]) -> None:
        self.left -= 1
        self.value += sum(log for log, _ in logs)
        self.greedy = self.greedy and all(best for _, best in logs)
        self.tokens += len(logs)

    def result(self) -> LogLikelihood:
        return LogLikelihood(self.value, self.greedy and not self.rolling, self.tokens)
