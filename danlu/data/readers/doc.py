"""Word 97–2003 (.doc): paragraphs, headings, tables, footnotes and text boxes as Markdown ([MS-DOC]).

What is called .doc but is Rich Text, a web page or a .docx goes to its own reader. Headings are those of the built-in
styles. Left out: headers, footers, comments, the instructions of fields. Not covered: Word 6 and 95 beyond their plain
text, passwords ("encrypted"), numbers of lists, text marked as deleted (it stays), merged cells.
"""

from __future__ import annotations

import bisect
import itertools
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from danlu.data.readers import Reading, Unreadable, docx, html, rtf, sound
from danlu.data.readers.grid import table
from danlu.data.readers.ole import MARK, Compound
from danlu.text.encoding import salvage

_PAGE = 512
_MOST = 2**24
_IN_TABLE, _ROW_END = 0x2416, 0x2417
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 4, 4: 2, 5: 2, 7: 3}
_MARKS = {"\x0b": "\n", "\x1e": "-", "\x1f": "", "\xa0": " ", "\x0e": "\n", "\u3000": "\u3000"}
_DROPPED = re.compile("[\x00-\x08\x0c\x0f-\x12\x16-\x1d]")
_NOTE = re.compile(r"\[\^\*\]")
_FIELDS = re.compile("[\x13\x14\x15]")
_COUNTS = ("text", "notes", "headers", "macros", "comments", "endnotes", "boxes")


@dataclass(frozen=True)
class Piece:
    """Characters [start, end) of the document, at `offset` of the stream, one or two bytes each."""

    start: int
    end: int
    offset: int
    wide: bool

    def place(self, at: int) -> int:
        """Where the character stands in the stream."""
        return self.offset + (at - self.start) * (1 + self.wide)


@dataclass(frozen=True)
class Look:
    """What holds for a paragraph: its style, and whether it is of a table, or ends a row of one."""

    style: int = 0
    table: bool = False
    row: bool = False


def read(data: bytes) -> Reading:
    """The title is that of the properties, else the first heading. Raises "broken-doc", "encrypted", "empty"."""
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"{\\rtf"):
        return rtf.read(data.lstrip())
    if head.startswith(b"PK\x03\x04"):
        return docx.read(data)
    if head.startswith(b"<"):
        return html.read(data)
    if data.startswith(MARK) and "EncryptedPackage".encode("utf-16-le") in data:
        raise Unreadable("encrypted", "it opens only with a password")
    file = Compound(data, "doc")
    stream = file.read("WordDocument")
    meta = file.properties()
    try:
        blocks = _blocks(stream, file)
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise Unreadable("broken-doc", f"{type(error).__name__}: {error}"[:200]) from None
    text = sound("\n\n".join(blocks)).strip()
    if not text:
        raise Unreadable("empty", "no text in it")
    heading = re.search(r"^#+ (.+)$", text, re.MULTILINE)
    return Reading(text + "\n", meta.pop("title", "") or (heading[1] if heading else ""), dict(meta))


def _blocks(stream: bytes, file: Compound) -> list[str]:
    if len(stream) < 0x200 or struct.unpack_from("<H", stream)[0] not in (0xA5EC, 0xA5DC, 0xA697, 0xA699):
        raise Unreadable("broken-doc", "no Word document in it")
    version, flags = struct.unpack_from("<H", stream, 2)[0], struct.unpack_from("<H", stream, 10)[0]
    if flags & 0x100:
        raise Unreadable("encrypted", "it opens only with a password")
    if version < 106:
        return _plain(stream)
    tables = file.read("1Table" if flags & 0x200 else "0Table")
    pieces = list(_pieces(stream, tables))
    counts = dict(zip(_COUNTS, struct.unpack_from("<7i", stream, 0x4C), strict=True))
    if any(count < 0 for count in counts.values()) or sum(counts.values()) > _MOST:
        raise Unreadable("broken-doc", "lengths that no document has")
    text = _text(stream, pieces)
    looks = _Looks(stream, tables, pieces)
    ends = {}
    at = 0
    for name in _COUNTS:
        ends[name] = (at, at + counts[name])
        at += counts[name]
    main = list(_paragraphs(text, *ends["text"], looks))
    notes = [*_footnotes(text, *ends["notes"]), *_footnotes(text, *ends["endnotes"])]
    boxes = _paragraphs(text, *ends["boxes"], looks)
    count = itertools.count(1)
    said = [_NOTE.sub(lambda _: f"[^{next(count)}]", block) for block in (*main, *boxes)]
    return [*said, *([_numbered(notes)] if notes else [])]


def _plain(stream: bytes) -> list[str]:
    """The text of Word 6 and 95, in the code page of its writer."""
    start, end = struct.unpack_from("<II", stream, 0x18)
    try:
        text = salvage(stream[start:end].replace(b"\0", b"").replace(b"\x07", b"\t").replace(b"\r", b"\n")).text
    except ValueError as error:
        raise Unreadable("undecodable", f"Word 6 or 95: {error}") from None
    return [line for part in text.split("\n") if (line := _clean(part))]


def _pieces(stream: bytes, tables: bytes) -> Iterator[Piece]:
    """The piece table: which characters stand where."""
    at, length = struct.unpack_from("<II", stream, 0x1A2)
    data = tables[at : at + length]
    at = 0
    while at < len(data) and data[at] == 1:
        at += 3 + struct.unpack_from("<H", data, at + 1)[0]
    if at >= len(data) or data[at] != 2:
        raise Unreadable("broken-doc", "no piece table")
    size = struct.unpack_from("<I", data, at + 1)[0]
    body = data[at + 5 : at + 5 + size]
    count = (len(body) - 4) // 12
    marks = struct.unpack_from(f"<{count + 1}I", body)
    for number in range(count):
        place = struct.unpack_from("<I", body, 4 * (count + 1) + 8 * number + 2)[0]
        narrow = bool(place & 0x40000000)
        start, end = marks[number], marks[number + 1]
        offset = (place & 0x3FFFFFFF) // 2 if narrow else place & 0x3FFFFFFF
        if not start <= end <= _MOST:
            raise Unreadable("broken-doc", "a piece table out of order")
        yield Piece(start, end, offset, not narrow)


def _text(stream: bytes, pieces: list[Piece]) -> str:
    parts = []
    for piece in pieces:
        raw = stream[piece.offset : piece.place(piece.end)]
        parts.append(raw.decode("utf-16-le" if piece.wide else "cp1252", "surrogatepass" if piece.wide else "replace"))
        parts.append("\0" * (piece.end - piece.start - _units(parts[-1])))
    return _by_units("".join(parts))


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _by_units(text: str) -> str:
    """The text with one character a UTF-16 unit, which positions count; `sound` joins them again."""
    data = text.encode("utf-16-le", "surrogatepass")
    return "".join(map(chr, struct.unpack(f"<{len(data) // 2}H", data)))


class _Looks:
    """The look of the paragraph whose last character is at a position, by the pages of formatting (PAPX)."""

    def __init__(self, stream: bytes, tables: bytes, pieces: list[Piece]) -> None:
        self._pieces = pieces
        self._starts = [piece.start for piece in pieces]
        self._ends: list[int] = []
        self._looks: list[Look] = []
        at, length = struct.unpack_from("<II", stream, 0x102)
        body = tables[at : at + length]
        count = max((len(body) - 4) // 8, 0)
        for number in range(count):
            page = struct.unpack_from("<I", body, 4 * (count + 1) + 4 * number)[0] & 0x3FFFFF
            self._page(stream[page * _PAGE : (page + 1) * _PAGE])

    def _page(self, page: bytes) -> None:
        if len(page) < _PAGE:
            return
        runs = min(page[_PAGE - 1], 29)
        ends = struct.unpack_from(f"<{runs + 1}I", page)
        for number in range(runs):
            place = page[4 * (runs + 1) + 13 * number] * 2
            self._ends.append(ends[number + 1])
            self._looks.append(_look(page, place) if place else Look())

    def at(self, position: int) -> Look:
        number = bisect.bisect_right(self._starts, position) - 1
        if number < 0 or not self._ends:
            return Look()
        place = self._pieces[number].place(position)
        found = bisect.bisect_right(self._ends, place)
        return self._looks[found] if found < len(self._looks) else Look()


def _look(page: bytes, place: int) -> Look:
    size = page[place] * 2 - 1
    place += 1
    if size < 0:
        size = page[place] * 2
        place += 1
    held = page[place : place + size]
    if len(held) < 2:
        return Look()
    codes = dict(_changes(held[2:]))
    return Look(struct.unpack_from("<H", held)[0], bool(codes.get(_IN_TABLE)), bool(codes.get(_ROW_END)))


def _changes(data: bytes) -> Iterator[tuple[int, int]]:
    """(code, first byte of its operand) of each change of formatting (sprm)."""
    at = 0
    while at + 2 < len(data):
        code = struct.unpack_from("<H", data, at)[0]
        at += 2
        yield code, data[at]
        kind = code >> 13
        if kind != 6:
            at += _WIDTHS[kind]
        elif code == 0xD608:
            at += 1 + struct.unpack_from("<H", data + b"\0", at)[0]
        else:
            at += 1 + data[at]


def _paragraphs(text: str, start: int, end: int, looks: _Looks) -> Iterator[str]:
    """The paragraphs and tables of a part of the document."""
    rows: list[list[str]] = []
    cells: list[str] = []
    held: list[str] = []
    fields: list[bool] = []
    for found in re.finditer("[^\r\x07\x0c]*[\r\x07\x0c]?", text[start:end]):
        raw = found[0]
        if not raw:
            continue
        mark = raw[-1] if raw[-1] in "\r\x07\x0c" else ""
        look = looks.at(start + found.end() - 1)
        said = _clean(_shown(raw[:-1] if mark else raw, fields))
        if mark == "\x07" and look.row:
            rows.append(cells)
            cells = []
        elif mark == "\x07":
            cells.append("\n".join([*held, said] if said else held))
            held = []
        elif look.table:
            held += [said] if said else []
        else:
            yield from _ended(rows, cells)
            rows, cells = [], []
            if said:
                level = look.style if 1 <= look.style <= 6 else 0
                yield f"{'#' * level} {' '.join(said.split())}" if level else said
    yield from [*_ended(rows, cells), *held]


def _ended(rows: list[list[str]], cells: list[str]) -> Iterator[str]:
    if found := table([*rows, cells] if cells else rows):
        yield found


def _shown(text: str, fields: list[bool]) -> str:
    """The text without the instructions of fields; `fields` are those that are open, and whether they are shown."""
    out, at = [], 0
    for found in _FIELDS.finditer(text):
        out.append(text[at : found.start()] if all(fields) else "")
        at = found.end()
        if found[0] == "\x13":
            fields.append(False)
        elif fields and found[0] == "\x14":
            fields[-1] = True
        elif fields:
            fields.pop()
    out.append(text[at:] if all(fields) else "")
    return "".join(out)


def _clean(text: str) -> str:
    text = "".join(_MARKS.get(character, character) for character in text.replace("\x02", "[^*]"))
    return _DROPPED.sub("", text).strip(" \t\n")


def _footnotes(text: str, start: int, end: int) -> list[str]:
    """The notes of a part, each of which begins with its mark."""
    body = _shown(text[start:end], [])
    return [" ".join(_clean(note).split()) for note in body.split("\x02") if _clean(note)]


def _numbered(notes: list[str]) -> str:
    return "\n".join(f"[^{number}]: {note}" for number, note in enumerate(notes, 1))
