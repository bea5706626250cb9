"""The lineage of a run as an SVG picture: layers from the sources down, long lines led around the boxes.

Layered drawing after Sugiyama, Tagawa and Toda (1981): longest-path layers, a dummy in each layer that a line crosses,
barycentre sweeps for the order within a layer, and least squares for the places. Meant for tens of steps; crossings
are reduced, not minimal.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y, DUMMY_WIDTH = 168.0, 46.0, 20.0, 34.0, 2.0
SWEEPS = 12


@dataclass(frozen=True)
class Node:
    """A box: `style` is its CSS class, `link` where a click leads."""

    key: str
    title: str
    note: str
    style: str
    link: str = ""


def draw(nodes: Sequence[Node], edges: Sequence[tuple[str, str]]) -> str:
    """The SVG text; `edges` lead from what was read to who read it and have no cycle."""
    layers, chains = _layers(nodes, edges)
    _order(layers, chains)
    places, width = _place(layers, chains)
    height = len(layers) * (BOX_HEIGHT + GAP_Y) - GAP_Y + 8
    lines = [_line([places[key] for key in chain]) for chain in chains]
    boxes = [_box(node, *places[node.key]) for node in nodes]
    return (
        f'<svg class="graph" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img" '
        f'aria-label="lineage graph">{"".join(lines)}{"".join(boxes)}</svg>'
    )


def _layers(nodes: Sequence[Node], edges: Sequence[tuple[str, str]]) -> tuple[list[list[str]], list[list[str]]]:
    """The keys of each layer, dummies included, and each edge as the chain of keys that it runs through."""
    parents: dict[str, list[str]] = {node.key: [] for node in nodes}
    children: dict[str, list[str]] = {node.key: [] for node in nodes}
    for start, end in edges:
        parents[end].append(start)
        children[start].append(end)
    depth: dict[str, int] = {}

    def level(key: str) -> int:
        if key not in depth:
            depth[key] = max((level(parent) + 1 for parent in parents[key]), default=0)
        return depth[key]

    for node in nodes:
        level(node.key)
    for node in nodes:  # a source stands right above its first reader
        if not parents[node.key] and children[node.key]:
            depth[node.key] = min(depth[child] for child in children[node.key]) - 1
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=0) + 1)]
    for node in nodes:
        layers[depth[node.key]].append(node.key)
    chains = []
    for number, (start, end) in enumerate(edges):
        between = [f"\0{number}.{layer}" for layer in range(depth[start] + 1, depth[end])]
        for layer, key in enumerate(between, depth[start] + 1):
            layers[layer].append(key)
        chains.append([start, *between, end])
    return layers, chains


def _order(layers: list[list[str]], chains: list[list[str]]) -> None:
    """Sort each layer by the mean place of its neighbours, down and up in turn."""
    above: Mapping[str, list[str]] = {key: [] for layer in layers for key in layer}
    below: Mapping[str, list[str]] = {key: [] for layer in layers for key in layer}
    for chain in chains:
        for first, second in itertools.pairwise(chain):
            below[first].append(second)
            above[second].append(first)
    for sweep in range(SWEEPS):
        neighbours = above if sweep % 2 == 0 else below
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            at = {key: (i + 0.5) / len(row) for row in layers for i, key in enumerate(row)}
            means = {
                key: sum(at[n] for n in neighbours[key]) / len(neighbours[key]) if neighbours[key] else at[key]
                for key in layer
            }
            layer.sort(key=lambda key: means[key])


def _place(layers: list[list[str]], chains: list[list[str]]) -> tuple[dict[str, tuple[float, float]], float]:
    """The top middle of each box, near the mean of its neighbours; and the width of the picture."""
    near: dict[str, list[str]] = {key: [] for layer in layers for key in layer}
    for chain in chains:
        for first, second in itertools.pairwise(chain):
            near[first].append(second)
            near[second].append(first)
    x = {key: (i - (len(layer) - 1) / 2) * BOX_WIDTH for layer in layers for i, key in enumerate(layer)}
    for sweep in range(4 * SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wanted = [sum(x[n] for n in near[key]) / len(near[key]) if near[key] else x[key] for key in layer]
            gaps = [(_wide(one) + _wide(two)) / 2 + GAP_X for one, two in itertools.pairwise(layer)]
            x.update(zip(layer, _apart(wanted, gaps), strict=True))
    left = min((x[key] - _wide(key) / 2 for key in x), default=0.0) - 4
    right = max((x[key] + _wide(key) / 2 for key in x), default=0.0) + 4
    rows = {key: 4 + number * (BOX_HEIGHT + GAP_Y) for number, layer in enumerate(layers) for key in layer}
    return {key: (x[key] - left, rows[key]) for key in x}, right - left


def _wide(key: str) -> float:
    return DUMMY_WIDTH if key.startswith("\0") else BOX_WIDTH


def _apart(wanted: list[float], gaps: list[float]) -> list[float]:
    """The places closest to `wanted` (least squares) that keep their order and at least `gaps` between them."""
    offsets = list(itertools.accumulate(gaps, initial=0.0))
    blocks: list[tuple[float, int]] = []
    for place, offset in zip(wanted, offsets, strict=True):
        blocks.append((place - offset, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (second, n), (first, m) = blocks.pop(), blocks.pop()
            blocks.append(((first * m + second * n) / (m + n), m + n))
    flat = [mean for mean, count in blocks for _ in range(count)]
    return [mean + offset for mean, offset in zip(flat, offsets, strict=True)]


def _line(points: list[tuple[float, float]]) -> str:
    path = ""
    for (x1, y1), (x2, y2) in itertools.pairwise(points):
        top, middle = y1 + BOX_HEIGHT, y1 + BOX_HEIGHT + GAP_Y / 2
        start = f"M{x1:.1f} {top:.1f}" if not path else f"L{x1:.1f} {top:.1f}"
        path += f"{start}C{x1:.1f} {middle:.1f} {x2:.1f} {middle:.1f} {x2:.1f} {y2:.1f}"
    return f'<path class="line" d="{path}"/>'


def _box(node: Node, x: float, y: float) -> str:
    left = x - BOX_WIDTH / 2
    box = (
        f'<g class="box {node.style}"><title>{escape(node.title)} — {escape(node.note)}</title>'
        f'<rect x="{left:.1f}" y="{y:.1f}" width="{BOX_WIDTH:.0f}" height="{BOX_HEIGHT:.0f}" rx="8"/>'
        f'<text class="name" x="{x:.1f}" y="{y + 19:.1f}">{escape(_fit(node.title, 22))}</text>'
        f'<text class="note" x="{x:.1f}" y="{y + 36:.1f}">{escape(_fit(node.note, 28))}</text></g>'
    )
    return f'<a href="{escape(node.link)}">{box}</a>' if node.link else box


def _fit(text: str, room: int) -> str:
    """Shortened to `room` half-width columns."""
    used = 0
    for index, character in enumerate(text):
        used += 2 if ord(character) > 0x2E7F else 1
        if used > room:
            return text[: max(index - 1, 0)] + "…"
    return text
