"""The keystone: `Chat`, messages in and a stream of deltas out.

A model is a Chat, an external API is a Chat, an assistant with retrieval is a Chat around a Chat, and the server and
the measurements take any of them. The scripted fake is `danlu.model.fake.Scripted`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from danlu.errors import ModelError
from danlu.records import Message


@dataclass(frozen=True)
class Options:
    """How to decode. `temperature` 0 is greedy; `max_tokens` bounds the answer, in tokens of the model that answers;
    decoding also ends before the first of `stop`, which is not part of the answer. With `json_schema`, a backend that
    can (an endpoint with response_format, llama.cpp with a grammar) holds the answer to JSON of that schema; the others
    ignore it, so the answer is still to be checked. `top_k` 0 and `min_p` 0 cut nothing off; they and `top_p` matter
    beside a temperature only. The penalties are OpenAI's: subtracted from the logit of a token once for each time
    (`frequency_penalty`), or once in all (`presence_penalty`), that it came in the answer."""

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0
    json_schema: Mapping[str, Any] | None = None
    top_k: int = 0
    min_p: float = 0.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0


GREEDY = Options()


@dataclass(frozen=True)
class Usage:
    """Tokens that the prompt and the answer took, counted by the model that answered."""

    prompt_tokens: int
    completion_tokens: int

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class Delta:
    """A piece of an answer. The last delta of a stream carries `finish` ("stop" or "length") and, where the backend
    counts, `usage`. An assistant with documents adds `sources`, the passages that the markers [n] in the text so far
    refer to, and at the end `grounding`: how it came to its answer ("mode": "generated", "quoted" or "refused"), and
    what it left out."""

    text: str = ""
    finish: str | None = None
    usage: Usage | None = None
    sources: list[dict[str, Any]] | None = None
    grounding: dict[str, Any] | None = None


class Chat(Protocol):
    """Anything that answers. `stream` may be called from several threads at once; it raises a DanluError, at the
    latest while it is iterated, when no answer can be given: an answer that ends is whole. Closing the iterator early
    stops the work behind it."""

    def stream(self, messages: Sequence[Message], options: Options = GREEDY) -> Iterator[Delta]: ...


@runtime_checkable
class Measured(Chat, Protocol):
    """A Chat that can say beforehand how much of its context a prompt takes."""

    context: int

    def count(self, messages: Sequence[Message]) -> int:
        """Tokens of the rendered prompt, up to where the answer begins."""
        ...


class PromptTooLong(ModelError):
    """A prompt that leaves no place for an answer. Nothing is ever cut to make it fit."""

    def __init__(self, tokens: int, context: int, where: str = "") -> None:
        self.tokens, self.context = tokens, context
        super().__init__(
            f"the prompt has {tokens} tokens and the model's context holds {context}",
            where=where,
            next="shorten the conversation, or serve with a larger context",
        )


def gather(deltas: Iterable[Delta]) -> Delta:
    """One Delta with the whole text, and the last finish, usage, sources and grounding of a stream."""
    text: list[str] = []
    finish, usage, sources, grounding = None, None, None, None
    for delta in deltas:
        text.append(delta.text)
        finish = delta.finish or finish
        usage = delta.usage or usage
        sources = delta.sources if delta.sources is not None else sources
        grounding = delta.grounding or grounding
    return Delta("".join(text), finish, usage, sources, grounding)


def complete(chat: Chat, messages: Sequence[Message], options: Options = GREEDY) -> str:
    """The whole answer as text."""
    return gather(chat.stream(messages, options)).text
