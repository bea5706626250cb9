"""Web pages: the main text and what the page says of itself; furniture only where the page does not mark its text."""

import re

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


LEAD = "本公司重視您的隱私，以下說明我們如何蒐集及利用個人資料，請您詳細閱讀。"


@pytest.mark.parametrize(
    "body",
    [
        "<form method=post action=./Page.aspx id=aspnetForm><input type=hidden value=x><div>{}</div></form>",
        "<form><table><tr><td>{}</td></tr></table><input type=submit value=送出></form>",
        "<div class=page><form name=form1><div class=menu-social-area>{}</div></form></div>",
    ],
)
def test_a_form_around_a_page_is_no_control(body):
    made = text(body.format(f"<h1>申辦須知</h1><p>{PROSE}</p><ul><li>印章</li></ul>"))
    assert made == f"# 申辦須知\n\n{PROSE}\n\n- 印章"


@pytest.mark.parametrize(
    "form",
    [
        "<form role=search><label>搜尋</label><input><button>送出</button></form>",
        "<form><label>帳號</label><input><label>密碼</label><input><button>登入</button></form>",
        "<form class=newsletter><h3>訂閱電子報</h3><p>留下信箱，我們會寄信給您。</p><input></form>",
        "<form><select><option>臺北市</option><option>高雄市</option></select></form>",
    ],
)
def test_controls_are_no_text(form):
    assert text(f"{form}<h1>標題</h1><p>{PROSE}</p>") == f"# 標題\n\n{PROSE}"


@pytest.mark.parametrize(
    ("opener", "panel"),
    [
        ("<h3><button>{}</button></h3>", "<div>{}</div>"),
        ("<button class=accordion>{}</button>", "<div class=panel style='display:none'>{}</div>"),
        ("<button aria-expanded=false aria-controls=p1>{}</button>", "<div id=p1 hidden>{}</div>"),
        ("<h3><a data-toggle=collapse href='#p2'>{}</a></h3>", "<div id=p2 style='display: none'>{}</div>"),
        ("<h3><a class=accordion-toggle href='#p3'>{}</a></h3>", "<div id=p3 aria-hidden=true>{}</div>"),
        ("<button role=tab aria-controls=t1>{}</button>", "<div role=tabpanel id=t1 aria-hidden=true>{}</div>"),
        ("<button type=button data-bs-toggle=collapse data-bs-target='#c'>{}</button>", "<div id=c hidden>{}</div>"),
    ],
)
def test_what_a_button_opens_is_read_and_the_button_heads_it(opener, panel):
    asked, answer = "遺失借書證怎麼辦？", "請立即來電掛失，並於三十日內補辦。"
    made = text(f"<h1>問答</h1><p>{PROSE}</p>{opener.format(asked)}{panel.format(answer)}")
    assert made == f"# 問答\n\n{PROSE}\n\n### {asked}\n\n{answer}"


def test_a_button_that_sends_or_opens_the_menu_is_no_text():
    body = (
        f"<button class=navbar-toggle aria-expanded=false>選單</button><p>{PROSE}</p><button type=submit>送出</button>"
    )
    assert text(body) == PROSE


@pytest.mark.parametrize(
    "names",
    ["class=social-welfare", "id=related-laws", "class=menu", "class='section share'", "id=comments-guide",
     "class=footer-note", "class=subscribe-rules", "class='col banner'"],
)  # fmt: skip
def test_a_name_alone_makes_no_furniture(names):
    part = "<h2>營養午餐菜單</h2><p>週一：白飯、滷雞腿、炒高麗菜、冬瓜湯。</p>"
    assert "冬瓜湯" in text(f"<h1>標題</h1><p>{PROSE}</p><div {names}>{part}</div>")


@pytest.mark.parametrize("name", ["consent", "newsletter-section", "subscribe"])
def test_a_text_about_what_a_box_asks_for_is_kept_and_the_box_is_not(name):
    told = "本人同意貴院於手術期間採取必要之醫療處置，並已了解相關風險與替代方案。"
    page = f"<h1>標題</h1><p>{PROSE}</p><div class={name}><p>{told}</p>{{}}</div>"
    assert told in text(page.format(""))
    for asks in ("<button>訂閱</button>", "<input type=email>", "<p>本站使用 Cookie。</p>"):
        assert told not in text(page.format(asks))


@pytest.mark.parametrize("mark", ["<main>{}</main>", "<article>{}</article>", "<div><div role=main>{}</div></div>"])
def test_prose_beside_the_marked_text_is_kept(mark):
    inner = f"<h2>蒐集目的</h2><p>{PROSE}</p>"
    outside = (
        f"<header><a href=/>首頁</a></header><div>{{}}</div>{mark.format(inner)}<div><a href=/x>回上頁。</a></div>"
    )
    assert text(outside.format(f"<p>{LEAD}</p>")) == f"{LEAD}\n\n## 蒐集目的\n\n{PROSE}"
    assert text(outside.format("加入好友")) == f"## 蒐集目的\n\n{PROSE}"


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        (
            "<thead><tr><th rowspan=2>場地<th colspan=2>費用</tr><tr><th>平日<th>假日</tr></thead>"
            "<tr><td rowspan=2>會議室<td>500<td>800</tr><tr><td>450<td>700</tr><tr><td>禮堂<td colspan=2>另議</tr>",
            ["場地|費用-平日|費用-假日", "會議室|500|800", "會議室|450|700", "禮堂|另議|另議"],
        ),
        (
            "<tr><th>縣市<th>人口<th>面積</tr><tr><td rowspan=0>臺北<td>1<td>2</tr><tr><td>3<td>4</tr>",
            ["縣市|人口|面積", "臺北|1|2", "臺北|3|4"],
        ),
        (
            "<tr><td rowspan=3>甲<td>a</tr><tr><td rowspan=2>b</tr><tr></tr><tr><td>乙<td>c</tr>",
            ["甲|a", "甲|b", "甲|b", "乙|c"],
        ),
        ("<tr><td colspan=65534>說明</tr><tr><td>1<td>2</tr>", None),
        ("<tr><th>項目<th>內容</tr><tr><td>甲<td><table><tr><td>一<td>二</tr><tr><td>三</tr></table></tr>",
         ["項目|內容", "甲|一 二；三"]),
    ],
)  # fmt: skip
def test_merged_cells_stand_in_each_of_their_places(table, rows):
    lines = text(f"<h1>表</h1><p>{PROSE}</p><table>{table}</table>").split("\n")
    made = [re.sub(r"\s*\|\s*", "|", line).strip("|") for line in lines if line.startswith("|") and "---" not in line]
    assert made == rows if rows else all(line.count("|") < 70 for line in made)


@pytest.mark.parametrize(
    "page",
    [
        "<table><tr><td><table><tr><td>左側</td></tr></table></td><td><table><tr><td>{}</td></tr></table></td></tr></table>",
        "<table role=presentation><tr><td>左側</td><td>{}</td></tr></table>",
        "<table><tr><td>左側</td><td><h2>大標</h2><p>{}</p></td></tr></table>",
        "<table><tr><td><table><tr><td>左側<table><tr><td>{}</td></tr></table></td></tr></table></td></tr></table>",
    ],
)
def test_a_table_of_layout_is_its_blocks_each_once(page):
    made = text(page.format(PROSE))
    assert made.count(PROSE) == made.count("左側") == 1
    assert "|" not in made


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        ("<ol start=3><li>三<li>四</ol>", ["3. 三", "4. 四"]),
        ("<ol reversed><li>二<li>一</ol>", ["2. 二", "1. 一"]),
        ("<ol><li value=7>七<li>八</ol>", ["7. 七", "8. 八"]),
        ("<ol type=a><li>甲<li>乙</ol>", ["a. 甲", "b. 乙"]),
        ("<ol><li>一<ol type=i><li>甲<li>乙</ol><li>二</ol>", ["1. 一", "   i. 甲", "   ii. 乙", "2. 二"]),
        ("<ol start=x><li>一</ol>", ["1. 一"]),
        ("<p>H<sub>2</sub>O 與 10<sup>-3</sup> 公尺</p>", ["H2O 與 10^-3 公尺"]),
        ("<p>面積 5 m<sup>2</sup>，x<sup>n</sup></p>", ["面積 5 m^2，x^n"]),
        ("<p>x<sup>n+1</sup>、2<sup>2k-1</sup>，註<sup>1-3</sup></p>", ["x^(n+1)、2^(2k-1)，註1-3"]),
        ("<p>史書<sup><a href='#1'>[1]</a></sup>，1<sup>st</sup></p>", ["史書[1]，1st"]),
    ],
)
def test_numbers_are_those_that_the_page_shows(body, lines):
    assert text(f"<h1>步驟</h1>{body}").split("\n")[2:] == lines
