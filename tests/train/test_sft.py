"""train.sft as a step: from a split artifact to an adapter folder that peft reads."""

from __future__ import annotations

import json

import pytest
import torch

from danlu.artifact import Store
from danlu.errors import DataError, ModelError
from danlu.model import find, load, template
from danlu.records import Drop, Example, Message, ToolCall, read_jsonl, write_jsonl
from danlu.track import Track
from danlu.train.sft import Sft, SftSettings

QUIET = Track(quiet=True)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DANLU_CACHE", str(tmp_path / "cache"))


def example(number: int, answer: str = "丹爐是一座煉丹的爐子。") -> Example:
    messages = [Message(role="user", content=f"丹爐是什麼嗎？{number}"), Message(role="assistant", content=answer)]
    return Example(id=f"e{number}", messages=messages, document="d", start=0, end=1, method="qa")


def make(store: Store, folder, examples: list[Example], **settings):
    with store.draft("split") as draft:
        write_jsonl(draft.file("train.jsonl"), examples)
        data = store.commit(draft, {"id": "split", "kind": "split", "step": "split"})
    step = Sft(SftSettings(model=str(folder), data="split", learning_rate=1e-2, **settings))
    with store.draft("sft") as draft:
        step.run({"data": data}, draft, QUIET)
        return store.commit(draft, {"id": "sft", "kind": "adapter", "step": "sft"})


def test_the_adapter_learns_the_answer_and_its_stop_token(speaking, tmp_path):
    folder = speaking("base")
    made = make(Store(tmp_path / "store"), folder, [example(n) for n in range(8)], epochs=30)
    tokenizer = load.load_tokenizer(made.path)
    before, after = load.load_model(folder), load.load_model(made.path)
    ids, trained = template.encode(tokenizer, example(99).messages)
    start = trained.index(True)
    stop = ids[max(place for place, on in enumerate(trained) if on)]
    assert stop in template.stop_tokens(tokenizer)
    with torch.no_grad():
        made_ids = after.generate(torch.tensor([ids[:start]]), max_new_tokens=40, do_sample=False, eos_token_id=[stop])
        untrained = before.generate(torch.tensor([ids[:start]]), max_new_tokens=40, do_sample=False)
    assert tokenizer.decode(made_ids[0, start:]) == "丹爐是一座煉丹的爐子。<end_of_turn>"
    assert "丹爐是一座煉丹的爐子" not in tokenizer.decode(untrained[0, start:])


def test_the_artifact_says_which_weights_and_names_no_machine_path(speaking, tmp_path):
    folder = speaking("base")
    made = make(Store(tmp_path / "store"), folder, [example(n) for n in range(4)], epochs=1)
    assert json.loads(made.file("base.json").read_text()) == {
        "model": str(folder),
        "fingerprint": find.fingerprint(str(folder), "."),
    }
    assert made.file("chat_template.jinja").read_text() == load.load_tokenizer(folder).chat_template
    assert made.file("loss.png").read_bytes().startswith(b"\x89PNG")
    assert len(made.file("loss.jsonl").read_text().splitlines()) == 1
    assert not list(made.path.rglob("*.bin"))
    layers = json.loads(made.file("adapter_config.json").read_text())["target_modules"]
    assert layers == sorted(layers)
    assert len(layers) in (7, 14)  # peft names each layer in full where a short name would be ambiguous


def test_every_token_is_accounted_for(speaking, tmp_path):
    called = example(8)
    call = called.messages[-1].model_copy(update={"tool_calls": [ToolCall(name="look", arguments={})]})
    called = called.model_copy(update={"messages": [*called.messages[:-1], call]})
    examples = [*(example(n) for n in range(4)), example(9, "丹" * 200), called]
    made = make(Store(tmp_path / "store"), speaking("base"), examples, epochs=1, max_tokens=100)
    drops = list(read_jsonl(made.file("dropped.jsonl"), Drop))
    assert [(drop.id, drop.reason) for drop in drops] == [("e9", "too-long"), ("e8", "tool-call")]
    funnel = next(block for block in made.manifest["report"] if block["type"] == "funnel")
    assert (funnel["came"], funnel["kept"], funnel["dropped"]) == (6, 4, {"too-long": 1, "tool-call": 1})
    tokenizer = load.load_tokenizer(made.path)
    expected = sum(len(template.encode(tokenizer, one.messages)[0]) for one in examples[:4])
    rows = [json.loads(line) for line in made.file("loss.jsonl").read_text().splitlines()]
    assert sum(row["tokens"] for row in rows) == expected


def test_the_same_settings_make_the_same_bytes(speaking, tmp_path):
    folder, examples = speaking("base"), [example(n) for n in range(6)]
    contents = {make(Store(tmp_path / name), folder, examples, epochs=2, dropout=0.1).content for name in ("a", "b")}
    assert len(contents) == 1


def test_nothing_left_to_train_on_is_said(speaking, tmp_path):
    with pytest.raises(DataError, match="too-long"):
        make(Store(tmp_path / "store"), speaking("base"), [example(1)], max_tokens=8)


def test_a_stop_token_that_the_base_never_learnt_is_refused(speaking, tmp_path):
    """As in Gemma's base model: the row of <end_of_turn> is that of an unused token."""
    from safetensors.torch import load_file, save_file

    folder = speaking("base")
    tokenizer = load.load_tokenizer(folder)
    stop = tokenizer.convert_tokens_to_ids("<end_of_turn>")
    weights = load_file(folder / "model.safetensors")
    (rows,) = [value for name, value in weights.items() if "embed_tokens" in name]
    rows[stop] = rows[3] * 1.01
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"<end_of_turn> was never trained"):
        make(Store(tmp_path / "a"), folder, [example(1)])
    made = make(Store(tmp_path / "b"), folder, [example(1)], template="alpaca", epochs=1)
    assert "### Response" in made.file("chat_template.jinja").read_text()
