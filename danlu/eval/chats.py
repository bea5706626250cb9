"""A Chat as a `LanguageModel` that only generates, so that whatever answers (an endpoint, an assistant with documents,
a GGUF file) is asked, cached and counted as every other model is."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any

from danlu.errors import DanluError, EndpointError
from danlu.model.chat import Chat, Options, PromptTooLong, gather
from danlu.model.endpoint import Passing, Refused
from danlu.model.language_model import Answer, Failure, Generation, Request, Result
from danlu.records import Message

_ITS_OWN_FAULT = (400, 413, 422)
_LONGEST_WAIT = 120.0
_FEW = 5


class ChatModel:
    """Generations by a Chat, `at_once` at a time.

    429, 5xx, timeouts and cut streams are tried again `retries` times, after 0.5 · 2ⁿ seconds with full jitter or what
    Retry-After asks; what remains is a Failure, as is a request refused for what it is (400, 413, 422, a prompt that is
    too long). A refusal that would meet every request (401, 403, 404), and a failure of each of the first five, is
    raised. Without token counts from the Chat, an Answer's `tokens` are its characters.
    """

    context: int | None = None

    def __init__(
        self,
        chat: Chat,
        name: str,
        fingerprint: str,
        at_once: int = 8,
        retries: int = 4,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.chat, self.name, self.fingerprint = chat, name, fingerprint
        self.at_once, self.retries, self._sleep = at_once, retries, sleep
        self.facts: Mapping[str, Any] = {"backend": "chat"}

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Result]]:
        answered = failed = 0
        pool = ThreadPoolExecutor(self.at_once, thread_name_prefix="chat")
        flying: dict[Future[Result], int] = {}
        waiting = iter(enumerate(requests))
        try:
            while True:
                while len(flying) < self.at_once and (next_one := next(waiting, None)) is not None:
                    flying[pool.submit(self._one, next_one[1])] = next_one[0]
                if not flying:
                    return
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    place, result = flying.pop(future), future.result()
                    failed += isinstance(result, Failure) and result.reason not in ("too-long", "unsupported")
                    answered += isinstance(result, Answer)
                    if failed >= _FEW and not answered and isinstance(result, Failure):
                        raise EndpointError(
                            f"the first {failed} requests failed ({result.reason}: {result.detail})", where=self.name
                        )
                    yield place, result
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def count(self, text: str) -> int | None:
        return None

    def close(self) -> None:
        return

    def _one(self, request: Request) -> Result:
        if not isinstance(request, Generation):
            return Failure("unsupported", "a Chat generates, and gives no likelihoods")
        for attempt in range(self.retries + 1):
            try:
                return self._asked(request)
            except Passing as failure:
                if attempt == self.retries or (failure.wait or 0) > _LONGEST_WAIT:
                    return Failure(_reason(failure.kind), failure.problem.what)
                self._sleep(random.uniform(0, 0.5 * 2**attempt) if failure.wait is None else failure.wait)
        raise AssertionError("the last attempt returns")

    def _asked(self, request: Generation) -> Result:
        asked = (Message(role="user", content=request.prompt),) if isinstance(request.prompt, str) else request.prompt
        schema = dict(request.json_schema) if request.json_schema is not None else None
        options = Options(
            request.max_tokens, request.temperature, request.top_p, request.stop, request.seed, json_schema=schema
        )
        try:
            whole = gather(self.chat.stream(asked, options))
        except PromptTooLong as error:
            return Failure("too-long", error.problem.what)
        except Refused as error:
            if error.status not in _ITS_OWN_FAULT:
                raise
            return Failure("refused", error.problem.what)
        except Passing:
            raise
        except EndpointError as error:
            return Failure("unreadable", error.problem.what)
        text = whole.text.encode("utf-8", "replace").decode()
        return Answer(text, whole.finish or "stop", whole.usage.completion_tokens if whole.usage else len(text))


def fingerprint_of(name: str) -> str:
    """The hash of what is known of a Chat by its name; the name's own where nothing can be hashed."""
    from danlu.artifact import digest
    from danlu.model.named import fingerprint

    with suppress(DanluError, OSError):
        return fingerprint(name, ".")
    return digest(name)


def _reason(kind: str) -> str:
    if kind == "429":
        return "rate-limited"
    if kind == "timeout":
        return "timeout"
    return "server-error" if kind.isdigit() or kind == "connection" else "unreadable"
