from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from library import documents

from danlu.rag.chunk import chunks, sections
from danlu.records import Document

PIECES = st.sampled_from(
    [
        *("# 標題\n", "## 小節\n\n", "甲乙丙。", "他說：「好！」", "一二三四五，", "\n\n", "```\ncode = 1\n```\n"),
        *("~~~\n", "- 項\n", "a b ", "\n", "=====\n"),
    ]
)


def book(text: str, format: str = "markdown") -> Document:
    return Document(id="d", text=text, source="d.md", format=format)


@given(st.lists(PIECES, max_size=40).map("".join), st.integers(5, 60), st.integers(0, 2), st.booleans())
def test_passages_are_slices_and_lose_no_word_of_the_prose(text: str, target: int, overlap: int, code: bool) -> None:
    document = book(text)
    found = chunks(document, target, overlap, code)
    prose = [section for section in sections(text) if not section.code]
    covered: set[int] = set()
    for chunk in found:
        assert text[chunk.start : chunk.end] == chunk.text == chunk.text.strip()
        assert len(chunk.text) <= 2 * target or code
        covered.update(range(chunk.start, chunk.end))
    for section in prose:
        assert all(at in covered for at in range(section.start, section.end) if text[at].isalnum())


@given(st.lists(PIECES, max_size=40).map("".join))
def test_sections_are_in_order_and_apart(text: str) -> None:
    found = sections(text)
    assert all(one.end <= two.start for one, two in itertools.pairwise(found))
    for section in found:
        assert section.code == text[section.start : section.end].lstrip().startswith(("```", "~~~"))


def test_headings_are_a_path_and_code_is_apart() -> None:
    rules = next(document for document in documents() if document.id == "借閱規則.md")
    found = chunks(rules)
    assert [chunk.headings[-1] for chunk in found] == [
        "晴川圖書室借閱規則", "借書的數量與期限", "逾期與遺失", "開放時間", "查詢館藏的程式",
    ]  # fmt: skip
    assert all(chunk.headings[0] == "晴川圖書室借閱規則" for chunk in found)
    assert not any("def overdue" in chunk.text for chunk in found)
    (block,) = [chunk for chunk in chunks(rules, code=True) if "def overdue" in chunk.text]
    assert block.text.startswith("```python")
    assert block.text.endswith("```")


def test_a_sibling_heading_ends_the_deeper_ones() -> None:
    found = chunks(book("# 一\n\n## 二\n\n### 三\n\n甲。\n\n## 四\n\n乙。\n\n底線\n---\n\n丙。\n"))
    assert [chunk.headings for chunk in found] == [["一", "二", "三"], ["一", "四"], ["一", "底線"]]


def test_neighbours_share_a_short_sentence() -> None:
    text = "".join(f"這是第 {number} 句話。" for number in range(20))
    found = chunks(book(text), target=40)
    assert len(found) > 3
    assert all(later.start < earlier.end < later.end for earlier, later in itertools.pairwise(found))
    apart = chunks(book(text), target=40, overlap=0)
    assert "".join(chunk.text for chunk in apart) == text


@pytest.mark.parametrize("format", ["text", "pdf"])
def test_only_markdown_has_headings(format: str) -> None:
    (chunk,) = chunks(book("# 不是標題\n\n內容。", format))
    assert chunk.headings == []
    assert chunk.text.startswith("# 不是標題")


def test_a_sentence_without_end_is_cut_at_a_comma() -> None:
    found = chunks(book("沒有句號的長句子，" * 40), target=50, overlap=0)
    assert all(chunk.text.endswith("，") for chunk in found)
    assert "".join(chunk.text for chunk in found) == "沒有句號的長句子，" * 40
