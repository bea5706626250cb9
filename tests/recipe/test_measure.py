"""What a step costs is measured, with and without the kernel's own mark."""

from __future__ import annotations

import time

import pytest

from danlu.recipe import measure
from danlu.recipe.measure import Cost, duration, environment, size


@pytest.mark.parametrize("exact", [True, False])
def test_the_peak_of_a_block_is_seen_and_that_of_an_earlier_one_is_not(
    exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if exact and not measure._reset_high_water():
        pytest.skip("this kernel does not let a process reset its high-water mark")
    if not exact:
        monkeypatch.setattr(measure, "_reset_high_water", lambda: False)
    with Cost() as large:
        block = bytearray(b"x" * (200 << 20))
        time.sleep(0.3)
    del block
    with Cost() as small:
        time.sleep(0.15)
    assert large.peak - small.peak > 150 << 20
    assert large.seconds > 0.25


def test_the_environment_names_what_decides_the_outcome() -> None:
    assert {"python", "system", "processors", "danlu", "pydantic"} <= set(environment())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (59.7, "1 min 0 s"), (123, "2 min 3 s"), (3900, "1 h 5 min")],
)
def test_durations_are_told_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(12, "12 B"), (3.4 * 2**20, "3.4 MiB"), (2.1 * 2**30, "2.1 GiB")])
def test_sizes_are_told_in_words(count: float, text: str) -> None:
    assert size(count) == text
