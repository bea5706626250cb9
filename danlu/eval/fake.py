"""A fake of the protocol `Task`, for tests and for trying out what is built upon it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from danlu.artifact import digest
from danlu.eval.statistics import mean
from danlu.eval.task import Doc, Scored
from danlu.model.language_model import Continuation, LogLikelihood, Request, Result
from danlu.records import Score

LETTERS = "ABCDEFGHIJ"


@dataclass
class Choices:
    """A multiple-choice task over questions given in memory: fields `question`, A, B, …, `answer` (a letter) and, if
    there is one, `subject`. The examples before a question are the others, from the beginning. One metric, `acc`."""

    questions: Sequence[Mapping[str, Any]]
    name: str = "choices"
    shots: int = 0
    title: str = "Choices"
    version: str = "1"
    kind: str = "multiple_choice"
    ask: str = "{question}\n{choices}\n答案："
    data: Mapping[str, Any] = field(default_factory=lambda: {"source": "memory", "licence": "CC0", "split": "test"})

    def documents(self) -> list[Doc]:
        return [Doc(digest(dict(one)), one, str(one.get("subject", ""))) for one in self.questions]

    def requests(self, doc: Doc, shots: int, seed: int) -> list[Request]:
        others = [one for one in self.questions if one.get("question") != doc.fields["question"]]
        before = "".join(f"{self._text(one)}{one['answer']}\n\n" for one in others[:shots])
        context = before + self._text(doc.fields)
        return [Continuation(context, letter) for letter in self._letters(doc.fields)]

    def score(self, doc: Doc, results: Sequence[Result]) -> Scored:
        logs = [result.value for result in results if isinstance(result, LogLikelihood)]
        letters = self._letters(doc.fields)
        chosen = letters[max(range(len(logs)), key=logs.__getitem__)]
        return Scored(chosen, doc.fields["answer"], {"acc": float(chosen == doc.fields["answer"])})

    def aggregate(self, docs: Sequence[Doc], scored: Sequence[Scored], seed: int) -> list[Score]:
        value, error = mean([one.values["acc"] for one in scored])
        return [
            Score(
                name="acc",
                value=value,
                n=len(scored),
                stderr=error if len(scored) > 1 else None,
                unit="share right",
                better="higher",
                version=self.version,
                seed=seed,
            )
        ]

    def _letters(self, fields: Mapping[str, Any]) -> list[str]:
        return [letter for letter in LETTERS if letter in fields]

    def _text(self, fields: Mapping[str, Any]) -> str:
        choices = "\n".join(f"{letter}. {fields[letter]}" for letter in self._letters(fields))
        return self.ask.format(question=fields["question"], choices=choices)
