"""What the tests of the data room share."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from one_step import Steps

from danlu.artifact import Artifact
from danlu.records import Document, Drop, Example, read_jsonl

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip("../shared/data is not here")
    return SHARED


@pytest.fixture
def chapters() -> list[Path]:
    """The chapters of the handbook."""
    found = sorted(path for path in (ROOT / "handbook").glob("*/*.md") if path.parent.name != "out")
    assert found
    return found


@pytest.fixture
def steps(tmp_path: Path) -> Steps:
    return Steps(tmp_path / "store")


@pytest.fixture
def opened() -> Callable[[Artifact], SimpleNamespace]:
    """The records of an artifact of this room, by the names of its files; `reasons` counts the drops."""
    kinds = {"documents": Document, "test_documents": Document, "dropped": Drop}

    def load(artifact: Artifact) -> SimpleNamespace:
        held = {
            path.stem: list(read_jsonl(path, kinds.get(path.stem, Example))) for path in artifact.path.glob("*.jsonl")
        }
        funnel = next(entry for entry in artifact.manifest["report"] if entry["type"] == "funnel")
        assert funnel["came"] == funnel["kept"] + sum(funnel["dropped"].values())
        assert len(held["dropped"]) == sum(funnel["dropped"].values())
        return SimpleNamespace(**held, reasons=funnel["dropped"], came=funnel["came"], kept=funnel["kept"])

    return load
