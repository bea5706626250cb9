"""Runs a step of the data room in a store of its own, without the recipe engine."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from danlu.artifact import Artifact, Store, digest
from danlu.records import Document, Drop, Example, read_jsonl, write_jsonl
from danlu.registry import step_class
from danlu.track import Track

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


class Steps:
    """`steps("data.clean", documents=artifact, min_characters=3)` runs the step and returns its artifact."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)

    def __call__(self, use: str, **settings: Any) -> Artifact:
        kind = step_class(use)
        inputs = {key: value for key, value in settings.items() if isinstance(value, Artifact)}
        several = {
            key: value
            for key, value in settings.items()
            if isinstance(value, list) and value and isinstance(value[0], Artifact)
        }
        inputs |= {f"{key}.{at}": one for key, value in several.items() for at, one in enumerate(value)}
        names = {key: tuple(one.id for one in value) for key, value in several.items()}
        parsed = kind.Settings(
            **{key: names.get(key) or (inputs[key].id if key in inputs else value) for key, value in settings.items()}
        )
        id = digest([use, parsed.model_dump(mode="json")])[:16]
        with self.store.draft(id) as draft:
            kind(parsed).run(inputs, draft, Track(quiet=True))
            return self.store.commit(draft, {"id": id, "kind": kind.makes, "step": use})

    def documents(self, *documents: Document, **texts: str) -> Artifact:
        """An artifact of these documents; a keyword is the id of a document with that text."""
        made = [*documents, *(Document(id=id, text=text, source=id) for id, text in texts.items())]
        id = digest([document.model_dump() for document in made])[:16]
        with self.store.draft(id) as draft:
            write_jsonl(draft.file("documents.jsonl"), made)
            write_jsonl(draft.file("dropped.jsonl"), [])
            return self.store.commit(draft, {"id": id, "kind": "documents", "step": "test"})


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
