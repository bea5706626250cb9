"""Two results question by question: against scipy and statsmodels, and what is said where they are not alike."""

import json
import math
import random

import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from danlu.cli.main import main
from danlu.errors import DataError, UsageError
from danlu.eval.results import Sample
from danlu.eval.stored import all_results, find, measured
from danlu.eval.versus import compare
from danlu.eval.versus_page import render

HOSTILE = "</script><script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">'\"&${1}$x"


def drawn(seed, share, count):
    chance = random.Random(seed)
    return [float(chance.random() < share) for _ in range(count)]


def both(lab, a, b, **changed):
    """The comparison of two sets of (task, samples)."""
    lab.keep("a", a)
    lab.keep("b", b)
    return compare(find("a", lab.store), find("b", lab.store), **changed)


def test_right_and_wrong_answers_against_statsmodels(lab):
    a, b = drawn(1, 0.45, 300), drawn(2, 0.6, 300)
    (one,) = both(lab, [(lab.task("t"), lab.samples(a))], [(lab.task("t"), lab.samples(b))]).changes
    won = sum(x < y for x, y in zip(a, b, strict=True))
    lost = sum(x > y for x, y in zip(a, b, strict=True))
    assert (one.n, one.won, one.lost, one.test) == (300, won, lost, "McNemar")
    assert one.p == pytest.approx(mcnemar([[0, lost], [won, 0]], exact=True).pvalue)
    assert one.stderr == pytest.approx(stats.sem([y - x for x, y in zip(a, b, strict=True)]))
    reach = stats.norm.ppf(0.975) * one.stderr
    assert (one.low, one.high) == pytest.approx((one.difference - reach, one.difference + reach), abs=reach / 5)
    assert one.verdict == "better"


def test_numbers_against_the_paired_t_test(lab):
    chance = random.Random(3)
    a = [chance.gauss(2.0, 1.0) for _ in range(80)]
    b = [x + chance.gauss(0.3, 0.5) for x in a]
    sides = []
    for values in (a, b):
        samples = lab.samples(values, "hits")
        score = lab.score("hits", samples, better="lower")
        sides.append([(lab.task("t").model_copy(update={"scores": [score]}), samples)])
    (one,) = both(lab, *sides).changes
    assert one.test == "paired t"
    assert one.p == pytest.approx(stats.ttest_rel(b, a).pvalue)
    assert one.verdict == "worse", "a lower score is the better one"
    assert one.won == sum(y < x for x, y in zip(a, b, strict=True))


def weighted(lab, seed, link, **changed):
    """Samples of log-likelihoods over words, and a score made of them by `link`."""
    chance = random.Random(seed)
    samples = [
        Sample(id=f"q{at}", subject=f"s{at % 3}", values={"m": -chance.uniform(20, 60)}, weights={"m": 10.0 + at % 7})
        for at in range(60)
    ]
    value = link(samples)
    score = lab.score("m", samples, value=value, stderr=0.1, better="lower", **changed)
    return lab.task("t").model_copy(update={"scores": [score]}), samples, value


def ratio(samples):
    return sum(one.values["m"] for one in samples) / sum(one.weights["m"] for one in samples)


def by_subject(samples):
    names = {one.subject for one in samples}
    return sum(ratio([one for one in samples if one.subject == name]) for name in names) / len(names)


@pytest.mark.parametrize(
    "link",
    [
        ratio,
        lambda samples: math.exp(-ratio(samples)),
        lambda samples: -ratio(samples) / math.log(2),
        lambda samples: 100 * ratio(samples),
        by_subject,
    ],
    ids=["ratio", "perplexity", "bits", "percent", "subjects"],
)
def test_the_error_of_a_derived_score_is_that_of_a_long_bootstrap(lab, link):
    import numpy as np

    (ta, sa, va), (tb, sb, vb) = weighted(lab, 1, link), weighted(lab, 2, link)
    (one,) = both(lab, [(ta, sa)], [(tb, sb)]).changes
    assert one.paired
    assert (one.base, one.new) == pytest.approx((va, vb))
    assert one.difference == pytest.approx(vb - va)
    draw = np.random.default_rng(0)
    made = []
    for _ in range(1500):
        if link is by_subject:
            places = np.concatenate([draw.choice(range(s, 60, 3), 20) for s in range(3)])
        else:
            places = draw.integers(0, 60, 60)
        made.append(link([sb[i] for i in places]) - link([sa[i] for i in places]))
    assert one.stderr == pytest.approx(np.std(made, ddof=1), rel=0.12)


def test_a_score_that_does_not_follow_from_its_questions_is_independent(lab):
    sides = []
    for seed, value in ((1, 31.0), (2, 33.0)):
        samples = lab.samples(drawn(seed, 0.5, 50), "bleu")
        score = lab.score("bleu", samples, value=value, stderr=0.8)
        sides.append([(lab.task("t").model_copy(update={"scores": [score]}), samples)])
    made = both(lab, *sides)
    (one,) = made.changes
    assert (one.n, one.test) == (0, "independent")
    assert one.stderr == pytest.approx(math.hypot(0.8, 0.8))
    assert one.p == pytest.approx(2 * stats.norm.sf(2.0 / one.stderr))
    assert any("does not follow from its questions' values" in note for note in made.notes)


def test_a_score_without_an_error_has_no_verdict(lab):
    sides = []
    for value in (1.0, 2.0):
        score = lab.score("x", lab.samples([value], "x"), stderr=None)
        sides.append([(lab.task("t").model_copy(update={"scores": [score]}), [])])
    (one,) = both(lab, *sides).changes
    assert (one.stderr, one.low, one.p, one.holm, one.verdict) == (None, None, None, None, "unknown")


def test_p_values_are_corrected_together(lab):
    names = ["t1", "t2", "t3", "t4"]
    shares = [0.5, 0.55, 0.6, 0.7]
    a = [(lab.task(name), lab.samples(drawn(f"a{name}", 0.5, 200))) for name in names]
    b = [(lab.task(n), lab.samples(drawn(f"b{n}", share, 200))) for n, share in zip(names, shares, strict=True)]
    changes = both(lab, a, b).changes
    wanted = multipletests([one.p for one in changes], method="holm")[1]
    assert [one.holm for one in changes] == pytest.approx(list(wanted))
    assert [one.verdict for one in changes] == ["better" if p < 0.05 else "unclear" for p in wanted]


def test_only_shared_questions_count_and_the_others_are_told(lab):
    samples = lab.samples([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    failed = [Sample(id="q2", failed="timeout"), Sample(id="q3", failed="timeout")]
    kept = [one for one in lab.samples([0.0, 1.0, 0.0, 0.0, 1.0]) if one.id not in ("q2", "q3")]
    made = both(lab, [(lab.task("t"), samples)], [(lab.task("t"), [*kept, *failed])])
    (one,) = made.changes
    assert one.n == 3
    assert (one.base, one.new) == pytest.approx((1 / 3, 2 / 3))
    assert "t: 1 of 6 questions of base are unpaired: the other side was not asked" in made.notes
    assert "t: 2 questions of new failed and are left out (2 timeout)" in made.notes


def test_a_question_asked_twice_is_paired_twice(lab):
    twice = [Sample(id="same", values={"acc": 1.0}), Sample(id="same", values={"acc": 0.0})]
    again = [Sample(id="same", values={"acc": 1.0}), Sample(id="same", values={"acc": 1.0})]
    (one,) = both(lab, [(lab.task("t"), twice)], [(lab.task("t"), again)]).changes
    assert (one.n, one.won, one.lost) == (2, 1, 0)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"shots": 0}, "shots 5 against 0"),
        ({"version": "2"}, "version 1 against 2"),
        ({"seed": 4}, "seed 0 against 4"),
        ({"prompt": "q"}, "the requests differ"),
        ({"data": {"digest": "other"}}, "other data"),
    ],
)
def test_what_was_not_the_same_is_told(lab, changed, told):
    usual = {"prompt": "p", "data": {"digest": "one"}}
    samples = lab.samples([1.0, 0.0, 1.0])
    made = both(lab, [(lab.task("t", **usual), samples)], [(lab.task("t", **(usual | changed)), samples)])
    assert len(made.warnings) == 1
    assert told in made.warnings[0]
    assert bool(made.changes[0].incomparable) == ("shots" in changed or "version" in changed)


def test_no_task_in_common(lab):
    with pytest.raises(DataError, match="no task in common"):
        both(lab, [(lab.task("t"), lab.samples([1.0]))], [(lab.task("u"), lab.samples([1.0]))])


def test_the_same_result_twice_changes_nothing(lab):
    samples = lab.samples(drawn(1, 0.5, 40))
    (one,) = both(lab, [(lab.task("t"), samples)], [(lab.task("t"), samples)]).changes
    assert (one.difference, one.stderr, one.p, one.verdict) == (0.0, 0.0, 1.0, "unclear")


def test_results_by_every_name(lab):
    first = lab.keep("m", [(lab.task("t"), lab.samples([1.0, 0.0]))], fingerprint="old")
    lab.keep("m", [(lab.task("t"), lab.samples([1.0, 1.0])), (lab.task("u"), lab.samples([0.0]))])
    last = lab.keep("m", [(lab.task("t"), lab.samples([0.0, 0.0]))])
    found = find("m", lab.store)
    assert {name: held.stored.id for name, held in found.tasks.items()} == {"t": last.id, "u": f"{2:016x}"}
    assert "1 older result(s) of other weights" in found.notes[0]
    assert find(first.id, lab.store).tasks["t"].result.scores[0].value == 0.5
    assert find(str(first.path), None).tasks["t"].stored.artifact is None
    with pytest.raises(UsageError, match="is the beginning of 3 ids"):
        find("0000", lab.store)
    with pytest.raises(DataError) as told:
        find("mm", lab.store)
    assert told.value.problem.nearest == "m"
    assert len(all_results(lab.store)) == 3


def kept(lab):
    a, b = drawn(1, 0.5, 120), drawn(2, 0.75, 120)
    lab.keep("base-model", [(lab.task("tmmluplus"), lab.samples(a, target="甲", answer=HOSTILE, subjects=["物理"]))])
    lab.keep("new-model", [(lab.task("tmmluplus"), lab.samples(b, target="甲", answer="乙", subjects=["物理"]))])
    return ["compare", "base-model", "new-model", "--store", str(lab.store.root)]


def test_the_command_line_shows_the_table_and_the_flips(lab, capsys):
    arguments = kept(lab)
    assert main([*arguments, "--flips", "2"]) == 0
    told = capsys.readouterr().out
    assert "tmmluplus.acc" in told
    assert "McNemar (paired)" in told
    assert told.count("tmmluplus.acc won") == told.count("tmmluplus.acc lost") == 2


def test_the_command_line_as_json(lab, capsys):
    arguments = kept(lab)
    assert main([*arguments, "--json", "--flips", "1", "--fail-if", "tmmluplus.acc < base + 1"]) == 4
    told = json.loads(capsys.readouterr().out)
    (one,) = told["changes"]
    assert one["verdict"] == "better"
    assert one["difference"] == pytest.approx(one["new"] - one["base"])
    assert [len(told["flips"]["tmmluplus.acc"][side]) for side in ("won", "lost")] == [1, 1]
    assert told["gates"][0]["failed"] is True


def test_gates_on_the_command_line(lab, capsys):
    arguments = kept(lab)
    assert main([*arguments, "--fail-if", "tmmluplus.acc < base - 2se"]) == 0
    assert "holds" in capsys.readouterr().out
    assert main([*arguments, "--fail-if", "tmmluplus.acc > base", "--fail-if", "tmmluplus.acc < 0.1"]) == 4
    told = capsys.readouterr()
    assert "1 of 2 gates failed" in told.err
    assert "was '<' meant?" in told.err
    assert main([*arguments, "--fail-if", "tmmluplus.acc < bose"]) == 2
    assert "did you mean: base" in capsys.readouterr().err


def test_the_page_escapes_what_models_say(lab, tmp_path, capsys):
    arguments = kept(lab)
    file = tmp_path / "deep" / "page.html"
    assert main([*arguments, "--out", str(file)]) == 0
    page = file.read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;img" in page
    assert "script-src 'none'" in page
    assert not list(file.parent.glob("*.part"))
    made = compare(find("base-model", lab.store), find("new-model", lab.store))
    assert page == render(made)


def test_the_leaderboard_verb(lab, tmp_path, capsys):
    kept(lab)
    file = tmp_path / "board.html"
    store = ["--store", str(lab.store.root)]
    assert main(["leaderboard", *store, "--out", str(file)]) == 0
    assert "2 models, 1 columns" in capsys.readouterr().out
    assert "new-model" in file.read_text(encoding="utf-8")
    assert main(["leaderboard", *store, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["models"]) == 2
    assert main(["leaderboard", "--store", str(tmp_path / "nothing")]) == 5
    (tmp_path / "empty").mkdir()
    assert main(["leaderboard", "--store", str(tmp_path / "empty")]) == 6


def test_names_prompts_and_subjects_cannot_break_out_of_the_page(lab):
    for share in (0.2, 0.8):
        samples = lab.samples(drawn(share, share, 30), subjects=[HOSTILE], target=HOSTILE, answer=[HOSTILE])
        hostile = [one.model_copy(update={"prompt": HOSTILE}) for one in samples]
        lab.keep(HOSTILE, [(lab.task("t", prompt=f"{share}"), hostile)], fingerprint=f"{share}")
    base, new = (measured(one) for one in all_results(lab.store))
    page = render(compare(base, new))
    assert page.count("&lt;/script&gt;&lt;script&gt;") > 10
    assert "<script" not in page
    assert "<img" not in page
    assert 'onerror="' not in page
