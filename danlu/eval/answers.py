"""What is judged or voted on: questions of one or more turns, and the answers of each side.

Read from JSONL, one question a line: `id` (or `question_id`), and `turns`, a list of what the user says (or `prompt`,
or `question`); if wanted `category` and `reference`, the right answer(s), one a turn. Answers are JSONL too: `id` and
`answer` (one text, or a list with one a turn), or FastChat's files with `choices`; with `prompt` or `turns` in it an
answers' file brings its own questions. An artifact or folder of results serves likewise, where its answers are text;
it knows its questions by their words, and those of several turns only with the file of questions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from danlu.errors import DataError, ModelError, nearest
from danlu.eval.ask import Asker
from danlu.eval.results import RESULTS, read_results, read_samples
from danlu.model.language_model import Answer, Failure, Generation, Request
from danlu.records import Message


@dataclass(frozen=True)
class Item:
    """A question: what the user says, turn by turn, and the right answer of each turn, empty where it is not known."""

    id: str
    turns: tuple[str, ...]
    category: str = ""
    reference: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answers:
    """One side: its name, its answers by question (one a turn), its own questions, and why some have no answer. `cut`
    answers ended at the longest length."""

    name: str
    texts: Mapping[str, tuple[str, ...]]
    items: Mapping[str, Item] = field(default_factory=dict)
    failures: Mapping[str, Failure] = field(default_factory=dict)
    cut: int = 0


def read_items(path: Path, references: Path | None = None) -> list[Item]:
    """The questions of a file, with the right answers of another where given (FastChat's reference_answer files)."""
    known = dict(_texts(references)) if references is not None else {}
    found: dict[str, Item] = {}
    for where, row in rows(path):
        item = _item(row, where)
        if item is None:
            raise DataError("no question: turns, prompt or question is needed", where=where)
        if item.id in found:
            raise DataError(f"the question {item.id!r} stands twice", where=where)
        reference = known.get(item.id, item.reference)
        if len(reference) > len(item.turns):
            raise DataError(f"{len(reference)} reference answers for {len(item.turns)} turn(s)", where=where)
        found[item.id] = Item(item.id, item.turns, item.category, reference)
    strange = set(known) - set(found)
    if strange and len(strange) == len(known):
        raise DataError("no reference answer is for a question of the file", where=str(references))
    return list(found.values())


def read_answers(path: Path, name: str = "", task: str = "") -> Answers:
    """The answers of a file, or of a folder of results (of the `task`, where it has several)."""
    if path.is_dir():
        return _of_results(path, name, task)
    texts, items, named = {}, {}, ""
    for where, row in rows(path):
        id, answer = _answer(row, where)
        if id in texts:
            raise DataError(f"the question {id!r} is answered twice", where=where)
        texts[id] = answer
        named = named or str(row.get("model") or row.get("model_id") or "")
        item = _item(row, where)
        if item is not None:
            items[id] = item
    return Answers(name or named or path.stem, texts, items)


def joined(sides: Sequence[Answers]) -> list[Item]:
    """The questions that every side's own file holds or answers; DataError when there is none, or when two sides
    answered different questions under one id."""
    first = sides[0]
    if not first.items:
        raise DataError(f"the answers of {first.name} come without their questions", next="name them with --questions")
    for side in sides[1:]:
        for id, item in side.items.items():
            if id in first.items and first.items[id].turns != item.turns:
                raise DataError(f"{first.name} and {side.name} answered different questions under the id {id!r}")
    shared = [item for id, item in first.items.items() if all(_knows(side, id) for side in sides[1:])]
    for item in shared:
        for side in sides:
            if len(side.texts.get(item.id, item.turns)) != len(item.turns):
                raise DataError(
                    f"{side.name} answered {item.id!r} in {len(side.texts[item.id])} turns, and the question has "
                    f"{len(item.turns)}",
                    next="name the questions with --questions",
                )
    if not shared:
        raise DataError(f"{first.name} and {sides[-1].name} have no question in common")
    return shared


def answered(asker: Asker, items: Sequence[Item], max_tokens: int, temperature: float = 0.0, seed: int = 0) -> Answers:
    """The answers of a model that is asked now, turn after turn; a question of which a turn failed has none."""
    texts: dict[str, tuple[str, ...]] = {item.id: () for item in items}
    failures: dict[str, Failure] = {}
    cut = 0
    for turn in range(max(len(item.turns) for item in items)):
        left = [item for item in items if len(item.turns) > turn and item.id not in failures]
        requests: list[Request] = [
            Generation(talk(item, texts[item.id]), max_tokens=max_tokens, temperature=temperature, seed=seed)
            for item in left
        ]
        results = asker.ask(requests, f"{asker.model.name}, turn {turn + 1}")
        for item, result in zip(left, results, strict=True):
            if isinstance(result, Answer):
                texts[item.id] += (result.text,)
                cut += result.finish == "length"
            else:
                failures[item.id] = result if isinstance(result, Failure) else Failure("unsupported", "not an answer")
    if len(failures) == len(items):
        first = next(iter(failures.values()))
        raise ModelError(f"no question was answered ({first.reason}: {first.detail})", where=asker.model.name)
    whole = {id: text for id, text in texts.items() if id not in failures}
    return Answers(asker.model.name, whole, {}, failures, cut)


def talk(item: Item, answers: Sequence[str]) -> tuple[Message, ...]:
    """The conversation so far, up to the user's next turn."""
    said = []
    for turn, asked in enumerate(item.turns[: len(answers) + 1]):
        said.append(Message(role="user", content=asked))
        if turn < len(answers):
            said.append(Message(role="assistant", content=answers[turn]))
    return tuple(said)


def _of_results(folder: Path, name: str, task: str) -> Answers:
    results = read_results(folder)
    known = [one.task for one in results.tasks]
    if task and task not in known:
        raise DataError(f"the results hold no task {task!r}", where=str(folder), nearest=nearest(task, known))
    if not task and len(known) != 1:
        raise DataError(f"the results hold {len(known)} tasks", where=str(folder), next=f"--task {known[0]}")
    texts, items, failures = {}, {}, {}
    for sample in read_samples(folder, task or known[0]):
        asked = sample.prompt.removeprefix("user: ")
        items[sample.id] = Item(sample.id, (asked,), sample.subject, _reference(sample.target))
        if sample.failed:
            failures[sample.id] = Failure(sample.failed)
            continue
        said = [sample.answer] if isinstance(sample.answer, str) else sample.answer
        if not isinstance(said, list) or not said or not all(isinstance(text, str) for text in said):
            raise DataError(
                f"the answers of {task or known[0]} are no text ({type(sample.answer).__name__})",
                where=str(folder / RESULTS),
                next="judge a task that generates; danlu compare is for the others",
            )
        texts[sample.id] = tuple(said)
    return Answers(name or str(results.model.get("name", folder.name)), texts, items, failures)


def matched(side: Answers, items: Sequence[Item]) -> Answers:
    """The side with the ids of these questions, where it has other ids but the same words (as results have).
    DataError when it answered none of them."""
    if any(_knows(side, item.id) for item in items):
        return side
    named = {item.turns[0].strip(): item.id for item in items}
    ids = {own: named[item.turns[0].strip()] for own, item in side.items.items() if item.turns[0].strip() in named}
    texts = {ids[own]: text for own, text in side.texts.items() if own in ids}
    failures = {ids[own]: failure for own, failure in side.failures.items() if own in ids}
    if not texts and not failures:
        some = ", ".join(sorted(side.texts)[:3])
        raise DataError(f"no answer of {side.name} is to a question of the file (ids such as {some})")
    return replace(side, texts=texts, items={}, failures=failures)


def _knows(side: Answers, id: str) -> bool:
    return id in side.texts or id in side.failures


def _reference(target: Any) -> tuple[str, ...]:
    return (target,) if isinstance(target, str) and target.strip() else ()


def rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file:line, object) of each line with text; DataError for one that is no object, or a file without any."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        here = [one.name for one in path.parent.glob("*.jsonl")] if path.parent.is_dir() else []
        near = nearest(path.name, here)
        raise DataError(f"cannot be read: {error.strerror}", where=str(path), nearest=near) from None
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 (byte {error.start})", where=str(path), next="save the file as UTF-8") from None
    empty = True
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where, empty = f"{path}:{number}", False
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"not JSON: {error}", where=where) from None
        if not isinstance(row, dict):
            raise DataError("a line must be a JSON object", where=where)
        yield where, row
    if empty:
        raise DataError("the file is empty", where=str(path))


def question_id(row: Mapping[str, Any], where: str) -> str:
    id = row.get("id", row.get("question_id"))
    if not isinstance(id, (str, int)) or isinstance(id, bool) or not str(id).strip():
        raise DataError("an id (or question_id) is needed", where=where)
    return str(id)


def _item(row: Mapping[str, Any], where: str) -> Item | None:
    """The question of a row; None when it holds none."""
    key = next((key for key in ("turns", "prompt", "question") if key in row), None)
    if key is None:
        return None
    turns = _said(row[key], f"{where}: {key}")
    reference = row.get("reference", row.get("references"))
    given = _said(reference, f"{where}: reference", empty=True) if reference else ()
    return Item(question_id(row, where), turns, str(row.get("category") or row.get("subject") or ""), given)


def _answer(row: Mapping[str, Any], where: str) -> tuple[str, tuple[str, ...]]:
    if "answer" in row:
        return question_id(row, where), _said(row["answer"], f"{where}: answer", empty=True)
    try:
        turns = row["choices"][0]["turns"]
    except (KeyError, IndexError, TypeError):
        raise DataError("no answer: `answer` (or FastChat's `choices`) is needed", where=where) from None
    return question_id(row, where), _said(turns, f"{where}: choices", empty=True)


def _texts(path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    return (_answer(row, where) for where, row in rows(path))


def _said(value: Any, where: str, empty: bool = False) -> tuple[str, ...]:
    said = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else ()
    if not said or not all(isinstance(text, str) and (empty or text.strip()) for text in said):
        raise DataError("a text, or a list of texts, is needed here", where=where)
    return said
