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
