"""Tiny random models of the families people start from, each with a tokenizer of its family's own settings (splitting
rule, normaliser, spaces, special tokens, chat template), trained on a few sentences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

PLACES, FRUIT = ("彰化", "南投", "屏東", "宜蘭"), ("柚子", "李子", "南瓜", "番茄", "芒果")
VERBS = ("種植", "採收", "修剪", "包裝", "保存")
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{DIGITS}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SHAPE = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
SHAPE |= {"num_key_value_heads": 2, "max_position_embeddings": 2048, "initializer_range": 0.3}

CHATML = (
    "{%- if messages[0].role != 'system' %}{{- '<|im_start|>system\n你是助理。<|im_end|>\n' }}{%- endif %}"
    "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
QWEN3 = (
    "{%- set ns = namespace(last=-1) %}{%- for m in messages %}{%- if m.role == 'user' %}"
    "{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}"
    "{%- for m in messages %}{%- if m.role == 'assistant' %}{%- set said = m.content %}{%- set think = '' %}"
    "{%- if '</think>' in said %}{%- set think = said.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
    "{%- set said = said.split('</think>')[-1].lstrip('\n') %}{%- endif %}"
    "{%- if loop.index0 > ns.last and (loop.last or think) %}"
    "{{- '<|im_start|>assistant\n<think>\n' + think + '\n</think>\n\n' + said }}"
    "{%- else %}{{- '<|im_start|>assistant\n' + said }}{%- endif %}{{- '<|im_end|>\n' }}"
    "{%- else %}{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
)
PHI3 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
LLAMA3 = (
    "{{- bos_token }}{%- for m in messages %}{{- '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' }}"
    "{{- m.content | trim + '<|eot_id|>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"
)


def sentences() -> list[str]:
    """What the tokenizers are trained on."""
    made = [f"在{a}{c}{b}要看第{i}天的氣溫{i % 37}度，先包裝再保存。" for i, (a, b, c) in enumerate(_triples())]
    return [
        *made,
        *(f"How to grow {b} in {a}, step {len(a) + len(b)}? It's easy:\n\n  water it." for a, b, _ in _triples()),
    ]


def _triples() -> list[tuple[str, str, str]]:
    return [(a, b, c) for a in PLACES for b in FRUIT for c in VERBS]


def conversations(turns: int = 1, count: int = 40) -> list[list[dict[str, str]]]:
    """Questions with answers, `turns` of them in each conversation."""
    made = []
    for place in range(count):
        said: list[dict[str, str]] = []
        for turn in range(turns):
            a, b, c = _triples()[(place * 7 + turn * 3) % 100]
            said.append({"role": "user", "content": f"{a}怎麼{c}{b}？第{place}題"})
            said.append({"role": "assistant", "content": f"在{a}{c}{b}要看第{place % 9}天的氣溫，先包裝再保存。"})
        made.append(said)
    return made


def byte_level(split: str | None, form: str | None, special: list[str], **model: Any) -> Any:
    """A byte-level BPE (GPT-2, Qwen, Llama 3) as a `tokenizers.Tokenizer`; `special` come after its pieces."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE(**model))
    backend.normalizer = getattr(normalizers, form)() if form else None
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split is None)
    steps = [pre_tokenizers.Split(Regex(split), "isolated"), level] if split else []
    backend.pre_tokenizer = pre_tokenizers.Sequence(steps) if split else level
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(sentences(), trainer)
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    backend.decoder = decoders.ByteLevel()
    return backend


def sentencepiece(special: list[Any], prefix: str) -> Any:
    """A BPE with byte fallback (Mistral, Phi-3, Llama 2), its pieces numbered by rank. `prefix`: "legacy" as the
    tokenizer.json of the hub has it, or a scheme of Metaspace ("first", "never", "always") as transformers 5 makes."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizers.Replace(" ", "▁")
    trainer = trainers.BpeTrainer(vocab_size=500, show_progress=False)
    backend.train_from_iterator(sentences(), trainer)
    from json import loads

    trained = loads(backend.to_str())["model"]
    order = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    merges = [tuple(merge) for merge in trained["merges"]]
    joined = list(dict.fromkeys("".join(merge) for merge in merges))
    letters = [piece for piece in trained["vocab"] if piece not in joined]
    vocabulary = {piece: place for place, piece in enumerate([*order, *joined, *letters])}
    backend = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    if prefix == "legacy":
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        backend.pre_tokenizer = pre_tokenizers.Metaspace("▁", prefix, split=False)
    backend.add_special_tokens(["<unk>", "<s>", "</s>"])
    for token in special:
        backend.add_special_tokens([token])
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return backend


def _qwen2() -> tuple[Any, Any, dict[str, Any], str | None]:
    from transformers import Qwen2Config

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    backend = byte_level(QWEN_SPLIT.replace("{DIGITS}", ""), "NFC", special)
    return backend, Qwen2Config, {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}, CHATML


def _qwen3() -> tuple[Any, Any, dict[str, Any], str | None]:
    from tokenizers import AddedToken
    from transformers import Qwen3Config

    backend, _, named, _ = _qwen2()
    backend.add_tokens([AddedToken(token, special=False, normalized=False) for token in ("<think>", "</think>")])
    return backend, Qwen3Config, named, QWEN3


def _llama3() -> tuple[Any, Any, dict[str, Any], str | None]:
    from tokenizers import pre_tokenizers, processors
    from transformers import LlamaConfig

    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    backend = byte_level(QWEN_SPLIT.replace("{DIGITS}", "{1,3}"), None, special, ignore_merges=True)
    first = backend.token_to_id("<|begin_of_text|>")
    template = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", first)]
    )
    backend.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    assert pre_tokenizers
    return backend, LlamaConfig, {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}, LLAMA3


def _mistral() -> tuple[Any, Any, dict[str, Any], str | None]:
    from transformers import MistralConfig

    named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return sentencepiece(["[INST]", "[/INST]"], "legacy"), MistralConfig, named, MISTRAL


def _phi3() -> tuple[Any, Any, dict[str, Any], str | None]:
    from tokenizers import AddedToken
    from transformers import Phi3Config

    plain = ["<|endoftext|>"]
    stripping = ["<|assistant|>", "<|system|>", "<|end|>", "<|user|>"]
    special = [*plain, *(AddedToken(token, rstrip=True, special=True, normalized=False) for token in stripping)]
    named = {"bos_token": "<s>", "eos_token": "<|endoftext|>", "unk_token": "<unk>", "pad_token": "<|endoftext|>"}
    return sentencepiece(special, "legacy"), Phi3Config, named, PHI3


def _gpt2() -> tuple[Any, Any, dict[str, Any], str | None]:
    from transformers import GPT2Config

    named = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
    return byte_level(None, None, ["<|endoftext|>"]), GPT2Config, named, None


FAMILIES: dict[str, Callable[[], tuple[Any, Any, dict[str, Any], str | None]]] = {
    "qwen2": _qwen2, "qwen3": _qwen3, "llama3": _llama3, "mistral": _mistral, "phi3": _phi3, "gpt2": _gpt2,
}  # fmt: skip
_OWN: dict[str, dict[str, Any]] = {
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {"head_dim": 32, "tie_word_embeddings": True},
    "llama3": {
        "rope_parameters": {
            "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
        },
    },
    "mistral": {"sliding_window": None},
    "phi3": {"sliding_window": 1024},
}  # fmt: skip


def tokenizer_of(family: str) -> Any:
    """The tokenizer of a family, as transformers loads it."""
    from transformers import PreTrainedTokenizerFast

    backend, _, named, template = FAMILIES[family]()
    made = PreTrainedTokenizerFast(tokenizer_object=backend, clean_up_tokenization_spaces=False, **named)
    made.chat_template = template
    return made


def make(family: str, folder: Path, tokenizer: Any = None, **changed: Any) -> Path:
    """A model folder of that family with random weights; `changed` are fields of its configuration."""
    import torch
    from transformers import AutoModelForCausalLM

    kind = FAMILIES[family]()[1]
    tokenizer = tokenizer or tokenizer_of(family)
    torch.manual_seed(3)
    if family == "gpt2":
        given: dict[str, Any] = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 1024, "initializer_range": 0.2}
    else:
        given = SHAPE | _OWN[family]
    rows = -(-len(tokenizer) // 8) * 8
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    model = AutoModelForCausalLM.from_config(kind(**({"vocab_size": rows} | ids | given | changed)))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
