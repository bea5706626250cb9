"""The number of threads follows the load, by a clock of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from danlu.model.threads import Load


@pytest.fixture
def machine(monkeypatch):
    """A machine of `cores` on which a process with so many threads shares with `busy` others; each call of `pass_` is
    some seconds."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    class Machine:
        def __init__(self, cores: int) -> None:
            self.cores, self.busy = cores, 0
            self.now = self.own = self.idle = 0.0
            self.load = Load(cores, lambda: (self.now, self.own, self.idle))

        def pass_(self, seconds: float = 2.5) -> int:
            runnable = self.load.threads + self.busy
            share = min(1.0, self.cores / runnable)
            self.now += seconds
            self.own += seconds * share * self.load.threads
            self.idle += seconds * max(0.0, self.cores - runnable)
            return self.load.follow()

    return Machine


@pytest.mark.parametrize(
    ("cores", "busy", "wanted"), [(2, 1, 1), (2, 2, 1), (4, 1, 3), (8, 8, 4), (1, 3, 1), (4, 0, 4)]
)
def test_it_takes_what_others_leave_and_comes_back(machine, cores, busy, wanted):
    made = machine(cores)
    assert [made.pass_() for _ in range(3)] == [cores] * 3
    made.busy = busy
    for _ in range(20):
        made.pass_()
    assert made.load.threads <= max(wanted, 1) if busy else made.load.threads == cores
    assert made.load.threads >= 1
    made.busy = 0
    for _ in range(20):
        made.pass_()
    assert made.load.threads == cores


def test_a_short_burst_changes_nothing(machine):
    made = machine(2)
    made.busy = 1
    made.pass_()
    made.busy = 0
    assert [made.pass_() for _ in range(3)] == [2, 2, 2]


def test_what_the_user_says_stays(machine, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    load = Load(2, iter([(0.0, 0.0, 0.0), (9.0, 1.0, 0.0), (18.0, 2.0, 0.0)]).__next__)
    assert (load.follow(), load.follow()) == (2, 2)


def test_the_command_line_lets_threads_sleep_before_torch_is_there():
    code = (
        "import os, sys; from danlu.cli.main import main; main(['ls', '--steps']); "
        "print(os.environ['OMP_WAIT_POLICY'], os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP", "GOMP"))}
    for given, wanted in (({}, "PASSIVE 0 False"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE 0 False")):
        command = [sys.executable, "-c", code]
        said = subprocess.run(command, env=environment | given, capture_output=True, text=True, check=True).stdout
        assert said.splitlines()[-1] == wanted
