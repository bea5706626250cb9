"""JSON Lines: a document for each line, streamed. `meta["lines"]` is the line's number, first and last.

A line that is no JSON, is longer than 16 MiB, is nested too deep or has no text is a `Bad` of its own. UTF-8, or
UTF-16 with a mark; single lines in Big5 or GB18030 are told one by one. Not covered: JSON over several lines.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO, Protocol

from danlu.data.readers import LONGEST, USUAL, Bad, How, Reading, Unreadable, geojson
from danlu.data.readers.fields import record
from danlu.data.readers.json import parse

_TRIED = 10
WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Lines(Protocol):
    def readline(self, limit: int, /) -> bytes: ...


def each(
    path: Path, how: How = USUAL, start: int = 0, end: int | None = None, line: int = 1
) -> Iterator[Reading | Bad]:
    """The records of the lines that begin in bytes [start, end) of the file; the first of them is number `line`."""
    with path.open("rb") as file:
        wide = file.read(2) in WIDE
        file.seek(start)
        yield from stream(_Utf16(file) if wide else file, how, None if end is None else end - start, line)


def stream(file: Lines, how: How, size: int | None = None, line: int = 1) -> Iterator[Reading | Bad]:
    """The records of the lines of a file, up to `size` bytes of it. Raises Unreadable "empty" when there are none,
    "broken-json" when the first ten lines are no JSON."""
    found = _records(file, how, size, line)
    if line == 1:
        first = list(islice(found, _TRIED))
        if not first:
            raise Unreadable("empty", "no line with text")
        broken = [item for item in first if isinstance(item, Bad) and item.reason == "broken-json"]
        if len(broken) == _TRIED:
            raise Unreadable("broken-json", f"none of the first {_TRIED} lines is JSON: {broken[0].detail}")
        found = chain(first, found)
    yield from found


def _records(file: Lines, how: How, size: int | None, line: int) -> Iterator[Reading | Bad]:
    for number, raw, length in _lines(file, size, line):
        part = f"line {number}"
        if length > LONGEST:
            yield Bad(part, "record-too-long", f"{length} bytes; {LONGEST} are read at most")
        elif raw.strip():
            try:
                value, meta = parse(raw.lstrip(b"\x1e"))  # RFC 7464 begins each record so
                if not how.text and isinstance(value, dict) and value.get("type") == "Feature":
                    value = geojson.record(value)
                yield record(value, how, part, raw, lines=[number, number], **meta)
            except Unreadable as error:
                yield Bad(part, error.reason, error.detail)


def _lines(file: Lines, size: int | None, number: int) -> Iterator[tuple[int, bytes, int]]:
    """(number, the line, its length in bytes) of each line up to `size` bytes; a line that is too long is passed over
    in pieces and yielded empty."""
    at = 0
    while size is None or at < size:
        raw = file.readline(LONGEST + 1)
        if not raw:
            return
        length = len(raw)
        if length > LONGEST and not raw.endswith(b"\n"):
            raw = b""
            while more := file.readline(LONGEST):
                length += len(more)
                if more.endswith(b"\n"):
                    break
        if number == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        yield number, raw, length
        at += length
        number += 1


class _Utf16:
    """The lines of a UTF-16 file, as UTF-8."""

    def __init__(self, file: IO[bytes]) -> None:
        self._text = io.TextIOWrapper(file, "utf-16", "replace", "\n")

    def readline(self, limit: int) -> bytes:
        return self._text.readline(limit).encode("utf-8", "surrogatepass")
