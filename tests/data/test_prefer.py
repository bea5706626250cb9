"""data.prefer and data.best_of: which two of several answers make a pair."""

import json
import re
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from danlu.artifact import Artifact, digest
from danlu.data import best_of
from danlu.data.best_of import BestOfSettings
from danlu.data.rankings import PairSettings, Scored, chosen
from danlu.errors import DataError, ModelError
from danlu.model.chat import Delta
from danlu.model.named import Opened
from danlu.records import Drop, Example, Message, Preference, read_jsonl, write_jsonl


def loaded(artifact: Artifact) -> SimpleNamespace:
    records = list(read_jsonl(artifact.file("preferences.jsonl"), Preference))
    drops = list(read_jsonl(artifact.file("dropped.jsonl"), Drop))
    funnel = next(entry for entry in artifact.manifest["report"] if entry["type"] == "funnel")
    assert funnel["came"] == funnel["kept"] + len(drops)
    return SimpleNamespace(records=records, reasons=funnel["dropped"], came=funnel["came"], drops=drops)


def jsonl(path: Path, *records: object) -> Path:
    path.write_text("\n".join(json.dumps(one, ensure_ascii=False) for one in records), encoding="utf-8")
    return path


# --- rankings ---

SCORED = st.lists(st.builds(Scored, st.text("甲乙丙丁", min_size=1, max_size=2), st.integers(-3, 3)), max_size=6)


@given(SCORED, st.sampled_from(["best-worst", "neighbours", "all"]), st.integers(0, 3))
def test_the_better_always_scores_higher_by_the_margin(answers, pairs, margin):
    found = list(chosen(answers, PairSettings(pairs=pairs, margin=margin)))
    for better, worse in found:
        assert better.score - worse.score >= max(margin, 1)
        assert better.answer != worse.answer
    scores = {one.answer: max(other.score for other in answers if other.answer == one.answer) for one in answers}
    spread = max(scores.values(), default=0) - min(scores.values(), default=0)
    if pairs == "best-worst":
        assert len(found) == (spread >= max(margin, 1))
    if pairs == "all":
        values = list(scores.values())
        apart = [abs(a - b) for at, a in enumerate(values) for b in values[:at]]
        assert len(found) == sum(one >= max(margin, 1) for one in apart)


def test_every_shape_of_a_ranking_is_read(steps, tmp_path):
    path = jsonl(
        tmp_path / "a.jsonl",
        {"prompt": "一？", "answers": [{"text": "壞", "score": 1}, {"text": "好", "score": 4.5}], "topic": "x"},
        {"prompt": [{"role": "user", "content": "二？"}], "answers": ["壞", "好"], "scores": [0, 1]},
        {"prompt": "三？", "answers": ["好", "中", "壞"], "system": "助理"},
        {"instruction": "四？", "completions": [{"response": "好", "rank": 1}, {"response": "壞", "rank": 2}]},
        {"prompt": "五？", "answers": [{"text": "同", "score": 2}, {"text": "別", "score": 2}]},
        {"prompt": "六？", "answers": ["同", "同"]},
        {"prompt": "七？", "answers": ["一個"]},
        {"prompt": "八？", "answers": [{"text": "沒有分數"}, {"text": "也沒有"}]},
        {"prompt": "九？", "answers": ["甲", "乙"], "scores": [1]},
        {"prompt": "十？"},
    )
    made = steps("data.prefer", paths=[path])
    result = loaded(made)
    assert [(one.chosen, one.rejected) for one in result.records] == [("好", "壞")] * 4
    assert result.records[0].meta == {"topic": "x", "chosen_score": 4.5, "rejected_score": 1.0, "margin": 3.5}
    assert result.records[2].prompt[0] == Message(role="system", content="助理")
    assert result.records[3].source == "a.jsonl:4"
    assert result.reasons == {"missing-field": 1, "one-answer": 1, "same-answers": 1, "tie": 1, "wrong-type": 2}
    assert {drop.source: drop.reason for drop in result.drops}["a.jsonl:5"] == "tie"
    both = loaded(steps("data.prefer", paths=[path], pairs="neighbours", margin=1))
    assert [one.chosen + one.rejected for one in both.records] == ["好壞", "好壞", "好中", "中壞", "好壞"]
    wide = loaded(steps("data.prefer", paths=[path], margin=3))
    assert len(wide.records) == 1
    with pytest.raises(DataError, match="tie 5"):
        steps("data.prefer", paths=[path], margin=9)


# --- best of n ---


class Writer:
    """A Chat whose n-th answer depends on the seed alone: 答0, 答1, …; `cut` names a seed that gets no answer."""

    def __init__(self, same: bool = False) -> None:
        self.same, self.asked = same, 0

    def stream(self, messages, options):
        self.asked += 1
        yield Delta("答" if self.same else f"{messages[-1].content}答{options.seed}" if options.seed != 6 else "")
        yield Delta(finish="stop")


class Judge:
    """Prefers the larger number; `favours` the first always, or answers in no shape at all."""

    def __init__(self, manner: str = "fair") -> None:
        self.manner, self.asked = manner, 0

    def stream(self, messages, options):
        self.asked += 1
        first, second = (int(found) for found in re.findall(r"答(\d+)\"", messages[-1].content))
        better = "甲" if self.manner == "first" or first > second else "乙"
        verdict = json.dumps({"reason": "數字大", "better": better}, ensure_ascii=False)
        yield Delta("我覺得都不錯。" if self.manner == "chatty" else verdict)
        yield Delta(finish="stop")


@pytest.fixture
def chats(monkeypatch):
    """Chats by name, in place of those that a name would open."""
    known = {}

    @contextmanager
    def opened(name, *rest, **more):
        yield Opened(known[name], name, 2)

    monkeypatch.setattr("danlu.data.requests.opened", opened)
    return known


def held(steps, *questions: str) -> Artifact:
    records = [
        Example(
            id=f"e{at}",
            messages=[Message(role="user", content=asked), Message(role="assistant", content=f"{asked}答99")],
            document="d",
        )
        for at, asked in enumerate(questions)
    ]
    with steps.store.draft(digest(list(questions))[:16]) as draft:
        write_jsonl(draft.file("examples.jsonl"), records)
        write_jsonl(draft.file("dropped.jsonl"), [])
        return steps.store.commit(draft, {"id": digest(list(questions))[:16], "kind": "examples", "step": "test"})


def test_a_judge_compares_in_both_orders(steps, chats):
    chats.update(writer=Writer(), judge=Judge())
    made = steps("data.best_of", examples=held(steps, "一？", "二？"), chat="writer", judge="judge", n=3, attempts=1)
    result = loaded(made)
    assert [(one.chosen, one.rejected) for one in result.records] == [("一？答2", "一？答0"), ("二？答2", "二？答0")]
    assert result.records[0].document == "d"
    assert result.records[0].meta == {"origin": "e0", "chosen_score": 1.0, "rejected_score": 0.0, "margin": 1.0}
    assert chats["writer"].asked == 6
    assert chats["judge"].asked == 2 * 3 * 2
    assert set(made.licences) >= {"writer", "judge"}
    table = next(entry for entry in made.manifest["report"] if entry.get("title") == "Answers")
    assert dict(table["rows"])["verdict turned with the order"] == 0
    every = {"pairs": "all", "reference": True}
    more = loaded(steps("data.best_of", examples=held(steps, "一？"), chat="writer", judge="judge", n=2, **every))
    assert [one.chosen[-2:] + one.rejected[-2:] for one in more.records] == ["99答2", "99答0", "答2答0"]


def test_a_judge_that_favours_a_place_decides_nothing(steps, chats):
    chats.update(writer=Writer(), judge=Judge("first"))
    with pytest.raises(DataError, match="tie 2"):
        steps("data.best_of", examples=held(steps, "一？", "二？"), chat="writer", judge="judge", n=2)


def test_answers_and_verdicts_that_cannot_be_read_are_counted(steps, chats):
    chats.update(writer=Writer(), judge=Judge("chatty"), same=Writer(same=True), fair=Judge())
    with pytest.raises(DataError, match="unjudged 1"):
        steps("data.best_of", examples=held(steps, "一？"), chat="writer", judge="judge", n=2)
    with pytest.raises(DataError, match="same-answers 1"):
        steps("data.best_of", examples=held(steps, "一？"), chat="same", judge="fair", n=3)
    made = steps("data.best_of", examples=held(steps, "一？"), chat="writer", judge="fair", n=7, attempts=1)
    table = next(entry for entry in made.manifest["report"] if entry.get("title") == "Answers")
    assert dict(table["rows"])["answers that could not be had"] == 1
    assert loaded(made).records[0].chosen == "一？答5"


class Longest:
    def scores(self, conversations):
        return [float(one[-1].content.split("答")[1]) for one in conversations]


def test_a_reward_model_scores(steps, chats, monkeypatch):
    chats.update(writer=Writer())
    monkeypatch.setattr(best_of, "opened_reward", lambda name: Longest())
    settings = {"examples": held(steps, "一？"), "chat": "writer", "reward": "x", "n": 3, "attempts": 1}
    made = loaded(steps("data.best_of", **settings))
    assert [(one.chosen, one.rejected) for one in made.records] == [("一？答2", "一？答0")]
    assert made.records[0].meta["margin"] == 2.0
    with pytest.raises(DataError, match="tie 1"):
        steps("data.best_of", **settings, margin=2.5)


def test_a_reward_model_folder(tiny_tokenizer, tmp_path):
    import torch
    from transformers import Gemma3TextConfig, Gemma3TextForSequenceClassification

    from danlu.data.reward import Reward

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    heads = {"num_key_value_heads": 1, "head_dim": 8, "pad_token_id": 0, "max_position_embeddings": 400}
    config = Gemma3TextConfig(vocab_size=len(tiny_tokenizer), num_labels=1, **sizes, **heads)
    model = Gemma3TextForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path / "reward")
    tiny_tokenizer.save_pretrained(tmp_path / "reward")
    talks = [[Message(role="user", content="a" * at), Message(role="assistant", content="b" * at)] for at in (3, 9, 1)]
    reward = Reward(str(tmp_path / "reward"))
    together = reward.scores(talks)
    assert together == pytest.approx([reward.scores([one])[0] for one in talks], abs=1e-5)
    assert len(set(together)) == 3
    with pytest.raises(ModelError, match="takes 400"):
        reward.scores([[Message(role="user", content="a"), Message(role="assistant", content="b" * 500)]])
    config.num_labels = 2
    Gemma3TextForSequenceClassification(config).save_pretrained(tmp_path / "two")
    tiny_tokenizer.save_pretrained(tmp_path / "two")
    with pytest.raises(ModelError, match="one label"):
        Reward(str(tmp_path / "two"))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, "one of judge and reward"),
        ({"judge": "j", "n": 1}, "nothing to be compared"),
        ({"judge": "j", "temperature": 0}, "n times"),
    ],
)
def test_settings_that_make_no_sense_are_refused(more, told):
    with pytest.raises(ValidationError, match=told):
        BestOfSettings(examples="e", chat="c", **more)
