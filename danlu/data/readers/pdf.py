"""PDF: text page after page, tables that lines are drawn around as Markdown, scanned pages through OCR.

`meta["pages"]` holds each page's [start, end) in the text; `meta["ocr"]` numbers the pages (from 1) that were read by
OCR, `meta["ocr_confidence"]` says how surely, 0 to 1, and `meta["pages_without_text"]` counts those left without. Read
by pdfium; a page whose text layer is empty, or whose fonts do not say what their glyphs mean, is drawn and read by OCR
where the extra "ocr" is installed.

Lines that were broken only because the page ended are joined again: a line at least nine tenths as wide as the widest
of its page, which does not end a sentence, runs on into the next. A hyphen that only parted a word is left out.
Not covered: tables without lines, formulas, forms, annotations, the order of columns beyond what the file says.
"""

from __future__ import annotations

import ctypes
import re
import unicodedata
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from danlu.data.guard import alive
from danlu.data.readers import Reading, Unreadable, ocr, sound
from danlu.data.readers.grid import table
from danlu.data.readers.ruled import Grid, grids, turned
from danlu.extras import need

PAGES = 20_000
"""Most pages."""

CHARACTERS = 100_000_000
"""Most characters of all pages."""

STREAM = 1 << 25
"""Most bytes that a stream unpacks to, other than pictures, fonts and attachments."""

_OBJECTS = 20_000_000
_FEW = 16
_GARBLED = 0.3
_SIDE = 4_000
_PASSWORD = 4
_ENDS = tuple("。！？；：.!?;:」』）)")
_SPACES = re.compile(r"[ \t\u00a0]+")
_STREAM = re.compile(rb"(?<!end)stream\r?\n")
_DATE = re.compile(r"(?:D:)?(\d{4})(\d\d)?(\d\d)?(?:(\d\d)(\d\d)(\d\d)?)?")
_RIGHTS = re.compile(rb"<dc:rights>\s*(?:<rdf:Alt>\s*<rdf:li[^>]*>)?([^<]{1,2000})|<cc:license rdf:resource=\"([^\"]+)")


@dataclass(frozen=True)
class Page:
    """The text of a page; `confidence` is that of OCR, None when the text is the file's own."""

    text: str
    confidence: float | None = None


def read(data: bytes) -> Reading:
    """Raises Unreadable "broken-pdf", "encrypted", "too-large", or "no-text-layer" (no text, nor any by OCR)."""
    text, spans, numbers, confidence = "", [], [], []
    document = _opened(data)
    try:
        for number, page in enumerate(_pages(document), 1):
            text += "\n\n" if text else ""
            spans.append([len(text), len(text) + len(page.text)])
            text += page.text
            if page.confidence is not None and page.text:
                numbers.append(number)
                confidence.append(page.confidence)
        title, meta = _properties(document, data)
    finally:
        document.close()
    if not text.strip():
        advice = "OCR found no text in them" if ocr.available() else ocr.advice()
        raise Unreadable("no-text-layer", f"{len(spans)} page(s) of pictures; {advice}")
    meta |= {"pages": spans, "pages_without_text": sum(start == end for start, end in spans)}
    if numbers:
        meta |= {"ocr": numbers, "ocr_confidence": confidence}
    return Reading(text + "\n", title, meta)


def _opened(data: bytes) -> Any:
    pdfium = need("pypdfium2", "pdf")
    if b"%PDF-" not in data[:1024]:
        raise Unreadable("broken-pdf", "the file does not begin with %PDF-")
    _refuse_bombs(data)
    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        if error.err_code == _PASSWORD:
            raise Unreadable("encrypted", "it opens only with a password") from None
        raise Unreadable("broken-pdf", str(error)[:200]) from None
    if not 0 < len(document) <= PAGES:
        reason = "too-large" if len(document) else "broken-pdf"
        raise Unreadable(reason, f"{len(document)} pages; {PAGES} are read at most")
    return document


def _refuse_bombs(data: bytes) -> None:
    """A page of some kilobytes may unpack to gigabytes of drawing: each stream is unpacked once, and thrown away."""
    for found in _STREAM.finditer(data):
        head = data[max(0, found.start() - 1024) : found.start()].rpartition(b" obj")[2]
        if b"Flate" not in head or any(
            word in head for word in (b"/Image", b"/Length1", b"/FontFile", b"/EmbeddedFile")
        ):
            continue
        if head.count(b"/FlateDecode") > 1:
            raise Unreadable("too-large", f"a stream packed twice, at byte {found.end()}")
        unpack = zlib.decompressobj()
        size, at = 0, found.end()
        rest = data[at : at + 65536]
        try:
            while rest and not unpack.eof:
                size += len(unpack.decompress(rest, 1 << 20))
                if size > STREAM:
                    raise Unreadable("too-large", f"a stream of more than {STREAM} bytes, at byte {found.end()}")
                if not unpack.unconsumed_tail:
                    at += 65536
                rest = unpack.unconsumed_tail or data[at : at + 65536]
        except zlib.error:  # encrypted or damaged: pdfium's to judge
            continue


def _pages(document: Any) -> Iterator[Page]:
    pdfium = need("pypdfium2", "pdf")
    broken = characters = objects = 0
    for number in range(len(document)):
        alive()
        try:
            page = document[number]
        except pdfium.PdfiumError:
            broken += 1
            if broken == len(document):
                raise Unreadable("broken-pdf", f"none of its {broken} page(s) can be loaded") from None
            yield Page("")
            continue
        with closing(page):
            objects += max(pdfium.raw.FPDFPage_CountObjects(page.raw), 0)
            made = _page(page)
            characters += len(made.text)
        if objects > _OBJECTS or characters > CHARACTERS:
            raise Unreadable("too-large", f"{objects} things drawn and {characters} characters by page {number + 1}")
        yield made


def _page(page: Any) -> Page:
    with closing(page.get_textpage()) as layer:
        found = grids(page) if layer.count_chars() else []
        text = _tables(page, layer, found) if found else unwrap(_plain(layer.get_text_range()))
    solid = len("".join(text.split()))
    if solid >= _FEW and not garbled(text):
        return Page(text)
    if not ocr.available() or not _pictured(page, bool(solid)):
        return Page("" if garbled(text) else text)
    scale = min(ocr.DPI / 72, _SIDE / max(*page.get_size(), 1))
    with closing(page.render(scale=scale)) as bitmap:
        read = ocr.page(bitmap.to_numpy())
    if len(read.text) <= solid and not garbled(text):
        return Page(text)
    return Page(unwrap(sound(read.text)), read.confidence)


def _pictured(page: Any, text: bool) -> bool:
    """Whether a page has anything drawn that OCR could read: pictures, or, on a page without text, also outlines."""
    raw = need("pypdfium2.raw", "pdf")
    kinds = {raw.FPDF_PAGEOBJ_IMAGE} if text else {raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_PATH, raw.FPDF_PAGEOBJ_TEXT}
    return next(page.get_objects(filter=list(kinds), max_depth=5), None) is not None


def garbled(text: str) -> bool:
    """Whether the fonts do not say what their glyphs mean: characters that are none, or of nobody's script."""
    marks = [character for character in text if not character.isspace()]
    odd = sum(unicodedata.category(character) in ("Co", "Cn", "Cc") or character == "\ufffd" for character in marks)
    return bool(marks) and odd > _GARBLED * len(marks)


def _plain(text: str) -> str:
    r"""pdfium's text with `\n` line ends; its mark for a hyphen that parts a word goes, and joins the word."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return sound(re.sub(r"[\ufffe\x02]\n?", "", text))


def _tables(page: Any, layer: Any, found: list[Grid]) -> str:
    """The text of a page, its tables as Markdown, each where its first character stood."""
    pieces: list[list[str] | int] = []
    texts: list[dict[tuple[int, int], str]] = [{} for _ in found]
    at: tuple[int, tuple[int, int]] | None = None
    for character, x, y in _characters(layer, page.get_rotation()):
        if not character.isspace():
            cells = ((number, grid.cell(x, y)) for number, grid in enumerate(found))
            place = next(((number, cell) for number, cell in cells if cell is not None), None)
            if place and place != at and texts[place[0]].get(place[1]):
                texts[place[0]][place[1]] += "\n"
            at = place
        if at is None:
            if not pieces or isinstance(pieces[-1], int):
                pieces.append([])
            pieces[-1].append(character)  # type: ignore[union-attr]
            continue
        if at[0] not in pieces:
            pieces.append(at[0])
        texts[at[0]][at[1]] = texts[at[0]].get(at[1], "") + character
    if not all(grid.holds(each) for grid, each in zip(found, texts, strict=True)):
        kept = [grid for grid, each in zip(found, texts, strict=True) if grid.holds(each)]
        return _tables(page, layer, kept) if kept else unwrap(_plain(layer.get_text_range()))
    out = []
    for piece in pieces:
        if isinstance(piece, int):
            out.append(table(found[piece].rows({cell: _cell(text) for cell, text in texts[piece].items()})))
        else:
            out.append(unwrap(_plain("".join(piece))))
    return "\n\n".join(part for part in out if part)


def _cell(text: str) -> str:
    """The lines of a cell as one: Chinese without a space."""
    lines = [line.strip() for line in _plain(text).split("\n") if line.strip()]
    out = ""
    for line in lines:
        latin = bool(out) and (out[-1].isascii() or line[0].isascii())
        out += (" " if latin else "") + line
    return out


def _characters(layer: Any, turn: int) -> Iterator[tuple[str, float, float]]:
    """(character, x, y of its middle, turned as the page is shown), in the order of the text."""
    raw = need("pypdfium2.raw", "pdf")
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    for at in range(layer.count_chars()):
        code = raw.FPDFText_GetUnicode(layer.raw, at)
        if not code:
            continue
        raw.FPDFText_GetCharBox(layer.raw, at, left, right, bottom, top)
        x, y = turned((left.value + right.value) / 2, (bottom.value + top.value) / 2, turn)
        yield chr(code), x, y


def _properties(document: Any, data: bytes) -> tuple[str, dict[str, Any]]:
    """(title, author, date and licence) that the file states; a title that is the name of a file is none."""
    told = {key: sound(text).strip() for key, text in document.get_metadata_dict(skip_empty=True).items()}
    title = told.get("Title", "")
    meta: dict[str, Any] = {"author": told["Author"][:300]} if told.get("Author") else {}
    date = _DATE.match(told.get("ModDate", "")) or _DATE.match(told.get("CreationDate", ""))
    if date:
        year, month, day, hour, minute, second = date.groups()
        meta["date"] = f"{year}-{month or '01'}-{day or '01'}" + (f"T{hour}:{minute}:{second or '00'}" if hour else "")
    rights = _RIGHTS.search(data)
    if rights and (rights[1] or rights[2]).strip():
        meta["licence"] = sound((rights[1] or rights[2]).decode("utf-8", "replace")).strip()[:300]
    return "" if re.search(r"^untitled|\.\w{2,4}$|[\\/]", title, re.IGNORECASE) else title, meta


def unwrap(page: str) -> str:
    """The text of a page with the lines of each paragraph joined (Chinese without a space)."""
    lines = [_SPACES.sub(" ", line).strip() for line in page.splitlines()]
    widest = max((_width(line) for line in lines), default=0)
    out: list[str] = []
    runs_on = False
    for line in lines:
        if runs_on and line:
            latin = out[-1][-1].isascii() and line[0].isascii()
            out[-1] += (" " if latin else "") + line
        else:
            out.append(line)
        runs_on = bool(line) and _width(line) >= 0.9 * widest and not line.endswith(_ENDS)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip()


def _width(line: str) -> int:
    """Columns: a Chinese character is two wide."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in line)
