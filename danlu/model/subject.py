"""Whom an evaluation asks: a `LanguageModel` by its name.

    gemma-3-270m                          a built-in model (`danlu model ls`)
    models/mine, org/name                 a Hugging Face folder, or the id of a model on the hub
    store/artifacts/1f2e…                 an artifact of kind model, adapter or gguf; with a store, its id is enough
    models/mine-q4_k_m.gguf               a GGUF file, in llama.cpp inside this process
    endpoint:http://127.0.0.1:8000/v1#m   any OpenAI-compatible address; its key comes from an environment variable only
    script:answers.json                   no model: a rehearsal, and its facts say so

Weights in safetensors run in transformers and GGUF files in llama.cpp; a built-in model, which is both, runs in
transformers unless the backend "llama" is asked for. The fingerprint is the hash of what the answers depend on:
weights, tokenizer and template; of an endpoint, its address and model, as what stands behind it cannot be hashed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danlu.artifact import MANIFEST, Artifact, digest, file_digest, path_digest
from danlu.errors import DataError, ModelError, nearest
from danlu.model.catalog import CATALOG
from danlu.model.language_model import LanguageModel
from danlu.track import Track

BACKENDS = ("auto", "transformers", "llama", "endpoint")
SCRIPT_KEYS = ("probabilities", "answers", "other", "context")


@dataclass(frozen=True)
class Subject:
    """What a name stands for. `kind` is the backend (transformers, llama, endpoint, script), `path` the folder or file;
    of a built-in model that runs in transformers, nothing yet."""

    name: str
    kind: str
    path: Path = Path()


def open_model(
    name: str,
    *,
    backend: str = "auto",
    dtype: str = "float32",
    device: str | None = None,
    context: int | None = None,
    batch_tokens: int | None = None,
    processes: int = 1,
    threads: int | None = None,
    timeout: float = 120.0,
    at_once: int = 8,
    key_variable: str = "OPENAI_API_KEY",
    store: Path | None = None,
    track: Track | None = None,
) -> LanguageModel:
    """The LanguageModel of that name; whoever opens it closes it.

    `dtype`, `device`, `batch_tokens` (tokens of one step of the model) and `processes` are for transformers, `threads`
    for local models, `timeout` (seconds), `at_once` (requests) and `key_variable` for endpoints. `context` shortens a
    model's own.
    Raises ModelError, EndpointError, DataError or StorageError for a name that opens nothing.
    """
    found = subject(name, backend, store)
    if found.kind == "endpoint":
        from danlu.model.endpoint_model import EndpointModel
        from danlu.model.named import address

        url, model = address(name)
        return EndpointModel(
            url, model, name=name, timeout=timeout, at_once=at_once, key_variable=key_variable, context=context
        )
    if found.kind == "script":
        return _scripted(found, context)
    if found.kind == "llama":
        from danlu.model.llama_model import LlamaModel

        template = CATALOG[name].template if name in CATALOG else None
        return LlamaModel(
            found.path, name=name, fingerprint=fingerprint(found), context=context, threads=threads, template=template
        )
    from danlu.model.find import locate
    from danlu.model.prefix import TransformersModel

    folder = locate(name, track=track) if name in CATALOG else found.path
    return TransformersModel(
        folder,
        name=name,
        fingerprint=fingerprint(found),
        dtype=dtype,
        device=device,
        context=context,
        batch_tokens=batch_tokens,
        processes=processes,
        threads=threads,
        track=track,
    )


def subject(name: str, backend: str = "auto", store: Path | None = None) -> Subject:
    """What `name` stands for; nothing is loaded. ModelError with the nearest name when it is nothing, or when that
    backend cannot run it."""
    if backend not in BACKENDS:
        raise ModelError(f"unknown backend {backend!r}", nearest=nearest(backend, BACKENDS), next=_one_of(BACKENDS))
    found = _found(name, backend, store)
    if backend not in ("auto", found.kind) and found.kind != "script":
        raise ModelError(f"{name} runs in {found.kind}, not in {backend}", next="leave the backend out")
    return found


def fingerprint(found: Subject) -> str:
    """The hash of a subject's weights, tokenizer and template; of an endpoint, of its address and model."""
    if found.kind == "endpoint":
        return digest(found.name.rstrip("/"))
    if found.kind == "script":
        return file_digest(found.path)
    if found.kind == "llama":
        if found.name in CATALOG:
            entry = CATALOG[found.name]
            return digest({"gguf": entry.sha256, "template": entry.template})
        return file_digest(found.path)
    if (found.path / "adapter_config.json").is_file():
        from danlu.model.load import base_of

        base_of(found.path)  # the base is still the one that the adapter was trained on: base.json holds its hash
        return path_digest(found.path)
    from danlu.model import find

    return find.fingerprint(found.name if found.name in CATALOG else str(found.path), ".")


def _found(name: str, backend: str, store: Path | None) -> Subject:
    if name.startswith("endpoint:"):
        from danlu.model.named import address

        address(name)
        return Subject(name, "endpoint")
    if name.startswith("script:"):
        return Subject(name, "script", _file(name.removeprefix("script:")))
    if name in CATALOG:
        return _built_in(name, backend)
    path = Path(name).expanduser()
    if path.suffix == ".gguf":
        return Subject(name, "llama", _file(name))
    if not path.is_dir() and store is not None:
        path = _in_store(name, store) or path
    if path.is_dir():
        return _folder(name, path)
    return _elsewhere(name, store)


def _built_in(name: str, backend: str) -> Subject:
    from danlu.model.find import gguf_file

    return Subject(name, "llama", gguf_file(name)) if backend == "llama" else Subject(name, "transformers")


def _file(name: str) -> Path:
    path = Path(name).expanduser()
    if not path.is_file():
        here = [other.name for other in path.parent.glob(f"*{path.suffix}")] if path.parent.is_dir() else []
        raise ModelError(f"there is no file {path.name}", where=str(path.parent), nearest=nearest(path.name, here))
    return path


def _folder(name: str, folder: Path) -> Subject:
    """A Hugging Face folder, or an artifact of kind model, adapter or gguf."""
    if (folder / MANIFEST).is_file():
        artifact = Artifact.load(folder)
        if artifact.kind == "gguf":
            return Subject(name, "llama", _only_format(artifact))
        if artifact.kind not in ("model", "adapter"):
            raise ModelError(
                f"an artifact of kind {artifact.kind} is no model",
                where=str(folder),
                next="name an artifact of kind model, adapter or gguf: danlu ls",
            )
    if not (folder / "adapter_config.json").is_file():
        from danlu.model.find import check_folder

        check_folder(folder)
    return Subject(name, "transformers", folder)


def _only_format(artifact: Artifact) -> Path:
    formats: dict[str, str] = json.loads(artifact.file("formats.json").read_text(encoding="utf-8"))
    if len(formats) > 1:
        raise ModelError(
            f"this artifact holds {len(formats)} GGUF files: {', '.join(formats.values())}",
            where=str(artifact.path),
            next=f"name one of them, for example {artifact.path / next(iter(formats.values()))}",
        )
    return artifact.file(next(iter(formats.values())))


def _in_store(name: str, root: Path) -> Path | None:
    """The folder of the one artifact whose id begins with `name`; None when there is none."""
    folder = root / "artifacts"
    if len(name) < 4 or "/" in name or not folder.is_dir():
        return None
    fitting = sorted(path for path in folder.iterdir() if path.name.startswith(name))
    if len(fitting) > 1:
        raise ModelError(f"{name!r} is the beginning of {len(fitting)} ids", where=str(root), next="danlu ls")
    return fitting[0] if fitting else None


def _elsewhere(name: str, store: Path | None) -> Subject:
    """A hub id; ModelError with the nearest name when it cannot be one."""
    from danlu.model.find import locate

    if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return Subject(name, "transformers", locate(name))
    parent = Path(name).expanduser().parent
    beside = [str(other) for other in parent.iterdir() if other.is_dir()] if parent.is_dir() and "/" in name else []
    raise ModelError(
        f"no model {name!r}: neither built in, nor a folder, a GGUF file, endpoint:URL#MODEL, script:FILE.json, a hub "
        f"id such as org/name{', nor an artifact in the store' if store else ''}",
        nearest=nearest(name, [*CATALOG, *beside]),
        next="danlu model ls",
    )


def _scripted(found: Subject, context: int | None) -> LanguageModel:
    """A script is a JSON object of what `ScriptedModel` takes, each part optional: {"probabilities": {character: p},
    "answers": {text found in the prompt: answer}, "other": p, "context": tokens}."""
    from danlu.model.fake import ScriptedModel

    try:
        script: Any = json.loads(found.path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"not a script: {error}", where=str(found.path)) from None
    if not isinstance(script, dict) or (unknown := sorted(set(script) - set(SCRIPT_KEYS))):
        word = unknown[0] if isinstance(script, dict) else type(script).__name__
        raise DataError(
            f"a script is a JSON object with {', '.join(SCRIPT_KEYS)}, not {word!r}",
            where=str(found.path),
            nearest=nearest(word, SCRIPT_KEYS),
        )
    if context is not None:
        script["context"] = context
    try:
        model = ScriptedModel(**script, name=found.name)
    except (TypeError, ValueError) as error:
        raise DataError(f"not a script: {error}", where=str(found.path)) from None
    model.fingerprint = fingerprint(found)
    facts: Mapping[str, object] = {"backend": "script", "note": "a rehearsal: no model answered"}
    model.facts = facts
    return model


def _one_of(words: tuple[str, ...]) -> str:
    return f"one of {', '.join(words)}"
