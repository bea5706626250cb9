"""data.split: examples into train and test by document, with nothing of the test side left in train."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated

from pydantic import Field

from danlu.artifact import Artifact, Draft
from danlu.data.dedup import core, ngrams
from danlu.data.structure import plain
from danlu.errors import DataError
from danlu.records import Document, Drop, Example, read_jsonl, write_jsonl
from danlu.registry import From, Settings, Step
from danlu.text.grounding import REFUSAL, question_of
from danlu.track import Track

_FEWEST = 8


class SplitSettings(Settings):
    examples: Annotated[str, From("examples")]
    """The step that made the examples."""

    documents: Annotated[str, From("documents")]
    """The step that made the documents that the examples were made from."""

    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the documents that are kept for testing, at least one."""

    ngram: Annotated[int, Field(ge=1)] = 13
    """Length in characters of the pieces that are looked for in the test documents."""

    overlap: Annotated[float, Field(gt=0, le=1)] = 0.5
    """A training example is dropped when this share of the pieces of one of its paragraphs is in a test document."""

    seed: int = 0
    """Seed of the choice of the test documents."""


class Split(Step[SplitSettings]):
    """No document is on both sides, and train is decontaminated from test.

    A training example is dropped as `contaminated` when its question, or its answer, is that of a test example
    (letters and digits compared; refusals, which all share one answer, by their question alone), or when `overlap` or
    more of the `ngram`-character pieces of one paragraph of its messages stand in the test documents (the n-gram
    test of Brown et al., 2020, "Language Models are Few-Shot Learners", appendix C, on characters instead of words).
    Paragraphs with fewer than 8 pieces are common phrases and are not judged by this. A training example with a
    passage from a test document is caught by the same test. Not covered: the same thing said in other words.

    DataError: fewer than two documents with examples, an example of an unknown document, an empty side.
    """

    Settings = SplitSettings
    makes = "split"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        documents = list(read_jsonl(inputs["documents"].file("documents.jsonl"), Document))
        examples = list(read_jsonl(inputs["examples"].file("examples.jsonl"), Example))
        known = {document.id: document for document in documents}
        for example in examples:
            if example.document not in known:
                raise DataError(
                    f"example {example.id} is of a document that is not among the documents: {example.document}",
                    where=str(inputs["examples"].path),
                    next="give data.split the documents that data.instruct read",
                )
        held_out = self._held_out({example.document for example in examples})
        test_documents = [document for document in documents if document.id in held_out]
        test = [example for example in examples if example.document in held_out]
        filter = Contamination(test, test_documents, self.settings)
        train: list[Example] = []
        drops: list[Drop] = []
        for example in track.over([one for one in examples if one.document not in held_out], "decontaminate"):
            found = filter.found(example)
            if found:
                source = known[example.document].source
                drops.append(Drop(id=example.id, source=source, reason="contaminated", detail=found))
            else:
                train.append(example)
        if not train:
            raise DataError(f"all {len(drops)} training examples are contaminated", next="raise overlap in data.split")
        self._write(out, documents, test_documents, train, test, drops)

    def _held_out(self, ids: set[str]) -> set[str]:
        """The test documents, chosen among those with examples by the hash of seed and id."""
        if len(ids) < 2:
            raise DataError(
                f"{len(ids)} document(s) with examples: a split by document needs at least 2",
                next="add documents to data.read's paths",
            )
        order = sorted(ids, key=lambda id: hashlib.sha256(f"{self.settings.seed}\0{id}".encode()).hexdigest())
        return set(order[: min(len(ids) - 1, max(1, round(self.settings.test_fraction * len(ids))))])

    def _write(
        self,
        out: Draft,
        documents: list[Document],
        test_documents: list[Document],
        train: list[Example],
        test: list[Example],
        drops: list[Drop],
    ) -> None:
        held_out = {document.id for document in test_documents}
        sides = {
            "train": sorted(document.id for document in documents if document.id not in held_out),
            "test": sorted(held_out),
        }
        write_jsonl(out.file("train.jsonl"), train)
        write_jsonl(out.file("test.jsonl"), test)
        write_jsonl(out.file("test_documents.jsonl"), test_documents)
        write_jsonl(out.file("dropped.jsonl"), drops)
        text = json.dumps(sides, ensure_ascii=False, indent=1, sort_keys=True)
        out.file("documents.json").write_text(text + "\n", encoding="utf-8")
        reasons = {"contaminated": len(drops)} if drops else {}
        out.funnel("split", len(train) + len(test) + len(drops), len(train) + len(test), reasons, unit="examples")
        rows = [["train", len(sides["train"]), len(train)], ["test", len(sides["test"]), len(test)]]
        out.table("Sides", ["side", "documents", "examples"], rows)
        shapes = sorted({example.method for example in [*train, *test]})
        counts = [Counter(example.method for example in side) for side in (train, test)]
        each = [[shape, *(count[shape] for count in counts)] for shape in shapes]
        out.table("Shapes", ["shape", "train", "test"], each)
        out.metrics.update(train=len(train), test=len(test), contaminated=len(drops))


class Contamination:
    """What of the test side can be found in a training example."""

    def __init__(self, test: list[Example], documents: Iterable[Document], settings: SplitSettings) -> None:
        self.length = settings.ngram
        self.overlap = settings.overlap
        self.questions = {core(question(example)) for example in test}
        self.answers = {core(answer) for example in test if (answer := example.messages[-1].content) != REFUSAL}
        self.pieces: set[str] = set()
        for document in documents:
            self.pieces |= ngrams(core(document.text), self.length)

    def found(self, example: Example) -> str:
        """What makes the example contaminated, in words; empty when it is clean."""
        if core(question(example)) in self.questions:
            return "a test example asks the same"
        if core(example.messages[-1].content) in self.answers:
            return "a test example has the same answer"
        for paragraph in paragraphs(example):
            pieces = ngrams(paragraph, self.length)
            share = len(pieces & self.pieces) / len(pieces)
            if len(pieces) >= _FEWEST and share >= self.overlap:
                return f"{share:.2f} of a paragraph stands in the test documents"
        return ""


def question(example: Example) -> str:
    """The last thing that the user asks, without the passages."""
    asked = [message.content for message in example.messages if message.role == "user"]
    return question_of(asked[-1]) if asked else ""


def paragraphs(example: Example) -> Iterator[str]:
    """Every line of the example's user and assistant messages, without markup, as `core` compares them."""
    for message in example.messages:
        if message.role != "system":
            yield from (core(plain(line)) for line in message.content.split("\n") if line.strip())
