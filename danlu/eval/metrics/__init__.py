"""The late table of metrics: the word in a task's file → what measures it. Nothing is imported until asked for.

To add a metric, write a `Metric` in a file of its family and add one row.
"""

from __future__ import annotations

import importlib
from typing import cast

from danlu.errors import UsageError, nearest
from danlu.eval.metrics.metric import MEAN, RATIO, Aggregation, Answered, Metric, Ratio

__all__ = [
    "AGGREGATIONS",
    "MEAN",
    "METRICS",
    "RATIO",
    "Aggregation",
    "Answered",
    "Metric",
    "Ratio",
    "aggregation",
    "metric",
]

METRICS: dict[str, str] = {
    "acc": "danlu.eval.metrics.choice:ACC",
    "acc_norm": "danlu.eval.metrics.choice:ACC_NORM",
    "acc_bytes": "danlu.eval.metrics.choice:ACC_BYTES",
    "acc_mutual_info": "danlu.eval.metrics.choice:ACC_MUTUAL_INFO",
    "brier_score": "danlu.eval.metrics.choice:BRIER_SCORE",
    "f1": "danlu.eval.metrics.choice:F1",
    "mcc": "danlu.eval.metrics.choice:MCC",
    "likelihood": "danlu.eval.metrics.choice:LIKELIHOOD",
    "exact_match": "danlu.eval.metrics.text:EXACT_MATCH",
    "bleu": "danlu.eval.metrics.text:BLEU",
    "chrf": "danlu.eval.metrics.text:CHRF",
    "chrf++": "danlu.eval.metrics.text:CHRF_PLUS",
    "ter": "danlu.eval.metrics.text:TER",
    "bypass": "danlu.eval.metrics.text:BYPASS",
    "perplexity": "danlu.eval.metrics.perplexity:PERPLEXITY",
    "word_perplexity": "danlu.eval.metrics.perplexity:WORD_PERPLEXITY",
    "byte_perplexity": "danlu.eval.metrics.perplexity:BYTE_PERPLEXITY",
    "bits_per_byte": "danlu.eval.metrics.perplexity:BITS_PER_BYTE",
}

AGGREGATIONS: dict[str, str] = {
    "mean": "danlu.eval.metrics.metric:MEAN",
    "ratio": "danlu.eval.metrics.metric:RATIO",
    "median": "danlu.eval.metrics.aggregate:MEDIAN",
    "nanmean": "danlu.eval.metrics.aggregate:NANMEAN",
    "bypass": "danlu.eval.metrics.aggregate:BYPASS",
    "f1": "danlu.eval.metrics.choice:F1_OF_ALL",
    "matthews_corrcoef": "danlu.eval.metrics.choice:MATTHEWS",
    "brier_score": "danlu.eval.metrics.choice:BRIER_OF_ALL",
    "bleu": "danlu.eval.metrics.text:CORPUS_BLEU",
    "chrf": "danlu.eval.metrics.text:CORPUS_CHRF",
    "chrf++": "danlu.eval.metrics.text:CORPUS_CHRF_PLUS",
    "ter": "danlu.eval.metrics.text:CORPUS_TER",
    "perplexity": "danlu.eval.metrics.perplexity:EXP_OF_MEAN",
    "weighted_perplexity": "danlu.eval.metrics.perplexity:EXP_OF_RATIO",
    "bits_per_byte": "danlu.eval.metrics.perplexity:BITS_OF_RATIO",
}


def metric(name: str, where: str = "") -> Metric:
    """The metric behind a word; UsageError with the nearest word when there is none."""
    return cast(Metric, _row(METRICS, "metric", name, where))


def aggregation(name: str, where: str = "") -> Aggregation:
    """The aggregation behind a word; UsageError with the nearest word when there is none."""
    return cast(Aggregation, _row(AGGREGATIONS, "aggregation", name, where))


def _row(table: dict[str, str], what: str, name: str, where: str) -> object:
    if name not in table:
        known = f"; there are {', '.join(sorted(table))}"
        raise UsageError(f"unknown {what} {name!r}{known}", where=where, nearest=nearest(name, table))
    module, attribute = table[name].split(":")
    return getattr(importlib.import_module(module), attribute)
