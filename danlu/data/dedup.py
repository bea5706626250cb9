"""data.dedup: documents that say the same, exactly or nearly, once."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, NamedTuple

from pydantic import Field

from danlu.artifact import Artifact, Draft
from danlu.extras import need
from danlu.records import Document, Drop, read_jsonl, write_jsonl
from danlu.registry import From, Settings, Step
from danlu.track import Track

_PERMUTATIONS = 128
_MISSED = 1e-3


class DedupSettings(Settings):
    documents: Annotated[str, From("documents")]
    """The step that made the documents."""

    threshold: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Two documents are near duplicates from this Jaccard similarity of their sets of character n-grams."""

    ngram: Annotated[int, Field(ge=1)] = 5
    """Length of the n-grams, in characters."""

    seed: int = 0
    """Seed of the permutations of MinHash."""


class Twin(NamedTuple):
    """The document that another one repeats, and how much of it."""

    id: str
    similarity: float


class Dedup(Step[DedupSettings]):
    """Keeps, of documents that repeat each other, the one whose id comes first, whatever order they come in.

    Compared are letters and digits alone, without case, so neither white space nor punctuation tells two apart.
    `exact-duplicate`: the same after that. `near-duplicate`: MinHash with locality-sensitive hashing (Broder, 1997, "On
    the resemblance and containment of documents"; banding: Leskovec, Rajaraman and Ullman, Mining of Massive Datasets,
    3.4) proposes pairs, and the true Jaccard similarity decides, so nothing is dropped on an estimate; a pair at the
    threshold is missed with a probability below 0.001. A document is compared with those kept, so of A ~ B ~ C with A
    unlike C, C stays. Not covered: a document that is a small part of another, and repeated paragraphs within one.
    """

    Settings = DedupSettings
    makes = "documents"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        came = sorted(read_jsonl(inputs["documents"].file("documents.jsonl"), Document), key=lambda one: one.id)
        kept: list[Document] = []
        drops: list[Drop] = []
        seen: dict[str, str] = {}
        near = Near(self.settings)
        for document in track.over(came, "dedup", unit="document"):
            text = core(document.text)
            same = seen.setdefault(hashlib.sha256(text.encode()).hexdigest(), document.id)
            twin = Twin(same, 1.0) if same != document.id else near.add(document.id, text)
            if twin is None:
                kept.append(document)
                continue
            reason = "exact-duplicate" if same != document.id else "near-duplicate"
            detail = f"of {twin.id}, similarity {twin.similarity:.3f}"
            drops.append(Drop(id=document.id, source=document.source, reason=reason, detail=detail))
        write_jsonl(out.file("documents.jsonl"), kept)
        write_jsonl(out.file("dropped.jsonl"), drops)
        reasons = dict(sorted(Counter(drop.reason for drop in drops).items()))
        out.funnel("dedup", len(came), len(kept), reasons, unit="documents")
        rows = [[drop.id, drop.reason, drop.detail] for drop in drops[:20]]
        if rows:
            out.table(f"Duplicates ({len(rows)} of {len(drops)})", ["document", "reason", "detail"], rows)
        out.metrics.update(documents=len(kept), duplicates=len(drops))


class Near:
    """The documents kept so far, searched by similarity. Texts are held in memory."""

    def __init__(self, settings: DedupSettings) -> None:
        self.settings = settings
        self.index = need("datasketch", "data").MinHashLSH(num_perm=_PERMUTATIONS, params=bands(settings.threshold))
        self.texts: dict[str, str] = {}

    def add(self, id: str, text: str) -> Twin | None:
        """The most similar kept document at or above the threshold, or None, and then this one is kept too."""
        grams = ngrams(text, self.settings.ngram)
        sketch = need("datasketch", "data").MinHash(num_perm=_PERMUTATIONS, seed=self.settings.seed)
        sketch.update_batch([gram.encode() for gram in sorted(grams)])
        found = [Twin(other, jaccard(grams, self._grams(other))) for other in self.index.query(sketch)]
        twins = [twin for twin in found if twin.similarity >= self.settings.threshold]
        if twins:
            return min(twins, key=lambda twin: (-twin.similarity, twin.id))
        self.index.insert(id, sketch)
        self.texts[id] = text
        return None

    def _grams(self, id: str) -> set[str]:
        return ngrams(self.texts[id], self.settings.ngram)


def core(text: str) -> str:
    """What two texts are compared by: letters and digits in NFKC, without case; the text itself when it has none."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).casefold()) or text


def ngrams(text: str, length: int) -> set[str]:
    """The n-grams of `text`; of a text shorter than that, the text itself."""
    return {text[at : at + length] for at in range(max(1, len(text) - length + 1))}


def jaccard(one: set[str], other: set[str]) -> float:
    """|A ∩ B| / |A ∪ B|."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def bands(threshold: float) -> tuple[int, int]:
    """(bands, rows): the most selective banding that proposes a pair at `threshold` with probability above 0.999."""
    for rows in range(_PERMUTATIONS // 2, 1, -1):
        count = _PERMUTATIONS // rows
        if (1 - threshold**rows) ** count < _MISSED:
            return count, rows
    return _PERMUTATIONS, 1
