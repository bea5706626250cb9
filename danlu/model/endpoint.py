"""Any OpenAI-compatible endpoint as a Chat: OpenAI, vLLM, llama.cpp, another `danlu serve`, ….

The key is read from the environment at the moment of the request, goes nowhere but into the Authorization header of
that one host (redirects are not followed), and is blotted out of every message that the endpoint sends back.

Not covered: tools, images, several choices, and endpoints that speak only the Responses API.
"""

from __future__ import annotations

import contextlib
import email.utils
import json
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from danlu.errors import EndpointError
from danlu.extras import need
from danlu.model.chat import GREEDY, Delta, Options, Usage
from danlu.records import Message

if TYPE_CHECKING:
    import httpx

_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504}
_LONGEST_WAIT = 60.0
_LONGEST_LINE = 1 << 20


class Passing(EndpointError):
    """A failure that may be gone at the next attempt. `kind` is the status ("429"), "timeout", "connection" or "cut"
    (a stream that ended too early); `wait` how long the endpoint asks us to wait, in seconds."""

    def __init__(self, what: str, kind: str, wait: float | None = None, *, where: str = "") -> None:
        super().__init__(what, where=where)
        self.kind, self.wait = kind, wait


class Refused(EndpointError):
    """A status that says that asking again is of no use."""

    def __init__(self, what: str, status: int, *, where: str = "", next: str | None = None) -> None:
        super().__init__(what, where=where, next=next)
        self.status = status


class Endpoint:
    """Chat completions at `url` (with or without a final /chat/completions), always streamed.

    Connection failures, timeouts, 408, 409, 425, 429 and 5xx are tried again up to `retries` times, after 0.5 · 2ⁿ
    seconds with full jitter or what Retry-After asks, as long as no text has come. What remains of them is raised as
    `Passing`, any other status as `Refused`, a broken event as an EndpointError. `timeout` is in seconds, for
    connecting and for each silence in between.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key_variable: str = "OPENAI_API_KEY",
        timeout: float = 60.0,
        retries: int = 4,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise EndpointError(
                f"an endpoint's address begins with http:// or https://: {url!r}",
                next="for example endpoint:http://127.0.0.1:8000/v1#MODEL",
            )
        self.url = url.rstrip("/").removesuffix("/chat/completions") + "/chat/completions"
        self.model = model
        self.key_variable = key_variable
        self.retries = retries
        self._sleep = sleep
        self._client = need("httpx", "serve").Client(timeout=timeout, follow_redirects=False, transport=transport)

    def stream(self, messages: Sequence[Message], options: Options = GREEDY) -> Iterator[Delta]:
        body = self._body(messages, options)
        for attempt in range(self.retries + 1):
            started = False
            try:
                for delta in self._attempt(body):
                    started = True
                    yield delta
                return
            except Passing as failure:
                if started or attempt == self.retries:
                    raise failure from None
                wait = random.uniform(0, 0.5 * 2**attempt) if failure.wait is None else failure.wait
                if wait > _LONGEST_WAIT:
                    raise failure from None
                self._sleep(wait)

    def _body(self, messages: Sequence[Message], options: Options) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [message.model_dump() for message in messages],
            "max_tokens": options.max_tokens,
            "temperature": options.temperature,
            "top_p": options.top_p,
            "seed": options.seed,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if options.stop:
            body["stop"] = list(options.stop)
        asked = ("top_k", "min_p", "frequency_penalty", "presence_penalty")
        body |= {name: getattr(options, name) for name in asked if getattr(options, name)}
        if options.json_schema is not None:
            held = {"name": "answer", "strict": True, "schema": dict(options.json_schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": held}
        return body

    def _attempt(self, body: dict[str, Any]) -> Iterator[Delta]:
        key, headers = self._key()
        with self._failures(key), self._client.stream("POST", self.url, json=body, headers=headers) as response:
            if response.status_code != 200:
                response.read()
                raise self._refusal(response, key)
            yield from self._deltas(_events(response.iter_bytes(), self.url), key)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON object that one request to `path` beside /chat/completions brings, not streamed; no second attempt.
        Failures are raised as by `stream`."""
        key, headers = self._key()
        url = self.url.removesuffix("/chat/completions") + path
        with self._failures(key):
            response = self._client.post(url, json=body, headers=headers)
            if response.status_code != 200:
                raise self._refusal(response, key)
            try:
                said = json.loads(response.content)
            except ValueError:
                said = None
            if not isinstance(said, dict):
                raise self._error(f"the endpoint's answer is no JSON object: {response.text[:120]!r}", key)
            return said

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _key(self) -> tuple[str, dict[str, str]]:
        key = os.environ.get(self.key_variable, "")
        return key, {"Authorization": f"Bearer {key}"} if key else {}

    @contextlib.contextmanager
    def _failures(self, key: str) -> Iterator[None]:
        """What httpx raises, as EndpointErrors without the key."""
        import httpx

        try:
            yield
        except httpx.TransportError as error:
            late = isinstance(error, httpx.TimeoutException)
            what = "timed out" if late else "cannot be reached, or hung up"
            told = _blotted(f"the endpoint {what} ({type(error).__name__}: {error})", key)
            raise Passing(told, "timeout" if late else "connection", where=self.url) from None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise self._error(f"the request cannot be made: {error}", key) from None

    def _deltas(self, events: Iterator[dict[str, Any]], key: str) -> Iterator[Delta]:
        finish = None
        for event in events:
            if "error" in event:
                raise self._error(f"the endpoint failed in mid-answer: {_said(event)}", key)
            try:
                delta, finish = _delta(event, finish)
            except (KeyError, TypeError, IndexError, AttributeError, ValueError):
                raise self._error(f"not a chat completion chunk: {json.dumps(event)[:200]}", key) from None
            if delta != Delta():
                yield delta
        if finish is None:
            raise Passing("the stream ended before the answer did", "cut", where=self.url)

    def _refusal(self, response: httpx.Response, key: str) -> EndpointError:
        try:
            said = _said(response.json())
        except ValueError:
            said = response.text[:200]
        status = response.status_code
        next = None
        if status in (401, 403):
            next = f"set the environment variable {self.key_variable} to a key that this endpoint accepts"
        elif status == 404:
            next = f"check the address, and that it serves a model named {self.model!r}"
        told = _blotted(f"the endpoint answered {status}: {said}", key)
        if status in _AGAIN:
            return Passing(told, str(status), _retry_after(response.headers), where=self.url)
        return Refused(told, status, where=self.url, next=next)

    def _error(self, what: str, key: str) -> EndpointError:
        return EndpointError(_blotted(what, key), where=self.url)


def _blotted(what: str, key: str) -> str:
    return what.replace(key, "[key]") if key else what


def _delta(event: Mapping[str, Any], finish: str | None) -> tuple[Delta, str | None]:
    """The Delta of a chunk, and the finish reason as far as it is known."""
    counted = event.get("usage")
    usage = Usage(int(counted["prompt_tokens"]), int(counted["completion_tokens"])) if counted else None
    if not event["choices"]:
        return Delta(usage=usage), finish
    choice = event["choices"][0]
    said = choice.get("delta") or {}
    text = said.get("content") or ""
    if not isinstance(text, str):
        raise TypeError(text)
    ended = choice.get("finish_reason")
    return Delta(text, ended, usage, said.get("sources"), said.get("grounding")), ended or finish


def _events(blocks: Iterator[bytes], url: str) -> Iterator[dict[str, Any]]:
    """The JSON objects of a server-sent event stream up to [DONE]; several data lines of an event are one text."""
    data: list[bytes] = []
    for line in _lines(blocks, url):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            text = b"\n".join(data)
            data = []
            if text.strip() == b"[DONE]":
                return
            yield _object(text, url)
    if data and b"\n".join(data).strip() != b"[DONE]":
        yield _object(b"\n".join(data), url)


def _object(text: bytes, url: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise EndpointError(f"broken JSON in the stream: {text[:120].decode('utf-8', 'replace')!r}", where=url)
    return value


def _lines(blocks: Iterator[bytes], url: str) -> Iterator[bytes]:
    """Lines ended by LF or CRLF only: a U+2028 inside a JSON string is no line end."""
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        yield from (line.removesuffix(b"\r") for line in lines)
        if len(rest) > _LONGEST_LINE:
            raise EndpointError(f"a line of the stream is longer than {_LONGEST_LINE} bytes", where=url)
    if rest:
        yield rest.removesuffix(b"\r")


def _said(body: Any) -> str:
    """The message of an error body in OpenAI's shape, else the body."""
    error = body.get("error", body) if isinstance(body, dict) else body
    message = error.get("message", error) if isinstance(error, dict) else error
    return str(message)[:500]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that Retry-After (a number or an HTTP date) asks for, or None."""
    asked = headers.get("retry-after", "").strip()
    if not asked:
        return None
    try:
        return max(0.0, float(asked))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(asked).timestamp() - time.time())
    except ValueError:
        return None
