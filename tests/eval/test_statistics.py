from __future__ import annotations

import math

import numpy as np
import pytest

from danlu.eval.statistics import mean, ratio


def test_mean_is_numpys():
    values = np.random.default_rng(0).gamma(2.0, size=200)
    value, error = mean(list(values))
    assert value == pytest.approx(values.mean())
    assert error == pytest.approx(values.std(ddof=1) / math.sqrt(len(values)))


def test_ratio_error_is_that_of_a_bootstrap():
    draw = np.random.default_rng(1)
    bottoms = draw.uniform(5, 60, 300)
    tops = bottoms * 2.5 + draw.normal(0, 12, 300)
    value, error = ratio(list(tops), list(bottoms))
    places = draw.integers(0, 300, (4000, 300))
    again = tops[places].sum(1) / bottoms[places].sum(1)
    assert value == pytest.approx(tops.sum() / bottoms.sum())
    assert error == pytest.approx(again.std(ddof=1), rel=0.08)


def test_two_errors_either_side_hold_the_truth_about_95_times_in_100():
    draw = np.random.default_rng(2)
    runs, held = 2000, 0
    for _ in range(runs):
        bottoms = draw.uniform(5, 60, 40)
        value, error = ratio(list(bottoms * 2.5 + draw.normal(0, 12, 40)), list(bottoms))
        held += abs(value - 2.5) <= 2 * error
    assert 0.93 <= held / runs <= 0.965


def test_one_item_has_no_known_error_and_nothing_has_no_value():
    assert ratio([3.0], [2.0]) == (1.5, math.inf)
    value, error = ratio([0.0, 0.0], [0.0, 0.0])
    assert math.isnan(value)
    assert error == math.inf
