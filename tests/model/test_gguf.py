"""GGUF and Hugging Face folders say the same: tensors, tokens and logits, on small random models."""

from __future__ import annotations

import pytest

from danlu.errors import ModelError
from danlu.model.gguf import ARCHITECTURES, Source, from_gguf, gguf_tensor_name, tensor_name, to_gguf
from danlu.track import Track

LICENCE = {"licence": "Apache-2.0", "terms": "https://www.apache.org/licenses/LICENSE-2.0"}


@pytest.fixture(scope="module")
def llama():
    """A factory of small random Llama models (grouped queries, RoPE rows that GGUF interleaves)."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    def make(size, **changed):
        torch.manual_seed(1)
        given = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
                 "num_key_value_heads": 2, "head_dim": 16, "vocab_size": size, "tie_word_embeddings": False,
                 "bos_token_id": 2, "eos_token_id": 1, "max_position_embeddings": 128}  # fmt: skip
        model = LlamaForCausalLM(LlamaConfig(**(given | changed))).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.05 * torch.randn_like(parameter)
        return model

    return make


@pytest.fixture(params=["gemma3", "llama"])
def folder(request, speaking, llama, tiny_tokenizer, tmp_path):
    if request.param == "gemma3":
        return speaking("gemma", rms_norm_eps=1e-5)
    llama(len(tiny_tokenizer)).save_pretrained(tmp_path / "llama")
    tiny_tokenizer.save_pretrained(tmp_path / "llama")
    return tmp_path / "llama"


def test_names_and_values_go_there_and_back():
    import numpy as np

    config = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6, "hidden_size": 24}
    for row in ARCHITECTURES:
        for stem in row.names:
            name = f"blk.7.{stem}.weight" if stem not in ("token_embd", "output_norm", "output") else f"{stem}.weight"
            assert gguf_tensor_name(row, tensor_name(row, name)) == name
            theirs = tensor_name(row, name)
            rows = 12 if ".k_proj." in theirs else 24
            values = np.random.default_rng(0).standard_normal((rows, 24)).astype(np.float32)
            back = from_gguf(row, theirs, to_gguf(row, theirs, values, config), config)
            assert np.allclose(back, values, atol=1e-6)


def test_round_trip_keeps_every_tensor_and_setting(folder, tmp_path):
    import numpy as np
    from safetensors.numpy import load_file

    from danlu.model.gguf import read_config
    from danlu.quant.gguf import write

    write(folder, tmp_path / "m.gguf", "f32", LICENCE, Track(quiet=True))
    source = Source(tmp_path / "m.gguf")
    weights = load_file(folder / "model.safetensors")
    back = dict(source.tensors())
    assert back.keys() == weights.keys()
    for name, values in weights.items():
        assert np.allclose(back[name], values, rtol=0, atol=1.2e-7), name
    config, wanted = source.config(), read_config(folder)
    for key in ("hidden_size", "num_hidden_layers", "head_dim", "rms_norm_eps", "tie_word_embeddings", "vocab_size"):
        assert config[key] == wanted[key], key


def test_llama_cpp_gives_the_same_logits_and_tokens(folder, tmp_path):
    import torch

    from danlu.model.llama import LlamaLogits
    from danlu.model.load import load_model, load_tokenizer
    from danlu.quant.gguf import check, write

    write(folder, tmp_path / "m.gguf", "f32", LICENCE, Track(quiet=True))
    check(folder, tmp_path / "m.gguf")
    tokenizer = load_tokenizer(folder)
    ids = tokenizer("丹爐是一座煉模子的爐 aus mousse\n爐爐").input_ids
    with torch.inference_mode():
        ours = load_model(folder)(torch.tensor([ids])).logits[0]
    with LlamaLogits(tmp_path / "m.gguf", n_ctx=128) as opened:
        theirs = torch.tensor(opened.logits(ids))
        again = torch.tensor(opened.logits(ids))
    assert torch.equal(theirs, again)
    assert len(ids) > 16  # longer than Gemma's window here
    assert (ours - theirs).abs().max() < 2e-3 * ours.abs().max()
    assert torch.equal(ours.argmax(-1), theirs.argmax(-1))


@pytest.mark.parametrize("keep", [3, 100, 4000, -64])
def test_a_file_cut_short_is_told(folder, tmp_path, keep):
    from danlu.quant.gguf import write

    write(folder, tmp_path / "m.gguf", "f32", LICENCE, Track(quiet=True))
    (tmp_path / "cut.gguf").write_bytes((tmp_path / "m.gguf").read_bytes()[:keep])
    with pytest.raises(ModelError, match="damaged or cut short"):
        Source(tmp_path / "cut.gguf")


def test_what_llama_cpp_can_not_express_is_refused(tiny, tiny_tokenizer, tmp_path):
    from danlu.quant.gguf import write

    tiny(layer_types=["full_attention", "sliding_attention"]).save_pretrained(tmp_path / "odd")
    tiny_tokenizer.save_pretrained(tmp_path / "odd")
    with pytest.raises(ModelError, match="no such Gemma 3"):
        write(tmp_path / "odd", tmp_path / "m.gguf", "f32", LICENCE, Track(quiet=True))
    assert not (tmp_path / "m.gguf").exists()


def test_a_damaged_file_does_not_open_in_llama_cpp(tmp_path):
    from danlu.model.llama import LlamaLogits

    (tmp_path / "m.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ModelError, match="cannot load"):
        LlamaLogits(tmp_path / "m.gguf")
