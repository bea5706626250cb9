"""Every recipe that we publish is planned through the real command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from danlu.cli.main import main

RECIPES = sorted((Path(__file__).parent.parent.parent / "recipes").glob("*.yaml"))


def test_recipes_were_found() -> None:
    assert "tutor.yaml" in [path.name for path in RECIPES]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_it_can_be_planned(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(path), "--store", str(tmp_path / "none"), "--json"]) == 0
    steps = json.loads(capsys.readouterr().out)["steps"]
    assert steps[0]["state"] == "to make"
    assert all(step["state"] == "to make" or step["state"].startswith("waits for ") for step in steps)
