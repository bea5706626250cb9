"""The gate on tiny models: a real adapter, its merge by peft, and real GGUF files."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model

from danlu.errors import DataError, GateError, ModelError
from danlu.eval.parity import Bound, chosen, report
from danlu.model import find, load, template
from danlu.model.llama import LlamaLogits
from danlu.quant.gguf import write
from danlu.track import Track

FILES = {"f32": "model-f32.gguf", "q8_0": "model-q8_0.gguf"}


def adapter_of(base, folder, tokenizer):
    """A random adapter that says something: its second matrices are not zero."""
    model = load.load_model(base)
    torch.manual_seed(9)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    base_json = {"model": str(base), "fingerprint": find.fingerprint(str(base), ".")}
    (folder / "base.json").write_text(json.dumps(base_json), encoding="utf-8")


def save_merged(adapter, folder, tokenizer, disturb: float = 0.0):
    merged = load.load_model(adapter).merge_and_unload()
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in merged.named_parameters():
            if "proj" in name:
                parameter.add_(torch.randn_like(parameter) * disturb)
    merged.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    shutil.copy(load.base_of(adapter) / "vocabulary.gguf", folder)


def save_gguf(model, folder):
    folder.mkdir()
    for word, name in FILES.items():
        write(model, folder / name, word, {"licence": "test", "terms": "test"}, Track(quiet=True))
    (folder / "formats.json").write_text(json.dumps(FILES), encoding="utf-8")


@pytest.fixture
def chain(speaking, bench, held, tiny_tokenizer, tmp_path, monkeypatch):
    """Folders base → adapter → merged → gguf, and a call that runs the gate on them (or on what is named instead)."""
    monkeypatch.setenv("DANLU_CACHE", str(tmp_path / "cache"))
    base = speaking("base", 6, initializer_range=0.3)
    adapter, merged, gguf = (tmp_path / name for name in ("adapter", "merged", "gguf"))
    adapter_of(base, adapter, tiny_tokenizer)
    save_merged(adapter, merged, tiny_tokenizer)
    save_gguf(merged, gguf)

    def run(id: str = "parity", **changed):
        given = {"adapter": adapter, "merged": merged, "gguf": gguf} | changed
        kinds = {"adapter": "adapter", "merged": "model", "gguf": "gguf"}
        inputs = {name: bench.folder(given.pop(name), kind) for name, kind in kinds.items()}
        return bench.run("eval.parity", id, **inputs, data=bench.split(given.pop("test", held)), **given)

    return run


def agreement(p: np.ndarray, q: np.ndarray) -> tuple[float, float]:
    """(sum of same top-1, sum of KL) over positions, in float64."""

    def logs(x):
        x = x.astype(np.float64) - x.max(-1, keepdims=True)
        return x - np.log(np.exp(x).sum(-1, keepdims=True))

    a, b = logs(p), logs(q)
    return float((p.argmax(-1) == q.argmax(-1)).sum()), float((np.exp(a) * (a - b)).sum())


def by_numpy(root, merged, sequences) -> dict[str, tuple[float, float]]:
    """Name → (share of the same top-1, mean KL)."""
    logits = {}
    for name, folder in (("merged", merged), ("adapter", "adapter")):
        model = load.load_model(root / folder)
        with torch.no_grad():
            logits[name] = [model(input_ids=torch.tensor([ids])).logits[0].numpy() for ids in sequences]
    for word, file in FILES.items():
        with LlamaLogits(root / "gguf" / file, n_ctx=128, threads=1) as opened:
            logits[word] = [opened.logits(ids) for ids in sequences]
    found = {}
    for name in ("adapter", *FILES):
        pairs = zip(logits["merged"], logits[name], strict=True)
        same, kl = np.sum([agreement(p, q) for p, q in pairs], axis=0) / sum(map(len, sequences))
        found[name] = (same, kl)
    return found


def test_one_model_in_every_form_passes_and_the_figures_are_numpys(chain, held, tmp_path, tiny_tokenizer):
    artifact = chain(tokens=5000)
    found = json.loads(artifact.file("parity.json").read_text("utf-8"))
    assert set(found) == {"adapter", *FILES}
    sequences = [template.encode(tiny_tokenizer, example.messages)[0] for example in held]
    for name, (top1, kl) in by_numpy(tmp_path, "merged", sequences).items():
        facts = found[name]
        assert facts["n"] == sum(map(len, sequences))
        assert facts["top1"] == pytest.approx(top1)
        assert facts["kl"] == pytest.approx(kl, rel=1e-2, abs=1e-7)
        assert artifact.manifest["metrics"][f"{name}.kl"] == facts["kl"]
    assert found["q8_0"]["kl"] > found["f32"]["kl"]


def test_the_steps_before_the_gate_pass_it(chain, bench, held, tmp_path):
    merged = bench.run("merge.adapter", "merged-step", adapter=bench.folder(tmp_path / "adapter", "adapter"))
    gguf = bench.run("quant.gguf", "gguf-step", model=merged, formats=list(FILES))
    assert chain(merged=merged.path, gguf=gguf.path, tokens=100).kind == "parity"


def test_the_same_bytes_again(chain):
    first, second = chain("first"), chain("second")
    assert first.content == second.content
    assert first.manifest["report"] == second.manifest["report"]


def test_a_merge_that_lost_something_stops_with_the_figures(chain, held, tmp_path, tiny_tokenizer):
    save_merged(tmp_path / "adapter", tmp_path / "broken", tiny_tokenizer, disturb=0.1)
    with pytest.raises(GateError, match=r"adapter .*f32 .*q8_0") as caught:
        chain(merged=tmp_path / "broken", tokens=5000)
    sequences = [template.encode(tiny_tokenizer, example.messages)[0] for example in held]
    expected = {}
    for name, (top1, kl) in by_numpy(tmp_path, "broken", sequences).items():
        assert kl > 1e-2
        expected |= {f"{name}.top1": top1, f"{name}.kl": kl}
    figures = {key: value for key, value in caught.value.figures.items() if not key.endswith(".answers")}
    assert figures == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("answers", "top1", "kl", "good"),
    [
        (0.8, 0.9, 0.1, True),
        (1.0, 1.0, 0.0, True),
        (0.766, 1.0, 0.0, True),  # two standard errors, of 0.0189 each, below
        (0.760, 1.0, 0.0, False),
        (1.0, 0.882, 0.0, True),  # 0.0102
        (1.0, 0.878, 0.0, False),
        (1.0, 1.0, 0.101, False),
        (1.0, 1.0, float("nan"), False),
    ],
)
def test_a_bound_holds_up_to_two_standard_errors_and_touching_it_is_within(bench, answers, top1, kl, good):
    results = {"f16": {"answers": answers, "answers_n": 500, "top1": top1, "kl": kl, "n": 1000}}
    bounds = {"f16": Bound(answers=0.8, top1=0.9, kl=0.1)}
    with bench.store.draft("report") as draft:
        if good:
            report(draft, results, bounds, "3 texts")
        else:
            with pytest.raises(GateError, match="f16"):
                report(draft, results, bounds, "3 texts")


def test_answers_are_compared_along_the_merged_models_own(chain, held, tmp_path, tiny_tokenizer):
    """transformers generates each answer alone; llama.cpp's choice at each of its tokens is counted by hand."""
    found = json.loads(chain(prompts=len(held), max_tokens=6).file("parity.json").read_text("utf-8"))
    model, stops = load.load_model(tmp_path / "merged"), template.stop_tokens(tiny_tokenizer)
    same = count = 0
    with LlamaLogits(tmp_path / "gguf" / FILES["q8_0"], n_ctx=128, threads=1) as opened:
        for example in held:
            prompt = template.render(tiny_tokenizer, example.messages[:-1], answer=True)
            made = model.generate(torch.tensor([prompt]), max_new_tokens=6, do_sample=False, eos_token_id=stops)[0]
            choice = opened.logits(made.tolist()).argmax(-1)[len(prompt) - 1 : -1]
            same += int((choice == made[len(prompt) :].numpy()).sum())
            count += len(choice)
    assert found["q8_0"]["answers_n"] == count
    assert found["q8_0"]["answers"] == pytest.approx(same / count)


def test_an_adapter_that_was_not_merged_stops(chain, tmp_path):
    with pytest.raises(GateError, match="adapter"):
        chain(merged=tmp_path / "base")


def test_weights_that_are_no_numbers_stop(chain, tmp_path, tiny_tokenizer):
    save_merged(tmp_path / "adapter", tmp_path / "broken", tiny_tokenizer, disturb=float("nan"))
    with pytest.raises(GateError, match="KL nan"):
        chain(merged=tmp_path / "broken")


def test_the_bounds_of_the_recipe_replace_the_defaults(chain):
    with pytest.raises(GateError, match=r"broken: q8_0 \("):
        chain(bounds={"q8_0": {"top1": 0.5, "kl": 1e-12}})
    assert chain(bounds={"q8_0": {"kl": 9.0}}).kind == "parity"


def test_another_template_in_the_gguf_stops(chain, tmp_path, tiny_tokenizer):
    other = tmp_path / "other"
    save_merged(tmp_path / "adapter", other, tiny_tokenizer)
    (other / "chat_template.jinja").write_text(tiny_tokenizer.chat_template + "{# other #}", encoding="utf-8")
    with pytest.raises(GateError, match="another chat template"):
        chain(merged=other)


def test_other_tokens_when_served_stop(chain, tmp_path, tiny_tokenizer):
    """The tokenizer of the merged model no longer joins 丹 and 爐, llama.cpp still does."""
    other = tmp_path / "other"
    save_merged(tmp_path / "adapter", other, tiny_tokenizer)
    backend = json.loads((other / "tokenizer.json").read_text("utf-8"))
    backend["model"]["merges"] = [pair for pair in backend["model"]["merges"] if list(pair) != ["丹", "爐"]]
    (other / "tokenizer.json").write_text(json.dumps(backend), encoding="utf-8")
    with pytest.raises(GateError, match="example one is other tokens when served, from token"):
        chain(merged=other)


def test_another_vocabulary_is_refused(chain, tmp_path, speaking, tiny_tokenizer):
    wide = speaking("wide", vocab_size=len(tiny_tokenizer) + 8)
    with pytest.raises(ModelError, match="in its vocabulary"):
        chain(merged=wide)


def test_a_format_without_a_bound_is_named_before_any_work(chain, tmp_path):
    (tmp_path / "gguf" / "formats.json").write_text(json.dumps(FILES | {"iq2_xs": "none.gguf"}), encoding="utf-8")
    with pytest.raises(DataError, match="no parity bound for the format iq2_xs"):
        chain()


def test_no_held_out_conversation_is_said(chain):
    with pytest.raises(DataError, match="no held-out conversation"):
        chain(test=[])


def test_whole_conversations_in_order_until_there_are_enough(held, tiny_tokenizer):
    lengths = [len(template.encode(tiny_tokenizer, example.messages)[0]) for example in held]
    for wanted, count in ((1, 1), (lengths[0], 1), (lengths[0] + 1, 2), (10**6, len(held))):
        taken = chosen(tiny_tokenizer, held, wanted)
        assert [example.id for example, _ in taken] == [example.id for example in held[:count]]


def test_how_many_were_compared_is_said(chain, held):
    artifact = chain(tokens=50)
    (table,) = [part for part in artifact.manifest["report"] if part["type"] == "table"]
    taken, total = map(int, re.search(r"(\d+) of (\d+) held-out", table["title"]).groups())
    assert 0 < taken < total == len(held)
