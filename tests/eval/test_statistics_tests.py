"""Intervals, tests and agreement against scipy and statsmodels, on seeded data."""

from __future__ import annotations

import math

import numpy as np
import pytest

from danlu.errors import DataError
from danlu.eval import statistics as st

stats = pytest.importorskip("scipy.stats")


@pytest.fixture
def draw():
    return np.random.default_rng(7)


@pytest.fixture
def answers(draw):
    """Two models' right and wrong answers to 300 questions, the second one better."""
    hard = draw.normal(size=300)
    return [(hard + draw.normal(size=300) < bound).astype(float) for bound in (0.2, 0.6)]


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_bootstrap_is_scipys(draw, method):
    values = draw.gamma(1.5, size=80)
    mine = st.bootstrap(values, method=method, resamples=20_000, seed=1)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method=method, rng=np.random.default_rng(2))
    assert mine.value == pytest.approx(values.mean())
    assert mine.stderr == pytest.approx(theirs.standard_error, rel=0.02)
    found = (mine.low, mine.high)
    assert found == pytest.approx(tuple(theirs.confidence_interval), abs=0.12 * mine.stderr)


def test_bootstrap_of_a_ratio_is_scipys(draw):
    bottoms = draw.uniform(5, 60, 90)
    tops = bottoms * draw.gamma(2.0, size=90)
    mine = st.bootstrap(tops, bottoms, method="bca", resamples=20_000)
    theirs = stats.bootstrap(
        (tops, bottoms),
        lambda top, bottom, axis: top.sum(axis) / bottom.sum(axis),
        n_resamples=20_000,
        method="BCa",
        paired=True,
        vectorized=True,
        rng=np.random.default_rng(3),
    )
    assert (mine.low, mine.high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.15 * mine.stderr)


def test_bootstrap_depends_on_its_seed_alone(draw):
    values = list(draw.normal(size=50))
    first = st.bootstrap(values, seed=4)
    assert st.bootstrap(values, seed=4) == first
    assert st.bootstrap(values, seed=5) != first


def test_paired_difference_is_the_paired_t_test(draw):
    a = draw.normal(size=60)
    b = a + draw.normal(0.2, 0.5, size=60)
    mine, theirs = st.paired_difference(a, b), stats.ttest_rel(b, a)
    assert mine.value == pytest.approx((b - a).mean())
    assert mine.stderr == pytest.approx(stats.sem(b - a))
    assert mine.p == pytest.approx(theirs.pvalue)
    assert (mine.low, mine.high) == pytest.approx(tuple(theirs.confidence_interval()))


def test_paired_bootstrap_agrees_with_the_t_test_and_is_narrower_than_unpaired(answers):
    a, b = answers
    again = st.paired_bootstrap(a, b, resamples=20_000)
    exact = st.paired_difference(a, b)
    assert again.value == exact.value == pytest.approx(b.mean() - a.mean())
    assert again.stderr == pytest.approx(exact.stderr, rel=0.03)
    assert (again.low, again.high) == pytest.approx((exact.low, exact.high), abs=0.15 * exact.stderr)
    assert again.p < 0.01
    assert exact.p < 0.01
    assert again.stderr < 0.9 * math.hypot(st.mean(list(a))[1], st.mean(list(b))[1])


def test_paired_ratios_share_their_questions(draw):
    """Bits over characters of two models, on the same texts: the error is that of the paired bootstrap."""
    characters = draw.uniform(20, 200, 150)
    a = characters * draw.gamma(8.0, size=150)
    b = a * 0.97 + characters * draw.normal(0, 0.3, 150)
    exact = st.paired_difference(a, b, characters, characters)
    again = st.paired_bootstrap(a, b, characters, characters)
    assert exact.value == pytest.approx(b.sum() / characters.sum() - a.sum() / characters.sum())
    assert exact.stderr == pytest.approx(again.stderr, rel=0.05)


def test_intervals_hold_the_truth_about_95_times_in_100():
    held = {"percentile": 0, "bca": 0, "t": 0}
    runs = 400
    for seed in range(runs):
        draw = np.random.default_rng(seed)
        a = draw.random(250) < 0.5
        b = np.where(draw.random(250) < 0.7, a, draw.random(250) < 0.6)  # truth: 0.3 x (0.6 - 0.5) = 0.03
        found = {
            "percentile": st.paired_bootstrap(a, b, resamples=600, seed=seed),
            "bca": st.paired_bootstrap(a, b, resamples=600, seed=seed, method="bca"),
            "t": st.paired_difference(a, b),
        }
        for name, one in found.items():
            held[name] += one.low <= 0.03 <= one.high
    assert all(0.92 <= count / runs <= 0.98 for count in held.values()), held


def test_clusters_are_statsmodels(draw):
    linear = pytest.importorskip("statsmodels.regression.linear_model")
    clusters = np.repeat(np.arange(30), draw.integers(1, 12, 30))
    values = draw.normal(size=30)[clusters] + draw.normal(size=len(clusters))
    value, error = st.clustered(values, list(clusters))
    model = linear.OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    assert (value, error) == pytest.approx((model.params[0], model.bse[0]))
    assert error > 1.3 * st.mean(list(values))[1]
    again = st.bootstrap(values, clusters=list(clusters), resamples=20_000)
    assert again.stderr == pytest.approx(error, rel=0.06)
    assert again.n == 30
    paired = st.paired_difference(np.zeros(len(values)), values, clusters=list(clusters))
    assert (paired.value, paired.stderr) == pytest.approx((value, error))


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 1), (3, 12), (12, 3), (7, 7), (40, 71), (0, 30)])
def test_mcnemar_is_statsmodels(only_a, only_b):
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    mine = st.mcnemar(only_a, only_b)
    assert mine.exact == pytest.approx(tables.mcnemar([[9, only_a], [only_b, 9]], exact=True).pvalue)
    assert mine.mid_p <= mine.exact
    half = stats.binom(only_a + only_b, 0.5)
    few = min(only_a, only_b)
    expected = 1.0 if only_a == only_b else 2 * (half.cdf(few) - half.pmf(few) / 2)
    assert mine.mid_p == pytest.approx(expected)


def test_mcnemar_of_answers(answers):
    a, b = answers
    found = st.mcnemar_of(a, b)
    assert (found.only_a, found.only_b) == (int((a > b).sum()), int((b > a).sum()))
    assert st.mcnemar(0, 0).exact == 1
    with pytest.raises(DataError, match=r"not 0\.5"):
        st.mcnemar_of([1, 0.5], [1, 0])


@pytest.mark.parametrize(("right", "n"), [(0, 10), (10, 10), (3, 7), (480, 1000)])
def test_wilson_is_scipys(right, n):
    theirs = stats.binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert st.wilson(right, n) == pytest.approx((theirs.low, theirs.high))
    assert st.wilson(0, 0) == (0, 1)


@pytest.mark.parametrize(("method", "theirs"), [("bonferroni", "bonferroni"), ("holm", "holm"), ("bh", "fdr_bh")])
def test_corrections_are_statsmodels(draw, method, theirs):
    tests = pytest.importorskip("statsmodels.stats.multitest")
    p = [*draw.random(20) ** 3, 0.04, 0.04, 0.0, 1.0]
    assert st.adjusted(p, method) == pytest.approx(tests.multipletests(p, method=theirs)[1])
    assert st.adjusted([], method) == []


@pytest.mark.parametrize(("effect", "spread", "n"), [(0.1, 0.5, 60), (0.02, 0.6, 2000), (-0.3, 0.4, 9)])
def test_power_is_statsmodels(effect, spread, n):
    powers = pytest.importorskip("statsmodels.stats.power").TTestPower()
    assert st.power(effect, spread, n) == pytest.approx(powers.power(effect / spread, n, 0.05), abs=1e-6)
    least = st.detectable(n, spread)
    assert st.power(least, spread, n) == pytest.approx(0.8)
    assert least / spread == pytest.approx(powers.solve_power(None, n, 0.05, 0.8), rel=1e-4)
    count = st.needed(effect, spread)
    assert st.power(effect, spread, count) >= 0.8 > st.power(effect, spread, count - 1)


def test_spread_of_paired_answers(answers):
    a, b = answers
    found = st.paired_spread(a.mean(), b.mean(), (a * b).mean())
    assert found == pytest.approx((b - a).std())
    with pytest.raises(DataError, match="in common"):
        st.paired_spread(0.5, 0.5, 0.6)


@pytest.mark.parametrize("weights", ["none", "linear", "quadratic"])
def test_kappa_is_statsmodels_and_scikit_learns(draw, weights):
    rater = pytest.importorskip("statsmodels.stats.inter_rater")
    a = draw.integers(1, 6, 200)
    b = np.clip(a + draw.integers(-1, 2, 200), 1, 5)
    table = np.zeros((5, 5))
    np.add.at(table, (a - 1, b - 1), 1)
    wanted = None if weights == "none" else weights
    # statsmodels' "linear" weights are (i - j) and its "quadratic" ones (i - j)², as ours up to their scale
    theirs = rater.cohens_kappa(table, wt=wanted, return_results=True)
    mine = st.kappa(list(a), list(b), weights=weights, order=[1, 2, 3, 4, 5])
    assert (mine.value, mine.stderr) == pytest.approx((theirs.kappa, theirs.std_kappa))
    metrics = pytest.importorskip("sklearn.metrics")
    assert mine.value == pytest.approx(metrics.cohen_kappa_score(a, b, weights=wanted))


def test_kappa_without_variation_is_an_error_not_a_number():
    with pytest.raises(DataError, match="not defined"):
        st.kappa(["A", "A"], ["A", "A"])
    with pytest.raises(DataError, match="nothing was rated"):
        st.kappa([], [])


def test_krippendorffs_own_example():
    """Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011: four observers, twelve units."""
    observers = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    units = list(zip(*observers, strict=True))
    found = [round(st.krippendorff(units, scale), 3) for scale in ("nominal", "ordinal", "interval")]
    assert found == [0.743, 0.815, 0.849]
    with pytest.raises(DataError, match="not all the same"):
        st.krippendorff([[1, 1], [1, 1]])


def test_two_complete_raters_alpha_is_near_kappa(draw):
    a = draw.integers(0, 3, 400)
    b = np.where(draw.random(400) < 0.6, a, draw.integers(0, 3, 400))
    assert st.krippendorff(list(zip(a, b, strict=True))) == pytest.approx(st.kappa(list(a), list(b)).value, abs=0.01)


@pytest.mark.parametrize("kind", ["spearman", "kendall"])
def test_rank_correlations_hold_the_truth(draw, kind):
    theirs = stats.spearmanr if kind == "spearman" else stats.kendalltau
    rho = 0.6  # of a normal pair: Spearman 6/pi asin(rho/2), Kendall 2/pi asin(rho)
    truth = 6 / math.pi * math.asin(rho / 2) if kind == "spearman" else 2 / math.pi * math.asin(rho)
    held = 0
    for _ in range(300):
        a = draw.normal(size=40)
        b = rho * a + math.sqrt(1 - rho**2) * draw.normal(size=40)
        mine = st.correlation(a, b, kind)
        held += mine.low <= truth <= mine.high
    assert (mine.value, mine.p) == pytest.approx((theirs(a, b).statistic, theirs(a, b).pvalue))
    assert 0.92 <= held / 300 <= 0.98
    with pytest.raises(DataError, match="five pairs"):
        st.correlation([1, 2], [1, 2], kind)


def test_one_question_has_no_known_error_and_bad_values_are_errors():
    assert st.bootstrap([1.0]).stderr == math.inf
    assert st.paired_difference([1.0], [0.0]).stderr == math.inf
    with pytest.raises(DataError, match="same questions"):
        st.paired_bootstrap([1, 0], [1])
    with pytest.raises(DataError, match="not a finite number"):
        st.bootstrap([1.0, math.nan])
    with pytest.raises(DataError, match="no values"):
        st.bootstrap([])
    with pytest.raises(DataError, match="add up to nothing"):
        st.bootstrap([1.0, 1.0], [0.0, 0.0])
    same = st.paired_difference([1.0, 0.0, 1.0], [1.0, 0.0, 1.0])
    assert (same.value, same.stderr, same.p) == (0, 0, 1)
