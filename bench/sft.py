"""Supervised fine-tuning: tokens per second and peak memory of train.sft against TRL's SFTTrainer, in one run.

Both sides train the same LoRA adapter (same start) on the same pre-tokenized examples in the same order and batches, in
float32 on the same threads, without packing, dropout or gradient checkpointing (which would slow the peer down). Only
non-padding tokens are counted. `agreement` is the largest relative difference between the two loss curves.

    .venv/bin/pip install -e '.[bench]' && .venv/bin/python bench/sft.py
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sides import ROOT, answer, dispatch, finish, run_side

MODEL = "gemma-3-270m"


def build_examples(count: int) -> list[dict[str, Any]]:
    """Tokenized training examples of the tutor: the handbook through the data steps of recipes/tutor.yaml."""
    from danlu.artifact import Store
    from danlu.model import find, load
    from danlu.recipe.plan import make_plan
    from danlu.recipe.run import run
    from danlu.recipe.schema import read_recipe
    from danlu.recipe.tracking import tracker
    from danlu.records import Example, read_jsonl
    from danlu.track import Track
    from danlu.train.sft import encode

    plan = make_plan(read_recipe(ROOT / "recipes" / "tutor.yaml"))
    upto_split = [step.name for step in plan.steps].index("split") + 1
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        data = dataclasses.replace(plan, steps=plan.steps[:upto_split])
        made = run(data, store, Track(quiet=True), tracker("none", store)).artifacts["split"]
        examples = list(read_jsonl(made.file("train.jsonl"), Example))
    tokenizer = load.load_tokenizer(find.locate(MODEL, track=Track()))
    encoded, _ = encode(examples, tokenizer, max_tokens=1024)
    step = max(1, len(encoded) // count)
    chosen = encoded[::step][:count]
    return [{"input_ids": one.ids, "completion_mask": [int(t) for t in one.trained]} for one in chosen]


def adapted_model(threads: int) -> tuple[Any, Any]:
    import torch
    from peft import LoraConfig, get_peft_model

    from danlu.model import find, load

    torch.set_num_threads(threads)
    folder = find.locate(MODEL)
    model = load.load_model(folder)
    torch.manual_seed(0)
    config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(model, config), load.load_tokenizer(folder)


def ours(args: argparse.Namespace) -> None:
    from danlu.track import Track
    from danlu.train.attention import install
    from danlu.train.loop import LoopSettings, train
    from danlu.train.loss import completion_loss
    from danlu.train.pack import Encoded

    rows = json.loads(Path(args.data).read_text())
    examples = [Encoded(row["input_ids"], [bool(m) for m in row["completion_mask"]]) for row in rows]
    model, _ = adapted_model(args.threads)
    install(model.get_base_model())
    settings = LoopSettings(
        epochs=1, batch_size=args.batch, learning_rate=args.rate, schedule="linear", warmup=0, shuffle=False,
        micro_tokens=1 << 30, checkpoint_every=1 << 30,
    )  # fmt: skip
    began = time.perf_counter()
    history = train(model, examples, completion_loss, settings, Path(tempfile.mkdtemp()), Track(), "danlu")
    seconds = time.perf_counter() - began
    answer(args.answer, {"seconds": seconds, "losses": [row["loss"] for row in history.rows]} | _work(model, examples))


def theirs(args: argparse.Namespace) -> None:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    model, tokenizer = adapted_model(args.threads)
    settings = SFTConfig(
        output_dir=tempfile.mkdtemp(), num_train_epochs=1, per_device_train_batch_size=args.batch,
        learning_rate=args.rate, lr_scheduler_type="linear", warmup_steps=0, weight_decay=0.0, max_grad_norm=1.0,
        train_sampling_strategy="sequential", max_length=None, packing=False, completion_only_loss=True,
        gradient_checkpointing=False, bf16=False, use_cpu=True, logging_steps=1, save_strategy="no", report_to="none",
        dataloader_num_workers=0, disable_tqdm=False,
    )  # fmt: skip
    trainer = SFTTrainer(
        model=model, args=settings, train_dataset=Dataset.from_list(json.loads(Path(args.data).read_text())),
        processing_class=tokenizer,
    )  # fmt: skip
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    answer(args.answer, {"seconds": seconds, "losses": losses})


def _work(model: Any, examples: list[Any]) -> dict[str, float]:
    """Floating-point operations that the work needs (two a multiply-add; forward, and backward to the inputs), and the
    rate of a large float32 matrix product on the same threads, to compare with."""
    import torch

    head = model.get_base_model().get_output_embeddings().weight
    layers = sum(p.numel() for n, p in model.named_parameters() if n.endswith("base_layer.weight"))
    tokens = sum(len(example.ids) for example in examples)
    trained = sum(example.weight for example in examples)
    a, b = torch.randn(1024, 2048), torch.randn(2048, 8192)
    rates = []
    for _ in range(8):
        began = time.perf_counter()
        a @ b
        rates.append(2 * 1024 * 2048 * 8192 / (time.perf_counter() - began))
    return {"flop": 4.0 * (layers * tokens + head.numel() * trained), "peak_flop_per_second": max(rates)}


def both(args: argparse.Namespace) -> None:
    examples = build_examples(args.steps * args.batch)
    tokens = sum(len(row["input_ids"]) for row in examples)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "examples.json"
        data.write_text(json.dumps(examples))
        arguments = ["--data", str(data), "--batch", str(args.batch), "--rate", str(args.rate)]
        a = run_side(__file__, "ours", args.threads, arguments)
        b = run_side(__file__, "theirs", args.threads, arguments)
    differences = [abs(x - y) / y for x, y in zip(a["losses"], b["losses"], strict=True)]
    line = {
        "ratio": round(b["seconds"] / a["seconds"], 3),
        "memory_ratio": round(a["peak_memory"] / b["peak_memory"], 3),
        "agreement": round(max(differences), 6),
        "mfu": round(a["flop"] / a["seconds"] / a["peak_flop_per_second"], 3),
    }
    detail = {
        "tokens": tokens,
        "trained_tokens": sum(sum(row["completion_mask"]) for row in examples),
        "tokens_per_second": {"danlu": tokens / a["seconds"], "trl": tokens / b["seconds"]},
        "peak_memory": {"danlu": a["peak_memory"], "trl": b["peak_memory"]},
        "losses": {"danlu": a["losses"], "trl": b["losses"]},
        "batch": args.batch,
        "threads": args.threads,
    }
    finish("sft", line, detail, ["torch", "transformers", "peft", "trl"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6, help="optimizer steps (default 6)")
    parser.add_argument("--batch", type=int, default=8, help="examples in one step (default 8)")
    parser.add_argument("--rate", type=float, default=2e-4, help="learning rate at the start (default 2e-4)")
    parser.add_argument("--threads", type=int, default=2, help="threads of both sides (default 2)")
    parser.add_argument("--side", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    parser.add_argument("--answer", help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    args = parser.parse_args()
    dispatch(args.side, {"ours": lambda: ours(args), "theirs": lambda: theirs(args)}, lambda: both(args))


if __name__ == "__main__":
    sys.exit(main())
