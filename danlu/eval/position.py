"""Does a model choose what is right, or where it stands? Choices are moved, and the questions asked again.

Each question is asked in all cyclic permutations of its choices, so that each choice stands once at each place. A
model without position bias then chooses every place equally often, and the same choice wherever it stands (Zheng et
al., 2023, "Large Language Models Are Not Robust Multiple Choice Selectors", arXiv:2309.03882). Chosen is the choice
with the highest log-likelihood, as for `acc`.

A question's choices are found in its fields by the layouts below, or where the task's file names them. Not covered:
answers that a model writes out (generate_until), and choices that refer to each other ("all of the above").
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from danlu.errors import DataError
from danlu.eval.ask import Asker, ask_all
from danlu.eval.task import Doc, Task
from danlu.extras import need
from danlu.model.language_model import LogLikelihood

LETTERS = string.ascii_uppercase[:10]
_NAME = "name them in the task's file: danlu: {options: [A, B, C, D], answer: answer}"


@dataclass(frozen=True)
class Layout:
    """Where a question keeps its choices: `options` are fields with one choice each, or one field with a list of them
    (or with a mapping of the lists `text` and `label`, as in ARC). `answer` has the right one's label, its letter, or
    its number from `base`."""

    options: tuple[str, ...]
    answer: str
    base: int = 0

    def choices(self, fields: Mapping[str, Any]) -> list[Any]:
        """The choices, as many as there are."""
        if len(self.options) > 1:
            return [fields[name] for name in self.options if fields.get(name) not in (None, "")]
        held = fields[self.options[0]]
        return list(held["text"] if isinstance(held, Mapping) else held)

    def place(self, fields: Mapping[str, Any]) -> int:
        """Where the right choice stands, from 0. ValueError when the answer names no place."""
        answer = fields[self.answer]
        if labels := self._labels(fields):
            return labels.index(answer)
        letter = str(answer).strip().upper()
        if len(letter) == 1 and letter in LETTERS:
            return LETTERS.index(letter)
        if isinstance(answer, bool):
            raise ValueError(f"{answer!r} is no place")
        return int(answer) - self.base

    def moved(self, fields: Mapping[str, Any], shift: int) -> dict[str, Any]:
        """The fields with each choice `shift` places further to the front (cyclic), and the answer with it."""
        choices = self.choices(fields)
        turned = choices[shift:] + choices[:shift]
        made = dict(fields)
        if len(self.options) > 1:
            made.update(zip([n for n in self.options if fields.get(n) not in (None, "")], turned, strict=True))
        else:
            held = fields[self.options[0]]
            made[self.options[0]] = {**held, "text": turned} if isinstance(held, Mapping) else turned
        place = (self.place(fields) - shift) % len(choices)
        answer = fields[self.answer]
        if labels := self._labels(fields):
            made[self.answer] = labels[place]
        elif str(answer).strip().upper() in LETTERS:
            made[self.answer] = LETTERS[place] if str(answer).strip().isupper() else LETTERS[place].lower()
        else:
            made[self.answer] = type(answer)(place + self.base)
        return made

    def _labels(self, fields: Mapping[str, Any]) -> list[Any]:
        held = fields.get(self.options[0])
        return list(held.get("label", ())) if len(self.options) == 1 and isinstance(held, Mapping) else []


def _numbered(name: str, first: int, count: int) -> tuple[str, ...]:
    return tuple(f"{name}{first + at}" for at in range(count))


_OPTIONS = (
    tuple(LETTERS),
    tuple(LETTERS.lower()),
    tuple(f"option_{letter}" for letter in LETTERS.lower()),
    tuple(f"op{letter}" for letter in LETTERS.lower()),
    _numbered("choice", 1, 10),
    _numbered("ending", 0, 10),
    _numbered("sol", 1, 2),
)
_LISTS = ("choices", "options", "endings")
_ANSWERS = ("answer", "Answer", "answerKey", "ans", "label", "gold", "cop", "target")
LAYOUTS = (Layout(_numbered("mc_answer", 1, 10), "correct_answer_num", base=1),)
"""Layouts beyond the usual fields: Belebele's."""


def layout(docs: Sequence[Doc], options: Sequence[str] = (), answer: str = "") -> Layout | None:
    """How these questions keep their choices, as far as the task's file does not say (`options`, `answer`); None when
    no known layout fits them all. Answers that are numbers count from 1 where one would be too large otherwise."""
    found = [] if options or answer else [*LAYOUTS]
    for name in [answer] if answer else [name for name in _ANSWERS if name in docs[0].fields]:
        known = [tuple(options)] if options else [*_OPTIONS, *((one,) for one in _LISTS)]
        found += [Layout(names, name, base) for names in known for base in (0, 1)]
    return next((one for one in found if all(_fits(one, doc.fields) for doc in docs)), None)


def _fits(one: Layout, fields: Mapping[str, Any]) -> bool:
    if one.options[0] not in fields or one.answer not in fields:
        return False
    try:
        return len(one.choices(fields)) > 1 and 0 <= one.place(fields) < len(one.choices(fields))
    except (ValueError, TypeError, KeyError):
        return False


@dataclass(frozen=True)
class Place:
    """One place of the choices: in how many askings the right choice stood there, how many of them were answered
    rightly, and how often the model chose this place."""

    place: int
    here: int
    right: int
    chosen: int


@dataclass(frozen=True)
class Bias:
    """What moving the choices showed. `consistent` is the share of questions (`n`) with the same choice in every
    permutation, `always` of those that were right in every one; `statistic`, `freedom` and `p` are of the chi-square
    test that all places are chosen equally often. A question's permutations are not independent draws: a model that
    sticks to its choice spreads over the places by itself, so the test errs on the side of finding nothing."""

    task: str
    came: int
    n: int
    places: tuple[Place, ...]
    consistent: float
    always: float
    statistic: float
    freedom: int
    p: float
    failures: Mapping[str, int]


@dataclass(frozen=True)
class _Turn:
    """One asking: how many choices there were, where the right one stood, and which place was chosen."""

    choices: int
    right: int
    chosen: int


def movable(task: Task) -> Layout:
    """How a task keeps its choices, seen to work without a model: its words change when the choices are moved, and it
    calls right what the layout does. DataError that says why its choices cannot be moved."""
    if task.kind != "multiple_choice":
        raise DataError(f"{task.name}: choices cannot be moved in a task of kind {task.kind}")
    said = getattr(getattr(task, "config", None), "danlu", None)
    docs = list(task.documents())
    one = layout(docs, said.options, said.answer) if said else layout(docs)
    if one is None:
        where = f"fields {', '.join(docs[0].fields)}"
        raise DataError(f"{task.name}: the choices of its questions are not found", where=where, next=_NAME)
    for at, doc in enumerate(docs):
        moved = replace(doc, fields=one.moved(doc.fields, 1))
        asked = task.requests(moved, 0, 0)
        if len(asked) < len(one.choices(doc.fields)) or (not at and asked == task.requests(doc, 0, 0)):
            raise DataError(
                f"{task.name}: its words do not come from the fields with the choices, so moving these changes nothing",
                where=f"question {doc.id}",
                next=_NAME,
            )
        right = one.place(moved.fields)
        known = [LogLikelihood(0.0 if place == right else -9.0, place == right, 1) for place in range(len(asked))]
        if task.score(moved, known).values.get("acc", 1.0) != 1.0:
            raise DataError(
                f"{task.name}: the right choice is not where the field {one.answer!r} says",
                where=f"question {doc.id}",
                next=_NAME,
            )
    return one


def position_bias(asker: Asker, task: Task, shots: int, seed: int, fewer_shots: bool) -> Bias:
    """Ask every question of a task in all cyclic permutations. DataError when its choices cannot be moved."""
    one = movable(task)
    docs = list(task.documents())
    moved = [
        (at, replace(doc, fields=one.moved(doc.fields, shift)))
        for at, doc in enumerate(docs)
        for shift in range(len(one.choices(doc.fields)))
    ]
    asked = ask_all(asker, task, [doc for _, doc in moved], shots, seed, fewer_shots, f"{task.name}, choices moved")
    turns_of: dict[int, list[_Turn]] = {at: [] for at in range(len(docs))}
    failures: dict[int, str] = {}
    for (at, doc), result in zip(moved, asked, strict=True):
        if result.failure is not None:
            failures[at] = result.failure.reason
            continue
        count = len(one.choices(doc.fields))
        logs = [log.value for log in result.results[:count] if isinstance(log, LogLikelihood)]
        turns_of[at].append(_Turn(count, one.place(doc.fields), max(range(count), key=logs.__getitem__)))
    whole = [turns for at, turns in turns_of.items() if at not in failures]
    return _bias(task.name, len(docs), whole, dict(sorted(Counter(failures.values()).items())))


def _bias(name: str, came: int, questions: Sequence[Sequence[_Turn]], failures: Mapping[str, int]) -> Bias:
    turns = [turn for some in questions for turn in some]
    most = max((turn.choices for turn in turns), default=0)
    places = tuple(
        Place(
            place,
            here=sum(turn.right == place for turn in turns),
            right=sum(turn.right == place == turn.chosen for turn in turns),
            chosen=sum(turn.chosen == place for turn in turns),
        )
        for place in range(most)
    )
    same = [len({(turn.chosen - turn.right) % turn.choices for turn in some}) == 1 for some in questions]
    always = [all(turn.chosen == turn.right for turn in some) for some in questions]
    statistic, freedom, p = _chi_square(turns)
    n = len(questions)
    share = (sum(same) / n, sum(always) / n) if n else (float("nan"), float("nan"))
    return Bias(name, came, n, places, share[0], share[1], statistic, freedom, p, failures)


def _chi_square(turns: Sequence[_Turn]) -> tuple[float, int, float]:
    """Pearson's test that the places are chosen equally often; questions with different numbers of choices are tested
    apart and added up."""
    stats = need("scipy.stats", "eval")
    statistic, freedom = 0.0, 0
    for count in sorted({turn.choices for turn in turns}):
        chosen = Counter(turn.chosen for turn in turns if turn.choices == count)
        statistic += float(stats.chisquare([chosen[place] for place in range(count)]).statistic)
        freedom += count - 1
    return statistic, freedom, float(stats.chi2.sf(statistic, freedom)) if freedom else float("nan")


def table(found: Bias) -> tuple[str, list[str], list[list[Any]]]:
    """(title, columns, rows) for the report."""
    turns = sum(one.chosen for one in found.places)
    rows = [
        [
            LETTERS[one.place] if one.place < len(LETTERS) else str(one.place + 1),
            one.here,
            f"{one.right / one.here:.3f}" if one.here else "–",
            one.chosen,
            f"{one.chosen / turns:.3f}",
        ]
        for one in found.places
    ]
    columns = ["place", "right choice here", "accuracy here", "chosen", "share"]
    return f"{found.task}: choices moved ({found.n} questions, {turns} askings)", columns, rows


def note(found: Bias) -> str:
    """One line for people."""
    failed = sum(found.failures.values())
    return (
        f"choices moved: the same choice in every permutation for {found.consistent:.1%} of {found.n} questions, "
        f"right in every one for {found.always:.1%}; places chosen equally often: chi-square {found.statistic:.2f}, "
        f"{found.freedom} degrees of freedom, p = {found.p:.3g}" + (f"; {failed} questions failed" if failed else "")
    )
