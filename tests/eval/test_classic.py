"""Classic metrics against scikit-learn, their errors against scipy's bootstrap, and files that are off."""

import json
import math

import numpy as np
import polars as pl
import pytest
from scipy import stats
from sklearn import metrics as sk

from danlu.artifact import Store
from danlu.cli.main import main
from danlu.errors import DataError
from danlu.eval.classic.clustering import agreement
from danlu.eval.classic.predictions import in_order, label, read
from danlu.eval.classic.ranked import Calibration, Ranking
from danlu.eval.classic.step import ClassicSettings, measured
from danlu.eval.results import read_results, read_samples
from danlu.eval.stored import find
from danlu.eval.versus import compare
from danlu.track import Track

QUIET = Track(quiet=True)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def scored(tmp_path):
    """The scores, and everything else, of rows written as JSON Lines."""

    def run(rows, kind="classification", **settings):
        path = tmp_path / "p.jsonl"
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        given = {"predictions": path, "kind": kind, "resamples": 50} | settings
        results, outcome = measured(ClassicSettings(**given), QUIET)
        return {score.name: score for score in outcome.scores}, results, outcome

    return run


def binary(n=160, seed=0):
    draw = rng(seed)
    truth = draw.integers(0, 2, n)
    p = np.clip(np.round(0.5 + 0.28 * (truth - 0.5) + draw.normal(0, 0.2, n), 2), 0.01, 0.99)  # with ties
    return truth, p, (p >= 0.5).astype(int)


def many(n=200, seed=0, classes=("貓", "狗", "鳥")):
    draw = rng(seed)
    truth = draw.integers(0, len(classes), n)
    logits = draw.normal(0, 1, (n, len(classes)))
    logits[np.arange(n), truth] += 1.1
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return [classes[t] for t in truth], p, [classes[t] for t in p.argmax(axis=1)], list(classes)


def close(found, wanted):
    for name, value in wanted.items():
        assert found[name].value == pytest.approx(value, abs=1e-12), name


def prf(truth, said, average, **more):
    names = ("precision", "recall", "f1")
    found = sk.precision_recall_fscore_support(truth, said, average=average, zero_division=0, **more)
    return dict(zip(names, found, strict=False))


def test_two_classes_against_scikit_learn(scored):
    truth, p, said = binary()
    rows = [{"y_true": int(t), "y_pred": int(s), "y_score": float(q)} for t, s, q in zip(truth, said, p, strict=True)]
    found, _, _ = scored(rows)
    close(
        found,
        {
            "accuracy": sk.accuracy_score(truth, said),
            "balanced_accuracy": sk.balanced_accuracy_score(truth, said),
            "mcc": sk.matthews_corrcoef(truth, said),
            "roc_auc": sk.roc_auc_score(truth, p),
            "pr_auc": sk.average_precision_score(truth, p),
            "log_loss": sk.log_loss(truth, p),
            "brier": sk.brier_score_loss(truth, p),
            **prf(truth, said, "binary"),
            **{
                f"{name}_{how}": v
                for how in ("macro", "micro", "weighted")
                for name, v in prf(truth, said, how).items()
            },
        },
    )
    assert {score.n for score in found.values()} == {160}
    assert {name for name, score in found.items() if score.better == "lower"} == {"log_loss", "brier", "ece"}


def test_the_positive_class_can_be_named(scored):
    truth, p, said = binary()
    rows = [{"y_true": t, "y_pred": s, "y_score": q} for t, s, q in zip(truth.tolist(), said.tolist(), p, strict=True)]
    found, _, _ = scored(rows, positive="0")
    close(found, {"roc_auc": sk.roc_auc_score(1 - truth, p), **prf(truth, said, "binary", pos_label=0)})


def test_more_classes_against_scikit_learn(scored):
    truth, p, said, classes = many()
    rows = [
        {"y_true": t, "y_pred": s, "y_score": dict(zip(classes, map(float, q), strict=True))}
        for t, s, q in zip(truth, said, p, strict=True)
    ]
    found, results, outcome = scored(rows)
    order = sorted(classes)
    columns = p[:, [classes.index(name) for name in order]]
    one_hot = np.array([[t == name for name in order] for t in truth])
    close(
        found,
        {
            "accuracy": sk.accuracy_score(truth, said),
            "balanced_accuracy": sk.balanced_accuracy_score(truth, said),
            "mcc": sk.matthews_corrcoef(truth, said),
            "log_loss": sk.log_loss(truth, columns, labels=order),
            "brier": sk.brier_score_loss(truth, columns, labels=order),
            "roc_auc_macro": sk.roc_auc_score(truth, columns, multi_class="ovr", labels=order),
            "pr_auc_macro": sk.average_precision_score(one_hot, columns, average="macro"),
            **{
                f"{name}_{how}": v
                for how in ("macro", "micro", "weighted")
                for name, v in prf(truth, said, how).items()
            },
        },
    )
    by = results.tasks[0].subjects
    assert set(by) == set(classes)
    recall = dict(zip(order, sk.recall_score(truth, said, average=None, labels=order), strict=True))
    assert {name: one[0].value for name, one in by.items()} == pytest.approx(recall)
    assert [row[0] for row in outcome.tables[0][2]] == order


def test_several_classes_an_item_against_scikit_learn(scored):
    draw = rng(4)
    classes = ["甲", "乙", "丙", "丁"]
    truth = draw.random((150, 4)) < (0.5, 0.3, 0.2, 0.6)
    p = np.clip(truth * 0.4 + draw.random((150, 4)) * 0.6, 0, 1)
    said = p > 0.5
    names = lambda row: [name for name, held in zip(classes, row, strict=True) if held]  # noqa: E731
    rows = [
        {"y_true": names(t), "y_pred": names(s), "y_score": dict(zip(classes, map(float, q), strict=True))}
        for t, s, q in zip(truth, said, p, strict=True)
    ]
    found, _, outcome = scored(rows)
    close(
        found,
        {
            "subset_accuracy": sk.accuracy_score(truth, said),
            "hamming_loss": sk.hamming_loss(truth, said),
            "roc_auc_macro": sk.roc_auc_score(truth, p, average="macro"),
            "pr_auc_macro": sk.average_precision_score(truth, p, average="macro"),
            **{
                f"{name}_{how}": v
                for how in ("macro", "micro", "weighted")
                for name, v in prf(truth, said, how).items()
            },
        },
    )
    without, _, told = scored([{key: row[key] for key in ("y_true", "y_score")} for row in rows])
    assert without["subset_accuracy"].value == found["subset_accuracy"].value
    assert "the classes with a score of 0.5 or more are taken" in told.notes
    texts = [{"y_true": "、".join(row["y_true"]), "y_pred": "、".join(row["y_pred"])} for row in rows]
    again, _, _ = scored(texts, separator="、")
    assert again["f1_macro"].value == found["f1_macro"].value
    assert outcome.samples[0].target == in_order(rows[0]["y_true"])


def test_numbers_against_scikit_learn(scored):
    draw = rng(5)
    truth = draw.normal(100, 30, 120)
    said = truth + draw.normal(3, 8, 120)
    rows = [{"y_true": float(t), "y_pred": float(s)} for t, s in zip(truth, said, strict=True)]
    found, _, _ = scored(rows, kind="regression", unit="TWD")
    close(
        found,
        {
            "mae": sk.mean_absolute_error(truth, said),
            "rmse": sk.root_mean_squared_error(truth, said),
            "r2": sk.r2_score(truth, said),
            "mape": sk.mean_absolute_percentage_error(truth, said),
        },
    )
    assert found["mae"].unit == "TWD"
    assert found["r2"].better == "higher"


def test_clusters_against_scikit_learn(scored):
    draw = rng(6)
    truth = draw.integers(0, 3, 140)
    said = np.where(draw.random(140) < 0.7, truth, draw.integers(0, 5, 140))
    points = draw.normal(0, 1, (140, 2)) + truth[:, None] * 2.5
    rows = [
        {"y_true": int(t), "y_pred": int(s), "at": [float(x) for x in point]}
        for t, s, point in zip(truth, said, points, strict=True)
    ]
    found, _, _ = scored(rows, kind="clustering", features=["at"])
    close(
        found,
        {
            "ari": sk.adjusted_rand_score(truth, said),
            "nmi": sk.normalized_mutual_info_score(truth, said),
            "homogeneity": sk.homogeneity_score(truth, said),
            "completeness": sk.completeness_score(truth, said),
            "v_measure": sk.v_measure_score(truth, said),
            "silhouette": sk.silhouette_score(points, said),
        },
    )
    alone, _, _ = scored(
        [{"y_pred": row["y_pred"], "at": row["at"]} for row in rows], kind="clustering", features=["at"]
    )
    assert set(alone) == {"silhouette"}


@pytest.mark.parametrize("seed", range(5))
def test_agreement_of_drawn_tables(seed):
    draw = rng(seed)
    truth, said = draw.integers(0, draw.integers(1, 5), 60), draw.integers(0, draw.integers(1, 5), 60)
    found = agreement(sk.cluster.contingency_matrix(truth, said).astype(float))
    assert found["ari"] == pytest.approx(sk.adjusted_rand_score(truth, said), abs=1e-12)
    assert found["nmi"] == pytest.approx(sk.normalized_mutual_info_score(truth, said), abs=1e-9)
    assert found["v_measure"] == pytest.approx(sk.v_measure_score(truth, said), abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_areas_with_weights_against_scikit_learn(seed):
    truth, p, _ = binary(seed=seed)
    weights = rng(seed).integers(0, 4, len(p)).astype(float)
    one = Ranking(truth, p)
    assert one.roc_auc(weights) == pytest.approx(sk.roc_auc_score(truth, p, sample_weight=weights))
    assert one.average_precision(weights) == pytest.approx(sk.average_precision_score(truth, p, sample_weight=weights))


def test_calibration_by_hand():
    made = Calibration(np.array([0.05, 0.15, 0.95, 0.95, 1.0]), np.array([1.0, 0.0, 1.0, 0.0, 1.0]), 10)
    assert made.error(np.ones(5)) == pytest.approx((abs(0.05 - 1) + 0.15 + abs(2.9 - 2.0)) / 5)
    assert Calibration(np.array([0.5] * 4), np.array([1.0, 0, 1, 0]), 10).error(np.ones(4)) == 0.0


def test_errors_against_scipys_bootstrap(scored):
    truth, p, said = binary(120, 3)
    rows = [{"y_true": int(t), "y_pred": int(s), "y_score": float(q)} for t, s, q in zip(truth, said, p, strict=True)]
    found, _, _ = scored(rows, resamples=1500)
    for name, compute in (
        ("accuracy", lambda t, s, q: sk.accuracy_score(t, s)),
        ("f1", lambda t, s, q: sk.f1_score(t, s)),
        ("roc_auc", lambda t, s, q: sk.roc_auc_score(t, q)),
        ("brier", lambda t, s, q: np.mean((q - t) ** 2)),
    ):
        again = stats.bootstrap(
            (truth, said, p), compute, paired=True, vectorized=False, n_resamples=400, method="percentile", rng=rng(1)
        )
        assert found[name].stderr == pytest.approx(again.standard_error, rel=0.15), name
    assert found["accuracy"].stderr == pytest.approx(stats.sem(truth == said), rel=0.08)


def test_the_same_seed_gives_the_same_errors(scored):
    truth, _, said = binary(60)
    rows = [{"y_true": int(t), "y_pred": int(s)} for t, s in zip(truth, said, strict=True)]
    assert scored(rows)[2].scores == scored(rows)[2].scores
    assert scored(rows, seed=1)[0]["accuracy"].stderr != scored(rows)[0]["accuracy"].stderr


def test_one_class_alone_is_said_and_never_nan(scored):
    rows = [{"y_true": 1, "y_pred": int(at % 3 > 0), "y_score": 0.3 + at % 3 / 5} for at in range(12)]
    found, _, outcome = scored(rows, classes=["0", "1"])
    assert not {"roc_auc", "pr_auc"} & set(found)
    assert any("with one class alone ROC-AUC and PR-AUC are not defined" in note for note in outcome.notes)
    assert all(math.isfinite(score.value) for score in found.values())
    assert "log_loss" in found
    del rows[0]["y_score"]
    for row in rows:
        row.update(y_pred=1, y_score=0.5)
    alone, _, told = scored(rows)
    assert "log_loss" not in alone
    assert any("name both with classes" in note for note in told.notes)


def test_decision_values_rank_and_are_no_probabilities(scored):
    truth, p, said = binary()
    logit = np.log(p / (1 - p)) * 3
    rows = [
        {"y_true": int(t), "y_pred": int(s), "y_score": float(q)} for t, s, q in zip(truth, said, logit, strict=True)
    ]
    found, _, outcome = scored(rows)
    assert found["roc_auc"].value == pytest.approx(sk.roc_auc_score(truth, logit))
    assert not {"log_loss", "brier", "ece"} & set(found)
    assert any("leave [0, 1]" in note for note in outcome.notes)


def test_what_is_not_defined_for_numbers_is_said(scored):
    found, _, outcome = scored([{"y_true": 0.0, "y_pred": float(at)} for at in range(5)], kind="regression")
    assert set(found) == {"mae", "rmse"}
    assert "r2 is not defined: the true values are all the same" in outcome.notes
    assert "mape leaves out 5 of 5 items whose true value is 0" in outcome.notes


GOOD = {"y_true": "a", "y_pred": "b", "y_score": {"a": 0.25, "b": 0.5, "c": 0.25}}


@pytest.mark.parametrize(
    ("row", "settings", "told", "near"),
    [
        ({"y_tru": "a", "y_pred": "a"}, {}, "no column 'y_true'", "y_tru"),
        ({"y_true": "a"}, {}, "neither the predicted classes nor scores", "y_true"),
        ({**GOOD, "y_true": None}, {}, "y_true is missing", None),
        ({**GOOD, "y_pred": math.nan}, {}, "y_pred is missing", None),
        ({**GOOD, "y_true": "aa"}, {}, "'aa' is an unknown class", "a"),
        (GOOD, {"classes": ["a", "c"]}, "'b' is an unknown class", None),
        ({**GOOD, "y_score": {"a": 0.5, "b": 0.4, "c": 0.2}}, {}, "add up to 1.1000, not 1 (1 of 1 rows)", None),
        ({**GOOD, "y_score": {"a": 0.5, "b": math.nan, "c": 0.5}}, {}, "nan, not a finite number", None),
        ({**GOOD, "y_score": {"a": 0.5, "b": "x", "c": 0.5}}, {}, "y_score is no number: 'x'", None),
        ({**GOOD, "y_score": [0.5, 0.5]}, {"classes": ["a", "b", "c"]}, "2 scores for 3 classes", None),
        ({**GOOD, "y_score": 0.5}, {"classes": ["a", "b", "c"]}, "one number, and there are 3 classes", None),
        (GOOD, {"classes": ["a", "b"]}, "a score of 'c', no class", None),
        (GOOD, {"positive": "z"}, "the positive class 'z' does not occur", None),
        (GOOD, {"group": "sex"}, "no column 'sex'", None),
        (GOOD, {"id": "y_tue"}, "no column 'y_tue'", "y_true"),
        (GOOD, {"kind": "regression"}, "y_true is no number: 'a'", None),
        ({"y_true": 1.0, "y_pred": None}, {"kind": "regression"}, "y_pred is missing", None),
        ({"y_pred": 1}, {"kind": "clustering"}, "neither true classes nor features", "y_pred"),
        ({"y_pred": 1, "x": "far"}, {"kind": "clustering", "features": ["x"]}, "x is no number", None),
    ],
)
def test_predictions_that_are_off(scored, row, settings, told, near):
    with pytest.raises(DataError) as error:
        scored([row], **settings)
    assert told in str(error.value)
    assert near is None or error.value.problem.nearest == near
    assert "p.jsonl" in str(error.value) or "positive" in told


def test_an_error_names_its_line(scored):
    rows = [{"y_true": 1.0, "y_pred": 1.0}] * 3 + [{"y_true": 1.0, "y_pred": "x"}]
    with pytest.raises(DataError) as error:
        scored(rows, kind="regression")
    assert error.value.problem.where.endswith("p.jsonl:4")


def test_files_of_every_kind_say_the_same(tmp_path):
    truth, p, said, classes = many(90)
    frame = pl.DataFrame(
        {"y_true": truth, "y_pred": said} | {f"y_score_{name}": p[:, at] for at, name in enumerate(classes)}
    )
    frame.write_csv(tmp_path / "p.csv")
    frame.write_csv(tmp_path / "p.tsv", separator="\t")
    frame.write_parquet(tmp_path / "p.parquet")
    frame.write_ndjson(tmp_path / "p.jsonl")
    found = []
    for ending in ("csv", "tsv", "parquet", "jsonl"):
        settings = ClassicSettings(predictions=tmp_path / f"p.{ending}", kind="classification", resamples=20)
        results, _ = measured(settings, QUIET)
        found.append([(score.name, score.value, score.stderr) for score in results.tasks[0].scores])
    assert all(np.allclose([one[1:] for one in other], [one[1:] for one in found[0]]) for other in found[1:])
    assert "log_loss" in {name for name, _, _ in found[0]}


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("p.txt", "x", "is no file of predictions"),
        ("p.jsonl", "", "not JSON"),
        ("p.jsonl", "[1]\n", "not an object"),
        ("p.jsonl", '{"y_true": 1}\n\n{"y_true": 2}\n', "not JSON"),
        ("p.csv", "y_true,y_pred\n", "no predictions"),
        ("p.parquet", "no parquet", "cannot be read"),
    ],
)
def test_files_that_are_off(tmp_path, name, text, told):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=told):
        read(tmp_path / name)


def test_a_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "predictions.csv").write_text("a\n1\n", encoding="utf-8")
    with pytest.raises(DataError) as error:
        read(tmp_path / "prediction.csv")
    assert error.value.problem.nearest == "predictions.csv"


def test_labels_are_texts():
    assert [label(value) for value in (1, 1.0, "1", " 1 ", True, 1.5)] == ["1", "1", "1", "1", "true", "1.5"]
    assert in_order(["10", "9", "1"]) == ["1", "9", "10"]
    assert in_order(["b", "10", "a"]) == ["10", "a", "b"]


@pytest.fixture
def files(tmp_path):
    """Two models' predictions of the same items, the second better."""
    made = {}
    for name, strength in (("weak", 0.6), ("strong", 0.9)):
        draw = rng(9)
        truth = draw.integers(0, 3, 200)
        said = np.where(draw.random(200) < strength, truth, draw.integers(0, 3, 200))
        path = tmp_path / f"{name}.csv"
        pl.DataFrame({"id": range(200), "y_true": truth, "y_pred": said}).write_csv(path)
        made[name] = path
    return made


def test_classic_models_stand_beside_the_others(files, tmp_path, capsys):
    store = tmp_path / "store"
    for name, path in files.items():
        arguments = ["metrics", str(path), "--kind", "classification", "--id", "id", "--resamples", "100"]
        assert main([*arguments, "--model", name, "--task", "shapes", "--store", str(store)]) == 0
    assert "danlu leaderboard --store" in capsys.readouterr().out
    made = compare(find("weak", Store(store)), find("strong", Store(store)))
    accuracy = made.change("shapes.accuracy")
    assert (accuracy.n, accuracy.test, accuracy.verdict) == (200, "McNemar", "better")
    assert made.change("shapes.balanced_accuracy").paired
    assert not made.change("shapes.mcc").paired
    assert made.warnings == []
    artifact = find("strong", Store(store)).tasks["shapes"].stored.artifact
    assert {"plots/shapes/confusion.svg", "results.json", "samples/shapes.jsonl"} <= set(artifact.manifest["files"])
    assert artifact.verify() == []
    assert len(list(read_samples(artifact.path, "shapes"))) == 200
    assert main(["leaderboard", "--store", str(store), "--out", str(tmp_path / "board.html")]) == 0
    assert "balanced_accuracy" in (tmp_path / "board.html").read_text(encoding="utf-8")
    fail = ["--fail-if", "shapes.accuracy < base - 2se"]
    assert main(["compare", "strong", "weak", "--store", str(store), *fail]) == 4
    assert main(["compare", "weak", "strong", "--store", str(store), *fail]) == 0


def test_root_mean_squares_are_compared_in_pairs(tmp_path):
    measured_by = {}
    for name, spread in (("weak", 9.0), ("strong", 3.0)):
        draw = rng(2)
        truth = draw.normal(50, 10, 150)
        path = tmp_path / f"{name}.csv"
        pl.DataFrame({"y_true": truth, "y_pred": truth + draw.normal(0, spread, 150)}).write_csv(path)
        folder = tmp_path / name
        settings = ClassicSettings(predictions=path, kind="regression", model=name, resamples=600)
        results, outcome = measured(settings, QUIET)
        from danlu.eval.classic.step import keep

        folder.mkdir()
        measured_by[name] = keep(settings, results, outcome, Store(tmp_path / "store"))
    made = compare(*(find(one.id, Store(tmp_path / "store")) for one in measured_by.values()))
    assert made.change("classic.rmse").paired
    assert made.change("classic.rmse").verdict == "better"
    stderr = made.change("classic.rmse").stderr
    rmse = [next(s for s in read_results(one.path).tasks[0].scores if s.name == "rmse") for one in measured_by.values()]
    assert made.change("classic.rmse").difference == pytest.approx(rmse[1].value - rmse[0].value)
    assert 0.5 < stderr / math.hypot(*(one.stderr for one in rmse)) < 1.2


def test_the_step_makes_results_with_plots(bench, files):
    made = bench.run("eval.classic", predictions=files["strong"], kind="classification", resamples=20)
    assert made.kind == "results"
    assert read_results(made.path).tasks[0].came == 200
    assert {block["type"] for block in made.manifest["report"]} == {"table", "image"}
    again = bench.run("eval.classic", id="again", predictions=files["strong"], kind="classification", resamples=20)
    assert again.content == made.content, "the same predictions give the same bytes"


def test_every_plot_is_drawn(tmp_path, capsys):
    truth, p, said, classes = many(120)
    rows = {"y_true": truth, "y_pred": said} | {f"y_score_{name}": p[:, at] for at, name in enumerate(classes)}
    rows |= {"x": p[:, 0], "y": p[:, 1]}
    pl.DataFrame(rows).write_csv(tmp_path / "p.csv")
    plots = tmp_path / "plots"
    common = [str(tmp_path / "p.csv"), "--resamples", "20", "--plots", str(plots)]
    assert main(["metrics", *common, "--kind", "classification"]) == 0
    assert main(["metrics", *common, "--kind", "clustering", "--features", "x", "--features", "y"]) == 0
    assert main(["metrics", *common, "--kind", "regression", "--truth", "x", "--predicted", "y"]) == 0
    names = {path.name for path in plots.iterdir()}
    assert names == {
        *("confusion.svg", "roc.svg", "precision-recall.svg", "reliability.svg", "contingency.svg"),
        *("silhouettes.svg", "plane.svg", "residuals.svg"),
    }
    assert all("<text" in (plots / name).read_text(encoding="utf-8") for name in names)
    assert "accuracy" in capsys.readouterr().out


def test_the_verb_as_json_and_its_mistakes(files, tmp_path, capsys):
    assert main(["metrics", str(files["weak"]), "--kind", "classification", "--resamples", "20", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["results"]["tasks"][0]["scores"][0]["n"] == 200
    assert main(["metrics", str(files["weak"]), "--kind", "classification", "--resamples", "2"]) == 2
    assert "--resamples" in capsys.readouterr().err
    assert main(["metrics", str(files["weak"]), "--kind", "classification", "--truth", "y_tru"]) == 6
    assert "did you mean: y_true" in capsys.readouterr().err
    assert main(["metrics", str(tmp_path / "no.csv"), "--kind", "regression"]) == 6
