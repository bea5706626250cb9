"""Two real Ray nodes on this machine: the same output as here, also when one of them is killed in the middle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from one_step import Steps

from danlu.artifact import Artifact, Store
from danlu.data import flow
from danlu.errors import DataError
from danlu.records import Document, write_jsonl
from danlu.registry import step_class
from danlu.track import Track

ray = pytest.importorskip("ray", reason="the extra 'ray' is not installed")

SENTENCES = ["今天天氣很好", "我們去山上走走", "軟件的質量要看測試", "圖書館裡有很多書", "下午三點開會，請準時", ""]


@pytest.fixture(scope="module")
def cluster():
    """A head without processors for work, and two nodes of two processors each."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray import cloudpickle
    from ray.cluster_utils import Cluster

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the nodes cannot import this file

    soon = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": soon}  # a dead node is noticed in seconds
    made = Cluster(initialize_head=True, head_node_args=head)
    made.nodes = [made.add_node(num_cpus=2), made.add_node(num_cpus=2)]
    old = os.environ.get("RAY_ADDRESS")
    os.environ["RAY_ADDRESS"] = made.address
    yield made
    ray.shutdown()
    made.shutdown()
    os.environ.pop("RAY_ADDRESS") if old is None else os.environ.update(RAY_ADDRESS=old)


@pytest.fixture
def source(tmp_path: Path) -> Artifact:
    """Two thousand documents, some of them doubled, short, or in mainland wording."""
    store = Store(tmp_path / "source")
    with store.draft("source") as draft:
        texts = ["。".join(SENTENCES[(at * step) % 5] + str(at // 3) for step in range(1, 9)) for at in range(2000)]
        made = [Document(id=f"{at:05}", text=text[: at % 90 + 20], source="s") for at, text in enumerate(texts)]
        write_jsonl(draft.file("documents.jsonl"), made)
        write_jsonl(draft.file("dropped.jsonl"), [])
        return store.commit(draft, {"id": "source", "kind": "documents", "step": "test"})


def made(use: str, source: Artifact, root: Path, on: str) -> Artifact:
    kind = step_class(use)
    store = Store(root)
    with store.draft("made") as draft:
        kind(kind.Settings(documents="source")).run({"documents": source}, draft, Track(quiet=True, on=on))
        return store.commit(draft, {"id": "made", "kind": "documents", "step": use})


@pytest.fixture
def small_blocks(monkeypatch) -> None:
    monkeypatch.setattr(flow.blocks, "__defaults__", (20_000,))


@pytest.mark.parametrize("use", ["data.clean", "data.dedup"])
def test_the_same_output_on_ray_as_here(use, cluster, source, small_blocks, tmp_path) -> None:
    here = made(use, source, tmp_path / "here", "local")
    there = made(use, source, tmp_path / "there", "ray")
    assert here.content == there.content
    assert here.manifest["report"] == there.manifest["report"]


def _slowly(block: flow.Block) -> tuple[str, list[str]]:
    time.sleep(0.3)
    return ray.get_runtime_context().get_node_id(), [one.id for one in block.records()]


def test_a_node_killed_in_the_middle_costs_nothing_but_time(cluster, source, tmp_path) -> None:
    parts = flow.blocks(source.file("documents.jsonl"), 10_000)
    assert len(parts) > 20
    came: list[tuple[str, list[str]]] = []
    for result in flow.spread(_slowly, parts, Track(quiet=True, on="ray")):
        came.append(result)
        if len(came) == 4:
            threading.Thread(target=cluster.remove_node, args=(cluster.nodes.pop(), False)).start()
    here = [one.id for part in parts for one in part.records()]
    assert [id for _, ids in came for id in ids] == here
    assert len({node for node, _ in came}) == 2
    cluster.nodes.append(cluster.add_node(num_cpus=2))


class Killing(Track):
    """Kills a node of the cluster as soon as the second block of a step is done."""

    def __init__(self, cluster) -> None:
        super().__init__(quiet=True, on="ray")
        self.cluster, self.updates, self.after = cluster, 0, 0

    def bar(self, label, total, unit="it"):
        return self

    def close(self) -> None:
        return

    def update(self, n=1) -> None:
        self.updates += 1
        if self.updates == 2:
            self.cluster.remove_node(self.cluster.nodes.pop(), False)
        self.after += self.updates > 2


STAGES = (
    *("data.boilerplate", "data.clean", "data.filter", "data.pii"),
    *("data.dedup", "data.decontaminate", "data.augment", "data.split"),
)


@pytest.mark.timeout(900)
def test_the_whole_room_with_a_node_killed_in_the_middle(cluster, small_blocks, tmp_path, chapters) -> None:
    """From files to a split: each step on Ray, two of them with a node killed under it, makes what it makes here."""
    folder = tmp_path / "books"
    folder.mkdir()
    for number in range(6):
        for chapter in chapters[:16]:
            text = chapter.read_text("utf-8")
            middle = text.find("\n## ", len(text) * (number % 7) // 7)
            (folder / f"{number:02}-{chapter.name}").write_text(f"第 {number} 冊\n\n{text[middle:][:2400]}", "utf-8")
    (tmp_path / "asked.jsonl").write_text(
        json.dumps({"question": "低秩矩陣為什麼可以只訓練很少的參數就學會一件事？"}) + "\n", "utf-8"
    )
    here, there = Steps(tmp_path / "here"), Steps(tmp_path / "there")
    killing = {"data.clean": Killing(cluster), "data.dedup": Killing(cluster)}
    made = [here("data.read", paths=[folder])]
    other = [there("data.read", Track(quiet=True, on="ray"), paths=[folder])]
    documents = 0
    for use in STAGES:
        more = {"sets": [tmp_path / "asked.jsonl"]} if use == "data.decontaminate" else {}
        track = killing.get(use) or Track(quiet=True, on="ray")
        for steps, found, on in ((here, made, Track(quiet=True)), (there, other, track)):
            if use == "data.augment":
                found.append(steps("data.instruct", on, documents=found[documents]))
                found.append(steps(use, on, examples=found[-1]))
            elif use == "data.split":
                found.append(steps(use, on, examples=found[-1], documents=found[documents]))
            else:
                found.append(steps(use, on, documents=found[-1], **more))
        if use == "data.decontaminate":
            documents = len(made) - 1
        assert made[-1].content == other[-1].content, use
        if use in killing:
            assert killing[use].after > 2, f"{use}: nothing was left to do when the node was killed"
            cluster.nodes.append(cluster.add_node(num_cpus=2))
    assert [one.content for one in made] == [one.content for one in other]


def _refuses(block: flow.Block) -> None:
    raise DataError("a broken record", where=f"line {block.line}", next="mend it")


def test_an_error_in_the_work_is_told_as_here(cluster, source) -> None:
    parts = flow.blocks(source.file("documents.jsonl"), 50_000)
    with pytest.raises(DataError, match="a broken record") as caught:
        list(flow.spread(_refuses, parts, Track(quiet=True, on="ray")))
    assert caught.value.problem.next == "mend it"


def test_no_cluster_is_one_clear_error(tmp_path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("# 題目\n\n" + "一段夠長的中文文字，用來測試。" * 9, encoding="utf-8")
    steps = {"read": {"use": "data.read", "paths": ["notes"]}, "clean": {"use": "data.clean", "documents": "read"}}
    (tmp_path / "r.yaml").write_text(json.dumps({"steps": steps}), encoding="utf-8")
    command = [sys.executable, "-m", "danlu", "run", "r.yaml", "--track", "none", "--quiet", "--on"]
    refused = subprocess.run([*command, "rai"], cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "ray" in refused.stderr
    alone = subprocess.run([*command, "ray://127.0.0.1:1"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert alone.returncode == 6, alone.stderr
    assert "Traceback" not in alone.stderr
