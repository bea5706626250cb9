"""Any Chat behind OpenAI's HTTP interface: chat completions, models, embeddings, and a health check.

`/v1/chat/completions` takes the parameters that are fields of `ChatRequest`; those that cannot change the answer
(user, service_tier, parallel_tool_calls, …) are ignored, as OpenAI's own server does, and what would change it and is
not done here (tools to call, log probabilities, pictures) is refused by name. The defaults are greedy decoding and the
server's own length. Earlier tool calls and their results are told to the model as text. Beside OpenAI's fields, a
message (or delta) carries `sources` and `grounding` when the Chat gives them (see `danlu.model.chat.Delta`).

Not covered: calling tools, images, log probabilities, the Responses API, TLS (put a proxy before it), rate limits.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from danlu.errors import DanluError, DataError, EndpointError, nearest
from danlu.model.chat import Chat, Delta, Options, PromptTooLong, Usage, gather
from danlu.model.embed import Embedder
from danlu.records import Message, Role
from danlu.serve.door import Door, Refusal
from danlu.serve.work import Desk

if TYPE_CHECKING:
    import fastapi
    from starlette.requests import Request
    from starlette.responses import Response

MOST_INPUTS = 2048
_SEEDS = 1 << 32


@dataclass(frozen=True)
class Limits:
    """`slots` requests are answered at once, `waiting` more wait, and further ones are told to come back. `body` is
    the longest request in bytes, `patience` how long one may take to arrive, in seconds; `max_tokens` the length of an
    answer when none is asked for."""

    slots: int = 8
    waiting: int = 32
    body: int = 2_000_000
    max_tokens: int = 512
    choices: int = 8
    patience: float = 30.0


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")
    type: Literal["text"]
    text: str


class Function(BaseModel):
    model_config = ConfigDict(extra="ignore")
    name: str
    arguments: str = ""


class Call(BaseModel):
    model_config = ConfigDict(extra="ignore")
    id: str = ""
    function: Function


class Said(BaseModel):
    """One message; `content` may be null beside tool calls alone."""

    model_config = ConfigDict(extra="ignore")
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str = ""

    @model_validator(mode="after")
    def _says_something(self) -> Said:
        if self.content is None and not (self.role == "assistant" and self.tool_calls):
            raise ValueError("content is missing")
        return self

    def message(self, called: dict[str, str]) -> Message:
        """The turn as any template takes it: calls and results of tools as text. `called` is the name of each call so
        far."""
        content = "".join(part.text for part in self.content) if isinstance(self.content, list) else self.content or ""
        calls = self.tool_calls or []
        called.update({call.id: call.function.name for call in calls})
        lines = [f"[tool call] {call.function.name} {call.function.arguments}" for call in calls]
        if self.role == "tool":
            name = called.get(self.tool_call_id, self.tool_call_id)
            return Message(role="user", content=f"[tool result] {name}\n{content}")
        role: Role = "system" if self.role == "developer" else self.role
        return Message(role=role, content="\n".join([content, *lines] if content else lines or [content]))


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="ignore")
    include_usage: bool = False


class Schema(BaseModel):
    model_config = ConfigDict(extra="ignore")
    schema_: dict[str, Any] = Field(alias="schema")


class Format(BaseModel):
    model_config = ConfigDict(extra="ignore")
    type: Literal["text", "json_object", "json_schema"]
    json_schema: Schema | None = None

    @model_validator(mode="after")
    def _has_its_schema(self) -> Format:
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("json_schema is missing")
        return self

    @property
    def schema(self) -> dict[str, Any] | None:
        if self.type == "text":
            return None
        return {"type": "object"} if self.json_schema is None else self.json_schema.schema_


class ChatRequest(BaseModel):
    """The body of a chat completion. The fields from `user` on change nothing and are ignored, or may only hold what
    is done anyway. A negative seed is a new one each time."""

    model_config = ConfigDict(extra="forbid")
    model: str
    messages: list[Said] = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1)
    min_p: float | None = Field(None, ge=0, le=1)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    stop: str | list[str] | None = None
    seed: int | None = None
    n: int | None = Field(None, ge=1)
    response_format: Format | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    metadata: dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    prediction: Any = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    functions: list[Any] | None = None
    function_call: Any = None
    modalities: list[Literal["text"]] | None = None
    audio: None = None
    web_search_options: None = None
    verbosity: Literal["medium"] | None = None
    logprobs: Literal[False] | None = None
    top_logprobs: Literal[0] | None = None
    logit_bias: dict[str, float] | None = Field(None, max_length=0)

    @field_validator("temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty", "max_tokens",
                     "max_completion_tokens", "seed", "n", mode="before")  # fmt: skip
    @classmethod
    def _is_a_number(cls, given: Any) -> Any:
        if isinstance(given, bool):  # pydantic takes true as 1
            raise ValueError(f"a number is wanted, not {str(given).lower()}")
        return given

    @model_validator(mode="after")
    def _calls_no_tools(self) -> ChatRequest:
        for given, choice, name in (
            (self.tools, "tool_choice", "tools"),
            (self.functions, "function_call", "functions"),
        ):
            asked = getattr(self, choice)
            if asked not in (None, "none", "auto") or (given and asked != "none"):
                raise ValueError(f'{name}: this server calls no tools; send {choice}: "none", or leave {name} out')
        return self

    def options(self, limits: Limits) -> Options:
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        seed = secrets.randbits(32) if self.seed is not None and self.seed < 0 else self.seed or 0
        return Options(
            max_tokens=self.max_completion_tokens or self.max_tokens or limits.max_tokens,
            temperature=self.temperature or 0.0,
            top_p=1.0 if self.top_p is None else self.top_p,
            stop=tuple(mark for mark in stop if mark),
            seed=seed % _SEEDS,
            json_schema=self.response_format.schema if self.response_format else None,
            top_k=max(self.top_k or 0, 0),
            min_p=self.min_p or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            presence_penalty=self.presence_penalty or 0.0,
        )

    def conversation(self) -> list[Message]:
        called: dict[str, str] = {}
        return [said.message(called) for said in self.messages]


class EmbeddingsRequest(BaseModel):
    """`input_type` is ours: E5 embeds questions and passages differently, and `passage` is the default."""

    model_config = ConfigDict(extra="forbid")
    model: str
    input: str | list[str] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    input_type: Literal["query", "passage"] = "passage"
    user: str | None = None


class Service:
    """The endpoints. `name` is what the model is called in requests; `json_answers` whether it can be held to JSON."""

    def __init__(
        self, chat: Chat, name: str, embedder: Embedder | None, limits: Limits, json_answers: bool = True
    ) -> None:
        self.json_answers = json_answers
        self.chat = chat
        self.name = name
        self.embedder = embedder
        self.limits = limits
        self.desk = Desk(limits.slots, limits.waiting)
        self.started = int(time.time())

    async def health(self, request: Request) -> Response:
        return _json({"status": "ok", "model": self.name, "active": self.desk.active})

    async def models(self, request: Request) -> Response:
        return _json({"object": "list", "data": [self._model(name) for name in self._names()]})

    async def model(self, request: Request) -> Response:
        self._know(request.path_params["name"], self._names())
        return _json(self._model(request.path_params["name"]))

    async def completions(self, request: Request) -> Response:
        from starlette.responses import StreamingResponse

        asked = await _read(request, ChatRequest)
        self._know(asked.model, [self.name])
        if (asked.n or 1) > self.limits.choices:
            raise Refusal(400, f"n is at most {self.limits.choices}", param="n")
        messages = asked.conversation()
        options = asked.options(self.limits)
        if options.json_schema is not None and not self.json_answers:
            what = "an assistant with documents answers in sentences it can cite, not in JSON; serve it with --no-rag"
            raise Refusal(400, f"response_format: {what}", param="response_format")
        each = [replace(options, seed=(options.seed + index) % _SEEDS) for index in range(asked.n or 1)]
        if not asked.stream:
            return _json(await self._whole(messages, each))
        events = self._events(messages, each, bool(asked.stream_options and asked.stream_options.include_usage))
        first = await anext(events)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(_sse(first, events), media_type="text/event-stream", headers=headers)

    async def embeddings(self, request: Request) -> Response:
        asked = await _read(request, EmbeddingsRequest)
        if self.embedder is None:
            raise Refusal(404, "this server has no embedding model", "model_not_found")
        embedder = self.embedder
        self._know(asked.model, [embedder.name])
        texts = _texts(asked.input)
        if not texts or not all(texts) or len(texts) > MOST_INPUTS:
            raise Refusal(400, f"input must be 1 to {MOST_INPUTS} texts, none of them empty", param="input")
        if asked.dimensions not in (None, embedder.dim):
            raise Refusal(400, f"this model has {embedder.dim} dimensions", param="dimensions")
        embed = embedder.query if asked.input_type == "query" else embedder.passage
        vectors, tokens = await self.desk.call(lambda: (embed(texts), sum(map(embedder.tokens, texts))))
        written = [
            base64.b64encode(row.tobytes()).decode() if asked.encoding_format == "base64" else row.tolist()
            for row in vectors.astype("<f4")
        ]
        data = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(written)]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return _json({"object": "list", "data": data, "model": embedder.name, "usage": usage})

    async def nothing(self, request: Request) -> Response:
        raise Refusal(404, f"{request.method} {request.url.path} is not served here")

    async def _whole(self, messages: Sequence[Message], each: Sequence[Options]) -> dict[str, Any]:
        async def answer(options: Options) -> Delta:
            return gather([delta async for delta in self.desk.stream(self.chat, messages, options)])

        answers = await self.desk.together([answer(options) for options in each])
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": whole.text, **_extra(whole)},
                "finish_reason": whole.finish or "stop",
                "logprobs": None,
            }
            for index, whole in enumerate(answers)
        ]
        return {**self._head("chat.completion"), "choices": choices, **_usage([whole.usage for whole in answers])}

    async def _events(
        self, messages: Sequence[Message], each: Sequence[Options], include_usage: bool
    ) -> AsyncIterator[dict[str, Any]]:
        head = self._head("chat.completion.chunk")
        usages: list[Usage | None] = []
        for index, options in enumerate(each):
            finish, usage = None, None
            delta: dict[str, Any] = {"role": "assistant", "content": ""}
            async for piece in self.desk.stream(self.chat, messages, options):
                finish, usage = piece.finish or finish, piece.usage or usage
                if piece.text or _extra(piece):
                    yield _chunk(head, index, {**delta, "content": piece.text, **_extra(piece)}, None)
                    delta = {}
            yield _chunk(head, index, delta, finish or "stop")
            usages.append(usage)
        if include_usage:
            yield {**head, "choices": [], **_usage(usages)}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": self.name}

    def _names(self) -> list[str]:
        return [self.name] if self.embedder is None else [self.name, self.embedder.name]

    def _model(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self.started, "owned_by": "danlu"}

    def _know(self, name: str, known: Sequence[str]) -> None:
        if name not in known:
            near = nearest(name, known) or known[0]
            raise Refusal(404, f"there is no model {name!r} here; did you mean {near!r}?", "model_not_found", "model")


def make_app(
    chat: Chat,
    name: str,
    *,
    embedder: Embedder | None = None,
    key: str | None = None,
    host: str = "127.0.0.1",
    limits: Limits = Limits(),
    json_answers: bool = True,
) -> fastapi.FastAPI:
    """The app. Without `key` it answers to loopback names only; with one, /v1 wants it as a bearer token.

    The chat page is added by `danlu.serve.page.mount`.
    """
    import fastapi
    from starlette.exceptions import HTTPException

    service = Service(chat, name, embedder, limits, json_answers)
    silent: Any = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
    app = fastapi.FastAPI(title="Danlu", docs_url=None, redoc_url=None, openapi_url=None, telemetry=silent)
    app.add_route("/healthz", service.health, methods=["GET"])
    app.add_route("/v1/models", service.models, methods=["GET"])
    app.add_route("/v1/models/{name:path}", service.model, methods=["GET"])
    app.add_route("/v1/chat/completions", service.completions, methods=["POST"])
    app.add_route("/v1/embeddings", service.embeddings, methods=["POST"])

    app.add_route("/v1/{rest:path}", service.nothing, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])

    async def refuse(request: Request, error: Exception) -> Response:
        refusal = refusal_of(error)
        return _json(refusal.body(), refusal.status, refusal.headers)

    app.add_exception_handler(Refusal, refuse)
    app.add_exception_handler(DanluError, refuse)
    app.add_exception_handler(HTTPException, refuse)
    app.add_exception_handler(Exception, refuse)
    app.add_middleware(Door, key=key, host=host, body=limits.body, patience=limits.patience)
    app.state.service = service
    return app


def refusal_of(error: Exception) -> Refusal:
    """The HTTP status and OpenAI error body of what went wrong. Where it went wrong (a path, say) is not told."""
    if isinstance(error, Refusal):
        return error
    if not isinstance(error, DanluError):
        status = getattr(error, "status_code", 500)
        return Refusal(status, str(getattr(error, "detail", "an internal error; the server's log tells more")))
    what = error.problem.what
    if isinstance(error, PromptTooLong):
        return Refusal(413, what, "context_length_exceeded", "messages")
    if isinstance(error, DataError):
        return Refusal(400, what, param="messages")
    if isinstance(error, EndpointError):
        return Refusal(502, what, "upstream_error")
    return Refusal(500, what)


def _texts(given: str | list[str] | list[int] | list[list[int]]) -> list[str]:
    """The texts of an embeddings request; token ids, which another tokenizer made, are refused."""
    texts = [given] if isinstance(given, str) else given
    if not all(isinstance(text, str) for text in texts):
        raise Refusal(
            400,
            "input must be text, not token ids (in LangChain: OpenAIEmbeddings(check_embedding_ctx_length=False))",
            param="input",
        )
    return [text for text in texts if isinstance(text, str)]


async def _read(request: Request, kind: type[Any]) -> Any:
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise Refusal(415, "the content type must be application/json")
    raw = await request.body()
    try:
        asked = kind.model_validate_json(raw)
    except ValidationError as error:
        found = error.errors()
        first = next((each for each in found if each["type"] == "literal_error" and "content" in each["loc"]), found[0])
        field = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        if first["type"] == "literal_error" and field.endswith("type") and "content" in field:
            what = f"{first['input']!r} is not read here: the parts of a message are text"
        if first["type"] == "extra_forbidden":
            near = nearest(str(first["loc"][-1]), kind.model_fields)
            what = "this parameter is not known or not supported" + (f"; did you mean {near!r}?" if near else "")
        raise Refusal(400, f"{field}: {what}" if field else what, param=field or None) from None
    return asked


async def _sse(first: dict[str, Any], rest: AsyncIterator[dict[str, Any]]) -> AsyncIterator[str]:
    """Server-sent events. What fails after the first is told as an event, and [DONE] does not come."""
    yield _event(first)
    try:
        async for event in rest:
            yield _event(event)
    except (DanluError, Refusal) as error:
        yield _event(refusal_of(error).body())
        return
    yield "data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _chunk(head: dict[str, Any], index: int, delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    return {**head, "choices": [{"index": index, "delta": delta, "finish_reason": finish, "logprobs": None}]}


def _extra(delta: Delta) -> dict[str, Any]:
    extra = {"sources": delta.sources, "grounding": delta.grounding}
    return {name: value for name, value in extra.items() if value is not None}


def _usage(usages: Sequence[Usage | None]) -> dict[str, Any]:
    """OpenAI's usage: the prompt once, the answers together; null when the Chat did not count."""
    if any(usage is None for usage in usages):
        return {"usage": None}
    counted = [usage for usage in usages if usage is not None]
    prompt, completion = counted[0].prompt_tokens, sum(usage.completion_tokens for usage in counted)
    return {"usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}}


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse(value, status, headers)
