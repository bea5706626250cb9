"""Attention over packed sequences: each attends to itself alone, so packing changes no result and wastes no work.

transformers hands attention to a named function; `install` registers ours, which cuts the row at the borders of the
sequences and calls PyTorch's scaled_dot_product_attention on each piece. On a CPU this does less work than one call
with a block-diagonal mask, whose cost grows with the square of the whole row, and than padding.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from danlu.errors import ModelError

if TYPE_CHECKING:
    import torch

NAME = "danlu_packed"


def packed_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    bounds: tuple[int, ...],
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """query: [1, heads, T, d]; key, value: [1, key heads, T, d] → ([1, T, heads, d], None).

    Causal inside each of the sequences that `bounds` delimits. ModelError for soft-capped attention logits (Gemma 2),
    which are not covered.
    """
    import torch

    if softcap is not None:
        raise ModelError(
            "this model soft-caps its attention logits, which packed training does not cover",
            where=type(module).__name__,
            next="danlu model ls names models that work",
        )
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (t.repeat_interleave(groups, dim=1) for t in (key, value))
    pieces = [
        _causal(query[:, :, a:b], key[:, :, a:b], value[:, :, a:b], dropout, scaling, sliding_window)
        for a, b in itertools.pairwise(bounds)
    ]
    return torch.cat(pieces, dim=2).transpose(1, 2), None


def _causal(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    dropout: float,
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    from torch.nn.functional import scaled_dot_product_attention as attend

    length = query.shape[2]
    if window is None or length <= window:
        return attend(query, key, value, dropout_p=dropout, is_causal=True, scale=scaling)
    import torch

    place = torch.arange(length, device=query.device)
    distance = place[:, None] - place[None, :]
    return attend(query, key, value, (distance >= 0) & (distance < window), dropout_p=dropout, scale=scaling)


def install(model: Any) -> None:
    """Make `model` (a transformers model) use packed attention; its forward then needs `bounds`."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, lambda *args, **kwargs: None)
    model.config._attn_implementation = NAME
