"""TMMLU, the first version, as it is: CSV files by subject (`content.Q`, `content.A`) in which the choices stand
inside the question."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from danlu.eval.adapters import Adapter, Rows, Sorting
from danlu.eval.adapters.files import need, table

LETTERS = "ABCDE"
EXAMPLES = 5
"""Questions of each subject that are the split `dev`."""


def choices(text: str) -> tuple[str, list[str]] | None:
    """The question and its choices, four or five; None when (A) to (D) do not stand in order."""
    marks = [(m.start(), m.end(), m.group(1)) for m in re.finditer(r"[(（]\s*([A-E])\s*[)）]", text)]
    for first in reversed([place for place, mark in enumerate(marks) if mark[2] == "A"]):
        chain = [marks[first]]
        for mark in marks[first + 1 :]:
            if len(chain) < len(LETTERS) and mark[2] == LETTERS[len(chain)]:
                chain.append(mark)
        if len(chain) >= 4:
            ends = [start for start, _, _ in chain[1:]] + [len(text)]
            parts = [_tidy(text[mark[1] : end]) for mark, end in zip(chain, ends, strict=True)]
            return _tidy(text[: chain[0][0]]), parts
    return None


def _tidy(text: str) -> str:
    """One line: a file from PDF breaks lines in the middle of a sentence."""
    joined = re.sub(r"(?<=[^\x00-\x7f])\s*\n\s*(?=[^\x00-\x7f])", "", text)
    return re.sub(r"\s+", " ", joined).strip().rstrip("。").strip()


def read(files: Sequence[Path], split: str) -> Rows:
    """One row a question: {id, subject, question, choices, letters, answer (a letter)}. Dropped: `deleted-item`
    (【已刪除】: the examiners gave everybody the point), `options-incomplete` (no (A) to (D) in order), `blank-option`,
    `same-options`, `answer-e`, `duplicate` (the same question and choices, its number aside)."""
    kept = Sorting()
    for path in files:
        for place, (where, row) in enumerate(table(path)):
            asked = need(row, "question" if "question" in row else "content.Q", where)
            answer = str(need(row, "answer" if "answer" in row else "content.A", where)).strip().upper()
            subject = str(row.get("subject") or path.stem)
            _judge(kept, asked, answer, subject, str(row.get("id", place)))
    return _split(kept, split).done(files)


def _split(kept: Sorting, split: str) -> Sorting:
    """The first questions of each subject are examples, the others are asked (`other-split` counts the rest)."""
    found: Counter[str] = Counter()
    rows, kept.rows = kept.rows, []
    for row in rows:
        found[row["subject"]] += 1
        if (found[row["subject"]] <= EXAMPLES) == (split != "test"):
            kept.rows.append(row)
        else:
            kept.drop("other-split")
    return kept


def _judge(kept: Sorting, asked: str, answer: str, subject: str, name: str) -> None:
    found = choices(asked)
    if "已刪除" in asked:
        kept.drop("deleted-item")
    elif answer == "E":
        kept.drop("answer-e")
    elif found is None or answer not in LETTERS[: len(found[1])]:
        kept.drop("options-incomplete")
    elif not all(found[1]):
        kept.drop("blank-option")
    elif len(set(found[1])) < len(found[1]):
        kept.drop("same-options")
    else:
        question = re.sub(r"^\s*\d+\s*[.．、]\s*", "", found[0])
        letters = list(LETTERS[: len(found[1])])
        row = {"id": f"{subject}-{name}", "subject": subject, "question": question, "choices": found[1]}
        kept.keep(row | {"letters": letters, "answer": answer}, unlike=(question, tuple(found[1])))


TMMLU = Adapter(("all.jsonl", "*.csv"), read, places=("bench/tmmlu", "tmmlu", "TMMLU"))
