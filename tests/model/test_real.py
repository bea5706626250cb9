"""The built-in models themselves, where their packages are installed: tokens, logits and templates as in llama.cpp."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from danlu.model.catalog import CATALOG
from danlu.model.find import locate, state
from danlu.records import Message

HERE = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", params=list(CATALOG))
def name(request):
    if state(CATALOG[request.param]) == "missing":
        pytest.skip(f"danlu model pull {request.param} installs this model")
    return request.param


@pytest.fixture(scope="module")
def source(name, tmp_path_factory):
    """The model's GGUF as its package has it."""
    parts = CATALOG[name].parts()
    if not parts:
        pytest.skip(f"danlu model pull {name} installs this model")
    if len(parts) == 1:
        return parts[0]
    path = tmp_path_factory.mktemp("whole") / "model.gguf"
    with path.open("wb") as out:
        for part in parts:
            out.write(part.read_bytes())
    return path


@pytest.fixture(scope="module")
def tokenizer(name):
    from danlu.model.load import load_tokenizer

    return load_tokenizer(locate(name))


def strings() -> list[str]:
    rng = random.Random(0)
    ranges = [(32, 0x3000), (0x4E00, 0x9FFF), (0x1F300, 0x1FAFF), (0x20000, 0x2A6DF)]
    pages = [path.read_text(encoding="utf-8") for path in sorted((HERE / "handbook").glob("*.md"))]
    pages += [path.read_text(encoding="utf-8") for path in sorted((HERE / "danlu").glob("*.py"))]
    found = ["", " ", "\n", " " * 70 + "x", "a\t\tb\n\n\nc", "don't I'll 3.14 ２０２４"]
    found += ["\U0001f469\u200d\U0001f467\U0001f1f9\U0001f1fc"]
    found += ["e\u0301é\ufeff\u200b\r\n", "<start_of_turn>user\nhi<end_of_turn>", "<|im_start|>"]
    found += ["<unused3><h1>[multimodal]"]
    for _ in range(1000):
        page = rng.choice(pages)
        start = rng.randrange(len(page))
        found.append(page[start : start + rng.randrange(1, 300)])
    for _ in range(500):
        letters = [chr(rng.randrange(*rng.choice(ranges))) for _ in range(rng.randrange(1, 30))]
        found.append("".join(rng.choice([letter, " ", "\n", "the "]) for letter in letters for _ in (0, 1)))
    return found


def test_tokens_are_llama_cpp_s_on_1500_strings_and_come_back(source, tokenizer):
    from danlu.model.llama import LlamaLogits

    texts = strings()
    assert len(texts) > 1500
    with LlamaLogits(source, n_ctx=0) as opened:
        wrong = [t for t in texts if opened.tokenize(t, True) != tokenizer(t, add_special_tokens=False).input_ids]
    assert wrong == []
    assert [t for t in texts if tokenizer.decode(tokenizer(t, add_special_tokens=False).input_ids) != t] == []


def test_logits_are_llama_cpp_s(name, source, tokenizer, tmp_path):
    """Against the model written back as f32 (equal arithmetic), and against the package's own quantized file, where
    llama.cpp rounds activations to 8 bits as well."""
    import torch

    from danlu.model.llama import LlamaLogits
    from danlu.model.load import load_model
    from danlu.quant.gguf import write
    from danlu.track import Track

    folder = locate(name)
    text = "監督式微調只在答案上計算損失。The loss is computed at the answer's positions only, 因為提示不是要學的。" * 2
    ids = tokenizer(text).input_ids[:120]
    with torch.inference_mode():
        ours = load_model(folder)(torch.tensor([ids])).logits[0].log_softmax(-1)
    write(folder, tmp_path / "m.gguf", "f32", {"licence": "", "terms": ""}, Track(quiet=True))
    for path, top, kl in ((tmp_path / "m.gguf", 0.99, 1e-5), (source, 0.85, 0.05)):
        with LlamaLogits(path, n_ctx=128) as opened:
            theirs = torch.tensor(opened.logits(ids)).log_softmax(-1)
        assert (ours.argmax(-1) == theirs.argmax(-1)).float().mean() >= top
        assert (ours.exp() * (ours - theirs)).sum(-1).mean() < kl


def test_the_stop_token_is_trained_saved_and_known_to_llama_cpp(name, source, tokenizer):
    import json

    from danlu.model.llama import LlamaLogits
    from danlu.model.template import encode, stop_tokens

    talk = [Message(role="user", content="什麼是量化？"), Message(role="assistant", content="以較少的位元儲存權重。")]
    ids, trained = encode(tokenizer, talk)
    last = max(i for i, learn in enumerate(trained) if learn)
    assert ids[last] in stop_tokens(tokenizer)
    generation = json.loads((locate(name) / "generation_config.json").read_text(encoding="utf-8"))
    assert ids[last] in generation["eos_token_id"]
    with LlamaLogits(source, n_ctx=0) as opened:
        assert opened.ends_generation(ids[last])


def test_smollm2_s_own_template_renders_in_llama_cpp_as_here(name, source, tokenizer):
    """The package's gemma has no template; tests/quant shows the same for the named ones."""
    from danlu.model.llama_server import LlamaServer
    from danlu.model.template import render, text

    if name != "smollm2-135m-instruct":
        pytest.skip(f"the file of {name} carries no template")
    turns = (("user", "Hi 你好"), ("assistant", "Yes."), ("user", "?"))
    talk = [Message(role=role, content=content) for role, content in turns]
    server = LlamaServer(source, context=512, slots=1)
    try:
        for messages in (talk, talk[:1], [Message(role="system", content="Be brief."), *talk[:1]]):
            body = {"messages": [message.model_dump() for message in messages]}
            assert server._call("POST", "/apply-template", body)["prompt"] == text(tokenizer, messages, answer=True)
            assert server.count(messages) == len(render(tokenizer, messages, answer=True))
    finally:
        server.close()
