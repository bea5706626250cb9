"""Word (.docx): headings, paragraphs, lists with the labels that Word counts, tables, footnotes, formulas, as Markdown.

In the order of the document; text boxes follow the paragraph that they hang on. What a reader of the page does not see
is left out: deleted and hidden text, comments, field codes. Not covered: headers and footers of the page, charts and
SmartArt, text in pictures, bold and italic, links' addresses; a merged cell is written once, and a table inside a cell
in a line. Check marks of symbol fonts and check boxes are characters (☑ ☐), superscripts are powers (10^-3).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from danlu.data.readers import Reading, Unreadable, sound
from danlu.data.readers.grid import table
from danlu.data.readers.numbering import number
from danlu.data.readers.omml import latex
from danlu.data.readers.package import Package
from danlu.data.readers.symbols import joined_powers, power, shown
from danlu.data.readers.tree import below, child, chosen, local, value

_PASS = ("ins", "moveTo", "smartTag", "customXml", "sdt", "sdtContent", "hyperlink", "fldSimple", "dir", "bdo", "r")
_BREAKS = {"br": "\n", "cr": "\n", "tab": " ", "ptab": " ", "noBreakHyphen": "-"}
_OFF = ("0", "false", "off")
_ORDERED = re.compile(r"(\d+)[.、．)]?")


@dataclass
class _Style:
    """What a paragraph style says: the outline level (1 is the highest; 0 none) and its list, (id, level)."""

    level: int = 0
    title: bool = False
    code: bool = False
    list: tuple[str, int] | None = None


@dataclass
class _Block:
    text: str
    depth: int = -1
    """How deep in a list; -1 is no list item."""
    mark: str = ""
    level: int = 0
    """Of a heading."""
    line: str = ""
    """A table in one line, for the cell that holds it."""


def read(data: bytes) -> Reading:
    """The title is that of the properties, else the first heading. Raises as `Package` does, and "empty"."""
    with Package(data, "docx") as package:
        try:
            document = _Document(package)
            text = sound(document.text())
            meta: dict[str, Any] = package.properties()
        except RecursionError:
            raise Unreadable("too-deep", "tables in tables, beyond what a page holds") from None
    if not text.strip():
        raise Unreadable("empty", "no text in the document")
    heading = re.search(r"^#+ (.+)$", text, re.MULTILINE)
    title = meta.pop("title", "") or (heading[1] if heading else "")
    return Reading(text + "\n", title, meta)


class _Document:
    def __init__(self, package: Package) -> None:
        name, root = package.main("document")
        self.body = child(root, "body")
        parts = dict(package.relations(name).values())
        opened = {kind: package.part(parts[kind]) for kind in _PARTS if kind in parts}
        self.styles = _styles(opened.get("styles"))
        self.numbering = _Numbering(opened.get("numbering"))
        self.notes = {
            (kind, value(note, "id")): note
            for kind, tag in (("footnotes", "footnote"), ("endnotes", "endnote"))
            if opened.get(kind) is not None
            for note in below(opened[kind], tag)
        }
        self.cited: list[tuple[str, str]] = []

    def text(self) -> str:
        blocks = list(self.blocks(self.body)) if self.body is not None else []
        shift = any(block.level == -1 for block in blocks)
        for block in blocks:
            if block.level:
                level = 1 if block.level == -1 else min(block.level + shift, 6)
                block.text = f"{'#' * level} {' '.join(block.text.split())}"
        out = _joined(blocks)
        notes = [
            f"[^{at}]: " + " ".join(" ".join(block.text.split()) for block in self.blocks(self.notes[note]))
            for at, note in enumerate(self.cited, 1)
        ]
        return "\n\n".join([out, *notes])

    def blocks(self, parent: Any) -> Iterator[_Block]:
        """The paragraphs and tables below `parent`, in order."""
        for element in parent:
            tag = local(element)
            if tag == "p":
                yield from self.paragraph(element)
            elif tag == "tbl":
                yield from self.table(element)
            elif tag == "AlternateContent":
                yield from self.blocks(chosen(element))
            elif tag in _PASS:
                yield from self.blocks(element)

    def paragraph(self, element: Any) -> Iterator[_Block]:
        settings = child(element, "pPr")
        style = self.styles.get(value(child(settings, "pStyle")), self.styles[""])
        boxes: list[Any] = []
        text = _tidy(joined_powers("".join(self.inline(element, boxes))))
        level = _outline(child(settings, "outlineLvl")) or style.level
        if text.strip():
            listed = _list(child(settings, "numPr"), style.list)
            label, ordered, bullet = self.numbering.next(*listed) if listed else ("", False, False)
            if style.title or level:
                yield _Block(f"{label} {text}".strip(), level=-1 if style.title else level)
            elif bullet or ordered:
                yield _Block(text, listed[1] if listed else 0, label if ordered else "-")
            elif style.code:
                yield _Block(f"```\n{text}\n```")
            else:
                gap = " " if label and label[-1] not in "、）．：】」" else ""
                yield _Block(f"{label}{gap}{text}")
        for box in boxes:
            yield from self.blocks(box)

    def inline(self, parent: Any, boxes: list[Any]) -> Iterator[str]:
        """The words of a paragraph. Text boxes met on the way are put into `boxes`."""
        for element in parent:
            tag = local(element)
            if tag == "t":
                yield element.text or ""
            elif tag in _BREAKS:
                yield _BREAKS[tag]
            elif tag in ("footnoteReference", "endnoteReference"):
                yield self.note(tag.removesuffix("Reference") + "s", value(element, "id"))
            elif tag in ("oMath", "oMathPara"):
                formula = latex(element)
                if formula:
                    yield f"$${formula}$$" if tag == "oMathPara" else f"${formula}$"
            elif tag == "AlternateContent":
                yield from self.inline(chosen(element), boxes)
            elif tag == "ruby":
                yield from (part for base in below(element, "rubyBase") for part in self.inline(base, boxes))
            elif tag in ("drawing", "pict", "object"):
                boxes.extend(below(element, "txbxContent"))
            elif tag == "sym":
                yield shown(_character(value(element, "char")), value(element, "font"))
            elif tag == "fldChar":
                yield _check_box(element)
            elif tag == "r":
                if not _hidden(element):
                    yield _set("".join(self.inline(element, boxes)), child(element, "rPr"))
            elif tag in _PASS:
                yield from self.inline(element, boxes)

    def note(self, kind: str, id: str) -> str:
        if (kind, id) not in self.notes:
            return ""
        if (kind, id) not in self.cited:
            self.cited.append((kind, id))
        return f"[^{self.cited.index((kind, id)) + 1}]"

    def table(self, element: Any) -> Iterator[_Block]:
        """A table of one cell is a frame around its blocks."""
        rows: list[list[Any]] = []
        for row in _through(element, "tr"):
            cells: list[Any] = []
            for cell in _through(row, "tc"):
                settings = child(cell, "tcPr")
                merged = child(settings, "vMerge")
                seen = merged is None or value(merged) == "restart"
                span = value(child(settings, "gridSpan"))
                width = min(int(span), 64) if span.isdigit() else 1
                cells += [cell if seen else None, *[None] * (width - 1)]
            rows.append(cells)
        single = [cell for cells in rows for cell in cells if cell is not None]
        if len(single) == 1:
            yield from self.blocks(single[0])
            return
        texts = [[_cell(self.blocks(cell)) if cell is not None else "" for cell in cells] for cells in rows]
        made = table(texts)
        if made:
            rows_in_words = (" ".join(filter(None, (" ".join(text.split()) for text in row))) for row in texts)
            yield _Block(made, line="；".join(filter(None, rows_in_words)))


_PARTS = ("styles", "numbering", "footnotes", "endnotes")


def _cell(blocks: Iterator[_Block]) -> str:
    return " ".join(f"{block.mark} {block.text}" if block.depth >= 0 else block.line or block.text for block in blocks)


def _set(text: str, settings: Any) -> str:
    """The text of a run as its type shows it: in a symbol font, or raised."""
    if settings is None or not text:
        return text
    if value(child(settings, "vertAlign")) == "superscript" and "[^" not in text:
        return power(text)
    fonts = child(settings, "rFonts")
    return shown(text, value(fonts, "ascii") or value(fonts, "hAnsi")) if fonts is not None else text


def _character(code: str) -> str:
    return chr(int(code, 16)) if re.fullmatch(r"[0-9A-Fa-f]{2,4}", code) else ""


def _check_box(field: Any) -> str:
    """☑ or ☐ for a check box of a form; nothing for any other field."""
    box = child(field, "ffData", "checkBox")
    if box is None:
        return ""
    ticked = child(box, "checked")
    ticked = child(box, "default") if ticked is None else ticked
    return "☑" if ticked is not None and value(ticked) not in _OFF else "☐"


def _through(parent: Any, tag: str) -> Iterator[Any]:
    """The children of this tag, also those inside content controls and tracked insertions."""
    for element in parent:
        if local(element) == tag:
            yield element
        elif local(element) in _PASS:
            yield from _through(element, tag)


def _tidy(text: str) -> str:
    return "\n".join(re.sub(r"[ \t\u00a0]+", " ", line).strip() for line in text.split("\n")).strip("\n")


def _joined(blocks: list[_Block]) -> str:
    """Blocks apart by a blank line; items of one list by a line end, each indented below the item it belongs to."""
    out = ""
    widths: dict[int, int] = {}
    before = _Block("")
    for block in blocks:
        text = block.text
        if block.depth < 0:
            widths.clear()
        else:
            widths = {depth: width for depth, width in widths.items() if depth < block.depth}
            indent = sum(widths.values())
            widths[block.depth] = len(block.mark) + 1
            text = " " * indent + f"{block.mark} " + text.replace("\n", "\n" + " " * (indent + widths[block.depth]))
        gap = "\n" if block.depth >= 0 and before.depth >= 0 else "\n\n"
        out += (gap if out else "") + text
        before = block
    return out


def _hidden(run: Any) -> bool:
    vanish = child(run, "rPr", "vanish")
    return vanish is not None and value(vanish) not in _OFF


def _outline(element: Any) -> int:
    level = value(element)
    return int(level) + 1 if level.isdigit() and int(level) < 9 else 0


def _list(settings: Any, style: tuple[str, int] | None) -> tuple[str, int] | None:
    """(list id, level) of a paragraph: its own, else its style's. The id 0 takes it out of every list."""
    own = value(child(settings, "numId"))
    level = value(child(settings, "ilvl"))
    id = own or (style[0] if style else "")
    depth = int(level) if level.isdigit() else style[1] if style else 0
    return (id, min(depth, 8)) if id and id != "0" else None


def _styles(root: Any) -> dict[str, _Style]:
    """Styles by id, each with what it takes over from the one that it is based on; "" is no style."""
    found: dict[str, _Style] = {"": _Style()}
    elements = {value(style, "styleId"): style for style in below(root, "style")} if root is not None else {}
    for id in elements:
        chain: list[Any] = []
        at = id
        while at in elements and elements[at] not in chain and len(chain) < 20:
            chain.append(elements[at])
            at = value(child(elements[at], "basedOn"))
        style = _Style()
        for element in reversed(chain):
            name = value(child(element, "name")).lower()
            settings = child(element, "pPr")
            heading = re.fullmatch(r"heading (\d)", name)
            style.level = int(heading[1]) if heading else _outline(child(settings, "outlineLvl")) or style.level
            style.title = style.title or name == "title"
            style.code = style.code or name in ("code", "source code", "html preformatted")
            style.list = _list(child(settings, "numPr"), style.list)
        found[id] = style
    return found


@dataclass
class _Level:
    format: str = "decimal"
    text: str = ""
    start: int = 1


@dataclass
class _Numbering:
    """Counts the paragraphs of each list. Lists of one definition go on counting, unless one starts anew."""

    root: Any
    levels: dict[str, dict[int, _Level]] = field(default_factory=dict)
    counts: dict[str, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))

    def __post_init__(self) -> None:
        self.counter: dict[str, str] = {}
        if self.root is None:
            return
        abstract = {value(each, "abstractNumId"): _levels(each) for each in below(self.root, "abstractNum")}
        for each in below(self.root, "num"):
            id, base = value(each, "numId"), value(child(each, "abstractNumId"))
            own = {int(value(over, "ilvl") or 0): over for over in below(each, "lvlOverride")}
            self.levels[id] = dict(abstract.get(base, {}))
            self.counter[id] = f"num {id}" if own else f"abstract {base}"
            for level, over in own.items():
                known = self.levels[id].get(level, _Level())
                known = _levels(over).get(level, known)
                start = value(child(over, "startOverride"))
                self.levels[id][level] = _Level(
                    known.format, known.text, int(start) if start.isdigit() else known.start
                )

    def next(self, id: str, level: int) -> tuple[str, bool, bool]:
        """(label, whether Markdown can count it, whether it is a bullet) of the next paragraph of a list."""
        levels = self.levels.get(id)
        if levels is None:
            return "", False, False
        at = levels.get(level, _Level())
        if at.format == "none":
            return "", False, False
        if at.format == "bullet":
            return "-", False, True
        counts = self.counts[self.counter[id]]
        counts[level] = counts.get(level, at.start - 1) + 1
        for deeper in [other for other in counts if other > level]:
            del counts[deeper]

        def shown(found: re.Match[str]) -> str:
            other = int(found[1]) - 1
            kind = levels.get(other, _Level())
            return number(counts.get(other, kind.start), kind.format)

        label = re.sub(r"%(\d)", shown, at.text)
        ordered = _ORDERED.fullmatch(label)
        return (f"{ordered[1]}.", True, False) if ordered else (label, False, False)


def _levels(element: Any) -> dict[int, _Level]:
    found = {}
    for each in below(element, "lvl"):
        level, start = value(each, "ilvl"), value(child(each, "start"))
        if level.isdigit():
            format = value(child(each, "numFmt")) or "decimal"
            text = value(child(each, "lvlText"))
            found[int(level)] = _Level(format, text, int(start) if start.isdigit() else 1)
    return found
