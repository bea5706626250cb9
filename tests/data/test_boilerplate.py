"""data.boilerplate: what a source says on every page goes, and nothing else."""

import random

import pytest

from danlu.data import boilerplate, flow
from danlu.data.boilerplate import Found, Repeats, key
from danlu.errors import DataError
from danlu.records import Document

MENU = "首頁 | 產品 | 關於我們"
FOOT = "版權所有 © 2024 某某公司"


def site(host, count, extra=""):
    return [
        Document(
            id=f"{host}/{i}",
            source=f"{host}/{i}",
            text=f"{MENU}\n\n# 標題\n\n第 {i} 頁的內文{extra}。\n\n{FOOT}\n",
            meta={"url": f"https://{host}/{i}"},
        )
        for i in range(count)
    ]


def test_lines_of_a_site_go_and_are_counted(steps, opened):
    other = Document(id="b", source="b", text=f"引用「{FOOT}」。\n{FOOT}\n", meta={"url": "https://other.example/"})
    made = steps("data.boilerplate", documents=steps.documents(*site("a.example", 6), other))
    kept = opened(made).documents
    assert [document.text for document in kept[:6]] == [f"# 標題\n\n第 {i} 頁的內文。\n" for i in range(6)]
    assert kept[6] == other
    table = next(entry for entry in made.manifest["report"] if entry["type"] == "table")
    assert table["rows"] == [[FOOT, 6], [MENU, 6]]
    assert made.manifest["metrics"]["lines_removed"] == 12
    assert made.manifest["metrics"]["documents_changed"] == 6


def test_too_few_or_too_small_a_share_stays(steps, opened):
    few = steps.documents(*site("a.example", 4))
    assert opened(steps("data.boilerplate", documents=few)).documents[0].text.startswith(MENU)
    said = [Document(id=f"d/{i}", source=f"d/{i}", text=f"內文{i}\n{'（刪除）' if i < 6 else ''}") for i in range(30)]
    documents = steps.documents(*said)
    assert "（刪除）" in opened(steps("data.boilerplate", documents=documents)).documents[0].text
    strict = opened(steps("data.boilerplate", documents=documents, share=0.2)).documents
    assert strict[0].text == "內文0"


def test_structure_and_code_stay_and_what_is_left_empty_is_dropped(steps, opened):
    heads = "---\n## 參考資料\n| 甲 | 乙 |\n第 一 章 總則\n第 12 條之 1\n第三條\nChapter 1\n"
    text = heads + "```python\nimport os\n```\n頁尾\n第{}篇\n"
    same = [Document(id=f"d/{i}", source=f"d/{i}", text=text.format(i)) for i in range(6)]
    empty = Document(id="d/e", source="d/e", text="頁尾\n")
    made = opened(steps("data.boilerplate", documents=steps.documents(*same, empty)))
    assert made.documents[0].text == text.format(0).replace("頁尾\n", "")
    assert made.reasons == {"only-boilerplate": 1}
    with pytest.raises(DataError, match="only-boilerplate 7"):
        steps("data.boilerplate", documents=steps.documents(*same, empty), min_characters=99)


def paged(pages):
    text, spans = "", []
    for page in pages:
        text += "\n\n" if text else ""
        spans.append([len(text), len(text) + len(page)])
        text += page
    return Document(id="a.pdf", source="a.pdf", text=text + "\n", format="pdf", meta={"pages": spans})


def test_running_heads_and_page_numbers(steps, opened):
    bodies = [f"這是第{'一二三四五'[i]}頁的內文，\n說了 {i * i} 件事。\n最後一行{i * 7}" for i in range(5)]
    document = paged([f"臺北市政府 2024 年報\n{body}\n- {i + 11} -" for i, body in enumerate(bodies)])
    (kept,) = opened(steps("data.boilerplate", documents=steps.documents(document))).documents
    assert [kept.text[start:end] for start, end in kept.meta["pages"]] == bodies
    assert kept.text == "\n\n".join(bodies) + "\n"


def test_numbers_that_do_not_count_pages_stay(steps, opened):
    document = paged(
        [f"表{i * i}的標題{'甲乙丙丁'[i]}\n內容{number}字\n{number}" for i, number in enumerate((40, 7, 99, 12))]
    )
    assert opened(steps("data.boilerplate", documents=steps.documents(document))).documents == [document]
    two = paged(["書名\n一\n1", "書名\n二\n2"])
    assert opened(steps("data.boilerplate", documents=steps.documents(two))).documents == [two]


@pytest.mark.parametrize(
    "foot", ["{}", "- {} -", "第 {} 頁", "第{}頁，共10頁", "Page {} of 10", "2024 年報 {}/10", "{} | 市政府"]
)
def test_page_numbers(steps, opened, foot):
    document = paged([f"{'甲乙丙丁'[i]}\n{'子丑寅卯'[i]}\n{foot.format(i + 7)}" for i in range(4)])
    (kept,) = opened(steps("data.boilerplate", documents=steps.documents(document))).documents
    assert kept.text == "甲\n子\n\n乙\n丑\n\n丙\n寅\n\n丁\n卯\n"


def test_the_sketch_never_loses_a_line(monkeypatch):
    """With a sketch far too small every counter is too high, and the answer is still exact."""
    import numpy

    monkeypatch.setattr(boilerplate, "_SKETCH", 64)
    random.seed(0)
    documents = [{f"line {random.randrange(400) ** 2 // 400}" for _ in range(12)} for _ in range(300)]
    with Repeats(3) as repeats:
        for lines in documents:
            text = key("s", "\n".join(sorted(lines)))
            repeats.add([Found("s", text, numpy.array([key("s", line) for line in lines], numpy.uint64))])
        found = repeats.lines(0.1)
    said = {line for lines in documents for line in lines}
    assert found == {key("s", line) for line in said if sum(line in lines for lines in documents) >= 30}
    assert found


def test_the_same_however_many_processes(steps, monkeypatch):
    documents = steps.documents(*site("a.example", 40, "內文" * 99), *site("b.example", 40, "別的" * 99))
    whole = steps("data.boilerplate", documents=documents)
    cut = flow.blocks
    monkeypatch.setattr(boilerplate, "blocks", lambda path: cut(path, 4000))
    monkeypatch.setattr(flow, "blocks", lambda path: cut(path, 4000))
    monkeypatch.setattr(flow, "cores", lambda: 2)
    assert steps("data.boilerplate", documents=documents).content == whole.content


def test_a_hundred_thousand_fences_take_no_more_than_their_length():
    text = "```\n" * 100_000
    assert sum(bool(plain) for _, plain in boilerplate.candidates(text)) == 0


@pytest.mark.parametrize("copies", [10, 1000])
def test_equal_documents_count_as_one(steps, opened, copies):
    same = [
        Document(id=f"d#{i}", source="d.jsonl", text="圖書館每週一休館。\n國定假日另行公告。") for i in range(copies)
    ]
    others = [Document(id=f"d#x{i}", source="d.jsonl", text=f"高雄港有{i}座碼頭。") for i in range(3)]
    made = opened(steps("data.boilerplate", documents=steps.documents(*same, *others)))
    assert made.documents == [*same, *others]
    assert not made.dropped


@pytest.mark.parametrize(
    "line",
    [
        "本條之執行由第{}課負責，並於每季報告。",
        "附件 {}",
        "第 {} 課",
        "Unit {}",
        "第{}頁第19行的條文，敘述雙方之權利；",
        "問題 {}",
    ],
)
def test_lines_of_the_body_that_count_with_the_pages_stay(steps, opened, line):
    bodies = [f"{'甲乙丙丁'[i]}的內文。\n{line.format(i + 1)}" for i in range(4)]
    document = paged([f"某某辦法\n{body}\n第 {i + 1} 頁，共 4 頁" for i, body in enumerate(bodies)])
    (kept,) = opened(steps("data.boilerplate", documents=steps.documents(document))).documents
    assert kept.text == "\n\n".join(bodies) + "\n"


def test_what_is_inside_of_a_line_that_stays_stays(steps, opened):
    pages = [f"浮水印\n{'甲乙丙丁'[i]}的第一行\n內文{i * i}\n說明\n{'子丑寅卯'[i]}的最後一行" for i in range(4)]
    (kept,) = opened(steps("data.boilerplate", documents=steps.documents(paged(pages)))).documents
    assert kept.text == "\n\n".join(page.removeprefix("浮水印\n") for page in pages) + "\n"
