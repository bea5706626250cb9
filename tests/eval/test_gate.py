"""--fail-if: its grammar (against Python's own arithmetic), what it means, and that it shuts when it cannot measure."""

import ast
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from danlu.artifact import Store
from danlu.cli.main import main
from danlu.errors import GateError, RecipeError, UsageError
from danlu.eval import gate
from danlu.eval.stored import find
from danlu.eval.versus import compare
from danlu.recipe.schema import read_recipe

NUMBERS = some.one_of(
    some.integers(0, 10**6).map(str),
    some.floats(0, 1e6, allow_nan=False).map(lambda value: f"{value:.6f}"),
    some.sampled_from(["1e-3", "2.5E+2", ".5", "3."]),
)
SPACE = some.sampled_from(["", " ", "  "])


def joined(parts):
    return parts.map("".join)


ATOMS = some.one_of(
    NUMBERS,
    some.sampled_from(["base", "se"]),
    joined(some.tuples(NUMBERS, some.sampled_from(["base", "se"]))),
)
BOUNDS = some.recursive(
    ATOMS,
    lambda inner: some.one_of(
        joined(some.tuples(inner, SPACE, some.sampled_from("+-*/"), SPACE, inner)),
        joined(some.tuples(some.just("("), SPACE, inner, SPACE, some.just(")"))),
        joined(some.tuples(some.just("-"), inner)),
    ),
    max_leaves=12,
)


def pythonic(text):
    """The same bound as Python arithmetic: `2se` binds more tightly than any operator."""
    import re

    return re.sub(r"((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(base|se)", r"(\1*\2)", text)


@settings(deadline=None, max_examples=60)
@given(BOUNDS, some.sampled_from(["<", "<=", ">", ">="]), SPACE)
def test_a_bound_is_worth_what_python_says(text, comparison, space):
    read = gate.parse(f"tmmluplus.acc{space}{comparison}{space}{text}")
    tree = compile(ast.parse(pythonic(text).strip(), mode="eval"), "bound", "eval")
    assert (read.score, read.comparison) == ("tmmluplus.acc", comparison)
    found = gate.evaluate(read.bound, 0.37, 0.021)
    try:
        wanted = eval(tree, {"__builtins__": {}, "base": 0.37, "se": 0.021})
    except ZeroDivisionError:
        assert not math.isfinite(found)
    else:
        assert found == pytest.approx(wanted, rel=1e-9) or (found == 0 and wanted == 0)


def read_or_told(text):
    """The expression, or the error; anything else escapes."""
    try:
        return gate.parse(text), None
    except UsageError as error:
        return None, error


@settings(deadline=None)
@given(some.one_of(some.text(alphabet="abcse.<>=+-*/() 0123456789,basetmmlu", max_size=40), some.text(max_size=30)))
def test_any_other_text_is_an_error_with_its_place(text):
    read, error = read_or_told(text)
    if error is not None:
        assert "character" in error.problem.where
        assert error.problem.what
    else:
        assert read.comparison in gate.COMPARISONS
        assert "." in read.score


@pytest.mark.parametrize(
    ("text", "what", "character"),
    [
        ("tmmluplus.acc", "a comparison is missing", 14),
        ("tmmluplus.acc == 1", "compares nothing here", 15),
        ("tmmluplus.acc != 1", "compares nothing here", 15),
        ("< 1", "the score is missing", 1),
        ("  acc < 1", "is no score", 3),
        ("a b.acc < 1", "is no score", 1),
        ("t.acc < bas - 2se", "neither `base` nor `se`", 9),
        ("t.acc < base - 2sd", "neither `base` nor `se`", 17),
        ("t.acc < base -", "is missing here", 15),
        ("t.acc < (base - 2se", "never closed", 9),
        ("t.acc < base 2", "is too much", 14),
        ("t.acc < 2 % base", "means nothing here", 11),
        ("t.acc < __import__('os')", "means nothing here", 20),
        ("t.acc < " + "(" * 60 + "1" + ")" * 60, "within each other", 59),
        ("t.acc <", "is missing here", 8),
    ],
)
def test_an_error_tells_its_place(text, what, character):
    with pytest.raises(UsageError) as told:
        gate.parse(text)
    assert what in told.value.problem.what
    assert told.value.problem.where.endswith(f"character {character}")


def test_names_with_filters_and_dashes():
    read = gate.parse("gsm8k-tw.exact_match,flexible-extract<base-2se")
    assert (read.score, read.bound) == ("gsm8k-tw.exact_match,flexible-extract", ("-", "base", ("*", 2.0, "se")))
    assert read.names == {"base", "se"}


def verdicts(lab, *texts, base=True):
    given = [gate.parse(text) for text in texts]
    new, old = find("new", lab.store), find("base", lab.store) if base else None
    return gate.judge(given, new, old, compare(old, new) if old else None)


@pytest.fixture
def pair(lab):
    """A base and a model that lost 10 of 100 questions and won 2."""
    before = [1.0] * 60 + [0.0] * 40
    after = [0.0] * 10 + [1.0] * 50 + [1.0] * 2 + [0.0] * 38
    lab.keep("base", [(lab.task("t"), lab.samples(before))])
    lab.keep("new", [(lab.task("t"), lab.samples(after))])
    return lab


def test_se_is_that_of_the_paired_difference(pair):
    (one,) = verdicts(pair, "t.acc < base - 2se")
    changes = [-1.0] * 10 + [1.0] * 2 + [0.0] * 88
    mean = sum(changes) / 100
    error = math.sqrt(sum((c - mean) ** 2 for c in changes) / 99 / 100)
    assert one.se == pytest.approx(error)
    assert (one.value, one.base) == pytest.approx((0.52, 0.6))
    assert one.bound == pytest.approx(0.6 - 2 * error)
    assert one.failed
    assert (one.n, one.hints) == (100, ())
    assert not verdicts(pair, "t.acc < base - 3se")[0].failed


def test_without_base_se_is_the_scores_own(pair):
    (one,) = verdicts(pair, "t.acc < 0.5 + 2se", base=False)
    assert one.se == pytest.approx(math.sqrt(0.52 * 0.48 / 99))
    assert one.base is None


def test_base_needs_a_base(pair):
    with pytest.raises(UsageError, match="`base` needs a base"):
        verdicts(pair, "t.acc < base", base=False)


def test_the_other_way_round_is_hinted(pair):
    (one,) = verdicts(pair, "t.acc > base + 2se")
    assert not one.failed
    assert "fails when t.acc gets better (higher is better); was '<' meant?" in one.hints[0]


def test_require_carries_the_figures(pair):
    with pytest.raises(GateError, match="1 of 2 gates failed") as told:
        gate.require(verdicts(pair, "t.acc < base - 2se", "t.acc < 0.1"))
    assert told.value.exit_code == 4
    assert told.value.figures["t.acc < base - 2se [value]"] == pytest.approx(0.52)
    assert told.value.figures["t.acc < base - 2se [base]"] == pytest.approx(0.6)
    gate.require(verdicts(pair, "t.acc < 0.1"))


def scored(lab, name, **changed):
    samples = lab.samples([1.0, 0.0, 1.0])
    score = lab.score("acc", samples, **changed)
    lab.keep(name, [(lab.task("t").model_copy(update={"scores": [score]}), samples)])


@pytest.mark.parametrize(
    ("base", "new", "text", "reason"),
    [
        ({}, {"value": math.inf}, "t.acc < 0.5", "its value is inf"),
        ({}, {"value": math.nan}, "t.acc > 0.5", "its value is nan"),
        ({}, {"n": 0}, "t.acc < 0.5", "n = 0"),
        ({}, {}, "t.acd < 0.5", "no such score was measured; did you mean t.acc"),
        ({}, {}, "t.acc < 1 / (base - base)", "its bound is nan"),
        ({"value": math.inf}, {}, "t.acc < base", "the base's value is inf"),
        ({"version": "0"}, {}, "t.acc < base - 2se", "not the same measurement: version 0 of the score against 1"),
        ({}, {"stderr": None, "value": 7.0}, "t.acc < base - 2se", "no standard error"),
        ({}, {"stderr": None}, "t.acc < 0.5 - 2se", "no standard error"),
    ],
)
def test_what_cannot_be_measured_fails(lab, base, new, text, reason):
    scored(lab, "base", **base)
    scored(lab, "new", **new)
    (one,) = verdicts(lab, text)
    assert one.failed
    assert reason in one.reason


def test_a_score_that_only_one_side_has_fails(lab):
    lab.keep("base", [(lab.task("t"), lab.samples([1.0, 0.0])), (lab.task("u"), lab.samples([1.0, 0.0]))])
    lab.keep("new", [(lab.task("t"), lab.samples([1.0, 0.0])), (lab.task("v"), lab.samples([1.0, 0.0]))])
    lost, unknown = verdicts(lab, "u.acc < 0.5", "v.acc < base")
    assert (lost.reason, lost.failed) == ("the new results lack this score, which the base has", True)
    assert (unknown.reason, unknown.failed) == ("the base lacks this score", True)


def test_failed_questions_are_hinted(lab):
    lab.keep("base", [(lab.task("t"), lab.samples([1.0, 0.0]))])
    lab.keep("new", [(lab.task("t", failures={"timeout": 7}), lab.samples([1.0, 0.0]))])
    (one,) = verdicts(lab, "t.acc < 0.1")
    assert one.hints == ("t.acc: 7 of 2 questions failed and count for nothing",)


def test_the_step_holds_or_stops_the_run(pair, bench):
    base, new = (find(name, pair.store).tasks["t"].stored.artifact for name in ("base", "new"))
    made = bench.run("eval.gate", base=base, new=new, fail_if=["t.acc < base - 4se", "t.acc < 0.1"])
    assert made.kind == "gate"
    told = json.loads(made.file("gate.json").read_text(encoding="utf-8"))
    assert [one["failed"] for one in told] == [False, False]
    with pytest.raises(GateError, match="1 of 1 gates failed"):
        bench.run("eval.gate", id="other", base=base, new=new, fail_if=["t.acc < base"])
    alone = bench.run("eval.gate", id="alone", new=new, fail_if=["t.acc < 0.1"])
    assert alone.manifest["report"][0]["rows"][0][1] == "held"


def test_a_recipe_with_a_wrong_expression_is_refused_before_anything_runs(tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "recipe: r\nsteps:\n  a: {use: eval.gate, new: x, fail_if: ['t.acc < bose']}\n",
        encoding="utf-8",
    )
    with pytest.raises(RecipeError) as told:
        read_recipe(recipe)
    assert "neither `base` nor `se`" in str(told.value)


RECIPE = """\
recipe: shapes
steps:
  weak: {use: eval.classic, predictions: weak.csv, kind: classification, resamples: 20, model: weak}
  strong: {use: eval.classic, predictions: strong.csv, kind: classification, resamples: 20, model: strong}
  gate:
    use: eval.gate
    base: BASE
    new: NEW
    fail_if: ["classic.accuracy < base - 2se", "classic.f1 < 0.2"]
"""


@pytest.mark.parametrize(("base", "new", "code"), [("weak", "strong", 0), ("strong", "weak", 4)])
def test_a_recipe_stops_at_its_gate(tmp_path, capsys, base, new, code):
    rows = {"weak": "0101" * 20, "strong": "0011" * 20}
    for name, said in rows.items():
        lines = [f"{'0011'[at % 4]},{letter}" for at, letter in enumerate(said)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["y_true,y_pred", *lines]) + "\n", encoding="utf-8")
    recipe = tmp_path / "shapes.yaml"
    recipe.write_text(RECIPE.replace("BASE", base).replace("NEW", new), encoding="utf-8")
    store = tmp_path / "store"
    assert main(["run", str(recipe), "--store", str(store), "--track", "none"]) == code
    told = capsys.readouterr().err
    report = (store / "runs" / "shapes" / "report.html").read_text(encoding="utf-8")
    assert "classic.accuracy &lt; base - 2se" in report
    assert ("1 of 2 gates failed" in told) == (code == 4)
    assert find("shapes.weak", Store(store)).tasks["classic"].result.came == 80
