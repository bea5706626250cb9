"""Excel (.xlsx .xlsm .xls): each sheet as Markdown tables under its name; `meta["sheets"]` = [[name, start, end], …].

Rows that are empty part a sheet into tables; a block of one column is a paragraph a cell. Numbers, dates and times are
as the cell shows them (`danlu.data.readers.numbers`). Formulas are read by their last values; one that was never
calculated stands as it is (`=B2+B4`) and is counted in `meta["formulas_without_value"]`. Hidden sheets are left out and
named in `meta["hidden"]`; a merged cell is written once. Not covered: charts, pictures, comments, .xlsb; formulas
without a value in .xls.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from danlu.data.readers import Reading, Unreadable, html, sound
from danlu.data.readers.grid import table
from danlu.data.readers.numbers import BUILTIN, GENERAL, shown
from danlu.data.readers.package import Package
from danlu.data.readers.tree import below, child, local, value
from danlu.extras import need

CELLS = 8_000_000
"""Most cells of a sheet, counted over the rectangle around all that hold something."""

_OLE = b"\xd0\xcf\x11\xe0"
_CELL = re.compile(rb"""<(?:\w+:)?(?:row|c)\b(?:[^>]*?\sr\s*=\s*["']([A-Z]*)(\d{1,9})["'])?[^>]*?(/?)>""")
_PLACE = re.compile(rb"""\sr\s*=\s*["']([A-Z]*)(\d{1,9})["']""")
_TAG = re.compile(rb"<(?:\w+:)?c[\s/>]")
_ENTITY = b"<!ENTITY"
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_WIDEST = 16_384


def read(data: bytes) -> Reading:
    """The title is that of the properties. Raises "broken-xlsx", "too-large", "empty" and as `Package` does."""
    if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        return html.read(data)  # what web sites offer as .xls is a page with a table, more often than not
    if data.startswith(_OLE) and "EncryptedPackage".encode("utf-16-le") not in data:
        return _reading(_old(data), {}, Told())
    told = Told()
    with Package(data, "xlsx") as package:
        package.main("workbook")
        _bounded(package)
        return _reading(_sheets(package, told), package.properties(), told)


def _reading(sheets: Iterable[tuple[str, bool, list[str]]], meta: dict[str, Any], told: Told) -> Reading:
    text, spans, hidden = "", [], []
    for name, visible, blocks in sheets:
        if not visible:
            hidden.append(name)
            continue
        body = sound("\n\n".join([f"## {' '.join(name.split())}", *blocks])) if blocks else ""
        text += "\n\n" if text and body else ""
        spans.append([sound(name), len(text), len(text) + len(body)])
        text += body
    if not text:
        raise Unreadable("empty", f"{len(spans)} sheet(s) without text, {len(hidden)} hidden")
    more: dict[str, Any] = {"hidden": hidden} if hidden else {}
    more |= {"formulas_without_value": told.formulas} if told.formulas else {}
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


def _sheets(package: Package, told: Told) -> Iterator[tuple[str, bool, list[str]]]:
    """(name, whether it is shown, its blocks) of each sheet."""
    main, book = package.main("workbook")
    relations = package.relations(main)
    parts = dict(relations.values())
    told.formats = _formats(package.part(parts.get("styles", "")))
    told.since_1904 = value(child(book, "workbookPr"), "date1904") in ("1", "true")
    told.strings = _strings(package, parts.get("sharedStrings", ""))
    for sheet in below(book, "sheet"):
        kind, part = relations.get(value(sheet, "}id"), ("", ""))
        if kind != "worksheet":
            continue
        visible = value(sheet, "state") in ("", "visible")
        yield value(sheet, "name"), visible, list(blocks(_rows(package.archive.read(part), told))) if visible else []


@dataclass
class Told:
    """What the cells of a book refer to, and how many of them hold a formula without a value."""

    strings: list[str] = field(default_factory=list)
    formats: list[str] = field(default_factory=list)
    since_1904: bool = False
    formulas: int = 0


def _formats(root: Any) -> list[str]:
    """The number format of each style of cells."""
    if root is None:
        return []
    own = {value(each, "numFmtId"): value(each, "formatCode") for each in below(root, "numFmt")}
    ids = [value(each, "numFmtId") for each in (child(root, "cellXfs") if child(root, "cellXfs") is not None else ())]
    return [own.get(id) or BUILTIN.get(int(id) if id.isdigit() else 0, GENERAL) for id in ids]


def _strings(package: Package, name: str) -> list[str]:
    if name not in package.archive:
        return []
    return [_text(each) for each in _each(package.archive.read(name), "si")]


def _text(element: Any) -> str:
    """The text of a string without its readings (`rPh`, for Japanese)."""
    texts = (each.text or "" for each in below(element, "t") if local(each.getparent()) != "rPh")
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), "".join(texts))


def _each(data: bytes, name: str) -> Iterator[Any]:
    """The elements of this name, one at a time. Raises Unreadable "broken-xlsx"."""
    etree = need("lxml.etree", "office")
    try:
        found = etree.iterparse(
            io.BytesIO(data), tag=f"{{*}}{name}", resolve_entities=False, no_network=True, load_dtd=False
        )
        for _, element in found:
            yield element
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]
    except etree.XMLSyntaxError as error:
        raise Unreadable("broken-xlsx", str(error)[:200]) from None


def _rows(data: bytes, told: Told) -> Iterator[list[str]]:
    """The rows of a sheet, from the first that holds something, as shown; empty ones between them once."""
    last = at = 0
    for row in _each(data, "row"):
        number = row.get("r", "")
        at = int(number) if number.isdigit() else at + 1
        texts: list[str] = []
        for cell in row:
            if local(cell) != "c" or not (text := _shown(cell, told)):
                texts += [""] * (local(cell) == "c" and not cell.get("r", ""))
                continue
            letters = cell.get("r", "").rstrip("0123456789")
            place = _column(letters.encode()) - 1 if letters else len(texts)
            texts += [""] * (min(place, _WIDEST) + 1 - len(texts))
            texts[min(place, _WIDEST)] = text
        if any(text.strip() for text in texts):
            if at > last + 1:
                yield []
            yield texts
            last = at


def _shown(cell: Any, told: Told) -> str:
    """What a cell shows; the formula itself where it has no value, which is counted."""
    kind = cell.get("t", "")
    held = child(cell, "v")
    raw = (held.text or "") if held is not None else ""
    formula = child(cell, "f")
    if formula is not None and not raw.strip() and kind != "str":
        told.formulas += 1
        return f"={formula.text or '…'}"
    if kind == "s":
        at = int(raw) if raw.strip().isdigit() else len(told.strings)
        return told.strings[at] if at < len(told.strings) else ""
    if kind == "inlineStr":
        return _text(cell)
    if kind == "b":
        return "TRUE" if raw.strip() in ("1", "true") else "FALSE"
    if kind in ("str", "e", "d") or not raw.strip():
        return raw
    style = cell.get("s", "")
    format = told.formats[int(style)] if style.isdigit() and int(style) < len(told.formats) else GENERAL
    return shown(raw, format, since_1904=told.since_1904)


def _old(data: bytes) -> Iterator[tuple[str, bool, list[str]]]:
    """As `_sheets`, of a book of Excel 97–2003."""
    excel = need("xlrd", "office")
    try:
        with excel.open_workbook(file_contents=data, formatting_info=True, logfile=io.StringIO()) as book:
            for sheet in book.sheets():
                rows = ([_old_cell(excel, book, cell) for cell in sheet.row(at)] for at in range(sheet.nrows))
                yield sheet.name, not sheet.visibility, list(blocks(rows)) if not sheet.visibility else []
    except Unreadable:
        raise
    except Exception as error:  # xlrd meets damage with whatever error its code runs into
        encrypted = "encrypted" in str(error).lower()
        reason = ("encrypted", "it opens only with a password")
        raise Unreadable(*reason if encrypted else ("broken-xlsx", f"{type(error).__name__}: {error}"[:200])) from None


def _old_cell(excel: Any, book: Any, cell: Any) -> str:
    if cell.ctype in (excel.XL_CELL_NUMBER, excel.XL_CELL_DATE):
        format = book.format_map[book.xf_list[cell.xf_index].format_key].format_str
        return shown(repr(cell.value), format, since_1904=bool(book.datemode))
    if cell.ctype == excel.XL_CELL_BOOLEAN:
        return "TRUE" if cell.value else "FALSE"
    if cell.ctype == excel.XL_CELL_ERROR:
        return str(excel.error_text_from_code.get(cell.value, "#ERR!"))
    return str(cell.value)


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
