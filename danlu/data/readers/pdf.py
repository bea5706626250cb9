"""PDF: text in reading order, page after page; tables as Markdown; scanned pages through OCR.

`meta["pages"]` holds each page's [start, end) in the text; `meta["ocr"]` numbers the pages (from 1) that were read by
OCR, `meta["ocr_confidence"]` says how surely, 0 to 1, and `meta["pages_without_text"]` counts those left without.
`meta["pages_missing_text"]` numbers pages on which text is drawn that nobody can tell, its font not being in the file,
and `meta["text_missing"]` counts its pieces. Read by pdfium, and by pdfminer.six what pdfium leaves out; a page whose
text layer is empty, or whose fonts do not say what their glyphs mean, is drawn and read by OCR where the extra "ocr"
is installed.

Columns come one after the other, the lines of a paragraph are joined (`danlu.data.readers.layout`), and a page is read
as it lies: turned, aslant, or in vertical lines. A table is what lines are drawn around (`ruled`), or rows whose
columns stand above each other under an evident head; one that goes on over a page's end stands whole where it begins
(`continued`). A hyphen that only parted a word is left out. Not covered: formulas, the values of forms, annotations.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from danlu.data.guard import alive
from danlu.data.readers import Reading, Unreadable, ocr, sound
from danlu.data.readers.continued import whole
from danlu.data.readers.glyphs import Hidden, Word, boxes, characters, slope, unsaid, upright, words
from danlu.data.readers.layout import Block, Place, Table, blocks, written
from danlu.data.readers.paragraphs import joined, listed
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
_STREAM = re.compile(rb"(?<!end)stream\r?\n")
_DATE = re.compile(r"(?:D:)?(\d{4})(\d\d)?(\d\d)?(?:(\d\d)(\d\d)(\d\d)?)?")
_RIGHTS = re.compile(rb"<dc:rights>\s*(?:<rdf:Alt>\s*<rdf:li[^>]*>)?([^<]{1,2000})|<cc:license rdf:resource=\"([^\"]+)")


@dataclass(frozen=True)
class Page:
    """What a page says; `confidence` is that of OCR, None when the text is the file's own. `missing` counts things of
    text that are drawn there and that nobody can tell."""

    blocks: list[Block]
    confidence: float | None = None
    missing: int = 0

    @property
    def text(self) -> str:
        return written(self.blocks)


def read(data: bytes) -> Reading:
    """Raises Unreadable "broken-pdf", "encrypted", "too-large", or "no-text-layer" (no text, nor any by OCR)."""
    document = _opened(data)
    try:
        pages = list(_pages(document, Hidden(data)))
        title, meta = _properties(document, data)
    finally:
        document.close()
    if not any(page.blocks for page in pages):
        advice = "OCR found no text in them" if ocr.available() else ocr.advice()
        raise Unreadable("no-text-layer", f"{len(pages)} page(s) of pictures; {advice}")
    text, spans = laid([page.blocks for page in pages])
    meta |= {"pages": spans, "pages_without_text": sum(not page.blocks for page in pages)}
    if numbers := [number for number, page in enumerate(pages, 1) if page.confidence is not None and page.blocks]:
        meta |= {"ocr": numbers, "ocr_confidence": [pages[number - 1].confidence for number in numbers]}
    if missing := [number for number, page in enumerate(pages, 1) if page.missing]:
        meta |= {"pages_missing_text": missing, "text_missing": sum(page.missing for page in pages)}
    return Reading(text + "\n", title, meta)


def laid(pages: list[list[Block]]) -> tuple[str, list[list[int]]]:
    """The text of pages, and [start, end) of each. A table that goes on over a page's end stands whole on the page
    where it begins."""
    text, spans = "", []
    for found in whole(pages):
        page = sound(written(found))
        text += "\n\n" if text and page else ""
        spans.append([len(text), len(text) + len(page)])
        text += page
    return text, spans


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


def _pages(document: Any, hidden: Hidden) -> Iterator[Page]:
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
            yield Page([])
            continue
        with closing(page):
            objects += max(pdfium.raw.FPDFPage_CountObjects(page.raw), 0)
            made = _page(page, number, hidden)
            characters += len(made.text)
        if objects > _OBJECTS or characters > CHARACTERS:
            raise Unreadable("too-large", f"{objects} things drawn and {characters} characters by page {number + 1}")
        yield made


def _page(page: Any, number: int, hidden: Hidden) -> Page:
    with closing(page.get_textpage()) as layer:
        found, missing = words(layer) if layer.count_chars() else [], 0
        if places := unsaid(page):
            more, missing = hidden.words(number, places)
            found = [*more, *found]
        text = "".join(word.text for word in found)
        blocks = _blocks(page, layer, found) if found and not garbled(text) else []
    if len(text) >= _FEW and blocks:
        return Page(blocks, missing=missing)
    if not ocr.available() or not _pictured(page, bool(text)):
        return Page(blocks, missing=missing)
    scale = min(ocr.DPI / 72, _SIDE / max(*page.get_size(), 1))
    with closing(page.render(scale=scale)) as bitmap:
        seen = ocr.page(bitmap.to_numpy())
    if len(seen.text) <= len(text) and blocks:
        return Page(blocks, missing=missing)
    return Page(seen.blocks, seen.confidence)


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


def _blocks(page: Any, layer: Any, found: list[Word]) -> list[Block]:
    """The paragraphs and tables of a page."""
    turn = page.get_rotation()
    angle = slope(found)
    ruled, texts, free = grids(page), [], found
    while ruled:
        texts, free = _filled(ruled, layer, found, turn)
        if all(grid.holds(each) for grid, each in zip(ruled, texts, strict=True)):
            break
        ruled, free = [grid for grid, each in zip(ruled, texts, strict=True) if grid.holds(each)], found
    places = [_place(grid, each, turn, angle) for grid, each in zip(ruled, texts, strict=False)]
    before, pieces, after = boxes(free, angle)
    inner = blocks([*pieces, *places], 0.0 if turn or angle else page.get_size()[0])
    out: list[Block] = [*before, *inner, *after]
    return [_clean(block) for block in out]


def _filled(
    ruled: list[Grid], layer: Any, found: list[Word], turn: int
) -> tuple[list[dict[tuple[int, int], str]], list[Word]]:
    """The text of each cell, its lines apart, and the words that stand in no table."""
    texts: list[dict[tuple[int, int], str]] = [{} for _ in ruled]
    free: list[Word] = []
    last: tuple[int, tuple[int, int]] | None = None
    for word in found:
        ends = {_cell_at(ruled, *point, turn) for point in _points(word)}
        parts = [word] if len(ends) == 1 or word.at < 0 else characters(word, layer)
        for part in parts:
            cell = _cell_at(ruled, (part.left + part.right) / 2, (part.bottom + part.top) / 2, turn)
            if cell is None:
                free.append(part)
            else:
                held = texts[cell[0]]
                text = held.get(cell[1], "")
                held[cell[1]] = text + ((part.before if cell == last else "\n") if text else "") + part.text
            last = cell
    return texts, free


def _points(word: Word) -> tuple[tuple[float, float], tuple[float, float]]:
    """The middles of a word's ends."""
    inset = min(word.right - word.left, word.top - word.bottom) / 2
    return (word.left + inset, word.bottom + inset), (word.right - inset, word.top - inset)


def _cell_at(ruled: list[Grid], x: float, y: float, turn: int) -> tuple[int, tuple[int, int]] | None:
    point = turned(x, y, turn)
    for number, grid in enumerate(ruled):
        if (cell := grid.cell(*point)) is not None:
            return number, cell
    return None


def _place(grid: Grid, texts: dict[tuple[int, int], str], turn: int, angle: float) -> Place:
    """A grid with its text, as a piece of the page."""
    corners = [turned(x, y, -turn % 360) for x in (grid.xs[0], grid.xs[-1]) for y in (grid.ys[0], grid.ys[-1])]
    xs, ys = zip(*corners, strict=True)
    rows = grid.rows({cell: _cell(text) for cell, text in texts.items()})
    return Place(Table(rows, grid.xs[:-1]), *upright((min(xs), min(ys), max(xs), max(ys)), angle))


def _clean(block: Block) -> Block:
    return block if isinstance(block, Table) else re.sub(r"[\ufffe\x02]", "", block)


def _cell(text: str) -> str:
    """The lines of a cell as one: Chinese without a space."""
    out = ""
    for line in filter(None, (line.strip() for line in text.split("\n"))):
        out = joined(out, line) if out and not (listed(line) or listed(out[-1:])) else f"{out} {line}".strip()
    return out.replace("\ufffe", "")


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
