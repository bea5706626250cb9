"""The records of a JSON or JSONL file one by one, each with its line, whatever the file's size and however broken.

A `.jsonl` or `.ndjson` file has a record a line; any other is a JSON list, or objects one after another. A broken line
is one bad record; in a list, what comes after broken JSON cannot be read. Bounded: a record of more than LONGEST bytes
is refused without being read. Not covered: compressed files, CSV, Parquet.
"""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from danlu.data.flow import Block
from danlu.data.formats.fields import Fault
from danlu.errors import DataError, UsageError, nearest

LONGEST = 32 * 2**20
LINES = (".jsonl", ".ndjson")
ENDINGS = (*LINES, ".json")
_CHUNK = 2**20
_BLOCK = 4 * 2**20
_SPACE = re.compile(r"[\s,]*")
_SURROGATE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}")


class Raw(NamedTuple):
    """One record as it stands in the file, or why there is none. `line` is where it begins, from 1."""

    line: int
    value: Any = None
    fault: Fault | None = None


def files(path: Path) -> list[Path]:
    """The instruction files that a path names: itself, or everything readable in the folder, sorted."""
    if path.is_dir():
        found = sorted(one for one in path.rglob("*") if one.is_file() and one.suffix.lower() in ENDINGS)
        found = [one for one in found if not any(part.startswith(".") for part in one.relative_to(path).parts)]
        if not found:
            raise DataError(f"no {', '.join(ENDINGS)} file in this folder", where=str(path))
        return found
    if not path.is_file():
        names = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
        near = nearest(path.name, names)
        raise UsageError("no such file or folder", where=str(path), nearest=near and str(path.parent / near))
    return [path]


def spans(path: Path) -> list[Block]:
    """A file of lines cut into blocks of some megabytes, for several processes; a list is one block."""
    if path.suffix.lower() not in LINES:
        return [Block(str(path), 0, path.stat().st_size, 1, 0)]
    found: list[Block] = []
    start = at = 0
    line = first = 1
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            last = chunk.rfind(b"\n")
            if last >= 0 and at + last + 1 - start >= _BLOCK:
                line += chunk.count(b"\n", 0, last + 1)
                found.append(Block(str(path), start, at + last + 1, first, 0))
                start, first = at + last + 1, line
                line += chunk.count(b"\n", last + 1)
            else:
                line += chunk.count(b"\n")
            at += len(chunk)
    if at > start:
        found.append(Block(str(path), start, at, first, 0))
    return found


def records(path: Path) -> Iterator[Raw]:
    """Every record of a file, in order."""
    for block in spans(path):
        yield from within(block)


def within(block: Block) -> Iterator[Raw]:
    """The records of a block, which need not be counted."""
    with io.BytesIO(block.data) if block.data is not None else open(block.path, "rb") as file:
        if Path(block.path).suffix.lower() in LINES:
            file.seek(0 if block.data is not None else block.start)
            yield from _lines(file, block.end - block.start, block.line)
        else:
            yield from _listed(file)


def _lines(file: BinaryIO, size: int, number: int) -> Iterator[Raw]:
    """The records of the next `size` bytes, the first of them on line `number`."""
    at = 0
    while at < size:
        line = file.readline(LONGEST + 1)
        begins = number == 1 and at == 0
        at += len(line)
        if len(line) > LONGEST and not line.endswith(b"\n"):
            line, skipped = b"", _skip(file, size - at)
            at += skipped
            yield Raw(number, fault=_too_long())
        elif line.strip():
            yield _decoded(line.removeprefix(codecs.BOM_UTF8) if begins else line, number)
        number += 1


def _skip(file: BinaryIO, most: int) -> int:
    """Read up to the end of the line, or `most` bytes, keeping nothing; returns how many."""
    done = 0
    while done < most:
        piece = file.readline(min(_CHUNK, most - done))
        done += len(piece)
        if not piece or piece.endswith(b"\n"):
            break
    return done


def _decoded(line: bytes, number: int) -> Raw:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        return Raw(number, fault=_not_utf8(error))
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        return Raw(number, fault=_broken(error))
    return Raw(number, value, _unwritable(text, value))


class _Refused(ValueError):
    """JSON that says something that would be lost or has no meaning."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = next(name for at, (name, _) in enumerate(pairs) if any(name == other for other, _ in pairs[:at]))
        raise _Refused(f"the field {twice[:60]!r} stands there twice")
    return made


def _constant(name: str) -> Any:
    raise _Refused(f"{name} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def _unwritable(text: str, value: Any) -> Fault | None:
    """A lone surrogate (\\ud800) is half a character: nothing that could be written."""
    if _SURROGATE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return Fault("broken-json", "", "holds half a character (a lone surrogate)")
    return None


def _broken(error: Exception) -> Fault:
    if isinstance(error, RecursionError):
        return Fault("broken-json", "", "is nested too deeply")
    if isinstance(error, json.JSONDecodeError):
        return Fault("broken-json", "", f"is no JSON: {error.msg}, column {error.colno}")
    return Fault("broken-json", "", str(error) if isinstance(error, _Refused) else "a number is too long")


def _not_utf8(error: UnicodeDecodeError) -> Fault:
    mend = "iconv -f ENCODING -t UTF-8 FILE"
    return Fault("not-utf-8", "", f"is not UTF-8 (byte {error.object[error.start]:#04x})", mend=mend)


def _too_long() -> Fault:
    return Fault("too-long", "", f"is longer than {LONGEST // 2**20} MiB")


# --- a list, or objects one after another ---


class _Window:
    """What is read of a file and not yet used, as text, with the line at which it begins."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self.text, self.at, self.line, self.ended = "", 0, 1, False

    def more(self, size: int = _CHUNK) -> None:
        data = self.file.read(size)
        self.ended = not data
        self.text = self.text[self.at :] + self.decode(data, final=not data)
        self.at = 0

    def skip(self, to: int) -> None:
        self.line += self.text.count("\n", self.at, to)
        self.at = to

    def blank(self) -> bool:
        """Skip white space and commas; whether anything is left."""
        while True:
            found = _SPACE.match(self.text, self.at)
            self.skip(found.end() if found else self.at)
            if self.at < len(self.text) or self.ended:
                return self.at < len(self.text)
            self.more()


def _listed(file: BinaryIO) -> Iterator[Raw]:
    window = _Window(file)
    try:
        if not window.blank():
            return
        listed = window.text[window.at] == "["
        window.skip(window.at + listed)
        while window.blank() and not (listed and window.text[window.at] == "]"):
            raw = _next(window)
            yield raw
            if raw.fault is not None and raw.fault.mend == _LOST:
                return
    except UnicodeDecodeError as error:
        yield Raw(window.line, fault=_not_utf8(error)._replace(mend=_LOST))


_LOST = "what comes after it in this file cannot be read"


def _next(window: _Window) -> Raw:
    """The value at the window's place; the window grows until it is whole."""
    line = window.line
    while True:
        try:
            value, end = _DECODER.raw_decode(window.text, window.at)
        except (ValueError, RecursionError) as error:
            if window.ended or not _unfinished(error, window):
                return Raw(line, fault=_broken(error)._replace(mend=_LOST))
            if len(window.text) - window.at > LONGEST:
                return Raw(line, fault=_too_long()._replace(mend=_LOST))
            window.more(max(_CHUNK, len(window.text) - window.at))
            continue
        if end == len(window.text) and not window.ended and not isinstance(value, (dict, list, str)):
            window.more()
            continue
        text = window.text[window.at : end]
        window.skip(end)
        return Raw(line, value, _unwritable(text, value))


def _unfinished(error: Exception, window: _Window) -> bool:
    """Whether more text could mend it: the error is at the end of what was read, or in a string that goes on."""
    if not isinstance(error, json.JSONDecodeError):
        return False
    return error.msg.startswith("Unterminated string") or error.pos >= len(window.text) - 16
