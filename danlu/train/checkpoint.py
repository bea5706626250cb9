"""Exact checkpoints of a training run: resumed, it takes the same steps as one that was never stopped.

Tensors rest in safetensors, everything else in JSON; nothing is pickled. A checkpoint appears by one rename.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def save(folder: Path, step: int, model: Any, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Write checkpoint `step` under `folder` and remove the older ones. `state` is JSON for the caller's own use."""
    import torch
    from safetensors.torch import save_file

    aside, final = folder / f"aside-{step}", folder / f"step-{step:08d}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    tensors = {f"parameter.{name}": value.detach() for name, value in _trained(model)}
    tensors |= _moments(model, optimizer)
    tensors["random.cpu"] = torch.get_rng_state()
    save_file({name: value.contiguous() for name, value in tensors.items()}, aside / "tensors.safetensors")
    (aside / "state.json").write_text(json.dumps({"step": step, **state}), encoding="utf-8")
    for path in (aside / "tensors.safetensors", aside / "state.json", aside):
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
    if final.exists():
        shutil.rmtree(final)
    os.replace(aside, final)
    for old in sorted(folder.glob("step-*")):
        if old != final:
            shutil.rmtree(old, ignore_errors=True)


def load(folder: Path, model: Any, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
    """Restore the newest checkpoint into `model` and `optimizer`; returns its state, None when there is none."""
    import torch
    from safetensors.torch import load_file

    found = sorted(folder.glob("step-*"))
    if not found:
        return None
    tensors = load_file(found[-1] / "tensors.safetensors")
    state: dict[str, Any] = json.loads((found[-1] / "state.json").read_text(encoding="utf-8"))
    with torch.no_grad():
        for name, parameter in _trained(model):
            parameter.copy_(tensors[f"parameter.{name}"])
    for name, parameter in _trained(model):
        moments = {key: tensors[f"{key}.{name}"] for key in ("exp_avg", "exp_avg_sq", "step")}
        optimizer.state[parameter] = {
            key: value.to(parameter.device) if key != "step" else value for key, value in moments.items()
        }
    torch.set_rng_state(tensors["random.cpu"])
    return state


def _trained(model: Any) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


def _moments(model: Any, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    return {
        f"{key}.{name}": value
        for name, parameter in _trained(model)
        for key, value in optimizer.state[parameter].items()
    }
