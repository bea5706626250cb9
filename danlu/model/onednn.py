"""float32 matrix products through oneDNN, which PyTorch carries beside MKL: on processors that MKL does not know well
(AMD's) they take two thirds of the time or less. The numbers are the same up to float32's rounding."""

from __future__ import annotations

import functools
from typing import Any


def available() -> bool:
    """Whether this PyTorch has the operation and it multiplies matrices rightly."""
    import torch

    has = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not (has and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return False
    chance = torch.Generator().manual_seed(0)
    x, weight = torch.randn(5, 48, generator=chance), torch.randn(33, 48, generator=chance)
    try:
        found = product(x, weight, None)
    except (RuntimeError, TypeError):  # another signature in another version
        return False
    return torch.allclose(found, torch.nn.functional.linear(x, weight), rtol=1e-4, atol=1e-4)


def product(x: Any, weight: Any, bias: Any) -> Any:
    """x @ weight.T + bias: x [..., k], weight [n, k], bias [n] or None → [..., n], all float32 on a CPU."""
    import torch

    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def install(model: Any) -> int:
    """Let each plain float32 linear layer of a model on a CPU compute that way; how many do."""
    import torch

    layers = [
        module
        for module in model.modules()
        if type(module) is torch.nn.Linear
        and module.weight.dtype == torch.float32
        and module.weight.device.type == "cpu"
    ]
    for module in layers:
        module.__class__ = _layer()
    return len(layers)


def used_by(module: Any) -> bool:
    return type(module) is _layer()


@functools.cache
def _layer() -> type[Any]:
    import torch

    class OneDnnLinear(torch.nn.Linear):
        def forward(self, input: Any) -> Any:
            return product(input, self.weight, self.bias)

    return OneDnnLinear
