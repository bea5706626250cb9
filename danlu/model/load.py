"""Load a tokenizer or a model from a folder. Weights in safetensors only; code from a model repository never runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.errors import ModelError
from danlu.extras import need
from danlu.model.find import check_folder, fingerprint, locate

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BASE = "base.json"
_EMBEDDINGS = ("embed_tokens.weight", "wte.weight")
DTYPES = ("float32", "bfloat16", "float16")


def load_tokenizer(folder: Path | str) -> PreTrainedTokenizerBase:
    """The tokenizer of a model or adapter folder, with the chat template that was saved with it, if any."""
    need("transformers", "model")
    from transformers import AutoTokenizer

    try:
        if plain := _plain_tokenizer(Path(folder)):
            return plain
        return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    except Exception as error:  # `tokenizers` raises bare Exception for a damaged file
        raise ModelError(f"no usable tokenizer: {_first_line(error)}", where=str(folder)) from None


def _plain_tokenizer(folder: Path) -> PreTrainedTokenizerBase | None:
    """The tokenizer when its folder says that tokenizer.json is all there is to it (what Danlu writes does);
    AutoTokenizer reads that file five times, which takes seconds for a vocabulary of 262,144."""
    from transformers import PreTrainedTokenizerFast

    config = _json(folder / "tokenizer_config.json")
    if config.pop("tokenizer_class", None) not in ("TokenizersBackend", "PreTrainedTokenizerFast"):
        return None
    if not (folder / "tokenizer.json").is_file():
        return None
    config.pop("backend", None)
    template = folder / "chat_template.jinja"
    if template.is_file():
        config["chat_template"] = template.read_text(encoding="utf-8")
    file = str(folder / "tokenizer.json")  # by its name: a tokenizer handed over is copied, which takes as long again
    tokenizer: PreTrainedTokenizerBase = PreTrainedTokenizerFast(tokenizer_file=file, **config)  # type: ignore[no-untyped-call]
    tokenizer.name_or_path = str(folder)
    return tokenizer


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def load_config(folder: Path) -> dict[str, Any]:
    """config.json with every setting that transformers fills in, GPT-2's in everybody's words. ModelError for a type of
    model that transformers does not know by itself."""
    need("transformers", "model")
    from transformers import AutoConfig

    from danlu.model.gguf import plain_config

    try:
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"no usable config.json: {_first_line(error)}",
            where=str(folder),
            next="danlu model ls names models that work",
        ) from None
    return plain_config({"model_type": config.model_type} | config.to_dict())


def load_model(folder: Path | str, dtype: str = "float32", device: str = "cpu") -> PreTrainedModel:
    """The model of a Hugging Face folder, or of an adapter artifact (its base model with the adapter on it, unmerged),
    in evaluation mode. Raises ModelError when the files do not make a causal language model."""
    folder = Path(folder)
    if (folder / "adapter_config.json").is_file():
        return _with_adapter(folder, dtype, device)
    need("transformers", "model")
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    if dtype not in DTYPES:
        raise ModelError(f"unknown dtype {dtype!r}", next=f"known: {', '.join(DTYPES)}")
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            str(check_folder(folder)),
            dtype=getattr(torch, dtype),
            trust_remote_code=False,
            local_files_only=True,
            use_safetensors=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"the model cannot be loaded: {_first_line(error)}", where=str(folder)) from None
    loaded: PreTrainedModel = model.to(device).eval()
    return loaded


def has_template(folder: Path) -> bool:
    """Whether a folder's tokenizer brings a chat template."""
    files = (folder / "chat_template.jinja", folder / "chat_template.json", folder / "additional_chat_templates")
    return any(path.exists() for path in files) or bool(_json(folder / "tokenizer_config.json").get("chat_template"))


def check_vocabulary(folder: Path) -> None:
    """ModelError when the tokenizer has tokens for which the embedding has no row: pieces that were added to it without
    `resize_token_embeddings`, or a tokenizer of another model. Nothing but the heads of the files is read."""
    from danlu.model.find import tensor_shapes

    file = folder / "tokenizer.json"
    if not file.is_file():
        return
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        pieces = told["model"]["vocab"]
        ids = list(pieces.values()) if isinstance(pieces, dict) else [len(pieces) - 1]
        tokens = 1 + max([*ids, *(token["id"] for token in told.get("added_tokens", []))])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"no usable tokenizer: {error}", where=str(file), next="get the model again") from None
    shapes = tensor_shapes(folder)
    rows = next((shape[0] for name, shape in shapes.items() if name.endswith(_EMBEDDINGS)), None)
    rows = rows if rows is not None else _json(folder / "config.json").get("vocab_size")
    if rows is not None and tokens > rows:
        raise ModelError(
            f"the tokenizer has {tokens} tokens, the embedding {rows} rows: {tokens - rows} tokens have no row",
            where=str(folder),
            next="take the tokenizer that belongs to the model, or model.resize_token_embeddings(len(tokenizer)) in "
            "transformers, save the folder again and train the new rows",
        )


def base_of(folder: Path) -> Path:
    """The folder of the base model of an adapter artifact; ModelError when it is no longer the model it was."""
    try:
        base: dict[str, Any] = json.loads((folder / BASE).read_text(encoding="utf-8"))
        name, expected = str(base["model"]), str(base["fingerprint"])
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"no readable {BASE}: {error}", where=str(folder), next="train it again") from None
    found = fingerprint(name, ".")
    if found != expected:
        raise ModelError(
            f"the base model {name} is not the one that the adapter was trained on "
            f"(fingerprint {found[:12]}…, expected {expected[:12]}…)",
            where=str(folder),
            next="train the adapter again: danlu run RECIPE --force STEP",
        )
    return locate(name)


def _with_adapter(folder: Path, dtype: str, device: str) -> PreTrainedModel:
    need("peft", "train")
    from peft import PeftModel

    if not (folder / "adapter_model.safetensors").is_file():
        raise ModelError("adapter_model.safetensors is missing", where=str(folder), next="train it again")
    base = load_model(base_of(folder), dtype, device)
    adapted: Any = PeftModel.from_pretrained(base, str(folder), local_files_only=True)
    whole: PreTrainedModel = adapted.to(device).eval()
    return whole


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
