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
    "bits_per_character": "danlu.eval.metrics.perplexity:BITS_PER_CHARACTER",
    "span_exact": "danlu.eval.metrics.span:SPAN_EXACT",
    "span_f1": "danlu.eval.metrics.span:SPAN_F1",
    "contains": "danlu.eval.metrics.needle:CONTAINS",
    "rouge1_zh": "danlu.eval.metrics.overlap:ROUGE1",
    "rouge2_zh": "danlu.eval.metrics.overlap:ROUGE2",
    "rougeL_zh": "danlu.eval.metrics.overlap:ROUGE_L",
    "bleu_zh": "danlu.eval.metrics.overlap:BLEU_ZH",
    "bert_score": "danlu.eval.metrics.overlap:BERT_SCORE",
    "execution_accuracy": "danlu.eval.metrics.sql:EXECUTION",
    "bird_accuracy": "danlu.eval.metrics.sql:BIRD",
    "executable": "danlu.eval.metrics.sql:EXECUTABLE",
    "sql_stopped": "danlu.eval.metrics.sql:STOPPED",
    "json_parses": "danlu.eval.metrics.structured:PARSES",
    "json_valid": "danlu.eval.metrics.structured:VALID",
    "json_fields": "danlu.eval.metrics.structured:FIELDS",
    "json_values": "danlu.eval.metrics.structured:VALUES",
    "tool_call": "danlu.eval.metrics.tools:TOOL_CALL",
    "tool_name": "danlu.eval.metrics.tools:TOOL_NAME",
    "tool_readable": "danlu.eval.metrics.tools:TOOL_READABLE",
    "taiwan_usage": "danlu.eval.metrics.taiwan:TAIWAN_USAGE",
    "traditional": "danlu.eval.metrics.taiwan:TRADITIONAL",
    "chinese": "danlu.eval.metrics.taiwan:CHINESE",
    "refusal": "danlu.eval.metrics.refusal:REFUSAL",
    "over_refusal": "danlu.eval.metrics.refusal:OVER_REFUSAL",
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
