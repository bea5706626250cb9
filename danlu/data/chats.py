"""Whom a step asks: a Chat by its name.

    endpoint:https://api.openai.com/v1#gpt-4.1-mini   any OpenAI-compatible address, a `danlu serve` of your own too
    models/teacher.gguf                               a file, in llama.cpp inside this process
    smollm2-135m-instruct                             a built-in model (`danlu model ls`)
    script:answers.json                               no model: a JSON object {text found in the last message: answer}

The key of an endpoint comes from an environment variable and from nowhere else. A local model answers one request at a
time, with nothing reused between them, so that its answers are the same on every run; for speed, serve it with
`danlu serve` and name the endpoint. A script is for rehearsals and tests: what it makes says in its licences that no
model wrote it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from danlu.artifact import digest, file_digest
from danlu.errors import DataError, EndpointError, ModelError, nearest
from danlu.model.catalog import CATALOG
from danlu.model.chat import Chat
from danlu.registry import Aside, ChatName, Settings

CONTEXT = 4096
"""Tokens that one conversation with a local model may take, prompt and answer together."""


class Asking(Settings):
    """The settings of every step that asks a Chat. Those that stand aside never change what is made: a step that ran
    out of its budget goes on, with a larger one, where it stopped."""

    chat: Annotated[str, ChatName()]
    """Who is asked: endpoint:URL#MODEL, FILE.gguf, a built-in model, or script:FILE.json."""

    licence: str = ""
    """The licence of what the model writes (some providers forbid to train other models on it); when empty, what is
    known of the model's own."""

    max_tokens: Annotated[int, Field(ge=1)] = 1024
    """The longest answer, in tokens of the model that answers."""

    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    """0 always takes the likeliest token."""

    enforce: bool = True
    """Have the backend hold answers to the JSON schema where one is wanted; false for an endpoint that refuses
    response_format. Answers are checked as strictly either way."""

    attempts: Annotated[int, Field(ge=1, le=10)] = 2
    """How often the same is asked until the answer can be parsed."""

    key_variable: Annotated[str, Aside()] = "OPENAI_API_KEY"
    """The environment variable with the endpoint's key."""

    at_once: Annotated[int, Field(ge=1, le=256), Aside()] = 8
    """How many requests an endpoint is sent at once."""

    retries: Annotated[int, Field(ge=0, le=20), Aside()] = 6
    """How often a request is sent again after 429, 5xx, a timeout or a broken connection."""

    timeout: Annotated[float, Field(gt=0), Aside()] = 120.0
    """Seconds to wait for a connection, and for each piece of an answer."""

    token_budget: Annotated[int | None, Field(ge=1), Aside()] = None
    """Stop before the requests of this step take more tokens than this, prompts and answers together."""

    cost_budget: Annotated[float | None, Field(gt=0), Aside()] = None
    """Stop before the requests of this step cost more than this, in the currency of `prices`."""

    prices: Annotated[tuple[float, float] | None, Aside()] = None
    """What a million tokens cost: [of the prompt, of the answer]."""

    @model_validator(mode="after")
    def _priced(self) -> Asking:
        if self.cost_budget is not None and self.prices is None:
            raise ValueError("cost_budget needs prices: [per million prompt tokens, per million answer tokens]")
        if self.prices is not None and min(self.prices) < 0:
            raise ValueError("prices are from 0 up")
        return self


@dataclass(frozen=True)
class Opened:
    """A Chat to ask, and how many requests it is sent at once. An Endpoint is opened without retries of its own:
    `danlu.data.requests` counts and repeats them."""

    chat: Chat
    name: str
    at_once: int


@contextmanager
def opened(
    name: str, at_once: int = 8, timeout: float = 120.0, key_variable: str = "OPENAI_API_KEY"
) -> Iterator[Opened]:
    """The Chat of that name (a relative path starts at the working folder), closed at the end.

    Raises EndpointError, ModelError or DataError for a name that opens nothing.
    """
    found = problem(name, ".")
    if found is not None:
        raise ModelError(f"chat: {found[0]}", nearest=found[1], next="danlu model ls")
    if name.startswith("endpoint:"):
        from danlu.model.endpoint import Endpoint

        url, model = _address(name)
        yield Opened(Endpoint(url, model, key_variable=key_variable, timeout=timeout, retries=0), name, at_once)
    elif name.startswith("script:"):
        yield Opened(_script(Path(name.removeprefix("script:"))), name, at_once)
    else:
        from danlu.model.find import gguf_file
        from danlu.model.llama_server import LlamaServer

        path = gguf_file(name) if name in CATALOG else Path(name).expanduser()
        server = LlamaServer(path, context=CONTEXT, slots=1, reuse=False)
        try:
            yield Opened(server, name, 1)
        finally:
            server.close()


def problem(name: str, root: str) -> tuple[str, str | None] | None:
    """What is wrong with a Chat's name and the nearest built-in model; None when nothing is. Opens nothing."""
    if name.startswith("endpoint:"):
        try:
            _address(name)
        except EndpointError as error:
            return error.problem.what, None
        return None
    file = Path(root) / Path(name.removeprefix("script:")).expanduser()
    if name.startswith("script:") or name.endswith(".gguf"):
        return None if file.is_file() else (f"there is no file {name.removeprefix('script:')!r}", None)
    if name in CATALOG:
        return None
    return (
        f"{name!r} is no endpoint (endpoint:URL#MODEL), no GGUF file, no built-in model and no script:FILE.json",
        nearest(name, CATALOG),
    )


def fingerprint(name: str, root: str) -> str:
    """The hash of a model's weights or of a script; of an endpoint, its address and model: what stands behind it
    cannot be hashed."""
    if name in CATALOG:
        return CATALOG[name].sha256
    if name.startswith("endpoint:"):
        return digest(name)
    return file_digest(Path(root) / Path(name.removeprefix("script:")).expanduser())


def licence(name: str, root: str) -> dict[str, str]:
    """{"licence": …, "terms": …} of a Chat; "unknown" where only its owner can say."""
    if name in CATALOG:
        return {"licence": CATALOG[name].licence, "terms": CATALOG[name].terms}
    if name.startswith("script:"):
        return {"licence": "a script, no model", "terms": ""}
    return {"licence": "unknown", "terms": "see the terms of the model's provider"}


def _address(name: str) -> tuple[str, str]:
    """(URL, model) of endpoint:URL#MODEL; EndpointError when it is not written so, or holds a password."""
    url, _, model = name.removeprefix("endpoint:").rpartition("#")
    parts = urlsplit(url)
    if not model or parts.scheme not in ("http", "https") or not parts.hostname:
        raise EndpointError(f"an endpoint is written endpoint:URL#MODEL, not {name}")
    if parts.username or parts.password or re.search(r"(?i)\b(api[-_]?)?key=", parts.query):
        raise EndpointError("an endpoint's address holds no key: put it into the environment variable OPENAI_API_KEY")
    return url, model


def _script(path: Path) -> Chat:
    from danlu.model.fake import Scripted

    try:
        script = json.loads(path.expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"not a script: {error}", where=str(path)) from None
    if not isinstance(script, dict) or not all(isinstance(answer, str) for answer in script.values()):
        raise DataError("a script is a JSON object {text found in the last message: answer}", where=str(path))
    return Scripted(script)
