"""Any OpenAI-compatible endpoint as a `LanguageModel`.

Generations from messages go to /chat/completions, from plain prompts to /completions, where no chat template comes in
between; where a server only chats, a plain prompt is sent as one user's message, and the facts say so. Log-likelihoods
need a server that says how likely the tokens of a prompt were: by `echo` with `logprobs` at /completions (OpenAI's
first interface, vLLM) or by vLLM's `prompt_logprobs`. Which of them a server has is found out with a probe; where it
has neither (OpenAI's chat models, llama.cpp's server), such a request is a Failure "unsupported".

The continuation begins after as many tokens as the context has alone, as in lm-evaluation-harness; how many that are is
asked once for each context. A text without a context can be scored where the server shows a BOS before it.

Failures that may pass (429, 5xx, timeouts, nonsense) are tried again after 0.5 · 2ⁿ seconds with full jitter, or what
Retry-After asks; while one request waits for a rate limit, so do the others. What remains is a Failure. An endpoint
that refuses the key, does not know the model, or cannot be reached raises EndpointError; what came before was handed
out.

Not covered: windows for rolling texts longer than the server's context (a Failure "too-long"), tokens counted on this
side, endpoints that speak only the Responses API.
"""

from __future__ import annotations

import math
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from danlu.artifact import digest
from danlu.errors import EndpointError
from danlu.model.chat import Options, gather
from danlu.model.endpoint import Endpoint, Passing, Refused
from danlu.model.language_model import (
    Answer,
    Continuation,
    Failure,
    Generation,
    LogLikelihood,
    Request,
    Result,
    Rolling,
)
from danlu.records import Message

if TYPE_CHECKING:
    import httpx

_LONGEST_WAIT = 60.0
_STOPS = 4  # what OpenAI takes; an answer is cut at the others on this side
_TOO_LONG = re.compile(r"context.{0,12}(length|size|window)|maximum context|too long|too many tokens", re.IGNORECASE)
_NO_SUCH_ROUTE = {404, 405, 501}
_ONLY_CHATS = "this server has no /completions: plain prompts were sent as a user's message, in its chat template"
_PROBE = "1 2 3 4"
_BOS = re.compile(r"<[^<>]+>|\[[A-Z]+\]|")


@dataclass(frozen=True)
class Prompt:
    """What a server says of a prompt's tokens: log p of each (None for the first) and whether no token was more likely;
    `begun` when the first one is a BOS, and not of the text."""

    logs: list[tuple[float | None, bool]]
    begun: bool = False


Scores = Callable[[str], Prompt]


class EndpointModel:
    """`url` with or without a final /chat/completions; `at_once` requests are on their way, each tried again `retries`
    times. `timeout` is in seconds, for connecting and for each silence. The key is read from `key_variable` at the
    moment of a request and goes nowhere else. An Answer's `tokens` is 0 where the server does not count."""

    def __init__(
        self,
        url: str,
        model: str,
        *,
        name: str | None = None,
        at_once: int = 8,
        timeout: float = 120.0,
        retries: int = 5,
        key_variable: str = "OPENAI_API_KEY",
        context: int | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self._endpoint = Endpoint(
            url, model, key_variable=key_variable, timeout=timeout, retries=0, transport=transport
        )
        address = self._endpoint.url.removesuffix("/chat/completions")
        self.name = name or f"endpoint:{address}#{model}"
        self.fingerprint = digest({"endpoint": address, "model": model})
        self.facts: Mapping[str, Any] = {"backend": "endpoint", "address": address, "model": model}
        self.context = context
        self.at_once, self.retries = at_once, retries
        self._over = threading.Event()
        self._sleep = sleep or self._over.wait
        self._lock, self._probing = threading.Lock(), threading.Lock()
        self._not_before = 0.0
        self._scores: Scores | Failure | None = None
        self._only_chats = False
        self._lengths: dict[str, int] = {}
        self._gates: dict[str, threading.Lock] = {}

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Result]]:
        """See `LanguageModel.answer`: each result as soon as it is there."""
        self._over.clear()
        if isinstance(self._scores, Failure) and self._scores.reason != "unsupported":
            self._scores = None
        pool = ThreadPoolExecutor(self.at_once, thread_name_prefix="endpoint")
        try:
            asked: dict[Future[Result], int] = {
                pool.submit(self._answer, request): place for place, request in enumerate(requests)
            }
            for future in as_completed(asked):
                yield asked[future], future.result()
        finally:
            self._over.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def count(self, text: str) -> int | None:
        """None: only the server knows its tokens."""
        return None

    def close(self) -> None:
        """Close the connections."""
        self._over.set()
        self._endpoint.close()

    def _answer(self, request: Request) -> Result:
        if isinstance(request, Generation):
            chat = self._only_chats or not isinstance(request.prompt, str)
            return self._tried(lambda: self._generated(request), chat)
        scores = self._how_to_score()
        if isinstance(scores, Failure):
            return scores
        if isinstance(request, Rolling):
            return self._tried(lambda: _begun(scores(request.text), rolling=True))
        return self._continued(request, scores)

    def _tried(self, attempt: Callable[[], Result], chat: bool = False) -> Result:
        """What `attempt` gives, tried again as long as that may help; `chat` when it goes to the route that every
        endpoint has."""
        for number in range(self.retries + 1):
            self._sleep_until_allowed()
            try:
                return attempt()
            except Refused as error:
                return self._refused(error, chat)
            except EndpointError as error:
                wait = error.wait if isinstance(error, Passing) else None
                failure = _failure(error)
                if failure is None and number == self.retries:
                    raise
                last = number == self.retries or (wait or 0) > _LONGEST_WAIT or self._over.is_set()
                if failure is not None and last:
                    return failure
                if wait is not None:
                    self._hold_back(wait)
                else:
                    self._sleep(random.uniform(0, min(_LONGEST_WAIT, 0.5 * 2**number)))
        raise AssertionError("the last attempt returns or raises")

    def _hold_back(self, seconds: float) -> None:
        with self._lock:
            self._not_before = max(self._not_before, time.monotonic() + seconds)

    def _sleep_until_allowed(self) -> None:
        """A wait that one request was told is a wait for all."""
        with self._lock:
            wait = self._not_before - time.monotonic()
        if wait > 0:
            self._sleep(wait)

    def _refused(self, error: Refused, chat: bool) -> Failure:
        what = error.problem.what
        if error.status in (401, 403) or (chat and error.status == 404):
            raise error
        if error.status in _NO_SUCH_ROUTE:
            return Failure("unsupported", what)
        return Failure("too-long" if _TOO_LONG.search(what) else "refused", what)

    # generation

    def _generated(self, request: Generation) -> Result:
        stops = [mark for mark in request.stop if mark]
        if isinstance(request.prompt, str) and not self._only_chats:
            try:
                text, finish, tokens = self._completion(request, request.prompt, stops[:_STOPS])
            except Refused as error:
                if error.status not in _NO_SUCH_ROUTE:
                    raise
                self._only_chats = True
                self.facts = {**self.facts, "note": _ONLY_CHATS}
                return self._generated(request)
        else:
            said = request.prompt
            messages = (Message(role="user", content=said),) if isinstance(said, str) else said
            options = Options(
                request.max_tokens, request.temperature, request.top_p, tuple(stops[:_STOPS]), request.seed,
                request.json_schema,
            )  # fmt: skip
            whole = gather(self._endpoint.stream(messages, options))
            text, finish = whole.text, whole.finish
            tokens = whole.usage.completion_tokens if whole.usage else 0
        if finish == "content_filter":
            return Failure("refused", "the endpoint's filter held the answer back")
        if finish not in ("stop", "length"):
            return Failure("unsupported", f"the answer ended by {finish!r}")
        first = min((at for mark in stops if (at := text.find(mark)) >= 0), default=None)
        return Answer(text, finish, tokens) if first is None else Answer(text[:first], "stop", tokens)

    def _completion(self, request: Generation, prompt: str, stops: list[str]) -> tuple[str, Any, int]:
        body: dict[str, Any] = {
            "model": self._endpoint.model,
            "prompt": prompt,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed,
        }
        if stops:
            body["stop"] = stops
        if request.json_schema is not None:
            held = {"name": "answer", "strict": True, "schema": dict(request.json_schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": held}
        said = self._endpoint.post("/completions", body)
        choice = _choice(said)
        text = choice.get("text")
        if not isinstance(text, str) or "finish_reason" not in choice:
            raise _unreadable("not a completion", choice)
        return text, choice["finish_reason"], _counted(said)

    # log-likelihoods

    def _how_to_score(self) -> Scores | Failure:
        """The way that this server has to score a prompt, found out once."""
        with self._probing:
            if self._scores is None:
                self._scores = self._probe()
            return self._scores

    def _probe(self) -> Scores | Failure:
        told = ""
        for way in (self._by_echo, self._by_prompt_logprobs):
            found = self._tried(lambda way=way: _probed(way(_PROBE)))  # type: ignore[misc]
            if not isinstance(found, Failure):
                return _certain(way)
            if found.reason not in ("unsupported", "refused"):
                return found
            told = found.detail
        return Failure("unsupported", f"the endpoint does not say how likely the tokens of a prompt are: {told}")

    def _by_echo(self, text: str) -> Prompt:
        body = {"model": self._endpoint.model, "prompt": text, "max_tokens": 1, "temperature": 0, "logprobs": 1}
        said = self._endpoint.post("/completions", body | {"echo": True})
        logs = _choice(said).get("logprobs")
        if not isinstance(logs, Mapping) or not isinstance(logs.get("token_logprobs"), list):
            return Prompt([])
        tops = logs.get("top_logprobs")
        made = _counted(said) or 1
        values = logs["token_logprobs"]
        if len(values) <= made:
            return Prompt([])
        if not isinstance(tops, list) or len(tops) != len(values):
            raise _unreadable("log-probabilities without the most likely tokens", logs)
        try:
            pairs = list(zip(values, tops, strict=True))[: len(values) - made]
            scored = [(None if v is None else float(v), v is not None and v >= max(t.values())) for v, t in pairs]
            first = str((logs.get("tokens") or [text])[0])
        except (TypeError, ValueError, AttributeError, LookupError):
            raise _unreadable("not log-probabilities", logs) from None
        return Prompt(
            scored, scored[0][0] is None and bool(_BOS.fullmatch(first)) and not text.startswith(first or "\0")
        )

    def _by_prompt_logprobs(self, text: str) -> Prompt:
        body = {"model": self._endpoint.model, "prompt": text, "max_tokens": 1, "temperature": 0}
        said = self._endpoint.post("/completions", body | {"prompt_logprobs": 1})
        places = _choice(said).get("prompt_logprobs")
        if not isinstance(places, list):
            return Prompt([])
        found: list[tuple[float | None, bool]] = []
        try:
            for place in places:
                own = max(place.values(), key=lambda entry: entry["rank"]) if place else None
                found.append((None, False) if own is None else (float(own["logprob"]), own["rank"] == 1))
        except (TypeError, ValueError, KeyError, AttributeError):
            raise _unreadable("not prompt_logprobs", places) from None
        return Prompt(found)

    def _continued(self, request: Continuation, scores: Scores) -> Result:
        context = request.context.rstrip()
        whole = request.context + request.continuation
        if not context:
            return self._tried(lambda: _begun(scores(whole)))
        length = self._length(context, scores)
        if isinstance(length, Failure):
            return length
        return self._tried(lambda: _sum(scores(whole).logs[length:]))

    def _length(self, context: str, scores: Scores) -> int | Failure:
        """How many tokens a context is, asked once however many continuations it has."""
        with self._lock:
            gate = self._gates.setdefault(context, threading.Lock())
        with gate:
            if context not in self._lengths:
                found = self._tried(lambda: LogLikelihood(0.0, False, len(scores(context).logs)))
                if isinstance(found, Failure):
                    return found
                assert isinstance(found, LogLikelihood)
                self._lengths[context] = found.tokens
            return self._lengths[context]


def _certain(way: Scores) -> Scores:
    """The way that a server has shown: an answer without log-probabilities is nonsense from then on, no length of 0."""

    def scores(text: str) -> Prompt:
        prompt = way(text)
        if not prompt.logs or any(value is not None and math.isnan(value) for value, _ in prompt.logs):
            raise _unreadable("a prompt without its log-probabilities", text)
        return prompt

    return scores


def _begun(prompt: Prompt, rolling: bool = False) -> Result:
    """All of a text, where a BOS comes before it."""
    if not prompt.begun:
        return Failure("unsupported", "the endpoint shows no BOS before a text, so that its first token has no value")
    return _sum(prompt.logs[1:], rolling)


def _probed(prompt: Prompt) -> Result:
    logs = prompt.logs
    if len(logs) > 1 and all(value is not None for value, _ in logs[1:]):
        return LogLikelihood(0.0, False, len(logs))
    return Failure("unsupported", "the tokens of the prompt do not come back with their log-probabilities")


def _sum(logs: Sequence[tuple[float | None, bool]], rolling: bool = False) -> Result:
    values = [value for value, _ in logs]
    if not values:
        return Failure("unsupported", "there is no token to score")
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return Failure("unsupported", "the endpoint gives a token of the continuation no log-probability")
    return LogLikelihood(sum(known), not rolling and all(greedy for _, greedy in logs), len(known))


def _failure(error: EndpointError) -> Failure | None:
    """The Failure that is left of an error when nothing helped; None when the endpoint cannot be reached at all."""
    what = error.problem.what
    if not isinstance(error, Passing):
        return Failure("unreadable", what)
    if error.kind == "connection":
        return None
    words = {"429": "rate-limited", "408": "timeout", "504": "timeout", "timeout": "timeout", "cut": "unreadable"}
    return Failure(words.get(error.kind, "server-error"), what)


def _choice(said: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = said.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise _unreadable("not a completion", said)
    return choices[0]


def _counted(said: Mapping[str, Any]) -> int:
    """The tokens that the server says it wrote; 0 when it says nothing."""
    usage = said.get("usage")
    tokens = usage.get("completion_tokens") if isinstance(usage, Mapping) else None
    return tokens if isinstance(tokens, int) else 0


def _unreadable(what: str, said: object) -> EndpointError:
    return EndpointError(f"{what}: {str(said)[:200]}")
