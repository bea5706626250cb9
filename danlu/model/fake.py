"""Fakes of the protocols, for tests and for trying out what is built upon them. They hold no model."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterator, Mapping, Sequence

from danlu.errors import DanluError
from danlu.model.chat import GREEDY, Delta, Options, Usage
from danlu.model.language_model import Answer, Continuation, Failure, Generation, LogLikelihood, Request, Result
from danlu.model.scorer import Pair
from danlu.records import Message


class Scripted:
    """A Chat that answers from a script: a mapping from a text found in the last message to its answer, or a sequence
    of answers given in turn, the last one for ever. An answer that is a DanluError is raised instead.

    A "token" is one character, or a run of Latin letters and digits; `max_tokens` and `stop` are honoured. `calls`
    keeps the messages and options of every call.
    """

    def __init__(self, script: Mapping[str, str | DanluError] | Sequence[str | DanluError]) -> None:
        self.script = script
        self.calls: list[tuple[list[Message], Options]] = []
        self._lock = threading.Lock()

    def stream(self, messages: Sequence[Message], options: Options = GREEDY) -> Iterator[Delta]:
        answer = self._answer(list(messages), options)
        if isinstance(answer, DanluError):
            raise answer
        for mark in options.stop:
            answer = answer.split(mark)[0]
        tokens = _tokens(answer)
        given = tokens[: options.max_tokens]
        for token in given:
            yield Delta(token)
        prompt = sum(len(_tokens(message.content)) for message in messages)
        yield Delta(finish="stop" if len(given) == len(tokens) else "length", usage=Usage(prompt, len(given)))

    def _answer(self, messages: list[Message], options: Options) -> str | DanluError:
        with self._lock:
            turn = len(self.calls)
            self.calls.append((messages, options))
        if not isinstance(self.script, Mapping):
            return self.script[min(turn, len(self.script) - 1)]
        for key, answer in self.script.items():
            if key in messages[-1].content:
                return answer
        raise DanluError("the script holds no answer to this", where=messages[-1].content[:80])


class Likelihoods:
    """A Scorer in which each token has a fixed probability whatever came before: `probabilities[token]`, else
    `other`. A token is greedy when none is more probable."""

    def __init__(self, probabilities: Mapping[int, float], other: float = 1e-4) -> None:
        self.probabilities = dict(probabilities)
        self.other = other

    def loglikelihood(self, pairs: Sequence[Pair]) -> list[tuple[float, bool]]:
        best = max([self.other, *self.probabilities.values()])
        results = []
        for _, continuation in pairs:
            chances = [self.probabilities.get(token, self.other) for token in continuation]
            results.append((sum(math.log(chance) for chance in chances), all(c >= best for c in chances)))
        return results


class ScriptedModel:
    """A LanguageModel of one probability a character: `probabilities[character]`, else `other`; a generation is the
    first answer whose key occurs in the prompt, else a Failure "unsupported". A token is a character. `asked` keeps
    every request.
    """

    def __init__(
        self,
        probabilities: Mapping[str, float] | None = None,
        answers: Mapping[str, str] | None = None,
        other: float = 1e-3,
        context: int | None = None,
        name: str = "scripted",
    ) -> None:
        self.probabilities, self.answers, self.other = dict(probabilities or {}), dict(answers or {}), other
        self.name, self.fingerprint, self.context = name, f"scripted-{name}", context
        self.facts: Mapping[str, object] = {"backend": "scripted"}
        self.asked: list[Request] = []

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Result]]:
        for place, request in enumerate(requests):
            self.asked.append(request)
            yield place, self._answer(request)

    def count(self, text: str) -> int:
        return len(text) + 1

    def close(self) -> None:
        return

    def _answer(self, request: Request) -> Result:
        if isinstance(request, Generation):
            return self._generated(request)
        both = request.context + request.continuation if isinstance(request, Continuation) else request.text
        if self.context is not None and len(both) + 1 > self.context and isinstance(request, Continuation):
            return Failure("too-long", f"{len(both) + 1} tokens, the context holds {self.context}")
        scored = request.continuation if isinstance(request, Continuation) else request.text
        chances = [self.probabilities.get(character, self.other) for character in scored]
        best = max([self.other, *self.probabilities.values()])
        greedy = isinstance(request, Continuation) and all(chance >= best for chance in chances)
        return LogLikelihood(sum(map(math.log, chances)), greedy, len(chances))

    def _generated(self, request: Generation) -> Result:
        prompt = request.prompt if isinstance(request.prompt, str) else request.prompt[-1].content
        text = next((answer for key, answer in self.answers.items() if key in prompt), None)
        if text is None:
            return Failure("unsupported", "the script holds no answer to this")
        for mark in request.stop:
            text = text.split(mark)[0]
        finish = "stop" if len(text) <= request.max_tokens else "length"
        return Answer(text[: request.max_tokens], finish, min(len(text), request.max_tokens))


def _tokens(text: str) -> list[str]:
    return re.findall(r"[A-Za-z0-9]+|.", text, flags=re.DOTALL)
