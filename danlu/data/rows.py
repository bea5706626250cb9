"""Rows of a table → documents: which column is the text, which the id, the title, the date."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from danlu.data.gather import Seen
from danlu.data.readers import LONGEST, Unreadable, reader, sound
from danlu.data.readers.fields import iso_date, known
from danlu.data.readers.text import decoded
from danlu.errors import DataError, nearest
from danlu.records import Document, Drop
from danlu.registry import Settings

Names = Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]


class Columns(Settings):
    """The settings of a step that reads rows."""

    text: Names = ()
    """The column with the text; several are put together in this order, a blank line between. When empty, the first
    column with a usual name (text, content, body, 內容, …)."""

    id: str = ""
    """The column that tells the rows apart, the same on every run. Without it a row goes by its number."""

    title: str = ""
    """The column with the title."""

    date: str = ""
    """The column with the date."""

    keep: Names = ()
    """Other columns to carry along, in each document's `meta["columns"]`."""

    format: Literal["text", "markdown", "html"] = "text"
    """What the text is written in. Of HTML the main text is taken."""


def check(columns: Columns, names: Sequence[str], where: str, word: str) -> Columns:
    """The settings with the text column filled in. DataError for a column that is not there, with the nearest name."""
    text = columns.text or tuple(filter(None, [known(names)]))
    if not text:
        raise DataError(
            f"no column is named like a text; there are {', '.join(names)}", where=where, next=f"set `text` of {word}"
        )
    for field, wanted in (
        *(("text", name) for name in text), ("id", columns.id), ("title", columns.title), ("date", columns.date),
        *(("keep", name) for name in columns.keep),
    ):  # fmt: skip
        if wanted and wanted not in names:
            raise DataError(
                f"no column {wanted!r}; there are {', '.join(names)}", where=f"{where}, {field}",
                nearest=nearest(wanted, names), next=f"set `{field}` of {word}",
            )  # fmt: skip
    return columns.model_copy(update={"text": text})


def used(columns: Columns) -> list[str]:
    """The columns that are needed, each once."""
    return list(
        dict.fromkeys(filter(None, [*columns.text, columns.id, columns.title, columns.date, *columns.keep]))
    )  # fmt: skip


def documents(
    rows: Iterable[Mapping[str, Any]],
    columns: Columns,
    source: str,
    licence: str,
    work: Path,
    meta: Mapping[str, Any],
    ids: Sequence[str] = (),
) -> Iterator[Document | Drop]:
    """A document or a drop for each row. `ids` are the columns that make its id when the settings name none; `work` is
    a folder for what must be remembered.

    Reasons: `empty`, `no-id` (the id column is NULL), `repeated-id` (an earlier row has it), `record-too-long` (more
    than 16 Mi characters), `undecodable`, `binary`.
    """
    names = [columns.id] if columns.id else list(ids)
    with Seen(work / "ids.sqlite") as seen:
        for number, row in enumerate(rows, 1):
            key = "/".join(_line(row[name]) for name in names) if names else f"row {number}"
            id = f"{source}#{key}"
            if names and not key.strip("/"):
                yield Drop(id=f"{source}#row {number}", source=source, reason="no-id", detail=f"no value in {names[0]}")
            elif names and seen.before(key):
                yield Drop(
                    id=id, source=source, reason="repeated-id", detail=f"row {number}; an earlier row has this id"
                )
            else:
                yield _document(row, columns, id, source, licence, {**meta, "lines": [number, number]})


def _document(
    row: Mapping[str, Any], columns: Columns, id: str, source: str, licence: str, meta: dict[str, Any]
) -> Document | Drop:
    try:
        text = "\n\n".join(filter(None, (_text(row[name]).strip("\n") for name in columns.text)))
        if not text.strip():
            raise Unreadable("empty", f"nothing in {', '.join(columns.text)}")
        if len(text) > LONGEST:
            raise Unreadable("record-too-long", f"{len(text)} characters; {LONGEST} are read at most")
        title = _line(row[columns.title]) if columns.title else ""
        meta["sha256"] = hashlib.sha256(text.encode()).hexdigest()
        if columns.format != "text":
            found = reader(columns.format)(text.encode())
            text, title = found.text, title or found.title
            meta |= {name: value for name, value in found.meta.items() if name != "encoding"}
    except Unreadable as error:
        return Drop(id=id, source=source, reason=error.reason, detail=error.detail)
    if columns.date and (date := iso_date(row[columns.date])):
        meta["date"] = date
    if columns.keep:
        meta["columns"] = {name: plain(row[name]) for name in columns.keep}
    return Document(id=id, text=text, source=source, title=title, format=columns.format, licence=licence, meta=meta)


def _text(value: Any) -> str:
    """A cell as text: strings as they are, a list of strings as paragraphs, bytes in the encoding that they are in."""
    if value is None:
        return ""
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        return decoded(data)[0] if data.strip() else ""
    if isinstance(value, str):
        return sound(value).replace("\r\n", "\n").replace("\r", "\n")
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return sound("\n".join(value))
    value = plain(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _line(value: Any) -> str:
    try:
        return " ".join(_text(value).split())
    except Unreadable:
        return ""


def plain(value: Any) -> Any:
    """A cell as JSON: dates in ISO 8601, exact numbers and whatever JSON does not know as strings, NaN as null."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return sound(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, Mapping):
        return {sound(str(name)): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return sound(str(value))
