"""The one training loop. What is learnt is a loss handed in; how it is learnt is here.

A step takes `batch_size` examples, lays them out in micro-batches of at most `micro_tokens` tokens, adds up the
gradients and divides by the step's trained tokens, so that one large batch and many small ones are the same step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from danlu.registry import Settings
from danlu.track import Track
from danlu.train.pack import Encoded, Packed, epoch_order, micro_batches, pack

if TYPE_CHECKING:
    import torch

Loss = Callable[[Any, Packed], "torch.Tensor"]


class LoopSettings(Settings):
    """How a model is trained, whatever it learns."""

    epochs: float = Field(2.0, gt=0)
    """Passes over the training examples; a fraction stops within a pass."""
    batch_size: int = Field(8, ge=1)
    """Examples in one optimizer step."""
    micro_tokens: int = Field(2048, ge=1)
    """Most tokens in one forward pass; bounds the memory and changes nothing else."""
    learning_rate: float = Field(5e-4, gt=0)
    """Highest learning rate of AdamW."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls after the warm-up."""
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay of AdamW."""
    clip: float = Field(1.0, gt=0)
    """Largest gradient norm; larger gradients are scaled down to it."""
    shuffle: bool = True
    """Draw a new order of the examples for each epoch."""
    checkpoint_every: int = Field(20, ge=1)
    """Optimizer steps between two checkpoints."""
    seed: int = 0
    """Seed of the adapter's start, the order and the dropout."""


@dataclass
class History:
    """The curve of a run: one row for each optimizer step, and what was spent."""

    rows: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def tokens(self) -> int:
        return int(sum(row["tokens"] for row in self.rows))

    @property
    def trained(self) -> int:
        return int(sum(row["trained"] for row in self.rows))


def plan_steps(count: int, settings: LoopSettings) -> list[list[int]]:
    """The examples of every optimizer step of the run, as places in the training set."""
    total = max(1, round(count * settings.epochs))
    places: list[int] = []
    epoch = 0
    while len(places) < total:
        places.extend(epoch_order(count, settings.seed, epoch, settings.shuffle))
        epoch += 1
    del places[total:]
    size = settings.batch_size
    return [places[start : start + size] for start in range(0, total, size)]


def optimizer_for(model: Any, settings: LoopSettings, steps: int) -> tuple[torch.optim.Optimizer, Any]:
    """AdamW and its learning-rate schedule over `steps` (transformers' own, so that curves compare)."""
    import torch
    from transformers import get_scheduler

    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    name = "constant_with_warmup" if settings.schedule == "constant" else settings.schedule
    warmup = math.ceil(settings.warmup * steps)
    return optimizer, get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=steps)


def train(
    model: Any,
    examples: Sequence[Encoded],
    loss: Loss,
    settings: LoopSettings,
    work: Path,
    track: Track,
    name: str = "train",
) -> History:
    """Train the parameters of `model` that require a gradient, in place; resumes from `work` when it can.

    With other programs on the machine, it uses as many threads as there are cores for it (`danlu.model.threads`); the
    last bits of a sum may depend on their number.

    Metrics go to `track` as `name.loss` (nats per trained token), `name.learning_rate` and `name.gradient_norm`.
    """
    import time

    import torch

    from danlu.model.threads import Load
    from danlu.train import checkpoint

    steps = plan_steps(len(examples), settings)
    optimizer, schedule = optimizer_for(model, settings, len(steps))
    history = History()
    state = checkpoint.load(work, model, optimizer)
    if state is not None:
        history = History(state["rows"], state["seconds"])
        schedule.load_state_dict(state["schedule"])
        for group, rate in zip(optimizer.param_groups, state["rates"], strict=True):
            group["lr"] = rate
        track.note(f"  resuming {name} at step {len(history.rows)} of {len(steps)}")
    model.train()
    sizes = [sum(len(examples[place].ids) for place in step) for step in steps]
    bar = track.bar(name, sum(sizes), "token")
    bar.update(sum(sizes[: len(history.rows)]))
    load, given = Load(torch.get_num_threads()), torch.get_num_threads()
    began = time.monotonic() - history.seconds
    for number in range(len(history.rows), len(steps)):
        row = _step(model, [examples[place] for place in steps[number]], loss, settings, optimizer)
        if load.follow() != torch.get_num_threads():
            torch.set_num_threads(load.threads)
        row["learning_rate"] = schedule.get_last_lr()[0]
        schedule.step()
        history.rows.append(row)
        history.seconds = time.monotonic() - began
        for key in ("loss", "learning_rate", "gradient_norm"):
            track.metric(f"{name}.{key}", row[key], number + 1)
        bar.update(sizes[number])
        if (number + 1) % settings.checkpoint_every == 0 and number + 1 < len(steps):
            rest = {
                "rows": history.rows,
                "seconds": history.seconds,
                "schedule": _plain(schedule.state_dict()),
                "rates": [group["lr"] for group in optimizer.param_groups],
            }
            checkpoint.save(work, number + 1, model, optimizer, rest)
    bar.close()
    torch.set_num_threads(given)
    model.eval()
    return history


def _step(
    model: Any,
    batch: Sequence[Encoded],
    loss: Loss,
    settings: LoopSettings,
    optimizer: torch.optim.Optimizer,
) -> dict[str, float]:
    """One optimizer step over `batch`; returns its row of the curve."""
    import torch

    trained = sum(example.weight for example in batch)
    device = next(model.parameters()).device.type
    total = 0.0
    for group in micro_batches([len(example.ids) for example in batch], settings.micro_tokens):
        packed = pack([batch[place] for place in group], device)
        summed = loss(model, packed)
        (summed / trained).backward()
        total += float(summed.detach())
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    norm = float(torch.nn.utils.clip_grad_norm_(parameters, settings.clip))
    if not math.isfinite(norm):
        from danlu.errors import ModelError

        raise ModelError(
            f"the gradient is {norm}: training has diverged",
            next="lower learning_rate, for instance by --set STEP.learning_rate=1e-4",
        )
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return {
        "loss": total / trained,
        "gradient_norm": norm,
        "tokens": float(sum(len(example.ids) for example in batch)),
        "trained": float(trained),
    }


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """The part of a scheduler's state that JSON can hold: counters and rates, not the functions."""
    return {key: value for key, value in state.items() if key != "lr_lambdas"} | {"lr_lambdas": [None]}
