"""Steps of this room in a store of their own, and held-out examples."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from danlu.artifact import Artifact, Store
from danlu.eval.results import Results, Sample, TaskResult
from danlu.eval.statistics import ratio
from danlu.records import Example, Message, Score, write_jsonl
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


class Lab:
    """Results in a store, made of values that a test gives."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)
        self.made = 0

    def task(self, name: str, metric: str = "acc", **changed: Any) -> TaskResult:
        """A task without scores; `keep` fills in those of its samples."""
        given = {"version": "1", "kind": "multiple_choice", "shots": 5, "seed": 0, "came": 0, "scores": []}
        return TaskResult(task=name, **(given | {"notes": [metric]} | changed))

    def samples(self, values: Sequence[float], metric: str = "acc", subjects: Sequence[str] = (), **changed: Any):
        """One sample a value, paired by its place."""
        return [
            Sample(
                id=f"q{place}",
                subject=subjects[place % len(subjects)] if subjects else "",
                prompt=f"第 {place} 題",
                values={metric: value},
                **changed,
            )
            for place, value in enumerate(values)
        ]

    def score(self, name: str, samples: Sequence[Sample], **changed: Any) -> Score:
        held = [one for one in samples if name in one.values]
        tops, bottoms = [one.values[name] for one in held], [one.weights.get(name, 1.0) for one in held]
        value, error = ratio(tops, bottoms)
        given = {"value": value, "n": len(held), "stderr": error if math.isfinite(error) else None}
        given |= {"unit": "share", "better": "higher", "version": "1"}
        return Score(name=name, **(given | changed))

    def keep(self, model: str, tasks: Sequence[tuple[TaskResult, Sequence[Sample]]], **changed: Any) -> Artifact:
        """Commit one model's results. A task without scores gets the mean of its samples' values, by subject too."""
        full = [self._scored(task, samples) for task, samples in tasks]
        facts = {"backend": "transformers 5", "dtype": "float32"}
        results = Results(
            model={"name": model, "fingerprint": f"{model}-weights", "facts": facts, **changed},
            tasks=full,
            environment={"danlu": "0.1", "threads": 2},
        )
        self.made += 1
        id = f"{self.made:016x}"
        with self.store.draft(id) as draft:
            draft.file("results.json").write_text(json.dumps(results.model_dump()), encoding="utf-8")
            for task, samples in tasks:
                if samples:
                    write_jsonl(draft.file(f"samples/{task.task}.jsonl"), samples)
            licences = {model: {"licence": "Apache-2.0", "terms": "https://example.org/licence"}}
            return self.store.commit(draft, {"id": id, "kind": "results", "licences": licences})

    def _scored(self, task: TaskResult, samples: Sequence[Sample]) -> TaskResult:
        if task.scores or not samples:
            return task
        metric = task.notes[0]
        names = [name for name in dict.fromkeys(one.subject for one in samples) if name]
        by = {name: [self.score(metric, [one for one in samples if one.subject == name])] for name in names}
        scores = [self.score(metric, samples)]
        return task.model_copy(update={"scores": scores, "subjects": by, "came": len(samples), "notes": []})


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(tmp_path / "lab")


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path / "store")


@pytest.fixture
def held() -> list[Example]:
    return list(HELD)
