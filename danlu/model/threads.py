"""How many threads a long computation takes, on a machine that it shares with other programs.

The threads of one operation meet at its end. Those that wait spin by default, for milliseconds, on the cores that the
last one needs; beside another busy program, training falls to a tenth. The command line therefore lets them sleep
(OMP_WAIT_POLICY=PASSIVE), and a long computation takes only as many threads as it would have cores for: a thread more
makes all the others wait for its turn.

Not covered: limits of a container (cgroup), which /proc/stat does not know; other systems than Linux.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

WINDOW = 2.0
"""Seconds over which the load is measured. Shorter windows follow the noise of schedulers."""

STAT = Path("/proc/stat")


class Load:
    """The cores that this process could have: those it uses and those that nobody does. `most` is the largest number
    of threads; with OMP_NUM_THREADS in the environment it is always that."""

    def __init__(self, most: int, clock: Callable[[], tuple[float, float, float]] | None = None) -> None:
        self.most, self._clock = most, clock or _clock
        self.threads = most
        self._fixed = "OMP_NUM_THREADS" in os.environ
        self._last = self._clock()
        self._wanted = most

    def follow(self) -> int:
        """How many threads to use from now on. Changes when two windows in a row ask for the same other number, so
        that a program of a second is no reason."""
        now = self._clock()
        passed, own, idle = (new - old for new, old in zip(now, self._last, strict=True))
        if self._fixed or passed < WINDOW:
            return self.threads
        wanted = min(self.most, max(1, round((own + idle) / passed)))
        if wanted == self._wanted:
            self.threads = wanted
        self._last, self._wanted = now, wanted
        return self.threads


def _clock() -> tuple[float, float, float]:
    """Seconds: of the clock, of this process on all cores, of all cores that it may use while they were idle (the
    clock's own for each core where the system does not tell, so that nobody seems to take one)."""
    now = time.monotonic()
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    try:
        rows = [line.split() for line in STAT.read_text(encoding="ascii").splitlines() if line[:3] == "cpu"]
        ticks = sum(int(row[4]) + int(row[5]) for row in rows if row[0][3:].isdigit() and int(row[0][3:]) in cores)
        return now, time.process_time(), ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return now, time.process_time(), now * len(cores)
