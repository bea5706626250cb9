"""Tokens a second of fine-tuning on a quiet machine and beside busy programs, in turns.

    python bench/threads.py                     three turns of 20 seconds each, one busy program
    python bench/threads.py --busy 2 --turns 5  two of them
    python bench/threads.py --spin              … with threads that spin when they wait, as OpenMP has it by default

Each turn is a process of its own that trains an adapter on a random model of about 50 million parameters (Gemma 3's
shape, 8 layers) with `danlu.train.loop`. What else runs on the machine is told beside each figure (load average).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

BUSY = "while True: pass"


def turn(seconds: float) -> float:
    """Tokens a second of the training loop, the first quarter of the steps (warming up, adapting) left out."""
    import random
    import tempfile
    from pathlib import Path

    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    from danlu.track import Track
    from danlu.train.loop import LoopSettings, train
    from danlu.train.loss import completion_loss
    from danlu.train.pack import Encoded
    from danlu.train.sft import SftSettings, adapted

    torch.manual_seed(0)
    shape = {"hidden_size": 640, "intermediate_size": 2048, "num_hidden_layers": 8, "num_attention_heads": 4}
    config = Gemma3TextConfig(vocab_size=32768, head_dim=256, num_key_value_heads=1, **shape)
    model = adapted(Gemma3ForCausalLM(config), SftSettings(model="random", data="random"))
    draw = random.Random(0)
    examples = [Encoded([draw.randrange(5, 32768) for _ in range(64)], [k > 32 for k in range(64)]) for _ in range(64)]
    began, done = time.monotonic(), []

    class Enough(Exception):
        pass

    class Watch(Track):
        def metric(self, name: str, value: float, at: int | None = None) -> None:
            if name.endswith(".loss"):
                done.append(time.monotonic())
                if done[-1] - began > seconds and len(done) >= 8:
                    raise Enough

    try:
        with tempfile.TemporaryDirectory() as work:
            settings = LoopSettings(epochs=10_000, batch_size=2, checkpoint_every=10**6)
            began = time.monotonic()
            train(model, examples, completion_loss, settings, Path(work), Watch(quiet=True))
    except Enough:
        pass
    counted = done[len(done) // 4 :]
    return 128 * (len(counted) - 1) / (counted[-1] - counted[0])


def measured(seconds: float, busy: int, spin: bool) -> float:
    """One turn beside `busy` programs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    if not spin:
        environment |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(busy)]
    try:
        command = [sys.executable, __file__, "--turn", str(seconds)]
        return float(json.loads(subprocess.run(command, env=environment, capture_output=True, check=True).stdout))
    finally:
        for other in others:
            other.kill()
            other.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", type=int, default=1, help="busy programs beside (1)")
    parser.add_argument("--turns", type=int, default=3, help="turns, quiet and beside in each (3)")
    parser.add_argument("--seconds", type=float, default=20, help="seconds of each (20)")
    parser.add_argument("--spin", action="store_true", help="let threads spin when they wait")
    parser.add_argument("--turn", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.turn:
        print(json.dumps(turn(args.turn)))
        return
    ratios = []
    print(f"{os.cpu_count()} cores, {args.busy} busy beside; threads {'spin' if args.spin else 'sleep'} when they wait")
    for number in range(args.turns):
        load = os.getloadavg()[0]
        quiet, beside = (measured(args.seconds, count, args.spin) for count in (0, args.busy))
        ratios.append(beside / quiet)
        print(
            f"turn {number + 1}: {quiet:6.1f} tokens/s quiet, {beside:6.1f} beside ({ratios[-1]:.0%}); load {load:.1f}"
        )
    print(f"median {statistics.median(ratios):.0%}, lowest {min(ratios):.0%}")


if __name__ == "__main__":
    main()
