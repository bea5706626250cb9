"""Who may come in, and with how much: asked before anything else.

- The Host header must name this machine's loopback or the host that was bound (against DNS rebinding), unless a key
  guards the door; an Origin header must be that host's own page. No CORS header is ever sent.
- With a key, /v1 wants it as a bearer token. It is compared in constant time, and stands in no log and no answer.
- A body over the limit is refused, whether it says so or not, and so is one that takes too long to arrive.
- A client that leaves costs one line in the debug log.
- Every answer carries a content security policy that lets a page load nothing from elsewhere.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from danlu.errors import UsageError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

LOOPBACK = ("localhost", "127.0.0.1", "::1")
KEY_VARIABLE = "DANLU_API_KEY"

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 503: "overloaded_error"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
    "worker-src 'self' blob:; frame-ancestors 'self'; form-action 'self'; base-uri 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Refusal(Exception):
    """An HTTP error, told in OpenAI's shape."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.status, self.message, self.code, self.param, self.headers = status, message, code, param, headers
        super().__init__(message)

    def body(self) -> dict[str, Any]:
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def check_bind(host: str, key: str | None) -> None:
    """UsageError for an address that others can reach without a key to guard it."""
    if host not in LOOPBACK and not key:
        raise UsageError(
            f"{host} can be reached from other machines, and no key is set",
            where="--host",
            next=f"set {KEY_VARIABLE} to a long random text, or leave out --host",
        )


class Door:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, key: str | None, host: str, body: int, patience: float = 30.0) -> None:
        self.app = app
        self.key = key
        self.body = body
        self.patience = patience
        self.hosts = {*LOOPBACK, host}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is None and scope["type"] == "http":
            await self._pass(scope, receive, send)
        elif refusal is None:
            await self.app(scope, receive, send)
        else:
            await _refuse(refusal, scope, send)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> Refusal | None:
        host = headers.get("host", "")
        if self.key is None and _name(f"//{host}") not in self.hosts:
            return Refusal(403, "this server answers to loopback names only", "host_not_allowed")
        origin = headers.get("origin")
        if origin and urlsplit(origin).netloc != host:
            return Refusal(403, "requests from other sites are not answered", "origin_not_allowed")
        if scope["path"].startswith("/v1") and not self._knows(headers.get("authorization", "")):
            return Refusal(401, "a valid API key is needed", "invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self.body:
            return _too_large(self.body)
        return None

    def _knows(self, authorization: str) -> bool:
        if self.key is None:
            return True
        scheme, _, given = authorization.partition(" ")
        # bytes, since a header is latin-1 on the wire and a key may be in Chinese
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode("latin-1"), self.key.encode())

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.requests import ClientDisconnect

        taken, begun, arrived = 0, False, False
        deadline = asyncio.get_running_loop().time() + self.patience

        async def take() -> Message:
            nonlocal taken, arrived
            try:
                async with asyncio.timeout_at(None if arrived else deadline):
                    message = await receive()
            except TimeoutError:
                raise _too_slow(self.patience) from None
            arrived = arrived or not message.get("more_body", False)
            taken += len(message.get("body", b""))
            if taken > self.body:
                raise _too_large(self.body)
            return message

        async def give(message: Message) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start":
                added = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        try:
            await self.app(scope, take, give)
        except Refusal as refusal:
            if begun:
                raise
            await _refuse(refusal, scope, send)
        except ClientDisconnect:
            log.debug("a client left during %s %s", scope["method"], scope["path"])


def _too_slow(seconds: float) -> Refusal:
    what = f"the request did not arrive within {seconds:g} seconds"
    return Refusal(408, what, "request_timeout", headers={"Connection": "close"})


def _too_large(limit: int) -> Refusal:
    return Refusal(413, f"the request is larger than {limit} bytes", "request_too_large")


def _name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


async def _refuse(refusal: Refusal, scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = {"content-type": "application/json", **_HEADERS, **(refusal.headers or {})}
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": encoded})
    await send({"type": "http.response.body", "body": json.dumps(refusal.body(), ensure_ascii=False).encode()})
