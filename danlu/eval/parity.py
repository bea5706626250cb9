"""eval.parity: the gate between training and serving. Adapter = merged = every GGUF, within bounds, on held-out text.

Compared are the next-token distributions, on two texts. At every position of held-out conversations: the share with the
same most probable token, and the mean Kullback-Leibler divergence KL(merged ‖ other) in nats. And along the merged
model's own greedy answers to held-out prompts: the share of its tokens that the other would choose too, which is what a
user meets. Held-out text is the harder one: a small model hesitates there between near-equal tokens. A share breaks its
bound when it is more than two of its standard errors below it: which near-equal token wins differs by processor.

The tokens are compared too: what training rendered must be what llama.cpp reads from the same conversation, with the
template inside the GGUF.
Not covered: sampling, long contexts, other processors than this one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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

    answers: float = Field(0.0, ge=0, le=1)
    """Smallest share of the merged model's greedy answer tokens that are the other's choice too."""
    top1: float = Field(0.0, ge=0, le=1)
    """Smallest share of held-out positions with the same most probable token."""
    kl: float = Field(gt=0)
    """Largest mean KL divergence from the merged model on held-out text, in nats."""


# llama.cpp on a CPU also rounds the activations to 8 bits, so that even q8_0 is not exact; f16 is within 0.1 %.
DEFAULT_BOUNDS = {
    "adapter": Bound(answers=0.995, top1=0.995, kl=1e-4),
    "f32": Bound(answers=0.995, top1=0.995, kl=1e-3),
    "f16": Bound(answers=0.99, top1=0.98, kl=1e-3),
    "bf16": Bound(answers=0.98, top1=0.95, kl=5e-3),
    "q8_0": Bound(answers=0.97, top1=0.90, kl=0.02),
    "q6_k": Bound(answers=0.92, top1=0.85, kl=0.05),
    "q5_k_m": Bound(answers=0.85, top1=0.75, kl=0.15),
    "q4_k_m": Bound(answers=0.70, top1=0.60, kl=0.5),
}


@dataclass(frozen=True)
class Text:
    """Tokens to compare on: every position of held-out text, or (`answer`) the positions from `start` on, which predict
    the tokens of an answer; the last position predicts nothing that was said."""

    ids: list[int]
    start: int = 0
    answer: bool = False


class ParitySettings(Settings):
    adapter: Annotated[str, From("adapter")]
    """The step that trained the adapter."""
    merged: Annotated[str, From("model")]
    """The step that merged it; the reference of every comparison."""
    gguf: Annotated[str, From("gguf")]
    """The step that exported and quantized it."""
    data: Annotated[str, From("split")]
    """The held-out conversations to compare on."""
    tokens: int = Field(800, ge=50)
    """How many held-out tokens to compare at, in whole conversations."""
    prompts: int = Field(16, ge=1)
    """How many held-out prompts the merged model answers greedily."""
    max_tokens: int = Field(48, ge=1)
    """Longest greedy answer, in tokens."""
    bounds: dict[str, Bound] = Field(default_factory=dict)
    """Bounds by name (adapter, or a GGUF format) that replace the defaults; a format without one must be given one."""


class Parity(Step[ParitySettings]):
    """Stop the run when adapter, merged model and GGUF files do not say the same."""

    Settings: ClassVar[type[ParitySettings]] = ParitySettings
    makes: ClassVar[str] = "parity"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        from danlu.model import load, template

        files: dict[str, str] = json.loads(inputs["gguf"].file("formats.json").read_text(encoding="utf-8"))
        bounds = DEFAULT_BOUNDS | self.settings.bounds
        for name in files:
            if name not in bounds:
                raise DataError(
                    f"no parity bound for the format {name}", next=f"add bounds: {{{name}: …}} to this step"
                )
        tokenizer = load.load_tokenizer(inputs["merged"].path)
        held = list(read_jsonl(inputs["data"].file("test.jsonl"), Example))
        examples = [example for example in held if template.writes(tokenizer, example.messages)]
        if not examples:
            why = f": the template refuses all {len(held)}" if held else ""
            raise DataError(
                f"no held-out conversation to compare on{why}",
                where=str(inputs["data"].path),
                next="hold out more (test_fraction of data.split), or examples that the template writes",
            )
        sequences = chosen(tokenizer, examples, self.settings.tokens)
        same_tokens(tokenizer, inputs["gguf"], files, [example for example, _ in sequences])
        reference = load.load_model(inputs["merged"].path)
        texts = [Text(ids) for _, ids in sequences]
        texts += self._answers(reference, tokenizer, examples, track)
        results = compare(reference, inputs["adapter"], inputs["gguf"], files, texts, track)
        report(out, results, bounds, f"{len(sequences)} of {len(held)} held-out conversations")
        if refused := len(held) - len(examples):
            out.text("Not compared", f"The template refuses {refused} of {len(held)} held-out conversations.")

    def _answers(self, model: Any, tokenizer: Any, examples: Sequence[Example], track: Track) -> list[Text]:
        """What the merged model answers to prompts taken at even distances."""
        from danlu.eval.generate import greedy_tokens
        from danlu.model import template

        count = min(self.settings.prompts, len(examples))
        asked = [examples[place * len(examples) // count] for place in range(count)]
        prompts = [template.render(tokenizer, example.messages[:-1], answer=True) for example in asked]
        answers = greedy_tokens(model, tokenizer, prompts, self.settings.max_tokens, track)
        return [
            Text(prompt + made, len(prompt) - 1, answer=True) for prompt, made in zip(prompts, answers, strict=True)
        ]


def chosen(tokenizer: Any, examples: Sequence[Example], tokens: int) -> list[tuple[Example, list[int]]]:
    """Whole conversations, in order, until there are `tokens` tokens."""
    from danlu.model import template

    taken: list[tuple[Example, list[int]]] = []
    for example in examples:
        if sum(len(ids) for _, ids in taken) >= tokens:
            break
        taken += [(example, ids) for ids, _ in template.sequences(tokenizer, example.messages)]
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
    reference: Any, adapter: Artifact, gguf: Artifact, files: Mapping[str, str], texts: Sequence[Text], track: Track
) -> dict[str, dict[str, float]]:
    """Agreement of the adapter and of each GGUF file with the merged model `reference`:
    name → {top1, kl, n} on held-out text, and {answers, answers_n} along its own answers."""
    from contextlib import ExitStack

    import torch

    from danlu.model import load
    from danlu.model.llama import LlamaLogits

    longest = max(len(text.ids) for text in texts)
    unmerged = load.load_model(adapter.path)
    sums = {name: Agreement() for name in ("adapter", *files)}
    with ExitStack() as stack:
        opened = {name: stack.enter_context(LlamaLogits(gguf.file(f), n_ctx=longest)) for name, f in files.items()}
        bar = track.bar("parity", sum(len(text.ids) for text in texts), "token")
        for text in texts:
            merged = _logits(reference, text)
            sums["adapter"].add("adapter", text, merged, _logits(unmerged, text))
            for name, model in opened.items():
                sums[name].add(name, text, merged, torch.from_numpy(model.logits(text.ids, text.start)))
            bar.update(len(text.ids))
        bar.close()
    return {name: total.figures() for name, total in sums.items()}


@dataclass
class Agreement:
    """Sums over positions."""

    same: float = 0.0
    kl: float = 0.0
    n: int = 0
    answers: float = 0.0
    answers_n: int = 0

    def add(self, name: str, text: Text, reference: torch.Tensor, other: torch.Tensor) -> None:
        """reference, other: logits [tokens from text.start on, vocabulary], worked on a slice of rows at a time."""
        import torch

        if other.shape != reference.shape:
            raise ModelError(f"{name} has {other.shape[1]} tokens in its vocabulary, the model {reference.shape[1]}")
        if text.answer:
            self.answers += float((reference[:-1].argmax(-1) == other[:-1].argmax(-1)).sum())
            self.answers_n += len(reference) - 1
            return
        for p, q in zip(torch.split(reference, SLICE), torch.split(other, SLICE), strict=True):
            self.same += float((p.argmax(-1) == q.argmax(-1)).sum())
            p, q = torch.log_softmax(p, -1), torch.log_softmax(q, -1)
            self.kl += float((p.exp() * (p - q)).sum(dtype=torch.float64))
            self.n += len(p)

    def figures(self) -> dict[str, float]:
        return {
            "answers": self.answers / max(1, self.answers_n),
            "answers_n": self.answers_n,
            "top1": self.same / self.n,
            "kl": self.kl / self.n,
            "n": self.n,
        }


def _logits(model: Any, text: Text) -> torch.Tensor:
    """Logits from text.start on, float32 [tokens, vocabulary]."""
    import torch

    keep = torch.arange(text.start, len(text.ids))
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=torch.tensor([text.ids]), use_cache=False, logits_to_keep=keep).logits[0]
    return logits.float()


def report(
    out: Draft, results: Mapping[str, Mapping[str, float]], bounds: Mapping[str, Bound], measured_on: str
) -> None:
    """Write parity.json and the table; GateError with all the figures when one is out of bounds."""
    rows: list[list[Any]] = []
    broken: list[str] = []
    figures: dict[str, float] = {}
    for name, found in results.items():
        bound = bounds[name]
        good = _reaches(found["answers"], found["answers_n"], bound.answers) and found["kl"] <= bound.kl
        good = good and _reaches(found["top1"], found["n"], bound.top1)
        rows.append(
            [
                name,
                f"{_share(found['answers'], found['answers_n'])} (≥ {bound.answers:.1%})",
                f"{_share(found['top1'], found['n'])} (≥ {bound.top1:.1%})",
                f"{found['kl']:.2e} (≤ {bound.kl:.2e})",
                f"{found['answers_n']} + {found['n']}",
                "ok" if good else "broken",
            ]
        )
        figures |= {f"{name}.{key}": found[key] for key in ("answers", "top1", "kl")}
        said = f"answers {found['answers']:.2%}, top-1 {found['top1']:.2%}, KL {found['kl']:.2e}"
        broken += [] if good else [f"{name} ({said})"]
    out.table(
        f"Parity with the merged model on {measured_on}, and along its own greedy answers",
        ["compared", "same token in answers", "same top-1 token, held-out", "KL held-out, nats", "tokens", ""],
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


def _reaches(value: float, n: float, bound: float) -> bool:
    return value + 2 * _error(value, n) >= bound


def _share(value: float, n: float) -> str:
    return f"{value:.2%} ± {_error(value, n):.2%}"


def _error(value: float, n: float) -> float:
    """Binomial standard error of a share of n."""
    return math.sqrt(value * (1 - value) / max(1, n))
