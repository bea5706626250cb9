"""Metrics of multiple choice: which choice the model finds most likely."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from danlu.errors import DataError
from danlu.eval.metrics.metric import Aggregation, Answered, Metric

CHOICE = ("multiple_choice",)


def _places(answered: Answered) -> list[int]:
    target = answered.target
    return [int(place) for place in target] if isinstance(target, list) else [int(target)]


def _best(measures: Sequence[float]) -> int:
    """The place of the highest measure, the first of equals."""
    return max(range(len(measures)), key=measures.__getitem__)


def _right(answered: Answered, measures: Sequence[float]) -> float:
    return float(_best(measures) in _places(answered))


def _acc(answered: Answered) -> float:
    return _right(answered, answered.logs) if answered.choices else float(answered.greedy[0])


def _acc_norm(answered: Answered) -> float:
    return _right(answered, _over(answered.logs, [len(choice) for choice in answered.choices]))


def _acc_bytes(answered: Answered) -> float:
    return _right(answered, _over(answered.logs, [len(choice.encode()) for choice in answered.choices]))


def _over(logs: Sequence[float], lengths: Sequence[int]) -> list[float]:
    """Log-likelihoods per unit of length; an empty choice is never the best."""
    return [log / length if length else -math.inf for log, length in zip(logs, lengths, strict=True)]


def _acc_mutual_info(answered: Answered) -> float:
    pairs = zip(answered.logs, answered.unconditional, strict=True)
    return _right(answered, [log - alone for log, alone in pairs])


def _one(answered: Answered, name: str) -> int:
    places = _places(answered)
    if len(places) != 1 or isinstance(answered.target, list):
        raise DataError(f"{name} needs one right choice a question, this one has {len(places)}")
    return places[0]


def _brier(answered: Answered) -> float:
    best = max(answered.logs)
    shares = [math.exp(log - best) for log in answered.logs]
    total, gold = sum(shares), _one(answered, "brier_score")
    return sum((share / total - (place == gold)) ** 2 for place, share in enumerate(shares))


def _pair(answered: Answered) -> tuple[int, int]:
    return _one(answered, "f1 or mcc"), _best(answered.logs)


def _same(item: tuple[Any, Any]) -> float:
    return float(item[0] == item[1])


def _f1(items: Sequence[tuple[int, int]]) -> float:
    return float(_f1s(items, [range(len(items))])[0])


def _f1s(items: Sequence[tuple[int, int]], places: Any) -> Any:
    import numpy as np

    gold, said = _columns(items)
    if not {*gold.tolist(), *said.tolist()} <= {0, 1}:
        raise DataError("f1 over the places of choices needs two classes, 0 and 1", next="use mcc or acc")
    drawn = np.asarray(places)
    both, either = (gold == 1) & (said == 1), (gold == 1).astype(int) + (said == 1).astype(int)
    tops, bottoms = 2.0 * both[drawn].sum(1), either[drawn].sum(1)
    return np.divide(tops, bottoms, out=np.zeros_like(tops), where=bottoms > 0)


def _mcc(items: Sequence[tuple[int, int]]) -> float:
    return float(_mccs(items, [range(len(items))])[0])


def _mccs(items: Sequence[tuple[int, int]], places: Any) -> Any:
    """Matthews' correlation of several classes (Gorodkin, 2004), 0 where it is not defined."""
    import numpy as np

    gold, said = _columns(items)
    drawn = np.asarray(places)
    drawn_gold, drawn_said, n = gold[drawn], said[drawn], float(drawn.shape[1])
    classes = np.union1d(gold, said)
    true = np.stack([(drawn_gold == kind).sum(1) for kind in classes], 1).astype(float)
    told = np.stack([(drawn_said == kind).sum(1) for kind in classes], 1).astype(float)
    top = (drawn_gold == drawn_said).sum(1) * n - (true * told).sum(1)
    bottom = np.sqrt((n * n - (told**2).sum(1)) * (n * n - (true**2).sum(1)))
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def _columns(items: Sequence[tuple[int, int]]) -> tuple[Any, Any]:
    import numpy as np

    gold, said = zip(*items, strict=True)
    return np.array(gold), np.array(said)


def _likelihood(items: Sequence[tuple[Any, Sequence[float]]]) -> float:
    return sum(_log(item) for item in items) / len(items)


def _log(item: tuple[Any, Sequence[float]]) -> float:
    gold, logs = item
    return max(logs[place] for place in gold) if isinstance(gold, list) else float(logs[gold])


def _mean(measures: Sequence[float]) -> float:
    return sum(measures) / len(measures)


F1_OF_ALL = Aggregation("f1", _f1, "bootstrap", 100_000, _f1s)
MATTHEWS = Aggregation("matthews_corrcoef", _mcc, "bootstrap", 100_000, _mccs)
BRIER_OF_ALL = Aggregation("brier_score", _mean, "mean")
MEAN_LOG = Aggregation("likelihood", _likelihood, "none")

ACC = Metric("acc", "higher", "share right", ("loglikelihood", "multiple_choice"), _acc)
ACC_NORM = Metric("acc_norm", "higher", "share right", CHOICE, _acc_norm)
ACC_BYTES = Metric("acc_bytes", "higher", "share right", CHOICE, _acc_bytes)
ACC_MUTUAL_INFO = Metric("acc_mutual_info", "higher", "share right", CHOICE, _acc_mutual_info, unconditional=True)
BRIER_SCORE = Metric("brier_score", "lower", "squared error", CHOICE, _brier, BRIER_OF_ALL)
_NO_EFFECT = ("average", "ignore_case", "ignore_punctuation", "regexes_to_ignore")
F1 = Metric("f1", "higher", "F1 of class 1", CHOICE, _pair, F1_OF_ALL, _same, options=_NO_EFFECT)
"""Its arguments change nothing, as in lm-evaluation-harness: the aggregation says how classes are averaged."""
MCC = Metric("mcc", "higher", "correlation", CHOICE, _pair, MATTHEWS, _same)
LIKELIHOOD = Metric("likelihood", "higher", "nats", CHOICE, lambda a: (a.target, a.logs), MEAN_LOG, _log)
