"""A model as the judge of other models' answers (Zheng et al., "Judging LLM-as-a-Judge", 2023, arXiv:2306.05685).

Pairwise, each pair is judged in both orders, and a side wins only where both verdicts name it; where they disagree it
is a tie, and how often the first or the second place won is told (position bias). Or each answer is graded, 1 to 10.
Where the right answer is known, the judge is shown it. Of a conversation each turn is judged by itself, with what was
said before. A judge must answer JSON of one shape; what is no such JSON is asked again `attempts` times in all, then
counted by its reason and kept, never a score.

What is judged is handed over as JSON strings, so that nothing in an answer can pass for the request, and the judge is
told that it is material; a model may obey it all the same. Known and not covered: judges favour long answers and their
own style, and cannot check facts that they do not know. `agreement` with people's labels says how far to trust one.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from string import Template
from typing import Any, Literal, cast

from pydantic import Field, ValidationError

from danlu.errors import DataError, ModelError
from danlu.eval.answers import Answers, Item
from danlu.eval.ask import Asker
from danlu.eval.statistics import Estimate, bootstrap, clustered, mcnemar, paired_difference, wilson
from danlu.model.language_model import Answer, Failure, Generation, Request, Result
from danlu.model.structured import S, Shape, schema
from danlu.records import Message, Record, Role, Score

VERSION = "1"
CRITERIA = "評分時請看：是否回答了使用者真正的問題、是否遵守每一項要求、內容是否正確、是否有用、深入與清楚。"

Winner = Literal["a", "b", "tie", ""]

_ROLE = re.compile(r"^\[(system|user)\]\n", re.MULTILINE)
_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>\s*", re.DOTALL)
_FENCE = re.compile(r"\A```(?:json)?[ \t]*\n(.*?)\n?```\Z", re.DOTALL)
_KEPT = 500


class Verdict(Shape):
    reason: str
    winner: Literal["A", "B", "tie"]


class Grade(Shape):
    reason: str
    score: int = Field(ge=1, le=10)


class Look(Record):
    """One verdict. `first` is the side that stood first; `winner` is empty where `failed` has the reason and `said` the
    beginning of what the judge wrote instead."""

    first: Literal["a", "b"]
    winner: Winner = ""
    reason: str = ""
    failed: str = ""
    detail: str = ""
    said: str = ""


class Comparison(Record):
    """Two answers to turn `turn` (from 1) of a question, judged in both orders. `winner` is empty where one of the
    verdicts, or an answer, is missing: `failed` has the reason."""

    id: str
    turn: int
    category: str = ""
    winner: Winner = ""
    failed: str = ""
    looks: list[Look] = Field(default_factory=list)


class Graded(Record):
    """One answer's grade from 1 to 10; None where `failed` has the reason."""

    id: str
    turn: int
    category: str = ""
    score: int | None = None
    reason: str = ""
    failed: str = ""
    detail: str = ""
    said: str = ""


@dataclass(frozen=True)
class Judge:
    """Whom to ask (a model with a memory: a killed run goes on where it was), and how. `criteria` is what a grade is
    for, in the words that the judge reads."""

    asker: Asker
    max_tokens: int = 1024
    attempts: int = 2
    temperature: float = 0.0
    seed: int = 0
    criteria: str = CRITERIA

    def compare(self, items: Sequence[Item], a: Answers, b: Answers) -> list[Comparison]:
        """Each turn of each question, in order. ModelError when no single one could be judged."""
        asked = [(item, turn) for item in items for turn in range(len(item.turns))]
        ready = [(item, turn) for item, turn in asked if not _missing(item, turn, a, b)]
        prompts = []
        for item, turn in ready:
            texts = a.texts[item.id], b.texts[item.id]
            prompts += [pair_prompt(item, turn, *texts), pair_prompt(item, turn, *reversed(texts))]
        verdicts = iter(self._parsed(prompts, Verdict, "comparing"))
        found = []
        for item, turn in asked:
            missing = _missing(item, turn, a, b)
            looks = [] if missing else [_look("a", next(verdicts)), _look("b", next(verdicts))]
            found.append(_comparison(item, turn, looks, missing))
        self._refuse_nothing([one.failed for one in found])
        return found

    def grade(self, items: Sequence[Item], answers: Answers) -> list[Graded]:
        """Each turn of each question, in order. ModelError when no single one could be graded."""
        asked = [(item, turn) for item in items for turn in range(len(item.turns))]
        ready = [(item, turn) for item, turn in asked if not _missing(item, turn, answers)]
        prompts = [grade_prompt(item, turn, answers.texts[item.id], self.criteria) for item, turn in ready]
        grades = iter(self._parsed(prompts, Grade, f"grading {answers.name}"))
        found = []
        for item, turn in asked:
            facts = {"id": item.id, "turn": turn + 1, "category": item.category}
            missing = _missing(item, turn, answers)
            made = Unread(missing) if missing else next(grades)
            if isinstance(made, Unread):
                found.append(Graded(**facts, failed=made.reason, detail=made.detail, said=made.said))
            else:
                found.append(Graded(**facts, score=made.score, reason=made.reason))
        self._refuse_nothing([one.failed for one in found])
        return found

    def _parsed(self, prompts: Sequence[tuple[Message, ...]], shape: type[S], label: str) -> list[S | Unread]:
        """What the judge said to each prompt; those that cannot be read are asked again with another seed."""
        found: list[S | Unread] = [Unread("unasked")] * len(prompts)
        left = list(range(len(prompts)))
        for attempt in range(self.attempts):
            requests: list[Request] = [
                Generation(
                    prompts[place],
                    max_tokens=self.max_tokens,
                    temperature=self.temperature,
                    seed=self.seed + attempt,
                    json_schema=schema(shape),
                )
                for place in left
            ]
            results = self.asker.ask(requests, label if not attempt else f"{label}, attempt {attempt + 1}")
            for place, result in zip(left, results, strict=True):
                found[place] = read(result, shape)
            left = [place for place in left if isinstance(found[place], Unread)]
            if not left:
                break
        return found

    def _refuse_nothing(self, failed: Sequence[str]) -> None:
        if failed and all(failed):
            told = ", ".join(f"{reason} {count}" for reason, count in Counter(failed).most_common())
            raise ModelError(
                f"none of the {len(failed)} judgements can be used ({told})",
                where=self.asker.model.name,
                next="look at what it answers with `danlu chat`; a small model is no judge",
            )


@dataclass(frozen=True)
class Unread:
    """Why there is no verdict: the reason of a failed request, `cut-off`, `no-answer`, `not-json` or `wrong-shape`, or
    that an answer is not there (`no-answer-of-a`, …)."""

    reason: str
    detail: str = ""
    said: str = ""


def read(result: Result, shape: type[S]) -> S | Unread:
    """One JSON object of the shape: alone, in one code fence, or behind a reasoning model's `<think>…</think>`. Nothing
    is guessed, cut out or mended."""
    if isinstance(result, Failure):
        return Unread(result.reason, result.detail[:_KEPT])
    if not isinstance(result, Answer):
        raise TypeError(f"a judge generates, and {type(result).__name__} came")
    said = result.text[:_KEPT]
    if result.finish == "length":
        return Unread("cut-off", f"{result.tokens} tokens", said)
    text = _THOUGHTS.sub("", result.text).strip()
    if not text:
        return Unread("no-answer", "", said)
    fenced = _FENCE.match(text)
    try:
        value = json.loads(fenced[1] if fenced else text, parse_constant=_refuse, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        return Unread("not-json", str(error)[:_KEPT], said)
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the answer"
        return Unread("wrong-shape", f"{field}: {first['msg']}"[:_KEPT], said)


def pair_prompt(item: Item, turn: int, a: Sequence[str], b: Sequence[str]) -> tuple[Message, ...]:
    """The request to compare two answers to one turn, `a` standing first."""
    given = {"A 的回答": list(a[: turn + 1]), "B 的回答": list(b[: turn + 1])}
    return _prompt("pair", focus=_focus(item, turn, "比較兩個回答"), material=_material(item, turn, given))


def grade_prompt(item: Item, turn: int, answer: Sequence[str], criteria: str = CRITERIA) -> tuple[Message, ...]:
    """The request to grade the answer to one turn."""
    material = _material(item, turn, {"回答": list(answer[: turn + 1])})
    return _prompt("grade", criteria=criteria.strip(), focus=_focus(item, turn, "評分"), material=material)


def _focus(item: Item, turn: int, what: str) -> str:
    told = f"這是多輪對話，請以第 {turn + 1} 輪的回答為準。" if turn else ""
    return told + (f"材料附有標準答案：{what}之前，先與標準答案對照，找出錯誤。" if _known(item, turn) else "")


def _known(item: Item, turn: int) -> bool:
    """Whether a right answer is known up to this turn."""
    return any(text.strip() for text in item.reference[: turn + 1])


def _material(item: Item, turn: int, answers: Mapping[str, list[str]]) -> str:
    """JSON of what is judged: one text each for a first turn, else a list with one a turn."""
    every: dict[str, Sequence[str]] = {"使用者": item.turns[: turn + 1]}
    if _known(item, turn):
        every["標準答案"] = (*item.reference, *[""] * turn)[: turn + 1]
    every |= answers
    shown = {name: texts[0] if not turn else list(texts) for name, texts in every.items()}
    return json.dumps(shown, ensure_ascii=False, indent=1)


def _prompt(name: str, **values: str) -> tuple[Message, ...]:
    """The messages of prompts/<name>.txt."""
    return tuple(
        Message(role=cast(Role, role), content=Template(text).substitute(values).strip()) for role, text in _parts(name)
    )


@lru_cache
def _parts(name: str) -> tuple[tuple[str, str], ...]:
    text = (Path(__file__).parent / "prompts" / f"{name}.txt").read_text(encoding="utf-8")
    found = _ROLE.split(text)[1:]
    return tuple(zip(found[::2], found[1::2], strict=True))


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _missing(item: Item, turn: int, *sides: Answers) -> str:
    """The reason why a side has no answer to this turn; empty when all have one."""
    for name, side in zip(("a", "b"), sides, strict=False):
        if len(side.texts.get(item.id, ())) <= turn:
            whose = f"-of-{name}" if len(sides) > 1 else ""
            failure = side.failures.get(item.id)
            return f"no-answer{whose}" + (f": {failure.reason}" if failure else "")
    return ""


def _look(first: Literal["a", "b"], verdict: Verdict | Unread) -> Look:
    if isinstance(verdict, Unread):
        return Look(first=first, failed=verdict.reason, detail=verdict.detail, said=verdict.said)
    second: Winner = "b" if first == "a" else "a"
    winners: dict[str, Winner] = {"A": first, "B": second, "tie": "tie"}
    return Look(first=first, winner=winners[verdict.winner], reason=verdict.reason)


def _comparison(item: Item, turn: int, looks: list[Look], missing: str) -> Comparison:
    failed = missing or next((look.failed for look in looks if look.failed), "")
    winner: Winner = ""
    if not failed:
        winner = looks[0].winner if looks[0].winner == looks[1].winner else "tie"
    return Comparison(id=item.id, turn=turn + 1, category=item.category, winner=winner, failed=failed, looks=looks)


@dataclass(frozen=True)
class Position:
    """Of the judged pairs: `agreed` had the same verdict in both orders, in `first` and `second` the same place won
    whoever stood there, and the `rest` wavered between a tie and a winner. `p` is of the first place winning as often
    as the second (binomial, two-sided)."""

    judged: int
    agreed: int
    first: int
    second: int
    p: float

    @property
    def rest(self) -> int:
        return self.judged - self.agreed - self.first - self.second


def position(comparisons: Sequence[Comparison]) -> Position:
    """How far the verdicts follow the place and not the answer."""
    judged = [one for one in comparisons if not one.failed]
    agreed = sum(one.looks[0].winner == one.looks[1].winner for one in judged)
    first = sum(all(look.winner == look.first for look in one.looks) for one in judged)
    second = sum(all(look.winner not in (look.first, "tie") for look in one.looks) for one in judged)
    return Position(len(judged), agreed, first, second, mcnemar(first, second).exact)


@dataclass(frozen=True)
class WinRate:
    """How often b beats a, ties half; `estimate` has the bootstrap's interval and the error by questions (the turns of
    one belong together), `p` is the sign test's over the questions that one side won more turns of."""

    wins: int
    losses: int
    ties: int
    estimate: Estimate
    p: float
    failures: dict[str, int]

    def score(self) -> Score:
        error = self.estimate.stderr
        n = self.wins + self.losses + self.ties
        return _score("win_rate", self.estimate.value, n, error, "share, ties half")


def win_rate(comparisons: Sequence[Comparison], seed: int = 0) -> WinRate:
    """The win rate of b over those pairs that were judged; DataError when none was."""
    judged = [one for one in comparisons if not one.failed]
    if not judged:
        raise DataError("no pair was judged")
    values = [{"b": 1.0, "a": 0.0}.get(one.winner, 0.5) for one in judged]
    ids = [one.id for one in judged]
    _, error = clustered(values, ids)
    drawn = bootstrap(values, clusters=ids, seed=seed)
    balance: Counter[str] = Counter()
    for one, value in zip(judged, values, strict=True):
        balance[one.id] += int(2 * value - 1)
    sides = [sum(value > 0 for value in balance.values()), sum(value < 0 for value in balance.values())]
    count = Counter(one.winner for one in judged)
    estimate = Estimate(drawn.value, error, drawn.low, drawn.high, drawn.n, drawn.method, drawn.level)
    failures = Counter(one.failed for one in comparisons if one.failed)
    return WinRate(
        count["b"], count["a"], count["tie"], estimate, mcnemar(*sides).exact, dict(sorted(failures.items()))
    )


def grades(graded: Sequence[Graded]) -> Score:
    """The mean grade, with the error by questions; DataError when there is no grade."""
    scored = [one for one in graded if one.score is not None]
    if not scored:
        raise DataError("no answer was graded")
    value, error = clustered([float(one.score or 0) for one in scored], [one.id for one in scored])
    return _score("grade", value, len(scored), error, "1 to 10")


def grade_change(a: Sequence[Graded], b: Sequence[Graded]) -> Estimate:
    """The mean grade of b less that of a, over the turns that both have a grade for."""
    known = {(one.id, one.turn): one.score for one in a if one.score is not None}
    both = [one for one in b if one.score is not None and (one.id, one.turn) in known]
    if not both:
        raise DataError("no question has a grade on both sides")
    before = [float(known[one.id, one.turn]) for one in both]
    return paired_difference(before, [float(one.score or 0) for one in both], clusters=[one.id for one in both])


def _score(name: str, value: float, n: int, error: float, unit: str) -> Score:
    kept = error if math.isfinite(error) else None
    return Score(name=name, value=value, n=n, stderr=kept, unit=unit, better="higher", version=VERSION)


def intervals(right: int, n: int) -> tuple[float, float, float]:
    """A share with its 95 % interval (Wilson)."""
    low, high = wilson(right, n)
    return (right / n if n else math.nan), low, high
