"""Reading the files that adapters find: JSON, JSONL and CSV, each mistake with its file and line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from danlu.errors import DataError


def text(path: Path) -> str:
    """The text of a UTF-8 file (a byte order mark is no part of it)."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 (byte {error.start})", where=str(path), next="save the file as UTF-8") from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from None


def whole(path: Path) -> Any:
    """The value of a JSON file."""
    try:
        return json.loads(text(path))
    except ValueError as error:
        raise DataError(f"not JSON: {error}", where=str(path)) from None


def lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file:line, object) of each line of a JSONL file."""
    for number, line in enumerate(text(path).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            value = json.loads(line)
        except ValueError as error:
            raise DataError(f"not JSON: {error}", where=where) from None
        if not isinstance(value, dict):
            raise DataError(f"a {type(value).__name__}, where an object should be", where=where)
        yield where, value


def table(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file:row, fields) of each row of a CSV or JSONL file."""
    if path.suffix == ".jsonl":
        yield from lines(path)
        return
    for number, row in enumerate(csv.DictReader(text(path).splitlines(keepends=True)), 1):
        yield f"{path}: row {number}", {key: value for key, value in row.items() if key is not None}


def need(row: Mapping[str, Any], name: str, where: str) -> Any:
    """A field that must be there."""
    if row.get(name) is None:
        known = ", ".join(map(str, row))
        raise DataError(f"the field {name!r} is missing; there are {known}", where=where)
    return row[name]
