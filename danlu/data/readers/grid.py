"""Rows of cells as a Markdown table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SPACE = re.compile(r"\s+")


def table(rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table whose head is the first row; shorter rows are filled up, empty rows and columns left out.

    A cell is one line, with `|` escaped. Empty when no cell has text.
    """
    cells = [[_SPACE.sub(" ", cell).strip().replace("|", r"\|") for cell in row] for row in rows]
    cells = [row for row in cells if any(row)]
    width = max((len(row) for row in cells), default=0)
    used = [at for at in range(width) if any(at < len(row) and row[at] for row in cells)]
    if not used:
        return ""
    lines = ["| " + " | ".join(row[at] if at < len(row) else "" for at in used) + " |" for row in cells]
    return "\n".join([lines[0], "|" + " --- |" * len(used), *lines[1:]])
