"""Kill the tutor's run at ten random moments, go on each time, and compare with a run that nobody disturbed.

    .venv/bin/python tests/kill_nine.py [--kills 10] [--seed 0]

Exits 1 when a final artifact has another content. Takes about five minutes on two cores; the tests do the same with
small steps (tests/recipe/test_run.py).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from test_tutor import ROOT, SMALL


def command(store: Path) -> list[str]:
    sets = [word for setting in [*SMALL, "sft.checkpoint_every=1"] for word in ("--set", setting)]
    return [sys.executable, "-m", "danlu", "run", "recipes/tutor.yaml", *sets, "--store", str(store), "--quiet"]


def start(store: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command(store), cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)


def contents(store: Path) -> dict[str, str]:
    record = json.loads((store / "runs" / "tutor" / "run.json").read_text(encoding="utf-8"))
    assert record["state"] == "finished", record["state"]
    return {step["name"]: step["content"] for step in record["steps"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    draw = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        calm, disturbed = Path(folder) / "calm", Path(folder) / "disturbed"
        began = time.monotonic()
        assert start(calm).wait() == 0
        whole = time.monotonic() - began
        killed = 0
        while killed < args.kills:
            process = start(disturbed)
            try:
                process.wait(draw.uniform(3, max(6, 2.5 * whole / args.kills)))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                killed += 1
                print(f"kill {killed} of {args.kills}", flush=True)
                continue
            print(f"finished after {killed} kills; started over on a fresh store", flush=True)
            subprocess.run(["rm", "-rf", str(disturbed)], check=True)
        assert start(disturbed).wait() == 0
        a, b = contents(calm), contents(disturbed)
    different = [name for name in a if a[name] != b[name]]
    print(f"undisturbed run {whole:.0f} s, {args.kills} kills, {len(a)} steps, {len(different)} different: {different}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
