"""Standard errors of the scores, comparisons of two models on the same questions, and agreement of raters.

A score is sum(tops) / sum(bottoms) over questions; without bottoms each question weighs one, and the score is a mean.
Questions that belong together (of one document, of one subject) are named by `clusters`: they are then resampled, and
their errors added up, together (Miller, "Adding Error Bars to Evals", 2024, arXiv:2411.00640). Not covered: Bayesian
intervals, and questions that are a sample of anything but more questions of their kind.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from danlu.errors import DataError
from danlu.extras import need

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LEVEL = 0.95
RESAMPLES = 10_000
_BLOCK = 4_000_000
"""Draws that are in memory at once."""

Bootstrap = Literal["percentile", "bca"]
Correction = Literal["bonferroni", "holm", "bh"]
Scale = Literal["nominal", "ordinal", "interval"]


@dataclass(frozen=True)
class Estimate:
    """A value with its standard error and interval. `n` counts what was independent: questions, or clusters of them;
    `p` is two-sided, of the hypothesis that the true value is 0 (None where nobody tests that). With one item the
    error is infinite."""

    value: float
    stderr: float
    low: float
    high: float
    n: int
    method: str
    level: float = LEVEL
    p: float | None = None


def ratio(tops: Sequence[float], bottoms: Sequence[float]) -> tuple[float, float]:
    """sum(tops) / sum(bottoms) and its standard error by linearisation (Cochran, Sampling Techniques, 1977, §6.3).

    The pairs are taken as independent draws: sentences of one document are less independent than that, so the error
    is somewhat optimistic; `clustered` is for these. With fewer than two pairs it is infinite.
    """
    total = sum(bottoms)
    if total <= 0:
        return math.nan, math.inf
    value = sum(tops) / total
    n = len(tops)
    if n < 2:
        return value, math.inf
    spread = sum((top - value * bottom) ** 2 for top, bottom in zip(tops, bottoms, strict=True))
    return value, math.sqrt(spread * n / (n - 1)) / total


def mean(values: Sequence[float]) -> tuple[float, float]:
    """The mean and its standard error (sample standard deviation over the root of n)."""
    return ratio(values, [1.0] * len(values))


def clustered(
    tops: Sequence[float], clusters: Sequence[Hashable], bottoms: Sequence[float] | None = None
) -> tuple[float, float]:
    """sum(tops) / sum(bottoms) and its cluster-robust standard error (Liang and Zeger, 1986): the deviations of a
    cluster are added before they are squared, times G / (G - 1) for G clusters. Too small for fewer than some 20."""
    top, bottom = _columns(tops, bottoms)
    tops_of, bottoms_of = _by_cluster(clusters, top, bottom)
    return ratio(list(map(float, tops_of)), list(map(float, bottoms_of)))


def bootstrap(
    tops: Sequence[float],
    bottoms: Sequence[float] | None = None,
    *,
    clusters: Sequence[Hashable] | None = None,
    level: float = LEVEL,
    method: Bootstrap = "percentile",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """The interval of sum(tops) / sum(bottoms) when the questions are drawn again (Efron, 1979; BCa: Efron, 1987).

    A resample whose bottoms are all 0 has no value and is left out. DataError when nothing weighs anything.
    """
    top, bottom = _columns(tops, bottoms)
    columns = _by_cluster(clusters, top, bottom) if clusters is not None else (top, bottom)
    return _resampled([columns], _share, level, method, resamples, seed)


def paired_bootstrap(
    a: Sequence[float],
    b: Sequence[float],
    a_bottoms: Sequence[float] | None = None,
    b_bottoms: Sequence[float] | None = None,
    *,
    clusters: Sequence[Hashable] | None = None,
    level: float = LEVEL,
    method: Bootstrap = "percentile",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """The change of a score from model a to model b (b - a), the same questions drawn for both (Koehn, 2004).

    `a[i]` and `b[i]` are about one question. `p` is twice the smaller share of resamples on either side of 0, the
    observed one counted (Davison and Hinkley, 1997, §4.2), so never below 2 / (resamples + 1).
    """
    _same_length(a, b)
    pairs = [_columns(a, a_bottoms), _columns(b, b_bottoms)]
    if clusters is not None:
        pairs = [_by_cluster(clusters, *pair) for pair in pairs]
    return _resampled(pairs, _change, level, method, resamples, seed)


def paired_difference(
    a: Sequence[float],
    b: Sequence[float],
    a_bottoms: Sequence[float] | None = None,
    b_bottoms: Sequence[float] | None = None,
    *,
    clusters: Sequence[Hashable] | None = None,
    level: float = LEVEL,
) -> Estimate:
    """The change from a to b (b - a) with the standard error of paired questions, a t interval and t test of n - 1
    degrees of freedom (n questions, or clusters). For means this is the paired t test; for ratios the two linearised
    deviations of a question are subtracted."""
    import numpy as np

    _same_length(a, b)
    columns = [_columns(a, a_bottoms), _columns(b, b_bottoms)]
    if clusters is not None:
        columns = [_by_cluster(clusters, *pair) for pair in columns]
    values, deviations = [], []
    for top, bottom in columns:
        total = _weighed(bottom)
        values.append(top.sum() / total)
        deviations.append((top - values[-1] * bottom) / total)
    n = len(deviations[0])
    change = float(values[1] - values[0])
    if n < 2:
        return Estimate(change, math.inf, -math.inf, math.inf, n, "paired t", level, 1.0)
    error = float(np.sqrt(((deviations[1] - deviations[0]) ** 2).sum() * n / (n - 1)))
    t = need("scipy.stats", "eval").t
    reach = float(t.ppf((1 + level) / 2, n - 1)) * error
    p = float(2 * t.sf(abs(change) / error, n - 1)) if error else float(change == 0)
    return Estimate(change, error, change - reach, change + reach, n, "paired t", level, p)


@dataclass(frozen=True)
class McNemar:
    """Questions that one of two models alone has right, and the two-sided p of these being a fair coin's: `exact`
    (binomial; never too often significant) and `mid_p` (less conservative; Fagerland, Lydersen and Laake, 2013)."""

    only_a: int
    only_b: int
    exact: float
    mid_p: float


def mcnemar(only_a: int, only_b: int) -> McNemar:
    """McNemar's test from its two counts (McNemar, 1947). Without a discordant question both p are 1."""
    n, fewer = only_a + only_b, min(only_a, only_b)
    if n == 0:
        return McNemar(only_a, only_b, 1.0, 1.0)
    binom = need("scipy.stats", "eval").binom
    exact = min(1.0, 2 * float(binom.cdf(fewer, n, 0.5)))
    mid = 1.0 if only_a == only_b else 2 * float(binom.cdf(fewer, n, 0.5)) - float(binom.pmf(fewer, n, 0.5))
    return McNemar(only_a, only_b, exact, min(1.0, mid))


def mcnemar_of(a: Sequence[float], b: Sequence[float]) -> McNemar:
    """McNemar's test of two models' right (1) and wrong (0) answers; DataError for any other value."""
    _same_length(a, b)
    odd = next((value for value in (*a, *b) if value not in (0, 1)), None)
    if odd is not None:
        raise DataError(f"McNemar's test counts right and wrong answers (1 and 0), not {odd:g}")
    return mcnemar(sum(x > y for x, y in zip(a, b, strict=True)), sum(x < y for x, y in zip(a, b, strict=True)))


def wilson(right: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval of a share of `right` in `n` (Wilson, 1927); (0, 1) for none."""
    if n <= 0:
        return 0.0, 1.0
    z = float(need("scipy.stats", "eval").norm.ppf((1 + level) / 2))
    share, square = right / n, z * z / n
    centre, width = share + square / 2, z * math.sqrt(share * (1 - share) / n + square / 4 / n)
    return max(0.0, (centre - width) / (1 + square)), min(1.0, (centre + width) / (1 + square))


def adjusted(p: Sequence[float], method: Correction = "holm") -> list[float]:
    """The p values of many comparisons at once, in the order given. `bonferroni` and `holm` (1979) bound the chance
    of any false finding, `bh` (Benjamini and Hochberg, 1995) the expected share of false ones among the findings."""
    count = len(p)
    if method == "bonferroni":
        return [min(1.0, value * count) for value in p]
    order = sorted(range(count), key=lambda place: p[place])
    found = [0.0] * count
    if method == "holm":
        highest = 0.0
        for rank, place in enumerate(order):
            highest = max(highest, min(1.0, p[place] * (count - rank)))
            found[place] = highest
        return found
    lowest = 1.0
    for rank, place in reversed(list(enumerate(order, 1))):
        lowest = min(lowest, p[place] * count / rank)
        found[place] = lowest
    return found


def power(effect: float, spread: float, n: int, level: float = LEVEL) -> float:
    """The chance that a paired two-sided t test of n questions finds a true change of `effect`; `spread` is the
    standard deviation of the changes, question by question (noncentral t)."""
    if n < 2:
        return 0.0
    if spread <= 0:
        return float(effect != 0)
    stats = need("scipy.stats", "eval")
    bound = float(stats.t.ppf((1 + level) / 2, n - 1))
    shift = abs(effect) / spread * math.sqrt(n)
    if shift > 30 + 2 * bound:
        return 1.0
    wrong_side = float(stats.nct.cdf(-bound, n - 1, shift)) if shift < 8 else 0.0  # below 1e-19, where scipy gives up
    return float(stats.nct.sf(bound, n - 1, shift)) + wrong_side


def detectable(n: int, spread: float, level: float = LEVEL, wanted: float = 0.8) -> float:
    """The smallest change that n questions find with a chance of `wanted`; infinite for fewer than two."""
    if n < 2:
        return math.inf
    if spread <= 0:
        return 0.0
    high = spread
    while power(high, spread, n, level) < wanted:
        high *= 2
    optimize = need("scipy.optimize", "eval")
    return float(optimize.brentq(lambda effect: power(effect, spread, n, level) - wanted, 0.0, high, xtol=1e-12))


def needed(effect: float, spread: float, level: float = LEVEL, wanted: float = 0.8) -> int:
    """How many questions find a change of `effect` with a chance of `wanted`. DataError for no change at all."""
    if effect == 0:
        raise DataError("no number of questions finds a change of 0")
    low, high = 1, 2
    while power(effect, spread, high, level) < wanted:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(effect, spread, middle, level) >= wanted else (middle, high)
    return high


def paired_spread(a_right: float, b_right: float, both_right: float) -> float:
    """The standard deviation of the change of one question's score, from the shares of questions that a, b and both
    have right: for planning with `power` before anything is measured."""
    change = b_right - a_right
    discordant = a_right + b_right - 2 * both_right
    if not 0 <= both_right <= min(a_right, b_right) or discordant > 1:
        raise DataError(f"shares right of {a_right:g} and {b_right:g} cannot have {both_right:g} in common")
    return math.sqrt(max(0.0, discordant - change * change))


def kappa(
    a: Sequence[Hashable],
    b: Sequence[Hashable],
    *,
    weights: Literal["none", "linear", "quadratic"] = "none",
    order: Sequence[Hashable] | None = None,
    level: float = LEVEL,
) -> Estimate:
    """Cohen's kappa of two raters (Cohen, 1960; weighted, 1968), its large-sample error (Fleiss, Cohen and Everitt,
    1969) and normal interval. `order` lists the categories from lowest to highest, which weights need.

    DataError where both raters only ever gave one and the same answer: kappa is then 0 / 0.
    """
    import numpy as np

    _same_length(a, b)
    known = list(order) if order is not None else list(dict.fromkeys([*a, *b]))
    place = {value: at for at, value in enumerate(known)}
    strange = next((value for value in (*a, *b) if value not in place), None)
    if strange is not None or not a:
        raise DataError(f"{strange!r} is none of the categories" if a else "nothing was rated")
    table = np.zeros((len(known), len(known)))
    np.add.at(table, ([place[x] for x in a], [place[y] for y in b]), 1.0)
    joint, n = table / len(a), len(a)
    apart = np.abs(np.subtract.outer(np.arange(len(known)), np.arange(len(known)))) / max(1, len(known) - 1)
    agree = {"none": (apart == 0) * 1.0, "linear": 1 - apart, "quadratic": 1 - apart**2}[weights]
    rows, columns = joint.sum(1), joint.sum(0)
    seen, chance = float((agree * joint).sum()), float((agree * np.outer(rows, columns)).sum())
    if chance >= 1 - 1e-12:
        raise DataError(f"kappa is not defined: both raters said {a[0]!r} each time")
    means = (agree @ columns)[:, None] + (agree.T @ rows)[None, :]
    square = (joint * (agree * (1 - chance) - means * (1 - seen)) ** 2).sum() - (seen * chance - 2 * chance + seen) ** 2
    error = math.sqrt(max(0.0, float(square)) / n) / (1 - chance) ** 2
    reach = float(need("scipy.stats", "eval").norm.ppf((1 + level) / 2)) * error
    value = (seen - chance) / (1 - chance)
    return Estimate(value, error, max(-1.0, value - reach), min(1.0, value + reach), n, "cohen", level)


def krippendorff(units: Sequence[Sequence[float | Hashable | None]], scale: Scale = "nominal") -> float:
    """Krippendorff's alpha (Content Analysis, 2004, §11): any number of raters, None where one did not rate.

    `units[i]` are the ratings of item i; on the ordinal and interval scales they are numbers. 1 is full agreement, 0
    what chance gives. DataError when fewer than two items have two ratings, or all ratings are the same (0 / 0).
    """
    import numpy as np

    rated = [[value for value in unit if value is not None] for unit in units]
    rated = [unit for unit in rated if len(unit) > 1]
    found: set[Any] = {value for unit in rated for value in unit}
    if len(rated) < 2 or len(found) < 2:
        raise DataError("alpha needs two items with two ratings each, and ratings that are not all the same")
    known = sorted(found) if scale != "nominal" else sorted(found, key=repr)
    place = {value: at for at, value in enumerate(known)}
    together = np.zeros((len(known), len(known)))
    for unit in rated:
        counts = np.bincount([place[value] for value in unit], minlength=len(known)).astype(float)
        together += (np.outer(counts, counts) - np.diag(counts)) / (len(unit) - 1)
    totals = together.sum(1)
    distance = _distances(known, totals, scale)
    observed = float((together * distance).sum())
    expected = float((np.outer(totals, totals) * distance).sum()) / (totals.sum() - 1)
    return float(1 - observed / expected)


def correlation(
    a: Sequence[float], b: Sequence[float], kind: Literal["spearman", "kendall"] = "spearman", level: float = LEVEL
) -> Estimate:
    """Rank correlation with scipy's p (Kendall: tau-b), and an interval on Fisher's scale: variance
    (1 + r² / 2) / (n - 3) for Spearman (Bonett and Wright, 2000), 0.437 / (n - 4) for Kendall (Fieller, Hartley and
    Pearson, 1957). `stderr` is that of the correlation, by the delta method. DataError for constant or few ranks."""
    _same_length(a, b)
    n = len(a)
    if n < 5 or len(set(a)) < 2 or len(set(b)) < 2:
        raise DataError(f"a rank correlation needs five pairs or more that differ, not {n}")
    stats = need("scipy.stats", "eval")
    found = stats.spearmanr(a, b) if kind == "spearman" else stats.kendalltau(a, b)
    value = float(found.statistic)
    error = math.sqrt((1 + value**2 / 2) / (n - 3) if kind == "spearman" else 0.437 / (n - 4))
    reach = float(stats.norm.ppf((1 + level) / 2)) * error
    centre = math.atanh(max(-1 + 1e-12, min(1 - 1e-12, value)))
    low, high = math.tanh(centre - reach), math.tanh(centre + reach)
    return Estimate(value, error * (1 - value**2), low, high, n, kind, level, float(found.pvalue))


def _distances(known: Sequence[Any], totals: Floats, scale: Scale) -> Floats:
    """Squared differences of the values, by Krippendorff's metric of the scale."""
    import numpy as np

    if scale == "nominal":
        return 1.0 - np.eye(len(known))
    middles = np.cumsum(totals) - totals / 2 if scale == "ordinal" else np.asarray(known, dtype=float)
    found: Floats = np.subtract.outer(middles, middles) ** 2
    return found


def _same_length(a: Sequence[Any], b: Sequence[Any]) -> None:
    if len(a) != len(b):
        raise DataError(f"paired values must be of the same questions: {len(a)} and {len(b)} were given")


def _columns(tops: Sequence[float], bottoms: Sequence[float] | None) -> tuple[Floats, Floats]:
    import numpy as np

    top = np.asarray(tops, dtype=float)
    bottom = np.ones_like(top) if bottoms is None else np.asarray(bottoms, dtype=float)
    _same_length(top, bottom)  # type: ignore[arg-type]
    if not len(top):
        raise DataError("there are no values to estimate anything from")
    if not (np.isfinite(top).all() and np.isfinite(bottom).all()):
        raise DataError("a value is not a finite number: leave failed questions out, and count them")
    return top, bottom


def _by_cluster(clusters: Sequence[Hashable], top: Floats, bottom: Floats) -> tuple[Floats, Floats]:
    """The sums of each cluster, in the order of first appearance."""
    import numpy as np

    _same_length(clusters, top)  # type: ignore[arg-type]
    number: dict[Hashable, int] = {}
    places = np.array([number.setdefault(name, len(number)) for name in clusters], dtype=int)
    made: tuple[Floats, Floats] = (np.bincount(places, top, len(number)), np.bincount(places, bottom, len(number)))  # type: ignore[assignment]
    return made


def _weighed(bottom: Floats) -> float:
    total = float(bottom.sum())
    if total <= 0:
        raise DataError("the weights add up to nothing")
    return total


def _share(sums: list[tuple[Any, Any]]) -> Any:
    return sums[0][0] / sums[0][1]


def _change(sums: list[tuple[Any, Any]]) -> Any:
    return sums[1][0] / sums[1][1] - sums[0][0] / sums[0][1]


def _resampled(
    columns: list[tuple[Floats, Floats]], statistic: Any, level: float, method: Bootstrap, resamples: int, seed: int
) -> Estimate:
    """The bootstrap of `statistic`, a function of the sums of each (top, bottom) over a resample."""
    import numpy as np

    n = len(columns[0][0])
    totals = [(top.sum(), _weighed(bottom)) for top, bottom in columns]
    value = float(statistic(totals))
    paired = statistic is _change
    name = f"{'paired ' if paired else ''}bootstrap {method}"
    if n < 2:
        return Estimate(value, math.inf, -math.inf, math.inf, n, name, level, 1.0 if paired else None)
    draw = np.random.default_rng(seed)
    made = []
    for start in range(0, resamples, max(1, _BLOCK // n)):
        places = draw.integers(0, n, (min(max(1, _BLOCK // n), resamples - start), n))
        sums = [(top[places].sum(1), bottom[places].sum(1)) for top, bottom in columns]
        weighed = np.all([bottom > 0 for _, bottom in sums], axis=0)
        made.append(statistic([(top[weighed], bottom[weighed]) for top, bottom in sums]))
    again = np.concatenate(made)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "bca":
        tails = _corrected(tails, again, value, columns, totals, statistic)
    low, high = map(float, np.quantile(again, tails))
    p = None
    if paired:
        sides = [int((again <= 0).sum()) + 1, int((again >= 0).sum()) + 1]
        p = min(1.0, 2 * min(sides) / (len(again) + 1))
    return Estimate(value, float(again.std(ddof=1)), low, high, n, name, level, p)


def _corrected(
    tails: Floats,
    again: Floats,
    value: float,
    columns: list[tuple[Floats, Floats]],
    totals: list[tuple[Any, Any]],
    statistic: Any,
) -> Floats:
    """The quantiles that BCa takes instead: corrected for bias, and for skewness by the jackknife."""
    import numpy as np

    norm = need("scipy.stats", "eval").norm
    below = ((again < value).mean() + (again <= value).mean()) / 2
    if not 0 < below < 1:  # nothing varies
        return tails
    without = [
        (top_total - top, np.where(bottom_total > bottom, bottom_total - bottom, np.nan))
        for (top, bottom), (top_total, bottom_total) in zip(columns, totals, strict=True)
    ]
    left = statistic(without)
    away = np.nanmean(left) - left[np.isfinite(left)]
    square = float((away**2).sum())
    skew = float((away**3).sum()) / (6 * square**1.5) if square > 0 else 0.0
    bias, z = float(norm.ppf(below)), norm.ppf(tails)
    found: Floats = norm.cdf(bias + (bias + z) / (1 - skew * (bias + z)))
    return found
