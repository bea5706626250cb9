"""Ratings against independent solvers and against simulations with known strengths."""

from __future__ import annotations

import math

import numpy as np
import pytest

from danlu.errors import DataError
from danlu.eval.ratings import MEAN, SCALE, Game, bradley_terry, chance, record

pytest.importorskip("scipy")

STRENGTHS = {"甲": 1.0, "乙": 0.4, "丙": 0.0, "丁": -0.3, "戊": -1.1}


def played(seed: int, count: int, ties: float = 0.5, strengths: dict[str, float] = STRENGTHS) -> list[Game]:
    """Games between random pairs, by Davidson's model."""
    draw = np.random.default_rng(seed)
    names = list(strengths)
    games = []
    for _ in range(count):
        a, b = draw.choice(names, 2, replace=False)
        odds = np.exp([strengths[a], strengths[b], (strengths[a] + strengths[b]) / 2]) * [1, 1, ties]
        games.append(Game(str(a), str(b), ("a", "b", "tie")[draw.choice(3, p=odds / odds.sum())]))
    return games


def test_without_ties_it_is_logistic_regression():
    linear = pytest.importorskip("sklearn.linear_model")
    games = played(1, 400, ties=0)
    found = bradley_terry(games)
    names = sorted(STRENGTHS)
    design = np.array([[(name == game.a) - (name == game.b) for name in names] for game in games], dtype=float)
    model = linear.LogisticRegression(C=1e12, fit_intercept=False, tol=1e-12, max_iter=10_000)
    theta = model.fit(design, [game.outcome == "a" for game in games]).coef_[0]
    expected = MEAN + SCALE * (theta - theta.mean())
    assert [found[name].rating for name in names] == pytest.approx(list(expected), abs=1e-3)
    assert found.ties == 0


def test_with_ties_it_is_a_loglinear_model_of_statsmodels():
    """Davidson's model as Poisson counts (Sinclair, 1982): a constant for each pair, theta, and log n for ties."""
    linear = pytest.importorskip("statsmodels.genmod.generalized_linear_model")
    families = pytest.importorskip("statsmodels.genmod.families")
    games = played(2, 600)
    names = sorted(STRENGTHS)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    rows, counts = [], []
    for at, (a, b) in enumerate(pairs):
        turned = {"a": "b", "b": "a", "tie": "tie"}
        seen = [g.outcome if g.a == a else turned[g.outcome] for g in games if {g.a, g.b} == {a, b}]
        for outcome, share in (("a", (1, 0)), ("b", (0, 1)), ("tie", (0.5, 0.5))):
            theta = [share[(a, b).index(name)] if name in (a, b) else 0.0 for name in names[1:]]
            rows.append([float(at == other) for other in range(len(pairs))] + theta + [float(outcome == "tie")])
            counts.append(seen.count(outcome))
    fit = linear.GLM(counts, np.array(rows), family=families.Poisson()).fit(tol=1e-12)
    theta, covariance = fit.params[len(pairs) : -1], np.asarray(fit.cov_params())[len(pairs) : -1, len(pairs) : -1]
    found = bradley_terry(games)
    for at, name in enumerate(names[1:]):
        gap = found.gap(names[0], name)
        assert gap.value == pytest.approx(SCALE * theta[at], abs=1e-3)
        assert gap.stderr == pytest.approx(SCALE * math.sqrt(covariance[at, at]), rel=1e-4)
    assert found.ties == pytest.approx(math.exp(fit.params[-1]), rel=1e-5)


def test_fisher_intervals_hold_the_truth_about_95_times_in_100():
    mean = sum(STRENGTHS.values()) / len(STRENGTHS)
    held, gaps, runs = 0, 0, 250
    for seed in range(runs):
        found = bradley_terry(played(seed, 250))
        for name, theta in STRENGTHS.items():
            held += found[name].low <= MEAN + SCALE * (theta - mean) <= found[name].high
        gap = found.gap("丙", "甲")
        gaps += gap.low <= SCALE * 1.0 <= gap.high
    assert 0.935 <= held / (runs * len(STRENGTHS)) <= 0.965
    assert 0.91 <= gaps / runs <= 0.98


def test_bootstrap_intervals_hold_the_truth_and_are_as_wide():
    mean = sum(STRENGTHS.values()) / len(STRENGTHS)
    held, runs, widths = 0, 60, []
    for seed in range(runs):
        found = bradley_terry(played(1000 + seed, 250), resamples=200, seed=seed)
        for name, theta in STRENGTHS.items():
            one = found[name]
            held += one.again[0] <= MEAN + SCALE * (theta - mean) <= one.again[1]
            widths.append((one.again[1] - one.again[0]) / (one.high - one.low))
        assert found.left_out == 0
    assert 0.90 <= held / (runs * len(STRENGTHS)) <= 0.98
    assert np.mean(widths) == pytest.approx(1, abs=0.06)


def test_votes_of_one_question_are_drawn_together():
    games = [Game("甲", "乙", outcome, str(at)) for at in range(40) for outcome in [("a", "a", "b")[at % 3]] * 5]
    alone = [Game(*game[:3]) for game in games]
    together, apart = (bradley_terry(set_, resamples=400)["甲"].again for set_ in (games, alone))
    assert together[1] - together[0] > 1.7 * (apart[1] - apart[0])  # the root of 5 is 2.2


def test_the_scale_and_the_order_of_names_and_games():
    games = [Game("a", "b", "a")] * 10 + [Game("b", "a", "a")]
    found = bradley_terry(games)
    assert found["a"].rating - found["b"].rating == pytest.approx(400)
    assert [one.name for one in found.ratings] == ["a", "b"]
    assert sum(one.rating for one in found.ratings) == pytest.approx(2 * MEAN)
    assert chance(found["a"].rating, found["b"].rating) == pytest.approx(10 / 11)
    assert (found["a"].wins, found["a"].losses, found["b"].losses) == (10, 1, 10)
    turned = [Game(g.b, g.a, {"a": "b", "b": "a"}[g.outcome]) for g in reversed(games)]
    assert bradley_terry(turned)["a"].rating == pytest.approx(found["a"].rating)
    assert record(games) == {("a", "b"): (10, 11), ("b", "a"): (1, 11)}
    assert [one.rank for one in found.ratings] == [1, 2]


def test_one_sided_and_disconnected_games_are_an_error_or_take_a_prior():
    one_sided = [Game("a", "b", "a")] * 5
    with pytest.raises(DataError, match=r"between a \| b one side won every game"):
        bradley_terry(one_sided)
    apart = [Game("a", "b", "a"), Game("a", "b", "b"), Game("c", "d", "tie"), Game("c", "d", "a")]
    with pytest.raises(DataError, match=r"a, b \| c, d"):
        bradley_terry(apart)
    found = bradley_terry(one_sided, prior=1, resamples=50)
    # 5 wins, and against a stranger of rating 0 one win and one loss each
    theta = (found["a"].rating - found["b"].rating) / SCALE / 2
    assert 5 / (1 + math.exp(2 * theta)) == pytest.approx(math.tanh(theta / 2), abs=1e-6)
    assert found["a"].low < found["a"].rating < found["a"].high
    assert bradley_terry(apart, prior=1).ratings[0].name == "c"


@pytest.mark.parametrize(
    ("games", "told"),
    [
        ([], "two models"),
        ([Game("a", "a", "a")], "with itself"),
        ([Game("a", "b", "tie")] * 3, "all 3 games are ties"),
    ],
)
def test_games_that_say_nothing(games, told):
    with pytest.raises(DataError, match=told):
        bradley_terry(games)


def test_a_model_that_seldom_wins_still_converges():
    games = [Game("a", "b", "a")] * 20_000 + [Game("a", "b", "b"), Game("b", "c", "a"), Game("c", "b", "a")]
    found = bradley_terry(games)
    assert found["a"].rating - found["b"].rating == pytest.approx(SCALE * math.log(20_000), rel=1e-6)
    with pytest.raises(DataError, match="played no game"):
        found["d"]


def test_resamples_without_a_tie_or_a_maximum():
    games = [*played(3, 60, ties=0), Game("甲", "乙", "tie")]
    found = bradley_terry(games, resamples=100)
    assert all(one.again is not None and one.again[0] < one.again[1] for one in found.ratings)
    few = [Game("a", "b", "a")] * 3 + [Game("a", "b", "b")]
    assert 10 < bradley_terry(few, resamples=100).left_out < 70  # (3/4)**4 + (1/4)**4 of them are one-sided
