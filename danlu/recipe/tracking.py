"""Every run in MLflow: parameters, metrics per step, the recipe, the report and the lineage.

The default tracking store is SQLite at `store/mlflow.db` with its artifacts in `store/mlflow-artifacts`;
`MLFLOW_TRACKING_URI` names another. MLflow's telemetry is off. Look at it with

    mlflow ui --backend-store-uri sqlite:///store/mlflow.db

What is there, for the experiment of the recipe's name: params `<step>.<setting>`; metrics `<step>.<metric>` with the
step numbers of their curve, `<step>.seconds` and `<step>.peak_bytes`; tags `danlu.id.<step>` (the artifact),
`danlu.content.<step>`, `danlu.state.<step>` (made or cached); dataset inputs, one for each source; artifacts
`recipe.yaml`, `report.html` and `lineage.json`. The curve of a cached step stays with the run that made it.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from pathlib import Path
from typing import Any, Protocol

from danlu.artifact import Artifact, Store
from danlu.errors import EndpointError, MissingExtra, storage_error
from danlu.recipe.plan import Plan, PlannedStep
from danlu.track import Sink

FLUSH_SECONDS = 5.0
BATCH = 500
MAX_WAITING = 100_000


def metric_name(name: str) -> str:
    """The name as MLflow takes it: what it refuses (a score's `exact_match,strict` or `chrf++`) is an underscore."""
    return re.sub(r"[^\w./ -]", "_", name)


class Tracker(Sink, Protocol):
    """Who is told about a run. `step` is the name of the step at work, whose metrics come in by `metric`."""

    step: str

    def start(self, plan: Plan, environment: dict[str, str]) -> dict[str, str]:
        """The run begins; returns where it can be looked up."""

    def made(self, step: PlannedStep, state: str, artifact: Artifact) -> None: ...

    def end(self, state: str, report: Path, recipe: str) -> None: ...


class Untracked:
    """Tells nobody (`--track none`)."""

    step = ""

    def start(self, plan: Plan, environment: dict[str, str]) -> dict[str, str]:
        return {}

    def metric(self, name: str, value: float, at: int | None) -> None:
        return

    def made(self, step: PlannedStep, state: str, artifact: Artifact) -> None:
        return

    def end(self, state: str, report: Path, recipe: str) -> None:
        return


class Mlflow:
    """Tells MLflow. Raises MissingExtra without it, EndpointError when a tracking server does not answer."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.step = ""
        self.uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{store.root}/mlflow.db"
        self.run_id = ""
        self.lineage: dict[str, Any] = {}
        self._metrics: list[Any] = []
        self._flushed = time.monotonic()

    def start(self, plan: Plan, environment: dict[str, str]) -> dict[str, str]:
        _quiet_settings()
        try:
            from mlflow.entities import Param, RunTag
            from mlflow.tracking.client import MlflowClient
        except ModuleNotFoundError as error:
            if error.name != "mlflow":
                raise
            raise MissingExtra(
                "mlflow is not installed, and runs are tracked with it",
                next="pip install 'danlu[track]', or danlu run RECIPE --track none",
            ) from None
        recipe = plan.recipe
        try:
            with self.store.lock("mlflow"):  # one process creates the tables
                self.client = MlflowClient(self.uri)
                experiment = self.client.get_experiment_by_name(recipe.name) or self.client.get_experiment(
                    self._create(recipe.name)
                )
            self._bury(experiment.experiment_id)
            tags = {
                "mlflow.source.name": str(recipe.path).encode("utf-8", "backslashreplace").decode(),
                "danlu.recipe": recipe.name,
                "danlu.process": f"{socket.gethostname()}:{os.getpid()}",
                **{f"danlu.environment.{name}": version for name, version in environment.items()},
            }
            self.run_id = self.client.create_run(experiment.experiment_id, tags=tags).info.run_id
            params = [Param(f"{step.name}.{key}", _text(value)) for step in plan.steps for key, value in _flat(step)]
            for first in range(0, len(params), 100):
                self.client.log_batch(self.run_id, params=params[first : first + 100])
            self.client.log_batch(self.run_id, params=[Param("seed", str(recipe.seed))])
            self.client.log_batch(self.run_id, tags=[RunTag(f"danlu.set.{i}", s) for i, s in enumerate(recipe.sets)])
            self._datasets(plan)
        except Exception as error:
            if storage_error(error, self.uri) is not None or not self.uri.startswith("http"):
                raise
            raise EndpointError(
                f"the MLflow server does not take the run: {error}",
                where=self.uri,
                next="unset MLFLOW_TRACKING_URI to track in the store, or --track none",
            ) from None
        return {"uri": self.uri, "run_id": self.run_id, "experiment": recipe.name}

    def _create(self, name: str) -> str:
        local = self.uri.startswith("sqlite:")
        place = (self.store.root / "mlflow-artifacts").as_uri() if local else None
        return str(self.client.create_experiment(name, artifact_location=place))

    def _bury(self, experiment: str) -> None:
        """Mark runs as killed whose process on this machine is gone."""
        for run in self.client.search_runs([experiment], "attributes.status = 'RUNNING'"):
            host, _, pid = run.data.tags.get("danlu.process", ":").rpartition(":")
            if host == socket.gethostname() and pid.isdigit() and not _alive(int(pid)):
                self.client.set_terminated(run.info.run_id, "KILLED")

    def _datasets(self, plan: Plan) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        inputs = []
        for step in plan.steps:
            for field, hash in step.sources.items():
                given = step.settings.model_dump(mode="json")[field]
                dataset = Dataset(f"{step.name}.{field}", hash[:36], "local", json.dumps(given, ensure_ascii=False))
                inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", step.use)]))
        if inputs:
            self.client.log_inputs(self.run_id, datasets=inputs)

    def metric(self, name: str, value: float, at: int | None) -> None:
        from mlflow.entities import Metric

        key = metric_name(f"{self.step}.{name}" if self.step else name)
        self._metrics.append(Metric(key, float(value), int(time.time() * 1000), at or 0))
        if len(self._metrics) >= BATCH or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self._flush()

    def _flush(self) -> None:
        """Send what is waiting. A tracking server that stopped answering does not end a long training: its metrics
        wait for the next time, and the run's end tells when they never got there."""
        while self._metrics:
            try:
                self.client.log_batch(self.run_id, metrics=self._metrics[:BATCH])
            except Exception:
                if not self.uri.startswith("http") or len(self._metrics) > MAX_WAITING:
                    raise
                break
            del self._metrics[:BATCH]
        self._flushed = time.monotonic()

    def made(self, step: PlannedStep, state: str, artifact: Artifact) -> None:
        from mlflow.entities import RunTag

        self.step = step.name
        manifest = artifact.manifest
        for name, value in {
            **artifact.manifest["metrics"],
            "seconds": manifest["seconds"],
            "peak_bytes": manifest["peak_bytes"],
        }.items():
            self.metric(name, value, None)
        self.step = ""
        self._flush()
        facts = {"id": artifact.id, "content": artifact.content, "state": state}
        self.client.log_batch(self.run_id, tags=[RunTag(f"danlu.{k}.{step.name}", v) for k, v in facts.items()])
        keys = ("use", "kind", "settings", "inputs", "sources", "models", "code", "licences")
        self.lineage[step.name] = {**facts, **{key: manifest[key] for key in keys}}

    def end(self, state: str, report: Path, recipe: str) -> None:
        if not self.run_id:
            return
        self._flush()
        self.client.log_text(self.run_id, recipe, "recipe.yaml")
        self.client.log_dict(self.run_id, self.lineage, "lineage.json")
        self.client.log_artifact(self.run_id, str(report))
        status = {"finished": "FINISHED", "interrupted": "KILLED"}.get(state, "FAILED")
        self.client.set_terminated(self.run_id, status)


def tracker(name: str, store: Store) -> Tracker:
    """The tracker behind the word of `--track`: mlflow or none."""
    return Mlflow(store) if name == "mlflow" else Untracked()


def _quiet_settings() -> None:
    """MLflow reads these when it is imported: no telemetry, few retries, no chatter about its tables."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")


def _flat(step: PlannedStep) -> list[tuple[str, Any]]:
    return [("use", step.use), *step.references.items(), *step.described().items()]


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text[:6000]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
