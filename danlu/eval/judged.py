"""eval.judge: a model judges the answers that two others gave in the same task."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from danlu.artifact import Artifact, Draft
from danlu.eval.answers import Answers, Item, joined, matched, read_answers, read_items
from danlu.eval.ask import Asker
from danlu.eval.cache import Cache
from danlu.eval.chats import ChatModel
from danlu.eval.judge import Comparison, Judge, Position, WinRate, position, win_rate
from danlu.model.named import fingerprint, licence, opened
from danlu.records import write_jsonl
from danlu.registry import Aside, ChatName, From, Settings, Source, Step
from danlu.track import Track


class JudgedSettings(Settings):
    base: Annotated[str, From("results")]
    """The step that asked the model before (eval.run)."""
    tuned: Annotated[str, From("results")]
    """The step that asked the model after."""
    judge: Annotated[str, ChatName()]
    """Who judges: an endpoint, a GGUF file, a built-in model or a script."""
    task: str = "mt_bench_tw"
    """The task whose answers are judged; it must generate text."""
    questions: Annotated[Path | None, Source()] = None
    """The questions as JSONL (id, turns); needed where a question has several turns."""
    references: Annotated[Path | None, Source()] = None
    """Right answers to these questions as JSONL (id, answer), which the judge is shown."""
    attempts: int = Field(2, ge=1)
    """How often a judgement is asked for until it can be read."""
    max_tokens: int = Field(1024, ge=16)
    """Longest judgement, in tokens."""
    at_once: Annotated[int, Aside(), Field(ge=1)] = 8
    """Requests that are sent to an endpoint at once."""
    seed: int = 0
    """Seed of the judge's sampling and of the bootstrap."""


class Judged(Step[JudgedSettings]):
    """LLM as a judge (Zheng et al., 2023): pairs of answers in both orders; a side wins where both verdicts name it.

    The win rate of the tuned model has n, standard error and interval by questions; position bias and what could not
    be judged stand beside it, and every verdict in comparisons.jsonl. Not covered: whether the judge is right;
    `danlu judge --labels` measures that against people.
    """

    Settings: ClassVar[type[JudgedSettings]] = JudgedSettings
    makes: ClassVar[str] = "scores"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        settings = self.settings
        items, (base, tuned) = self._answers(inputs)
        with Cache(out.work / "replies.sqlite", track) as cache, opened(settings.judge, settings.at_once) as who:
            model = ChatModel(who.chat, settings.judge, fingerprint(settings.judge, "."), who.at_once)
            judge = Judge(Asker(model, cache, track), settings.max_tokens, settings.attempts, seed=settings.seed)
            found = judge.compare(items, base, tuned)
        out.licences[settings.judge] = licence(settings.judge, ".")
        write_jsonl(out.file("comparisons.jsonl"), found)
        self._write(out, found, base, tuned)

    def _answers(self, inputs: Mapping[str, Artifact]) -> tuple[list[Item], Sequence[Answers]]:
        settings = self.settings
        sides = [read_answers(inputs[name].path, task=settings.task) for name in ("base", "tuned")]
        if settings.questions is None:
            return joined(sides), sides
        items = read_items(settings.questions, settings.references)
        return items, [matched(side, items) for side in sides]

    def _write(self, out: Draft, found: Sequence[Comparison], base: Answers, tuned: Answers) -> None:
        rate, place = win_rate(found, self.settings.seed), position(found)
        kept = {"tuned": {"model": tuned.name, "against": base.name, "scores": [rate.score().model_dump()]}}
        out.file("scores.json").write_text(
            json.dumps(kept, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8"
        )
        out.metrics["win_rate"] = rate.estimate.value
        out.funnel("judged", len(found), place.judged, rate.failures, unit="pairs of answers")
        columns = ["what", "value"]
        out.table(f"{tuned.name} against {base.name}, judged by {self.settings.judge}", columns, _rows(rate, place))


def _rows(rate: WinRate, place: Position) -> list[list[Any]]:
    score, estimate = rate.score(), rate.estimate
    shown = f"{score.value:.3f}" + (f" ± {score.stderr:.3f}" if score.stderr is not None else "")
    interval = f" ({estimate.low:.3f} to {estimate.high:.3f})" if score.stderr is not None else ""
    return [
        ["win rate, ties half (higher is better)", shown + interval],
        ["pairs judged", score.n],
        ["won, tied, lost", f"{rate.wins}, {rate.ties}, {rate.losses}"],
        ["sign test over questions", f"p {rate.p:.3g}"],
        ["both orders agreed", f"{place.agreed} of {place.judged}"],
        ["the first place won whoever stood there", place.first],
        ["the second place", place.second],
    ]
