"""PowerPoint (.pptx): slides in order, each with its title, texts, lists, tables, charts, diagrams and notes.

`meta["slides"]` is [[name, start, end], …]. The speaker's notes stand below their slide as a quotation. Hidden slides
are left out; `meta["hidden"]` names them. Shapes are read by their place on the slide, the title first. Not covered:
text in pictures, comments, masters and footers, animations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from danlu.data.readers import Reading, Unreadable, sound
from danlu.data.readers.grid import table
from danlu.data.readers.omml import latex
from danlu.data.readers.order import Box, reading_order
from danlu.data.readers.package import Package
from danlu.data.readers.symbols import joined_powers, power, shown
from danlu.data.readers.tree import below, child, chosen, local, value, words

_TITLES = ("title", "ctrTitle")
_FURNITURE = ("dt", "ftr", "sldNum", "hdr")
_SLIDES = 10_000
_POINTS = 10_000


def read(data: bytes) -> Reading:
    """The title is that of the properties, else of the first slide with one. Raises as `Package` does, and "empty"."""
    with Package(data, "pptx") as package:
        meta: dict[str, Any] = package.properties()
        slides = list(_slides(package))
    text, spans, titles, hidden = "", [], [], []
    for number, (visible, title, blocks) in enumerate(slides, 1):
        if not visible:
            hidden.append(title or str(number))
            continue
        parts = [f"# {title}"] * bool(title) + blocks
        slide = sound("\n\n".join(parts))
        text += "\n\n" if text and slide else ""
        spans.append([title or str(number), len(text), len(text) + len(slide)])
        text += slide
        titles += [title] * bool(title)
    if not text.strip():
        raise Unreadable("empty", f"{len(slides)} slide(s) without text")
    title = meta.pop("title", "")
    if title.lower() in ("", "powerpoint presentation", "powerpoint 簡報"):
        title = titles[0] if titles else ""
    more = {"hidden": hidden} if hidden else {}
    return Reading(text + "\n", title, {**meta, "slides": spans, **more})


def _slides(package: Package) -> Iterator[tuple[bool, str, list[str]]]:
    """(whether it is shown, title, the other blocks) of each slide, in the order of the show."""
    name, root = package.main("presentation")
    relations = package.relations(name)
    listed = [value(each, "}id") for each in below(root, "sldId")]
    if len(listed) > _SLIDES:
        raise Unreadable("too-large", f"{len(listed)} slides; {_SLIDES} are read at most")
    for id in listed:
        path = relations.get(id, ("", ""))[1]
        slide = package.part(path) if path else None
        if slide is not None:
            yield value(slide, "show") not in ("0", "false"), *_Slide(package, path).read(slide)


class _Slide:
    def __init__(self, package: Package, path: str) -> None:
        self.package = package
        self.relations = package.relations(path)
        self.inherited = _inherited(package, self.relations)

    def read(self, root: Any) -> tuple[str, list[str]]:
        self.title = ""
        blocks = list(self.shapes(child(root, "cSld", "spTree")))
        notes = next((path for kind, path in self.relations.values() if kind == "notesSlide"), "")
        page = self.package.part(notes) if notes else None
        for shape in below(page, "sp") if page is not None else ():
            if _placeholder(shape) == "body":
                said = "\n".join(words(each) for each in below(shape, "p"))
                if said.strip():
                    blocks.append("\n".join(f"> {line}".rstrip() for line in said.strip().split("\n")))
        return self.title, blocks

    def shapes(self, parent: Any) -> Iterator[str]:
        """The texts of the shapes below `parent`, by place; a shape without a place comes after the one before it."""
        for shape in self.placed(parent):
            tag = local(shape)
            if tag in ("sp", "cxnSp"):
                kind = _placeholder(shape)
                body = child(shape, "txBody")
                if kind in _FURNITURE or body is None:
                    continue
                text = _paragraphs(body, kind in ("body", "obj"))
                if kind in _TITLES and not self.title:
                    self.title = " ".join(words(each) for each in below(body, "p")).strip()
                elif text:
                    yield text
            elif tag == "grpSp":
                yield from self.shapes(shape)
            elif tag == "graphicFrame":
                yield from self.graphic(shape)
            elif tag == "AlternateContent":
                yield from self.shapes(chosen(shape))

    def placed(self, parent: Any) -> list[Any]:
        shapes: list[list[Any]] = []
        boxes: list[Box] = []
        for shape in parent if parent is not None else ():
            box = _box(shape) or self.inherited.get(_placed_by(shape))
            if box is not None or not shapes:
                shapes.append([])
                boxes.append(box or Box(0, 0, 0, 0))
            shapes[-1].append(shape)
        return [shape for at in reading_order(boxes) for shape in shapes[at]]

    def graphic(self, frame: Any) -> Iterator[str]:
        for grid in below(frame, "tbl"):
            made = table([_cell(each) for each in row if local(each) == "tc"] for row in grid if local(row) == "tr")
            if made:
                yield made
        for tag, name in (("chart", "id"), ("relIds", "dm")):
            for each in below(frame, tag):
                path = self.relations.get(value(each, name), ("", ""))[1]
                part = self.package.part(path) if path else None
                if part is not None:
                    yield from _chart(part) if tag == "chart" else _diagram(part)


def _inherited(package: Package, relations: dict[str, tuple[str, str]]) -> dict[str, Box]:
    """The places that a slide's layout, and above it the master, give their placeholders: by number and by kind."""
    found: dict[str, Box] = {}
    for above in ("slideLayout", "slideMaster"):
        path = next((path for kind, path in relations.values() if kind == above), "")
        part = package.part(path) if path else None
        if part is None:
            break
        for shape in below(part, "sp"):
            box = _box(shape)
            if box is not None and _placeholder(shape):
                found.setdefault(_placed_by(shape), box)
                found.setdefault(_placeholder(shape), box)
        relations = package.relations(path)
    return found


def _placed_by(shape: Any) -> str:
    """What a placeholder takes its place from: its number, else its kind; empty for any other shape."""
    mark = next(iter(below(shape, "ph")), None)
    return "" if mark is None else value(mark, "idx") or _placeholder(shape)


def _box(shape: Any) -> Box | None:
    """Where a shape says that it stands, in EMU."""
    settings = next((each for each in shape if local(each) in ("spPr", "grpSpPr", "xfrm")), None)
    frame = settings if settings is None or local(settings) == "xfrm" else child(settings, "xfrm")
    numbers = [value(child(frame, "off"), name) for name in "xy"] if frame is not None else []
    numbers += [value(child(frame, "ext"), name) for name in ("cx", "cy")] if frame is not None else []
    if len(numbers) < 4 or not all(re.fullmatch(r"-?\d{1,12}", number) for number in numbers):
        return None
    left, top, width, height = map(int, numbers)
    return Box(left, top, left + width, top + height)


def _placeholder(shape: Any) -> str:
    """The kind of placeholder: "title", "body", …; "obj" where the file says none; empty when it is no placeholder."""
    found = next(iter(below(shape, "ph")), None)
    return "" if found is None else value(found, "type") or "obj"


def _cell(cell: Any) -> str:
    if value(cell, "hMerge") == "1" or value(cell, "vMerge") == "1":
        return ""
    return " ".join(words(each) for each in below(cell, "p"))


def _paragraphs(body: Any, listed: bool) -> str:
    """The paragraphs of a shape; in a body placeholder they are a list unless the file says otherwise."""
    out, numbers = "", [0] * 10
    before = False
    for paragraph in below(body, "p"):
        text = joined_powers("".join(_run(each) for each in paragraph)).strip()
        if not text:
            continue
        settings = child(paragraph, "pPr")
        marks = {local(each) for each in settings} if settings is not None else set()
        level = value(settings, "lvl")
        depth = min(int(level), 8) if level.isdigit() else 0
        item = "buNone" not in marks and (listed or bool(marks & {"buChar", "buAutoNum", "buBlip"}))
        numbers[depth + 1 :] = [0] * (9 - depth)
        numbers[depth] = numbers[depth] + 1 if "buAutoNum" in marks else 0
        mark = f"{numbers[depth]}." if "buAutoNum" in marks else "-"
        line = " ".join(text.split()) if item else "\n".join(" ".join(part.split()) for part in text.split("\n"))
        out += ("\n" if item and before else "\n\n") if out else ""
        out += f"{'  ' * depth}{mark} {line}" if item else line
        before = item
    return out


def _run(element: Any) -> str:
    tag = local(element)
    if tag in ("r", "fld"):
        text = "".join(each.text or "" for each in below(element, "t"))
        settings = child(element, "rPr")
        font = value(child(settings, "latin"), "typeface") or value(child(settings, "sym"), "typeface")
        raised = value(settings, "baseline")
        return power(text) if raised.isdigit() and int(raised) else shown(text, font)
    if tag == "br":
        return "\n"
    if tag in ("m", "AlternateContent"):
        formula = next((latex(each) for each in below(element, "oMath")), "")
        return f"${formula}$" if formula else ""
    return ""


def _chart(root: Any) -> Iterator[str]:
    """The chart's title, and its figures as a table: a row for each category, a column for each series."""
    title = next(iter(below(root, "title")), None)
    named = "".join(words(each) for each in below(title, "t")) if title is not None else ""
    if named:
        yield named
    series = list(below(root, "ser"))[:64]
    heads = [_head(each) for each in series]
    columns = [_points(child(each, "val")) or _points(child(each, "yVal")) for each in series]
    first = next(
        (points for each in series if (points := _points(child(each, "cat")) or _points(child(each, "xVal")))), {}
    )
    places = sorted({place for column in [first, *columns] for place in column})
    rows = [[first.get(place, ""), *[column.get(place, "") for column in columns]] for place in places]
    made = table([["", *heads], *rows]) if rows else ""
    if made:
        yield made


def _head(series: Any) -> str:
    name = child(series, "tx")
    return "" if name is None else words(next(iter(below(name, "v")), None))


def _points(element: Any) -> dict[int, str]:
    if element is None:
        return {}
    found: dict[int, str] = {}
    for point in below(element, "pt"):
        place = value(point, "idx")
        if place.isdigit() and len(found) < _POINTS:
            text = words(child(point, "v"))
            found[int(place)] = re.sub(r"\.0$", "", text)
    return found


def _diagram(root: Any) -> Iterator[str]:
    texts = [words(each) for each in below(root, "t")]
    lines = [f"- {text}" for text in texts if text]
    if lines:
        yield "\n".join(lines)
