"""Multiple-choice questions from a JSONL file, answered by likelihood."""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError

from danlu.errors import DataError, nearest
from danlu.model.scorer import Scorer
from danlu.records import Message, Record


def _place(answer: object) -> object:
    """A → 0, b → 1; anything that is no text is left for pydantic to judge."""
    if not isinstance(answer, str):
        return answer
    letter = answer.strip().upper()
    if len(letter) != 1 or letter not in string.ascii_uppercase:
        raise ValueError(f"{answer!r} is neither a letter nor a place from 0")
    return string.ascii_uppercase.index(letter)


class Question(Record):
    """`answer` is the place of the right choice, from 0; in a file it may be a letter."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    question: str = Field(min_length=1)
    choices: list[str] = Field(min_length=2)
    answer: Annotated[int, Field(strict=True, ge=0), BeforeValidator(_place)]


def read_questions(path: Path) -> list[Question]:
    """Read question, choices and answer (A, B, … or a place from 0) from each line; DataError names line and field."""
    if not path.is_file():
        here = [p.name for p in path.parent.glob("*.jsonl")] if path.parent.is_dir() else []
        raise DataError("no such file", where=str(path), nearest=nearest(path.name, here))
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 (byte {error.start})", where=str(path), next="save the file as UTF-8") from None
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            found.append(_question(line, f"{path}:{number}"))
    if not found:
        raise DataError("no question in this file", where=str(path))
    return found


def _question(line: str, where: str) -> Question:
    try:
        question = Question.model_validate(json.loads(line))
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{'.'.join(map(str, first['loc'])) or 'line'}: {first['msg']}", where=where) from None
    except ValueError as error:
        raise DataError(f"not JSON: {error}", where=where) from None
    if question.answer >= len(question.choices):
        raise DataError(f"answer: not one of the {len(question.choices)} choices", where=where)
    if not all(map(str.strip, question.choices)) or len(set(question.choices)) < len(question.choices):
        raise DataError("choices: one is blank, or two are the same", where=where)
    return question


def accuracy(scorer: Scorer, tokenizer: Any, questions: Sequence[Question]) -> list[float]:
    """1.0 for each question whose right choice has the highest log-likelihood per character as the answer, else 0.0
    (a tie counts as wrong). Per character, so that a short choice is not favoured (acc_norm of lm-evaluation-harness,
    there per byte)."""
    from danlu.model import template

    pairs = []
    for question in questions:
        context = template.render(tokenizer, [Message(role="user", content=question.question)], answer=True)
        for choice in question.choices:
            pairs.append((context, tokenizer(choice, add_special_tokens=False).input_ids))
    logs = iter(scorer.loglikelihood(pairs)) if pairs else iter(())
    right = []
    for question in questions:
        values = [next(logs)[0] / len(choice) for choice in question.choices]
        best = max(values)
        right.append(float(values[question.answer] == best and values.count(best) == 1))
    return right
