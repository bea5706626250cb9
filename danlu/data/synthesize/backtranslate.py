"""data.backtranslate: texts that people wrote as answers, with the instruction that a model thinks they answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Annotated

from pydantic import Field

from danlu.artifact import Artifact, Draft, digest
from danlu.data.core import core
from danlu.data.requests import Failure, Ledger, Request, ledger
from danlu.data.structured import Shape, parse, schema
from danlu.data.synthesize.ask import BOUND
from danlu.data.synthesize.novelty import rouge_l, units
from danlu.data.synthesize.prompts import messages
from danlu.data.synthesize.source import Piece, pieces
from danlu.data.synthesize.writing import BATCH, Harvest, Writing, conversation, document_batches
from danlu.records import Document, Example
from danlu.registry import From, Step
from danlu.track import Track


class BacktranslateSettings(Writing):
    documents: Annotated[str, From("documents")]
    """The step that made the documents."""

    piece_characters: Annotated[int, Field(ge=50)] = 800
    """The longest answer: as many whole sentences as fit, never across a heading."""

    min_characters: Annotated[int, Field(ge=1)] = 80
    """Pieces with fewer letters are passed over."""

    pieces: Annotated[int | None, Field(ge=1)] = None
    """Take so many pieces of each document at most, the first; None: all."""


class Instruction(Shape):
    instruction: str


class Backtranslate(Step[BacktranslateSettings]):
    """Instruction back-translation (Li et al., 2024, "Self-Alignment with Instruction Backtranslation",
    arXiv:2308.06259): the answer is the document's own text, the instruction is written by a model.

    The paper's second half, keeping the pairs that a model gives 5 of 5, is data.judge after this step. Drops:
    `no-question`; `context-bound` (the instruction speaks of 本文, 上述, …); `gives-away` (the answer repeats it, or
    holds it); `not-json`, `wrong-shape`, `cut-off`, `refused` of a request. An example carries the span of its answer.
    """

    Settings = BacktranslateSettings
    makes = "examples"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        self.harvest = Harvest(out, "backtranslate", self.settings)
        with ledger(self.settings, out, track, "backtranslate") as asking:
            for documents in document_batches(inputs["documents"], 32):
                found = (piece for document in documents for piece in self._pieces(document))
                while batch := list(islice(found, BATCH)):
                    self._batch(asking, batch)
            self.harvest.finish("pieces", "a lower min_characters takes shorter pieces")
            asking.report(out)

    def _pieces(self, document: Document) -> Iterator[Piece]:
        every = pieces(document, self.settings.piece_characters, self.settings.min_characters)
        return islice(every, self.settings.pieces)

    def _batch(self, asking: Ledger, batch: list[Piece]) -> None:
        options = asking.options(schema(Instruction), self.settings.seed)
        requests = [Request(messages("backtranslate", title=one.title, text=one.text), options) for one in batch]
        for piece, result in zip(batch, asking.parsed(requests, lambda text: parse(text, Instruction)), strict=True):
            asked = "" if isinstance(result, Failure) else self.harvest.mend(result.instruction.strip())
            failure = result if isinstance(result, Failure) else _failure(asked, piece.text)
            key = digest(["backtranslate", piece.document.id, piece.start, piece.end])[:16]
            if failure is not None:
                detail = f"{piece.start}–{piece.end} {asked[:80]}｜{failure.detail}"
                self.harvest.drop(key, piece.document.source, Failure(failure.reason, detail))
                continue
            self.harvest.keep(
                Example(
                    id=key,
                    messages=conversation(self.settings, asked, piece.text),
                    document=piece.document.id,
                    start=piece.start,
                    end=piece.end,
                    method="backtranslate",
                )
            )


def _failure(asked: str, answer: str) -> Failure | None:
    if len(asked) < 4:
        return Failure("no-question", asked)
    if bound := BOUND.search(asked):
        return Failure("context-bound", bound[0])
    if core(asked) in core(answer) or rouge_l(units(asked), units(answer)) > 0.7:
        return Failure("gives-away")
    return None
