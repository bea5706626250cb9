"""Blocks cut a file at its lines, and the work is the same however many processes do it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from danlu.artifact import Artifact
from danlu.data import flow
from danlu.data.flow import Block, Each, Tally, blocks, spread
from danlu.errors import DataError
from danlu.records import Document, Drop, write_jsonl
from danlu.registry import Settings
from danlu.track import Track


@given(texts=st.lists(st.text(max_size=40), max_size=30), size=st.integers(1, 400))
def test_the_blocks_of_a_file_hold_every_record_once_and_in_order(tmp_path_factory, texts, size) -> None:
    path = tmp_path_factory.mktemp("flow") / "documents.jsonl"
    made = [Document(id=str(at), text=text, source="s") for at, text in enumerate(texts)]
    write_jsonl(path, made)
    parts = blocks(path, size)
    assert [one for part in parts for one in part.records()] == made
    assert sum(part.count for part in parts) == len(made)
    assert [part.start for part in parts][1:] == [part.end for part in parts][:-1]
    carried = [Block(part.path + "-gone", part.start, part.end, part.line, part.count, part.read()) for part in parts]
    assert [one for part in carried for one in part.records()] == made


def test_a_bad_line_is_named_with_its_number_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "documents.jsonl"
    good = json.dumps({"id": "a", "text": "字" * 50, "source": "s"})
    path.write_text(f"{good}\n{good}\n{{'id': 3}}\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        [one for part in blocks(path, 100) for one in part.records()]
    assert str(path) + ":3" in str(caught.value)


class NoSettings(Settings):
    documents: str = ""
    """Where from."""


class Long(Each[NoSettings]):
    """Drops what has an odd number of characters."""

    label = "odd"
    sampled = 3
    Settings = NoSettings

    def judge(self, document: Document, tally: Tally) -> Document | Drop:
        tally.counts["characters"] += len(document.text)
        if len(document.text) % 2:
            return Drop(id=document.id, source=document.source, reason="odd", detail=str(os.getpid() > 0))
        return document

    def finish(self, out, tally: Tally) -> None:
        out.metrics.update(characters=tally.counts["characters"])
        rows = [[reason, one.id] for reason, found in sorted(tally.samples.items()) for one in found]
        out.table("samples", ["reason", "document"], rows)


def made_by(steps, source: Artifact, name: str) -> Artifact:
    with steps.store.draft(name) as draft:
        Long(NoSettings()).run({"documents": source}, draft, Track(quiet=True))
        return steps.store.commit(draft, {"id": name, "kind": "documents", "step": name})


def test_many_processes_and_small_blocks_write_the_same_bytes(steps, opened, monkeypatch) -> None:
    source = steps.documents(**{f"d{at:04}": "字" * (at % 7 + 1) for at in range(1000)})
    one = made_by(steps, source, "one")
    monkeypatch.setattr(flow.blocks, "__defaults__", (5000,))
    monkeypatch.setattr(flow, "BLOCK", 5000)
    assert len(blocks(source.file("documents.jsonl"))) > 10
    many = made_by(steps, source, "many")
    assert one.content == many.content
    assert one.manifest["report"] == many.manifest["report"]
    assert opened(one).reasons == {"odd": 571}


def _pid(item: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def _fails(item: int) -> int:
    if item == 3:
        raise DataError("a broken record", where="here:3", next="mend it")
    return item


def _dies(item: int) -> int:
    if item == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


@pytest.mark.skipif(flow.cores() < 2, reason="one processor: nothing is spread")
def test_errors_and_deaths_of_workers_are_told() -> None:
    track = Track(quiet=True)
    assert os.getpid() not in set(spread(_pid, range(8), track))
    with pytest.raises(DataError, match="a broken record") as caught:
        list(spread(_fails, range(8), track))
    assert caught.value.problem.where == "here:3"
    with pytest.raises(DataError, match="worker process was killed"):
        list(spread(_dies, range(8), track))


PARENT = """
import sys, time
sys.path[:0] = [{root!r}, {here!r}]
from danlu.data.flow import spread
from danlu.track import Track
from test_flow import _forever
if __name__ == "__main__":
    print("up", flush=True)
    list(spread(_forever, range(4), Track(quiet=True)))
"""


def _forever(item: int) -> int:
    Path(f"{os.environ['PIDS']}/{os.getpid()}").touch()
    time.sleep(600)
    return item


@pytest.mark.skipif(flow.cores() < 2, reason="one processor: nothing is spread")
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    here = Path(__file__).parent
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(root=str(here.parent.parent), here=str(here)))
    (tmp_path / "pids").mkdir()
    environment = {**os.environ, "PIDS": str(tmp_path / "pids")}
    parent = subprocess.Popen([sys.executable, str(script)], env=environment, stdout=subprocess.PIPE)
    for _ in range(600):
        pids = [int(path.name) for path in (tmp_path / "pids").iterdir()]
        if len(pids) == min(4, flow.cores()):
            break
        time.sleep(0.1)
    assert pids
    parent.kill()
    parent.wait()
    for _ in range(100):
        alive = [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]
        if not alive:
            break
        time.sleep(0.1)
    assert not alive
