"""A run is stopped in every way there is, and goes on: finished steps stay, nothing is half there, the end the same."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from danlu.artifact import Artifact, Store

Danlu = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., "subprocess.Popen[str]"]
RUN = ("run", "toy.yaml", "--track", "none")


def record(store: Path) -> dict[str, Any]:
    return dict(json.loads((store / "runs" / "toy" / "run.json").read_text(encoding="utf-8")))


def contents(store: Path) -> dict[str, str]:
    return {step["name"]: step["content"] for step in record(store)["steps"]}


def states(store: Path) -> dict[str, str]:
    return {step["name"]: step["state"] for step in record(store)["steps"]}


def leftovers(store: Path) -> list[str]:
    return [str(p) for name in ("drafts", "work") for p in (store / name).iterdir()]


def test_a_step_is_made_once_and_again_when_what_it_reads_changes(kitchen: Path, danlu: Danlu) -> None:
    first = danlu(*RUN)
    assert first.returncode == 0, first.stderr
    assert "report: " in first.stdout
    assert set(states(kitchen / "store").values()) == {"made"}
    assert danlu(*RUN).returncode == 0
    assert set(states(kitchen / "store").values()) == {"cached"}
    danlu(*RUN, "--set", "slow.parts=2")
    assert states(kitchen / "store") == {"read": "cached", "count": "cached", "slow": "made"}
    before = contents(kitchen / "store")
    (kitchen / "texts" / "a.txt").write_text("又一章\n第二行\n", encoding="utf-8")
    danlu(*RUN)
    assert set(states(kitchen / "store").values()) == {"made"}
    assert contents(kitchen / "store")["count"] != before["count"]


def test_a_step_whose_input_came_out_the_same_is_not_made_again(kitchen: Path, danlu: Danlu) -> None:
    danlu(*RUN)
    (kitchen / "texts" / "notes.md").write_text("toy.read does not copy this", encoding="utf-8")
    danlu(*RUN)
    assert states(kitchen / "store") == {"read": "made", "count": "cached", "slow": "cached"}


def test_from_and_force(kitchen: Path, danlu: Danlu) -> None:
    danlu(*RUN)
    before = contents(kitchen / "store")
    assert danlu(*RUN, "--from", "count").returncode == 0
    assert states(kitchen / "store") == {"read": "cached", "count": "made", "slow": "made"}
    assert danlu(*RUN, "--force", "count").returncode == 0
    assert states(kitchen / "store") == {"read": "cached", "count": "made", "slow": "cached"}
    assert contents(kitchen / "store") == before
    wrong = danlu(*RUN, "--force", "cuont")
    assert wrong.returncode == 2
    assert "did you mean: count" in wrong.stderr


def test_a_damaged_artifact_is_made_again(kitchen: Path, danlu: Danlu) -> None:
    danlu(*RUN)
    link = kitchen / "store" / "runs" / "toy" / "count"
    (link / "count.txt").write_text("")
    assert danlu("plan", "toy.yaml").stdout.count("to make") == 1
    danlu(*RUN)
    assert states(kitchen / "store") == {"read": "cached", "count": "made", "slow": "cached"}


def test_the_manifest_says_what_made_it(kitchen: Path, danlu: Danlu) -> None:
    danlu(*RUN)
    store = Store(kitchen / "store")
    slow = Artifact.load(store.root / "runs" / "toy" / "slow")
    m = slow.manifest
    count = store.get(m["inputs"]["examples"]["id"])
    assert count is not None
    assert (m["step"], m["use"], m["kind"], m["settings"]) == ("slow", "toy.slow", "split", {"parts": 8, "pause": 0.02})
    assert m["inputs"]["examples"]["content"] == count.content
    assert slow.licences == {"texts": {"licence": "CC-BY-4.0", "terms": "name us"}}, "licences are carried downstream"
    assert m["seconds"] > 0.1
    assert m["peak_bytes"] > 1 << 20
    assert "toy.count" in m["recipe_text"]
    assert str(kitchen) not in json.dumps(m), "an artifact tells no path of the machine that made it"


def test_the_licence_of_a_model_is_carried(kitchen: Path, toys: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from danlu.recipe.plan import make_plan
    from danlu.recipe.run import run
    from danlu.recipe.schema import read_recipe
    from danlu.recipe.tracking import Untracked
    from danlu.track import Track

    monkeypatch.setattr("danlu.registry.model_fingerprint", lambda name, root: "f")
    (kitchen / "toy.yaml").write_text("steps: {m: {use: toy.model}}", encoding="utf-8")
    store = Store(kitchen / "store")
    finished = run(make_plan(read_recipe(Path("toy.yaml"))), store, Track(quiet=True), Untracked())
    assert "Gemma" in finished.artifacts["m"].licences["gemma-3-270m"]["licence"]


def test_kill_at_ten_random_moments_ends_in_the_same_artifacts(kitchen: Path, danlu: Danlu, start: Start) -> None:
    sets = ("--set", "slow.pause=0.1", "--set", "slow.parts=16")
    undisturbed = danlu(*RUN, *sets, "--store", "whole")
    assert undisturbed.returncode == 0, undisturbed.stderr
    seed = random.randrange(1 << 32)
    print(f"kill moments from seed {seed}")
    chance = random.Random(seed)
    kills = 0
    for _ in range(10):
        process = start(*RUN, *sets)
        time.sleep(chance.uniform(0.1, 0.9))
        process.kill()
        kills += process.wait() == -signal.SIGKILL
        process.communicate()
        for path in (kitchen / "store" / "artifacts").glob("*"):
            assert Artifact.load(path).verify() == [], "what is in artifacts/ is always whole"
    assert kills >= 3, "the run must be long enough to be killed"
    last = danlu(*RUN, *sets)
    assert last.returncode == 0, last.stderr
    assert contents(kitchen / "store") == contents(kitchen / "whole")
    assert leftovers(kitchen / "store") == []


def test_a_kill_between_the_two_renames_of_a_forced_step_loses_nothing(kitchen: Path, danlu: Danlu) -> None:
    danlu(*RUN)
    store = Store(kitchen / "store")
    final = store.root / "artifacts" / record(store.root)["steps"][1]["id"]
    aside = store.root / "drafts" / f"{final.name}.x"
    aside.mkdir()
    os.replace(final, aside / "old")
    danlu(*RUN)
    assert set(states(store.root).values()) == {"cached"}
    assert leftovers(store.root) == []


def test_an_interrupted_run_exits_130_says_how_to_go_on_and_resumes(kitchen: Path, danlu: Danlu, start: Start) -> None:
    process = start(*RUN, "--set", "slow.pause=0.2")
    work = kitchen / "store" / "work"
    for _ in range(200):
        if list(work.glob("*/2.txt")):
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Go on with: danlu run toy.yaml --set slow.pause=0.2" in stderr
    assert "Traceback" not in stderr
    assert record(kitchen / "store")["state"] == "interrupted"
    assert states(kitchen / "store")["slow"] == "interrupted"
    kept = {path.name: path.stat().st_mtime_ns for path in work.glob("*/*.txt")}
    assert kept, "the step's work is kept"
    assert list((kitchen / "store" / "drafts").iterdir()) == []
    assert danlu(*RUN, "--set", "slow.pause=0.2").returncode == 0
    assert leftovers(kitchen / "store") == []


def test_two_runs_at_once_make_each_step_once(kitchen: Path, start: Start) -> None:
    both = [start(*RUN, "--set", "slow.pause=0.2") for _ in range(2)]
    told = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert sum(text.count("toy.slow … made") for text in told) == 1
    assert sum(text.count("toy.slow … cached") for text in told) == 1
    waiting = next(text for text in told if "waits for" in text)
    assert "waits for process " in waiting
    assert "(recipe toy, step " in waiting


def test_a_failed_gate_stops_the_run_with_its_figures_and_a_report(kitchen: Path, danlu: Danlu) -> None:
    with (kitchen / "toy.yaml").open("a") as file:
        file.write("  gate: {use: toy.gate, data: slow}\n  late: {use: toy.fill, data: slow}\n")
    failed = danlu(*RUN)
    assert failed.returncode == 4
    assert "agreement: 0.5" in failed.stderr
    assert "bound: 0.98" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert states(kitchen / "store") == {
        "read": "made", "count": "made", "slow": "made", "gate": "failed", "late": "not reached"
    }  # fmt: skip
    page = (kitchen / "store" / "runs" / "toy" / "report.html").read_text(encoding="utf-8")
    assert "top-1 agreement is too low" in page
    assert "adapter and merged" in page, "what the gate measured is in the report"
    assert danlu(*RUN, "--set", "gate.bound=0.4").returncode == 0


def test_a_defect_keeps_its_traceback_and_names_the_step(kitchen: Path, danlu: Danlu) -> None:
    (kitchen / "texts" / "a.txt").write_bytes(b"\xff\xfe\xff")
    failed = danlu(*RUN)
    assert failed.returncode == 1
    assert "UnicodeDecodeError" in failed.stderr
    assert "in step 'read' (toy.read) of toy.yaml" in failed.stderr
    assert record(kitchen / "store")["state"] == "failed"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of three megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {made.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=False)


def test_a_full_disk_is_one_clear_error_and_nothing_is_lost(kitchen: Path, danlu: Danlu, small_disk: Path) -> None:
    with (kitchen / "toy.yaml").open("a") as file:
        file.write("  fill: {use: toy.fill, data: slow, megabytes: 4}\n")
    store = small_disk / "store"
    full = danlu(*RUN, "--store", str(store))
    assert full.returncode == 5, full.stderr
    assert "the disk is full" in full.stderr
    assert "run the same command again" in full.stderr
    assert "Traceback" not in full.stderr
    assert list((store / "drafts").iterdir()) == []
    kept = {path.name: Artifact.load(path).verify() for path in (store / "artifacts").iterdir()}
    assert len(kept) == 3
    assert not any(kept.values())
    subprocess.run(["mount", "-o", "remount,size=30m", str(small_disk)], check=True)
    assert danlu(*RUN, "--store", str(store)).returncode == 0
    assert list(states(store).values()) == ["cached", "cached", "cached", "made"]


def test_a_disk_that_is_full_from_the_start(kitchen: Path, danlu: Danlu, small_disk: Path) -> None:
    Store(small_disk / "store")
    with contextlib.suppress(OSError), (small_disk / "ballast").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    full = danlu(*RUN, "--store", str(small_disk / "store"))
    assert full.returncode == 5, full.stderr
    assert "the disk is full" in full.stderr
    assert "Traceback" not in full.stderr
    (small_disk / "ballast").unlink()
    assert danlu(*RUN, "--store", str(small_disk / "store")).returncode == 0


def test_a_read_only_store(kitchen: Path, danlu: Danlu, small_disk: Path) -> None:
    assert danlu(*RUN, "--store", str(small_disk / "store")).returncode == 0
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for words in (("--set", "count.rank=3"), ()):
        failed = danlu(*RUN, *words, "--store", str(small_disk / "store"))
        assert failed.returncode == 5, failed.stderr
        assert "Traceback" not in failed.stderr
        assert "ead-only" in failed.stderr
    assert danlu("show", "toy", "--store", str(small_disk / "store")).returncode == 0
    assert danlu("plan", "toy.yaml", "--store", str(small_disk / "store")).returncode == 0


def test_a_store_that_cannot_be_made(kitchen: Path, danlu: Danlu) -> None:
    (kitchen / "blocked").write_text("a file where the store should be")
    failed = danlu(*RUN, "--store", "blocked")
    assert failed.returncode == 5
    assert "the store cannot be made" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_file_larger_than_allowed(kitchen: Path, danlu: Danlu) -> None:
    import resource

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    with (kitchen / "toy.yaml").open("a") as file:
        file.write("  fill: {use: toy.fill, data: slow, megabytes: 4}\n")
    failed = danlu(*RUN, preexec_fn=limit)
    assert failed.returncode == 5, failed.stderr
    assert "larger than the limit" in failed.stderr
    assert danlu(*RUN).returncode == 0


def test_a_step_reads_several_steps_in_the_order_of_the_recipe(kitchen: Path, danlu: Danlu) -> None:
    text = (kitchen / "toy.yaml").read_text(encoding="utf-8")
    more = "  more: {use: toy.read, paths: [more]}\n  both: {use: toy.join, documents: [more, read]}\n"
    (kitchen / "more").mkdir()
    (kitchen / "more" / "z.txt").write_text("更多", encoding="utf-8")
    (kitchen / "toy.yaml").write_text(text + more, encoding="utf-8")
    assert danlu(*RUN).returncode == 0
    made = {artifact.manifest["step"]: artifact for artifact in Store(kitchen / "store").all()}
    joined = made["both"].file("all.txt").read_text(encoding="utf-8")
    assert joined == "更多" + made["read"].file("all.txt").read_text(encoding="utf-8")
    assert [made["both"].manifest["inputs"][f"documents.{at}"]["step"] for at in (0, 1)] == ["more", "read"]
    assert "documents" not in made["both"].manifest["settings"]
    (kitchen / "more" / "z.txt").write_text("更多。", encoding="utf-8")
    danlu(*RUN)
    assert states(kitchen / "store")["both"] == "made"
    (kitchen / "toy.yaml").write_text(text + more.replace("[more, read]", "[more, slow]"), encoding="utf-8")
    failed = danlu(*RUN)
    assert failed.returncode == 2
    assert "both.documents needs documents, but 'slow' makes" in failed.stderr
