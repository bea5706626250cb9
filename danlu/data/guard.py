"""Work in processes that may die: each item has bounded time and memory, and takes only itself down.

The children live long (starting one costs half a second) and are fed over pipes. One that is over its bounds is killed
and replaced; one whose parent is gone, however it went, ends at once. Results come in the order of the items, however
many children there are.

Bounded: wall time between two signs of life, resident memory (looked at ten times a second; Linux) and address space.
Not covered: what the work does to files, and any privilege: a child can do whatever its user can.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, TypeVar

from danlu.errors import DanluError, DataError

T = TypeVar("T")
R = TypeVar("R")

_TICK = 0.1
_SPARE = 4 * 2**30
_PDEATHSIG = 1
_signs: Connection | None = None
_last = ("", 0.0)


@dataclass(frozen=True)
class Killed:
    """In place of a result: the `reason` ("too-slow", "too-large", "crashed") and the `part` that was last told to
    `alive`."""

    reason: str
    detail: str
    part: str = ""


def alive(part: str | None = None) -> None:
    """Called by the work: its time begins anew. `part` names what is worked on next. Does nothing outside a child."""
    global _last
    if _signs is None:
        return
    part = _last[0] if part is None else part
    now = time.monotonic()
    if part != _last[0] or now - _last[1] > _TICK:
        _last = (part, now)
        _signs.send(("alive", part))


def guarded(
    work: Callable[[T], R],
    items: Sequence[T],
    *,
    seconds: float,
    memory: int,
    processes: int,
    again: Callable[[T, Killed], T | None] = lambda item, killed: None,
) -> Iterator[R | Killed]:
    """`work` done to each of `items`, in up to `processes` children of `memory` bytes; results in the items' order.

    `work`, items and results must be picklable. An item that took more than `seconds` without a sign of life, or more
    than `memory`, or killed its child, is tried again as what `again` makes of it; None: its result is the Killed.
    What `work` raises is raised here when it is a DanluError or OSError; anything else is a Killed "crashed".
    """
    house = _House(work, seconds, memory)
    waiting = list(reversed(list(enumerate(items))))
    done: dict[int, R | Killed] = {}
    at = 0
    try:
        for _ in range(min(processes, len(waiting))):
            house.start()
        while at < len(items):
            house.feed(waiting)
            for number, item, result in house.finished():
                follow = again(item, result) if isinstance(result, Killed) else None
                if follow is None:
                    done[number] = result
                else:
                    waiting.append((number, follow))
            while at in done:
                yield done.pop(at)
                at += 1
    finally:
        house.close()


@dataclass
class _Child:
    process: Any
    pipe: Connection
    ready: bool = False
    task: tuple[int, Any] | None = None
    part: str = ""
    seen: float = field(default_factory=time.monotonic)


class _House(Generic[T, R]):
    """The children and what each is doing."""

    def __init__(self, work: Callable[[T], R], seconds: float, memory: int) -> None:
        self.work, self.seconds, self.memory = work, seconds, memory
        self.children: list[_Child] = []

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_live, args=(self.work, theirs, self.memory), daemon=True)
        process.start()
        theirs.close()
        self.children.append(_Child(process, ours))

    def feed(self, waiting: list[tuple[int, T]]) -> None:
        """Give each idle child the next item."""
        for child in self.children:
            if waiting and child.ready and child.task is None:
                child.task = waiting.pop()
                child.part, child.seen = "", time.monotonic()
                try:
                    child.pipe.send(child.task[1])
                except OSError:
                    continue  # it died just now: `finished` meets the end of its pipe

    def finished(self) -> Iterator[tuple[int, T, R | Killed]]:
        """Wait a moment for the children; the items that came to an end, with their results."""
        heard = set(wait([child.pipe for child in self.children], _TICK))
        for child in list(self.children):
            result = self._listen(child) if child.pipe in heard else None
            if result is None and child in self.children:
                result = self._over(child)
            if result is not None and child.task is not None:
                number, item = child.task
                child.task = None
                yield number, item, result[0]

    def _listen(self, child: _Child) -> tuple[R | Killed] | None:
        try:
            kind, value = child.pipe.recv()
        except (EOFError, OSError):
            return self._lost(child)
        child.seen = time.monotonic()
        if kind == "alive":
            child.part = value
        elif kind == "ready":
            child.ready = True
        elif kind == "raise":
            raise value
        elif kind == "failed":
            if value[0] == "too-large":
                self._replace(child)
            return (Killed(value[0], value[1], child.part),)
        elif kind == "done":
            if _resident(child.process.pid) > self.memory // 2:
                self._replace(child)
            return (value,)
        return None

    def _over(self, child: _Child) -> tuple[Killed] | None:
        """The verdict on a silent child that is over its time or memory, after it was killed."""
        if child.task is None:
            return None
        held = _resident(child.process.pid)
        if held > self.memory:
            verdict = Killed("too-large", f"over {self.memory / 2**30:g} GB of memory", child.part)
        elif time.monotonic() - child.seen > self.seconds:
            verdict = Killed("too-slow", f"over {self.seconds:g} seconds", child.part)
        else:
            return None
        self._replace(child)
        return (verdict,)

    def _lost(self, child: _Child) -> tuple[Killed]:
        child.process.join()
        code = child.process.exitcode
        if not child.ready:
            raise DataError(
                f"a process to read in cannot be started (exit code {code})",
                next="is the memory used up, or the number of processes limited (ulimit -u)?",
            )
        name = signal.Signals(-code).name if code < 0 and -code in set(signal.Signals) else f"exit code {code}"
        self._replace(child)
        return (Killed("crashed", f"the process that read it ended: {name}", child.part),)

    def _replace(self, child: _Child) -> None:
        self.children.remove(child)
        _end(child)
        self.start()

    def close(self) -> None:
        for child in self.children:
            _end(child)


def _end(child: _Child) -> None:
    child.process.kill()
    child.process.join()
    child.pipe.close()


def _resident(pid: int) -> int:
    """Bytes of resident memory of a process; 0 where the system does not tell (no /proc), or when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def _live(work: Callable[[Any], Any], pipe: Connection, memory: int) -> None:
    """A child's life: items in, results and signs of life out, until the pipe or the parent ends."""
    global _signs, _last
    _tie_to_parent()
    _bound(memory)
    _quiet()
    _signs = pipe
    pipe.send(("ready", None))
    while True:
        try:
            item = pipe.recv()
        except EOFError:
            return
        _last = ("", time.monotonic())
        try:
            answer = ("done", work(item))
        except (DanluError, OSError) as error:
            answer = ("raise", error)
        except MemoryError:
            answer = ("failed", ("too-large", f"over {memory / 2**30:g} GB of memory"))
        except Exception as error:
            answer = ("failed", ("crashed", told(error)))
        pipe.send(answer)


def told(error: Exception) -> str:
    """An error in one line: its kind, its words and the place in the code."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f" ({Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno})" if place else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}{where}"


def _tie_to_parent() -> None:
    """End when the parent is gone; leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    if sys.platform == "linux":  # the kernel's own tie holds also while C code keeps the interpreter busy
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent.pid:
            os._exit(1)

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _bound(memory: int) -> None:
    """A ceiling for the address space, against what is faster than the parent's look at the resident memory; libraries
    reserve far more than they use, so that it is a generous one. One thread for each library: the children share."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    ceiling = 2 * memory + _SPARE
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or ceiling < hard:
        resource.setrlimit(resource.RLIMIT_AS, (ceiling, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _quiet() -> None:
    """What libraries print about damaged files says nothing to the user: each file has one reason."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    os.close(sink)
