"""What a run leaves in MLflow, read back through MLflow's own client; and that nothing leaves the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from kitchen import ROOT

sys.path.insert(0, str(ROOT / "tests"))
from blocked_network import attempts, blocked

mlflow = pytest.importorskip("mlflow")
Danlu = Callable[..., subprocess.CompletedProcess[str]]
NOT_CI = {"CI": "", "PYTEST_CURRENT_TEST": "", "GITHUB_ACTIONS": ""}


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kitchen in which the recipe ran twice, the second time failing at a gate, without a network."""
    from kitchen import HERE, RECIPE, environment

    kitchen = tmp_path_factory.mktemp("tracked")
    (kitchen / "texts").mkdir()
    (kitchen / "texts" / "a.txt").write_text("丹爐", encoding="utf-8")
    (kitchen / "toy.yaml").write_text(RECIPE, encoding="utf-8")
    (kitchen / "gate.yaml").write_text(RECIPE + "  gate: {use: toy.gate, data: slow}\n", encoding="utf-8")
    hook = blocked(kitchen)
    variables = {k: v for k, v in environment(first=hook["PYTHONPATH"]).items() if k not in NOT_CI}
    variables["DANLU_BLOCKED_NETWORK_LOG"] = hook["DANLU_BLOCKED_NETWORK_LOG"]
    variables["XDG_CONFIG_HOME"] = variables["HOME"] = str(kitchen / "home")
    for words, code in ((["toy.yaml"], 0), (["gate.yaml", "--set", "count.rank=16"], 4)):
        done = subprocess.run(
            [sys.executable, str(HERE / "toy.py"), "run", *words],
            cwd=kitchen, env=variables, text=True, capture_output=True, timeout=200,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
    return kitchen


@pytest.fixture(scope="module")
def client(tracked: Path) -> object:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow.tracking.client import MlflowClient

    return MlflowClient(f"sqlite:///{tracked}/store/mlflow.db")


def runs(client: object) -> list[object]:
    """The two runs, the first one first."""
    experiment = client.get_experiment_by_name("toy")  # type: ignore[attr-defined]
    return list(client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"]))  # type: ignore[attr-defined]


def test_nothing_left_the_machine_and_nothing_was_written_at_home(tracked: Path) -> None:
    assert attempts(tracked) == []
    assert not (tracked / "home").exists(), "MLflow's telemetry keeps an installation id there"


def test_the_blocker_blocks(tmp_path: Path) -> None:
    code = "import urllib.request as u\ntry: u.urlopen('http://example.com', timeout=3)\nexcept OSError as e: print(e)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **blocked(tmp_path)},
        text=True,
        capture_output=True,
        check=True,
    )
    assert "the network is blocked" in done.stdout
    assert "example.com" in attempts(tmp_path)[0]


def test_status_parameters_and_tags(client: object) -> None:
    first, second = runs(client)
    assert (first.info.status, second.info.status) == ("FINISHED", "FAILED")  # type: ignore[attr-defined]
    params, tags = second.data.params, second.data.tags  # type: ignore[attr-defined]
    assert params["count.use"] == "toy.count"
    assert params["count.rank"] == "16"
    assert params["slow.examples"] == "count"
    assert params["read.paths"] == '["texts"]'
    assert tags["danlu.state.read"] == "cached"
    assert tags["danlu.state.count"] == "made"
    assert tags["danlu.set.0"] == "count.rank=16"
    assert "danlu.state.gate" not in tags
    assert second.data.metrics["gate.agreement"] == 0.5, "the figures of a failed gate"  # type: ignore[attr-defined]


def test_metrics_of_a_step_have_their_curve(client: object) -> None:
    first, second = runs(client)
    for run in (first, second):
        curve = client.get_metric_history(run.info.run_id, "count.loss")  # type: ignore[attr-defined]
        assert [(m.step, m.value) for m in curve] == [(at, 1.0 / (at + 1)) for at in range(5)]
        assert run.data.metrics["count.characters"] == 2  # type: ignore[attr-defined]
        assert run.data.metrics["slow.seconds"] > 0  # type: ignore[attr-defined]
        assert run.data.metrics["slow.peak_bytes"] > 1 << 20  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("eval.quiz.acc", None),
        ("e.gsm8k.exact_match,strict", "e.gsm8k.exact_match_strict"),
        ("e.t.chrf++", "e.t.chrf__"),
    ],
)
def test_a_score_of_any_name_is_a_metric(name: str, kept: str | None) -> None:
    from mlflow.utils.validation import _validate_metric_name

    from danlu.recipe.tracking import metric_name

    assert metric_name(name) == (kept or name)
    _validate_metric_name(metric_name(name))


def test_recipe_report_and_lineage_are_there(client: object, tracked: Path) -> None:
    first, second = runs(client)
    for run, recipe in ((first, "toy.yaml"), (second, "gate.yaml")):
        id = run.info.run_id  # type: ignore[attr-defined]
        assert {f.path for f in client.list_artifacts(id)} == {"recipe.yaml", "report.html", "lineage.json"}  # type: ignore[attr-defined]
        folder = Path(client.download_artifacts(id, ""))  # type: ignore[attr-defined]
        assert (folder / "recipe.yaml").read_bytes() == (tracked / recipe).read_bytes()
        assert "<svg" in (folder / "report.html").read_text(encoding="utf-8")
        lineage = json.loads((folder / "lineage.json").read_text(encoding="utf-8"))
        assert list(lineage) == ["count", "read", "slow"] or list(lineage) == ["read", "count", "slow"]
        assert lineage["slow"]["inputs"]["examples"]["id"] == lineage["count"]["id"]
        assert lineage["count"]["inputs"]["documents"]["content"] == lineage["read"]["content"]
        assert run.data.tags["danlu.id.slow"] == lineage["slow"]["id"]  # type: ignore[attr-defined]


def test_sources_are_dataset_inputs(client: object) -> None:
    (dataset,) = client.get_run(runs(client)[0].info.run_id).inputs.dataset_inputs  # type: ignore[attr-defined]
    assert dataset.dataset.name == "read.paths"
    assert json.loads(dataset.dataset.source) == ["texts"]


def test_a_run_whose_process_died_is_marked_killed(tracked: Path, client: object) -> None:
    from danlu.artifact import Store
    from danlu.recipe.tracking import Mlflow

    experiment = client.create_experiment("graves")  # type: ignore[attr-defined]
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    import socket

    ids = {}
    for pid in (dead.pid, os.getpid()):
        tags = {"danlu.process": f"{socket.gethostname()}:{pid}"}
        ids[pid] = client.create_run(experiment, tags=tags).info.run_id  # type: ignore[attr-defined]
    told = Mlflow(Store(tracked / "store"))
    told.client = client  # type: ignore[assignment]
    told._bury(experiment)
    assert client.get_run(ids[dead.pid]).info.status == "KILLED"  # type: ignore[attr-defined]
    assert client.get_run(ids[os.getpid()]).info.status == "RUNNING"  # type: ignore[attr-defined]


def test_a_server_that_does_not_answer_is_told_at_once(danlu: Danlu) -> None:
    words = ("run", "toy.yaml")
    env = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    failed = danlu(*words, env=env)
    assert failed.returncode == 8, failed.stderr
    assert "http://127.0.0.1:9" in failed.stderr
    assert "--track none" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_without_mlflow_the_extra_is_named(danlu: Danlu, kitchen: Path) -> None:
    (kitchen / "without").mkdir()
    (kitchen / "without" / "mlflow.py").write_text("raise ModuleNotFoundError('gone', name='mlflow')")
    failed = danlu("run", "toy.yaml", env={"first": str(kitchen / "without")})
    assert failed.returncode == 3, failed.stderr
    assert "pip install 'danlu[track]'" in failed.stderr
    assert danlu("run", "toy.yaml", "--track", "none", env={"first": str(kitchen / "without")}).returncode == 0
