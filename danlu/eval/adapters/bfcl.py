"""Tool calls in the layouts of the Berkeley Function Calling Leaderboard: questions beside `possible_answer/`, the two
joined in one JSONL file, and a plain one with the same fields."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from danlu.eval.adapters import Adapter, Fields, Rows, Sorting
from danlu.eval.adapters.files import lines, need


def read(files: Sequence[Path], split: str) -> Rows:
    """One row a question: {id, category, question, system, functions (list), functions_json, calls (list of {name:
    {argument: [right values]}})}. Dropped: `multi-turn` (more than one turn of a user), `no-reference`,
    `duplicate`."""
    kept = Sorting()
    for path in files:
        answers = _answers(path)
        for where, row in lines(path):
            functions = _value(row.get("functions", row.get("function")))
            turns = _turns(_value(need(row, "question", where)))
            truth = _value(row.get("answer")) if "answer" in row else answers.get(str(row.get("id")))
            wanted = truth.get("ground_truth") if isinstance(truth, dict) and "ground_truth" in truth else truth
            users = [turn["content"] for turn in turns if turn["role"] == "user"]
            if len(users) != 1 or "initial_config" in row:
                kept.drop("multi-turn")
            elif not wanted or not functions:
                kept.drop("no-reference")
            else:
                kept.keep(_fields(row, path, turns, users[0], functions, wanted), unlike=(users[0], str(functions)))
    return kept.done(files)


def _fields(row: Fields, path: Path, turns: list[Fields], user: str, functions: list[Any], wanted: Any) -> Fields:
    return {
        "id": str(row.get("id", "")),
        "category": str(row.get("category") or (path.parent.name if path.stem == "questions" else path.stem)),
        "system": "\n".join(turn["content"] for turn in turns if turn["role"] == "system"),
        "question": user.strip(),
        "functions": functions,
        "functions_json": json.dumps(functions, ensure_ascii=False),
        "calls": wanted,
    }


def _value(given: Any) -> Any:
    """A field that holds JSON as a string, as its value; a plain sentence stays what it is."""
    if isinstance(given, str) and given.lstrip()[:1] in ("[", "{"):
        return json.loads(given)
    return given


def _turns(asked: Any) -> list[Fields]:
    if isinstance(asked, str):
        return [{"role": "user", "content": asked}]
    flat: list[Fields] = []
    for turn in asked:
        flat += turn if isinstance(turn, list) else [turn]
    return flat


def _answers(path: Path) -> dict[str, Any]:
    for name in ("answers.jsonl", path.name):
        beside = path.parent / "possible_answer" / name
        if beside.is_file():
            return {str(row["id"]): row for _, row in lines(beside)}
    return {}


BFCL = Adapter(
    ("questions.jsonl", "*/questions.jsonl", "BFCL_v*.json", "*.jsonl"),
    read,
    root=False,
)
