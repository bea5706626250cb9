"""`LanguageModel`: what a measurement asks of a model, whatever runs it.

Three kinds of request, as in lm-evaluation-harness (Gao et al., 2021): the log-likelihood of a continuation, the
rolling log-likelihood of a whole text, and a generation. A backend may answer in any order, each result as soon as it
is known, so that whoever asks can keep it: a killed run pays for no request twice. The scripted fake is
`danlu.model.fake.ScriptedModel`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from danlu.records import Message


@dataclass(frozen=True)
class Continuation:
    """How likely is `continuation` after `context`? Both are plain text. White space at the end of the context
    belongs to the continuation, and the two are tokenized as one text and cut at the length of the context's own
    tokens (as in lm-evaluation-harness). An empty context stands for the text's beginning (BOS, or EOS where a model
    has none)."""

    context: str
    continuation: str


@dataclass(frozen=True)
class Rolling:
    """How likely is all of `text`, from its beginning? Each token is scored once, with as much context before it as the
    model's window holds (disjoint windows, one token of overlap, as in lm-evaluation-harness)."""

    text: str


@dataclass(frozen=True)
class Generation:
    """What does the model write after `prompt` (plain text, or messages that the backend renders)? The answer ends
    before the first of `stop`, which is not part of it, or after `max_tokens` tokens of the model."""

    prompt: str | tuple[Message, ...]
    stop: tuple[str, ...] = ()
    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    json_schema: Mapping[str, Any] | None = None


Request = Continuation | Rolling | Generation


@dataclass(frozen=True)
class LogLikelihood:
    """Sum of log p in nats over `tokens` tokens, and whether each of them was the most probable one (False for rolling
    requests, where nobody asks)."""

    value: float
    greedy: bool
    tokens: int


@dataclass(frozen=True)
class Answer:
    """What the model wrote. `finish` is "stop" or "length"."""

    text: str
    finish: str
    tokens: int


@dataclass(frozen=True)
class Failure:
    """A request without a result. `reason` is one of the words below, and is counted; `detail` is for people.

    too-long: the request does not fit the model's context. unsupported: the backend cannot answer such a request.
    refused, rate-limited, server-error, timeout, unreadable: what an endpoint did, after its last retry.
    """

    reason: str
    detail: str = ""


Result = LogLikelihood | Answer | Failure


class LanguageModel(Protocol):
    """Anything that an evaluation can ask.

    `name` is how the user called it and `fingerprint` the hash of its weights, tokenizer and template (of an
    endpoint, of its address and model): results are cached under it. `facts` says what else a reader of a score wants
    to know: backend and its version, dtype, device, context. `context` is the longest request in tokens, None where
    only the server knows.
    """

    name: str
    fingerprint: str
    facts: Mapping[str, Any]
    context: int | None

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Result]]:
        """(place in `requests`, result) of each request exactly once, in any order. Never raises for a single bad
        request (that is a Failure); raises a DanluError when the model itself cannot be used."""
        ...

    def count(self, text: str) -> int | None:
        """Tokens of a plain text as a context, its beginning token included; None where only the server knows."""
        ...

    def close(self) -> None: ...
