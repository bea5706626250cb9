"""data.dedup: documents that say the same, exactly or nearly, once; across as many steps as are named."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from json.encoder import encode_basestring
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field

from danlu.artifact import Artifact, Draft
from danlu.data.core import core as core
from danlu.data.core import jaccard as jaccard
from danlu.data.core import ngrams as ngrams
from danlu.data.core import whole
from danlu.data.flow import Block, blocks, encoded, spread
from danlu.errors import DataError
from danlu.records import Document, Drop
from danlu.registry import From, Settings, Step
from danlu.track import Track

Array = Any

_PERMUTATIONS = 128
_MISSED = 1e-3
_BATCH = 16 * 2**20
_PART = 4 * 2**20
_ALONE = 48 * 2**20
_COPY = 2**20
_NEAR = 2**14
_SHORTEST = 20


def several(value: Any) -> Any:
    """A single name stands for a list of one."""
    return (value,) if isinstance(value, str) else value


def long_enough(characters: int) -> int:
    if 0 < characters < _SHORTEST:
        raise ValueError(f"0, or at least {_SHORTEST} characters: shorter passages are common phrases")
    return characters


Names = Annotated[tuple[str, ...], From("documents"), BeforeValidator(several, json_schema_input_type=str | list[str])]


class DedupSettings(Settings):
    documents: Annotated[Names, Field(min_length=1)]
    """The step, or list of steps, that made the documents."""

    threshold: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Two documents are near duplicates from this Jaccard similarity of their sets of character n-grams."""

    ngram: Annotated[int, Field(ge=1)] = 5
    """Length of the n-grams, in characters."""

    substring: Annotated[int, Field(ge=0), AfterValidator(long_enough)] = 0
    """Cut out of documents the passages of this many characters or more that occur before, in the order of the ids, in
    one that stays or earlier in the same one; 0: leave them, else at least 20."""

    seed: int = 0
    """Seed of the permutations of MinHash."""


class Dedup(Step[DedupSettings]):
    """Keeps, of documents that repeat each other, the one whose id comes first.

    What comes out depends on the set of documents alone: not on their order, nor on how many files or steps they are
    spread over, and it is written in the order of the ids. Two records that are the same byte for byte are one; two
    different ones with one id are a DataError.

    Compared are letters and digits alone, without case, so neither white space nor punctuation tells two apart.
    `exact-duplicate`: the same after that. `near-duplicate`: MinHash with locality-sensitive hashing (Broder, 1997,
    "On the resemblance and containment of documents"; banding: Leskovec, Rajaraman and Ullman, Mining of Massive
    Datasets, 3.4) proposes pairs, and the true Jaccard similarity decides, so nothing is dropped on an estimate; a
    pair at the threshold is missed with a probability below 0.001. A document is compared with those kept, so of A ~
    B ~ C with A unlike C, C stays; with 2,000 of them at most, those that share the most bands with it. What says
    exactly the same as a dropped one is told of as that one is.

    With `substring`, passages of the kept documents that occur before are cut out after that, to the character (Lee et
    al., 2022, "Deduplicating Training Data Makes Language Models Better"; see `danlu.data.passages`), and what is told
    of pages in `meta` follows; `all-repeated`: no letter is left of the document.

    Memory: some 100 bytes a document and its id, and in each process a batch of families, of which only the kept texts
    stay (4 bytes a character); band hashes (8 bytes each) rest on disk, and with `substring` the texts. Not covered: a
    document that is a small part of another, and, without `substring`, repeated paragraphs; the same in other words.
    """

    Settings = DedupSettings
    makes = "documents"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        from danlu.data import minhash

        sources = artifacts(inputs, "documents")
        corpus = self._corpus([one.file("documents.jsonl") for one in sources], out.work, track)
        order = corpus.order()
        twin, similarity = corpus.exact(order)
        count, _ = bands(self.settings.threshold)
        batches = corpus.batches(minhash.np.flatnonzero(twin < 0), count, self.settings.ngram, out.work)
        bar = track.bar("compare", sum(len(batch.members) for batch in batches), unit="document")
        alone = sum(int(batch.sizes.sum()) for batch in batches) < _ALONE
        local = Track(quiet=True)
        compared = map(self._compare, batches) if alone else spread(self._compare, batches, local, threads=True)
        for members, twins, similarities in compared:
            found = twins >= 0
            twin[members[found]] = twins[found]
            similarity[members[found]] = similarities[found]
            bar.update(len(members))
        bar.close()
        again = minhash.np.flatnonzero(twin >= 0)
        first = twin[again]
        moved = again[twin[first] >= 0]
        similarity[moved] = similarity[twin[moved]]
        twin[moved] = twin[twin[moved]]
        reasons = self._write(corpus, order, twin, similarity, out)
        self._report(corpus, twin, sources, out)
        if self.settings.substring:
            del corpus, order, batches
            reasons.update(self._cut(out, track))
        kept = len(twin) - sum(reasons.values())
        if not kept:
            raise DataError("nothing but repeated passages came", next="raise substring in data.dedup, or leave it out")
        out.funnel("dedup", len(twin), kept, dict(sorted(reasons.items())), unit="documents")
        out.metrics.update(documents=kept, duplicates=len(twin) - kept)

    def _corpus(self, paths: Sequence[Path], work: Path, track: Track) -> Corpus:
        """What is remembered of each document; their band hashes go to files in `work`, one a band."""
        from danlu.data import minhash

        self._bands(*minhash.cores(["compiled here, once, and found by the other processes"]))
        parts = [(part, file) for file, path in enumerate(paths) for part in blocks(path)]
        bar = track.bar("sketch", sum(part.count for part, _ in parts), unit="document")
        corpus = Corpus([str(path) for path in paths])
        with ExitStack() as stack:
            count, _ = bands(self.settings.threshold)
            files = [stack.enter_context(band_file(work, band).open("wb")) for band in range(count)]
            signed = spread(self._sign, [part for part, _ in parts], track, threads=True)
            for signs, (_, file) in zip(signed, parts, strict=True):
                corpus.add(signs, file)
                for band, output in enumerate(files):
                    output.write(signs.bands[:, band].tobytes())
                bar.update(len(signs.starts))
        bar.close()
        corpus.close()
        return corpus

    def _sign(self, block: Block) -> Signs:
        from hashlib import blake2b

        from danlu.data import minhash
        from danlu.data.columns import columns

        np = minhash.np
        held = columns(block)
        codes, bounds = minhash.folded(held.codes, held.bounds)
        raw = memoryview(codes.tobytes())
        ends = (4 * bounds).tolist()
        digests = b"".join([blake2b(raw[a:b], digest_size=16).digest() for a, b in pairwise(ends)])
        return Signs(
            held.ids,
            held.id_sizes,
            block.start + held.starts,
            held.sizes,
            np.diff(bounds),
            np.frombuffer(digests, np.uint64).reshape(-1, 2),
            self._bands(codes, bounds),
        )

    def _bands(self, codes: Array, bounds: Array) -> Array:
        from danlu.data import minhash

        count, rows = bands(self.settings.threshold)
        a, b = minhash.permutations(count * rows, self.settings.seed)
        return minhash.sign(codes, bounds, self.settings.ngram, a, b, rows)

    def _compare(self, batch: Batch) -> tuple[Array, Array, Array]:
        """(members, the kept document that each repeats or -1, their similarity), in the order of the ids."""
        from danlu.data import minhash
        from danlu.data.columns import columns

        np = minhash.np
        entries = int(np.unpackbits(batch.shared).sum())
        kept = minhash.Kept(len(batch.members), int(batch.lengths.sum()), entries)
        twins, similarities = [], []
        for start, end in cuts(np.cumsum(batch.sizes) - batch.sizes, _PART):
            held = columns(joined(batch.lines(start, end)))
            codes, bounds = minhash.folded(held.codes, held.bounds)
            hashes = self._bands(codes, bounds)
            names, shared = batch.members[start:end], batch.shared[start:end]
            twin, similarity = kept.resolve(
                codes, bounds, names, hashes, shared, self.settings.ngram, self.settings.threshold
            )
            twins.append(twin)
            similarities.append(similarity)
        return batch.members, np.concatenate(twins), np.concatenate(similarities)

    def _write(self, corpus: Corpus, order: Array, twin: Array, similarity: Array, out: Draft) -> Counter[str]:
        from danlu.data import minhash

        np = minhash.np
        with out.file("documents.jsonl").open("wb") as output:
            for line in corpus.each(order[twin[order] < 0]):
                output.write(line)
                output.write(b"\n")
        reasons: Counter[str] = Counter()
        dropped = order[twin[order] >= 0]
        exact = np.all(corpus.digests[dropped] == corpus.digests[twin[dropped]], axis=1).tolist()
        named = zip(dropped.tolist(), twin[dropped].tolist(), similarity[dropped].tolist(), exact, strict=True)
        rows: list[list[str]] = []
        with out.file("dropped.jsonl").open("wb") as output:
            for (at, first, value, same), source in zip(named, corpus.sources(dropped), strict=True):
                reason = "exact-duplicate" if same else "near-duplicate"
                reasons[reason] += 1
                id, detail = corpus.id(at), f"of {corpus.id(first)}, similarity {value:.3f}"
                output.write(drop_line(id, source, reason, detail))
                if len(rows) < 20:
                    rows.append([id, reason, detail])
        if rows:
            out.table(f"Duplicates ({len(rows)} of {len(dropped)})", ["document", "reason", "detail"], rows)
        return reasons

    def _report(self, corpus: Corpus, twin: Array, sources: Sequence[Artifact], out: Draft) -> None:
        from danlu.data.minhash import np

        if len(sources) > 1:
            each = np.bincount(corpus.files, minlength=len(sources))
            left = np.bincount(corpus.files[twin < 0], minlength=len(sources))
            rows = [[name, int(a), int(b)] for name, a, b in zip(self.settings.documents, each, left, strict=True)]
            out.table("Sources", ["step", "came", "not repeated"], rows)
        if (twin >= 0).any():
            most = np.bincount(twin[twin >= 0])
            largest = sorted(np.argsort(-most, kind="stable")[:20].tolist(), key=lambda at: (-most[at], corpus.id(at)))
            rows = [[corpus.id(at), int(most[at])] for at in largest if most[at]]
            out.table("Most repeated documents", ["document", "times again"], rows)

    def _cut(self, out: Draft, track: Track) -> Counter[str]:
        """Cut what occurs before out of the documents that were written, and count those that nothing is left of."""
        from danlu.data.passages import Passages, moved, without

        path = out.file("documents.jsonl")
        came = path.rename(out.work / "uncut.jsonl")
        parts = blocks(came)
        store = out.work / "texts.u32"
        passages = Passages(store, self.settings.substring, came.stat().st_size)
        counts: Counter[str] = Counter()
        bar = track.bar("passages", sum(part.count for part in parts), unit="document")
        with path.open("wb") as kept, out.file("dropped.jsonl").open("ab") as dropped:
            for part, texts in zip(parts, spread(laid_out, parts, track), strict=True):
                lines = (line for line in part.read().split(b"\n") if line.strip())
                for line, spans in zip(lines, passages.add(*texts), strict=True):
                    if not spans:
                        kept.write(line + b"\n")
                        continue
                    document = Document.model_validate_json(line)
                    left = without(document.text, spans)
                    counts["documents"] += 1
                    counts["passages"] += len(spans)
                    counts["characters"] += len(document.text) - len(left)
                    if whole(left):
                        meta = moved(document.meta, spans)
                        kept.write(encoded(document.model_copy(update={"text": left, "meta": meta})))
                    else:
                        counts["all-repeated"] += 1
                        detail = f"{len(spans)} passages"
                        dropped.write(
                            encoded(Drop(id=document.id, source=document.source, reason="all-repeated", detail=detail))
                        )
                bar.update(part.count)
        bar.close()
        del passages
        store.unlink()
        came.unlink()
        columns = ["documents", "passages", "characters"]
        title = f"Repeated passages of {self.settings.substring} characters or more, cut"
        out.table(title, columns, [[counts[column] for column in columns]])
        out.metrics.update(cut_characters=counts["characters"])
        return +Counter({"all-repeated": counts["all-repeated"]})


def laid_out(block: Block) -> tuple[Array, Array]:
    """(codes, bounds) of the texts of a block."""
    from danlu.data.columns import columns

    held = columns(block)
    return held.codes, held.bounds


def joined(found: Iterator[bytes]) -> Block:
    """Lines as a block of their own."""
    data = b"\n".join(found)
    return Block("", 0, len(data), 1, data.count(b"\n") + 1, data)


def drop_line(id: str, source: str, reason: str, detail: str) -> bytes:
    """The line of a Drop as `danlu.records.write_jsonl` writes it."""
    told = ", ".join(
        f'"{name}": {encode_basestring(value)}'
        for name, value in (("detail", detail), ("id", id), ("reason", reason), ("source", source))
    )
    return f"{{{told}}}\n".encode()


class Signs(NamedTuple):
    """What pass 1 says of a block of n documents: their ids end to end and the length of each, where their lines start
    and how long they are (bytes), the lengths of their cores, digests of those (n, 2), band hashes (n, bands)."""

    ids: bytes
    id_sizes: Array
    starts: Array
    sizes: Array
    lengths: Array
    digests: Array
    bands: Array


@dataclass
class Batch:
    """Whole families of documents that share bands, in the order of their ids. `shared` holds a bit for each band that
    another document has too."""

    paths: list[str]
    members: Array
    files: Array
    starts: Array
    sizes: Array
    lengths: Array
    shared: Array

    def lines(self, start: int, end: int) -> Iterator[bytes]:
        return lines(self.paths, self.files[start:end], self.starts[start:end], self.sizes[start:end])


class Corpus:
    """What is remembered of every document, by its number in the order of reading: arrays, no texts."""

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths
        self._ids = bytearray()
        self._parts: list[tuple[Array, ...]] = []

    def add(self, signs: Signs, file: int) -> None:
        from danlu.data.minhash import np

        self._ids += signs.ids
        files = np.full(len(signs.starts), file, np.int32)
        self._parts.append((signs.id_sizes, signs.starts, signs.sizes, signs.lengths, signs.digests, files))

    def close(self) -> None:
        """Make the arrays, once all was added."""
        from danlu.data.minhash import np

        if not self._parts:
            raise DataError("no document came", where=", ".join(self.paths), next="look at the steps before data.dedup")
        id_sizes, self.starts, self.sizes, self.lengths, self.digests, self.files = (
            np.concatenate(part) for part in zip(*self._parts, strict=True)
        )
        self._parts.clear()
        self.ids = np.frombuffer(self._ids, np.uint8)
        self.id_starts = np.zeros(len(id_sizes) + 1, np.int64)
        np.cumsum(id_sizes, out=self.id_starts[1:])

    def id(self, at: int) -> str:
        return self._ids[self.id_starts[at] : self.id_starts[at + 1]].decode()

    def order(self) -> Array:
        """The documents in the order of their ids; DataError when two different ones have one id."""
        from danlu.data import minhash

        order = minhash.sorted_bytes(self.ids, self.id_starts)
        for at in minhash.equal_neighbours(self.ids, self.id_starts, order).tolist():
            one, other = int(order[at]), int(order[at + 1])
            first, second = self.each(minhash.np.array([one, other]))
            if first != second:
                places = " and ".join(
                    f"{self.paths[self.files[number]]} byte {self.starts[number]}" for number in (one, other)
                )
                raise DataError(
                    f"two different documents have the id {self.id(one)!r}",
                    where=places,
                    next="give their sources different paths in the steps that read them",
                )
        return order

    def exact(self, order: Array) -> tuple[Array, Array]:
        """(the first document with the same core, or -1 for that one itself; 1.0 where there is one)."""
        from danlu.data.minhash import np

        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        by_digest = np.lexsort((rank, self.digests[:, 1], self.digests[:, 0]))
        sorted_digests = self.digests[by_digest]
        new = np.ones(len(order), bool)
        new[1:] = np.any(sorted_digests[1:] != sorted_digests[:-1], axis=1)
        firsts = by_digest[new][np.cumsum(new) - 1]
        twin = np.full(len(order), -1, np.int64)
        twin[by_digest] = np.where(new, -1, firsts)
        self.rank = rank
        return twin, (twin >= 0).astype(np.float64)

    def batches(self, different: Array, count: int, ngram: int, work: Path) -> list[Batch]:
        """Families of `different` documents that share a band, directly or through others, in batches of whole ones."""
        from danlu.data import minhash

        np = minhash.np
        members = different[self.lengths[different] >= ngram]
        parent = np.arange(len(self.rank))
        shared = np.zeros((len(self.rank), (count + 7) // 8), np.uint8)
        for band in range(count):
            path = band_file(work, band)
            hashes = np.fromfile(path, np.uint64)[members]
            path.unlink()
            minhash.unite(members, hashes, np.argsort(hashes), parent, shared, band)
        members = members[shared[members].any(axis=1)]
        family = minhash.roots(parent)[members]
        by_family = np.lexsort((self.rank[members], family))
        members, family = members[by_family], family[by_family]
        starts = np.flatnonzero(np.diff(family, prepend=-1))
        before = np.cumsum(self.sizes[members]) - self.sizes[members]
        number = np.repeat(before[starts] // _BATCH, np.diff(np.append(starts, len(members))))
        return [
            self._batch(part, shared) for part in np.split(members, np.flatnonzero(np.diff(number)) + 1) if len(part)
        ]

    def _batch(self, members: Array, shared: Array) -> Batch:
        members = members[self.rank[members].argsort()]
        columns = (column[members] for column in (self.files, self.starts, self.sizes, self.lengths, shared))
        return Batch(self.paths, members, *columns)

    def each(self, which: Array) -> Iterator[bytes]:
        """The lines of these documents, without line ends."""
        return lines(self.paths, self.files[which], self.starts[which], self.sizes[which])

    def sources(self, which: Array) -> Iterator[str]:
        """Where these documents come from."""
        from danlu.data.columns import columns
        from danlu.data.minhash import np

        for start, end in cuts(np.cumsum(self.sizes[which]) - self.sizes[which], _PART):
            if end > start:
                yield from columns(joined(self.each(which[start:end]))).sources.to_pylist()


def artifacts(inputs: Mapping[str, Artifact], field: str) -> list[Artifact]:
    """The artifacts of a field that names one step or several, in its order."""
    if field in inputs:
        return [inputs[field]]
    return [inputs[f"{field}.{at}"] for at in range(sum(name.startswith(f"{field}.") for name in inputs))]


class opened:
    """The file handles of `paths`, closed at the end of the block."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths

    def __enter__(self) -> list[int]:
        self.handles = [os.open(path, os.O_RDONLY) for path in self.paths]
        return self.handles

    def __exit__(self, *error: object) -> None:
        for handle in self.handles:
            os.close(handle)


def lines(paths: Sequence[str], files: Array, starts: Array, sizes: Array) -> Iterator[bytes]:
    """The bytes at these places of these files, one after the other; those that lie close together are read at once."""
    from danlu.data.minhash import np

    if not len(starts):
        return
    step = np.diff(starts)
    apart = (np.diff(files) != 0) | (step < sizes[:-1]) | (step > _NEAR)
    firsts = np.append(0, np.flatnonzero(apart) + 1)
    lasts = np.append(firsts[1:], len(starts))
    with opened(paths) as handles:
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
            if last == first + 1:
                yield os.pread(handles[files[first]], int(sizes[first]), int(starts[first]))
                continue
            for low, high in cuts(starts[first:last] - starts[first], _COPY):
                at = int(starts[first + low])
                places = (starts[first + low : first + high] - at).tolist()
                lengths = sizes[first + low : first + high].tolist()
                data = os.pread(handles[files[first]], places[-1] + lengths[-1], at)
                for place, length in zip(places, lengths, strict=True):
                    yield data[place : place + length]


def cuts(places: Array, most: int) -> Iterator[tuple[int, int]]:
    """(start, end) of runs of things at ascending `places` that begin in the same `most` bytes."""
    from danlu.data.minhash import np

    edges = [0, *(np.flatnonzero(np.diff(places // most)) + 1).tolist(), len(places)]
    return pairwise(edges)


def band_file(work: Path, band: int) -> Path:
    """Where the hashes of one band of all documents rest, uint64 in the order of reading."""
    return work / f"band-{band:03d}.u64"


def bands(threshold: float) -> tuple[int, int]:
    """(bands, rows): the most selective banding that proposes a pair at `threshold` with probability above 0.999."""
    for rows in range(_PERMUTATIONS // 2, 1, -1):
        count = _PERMUTATIONS // rows
        if (1 - threshold**rows) ** count < _MISSED:
            return count, rows
    return _PERMUTATIONS, 1
