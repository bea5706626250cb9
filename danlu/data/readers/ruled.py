"""Tables that lines are drawn around, found in a page of a PDF: the lines' crossings make a grid, the text fills it.

A cell that spans several of the grid keeps its text in the first. Not covered: tables without lines or with horizontal
ones only, tables drawn aslant, cells parted by colour alone where nothing is drawn.
"""

from __future__ import annotations

import ctypes
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from danlu.extras import need

Matrix = tuple[float, float, float, float, float, float]

_PLAIN: Matrix = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)
_DEEP = 3
_NEAR = 3.0
_OBJECTS = 5_000
_SEGMENTS = 4_000
_PAIRS = 1_000_000
_SHORT = 6.0
_HELD = 0.5
_FRAMED = 0.8


@dataclass(frozen=True)
class Stroke:
    """A horizontal or vertical line: `at` is its y or x, from `start` to `end` on the other axis; in points."""

    at: float
    start: float
    end: float


@dataclass
class Grid:
    """`xs` from left to right, `ys` from the bottom up; `cells` maps each (row from the top, column) to the first
    (row, column) of the cell that it belongs to."""

    xs: list[float]
    ys: list[float]
    cells: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)

    def cell(self, x: float, y: float) -> tuple[int, int] | None:
        """The cell that holds a point; None outside the grid."""
        column, row = bisect_right(self.xs, x) - 1, len(self.ys) - 1 - bisect_right(self.ys, y)
        return self.cells.get((row, column))

    def rows(self, texts: dict[tuple[int, int], str]) -> list[list[str]]:
        return [[texts.get((row, column), "") for column in range(len(self.xs) - 1)] for row in range(len(self.ys) - 1)]

    def holds(self, texts: dict[tuple[int, int], str]) -> bool:
        """Whether it is a table: two rows and two columns with text, and no chart's empty grid."""
        full = {cell for cell, text in texts.items() if text.strip()}
        area = held = 0.0
        for (row, column), cell in self.cells.items():
            size = (self.xs[column + 1] - self.xs[column]) * (self.ys[-1 - row] - self.ys[-2 - row])
            area += size
            held += size * (cell in full)
        return held >= _HELD * area and len({row for row, _ in full}) > 1 and len({column for _, column in full}) > 1


def grids(page: Any) -> list[Grid]:
    """The grids of a pypdfium2 page, in its own coordinates turned as it is shown; none on pages full of drawings."""
    across: list[Stroke] = []
    upright: list[Stroke] = []
    turn = page.get_rotation()
    for start, end in _segments(page):
        (x0, y0), (x1, y1) = turned(*start, turn), turned(*end, turn)
        if abs(y0 - y1) <= 1 and abs(x0 - x1) >= _SHORT:
            across.append(Stroke((y0 + y1) / 2, min(x0, x1), max(x0, x1)))
        elif abs(x0 - x1) <= 1 and abs(y0 - y1) >= _SHORT:
            upright.append(Stroke((x0 + x1) / 2, min(y0, y1), max(y0, y1)))
    rows, columns = _joined(across), _joined(upright)
    if len(rows) < 3 or len(columns) < 3 or len(rows) * len(columns) > _PAIRS:
        return []
    made = (_grid(*part) for part in _parts(rows, columns))
    return [grid for grid in made if grid is not None]


def turned(x: float, y: float, degrees: int) -> tuple[float, float]:
    """A point of the page as it stands when the page is shown turned by `degrees` (0, 90, 180, 270), y upwards."""
    return {90: (y, -x), 180: (-x, -y), 270: (-y, x)}.get(degrees, (x, y))


def _segments(page: Any) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """The straight pieces of all paths, as pairs of points; nothing where there are more than can be tables."""
    raw = need("pypdfium2.raw", "pdf")
    paths = []
    for at, (thing, held) in enumerate(things(page, raw)):
        if at > _OBJECTS * 20 or len(paths) > _OBJECTS:
            return
        if raw.FPDFPageObj_GetType(thing) == raw.FPDF_PAGEOBJ_PATH:
            paths.append((thing, held))
    if sum(max(raw.FPDFPath_CountSegments(path), 0) for path, _ in paths) > _SEGMENTS * 5:
        return
    for path, held in paths:
        yield from _pieces(path, held, raw)


def things(page: Any, raw: Any) -> Iterator[tuple[Any, Matrix]]:
    """What a page draws, also inside of forms, `_DEEP` deep, each with the matrix of the form that holds it.

    Of pdfium's own objects: those of pypdfium2 take four times as long.
    """
    for at in range(max(raw.FPDFPage_CountObjects(page.raw), 0)):
        yield from _within(raw.FPDFPage_GetObject(page.raw, at), _PLAIN, _DEEP, raw)


def _within(thing: Any, held: Matrix, deep: int, raw: Any) -> Iterator[tuple[Any, Matrix]]:
    yield thing, held
    if deep > 1 and raw.FPDFPageObj_GetType(thing) == raw.FPDF_PAGEOBJ_FORM:
        inner = _product(_matrix(thing, raw), held)
        for at in range(max(raw.FPDFFormObj_CountObjects(thing), 0)):
            yield from _within(raw.FPDFFormObj_GetObject(thing, at), inner, deep - 1, raw)


def placed(x: float, y: float, matrix: Matrix) -> tuple[float, float]:
    """A point as a matrix puts it."""
    a, b, c, d, e, f = matrix
    return a * x + c * y + e, b * x + d * y + f


def _matrix(thing: Any, raw: Any) -> Matrix:
    found = raw.FS_MATRIX()
    raw.FPDFPageObj_GetMatrix(thing, found)
    return found.a, found.b, found.c, found.d, found.e, found.f


def _product(one: Matrix, other: Matrix) -> Matrix:
    """The matrix that does `one`, then `other`."""
    a, b, c, d, e, f = one
    g, h, i, j, k, m = other
    return a * g + b * i, a * h + b * j, c * g + d * i, c * h + d * j, e * g + f * i + k, e * h + f * j + m


def _pieces(path: Any, held: Matrix, raw: Any) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    matrix = _product(_matrix(path, raw), held)
    x, y = ctypes.c_float(), ctypes.c_float()
    first = last = (0.0, 0.0)
    for at in range(raw.FPDFPath_CountSegments(path)):
        segment = raw.FPDFPath_GetPathSegment(path, at)
        if not raw.FPDFPathSegment_GetPoint(segment, x, y):
            continue
        point = placed(x.value, y.value, matrix)
        kind = raw.FPDFPathSegment_GetType(segment)
        if kind == raw.FPDF_SEGMENT_MOVETO:
            first = point
        elif kind == raw.FPDF_SEGMENT_LINETO:
            yield last, point
        last = point
        if raw.FPDFPathSegment_GetClose(segment):
            yield last, first
            last = first


def _joined(strokes: Sequence[Stroke]) -> list[Stroke]:
    """Strokes on one line that touch or overlap, as one. Lines less than `_NEAR` apart are one line."""
    out: list[Stroke] = []
    level: list[Stroke] = []
    for stroke in [*sorted(strokes, key=lambda stroke: (stroke.at, stroke.start)), None]:
        if stroke is not None and (not level or stroke.at - level[-1].at < _NEAR):
            level.append(stroke)
            continue
        at = sum(each.at for each in level) / max(len(level), 1)
        held: list[float] = []
        for each in sorted(level, key=lambda each: each.start):
            if held and each.start <= held[1] + _NEAR:
                held[1] = max(held[1], each.end)
            else:
                out += [Stroke(at, *held)] if held else []
                held = [each.start, each.end]
        out += [Stroke(at, *held)] if held else []
        level = [stroke] if stroke is not None else []
    return out


def _parts(rows: list[Stroke], columns: list[Stroke]) -> list[tuple[list[Stroke], list[Stroke]]]:
    """Lines that cross each other, directly or over others."""
    owner = list(range(len(rows) + len(columns)))

    def root(at: int) -> int:
        while owner[at] != at:
            owner[at] = owner[owner[at]]
            at = owner[at]
        return at

    for at, row in enumerate(rows):
        for beside, column in enumerate(columns, len(rows)):
            if (
                row.start - _NEAR <= column.at <= row.end + _NEAR
                and column.start - _NEAR <= row.at <= column.end + _NEAR
            ):
                owner[root(at)] = root(beside)
    parts: dict[int, tuple[list[Stroke], list[Stroke]]] = {}
    for at, row in enumerate(rows):
        parts.setdefault(root(at), ([], []))[0].append(row)
    for at, column in enumerate(columns, len(rows)):
        parts.setdefault(root(at), ([], []))[1].append(column)
    return list(parts.values())


def _grid(rows: list[Stroke], columns: list[Stroke]) -> Grid | None:
    xs, ys = sorted({column.at for column in columns}), sorted({row.at for row in rows})
    if len(xs) < 3 or len(ys) < 3 or len(xs) * len(ys) > _SEGMENTS * 5:
        return None
    for edge in (ys[0], ys[-1]):
        drawn = sum(row.end - row.start for row in rows if abs(row.at - edge) < _NEAR)
        if drawn < _FRAMED * (xs[-1] - xs[0]):
            return None
    grid = Grid(xs, ys)
    last = len(ys) - 2
    for row in range(len(ys) - 1):
        top, bottom = ys[last - row + 1], ys[last - row]
        for column in range(len(xs) - 1):
            middle = ((xs[column] + xs[column + 1]) / 2, (top + bottom) / 2)
            own = (row, column)
            if column and not _drawn(columns, xs[column], middle[1]):
                own = grid.cells[row, column - 1]
            elif row and not _drawn(rows, top, middle[0]):
                own = grid.cells[row - 1, column]
            grid.cells[row, column] = own
    return grid


def _drawn(strokes: list[Stroke], at: float, through: float) -> bool:
    return any(abs(each.at - at) < 0.01 and each.start - _NEAR <= through <= each.end + _NEAR for each in strokes)
