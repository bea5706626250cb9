"""Which metrics a task has: the entries of `metric_list`, looked up and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from danlu.errors import DataError, nearest
from danlu.eval import metrics
from danlu.eval.harness import code
from danlu.eval.harness.find import Loaded
from danlu.eval.harness.read import Function
from danlu.eval.harness.schema import MetricEntry
from danlu.eval.metrics import Aggregation, Metric

DEFAULTS = {
    "loglikelihood": ("perplexity", "acc"),
    "loglikelihood_rolling": ("word_perplexity", "byte_perplexity", "bits_per_byte"),
    "multiple_choice": ("acc", "acc_norm"),
    "generate_until": ("exact_match",),
}  # of lm-evaluation-harness, for a task without a metric_list


@dataclass(frozen=True)
class Measure:
    """A metric of a task. `metric` is None where the task's own Python measures (`function`, or process_results)."""

    name: str
    metric: Metric | None
    function: Callable[..., Any] | None
    options: Mapping[str, Any]
    aggregation: Aggregation
    better: Literal["higher", "lower"]
    unit: str

    def version(self, task: str) -> str:
        """The version of a score: the task's, and what else the metric's numbers depend on."""
        signature = self.metric.signature(self.options) if self.metric and self.metric.signature else ""
        return f"{task}; {signature}" if signature else task


def measures(loaded: Loaded) -> list[Measure]:
    """The metrics of a task, in its order. UsageError for a metric or aggregation that is not known (with the nearest
    one),
    DataError for an argument that a metric does not have or a kind of task that it cannot measure."""
    entries = loaded.config.metric_list
    if entries is None:
        return [_default(name) for name in DEFAULTS[loaded.config.output_type]]
    return [_measure(entry, loaded, loaded.where("metric_list", place)) for place, entry in enumerate(entries)]


def _default(name: str) -> Measure:
    found = metrics.metric(name)
    return Measure(name, found, None, {}, found.aggregate, found.better, found.unit)


def _measure(entry: MetricEntry, loaded: Loaded, where: str) -> Measure:
    options = dict(entry.model_extra or {})
    function, found = None, None
    if isinstance(entry.metric, Function):
        name = entry.metric.spec.rpartition(".")[2]
        function = _code(entry.metric, loaded, "metric_list")
    else:
        name = entry.metric
        if loaded.config.process_results is None or name in metrics.METRICS:
            found = metrics.metric(name, where)
    if found is not None and loaded.config.process_results is None:
        if isinstance(entry.aggregation, Function) and loaded.config.output_type not in found.kinds:
            function = _pair
        else:
            _check(found, options, loaded, where)
    better = found.better if found else "higher"
    if entry.higher_is_better is not None:
        better = "higher" if entry.higher_is_better else "lower"
    aggregation = _aggregation(entry, found, loaded, where)
    unit = found.unit if found else "score"
    own = None if loaded.config.process_results is not None or function is not None else found
    return Measure(name, own, function, options, aggregation, better, unit)


def _pair(references: list[Any], predictions: list[Any], **options: Any) -> tuple[Any, Any]:
    """(reference, what was written), for an aggregation of the task's own Python."""
    return references[0], predictions[0]


def _check(found: Metric, options: Mapping[str, Any], loaded: Loaded, where: str) -> None:
    kind = loaded.config.output_type
    if kind not in found.kinds:
        raise DataError(
            f"{found.name} cannot measure a task of kind {kind}; it measures {', '.join(found.kinds)}", where=where
        )
    for option in options:
        if option not in found.options:
            raise DataError(
                f"{found.name} has no argument {option!r}; it has {', '.join(found.options) or 'none'}", where=where,
                nearest=nearest(option, [*found.options, "aggregation", "higher_is_better"]),
            )  # fmt: skip


def _aggregation(entry: MetricEntry, found: Metric | None, loaded: Loaded, where: str) -> Aggregation:
    if isinstance(entry.aggregation, Function):
        return Aggregation(entry.aggregation.spec, _code(entry.aggregation, loaded, "metric_list"), "none")
    if entry.aggregation is None:
        return found.aggregate if found else metrics.MEAN
    if found is not None and entry.aggregation == found.aggregate.name:
        return found.aggregate
    return metrics.aggregation(entry.aggregation, where)


def _code(function: Function, loaded: Loaded, field: str) -> Callable[..., Any]:
    if not loaded.trust:
        raise code.refuse(function, field)
    return code.load(function, field)


def generation(loaded: Loaded) -> dict[str, Any]:
    """The settings of a generation: {stop, max_tokens, temperature, top_p}. Greedy unless the task samples; it stops at
    the separator of examples where `until` says nothing. DataError for what a backend would have to ignore."""
    settings = dict(loaded.config.generation_kwargs or {})
    where = loaded.where("generation_kwargs")
    until = settings.pop("until", [loaded.config.fewshot_delimiter])
    lengths = [settings.pop(key, None) for key in LENGTHS]
    temperature, sample = settings.pop("temperature", 0.0), settings.pop("do_sample", None)
    top_p = settings.pop("top_p", 1.0)
    settings = {key: value for key, value in settings.items() if HARMLESS.get(key, ...) not in (value, None)}
    if settings:
        key = next(iter(settings))
        known = [*LENGTHS, "until", "temperature", "do_sample", "top_p"]
        raise DataError(f"generation_kwargs: {key} is not supported", where=where, nearest=nearest(key, known))
    try:
        return {
            "stop": tuple(str(mark) for mark in ([until] if isinstance(until, str) else until or []) if mark != ""),
            "max_tokens": int(next((length for length in lengths if length is not None), 256)),
            "temperature": 0.0 if sample is False else float(temperature),
            "top_p": float(top_p),
        }
    except (TypeError, ValueError) as error:
        raise DataError(f"generation_kwargs: {error}", where=where) from None


LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
HARMLESS: dict[str, Any] = {"num_beams": 1, "num_return_sequences": 1, "use_cache": None}
