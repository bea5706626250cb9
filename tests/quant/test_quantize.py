"""quant.gguf: every format opens in llama.cpp, says what the model says, and has the same bytes each time."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from danlu.artifact import Artifact, Draft
from danlu.errors import GateError
from danlu.model.template import TEMPLATES
from danlu.quant.gguf import FORMATS, Gguf, check, write
from danlu.track import Track

LICENCE = {"licence": "Gemma Terms of Use", "terms": "https://ai.google.dev/gemma/terms"}


@pytest.fixture
def model(speaking, tmp_path):
    """Rows of 256 where K-quants apply, of 64 where they do not; nine layers, so that the rules for layers show."""
    folder = speaking(
        "merged", hidden_size=64, intermediate_size=256, num_hidden_layers=9, head_dim=32, query_pre_attn_scalar=32,
        layer_types=["full_attention" if (i + 1) % 6 == 0 else "sliding_attention" for i in range(9)],
    )  # fmt: skip
    return Artifact(folder, {"id": "m", "kind": "model", "licences": {"gemma": LICENCE}, "files": {}})


def export(model, folder, **settings) -> Draft:
    folder.mkdir()
    out = Draft(folder, folder)
    Gguf(Gguf.Settings(model="merged", **settings)).run({"model": model}, out, Track(quiet=True))
    return out


def test_every_format_opens_and_repeats_byte_for_byte(model, tmp_path):
    from danlu.model.llama import LlamaLogits

    first = export(model, tmp_path / "one", formats=list(FORMATS), name="tutor")
    second = export(model, tmp_path / "two", formats=list(FORMATS), name="tutor")
    files = json.loads((first.path / "formats.json").read_text())
    assert list(files) == list(FORMATS)
    for word, name in files.items():
        assert name == f"tutor-{word}.gguf"
        assert (first.path / name).read_bytes() == (second.path / name).read_bytes()
        with LlamaLogits(first.path / name, n_ctx=0) as opened:
            assert opened.metadata("general.license") == LICENCE["licence"]
            assert opened.metadata("general.license.link") == LICENCE["terms"]
            assert opened.metadata("general.file_type") == str(FORMATS[word][0])
    sizes = {word: first.metrics[f"bytes_{word}"] for word in FORMATS}
    assert sizes["f32"] > sizes["bf16"] > sizes["q8_0"] > sizes["q5_k_m"] > sizes["q4_k_m"]


def test_types_follow_llama_cpp(model, tmp_path):
    from gguf import GGUFReader

    write(model.path, tmp_path / "m.gguf", "q4_k_m", LICENCE, Track(quiet=True))
    kinds = {tensor.name: tensor.tensor_type.name for tensor in GGUFReader(tmp_path / "m.gguf").tensors}
    assert kinds["token_embd.weight"] == "Q8_0"  # tied to the output; rows of 64 are no multiple of 256
    assert kinds["blk.0.attn_q.weight"] == "Q5_0"
    assert kinds["output_norm.weight"] == kinds["blk.0.attn_q_norm.weight"] == "F32"
    # nine layers: more bits for the first eighth, the last eighth and every third between
    down = ["Q6_K", "Q4_K", "Q4_K", "Q6_K", "Q4_K", "Q4_K", "Q6_K", "Q6_K", "Q6_K"]
    assert [kinds[f"blk.{i}.ffn_down.weight"] for i in range(9)] == down


def test_the_vocabulary_can_come_from_tokenizer_json_alone(model, tmp_path):
    (model.path / "vocabulary.gguf").unlink()
    write(model.path, tmp_path / "m.gguf", "f32", LICENCE, Track(quiet=True))
    check(model.path, tmp_path / "m.gguf")


def test_a_file_that_speaks_otherwise_is_refused(model, tmp_path):
    write(model.path, tmp_path / "m.gguf", "f32", LICENCE, Track(quiet=True))
    template = model.path / "chat_template.jinja"
    template.write_text(template.read_text().replace("model", "aus"))
    with pytest.raises(GateError, match="template differs"):
        check(model.path, tmp_path / "m.gguf")


def test_a_typo_in_a_format_is_told_at_once():
    with pytest.raises(ValidationError, match="did you mean q4_k_m"):
        Gguf.Settings(model="merged", formats=["q4_k_n"])
    with pytest.raises(ValidationError, match="named twice"):
        Gguf.Settings(model="merged", formats=["q8_0", "q8_0"])


@pytest.mark.parametrize("template", TEMPLATES)
def test_llama_cpp_renders_the_same_conversation(model, tiny_vocabulary, tmp_path, template):
    """The template inside the file, run by llama.cpp's own Jinja engine, writes what training wrote, and llama.cpp
    stops at the token that was trained."""
    from danlu.model.llama import LlamaLogits
    from danlu.model.llama_server import LlamaServer
    from danlu.model.load import load_tokenizer
    from danlu.model.template import encode, ensure_template, render, text
    from danlu.model.tokens import tokenizer_of
    from danlu.records import Message

    names = {"<start_of_turn>": "<|im_start|>", "<end_of_turn>": "<|im_end|>"} if template == "chatml" else {}
    words = [names.get(word, word) for word in tiny_vocabulary["tokenizer.ggml.tokens"]]
    spoken = tokenizer_of(tiny_vocabulary | {"tokenizer.ggml.tokens": words}, "the test")
    ensure_template(spoken, template)
    spoken.save_pretrained(model.path)
    (model.path / "vocabulary.gguf").unlink()
    write(model.path, tmp_path / "m.gguf", "f32", LICENCE, Track(quiet=True))
    tokenizer = load_tokenizer(model.path)
    talk = [
        Message(role="system", content="丹爐"),
        Message(role="user", content="  爐是一座爐？ "),
        Message(role="assistant", content="是"),
        Message(role="user", content="煉模子\n\n的爐"),
    ]
    ids, trained = encode(tokenizer, talk[:3])
    stop = [token for token, learn in zip(ids, trained, strict=True) if learn][-1]
    with LlamaLogits(tmp_path / "m.gguf", n_ctx=0) as opened:
        assert opened.ends_generation(stop)
    server = LlamaServer(tmp_path / "m.gguf", context=256, slots=1)
    try:
        for messages in (talk, talk[1:2]):
            body = {"messages": [m.model_dump() for m in messages]}
            theirs = server._call("POST", "/apply-template", body)["prompt"]
            ours = text(tokenizer, messages, answer=True)
            assert theirs in (ours, ours.removeprefix("<bos>"))
            assert server.count(messages) == len(render(tokenizer, messages, answer=True))
    finally:
        server.close()
