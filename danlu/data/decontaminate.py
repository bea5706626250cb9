"""data.decontaminate: documents that hold the questions of an evaluation set are left out, or lose them."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, model_validator

from danlu.artifact import Artifact, Draft
from danlu.data.core import code_points, core, folded, whole
from danlu.data.dedup import artifacts
from danlu.data.files import files, labels
from danlu.data.flow import Each, Tally
from danlu.data.readers import Reading, Unreadable, bounded, readings
from danlu.data.readers.text import decoded
from danlu.errors import DataError
from danlu.extras import need
from danlu.records import Document, Drop, Example, read_jsonl
from danlu.registry import From, Settings, Source
from danlu.track import Track

_RECORDS = frozenset({".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet"})
_COMMON = 10
_INDEX = "evaluation"


class DecontaminateSettings(Settings):
    documents: Annotated[str, From("documents")]
    """The step that made the documents."""

    sets: Annotated[tuple[Path, ...], Source()] = ()
    """Evaluation sets: each path is one, a file or a folder. Each record (CSV, TSV, JSON, JSON Lines, Parquet) is an
    item; of a folder without such files every document is."""

    set_documents: Annotated[tuple[str, ...], From("documents")] = ()
    """Earlier steps whose documents are evaluation sets: each document is an item."""

    set_examples: Annotated[tuple[str, ...], From("examples")] = ()
    """Earlier steps whose examples are evaluation sets: each example is an item."""

    fields: tuple[str, ...] = ()
    """The fields of records to look for, such as the question; none: all that are long enough."""

    ngram: Annotated[int, Field(ge=5)] = 13
    """Length in characters of the pieces that are looked for; a text shorter than that cannot be looked for."""

    overlap: Annotated[float, Field(gt=0, le=1)] = 0.5
    """An item is found in a document when this share of the pieces of one of its texts stands there."""

    action: Literal["drop", "mask"] = "drop"
    """What is done with a document in which an item is found: "drop" it, or "mask": cut out what is the item's."""

    exclude: tuple[str, ...] = ("out", "node_modules", "__pycache__")
    """Patterns (`*` and `?`) of what to leave out of folders: a name at any depth, or a path from the folder given."""

    @model_validator(mode="after")
    def _some_set(self) -> DecontaminateSettings:
        if not (self.sets or self.set_documents or self.set_examples):
            raise ValueError("name an evaluation set: sets, set_documents or set_examples")
        return self


class Decontaminate(Each[DecontaminateSettings]):
    """Drops, or masks, documents that hold an item of an evaluation set, and reports per set what was found.

    The n-gram test of Brown et al. (2020, "Language Models are Few-Shot Learners", appendix C) on characters instead of
    words: letters and digits compared, without case. Each text of an item (a field of a record, a line of a document, a
    message of an example) is looked for by itself: it is found when `overlap` of its `ngram`-character pieces stand in
    one document. Pieces that stand in more than 10 items of their set belong to its form (a table, an instruction), not
    to an item, and do not count. `contaminated`: dropped, or with "mask" nothing but the item was there.

    Run it after data.dedup. Not covered: an item in other words or another language, and texts shorter than `ngram`,
    which are counted as too short. A set that cannot be read is a DataError: it is never skipped.
    """

    Settings = DecontaminateSettings
    label = "decontaminate"
    sampled = 5
    hint = "raise overlap in data.decontaminate, or leave out the set that the documents were made from"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        found = Items(self.settings.ngram, self.settings.overlap)
        roots = labels(list(self.settings.sets))
        for path in track.over(self.settings.sets, "evaluation sets", unit="set"):
            found.add(roots[path.absolute().resolve()], self._items(path))
        for name, artifact in zip(self.settings.set_documents, artifacts(inputs, "set_documents"), strict=True):
            documents = read_jsonl(artifact.file("documents.jsonl"), Document)
            found.add(name, ((one.id, one.text.split("\n")) for one in documents))
        for name, artifact in zip(self.settings.set_examples, artifacts(inputs, "set_examples"), strict=True):
            examples = read_jsonl(artifact.file("examples.jsonl"), Example)
            found.add(name, ((one.id, [message.content for message in one.messages]) for one in examples))
        self.items = found
        self.index = str(found.save(out.work / _INDEX))
        super().run(inputs, out, track)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "items"}

    def _items(self, path: Path) -> Iterator[tuple[str, list[str]]]:
        """(name, texts) of each item of a set."""
        every = list(files([path], self.settings.exclude))
        tables = [file for file in every if file.path.suffix.lower() in _RECORDS]
        if tables:
            for file in tables:
                for number, record in enumerate(records(file.path), 1):
                    yield f"{file.source}#{number}", list(texts(record, self.settings.fields))
            return
        for file in every:
            if file.reason:
                continue
            try:
                for reading in readings(file.path):
                    if not isinstance(reading, Reading):
                        raise Unreadable(reading.reason, reading.detail)
                    yield f"{file.source}#{reading.part}".rstrip("#"), reading.text.split("\n")
            except Unreadable as error:
                raise unreadable(file.path, f"{error.reason}: {error.detail}") from None

    def judge(self, document: Document, tally: Tally) -> Document | Drop:
        index = load(self.index)
        text = core(document.text)
        places, grams = index.hits(code_points(text), self.settings.ngram)
        found = index.found(grams) if len(grams) else {}
        if not found:
            return document
        for name in {index.set_of(item) for item in found}:
            tally.counts[f"documents\t{name}"] += 1
        for item in found:
            tally.counts[f"item\t{item}"] += 1
        first = min(found, key=lambda item: (-found[item].share, item))
        if self.settings.action == "mask":
            theirs = need("numpy", "data").isin(grams, sorted(set().union(*(one.grams for one in found.values()))))
            spans = original(document.text, places[theirs].tolist(), self.settings.ngram)
            return self._masked(document, spans, tally) or dropped(document, index.names[first], found[first].share)
        return dropped(document, index.names[first], found[first].share)

    def _masked(self, document: Document, spans: list[tuple[int, int]], tally: Tally) -> Document | None:
        from danlu.data.passages import moved, without

        left = without(document.text, spans)
        if not whole(left):
            return None
        tally.counts["masked"] += 1
        tally.counts["characters"] += len(document.text) - len(left)
        return document.model_copy(update={"text": left, "meta": moved(document.meta, spans)})

    def finish(self, out: Draft, tally: Tally) -> None:
        seen: Counter[str] = Counter()
        for key in tally.counts:
            kind, _, item = key.partition("\t")
            if kind == "item":
                seen[self.items.set_of(int(item))] += 1
        rows = []
        for name, (count, short) in self.items.sets.items():
            share = f"{seen[name] / count:.3f}"
            rows.append([name, count, short, seen[name], share, tally.counts[f"documents\t{name}"]])
        columns = ["set", "items", "too short", "found", "share", "documents with one"]
        out.table("Evaluation sets", columns, rows)
        times = Counter({int(key[5:]): count for key, count in tally.counts.items() if key.startswith("item\t")})
        most = sorted(times.items(), key=lambda pair: (-pair[1], pair[0]))[:20]
        if most:
            out.table("Items found most", ["item", "documents"], [[self.items.names[item], n] for item, n in most])
        out.metrics.update(
            contaminated=tally.reasons["contaminated"] + tally.counts["masked"], items_found=sum(seen.values())
        )
        if self.settings.action == "mask":
            out.metrics.update(masked=tally.counts["masked"], cut_characters=tally.counts["characters"])


def dropped(document: Document, item: str, share: float) -> Drop:
    return Drop(id=document.id, source=document.source, reason="contaminated", detail=f"{share:.2f} of {item}")


# Evaluation sets


def records(path: Path) -> Iterator[Any]:
    """The records of a file; DataError when there are none or it cannot be read."""
    count = 0
    try:
        for record in _records(path):
            count += 1
            yield record
    except (UnicodeDecodeError, csv.Error, ValueError, RecursionError, Unreadable) as error:
        raise unreadable(path, str(error) or type(error).__name__) from None
    if not count:
        raise unreadable(path, "no record in it")


def _records(path: Path) -> Iterator[Any]:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        with need("pyarrow.parquet", "data").ParquetFile(path) as file:
            for batch in file.iter_batches(256):
                yield from batch.to_pylist()
        return
    text, _ = decoded(bounded(path))
    if suffix in (".csv", ".tsv"):
        yield from csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if suffix == ".tsv" else ",")
    elif suffix == ".json":
        yield from _elements(json.loads(text))
    else:
        yield from (json.loads(line) for line in text.split("\n") if line.strip())


def _elements(value: Any) -> Iterable[Any]:
    """The items of a JSON value: of a list its elements, of a record that holds one long list or record that one's."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        return [value]
    inside = [part for part in value.values() if isinstance(part, (list, dict)) and part]
    if inside and len(inside) == len(value):
        return inside if len(inside) > 1 else _elements(inside[0])
    lists = [part for part in inside if isinstance(part, list) and all(isinstance(one, dict) for one in part)]
    return _elements(max(lists, key=len)) if lists else [value]


def texts(value: Any, fields: tuple[str, ...], wanted: bool = False) -> Iterator[str]:
    """The strings in a record, wherever they stand; with `fields`, only those under a field of such a name."""
    if isinstance(value, str):
        if wanted or not fields:
            yield value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from texts(part, fields, wanted or str(key) in fields)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from texts(part, fields, wanted)


def unreadable(path: Path, why: str) -> DataError:
    return DataError(
        f"an evaluation set cannot be read: {why}",
        where=str(path),
        next="mend it, or take it out of data.decontaminate",
    )


# What is looked for


class Found(NamedTuple):
    """How much of an item's text stands in a document, and which n-grams of it (numbers)."""

    share: float
    grams: set[int]


class Items:
    """The n-grams of evaluation items: sorted 64-bit hashes, and for each the texts that it stands in."""

    def __init__(self, ngram: int, overlap: float) -> None:
        self.ngram, self.overlap = ngram, overlap
        self.names: list[str] = []
        self.sets: dict[str, tuple[int, int]] = {}
        self._of: list[str] = []
        self._pieces: list[tuple[int, Any]] = []

    def add(self, name: str, items: Iterable[tuple[str, list[str]]]) -> None:
        """Take up a set. DataError when nothing of it is long enough to be looked for, or its name is taken."""
        from danlu.data import minhash

        np = minhash.np
        if name in self.sets:
            raise DataError(f"two evaluation sets are called {name!r}", next="rename the step or the folder of one")
        came = short = 0
        pieces: list[tuple[int, Any]] = []
        often: Counter[int] = Counter()
        for item, parts in items:
            came += 1
            codes, bounds = minhash.cores([part for part in dict.fromkeys(parts) if whole(part)])
            hashes = minhash.grams(codes, bounds, self.ngram)
            long = [(len(self.names), np.unique(one)) for one in hashes if len(one)]
            short += not long
            pieces += long
            often.update(np.unique(np.concatenate([one for _, one in long])).tolist() if long else ())
            self.names.append(item)
            self._of.append(name)
        form = np.array(sorted(gram for gram, times in often.items() if times > _COMMON), np.uint64)
        left = [(item, one[~np.isin(one, form)]) for item, one in pieces]
        self._pieces += [(item, one) for item, one in left if len(one)]
        self.sets[name] = came, short
        if came == short:
            raise DataError(
                f"the evaluation set {name!r} has no text of {self.ngram} letters and digits ({came} items)",
                next="lower ngram in data.decontaminate, or look at fields",
            )

    def set_of(self, item: int) -> str:
        return self._of[item]

    def save(self, path: Path) -> Path:
        """Write what workers need beside `path`."""
        from danlu.data.minhash import np

        every = np.concatenate([one for _, one in self._pieces])
        owner = np.repeat(np.arange(len(self._pieces)), [len(one) for _, one in self._pieces])
        grams, number = np.unique(every, return_inverse=True)
        order = np.argsort(number, kind="stable")
        starts = np.searchsorted(number[order], np.arange(len(grams) + 1))
        np.savez(
            path.with_suffix(".npz"),
            grams=grams,
            starts=starts,
            pieces=owner[order],
            items=np.array([item for item, _ in self._pieces]),
            sizes=np.array([len(one) for _, one in self._pieces]),
        )
        told = {"names": self.names, "sets": self._of, "overlap": self.overlap}
        path.with_suffix(".json").write_text(json.dumps(told), encoding="utf-8")
        return path


class Index:
    """`Items` as workers see them."""

    def __init__(self, path: Path) -> None:
        from danlu.data import minhash

        told = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        self.names: list[str] = told["names"]
        self._of: list[str] = told["sets"]
        self.overlap: float = told["overlap"]
        with minhash.np.load(path.with_suffix(".npz")) as arrays:
            self.grams, self.starts, self.pieces, self.items, self.sizes = (
                arrays[name] for name in ("grams", "starts", "pieces", "items", "sizes")
            )
        self.filter = minhash.filtered(self.grams)

    def set_of(self, item: int) -> str:
        return self._of[item]

    def hits(self, codes: Any, ngram: int) -> tuple[Any, Any]:
        """(places, numbers) of the n-grams of a text that stand in an item, in the order of the text."""
        from danlu.data import minhash

        return minhash.hits(codes, ngram, self.grams, self.filter)

    def found(self, grams: Any) -> dict[int, Found]:
        """The items of which enough stands among these n-grams."""
        times: dict[int, set[int]] = {}
        for gram in sorted(set(grams.tolist())):
            for piece in self.pieces[self.starts[gram] : self.starts[gram + 1]].tolist():
                times.setdefault(piece, set()).add(gram)
        found: dict[int, Found] = {}
        for piece, theirs in times.items():
            share = len(theirs) / int(self.sizes[piece])
            if share >= self.overlap:
                item = int(self.items[piece])
                before = found.get(item, Found(0.0, set()))
                found[item] = Found(max(share, before.share), before.grams | theirs)
        return found


@lru_cache(maxsize=2)
def load(path: str) -> Index:
    return Index(Path(path))


def original(text: str, places: list[int], ngram: int) -> list[tuple[int, int]]:
    """The spans of `text` whose `core` holds the n-grams at these places (of the core), joined where they touch.

    Characters whose form depends on their neighbours are taken together with the one that they follow.
    """
    starts: list[int] = []
    clusters: list[str] = []
    for at, letter in enumerate(text):
        if clusters and folded(ord(letter)) is None:
            clusters[-1] += letter
        else:
            starts.append(at)
            clusters.append(letter)
    owner = [number for number, cluster in enumerate(clusters) for _ in whole(cluster)]
    ends = [*starts[1:], len(text)]
    spans: list[tuple[int, int]] = []
    for place in places:
        start, end = starts[owner[place]], ends[owner[place + ngram - 1]]
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return spans
