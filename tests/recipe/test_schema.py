"""Every problem of a recipe is shown at once, with its place, the nearest valid thing and the next command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from kitchen import RECIPE, environment

from danlu.errors import Problem, RecipeError
from danlu.recipe.schema import read_recipe
from danlu.recipe.source import MAX_VALUES

pytestmark = pytest.mark.usefixtures("toys")


def problems(kitchen: Path, text: str, *sets: str) -> list[Problem]:
    (kitchen / "toy.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        read_recipe(Path("toy.yaml"), sets)
    return caught.value.problems


def test_five_mistakes_are_all_shown_with_line_and_suggestion(kitchen: Path) -> None:
    found = problems(
        kitchen,
        """\
recipe: toy
steps:
  read:  {use: toy.reed, paths: [texts]}
  again: {use: toy.read, paths: [text]}
  count: {use: toy.count, documents: agian, unit: character}
  slow:
    use: toy.slow
    examples: count
    pats: 3
""",
    )
    assert [(p.where, p.nearest) for p in found] == [
        ("toy.yaml:3:16", "toy.read"),
        ("toy.yaml:4:34", "texts"),
        ("toy.yaml:5:38", "again"),
        ("toy.yaml:5:51", "characters"),
        ("toy.yaml:9:5", "parts"),
    ]
    assert "toy.reed" in found[0].what
    assert found[0].next == "danlu ls --steps"
    assert found[4].next == "danlu ls --steps toy.slow"


def test_five_mistakes_on_the_real_steps_without_a_heavy_import(kitchen: Path) -> None:
    (kitchen / "handbook").mkdir()
    (kitchen / "bad.yaml").write_text(
        """\
steps:
  read:   {use: data.raed, paths: [handbook]}
  more:   {use: data.read, paths: [handbok]}
  clean:  {use: data.clean, documents: mroe}
  split:  {use: data.split, examples: clean, documents: clean}
  sft:    {use: train.sft, model: gemma-3-270, data: split, rnak: 16, rank: many}
""",
        encoding="utf-8",
    )
    code = (
        "import sys; from danlu.cli.main import main; code = main(['plan', 'bad.yaml'])\n"
        "heavy = {'torch', 'transformers', 'mlflow', 'gradio', 'numpy', 'opencc'}\n"
        "print(sorted(heavy & set(sys.modules))); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=kitchen, env=environment(), text=True, capture_output=True, timeout=60
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout.strip() == "[]"
    wanted = {
        "bad.yaml:2:17": "data.read",
        "bad.yaml:3:36": "handbook",
        "bad.yaml:4:40": "more",
        "bad.yaml:5:39": None,  # examples needs examples, but clean makes documents
        "bad.yaml:6:35": "gemma-3-270m",
        "bad.yaml:6:61": "rank",
        "bad.yaml:6:77": None,
    }
    lines = done.stderr.splitlines()
    for where, near in wanted.items():
        at = next((i for i, line in enumerate(lines) if line.startswith(f"{where}: ")), None)
        assert at is not None, f"{where} is not told:\n{done.stderr}"
        assert near is None or lines[at + 1].strip() == f"did you mean: {near}"
    assert "7 problems" in lines[-1]


@pytest.mark.parametrize(
    ("step", "what", "near"),
    [
        ("slow: {use: toy.slow, examples: read}", "needs examples, but 'read' makes documents", "count"),
        ("slow: {use: toy.slow, examples: slow}", "is this step", "count"),
        ("slow: {use: toy.slow, examples: last}\n  last: {use: toy.count, documents: read}", "comes later", None),
        ("slow: {use: toy.slow, examples: conut}", "is no step of this recipe", "count"),
        ("slow: {use: toy.slow}", "'examples' is missing", None),
        ("slow: {examples: count}", "'use' is missing", None),
        ("slow: toy.slow", "a step is a mapping", None),
        ("slow: {use: toy.slow, examples: count, parts: [1]}", "slow.parts: a whole number is wanted, not [1]", None),
        ("count: {use: toy.count, documents: read}", "given twice (first on line 6)", None),
        ("a/b: {use: toy.count, documents: read}", "cannot be a step's name", None),
        ("m: {use: toy.model, model: smollm2-135m-instrukt}", "is no built-in model", "smollm2-135m-instruct"),
        ("r: {use: toy.read, paths: [texts/aa.txt]}", "there is no 'texts/aa.txt'", "texts/a.txt"),
    ],
)
def test_each_kind_of_mistake_is_told(kitchen: Path, step: str, what: str, near: str | None) -> None:
    text = RECIPE.replace("  slow: {use: toy.slow, examples: count}\n", f"  {step}\n")
    first = problems(kitchen, text)[0]
    assert what in first.what
    assert first.where.startswith("toy.yaml:7:")
    if near:
        assert first.nearest == near


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("steps: {read: {use: toy.read", "not valid YAML"),
        ("steps:\n\tread: 1\n", "YAML"),
        ("- a\n- b\n", "a recipe is a mapping"),
        ("", "a recipe is a mapping"),
        ("recipe: x\n", "'steps' is missing"),
        ("steps: {}\n", "at least one step"),
        ("stpes: {a: {use: toy.read, paths: [texts]}}\n", "unknown key 'stpes'"),
        ("seed: many\nsteps: {a: {use: toy.read, paths: [texts]}}\n", "seed: a whole number"),
        ("recipe: ../x\nsteps: {a: {use: toy.read, paths: [texts]}}\n", "cannot be a recipe's name"),
        ("steps: !!python/object/apply:os.system ['true']\n", "tags (!…) are not allowed"),
        ("steps: {a: {use: danlu.data.read:Read, paths: [texts]}}\n", "unknown step"),
    ],
)
def test_what_is_no_recipe_is_refused(kitchen: Path, text: str, what: str) -> None:
    found = problems(kitchen, text)
    assert any(what in p.what for p in found), found
    assert all(p.where.startswith("toy.yaml:") for p in found)


def test_aliases_work_and_a_bomb_of_them_is_refused(kitchen: Path) -> None:
    text = RECIPE.replace("paths: [texts]", "paths: &p [texts]") + "  more: {use: toy.read, paths: *p}\n"
    (kitchen / "toy.yaml").write_text(text, encoding="utf-8")
    assert [str(p) for p in read_recipe(Path("toy.yaml")).entries[3].settings.paths] == ["texts"]  # type: ignore[attr-defined]
    merged = RECIPE + "  x: &x {use: toy.count, documents: read, rank: 3}\n  y: {<<: *x, rank: 4}\n"
    (kitchen / "toy.yaml").write_text(merged, encoding="utf-8")
    assert read_recipe(Path("toy.yaml")).entries[4].settings.rank == 4  # type: ignore[attr-defined]
    bomb = "a0: &a0 [1, 1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
    assert f"more than {MAX_VALUES:,} values" in problems(kitchen, bomb)[0].what
    assert "nested" in problems(kitchen, "a: &a [*a]\n")[0].what
    assert "nested too deeply" in problems(kitchen, "[" * 5000)[0].what


@pytest.mark.parametrize(
    ("text", "what", "near"),
    [
        ("count.rnak=3", "unknown key 'rnak'", "rank"),
        ("cuont.rank=3", "no step 'cuont'", "count"),
        ("count.rank", "not of the form", None),
        ("rank=3", "not of the form", None),
        ("count.rank=[", "not valid YAML", None),
        ("count.rank=much", "count.rank: a whole number is wanted", None),
        ("slow.examples=raed", "is no step of this recipe", "read"),
        ("read.paths=[txts]", "there is no 'txts'", "texts"),
    ],
)
def test_a_bad_set_is_told_in_its_own_words(kitchen: Path, text: str, what: str, near: str | None) -> None:
    (found,) = problems(kitchen, RECIPE, text)
    assert what in found.what
    assert found.where == f"--set {text}"
    assert near is None or found.nearest == near


def test_sets_and_the_default_seed_reach_the_settings(kitchen: Path) -> None:
    recipe = read_recipe(Path("toy.yaml"), ["count.rank=16", "count.unit=lines"])
    count = recipe.entries[1].settings
    assert (count.seed, count.rank, count.unit) == (7, 16, "lines")  # type: ignore[attr-defined]
    assert read_recipe(Path("toy.yaml"), ["seed=3"]).entries[1].settings.seed == 3  # type: ignore[attr-defined]
    assert read_recipe(Path("toy.yaml"), ["count.seed=5"]).entries[1].settings.seed == 5  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["toi.yaml", "texts", "big5.yaml"])
def test_a_file_that_is_no_recipe_is_named(kitchen: Path, name: str) -> None:
    (kitchen / "big5.yaml").write_bytes("steps: 丹爐".encode("big5"))
    with pytest.raises(RecipeError) as caught:
        read_recipe(Path(name))
    assert name in str(caught.value)
    if name == "toi.yaml":
        assert caught.value.problems[0].nearest == "toy.yaml"
