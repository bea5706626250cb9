"""eval.parity: the gate between training and serving. Adapter = merged = every GGUF, within bounds, on held-out text.

Compared are the next-token distributions at every position of held-out conversations: the share of positions with the
same most probable token, and the mean Kullback-Leibler divergence KL(merged ‖ other) in nats. The tokens are compared
too: what training rendered must be what llama.cpp reads from the same conversation, with the template inside the GGUF.
Not covered: sampling, long contexts, other processors than this one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from danlu.artifact import Artifact, Draft
from danlu.errors import DataError, GateError, ModelError
from danlu.model.head import SLICE
from danlu.records import Example, read_jsonl
from danlu.registry import From, Settings, Step
from danlu.track import Track

if TYPE_CHECKING:
    import torch


class Bound(Settings):
    """What one comparison must keep."""

    top1: float = Field(ge=0, le=1)
    """Smallest share of positions with the same most probable token."""
    kl: float = Field(gt=0)
    """Largest mean KL divergence from the merged model, in nats."""


DEFAULT_BOUNDS = {
    "adapter": Bound(top1=0.999, kl=1e-5),
    "f32": Bound(top1=0.995, kl=1e-3),
    "f16": Bound(top1=0.99, kl=1e-3),
    "bf16": Bound(top1=0.98, kl=5e-3),
    "q8_0": Bound(top1=0.98, kl=0.01),
    "q6_k": Bound(top1=0.95, kl=0.03),
    "q5_k_m": Bound(top1=0.90, kl=0.08),
    "q4_k_m": Bound(top1=0.80, kl=0.3),
}


class ParitySettings(Settings):
    adapter: Annotated[str, From("adapter")]
    """The step that trained the adapter."""
    merged: Annotated[str, From("model")]
    """The step that merged it; the reference of every comparison."""
    gguf: Annotated[str, From("gguf")]
    """The step that exported and quantized it."""
    data: Annotated[str, From("split")]
    """The held-out conversations to compare on."""
    tokens: int = Field(1200, ge=50)
    """How many tokens to compare at, in whole conversations."""
    bounds: dict[str, Bound] = Field(default_factory=dict)
    """Bounds by name (adapter, or a GGUF format) that replace the defaults; a format without one must be given one."""


class Parity(Step[ParitySettings]):
    """Stop the run when adapter, merged model and GGUF files do not say the same."""

    Settings: ClassVar[type[ParitySettings]] = ParitySettings
    makes: ClassVar[str] = "parity"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        from danlu.model import load

        files: dict[str, str] = json.loads(inputs["gguf"].file("formats.json").read_text(encoding="utf-8"))
        bounds = DEFAULT_BOUNDS | self.settings.bounds
        for name in files:
            if name not in bounds:
                raise DataError(
                    f"no parity bound for the format {name}", next=f"add bounds: {{{name}: …}} to this step"
                )
        tokenizer = load.load_tokenizer(inputs["merged"].path)
        examples = list(read_jsonl(inputs["data"].file("test.jsonl"), Example))
        if not examples:
            raise DataError("no held-out conversation to compare on", where=str(inputs["data"].path))
        sequences = chosen(tokenizer, examples, self.settings.tokens)
        same_tokens(tokenizer, inputs["gguf"], files, [example for example, _ in sequences])
        models = {"merged": inputs["merged"], "adapter": inputs["adapter"]}
        results = compare(models, inputs["gguf"], files, [ids for _, ids in sequences], track)
        report(out, results, bounds, f"{len(sequences)} of {len(examples)} held-out conversations")


def chosen(tokenizer: Any, examples: Sequence[Example], tokens: int) -> list[tuple[Example, list[int]]]:
    """Whole conversations, in order, until there are `tokens` tokens."""
    from danlu.model import template

    taken: list[tuple[Example, list[int]]] = []
    for example in examples:
        if sum(len(ids) for _, ids in taken) >= tokens:
            break
        taken.append((example, template.encode(tokenizer, example.messages)[0]))
    return taken


def same_tokens(tokenizer: Any, gguf: Artifact, files: Mapping[str, str], examples: Sequence[Example]) -> None:
    """The template inside the GGUF is the one trained with, and llama.cpp reads its text as the same tokens."""
    from danlu.model import template
    from danlu.model.llama import LlamaLogits

    for name in files.values():
        path = gguf.file(name)
        with LlamaLogits(path, n_ctx=0) as vocabulary:
            if vocabulary.metadata("tokenizer.chat_template") != tokenizer.chat_template:
                raise GateError("the GGUF carries another chat template than the one trained with", {}, where=str(path))
            for example in examples:
                prompt = example.messages[:-1]
                ours = template.render(tokenizer, prompt, answer=True)
                theirs = vocabulary.tokenize(template.text(tokenizer, prompt, answer=True), special=True)
                if ours != theirs:
                    at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), len(ours))
                    raise GateError(
                        f"example {example.id} is other tokens when served, from token {at}: "
                        f"{ours[at : at + 4]} became {theirs[at : at + 4]}",
                        {},
                        where=str(path),
                    )


def compare(
    models: Mapping[str, Artifact],
    gguf: Artifact,
    files: Mapping[str, str],
    sequences: Sequence[list[int]],
    track: Track,
) -> dict[str, dict[str, float]]:
    """Agreement of the adapter and of each GGUF file with the merged model: name → {top1, kl, n}."""
    from contextlib import ExitStack

    import torch

    from danlu.model import load
    from danlu.model.llama import LlamaLogits

    longest = max(map(len, sequences))
    reference = load.load_model(models["merged"].path)
    unmerged = load.load_model(models["adapter"].path)
    sums: dict[str, list[float]] = {}
    with ExitStack() as stack:
        opened = {name: stack.enter_context(LlamaLogits(gguf.file(f), n_ctx=longest)) for name, f in files.items()}
        bar = track.bar("parity", sum(map(len, sequences)), "token")
        for ids in sequences:
            merged = _logits(reference, ids)
            _add(sums, "adapter", merged, _logits(unmerged, ids))
            for name, model in opened.items():
                _add(sums, name, merged, torch.from_numpy(model.logits(ids)))
            bar.update(len(ids))
        bar.close()
    return {name: {"top1": same / n, "kl": kl / n, "n": int(n)} for name, (same, kl, n) in sums.items()}


def _logits(model: Any, ids: list[int]) -> torch.Tensor:
    import torch

    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    return logits.float()


def _add(sums: dict[str, list[float]], name: str, reference: torch.Tensor, other: torch.Tensor) -> None:
    """Add to sums[name]: positions with the same most probable token, KL in nats, positions.

    reference, other: logits [tokens, vocabulary], worked on a slice of rows at a time.
    """
    import torch

    if other.shape != reference.shape:
        raise ModelError(f"{name} has {other.shape[1]} tokens in its vocabulary, the model {reference.shape[1]}")
    total = sums.setdefault(name, [0.0, 0.0, 0.0])
    for p, q in zip(torch.split(reference, SLICE), torch.split(other, SLICE), strict=True):
        total[0] += float((p.argmax(-1) == q.argmax(-1)).sum())
        p, q = torch.log_softmax(p, -1), torch.log_softmax(q, -1)
        total[1] += float((p.exp() * (p - q)).sum(dtype=torch.float64))
        total[2] += len(p)


def report(
    out: Draft, results: Mapping[str, Mapping[str, float]], bounds: Mapping[str, Bound], measured_on: str
) -> None:
    """Write parity.json and the table; GateError with all the figures when one is out of bounds."""
    rows: list[list[Any]] = []
    broken: list[str] = []
    figures: dict[str, float] = {}
    for name, found in results.items():
        bound = bounds[name]
        error = math.sqrt(found["top1"] * (1 - found["top1"]) / found["n"])
        good = found["top1"] >= bound.top1 and found["kl"] <= bound.kl
        share = f"{found['top1']:.2%} ± {error:.2%}"
        rows.append(
            [
                name,
                share,
                f"≥ {bound.top1:.2%}",
                f"{found['kl']:.2e}",
                f"≤ {bound.kl:.2e}",
                found["n"],
                "ok" if good else "broken",
            ]
        )
        figures |= {f"{name}.top1": found["top1"], f"{name}.kl": found["kl"]}
        broken += [] if good else [f"{name} (top-1 {found['top1']:.2%}, KL {found['kl']:.2e})"]
    out.table(
        f"Parity with the merged model on {measured_on}",
        ["compared", "same top-1 token", "bound", "KL, nats", "bound", "tokens", ""],
        rows,
    )
    out.file("parity.json").write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    out.metrics |= figures
    if broken:
        raise GateError(
            f"parity is broken: {', '.join(broken)}",
            figures,
            next="look at the figures; set this step's bounds if they are what you want",
        )
