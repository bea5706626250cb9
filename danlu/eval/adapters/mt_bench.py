"""MT-Bench and its translations: question.jsonl (question_id, category, turns), with reference_answer/*.jsonl where
there are some."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from danlu.eval.adapters import Adapter, Rows, Sorting
from danlu.eval.adapters.files import lines, need


def read(files: Sequence[Path], split: str) -> Rows:
    """One row a question: {id, category, turns, first, second, references (a list, [] where there is none)}. Dropped:
    `not-two-turns`, `duplicate`."""
    kept = Sorting()
    for path in files:
        references = _references(path.parent / "reference_answer")
        for where, row in lines(path):
            turns = [str(turn).strip() for turn in need(row, "turns", where)]
            if len(turns) != 2 or not all(turns):
                kept.drop("not-two-turns")
                continue
            name = str(need(row, "question_id", where))
            found = row.get("reference") or references.get(name, [])
            fields = {
                "id": name,
                "category": row.get("category", ""),
                "turns": turns,
                "first": turns[0],
                "second": turns[1],
            }
            kept.keep(fields | {"references": list(found)}, unlike=tuple(turns))
    return kept.done(files)


def _references(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for _, row in lines(path):
            found.setdefault(str(row["question_id"]), row["choices"][0]["turns"])
    return found


MT_BENCH = Adapter(
    ("question.jsonl",),
    read,
    places=("bench/mt_bench_tw/llm_judge/data/mt_bench_tw", "mt_bench_tw", "mt_bench"),
)
