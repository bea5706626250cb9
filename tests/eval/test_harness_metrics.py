"""The metrics that lm-evaluation-harness has, against scikit-learn, sacrebleu and plain sums."""

from __future__ import annotations

import math
import random
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.errors import DataError, UsageError
from danlu.eval import metrics
from danlu.eval.metrics import Answered, aggregate
from danlu.eval.metrics.aggregate import _places, bootstrap, estimate
from danlu.eval.metrics.metric import MEAN, RATIO, Aggregation, Ratio


def chosen(
    target: object, logs: tuple[float, ...], choices: tuple[str, ...] = ("a", "bb", "ccc"), **more: object
) -> Answered:
    return Answered({}, target, choices, logs, (False,) * len(logs), (1,) * len(logs), **more)  # type: ignore[arg-type]


def written(said: object, target: object, **options: object) -> float:
    return metrics.metric("exact_match").sample(Answered({}, target, text=said, options=options))


def test_every_row_of_the_tables():
    assert {name: metrics.metric(name).name for name in metrics.METRICS} == {name: name for name in metrics.METRICS}
    for name in metrics.AGGREGATIONS:
        assert metrics.aggregation(name).name == name
    with pytest.raises(UsageError, match="unknown metric 'exact_mach'") as raised:
        metrics.metric("exact_mach", "x.yaml:3")
    assert "did you mean: exact_match" in str(raised.value)
    assert str(raised.value).startswith("x.yaml:3: ")


def test_the_most_likely_choice():
    acc, norm, by_bytes = (metrics.metric(name).sample for name in ("acc", "acc_norm", "acc_bytes"))
    assert acc(chosen(0, (-1.0, -1.5, -2.0))) == 1.0
    assert norm(chosen(2, (-1.0, -1.5, -2.0))) == 1.0
    assert acc(chosen(1, (-1.0, -1.0, -2.0))) == 0.0
    assert acc(chosen([1, 0], (-1.0, -1.5, -2.0))) == 1.0
    chinese = chosen(0, (-3.0, -2.0), ("中文", "abc"))
    assert norm(chinese) == 0.0
    assert by_bytes(chinese) == 1.0
    assert acc(Answered({}, "x", logs=(-1.0,), greedy=(True,))) == 1.0


def test_mutual_information():
    sample = metrics.metric("acc_mutual_info").sample
    assert metrics.metric("acc_mutual_info").unconditional
    assert sample(chosen(1, (-1.0, -2.0), ("a", "b"), unconditional=(-0.5, -9.0))) == 1.0


@given(st.lists(st.floats(-30, 0), min_size=2, max_size=6), st.data())
def test_brier(logs, data):
    gold = data.draw(st.integers(0, len(logs) - 1))
    shares = [math.exp(log) for log in logs]
    shares = [share / sum(shares) for share in shares]
    expected = sum((share - (place == gold)) ** 2 for place, share in enumerate(shares))
    found = metrics.metric("brier_score").sample(chosen(gold, tuple(logs), ("x",) * len(logs)))
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("classes", [2, 4])
def test_f1_and_matthews_are_those_of_scikit_learn(classes):
    from sklearn.metrics import f1_score, matthews_corrcoef

    draw = np.random.default_rng(1)
    for n in (3, 20, 200):
        gold, said = draw.integers(0, classes, n), draw.integers(0, classes, n)
        items = list(zip(gold.tolist(), said.tolist(), strict=True))
        assert metrics.aggregation("matthews_corrcoef").of(items) == pytest.approx(matthews_corrcoef(gold, said))
        if classes == 2:
            assert metrics.aggregation("f1").of(items) == pytest.approx(f1_score(gold, said))
    assert metrics.aggregation("matthews_corrcoef").of([(1, 1), (1, 1)]) == 0.0
    assert metrics.aggregation("f1").of([(0, 0), (0, 0)]) == 0.0
    with pytest.raises(DataError, match="f1 over the places of choices needs two classes"):
        metrics.aggregation("f1").of([(0, 1), (2, 1)])


@pytest.mark.parametrize("name", ["f1", "matthews_corrcoef", "perplexity", "median", "nanmean"])
def test_many_draws_at_once_are_single_draws(name):
    aggregation = metrics.aggregation(name)
    draw = random.Random(name)
    items = [
        (draw.randint(0, 1), draw.randint(0, 1)) if name in ("f1", "matthews_corrcoef") else -draw.random()
        for _ in range(7)
    ]
    places = next(_places(len(items), 40))
    at_once = aggregation.resample(items, places)
    assert at_once == pytest.approx([aggregation.of([items[place] for place in row]) for row in places])


@settings(max_examples=20)
@given(st.integers(1, 40))
def test_draws_are_those_of_the_random_module(n):
    rows = [row for block in _places(n, 2000) for row in block.tolist()]
    for seed in (0, 1):
        generator = random.Random(seed)
        for row in rows[1000 * seed : 1000 * seed + 3]:
            assert row == generator.choices(range(n), k=n)
    assert len(rows) == 2000


def test_errors_of_means_and_ratios():
    values = [0.0, 1.0, 1.0, 0.0, 1.0]
    assert estimate(MEAN, values) == (0.6, pytest.approx(statistics.stdev(values) / math.sqrt(5)))
    assert estimate(MEAN, [1.0]) == (1.0, None)
    draw = random.Random(0)
    pairs = [(-draw.uniform(1, 3) * words, words) for words in (draw.randint(5, 40) for _ in range(400))]
    value, error = estimate(metrics.aggregation("weighted_perplexity"), pairs)
    drawn = bootstrap(Aggregation("x", metrics.aggregation("weighted_perplexity").of, "bootstrap", 1000), pairs)
    assert error == pytest.approx(drawn, rel=0.1)
    bits, bits_error = estimate(metrics.aggregation("bits_per_byte"), pairs)
    assert bits == pytest.approx(math.log2(value))
    ratios = [Ratio(-top / math.log(2), bottom) for top, bottom in pairs]
    assert estimate(RATIO, ratios) == (pytest.approx(bits), pytest.approx(bits_error))


def test_a_large_bootstrap_makes_fewer_draws(monkeypatch):
    made = []

    def means(measures, places):
        made.append(len(places))
        return np.asarray(measures)[places].mean(1)

    monkeypatch.setattr(aggregate, "DRAWS", 300_000)
    for n, draws in ((10, 5000), (100, 3000), (1000, 1000)):
        made.clear()
        bootstrap(
            Aggregation("mean", lambda values: sum(values) / len(values), "bootstrap", 5000, means),
            [0.0, 1.0] * (n // 2),
        )
        assert sum(made) == draws


def test_exact_match():
    assert written("a", "a") == 1.0
    assert written("A", "a") == 0.0
    assert written("A", "a", ignore_case=True) == 1.0
    assert written("a!", "a", ignore_punctuation=True) == 1.0
    assert written("1,234", "1234", regexes_to_ignore=[","]) == 1.0
    assert written("a1", "a2", ignore_numbers=True) == 1.0
    assert written("b", ["a", "b"]) == 1.0
    assert written("c", ["a", "b"]) == 0.0
    assert written(["a"], ["a"]) == 1.0


@given(st.text(max_size=20), st.text(max_size=20))
def test_exact_match_sees_whether_texts_differ(said, target):
    assert written(said, target) == float(said == target)
    assert written(said, said, ignore_case=True, ignore_punctuation=True, ignore_numbers=True) == 1.0


def test_scores_over_a_corpus_are_those_of_sacrebleu():
    import sacrebleu

    pairs = [("the cat sat on the mat", "the cat sat on a mat"), ("a dog runs in the park", "the dog runs in a park")]
    items = [metrics.metric("bleu").sample(Answered({}, ref, text=said)) for said, ref in pairs]
    said, refs = [one for one, _ in pairs], [[ref for _, ref in pairs]]
    assert metrics.aggregation("bleu").of(items) == sacrebleu.corpus_bleu(said, refs).score
    assert metrics.aggregation("chrf").of(items) == sacrebleu.corpus_chrf(said, refs).score
    assert metrics.aggregation("chrf++").of(items) == sacrebleu.corpus_chrf(said, refs, word_order=2).score
    assert metrics.aggregation("ter").of(items) == sacrebleu.corpus_ter(said, refs).score
    two = [(["x y z", "p q"], "x y z"), (["p q r s", "t"], "p q r s")]
    assert (
        metrics.aggregation("bleu").of(two)
        == sacrebleu.corpus_bleu(["x y z", "p q r s"], [["x y z", "p q r s"], ["p q", "t"]]).score
    )
    with pytest.raises(DataError, match="same number of references"):
        metrics.aggregation("bleu").of([(["a", "b"], "a"), (["a"], "a")])
    with pytest.raises(DataError, match="one text an answer"):
        metrics.metric("bleu").sample(Answered({}, "a", text=["a", "b"]))


def test_perplexity_of_words_and_bytes():
    said = Answered({}, "茶葉 稻米 tea", logs=(-6.0,), tokens=(3,))
    for name, units in (("word_perplexity", 3), ("byte_perplexity", 17)):
        metric = metrics.metric(name)
        assert metric.aggregate.of([metric.sample(said)]) == pytest.approx(math.exp(6 / units))
        assert metric.better == "lower"
    bits = metrics.metric("bits_per_byte")
    assert bits.aggregate.of([bits.sample(said)]) == pytest.approx(6 / 17 / math.log(2))
    assert bits.each(bits.sample(said)) == Ratio(6 / math.log(2), 17)
