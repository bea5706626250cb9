"""TTQA (Taiwan trivia): TTQA_mc.json of MR-Models, in either of its two layouts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from danlu.errors import DataError
from danlu.eval.adapters import Adapter, Rows, Sorting
from danlu.eval.adapters.files import need, whole

LETTERS = "ABCDEFGH"


def read(files: Sequence[Path], split: str) -> Rows:
    """One row a question: {id, category, question, choices, letters, answer (a letter)}. Dropped: `same-options`,
    `duplicate`."""
    kept = Sorting()
    path = files[0]
    value = whole(path)
    if not isinstance(value, dict):
        raise DataError("not TTQA's multiple-choice file: a list, where an object should be", where=str(path))
    for name, row in value.items():
        where = f"{path}: {name}"
        if "choices" in row:
            question, options = need(row, "question", where).strip(), [str(one) for one in row["choices"]]
            answer = LETTERS[int(need(row, "answer", where))]
        else:
            question = f"{need(row, 'passage', where).strip()}\n{row['question'].strip()}"
            options = [row[letter] for letter in LETTERS if letter in row]
            answer = need(row, "mc_answer", where)
        if len(set(options)) < len(options):
            kept.drop("same-options")
            continue
        fields = {"id": name, "category": row.get("category", ""), "question": question, "choices": options}
        kept.keep(fields | {"letters": list(LETTERS[: len(options)]), "answer": answer}, unlike=(question, *options))
    return kept.done([path])


TTQA = Adapter(("TTQA_mc.json", "TTQA_mc_*.json"), read, places=("bench/TTQA", "TTQA"))
