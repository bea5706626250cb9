"""Every error says what to do next, whoever raised it."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
from pathlib import Path

import pytest

import danlu
from danlu import errors
from danlu.cli.main import VERBS, main
from danlu.errors import DanluError, GateError, Problem, RecipeError


def kinds() -> set[type[DanluError]]:
    """Every class of the tree, those of other modules too."""
    root = Path(danlu.__file__).parent
    for path in root.rglob("*.py"):
        if "(ModelError)" in (text := path.read_text(encoding="utf-8")) or "Error):" in text:
            importlib.import_module(".".join(("danlu", *path.relative_to(root).with_suffix("").parts)))
    found, waiting = set(), [DanluError]
    while waiting:
        found.add(kind := waiting.pop())
        waiting += kind.__subclasses__()
    return {kind for kind in found if kind.__module__.startswith("danlu.")}


def test_every_kind_has_advice_of_its_own():
    found = kinds()
    assert len(found) >= 9
    told = [kind.advice for kind in found if kind.__module__ == "danlu.errors"]
    assert all(told)
    assert len(told) - len(set(told)) <= 1  # UsageError points to the help of its verb
    for kind in found - {RecipeError}:
        if kind.__init__ in (DanluError.__init__, GateError.__init__):
            error = kind("it broke", {}) if issubclass(kind, GateError) else kind("it broke")
            assert f"next: {kind.advice}" in str(error)
    assert RecipeError([Problem("a", next="b"), Problem("c")]).problems[1].next == RecipeError.advice


def test_no_place_takes_the_advice_away():
    """Nobody writes `next=None` or an empty one."""
    count = 0
    for info in pkgutil.walk_packages(danlu.__path__, "danlu."):
        path = Path(danlu.__file__).parent.joinpath(*info.name.split(".")[1:])
        path = path / "__init__.py" if info.ispkg else path.with_suffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in vars(errors):
                count += 1
                for word in node.keywords:
                    assert not (word.arg == "next" and isinstance(word.value, ast.Constant) and not word.value.value), (
                        path
                    )
    assert count > 300


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "ls"])
def test_a_misused_verb_points_on(verb, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        code = main([verb, "nowhere", "--no-such-option"])
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    said = capsys.readouterr().err
    assert code != 0
    assert "Traceback" not in said
    assert "next: " in said


def test_json_has_it_too(capsys):
    assert main(["plan", "nowhere.yaml", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["problems"][0]["next"]
