"""Requests to a Chat: each paid once, answered in order, many at once, within a budget.

A request is known by the hash of whom it asks, what for, its messages, how to decode, and its number `n`. An answer
goes into the step's journal (`danlu.data.journal`) before anybody sees it, and a request whose answer is there is never
sent again: a run that was killed pays again for nothing but what was in flight.

429, 5xx, timeouts, broken connections and answers are tried again after 0.5 · 2ⁿ seconds with full jitter, or when
Retry-After says, which holds back all requests. A request refused for what it is (400, 413, 422, a prompt that is too
long) is told as such, and the others go on; a refusal that would meet them all (401, 403, 404, …) ends the step.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from danlu.artifact import Draft, digest
from danlu.data.asking import Asking
from danlu.data.journal import Journal, Reply
from danlu.errors import DanluError, EndpointError, GateError
from danlu.model.chat import Options, PromptTooLong, gather
from danlu.model.endpoint import Passing, Refused
from danlu.model.named import Opened, licence, opened
from danlu.records import Message
from danlu.track import Track

T = TypeVar("T")

_LONGEST_BACK_OFF = 60.0
_LONGEST_WAIT = 600.0
_ITS_OWN_FAULT = (400, 413, 422)
_FEW = 5
_BLOCK = 256


@dataclass(frozen=True)
class Request:
    """Messages and how to decode; the same asked again has another `n`."""

    messages: tuple[Message, ...]
    options: Options
    n: int = 0


@dataclass(frozen=True)
class Failure:
    """Why there is no usable answer: "refused", "cut-off", "no-answer", or what a parser says."""

    reason: str
    detail: str = ""


class Ledger:
    """Asks `opened` for a step. Use it as a context manager: at its end, answers in flight are waited for and kept.

    `method` tells apart what is asked for, so that two methods with the same prompt do not share answers; `total` is
    how many requests there will be, where that is known, for the progress bar.
    """

    def __init__(
        self, opened: Opened, settings: Asking, path: Path, method: str, track: Track, total: int | None = None
    ) -> None:
        self.opened, self.settings, self.method, self.track = opened, settings, method, track
        self.journal = Journal(path)
        self.sent = 0
        self.refused = 0
        self.failures: Counter[str] = Counter()
        self._pool = ThreadPoolExecutor(opened.at_once, thread_name_prefix="ask")
        self._flying: dict[str, tuple[Future[Reply], int, int]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._quiet_until = 0.0
        self._bar: Any = track.bar(method, total, unit="request")

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        if error is not None and self._flying:
            self.track.note(f"{self.method}: waiting for the answers in flight, which are kept …")
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.journal.close()
        self._bar.close()

    def options(self, json_schema: dict[str, Any] | None = None, seed: int = 0) -> Options:
        """How to decode by the step's settings."""
        held = json_schema if self.settings.enforce else None
        return Options(self.settings.max_tokens, self.settings.temperature, seed=seed, json_schema=held)

    def ask(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """The replies, in the order of the requests, which are taken as they are needed.

        GateError: the budget is spent. EndpointError, ModelError: no answer can be had. What came is kept.
        """
        pending: deque[Future[Reply]] = deque()
        for request in requests:
            while len(pending) >= 4 * self.opened.at_once:
                yield self._reply(pending.popleft())
            pending.append(self._submit(request))
        while pending:
            yield self._reply(pending.popleft())

    def parsed(self, requests: Iterable[Request], parse: Callable[[str], T | Failure]) -> Iterator[T | Failure]:
        """What `parse` makes of each answer. The same is asked again, `attempts` times in all, until it can be parsed;
        `n` counts on."""
        waiting = iter(requests)
        while block := list(islice(waiting, _BLOCK)):
            results: dict[int, T | Failure] = {}
            left = list(enumerate(block))
            for again in range(self.settings.attempts):
                asked = [replace(request, n=request.n + again) for _, request in left]
                for (at, _), reply in zip(left, self.ask(asked), strict=True):
                    results[at] = read(reply, parse)
                left = [one for one in left if _worth_asking_again(results[one[0]])]
                if not left:
                    break
            yield from (results[at] for at in range(len(block)))

    def cost(self, prompt: int | None = None, completion: int | None = None) -> float:
        """What tokens cost by the step's prices; all those of the journal when not said."""
        of_prompt, of_answer = self.settings.prices or (0.0, 0.0)
        prompt = self.journal.prompt_tokens if prompt is None else prompt
        completion = self.journal.completion_tokens if completion is None else completion
        return (prompt * of_prompt + completion * of_answer) / 1e6

    def report(self, out: Draft) -> None:
        """A table and metrics of what was asked and what it took, earlier attempts of this step included."""
        journal = self.journal
        rows: list[list[Any]] = [["asked", self.opened.name], ["answers", len(journal)]]
        rows += [["of them in this run", self.sent], ["prompt tokens", journal.prompt_tokens]]
        rows += [["answer tokens", journal.completion_tokens]]
        if journal.estimated:
            rows.append(["answers without a count (tokens estimated)", journal.estimated])
        if self.settings.prices:
            rows.append(["cost", round(self.cost(), 6)])
        rows += [[f"tried again after {kind}", count] for kind, count in sorted(self.failures.items())]
        out.table(f"Requests: {self.method}", ["what", "value"], rows)
        known = licence(self.opened.name, ".")
        out.licences[self.opened.name] = {**known, "licence": self.settings.licence or known["licence"]}
        out.metrics.update(
            requests=len(journal), prompt_tokens=journal.prompt_tokens, answer_tokens=journal.completion_tokens
        )

    def _submit(self, request: Request) -> Future[Reply]:
        key = self._key(request)
        with self._lock:
            if key in self._flying:
                return self._flying[key][0]
            if key in self.journal:
                known: Future[Reply] = Future()
                known.set_result(self.journal[key])
                return known
        prompt = _estimate(request.messages)
        self._afford(prompt, request.options.max_tokens)
        with self._lock:
            future = self._pool.submit(self._send, key, request)
            self._flying[key] = (future, prompt, request.options.max_tokens)
            self.sent += 1
        return future

    def _key(self, request: Request) -> str:
        asked = [message.model_dump() for message in request.messages]
        what = [self.opened.name, self.method, asked, asdict(request.options), request.n]
        return digest(what)[:32]

    def _afford(self, prompt: int, completion: int) -> None:
        """Wait until what is in flight, at its most, and this request fit the budget; GateError when they never do."""
        if self.settings.token_budget is None and self.settings.cost_budget is None:
            return
        while True:
            with self._lock:
                flying = list(self._flying.values())
                prompts = self.journal.prompt_tokens + sum(one[1] for one in flying) + prompt
                answers = self.journal.completion_tokens + sum(one[2] for one in flying) + completion
            tokens_fit = prompts + answers <= (self.settings.token_budget or float("inf"))
            if tokens_fit and self.cost(prompts, answers) <= (self.settings.cost_budget or float("inf")):
                return
            if not flying:
                raise self._spent()
            wait([one[0] for one in flying], return_when="FIRST_COMPLETED")
            time.sleep(0.001)

    def _spent(self) -> GateError:
        tokens = self.journal.prompt_tokens + self.journal.completion_tokens
        figures = {"answers": float(len(self.journal)), "tokens": float(tokens), "cost": self.cost()}
        budgets = {"token_budget": self.settings.token_budget, "cost_budget": self.settings.cost_budget}
        bounds = ", ".join(f"{name} {bound:g}" for name, bound in budgets.items() if bound is not None)
        return GateError(
            f"{self.method}: the next request may go over the budget ({bounds}): {len(self.journal)} answers took "
            f"{tokens} tokens" + (f" and cost {self.cost():.4f}" if self.settings.prices else ""),
            figures,
            next="raise the budget and run the same command again: every answer is kept, and none is paid twice",
        )

    def _reply(self, future: Future[Reply]) -> Reply:
        try:
            reply = future.result()
        except DanluError as error:
            self._stop.set()
            raise self._ended(error) from None
        if reply.finish == "refused":
            self.refused += 1
            if self.refused >= _FEW and not len(self.journal):
                self._stop.set()
                raise EndpointError(
                    f"the first {self.refused} requests were refused: {reply.text}",
                    where=self.opened.name,
                    next="if it is response_format that the endpoint refuses, set enforce: false",
                )
        tokens = self.journal.prompt_tokens + self.journal.completion_tokens
        told = f"{tokens} tokens" + (f", cost {self.cost():.4f}" if self.settings.prices else "")
        self._bar.set_postfix_str(told, refresh=False)
        self._bar.update(1)
        return reply

    def _ended(self, error: DanluError) -> DanluError:
        """The error, with what is kept and how to go on."""
        kept = f"{error.problem.what} ({self.method}: {len(self.journal)} answers are kept)"
        again = "run the same command again: it goes on with the first request without an answer"
        go_on = again if error.problem.next == error.advice else error.problem.next
        error.problem = replace(error.problem, what=kept, next=go_on)
        return error

    def _send(self, key: str, request: Request) -> Reply:
        """In a thread of its own: ask until there is an answer, and keep it."""
        try:
            for attempt in range(self.settings.retries + 1):
                self._be_quiet()
                try:
                    reply = _answered(self.opened, request)
                except Passing as failure:
                    self._again(failure, attempt)
                else:
                    if reply.finish != "refused":
                        self.journal.put(key, reply)
                    return reply
            raise AssertionError("the last attempt raises")
        finally:
            with self._lock:
                self._flying.pop(key, None)

    def _again(self, failure: Passing, attempt: int) -> None:
        """Sleep before the next attempt; raise `failure` when there is none."""
        with self._lock:
            self.failures[failure.kind] += 1
        if attempt == self.settings.retries or (failure.wait or 0) > _LONGEST_WAIT or self._stop.is_set():
            raise failure
        if failure.wait is None:
            seconds = random.uniform(0, min(0.5 * 2**attempt, _LONGEST_BACK_OFF))
        else:
            seconds = failure.wait
            with self._lock:
                self._quiet_until = max(self._quiet_until, time.monotonic() + seconds)
        if self._stop.wait(seconds):
            raise failure

    def _be_quiet(self) -> None:
        while (seconds := self._quiet_until - time.monotonic()) > 0 and not self._stop.is_set():
            self._stop.wait(seconds)


@contextmanager
def ledger(
    settings: Asking, out: Draft, track: Track, method: str, total: int | None = None, name: str | None = None
) -> Iterator[Ledger]:
    """A Ledger on the settings' Chat, or on the one called `name`, with its journal in the step's work folder."""
    place = out.work / f"{method}.jsonl"
    with (
        opened(name or settings.chat, settings.at_once, settings.timeout, settings.key_variable) as chat,
        Ledger(chat, settings, place, method, track, total) as found,
    ):
        yield found


def read(reply: Reply, parse: Callable[[str], T | Failure]) -> T | Failure:
    """What `parse` makes of a reply that is whole."""
    if reply.finish == "refused":
        return Failure("refused", reply.text[:200])
    if reply.finish == "length":
        return Failure("cut-off", f"{reply.completion_tokens} tokens")
    if not reply.text.strip():
        return Failure("no-answer")
    return parse(reply.text)


def _worth_asking_again(result: Any) -> bool:
    return isinstance(result, Failure) and result.reason != "refused"


def _answered(opened: Opened, request: Request) -> Reply:
    options = replace(request.options, seed=request.options.seed + request.n)
    try:
        whole = gather(opened.chat.stream(request.messages, options))
    except PromptTooLong as error:
        return Reply(error.problem.what, "refused")
    except Refused as error:
        if error.status not in _ITS_OWN_FAULT:
            raise
        return Reply(error.problem.what, "refused")
    except Passing:
        raise
    except EndpointError as error:
        raise Passing(error.problem.what, "nonsense", where=error.problem.where) from None
    text, finish = whole.text.encode("utf-8", "replace").decode(), whole.finish or "stop"
    if whole.usage is None:
        return Reply(text, finish, _estimate(request.messages), len(text), False)
    return Reply(text, finish, whole.usage.prompt_tokens, whole.usage.completion_tokens)


def _estimate(messages: Iterable[Message]) -> int:
    """Tokens of a prompt before the model has counted them: one for each character, which Chinese seldom exceeds."""
    return sum(len(message.content) + 4 for message in messages)
