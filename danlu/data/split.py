"""data.split: examples into train, validation and test by document, with nothing of one side left in another."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from danlu.artifact import Artifact, Draft
from danlu.data import pieces
from danlu.data.core import core
from danlu.data.flow import Block, blocks, encoded, spread
from danlu.data.leaks import Gathered, Leaks, answer_key, answer_of, question_key
from danlu.data.seen import among, keys
from danlu.errors import DataError
from danlu.records import Document, Drop, Example
from danlu.registry import From, Settings, Step
from danlu.text.grounding import REFUSAL
from danlu.track import Track

if TYPE_CHECKING:
    from danlu.data.pieces import Hashes, Numbers
    from danlu.data.seen import Keys

SIDES = ("train", "validation", "test")


class SplitSettings(Settings):
    examples: Annotated[str, From("examples")]
    """The step that made the examples."""

    documents: Annotated[str | tuple[str, ...] | None, From("documents")] = None
    """The step (or steps) that made the documents that the examples were made from; none when they have none."""

    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the documents that are kept for testing, at least one."""

    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the documents that are kept for validation, at least one; 0: none, and no validation.jsonl."""

    ngram: Annotated[int, Field(ge=1)] = 13
    """Length in characters of the pieces that are looked for in the test documents."""

    overlap: Annotated[float, Field(gt=0, le=1)] = 0.5
    """A training example is dropped when this share of the pieces of one of its paragraphs is in a test document, or
    this share of a test answer is in it."""

    seed: int = 0
    """Seed of the choice of the test documents."""


@dataclass(frozen=True)
class Cut:
    """The groups of each side by their rank: test up to `test`, validation up to `validation`, train above."""

    test: int
    validation: int

    def side(self, rank: int) -> str:
        return "test" if rank <= self.test else "validation" if rank <= self.validation else "train"


@dataclass
class Sorted:
    """What became of a block of examples: the lines of each side, drops with their document's rank, and the counts."""

    lines: dict[str, list[bytes]] = field(default_factory=lambda: {side: [] for side in SIDES})
    drops: list[tuple[Drop, int]] = field(default_factory=list)
    shapes: Counter[tuple[str, str]] = field(default_factory=Counter)


class Split(Step[SplitSettings]):
    """No document is on two sides; train is decontaminated from validation and test, validation from test.

    Held-out documents are chosen by the hash of `seed` and their id. An example without a document goes by that of its
    `origin` in `meta` (what it was varied from), or else by its own id. An example is dropped as `contaminated` when a
    held-out example has its question or its answer (refusals, which all share one answer, by their question alone),
    when `overlap` or more of the `ngram`-character pieces of one of its paragraphs stand in the held-out documents or
    answers, or when as much of a held-out answer stands in it; see `danlu.data.leaks`. Paragraphs and answers with
    fewer than 8 pieces are common phrases and are not judged by this, nor are pieces that more than 20 answers share. A
    training example with a passage from a test document is caught by the same test. Not covered: the same thing said in
    other words.

    DataError: too few documents with examples for the sides asked, an example of an unknown document, an empty side.
    """

    Settings = SplitSettings
    makes = "split"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        path = inputs["examples"].file("examples.jsonl")
        cut_up = blocks(path)
        facts = Facts.of(spread(partial(_facts, self.settings.seed), cut_up, track))
        cut = self._cut(facts.ranks)
        sources = Sources(_inputs(inputs, "documents"))
        gathered = {side: Gathered(self.settings.ngram) for side in SIDES[1:]}
        self._documents(sources, facts, cut, gathered, out, track)
        facts.check(sources, path)
        self._answers(cut_up, cut, gathered, track)
        leaks = {side: facts.leaks(side, cut, gathered[side], out.work / side) for side in SIDES[1:]}
        if track.on != "local":
            leaks = {side: one.carried() for side, one in leaks.items()}
        self._write(cut_up, cut, leaks, sources, out, track)

    def _cut(self, ranks: Keys) -> Cut:
        """The ranks up to which groups are held out: the lowest are tested on, the next validated on."""
        import numpy as np

        order = np.unique(ranks)
        count, validate = len(order), self.settings.validation_fraction > 0
        if count < 2 + validate:
            sides = "test and validation" if validate else "document"
            raise DataError(
                f"{count} document(s) with examples: a split by {sides} needs at least {2 + validate}",
                next="add documents to data.read's paths",
            )
        test = min(count - 1 - validate, max(1, round(self.settings.test_fraction * count)))
        more = min(count - 1 - test, max(1, round(self.settings.validation_fraction * count))) if validate else 0
        return Cut(int(order[test - 1]), int(order[test + more - 1]))

    def _documents(
        self,
        sources: Sources,
        facts: Facts,
        cut: Cut,
        gathered: dict[str, Gathered],
        out: Draft,
        track: Track,
    ) -> None:
        """Read the documents once: sides, the pieces of those held out, test_documents.jsonl and documents.json."""
        import numpy as np

        groups = np.unique(facts.ranks)
        held = groups[groups <= np.uint64(cut.validation)]
        ids: dict[str, list[str]] = {side: [] for side in self.sides}
        work = partial(_read_documents, self.settings, cut, held)
        with out.file("test_documents.jsonl").open("wb") as file:
            for at, path in enumerate(sources.paths):
                for read in spread(work, blocks(path), track):
                    file.writelines(read.test)
                    sources.add(at, read)
                    for side, names in read.ids.items():
                        ids[side] += names
                    for side, found in read.pieces.items():
                        gathered[side].documents.add(found)
        with out.file("documents.json").open("w", encoding="utf-8") as file:
            sorted_ids = {side: sorted(names) for side, names in ids.items()}
            for chunk in json.JSONEncoder(ensure_ascii=False, indent=1, sort_keys=True).iterencode(sorted_ids):
                file.write(chunk)
            file.write("\n")
        sources.counts = {side: len(names) for side, names in ids.items()}

    def _answers(self, cut_up: list[Block], cut: Cut, gathered: dict[str, Gathered], track: Track) -> None:
        for found in spread(partial(_held_answers, self.settings, cut), cut_up, track):
            for side, (some, owner, count) in found.items():
                gathered[side].add_answers(some, owner, count)

    @property
    def sides(self) -> list[str]:
        return [side for side in SIDES if side != "validation" or self.settings.validation_fraction]

    def _write(
        self,
        cut_up: list[Block],
        cut: Cut,
        leaks: dict[str, Leaks],
        sources: Sources,
        out: Draft,
        track: Track,
    ) -> None:
        counts: Counter[str] = Counter()
        shapes: Counter[tuple[str, str]] = Counter()
        dropped = 0
        files = {side: out.file(f"{side}.jsonl").open("wb") for side in self.sides}
        bar = track.bar("decontaminate", sum(block.count for block in cut_up), unit="example")
        with out.file("dropped.jsonl").open("wb") as drops:
            for block, found in zip(
                cut_up, spread(partial(_sorted, self.settings, cut, leaks), cut_up, track), strict=True
            ):
                for side, file in files.items():
                    file.writelines(found.lines[side])
                    counts[side] += len(found.lines[side])
                for drop, rank in found.drops:
                    drops.write(encoded(drop.model_copy(update={"source": sources.source(rank) or drop.source})))
                dropped += len(found.drops)
                shapes.update(found.shapes)
                bar.update(block.count)
        bar.close()
        for file in files.values():
            file.close()
        for side in self.sides[:-1]:
            if not counts[side]:
                name = "training" if side == "train" else side
                raise DataError(
                    f"all {dropped} {name} examples are contaminated"
                    if side == "train"
                    else f"no {name} example is left: {dropped} examples are contaminated",
                    next="raise overlap in data.split",
                )
        self._report(out, counts, dropped, shapes, sources)

    def _report(
        self, out: Draft, counts: Counter[str], dropped: int, shapes: Counter[tuple[str, str]], sources: Sources
    ) -> None:
        kept = counts.total()
        out.funnel("split", kept + dropped, kept, {"contaminated": dropped} if dropped else {}, unit="examples")
        rows: list[list[Any]] = [[side, sources.counts.get(side, 0), counts[side]] for side in self.sides]
        out.table("Sides", ["side", "documents", "examples"], rows)
        names = sorted({shape for shape, _ in shapes})
        each = [[name, *(shapes[name, side] for side in self.sides)] for name in names]
        out.table("Shapes", ["shape", *self.sides], each)
        out.metrics.update({side: counts[side] for side in self.sides}, contaminated=dropped)


# --- what the first pass finds ---


class Facts:
    """Of each example, in order: the rank of its group, whether that is a document, and the keys of question and
    answer."""

    def __init__(self, ranks: Keys, documents: Any, questions: Keys, answers: Keys) -> None:
        self.ranks, self.documents, self.questions, self.answers = ranks, documents, questions, answers

    @staticmethod
    def of(found: Iterable[tuple[Keys, Any, Keys, Keys]]) -> Facts:
        import numpy as np

        parts = list(found)
        empty = (np.zeros(0, np.uint64), np.zeros(0, bool), np.zeros(0, np.uint64), np.zeros(0, np.uint64))
        ranks, documents, questions, answers = (
            np.concatenate([empty[at], *(part[at] for part in parts)]) for at in range(4)
        )
        return Facts(ranks, documents, questions, answers)

    def check(self, sources: Sources, path: Path) -> None:
        """DataError for the first example of a document that is not among the documents."""
        unknown = self.documents & ~among(sources.known(), self.ranks)
        if unknown.any():
            at = int(unknown.argmax())
            example = next(one for place, one in enumerate(_all(path)) if place == at)
            raise DataError(
                f"example {example.id} is of a document that is not among the documents: {example.document}",
                where=str(path.parent),
                next="give data.split the documents that data.instruct read",
            )

    def leaks(self, side: str, cut: Cut, gathered: Gathered, folder: Path) -> Leaks:
        import numpy as np

        test = self.ranks <= np.uint64(cut.test)
        held = test if side == "test" else (self.ranks <= np.uint64(cut.validation)) & ~test
        refusal = keys([_refusal()])
        answers = self.answers[held]
        return gathered.write(folder, self.questions[held], answers[~among(refusal, answers)])


def _refusal() -> int:
    from danlu.data.seen import key

    return key(core(REFUSAL))


def _all(path: Path) -> Iterator[Example]:
    for block in blocks(path):
        yield from block.records(Example)


def group(example: Example) -> str:
    """What must stay together: the document, what the example was varied from, or the example itself."""
    return example.document or f"\0{example.meta.get('origin') or example.id}"


def rank(seed: int, name: str) -> int:
    """The place of a group in the order that the sides are cut from: the first 8 bytes of a SHA-256."""
    return int.from_bytes(hashlib.sha256(f"{seed}\0{name}".encode()).digest()[:8], "big")


def _facts(seed: int, block: Block) -> tuple[Keys, Any, Keys, Keys]:
    import numpy as np

    examples = list(block.records(Example))
    return (
        keys(rank(seed, group(one)) for one in examples),
        np.array([bool(one.document) for one in examples], dtype=bool),
        keys(question_key(one) for one in examples),
        keys(answer_key(one) for one in examples),
    )


# --- documents ---


@dataclass
class ReadDocuments:
    """Of a block of documents: ranks and places in the file, ids by side, and of those held out lines and pieces."""

    ranks: Keys
    places: Numbers
    ids: dict[str, list[str]]
    test: list[bytes]
    pieces: dict[str, Hashes]


class Sources:
    """Where each document stands, so that the source of a dropped example's can be looked up: 17 bytes a document."""

    def __init__(self, artifacts: list[Artifact]) -> None:
        self.paths = [artifact.file("documents.jsonl") for artifact in artifacts]
        self.counts: dict[str, int] = {}
        self.parts: list[tuple[int, ReadDocuments]] = []
        self.ranks: Any = None
        self.last: tuple[int, str] | None = None

    def add(self, file: int, read: ReadDocuments) -> None:
        read.test, read.ids, read.pieces = [], {**read.ids}, {**read.pieces}
        self.parts.append((file, ReadDocuments(read.ranks, read.places, {}, [], {})))

    def known(self) -> Keys:
        """The ranks of all documents, sorted."""
        import numpy as np

        if self.ranks is None:
            ranks = [part.ranks for _, part in self.parts]
            self.ranks = np.concatenate([np.zeros(0, np.uint64), *ranks])
            self.places = np.concatenate([np.zeros(0, np.int64), *(part.places for _, part in self.parts)])
            files = [np.full(len(part.ranks), file, np.uint8) for file, part in self.parts]
            self.files = np.concatenate([np.zeros(0, np.uint8), *files])
            order = np.argsort(self.ranks, kind="stable")
            self.ranks, self.places, self.files = self.ranks[order], self.places[order], self.files[order]
            self.parts = []
        found: Keys = self.ranks
        return found

    def source(self, rank: int) -> str:
        """The source of the document with that rank; empty when there is none."""
        if self.last is not None and self.last[0] == rank:
            return self.last[1]
        known = self.known()
        at = int(known.searchsorted(keys([rank]))[0])
        if at >= len(known) or int(known[at]) != rank:
            return ""
        with self.paths[int(self.files[at])].open("rb") as file:
            file.seek(int(self.places[at]))
            self.last = (rank, str(json.loads(file.readline())["source"]))
        return self.last[1]


def _inputs(inputs: Mapping[str, Artifact], field: str) -> list[Artifact]:
    """The artifacts of a field that names one step or several, in order."""
    names = [name for name in inputs if name.split(".")[0] == field]
    return [inputs[name] for name in sorted(names, key=lambda name: int(name.partition(".")[2] or 0))]


def _read_documents(settings: SplitSettings, cut: Cut, held: Keys, block: Block) -> ReadDocuments:
    import numpy as np

    places: list[int] = []
    ranks: list[int] = []
    ids: dict[str, list[str]] = {}
    test: list[bytes] = []
    grams: dict[str, list[Hashes]] = {}
    at = block.start
    for line, document in _with_lines(block, Document):
        places.append(at + line.start)
        ranks.append(rank(settings.seed, document.id))
        found = bool(among(held, keys(ranks[-1:]))[0])
        side = cut.side(ranks[-1]) if found else "train"
        ids.setdefault(side, []).append(document.id)
        if side == "test":
            test.append(line.text + b"\n")
        if side != "train":
            grams.setdefault(side, []).append(pieces.unique(core(document.text), settings.ngram))
    joined = {side: pieces.merged(found) for side, found in grams.items()}
    return ReadDocuments(keys(ranks), np.array(places, dtype=np.int64), ids, test, joined)


# --- examples ---


@dataclass(frozen=True)
class Line:
    text: bytes
    start: int


def _with_lines(block: Block, kind: type[Any]) -> Iterator[tuple[Line, Any]]:
    """The records of a block with the bytes of their lines and where these begin in it."""
    data = block.read()
    lines, at = [], 0
    for text in data.split(b"\n"):
        if text.strip():
            lines.append(Line(text, at))
        at += len(text) + 1
    del data
    yield from zip(lines, block.records(kind), strict=True)


def _held_answers(settings: SplitSettings, cut: Cut, block: Block) -> dict[str, tuple[Hashes, Numbers, int]]:
    """The pieces of the held-out answers of a block, by side, and which answer each is of."""
    texts: dict[str, list[str]] = {side: [] for side in SIDES[1:]}
    for example in block.records(Example):
        side = cut.side(rank(settings.seed, group(example)))
        if side != "train" and (answer := answer_of(example)):
            texts[side].append(answer)
    return {side: (*pieces.of_each(some, settings.ngram), len(some)) for side, some in texts.items()}


def _sorted(settings: SplitSettings, cut: Cut, leaks: dict[str, Leaks], block: Block) -> Sorted:
    result = Sorted()
    waiting: dict[str, list[tuple[Line, Example, int]]] = {"train": [], "validation": []}
    for line, example in _with_lines(block, Example):
        found = rank(settings.seed, group(example))
        side = cut.side(found)
        if side == "test":
            result.lines[side].append(line.text + b"\n")
            result.shapes[example.method, side] += 1
        else:
            waiting[side].append((line, example, found))
    drops: list[tuple[int, Drop, int]] = []
    for side, against in (("train", ("test", "validation")), ("validation", ("test",))):
        examples = [example for _, example, _ in waiting[side]]
        told = [""] * len(examples)
        for other in against:
            if other == "validation" and not settings.validation_fraction:
                continue
            found_in = leaks[other].found(examples, settings.overlap, other)
            told = [one or two for one, two in zip(told, found_in, strict=True)]
        for (line, example, place), said in zip(waiting[side], told, strict=True):
            if said:
                source = example.source or example.document
                drop = Drop(id=example.id, source=source, reason="contaminated", detail=said)
                drops.append((line.start, drop, place))
            else:
                result.lines[side].append(line.text + b"\n")
                result.shapes[example.method, side] += 1
    result.drops = [(drop, place) for _, drop, place in sorted(drops, key=lambda one: one[0])]
    return result
