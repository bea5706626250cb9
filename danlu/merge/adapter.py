"""merge.adapter: fold a LoRA adapter into its base model, W + (alpha / rank) · B·A (Hu et al. 2021, arXiv:2106.09685).

The merged model is float32, with tied embeddings tied and stored once, and carries the tokenizer and template that the
adapter was trained with. It is read back from its files and compared with the adapter on its base: equal logits, or the
step fails. An adapter with weights that changes nothing (names that no longer match, a merge that was lost) fails too.

Not covered: merging into quantized weights, adapters on tied embeddings.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from danlu.artifact import MANIFEST, Artifact, Draft
from danlu.errors import GateError
from danlu.registry import From, Settings, Step
from danlu.track import Track

if TYPE_CHECKING:
    import torch

PROMPTS = (
    "監督式微調只在答案上計算損失，因為",
    "The attention mechanism computes",
    "請用繁體中文說明什麼是檢索增強生成。",
    "for step, batch in enumerate(loader):\n    loss =",
)


class AdapterSettings(Settings):
    adapter: Annotated[str, From("adapter")]
    """The step that trained the adapter."""
    tolerance: float = Field(0.01, gt=0)
    """Largest difference between a logit of the merged model and one of the adapter on its base."""


class Adapter(Step[AdapterSettings]):
    """Fold an adapter into its base model."""

    Settings: ClassVar[type[AdapterSettings]] = AdapterSettings
    makes: ClassVar[str] = "model"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        from danlu.model.find import folder_licence
        from danlu.model.load import base_of, load_model, load_tokenizer

        source = inputs["adapter"].path
        base = base_of(source)
        tokenizer = load_tokenizer(source)
        prompts = [tokenizer(prompt).input_ids for prompt in PROMPTS]
        track.note("merging the adapter into its base model")
        model: Any = load_model(source)
        adapted = _logits(model, prompts)
        with model.disable_adapter():
            plain = _logits(model, prompts)
        merged_model = model.merge_and_unload(safe_merge=True)
        _save(merged_model, tokenizer, base, out.path)
        del model, merged_model
        merged = _logits(load_model(out.path), prompts)
        rows, figures = compare(plain, adapted, merged, self.settings.tolerance, _is_zero(source))
        out.metrics |= {name: value for name, value in figures.items() if name != "tolerance"}
        out.table("Merged model against the adapter on its base, on fixed prompts", list(rows[0]), rows[1:])
        if not inputs["adapter"].licences:
            out.licences[base.name] = folder_licence(base)


def _logits(model: Any, prompts: list[list[int]]) -> list[torch.Tensor]:
    import torch

    with torch.inference_mode():
        return [model(torch.tensor([ids], device=model.device)).logits[0].float().cpu() for ids in prompts]


def compare(
    plain: list[torch.Tensor],
    adapted: list[torch.Tensor],
    merged: list[torch.Tensor],
    tolerance: float,
    zero: bool,
) -> tuple[list[list[Any]], dict[str, float]]:
    """The report's table (its first row the columns) and the figures; each list holds logits [tokens, vocabulary],
    one tensor a prompt. GateError when the merged model is not the adapted one, or the adapter was lost."""
    rows: list[list[Any]] = [["prompt", "largest |adapter − base|", "largest |merged − adapter|", "same top token"]]
    for i, (before, wanted, found) in enumerate(zip(plain, adapted, merged, strict=True)):
        change, error = (wanted - before).abs().max().item(), (found - wanted).abs().max().item()
        same = (found.argmax(-1) == wanted.argmax(-1)).float().mean().item()
        rows.append([PROMPTS[i], round(change, 4), float(f"{error:.3g}"), f"{same:.1%}"])
    figures = {
        "adapter_change": max((w - b).abs().max().item() for w, b in zip(adapted, plain, strict=True)),
        "merge_error": max((m - w).abs().max().item() for m, w in zip(merged, adapted, strict=True)),
        "tolerance": tolerance,
    }
    if not figures["merge_error"] <= tolerance:
        raise GateError(
            f"the merged model is not the adapter on its base: logits differ by {figures['merge_error']:.3g}, "
            f"more than {tolerance:g}",
            figures,
            next="look at the report's table; a larger tolerance is a setting of merge.adapter",
        )
    if figures["adapter_change"] == 0 and not zero:
        raise GateError(
            "the adapter has weights but changes nothing: they were not put where they belong",
            figures,
            next="train it again with this version of peft: danlu run RECIPE --force STEP",
        )
    return rows, figures


def _is_zero(adapter: Path) -> bool:
    """Whether every second LoRA matrix in the file is zero: an adapter that was never trained."""
    from safetensors import safe_open

    with safe_open(adapter / "adapter_model.safetensors", "pt") as file:
        return not any(bool(file.get_tensor(name).any()) for name in file.keys() if "lora_B" in name)  # noqa: SIM118


def _save(model: Any, tokenizer: Any, base: Path, target: Path) -> None:
    """The model folder: weights, config, tokenizer and template, and from the base what only it has."""
    model.config._name_or_path = ""
    model.save_pretrained(target, max_shard_size="4GB")
    tokenizer.save_pretrained(target)
    for name in ("generation_config.json", "vocabulary.gguf", "notices"):
        if (base / name).is_dir():
            shutil.copytree(base / name, target / name)
        elif (base / name).is_file():
            shutil.copyfile(base / name, target / name)
    (target / MANIFEST).unlink(missing_ok=True)
