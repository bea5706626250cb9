"""The order and the shape of a page: boxes of text → paragraphs and tables, as a person reads them.

A box is a piece of one line with its place; where pieces stand more than `APART` of their height apart, the maker of
boxes leaves them apart. The way of a page:

1. `ordered` cuts it at the gaps between columns of running text, and around what stands across them, as the recursive
   XY cut does (Nagy and Seth, 1984). A table is no columns: its cells are short, or numbers, or several a side.
2. `_rows` puts side by side what shares a line.
3. `_tables` finds rows whose gaps stand above each other; such rows are a table when their head is evident, else lines.
4. `danlu.data.readers.paragraphs` joins the lines of a paragraph.

Lengths are in any unit, y downwards. Not covered: unruled tables whose cells fill several lines or span columns, text
that runs around a figure of odd shape, columns of text in an unruled table (they may be read as columns of a page).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from danlu.data.readers.grid import table
from danlu.data.readers.paragraphs import FORM, MARKER, PROSE, STOPS, WIDE, Line, listed, text

APART = 0.9
"""Heights between two words of a line from which on they may be of two columns."""

_LINES = 3
_FILLED = 0.6
_DEEP = 6
_MOST = 4_000
_CELLS = 200
_GUTTERS = 6
_ROWS_APART = 3.6
_NAMES = 3
NUMBER = re.compile(r"[-−－+(（]?[$＄]?\d[\d,，.%％/:：\-–]*[)）%％]?|[-–－—]+")
_RIGHT_TO_LEFT = re.compile(r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")


@dataclass(frozen=True)
class Box:
    """Text of one line and where it stands, y downwards; `at` is its place in the order of the file."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    at: int = 0
    before: str = ""
    """What stood before it in the file: "", a space or a line end."""

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def width(self) -> float:
        return self.right - self.left


@dataclass
class Table:
    """Rows of cells; `edges` is where each column begins, left to right. `headed`: the first row is evidently a head;
    else the rows are written as lines."""

    rows: list[list[str]]
    edges: list[float] = field(default_factory=list)
    headed: bool = True
    ruled: bool = True

    def __str__(self) -> str:
        if self.headed:
            return table(self.rows)
        return "\n".join(" ".join(cell for cell in row if cell) for row in self.rows)


@dataclass(frozen=True)
class Place:
    """A table that is known already, and where it stands."""

    table: Table
    left: float
    top: float
    right: float
    bottom: float
    at: int = 0
    text: str = ""

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def width(self) -> float:
        return self.right - self.left


Piece = Box | Place
Block = str | Table


def blocks(pieces: Sequence[Piece], width: float = 0.0) -> list[Block]:
    """The paragraphs (one string for each stretch of text, line ends between) and the tables of a page `width` wide."""
    out: list[Block] = []
    lines: list[Line] = []
    for column, part in enumerate(ordered(pieces)):
        for found in _tables(_rows(part)):
            if isinstance(found, Table):
                out += [*text(lines, width), found]
                lines = []
            else:
                lines.append(Line.of(found, column))
    return [*out, *text(lines, width)]


def written(found: Sequence[Block]) -> str:
    """Blocks as text, an empty line around tables that are drawn as such."""
    out = ""
    for before, block in pairwise([None, *found]):
        drawn = (isinstance(before, Table) and before.headed) or (isinstance(block, Table) and block.headed)
        out += ("\n\n" if drawn else "\n") if out else ""
        out += str(block)
    return out


# --- columns ---


def ordered(pieces: Sequence[Piece], deep: int = _DEEP) -> list[list[Piece]]:
    """Parts of a page in reading order; each is one column wide."""
    gutter = _gutter(pieces) if deep and len(pieces) <= _MOST else None
    if gutter is None:
        return [list(pieces)] if pieces else []
    across = [piece for piece in pieces if piece.left < gutter < piece.right]
    beside = [piece for piece in pieces if not piece.left < gutter < piece.right]
    wide, rest = _parted(across, beside, gutter)
    out: list[list[Piece]] = []
    while wide or rest:
        top = wide[0].top if wide else float("inf")
        above = [piece for piece in rest if _middle(piece) < top]
        rest = [piece for piece in rest if _middle(piece) >= top]
        for side in (
            [piece for piece in above if piece.right <= gutter],
            [piece for piece in above if piece.right > gutter],
        ):
            out += ordered(side, deep - 1)
        low = rest[0].top if rest else float("inf")
        run = [piece for piece in wide if piece.top < low] or wide[:1]
        wide = wide[len(run) :]
        out += ordered(run, deep - 1) if len(run) < len(pieces) else [run]
    return [part for part in out if part]


def _parted(across: Sequence[Piece], beside: Sequence[Piece], gutter: float) -> tuple[list[Piece], list[Piece]]:
    """What belongs to the lines across the columns (their neighbours, and the short last line of a paragraph), and the
    rest, both from the top down."""
    right = [piece for piece in beside if piece.right > gutter]
    wide, rest = sorted(across, key=lambda piece: piece.top), []
    for piece in sorted(beside, key=lambda piece: piece.top):
        level = any(_overlap(piece, other) > 0.5 * piece.height for other in across)
        below = any(
            0 <= piece.top - other.bottom + 0.3 * piece.height < 1.2 * piece.height
            and abs(piece.left - other.left) < 3 * piece.height
            for other in wide
        )
        alone = below and not any(_overlap(piece, other) > 0 for other in right)
        (wide if level or alone else rest).append(piece)
    return sorted(wide, key=lambda piece: piece.top), rest


def _gutter(pieces: Sequence[Piece]) -> float | None:
    """The middle of the gap between two columns of running text that fewest lines cross; None where there is none."""
    if len(pieces) < 2 * _LINES - 2:
        return None
    tall = median(piece.height for piece in pieces)
    for at in _gaps(pieces, tall):
        left = [piece for piece in pieces if piece.right <= at]
        right = [piece for piece in pieces if piece.left >= at]
        if _columns(left, right, tall):
            return at
    return None


def _gaps(pieces: Sequence[Piece], tall: float) -> list[float]:
    """The middles of gaps from top to bottom, those that fewest pieces cross first: a heading or the number of the page
    may stand in the gap."""
    edges = sorted([(piece.left, 1) for piece in pieces] + [(piece.right, -1) for piece in pieces])
    out: list[float] = []
    for most in (0, 2 + len(pieces) // 20, 2 + len(pieces) // 8, len(pieces) // 3):
        found, cover, free = [], 0, edges[-1][0]
        for at, change in edges:
            cover += change
            if cover <= most:
                free = min(free, at)
            elif free < at:
                if at - free >= 0.7 * APART * tall and free > edges[0][0]:
                    found.append((free - at, (free + at) / 2))
                free = edges[-1][0]
        out += [at for _, at in sorted(found)[:_GUTTERS] if at not in out]
    return out


def _columns(left: Sequence[Piece], right: Sequence[Piece], tall: float) -> bool:
    """Whether both sides are running text, side by side over some lines; or a list, with what was drawn after it."""
    if not left or not right:
        return False
    drawn_so = max(piece.at for piece in left) < min(piece.at for piece in right)
    if drawn_so and _list(left) and (_list(right) or _far(left, right, tall)):
        return True
    top = max(min(piece.top for piece in side) for side in (left, right))
    bottom = min(max(piece.bottom for piece in side) for side in (left, right))
    for side in (left, right):
        if sum(top <= _middle(piece) <= bottom for piece in side) < _LINES - drawn_so:
            return False
    return all(_running(side, tall) or _gutter(side) is not None for side in (left, right))


def _list(side: Sequence[Piece]) -> bool:
    return len(side) > 1 and 2 * sum(listed(piece.text) for piece in side) >= len(side)


def _far(left: Sequence[Piece], right: Sequence[Piece], tall: float) -> bool:
    """Whether words, rather than numbers, stand well apart."""
    gap = min(piece.left for piece in right) - max(piece.right for piece in left)
    return gap > FORM * tall and _wordy(right)


def _wordy(side: Sequence[Piece]) -> bool:
    text = "".join("".join(piece.text.split()) for piece in side)
    return 2 * sum(map(str.isalpha, text)) > len(text)


def _running(side: Sequence[Piece], tall: float) -> bool:
    """Whether lines fill the width that they stand in, each in one piece, with words rather than numbers."""
    lines: list[list[Piece]] = []
    for piece in sorted(side, key=_middle):
        if not lines or _middle(piece) - _middle(lines[-1][0]) > 0.5 * tall:
            lines.append([])
        lines[-1].append(piece)
    width = max(piece.right for piece in side) - min(piece.left for piece in side)
    widths = [sum(piece.right - piece.left for piece in line) for line in lines]
    full = [wide for wide in widths if wide >= _FILLED * width]
    if len(full) < 2 or sum(full) < _FILLED * sum(widths) or width < WIDE * tall:
        return False
    if sum(len(line) == 1 for line in lines) < 0.5 * len(lines):
        return False
    return _wordy(side) and (width >= PROSE * tall or any(STOPS.search(piece.text) for piece in side))


def _middle(piece: Piece) -> float:
    return (piece.top + piece.bottom) / 2


def _overlap(one: Piece, other: Piece) -> float:
    return min(one.bottom, other.bottom) - max(one.top, other.top)


# --- rows ---


def _rows(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """What shares a line, left to right (right to left in Arabic and Hebrew); what lies on each other shares none."""
    rows: list[list[Piece]] = []
    for piece in sorted(pieces, key=lambda piece: (_middle(piece), piece.left)):
        for row in reversed(rows[-3:]):
            if len(row) < _CELLS and all(_beside(piece, other) for other in row):
                row.append(piece)
                break
        else:
            rows.append([piece])
    return [sorted(row, key=lambda piece: piece.left, reverse=_leftward(row)) for row in rows]


def _beside(one: Piece, other: Piece) -> bool:
    if isinstance(one, Place) or isinstance(other, Place):
        return False
    low = min(one.height, other.height)
    return _overlap(one, other) >= 0.5 * low and min(one.right, other.right) - max(one.left, other.left) < 0.3 * low


def _leftward(row: Sequence[Piece]) -> bool:
    if len(row) < 2 or not any(_RIGHT_TO_LEFT.search(piece.text) for piece in row):
        return False
    letters = [unicodedata.bidirectional(character) for piece in row for character in piece.text[:20]]
    return sum(kind in ("R", "AL") for kind in letters) > sum(kind == "L" for kind in letters)


# --- tables ---


def _tables(rows: list[list[Piece]]) -> Iterator[Table | list[Piece]]:
    """Rows, those of a table as one."""
    at = 0
    while at < len(rows):
        if isinstance(rows[at][0], Place):
            yield rows[at][0].table
            at += 1
            continue
        run = _run(rows, at)
        made = _table(rows[at : at + run]) if run >= _LINES else None
        if made is None:
            yield rows[at]
            at += 1
        else:
            yield made
            at += run


def _run(rows: list[list[Piece]], at: int) -> int:
    """How many rows from `at` on may be a table: each of several pieces, or of one that stands below another."""
    if len(rows[at]) < 2:
        return 0
    end = at + 1
    while end < len(rows):
        row, before = rows[end], rows[end - 1]
        if isinstance(row[0], Place) or row[0].top - before[0].top > _ROWS_APART * before[0].height:
            break
        if len(row) < 2 and not (end + 1 < len(rows) and len(rows[end + 1]) > 1 and _within(row[0], rows[at:end])):
            break
        end += 1
    while end > at and len(rows[end - 1]) < 2:
        end -= 1
    return end - at


def _within(piece: Piece, rows: list[list[Piece]]) -> bool:
    """Whether a piece that is alone on its line stands in one column of the rows above it."""
    reach = [min(other.left for row in rows for other in row[1:]), max(row[0].right for row in rows)]
    return piece.right <= reach[0] or piece.left >= min(reach)


def _table(rows: list[list[Piece]]) -> Table | None:
    """Rows whose gaps stand above each other; None when they do not, or when it is a list or a form."""
    tall = median(piece.height for row in rows for piece in row)
    starts = _starts(rows, tall)
    if len(starts) < 2:
        return None
    cells = [[""] * len(starts) for _ in rows]
    for row, out in zip(rows, cells, strict=True):
        for piece in row:
            at = max((at for at, start in enumerate(starts) if start <= piece.left + 0.1 * tall), default=0)
            out[at] += (" " if out[at] else "") + piece.text
    several = sum(sum(map(bool, row)) > 1 for row in cells)
    if several < _LINES or any(sum(bool(row[at]) for row in cells) < 2 for at in range(len(starts))):
        return None
    firsts = [row[0] for row in cells if row[0]]
    if len(starts) == 2 and sum(bool(MARKER.fullmatch(first)) for first in firsts) >= 0.8 * len(firsts):
        return None
    return Table(cells, starts, _headed(cells), ruled=False)


def _starts(rows: list[list[Piece]], tall: float) -> list[float]:
    """Where columns begin: behind gaps that hardly any row crosses, at least one height wide."""
    pieces = [piece for row in rows for piece in row]
    edges = sorted([(piece.left, 1) for piece in pieces] + [(piece.right, -1) for piece in pieces])
    most = len(rows) // 8
    starts, cover, free = [edges[0][0]], 0, None
    for at, change in edges:
        cover += change
        if cover <= most and free is None:
            free = at
        elif cover > most and free is not None:
            if at - free >= APART * tall:
                starts.append(at)
            free = None
    return starts


def _headed(cells: list[list[str]]) -> bool:
    """Whether the first row names the columns: words over numbers, or every row full of words in three columns."""
    head, body = cells[0], cells[1:]
    numeric = [
        at
        for at in range(len(head))
        if sum(bool(NUMBER.fullmatch(row[at])) for row in body) > 0.5 * sum(bool(row[at]) for row in body)
    ]
    if numeric:
        named = [head[at] for at in numeric if head[at]]
        return 2 * len(named) > len(numeric) and not any(NUMBER.fullmatch(name) for name in named)
    text = "".join("".join(row) for row in cells)
    return len(head) >= _NAMES and all(all(row) for row in cells) and not set("：:") & set(text)
