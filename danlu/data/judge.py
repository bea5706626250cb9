"""data.judge: examples scored by a model, the good ones kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import fmean, median_low
from typing import Annotated, Any, Literal, TextIO

from pydantic import Field

from danlu.artifact import Artifact, Draft
from danlu.data.asking import Asking
from danlu.data.flow import encoded
from danlu.data.requests import Failure, Ledger, Request, ledger
from danlu.data.structured import Shape, parse
from danlu.data.synthesize.prompts import messages
from danlu.data.synthesize.writing import example_batches
from danlu.errors import DataError
from danlu.records import Drop, Example
from danlu.registry import From, Step
from danlu.track import Track

CRITERIA = {
    "正確": "內容符合事實與題目給的資料，沒有編造",
    "切題": "回答了使用者真正問的事，遵守每一個要求",
    "完整": "重要的部分都說到，沒有半途中斷",
    "清楚": "條理分明，沒有贅字與重複",
    "臺灣用語": "使用繁體中文與臺灣的用語、標點符號",
}


class JudgeSettings(Asking):
    examples: Annotated[str, From("examples")]
    """The step that made the examples."""

    criteria: Annotated[dict[str, str], Field(min_length=1)] = CRITERIA
    """What is scored, each from 1 (very bad) to 5 (very good): its name, and what it means."""

    threshold: Annotated[float, Field(ge=1, le=5)] = 4.0
    """Keep examples with at least this score."""

    score: Literal["mean", "min"] = "mean"
    """An example's score: the mean of the criteria, or the worst of them."""

    votes: Annotated[int, Field(ge=1, le=9)] = 1
    """How often each example is judged; the median of each criterion counts. More than one needs a temperature."""

    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    """0 always takes the likeliest token."""

    seed: int = 0
    """Seed of the model's sampling."""


class Judgement(Shape):
    reason: str
    scores: dict[str, Annotated[int, Field(ge=1, le=5)]]


class Judge(Step[JudgeSettings]):
    """LLM as a judge (Zheng et al., 2023, arXiv:2306.05685) by a rubric of criteria from 1 to 5, each with its reason.

    `low-score` is dropped with scores and reason. An example whose judgement cannot be had or read (`unjudged`) is
    dropped too, counted apart, and kept whole in judged/unjudged.jsonl: nothing passes unread. Every judgement stands
    in judged/judgements.jsonl; the score goes with the example (`meta.score`).

    One answer is judged at a time, so there is no first place to favour. Known and not covered: judges favour long
    answers and those in their own style (the report says when the judge also wrote what it judges), cannot check facts
    that they do not know, and differ from people; look at a sample of both sides.
    """

    Settings = JudgeSettings
    makes = "examples"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        source = inputs["examples"]
        self.totals: dict[str, list[int]] = {name: [0] * 5 for name in self.settings.criteria}
        self.counts = {"kept": 0, "low-score": 0, "unjudged": 0}
        self.scores: list[float] = []
        names = ("examples.jsonl", "dropped.jsonl", "judged/judgements.jsonl", "judged/unjudged.jsonl")
        files = [out.file(name).open("w", encoding="utf-8", newline="\n") for name in names]
        try:
            with ledger(self.settings, out, track, "judge") as asking:
                for batch in example_batches(source):
                    for example, result in zip(batch, self._judged(asking, batch), strict=True):
                        self._one(example, result, files)
                asking.report(out)
        finally:
            for file in files:
                file.close()
        self._report(out, source)

    def _judged(self, asking: Ledger, batch: list[Example]) -> list[list[Judgement] | Failure]:
        """The judgements of each example that can be read; the last failure when there is none."""
        options = asking.options(schema(self.settings.criteria), self.settings.seed)
        prompts = [prompt(example, self.settings.criteria) for example in batch]
        requests = [
            Request(prompt, options, n=vote * self.settings.attempts)
            for prompt in prompts
            for vote in range(self.settings.votes)
        ]
        results = list(asking.parsed(requests, lambda text: read(text, self.settings.criteria)))
        found: list[list[Judgement] | Failure] = []
        for at in range(0, len(results), self.settings.votes):
            votes = results[at : at + self.settings.votes]
            readable = [vote for vote in votes if isinstance(vote, Judgement)]
            failures = [vote for vote in votes if isinstance(vote, Failure)]
            found.append(readable or failures[-1])
        return found

    def _one(self, example: Example, result: list[Judgement] | Failure, files: Sequence[TextIO]) -> None:
        kept, dropped, judgements, unjudged = files
        source = example.source or example.document
        if isinstance(result, Failure):
            self.counts["unjudged"] += 1
            detail = f"{result.reason}: {result.detail}"
            dropped.write(encoded(Drop(id=example.id, source=source, reason="unjudged", detail=detail)).decode())
            unjudged.write(encoded(example).decode())
            return
        scores = {name: median_low(vote.scores[name] for vote in result) for name in self.settings.criteria}
        for name, given in scores.items():
            self.totals[name][given - 1] += 1
        score = round(fmean(scores.values()) if self.settings.score == "mean" else min(scores.values()), 4)
        self.scores.append(score)
        reasons = [vote.reason for vote in result]
        entry = {"id": example.id, "score": score, "scores": scores, "reasons": reasons}
        judgements.write(json.dumps(entry, ensure_ascii=False, sort_keys=True) + "\n")
        if score >= self.settings.threshold:
            self.counts["kept"] += 1
            judged = example.model_copy(update={"meta": {**example.meta, "score": score}})
            kept.write(encoded(judged).decode())
            return
        self.counts["low-score"] += 1
        told = ", ".join(f"{name} {value}" for name, value in scores.items())
        detail = f"{score:g} ({told}): {reasons[0][:200]}"
        dropped.write(encoded(Drop(id=example.id, source=source, reason="low-score", detail=detail)).decode())

    def _report(self, out: Draft, source: Artifact) -> None:
        kept, reasons = (
            self.counts["kept"],
            {"low-score": self.counts["low-score"], "unjudged": self.counts["unjudged"]},
        )
        reasons = {reason: count for reason, count in reasons.items() if count}
        out.funnel("judge", kept + sum(reasons.values()), kept, reasons, unit="examples")
        out.table("Scores", ["criterion", "1", "2", "3", "4", "5"], [[name, *row] for name, row in self.totals.items()])
        if self.settings.chat in source.licences:
            out.text("Self-judgement", f"{self.settings.chat} also wrote examples that it judges; expect high scores.")
        out.metrics.update(examples=kept, unjudged=self.counts["unjudged"])
        if self.scores:
            out.metrics["mean_score"] = round(fmean(self.scores), 4)
        if not kept:
            told = ", ".join(f"{reason} {count}" for reason, count in reasons.items()) or "none came"
            raise DataError(f"judge: no example is left ({told})", next="lower threshold, or ask another model")


def prompt(example: Example, criteria: Mapping[str, str]) -> tuple[Any, ...]:
    """The request to judge an example. The conversation is JSON, so that nothing in it can pass for the request."""
    talk = [{"role": message.role, "content": message.content} for message in example.messages]
    return messages(
        "judge",
        criteria="\n".join(f"- {name}：{meaning}" for name, meaning in criteria.items()),
        conversation=json.dumps(talk, ensure_ascii=False, indent=1),
        keys=", ".join(f"{json.dumps(name, ensure_ascii=False)}: 整數" for name in criteria),
    )


def schema(criteria: Mapping[str, str]) -> dict[str, Any]:
    """The JSON schema of a judgement by these criteria, reason first."""
    score = {"type": "integer", "minimum": 1, "maximum": 5}
    scores = {
        "type": "object",
        "properties": dict.fromkeys(criteria, score),
        "required": list(criteria),
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"reason": {"type": "string"}, "scores": scores},
        "required": ["reason", "scores"],
        "additionalProperties": False,
    }


def read(text: str, criteria: Mapping[str, str]) -> Judgement | Failure:
    """A judgement that scores each criterion and nothing else, or why the answer is none."""
    found = parse(text, Judgement)
    if isinstance(found, Judgement) and set(found.scores) != set(criteria):
        return Failure("wrong-shape", f"scores of {', '.join(found.scores) or 'nothing'}")
    return found
