"""data.split: no document on both sides, and what leaked is caught."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.artifact import Artifact, digest
from danlu.data.core import core, ngrams
from danlu.data.flow import blocks
from danlu.data.leaks import Gathered, paragraphs
from danlu.data.pieces import Bounded, merged, of_each, sampled, unique
from danlu.data.seen import keys
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


def test_validation_is_held_out_and_clean_too(steps, opened):
    many = [example(document, number) for document in range(20) for number in range(4)]
    inputs = {"documents": steps.documents(*documents(20))}
    asked = {"validation_fraction": 0.2, "test_fraction": 0.1, **inputs}
    made = steps("data.split", examples=examples_of(steps, *many), **asked)
    result = opened(made)
    sides = json.loads(made.file("documents.json").read_text(encoding="utf-8"))
    assert {side: len(names) for side, names in sides.items()} == {"train": 14, "validation": 4, "test": 2}
    for side in ("train", "validation", "test"):
        assert {one.document for one in getattr(result, side)} == set(sides[side])
    plain = opened(steps("data.split", examples=examples_of(steps, *many), test_fraction=0.1, **inputs))
    assert plain.test == result.test
    assert not hasattr(plain, "validation")
    test, held, train = (int(sides[side][0][1:]) for side in ("test", "validation", "train"))
    planted = [
        example(train, 90, answer=sentence(train, 8) + "\n" + sentence(held, 4)),
        example(held, 7, question=f"第{test}份的第1題是什麼？"),
        example(train, 92, answer=sentence(held, 1)),
    ]
    leaky = opened(steps("data.split", examples=examples_of(steps, *many, *planted), **asked))
    assert {drop.id: drop.detail.split(" ")[-2] for drop in leaky.dropped} == {
        f"{train}-90": "validation",
        f"{held}-7": "the",
        f"{train}-92": "same",
    }


def test_a_test_answer_inside_a_longer_paragraph_is_caught(steps, opened, base):
    inputs = {"documents": steps.documents(*documents(5))}
    held = opened(steps("data.split", examples=examples_of(steps, *base), **inputs))
    test, train = held.test[0], int(held.train[0].document[1:])
    around = "".join(sentence(train, number) for number in range(10, 16))
    leak = example(train, 95, answer=around + test.messages[-1].content + around[::-1])
    result = opened(steps("data.split", examples=examples_of(steps, *base, leak), **inputs))
    assert [drop.id for drop in result.dropped] == [leak.id]
    assert "answer stands in it" in result.dropped[0].detail


def test_examples_without_documents_go_by_their_own_ids(steps, opened):
    alone = [example(document, number) for document in range(10) for number in range(5)]
    alone = [one.model_copy(update={"document": ""}) for one in alone]
    varied = alone[0].model_copy(update={"id": "varied", "meta": {"origin": alone[0].id}})
    result = opened(steps("data.split", examples=examples_of(steps, *alone, varied)))
    assert len(result.test) in (10, 11)
    assert not result.dropped
    for side in (result.train, result.test):
        assert ("varied" in {one.id for one in side}) == (alone[0].id in {one.id for one in side})
    again = opened(steps("data.split", examples=examples_of(steps, *reversed([*alone, varied]))))
    assert {one.id for one in again.test} == {one.id for one in result.test}


def test_documents_of_several_steps(steps, opened, base):
    first, second = steps.documents(*documents(5)[:3]), steps.documents(*documents(5)[3:])
    examples = examples_of(steps, *base)
    both = opened(steps("data.split", examples=examples, documents=[first, second]))
    whole = opened(steps("data.split", examples=examples, documents=steps.documents(*documents(5))))
    assert (both.train, both.test, both.test_documents) == (whole.train, whole.test, whole.test_documents)
    with pytest.raises(DataError, match="not among the documents"):
        steps("data.split", examples=examples)


def reference(examples: list[Example], held: list[Example], texts: list[str], length: int = 13) -> set[str]:
    """The old way, with sets of strings: ids of the examples of which half a paragraph stands in the texts."""
    known = {gram for text in texts for gram in ngrams(core(text), length)}
    known |= {gram for one in held for gram in ngrams(core(answer(one)), length)}
    found = set()
    for one in examples:
        for paragraph in paragraphs(one):
            grams = ngrams(paragraph, length)
            if len(grams) >= 8 and len(grams & known) >= 0.5 * len(grams):
                found.add(one.id)
    return found


def answer(one: Example) -> str:
    return one.messages[-1].content


@given(st.lists(st.text("甲乙丙丁戊己庚辛", max_size=60), min_size=2, max_size=8), st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_hashed_pieces_judge_as_sets_of_strings_do(tmp_path_factory, texts, length):
    examples = [example(0, at, answer=text or "空") for at, text in enumerate(texts)]
    held, others = examples[: len(texts) // 2], examples[len(texts) // 2 :]
    gathered = Gathered(length)
    gathered.documents.add(unique(core(texts[0]), length))
    found, owner = of_each([core(answer(one)) for one in held], length)
    gathered.add_answers(found, owner, len(held))
    none = keys([])
    leaks = gathered.write(tmp_path_factory.mktemp("leaks"), none, none)
    leaks.arrays = {**leaks.carried().arrays, "wanted": merged([])}
    told = leaks.found(others, 0.5, "test")
    caught = {one.id for one, said in zip(others, told, strict=True) if said}
    assert caught == reference(others, held, texts[:1], length)


def test_what_is_kept_of_many_pieces_does_not_depend_on_their_order():
    pieces = [unique(sentence(document, number) * 3, 5) for document in range(9) for number in range(9)]
    one, other, whole = Bounded(200), Bounded(200), Bounded(10**6)
    for found in pieces:
        one.add(found)
        whole.add(found)
    for found in reversed(pieces):
        other.add(found)
    kept, known = merged(one.all()), merged(whole.all())
    assert (kept == merged(other.all())).all()
    assert one.every == other.every > 1
    assert 50 <= len(kept) <= 200
    assert (sampled(known, one.every) == kept).all()
    assert (known == merged(pieces)).all()


def test_small_blocks_give_what_one_block_gives(steps, base, monkeypatch):
    leak = example(1, 95, question="第3份的第1題是什麼？")
    inputs = {"examples": examples_of(steps, *base, leak), "documents": steps.documents(*documents(5))}
    whole = steps("data.split", **inputs)
    monkeypatch.setattr("danlu.data.split.blocks", lambda path: blocks(path, 1000))
    monkeypatch.setattr("danlu.data.flow.cores", lambda: 1)
    assert len(blocks(inputs["examples"].file("examples.jsonl"), 1000)) > 3
    cut = steps("data.split", **inputs, seed=0, overlap=0.5, ngram=13)
    assert cut.content == whole.content
