"""data.decontaminate: what is planted is found, per set; what is not stays; no set is skipped in silence."""

import csv
import gzip
import json
import random
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from danlu.data.core import core
from danlu.data.decontaminate import DecontaminateSettings, original, records, texts
from danlu.errors import DataError
from danlu.records import Document, Drop, Example, Message, read_jsonl, write_jsonl

QUESTIONS = [
    "下列哪一座山是台灣海拔最高的山峰？(A)雪山(B)玉山(C)合歡山(D)大霸尖山",
    "水在一大氣壓之下加熱到幾度會開始沸騰？(A)八十度(B)九十度(C)一百度(D)一百一十度",
    "第一部以台灣為背景的長篇小說是在哪一年出版的，作者又是誰？",
]
CLEAN = "今天下午的會議改到明天上午十點，地點在三樓的大會議室，請大家準時出席並且帶著報告。"


@pytest.fixture
def exam(tmp_path):
    path = tmp_path / "exam.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["", "A", "Q"], *([at, "B", text] for at, text in enumerate(QUESTIONS))])
    return path


def report(made, title="Evaluation sets"):
    return next(entry["rows"] for entry in made.manifest["report"] if entry["title"] == title)


def test_a_document_with_a_question_is_dropped(steps, opened, exam):
    documents = steps.documents(
        clean=CLEAN,
        copied=f"{CLEAN}\n{QUESTIONS[0]}\n{CLEAN}",
        spaced=CLEAN + " ".join(QUESTIONS[1].replace("(", "（").replace(")", "）")),
        theme="玉山是台灣海拔最高的山峰，登山之前要先申請入園許可。",
    )
    made = steps("data.decontaminate", documents=documents, sets=[exam])
    result = opened(made)
    assert [document.id for document in result.documents] == ["clean", "theme"]
    assert {drop.id: drop.detail for drop in result.dropped} == {
        "copied": "1.00 of exam.csv#1",
        "spaced": "1.00 of exam.csv#2",
    }
    assert result.reasons == {"contaminated": 2}
    assert report(made) == [["exam.csv", 3, 0, 2, "0.667", 2]]
    assert made.manifest["metrics"]["items_found"] == 2


def test_half_of_a_question_is_enough_and_less_is_not(steps, opened, exam):
    half = QUESTIONS[2]
    documents = steps.documents(most=CLEAN + half[:24], little=CLEAN + half[:14])
    result = opened(steps("data.decontaminate", documents=documents, sets=[exam]))
    assert [drop.id for drop in result.dropped] == ["most"]
    loose = opened(
        steps(
            "data.decontaminate", documents=steps.documents(x=CLEAN, most=CLEAN + half[:14]), sets=[exam], overlap=0.1
        )
    )
    assert [drop.id for drop in loose.dropped] == ["most"]


def test_masked_the_rest_of_the_document_stays(steps, opened, exam):
    before, after = "第一段說明。", "最後一段說明。"
    text = before + QUESTIONS[0] + after
    pages = {"pages": [[0, len(before)], [len(before), len(text)]]}
    documents = steps.documents(
        Document(id="a", text=text, source="s", meta=pages), Document(id="b", text=QUESTIONS[1], source="s")
    )
    made = steps("data.decontaminate", documents=documents, sets=[exam], action="mask")
    result = opened(made)
    (document,) = result.documents
    assert document.text.startswith(before)
    assert document.text.endswith(after)
    assert "玉山" not in document.text
    assert document.meta["pages"][0] == [0, len(before)]
    assert document.meta["pages"][1][1] == len(document.text)
    assert [(drop.id, drop.reason) for drop in result.dropped] == [("b", "contaminated")]
    assert made.manifest["metrics"]["masked"] == 1


def test_steps_are_sets_too(steps, opened, tmp_path):
    held_out = steps.documents(held=f"{QUESTIONS[2]}\n第二行")
    with steps.store.draft("ex") as draft:
        messages = [Message(role="user", content=QUESTIONS[0]), Message(role="assistant", content="玉山")]
        example = Example(id="e1", messages=messages, document="d", start=0, end=1, method="faq")
        write_jsonl(draft.file("examples.jsonl"), [example])
        examples = steps.store.commit(draft, {"id": "ex", "kind": "examples", "step": "test"})
    documents = steps.documents(a=CLEAN, b=QUESTIONS[2], c=CLEAN + QUESTIONS[0])
    made = steps("data.decontaminate", documents=documents, set_documents=[held_out], set_examples=[examples])
    assert [drop.id for drop in opened(made).dropped] == ["b", "c"]
    assert [row[1:4] for row in report(made)] == [[1, 0, 1], [1, 0, 1]]


def test_the_form_of_a_set_is_no_item(steps, opened, tmp_path):
    form = "請閱讀下面的表格然後從選項當中選出最適當的答案："
    path = tmp_path / "set.jsonl"
    rows = [{"question": f"{form}第{at}題的內容是關於{'甲乙丙丁戊己庚辛壬癸子丑寅卯'[at] * 15}"} for at in range(12)]
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    documents = steps.documents(form=form + CLEAN, item=rows[3]["question"])
    assert [drop.id for drop in opened(steps("data.decontaminate", documents=documents, sets=[path])).dropped] == [
        "item"
    ]


def test_short_items_are_told(steps, opened, tmp_path, exam):
    path = tmp_path / "short.json"
    path.write_text(json.dumps([{"q": "台灣最高的山？"}, {"q": QUESTIONS[0]}], ensure_ascii=False), encoding="utf-8")
    made = steps("data.decontaminate", documents=steps.documents(a=CLEAN), sets=[path, exam])
    assert [row[:4] for row in report(made)] == [["short.json", 2, 1, 0], ["exam.csv", 3, 0, 0]]


def test_only_the_named_fields_are_looked_for(steps, opened, tmp_path):
    path = tmp_path / "read.jsonl"
    passage = "這是一篇公開的文章，任何人都可以引用，裡面說明了如何申請登山的許可。"
    path.write_text(json.dumps({"context": passage, "question": QUESTIONS[0]}, ensure_ascii=False), encoding="utf-8")
    documents = steps.documents(a=passage, b=QUESTIONS[0], c=CLEAN)
    made = opened(steps("data.decontaminate", documents=documents, sets=[path], fields=["question"]))
    assert [drop.id for drop in made.dropped] == ["b"]


def test_nothing_left_is_an_error(steps, exam):
    with pytest.raises(DataError, match="no document is left of 1"):
        steps("data.decontaminate", documents=steps.documents(a=QUESTIONS[0]), sets=[exam])


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.json", b"{", "cannot be read"),
        ("a.jsonl", b'{"q": 1}\n{"q"', "cannot be read"),
        ("a.jsonl", b"\xff\xfe\x00\xff\xff", "cannot be read"),
        ("a.csv", b"", "cannot be read"),
        ("a.csv", b"Q\n", "no record"),
        ("a.json", b"[" * 100_000, "cannot be read"),
        ("a.json", '[{"q": "短"}]'.encode(), "no text of 13 letters"),
        ("a.parquet", b"PAR1", "cannot be read"),
        ("a.docx", b"no", "cannot be read"),
    ],
)
def test_a_set_that_cannot_be_read_is_never_skipped(steps, tmp_path, name, content, what):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=what):
        steps("data.decontaminate", documents=steps.documents(a=CLEAN), sets=[path])


def test_a_set_must_be_named():
    with pytest.raises(ValidationError, match="name an evaluation set"):
        DecontaminateSettings(documents="x")


def test_records_of_many_shapes(tmp_path):
    shapes = {
        '[{"q": "甲"}, {"q": "乙"}]': 2,
        '{"0": {"q": "甲"}, "1": {"q": "乙"}}': 2,
        '{"version": "1", "data": [{"p": [{"q": "甲"}]}, {"p": []}, {"p": [{"q": "乙"}]}]}': 3,
        '{"q": "甲", "choices": ["乙", "丙"]}': 1,
        '{"data": [{"q": "甲"}]}': 1,
    }
    for text, count in shapes.items():
        path = tmp_path / "x.json"
        path.write_text(text, encoding="utf-8")
        found = list(records(path))
        assert len(found) == count, text
        assert "甲" in list(texts(found, ()))
    assert list(texts({"q": ["甲", {"x": "乙"}], "a": "丙"}, ("q",))) == ["甲", "乙"]


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.sampled_from("甲乙ａＡé，。 e\u0301ﬃ가각\u11a8"), min_size=1, max_size=40), data=st.data())
def test_a_place_in_the_core_is_found_in_the_text(text, data):
    letters = core(text)
    length = data.draw(st.integers(1, 4))
    if len(letters) < length or not any(one.isalnum() for one in unicodedata.normalize("NFKC", text)):
        return
    place = data.draw(st.integers(0, len(letters) - length))
    ((start, end),) = original(text, [place], length)
    assert letters[place : place + length] in core(text[start:end])
    assert 0 <= start < end <= len(text)


def test_several_processes_write_the_same_bytes(steps, exam, monkeypatch):
    from danlu.data import flow

    chance = random.Random(0)
    whole = {f"{at:03d}": CLEAN + (chance.choice(QUESTIONS) if at % 7 == 0 else str(at)) for at in range(200)}
    made = []
    for size in (4 * 2**20, 4000):
        monkeypatch.setattr(flow, "blocks", lambda path, size=size, cut=flow.blocks: cut(path, size))
        made.append(steps("data.decontaminate", documents=steps.documents(**whole), sets=[exam]))
        monkeypatch.undo()
    assert made[0].manifest["content"] == made[1].manifest["content"]
    assert len(list(read_jsonl(made[0].file("dropped.jsonl"), Drop))) == 29


def test_planted_questions_of_a_real_set_are_found_in_law(steps, opened, shared, monkeypatch):
    """500 questions of TMMLU, spaced anew, in law articles; and hardly an article is taken for one."""
    from danlu.data import flow

    monkeypatch.setattr(flow, "cores", lambda: 1)
    exam = shared / "bench" / "tmmlu"
    with gzip.open(shared / "corpus" / "tw-law-large.jsonl.gz", "rt", encoding="utf-8") as file:
        laws = [json.loads(line)["text"] for line, _ in zip(file, range(5000), strict=False)]
    questions = [json.loads(line)["question"] for line in (exam / "all.jsonl").open(encoding="utf-8")]
    long = [one for one in dict.fromkeys(questions) if len(core(one)) >= 30]
    planted = random.Random(0).sample(long, 500)
    texts = {f"law{at:05d}": text for at, text in enumerate(laws)}
    texts |= {f"law{at:05d}": f"{laws[at]}\n\n{one.replace(chr(10), ' ')}\n" for at, one in enumerate(planted)}
    made = steps("data.decontaminate", documents=steps.documents(**texts), sets=[exam])
    dropped = {drop.id for drop in opened(made).dropped}
    found = sum(f"law{at:05d}" in dropped for at in range(500))
    assert found >= 499
    assert len(dropped) - found <= 10
    (row,) = report(made)
    assert row[0] == "tmmlu"
    assert row[1] == 2 * 1861
    assert row[2] < 100
    assert row[3] >= 2 * 499
