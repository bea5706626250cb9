from __future__ import annotations

import random

import pytest

from danlu.train.pack import Encoded


@pytest.fixture
def examples() -> list[Encoded]:
    """Twenty-four random sequences of 5 to 40 tokens, the second half of each trained."""
    draw = random.Random(7)
    made = []
    for _ in range(24):
        length = draw.randrange(5, 40)
        half = length // 2
        made.append(Encoded([draw.randrange(1, 97) for _ in range(length)], [i >= half for i in range(length)]))
    return made
