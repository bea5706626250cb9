"""JSON: a document for each record, or one for the whole.

Records are the elements of a list; else, of an object without a text of its own, those of its only list of objects
("data", "items", …) or, when all its values are objects, those; of GeoJSON its features
(`danlu.data.readers.geojson`). A file that holds an object on each line is read as JSON Lines. Which field is the text:
`danlu.data.readers.fields`.
RFC 8259 is kept to: no NaN, no comments, no trailing commas. Not covered: more than `LARGEST` bytes (JSON Lines are
read record by record, however long), conversations and instruction sets (`data.examples`).
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from danlu.data.readers import USUAL, Bad, How, Reading, Unreadable, bounded, geojson, module
from danlu.data.readers.fields import known, record
from danlu.data.readers.text import decoded
from danlu.extras import need

LARGEST = 2**27


def each(path: Path, how: How = USUAL) -> Iterator[Reading | Bad]:
    data = bounded(path, LARGEST, "write it as JSON Lines (.jsonl), which are read record by record")
    if not data.strip():
        raise Unreadable("empty", f"{len(data)} byte(s), nothing but white space")
    try:
        value, meta = parse(data)
    except Unreadable as error:
        if error.reason not in ("broken-json", "binary") or not _of_lines(data):
            raise
        yield from module("jsonl").stream(io.BytesIO(data), how)
        return
    found = records(value, how)
    if found is None:
        yield whole(value, how, data, meta)
        return
    empty = True
    for part, item in found:
        empty = False
        yield record(item, how, part, **meta)
    if empty:
        raise Unreadable("empty", "a list without elements")


def _of_lines(data: bytes) -> bool:
    """Whether the first two lines hold an object each: JSON Lines, or GeoJSON text sequences (RFC 8142)."""
    lines = data.removeprefix(b"\xef\xbb\xbf").splitlines()[:2]
    try:
        return bool(lines) and all(isinstance(parse(line.lstrip(b"\x1e"))[0], dict) for line in lines)
    except Unreadable:
        return False


def whole(value: Any, how: How, data: bytes, meta: dict[str, Any]) -> Reading | Bad:
    """The one document of a value that is no collection of records."""
    found = record(value, replace(how, id=""), "", data, **meta)
    if isinstance(found, Bad):
        raise Unreadable(found.reason, found.detail)
    return found


def records(value: Any, how: How) -> Iterator[tuple[str, Any]] | None:
    """(name, record) of each record; None when the value is one document, or none."""
    if isinstance(value, list):
        return ((f"record {number}", item) for number, item in enumerate(value, 1))
    if not isinstance(value, dict) or how.text in value or (not how.text and known(value)):
        return None
    if not how.text and (features := geojson.features(value)) is not None:
        return features
    lists = [name for name, held in value.items() if isinstance(held, list) and held and isinstance(held[0], dict)]
    if len(lists) == 1:
        return ((f"{lists[0]} {number}", item) for number, item in enumerate(value[lists[0]], 1))
    if len(value) > 1 and all(isinstance(held, dict) for held in value.values()):
        return iter(value.items())
    return None


def parse(data: bytes) -> tuple[Any, dict[str, int]]:
    """(the value, {"undecodable": …} where bytes of it mean nothing).

    Raises Unreadable "broken-json", "too-deep", and as `text.decoded` does."""
    fast = need("orjson", "data")
    try:
        return fast.loads(data), {}
    except fast.JSONDecodeError:
        text, meta = decoded(data)
    try:
        return json.loads(text, parse_constant=_refuse), {k: meta[k] for k in ("undecodable",) if k in meta}
    except RecursionError:
        raise Unreadable("too-deep", "lists and objects nested a thousand deep and more") from None
    except ValueError as error:
        raise Unreadable("broken-json", str(error)[:200]) from None


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
