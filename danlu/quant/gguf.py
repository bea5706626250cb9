"""quant.gguf: a model as GGUF files for llama.cpp, one for each format.

Weights go straight from safetensors to each format, row by row through llama.cpp's own quantizer (the library inside
xllamacpp; nothing is compiled and no intermediate file is written). Which tensor gets which type follows llama.cpp's
`llama_model_quantize` (src/llama-quant.cpp) for the formats below; the bytes equal its own.

Each file carries the tokenizer, the chat template, the tokens that end an answer and the licence of the model, and is
opened in llama.cpp afterwards: its tokens, template and stop tokens must be the tokenizer's.

Not covered: importance matrices and the formats that need one (IQ*), mixtures of experts, files split in parts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, field_validator

from danlu.artifact import Artifact, Draft
from danlu.errors import GateError, ModelError, nearest
from danlu.extras import need
from danlu.model.gguf import architecture_of, head_dim
from danlu.registry import From, Settings, Step
from danlu.track import Track

if TYPE_CHECKING:
    import numpy as np

    from danlu.model.llama import LlamaFile

    Array = np.ndarray[Any, Any]

# format → (llama_ftype, type of most tensors, type of the more sensitive ones, type of the output rows)
FORMATS: dict[str, tuple[int, str, str, str]] = {
    "f32": (0, "F32", "F32", "F32"),
    "f16": (1, "F16", "F16", "F16"),
    "bf16": (32, "BF16", "BF16", "BF16"),
    "q8_0": (7, "Q8_0", "Q8_0", "Q8_0"),
    "q6_k": (18, "Q6_K", "Q6_K", "Q6_K"),
    "q5_k_m": (17, "Q5_K", "Q6_K", "Q6_K"),
    "q4_k_m": (15, "Q4_K", "Q6_K", "Q6_K"),
    "q5_0": (8, "Q5_0", "Q5_0", "Q6_K"),
    "q4_0": (2, "Q4_0", "Q4_0", "Q6_K"),
}
# Rows whose length is no multiple of a K-quant's block of 256 get the next type with blocks of 32.
_NARROW = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
# query, key and value in one tensor (Phi-3, GPT-2) get a type between those of the parts
_FUSED = {"q4_k_m": "Q5_K", "q5_k_m": "Q6_K"}
_QUANTIZATION_VERSION = 2

PROBES = (
    "",
    "臺北是臺灣的首都，人口約兩百五十萬。",
    "  def f(x):\n\n\treturn x ** 2  # 註解\n",
    "Hello, world! It's 3.14 — 50% off…",
    "👩‍👩‍👧‍👦🇹🇼 㐀𠀀 ﷽ e\u0301\u200b\r\n",
    "\u3000\u3000第一段\uf900。\u3000 1234567",
)


class GgufSettings(Settings):
    model: Annotated[str, From("model")]
    """The step that made the model."""
    formats: list[str] = Field(["q8_0", "q4_k_m"], min_length=1)
    """The formats to write: f32, f16, bf16, q8_0, q6_k, q5_k_m, q4_k_m, q5_0, q4_0."""
    name: str = Field("model", pattern=r"^[\w.-]+$")
    """How the files are called: <name>-<format>.gguf."""

    @field_validator("formats")
    @classmethod
    def _known(cls, formats: list[str]) -> list[str]:
        for word in formats:
            if word not in FORMATS:
                close = nearest(word, FORMATS)
                hint = f", did you mean {close}?" if close else ""
                raise ValueError(f"unknown format {word!r}{hint} Known: {', '.join(FORMATS)}")
        if len(set(formats)) < len(formats):
            raise ValueError("a format is named twice")
        return formats


class Gguf(Step[GgufSettings]):
    """Write a model as GGUF files."""

    Settings: ClassVar[type[GgufSettings]] = GgufSettings
    makes: ClassVar[str] = "gguf"

    def foresee(self, model: str, root: str) -> None:
        """An architecture, a tokenizer or a width that these formats do not have."""
        from danlu.model import find
        from danlu.model.load import load_config, load_tokenizer

        folder = find.description(model, root)
        if folder is None or (folder / find.VOCABULARY).is_file():  # a built-in model, which came from GGUF
            return
        config = load_config(folder)
        architecture_of(config, model)
        _check_widths(config, self.settings.formats, model)
        check_vocabulary(load_tokenizer(folder), int(config["vocab_size"]), model)

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        folder = inputs["model"].path
        licence = _licence(inputs["model"])
        files = {word: f"{self.settings.name}-{word}.gguf" for word in self.settings.formats}
        rows = []
        for word, name in files.items():
            path = out.file(name)
            parameters = write(folder, path, word, licence, track)
            check(folder, path)
            size = path.stat().st_size
            rows.append([word, size, round(8 * size / parameters, 2)])
            out.metrics[f"bytes_{word}"] = size
        out.file("formats.json").write_text(json.dumps(files, indent=1) + "\n", encoding="utf-8")
        out.table("GGUF files", ["format", "bytes", "bits per weight, all told"], rows)
        if told := _border_told(path):
            out.text("Done to texts before llama.cpp reads them", told)


def _check_widths(config: Mapping[str, Any], formats: Sequence[str], where: str) -> None:
    """ModelError when rows do not divide into the blocks of 32 weights that a quantized format has."""
    quantized = [word for word in formats if word not in ("f32", "f16", "bf16")]
    widths = {"hidden_size": config["hidden_size"], "intermediate_size": config["intermediate_size"]}
    widths["attention heads x head_dim"] = config["num_attention_heads"] * head_dim(config)
    for name, width in widths.items():
        if quantized and width % 32:
            raise ModelError(
                f"rows of {width} ({name}) do not divide into the blocks of 32 of {', '.join(quantized)}",
                where=where,
                next="formats: [bf16], or another base model",
            )


def check_vocabulary(tokenizer: Any, size: int, where: str) -> None:
    """Write a tokenizer alone as GGUF, with `size` tokens, and let llama.cpp read it: ModelError when there is no way
    to write it, or when texts come out as other tokens."""
    import tempfile

    from danlu.model.llama import LlamaFile
    from danlu.model.tokens import write_vocabulary_of

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocabulary.gguf"
        writer = need("gguf", "quant").GGUFWriter(path, "llama")
        write_vocabulary_of(tokenizer, size, writer, where)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
        with LlamaFile(path) as opened:
            other = _otherwise(tokenizer, opened)
    if other:
        raise ModelError(
            f"llama.cpp reads texts as other tokens than this tokenizer, for example {other[0]!r}",
            where=where,
            next="take another base model (danlu model ls), or leave quant.gguf out of the recipe",
        )


def _otherwise(tokenizer: Any, opened: LlamaFile) -> list[str]:
    """The probes that are other tokens in a GGUF file than in its tokenizer, its template's own texts among them."""
    from danlu.model.template import text

    probes = list(PROBES)
    if tokenizer.chat_template:
        turns = [{"role": "user", "content": PROBES[1]}, {"role": "assistant", "content": PROBES[3]}]
        asked = [[{"role": "user", "content": probe}] for probe in PROBES]
        probes += [text(tokenizer, turns), *(text(tokenizer, one, answer=True) for one in asked)]
    return [p for p in probes if opened.tokenize(p, True) != tokenizer(p, add_special_tokens=False).input_ids]


def _border_told(path: Path) -> str:
    """What a server other than Danlu's has to do to texts for this file; empty when nothing."""
    from danlu.model.llama import LlamaFile

    with LlamaFile(path) as opened:
        border = opened.border
    told = [f"they are brought to Unicode's form {border.form}"] if border.form else []
    told += ["a space is put before a text that begins with a word"] if border.prefix else []
    told += [f"white space after {', '.join(sorted(border.strip))} is left out"] if border.strip else []
    if not told:
        return ""
    return f"As this tokenizer does, and llama.cpp does not by itself: {'; '.join(told)}. Danlu does; others must."


def _licence(model: Artifact) -> dict[str, str]:
    """What the file itself says of its licence: the terms of everything that went into the model."""
    parts = [model.licences[name] for name in sorted(model.licences)]
    return {key: "; ".join(dict.fromkeys(part[key] for part in parts if part.get(key))) for key in ("licence", "terms")}


def write(folder: Path, target: Path, word: str, licence: Mapping[str, str], track: Track) -> int:
    """Write the model in `folder` as one GGUF file in the format `word`; returns how many parameters it has."""
    from danlu.model.gguf import gguf_shape, gguf_tensor_name, read_config, rope_factors, to_gguf
    from danlu.model.llama import quantize_rows

    gguf = need("gguf", "quant")
    config = read_config(folder)
    row = architecture_of(config, str(folder))
    writer = gguf.GGUFWriter(target, row.name)
    _write_metadata(writer, folder, config, word, licence)
    parameters, plan = 0, {}
    factors = rope_factors(config)
    if factors is not None:
        writer.add_tensor_info("rope_freqs.weight", factors.shape, factors.dtype, factors.nbytes)
    for name, shape in _shapes(folder, config):
        stored, shape = gguf_tensor_name(row, name), gguf_shape(row, name, shape)
        kind = gguf.GGMLQuantizationType[_type(stored, shape, word, config)]
        block, size = gguf.GGML_QUANT_SIZES[kind]
        row_bytes = shape[-1] // block * size
        parameters += _product(shape)
        plan[name] = (kind, row_bytes)
        writer.add_tensor_info(stored, shape, None, _product(shape[:-1]) * row_bytes, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    if factors is not None:
        writer.write_tensor_data(factors)
    for name, values in track.over(_tensors(folder, plan), f"quantize {word}", len(plan), "tensor"):
        kind, row_bytes = plan[name]
        values = to_gguf(row, name, values, config)
        if kind != gguf.GGMLQuantizationType.F32:
            values = quantize_rows(values, int(kind), row_bytes)
        writer.write_tensor_data(values)
    writer.close()
    return parameters


def _type(stored: str, shape: tuple[int, ...], word: str, config: Mapping[str, Any]) -> str:
    """The type of one tensor, by the rules of llama.cpp's `llama_tensor_get_type`."""
    _, most, sensitive, output = FORMATS[word]
    if len(shape) < 2 or stored == "position_embd.weight":
        return "F32"
    parts = stored.split(".")
    if stored == "output.weight" or (stored == "token_embd.weight" and config.get("tie_word_embeddings")):
        kind = output
    elif parts[-2] in ("attn_v", "ffn_down") and _more_bits(int(parts[1]), config["num_hidden_layers"]):
        kind = sensitive
    elif parts[-2] == "attn_qkv":
        kind = _FUSED.get(word, most)
    else:
        kind = most
    if kind.endswith("_K") and shape[-1] % 256:
        is_output = stored in ("output.weight", "token_embd.weight") and kind == output
        return "Q8_0" if is_output else _NARROW[kind]
    return kind


def _more_bits(layer: int, layers: int) -> bool:
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def _shapes(folder: Path, config: Mapping[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    """Every tensor's name and shape, in the order of the file to be written: by layer, the embeddings first."""
    found = []
    for path in sorted(folder.glob("*.safetensors")):
        with need("safetensors", "quant").safe_open(path, "pt") as file:
            found += [(name, tuple(file.get_slice(name).get_shape())) for name in file.keys()]  # noqa: SIM118
    if config.get("tie_word_embeddings"):
        found = [(name, shape) for name, shape in found if name != "lm_head.weight"]

    def place(item: tuple[str, tuple[int, ...]]) -> tuple[int, str]:
        parts = item[0].split(".")
        return (int(parts[2]) if parts[1] in ("layers", "h") else -1, item[0])

    return sorted(found, key=place)


def _tensors(folder: Path, plan: Mapping[str, object]) -> Iterator[tuple[str, Array]]:
    """(name, float32 values) in the order of `plan`."""
    import contextlib

    safetensors = need("safetensors", "quant")
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(safetensors.safe_open(p, "pt")) for p in sorted(folder.glob("*.safetensors"))]
        where = {name: file for file in files for name in file.keys()}  # noqa: SIM118
        for name in plan:
            yield name, where[name].get_tensor(name).float().numpy()


def _product(shape: tuple[int, ...]) -> int:
    import math

    return math.prod(shape)


def _write_metadata(writer: Any, folder: Path, config: dict[str, Any], word: str, licence: Mapping[str, str]) -> None:
    from danlu.model.gguf import context_length, metadata_fields

    prefix = writer.arch
    writer.add_string("general.type", "model")
    writer.add_string("general.license", licence["licence"])
    writer.add_string("general.license.link", licence["terms"])
    writer.add_uint32("general.file_type", FORMATS[word][0])
    writer.add_uint32("general.quantization_version", _QUANTIZATION_VERSION)
    for field, key in metadata_fields(architecture_of(config, str(folder))).items():
        add = writer.add_float32 if "eps" in field else writer.add_uint32
        add(f"{prefix}.{key}", context_length(config) if key == "context_length" else config[field])
    writer.add_uint32(f"{prefix}.vocab_size", config["vocab_size"])
    if prefix != "gpt2":
        _write_rope(writer, config)
    _write_tokenizer(writer, folder, config)


def _write_rope(writer: Any, config: dict[str, Any]) -> None:
    """Head sizes and rotary positions. Llama 3's stretching is a tensor (`rope_factors`), not metadata."""
    from danlu.model.gguf import GEMMA3_LOCAL_THETA, rope_parameters

    prefix, width = writer.arch, head_dim(config)
    rope = rope_parameters(config)["full_attention"]
    writer.add_uint32(f"{prefix}.attention.key_length", width)
    writer.add_uint32(f"{prefix}.attention.value_length", width)
    writer.add_float32(f"{prefix}.rope.freq_base", rope["rope_theta"])
    if prefix == "gemma3":
        writer.add_uint32("gemma3.attention.sliding_window", config["sliding_window"])
        writer.add_float32("gemma3.rope.freq_base_swa", GEMMA3_LOCAL_THETA)
        return
    share = float(rope.get("partial_rotary_factor") or config.get("partial_rotary_factor") or 1)
    writer.add_uint32(f"{prefix}.rope.dimension_count", int(width * share))
    if (kind := rope.get("rope_type", "default")) in ("linear", "yarn"):
        writer.add_string(f"{prefix}.rope.scaling.type", kind)
        writer.add_float32(f"{prefix}.rope.scaling.factor", rope["factor"])
        if kind == "yarn":
            trained = rope.get("original_max_position_embeddings") or config["max_position_embeddings"]
            writer.add_uint32(f"{prefix}.rope.scaling.original_context_length", trained)


def _write_tokenizer(writer: Any, folder: Path, config: Mapping[str, Any]) -> None:
    """The vocabulary as the built-in model's GGUF had it, or read off tokenizer.json; then what the tokenizer says
    now of its template and stop tokens."""
    from danlu.model.find import VOCABULARY
    from danlu.model.gguf import copy_metadata
    from danlu.model.load import load_tokenizer
    from danlu.model.template import stop_tokens, text
    from danlu.model.tokens import write_vocabulary_of

    tokenizer = load_tokenizer(folder)
    ours = {"tokenizer.chat_template", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.add_bos_token"}
    if (folder / VOCABULARY).is_file():
        copy_metadata(folder / VOCABULARY, writer, "tokenizer.", skip=ours)
    else:
        write_vocabulary_of(tokenizer, int(config["vocab_size"]), writer, str(folder))
    adds_bos = tokenizer("").input_ids == [tokenizer.bos_token_id]
    if tokenizer.chat_template:
        writer.add_string("tokenizer.chat_template", tokenizer.chat_template)
        for token in stop_tokens(tokenizer):
            if token != tokenizer.eos_token_id:
                writer.add_uint32("tokenizer.ggml.eot_token_id", token)
        # llama.cpp puts a BOS before a chat prompt when this says so, whether or not the template wrote one
        adds_bos &= text(tokenizer, [{"role": "user", "content": "1"}]).startswith(tokenizer.bos_token or "\0")
    writer.add_bool("tokenizer.ggml.add_bos_token", adds_bos)


def check(folder: Path, path: Path) -> None:
    """Open a GGUF file in llama.cpp: it loads, predicts finite numbers, and its tokens, template and stop tokens are
    those of the tokenizer in `folder`. GateError with the figures otherwise."""
    import numpy as np

    from danlu.model.llama import LlamaLogits
    from danlu.model.load import load_tokenizer
    from danlu.model.template import stop_tokens

    tokenizer = load_tokenizer(folder)
    with LlamaLogits(path, n_ctx=32) as opened:
        other = _otherwise(tokenizer, opened)
        figures = {
            "texts_tokenized_otherwise": float(len(other)),
            "template_differs": float((opened.metadata("tokenizer.chat_template") or None) != tokenizer.chat_template),
            "stop_tokens_missing": float(sum(not opened.ends_generation(t) for t in stop_tokens(tokenizer))),
            "logits_not_finite": float(not np.isfinite(opened.logits(stop_tokens(tokenizer)[:1])).all()),
        }
    if any(figures.values()):
        failed = ", ".join(name.replace("_", " ") for name, value in figures.items() if value)
        detail = f" (for example {other[0]!r})" if other else ""
        raise GateError(f"llama.cpp reads the GGUF file otherwise than the model: {failed}{detail}", figures,
                        where=path.name)  # fmt: skip
