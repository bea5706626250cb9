"""danlu.data.guard: whatever the work does, the other items have their results, in order, and nobody is left behind."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from danlu.data.guard import Killed, alive, guarded
from danlu.errors import DataError, MissingExtra

GB = 2**30


def work(item):
    """Each kind of misbehaviour by its name; anything else is doubled."""
    if isinstance(item, int):
        time.sleep(0.05 * (item % 3))
        return 2 * item
    alive(item)
    if item == "hangs":
        time.sleep(600)
    elif item == "spins":  # in C code that never lets another thread run
        "".join("a" for _ in iter(int, 1))
    elif item == "grows":
        held = []
        while True:
            held.append(bytearray(2**24))
    elif item == "asks for too much":
        bytearray(2**45)
    elif item == "segfaults":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif item == "leaves":
        os._exit(3)
    elif item == "raises":
        raise KeyError("field")
    elif item == "recurses":
        work_deeper(0)
    elif item == "prints":
        os.write(1, b"noise" * 10**5)
    elif item == "user":
        raise MissingExtra("x is not installed")
    elif item == "disk":
        raise OSError(28, "No space left on device")
    elif item.startswith("takes long"):
        for _ in range(8):
            time.sleep(0.4)
            alive()
    return item.upper()


def work_deeper(depth):
    return work_deeper(depth + 1)


def run(items, processes=2, seconds=3.0, memory=GB // 2, **more):
    return list(guarded(work, items, seconds=seconds, memory=memory, processes=processes, **more))


def test_results_are_in_the_order_of_the_items_however_many_children():
    items = list(range(40))
    assert run(items, 1) == run(items, 4) == [2 * item for item in items]
    assert run([]) == []


@pytest.mark.parametrize(
    ("item", "reason", "words"),
    [
        ("hangs", "too-slow", "over 3 seconds"),
        ("grows", "too-large", "0.5 GB"),
        ("asks for too much", "too-large", "0.5 GB"),
        ("segfaults", "crashed", "SIGSEGV"),
        ("leaves", "crashed", "exit code 3"),
        ("raises", "crashed", "KeyError: 'field' (test_guard.py:"),
        ("recurses", "crashed", "RecursionError"),
    ],
)
def test_one_bad_item_takes_only_itself_down(item, reason, words):
    first, bad, *rest = run([1, item, 2, "prints", 3])
    assert (first, rest) == (2, [4, "PRINTS", 6])
    assert (bad.reason, bad.part) == (reason, item)
    assert words in bad.detail


def test_an_item_is_tried_again_as_it_is_made_of():
    again = {"hangs": "segfaults", "segfaults": "fine"}
    results = run(["hangs", 1], seconds=1.5, again=lambda item, killed: again.get(item))
    assert results == ["FINE", 2]


def test_a_sign_of_life_begins_the_time_anew():
    assert run(["takes long"], seconds=2.0) == ["TAKES LONG"]


def test_what_the_user_or_the_disk_must_mend_is_raised():
    with pytest.raises(MissingExtra, match="not installed"):
        run([1, "user", 2])
    with pytest.raises(OSError, match="No space left"):
        run([1, "disk", 2])


def test_a_child_that_cannot_start_is_told_and_not_started_for_ever(monkeypatch):
    monkeypatch.setattr("danlu.data.guard._live", os._exit)
    with pytest.raises(DataError, match="cannot be started"):
        run([1, 2])


def test_nobody_is_left_when_the_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from danlu.data.guard import guarded

        def spin(path):
            Path(path).write_text(str(__import__("os").getpid()))
            "".join("" for _ in iter(int, 1))

        if __name__ == "__main__":
            list(guarded(spin, sys.argv[1:], seconds=600, memory=2**30, processes=2))
        """)
    )
    marks = [tmp_path / "one", tmp_path / "two"]
    parent = subprocess.Popen([sys.executable, str(script), *map(str, marks)])
    try:
        until(lambda: all(mark.exists() and mark.read_text() for mark in marks))
        pids = [int(mark.read_text()) for mark in marks]
        assert all(running(pid) for pid in pids)
    finally:
        parent.kill()
        parent.wait()
    until(lambda: not any(running(pid) for pid in pids))


def running(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_outside_a_child_a_sign_of_life_is_nothing():
    assert alive("anything") is None
    assert Killed("too-slow", "x").part == ""
