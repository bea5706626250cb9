from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kitchen import HERE, RECIPE, environment

from danlu import registry


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy steps in the real table, for this test."""
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setattr(registry, "STEPS", dict(registry.STEPS))
    import toy

    toy.register(registry.STEPS)


@pytest.fixture
def kitchen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recipe and its texts, which is the working folder."""
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("丹爐煉丹\n", encoding="utf-8")
    (tmp_path / "texts" / "b.txt").write_text("second\n", encoding="utf-8")
    (tmp_path / "toy.yaml").write_text(RECIPE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DANLU_STORE", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.fixture
def danlu(kitchen: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the real command line, with the toy steps, in a process of its own."""

    def call(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        extra = more.pop("env", {})
        return subprocess.run(
            [sys.executable, str(HERE / "toy.py"), *words],
            cwd=kitchen, env=environment(**extra), text=True, capture_output=True, timeout=120, **more,
        )  # fmt: skip

    return call


@pytest.fixture
def start(kitchen: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start the real command line and leave it running."""

    def call(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(HERE / "toy.py"), *words],
            cwd=kitchen, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    return call
