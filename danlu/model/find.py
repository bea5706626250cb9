"""Find a model by its name: a built-in one, a local Hugging Face folder, or a hub id.

Built-in models are converted from GGUF to a Hugging Face folder once, in the user's cache::

    $DANLU_CACHE (else $XDG_CACHE_HOME/danlu, else ~/.cache/danlu)
      models/<name>-<fingerprint>/   config.json, model.safetensors (float32: what the GGUF's weights expand to), the
                                     tokenizer, chat_template.jinja, vocabulary.gguf (the tokenizer's metadata as it
                                     was, for writing GGUF again), notices/, source.json
      digests.json                   the hashes of local model folders, by size and time of change
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from danlu.artifact import MANIFEST, digest, file_digest, tree_files
from danlu.errors import ModelError, StorageError, nearest, storage_error
from danlu.model.catalog import CATALOG, Entry
from danlu.track import Track

CONVERTER = 1
"""Raise it when what a conversion writes changes: every built-in model then has another fingerprint."""

SOURCE = "source.json"
VOCABULARY = "vocabulary.gguf"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_FILES = ["*.safetensors", "*.json", "*.jinja", "tokenizer*", "*.model", "merges.txt", "README.md", "LICENSE*"]


def cache_root() -> Path:
    """The user's cache folder of Danlu; not created here."""
    if named := os.environ.get("DANLU_CACHE"):
        return Path(named).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "danlu"


def locate(name: str, root: str = ".", track: Track | None = None) -> Path:
    """The Hugging Face folder of a model; `root` is the folder that a relative path is taken from.

    Raises ModelError for an unknown name, a folder that is no model, weights that are not what they should be, and a
    hub that cannot be reached; StorageError when the cache cannot be written.
    """
    if name in CATALOG:
        return _converted(CATALOG[name], track or Track())
    folder = Path(root) / Path(name).expanduser()
    if folder.is_dir():
        return check_folder(folder)
    if _HUB_ID.fullmatch(name):
        return check_folder(_snapshot(name))
    raise _unknown(name)


def fingerprint(name: str, root: str) -> str:
    """The hash that stands for a model's weights, tokenizer and template in the identity of a step.

    Built-in: the GGUF's known hash (proven when it is converted) and the converter's version. Folder: the hash of its
    files. Hub: the commit.
    """
    if name in CATALOG:
        _check_available(CATALOG[name])
        return _built_in_fingerprint(CATALOG[name])
    folder = Path(root) / Path(name).expanduser()
    if folder.is_dir():
        return _folder_digest(check_folder(folder))
    if _HUB_ID.fullmatch(name):
        return digest({"hub": name, "commit": _commit(name)})
    raise _unknown(name)


def description(name: str, root: str) -> Path | None:
    """A folder with a model's config.json and tokenizer, and its weights if they are on this machine: what can be known
    of it without fetching or converting them. None for a built-in model that was not converted yet."""
    if name in CATALOG:
        folder = _built_in_folder(CATALOG[name])
        return folder if (folder / SOURCE).is_file() else None
    folder = Path(root) / Path(name).expanduser()
    if folder.is_dir():
        return check_folder(folder)
    hub = _hub()
    with contextlib.suppress(hub.errors.LocalEntryNotFoundError):
        return Path(hub.snapshot_download(name, allow_patterns=_HUB_FILES, local_files_only=True))
    small = [pattern for pattern in _HUB_FILES if pattern != "*.safetensors"]
    place = cache_root() / "described" / name.replace("/", "--")  # not among the hub's own, which would seem whole
    try:
        return Path(hub.snapshot_download(name, allow_patterns=small, local_dir=place))
    except (hub.errors.HfHubHTTPError, hub.errors.LocalEntryNotFoundError, OSError) as error:
        raise _hub_error(name, error) from None


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The names and shapes of a folder's weights, from the heads of its safetensors files."""
    from safetensors import SafetensorError, safe_open

    found: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, "pt") as file:
                found |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"the weights cannot be read: {error}", where=str(path), next="get the model again"
            ) from None
    return found


def licence(name: str, root: str) -> dict[str, str]:
    """{"licence": …, "terms": an address or file name} of a model; "unknown" when its folder does not say."""
    if name in CATALOG:
        return {"licence": CATALOG[name].licence, "terms": CATALOG[name].terms}
    return folder_licence(locate(name, root))


def folder_licence(folder: Path) -> dict[str, str]:
    """The licence that a model folder states: in source.json, an artifact's manifest, or the card's front matter."""
    stated: list[dict[str, str]] = []
    if (folder / SOURCE).is_file():
        stated = [json.loads((folder / SOURCE).read_text(encoding="utf-8"))]
    elif (folder / MANIFEST).is_file():
        stated = list(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["licences"].values())
    if stated:
        return {key: "; ".join(sorted({part[key] for part in stated})) for key in ("licence", "terms")}
    card = folder / "README.md"
    found = re.search(r"(?m)^license:\s*(\S+)", card.read_text(encoding="utf-8")) if card.is_file() else None
    texts = sorted(path.name for path in folder.glob("LICENSE*"))
    return {"licence": found[1] if found else "unknown", "terms": texts[0] if texts else "unknown"}


def gguf_file(name: str) -> Path:
    """The GGUF of a built-in model as one file: the package's own, or its parts joined in the cache, once."""
    entry = CATALOG[name]
    path = cache_root() / "gguf" / f"{name}-{entry.sha256[:12]}.gguf"
    if not path.is_file():
        if not entry.parts():
            raise _not_installed(entry)
        if len(entry.parts()) == 1:
            return entry.parts()[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path.parent / f".{path.name}.lock"):
            if not path.is_file():
                aside = path.with_suffix(".part")
                _join(entry, aside)
                os.replace(aside, path)
    return path


def check_folder(folder: Path) -> Path:
    """`folder` when it holds a config.json and weights in safetensors; ModelError otherwise."""
    if not (folder / "config.json").is_file():
        raise ModelError("not a model folder: config.json is missing", where=str(folder), next="danlu model ls")
    if not any(folder.glob("*.safetensors")):
        pickled = sorted(path.name for path in folder.glob("*.bin"))
        why = f"{pickled[0]} is a pickle, which can run code when it is read" if pickled else "it has no weights"
        raise ModelError(
            f"no weights in safetensors: {why}",
            where=str(folder),
            next="save the model again with model.save_pretrained(folder), which writes safetensors",
        )
    return folder


def state(entry: Entry) -> str:
    """ "converted", "installed" or "missing"."""
    if (_built_in_folder(entry) / SOURCE).is_file():
        return "converted"
    return "installed" if entry.parts() else "missing"


def _unknown(name: str) -> ModelError:
    return ModelError(
        f"no model {name!r}: neither built in, nor a folder, nor a hub id such as org/name",
        nearest=nearest(name, CATALOG),
        next="danlu model ls",
    )


def _built_in_fingerprint(entry: Entry) -> str:
    return digest({"gguf": entry.sha256, "converter": CONVERTER, "template": entry.template})


def _built_in_folder(entry: Entry) -> Path:
    return cache_root() / "models" / f"{entry.name}-{_built_in_fingerprint(entry)[:12]}"


def _check_available(entry: Entry) -> None:
    if state(entry) == "missing":
        raise _not_installed(entry)


def _not_installed(entry: Entry) -> ModelError:
    return ModelError(f"the built-in model {entry.name} is not installed", next=f"danlu model pull {entry.name}")


def _converted(entry: Entry, track: Track) -> Path:
    folder = _built_in_folder(entry)
    if (folder / SOURCE).is_file():
        return folder
    _check_available(entry)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _lock(folder.parent / f".{folder.name}.lock"):
            if not (folder / SOURCE).is_file():
                _convert(entry, folder, track)
    except (ModelError, StorageError):
        raise
    except Exception as error:
        found = storage_error(error, str(folder.parent)) or _cache_error(error, folder.parent)
        if found is None:
            raise
        found.problem = type(found.problem)(
            found.problem.what, found.problem.where, next="free some space there, or name another with DANLU_CACHE=DIR"
        )
        raise found from None
    return folder


def _cache_error(error: Exception, folder: Path) -> StorageError | None:
    if not isinstance(error, OSError):
        return None
    return StorageError(f"the model cache cannot be written: {error.strerror}", where=str(error.filename or folder))


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _convert(entry: Entry, folder: Path, track: Track) -> None:
    """Write the folder aside and rename it. Whoever calls holds the lock."""
    track.note(f"{entry.name}: converting to safetensors, once ({entry.licence}, {entry.terms})")
    for left in folder.parent.glob(f".{folder.name}.*.part"):
        shutil.rmtree(left)
    aside = folder.parent / f".{folder.name}.{os.getpid()}.part"
    aside.mkdir()
    try:
        source = aside / "source.gguf"
        _join(entry, source)
        _write_folder(source, aside, entry, track)
        source.unlink()
        _sync(aside)
        os.replace(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _join(entry: Entry, target: Path) -> None:
    """Join the parts; ModelError naming the wrong package when the hash is not the known one."""
    seen = hashlib.sha256()
    with target.open("wb") as out:
        for part in entry.parts():
            data = part.read_bytes()
            seen.update(data)
            out.write(data)
    if seen.hexdigest() != entry.sha256:
        raise ModelError(
            f"the weights of {entry.name} are damaged: SHA-256 {seen.hexdigest()[:12]}…, expected {entry.sha256[:12]}…",
            where=str(entry.parts()[0].parent),
            next=f"danlu model pull {entry.name} --again",
        )


def _write_folder(gguf_file: Path, folder: Path, entry: Entry, track: Track) -> None:
    from danlu.model.gguf import Source, write_vocabulary
    from danlu.model.template import ensure_template, stop_tokens
    from danlu.model.tokens import tokenizer_of

    source = Source(gguf_file)
    config = source.config()
    _write_json(folder / "config.json", config)
    tokenizer = tokenizer_of(source.metadata, str(gguf_file))
    ensure_template(tokenizer, entry.template)
    tokenizer.save_pretrained(folder)
    generation = {key: config[key] for key in ("bos_token_id", "pad_token_id")}
    _write_json(folder / "generation_config.json", {**generation, "eos_token_id": stop_tokens(tokenizer)})
    _write_weights(source, folder / "model.safetensors", track)
    write_vocabulary(source, folder / VOCABULARY)
    for notice in entry.notice_files():
        (folder / "notices").mkdir(exist_ok=True)
        shutil.copyfile(notice, folder / "notices" / notice.name)
    _write_json(
        folder / SOURCE,
        {
            "model": entry.name,
            "fingerprint": _built_in_fingerprint(entry),
            "gguf_sha256": entry.sha256,
            "converter": CONVERTER,
            "licence": entry.licence,
            "terms": entry.terms,
            "files": {path.relative_to(folder).as_posix(): file_digest(path)
                      for path in tree_files(folder) if path != gguf_file},
        },
    )  # fmt: skip


def _write_weights(source: Any, target: Path, track: Track) -> None:
    from safetensors.numpy import save_file

    tensors = dict(track.over(source.tensors(), "dequantize", len(source), "tensor"))
    save_file(tensors, target, metadata={"format": "pt"})
    shutil.copymode(target.parent / "config.json", target)  # safetensors writes for the owner alone


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _sync(folder: Path) -> None:
    for path in [*tree_files(folder), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _folder_digest(folder: Path) -> str:
    """SHA-256 over a folder's files, remembered by size and time of change so that large weights are read once."""
    files = [path for path in tree_files(folder) if path.name != MANIFEST]
    facts = {str(path.relative_to(folder)): [path.stat().st_size, path.stat().st_mtime_ns] for path in files}
    key = digest({"folder": str(folder.resolve()), "files": facts})
    memory = cache_root() / "digests.json"
    known: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(memory.read_text(encoding="utf-8"))
    if key not in known:
        known[key] = digest({name: file_digest(folder / name) for name in facts})
        with contextlib.suppress(OSError):  # only a memory: without it the folder is hashed again
            memory.parent.mkdir(parents=True, exist_ok=True)
            aside = memory.with_suffix(f".{os.getpid()}.part")
            _write_json(aside, known)
            os.replace(aside, memory)
    return known[key]


def _hub() -> Any:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import huggingface_hub
    import huggingface_hub.errors

    return huggingface_hub


def _snapshot(name: str) -> Path:
    """The hub's files of a model, from the hub's own cache when they are there."""
    hub = _hub()
    with contextlib.suppress(hub.errors.LocalEntryNotFoundError):
        return Path(hub.snapshot_download(name, allow_patterns=_HUB_FILES, local_files_only=True))
    try:
        return Path(hub.snapshot_download(name, allow_patterns=_HUB_FILES))
    except (hub.errors.HfHubHTTPError, hub.errors.LocalEntryNotFoundError, OSError) as error:
        raise _hub_error(name, error) from None


def _commit(name: str) -> str:
    hub = _hub()
    with contextlib.suppress(hub.errors.LocalEntryNotFoundError):
        return Path(hub.snapshot_download(name, allow_patterns=_HUB_FILES, local_files_only=True)).name
    try:
        return str(hub.HfApi().model_info(name).sha)
    except Exception as error:
        if type(error).__module__.split(".")[0] not in {"huggingface_hub", "httpx", "requests", "builtins"}:
            raise
        raise _hub_error(name, error) from None


def _hub_error(name: str, error: Exception) -> ModelError:
    first = str(error).strip().splitlines()
    return ModelError(
        f"the model hub does not give {name}: {first[0] if first else type(error).__name__}",
        nearest=nearest(name, CATALOG),
        next="check the name and the network, or use a local folder or a built-in model (danlu model ls)",
    )
