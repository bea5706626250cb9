"""What the methods share: their settings, reading in batches, writing with the reasons of what is left out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import TextIO

from danlu.artifact import Artifact, Draft
from danlu.data.asking import Asking
from danlu.data.flow import blocks, encoded
from danlu.data.requests import Failure
from danlu.data.structured import without_thoughts
from danlu.errors import DataError
from danlu.records import Document, Drop, Example, Message, Record
from danlu.text.script import in_taiwan
from danlu.text.usage import find, fix

BATCH = 256
"""How many records are worked on at once: the requests of a batch are sent together."""

_REFUSAL = re.compile(
    r"抱歉|對不起|无法|無法(?:提供|回答|協助|完成)|不能(?:提供|回答|協助)|(?:作為|身為)(?:一個|一名)?(?:AI|人工智慧|語言模型)"
    r"|\b(?:sorry|as an ai|i cannot|i can't|unable to)\b",
    re.IGNORECASE,
)
_LETTER = re.compile(r"\w")


class Writing(Asking):
    """The settings of every method."""

    taiwan: bool = True
    """Mend Simplified characters and mainland words in what the model wrote."""

    system: str = ""
    """A system message that begins every example; none when empty."""

    seed: int = 0
    """Seed of the draws, and of the model's sampling."""


class Harvest:
    """Writes examples.jsonl and dropped.jsonl as they come, and counts."""

    def __init__(self, out: Draft, label: str, settings: Writing) -> None:
        self.out, self.label, self.settings = out, label, settings
        self.kept = 0
        self.mended = 0
        self.methods: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self._examples: TextIO = out.file("examples.jsonl").open("w", encoding="utf-8", newline="\n")
        self._drops: TextIO = out.file("dropped.jsonl").open("w", encoding="utf-8", newline="\n")

    def keep(self, example: Example) -> None:
        self._examples.write(encoded(example).decode())
        self.kept += 1
        self.methods[example.method] += 1

    def drop(self, id: str, source: str, failure: Failure) -> None:
        drop = Drop(id=id, source=source, reason=failure.reason, detail=failure.detail)
        self._drops.write(encoded(drop).decode())
        self.reasons[failure.reason] += 1

    @property
    def came(self) -> int:
        return self.kept + sum(self.reasons.values())

    def mend(self, text: str) -> str:
        """What a model wrote in the words of Taiwan, when the settings ask for it; counted."""
        if not self.settings.taiwan:
            return text
        mended, count = taiwanese(text)
        self.mended += count
        return mended

    def finish(self, unit: str = "examples", hint: str | None = None) -> None:
        """Close the files and write the funnel; DataError when nothing was kept."""
        self._examples.close()
        self._drops.close()
        reasons = dict(sorted(self.reasons.items()))
        came = self.came
        self.out.funnel(self.label, came, self.kept, reasons, unit=unit)
        rows = [[method, count] for method, count in sorted(self.methods.items())]
        self.out.table("Examples by method", ["method", "examples"], rows)
        if self.settings.taiwan:
            self.out.metrics["mended_terms"] = self.mended
        self.out.metrics["examples"] = self.kept
        if not self.kept:
            told = ", ".join(f"{reason} {count}" for reason, count in reasons.items()) or "none came"
            raise DataError(f"{self.label}: no example is left of {came} ({told})", next=hint)


def batches(artifact: Artifact, name: str, kind: type[Record], size: int = BATCH) -> Iterator[list[Record]]:
    """The records of a file of the artifact, `size` at a time."""
    records = (record for block in blocks(artifact.file(name)) for record in block.records(kind))
    while batch := list(islice(records, size)):
        yield batch


def example_batches(artifact: Artifact) -> Iterator[list[Example]]:
    for batch in batches(artifact, "examples.jsonl", Example):
        yield [record for record in batch if isinstance(record, Example)]


def document_batches(artifact: Artifact, size: int = BATCH) -> Iterator[list[Document]]:
    for batch in batches(artifact, "documents.jsonl", Document, size):
        yield [record for record in batch if isinstance(record, Document)]


def instruction(example: Example) -> str:
    """The last thing that the user says."""
    return next((one.content for one in reversed(example.messages) if one.role == "user"), "")


def conversation(settings: Writing, asked: str, answer: str) -> list[Message]:
    """One question and its answer, behind the system message of the settings."""
    system = [Message(role="system", content=settings.system)] if settings.system else []
    return [*system, Message(role="user", content=asked), Message(role="assistant", content=answer)]


def answered(text: str) -> str | Failure:
    """A model's free answer: without its thoughts, or "refusal" or "no-answer"."""
    text = without_thoughts(text)
    if not _LETTER.search(text):
        return Failure("no-answer", text[:80])
    if refuses(text):
        return Failure("refusal", text[:80])
    return text


def refuses(text: str) -> bool:
    """Whether an answer says no instead of answering: words of refusal at the beginning of a short text (WizardLM
    takes `sorry` in fewer than 80 words)."""
    return len(text) < 200 and _REFUSAL.search(text[:40]) is not None


def taiwanese(text: str) -> tuple[str, int]:
    """The text in Taiwan's characters and words, and how many places were mended. Code is left alone."""
    hits = find(text)
    text = in_taiwan(text)
    return (fix(text) if hits else text), len(hits)
