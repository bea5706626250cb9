"""Answers on disk: an append-only file of JSON lines, each synced before anybody is told of its answer.

A process that is killed leaves at most a torn last line, which is cut off when the file is opened again. A line that
cannot be read (a damaged disk) is as if it were not there: its request is asked again.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Reply:
    """What a Chat answered. `finish` is "stop", "length" (cut off at max_tokens) or "refused" (by the endpoint, with
    its words as the text); `counted` says whether the tokens are the model's count or an estimate."""

    text: str
    finish: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    counted: bool = True


class Journal:
    """Replies by key. One process at a time, any number of its threads; in memory are the places, not the texts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.estimated = 0
        self._places: dict[bytes, tuple[int, int]] = {}
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._end = self._load()
        os.ftruncate(self._file, self._end)
        _sync_folder(path.parent)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: str) -> bool:
        return bytes.fromhex(key) in self._places

    def __getitem__(self, key: str) -> Reply:
        start, length = self._places[bytes.fromhex(key)]
        entry: dict[str, Any] = json.loads(os.pread(self._file, length, start))
        entry.pop("key")
        return Reply(**entry)

    def put(self, key: str, reply: Reply) -> None:
        """Keep the reply; when this returns, it outlives a power cut. OSError: the disk is full, say."""
        line = json.dumps({"key": key, **asdict(reply)}, ensure_ascii=False).encode() + b"\n"
        with self._lock:
            try:
                written = 0
                while written < len(line):
                    written += os.write(self._file, line[written:])
                os.fsync(self._file)
            except OSError:
                os.ftruncate(self._file, self._end)
                raise
            self._add(bytes.fromhex(key), self._end, len(line), reply)
            self._end += len(line)

    def close(self) -> None:
        os.close(self._file)

    def _add(self, key: bytes, start: int, length: int, reply: Reply) -> None:
        if key not in self._places:
            self.prompt_tokens += reply.prompt_tokens
            self.completion_tokens += reply.completion_tokens
            self.estimated += not reply.counted
        self._places[key] = (start, length)

    def _load(self) -> int:
        """Read every line; returns where the last whole one ends."""
        end = 0
        with open(self._file, "rb", closefd=False) as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                found = _entry(line)
                if found is not None:
                    self._add(found[0], end, len(line), found[1])
                end += len(line)
        return end


def _entry(line: bytes) -> tuple[bytes, Reply] | None:
    try:
        entry = json.loads(line)
        return bytes.fromhex(entry.pop("key")), Reply(**entry)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
