"""What is left alone in a text, and that finding it takes no more than the text's length."""

import pytest

from danlu.text import quoted


@pytest.mark.parametrize(
    ("text", "alone"),
    [
        ("甲<pre>軟件</pre>乙", ["<pre>軟件</pre>"]),
        ("甲<PRE a=1>軟件</Pre >乙", ["<PRE a=1>軟件</Pre >"]),
        ("甲<pre>軟件", ["<pre>"]),
        ("<code>a<pre>b</pre>", ["<code>", "<pre>b</pre>"]),
        ("甲<!-- 軟件 -->乙<!-- 丙", ["<!-- 軟件 -->"]),
        ("<!-- a --><b>c</b>", ["<!-- a --><b>", "</b>"]),
        ("`<pre>` 甲 </pre>", ["`<pre>`", "</pre>"]),
        ("「軟件」（中國用語）", ["「軟件」（中國用語）"]),
        ("大陸稱「軟件」、「硬件」", ["大陸稱「軟件」、「硬件」"]),
    ],
)
def test_spans(text, alone):
    assert [text[start:end] for start, end in quoted.spans(text)] == alone


@pytest.mark.parametrize(
    "text",
    [
        *("<!--" * 200_000, "<pre>" * 200_000, "<pre " * 200_000, "<pre " * 200_000 + ">", "「a」" * 200_000),
        *("<!--<pre><script " * 60_000, "<!-- -->" * 100_000, "<pre></pre>" * 100_000, "大陸稱「a」" * 100_000),
    ],
)
def test_a_hostile_text_takes_no_more_than_its_length(text):
    assert quoted.merged(quoted.spans(text)) == quoted.spans(text)
