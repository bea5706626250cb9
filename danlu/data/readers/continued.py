"""Tables that go on over the end of a page, put together on the page where they begin.

Two are one when nothing but running heads stands between them, their columns are as many and begin at the same places,
and the second has no other head than the first: a head that is said again is left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from danlu.data.readers.layout import NUMBER, Block, Table

_SLACK = {True: 0.015, False: 0.05}
_HEADS = 3
_EDGE = 3
_NEAR = 2
_COUNT = re.compile(r"[0-9０-９]+|[〇零一二三四五六七八九十百]+|\b[ivxl]+\b")
_PAGE = re.compile(r"\W*(?:第|page|p\.?)?\s*#\s*頁?\W*(?:共|of|總)?\s*#?\s*頁?\W*", re.IGNORECASE)
_AGAIN = re.compile(
    r".{0,40}(?:續上頁|接上頁|承上頁|續前頁|續下頁|接次頁|接下頁|[(（〔]續[)）〕]|continued\)?|cont'?d\.?\)?)\W*$",
    re.IGNORECASE,
)


def whole(pages: Sequence[list[Block]]) -> list[list[Block]]:
    """The blocks of each page; a table that goes on is moved to where it begins (its `rows` grow)."""
    out = [list(page) for page in pages]
    edges = [_edges(page) for page in out]
    begun: Table | None = None
    for number, page in enumerate(out):
        near = set().union(*edges[max(number - _NEAR, 0) : number], *edges[number + 1 : number + 1 + _NEAR])
        tables = [at for at, block in enumerate(page) if isinstance(block, Table)]
        if begun is not None and tables and _running(page[: tables[0]], near):
            more = page[tables[0]]
            if isinstance(more, Table) and goes_on(begun, more):
                begun.rows += more.rows[_repeated(begun, more) :]
                del page[tables[0]]
                if _running(page[tables[0] :], near):
                    continue
                tables = [at - 1 for at in tables[1:]]
        last = page[tables[-1]] if tables else None
        begun = last if isinstance(last, Table) and _running(page[tables[-1] + 1 :], near) else None
    return out


def goes_on(begun: Table, more: Table) -> bool:
    """Whether `more` has the columns of `begun`, and no head of its own."""
    if len(begun.edges) != len(more.edges) or begun.ruled != more.ruled:
        return False
    slack = _SLACK[begun.ruled] * max(begun.edges[-1] - begun.edges[0], 1.0)
    if any(
        abs((one - begun.edges[0]) - (other - more.edges[0])) > slack
        for one, other in zip(begun.edges, more.edges, strict=True)
    ):
        return False
    return bool(_repeated(begun, more)) or not _names(more.rows[0], begun.rows[1:] + more.rows[1:])


def _repeated(begun: Table, more: Table) -> int:
    """How many rows of the head of `begun` stand again at the top of `more`."""
    same = 0
    for one, other in zip(begun.rows[:_HEADS], more.rows, strict=False):
        if ["".join(cell.split()) for cell in one] != ["".join(cell.split()) for cell in other]:
            break
        same += 1
    return same


def _names(row: Sequence[str], body: Sequence[Sequence[str]]) -> bool:
    """Whether a row stands above numbers and is none: the head of another table."""
    for at, cell in enumerate(row):
        below = [other[at] for other in body if other[at]]
        numbers = sum(bool(NUMBER.fullmatch(other)) for other in below)
        if cell and not NUMBER.fullmatch(cell) and below and numbers >= 0.8 * len(below):
            return True
    return False


def _lines(page: Sequence[Block]) -> list[str]:
    return [line for block in page if isinstance(block, str) for line in block.split("\n") if line.strip()]


def _key(line: str) -> str:
    return _COUNT.sub("#", "".join(line.split()))


def _edges(page: Sequence[Block]) -> set[str]:
    lines = _lines(page)
    return {_key(line) for line in lines[:_EDGE] + lines[-_EDGE:]}


def _running(between: Sequence[Block], near: set[str]) -> bool:
    """Whether these are heads and feet: the number of the page, or what neighbouring pages say at their edges too."""
    if any(isinstance(block, Table) for block in between):
        return False
    lines = _lines(between)
    return len(lines) <= _EDGE and all(
        (key := _key(line)) in near or _PAGE.fullmatch(key) or _AGAIN.fullmatch(line.strip()) for line in lines
    )
