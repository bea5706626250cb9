"""Every family that people start from: adapter = merged = GGUF through the real steps, and what is trained is what is
served, token for token."""

from __future__ import annotations

import json
import shutil
import unicodedata

import families
import pytest

from danlu.cli.main import main
from danlu.errors import ModelError
from danlu.model.load import load_tokenizer
from danlu.model.template import Unwritten, ensure_template, render, sequences, stop_tokens, text
from danlu.records import Message

CHAIN = """recipe: chain
steps:
  ex:     {{use: data.examples, paths: [ex.jsonl]}}
  split:  {{use: data.split, examples: ex}}
  sft:    {{use: train.sft, model: {model}, data: split, learning_rate: 0.01, epochs: 0.5, rank: 2{more}}}
  merged: {{use: merge.adapter, adapter: sft}}
  gguf:   {{use: quant.gguf, model: merged, formats: [f32, q8_0]}}
  parity: {{use: eval.parity, adapter: sft, merged: merged, gguf: gguf, data: split, tokens: 100, prompts: 2,
            max_tokens: 8}}
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("DANLU_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def write_chain(model, turns: int = 1, more: str = "") -> None:
    with open("ex.jsonl", "w", encoding="utf-8") as lines:
        for said in families.conversations(turns):
            lines.write(json.dumps({"messages": said}, ensure_ascii=False) + "\n")
    with open("chain.yaml", "w", encoding="utf-8") as recipe:
        recipe.write(CHAIN.format(model=model, more=more))


@pytest.mark.parametrize("name", families.FAMILIES)
def test_adapter_merged_and_gguf_are_one_model(family, tmp_path, capsys, name):
    write_chain(family(name), turns=2, more=", template: alpaca" if name == "gpt2" else "")
    assert main(["run", "chain.yaml", "--store", "s", "--track", "none"]) == 0, capsys.readouterr().err
    found = json.loads((tmp_path / "s" / "runs" / "chain" / "parity" / "parity.json").read_text(encoding="utf-8"))
    assert found["adapter"]["kl"] < 1e-6
    assert found["f32"]["kl"] < 1e-4
    assert found["f32"]["top1"] > 0.98


@pytest.mark.parametrize("name", families.FAMILIES)
def test_each_answer_is_trained_with_the_prompt_that_serving_makes(family, name):
    tokenizer = load_tokenizer(family(name))
    ensure_template(tokenizer)
    said = families.conversations(turns=3)[0]
    if name == "qwen3":
        said[1]["content"] = "<think>\n先想一想。\n</think>\n\n" + said[1]["content"]
    made = sequences(tokenizer, said)
    assert len(made) == (3 if name == "qwen3" else 1)
    learnt = [(ids, k) for ids, trained in made for k in starts(trained)]
    assert len(learnt) == 3
    stops = stop_tokens(tokenizer)
    for answer, (ids, start) in enumerate(learnt):
        prompt = render(tokenizer, said[: 2 * answer + 1], answer=True)
        assert ids[:start] == prompt
        trained = next(trained for held, trained in made if held is ids)
        end = trained.index(False, start) if False in trained[start:] else len(trained)
        assert ids[end - 1] in stops
        assert not set(ids[start : end - 1]) & set(stops)
        words = tokenizer.decode(ids[start : end - 1])
        assert words.split("</think>")[-1].strip() == said[2 * answer + 1]["content"].split("</think>")[-1].strip()


def starts(trained: list[bool]) -> list[int]:
    return [k for k, on in enumerate(trained) if on and (k == 0 or not trained[k - 1])]


def test_a_refused_system_turn_is_dropped_and_named(family, tmp_path):
    write_chain(family("mistral"))
    extra = [{"role": "system", "content": "你是農夫"}, *families.conversations()[0]]
    lines = (tmp_path / "ex.jsonl").read_text(encoding="utf-8").splitlines()
    lines.insert(20, json.dumps({"messages": extra}))
    (tmp_path / "ex.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = (tmp_path / "chain.yaml").read_text(encoding="utf-8").split("  merged:")[0]
    (tmp_path / "chain.yaml").write_text(text, encoding="utf-8")
    assert main(["run", "chain.yaml", "--store", "s", "--track", "none", "--set", "split.test_fraction=0.01"]) == 0
    folder = tmp_path / "s" / "runs" / "chain" / "sft"
    (drop,) = [json.loads(line) for line in (folder / "dropped.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (drop["reason"], drop["source"]) == ("template-refused", "ex.jsonl:21")
    assert "must alternate" in drop["detail"]


def test_what_a_template_refuses_is_told_apart_from_a_useless_template(family):
    tokenizer = load_tokenizer(family("mistral"))
    with pytest.raises(Unwritten, match="must alternate"):
        sequences(tokenizer, [Message(role="user", content="1"), Message(role="user", content="2"),
                              Message(role="assistant", content="3")])  # fmt: skip
    tokenizer.chat_template = tokenizer.chat_template.replace("+ eos_token", "")
    with pytest.raises(ModelError, match="no stop token") as caught:
        sequences(tokenizer, families.conversations()[0])
    assert not isinstance(caught.value, Unwritten)


@pytest.mark.parametrize("name", ["qwen2", "phi3"])
def test_what_llama_cpp_does_not_do_to_texts_is_done_at_its_border(family, tmp_path, name):
    from danlu.model.llama import LlamaFile
    from danlu.model.llama_server import LlamaServer
    from danlu.quant.gguf import write
    from danlu.track import Track

    write(family(name), tmp_path / "m.gguf", "f32", {"licence": "", "terms": ""}, Track(quiet=True))
    tokenizer = load_tokenizer(family(name))
    odd = [
        "cafe\u0301 要多少錢？",
        "\u3000\u3000第一段",
        "\uf900 \u212b\u0338",
        "a\u0338<|im_end|>b",
        "  兩格\n",
        "e\u0301 < e\u0301 >",
    ]
    server = LlamaServer(tmp_path / "m.gguf", context=256, slots=1)
    try:
        with LlamaFile(tmp_path / "m.gguf") as opened:
            for content in odd:
                asked = [Message(role="user", content=content)]
                wanted = render(tokenizer, asked, answer=True)
                assert opened.tokenize(text(tokenizer, asked, answer=True), special=True) == wanted, content
                plain = tokenizer(content, add_special_tokens=False).input_ids
                assert opened.tokenize(content, special=True) == plain, content
                assert server.count(asked) == len(wanted), content
    finally:
        server.close()
    assert any(unicodedata.normalize("NFC", content) != content for content in odd)


def refusal(capsys, *more: str) -> str:
    assert main(["plan", "chain.yaml", "--store", "s", *more]) == 7
    said = capsys.readouterr().err
    assert "next: " in said
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize(
    ("name", "changed", "what"),
    [
        ("mistral", {"sliding_window": 16}, "sees 16 tokens only"),
        ("qwen3", {"attention_bias": True}, "biases"),
        ("gpt2", {"activation_function": "relu"}, "activation_function"),
        ("gpt2", {"n_embd": 72}, "rows of 72"),
        ("llama3", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}, "dynamic"),
    ],
)
def test_the_plan_refuses_a_model_that_gguf_has_no_way_for(tmp_path, capsys, name, changed, what):
    write_chain(families.make(name, tmp_path / "model", **changed), more=", template: alpaca" if name == "gpt2" else "")
    assert what in refusal(capsys)


def test_the_plan_refuses_a_tokenizer_that_gguf_has_no_way_for(family, tmp_path, capsys):
    for name, change, what in (
        ("qwen2", lambda told: told.update(normalizer={"type": "Lowercase"}), "changes texts otherwise"),
        (
            "qwen2",
            lambda told: told["pre_tokenizer"]["pretokenizers"][0]["pattern"].update(Regex=r"\S+|\s+"),
            "no name",
        ),
        ("mistral", lambda told: told.update(normalizer={"type": "Prepend", "prepend": "▁"}), "spaces otherwise"),
    ):
        shutil.rmtree(tmp_path / "model", ignore_errors=True)
        shutil.copytree(family(name), tmp_path / "model")
        file = tmp_path / "model" / "tokenizer.json"
        told = json.loads(file.read_text(encoding="utf-8"))
        change(told)
        file.write_text(json.dumps(told), encoding="utf-8")
        write_chain("model")
        assert what in refusal(capsys)


def test_the_plan_counts_tokens_and_knows_layers(family, tmp_path, capsys):
    model = families.make(
        "qwen2", tmp_path / "model", vocab_size=520, pad_token_id=0, eos_token_id=1
    )  # the tokenizer has 526
    write_chain(model)
    assert "the tokenizer has 526 tokens, the embedding 520 rows" in refusal(capsys)
    write_chain(family("phi3"))
    for target in ("nope", "lm_head", "embed_tokens"):
        assert "choose from down_proj, gate_up_proj, o_proj, qkv_proj" in refusal(
            capsys, "--set", f"sft.targets=[{target}]"
        )
    assert "did you mean: qkv_proj" in refusal(capsys, "--set", "sft.targets=[o_proj, q_proj]")
    assert main(["plan", "chain.yaml", "--store", "s", "--set", "sft.targets=[qkv_proj]"]) == 0
    write_chain(family("gpt2"))
    assert "no chat template" in refusal(capsys)
