"""A Chat by its name: whom a step asks.

    endpoint:https://api.openai.com/v1#gpt-4.1-mini   any OpenAI-compatible address, a `danlu serve` of your own too
    models/teacher.gguf                               a file, in llama.cpp inside this process
    smollm2-135m-instruct                             a built-in model (`danlu model ls`)
    models/mine, org/name                             a folder of weights or an adapter, a hub id: in transformers
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
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from danlu.artifact import digest, file_digest, path_digest
from danlu.errors import DataError, EndpointError, ModelError, nearest
from danlu.model import find
from danlu.model.catalog import CATALOG
from danlu.model.chat import Chat

if TYPE_CHECKING:
    from danlu.model.answering import ModelChat
    from danlu.model.llama_server import LlamaServer

ADAPTER = "adapter_config.json"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
CONTEXT = 4096
"""Tokens that one conversation with a local model may take, prompt and answer together."""


@dataclass(frozen=True)
class Opened:
    """A Chat to ask, and how many requests it is sent at once. An Endpoint is opened without retries of its own: who
    asks counts and repeats them."""

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

        url, model = address(name)
        yield Opened(Endpoint(url, model, key_variable=key_variable, timeout=timeout, retries=0), name, at_once)
    elif name.startswith("script:"):
        yield Opened(script(Path(name.removeprefix("script:"))), name, at_once)
    else:
        local = _local(name)
        try:
            yield Opened(local, name, 1)
        finally:
            local.close()


def _local(name: str) -> LlamaServer | ModelChat:
    """A model on this machine: weights in GGUF (a built-in model too) in llama.cpp, others in transformers."""
    from danlu.model.answering import ModelChat
    from danlu.model.find import gguf_file
    from danlu.model.llama_server import LlamaServer
    from danlu.model.subject import open_model

    if name not in CATALOG and not name.endswith(".gguf"):
        return ModelChat(open_model(name))
    path, template = (gguf_file(name), CATALOG[name].template) if name in CATALOG else (Path(name).expanduser(), None)
    return LlamaServer(path, context=CONTEXT, slots=1, reuse=False, template=template)


def problem(name: str, root: str) -> tuple[str, str | None] | None:
    """What is wrong with a Chat's name and the nearest built-in model; None when nothing is. Opens nothing."""
    if name.startswith("endpoint:"):
        try:
            address(name)
        except EndpointError as error:
            return error.problem.what, None
        return None
    file = Path(root) / Path(name.removeprefix("script:")).expanduser()
    if name.startswith("script:") or name.endswith(".gguf"):
        return None if file.is_file() else (f"there is no file {name.removeprefix('script:')!r}", None)
    if name in CATALOG or is_weights(file) or HUB_ID.fullmatch(name):
        return None
    return (
        f"{name!r} is no endpoint (endpoint:URL#MODEL), no GGUF file, no built-in model, no folder of a model, no hub "
        "id (org/name) and no script:FILE.json",
        nearest(name, CATALOG),
    )


def fingerprint(name: str, root: str) -> str:
    """The hash of a model's weights or of a script; of an endpoint, its address and model: what stands behind it
    cannot be hashed."""
    if name in CATALOG:
        return CATALOG[name].sha256
    if name.startswith("endpoint:"):
        return digest(name)
    if not name.startswith("script:") and not name.endswith(".gguf"):
        folder = Path(root) / Path(name).expanduser()
        adapted = (folder / ADAPTER).is_file()
        return path_digest(folder) if adapted else find.fingerprint(name, root)
    return file_digest(Path(root) / Path(name.removeprefix("script:")).expanduser())


def licence(name: str, root: str) -> dict[str, str]:
    """{"licence": …, "terms": …} of a Chat; "unknown" where only its owner can say."""
    if name in CATALOG:
        return {"licence": CATALOG[name].licence, "terms": CATALOG[name].terms}
    if name.startswith("script:"):
        return {"licence": "a script, no model", "terms": ""}
    folder = Path(root) / Path(name).expanduser()
    if is_weights(folder):
        return find.folder_licence(folder)
    return {"licence": "unknown", "terms": "see the terms of the model's provider"}


def is_weights(folder: Path) -> bool:
    """Whether a folder holds a model in safetensors, or an adapter."""
    return (folder / "config.json").is_file() or (folder / ADAPTER).is_file()


def address(name: str) -> tuple[str, str]:
    """(URL, model) of endpoint:URL#MODEL; EndpointError when it is not written so, or holds a password."""
    url, _, model = name.removeprefix("endpoint:").rpartition("#")
    parts = urlsplit(url)
    if not model or parts.scheme not in ("http", "https") or not parts.hostname:
        raise EndpointError(f"an endpoint is written endpoint:URL#MODEL, not {name}")
    if parts.username or parts.password or re.search(r"(?i)\b(api[-_]?)?key=", parts.query):
        raise EndpointError("an endpoint's address holds no key: put it into the environment variable OPENAI_API_KEY")
    return url, model


def script(path: Path) -> Chat:
    """The Scripted Chat of a JSON file; DataError when it is none."""
    from danlu.model.fake import Scripted

    try:
        script = json.loads(path.expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"not a script: {error}", where=str(path)) from None
    if not isinstance(script, dict) or not all(isinstance(answer, str) for answer in script.values()):
        raise DataError("a script is a JSON object {text found in the last message: answer}", where=str(path))
    return Scripted(script)
