"""Metrics of how well a model predicts a text. The measures are (log-likelihood in nats, units of text)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from danlu.eval.metrics.metric import Aggregation, Answered, Metric, Ratio

ROLLING = ("loglikelihood_rolling",)


def _of_words(answered: Answered) -> tuple[float, int]:
    return answered.logs[0], len(re.split(r"\s+", str(answered.target)))


def _of_bytes(answered: Answered) -> tuple[float, int]:
    return answered.logs[0], len(str(answered.target).encode())


def _of_characters(answered: Answered) -> tuple[float, int]:
    return answered.logs[0], len(str(answered.target))


def _nats(item: tuple[float, int]) -> Ratio:
    return Ratio(-item[0], item[1])


def _bits(item: tuple[float, int]) -> Ratio:
    return Ratio(-item[0] / math.log(2), item[1])


def _weighted(items: Sequence[tuple[float, int]]) -> float:
    tops, bottoms = zip(*items, strict=True)
    return float(sum(tops)) / float(sum(bottoms))


def _exp_of_means(logs: Sequence[float], places: Any) -> Any:
    import numpy as np

    return np.exp(-np.asarray(logs, dtype=float)[places].mean(1))


EXP_OF_MEAN = Aggregation(
    "perplexity", lambda logs: math.exp(-sum(logs) / len(logs)), "bootstrap", 100_000, _exp_of_means
)
EXP_OF_RATIO = Aggregation("weighted_perplexity", lambda items: math.exp(-_weighted(items)), "log-ratio")
BITS_OF_RATIO = Aggregation("bits_per_byte", lambda items: -_weighted(items) / math.log(2), "ratio")

PERPLEXITY = Metric("perplexity", "lower", "perplexity", ("loglikelihood",), lambda a: a.logs[0], EXP_OF_MEAN)
WORD_PERPLEXITY = Metric("word_perplexity", "lower", "perplexity", ROLLING, _of_words, EXP_OF_RATIO, _nats)
BYTE_PERPLEXITY = Metric("byte_perplexity", "lower", "perplexity", ROLLING, _of_bytes, EXP_OF_RATIO, _nats)
BITS_PER_BYTE = Metric("bits_per_byte", "lower", "bits", ROLLING, _of_bytes, BITS_OF_RATIO, _bits)
BITS_PER_CHARACTER = Metric("bits_per_character", "lower", "bits", ROLLING, _of_characters, BITS_OF_RATIO, _bits)
