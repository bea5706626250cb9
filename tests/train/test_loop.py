from __future__ import annotations

import json

import pytest
import torch
from peft import LoraConfig, get_peft_model

from danlu.errors import ModelError
from danlu.track import Track
from danlu.train import checkpoint
from danlu.train.attention import install
from danlu.train.loop import LoopSettings, plan_steps, train
from danlu.train.loss import completion_loss

QUIET = Track(quiet=True)


def adapted(make, dropout: float = 0.0):
    model = make()
    install(model)
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=8, lora_dropout=dropout, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(model, config)


def weights(model) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def run(make, examples, work, dropout: float = 0.0, **changed):
    model = adapted(make, dropout)
    given = {"epochs": 2, "batch_size": 8, "learning_rate": 1e-2, "warmup": 0.1, "checkpoint_every": 2}
    history = train(model, examples, completion_loss, LoopSettings(**(given | changed)), work, QUIET)
    return weights(model), [row["loss"] for row in history.rows]


def reference_curve(make, examples, settings: LoopSettings) -> list[float]:
    """The same training written plainly: padded batches, the model's own loss, no packing, no code of ours but the
    order of the examples."""
    from transformers import get_linear_schedule_with_warmup

    model = make()
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(model, config).train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=0.0)
    steps = plan_steps(len(examples), settings)
    schedule = get_linear_schedule_with_warmup(optimizer, 0, len(steps))
    losses = []
    for step in steps:
        batch = [examples[place] for place in step]
        width = max(len(one.ids) for one in batch)
        pad = [width - len(one.ids) for one in batch]
        ids = torch.tensor([one.ids + [0] * n for one, n in zip(batch, pad, strict=True)])
        mask = torch.tensor([[1] * len(one.ids) + [0] * n for one, n in zip(batch, pad, strict=True)])
        learnt = torch.tensor([list(one.trained) + [False] * n for one, n in zip(batch, pad, strict=True)])
        loss = model(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(~learnt, -100)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, settings.clip)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        losses.append(loss.item())
    return losses


def test_the_curve_is_that_of_a_plain_loop(tiny, examples, tmp_path):
    settings = {"epochs": 4, "schedule": "linear", "warmup": 0.0, "learning_rate": 1e-2, "batch_size": 8}
    _, losses = run(tiny, examples, tmp_path, **settings)
    assert losses == pytest.approx(reference_curve(tiny, examples, LoopSettings(**settings)), rel=1e-3)
    assert losses[-1] < losses[0] - 0.1


def test_many_small_micro_batches_equal_one_large_batch(tiny, examples, tmp_path):
    large, a = run(tiny, examples, tmp_path / "a", micro_tokens=100_000)
    small, b = run(tiny, examples, tmp_path / "b", micro_tokens=1)
    assert a == pytest.approx(b, rel=1e-4)
    for name, value in large.items():
        torch.testing.assert_close(value, small[name], atol=2e-4, rtol=1e-2)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_killed_run_takes_the_same_steps(tiny, examples, tmp_path, monkeypatch, dropout):
    whole, curve = run(tiny, examples, tmp_path / "whole", dropout)
    saved, real = [], checkpoint.save

    def die_after_second(*args):
        real(*args)
        saved.append(args[1])
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", die_after_second)
    with pytest.raises(KeyboardInterrupt):
        run(tiny, examples, tmp_path / "cut", dropout)
    monkeypatch.setattr(checkpoint, "save", real)
    resumed, again = run(tiny, examples, tmp_path / "cut", dropout)
    assert again == curve
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_checkpoint_killed_while_written_is_not_read(tiny, examples, tmp_path):
    whole, _ = run(tiny, examples, tmp_path / "whole")
    half = tmp_path / "cut" / "aside-4"
    half.mkdir(parents=True)
    (half / "state.json").write_text("{")
    resumed, _ = run(tiny, examples, tmp_path / "cut")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_checkpoints_hold_no_pickle(tiny, examples, tmp_path):
    run(tiny, examples, tmp_path)
    files = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {".safetensors", ".json"}
    state = json.loads(next(tmp_path.rglob("state.json")).read_text())
    assert state["step"] == len(state["rows"])


def test_divergence_is_said_and_not_a_nan(tiny, examples, tmp_path):
    def infinite(model, packed):
        return completion_loss(model, packed) * float("inf")

    with pytest.raises(ModelError, match="diverged"):
        train(adapted(tiny), examples, infinite, LoopSettings(epochs=1), tmp_path, QUIET)


def test_steps_cover_the_epochs_exactly():
    steps = plan_steps(10, LoopSettings(epochs=1.5, batch_size=4))
    places = [place for step in steps for place in step]
    assert len(places) == 15
    assert sorted(places[:10]) == list(range(10))
    assert len(set(places[10:])) == 5
