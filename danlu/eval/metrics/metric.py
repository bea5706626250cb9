"""What a metric is: how one answered question is measured, and how the measures of many become one number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple


@dataclass(frozen=True)
class Answered:
    """One question with what a model made of it. A task fills in what its kind has.

    multiple_choice: `choices`, and for each of them `logs` (log-likelihood in nats), `greedy` and `tokens`; `target`
    is the place of the right choice, or the places; `unconditional` has the log-likelihoods without the question when
    a metric asks for them. loglikelihood: one entry in `logs`, `greedy`, `tokens`; `target` is the text that was
    scored. loglikelihood_rolling: one entry in `logs` and `tokens`; `target` is the whole text. generate_until:
    `text` is what the model wrote, after the filters (a string, or what a filter makes of it); `target` is a
    reference, or a list of them. `options` are the metric's own arguments from the task's file.
    """

    fields: Mapping[str, Any]
    target: Any
    choices: tuple[str, ...] = ()
    logs: tuple[float, ...] = ()
    greedy: tuple[bool, ...] = ()
    tokens: tuple[int, ...] = ()
    unconditional: tuple[float, ...] = ()
    text: Any = ""
    options: Mapping[str, Any] = field(default_factory=dict)


class Ratio(NamedTuple):
    """A measure that counts with a weight: the score over many questions is sum(top) / sum(bottom)."""

    top: float
    bottom: float


@dataclass(frozen=True)
class Aggregation:
    """How the measures of many questions become one number.

    `of` takes the measures (floats, `Ratio`s, or whatever the metric's `sample` returns) and gives the number.
    `error` says what its standard error is: "mean" (sample standard deviation over the root of n; needs floats),
    "ratio" (linearised; needs `Ratio`s), "log-ratio" (the same of exp(ratio), by the delta method), "bootstrap"
    (`resamples` draws of the questions, as lm-evaluation-harness draws them) or "none". `resample`, where given,
    computes `of` for many draws at once: (measures, places: int64 [draws, n]) → float64 [draws].
    """

    name: str
    of: Callable[[Sequence[Any]], float]
    error: Literal["mean", "ratio", "log-ratio", "bootstrap", "none"] = "bootstrap"
    resamples: int = 1000
    resample: Callable[[Sequence[Any], Any], Any] | None = None


def _mean(measures: Sequence[float]) -> float:
    return sum(measures) / len(measures)


def _ratio(measures: Sequence[Ratio]) -> float:
    tops, bottoms = zip(*measures, strict=True)
    return float(sum(tops)) / float(sum(bottoms))


MEAN = Aggregation("mean", _mean, "mean")
RATIO = Aggregation("ratio", _ratio, "ratio")


@dataclass(frozen=True)
class Metric:
    """A metric: its name in a task's file, its direction and unit, the kinds of task that it can measure, and how.

    `sample` measures one question: a float, a `Ratio`, or any item that `aggregate` understands (a prediction with its
    reference). None means that the question has no part in the metric. `each` turns such an item into the number by
    which two models are compared question by question; None when there is none. `options` names the arguments that a
    task's file may give. `unconditional` asks for `Answered.unconditional`. A metric that cannot measure a question (a
    reference is missing) raises a DataError; it never returns zero for that.
    """

    name: str
    better: Literal["higher", "lower"]
    unit: str
    kinds: tuple[str, ...]
    sample: Callable[[Answered], Any]
    aggregate: Aggregation = MEAN
    each: Callable[[Any], float | Ratio] | None = None
    options: tuple[str, ...] = ()
    unconditional: bool = False
    signature: Callable[[Mapping[str, Any]], str] | None = None
