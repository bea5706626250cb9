"""The whole data room on files of growing size: throughput should stay flat, memory below a bound.

    python bench/data.py                          100, 300 and 1000 MB; about half an hour on two cores
    python bench/data.py --sizes 20,100           a quick look

Each size is one JSONL file of documents put together from sentences of Taiwan's statutes (seeded; one in ten is a near
duplicate of an earlier one), taken by the real command line through read, clean, filter, pii, dedup, instruct and
split. Memory is the sum of the proportional set sizes (PSS) of the whole process tree, looked at five times a second.
There is no peer: the figures are compared with themselves. The last line is JSON.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sides import RESULTS, ROOT, Peak, finish

LAWS = ROOT.parent / "shared" / "data" / "corpus" / "tw-law-large.jsonl.gz"
RECIPE = """\
recipe: room
steps:
  read: {{use: data.read, paths: [{corpus}]}}
  clean: {{use: data.clean, documents: read}}
  filter: {{use: data.filter, documents: clean}}
  pii: {{use: data.pii, documents: filter}}
  unique: {{use: data.dedup, documents: pii}}
  examples: {{use: data.instruct, documents: unique}}
  split: {{use: data.split, examples: examples, documents: unique, test_fraction: 0.01}}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="100,300,1000", help="megabytes, with commas between")
    parser.add_argument("--folder", type=Path, help="where the work is done (a temporary folder)")
    args = parser.parse_args()
    if not LAWS.exists():
        print(f"skipped: {LAWS} is not here")
        return 0
    sentences = _sentences()
    rows = []
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for size in (int(word) for word in args.sizes.split(",")):
            rows.append(measured(Path(folder), size, sentences))
            print(json.dumps(rows[-1], ensure_ascii=False), file=sys.stderr)
    rates = [row["megabytes_per_second"] for row in rows]
    line = {
        "megabytes": [row["megabytes"] for row in rows],
        "megabytes_per_second": rates,
        "flatness": round(rates[-1] / rates[0], 3),
        "peak_gigabytes": max(row["peak_gigabytes"] for row in rows),
    }
    plot(rows)
    finish("data", line, {"runs": rows}, ["pydantic", "numpy", "numba", "pyarrow"])
    return 0


def _sentences() -> list[str]:
    with gzip.open(LAWS, "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    found = {part.strip() + "。" for text in texts for part in re.split("。|\r\n", text) if 12 <= len(part) <= 200}
    return sorted(found)


def write_corpus(path: Path, size: int, sentences: list[str]) -> int:
    """`size` megabytes of documents; returns how many."""
    draw = random.Random(size)
    written = count = 0
    last: list[str] = []
    with path.open("wb") as file:
        while written < size * 1_000_000:
            if last and draw.random() < 0.1:
                body = [*last[:-1], draw.choice(sentences)]
            else:
                body = [draw.choice(sentences) for _ in range(draw.randint(9, 24))]
            last = body
            third = len(body) // 3
            parts = [f"## 第 {count}-{at} 節\n\n" + "".join(body[at * third : (at + 1) * third]) for at in range(3)]
            text = f"# 條文選讀 {count}\n\n" + "\n\n".join(parts)
            row = {"id": f"{count:08}", "title": f"條文選讀 {count}", "text": text}
            written += file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
            count += 1
    return count


def measured(folder: Path, size: int, sentences: list[str]) -> dict[str, Any]:
    """One run of the command line: seconds by step, the tree's peak memory, the funnel."""
    corpus = folder / f"{size}.jsonl"
    documents = write_corpus(corpus, size, sentences)
    recipe = folder / "room.yaml"
    recipe.write_text(RECIPE.format(corpus=corpus.name), encoding="utf-8")
    store = folder / "store"
    command = [sys.executable, "-m", "danlu", "run", str(recipe), "--store", str(store), "--track", "none", "--quiet"]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    peak = Peak(process.pid)
    if process.wait():
        raise SystemExit(f"the run of {size} MB failed with exit code {process.returncode}")
    seconds = time.perf_counter() - start
    peak.stop()
    run = json.loads((store / "runs" / "room" / "run.json").read_text(encoding="utf-8"))
    funnel = {
        step["name"]: {key: block[key] for key in ("came", "kept", "dropped")}
        for step in run["steps"]
        for block in json.loads((store / "artifacts" / step["id"] / "artifact.json").read_bytes())["report"]
        if block["type"] == "funnel"
    }
    shutil.rmtree(store)
    corpus.unlink()
    return {
        "megabytes": size,
        "documents": documents,
        "seconds": round(seconds, 1),
        "megabytes_per_second": round(size / seconds, 3),
        "peak_gigabytes": round(peak.bytes / 1e9, 3),
        "seconds_by_step": {step["name"]: step["seconds"] for step in run["steps"]},
        "peak_by_step": by_step(peak, run["steps"]),
        "funnel": funnel,
    }


def by_step(peak: Peak, steps: list[dict[str, Any]]) -> dict[str, float]:
    """Peak gigabytes by step, by their seconds counted back from the end."""
    peaks, end = {}, peak.seen[-1][0]
    for step in reversed(steps):
        start = end - step["seconds"]
        peaks[step["name"]] = round(max((used for at, used in peak.seen if start <= at <= end), default=0) / 1e9, 3)
        end = start
    return dict(reversed(peaks.items()))


def plot(rows: list[dict[str, Any]]) -> None:
    """The curve, beside the figures."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
    sizes = [row["megabytes"] for row in rows]
    left.plot(sizes, [row["megabytes_per_second"] for row in rows], "o-")
    left.set(xlabel="MB of JSONL", ylabel="MB a second", ylim=(0, None), title="the whole room")
    right.plot(sizes, [row["peak_gigabytes"] for row in rows], "o-", color="tab:red")
    right.axhline(1.5, ls="--", color="grey")
    right.set(xlabel="MB of JSONL", ylabel="peak GB, all processes", ylim=(0, None), title="memory")
    figure.tight_layout()
    figure.savefig(RESULTS / "data.png", dpi=120)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
