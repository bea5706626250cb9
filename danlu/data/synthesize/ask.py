"""data.ask: questions about documents, each with an answer that stands in its source."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from itertools import islice
from typing import Annotated, Literal

from pydantic import Field

from danlu.artifact import Artifact, Draft, digest
from danlu.data.core import core
from danlu.data.requests import Failure, Ledger, Request, ledger
from danlu.data.structured import Shape, parse, schema
from danlu.data.synthesize.prompts import messages
from danlu.data.synthesize.source import Piece, located, pieces
from danlu.data.synthesize.writing import BATCH, Harvest, Writing, conversation, document_batches
from danlu.records import Example
from danlu.registry import From, Step
from danlu.text.grounding import grounded_prompt
from danlu.track import Track

BOUND = re.compile(
    r"本[文條章節篇段]|[上下前]述|[上下前]文|這(?:[一]?段|篇|份)|該(?:[條文篇段])|文中|文件中|文章中|(?:根據|依據|依照)(?:文件|原文|內容)"
    r"|如[上下]|第[一二三四五六七八九十]段|quote"
)
"""Words of a question that only somebody who sees the document understands."""

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


class AskSettings(Writing):
    documents: Annotated[str, From("documents")]
    """The step that made the documents."""

    answers: Literal["quote", "written"] = "quote"
    """quote: the answer is the source's own words. written: the model's sentence, which the quotation stands behind."""

    grounded: bool = False
    """Ask with the piece of the document in the prompt, as `danlu.text.grounding` writes it."""

    per_piece: Annotated[int, Field(ge=1, le=10)] = 3
    """Questions asked for about each piece."""

    piece_characters: Annotated[int, Field(ge=50)] = 800
    """The longest piece that a request is shown."""

    min_characters: Annotated[int, Field(ge=1)] = 60
    """Pieces with fewer letters are passed over."""

    longest_quote: Annotated[int, Field(ge=10)] = 200
    """Drop answers whose quotation has more characters."""

    pieces: Annotated[int | None, Field(ge=1)] = None
    """Ask about so many pieces of each document at most, the first; None: about all."""


class Asked(Shape):
    question: str
    answer: str
    quote: str


class Questions(Shape):
    items: list[Asked]


class Ask(Step[AskSettings]):
    """Question generation with an answer-in-source check.

    A question stays when its quotation stands in the piece: exactly, or with letters and digits alone compared, without
    width, case and script. `document.text[start:end]` is then the evidence, and with `answers: quote` the answer.
    Drops: `not-in-source`; `number-not-in-source` (a written answer has a number that its piece has not);
    `quote-too-long`; `context-bound` (本文, 上述, …); `gives-away` (the answer stands in the question); `no-question`;
    `no-answer`; `duplicate`; `not-json`, `wrong-shape`, `cut-off`, `refused` of a request.

    Not covered: that the quotation answers the question, for which data.judge comes after; questions over several
    pieces.
    """

    Settings = AskSettings
    makes = "examples"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        self.harvest = Harvest(out, "ask", self.settings)
        self.seen: set[bytes] = set()
        asked = 0
        with ledger(self.settings, out, track, "ask") as asking:
            for documents in document_batches(inputs["documents"], 32):
                found = (
                    piece
                    for document in documents
                    for piece in islice(
                        pieces(document, self.settings.piece_characters, self.settings.min_characters),
                        self.settings.pieces,
                    )
                )
                while batch := list(islice(found, BATCH)):
                    asked += len(batch)
                    self._batch(asking, batch)
            self.harvest.finish("questions", "another model may quote better; a lower min_characters asks about more")
            asking.report(out)
        out.metrics["pieces"] = asked

    def _batch(self, asking: Ledger, batch: list[Piece]) -> None:
        options = asking.options(schema(Questions), self.settings.seed)
        values = {"count": self.settings.per_piece, "longest": self.settings.longest_quote}
        requests = [Request(messages("ask", title=one.title, text=one.text, **values), options) for one in batch]
        for piece, result in zip(batch, asking.parsed(requests, lambda text: parse(text, Questions)), strict=True):
            if isinstance(result, Failure):
                self._drop(piece, "", result)
                continue
            for asked in result.items[: self.settings.per_piece]:
                self._one(piece, asked)

    def _one(self, piece: Piece, asked: Asked) -> None:
        question = self.harvest.mend(asked.question.strip())
        answer = self.harvest.mend(asked.answer.strip())
        span = located(piece.text, asked.quote)
        failure = self._failure(piece, question, answer, asked.quote, span)
        if failure is not None:
            self._drop(piece, question, failure)
            return
        assert span is not None
        start, end = piece.start + span[0], piece.start + span[1]
        said = piece.document.text[start:end] if self.settings.answers == "quote" else answer
        prompt = grounded_prompt(question, [piece.text]) if self.settings.grounded else question
        self.harvest.keep(
            Example(
                id=digest(["ask", piece.document.id, start, end, question])[:16],
                messages=conversation(self.settings, prompt, said),
                document=piece.document.id,
                start=start,
                end=end,
                method="ask+passages" if self.settings.grounded else "ask",
            )
        )

    def _failure(
        self, piece: Piece, question: str, answer: str, quote: str, span: tuple[int, int] | None
    ) -> Failure | None:
        if len(question) < 4:
            return Failure("no-question", question)
        if not answer:
            return Failure("no-answer")
        if span is None:
            return Failure("not-in-source", quote[:120])
        if span[1] - span[0] > self.settings.longest_quote:
            return Failure("quote-too-long", f"{span[1] - span[0]} characters")
        if bound := BOUND.search(question):
            return Failure("context-bound", bound[0])
        if core(quote) in core(question):
            return Failure("gives-away", quote[:80])
        if self.settings.answers == "written" and (missing := _numbers(answer) - _numbers(piece.text)):
            return Failure("number-not-in-source", ", ".join(sorted(missing)))
        known = hashlib.sha256(core(question).encode()).digest()[:12]
        if known in self.seen:
            return Failure("duplicate")
        self.seen.add(known)
        return None

    def _drop(self, piece: Piece, question: str, failure: Failure) -> None:
        id = digest(["ask", piece.document.id, piece.start, question, failure.reason])[:16]
        detail = f"{piece.start}–{piece.end} {question[:80]}｜{failure.detail}"
        self.harvest.drop(id, piece.document.source, Failure(failure.reason, detail))


def _numbers(text: str) -> set[str]:
    return {found.replace(",", "") for found in _NUMBER.findall(text)}
