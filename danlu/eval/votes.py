"""Votes on disk: an append-only file of JSON lines, each synced before the voter is thanked.

A line that is no vote (a torn write, a damaged disk, a stranger's edit) is counted, left where it is, and copied into
`<file>.damaged` with its number; the others count. One process writes at a time, and holds a lock on the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from danlu.artifact import digest
from danlu.errors import StorageError, storage_error
from danlu.eval.answers import Answers
from danlu.records import Record

Choice = Literal["left", "right", "tie", "bad"]


class Vote(Record):
    """What one voter said of two answers. `answers` is the hash of what was shown, `voter` that of the browser
    session's token, `time` in UTC."""

    id: str
    left: str
    right: str
    choice: Choice
    voter: str = Field(min_length=8)
    time: str
    answers: str


class Votes:
    """The votes of a file, made where there is none. `damaged` is how many lines are no votes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.all: list[Vote] = []
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise storage_error(error, str(path)) or StorageError(f"{error.strerror}", where=str(path)) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise StorageError(
                "another arena writes its votes into this file", where=str(path), next="choose another with --votes"
            ) from None
        bad, torn = self._read()
        self.damaged = len(bad)
        self._aside(bad)
        if torn:
            os.write(self._file, b"\n")
        self._end = os.fstat(self._file).st_size
        _sync_folder(path.parent)

    def add(self, vote: Vote) -> None:
        """Keep a vote; when this returns, it outlives a power cut. StorageError: the disk is full, say; the file is
        then as it was."""
        line = (vote.model_dump_json() + "\n").encode()
        with self._lock:
            try:
                written = 0
                while written < len(line):
                    written += os.write(self._file, line[written:])
                os.fsync(self._file)
            except OSError as error:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, self._end)
                told = storage_error(error, str(self.path))
                raise told or StorageError(f"the vote is not kept: {error.strerror}", where=str(self.path)) from None
            self._end += len(line)
            self.all.append(vote)

    def close(self) -> None:
        os.close(self._file)

    def _read(self) -> tuple[list[tuple[int, bytes]], bool]:
        """The lines that are no votes, with their numbers, and whether the last line has no end."""
        bad: list[tuple[int, bytes]] = []
        line = b"\n"
        with open(self._file, "rb", closefd=False) as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    self.all.append(Vote.model_validate_json(line))
                except ValidationError:
                    bad.append((number, line.rstrip(b"\n")))
        return bad, not line.endswith(b"\n")

    def _aside(self, bad: list[tuple[int, bytes]]) -> None:
        aside = self.path.with_name(self.path.name + ".damaged")
        if bad:
            aside.write_bytes(b"".join(b"%d\t%s\n" % entry for entry in bad))


def shown(left: str, right: str, id: str, sides: dict[str, Answers]) -> str:
    """The hash of two answers to a question, whichever stood left."""
    texts = {name: list(sides[name].texts[id]) for name in (left, right)}
    return digest([id, texts])[:16]


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
