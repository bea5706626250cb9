"""Boxes are read as a person reads them: rows, columns, and a heading with the text below it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danlu.data.readers.order import Box, reading_order


@pytest.mark.parametrize(
    ("boxes", "order"),
    [
        ([(5, 2, 8, 4), (1, 2, 4, 4)], [1, 0]),
        ([(0, 0, 10, 1), (5, 2, 9, 9), (0, 2, 4, 9)], [0, 2, 1]),
        ([(0, 0, 4, 1), (6, 0, 10, 1), (0, 1, 4, 9), (6, 1, 10, 9)], [0, 2, 1, 3]),
        ([(0, 0, 4, 2), (5, 0, 9, 2), (0, 5, 4, 7), (5, 5, 9, 7)], [0, 1, 2, 3]),
        ([(0, 0, 4, 2), (5, 0.2, 9, 2), (0, 5, 4, 7), (5, 4.8, 9, 7)], [0, 1, 2, 3]),
        ([(1, 1, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1)], [0, 1, 2]),
    ],
)
def test_reading_order(boxes, order):
    assert reading_order([Box(*box) for box in boxes]) == order


@given(st.lists(st.tuples(*[st.integers(0, 9)] * 4), max_size=12))
def test_every_box_is_read_once(corners):
    boxes = [Box(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners]
    assert sorted(reading_order(boxes)) == list(range(len(boxes)))
