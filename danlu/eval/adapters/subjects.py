"""Examinations by subject, one file or folder a subject, as the repositories of TMMLU+, TMLU, CMMLU, C-Eval and MMLU
hold them: `data/<subject>_<split>.csv`, `<split>/<subject>.csv`, `<subject>/<split>-*.parquet` and the like."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from danlu.eval.adapters import Adapter, Rows, Sorting
from danlu.eval.adapters.files import table
from danlu.extras import need

WORDS = {"validation": ("validation", "val"), "train": ("train", "dev")}
"""What else a split is called in the names of files."""

PATTERNS = (
    "data/*_{split}.csv",
    "*_{split}.csv",
    "{split}/*.csv",
    "data/{split}/*.csv",
    "*_{split}.jsonl",
    "*/*_{split}.jsonl",
    "data/*_{split}.jsonl",
    "*/{split}.jsonl",
    "{split}/*.jsonl",
    "*/{split}-*.parquet",
    "*/*_{split}.parquet",
    "{split}.jsonl",
    "{split}.csv",
    "{split}*.parquet",
)


def read(files: Sequence[Path], split: str, only: Sequence[str] = ()) -> Rows:
    """The rows as they are, with `subject`. `only` keeps some subjects (the others are counted as `other-subject`).
    Dropped: `no-answer` (as in the test part of C-Eval), `blank-option`, `same-options`, `duplicate` (in one
    subject)."""
    kept = Sorting()
    for path in files:
        for subject, row in _rows(path, split):
            options = _options(row)
            answer = row.get("answer", row.get("Answer"))
            if only and subject not in only:
                kept.drop("other-subject")
            elif answer is None or str(answer).strip() == "":
                kept.drop("no-answer")
            elif not options or not all(options):
                kept.drop("blank-option")
            elif len(set(options)) < len(options):
                kept.drop("same-options")
            else:
                asked = str(row.get("question", row.get("Question", ""))).strip()
                kept.keep(row | {"subject": subject}, unlike=(subject, asked, tuple(options)))
    return kept.done(files)


def _options(row: dict[str, Any]) -> list[str]:
    given = row.get("choices")
    if given is not None:
        return [str(one).strip() for one in given]
    letters = [letter for letter in "ABCDEF" if row.get(letter) is not None]
    return ["" if row.get(letter) is None else str(row[letter]).strip() for letter in sorted({*"ABCD", *letters})]


def _rows(path: Path, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
    subject = _subject(path, split)
    if path.suffix == ".parquet":
        rows = need("pyarrow.parquet", "eval").read_table(path).to_pylist()
    else:
        rows = [row for _, row in table(path)]
    for row in rows:
        yield str(row.get("subject") or subject), row


def _subject(path: Path, split: str) -> str:
    words = "|".join(sorted({split, *WORDS.get(split, ())}, key=len, reverse=True))
    stem = re.sub(rf"_({words})$", "", path.stem)
    return path.parent.name if re.match(rf"({words})\b", stem) else stem


class _Subjects(Adapter):
    def find(self, folder: Path, split: str, root: bool = False) -> list[Path]:
        for word in WORDS.get(split, (split,)):
            if found := super().find(folder, word, root):
                return found
        return []


SUBJECTS = _Subjects(PATTERNS, read, arguments=("only",), root=False)
