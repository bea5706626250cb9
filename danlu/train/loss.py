"""Cross-entropy at the trained positions only.

With a vocabulary of 262,144 the output head costs more than the rest of a small model, and most positions of a
conversation are prompt. So the head sees the trained positions alone, a slice at a time, and its gradient is worked
out in the same pass as the loss (the idea of Liger Kernel's fused linear cross-entropy, Hsu et al. 2024,
arXiv:2410.10989): the logits are never stored and never computed twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from danlu.errors import ModelError
from danlu.model.head import SLICE, parts

if TYPE_CHECKING:
    import torch

    from danlu.train.pack import Packed


def head_loss(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Sum over rows of -log softmax(hidden @ weight.T)[target], in nats.

    hidden: [m, d], weight: [vocab, d] (frozen: it gets no gradient), targets: int64 [m] → scalar.
    """
    import torch

    class HeadLoss(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            total = hidden.new_zeros((), dtype=torch.float64)
            gradient = torch.empty_like(hidden)
            for start in range(0, len(hidden), SLICE):
                rows = slice(start, min(start + SLICE, len(hidden)))
                total += _slice_loss(hidden[rows], weight, targets[rows], gradient[rows])
            ctx.save_for_backward(gradient)
            return total.to(hidden.dtype)

        @staticmethod
        def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor, None, None]:
            (gradient,) = ctx.saved_tensors
            return gradient * upstream, None, None

    return HeadLoss.apply(hidden, weight, targets)  # type: ignore[no-any-return, no-untyped-call]


def _slice_loss(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, gradient: torch.Tensor
) -> torch.Tensor:
    """The summed loss of one slice; writes d loss / d hidden into `gradient`.

    log-sum-exp comes from the largest logit and the largest probability, which softmax has already worked out: the
    largest of n probabilities is at least 1/n, so its logarithm never underflows.
    """
    import torch

    logits = hidden @ weight.T
    rows = torch.arange(len(targets), device=targets.device)
    picked = logits[rows, targets]
    top = logits.amax(-1)
    probabilities = torch.softmax(logits, -1)
    del logits
    log_sum = top - probabilities.amax(-1).log()
    probabilities[rows, targets] -= 1
    torch.mm(probabilities, weight, out=gradient)
    return (log_sum - picked).double().sum()


def completion_loss(model: Any, packed: Packed) -> torch.Tensor:
    """The summed loss of a micro-batch, in nats; divide by the trained tokens of the whole optimizer step."""
    backbone, head = parts(model)
    hidden = backbone(
        input_ids=packed.ids, position_ids=packed.positions, bounds=packed.bounds, use_cache=False
    ).last_hidden_state
    return head_loss(hidden[0, packed.index], head.weight, packed.targets)


def check_head(model: Any, packed: Packed) -> float:
    """Compare `completion_loss` with the model's own logits, once, before training: relative difference.

    Raises ModelError when they differ, which says that the model does more behind its backbone than one plain matrix
    product (soft-capped or scaled logits, a bias), as Gemma 2, Cohere and Granite do: not covered.
    """
    import torch

    with torch.no_grad():
        ours = completion_loss(model, packed)
        logits = model(
            input_ids=packed.ids,
            position_ids=packed.positions,
            bounds=packed.bounds,
            use_cache=False,
            logits_to_keep=packed.index,
        ).logits[0]
        theirs = torch.nn.functional.cross_entropy(logits.float(), packed.targets, reduction="sum")
    difference = float((ours - theirs).abs() / theirs.abs().clamp(min=1e-9))
    if difference > 1e-3:
        raise ModelError(
            f"the model's own loss is {float(theirs):.4f} and ours {float(ours):.4f}: its output head is not one plain "
            "matrix product, which this trainer needs",
            where=type(model).__name__,
            next="danlu model ls names models that work",
        )
    return difference
