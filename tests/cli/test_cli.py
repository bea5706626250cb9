"""The command line: help, nearest words, exit codes, JSON, and the verbs that look at what a run made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from danlu import registry
from danlu.cli.main import VERBS, main

TOY = Path(__file__).parent.parent / "recipe" / "toy.py"
ROOT = Path(__file__).parent.parent.parent
OURS = ("plan", "run", "show", "ls")


def call(kitchen: Path, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k != "DANLU_STORE"}
    environment = {**kept, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, str(TOY), *words], cwd=kitchen, env=environment, text=True, capture_output=True, timeout=120
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kitchen whose recipe was run."""
    kitchen = tmp_path_factory.mktemp("made")
    (kitchen / "texts").mkdir()
    (kitchen / "texts" / "a.txt").write_text("丹爐", encoding="utf-8")
    (kitchen / "toy.yaml").write_text(
        "recipe: 小丹爐\nsteps:\n  read: {use: toy.read, paths: [texts]}\n"
        "  count: {use: toy.count, documents: read}\n  slow: {use: toy.slow, examples: count, pause: 0}\n",
        encoding="utf-8",
    )
    done = call(kitchen, "run", "toy.yaml", "--track", "none", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "finished"
    return kitchen


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    told = capsys.readouterr().out
    assert all(f"    {verb} " in told for verb in VERBS)


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_has_help_with_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([verb, "--help"])
    assert end.value.code == 0
    told = capsys.readouterr().out
    assert "examples:" in told.lower()
    assert f"danlu {verb}" in told


def test_no_verb_is_told_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "danlu run recipes/tutor.yaml" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["pln"], "plan"),
        (["shwo", "x"], "show"),
        (["plan", "x.yaml", "--jsn"], "--json"),
        (["ls", "--step"], "--steps"),
    ],
)
def test_a_wrong_word_is_told_the_nearest(words: list[str], near: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    told = capsys.readouterr().err
    assert f"did you mean: {near}" in told
    assert "--help" in told


def test_a_problem_in_json(made: Path) -> None:
    done = call(made, "plan", "toy.yaml", "--set", "count.rnak=3", "--json")
    assert done.returncode == 2
    told = json.loads(done.stdout)
    assert told["problems"][0]["nearest"] == "rank"
    assert "unknown key 'rnak'" in done.stderr


def test_plan_tells_what_is_cached_and_what_waits(made: Path) -> None:
    steps = json.loads(call(made, "plan", "toy.yaml", "--json").stdout)["steps"]
    assert [step["state"] for step in steps] == ["cached"] * 3
    steps = json.loads(call(made, "plan", "toy.yaml", "--set", "count.rank=9", "--json").stdout)["steps"]
    assert [step["state"] for step in steps] == ["cached", "to make", "waits for count"]
    assert steps[2]["id"] is None
    assert steps[2]["reads"] == {"examples": "count"}


def test_plan_makes_no_store(tmp_path: Path, made: Path) -> None:
    assert call(made, "plan", "toy.yaml", "--store", str(tmp_path / "none")).returncode == 0
    assert not (tmp_path / "none").exists()


def artifacts(made: Path) -> list[dict[str, Any]]:
    return list(json.loads(call(made, "ls", "--json").stdout))


def test_ls_lists_artifacts(made: Path) -> None:
    rows = artifacts(made)
    assert [(row["kind"], row["step"], row["recipe"]) for row in rows] == [
        ("documents", "read", "小丹爐"), ("examples", "count", "小丹爐"), ("split", "slow", "小丹爐")
    ]  # fmt: skip
    assert all(row["size"] > 0 for row in rows)
    assert all(row["id"] in call(made, "ls").stdout for row in rows)


def test_show_a_recipe_a_step_and_an_artifact(made: Path) -> None:
    for what in ("小丹爐", "toy.yaml"):
        done = call(made, "show", what)
        assert done.returncode == 0, done.stderr
        assert "└─ examples: count  toy.count → examples" in done.stdout
        assert "paths: ['texts']" in done.stdout
    id = artifacts(made)[1]["id"]
    for what in (id, id[:7], "小丹爐.count"):
        done = call(made, "show", what)
        assert done.returncode == 0, done.stderr
        assert "CC-BY-4.0" in done.stdout
        assert "characters" in done.stdout
        assert "slow" not in done.stdout, "only what it was made from"
    told = json.loads(call(made, "show", "小丹爐", "--json").stdout)
    assert [m["step"] for m in told["artifacts"].values()] == ["read", "count", "slow"]


def test_show_verify_finds_a_changed_byte(made: Path) -> None:
    assert call(made, "show", "小丹爐", "--verify").returncode == 0
    file = made / "store" / "runs" / "小丹爐" / "read" / "all.txt"
    before = file.read_bytes()
    file.write_bytes(b"x" * len(before))
    done = call(made, "show", "小丹爐", "--verify")
    file.write_bytes(before)
    assert done.returncode == 1
    assert "all.txt" in done.stdout


@pytest.mark.parametrize(("what", "near"), [("小丹鑪", "小丹爐"), ("小丹爐.cuont", "count"), ("zzzz", None)])
def test_show_what_is_not_there(made: Path, what: str, near: str | None) -> None:
    done = call(made, "show", what)
    assert done.returncode in (2, 5)
    assert "Traceback" not in done.stderr
    assert near is None or f"did you mean: {near}" in done.stderr


def test_steps_are_listed_and_their_settings_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", "--steps"]) == 0
    told = capsys.readouterr().out
    assert all(word in told for word in registry.STEPS)
    for word in registry.STEPS:
        assert main(["ls", "--steps", word]) == 0
        told = capsys.readouterr().out
        for name in registry.step_class(word).Settings.model_fields:
            assert f"\n{name}: " in told
    assert main(["ls", "--steps", "train.sftt"]) == 2
    assert "did you mean: train.sft" in capsys.readouterr().err


def test_the_schema_takes_every_published_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    import yaml

    assert main(["ls", "--schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    recipes = sorted((ROOT / "recipes").glob("*.yaml"))
    assert recipes
    for path in recipes:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
        jsonschema.validate(recipe, schema)
        first = next(iter(recipe["steps"].values()))
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**recipe, "steps": {"a": {**first, "rnak": 1}}}, schema)


def test_a_pipe_that_closes_early_is_no_crash(made: Path) -> None:
    line = f"{sys.executable} {TOY} ls --schema | head -c 10"
    done = subprocess.run(
        ["bash", "-c", line], cwd=made, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, capture_output=True
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_python_m_danlu_is_the_same() -> None:
    done = subprocess.run([sys.executable, "-m", "danlu", "--version"], cwd=ROOT, text=True, capture_output=True)
    assert done.stdout.startswith("danlu ")
