"""Unmodified task files of lm-evaluation-harness ask the same words, and score the same, as lm-evaluation-harness does.

`harness_scores.json` holds what version 0.4.13 asked, was answered and scored (`harness/make_scores.py`).
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from danlu.errors import UsageError
from danlu.eval.harness import load_tasks
from danlu.eval.harness.task import HarnessTask
from danlu.eval.task import Doc
from danlu.model.language_model import Answer, Continuation, Generation, LogLikelihood, Request, Result, Rolling

HERE = Path(__file__).parent
KEPT = json.loads((HERE / "harness_scores.json").read_text(encoding="utf-8"))
NAMES = sorted(KEPT["tasks"])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The made-up datasets that the frozen scores come from."""
    folder = tmp_path_factory.mktemp("hub")
    sys.path.insert(0, str(HERE / "harness"))
    try:
        import datasets_like
    finally:
        sys.path.pop(0)
    datasets_like.write_all(folder)
    LOADED.clear()
    yield folder
    sys.modules.pop("datasets_like", None)


LOADED: dict[str, HarnessTask] = {}


def load(name: str, data: Path) -> HarnessTask:
    if name not in LOADED:
        path = HERE / "harness_tasks" / KEPT["tasks"][name]["file"]
        (task,) = load_tasks([str(path)], [HERE / "harness_tasks"], data, trust_code=True)
        assert isinstance(task, HarnessTask)
        assert task.name == name
        LOADED[name] = task
    return LOADED[name]


def digest(request: Request) -> str:
    """As `make_scores.py` hashes what the harness asked."""
    if isinstance(request, Continuation):
        parts = [request.context, request.continuation]
    else:
        parts = [request.text if isinstance(request, Rolling) else str(request.prompt)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def results(task: HarnessTask, doc: Doc, shots: int, answers: list[Any]) -> list[Result]:
    """What the harness was answered, as results of our requests."""
    found: list[Result] = []
    for request, kept in zip(
        task.requests(doc, shots, 0), answers if task.kind != "generate_until" else answers[0], strict=True
    ):
        if isinstance(request, Generation):
            found.append(Answer(kept, "stop", 1))
        elif isinstance(request, Rolling):
            found.append(LogLikelihood(kept[0], False, 1))
        else:
            found.append(LogLikelihood(kept[0][0], bool(kept[0][1]), 1))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_harness_asks_the_same_words(name, data):
    kept, task = KEPT["tasks"][name], load(name, data)
    asked = [task.requests(doc, kept["shots"], 0) for doc in task.documents()]
    ours = [[digest(request) for request in requests] for requests in asked]
    if task.kind == "generate_until":
        assert [len(requests) for requests in asked] == [len(answers[0]) for answers in kept["answers"]]
        ours = [each[:1] for each in ours]
    assert ours == kept["prompts"]


@pytest.mark.parametrize("name", NAMES)
def test_the_harness_scores_the_same(name, data):
    kept, task = KEPT["tasks"][name], load(name, data)
    docs = task.documents()
    scored = [
        task.score(doc, results(task, doc, kept["shots"], answers))
        for doc, answers in zip(docs, kept["answers"], strict=True)
    ]
    ours = {
        score.name if "," in score.name else f"{score.name},none": score for score in task.aggregate(docs, scored, 0)
    }
    theirs = {key: value for key, value in kept["scores"].items() if "_stderr," not in key}
    assert set(ours) == set(theirs)
    for key, value in theirs.items():
        score, error = ours[key], kept["scores"][key.replace(",", "_stderr,", 1)]
        assert math.isclose(score.value, value, rel_tol=1e-9, abs_tol=1e-9), key
        assert score.n == len(docs)
        assert (score.better == "higher") == kept["higher_is_better"][key.split(",")[0]]
        if error != "N/A":
            assert score.stderr is not None
            assert math.isclose(score.stderr, error, rel_tol=1e-6, abs_tol=1e-9), key


def test_enough_kinds_are_frozen():
    kinds = {kept["kind"] or "generate_until" for kept in KEPT["tasks"].values()}
    assert len(NAMES) >= 40
    assert kinds == {"multiple_choice", "loglikelihood", "loglikelihood_rolling", "generate_until"}


@pytest.mark.parametrize("name", ["hellaswag", "winogrande", "wikitext", "truthfulqa_mc2", "drop"])
def test_code_beside_a_file_is_refused(name, data):
    with pytest.raises(UsageError, match="runs the Python of") as refused:
        load_tasks([name], [HERE / "harness_tasks"], data)
    assert ".yaml:" in str(refused.value) or "_yaml:" in str(refused.value)
    assert "--trust-task-code" in str(refused.value)
