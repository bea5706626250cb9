"""A model opened twice on a real Ray cluster on this machine: the same results as here, also when a copy dies."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from danlu.errors import ModelError
from danlu.eval.ask import evaluate
from danlu.eval.cache import Cache
from danlu.eval.fake import Choices
from danlu.model.fake import ScriptedModel
from danlu.track import Track

ray = pytest.importorskip("ray", reason="the extra 'ray' is not installed")

QUESTIONS = [
    {"question": f"第 {at} 題？", "A": "甲", "B": "乙", "C": "丙", "D": "丁", "answer": "ABCD"[at % 4]}
    for at in range(40)
]
CHANCES = {"A": 0.3, "B": 0.2, "C": 0.1}


@pytest.fixture(scope="module")
def on_ray():
    """One node with two processors; yields the Track that works there."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray import cloudpickle
    from ray.cluster_utils import Cluster

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the nodes cannot import this file
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    old = os.environ.get("RAY_ADDRESS")
    os.environ["RAY_ADDRESS"] = made.address
    yield Track(quiet=True, on="ray")
    ray.shutdown()
    made.shutdown()
    os.environ.pop("RAY_ADDRESS") if old is None else os.environ.update(RAY_ADDRESS=old)


def test_the_same_results_on_ray_as_here(on_ray, tmp_path: Path) -> None:
    from danlu.eval.on_ray import RayModel

    model = RayModel("scripted", lambda threads: ScriptedModel(CHANCES), on_ray, copies=2)
    task = Choices(QUESTIONS, shots=2)
    with Cache(tmp_path / "cache") as cache:
        (there,) = evaluate(model, [task], cache=cache)
        assert len(cache) == 160
    model.close()
    (here,) = evaluate(ScriptedModel(CHANCES), [task])
    assert there.result == here.result
    assert there.samples == here.samples
    assert (model.fingerprint, model.facts["copies"]) == ("scripted-scripted", 2)


def test_a_copy_that_dies_costs_time_and_no_answer(on_ray, tmp_path: Path) -> None:
    from danlu.eval.on_ray import RayModel

    marker = tmp_path / "died"

    class Dying(ScriptedModel):
        def answer(self, requests):
            if not marker.exists():
                marker.touch()
                os._exit(1)
            return super().answer(requests)

    model = RayModel("dying", lambda threads: Dying(CHANCES), on_ray, copies=1)
    (there,) = evaluate(model, [Choices(QUESTIONS)])
    model.close()
    assert marker.exists()
    assert there.result == next(evaluate(ScriptedModel(CHANCES), [Choices(QUESTIONS)])).result


def test_an_error_in_opening_is_told_as_here(on_ray) -> None:
    from danlu.eval.on_ray import RayModel

    def refuse(threads: int) -> ScriptedModel:
        raise ModelError("no such weights", where="node", next="copy them")

    with pytest.raises(ModelError, match="no such weights") as caught:
        RayModel("refused", refuse, on_ray)
    assert caught.value.problem.next == "copy them"


def test_through_the_command_line(on_ray, tmp_path: Path, monkeypatch, capsys) -> None:
    from danlu.cli.main import main

    monkeypatch.chdir(tmp_path)
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"probabilities": {"B": 0.5}}), encoding="utf-8")
    words = ["eval", f"script:{script}", "--tasks", "perplexity", "--limit", "2", "--json"]
    told = {}
    for where in ("local", "ray"):
        assert main([*words, "--on", where, "--store", f"store-{where}"]) == 0
        (told[where],) = json.loads(capsys.readouterr().out)
    assert told["ray"]["tasks"] == told["local"]["tasks"]
    assert told["ray"]["artifact"] == told["local"]["artifact"]
