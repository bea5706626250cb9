"""Lines → paragraphs: a line is joined with the next where the next one's first word had no room on it.

What has room is judged by the paragraph's own column, or by its own lines, not by the page's widest line. List items,
headings, verse, addresses and the rows of a form stay lines. Not covered: a paragraph that goes on after a line which
ends with a full stop at the very edge (it comes as two), and one that goes on on the next page.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Protocol

_SAME = 1.15
_PITCH = 2.3
_FULL = 3
_SPREAD = 3
FORM = 2.0
PROSE = 12.0
WIDE = 7.0
_LONG = 20.0
_ENDS = tuple("。！？；：.!?;:」』）)")
STOPS = re.compile(r"[，。；、,.;]")
_NUMERAL = r"[0-9０-９一二三四五六七八九十百〇零壹貳參肆伍甲乙丙丁戊己庚辛]"
_MARK = re.compile(
    rf"{_NUMERAL}{{1,3}}(?:\u3000|[、．)）]|[.](?!\d))|[（(〔\[]{_NUMERAL}{{1,4}}[)）〕\]]|[(（]?[A-Za-z][)）]\s"
    rf"|(?:\d{{1,2}}\.){{1,4}}\d{{0,2}}\s"
    rf"|第\s?{_NUMERAL}[ \d〇零一二三四五六七八九十百]{{0,6}}\s?[條項款目章節編篇點](?![之第所規])"
    r"|[①-⓿❶-➓㈠-㉃●○◎◆◇■□☐☑☒▲△▪•‧・※★☆➢✓–—*◦▫‣⁃∙◘\ue000-\uf8ff]|- "
    r"|附[件表圖錄]\s?[\d一二三四五六七八九十]"
    r"|[^\s：:，。]{1,8}：(?!$)|[A-Z][\w ]{0,20}: "
)
"""What only the first line of something begins with: the mark of a list item or a heading, a label of a form."""

MARKER = re.compile(rf"[（(]?{_NUMERAL}{{1,3}}[)）、.．]?|[●○◎■□▪•‧・※–\-*]|[（(]?[A-Za-z][)）.]")


class Placed(Protocol):
    """Text of one line and where it stands, y downwards."""

    @property
    def text(self) -> str: ...
    @property
    def left(self) -> float: ...
    @property
    def top(self) -> float: ...
    @property
    def right(self) -> float: ...
    @property
    def height(self) -> float: ...
    @property
    def width(self) -> float: ...


@dataclass(frozen=True)
class Line:
    text: str
    left: float
    top: float
    right: float
    height: float
    column: int
    form: bool
    body: float
    """Where the text begins behind the mark of a list item; else `left`."""

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def listed(self) -> bool:
        return bool(_MARK.match(self.text) or MARKER.fullmatch(self.text.split(" ")[0]))

    @classmethod
    def of(cls, row: Sequence[Placed], column: int) -> Line:
        height = max(row, key=lambda piece: piece.width).height
        gaps = [after.left - before.right for before, after in pairwise(row)]
        body = min(piece.left for piece in row)
        if gaps and MARKER.fullmatch(row[0].text):
            gaps, body = gaps[1:], row[1].left
        form = any(gap > FORM * height for gap in gaps)
        left, right = min(piece.left for piece in row), max(piece.right for piece in row)
        return cls(_spread(row), left, min(piece.top for piece in row), right, height, column, form, body)


def _spread(row: Sequence[Placed]) -> str:
    """The text of a row; a title whose characters are spread evenly over a line is one word."""
    texts = [piece.text for piece in row]
    gaps = [after.left - before.left for before, after in pairwise(row)]
    single = len(row) >= _SPREAD and all(len(text) == 1 and not text.isascii() for text in texts)
    if single and max(gaps) - min(gaps) < 0.15 * max(gaps):
        return "".join(texts)
    return " ".join(texts)


def text(lines: list[Line], width: float) -> list[str]:
    """The lines of a stretch of a page `width` wide, those of a paragraph joined; nothing when there are none."""
    columns = {number: _Column.of(list(held)) for number, held in groupby(lines, key=lambda line: line.column)}
    on = [False] * (len(lines) + 1)
    for at in range(len(lines) - 2, -1, -1):
        on[at] = _runs_on(lines, at, width, columns, on[at + 1])
    out: list[str] = []
    for line, runs_on in zip(lines, [False, *on], strict=False):
        if runs_on:
            out[-1] = joined(out[-1], line.text)
        else:
            out.append(line.text)
    return ["\n".join(line.rstrip() for line in out)] if out else []


def joined(before: str, after: str) -> str:
    r"""Two lines of a paragraph: Chinese without a space, and a word that a hyphen (pdfium's mark) parted, whole."""
    if before.endswith(("\ufffe", "\x02")):
        return before[:-1] + after
    wide = any(unicodedata.east_asian_width(character) in "WF" for character in (before[-1:] or "x", after[:1] or "x"))
    return before + ("" if wide or before.endswith(" ") else " ") + after


def listed(text: str) -> bool:
    """Whether a line begins with what only the first line of something begins with: the mark of a list, a label."""
    return bool(_MARK.match(text))


@dataclass(frozen=True)
class _Column:
    """Where the lines of a column begin, where the three that reach farthest end, and whether any has a stop inside."""

    left: float
    rights: list[float]
    stops: bool

    @classmethod
    def of(cls, lines: list[Line]) -> _Column:
        rights = sorted((line.right for line in lines), reverse=True)[:3]
        return cls(min(line.left for line in lines), rights, any(STOPS.search(line.text[:-1]) for line in lines))

    def holds(self, count: int, slack: float) -> bool:
        """Whether so many lines reach the column's edge."""
        return len(self.rights) >= count and self.rights[count - 1] > self.rights[0] - slack


def _runs_on(lines: list[Line], at: int, width: float, columns: dict[int, _Column], after_runs_on: bool) -> bool:
    """Whether the line at `at` goes on in the next, of which it is known whether it does."""
    line, after = lines[at], lines[at + 1]
    if line.text.endswith(("\ufffe", "\x02")):
        return True
    em = line.height
    if line.form or after.form or line.text.endswith(_ENDS) or _MARK.match(after.text):
        return False
    if max(line.height, after.height) > _SAME * min(line.height, after.height):
        return False
    if line.column != after.column:
        return _over(line, columns[line.column]) and columns[after.column].holds(_FULL, 1.2 * em)
    if not 0 < after.top - line.top <= _PITCH * em or not _aligned(lines, at):
        return False
    return _full(lines, at, width, columns[line.column]) or _prose(lines, at, after_runs_on)


def _full(lines: list[Line], at: int, width: float, column: _Column) -> bool:
    """Whether the first word of the next line had no room on this one: in its column, or in its own paragraph."""
    line = lines[at]
    room, slack = _first(lines[at + 1]), 1.2 * line.height
    told = column.stops or line.width > _LONG * line.height
    margin = abs(width - column.left - column.rights[0]) < 3 * line.height
    if line.right + room > column.rights[0] and ((column.holds(2, slack) and told) or margin):
        return line.width > WIDE * line.height
    near = _Column.of(_neighbours(lines, at))
    reached = near.holds(2, slack) and line.right + room > near.rights[0]
    return reached and near.stops and line.width > PROSE * line.height


def _aligned(lines: list[Line], at: int) -> bool:
    """Whether the next line begins where one that goes on would: not indented, unless it hangs below its first line."""
    line, after = lines[at], lines[at + 1]
    indent = after.left - line.body
    if indent <= 0.7 * line.height:
        return True
    if line.listed:
        return indent < 10 * line.height
    third = lines[at + 2] if at + 2 < len(lines) else None
    back = third is not None and third.column == after.column and third.left < after.left - 0.7 * line.height
    return indent < 4 * line.height and not back


def _over(line: Line, column: _Column) -> bool:
    """Whether a column's last line may go on in the next column: it is as wide as the column, and others are."""
    reaches = line.right > column.rights[0] - 1.2 * line.height
    return reaches and column.holds(_FULL, 1.2 * line.height) and line.width >= WIDE * line.height


def _first(line: Line) -> float:
    """How wide the first word of a line is, with some play: a Chinese character, and the stop that must follow it."""
    word = re.match(r"[^\s\u2e80-\uffef]+|.[，。；：、！？）」』]?", line.text)
    columns = sum(2 if unicodedata.east_asian_width(character) in "WFA" else 1 for character in line.text)
    wide = sum(2 if unicodedata.east_asian_width(c) in "WFA" else 1 for c in word[0]) if word else 2
    return line.width * wide / max(columns, 1) + 0.6 * line.height


def _neighbours(lines: list[Line], at: int) -> list[Line]:
    """The lines around one that are of its size and column, evenly apart, and begin where it or the next one does."""
    out = [lines[at]]
    for step in (-1, 1):
        place = at + step
        while 0 <= place < len(lines) and len(out) < 40:
            one, other = lines[place], lines[place - step]
            same = max(one.height, other.height) <= _SAME * min(one.height, other.height)
            if one.column != other.column or not same or abs(one.top - other.top) > _PITCH * one.height:
                break
            out.append(one)
            place += step
    return out


def _prose(lines: list[Line], at: int, after_runs_on: bool) -> bool:
    """Whether a long line, broken before its paragraph's edge, is prose that the next line ends or goes on with."""
    line, after = lines[at], lines[at + 1]
    before = lines[at - 1] if at and lines[at - 1].column == line.column else line
    if line.width < PROSE * line.height or not (STOPS.search(line.text) or STOPS.search(before.text)):
        return False
    ends = after.text.endswith(("。", "；", "：", ".", ";")) or line.text.endswith(("，", "、", ","))
    return (ends or after_runs_on) and after.right <= line.right + line.height
