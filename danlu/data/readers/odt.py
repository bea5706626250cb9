"""OpenDocument (.odt .odp .ods): headings, paragraphs, lists, tables, notes; slides; sheets; as Markdown.

`meta["slides"]` and `meta["sheets"]` are [[name, start, end], …]. Speaker's notes follow their slide as a quotation.
Deleted text, comments and hidden sheets (named in `meta["hidden"]`) are left out. Not covered: headers and footers,
pictures, charts, formulas, links' addresses, the figures of numbered headings; a merged cell is written once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from danlu.data.readers import Reading, Unreadable, sound
from danlu.data.readers.archive import Archive
from danlu.data.readers.grid import table
from danlu.data.readers.package import refuse_old
from danlu.data.readers.tree import below, child, local, properties, tree, value, words
from danlu.data.readers.xlsx import CELLS, blocks

_SKIP = ("tracked-changes", "annotation", "annotation-end", "sequence-decls", "forms", "shapes", "ruby-text")
_COLUMNS = 1_000
_MIME = "application/vnd.oasis.opendocument."


def read(data: bytes) -> Reading:
    """The title is of the properties, else the first heading. Raises "broken-odt", "empty" and as `Archive` does."""
    refuse_old(data, "odt")
    with Archive(data) as archive:
        if "content.xml" not in archive:
            raise Unreadable("broken-odt", "a ZIP file, but no OpenDocument file")
        if "META-INF/manifest.xml" in archive and b"encryption-data" in archive.read("META-INF/manifest.xml"):
            raise Unreadable("encrypted", "it opens only with a password")
        content = tree(archive.read("content.xml"), "content.xml")
        meta: dict[str, Any] = {}
        if "meta.xml" in archive:
            meta = {key: sound(text) for key, text in properties(tree(archive.read("meta.xml"), "meta.xml")).items()}
            meta.pop("language", None)
    body = child(content, "body")
    kinds = {local(each): each for each in body} if body is not None else {}
    try:
        text, spans = _Document(content).text(kinds)
    except RecursionError:
        raise Unreadable("too-deep", "lists or tables nested beyond what a page holds") from None
    if not text.strip():
        raise Unreadable("empty", "no text in the document")
    heading = re.search(r"^#+ (.+)$", text, re.MULTILINE)
    return Reading(text + "\n", meta.pop("title", "") or (heading[1] if heading else ""), {**meta, **spans})


class _Document:
    def __init__(self, content: Any) -> None:
        self.notes: list[str] = []
        self.ordered = {
            (value(style, "name"), value(level, "level"))
            for style in below(content, "list-style")
            for level in style
            if local(level) == "list-level-style-number" and value(level, "num-format")
        }
        self.titles = {"Title"} | {
            value(style, "name")
            for style in below(content, "style")
            if value(style, "parent-style-name") == "Title" and value(style, "family") == "paragraph"
        }
        self.hidden_styles = {
            value(style, "name")
            for style in below(content, "style")
            if value(child(style, "table-properties"), "display") == "false"
        }

    def text(self, kinds: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """(the text, the spans of its slides or sheets)"""
        if "presentation" in kinds:
            return _spanned("slides", (self.slide(page) for page in kinds["presentation"] if local(page) == "page"))
        if "spreadsheet" in kinds:
            sheets = [each for each in kinds["spreadsheet"] if local(each) == "table"]
            shown = [each for each in sheets if value(each, "style-name") not in self.hidden_styles]
            text, spans = _spanned("sheets", (self.sheet(each) for each in shown))
            hidden = [value(each, "name") for each in sheets if each not in shown]
            return text, {**spans, "hidden": hidden} if hidden else spans
        found = kinds.get("text")
        parts = list(self.blocks(found)) if found is not None else []
        return sound("\n\n".join([*parts, *self.notes])), {}

    def slide(self, page: Any) -> tuple[str, str]:
        name, out = value(page, "name"), []
        for frame in page:
            if local(frame) == "notes":
                said = [words(each) for box in below(frame, "text-box") for each in below(box, "p")]
                out += ["\n".join(f"> {line}" for line in said if line)] if any(said) else []
                continue
            made = [block for block in self.blocks(frame) if block]
            if value(frame, "class") == "title" and made:
                name = " ".join(" ".join(made).split())
                out.insert(0, f"# {name}")
            elif local(frame) != "notes" and value(frame, "class") not in ("footer", "date-time", "page-number"):
                out += made
        return name, "\n\n".join(out)

    def sheet(self, element: Any) -> tuple[str, str]:
        name = value(element, "name")
        made = list(blocks(self.rows(element)))
        return name, "\n\n".join([f"## {name}", *made]) if made else ""

    def blocks(self, parent: Any) -> Iterator[str]:
        for element in parent:
            tag = local(element)
            if tag in _SKIP:
                continue
            if tag == "h":
                level = value(element, "outline-level")
                text = " ".join(self.inline(element).split())
                if text:
                    yield f"{'#' * (min(int(level), 6) if level.isdigit() and int(level) else 1)} {text}"
            elif tag == "p":
                text = self.inline(element).strip()
                if text:
                    yield f"# {' '.join(text.split())}" if value(element, "style-name") in self.titles else text
                for box in below(element, "text-box"):
                    yield from self.blocks(box)
            elif tag == "list":
                lines = self.listed(element)
                if lines:
                    yield "\n".join(lines)
            elif tag == "table":
                made = table(self.rows(element))
                if made:
                    yield made
            else:
                yield from self.blocks(element)

    def listed(self, element: Any, style: str = "", level: int = 1) -> list[str]:
        """The items, one a string. A list that is alone in its item belongs to the item before."""
        style = value(element, "style-name") or style
        ordered = (style, str(level)) in self.ordered
        items: list[str] = []
        for item in element:
            if local(item) not in ("list-item", "list-header"):
                continue
            own: list[str] = []
            nested: list[str] = []
            for each in item:
                if local(each) == "list":
                    nested += self.listed(each, style, level + 1)
                else:
                    own += self.blocks([each])
            mark = f"{len(items) + 1}. " if ordered else "- "
            inner = "\n".join([*own, *nested])
            if not own and items:
                items[-1] += "\n" + _indented(inner, mark)
            elif own:
                items.append(mark + _indented(inner, mark).lstrip())
            else:
                items += nested
        return items

    def rows(self, element: Any) -> Iterator[list[str]]:
        """The rows of a table. Repeated empty cells and rows, which sheets end with, are not spelt out."""
        cells = 0
        for row in _rows(element):
            texts: list[str] = []
            for cell in row:
                if local(cell) not in ("table-cell", "covered-table-cell"):
                    continue
                covered = local(cell) == "covered-table-cell"
                text = "" if covered else " ".join(self.inline(each) for tag in ("h", "p") for each in below(cell, tag))
                if not text and not covered:  # written by a program that leaves showing it to the reader
                    names = ("date-value", "time-value", "string-value", "boolean-value", "value")
                    text = next(filter(None, (value(cell, name) for name in names)), "")
                texts += [text] * min(_repeated(cell, "number-columns-repeated"), _COLUMNS if text else 64)
            while texts and not texts[-1]:
                texts.pop()
            times = _repeated(row, "number-rows-repeated") if texts else 1
            cells += times * len(texts)
            if cells > CELLS:
                raise Unreadable("too-large", f"a table of more than {CELLS} cells")
            for _ in range(times):
                yield texts

    def inline(self, element: Any) -> str:
        out = [element.text or ""]
        for each in element:
            tag = local(each)
            if tag in ("s", "tab"):
                out.append(" ")
            elif tag == "line-break":
                out.append("\n")
            elif tag == "note":
                out.append(self.note(each))
            elif tag not in _SKIP and tag not in ("frame", "list", "custom-shape", "g", "text-box", "table"):
                out.append(self.inline(each))
            out.append(each.tail or "")
        lines = "".join(" " if part.isspace() and "\n" not in part else part for part in out).split("\n")
        return "\n".join(re.sub(r"[ \t]+", " ", line) for line in lines)

    def note(self, element: Any) -> str:
        body = child(element, "note-body")
        at = len(self.notes) + 1
        self.notes.append("")
        self.notes[at - 1] = f"[^{at}]: " + " ".join(" ".join(self.blocks(body)).split()) if body is not None else ""
        return f"[^{at}]"


def _indented(text: str, mark: str) -> str:
    return "\n".join(" " * len(mark) + line for line in text.split("\n") if line)


def _rows(element: Any) -> Iterator[Any]:
    for each in element:
        if local(each) == "table-row":
            yield each
        elif local(each) in ("table-rows", "table-header-rows", "table-row-group"):
            yield from _rows(each)


def _repeated(element: Any, name: str) -> int:
    times = value(element, name)
    return max(int(times[:9]), 1) if times.isdigit() else 1


def _spanned(kind: str, parts: Iterator[tuple[str, str]]) -> tuple[str, dict[str, Any]]:
    text, spans = "", []
    for number, (name, part) in enumerate(parts, 1):
        part = sound(part)
        text += "\n\n" if text and part else ""
        spans.append([sound(name) or str(number), len(text), len(text) + len(part)])
        text += part
    return text, {kind: spans}
