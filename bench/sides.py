"""Run the two sides of a benchmark, each in a process of its own, and keep what they say.

A side is a function of the benchmark's file that prints progress on standard error and returns a JSON object; its peak
memory is the high-water mark of its process (VmHWM, bytes).
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"


def peak_memory() -> int:
    """The highest resident memory of this process so far, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not report VmHWM")


def run_side(file: str, side: str, threads: int, arguments: list[str]) -> dict[str, Any]:
    """Run `python file --side side …` with the given number of threads and return the object it wrote."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, file, "--side", side, "--answer", str(answer), "--threads", str(threads), *arguments]
        subprocess.run(command, check=True, env=environment, stdout=sys.stderr)
        return dict(json.loads(answer.read_text(encoding="utf-8")))


def answer(path: str, value: dict[str, Any]) -> None:
    """What a side calls at its end."""
    Path(path).write_text(json.dumps(value | {"peak_memory": peak_memory()}), encoding="utf-8")


def environment(name: str, packages: list[str]) -> str:
    """The Python of an environment of its own for peers whose pins exclude some of ours, made when it is not there."""
    python = ROOT / ".envs" / name / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(python.parent.parent)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True, stdout=sys.stderr)
    return str(python)


def timed(side: str, command: list[str], out: Path, environment: dict[str, str]) -> dict[str, float]:
    """Seconds and peak memory (bytes) of a command, from the start of its process to its end; its log is in `out`."""
    out.mkdir()
    log = out / "log.txt"
    began = time.perf_counter()
    with log.open("w") as file:
        process = subprocess.Popen(
            command, env=os.environ | environment | {"PYTHONPATH": str(ROOT)}, stdout=file, stderr=file
        )
        peak = Peak(process.pid)
        code = process.wait()
    seconds = time.perf_counter() - began
    peak.stop()
    if code:
        raise SystemExit(f"{side} ended with {code}:\n{log.read_text()[-3000:]}")
    print(f"{side}: {seconds:.1f} s, {peak.bytes / 2**20:.0f} MiB", file=sys.stderr)
    return {"seconds": seconds, "peak_memory": peak.bytes}


class Peak(threading.Thread):
    """Watches a process and its descendants, five times a second; `seen` holds (time, bytes), `bytes` the highest. Of
    several processes it is the sum of their proportional set sizes; of one alone its high-water mark, which costs
    nothing to ask: adding up a process's pages stops it, the longer the larger it is."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self.process, self.done = process, threading.Event()
        self.seen: list[tuple[float, int]] = []
        self.start()

    @property
    def bytes(self) -> int:
        return max(used for _, used in self.seen)

    def run(self) -> None:
        while True:
            family = _descendants(self.process)
            used = sum(map(_proportional, family)) if len(family) > 1 else _high_water(self.process)
            self.seen.append((time.perf_counter(), used))
            if self.done.wait(0.2):
                return

    def stop(self) -> None:
        self.done.set()
        self.join()


def _descendants(process: int) -> list[int]:
    children = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
        children[parent].append(int(path.parent.name))
    found = [process]
    for one in found:
        found.extend(children[one])
    return found


def _high_water(process: int) -> int:
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmHWM:"))


def _proportional(process: int) -> int:
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))


def finish(name: str, line: dict[str, Any], detail: dict[str, Any], packages: list[str]) -> None:
    """Keep the result with the machine and the versions, and print `line` as the last line."""
    machine = {"processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version()}
    versions = {package: importlib.metadata.version(package) for package in packages}
    RESULTS.mkdir(exist_ok=True)
    kept = line | {"detail": detail, "machine": machine, "versions": versions}
    (RESULTS / f"{name}.json").write_text(json.dumps(kept, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(line, ensure_ascii=False))


def dispatch(side: str | None, sides: dict[str, Callable[[], None]], both: Callable[[], None]) -> None:
    """Run one side when asked by `run_side`, else the whole benchmark."""
    (sides[side] if side else both)()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()
