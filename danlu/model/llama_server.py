"""A GGUF file as a Chat: llama.cpp's server inside this process, through xllamacpp.

The chat template is the one inside the file. Requests that come at the same time share each step of the model
(continuous batching), one slot each; more than that wait. Greedy answers are the same from run to run for one slot;
with several at once, the order of floating-point sums, and so now and then a token, depends on who else is served.

The library insists on an HTTP port: it is on 127.0.0.1, without pages, behind a random key that nobody is told, and
used here to count tokens. What a message says can not end its turn: control tokens of the model inside a message's
text are written with full-width brackets.

Not covered: images, tools, and grammars other than that of a JSON schema.
"""

from __future__ import annotations

import os
import queue
import re
import secrets
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from danlu.errors import ModelError
from danlu.extras import need
from danlu.model.chat import GREEDY, Delta, Options, PromptTooLong, Usage
from danlu.model.llama import LlamaFile
from danlu.records import Message

_TAG = re.compile(r"<[^<>\s]{1,60}>|\[/?[A-Za-z_]{1,30}\]")
_WIDE = str.maketrans("<>[]", "＜＞［］")


class LlamaServer:
    """`context` is the tokens that one conversation may take, prompt and answer together (never more than the model
    was trained for); `slots` how many are served at once. With `reuse`, the part of a prompt that a slot has seen
    before is not computed again. `template` names a chat template (`danlu.model.template`) in place of the file's."""

    def __init__(
        self,
        path: Path,
        *,
        context: int = 4096,
        slots: int = 8,
        threads: int | None = None,
        reuse: bool = True,
        template: str | None = None,
    ) -> None:
        _check(path)
        with LlamaFile(path) as vocabulary:
            self._border = vocabulary.border
        self.path = path
        self.reuse = reuse
        key = secrets.token_hex(32)
        params = _params(path, context * slots, slots, threads or len(os.sched_getaffinity(0)), key)
        if template is not None:
            from danlu.model.template import source

            params.chat_template = source(template)
        try:
            self._server = need("xllamacpp", "serve").Server(params)
        except RuntimeError as error:
            raise ModelError(
                f"llama.cpp cannot load this model: {error}", where=str(path), next="danlu run RECIPE --force gguf"
            ) from None
        self._http = need("httpx", "serve").Client(
            base_url=self._server.listening_address,
            headers={"Authorization": f"Bearer {key}"},
            timeout=60.0,
            trust_env=False,
        )
        self._control: dict[str, bool] = {}
        self.context = int(self._call("GET", "/props")["default_generation_settings"]["n_ctx"])

    def stream(self, messages: Sequence[Message], options: Options = GREEDY) -> Iterator[Delta]:
        request: dict[str, Any] = {
            "messages": self._plain(messages),
            "max_tokens": options.max_tokens,
            "temperature": options.temperature,
            "top_p": options.top_p,
            "top_k": options.top_k,
            "min_p": options.min_p,
            "frequency_penalty": options.frequency_penalty,
            "presence_penalty": options.presence_penalty,
            "seed": options.seed,
            "stop": list(options.stop),
            "cache_prompt": self.reuse,
            "reasoning_format": "none",
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if options.json_schema is not None:
            held = {"schema": dict(options.json_schema)}
            request["response_format"] = {"type": "json_schema", "json_schema": held}
        finished = False
        for event in self._events(request):
            if "error" in event:
                raise self._error(event["error"])
            for delta in _deltas(event):
                finished = finished or delta.finish is not None
                yield delta
        if not finished:
            raise ModelError("the model stopped in mid-answer", where=str(self.path))

    def count(self, messages: Sequence[Message]) -> int:
        """Tokens of the prompt that these messages render to."""
        request = {"messages": self._plain(messages)}
        return int(self._call("POST", "/v1/chat/completions/input_tokens", request)["input_tokens"])

    def close(self) -> None:
        """Stop the server and free the model."""
        self._http.close()
        self._server = None

    def _events(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """What the server says, as it says it. It calls back in the thread that asks, hence one more thread."""
        said: queue.SimpleQueue[dict[str, Any] | BaseException | None] = queue.SimpleQueue()
        closed = threading.Event()
        server = self._server

        def listen(event: dict[str, Any]) -> bool:
            said.put(event)
            return closed.is_set()

        def ask() -> None:
            try:
                server.handle_chat_completions(request, listen)
                said.put(None)
            except BaseException as error:  # handed to the thread that reads
                said.put(error)

        # not a daemon: at its end, the interpreter waits for it, or llama.cpp would call back into nothing and abort
        threading.Thread(target=ask, name="llama-stream").start()
        try:
            while (event := said.get()) is not None:
                if isinstance(event, BaseException):
                    raise ModelError(f"the model cannot be asked this: {event}", where=str(self.path))
                yield event
        finally:
            closed.set()

    def _plain(self, messages: Sequence[Message]) -> list[dict[str, str]]:
        def write(match: re.Match[str]) -> str:
            return match[0].translate(_WIDE) if self._is_control(match[0]) else match[0]

        said = [(message.role, _TAG.sub(write, message.content)) for message in messages]
        return [{"role": role, "content": self._border.message(content)} for role, content in said]

    def _is_control(self, text: str) -> bool:
        """Whether the tokenizer reads `text` as a control token: it is other tokens when those are not parsed."""
        if text not in self._control:
            ids = [
                self._call("POST", "/tokenize", {"content": text, "add_special": False, "parse_special": special})
                for special in (True, False)
            ]
            self._control[text] = ids[0] != ids[1]
        return self._control[text]

    def _call(self, method: str, address: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        import httpx

        try:
            response = self._http.request(method, address, json=body)
            answer: dict[str, Any] = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise ModelError(f"the model's server does not answer: {error}", where=str(self.path)) from None
        if response.status_code != 200:
            raise self._error(answer.get("error", {}))
        return answer

    def _error(self, error: dict[str, Any]) -> ModelError:
        if error.get("type") == "exceed_context_size_error":
            return PromptTooLong(int(error["n_prompt_tokens"]), int(error["n_ctx"]), self.path.name)
        return ModelError(f"the model gave no answer: {error.get('message', error)}", where=str(self.path))


def _check(path: Path) -> None:
    if not path.is_file():
        raise ModelError("there is no such GGUF file", where=str(path), next="danlu ls")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ModelError("this is not a GGUF file", where=str(path), next="danlu ls")


def _params(path: Path, context: int, slots: int, threads: int, key: str) -> Any:
    params = need("xllamacpp", "serve").CommonParams()
    params.model.path = str(path)
    params.model_alias = {path.stem}
    params.n_ctx = context
    params.n_parallel = slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.cpuparams.poll = params.cpuparams_batch.poll = 0  # idle threads sleep: the machine is not ours alone
    params.api_keys = [key]
    params.ui = params.endpoint_slots = params.warmup = False
    params.cache_ram_mib = 0
    params.verbosity = -1
    return params


def _deltas(event: dict[str, Any]) -> Iterator[Delta]:
    for choice in event["choices"]:
        text = choice["delta"].get("content") or ""
        if text or choice["finish_reason"]:
            yield Delta(text, choice["finish_reason"])
    if "usage" in event:
        yield Delta(usage=Usage(event["usage"]["prompt_tokens"], event["usage"]["completion_tokens"]))
