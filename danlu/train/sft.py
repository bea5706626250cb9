"""train.sft: supervised fine-tuning of a low-rank adapter (LoRA, Hu et al. 2021, arXiv:2106.09685).

Only the assistant's answers and their stop token are learnt. Sequences are laid end to end without padding and without
attention across their borders, and the output head is computed at the trained positions alone.
Not covered: training the full model, several devices, models whose logits are scaled or soft-capped.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from danlu.artifact import Artifact, Draft
from danlu.errors import DataError, ModelError, nearest
from danlu.records import Drop, Example, Message, read_jsonl, write_jsonl
from danlu.registry import From, ModelName, Step
from danlu.track import Track
from danlu.train.loop import History, LoopSettings, train
from danlu.train.pack import Encoded, pack


class SftSettings(LoopSettings):
    model: Annotated[str, ModelName()]
    """The base model: a built-in name (danlu model ls), a local folder or a hub id."""
    data: Annotated[str, From("split")]
    """The step that made the training and test examples."""
    template: Literal["alpaca", "chatml", "gemma"] | None = None
    """Chat template to train with, by name; by default the model's own."""
    rank: int = Field(16, ge=1)
    """Rank of the adapter's matrices."""
    alpha: float = Field(32.0, gt=0)
    """The adapter's output is scaled by alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout before the adapter's first matrix."""
    targets: list[str] | Literal["all-linear"] = "all-linear"
    """Names of the linear layers that get an adapter (q_proj, for example); all-linear is every one but the output
    head."""
    max_tokens: int = Field(1024, ge=8)
    """Longest example; longer ones are dropped, counted and kept in dropped.jsonl."""


class Sft(Step[SftSettings]):
    """Fine-tune a LoRA adapter on the answers of instruction examples."""

    Settings: ClassVar[type[SftSettings]] = SftSettings
    makes: ClassVar[str] = "adapter"

    def foresee(self, model: str, root: str) -> None:
        """A tokenizer larger than the embedding, targets that are no layers, and a model without a template."""
        from danlu.model import find, load

        folder = find.description(model, root)
        if folder is None:
            return
        load.check_vocabulary(folder)
        if shapes := find.tensor_shapes(folder):
            check_targets(linear_layers(shapes), self.settings.targets, model)
        if not self.settings.template and not load.has_template(folder):
            raise ModelError(
                "the tokenizer has no chat template", where=model, next="name one: --set STEP.template=alpaca"
            )

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        from danlu.model import find, load, template

        settings = self.settings
        folder = find.locate(settings.model, track=track)
        self.foresee(settings.model, ".")  # the plan could not, where the model was not on this machine yet
        tokenizer = load.load_tokenizer(folder)
        if settings.template:
            template.ensure_template(tokenizer, settings.template)
        examples = list(read_jsonl(inputs["data"].file("train.jsonl"), Example))
        template.stop_tokens(tokenizer)  # what is wrong with every conversation is no matter of the examples
        kept, drops = encode(examples, tokenizer, settings.max_tokens)
        if not kept:
            raise _nothing(examples, drops, str(inputs["data"].path))
        encoded = [one for made in kept for one in made]
        model = load.load_model(folder)
        check_stop(model, tokenizer)
        model = adapted(model, settings)
        from danlu.train.loss import check_head, completion_loss

        out.metrics["head_difference"] = check_head(model, pack(encoded[:1]))
        history = train(model, encoded, completion_loss, settings, out.work, track, name="sft")
        save_adapter(model, tokenizer, settings, find.fingerprint(settings.model, "."), out)
        out.licences[settings.model] = find.licence(settings.model, ".")
        write_jsonl(out.file("dropped.jsonl"), drops)
        report(out, history, kept, examples, drops)


def _nothing(examples: Sequence[Example], drops: Sequence[Drop], where: str) -> DataError:
    reasons = Counter(drop.reason for drop in drops)
    first = f"; {drops[0].id}: {drops[0].detail}" if drops else ""
    advice = {
        "too-long": "raise max_tokens",
        "template-refused": "change such conversations, or train with a named template: --set STEP.template=alpaca",
        "tool-call": "give examples without tools",
    }
    most = reasons.most_common(1)[0][0] if reasons else ""
    return DataError(
        f"none of {len(examples)} examples is left to train on: {dict(reasons)}{first}",
        where=where,
        next=advice.get(most, "look at the examples that the split holds: danlu show RECIPE"),
    )


def encode(examples: Sequence[Example], tokenizer: Any, max_tokens: int) -> tuple[list[list[Encoded]], list[Drop]]:
    """Examples → the sequences of each with the model's own chat template (one, or one an answer where the template
    rewrites earlier answers). What is too long, teaches nothing or is refused by the template is dropped."""
    from danlu.model import template

    kept: list[list[Encoded]] = []
    drops: list[Drop] = []
    for example in examples:
        if example.tools or any(message.tool_calls or message.role == "tool" for message in example.messages):
            detail = "the template writes no tools and no calls"
            drops.append(Drop(id=example.id, source=example.document, reason="tool-call", detail=detail))
            continue
        try:
            made = [Encoded(*sequence) for sequence in template.sequences(tokenizer, example.messages)]
        except template.Unwritten as error:
            detail = error.problem.what
            where = example.source or example.document
            drops.append(Drop(id=example.id, source=where, reason="template-refused", detail=detail))
            continue
        longest, learnt = max(len(one.ids) for one in made), sum(one.weight for one in made)
        reason = "too-long" if longest > max_tokens else "nothing-to-learn" if learnt == 0 else ""
        if reason:
            detail = f"{longest} tokens, {learnt} of them trained"
            drops.append(Drop(id=example.id, source=example.document, reason=reason, detail=detail))
        else:
            kept.append(made)
    return kept, drops


_NOT_LINEAR = ("embed_tokens", "wte", "wpe", "lm_head")


def linear_layers(shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """The full names of the linear layers among weights with these names and shapes, without embeddings and head."""
    matrices = (name.removesuffix(".weight") for name, shape in shapes.items() if len(shape) == 2)
    return [name for name in matrices if name.split(".")[-1] not in _NOT_LINEAR]


def check_targets(layers: Sequence[str], targets: Sequence[str] | str, where: str) -> None:
    """ModelError for a target that none of `layers` is called (peft passes over it in silence), and for the output
    head and embeddings, which stay as they are."""
    names = sorted({layer.split(".")[-1] for layer in layers})
    known = f"choose from {', '.join(names)}, or all-linear"
    if not targets:
        raise ModelError("targets names no layer", where=where, next=known)
    for word in [] if isinstance(targets, str) else targets:
        if any(layer == word or layer.endswith(f".{word}") for layer in layers):
            continue
        frozen = word.split(".")[-1] in _NOT_LINEAR
        why = (
            "is the output head or an embedding, which are not trained"
            if frozen
            else "is no linear layer of this model"
        )
        raise ModelError(f"targets: {word!r} {why}", where=where, nearest=nearest(word, names), next=known)


def check_stop(model: Any, tokenizer: Any, limit: float = 0.98) -> None:
    """ModelError when the template's stop token cannot be learnt because its row of the (frozen) output head is as good
    as that of another token: cosine above `limit`.

    Base models hold tokens that their pre-training never used, all with nearly the same row. Gemma 3 270M's
    <end_of_turn> is one of them (cosine 0.995 to <unused1354>); its <eos> is not (0.61 to its nearest).
    """
    import torch

    from danlu.model import template

    weight = model.get_output_embeddings().weight.detach()
    probe = [Message(role="user", content="1"), Message(role="assistant", content="2")]
    ids, trained = template.encode(tokenizer, probe)
    stop = ids[max(place for place, on in enumerate(trained) if on)]
    alike = torch.nn.functional.cosine_similarity(weight, weight[stop][None], dim=1)
    alike[stop] = -1
    other = int(alike.argmax())
    if float(alike[other]) > limit:
        names = tokenizer.convert_ids_to_tokens([stop, other])
        raise ModelError(
            f"the stop token {names[0]} was never trained in this model: its output row is that of {names[1]} "
            f"(cosine {float(alike[other]):.3f}), so an adapter cannot learn to stop",
            where=str(tokenizer.name_or_path),
            next="train with another template, whose stop token the model knows: --set STEP.template=alpaca",
        )


def adapted(model: Any, settings: SftSettings) -> Any:
    """`model` with a fresh LoRA adapter (its second matrix is zero, so that nothing has changed yet) and packed
    attention."""
    import warnings

    import torch
    from peft import LoraConfig, get_peft_model

    from danlu.train.attention import install

    torch.manual_seed(settings.seed)
    install(model)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=settings.targets,
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft reads a property that transformers has renamed
        return get_peft_model(model, config)


def save_adapter(model: Any, tokenizer: Any, settings: SftSettings, fingerprint: str, out: Draft) -> None:
    """Write the adapter in peft's format, with the tokenizer, the template and which weights it belongs to."""
    config = model.peft_config["default"]
    config.base_model_name_or_path = settings.model
    config.target_modules = sorted(config.target_modules)  # a set, whose order differs from process to process
    model.save_pretrained(out.path, safe_serialization=True, save_embedding_layers=False)  # else it asks the hub
    tokenizer.save_pretrained(out.path)
    base = {"model": settings.model, "fingerprint": fingerprint}
    out.file("base.json").write_text(json.dumps(base, indent=1) + "\n", encoding="utf-8")
    card = f"# LoRA adapter of {settings.model}\n\nMade by `train.sft`; artifact.json holds its lineage and licences.\n"
    out.file("README.md").write_text(card, encoding="utf-8")


def report(
    out: Draft, history: History, kept: Sequence[Sequence[Encoded]], examples: Sequence[Example], drops: Sequence[Drop]
) -> None:
    """The curve as JSONL and PNG, and where every token went."""
    with out.file("loss.jsonl").open("w", encoding="utf-8") as file:
        for number, row in enumerate(history.rows, 1):
            file.write(json.dumps({"step": number, **row}) + "\n")
    plot(history, out.file("loss.png"))
    out.image("Training loss (nats per trained token)", "loss.png")
    out.funnel("train.sft", len(examples), len(kept), dict(Counter(drop.reason for drop in drops)), "examples")
    encoded = [one for made in kept for one in made]
    if split := sum(len(made) > 1 for made in kept):
        out.text(
            "Conversations in several sequences",
            f"The template rewrites earlier answers: {split} conversations are trained as {len(encoded)} sequences in "
            "all, one for each answer that a later prompt changes, each with the prompt that serving makes for it.",
        )
    rows = [
        ["in the examples kept, one pass", sum(len(example.ids) for example in encoded)],
        ["of these, learnt (answers and stop tokens)", sum(example.weight for example in encoded)],
        ["seen in the whole run", history.tokens],
        ["learnt in the whole run", history.trained],
        ["padding", 0],
        ["cut by truncation", 0],
    ]
    out.table("Tokens", ["where", "tokens"], rows)
    out.metrics |= {
        "steps": len(history.rows),
        "loss_first": history.rows[0]["loss"],
        "loss_last": history.rows[-1]["loss"],
        "tokens_per_second": history.tokens / max(history.seconds, 1e-9),
    }


def plot(history: History, path: Path) -> None:
    """The loss of every step and its running mean over about a tenth of the run, as a PNG."""
    from matplotlib.figure import Figure

    losses = [row["loss"] for row in history.rows]
    width = max(1, len(losses) // 10)
    smooth = [
        sum(losses[max(0, i - width + 1) : i + 1]) / len(losses[max(0, i - width + 1) : i + 1])
        for i in range(len(losses))
    ]
    figure = Figure(figsize=(7, 3.2), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    steps = range(1, len(losses) + 1)
    axes.plot(steps, losses, color="#b9c2cf", linewidth=1, label="step")
    axes.plot(steps, smooth, color="#b3261e", linewidth=2, label=f"mean of {width}")
    axes.set(xlabel="optimizer step", ylabel="nats per trained token")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Software": None})
