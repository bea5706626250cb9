from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from danlu.errors import DataError, ModelError
from danlu.eval.compare import MEASURES, Measured, answer_pair, change, scores, spread
from danlu.model import load, template

BITS, USAGE, CHOICE = MEASURES


def measured(**given) -> Measured:
    empty = {"bits": [], "characters": [], "answers": [], "hits": [], "written": [], "right": []}
    return Measured(**(empty | {key: list(map(float, value)) for key, value in given.items()}))


@pytest.fixture
def twice() -> tuple[Measured, Measured]:
    """A hard and an easy half; the second model is a little better at each example."""
    draw = np.random.default_rng(4)
    characters = draw.integers(10, 60, 120)
    bits = characters * np.where(np.arange(120) < 60, 2.0, 6.0) + draw.normal(0, 3, 120)
    return measured(bits=bits, characters=characters), measured(
        bits=bits - 0.3 * characters + draw.normal(0, 2, 120), characters=characters
    )


def test_a_change_is_paired(twice):
    before, after = twice
    value, error = change(BITS, before, after)
    a, b, n = np.array(before.bits), np.array(after.bits), np.array(before.characters)
    difference = (b - a).sum() / n.sum()
    by_hand = math.sqrt(120 / 119 * ((b - a - difference * n) ** 2).sum()) / n.sum()
    assert value == pytest.approx(difference)
    assert error == pytest.approx(by_hand)
    independent = math.hypot(*(scores(one)[0].stderr for one in twice))
    assert error < independent / 5
    assert value == pytest.approx(scores(after)[0].value - scores(before)[0].value)


def test_texts_that_each_model_wrote_itself_are_independent():
    before, after = measured(hits=[2, 1, 0, 3], written=[90, 80, 70, 60]), measured(hits=[0, 1, 0, 0], written=[50] * 4)
    value, error = change(USAGE, before, after)
    assert value == pytest.approx(1000 * (1 / 200 - 6 / 300))
    assert error == pytest.approx(math.hypot(scores(before)[0].stderr, scores(after)[0].stderr))


def test_no_hit_and_all_right_are_not_certain():
    (usage, choice) = scores(measured(hits=[0, 0], written=[300, 200], right=[1, 1, 1, 1]))
    assert (usage.value, usage.stderr) == (0.0, pytest.approx(1000 / 500))
    assert (choice.value, choice.stderr) == (1.0, pytest.approx(1 / 4))
    same = measured(right=[1, 0, 1, 1])
    assert change(CHOICE, same, same) == (0.0, pytest.approx(1 / 4))


def test_what_was_not_measured_has_no_score_and_one_item_no_error():
    assert scores(measured()) == []
    assert scores(measured(hits=[0, 0], written=[0, 0])) == []
    (one,) = scores(measured(right=[1]))
    assert (one.value, one.stderr, one.n) == (1.0, None, 1)


def test_the_spread_is_even_and_whole_when_there_are_few(held):
    assert spread(held, 10) == held
    assert [example.id for example in spread(held, 3)] == ["one", "three", "five"]


def test_the_last_answer_is_scored_after_the_whole_conversation(held, tiny_tokenizer):
    context, answer = answer_pair(tiny_tokenizer, held[2])
    assert tiny_tokenizer.decode(context) == (
        "<bos><start_of_turn>user\n爐子嗎？<end_of_turn>\n<start_of_turn>model\n是。<end_of_turn>\n"
        "<start_of_turn>user\n是什麼爐子？<end_of_turn>\n<start_of_turn>model\n"
    )
    assert tiny_tokenizer.decode(answer) == "是煉丹的爐子，也是一座丹爐。<end_of_turn>"


def test_a_conversation_that_ends_otherwise_is_refused(held, tiny_tokenizer):
    for count in (1, 3):
        cut = held[2].model_copy(update={"messages": held[2].messages[:count]})
        with pytest.raises(DataError, match="three does not end"):
            answer_pair(tiny_tokenizer, cut)


def bits_per_character(folder, held) -> float:
    """From transformers' own loss over the last answer's tokens, one conversation at a time."""
    model, tokenizer = load.load_model(folder), load.load_tokenizer(folder)
    nats = 0.0
    for example in held:
        ids, trained = template.encode(tokenizer, example.messages)
        start = len(ids) - trained[::-1].index(True) - 1
        while trained[start - 1]:
            start -= 1
        labels = [token if trained[i] and i >= start else -100 for i, token in enumerate(ids)]
        with torch.no_grad():
            loss = model(input_ids=torch.tensor([ids]), labels=torch.tensor([labels])).loss
        nats += float(loss) * sum(label != -100 for label in labels)
    return nats / math.log(2) / sum(len(example.messages[-1].content) for example in held)


@pytest.fixture
def compared(speaking, bench, held, tmp_path):
    """Runs eval.compare on two random models; returns its artifact and the two folders."""
    before, after = speaking("before", 1), speaking("after", 2)
    rows = [{"question": f"{i}？", "choices": ["丹爐", "一座爐子", "abc"], "answer": i % 3} for i in range(7)]
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def run(id: str = "scores", **changed):
        given = {"base": str(before), "answers": 4, "max_tokens": 6, "questions": path} | changed
        data = bench.split(given.pop("test", held))
        return bench.run("eval.compare", id, tuned=bench.folder(after, "model"), data=data, **given), before, after

    return run


def test_scores_and_table_are_what_the_models_do(compared, held):
    artifact, *folders = compared()
    found = json.loads(artifact.file("scores.json").read_text("utf-8"))
    table = next(part for part in artifact.manifest["report"] if part["title"].startswith("Before and after"))
    row = next(row for row in table["rows"] if row[0] == "bits_per_character")
    for name, folder, shown in zip(("base", "tuned"), folders, row[2:4], strict=True):
        score = next(score for score in found[name]["scores"] if score["name"] == "bits_per_character")
        assert score["value"] == pytest.approx(bits_per_character(folder, held), rel=1e-4)
        assert score["n"] == len(held)
        assert shown == f"{score['value']:.3f} ± {score['stderr']:.3f}"
        assert artifact.manifest["metrics"][f"bits_per_character.{name}"] == score["value"]
        assert [s["n"] for s in found[name]["scores"] if s["name"] == "multiple_choice"] == [7]


def test_samples_are_the_answers_side_by_side(compared, held):
    artifact, *_ = compared()
    rows = [json.loads(line) for line in artifact.file("samples.jsonl").read_text("utf-8").splitlines()]
    assert [row["reference"] for row in rows] == [one.messages[-1].content for one in spread(held, 4)]
    assert all(set(row) == {"prompt", "reference", "base", "tuned"} for row in rows)


def test_how_many_were_measured_is_said(compared):
    artifact, *_ = compared(examples=4)
    (text,) = [part for part in artifact.manifest["report"] if part["type"] == "text"]
    assert text["text"].startswith("4 of 6 held-out examples")


def test_the_same_bytes_again(compared):
    first, second = compared("first")[0], compared("second")[0]
    assert first.content == second.content
    assert first.manifest["report"] == second.manifest["report"]


def test_without_answers_and_questions_there_are_bits_alone(compared):
    artifact, *_ = compared(answers=0, questions=None)
    found = json.loads(artifact.file("scores.json").read_text("utf-8"))
    assert [score["name"] for score in found["tuned"]["scores"]] == ["bits_per_character"]
    assert artifact.file("samples.jsonl").read_text("utf-8") == ""


def test_a_single_answer_leaves_valid_json(compared):
    artifact, *_ = compared(answers=1)
    text = artifact.file("scores.json").read_text("utf-8")
    assert "Infinity" not in text
    assert "NaN" not in text


def test_too_few_examples_are_said(compared, held):
    with pytest.raises(DataError, match="at least two"):
        compared(test=held[:1])


def test_a_base_of_another_family_is_refused(compared, speaking, tiny_tokenizer):
    other = speaking("other")
    more = load.load_tokenizer(other)
    more.add_tokens(["another"])
    more.save_pretrained(other)
    with pytest.raises(ModelError, match="another vocabulary"):
        compared(base=str(other))
