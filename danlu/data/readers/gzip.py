"""Packed files (.gz .bz2 .xz .zst, and .tgz and its like): what is in one through the reader of its suffix.

How it is packed is told by its first bytes, not by its name: a .tgz may be an xz, or a TAR that a browser unpacked.
JSON Lines are streamed, the rest is read at once. Not covered: several files one after another (they are read as one,
as gzip defines), Unix `compress` (.Z).
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from danlu.data.readers import LARGEST, READERS, USUAL, Bad, How, Reading, Unreadable, jsonl, module
from danlu.data.readers.member import inside
from danlu.extras import need

RATIO = 200
"""Most unpacked bytes for a packed one, beyond `_SMALL`; deflate reaches 1,032 where all is the same."""

_SMALL = 2**24
_BROKEN = (gzip.BadGzipFile, zlib.error, EOFError, lzma.LZMAError, ValueError)
_BY_NAME = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd"}
_TARS = {".tgz": ".gz", ".tbz": ".bz2", ".tbz2": ".bz2", ".txz": ".xz", ".tzst": ".zst", ".tar": ".gz"}
_MARKS = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ\0": ".xz", b"\x28\xb5\x2f\xfd": ".zst"}


def each(path: Path, how: How = USUAL) -> Iterator[Reading | Bad]:
    name = Path(how.source or path.name).name.rpartition("#")[2][: -len(path.suffix)]
    suffix = path.suffix.lower()
    packing = packed_as(path) or _TARS.get(suffix, suffix)
    name += ".tar" if suffix in _TARS else ""
    inner = Path(name).suffix.lower()
    if READERS.get(inner) is None:
        raise Unreadable("unsupported-format", f"{inner or 'no suffix'} inside {suffix}")
    if inner == ".tar" and _is_tar(path):
        yield from module("tar").each(path, how)
        return
    try:
        with path.open("rb") as packed, _opened(packed, packing) as unpacked:
            source = io.BufferedReader(_Bounded(unpacked, path.stat().st_size), 2**20)
            if READERS[inner] == "jsonl":
                yield from (_told(found, "jsonl") for found in jsonl.stream(source, how))
                return
            data = source.read(LARGEST + 1)
    except Unreadable:
        raise
    except Exception as error:
        if not _broken(error):
            raise
        raise Unreadable(f"broken-{_BY_NAME[packing]}", str(error)[:200]) from None
    if len(data) > LARGEST:
        raise Unreadable("too-large", f"over {LARGEST} bytes unpacked")
    one = READERS[inner] == "tar" and suffix != ".tar"  # a packed TAR is one archive; one without a name for it counts
    how = replace(how, depth=how.depth - one)
    yield from (_told(found, READERS[inner], name) for found in inside(name, data, how))


def packed_as(path: Path) -> str:
    """The suffix of the packing that the file's first bytes tell; empty: none known here."""
    with path.open("rb") as file:
        head = file.read(6)
    return next((suffix for mark, suffix in _MARKS.items() if head.startswith(mark)), "")


def _is_tar(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(512)[257:262] == b"ustar"


def _broken(error: Exception) -> bool:
    """Whether the packed bytes are to blame; bz2 says so by an OSError without a number."""
    return (
        isinstance(error, _BROKEN)
        or type(error).__name__ == "ZstdError"
        or (isinstance(error, OSError) and error.errno is None)
    )


def _opened(packed: IO[bytes], packing: str) -> Any:
    if packing == ".zst":
        return need("backports.zstd", "office").ZstdFile(packed)
    return (
        gzip.GzipFile(fileobj=packed)
        if packing == ".gz"
        else {".bz2": bz2.BZ2File, ".xz": lzma.LZMAFile}[packing](packed)
    )


def _told(found: Reading | Bad, format: str, name: str = "") -> Reading | Bad:
    """The record under the name of the .gz file: what is in it needs no name of its own."""
    part = found.part.removeprefix(name).removeprefix("#") if name else found.part
    if isinstance(found, Reading):
        found = replace(found, format=found.format or format)
    return replace(found, part=part)


class _Bounded(io.RawIOBase):
    """The unpacked bytes, as long as they are not too many for the packed ones."""

    def __init__(self, source: IO[bytes], packed: int) -> None:
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
