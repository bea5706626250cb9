"""data.mix: the shares asked for, the same mixture whatever the order of what went in."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from danlu.artifact import Artifact, digest
from danlu.data.mix import MixSettings, divided
from danlu.errors import DataError
from danlu.records import Drop, Example, Message, read_jsonl, write_jsonl


def examples(name: str, count: int) -> list[Example]:
    turns = [Message(role="user", content=name), Message(role="assistant", content="答")]
    return [Example(id=f"{name}{at}", messages=turns, document=f"{name}.md", method="qa") for at in range(count)]


def held(steps, records: list[Example]) -> Artifact:
    id = digest([one.model_dump() for one in records])[:16]
    with steps.store.draft(id) as draft:
        write_jsonl(draft.file("examples.jsonl"), records)
        write_jsonl(draft.file("dropped.jsonl"), [])
        return steps.store.commit(draft, {"id": id, "kind": "examples", "step": "test"})


def read(artifact: Artifact) -> list[Example]:
    return list(read_jsonl(artifact.file("examples.jsonl"), Example))


def names(artifact: Artifact) -> Counter[str]:
    return Counter(one.document[0] for one in read(artifact))


def test_shares_are_those_asked_for_and_the_funnel_adds_up(steps):
    sets = [held(steps, examples("a", 100)), held(steps, examples("b", 40)), held(steps, examples("c", 7))]
    made = steps("data.mix", examples=sets, weights=(3, 2, 0))
    assert names(made) == {"a": 60, "b": 40}
    drops = list(read_jsonl(made.file("dropped.jsonl"), Drop))
    assert Counter(drop.reason for drop in drops) == {"over-share": 47}
    assert {one.id for one in read(made)}.isdisjoint(drop.id for drop in drops)
    funnel, table = made.manifest["report"]
    assert (funnel["came"], funnel["kept"], funnel["dropped"]) == (147, 100, {"over-share": 47})
    assert table["rows"][0][1:5] == [100, "68.0 %", 60, "60.0 %"]
    assert names(steps("data.mix", examples=sets)) == {"a": 100, "b": 40, "c": 7}
    assert names(steps("data.mix", examples=sets, counts=(5, 0, 7))) == {"a": 5, "c": 7}
    assert names(steps("data.mix", examples=sets, weights=(1, 1, 2), total=10)) == {"a": 3, "b": 2, "c": 5}


def test_the_order_of_what_goes_in_does_not_matter(steps):
    a, b = examples("a", 50), examples("b", 30)
    made = steps("data.mix", examples=[held(steps, a), held(steps, b)], weights=(2, 1), total=36)
    random.Random(0).shuffle(a)
    random.Random(1).shuffle(b)
    other = steps("data.mix", examples=[held(steps, b), held(steps, a)], weights=(1, 2), total=36)
    assert (made.path / "examples.jsonl").read_bytes() == (other.path / "examples.jsonl").read_bytes()
    order = [one.document[0] for one in read(made)]
    assert order != sorted(order)
    seeded = steps("data.mix", examples=[held(steps, a), held(steps, b)], weights=(2, 1), total=36, seed=1)
    assert {one.id for one in read(seeded)} != {one.id for one in read(made)}
    larger = steps("data.mix", examples=[held(steps, a), held(steps, b)], weights=(2, 1), total=60)
    assert {one.id for one in read(made)} < {one.id for one in read(larger)}


def test_repetition_copies_with_ids_of_their_own(steps):
    sets = [held(steps, examples("a", 10)), held(steps, examples("b", 4))]
    with pytest.raises(DataError, match="has 4 examples, 10 are wanted"):
        steps("data.mix", examples=sets, counts=(10, 10))
    made = steps("data.mix", examples=sets, counts=(10, 10), repeat=True)
    assert names(made) == {"a": 10, "b": 10}
    assert len({one.id for one in read(made)}) == 20
    times = Counter(one.meta.get("origin", one.id) for one in read(made) if one.document == "b.md")
    assert sorted(times.values()) == [2, 2, 3, 3]
    assert made.manifest["metrics"] == {"examples": 20, "repeated": 6}
    half = steps("data.mix", examples=sets, weights=(1, 1), repeat=True)
    assert names(half) == {"a": 7, "b": 7}


@given(st.integers(0, 500), st.lists(st.floats(0, 9), min_size=1, max_size=6).filter(any))
def test_whole_numbers_add_up_and_are_never_off_by_one(total, weights):
    shares = [weight / sum(weights) for weight in weights]
    found = divided(total, shares)
    assert sum(found) == total
    assert all(abs(one - share * total) < 1 for one, share in zip(found, shares, strict=True))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"weights": (1,)}, "1 entries"),
        ({"weights": (0, 0)}, "all 0"),
        ({"weights": (1, 1), "counts": (1, 1)}, "one of them"),
        ({"total": 5}, "needs weights"),
    ],
)
def test_settings_that_contradict_are_refused(more, told):
    with pytest.raises(ValidationError, match=told):
        MixSettings(examples=("a", "b"), **more)
