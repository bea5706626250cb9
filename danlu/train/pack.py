"""Examples → micro-batches: sequences laid end to end, with no padding and no attention across their borders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Encoded:
    """One example as tokens: `trained[i]` says whether the model learns to predict `ids[i]`."""

    ids: list[int]
    trained: list[bool]

    @property
    def weight(self) -> int:
        """How many tokens are learnt; the first token of a sequence has nothing before it and never is."""
        return sum(self.trained[1:])


@dataclass(frozen=True)
class Packed:
    """Several sequences in one row of T tokens.

    ids, positions: int64 [1, T]; positions start again at 0 with each sequence.
    bounds: where each sequence starts, and T at the end.
    index: int64 [m], the places whose hidden state predicts a trained token; targets: int64 [m], those tokens.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    bounds: tuple[int, ...]
    index: torch.Tensor
    targets: torch.Tensor


def pack(examples: Sequence[Encoded], device: str = "cpu") -> Packed:
    """Lay `examples` end to end. The order is kept; nothing is cut."""
    import torch

    ids: list[int] = []
    positions: list[int] = []
    index: list[int] = []
    targets: list[int] = []
    bounds = [0]
    for example in examples:
        start = len(ids)
        ids.extend(example.ids)
        positions.extend(range(len(example.ids)))
        learnt = [i for i, trained in enumerate(example.trained) if trained and i > 0]
        index.extend(start + i - 1 for i in learnt)
        targets.extend(example.ids[i] for i in learnt)
        bounds.append(len(ids))

    def row(values: list[int]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.int64, device=device)

    return Packed(row(ids)[None], row(positions)[None], tuple(bounds), row(index), row(targets))


def epoch_order(count: int, seed: int, epoch: int, shuffle: bool = True) -> list[int]:
    """The order of `count` examples in one epoch: a function of seed and epoch alone, so that a resumed run meets the
    same examples."""
    import random

    order = list(range(count))
    if shuffle:
        random.Random(f"{seed}:{epoch}").shuffle(order)
    return order


def micro_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Split consecutive sequences into groups of at most `budget` tokens; a longer one stands alone.

    >>> micro_batches([3, 3, 3, 9], 6)
    [[0, 1], [2], [3]]
    """
    groups: list[list[int]] = []
    used = 0
    for place, length in enumerate(lengths):
        if not groups or used + length > budget:
            groups.append([])
            used = 0
        groups[-1].append(place)
        used += length
    return groups
