"""Answers that were paid for: one SQLite file a store, so that a killed evaluation goes on at the very request.

    store/eval-cache.sqlite     key (SHA-256 of the model and the request) → the result and its check sum

Each result is committed before the next one is read (write-ahead log: kill -9 loses none of them, a power cut perhaps
the last ones, and the file stays whole). Several processes may read and write at once. A Failure is never kept: it is
asked again. A file that SQLite cannot read is set aside, and that is said; a row whose check sum is wrong is as if it
were not there. Not covered: a store on a network file system (SQLite's log needs shared memory), and a model behind an
endpoint that changes under the same name.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

from danlu.errors import StorageError, storage_error
from danlu.model.language_model import Answer, Failure, LanguageModel, LogLikelihood, Request, Result
from danlu.records import Message
from danlu.track import Track

CACHE = "eval-cache.sqlite"
SAME_ANYWAY = frozenset(
    {"processes", "copies", "threads", "batch", "batch_tokens", "licence", "terms", "parameters", "path"}
)
"""Facts of a model that never change a number by more than rounding: how it is spread, and what is only told."""

_AT_ONCE = 500
_TABLE = "CREATE TABLE IF NOT EXISTS results (key BLOB PRIMARY KEY, value TEXT NOT NULL, crc INTEGER NOT NULL)"


def model_key(model: LanguageModel) -> str:
    """What of a model decides its answers: the fingerprint, and the facts beyond SAME_ANYWAY (dtype, device, …)."""
    facts = {name: value for name, value in model.facts.items() if name not in SAME_ANYWAY}
    return json.dumps([model.fingerprint, facts], ensure_ascii=False, sort_keys=True, default=str)


def request_digest(request: Request) -> bytes:
    """SHA-256 of all that a request says, whoever is asked."""
    said = {field.name: _plain(getattr(request, field.name)) for field in fields(request)}
    text = json.dumps([type(request).__name__, said], ensure_ascii=False, sort_keys=True)
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def result_key(model: str, request: bytes) -> bytes:
    """Under which a result is kept: SHA-256 of a model's key and a request's digest."""
    return sha256(model.encode("utf-8", "surrogatepass") + request).digest()


def _plain(value: Any) -> Any:
    if isinstance(value, Message):
        return value.model_dump()
    if isinstance(value, Mapping):
        return dict(value)
    return [_plain(one) for one in value] if isinstance(value, (tuple, list)) else value


class Cache:
    """Results by key. Open it, and close it (or use it as a context)."""

    def __init__(self, path: Path, track: Track | None = None) -> None:
        self.path = path
        with _storage(path), _alone(path):
            try:
                self._open()
            except sqlite3.DatabaseError as error:
                if storage_error(error, str(path)) is not None or isinstance(error, sqlite3.OperationalError):
                    raise
                aside = _set_aside(path)
                (track or Track()).note(
                    f"{path}: the cache of answers is damaged ({error}); it is set aside as {aside.name}, "
                    "and a new one is begun"
                )
                self._open()

    def _open(self) -> None:
        self._db = sqlite3.connect(self.path, timeout=60, isolation_level=None)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(_TABLE)
            (state,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
            if state != "ok":
                raise sqlite3.DatabaseError(str(state).splitlines()[-1])
        except BaseException:
            self._db.close()
            raise

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Result]:
        """The results that are known."""
        found: dict[bytes, Result] = {}
        with _storage(self.path):
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                rows = self._db.execute(f"SELECT key, value, crc FROM results WHERE key IN ({marks})", list(some))
                for key, value, crc in rows:
                    if zlib.crc32(key + value.encode()) == crc:
                        found[key] = _result(value)
        return found

    def put(self, key: bytes, result: Result) -> None:
        """Keep a result; when this returns, it outlives a kill of this process. A Failure is not kept."""
        if isinstance(result, Failure):
            return
        value = json.dumps({"kind": type(result).__name__, **asdict(result)})
        crc = zlib.crc32(key + value.encode())
        with _storage(self.path):
            self._db.execute("INSERT OR REPLACE INTO results VALUES (?, ?, ?)", (key, value, crc))

    def __len__(self) -> int:
        with _storage(self.path):
            return int(self._db.execute("SELECT count(*) FROM results").fetchone()[0])

    def close(self) -> None:
        with _storage(self.path):
            self._db.close()

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _result(value: str) -> Result:
    facts = json.loads(value)
    return Answer(**facts) if facts.pop("kind") == "Answer" else LogLikelihood(**facts)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time opens, or sets aside, the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _set_aside(path: Path) -> Path:
    """Rename the damaged file, and take its log along."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    os.replace(path, aside)
    for end in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.replace(path.with_name(path.name + end), aside.with_name(aside.name + end))
    return aside


@contextlib.contextmanager
def _storage(path: Path) -> Iterator[None]:
    """What SQLite or the system says of the disk, as a StorageError."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        told = storage_error(error, str(path))
        raise told or StorageError(
            f"the cache of answers cannot be used: {error}",
            where=str(path),
            next="move this file away (its answers are asked again), or choose another store with --store DIR",
        ) from None
