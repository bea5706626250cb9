"""eval.gate: stop when a model got worse, in words like `tmmluplus.acc < base - 2se`.

An expression says when to FAIL: a score, a comparison (`<`, `<=`, `>`, `>=`), and a bound::

    tmmluplus.acc < base - 2se           worse than the base by more than two standard errors
    taiwan_usage.taiwan_usage > 1.5              more than a fixed bound
    wikitext.perplexity > base * 1.02    more than 2 % above the base

    expression = score ("<" | "<=" | ">" | ">=") sum
    sum        = product { ("+" | "-") product }
    product    = factor { ("*" | "/") factor }
    factor     = ["-"] ( number ["base" | "se"] | "base" | "se" | "(" sum ")" )

The score on the left is the new one's. `base` is the same score of the base. Where the two answered the same questions
both are taken on these alone, and `se` is the standard error of the paired difference; otherwise `se` is that of both
scores combined as independent ones. In an expression without `base`, `se` is the new score's own. A score that is
missing, is no finite number, was measured on nothing, or (against a base) in another version or with other shots
fails, each with its own message: a gate that cannot measure is shut.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, field_validator

from danlu.artifact import Artifact, Draft
from danlu.errors import GateError, UsageError, nearest
from danlu.eval.results import read_results
from danlu.eval.stored import Measured, Stored, measured
from danlu.records import Score
from danlu.registry import From, Settings, Step
from danlu.track import Track

if TYPE_CHECKING:
    from danlu.eval.versus import Change, Comparison

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
}
_COMPARISON = re.compile(r"<=|>=|<|>|==|!=|=")
_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)|([^\W\d]\w*)|([-+*/()]))")
_NAMES = ("base", "se")
_DEEPEST = 50

Bound = float | str | tuple[Any, ...]
"""A number, a name, or (operator, left, right)."""


@dataclass(frozen=True)
class Expression:
    """A parsed `--fail-if`. `score` is `task.metric`."""

    text: str
    score: str
    comparison: str
    bound: Bound

    @property
    def names(self) -> set[str]:
        """Which of `base` and `se` the bound needs."""
        return set(_names(self.bound))


@dataclass(frozen=True)
class Verdict:
    """What became of one expression. `reason` says why it failed ("" when it did not); `hints` are warnings."""

    expression: str
    failed: bool
    reason: str = ""
    hints: tuple[str, ...] = ()
    value: float | None = None
    bound: float | None = None
    base: float | None = None
    se: float | None = None
    n: int = 0


def parse(text: str) -> Expression:
    """Read one expression; UsageError with the place of the first thing that is wrong."""
    found = _COMPARISON.search(text)
    if found is None:
        raise _wrong(text, len(text), "a comparison is missing: one of < <= > >=")
    if found[0] not in COMPARISONS:
        raise _wrong(text, found.start(), f"{found[0]!r} compares nothing here: scores are measured, use < <= > >=")
    score = text[: found.start()].strip()
    at = len(text[: found.start()]) - len(text[: found.start()].lstrip())
    if not score:
        raise _wrong(text, 0, "the score is missing: an expression starts with task.metric")
    if "." not in score.strip(".") or any(character.isspace() for character in score):
        raise _wrong(text, at, f"{score!r} is no score: they are called task.metric")
    bound = _Reader(text, found.end()).bound()
    return Expression(text.strip(), score, found[0], bound)


class _Reader:
    """Reads the right-hand side, token by token."""

    def __init__(self, text: str, start: int) -> None:
        self.text = text
        self.tokens = list(self._tokens(start))
        self.place = 0
        self.depth = 0

    def _tokens(self, at: int) -> Iterator[tuple[str, str, int]]:
        while self.text[at:].strip():
            found = _TOKEN.match(self.text, at)
            if found is None:
                at += len(self.text[at:]) - len(self.text[at:].lstrip())
                raise _wrong(self.text, at, f"{self.text[at]!r} means nothing here")
            kind = ("number", "name", "sign")[next(place for place in range(3) if found[place + 1] is not None)]
            yield kind, found[0].strip(), found.end() - len(found[0].strip())
            at = found.end()
        yield "end", "", len(self.text.rstrip())

    def bound(self) -> Bound:
        made = self.sum()
        kind, word, at = self.tokens[self.place]
        if kind != "end":
            raise _wrong(self.text, at, f"{word!r} is too much: an operator (+ - * /) is missing before it")
        return made

    def sum(self) -> Bound:
        made = self.product()
        while self.tokens[self.place][1] in ("+", "-"):
            made = (self._next()[1], made, self.product())
        return made

    def product(self) -> Bound:
        made = self.factor()
        while self.tokens[self.place][1] in ("*", "/"):
            made = (self._next()[1], made, self.factor())
        return made

    def factor(self) -> Bound:
        kind, word, at = self._next()
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _wrong(self.text, at, f"more than {_DEEPEST} signs and brackets within each other")
        try:
            if word == "-":
                return ("*", -1.0, self.factor())
            if word == "(":
                made = self.sum()
                if self._next()[1] != ")":
                    raise _wrong(self.text, at, "this bracket is never closed")
                return made
        finally:
            self.depth -= 1
        if kind == "name":
            return self._name(word, at)
        if kind == "number":
            if self.tokens[self.place][0] == "name":
                return ("*", float(word), self._name(*self._next()[1:]))
            return float(word)
        raise _wrong(self.text, at, "a number, `base` or `se` is missing here")

    def _name(self, word: str, at: int) -> str:
        if word not in _NAMES:
            raise _wrong(self.text, at, f"{word!r} is neither `base` nor `se`", nearest(word, _NAMES))
        return word

    def _next(self) -> tuple[str, str, int]:
        token = self.tokens[self.place]
        self.place = min(self.place + 1, len(self.tokens) - 1)
        return token


def _wrong(text: str, at: int, what: str, near: str | None = None) -> UsageError:
    return UsageError(
        what,
        where=f"--fail-if {text!r}, character {at + 1}",
        nearest=near,
        next="write it like 'tmmluplus.acc < base - 2se'; danlu compare --help",
    )


def _names(bound: Bound) -> Iterator[str]:
    if isinstance(bound, str):
        yield bound
    elif isinstance(bound, tuple):
        yield from _names(bound[1])
        yield from _names(bound[2])


def evaluate(bound: Bound, base: float, se: float) -> float:
    """The value of a bound; not a number where it divides by zero."""
    if isinstance(bound, tuple):
        sign, left, right = bound[0], evaluate(bound[1], base, se), evaluate(bound[2], base, se)
        if sign == "/":
            return left / right if right else math.nan
        return left + right if sign == "+" else left - right if sign == "-" else left * right
    return {"base": base, "se": se}[bound] if isinstance(bound, str) else bound


def judge(
    expressions: Sequence[Expression], new: Measured, base: Measured | None = None, made: Comparison | None = None
) -> list[Verdict]:
    """What becomes of each expression; `made` compares the two, where there is a base with a task in common.
    UsageError when an expression needs a base that is not there."""
    scores = _scores(new)
    known = {**(_scores(base) if base else {}), **scores}
    found = []
    for one in expressions:
        if one.score not in known:
            near = nearest(one.score, known)
            found.append(_shut(one, f"no such score was measured{f'; did you mean {near}' if near else ''}"))
            continue
        if base is None and "base" in one.names:
            raise UsageError(
                "`base` needs a base to compare with", where=f"--fail-if {one.text!r}", next="name a base, or a number"
            )
        change = made.change(one.score) if made else None
        found.append(_judged(one, scores.get(one.score), change, _failures(one, new)))
    return found


def _judged(one: Expression, score: Score | None, change: Change | None, told: tuple[str, ...]) -> Verdict:
    if score is None:
        return _shut(one, "the new results lack this score, which the base has")
    hint = (*_direction(one, score), *told)
    if score.n == 0:
        return _shut(one, "it was measured on no question at all (n = 0)", hint)
    if not math.isfinite(score.value):
        return _shut(one, f"its value is {score.value}, not a finite number", hint)
    value, n = score.value, score.n
    base = math.nan
    se: float | None = score.stderr
    if "base" in one.names:
        if change is None:
            return _shut(one, "the base lacks this score", hint)
        if change.incomparable:
            return _shut(one, f"the two are not the same measurement: {change.incomparable}", hint)
        if not math.isfinite(change.base):
            return _shut(one, f"the base's value is {change.base}, not a finite number", hint)
        value, base, se = change.new, change.base, change.stderr
        n = change.n or n
    if "se" in one.names and (se is None or not math.isfinite(se)):
        return _shut(one, "it has no standard error, which the expression needs", hint)
    bound = evaluate(one.bound, base, se if se is not None else math.nan)
    if not math.isfinite(bound):
        return _shut(one, f"its bound is {bound}, not a finite number", hint)
    failed = COMPARISONS[one.comparison](value, bound)
    reason = f"{value:.6g} {one.comparison} {bound:.6g}" if failed else ""
    shown = base if math.isfinite(base) else None
    return Verdict(one.text, failed, reason, hint, value, bound, shown, se, n)


def _shut(one: Expression, reason: str, hint: tuple[str, ...] = ()) -> Verdict:
    return Verdict(one.text, True, reason, hint)


def _direction(one: Expression, score: Score) -> tuple[str, ...]:
    """A warning where the expression fails a model for getting better."""
    if one.comparison.startswith(">") != (score.better == "higher"):
        return ()
    other = one.comparison.translate(str.maketrans("<>", "><"))
    told = f"{one.text!r} fails when {one.score} gets better ({score.better} is better); was {other!r} meant?"
    return (told,)


def _failures(one: Expression, new: Measured) -> tuple[str, ...]:
    """A warning where questions have no value: a model that answers only what is easy is not better."""
    for name, held in new.tasks.items():
        failed = sum(held.result.failures.values()) if one.score.startswith(f"{name}.") else 0
        if failed:
            return (f"{one.score}: {failed} of {held.result.came} questions failed and count for nothing",)
    return ()


def _scores(side: Measured) -> dict[str, Score]:
    return {f"{name}.{score.name}": score for name, held in side.tasks.items() for score in held.result.scores}


def require(verdicts: Sequence[Verdict]) -> None:
    """GateError with every measured value beside its bound when an expression failed."""
    wrong = [one for one in verdicts if one.failed]
    if not wrong:
        return
    told = "\n".join(f"  {one.expression}: {one.reason}" for one in wrong)
    raise GateError(
        f"{len(wrong)} of {len(verdicts)} gates failed\n{told}",
        figures(wrong),
        next="danlu compare A B --flips 5 shows the questions that changed",
    )


def figures(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Each measured value beside its bound, base and standard error."""
    found: dict[str, float] = {}
    for one in verdicts:
        for name in ("value", "bound", "base", "se"):
            number = getattr(one, name)
            if number is not None and math.isfinite(number):
                found[f"{one.expression} [{name}]"] = number
    return found


class GateSettings(Settings):
    new: Annotated[str, From("results")]
    """The results that must hold."""

    base: Annotated[str | None, From("results")] = None
    """The results that `base` in an expression means. None when every bound is a number."""

    fail_if: Annotated[tuple[str, ...], Field(min_length=1)]
    """When to fail: a list of expressions such as `tmmluplus.acc < base - 2se` or `taiwan_usage.taiwan_usage > 1.5`."""

    seed: int = 0
    """The seed of the bootstrap."""

    @field_validator("fail_if")
    @classmethod
    def _readable(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            try:
                parse(value)
            except UsageError as error:
                raise ValueError(f"{error.problem.where}: {error.problem.what}") from None
        return values


class Gate(Step[GateSettings]):
    """Fails the run when one of its expressions is true of the new results, or cannot be decided.

    Writes gate.json with every expression, value, bound and standard error. Not covered: a bound that is another score.
    """

    Settings: ClassVar[type[GateSettings]] = GateSettings
    makes: ClassVar[str] = "gate"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        from danlu.eval.versus import compare

        sides = {name: measured(Stored(read_results(one.path), one.path, one)) for name, one in inputs.items()}
        new, base = sides["new"], sides.get("base")
        together = base is not None and set(base.tasks) & set(new.tasks)
        made = compare(base, new, self.settings.seed, track) if base and together else None
        verdicts = judge([parse(text) for text in self.settings.fail_if], new, base, made)
        for one in verdicts:
            for hint in one.hints:
                track.note(f"warning: {hint}")
        rows = [
            [
                one.expression,
                "failed" if one.failed else "held",
                one.value,
                one.bound,
                one.base,
                one.se,
                one.n,
                one.reason,
            ]
            for one in verdicts
        ]
        out.table("Gates", ["fails if", "", "value", "bound", "base", "standard error", "n", "why"], rows)
        text = json.dumps([vars(one) for one in verdicts], ensure_ascii=False, indent=1, sort_keys=True)
        out.file("gate.json").write_text(text + "\n", encoding="utf-8")
        require(verdicts)
