"""Ratings from comparisons: who is how much better, from who won against whom.

The model is Bradley and Terry's (1952) with Davidson's ties (1970): with strengths s = exp(theta) and n for how often
two equals tie, P(a wins) : P(b wins) : P(tie) = s_a : s_b : n sqrt(s_a s_b). Without a tie in the data it is
Bradley-Terry's. Ties are outcomes of their own, not halves of a win and a loss, so that the errors of the Fisher
information are those of what was seen. The maximum likelihood is found by Newton's method; the scale is Elo's: 400
points are odds of 10 to 1, and the mean is 1000.

There is a maximum only where no group of models won every game against the rest (Ford, 1957): else DataError names
it, or a `prior` is given: each model wins and loses so many games against an opponent of average strength.

Not covered: strengths that change with time, voters of different reliability, and answers whose length or style, not
content, people voted for.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from danlu.errors import DataError, nearest
from danlu.eval.statistics import LEVEL, Estimate
from danlu.extras import need

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MEAN = 1000.0
SCALE = 400 / math.log(10)
"""Elo points of one unit of theta."""

_CLOSE = 1e-9
_ROUNDS = 200
_PLACE = {"a": 0, "b": 1, "tie": 2}


class Game(NamedTuple):
    """One comparison. Games of the same `cluster` (a voter, a question) are drawn together by the bootstrap; an empty
    one stands alone."""

    a: str
    b: str
    outcome: Literal["a", "b", "tie"]
    cluster: str = ""


@dataclass(frozen=True)
class Rating:
    """`low` and `high` are the Fisher information's interval, `again` the bootstrap's (None when it was not asked
    for). `rank` is 1 plus the number of models whose whole interval lies above this one's."""

    name: str
    rating: float
    stderr: float
    low: float
    high: float
    wins: int
    losses: int
    ties: int
    rank: int
    again: tuple[float, float] | None = None


@dataclass(frozen=True)
class Ratings:
    """Best first. `ties` is Davidson's n (0 without ties), `left_out` the resamples that had no maximum; `covariance`
    is that of the ratings in this order."""

    ratings: list[Rating]
    games: int
    ties: float
    prior: float
    level: float
    left_out: int
    covariance: Floats

    def __getitem__(self, name: str) -> Rating:
        return self.ratings[self._place(name)]

    def gap(self, a: str, b: str) -> Estimate:
        """The rating of b less that of a, with the error of this difference (the two are correlated) and Wald's p."""
        x, y = self._place(a), self._place(b)
        value = self.ratings[y].rating - self.ratings[x].rating
        cov = self.covariance
        error = math.sqrt(max(0.0, float(cov[x, x] + cov[y, y] - 2 * cov[x, y])))
        norm = need("scipy.stats", "eval").norm
        reach = float(norm.ppf((1 + self.level) / 2)) * error
        p = float(2 * norm.sf(abs(value) / error)) if error else 1.0
        return Estimate(value, error, value - reach, value + reach, self.games, "Bradley-Terry", self.level, p)

    def _place(self, name: str) -> int:
        names = [rating.name for rating in self.ratings]
        if name not in names:
            raise DataError(f"{name!r} has played no game", nearest=nearest(name, names))
        return names.index(name)


def chance(a: float, b: float) -> float:
    """How often the model rated `a` wins against the one rated `b`, ties aside."""
    return 1 / (1 + 10 ** ((b - a) / 400))


def bradley_terry(
    games: Sequence[Game], *, prior: float = 0.0, level: float = LEVEL, resamples: int = 0, seed: int = 0
) -> Ratings:
    """The ratings of all models in `games`, with intervals, and from `resamples` bootstrapped sets of games too.

    DataError: fewer than two models, no game with a winner, or no maximum and no `prior` (see above).
    """
    import numpy as np

    table = _Table(games)
    if not prior:
        _refuse_one_sided(table)
    counts = table.counts(np.ones(len(games)))[None]
    found = _fitted(table, counts, prior)[0]
    size = len(table.names)
    information = _information(table, counts, found[None], prior)[0]
    centring = np.eye(len(found))
    centring[:size, :size] -= 1 / size
    if not prior:
        information[:size, :size] += 1 / size
    covariance = (centring @ np.linalg.inv(information) @ centring)[:size, :size] * SCALE**2
    values = MEAN + SCALE * (found[:size] - found[:size].mean())
    again, left_out = _bootstrapped(table, prior, level, resamples, seed) if resamples else (None, 0)
    order = np.argsort(-values, kind="stable")
    made = _ratings(table, values, np.sqrt(np.diag(covariance)), again, level, [int(place) for place in order])
    ties = math.exp(found[size]) if table.tied else 0.0
    return Ratings(made, len(games), ties, prior, level, left_out, covariance[np.ix_(order, order)])


def record(games: Iterable[Game]) -> dict[tuple[str, str], tuple[int, int]]:
    """(wins, games) of each ordered pair that met; a tie is a game that neither won."""
    wins, met = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for game in games:
        for mine, other, won in ((game.a, game.b, "a"), (game.b, game.a, "b")):
            met[mine, other] += 1
            wins[mine, other] += game.outcome == won
    return {pair: (wins[pair], count) for pair, count in met.items()}


class _Table:
    """Games by pair of models (in sorted order) and outcome: first wins, second wins, tie."""

    def __init__(self, games: Sequence[Game]) -> None:
        import numpy as np

        self.names = sorted({name for game in games for name in (game.a, game.b)})
        own = next((game.a for game in games if game.a == game.b), None)
        if own is not None:
            raise DataError(f"{own!r} was compared with itself")
        if len(self.names) < 2:
            raise DataError("ratings need games between two models or more")
        if all(game.outcome == "tie" for game in games):
            raise DataError(f"all {len(games)} games are ties: nobody's strength is known")
        place = {name: at for at, name in enumerate(self.names)}
        self.pairs = sorted({self._pair(place, game) for game in games})
        row = {pair: at for at, pair in enumerate(self.pairs)}
        self.rows = np.array([row[self._pair(place, game)] for game in games])
        swapped = np.array([place[game.a] > place[game.b] for game in games])
        outcomes = np.array([_PLACE[game.outcome] for game in games])
        self.outcomes = np.where(swapped & (outcomes < 2), 1 - outcomes, outcomes)
        self.tied = bool((self.outcomes == 2).any())
        number: dict[str, int] = {}
        alone = (f"\0{at}" for at in range(len(games)))
        self.clusters = np.array([number.setdefault(game.cluster or next(alone), len(number)) for game in games])
        self.designs = self._designs()

    @staticmethod
    def _pair(place: dict[str, int], game: Game) -> tuple[int, int]:
        first, second = sorted((place[game.a], place[game.b]))
        return first, second

    def _designs(self) -> Floats:
        """(pairs, outcomes, parameters): log of an outcome's odds, linear in theta and log n."""
        import numpy as np

        made = np.zeros((len(self.pairs), 3 if self.tied else 2, len(self.names) + self.tied))
        for at, (first, second) in enumerate(self.pairs):
            made[at, 0, first] = made[at, 1, second] = 1
            if self.tied:
                made[at, 2, [first, second]] = 0.5
                made[at, 2, -1] = 1
        return made

    def counts(self, weights: Floats) -> Floats:
        """(pairs, outcomes): how often each came, every game counted so many times."""
        import numpy as np

        width = self.designs.shape[1]
        found = np.bincount(self.rows * width + self.outcomes, weights, len(self.pairs) * width)
        return found.reshape(len(self.pairs), width).astype(float)


def _refuse_one_sided(table: _Table) -> None:
    import numpy as np

    groups = _groups(table, table.counts(np.ones(len(table.rows))))
    if len(set(groups)) == 1:
        return
    names = [[name for name, at in zip(table.names, groups, strict=True) if at == group] for group in set(groups)]
    told = " | ".join(", ".join(group[:5]) + (" …" if len(group) > 5 else "") for group in sorted(names)[:6])
    raise DataError(
        f"these games rank no group of models against another: between {told} one side won every game, or none was "
        "played",
        next="compare them more often, or rate them with a prior",
    )


def _groups(table: _Table, counts: Floats) -> list[int]:
    """The strongly connected components of 'did not lose to', one number a model: one for all with a maximum."""
    import numpy as np

    beat = np.zeros((len(table.names), len(table.names)), dtype=bool)
    for (first, second), row in zip(table.pairs, counts, strict=True):
        tied = len(row) > 2 and row[2] > 0
        beat[first, second] = row[0] > 0 or tied
        beat[second, first] = row[1] > 0 or tied
    graph = need("scipy.sparse.csgraph", "eval")
    return [int(group) for group in graph.connected_components(beat, directed=True, connection="strong")[1]]


def _fitted(table: _Table, counts: Floats, prior: float) -> Floats:
    """(sets of games, parameters): the maximum likelihood of each set, by Newton's method with halved steps."""
    import numpy as np

    found = np.zeros((len(counts), table.designs.shape[2]))
    size = len(table.names)
    totals = counts.sum((1, 2))
    for _ in range(_ROUNDS):
        slope = _slope(table, counts, found, prior)
        if (np.abs(slope).max(1) <= _CLOSE * np.maximum(1, totals)).all():
            return found
        information = _information(table, counts, found, prior)
        if not prior:
            information[:, :size, :size] += 1 / size
        information += 1e-12 * np.eye(found.shape[1])
        step = np.linalg.solve(information, slope[..., None])[..., 0]
        now, share = _likelihood(table, counts, found, prior), np.ones(len(counts))
        for _ in range(40):
            worse = _likelihood(table, counts, found + share[:, None] * step, prior) < now - 1e-9 * np.abs(now)
            if not worse.any():
                break
            share[worse] /= 2
        found = found + share[:, None] * step
    raise DataError(
        "the ratings do not converge: some model hardly ever wins, or hardly ever loses", next="use a prior"
    )


def _chances(table: _Table, found: Floats) -> Floats:
    """(sets, pairs, outcomes): the probability of each outcome."""
    import numpy as np

    logs = np.einsum("sd,pkd->spk", found, table.designs)
    odds = np.exp(logs - logs.max(2, keepdims=True))
    made: Floats = odds / odds.sum(2, keepdims=True)
    return made


def _likelihood(table: _Table, counts: Floats, found: Floats, prior: float) -> Floats:
    import numpy as np

    logs = np.einsum("sd,pkd->spk", found, table.designs)
    top = logs.max(2, keepdims=True)
    logs = logs - top - np.log(np.exp(logs - top).sum(2, keepdims=True))
    theta = found[:, : len(table.names)]
    virtual = -(np.logaddexp(0, theta) + np.logaddexp(0, -theta)).sum(1)
    made: Floats = (counts * logs).sum((1, 2)) + prior * virtual
    return made


def _slope(table: _Table, counts: Floats, found: Floats, prior: float) -> Floats:
    import numpy as np

    rest = counts - counts.sum(2, keepdims=True) * _chances(table, found)
    made: Floats = np.einsum("spk,pkd->sd", rest, table.designs)
    if prior:
        size = len(table.names)
        made[:, :size] -= prior * np.tanh(found[:, :size] / 2)
    return made


def _information(table: _Table, counts: Floats, found: Floats, prior: float) -> Floats:
    """(sets, parameters, parameters): Fisher's information; the model is log-linear, so that it is the observed one."""
    import numpy as np

    size, designs = len(table.names), table.designs
    met = counts.sum(2, keepdims=True) * _chances(table, found)
    flat = designs.reshape(-1, designs.shape[2])
    squares = (flat[:, :, None] * flat[:, None, :]).reshape(len(flat), -1)
    made: Floats = (met.reshape(len(counts), -1) @ squares).reshape(len(counts), designs.shape[2], designs.shape[2])
    means = np.einsum("spk,pkd->spd", met, designs)
    played = np.maximum(counts.sum(2), 1e-300)[..., None]
    made = made - np.matmul((means / played).transpose(0, 2, 1), means)
    if prior:
        inner = np.arange(size)
        theta = found[:, :size]
        made[:, inner, inner] += 2 * prior * 0.25 / np.cosh(theta / 2) ** 2
    return made


def _bootstrapped(
    table: _Table, prior: float, level: float, resamples: int, seed: int
) -> tuple[tuple[Floats, Floats] | None, int]:
    """The interval of each model's rating over resampled clusters of games, and how many resamples had no maximum."""
    import numpy as np

    draw = np.random.default_rng(seed)
    amount = int(table.clusters.max()) + 1
    sets = []
    for _ in range(resamples):
        drawn = np.bincount(draw.integers(0, amount, amount), minlength=amount).astype(float)
        counts = table.counts(drawn[table.clusters])
        if prior or (len(set(_groups(table, counts))) == 1 and counts[:, :2].any()):
            sets.append(counts)
    if not sets:
        return None, resamples
    theta = _fitted(table, np.array(sets), prior)[:, : len(table.names)]
    values = MEAN + SCALE * (theta - theta.mean(1, keepdims=True))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return (low, high), resamples - len(sets)


def _ratings(
    table: _Table, values: Floats, errors: Floats, again: Any, level: float, order: Sequence[int]
) -> list[Rating]:
    import numpy as np

    counts = table.counts(np.ones(len(table.rows)))
    wins, losses, ties = (np.zeros(len(table.names), dtype=int) for _ in range(3))
    for (first, second), row in zip(table.pairs, counts, strict=True):
        wins[first] += int(row[0])
        losses[second] += int(row[0])
        wins[second] += int(row[1])
        losses[first] += int(row[1])
        ties[[first, second]] += int(row[2]) if table.tied else 0
    reach = float(need("scipy.stats", "eval").norm.ppf((1 + level) / 2))
    low, high = values - reach * errors, values + reach * errors
    return [
        Rating(
            name=table.names[at],
            rating=float(values[at]),
            stderr=float(errors[at]),
            low=float(low[at]),
            high=float(high[at]),
            wins=int(wins[at]),
            losses=int(losses[at]),
            ties=int(ties[at]),
            rank=1 + int((low > high[at]).sum()),
            again=(float(again[0][at]), float(again[1][at])) if again is not None else None,
        )
        for at in order
    ]
