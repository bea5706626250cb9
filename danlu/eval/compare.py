"""eval.compare: a model before and after, on documents that it never saw.

Bits per character of held-out answers (as in Shannon 1951: how well the model predicts them), Taiwan usage of its own
greedy answers, and multiple choice. Each score has its n and standard error; a change is measured on the same examples.
Not covered: whether an answer is true, long conversations, sampling.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from danlu.artifact import Artifact, Draft
from danlu.errors import DataError, ModelError
from danlu.eval.choice import Question, accuracy, read_questions
from danlu.eval.statistics import ratio
from danlu.model.scorer import Pair
from danlu.records import Example, Score, read_jsonl
from danlu.registry import From, ModelName, Settings, Source, Step
from danlu.track import Track

VERSION = "1"


class CompareSettings(Settings):
    base: Annotated[str, ModelName()]
    """The model before: a built-in name, a local folder or a hub id. It answers through the tuned model's template."""
    tuned: Annotated[str, From("model")]
    """The step that made the model after."""
    data: Annotated[str, From("split")]
    """The held-out examples."""
    examples: int = Field(100, ge=2)
    """Most held-out examples to measure bits per character on, spread evenly."""
    answers: int = Field(16, ge=0)
    """Greedy answers to write, for Taiwan usage and the samples; 0 for none."""
    max_tokens: int = Field(64, ge=1)
    """Longest greedy answer, in tokens."""
    questions: Annotated[Path | None, Source()] = None
    """Multiple-choice questions as JSONL: question, choices, answer (a letter or a place from 0)."""


@dataclass(frozen=True)
class Measured:
    """What one model did: per-example sums that scores and their paired changes are made of.

    `bits` and `characters` have one entry an example, `hits` and `written` one an answer, `right` one a question.
    """

    bits: list[float]
    characters: list[float]
    answers: list[str]
    hits: list[float]
    written: list[float]
    right: list[float]


@dataclass(frozen=True)
class Measure:
    """A score as sums over items: value = scale x sum(top) / sum(bottom).

    Where the top `counts` things, the error is never below that of one thing: no hit in 500 characters is not 0 ± 0.
    """

    name: str
    unit: str
    better: Literal["higher", "lower"]
    scale: float
    top: str
    bottom: str | None
    counts: bool


MEASURES = (
    Measure("bits_per_character", "bits", "lower", 1.0, "bits", "characters", False),
    Measure("taiwan_usage", "hits per 1,000 characters", "lower", 1000.0, "hits", "written", True),
    Measure("multiple_choice", "share right", "higher", 1.0, "right", None, True),
)


class Compare(Step[CompareSettings]):
    """Measure a model before and after training, on the same held-out examples."""

    Settings: ClassVar[type[CompareSettings]] = CompareSettings
    makes: ClassVar[str] = "scores"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        from danlu.model import find, load, template

        settings = self.settings
        every = list(read_jsonl(inputs["data"].file("test.jsonl"), Example))
        tokenizer = load.load_tokenizer(inputs["tuned"].path)
        examples = [example for example in every if template.writes(tokenizer, example.messages)]
        if len(examples) < 2:
            raise DataError(
                f"at least two held-out examples that the template writes are needed, not {len(examples)}",
                where=str(inputs["data"].path),
                next="hold out more: a larger test_fraction of data.split",
            )
        held = spread(examples, settings.examples)
        questions = read_questions(settings.questions) if settings.questions else []
        folders = {"base": find.locate(settings.base, track=track), "tuned": inputs["tuned"].path}
        if load.load_tokenizer(folders["base"]).get_vocab() != tokenizer.get_vocab():
            raise ModelError(f"{settings.base} has another vocabulary than {settings.tuned}: is it the model before?")
        found = {
            name: measure(load.load_model(folder), tokenizer, held, questions, settings, track)
            for name, folder in folders.items()
        }
        out.text("Measured on", f"{len(held)} of {len(examples)} held-out examples, at even distances")
        if refused := len(every) - len(examples):
            out.text("Not measured", f"The template refuses {refused} of {len(every)} held-out examples.")
        write(out, settings, held, found)


def spread(examples: Sequence[Example], count: int) -> list[Example]:
    """At most `count` examples at even distances, so that every document has its share."""
    if len(examples) <= count:
        return list(examples)
    return [examples[place * len(examples) // count] for place in range(count)]


def answer_pair(tokenizer: Any, example: Example) -> Pair:
    """The tokens of the conversation up to its last answer, as serving writes them, and of that answer and its stop
    token. Earlier answers are context. DataError when the last message is no answer to anything."""
    from danlu.model import template

    if len(example.messages) < 2 or example.messages[-1].role != "assistant":
        raise DataError(f"example {example.id} does not end with the assistant's answer to a message")
    start = len(template.render(tokenizer, example.messages[:-1], answer=True))
    ids, trained = template.encode(tokenizer, example.messages)
    end = len(trained) - trained[::-1].index(True)
    return ids[:start], ids[start:end]


def measure(
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    questions: Sequence[Question],
    settings: CompareSettings,
    track: Track,
) -> Measured:
    """Run every measurement on one model."""
    from danlu.eval.generate import greedy_answers
    from danlu.model.head import ModelScorer
    from danlu.text.usage import find

    scorer = ModelScorer(model, track=track)
    pairs = [answer_pair(tokenizer, example) for example in examples]
    bits = [-log / math.log(2) for log, _ in scorer.loglikelihood(pairs)]
    asked = spread(examples, settings.answers) if settings.answers else []
    prompts = [example.messages[:-1] for example in asked]
    answers = greedy_answers(model, tokenizer, prompts, settings.max_tokens, track)
    return Measured(
        bits=bits,
        characters=[float(len(example.messages[-1].content)) for example in examples],
        answers=answers,
        hits=[float(len(find(answer))) for answer in answers],
        written=[float(sum(not c.isspace() for c in answer)) for answer in answers],
        right=accuracy(scorer, tokenizer, questions),
    )


def scores(measured: Measured) -> list[Score]:
    """The scores of one model; a measure without items has none."""
    made = []
    for one in MEASURES:
        tops, bottoms = _sums(one, measured)
        if tops and sum(bottoms) > 0:
            value, error = _estimate(one, tops, bottoms)
            made.append(
                Score(
                    name=one.name,
                    value=value,
                    n=len(tops),
                    stderr=error if math.isfinite(error) else None,
                    unit=one.unit,
                    better=one.better,
                    version=VERSION,
                )
            )
    return made


def change(one: Measure, base: Measured, tuned: Measured) -> tuple[float, float]:
    """The change from base to tuned and its standard error.

    Paired, example by example, where both were measured on the same text; for Taiwan usage each model wrote its own
    text, so the two errors are added as independent ones.
    """
    (a, below), (b, above) = _sums(one, base), _sums(one, tuned)
    if below == above:
        return _estimate(one, [y - x for x, y in zip(a, b, strict=True)], below)
    (x, dx), (y, dy) = _estimate(one, a, below), _estimate(one, b, above)
    return y - x, math.hypot(dx, dy)


def _estimate(one: Measure, tops: Sequence[float], bottoms: Sequence[float]) -> tuple[float, float]:
    """The value and its standard error; infinite where one item alone was measured."""
    value, error = ratio(tops, bottoms)
    if one.counts:
        error = max(error, 1 / sum(bottoms))
    return one.scale * value, one.scale * error


def _sums(one: Measure, measured: Measured) -> tuple[list[float], list[float]]:
    tops: list[float] = getattr(measured, one.top)
    return tops, getattr(measured, one.bottom) if one.bottom else [1.0] * len(tops)


def write(out: Draft, settings: CompareSettings, held: Sequence[Example], found: Mapping[str, Measured]) -> None:
    """scores.json, samples.jsonl and the report's tables."""
    base, tuned = found["base"], found["tuned"]
    made = {name: scores(measured) for name, measured in found.items()}
    names = {"base": settings.base, "tuned": settings.tuned}
    kept = {name: {"model": names[name], "scores": [s.model_dump() for s in made[name]]} for name in made}
    out.file("scores.json").write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    rows: list[list[Any]] = []
    for one in MEASURES:
        pair = [next((score for score in made[name] if score.name == one.name), None) for name in ("base", "tuned")]
        if pair[0] is None or pair[1] is None:
            continue
        value, error = change(one, base, tuned)
        share = f"{value / pair[0].value:+.1%}" if pair[0].value else "–"
        shown = [f"{score.value:.3f}{_shown(score.stderr)}" for score in pair if score]
        rows.append([one.name, one.unit, *shown, f"{value:+.3f}{_shown(error)}", share, pair[0].n, one.better])
        out.metrics |= {f"{one.name}.base": pair[0].value, f"{one.name}.tuned": pair[1].value}
    columns = ["score", "unit", f"before: {settings.base}", f"after: {settings.tuned}", "change", "", "n", "better"]
    out.table("Before and after, on documents never trained on (value ± standard error)", columns, rows)
    samples(out, settings, held, base, tuned)


def _shown(error: float | None) -> str:
    return f" ± {error:.3f}" if error is not None and math.isfinite(error) else ""


def samples(out: Draft, settings: CompareSettings, held: Sequence[Example], base: Measured, tuned: Measured) -> None:
    """The greedy answers of both models side by side."""
    asked = spread(held, settings.answers) if settings.answers else []
    with out.file("samples.jsonl").open("w", encoding="utf-8") as file:
        for example, a, b in zip(asked, base.answers, tuned.answers, strict=True):
            row = {"prompt": example.messages[-2].content, "reference": example.messages[-1].content}
            file.write(json.dumps(row | {"base": a, "tuned": b}, ensure_ascii=False, sort_keys=True) + "\n")
    if asked:
        shown = [
            [example.messages[-2].content, example.messages[-1].content, a, b]
            for example, a, b in zip(asked, base.answers, tuned.answers, strict=True)
        ]
        columns = ["asked", "the document says", f"before: {settings.base}", f"after: {settings.tuned}"]
        out.table("Samples: greedy answers to held-out questions", columns, shown)
