"""Tables in a text, as Markdown, CSV, with tabs or with wide gaps: which header stands over which cell.

Not covered: cells that go over several lines, headers of two lines, columns told apart by their place alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_MARKS = ("|", "│", "\t", ",", "／", "  ", "\u3000")
_LONGEST = 16
"""A header cell has at most so many characters, and no number of five digits."""

_NUMBER = re.compile("[0-9０-９]{5}")
_RULED = re.compile("[ \t\r]*[├└╞╠][─━═┼┴┤┘╪╡╬╣]*[ \t\r]*")
"""A line that is drawn between two rows."""
_EDGE = " \t\r\u3000\"'*`"


def columns(text: str, wanted: Callable[[str], bool]) -> Iterator[tuple[str, int, int]]:
    """(header, start, end) of every cell under a header that is `wanted`, row by row."""
    heads: list[str] = []
    mark = ""
    for start, line in _lines(text):
        if heads and _RULED.fullmatch(line):
            continue
        cells = _cells(line, start, mark) if heads else []
        if heads and len(cells) == len(heads):
            yield from ((head, *cell) for head, cell in zip(heads, cells, strict=True) if head and cell[0] < cell[1])
            continue
        heads = []
        for mark in _MARKS:
            if mark in line and len(line) <= (line.count(mark) + 1) * (_LONGEST + 4):
                heads = _heads(text, _cells(line, start, mark), wanted)
            if heads:
                break


def _lines(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield start, text[start:end]
        start = end + 1


def _heads(text: str, cells: list[tuple[int, int]], wanted: Callable[[str], bool]) -> list[str]:
    """The names of the columns, "" for those that are not wanted; empty when the line is no header."""
    names = [text[start:end] for start, end in cells]
    if len(names) < 2 or any(len(name) > _LONGEST or _NUMBER.search(name) for name in names):
        return []
    heads = [name if name and wanted(name) else "" for name in names]
    return heads if any(heads) else []


def _cells(line: str, start: int, mark: str) -> list[tuple[int, int]]:
    """Where the cells of a line stand in the text, without the blanks and quotes around them."""
    if mark in ("  ", "\u3000"):
        return [(start + found.start(), start + found.end()) for found in re.finditer(r"\S+(?: \S+)*", line)]
    cells: list[tuple[int, int]] = []
    at = 0
    body = line.strip(" \t\r")
    if mark in "|│" and body.startswith(mark):
        at = line.index(mark) + 1
        line = line[: line.rindex(mark)] if body.endswith(mark) and len(body) > 1 else line
    while at <= len(line):
        end = _quoted(line, at, mark)
        low, high = at, end
        while low < high and line[low] in _EDGE:
            low += 1
        while high > low and line[high - 1] in _EDGE:
            high -= 1
        cells.append((start + low, start + high))
        at = end + 1
    return cells


def _quoted(line: str, at: int, mark: str) -> int:
    """Where the cell that begins at `at` ends; a mark inside of quotes is none."""
    close = line.find('"', at + 1) if mark == "," and line.startswith('"', at) else -1
    end = line.find(mark, close + 1 if close > 0 else at)
    return len(line) if end < 0 else end
