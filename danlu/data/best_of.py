"""data.best_of: several answers to one prompt, compared by a judge or a reward model, the best against the worst."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Annotated, Any, Literal, NamedTuple, Protocol

from pydantic import Field, model_validator

from danlu.artifact import Artifact, Draft
from danlu.data.asking import Asking
from danlu.data.flow import encoded
from danlu.data.prefer import preference
from danlu.data.rankings import PairSettings, Scored, chosen
from danlu.data.requests import Failure, Ledger, Request, ledger
from danlu.data.structured import Shape, parse, schema, without_thoughts
from danlu.data.synthesize.prompts import messages
from danlu.data.synthesize.writing import example_batches
from danlu.errors import DataError
from danlu.records import Drop, Example, Message, Preference
from danlu.registry import ChatName, From, ModelName, Step
from danlu.track import Track

CRITERIA = {
    "正確": "內容符合事實與對話給的資料，沒有編造",
    "切題": "回答了使用者真正問的事，遵守每一個要求",
    "清楚": "條理分明，沒有贅字與重複",
    "臺灣用語": "使用繁體中文與臺灣的用語、標點符號",
}
_JUDGE_TOKENS = 512


class BestOfSettings(Asking, PairSettings):
    examples: Annotated[str, From("examples")]
    """The step that made the examples; their conversations without the last answer are the prompts."""

    n: Annotated[int, Field(ge=1, le=32)] = 4
    """How many answers are asked for."""

    reference: bool = False
    """The example's own answer takes part."""

    judge: Annotated[str | None, ChatName()] = None
    """Who compares the answers, two at a time and in both orders; a Chat, as in `chat`."""

    reward: Annotated[str | None, ModelName()] = None
    """Instead of a judge: a reward model, a sequence classifier with one label (folder or hub id)."""

    criteria: Annotated[dict[str, str], Field(min_length=1)] = CRITERIA
    """What the judge compares by: names, and what they mean."""

    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    """Of the answers. The judge always takes the likeliest token."""

    seed: int = 0
    """Seed of the model's sampling."""

    @model_validator(mode="after")
    def _fits(self) -> BestOfSettings:
        if (self.judge is None) == (self.reward is None):
            raise ValueError("name one of judge and reward")
        if self.n + self.reference < 2:
            raise ValueError("one answer has nothing to be compared with: a larger n, or reference: true")
        if self.n > 1 and self.temperature == 0:
            raise ValueError("temperature 0 gives the same answer n times")
        return self


class Verdict(Shape):
    reason: str
    better: Literal["甲", "乙", "平手"]


class Ranked(NamedTuple):
    """The answers of one prompt with their scores, and the pairs of which the better won in both orders (None: the
    scores alone decide)."""

    answers: list[Scored]
    won: set[tuple[str, str]] | None


class Scores(Protocol):
    """What `danlu.data.reward.Reward` is, and any fake of it."""

    def scores(self, conversations: Sequence[Sequence[Message]]) -> list[float]: ...


class BestOf(Step[BestOfSettings]):
    """Asks `n` times for an answer to each prompt and makes pairs of the answers by their score.

    The score by a judge (Zheng et al., 2023, arXiv:2306.05685) is the share of its comparisons that an answer won, half
    a point for a draw. Every two answers are compared in both orders; a comparison that turns with the order is a draw,
    one that cannot be read in either order counts for neither. Only answers that beat the other in both orders make a
    pair. The report says how often the order changed the verdict. The score by a reward model is its logit.

    Drops: `same-answers` (fewer than two different ones came), `tie` (no two differ by `margin`, or none won in both
    orders), `unjudged` (no comparison could be read). Answers that could not be had are counted. Not covered: a judge
    that prefers long answers or its own style.
    """

    Settings = BestOfSettings
    makes = "preferences"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        self.reasons: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        with (
            out.file("preferences.jsonl").open("wb") as lines,
            out.file("dropped.jsonl").open("wb") as dropped,
            ledger(self.settings, out, track, "answers") as asking,
        ):
            for examples, ranked in self._ranked(inputs["examples"], asking, out, track):
                for example, found in zip(examples, ranked, strict=True):
                    made = list(self._pairs(example, found))
                    lines.writelines(map(encoded, made))
                    self.counts["pairs"] += len(made)
                    self.counts["examples"] += bool(made)
                    if not made:
                        reason, detail = _why(found)
                        self.reasons[reason] += 1
                        source = example.source or example.document
                        dropped.write(encoded(Drop(id=example.id, source=source, reason=reason, detail=detail)))
            asking.report(out)
        self._report(out)

    def _ranked(
        self, source: Artifact, asking: Ledger, out: Draft, track: Track
    ) -> Iterator[tuple[list[Example], list[Ranked]]]:
        if self.settings.reward is not None:
            reward = opened_reward(self.settings.reward)
            for examples in example_batches(source):
                yield examples, _rewarded(examples, self._answers(examples, asking), reward)
            return
        settings = self.settings.model_copy(update={"temperature": 0.0, "max_tokens": _JUDGE_TOKENS})
        with ledger(settings, out, track, "compare", name=self.settings.judge) as judge:
            for examples in example_batches(source):
                yield examples, self._judged(examples, self._answers(examples, asking), judge)
            judge.report(out)

    def _answers(self, examples: list[Example], asking: Ledger) -> list[list[str]]:
        """The different answers to each prompt, in the order in which they came."""
        options = asking.options(seed=self.settings.seed)
        requests = [
            Request(tuple(example.messages[:-1]), options, n=number * self.settings.attempts)
            for example in examples
            for number in range(self.settings.n)
        ]
        results = list(asking.parsed(requests, lambda text: without_thoughts(text) or Failure("no-answer")))
        found = []
        for at, example in enumerate(examples):
            some = results[at * self.settings.n : (at + 1) * self.settings.n]
            own = [example.messages[-1].content] if self.settings.reference else []
            self.counts["answers"] += sum(isinstance(one, str) for one in some)
            self.counts["no answer"] += sum(isinstance(one, Failure) for one in some)
            found.append(list(dict.fromkeys([*own, *(one for one in some if isinstance(one, str))])))
        return found

    def _judged(self, examples: list[Example], answers: list[list[str]], judge: Ledger) -> list[Ranked]:
        places = [
            (at, first, second)
            for at, some in enumerate(answers)
            for one, other in combinations(range(len(some)), 2)
            for first, second in ((one, other), (other, one))
        ]
        options = judge.options(schema(Verdict))
        requests = [
            Request(question(examples[at], answers[at][first], answers[at][second], self.settings.criteria), options)
            for at, first, second in places
        ]
        verdicts = list(judge.parsed(requests, lambda text: parse(text, Verdict)))
        points: dict[int, list[list[float]]] = {at: [[] for _ in some] for at, some in enumerate(answers)}
        won: dict[int, set[tuple[str, str]]] = {at: set() for at in points}
        for (at, one, other), there, back in zip(places[::2], verdicts[::2], verdicts[1::2], strict=True):
            self.counts["comparisons"] += 1
            if isinstance(there, Failure) or isinstance(back, Failure):
                self.counts["unread"] += 1
                continue
            point = _point(there, back)
            self.counts["turned"] += {there.better, back.better} in ({"甲"}, {"乙"})
            points[at][one].append(point)
            points[at][other].append(1 - point)
            if point != 0.5:
                better, worse = (one, other) if point else (other, one)
                won[at].add((answers[at][better], answers[at][worse]))
        return [_scored(some, points[at], won[at]) for at, some in enumerate(answers)]

    def _pairs(self, example: Example, ranked: Ranked) -> Iterator[Preference]:
        for better, worse in chosen(ranked.answers, self.settings):
            if ranked.won is None or (better.answer, worse.answer) in ranked.won:
                meta = {"origin": example.id}
                source = example.source
                made = preference(example.messages[:-1], better, worse, source, meta, method="best-of")
                yield made.model_copy(update={"document": example.document, "tools": example.tools})

    def _report(self, out: Draft) -> None:
        counts, came = self.counts, self.counts["examples"] + self.reasons.total()
        if not counts["pairs"]:
            told = ", ".join(f"{reason} {count}" for reason, count in sorted(self.reasons.items())) or "none came"
            raise DataError(f"no pair could be made of {came} prompts: {told}", next="a larger n, or a smaller margin")
        out.funnel("best_of", came, counts["examples"], dict(sorted(self.reasons.items())), unit="prompts")
        rows: list[list[Any]] = [["answers", counts["answers"]], ["answers that could not be had", counts["no answer"]]]
        if self.settings.judge is not None:
            compared = counts["comparisons"] - counts["unread"]
            share = f"{100 * counts['turned'] / compared:.1f} %" if compared else "–"
            rows += [["comparisons, in both orders", counts["comparisons"]], ["not readable", counts["unread"]]]
            rows += [["verdict turned with the order", counts["turned"]], ["share of those read", share]]
            if self.settings.judge == self.settings.chat:
                out.text(
                    "Self-judgement", f"{self.settings.judge} also wrote the answers; it may favour its own style."
                )
        out.table("Answers", ["what", "count"], rows)
        out.metrics.update(preferences=counts["pairs"], unread=counts["unread"], turned=counts["turned"])


def opened_reward(name: str) -> Scores:
    """The reward model of that name."""
    from danlu.data.reward import Reward

    return Reward(name)


def question(example: Example, first: str, second: str, criteria: Mapping[str, str]) -> tuple[Message, ...]:
    """The request to compare two answers, as JSON, so that nothing in them can pass for the request."""
    talk = [{"role": message.role, "content": message.content} for message in example.messages[:-1]]
    return messages(
        "compare",
        criteria="\n".join(f"- {name}：{meaning}" for name, meaning in criteria.items()),
        conversation=json.dumps(talk, ensure_ascii=False, indent=1),
        first=json.dumps(first, ensure_ascii=False),
        second=json.dumps(second, ensure_ascii=False),
    )


def _point(there: Verdict, back: Verdict) -> float:
    """What the first answer gets: 1 won and 0 lost in both orders, else half."""
    if (there.better, back.better) == ("甲", "乙"):
        return 1.0
    return 0.0 if (there.better, back.better) == ("乙", "甲") else 0.5


def _scored(answers: list[str], points: list[list[float]], won: set[tuple[str, str]]) -> Ranked:
    """Answers with the mean of their points; without those that no readable comparison is about."""
    if len(answers) < 2:
        return Ranked([Scored(answer, 0.0) for answer in answers], won)
    found = [Scored(text, sum(got) / len(got)) for text, got in zip(answers, points, strict=True) if got]
    return Ranked(found, won if found else None)


def _rewarded(examples: list[Example], answers: list[list[str]], reward: Scores) -> list[Ranked]:
    talks = [
        [*example.messages[:-1], Message(role="assistant", content=answer)]
        for example, some in zip(examples, answers, strict=True)
        for answer in some
    ]
    scores = iter(reward.scores(talks) if talks else [])
    return [Ranked([Scored(answer, round(next(scores), 4)) for answer in some], None) for some in answers]


def _why(ranked: Ranked) -> tuple[str, str]:
    if not ranked.answers and ranked.won is None:
        return "unjudged", "no comparison could be read"
    if len(ranked.answers) < 2:
        return "same-answers", f"{len(ranked.answers)} different"
    told = ", ".join(f"{one.score:g}" for one in ranked.answers)
    return "tie", f"scores {told}"
