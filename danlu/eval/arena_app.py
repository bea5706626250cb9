"""The arena over HTTP: a page, its script and style, and three small addresses that it asks.

    GET  /api/next     the next pair, without names
    POST /api/vote     {"ticket", "choice": "left" | "right" | "tie" | "bad"}; the names come back
    GET  /api/board    ratings and counts

The page's policy lets it load nothing but these. The app alone answers whoever asks: whoever serves it puts a door
before it (`danlu.serve.door.Door`: Host and Origin, the length of a body). With a `key` the browser asks for a name
(danlu) and a password (the key), and nothing is told without.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from danlu.errors import DanluError, DataError
from danlu.eval.arena import Arena, pair_shown
from danlu.extras import need

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

COOKIE = "danlu_arena"
USER = "danlu"

_FOLDER = Path(__file__).parent
_FILES = {"/": ("arena.html", "text/html"), "/arena.js": ("arena.js", "text/javascript")} | {
    "/arena.css": ("arena.css", "text/css")
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class Cast(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    ticket: str
    choice: Literal["left", "right", "tie", "bad"]


def make_app(arena: Arena, key: str | None = None) -> Starlette:
    """The app of an arena."""
    need("starlette", "serve")
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    fresh = {"Cache-Control": "no-store"}

    async def file(request: Request) -> Response:
        name, kind = _FILES[request.url.path]
        held = {**fresh, "Content-Security-Policy": _POLICY}
        made = Response((_FOLDER / name).read_bytes(), media_type=f"{kind}; charset=utf-8", headers=held)
        _known(request, made)
        return made

    async def following(request: Request) -> Response:
        token = _token(request)
        if token is None:
            return JSONResponse(_error("請重新載入頁面，並允許這個頁面的 cookie"), 401, fresh)
        return JSONResponse(await run_in_threadpool(_following, arena, token), headers=fresh)

    async def vote(request: Request) -> Response:
        token = _token(request)
        if token is None:
            return JSONResponse(_error("請重新載入頁面，並允許這個頁面的 cookie"), 401, fresh)
        if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            return JSONResponse(_error("the content type must be application/json"), 415, fresh)
        try:
            cast = Cast.model_validate_json(await request.body())
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "body"
            return JSONResponse(_error(f"{field}: {first['msg']}"), 400, fresh)
        try:
            kept = await run_in_threadpool(arena.vote, token, cast.ticket, cast.choice)
        except DataError as error:
            return JSONResponse(_error(error.problem.what), 409, fresh)
        except DanluError as error:  # where the file lies is not told
            return JSONResponse(_error(f"這一票沒有存成：{error.problem.what}"), 500, fresh)
        done, total = arena.progress(token)
        return JSONResponse({"left": kept.left, "right": kept.right, "done": done, "total": total}, headers=fresh)

    async def board(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(arena.board), headers=fresh)

    routes = [Route(path, file, methods=["GET"]) for path in _FILES]
    routes += [Route("/api/next", following, methods=["GET"]), Route("/api/vote", vote, methods=["POST"])]
    routes += [Route("/api/board", board, methods=["GET"])]
    app = Starlette(routes=routes)
    if key is not None:
        app.add_middleware(Locked, key=key)
    return app


class Locked:
    """ASGI middleware: HTTP basic authentication with one password, compared in constant time."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self.app, self.key = app, key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.datastructures import Headers
        from starlette.responses import JSONResponse

        if scope["type"] != "lifespan" and not self._knows(Headers(scope=scope).get("authorization", "")):
            asked = {"WWW-Authenticate": 'Basic realm="danlu", charset="UTF-8"'}
            await JSONResponse(_error("a name and a password are needed"), 401, asked)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _knows(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        try:
            name, _, password = base64.b64decode(given.strip(), validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return False
        right = hmac.compare_digest(password.encode(), self.key.encode())
        return scheme.lower() == "basic" and name == USER and right


def _following(arena: Arena, token: str) -> dict[str, Any]:
    pair = arena.next(token)
    done, total = arena.progress(token)
    if pair is None:
        return {"finished": True, "done": done, "total": total}
    return {"ticket": arena.ticket(token, pair), "done": done, "total": total, **pair_shown(pair, arena.sides)}


def _token(request: Request) -> str | None:
    token = request.cookies.get(COOKIE, "")
    return token if _TOKEN.fullmatch(token) else None


def _known(request: Request, response: Response) -> None:
    """Give a browser without a token one, until it is closed."""
    if _token(request) is None and request.url.path == "/":
        response.set_cookie(COOKIE, secrets.token_urlsafe(32), httponly=True, samesite="strict", path="/")


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message}}
