"""Steps of this room in a store of their own, and held-out examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from danlu.artifact import Artifact, Store
from danlu.records import Example, Message, write_jsonl
from danlu.registry import step_class
from danlu.track import Track


def example(name: str, *turns: str) -> Example:
    """A conversation: user, assistant, user, …"""
    messages = [Message(role="assistant" if i % 2 else "user", content=text) for i, text in enumerate(turns)]
    return Example(id=name, messages=messages, document="d", start=0, end=1, method="test")


HELD = [
    example("one", "丹爐是什麼？", "丹爐是一座煉丹的爐子。"),
    example("two", "abc", "一座丹爐。"),
    example("three", "爐子嗎？", "是。", "是什麼爐子？", "是煉丹的爐子，也是一座丹爐。"),
    example("four", "什麼是爐？", "爐是一座子。爐是一座子。"),
    example("five", "user a", "abc 丹爐"),
    example("six", "座？", "一座。"),
]


class Bench:
    """Artifacts of any kind, made from files or by a step."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)

    def folder(self, path: Path, kind: str) -> Artifact:
        """A folder as it stands, as an artifact."""
        return Artifact(path, {"id": path.name, "kind": kind, "content": path.name, "files": {}, "licences": {}})

    def split(self, test: list[Example]) -> Artifact:
        with self.store.draft("split") as draft:
            write_jsonl(draft.file("test.jsonl"), test)
            return self.store.commit(draft, {"id": "split", "kind": "split"})

    def run(self, use: str, id: str = "made", **settings: Any) -> Artifact:
        kind = step_class(use)
        inputs = {key: value for key, value in settings.items() if isinstance(value, Artifact)}
        parsed = kind.Settings(**{key: inputs[key].id if key in inputs else value for key, value in settings.items()})
        with self.store.draft(id) as draft:
            kind(parsed).run(inputs, draft, Track(quiet=True))
            return self.store.commit(draft, {"id": id, "kind": kind.makes})


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path / "store")


@pytest.fixture
def held() -> list[Example]:
    return list(HELD)
