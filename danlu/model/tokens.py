"""A Hugging Face tokenizer from the vocabulary inside a GGUF file.

Two kinds, as llama.cpp names them: "llama" (SentencePiece BPE with byte fallback: Gemma) and "gpt2" (byte-level BPE).
The pieces are the file's; the merges of a SentencePiece vocabulary are recovered from its scores, as llama.cpp joins
the pair whose union scores highest. That the tokens equal llama.cpp's own is tested on thousands of strings.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from danlu.errors import ModelError
from danlu.model import border

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6
# tokenizer.ggml.pre → whether single digits stand alone before the byte-level pattern of GPT-2
_BYTE_LEVEL_PRE = {"smollm": True, "gpt-2": False, "default": False}
# the splitting pattern in tokenizer.json → tokenizer.ggml.pre
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}DIGITS"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLIT_PRE = {_SPLIT.replace("DIGITS", "{1,3}"): "llama-bpe", _SPLIT.replace("DIGITS", ""): "qwen2", _TEKKEN: "tekken"}
_FORMS = ("NFC", "NFD", "NFKC", "NFKD")
_OTHER = "take a base model whose tokenizer is covered (danlu model ls), or leave quant.gguf out of the recipe"


def tokenizer_of(metadata: dict[str, Any], where: str) -> PreTrainedTokenizerFast:
    """The tokenizer that GGUF `metadata` describes, with its special tokens, BOS rule and chat template."""
    from transformers import PreTrainedTokenizerFast

    kind, tokens = metadata.get("tokenizer.ggml.model"), metadata["tokenizer.ggml.tokens"]
    if kind == "llama":
        backend = _sentencepiece(metadata)
    elif kind == "gpt2" and metadata.get("tokenizer.ggml.pre") in _BYTE_LEVEL_PRE:
        backend = _byte_level(metadata)
    else:
        raise ModelError(
            f"tokenizers of kind {kind!r}/{metadata.get('tokenizer.ggml.pre')!r} cannot be read from GGUF here",
            where=where,
            next="use the model's Hugging Face folder",
        )
    _add_special(backend, metadata)
    named = {
        role: tokens[metadata[key]]
        for role, key in {
            "bos_token": "tokenizer.ggml.bos_token_id",
            "eos_token": "tokenizer.ggml.eos_token_id",
            "unk_token": "tokenizer.ggml.unknown_token_id",
            "pad_token": "tokenizer.ggml.padding_token_id",
        }.items()
        if key in metadata
    }
    fast: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, clean_up_tokenization_spaces=False, padding_side="right", **named
    )
    fast.chat_template = metadata.get("tokenizer.chat_template")
    return fast


def _sentencepiece(metadata: dict[str, Any]) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    tokens = [token.replace(" ", "▁") for token in metadata["tokenizer.ggml.tokens"]]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    merges = _merges(vocabulary, metadata["tokenizer.ggml.scores"], metadata["tokenizer.ggml.token_type"])
    unknown = tokens[metadata["tokenizer.ggml.unknown_token_id"]]
    backend = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=True)
    )
    prefix = [normalizers.Prepend("▁")] if metadata.get("tokenizer.ggml.add_space_prefix", True) else []
    backend.normalizer = normalizers.Sequence([*prefix, normalizers.Replace(" ", "▁")])
    backend.pre_tokenizer = pre_tokenizers.Split("\n", "isolated")
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return backend


def _merges(vocabulary: dict[str, int], scores: list[float], kinds: list[int]) -> list[tuple[str, str]]:
    """Every way to join two pieces into a third, best score first; control and byte pieces take no part."""
    found: list[tuple[float, int, int, str, str]] = []
    for piece, i in vocabulary.items():
        if kinds[i] not in (_NORMAL, _USER_DEFINED) or len(piece) < 2:
            continue
        for cut in range(1, len(piece)):
            left, right = vocabulary.get(piece[:cut]), vocabulary.get(piece[cut:])
            if left is not None and right is not None:
                found.append((-scores[i], left, right, piece[:cut], piece[cut:]))
    found.sort()
    return [(left, right) for _, _, _, left, right in found]


def _byte_level(metadata: dict[str, Any]) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {token: i for i, token in enumerate(metadata["tokenizer.ggml.tokens"])}
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    prefix = bool(metadata.get("tokenizer.ggml.add_space_prefix", False))
    level = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=True)
    digits = _BYTE_LEVEL_PRE[metadata["tokenizer.ggml.pre"]]
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), level] if digits else [level]
    )
    backend.decoder = decoders.ByteLevel()
    return backend


def _add_special(backend: Tokenizer, metadata: dict[str, Any]) -> None:
    """Control tokens are special; user-defined pieces are matched whole before anything else, as llama.cpp does."""
    from tokenizers import AddedToken, processors

    tokens, kinds = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    backend.add_special_tokens(
        [AddedToken(t, normalized=False, special=True) for t, k in zip(tokens, kinds, strict=True) if k == _CONTROL]
    )
    own = [t for t, k in zip(tokens, kinds, strict=True) if k == _USER_DEFINED]
    backend.add_tokens([AddedToken(t.replace(" ", "▁"), normalized=" " in t) for t in own])
    default = metadata.get("tokenizer.ggml.model") == "llama"
    if metadata.get("tokenizer.ggml.add_bos_token", default):
        bos = metadata["tokenizer.ggml.bos_token_id"]
        backend.post_processor = processors.TemplateProcessing(
            single=f"{tokens[bos]} $A",
            pair=f"{tokens[bos]} $A {tokens[bos]} $B",
            special_tokens=[(tokens[bos], bos)],
        )


def write_vocabulary_of(tokenizer: Any, size: int, writer: Any, where: str) -> None:
    """Write the GGUF metadata of a fast tokenizer (tokenizer.json) with `size` tokens, the inverse of `tokenizer_of`.

    Covered: BPE with byte fallback whose tokens are numbered by rank (Gemma, Llama 2), and byte-level BPE with a
    splitting rule that llama.cpp knows by name; ModelError otherwise. What llama.cpp does not do to a text and the
    tokenizer does is written for `danlu.model.border`. `quant.gguf` compares the tokens afterwards.
    """
    facts = json.loads(tokenizer.backend_tokenizer.to_str())
    model = facts["model"]
    if model["type"] != "BPE":
        raise ModelError(f"tokenizers of type {model['type']} cannot be written as GGUF here", where=where, next=_OTHER)
    byte_level = not model.get("byte_fallback")
    tokens, kinds = _pieces(facts, tokenizer, size, byte_level)
    if byte_level:
        if form := _form(facts, where):
            writer.add_string(border.FORM, form)
        writer.add_string("tokenizer.ggml.model", "gpt2")
        writer.add_string("tokenizer.ggml.pre", _pre_name(facts, where))
        pairs = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
        writer.add_array("tokenizer.ggml.merges", pairs)
    else:
        writer.add_string("tokenizer.ggml.model", "llama")
        writer.add_string("tokenizer.ggml.pre", "default")
        writer.add_array("tokenizer.ggml.scores", [-float(i) for i in range(len(tokens))])
        prefix = _space_prefix(facts, where)
        writer.add_bool("tokenizer.ggml.add_space_prefix", prefix == "always")
        if prefix == "first":
            writer.add_string(border.PREFIX, "first")
    if stripping := [token["content"] for token in facts["added_tokens"] if token["rstrip"]]:
        writer.add_string("general.name", "phi-3")  # by this name llama.cpp knows that control tokens strip
        writer.add_string(border.STRIP, " ".join(stripping))
    writer.add_array("tokenizer.ggml.tokens", tokens)
    writer.add_array("tokenizer.ggml.token_type", kinds)
    for key, token in {
        "bos": tokenizer.bos_token_id,
        "eos": tokenizer.eos_token_id,
        "unknown": tokenizer.unk_token_id,
        "padding": tokenizer.pad_token_id,
    }.items():
        if token is not None:
            writer.add_uint32(f"tokenizer.ggml.{key}_token_id", token)


def _pieces(facts: dict[str, Any], tokenizer: Any, size: int, byte_level: bool) -> tuple[list[str], list[int]]:
    """Every token as GGUF spells it, and its kind; ids that no token has are unused ones."""
    added = {entry["id"]: entry for entry in facts["added_tokens"]}
    vocabulary = tokenizer.get_vocab()
    tokens = [f"[PAD{i}]" for i in range(max(size, max(vocabulary.values()) + 1))]
    kinds = [_UNUSED] * len(tokens)
    for token, i in vocabulary.items():
        entry = added.get(i)
        tokens[i], kinds[i] = token, _NORMAL
        if entry is not None:
            kinds[i] = _CONTROL if entry["special"] else _USER_DEFINED
        elif not byte_level and re.fullmatch(r"<0x[0-9A-F]{2}>", token):
            kinds[i] = _BYTE
        elif i == tokenizer.unk_token_id and not byte_level:
            kinds[i] = _UNKNOWN
        if kinds[i] == _USER_DEFINED and entry is not None and entry["normalized"] and not byte_level:
            tokens[i] = token.replace("▁", " ")
    return tokens, kinds


def _pre_name(facts: dict[str, Any], where: str) -> str:
    """llama.cpp's name for the splitting rule of a byte-level tokenizer."""
    steps = facts.get("pre_tokenizer") or {}
    steps = steps.get("pretokenizers", [steps])
    kinds = [step.get("type") for step in steps]
    if kinds == ["Digits", "ByteLevel"] and steps[0]["individual_digits"] and steps[1]["use_regex"]:
        return "smollm"
    if kinds == ["ByteLevel"] and steps[0]["use_regex"]:
        return "gpt-2"
    if kinds == ["Split", "ByteLevel"] and (name := _SPLIT_PRE.get(steps[0]["pattern"].get("Regex", ""))):
        return name
    raise ModelError(
        "llama.cpp has no name here for how this tokenizer splits text: " + ", ".join(map(str, kinds)),
        where=where,
        next=_OTHER,
    )


def _form(facts: dict[str, Any], where: str) -> str:
    """The Unicode form that a byte-level tokenizer brings texts to, empty for none."""
    steps = facts.get("normalizer") or {"type": "Sequence", "normalizers": []}
    kinds = [str(step["type"]) for step in steps.get("normalizers", [steps])]
    if not kinds or (len(kinds) == 1 and kinds[0] in _FORMS):
        return kinds[0] if kinds else ""
    raise ModelError(f"this tokenizer changes texts otherwise than GGUF can say: {kinds}", where=where, next=_OTHER)


def _space_prefix(facts: dict[str, Any], where: str) -> str:
    """Where a tokenizer with byte fallback puts a space before a text: "always" (before each part between control
    tokens), "first" (at the beginning only) or "never"."""
    steps = facts.get("normalizer") or {"type": "Sequence", "normalizers": []}
    changes = [(step["type"], step) for step in steps.get("normalizers", [steps])]
    split = facts.get("pre_tokenizer") or {}
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    newline = split.get("type") == "Split" and split["pattern"] == {"String": "\n"}  # as `tokenizer_of` makes it
    if [step for _, step in changes][-1:] == [spaces] and (not split or newline):
        before = [step for _, step in changes[:-1]]
        if before in ([], [{"type": "Prepend", "prepend": "▁"}]):
            return "always" if before else "never"
    whole = split.get("type") == "Metaspace" and split["replacement"] == "▁" and not split["split"]
    if not changes and whole and split["prepend_scheme"] in ("first", "never"):
        return str(split["prepend_scheme"])
    told = [kind for kind, _ in changes] + ([f"{split['type']} {split.get('prepend_scheme', '')}"] if split else [])
    raise ModelError(
        f"this tokenizer puts its spaces otherwise than GGUF can say: {', '.join(told)}", where=where, next=_OTHER
    )
