"""data.split: no document on both sides, and what leaked is caught."""

import json

import pytest

from danlu.artifact import Artifact, digest
from danlu.errors import DataError
from danlu.records import Document, Example, Message, write_jsonl
from danlu.text.grounding import REFUSAL, grounded_prompt

WORDS = "模型資料訓練評估量化部署檢索向量權重梯度損失遮罩提示詞彙"


def sentence(document: int, number: int) -> str:
    """A sentence that no other document and number shares thirteen characters with."""
    first = 0x4E00 + 400 * document + 40 * number
    return "".join(word + chr(first + at) for at, word in enumerate(WORDS[:20])) + "。"


def example(document: int, number: int, question: str = "", answer: str = "") -> Example:
    asked = Message(role="user", content=question or f"第{document}份的第{number}題是什麼？")
    told = Message(role="assistant", content=answer or sentence(document, number))
    return Example(
        id=f"{document}-{number}", messages=[asked, told], document=f"d{document}", start=0, end=1, method="qa"
    )


def documents(count: int) -> list[Document]:
    return [
        Document(id=f"d{at}", text="\n\n".join(sentence(at, number) for number in range(5)), source=f"d{at}.md")
        for at in range(count)
    ]


def examples_of(steps, *examples: Example) -> Artifact:
    id = digest([example.model_dump() for example in examples])[:16]
    with steps.store.draft(id) as draft:
        write_jsonl(draft.file("examples.jsonl"), examples)
        write_jsonl(draft.file("dropped.jsonl"), [])
        return steps.store.commit(draft, {"id": id, "kind": "examples", "step": "test"})


@pytest.fixture
def base() -> list[Example]:
    return [example(document, number) for document in range(5) for number in range(4)]


def test_no_document_is_on_both_sides(steps, opened, base):
    made = steps("data.split", examples=examples_of(steps, *base), documents=steps.documents(*documents(7)))
    result = opened(made)
    sides = json.loads(made.file("documents.json").read_text(encoding="utf-8"))
    assert sorted(sides["train"] + sides["test"]) == [f"d{at}" for at in range(7)]
    assert {one.document for one in result.train} | {"d5", "d6"} == set(sides["train"])
    assert {one.document for one in result.test} == set(sides["test"]) == {one.id for one in result.test_documents}
    assert len(sides["test"]) == 1
    assert not result.dropped
    assert len(result.train) + len(result.test) == len(base)


def test_another_seed_holds_out_other_documents(steps, opened, base):
    inputs = {"examples": examples_of(steps, *base), "documents": steps.documents(*documents(5))}
    chosen = {opened(steps("data.split", seed=seed, **inputs)).test_documents[0].id for seed in range(12)}
    assert len(chosen) >= 3


def test_planted_contamination_is_caught(steps, opened, base):
    inputs = {"documents": steps.documents(*documents(5))}
    held = opened(steps("data.split", examples=examples_of(steps, *base), **inputs))
    test, train = int(held.test[0].document[1:]), int(held.train[0].document[1:])
    leaked = sentence(test, 4)
    planted = [
        example(train, 90, question=held.test[0].messages[0].content + " "),
        example(train, 91, answer=f"**{held.test[1].messages[-1].content}**"),
        example(train, 92, answer=sentence(train, 8) + "\n" + leaked[:-1] + "，沒錯。"),
        example(train, 93, question=grounded_prompt("問什麼？", [sentence(train, 1), leaked]), answer=REFUSAL),
    ]
    clean = [
        example(train, 80, question=grounded_prompt("還問什麼？", [sentence(train, 1)]), answer=REFUSAL),
        example(train, 81, answer=sentence(train, 9) + leaked[:9]),
        example(test, 82, question=grounded_prompt("測什麼？", [sentence(test, 2)]), answer=REFUSAL),
    ]
    result = opened(steps("data.split", examples=examples_of(steps, *base, *planted, *clean), **inputs))
    assert {drop.id for drop in result.dropped} == {one.id for one in planted}
    assert result.reasons == {"contaminated": 4}
    assert {one.id for one in clean} <= {one.id for one in [*result.train, *result.test]}


def test_one_document_is_not_enough(steps):
    with pytest.raises(DataError, match="at least 2"):
        steps("data.split", examples=examples_of(steps, example(0, 1)), documents=steps.documents(*documents(3)))


def test_examples_of_unknown_documents_are_refused(steps, base):
    with pytest.raises(DataError, match="d4"):
        steps("data.split", examples=examples_of(steps, *base), documents=steps.documents(*documents(4)))


def test_the_handbook_loses_almost_nothing(steps, opened, chapters):
    read = steps("data.read", paths=chapters)
    examples = steps("data.instruct", documents=read)
    result = opened(steps("data.split", examples=examples, documents=read))
    assert len(result.dropped) <= 0.02 * result.came
    tested = {one.id for one in result.test_documents}
    assert tested == {one.document for one in result.test}
    assert tested.isdisjoint({one.document for one in result.train})
