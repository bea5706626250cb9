"""The order in which boxes on a page are read: cut at the widest gap, above before below, left before right.

The recursive X-Y cut (Nagy and Seth, 1984), with the widest gap first, so that a heading close above its text in the
left of two columns is read with that text. Not covered: boxes that overlap in a ring (then by top edge), right to left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Box(NamedTuple):
    """Edges in any one unit, y downwards."""

    left: float
    top: float
    right: float
    bottom: float


def reading_order(boxes: Sequence[Box]) -> list[int]:
    """The places of `boxes` in the order of reading."""
    return _ordered(boxes, sorted(range(len(boxes)), key=lambda at: (boxes[at].top, boxes[at].left)))


def _ordered(boxes: Sequence[Box], places: list[int]) -> list[int]:
    if len(places) < 2:
        return places
    cuts = [_widest([(boxes[at].top, boxes[at].bottom) for at in places])]
    cuts.append(_widest([(boxes[at].left, boxes[at].right) for at in places]))
    vertical = cuts[1][0] > cuts[0][0]
    gap, cut = cuts[vertical]
    if gap < 0:
        return places
    before = [at for at in places if (boxes[at].left if vertical else boxes[at].top) < cut]
    after = [at for at in places if (boxes[at].left if vertical else boxes[at].top) >= cut]
    return _ordered(boxes, before) + _ordered(boxes, after) if before and after else places


def _widest(spans: list[tuple[float, float]]) -> tuple[float, float]:
    """(width, end) of the widest gap between spans, a gap of nothing among them; width -1 where all overlap."""
    spans = sorted(spans)
    reach = spans[0][1]
    best = (-1.0, 0.0)
    for start, end in spans[1:]:
        if start >= reach and start - reach > best[0]:
            best = (start - reach, start)
        reach = max(reach, end)
    return best
