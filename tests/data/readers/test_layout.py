"""Pages as people lay them out: what is read, in what order, what is joined, and what is a table."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import said
from sheets import document, lines, rows, ruled_table, wrapped, zh

from danlu.data.readers import ocr
from danlu.data.readers.glyphs import Hidden
from danlu.data.readers.layout import Box, blocks, ordered, written
from danlu.data.readers.pdf import read

STATEMENT = [
    ["項目", "附註", "本期", "上期"],
    ["現金及約當現金", "六(一)", "1,203,455", "998,120"],
    ["應收帳款淨額", "六(二)", "88,410", "73,205"],
    ["存貨", "", "512,300", "401,772"],
    ["資產總計", "", "1,804,165", "1,473,097"],
]
LEFT = (
    "本研究探討圖書館自動化系統對讀者借閱行為之影響，資料取自民國一百年至一百一十年間之流通紀錄，共計三百"
    "二十萬筆，經清理後分析之。結果顯示自助借還設備啟用後借閱量顯著上升。"
)
RIGHT = (
    "關於地區差異，都會區之成長高於偏鄉，其差距在行動書車開辦後縮小。本文建議主管機關編列經費，持續充實偏"
    "鄉館藏，並延長夜間開放時間，俾使通勤民眾亦得使用圖書館之服務。"
)


@pytest.fixture(autouse=True)
def _without_ocr(monkeypatch):
    monkeypatch.setattr(ocr, "available", lambda: False)


def text(*pages: bytes, **more) -> str:
    return read(document(*pages, **more)).text.rstrip("\n")


def beside(left: list[str], right: list[str], xs: tuple[int, int] = (60, 320), y: int = 700, size: int = 12) -> bytes:
    """Two columns drawn line by line, as some programs do."""
    out = b""
    for at in range(max(len(left), len(right))):
        out += zh(left[at], xs[0], y - 18 * at, size) if at < len(left) else b""
        out += zh(right[at], xs[1], y - 18 * at, size) if at < len(right) else b""
    return out


# --- rows without rules ---


def test_an_unruled_statement_is_a_table_below_its_caption():
    page = (
        zh("合併資產負債表", 240, 760, 14)
        + zh("單位：新臺幣仟元", 430, 735, 10)
        + rows(STATEMENT, [60, 220, 320, 430], 710)
    )
    said = text(page).split("\n")
    assert said[:3] == ["合併資產負債表", "單位：新臺幣仟元", ""]
    assert said[3] == "| 項目 | 附註 | 本期 | 上期 |"
    assert said[5:] == [f"| {' | '.join(cells)} |" for cells in STATEMENT[1:]]


def test_numbers_set_to_the_right_stay_in_their_columns():
    out = rows([["月份", "收入", "支出"]], [60, 250, 400], 700)
    table = [["一月份", "9", "12,345,678"], ["二月份", "1,234,567", "80"], ["三月份", "12,000", "5,555"]]
    for at, cells in enumerate(table):
        y = 680 - 20 * at
        out += zh(cells[0], 60, y, 10)
        out += b"".join(zh(cell, end - 5 * len(cell), y, 10) for cell, end in zip(cells[1:], (270, 420), strict=True))
    assert text(out).split("\n")[2:] == [
        "| 一月份 | 9 | 12,345,678 |",
        "| 二月份 | 1,234,567 | 80 |",
        "| 三月份 | 12,000 | 5,555 |",
    ]


def test_rows_without_a_head_are_one_a_line():
    table = [
        ["期初餘額", "1,000,000", "2,000,000"],
        ["本期增加", "30,500", "18,200"],
        ["期末餘額", "1,030,500", "2,018,200"],
    ]
    page = zh("權益變動表", 60, 740) + rows(table, [60, 250, 400], 710)
    assert text(page).split("\n") == ["權益變動表", *(" ".join(cells) for cells in table)]


def test_a_table_drawn_column_by_column_comes_row_by_row():
    table = [
        ["館別", "冊數", "人次"],
        ["總館館舍", "512,300", "9,120"],
        ["東湖分館", "88,410", "1,044"],
        ["西園分館", "73,205", "988"],
    ]
    page = b"".join(
        zh(cells[at], x, 700 - 20 * down, 10) for at, x in enumerate((60, 220, 380)) for down, cells in enumerate(table)
    )
    assert text(page).split("\n")[2:] == [f"| {' | '.join(cells)} |" for cells in table[1:]]


def test_the_rows_of_a_form_stay_rows():
    form = [["姓名：王小明", "性別：男"], ["電話：0912345678", "職業：教師"], ["住址：臺北市中正區", "郵遞區號：100"]]
    assert text(rows(form, [60, 330], 700)).split("\n") == [" ".join(cells) for cells in form]


def test_text_above_and_below_a_table_keeps_its_place():
    above = "下表為本館一百一十三年度各項業務統計，係由各分館彙報後經主計室複核之結果，"
    page = lines([*wrapped(above + "請參閱。", 36)], 60, 760) + rows(STATEMENT, [60, 220, 320, 430], 700)
    page += lines(wrapped("以上數字經會計師查核簽證。", 36), 60, 570)
    said = text(page)
    assert said.startswith(above + "請參閱。\n\n| 項目 |")
    assert said.endswith("| 1,473,097 |\n\n以上數字經會計師查核簽證。")


# --- paragraphs ---


CLAUSE = "被保險人因意外傷害事故致成失能者，本公司依失能程度與給付比例表所列之比例給付失能保險金，但以保險金額為限。"


@pytest.mark.parametrize(("x", "columns"), [(60, 38), (108, 34), (132, 28), (200, 22)])
def test_an_indented_paragraph_is_joined_by_its_own_edge(x, columns):
    wide = (
        "本契約所稱要保人、被保險人及受益人，均以保險單所載者為準，其變更應以書面通知本公司並經批註後生效，未經批註者不生效力。"
        * 2
    )
    page = lines(wrapped(wide, 39), 60, 760) + lines(wrapped(CLAUSE, columns), x, 660)
    assert text(page).split("\n") == [wide, CLAUSE]


@pytest.mark.parametrize("mark", ["（一）", "１、", "一、", "(2)", "●"])
def test_hanging_indents(mark):
    first, *rest = wrapped(CLAUSE, 26)
    page = zh("第十五條　保險金之給付", 60, 760)
    for at in range(2):
        y = 730 - 80 * at
        page += zh(mark + first, 84, y) + lines(rest, 84 + 12 * len(mark), y - 18)
    assert text(page).split("\n") == ["第十五條　保險金之給付", mark + CLAUSE, mark + CLAUSE]


def test_a_first_line_indent_begins_a_paragraph():
    body = "本會議紀錄業經與會人員確認無誤並依規定陳核後歸檔備查存參並副知各單位辦理情形" * 2 + "。"
    first, rest = body[:36], wrapped(body[36:], 38)
    page = b"".join(zh(first, 84, 760 - 80 * at) + lines(rest, 60, 742 - 80 * at) for at in range(2))
    assert text(page).split("\n") == [body, body]


KEPT = {
    "list": ["應備文件", "保險單或其謄本", "被保險人死亡證明書及除戶戶籍謄本", "受益人之身分證明", "保險金申請書"],
    "verse": ["床前明月光，", "疑是地上霜。", "舉頭望明月，", "低頭思故鄉。"],
    "verse without stops": ["白日依山盡", "黃河入海流", "欲窮千里目", "更上一層樓"],
    "address": ["收件人", "王小明先生", "臺北市中正區重慶南路一段一百二十二號三樓", "郵遞區號一〇〇"],
    "numbered": [
        "一、確認上次會議紀錄",
        "二、主席致詞並報告本季業務推動情形與預算執行進度",
        "三、討論提案",
        "四、臨時動議",
    ],
    "people": ["出席人員", "王大明 李小華 陳美玲", "張志強 林淑芬 黃建國", "列席人員", "趙主任 錢組長"],
    "headings": ["第一章　總則", "第一節　通則", "第一條", "為規範本館之閱覽服務，特訂定本辦法。"],
}


@pytest.mark.parametrize("kind", sorted(KEPT))
def test_lines_that_stand_alone_are_not_joined(kind):
    assert text(lines(KEPT[kind], 72, 740)).split("\n") == KEPT[kind]


def test_minutes_of_a_meeting():
    head = [
        "○○市立圖書館第三次館務會議紀錄",
        "時間：一百一十三年三月五日上午十時",
        "地點：本館三樓會議室",
        "主席：王館長　　紀錄：李組員",
    ]
    report = "一、館長報告：本館自本年度起推動無障礙閱讀服務，各分館應於六月底前完成設備盤點，並將結果送業務組彙整。"
    decision = "決議：照案通過，請業務組依本次會議討論之結果修正計畫內容後，於二週內簽陳核定，並副知各分館配合辦理。"
    page = lines(head, 60, 760)
    page += zh(report[:38], 60, 680) + lines(wrapped(report[38:], 36), 84, 662)
    page += zh(decision[:38], 60, 620) + lines(wrapped(decision[38:], 35), 96, 602)
    assert text(page).split("\n") == [*head[:3], "主席：王館長 紀錄：李組員", report, decision]


# --- columns ---


def test_two_columns_drawn_line_by_line():
    page = zh("圖書館自動化之研究", 220, 750, 16) + beside(wrapped(LEFT, 18), wrapped(RIGHT, 18))
    assert text(page).split("\n") == ["圖書館自動化之研究", LEFT, RIGHT]


def test_columns_of_unlike_lengths():
    page = beside(wrapped(LEFT, 18), wrapped(RIGHT[:50] + "。", 18))
    assert text(page).split("\n") == [LEFT, RIGHT[:50] + "。"]


def test_lines_of_columns_at_unlike_heights():
    left, right = wrapped(LEFT, 18), wrapped(RIGHT, 18)
    out = b""
    for at in range(len(left)):
        out += zh(left[at], 60, 700 - 18 * at) + (zh(right[at], 320, 693 - 17 * at) if at < len(right) else b"")
    assert text(out).split("\n") == [LEFT, RIGHT]


def test_three_columns():
    parts = [wrapped(part, 11) for part in (LEFT, RIGHT, LEFT[::-1] + "。")]
    out = b"".join(
        zh(part[at], 50 + 180 * across, 700 - 18 * at) for at in range(7) for across, part in enumerate(parts)
    )
    said = "".join(text(out).split("\n"))
    assert said == "".join("".join(part[:7]) for part in parts)


def test_a_heading_across_stands_between_the_columns_above_and_below():
    page = beside(wrapped(LEFT, 18), wrapped(RIGHT, 18), y=740) + zh("貳、研究方法與資料來源之說明", 200, 620, 14)
    page += beside(wrapped(RIGHT, 18), wrapped(LEFT, 18), y=590) + zh("12", 300, 40, 10)
    assert text(page).split("\n") == [LEFT, RIGHT, "貳、研究方法與資料來源之說明", RIGHT, LEFT, "12"]


def test_a_paragraph_goes_on_in_the_next_column():
    whole = wrapped(LEFT + RIGHT, 18)
    half = len(whole) // 2
    assert text(beside(whole[:half], whole[half:])) == LEFT + RIGHT


def test_a_paper_in_english_in_two_columns():
    words = [
        "the",
        "effect",
        "of",
        "reading",
        "aloud",
        "on",
        "the",
        "recall",
        "of",
        "lists",
        "was",
        "studied",
        "in",
        "forty",
        "pupils",
        "over",
        "six",
        "weeks",
    ] * 6
    halves = [[" ".join(words[at : at + 7]) for at in range(start, start + 42, 7)] for start in (0, 42)]
    out = said("On reading aloud", 250, 760)
    for at in range(6):
        out += said(halves[0][at], 50, 700 - 16 * at) + said(halves[1][at], 320, 700 - 16 * at)
    assert text(out).split("\n")[0] == "On reading aloud"
    assert " ".join(text(out).split("\n")[1:]) == " ".join(words[:84])


def test_a_wide_table_is_no_columns():
    table = [
        ["年度", "館藏", "借閱", "讀者"],
        *([f"一百{year}年", "1,203,455", "2,998,120", "88,410"] for year in "一二三四五六"),
    ]
    assert text(rows(table, [60, 150, 320, 430], 700)).count("\n| ") == 7


def test_an_abstract_across_and_a_table_inside_a_column():
    table = [["變項", "平均數", "標準差"], ["閱讀", "3.42", "0.81"], ["藏書", "2.98", "1.02"], ["時間", "1.77", "0.64"]]
    page = zh("數位閱讀之影響", 240, 780, 16) + lines(wrapped(LEFT, 40), 60, 750)
    page += beside(wrapped(RIGHT * 2, 18)[:12], wrapped(LEFT, 18), y=680)
    page += zh("表一　描述統計", 320, 580) + rows(table, [320, 390, 460], 560, 18)
    said = text(page)
    assert said.startswith(f"數位閱讀之影響\n{LEFT}\n{RIGHT}")
    assert said.endswith(f"{LEFT}\n表一　描述統計\n\n{table_of(table[0])}\n| --- | --- | --- |\n{table_of(*table[1:])}")


# --- tables over two pages ---


HEAD = ["分館名稱", "館藏冊數", "備註說明"]
BRANCHES = [
    ["總館", "512,300", "含期刊"],
    ["東湖", "88,410", ""],
    ["西園", "73,205", "整修中"],
    ["景美", "61,118", "新館舍"],
]
XS = [60, 200, 340, 480]


def table_of(*cells: list[str]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def whole() -> str:
    return f"{table_of(HEAD)}\n| --- | --- | --- |\n{table_of(*BRANCHES)}"


@pytest.mark.parametrize("again", [True, False])
@pytest.mark.parametrize("heads", [True, False])
def test_a_table_over_two_pages_is_one(again, heads):
    top, foot = (zh("○○市立圖書館年報", 60, 770, 9), zh("第 {} 頁", 280, 30, 9)) if heads else (b"", b"")
    number = [
        foot.replace("{}".encode("utf-16-be").hex().encode(), page.encode("utf-16-be").hex().encode()) for page in "12"
    ]
    first = top + zh("表一　各分館館藏量統計", 60, 740) + ruled_table([HEAD, *BRANCHES[:2]], XS, 720) + number[0]
    second = (
        top
        + ruled_table([*([HEAD] if again else []), *BRANCHES[2:]], XS, 740)
        + zh("資料來源：本館。", 60, 640)
        + number[1]
    )
    reading = read(document(first, second))
    assert reading.text.count("| --- | --- | --- |") == 1
    assert whole() in reading.text
    assert "資料來源：本館。" in reading.text[slice(*reading.meta["pages"][1])]


def test_an_unruled_table_over_three_pages():
    pages = [rows([HEAD, *BRANCHES], [60, 220, 380], 740), rows([HEAD, *BRANCHES], [60, 220, 380], 740)]
    pages.append(
        rows(
            [["復興", "40,112", "新館舍"], ["大同", "38,900", "新館舍"], ["士林", "77,001", "含期刊"]],
            [60, 220, 380],
            740,
        )
    )
    said = text(*pages)
    assert said.count("| --- | --- | --- |") == 1
    assert said.endswith("| 復興 | 40,112 | 新館舍 |\n| 大同 | 38,900 | 新館舍 |\n| 士林 | 77,001 | 含期刊 |")


OTHERS = {
    "another head": (XS, [["月份", "入館人次", "說明"], ["一月", "9,120", "含假日"], ["二月", "8,004", ""]], b""),
    "other columns": ([60, 150, 250, 480], [["總館", "512,300", "含期刊"], ["東湖", "88,410", ""]], b""),
    "text between": (
        XS,
        [["總館", "512,300", "含期刊"], ["東湖", "88,410", ""]],
        zh("表二　各分館期刊數量統計如下，單位為種。", 60, 750),
    ),
}


@pytest.mark.parametrize("kind", sorted(OTHERS))
def test_two_tables_on_two_pages_stay_two(kind):
    xs, cells, between = OTHERS[kind]
    said = text(ruled_table([HEAD, *BRANCHES[:2]], XS, 720), between + ruled_table(cells, xs, 735))
    assert said.count("| --- | --- | --- |") == 2


# --- given pages that went wrong, where they are at hand ---

GIVEN = {
    "i68_wide_rows.pdf": ["102,451,720 1,474,146,409\n本期淨利 28,161,775", "1,454,069,427\n董事長：甲君"],
    "i24_unruled_table.pdf": [
        "表二　各月借閱人次\n\n| 月份 | 成人 | 兒童 |\n| --- | --- | --- |\n| 一月 | 1,203 | 880 |"
    ],
    "i65_hanging_indent.pdf": ["與累計增加金額二者之較大值", "契約效力即行終止。\n１、", "加計利息。\n前項申領"],
    "i21_twocol_interleaved.pdf": [
        "圖書館簡介\n第一欄第一行",
        "沿革與發展經過",
        "全市居民。\n民國九十年",
        "現址。\n第二欄第一行",
    ],
    "i51_justified_title.pdf": ["圖書館公告\n主旨：公告本館"],
    "i23_table_two_pages.pdf": ["| 東湖 | 88,410 |  |\n| 西園 | 73,205 | 整修中 |\n| 景美 | 61,118 |  |"],
}


@pytest.mark.parametrize("name", sorted(GIVEN))
def test_given_pages(name, shared):
    path = shared.parent / "cases" / "documents" / name
    if not path.exists():
        pytest.skip(f"{path.name} is not at hand")
    said = read(path.read_bytes()).text
    assert [part for part in GIVEN[name] if part not in said] == []


# --- what a file does not tell, and pages that lie aslant ---


def test_a_title_whose_font_is_not_there_is_read_all_the_same():
    title = b"".join(zh(character, 120 + 70 * at, 790, 20) for at, character in enumerate("圖書館公告"))
    reading = read(document(title + lines(["主旨：公告本館春節期間開放時間。"], 72, 740)))
    assert reading.text == "圖書館公告\n主旨：公告本館春節期間開放時間。\n"
    assert "text_missing" not in reading.meta


def test_single_characters_in_cells_are_not_lost():
    table = [["項次", "有", "無"], ["一", "是", "否"], ["二", "否", "是"]]
    assert text(ruled_table(table, XS, 700)).split("\n")[2:] == ["| 一 | 是 | 否 |", "| 二 | 否 | 是 |"]


def test_text_that_pdfium_leaves_out_is_read_by_pdfminer():
    """Whether pdfium leaves it out depends on the fonts of the machine; reading it must not."""
    data = document(zh("圖書館", 120, 790, 20) + zh("公", 400, 790, 20), zh("告", 72, 500))
    told, missing = Hidden(data).words(0, [(120, 790), (400, 790), (10, 10)])
    assert ([word.text for word in told], missing) == (["圖", "書", "館", "公"], 1)
    assert told[0].left == 120
    assert told[0].right - told[0].left == 20
    assert [word.text for word in Hidden(data).words(1, [(72, 500)])[0]] == ["告"]
    assert Hidden(b"%PDF-1.4 broken").words(0, [(72, 500)]) == ([], 1)


def test_text_that_nobody_can_tell_is_counted(monkeypatch):
    places = iter([[], [(120, 790), (190, 790)]])
    monkeypatch.setattr("danlu.data.readers.pdf.unsaid", lambda page: next(places))
    body = lines(["第一頁的內容在此，沒有缺漏，第二頁有。"], 72, 740)
    reading = read(document(body, body))
    assert (reading.meta["pages_missing_text"], reading.meta["text_missing"]) == ([2], 2)


@pytest.mark.parametrize("degrees", [-8, -2, 1, 3, 15, 90, 180, 270])
def test_a_page_whose_text_lies_aslant(degrees):
    texts = [*wrapped(LEFT, 30), "貳、研究方法", *wrapped(RIGHT, 30)]
    a, b = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    page = b"".join(
        zh(line, 300 - 180 * a + 18 * at * b, 400 - 180 * b - 18 * at * a, 12, degrees) for at, line in enumerate(texts)
    )
    assert text(page).split("\n") == [LEFT, "貳、研究方法", RIGHT]


@pytest.mark.parametrize("rotate", [90, 180, 270])
def test_a_page_that_is_shown_turned(rotate):
    page = zh("圖書館自動化之研究", 220, 750, 16) + beside(wrapped(LEFT, 18), wrapped(RIGHT, 18))
    assert text(page, rotate=rotate).split("\n") == ["圖書館自動化之研究", LEFT, RIGHT]


def test_a_watermark_and_a_note_in_the_margin_stay_apart():
    page = zh("樣張僅供參考", 150, 300, 60, 45) + lines(wrapped(LEFT, 38), 60, 700) + zh("限閱", 20, 300, 10, 90)
    assert text(page).split("\n") == ["樣張僅供參考", LEFT, "限閱"]


def test_vertical_lines_from_right_to_left():
    lines = ["圖書館公告", *wrapped(LEFT, 24)]
    page = b"".join(
        zh(character, 500 - 24 * across, 740 - 14 * down)
        for across, line in enumerate(lines)
        for down, character in enumerate(line)
    )
    assert text(page).split("\n") == ["圖書館公告", LEFT]


# --- whatever is drawn ---


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.builds(
            lambda text, x, y, wide, high: Box(text, x, y, x + wide, y + high),
            st.sampled_from(["文字", "1,234", "word and word", "（一）", "。"]),
            st.floats(0, 600),
            st.floats(0, 800),
            st.floats(1, 500),
            st.floats(5, 50),
        ),
        max_size=40,
    )
)
def test_no_box_is_lost_and_none_comes_twice(found):
    assert sorted(id(box) for part in ordered(found) for box in part) == sorted(id(box) for box in found)
    told = written(blocks(found))
    solid = "".join("".join(told.replace("| --- ", "").split()).replace("|", ""))
    assert sorted(solid) == sorted("".join("".join(box.text for box in found).split()))
