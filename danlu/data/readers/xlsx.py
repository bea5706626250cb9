"""Excel (.xlsx .xlsm .xls): each sheet as Markdown tables under its name; `meta["sheets"]` = [[name, start, end], …].

Rows that are empty part a sheet into tables; a block of one column is a paragraph a cell. Values as they are stored:
dates as ISO 8601, whole numbers without a point, percentages as fractions. Hidden sheets are left out and named in
`meta["hidden"]`. Not covered: formulas (their last values are read), charts, pictures, comments, how numbers are shown;
a merged cell is written once.
"""

from __future__ import annotations

import codecs
import datetime
import io
import re
from collections.abc import Iterable, Iterator
from typing import Any

from danlu.data.readers import Reading, Unreadable, sound
from danlu.data.readers.grid import table
from danlu.data.readers.package import Package
from danlu.extras import need

CELLS = 8_000_000
"""Most cells of a sheet, counted over the rectangle around all that hold something."""

_OLE = b"\xd0\xcf\x11\xe0"
_CELL = re.compile(rb"""<(?:\w+:)?(?:row|c)\b(?:[^>]*?\sr\s*=\s*["']([A-Z]*)(\d{1,9})["'])?[^>]*?(/?)>""")
_PLACE = re.compile(rb"""\sr\s*=\s*["']([A-Z]*)(\d{1,9})["']""")
_TAG = re.compile(rb"<(?:\w+:)?c[\s/>]")
_ENTITY = b"<!ENTITY"


def read(data: bytes) -> Reading:
    """The title is that of the properties. Raises "broken-xlsx", "too-large", "empty" and as `Package` does."""
    meta: dict[str, Any] = {}
    if not data.startswith(_OLE) or "EncryptedPackage".encode("utf-16-le") in data:
        with Package(data, "xlsx") as package:
            package.main("workbook")
            _bounded(package)
            meta = package.properties()
    text, spans, hidden = "", [], []
    for name, shown, blocks in _sheets(data):
        if not shown:
            hidden.append(name)
            continue
        body = sound("\n\n".join([f"## {' '.join(name.split())}", *blocks])) if blocks else ""
        text += "\n\n" if text and body else ""
        spans.append([sound(name), len(text), len(text) + len(body)])
        text += body
    if not text:
        raise Unreadable("empty", f"{len(spans)} sheet(s) without text, {len(hidden)} hidden")
    more = {"hidden": hidden} if hidden else {}
    return Reading(text + "\n", meta.pop("title", ""), {**meta, "sheets": spans, **more})


def _bounded(package: Package) -> None:
    """Sheets are held as rectangles: two cells far apart would take all memory. Entities are looked for on the way."""
    for name in package.archive.names():
        data = package.archive.read(name)
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            data = data.decode("utf-16", "replace").encode()
        if not data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            continue
        if _ENTITY in data:
            raise Unreadable("xml-entities", f"{name} declares entities")
        if b"sheetData" in data:
            _rectangle(data, name)


def _rectangle(data: bytes, name: str) -> None:
    """Raises Unreadable "too-large" when the rectangle around the cells of a sheet is beyond `CELLS`."""
    letters: set[bytes] = set()
    last = placed = 0
    for found in _PLACE.finditer(data):
        column, row = found.groups()
        letters.add(column)
        placed += bool(column)
        last = max(last, int(row))
    if placed == sum(1 for _ in _TAG.finditer(data)) and last * max(map(_column, letters), default=0) <= CELLS:
        return  # quick: within bounds even with the empty cells, which have a place but hold nothing
    _refuse_large(data, name)


def _refuse_large(data: bytes, name: str) -> None:
    """As `_rectangle`, counting only cells that hold something, wherever they say that they are."""
    rows = columns = row = column = 0
    for found in _CELL.finditer(data):
        letters, digits, empty = found.groups()
        if found[0].split(b":")[-1].lstrip(b"<").startswith(b"row"):
            row, column = int(digits or row + 1), 0
            continue
        column = _column(letters) if letters else column + 1
        if not empty:
            rows, columns = max(rows, int(digits or row)), max(columns, column)
    if rows * columns > CELLS:
        raise Unreadable("too-large", f"{name}: {rows} × {columns} cells; {CELLS} are read at most")


def _column(letters: bytes) -> int:
    at = 0
    for letter in letters[:4]:
        at = at * 26 + letter - 64
    return at


def _sheets(data: bytes) -> Iterator[tuple[str, bool, list[str]]]:
    """(name, whether it is shown, its blocks) of each sheet."""
    calamine = need("python_calamine", "office")
    try:
        book = calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
        for sheet in book.sheets_metadata:
            shown = sheet.visible == calamine.SheetVisibleEnum.Visible
            rows = book.get_sheet_by_name(sheet.name).iter_rows() if shown else ()
            yield sheet.name, shown, list(blocks([_shown(cell) for cell in row] for row in rows))
    except calamine.PasswordError:
        raise Unreadable("encrypted", "it opens only with a password") from None
    except Unreadable:
        raise
    except BaseException as error:  # Rust's panics are no Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise Unreadable("broken-xlsx", f"{type(error).__name__}: {error}"[:200]) from None


def blocks(rows: Iterable[list[str]]) -> Iterator[str]:
    """The tables of a sheet: rows up to an empty one. A block of one column is no table, but lines."""
    held: list[list[str]] = []
    for row in rows:
        if any(cell.strip() for cell in row):
            held.append(row)
        elif held:
            yield _block(held)
            held = []
    if held:
        yield _block(held)


def _block(rows: list[list[str]]) -> str:
    used = {at for row in rows for at, cell in enumerate(row) if cell.strip()}
    if len(used) > 1:
        return table(rows)
    return "\n\n".join(cell.strip() for row in rows for cell in row if cell.strip())


def _shown(cell: Any) -> str:
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else f"{cell:.15g}"
    if isinstance(cell, datetime.datetime):
        return cell.isoformat(sep=" ", timespec="minutes" if cell.second == 0 else "seconds")
    return cell.isoformat() if isinstance(cell, (datetime.date, datetime.time)) else str(cell)
