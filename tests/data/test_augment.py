"""data.augment: the same question in other words, the answer untouched."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danlu.artifact import Artifact, digest
from danlu.data import augment
from danlu.data.augment import KINDS
from danlu.data.core import whole
from danlu.records import Example, Message, read_jsonl, write_jsonl
from danlu.text import usage
from danlu.text.grounding import grounded_prompt, question_of

QUESTIONS = [
    "什麼是注意力？",
    "請說明注意力中的「遮罩 mask」。",
    "為什麼要縮放？",
    "談到 LoRA，「秩」要注意什麼？",
    "優點有哪些？",
]


def example(at: int, asked: str = "", **more: object) -> Example:
    turns = [
        Message(role="system", content="你是助教。"),
        Message(role="user", content=asked or QUESTIONS[at % len(QUESTIONS)]),
        Message(role="assistant", content=f"答案 {at}"),
    ]
    return Example(id=f"e{at}", messages=turns, document="d", start=at, end=at + 1, method="qa", **more)


def held(steps, records: list[Example]) -> Artifact:
    id = digest([one.model_dump() for one in records])[:16]
    with steps.store.draft(id) as draft:
        write_jsonl(draft.file("examples.jsonl"), records)
        write_jsonl(draft.file("dropped.jsonl"), [])
        return steps.store.commit(draft, {"id": id, "kind": "examples", "step": "test"})


def read(artifact: Artifact) -> list[Example]:
    return list(read_jsonl(artifact.file("examples.jsonl"), Example))


def test_variants_stand_after_their_examples_with_the_same_answer(steps):
    records = [example(at) for at in range(100)]
    made = steps("data.augment", examples=held(steps, records), share=1.0)
    found = read(made)
    known = {one.id: one for one in records}
    assert [one for one in found if one.id in known] == records
    variants = [one for one in found if one.id not in known]
    assert len(variants) == 100
    assert len({one.id for one in found}) == 200
    for before, one in zip(found[::2], found[1::2], strict=True):
        assert one.meta["origin"] == before.id
        assert one.messages[-2].content != before.messages[-2].content
        assert (one.messages[0], one.messages[-1]) == (before.messages[0], before.messages[-1])
        assert (one.document, one.start, one.end, one.method) == ("d", before.start, before.end, "qa")
    kinds = Counter(one.meta["augmented"] for one in variants)
    assert set(kinds) == set(KINDS)
    table = next(entry for entry in made.manifest["report"] if entry["title"] == "Examples by kind")
    assert dict(table["rows"]) == {"as they came": 100, "chosen, but no kind fits": 0, **kinds}


def test_the_share_and_the_seed_choose(steps):
    artifact = held(steps, [example(at) for at in range(300)])
    quarter = read(steps("data.augment", examples=artifact, share=0.25))
    assert 350 <= len(quarter) <= 400
    half = read(steps("data.augment", examples=artifact, share=0.5))
    origins = [{one.meta["origin"] for one in found if one.meta} for found in (quarter, half)]
    assert origins[0] < origins[1]
    other = read(steps("data.augment", examples=artifact, share=0.25, seed=1))
    assert {one.meta["origin"] for one in other if one.meta} != origins[0]
    assert read(steps("data.augment", examples=artifact, share=0.0)) == [example(at) for at in range(300)]


def test_passages_and_alpaca_inputs(steps):
    grounded = example(0, grounded_prompt("什麼是秩？", ["秩是方向的數目。", "什麼是秩？"]))
    given_input = example(1, "什麼是秩？", meta={"input_characters": 3, "topic": "x"})
    found = read(steps("data.augment", examples=held(steps, [grounded, given_input]), share=1.0))
    assert found[1].messages[1].content.startswith(grounded.messages[1].content.removesuffix("什麼是秩？"))
    assert question_of(found[1].messages[1].content) != "什麼是秩？"
    assert found[3].meta["topic"] == "x"
    assert "input_characters" not in found[3].meta


@pytest.mark.parametrize(
    ("kind", "asked", "said"),
    [
        (
            "paraphrase",
            "什麼是 Token？",
            {"Token 是什麼？", "請解釋 Token。", "Token 指的是什麼？", "Token 是什麼意思？"},
        ),
        ("paraphrase", "談到 LoRA，「秩」要注意什麼？", {"關於 LoRA，「秩」要注意什麼？"}),
        ("paraphrase", "優點有哪些？", {"請列出優點。", "請問優點有哪些？"}),
        ("register", "什麼是秩？", {"請問什麼是秩？", "什麼是秩？謝謝！", "求解：什麼是秩？"}),
        ("register", "請解釋秩。", {"請解釋秩。謝謝！"}),
        ("typo", "我應該怎麼做？", {"我因該怎麼做？", "我應該怎嚜做？", "我應該怎麼作？", "我應該怎麼做"}),
        ("width", "用 API 嗎？", {"用 API 嗎?", "用API嗎？", "用 ＡＰＩ 嗎？"}),
        ("prefix", "什麼是秩？", {"問題：什麼是秩？", "Q：什麼是秩？"}),
    ],
)
def test_wordings(kind, asked, said):
    assert said <= {KINDS[kind](asked, lot) for lot in range(400)}


@given(
    st.sampled_from(sorted(KINDS)),
    st.text("什麼是為如何請說明「」`在的嗎？。，\n aB1", max_size=30),
    st.integers(0, 2**64),
)
def test_any_question_is_varied_or_left_alone(kind, asked, lot):
    said = KINDS[kind](asked, lot)
    if said and kind == "typo":
        assert abs(len(said) - len(asked)) <= 1
    if kind == "width" and said:
        assert whole(said) == whole(asked)
    if kind == "typo" and "「的」" in asked and said:
        assert "「的」" in said


def test_templates_are_in_taiwans_words():
    text = Path(augment.__file__).read_text(encoding="utf-8")
    assert usage.count(text) == 0
