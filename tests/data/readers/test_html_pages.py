"""Web pages: the main text and what the page says of itself; furniture only where the page does not mark its text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.data.readers import Unreadable
from danlu.data.readers.html import read

PROSE = "這是一段正文，說明如何整理資料。" * 10
LINKS = "".join(f"<li><a href='{at}'>連結{at}</a></li>" for at in range(8))


def text(body: str, head: str = "") -> str:
    return read(f"<html><head>{head}</head><body>{body}</body></html>".encode()).text.strip()


@pytest.mark.parametrize(
    "furniture",
    [
        f"<ul>{LINKS}</ul>",
        f"<div><div>網站</div><ul>{LINKS}</ul></div>",
        "<div class='site-sidebar'>熱門文章</div>",
        "<div id='cookie-consent'>本站使用 Cookie</div>",
        "<div role='navigation'>你在這裡</div>",
        "<table><tr><td>" + "".join(f"<a>選項{at}</a> " for at in range(9)) + "</td></tr></table>",
    ],
)
def test_furniture_is_left_out(furniture):
    article = f"<div class='post has-sidebar'><h1>標題</h1><p>{PROSE}</p></div>"
    assert text(furniture + article + furniture) == f"# 標題\n\n{PROSE}"
    assert text(f"<div class='sidebar-layout'>{furniture}{article}</div>") == f"# 標題\n\n{PROSE}"


def test_a_page_that_marks_its_text_is_believed():
    kept = f"<h1>標題</h1><p>{PROSE}</p><div class='related'>參考</div><ul>{LINKS}</ul>"
    made = text(f"<div>外</div><main>{kept}</main>")
    assert "參考" in made
    assert "- 連結7" in made
    assert "外" not in made


def test_a_page_of_nothing_but_links_is_read_all_the_same():
    assert text(f"<p>目錄</p><ul>{LINKS * 3}</ul>").count("連結") == 24


def test_what_a_page_says_of_itself():
    head = (
        "<title>題</title><meta name='Author' content='王小明'><meta property='article:published_time'"
        " content='2024-01-01'><meta property='article:modified_time' content='2024-05-06T07:08:09+08:00'>"
        "<link rel='license' href='https://creativecommons.org/licenses/by/4.0/'><meta name=date content=nonsense>"
    )
    meta = read(f"<html lang='zh-Hant-TW'><head>{head}</head><body>{PROSE}</body></html>".encode()).meta
    assert meta == {
        "encoding": "utf-8",
        "author": "王小明",
        "date": "2024-05-06T07:08:09",
        "language": "zh-Hant-TW",
        "licence": "https://creativecommons.org/licenses/by/4.0/",
    }


def test_formulas_and_closed_tags():
    formula = (
        "<math><semantics><mi>E</mi><annotation encoding='application/x-tex'>E=mc^2</annotation></semantics></math>"
    )
    assert text(f"<p>式{formula}。</p>") == "式$E=mc^2$。"
    page = f"<?xml version='1.0'?><html><head><title/><script src='x'/></head><body><p>{PROSE}</p></body></html>"
    assert read(page.encode()).text.strip() == PROSE


def test_deep_pages_end():
    deep = "<div><a>x</a><a>x</a><a>x</a><a>x</a>" * 3000 + PROSE
    assert PROSE in text(deep)


TAGS = st.sampled_from(
    ["div", "ul", "li", "table", "tr", "td", "p", "h1", "a", "nav", "main", "math", "dl", "dd", "pre", "svg"]
)
PAGES = st.recursive(
    st.sampled_from(["文字", "", "&#0;", "\ud800", "<", "]]>"]),
    lambda inner: st.builds(
        lambda tag, children: f"<{tag} class='menu'>{''.join(children)}</{tag}>", TAGS, st.lists(inner, max_size=4)
    ),
    max_leaves=30,
)


@settings(deadline=None)
@given(PAGES)
def test_any_page_is_text_or_a_reason(page):
    try:
        made = read(page.encode("utf-8", "surrogatepass")).text
    except Unreadable:
        made = "x"
    assert made.strip()
    made.encode()
