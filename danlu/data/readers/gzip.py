"""gzip: what is in it through the reader of the suffix before `.gz`; JSON Lines are streamed, the rest read at once.

Not covered: TAR inside, several files one after another (they are read as one, as gzip defines).
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from danlu.data.readers import LARGEST, READERS, USUAL, Bad, How, Reading, Unreadable, jsonl
from danlu.data.readers.member import inside

RATIO = 200
"""Most unpacked bytes for a packed one, beyond `_SMALL`; deflate reaches 1,032 where all is the same."""

_SMALL = 2**24
_BROKEN = (gzip.BadGzipFile, zlib.error, EOFError)


def each(path: Path, how: How = USUAL) -> Iterator[Reading | Bad]:
    name = Path(how.source or path.name).name.rpartition("#")[2][: -len(path.suffix)]
    inner = Path(name).suffix.lower()
    if READERS.get(inner) is None:
        raise Unreadable("unsupported-format", f"{inner or 'no suffix'} inside .gz")
    try:
        with path.open("rb") as packed, gzip.GzipFile(fileobj=packed) as unpacked:
            source = io.BufferedReader(_Bounded(unpacked, path.stat().st_size), 2**20)
            if READERS[inner] == "jsonl":
                yield from (_told(found, "jsonl") for found in jsonl.stream(source, how))
                return
            data = source.read(LARGEST + 1)
    except _BROKEN as error:
        raise Unreadable("broken-gzip", str(error)[:200]) from None
    if len(data) > LARGEST:
        raise Unreadable("too-large", f"over {LARGEST} bytes unpacked")
    yield from (_told(found, READERS[inner], name) for found in inside(name, data, how))


def _told(found: Reading | Bad, format: str, name: str = "") -> Reading | Bad:
    """The record under the name of the .gz file: what is in it needs no name of its own."""
    part = found.part.removeprefix(name).removeprefix("#") if name else found.part
    if isinstance(found, Reading):
        found = replace(found, format=found.format or format)
    return replace(found, part=part)


class _Bounded(io.RawIOBase):
    """The unpacked bytes, as long as they are not too many for the packed ones."""

    def __init__(self, source: gzip.GzipFile, packed: int) -> None:
        self._source = source
        self._most = max(_SMALL, RATIO * packed)
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._source.read(len(buffer))
        self._count += len(data)
        if self._count > self._most:
            raise Unreadable("zip-bomb", f"over {self._most} bytes unpacked, {RATIO} times the packed ones")
        buffer[: len(data)] = data
        return len(data)
