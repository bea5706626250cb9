"""PenguinsInTable_TC: BIG-Bench's penguins in a table, translated; data.csv holds lists as NumPy prints them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from danlu.eval.adapters import Adapter, Rows, Sorting
from danlu.eval.adapters.files import need, table


def read(files: Sequence[Path], split: str) -> Rows:
    """One row a question: {id, question, choices, answer (place from 0)}. Dropped: `no-single-answer` (not exactly one
    choice is marked right), `same-options`, `duplicate`."""
    kept = Sorting()
    for path in files:
        for where, row in table(path):
            options = re.findall(r"'((?:[^'\\]|\\.)*)'", need(row, "multiple_choice_targets", where))
            marks = re.findall(r"-?\d+", need(row, "multiple_choice_scores", where))
            question = need(row, "inputs", where).strip()
            if len(options) < 2 or len(options) != len(marks) or marks.count("1") != 1:
                kept.drop("no-single-answer")
            elif len(set(options)) < len(options):
                kept.drop("same-options")
            else:
                fields = {"id": str(row.get("idx", "")), "question": question, "choices": options}
                kept.keep(fields | {"answer": marks.index("1")}, unlike=question)
    return kept.done(files)


PENGUINS = Adapter(("data.csv",), read, places=("bench/PenguinsInTable_TC", "PenguinsInTable_TC"))
