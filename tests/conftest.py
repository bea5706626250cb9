"""Models and a tokenizer small enough to make in a test."""

from __future__ import annotations

from pathlib import Path

import pytest

LONG = ("test_tutor.py", "test_shared_corpus.py", "test_on_ray.py", "test_handbook.py", "test_synth_requests.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The modules that take minutes begin first, so that no worker is left alone with one at the end (with
    --no-loadscope-reorder; by itself xdist begins with the modules that have the most tests)."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.fixture(scope="session")
def tiny():
    """A factory of small random Gemma 3 models with a sliding window shorter than the sequences."""
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    def make(seed: int = 0, **changed):
        torch.manual_seed(seed)
        given = {
            "vocab_size": 97,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 8,
            "sliding_window": 8,
            "layer_types": ["sliding_attention", "full_attention"],
            "query_pre_attn_scalar": 8,
            "pad_token_id": 0,
        }
        return Gemma3ForCausalLM(Gemma3TextConfig(**(given | changed))).eval()

    return make


@pytest.fixture(scope="session")
def tiny_vocabulary():
    """GGUF metadata of a SentencePiece vocabulary: control tokens, the bytes and a few pieces."""
    control = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    letters = "abcdefghijklmnopqrstuvwxyzABC丹爐是一座煉的子嗎？。"
    pieces = ["\n", "▁", *letters, "丹爐", "▁a", "us", "user", "mo"]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": control + [f"<0x{byte:02X}>" for byte in range(256)] + pieces,
        "tokenizer.ggml.scores": [0.0] * 262 + [-float(place) for place in range(len(pieces))],
        "tokenizer.ggml.token_type": [3, 3, 3, 2, 3, 3] + [6] * 256 + [1] * len(pieces),
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 3,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_space_prefix": False,
    }


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny_vocabulary):
    """The tokenizer of that vocabulary, with the gemma template."""
    from danlu.model.template import ensure_template
    from danlu.model.tokens import tokenizer_of

    tokenizer = tokenizer_of(tiny_vocabulary, "the test")
    ensure_template(tokenizer, "gemma")
    return tokenizer


@pytest.fixture
def speaking(tiny, tiny_tokenizer, tiny_vocabulary, tmp_path):
    """A factory of Hugging Face folders of tiny models that speak through `tiny_tokenizer` and fit into GGUF, laid out
    as those of the built-in models."""
    import gguf

    def make(name: str, seed: int = 0, **changed) -> Path:
        given = {"vocab_size": len(tiny_tokenizer), "layer_types": ["sliding_attention"] * 2, "sliding_window": 16}
        model = tiny(seed, **(given | {"bos_token_id": 2, "eos_token_id": 1} | changed))
        folder = tmp_path / name
        model.save_pretrained(folder)
        tiny_tokenizer.save_pretrained(folder)
        writer = gguf.GGUFWriter(folder / "vocabulary.gguf", "gemma3")
        for key, value in tiny_vocabulary.items():
            kind = gguf.GGUFValueType.UINT32 if key.endswith("_id") else gguf.GGUFValueType.get_type(value)
            inner = gguf.GGUFValueType.get_type(value[0]) if isinstance(value, list) else None
            writer.add_key_value(key, value, kind, sub_type=inner)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
        return folder

    return make


@pytest.fixture(scope="session")
def family(tmp_path_factory):
    """The folder of a tiny model of a family (`families.FAMILIES`), made once."""
    import families

    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = families.make(name, tmp_path_factory.mktemp("families") / name)
        return made[name]

    return folder
