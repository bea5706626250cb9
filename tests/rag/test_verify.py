from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from library import documents

from danlu.rag.chunk import chunks
from danlu.rag.verify import echoes, support, windows

BOOKS = {document.id: document for document in documents()}
PASSAGES = [chunk for document in BOOKS.values() for chunk in chunks(document)]

SUPPORTED = {
    "每人一次最多可借五本書，借期為二十一天。": "借期為二十一天",
    "漫畫與雜誌僅供館內閱覽，不得外借。": "不得外借",
    "逾期每本每日收取滯納金三元。": "滯納金三元",
    "訪客停車前三十分鐘免費，之後每小時收費四十元。": "每小時收費四十元",
    "電動車充電座位於地下三樓，每度電收費６.５元。": "每度電收費 6.5 元",
    "**機車**請停放於地下一樓東側。": "機車請停放於地下一樓東側",
}
UNSUPPORTED = {
    "a changed number": "每人一次最多可借五本書，借期為三十一天。",
    "a changed digit": "電動車充電座位於地下三樓，每度電收費 9.5 元。",
    "a changed model": "電動車充電座位於地下三樓，型號為 EV-9K。",
    "a denial taken away": "漫畫與雜誌得外借。",
    "a denial taken from a whole sentence": "漫畫與雜誌僅供館內閱覽，得外借。",
    "a denial added": "每人一次不可借五本書，借期為二十一天。",
    "sides exchanged": "汽車不得停放於東側，請占用機車地下一樓車位。",
    "pieces put together": "週一到週日免費外借大年初一的汽車。",
    "something else": "住戶大會每年舉行一次，由主任委員召集。",
    "too short": "免費。",
    "empty": "",
}


@pytest.mark.parametrize("sentence", SUPPORTED)
def test_what_a_passage_says_is_supported(sentence: str) -> None:
    quote = support(sentence, PASSAGES)
    assert quote is not None
    assert SUPPORTED[sentence] in quote.text
    assert BOOKS[quote.chunk.document].text[quote.start : quote.end] == quote.text


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_no_passage_says_is_not(name: str) -> None:
    quote = support(UNSUPPORTED[name], PASSAGES)
    assert quote is None, quote and quote.text


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_quote_is_a_slice_and_supports_itself(data: st.DataObject) -> None:
    chunk = data.draw(st.sampled_from(PASSAGES))
    quote = data.draw(st.sampled_from(windows(chunk)))
    assert BOOKS[chunk.document].text[quote.start : quote.end] == quote.text
    found = support(quote.text, PASSAGES)
    assert found is None or BOOKS[found.chunk.document].text[found.start : found.end] == found.text
    assert found is not None or len(quote.text) < 12


def test_an_echo_says_nothing() -> None:
    assert echoes("訪客停車要怎麼收費。", "訪客停車怎麼收費？")
    assert not echoes("訪客停車前三十分鐘免費。", "訪客停車怎麼收費？")
