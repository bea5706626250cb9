"""Word: structure, what is not seen, notes, numbering and formulas come out as the page shows them."""

import io

import pytest
from made import docx, office, p

from danlu.data.readers import Unreadable
from danlu.data.readers.docx import read
from danlu.data.readers.numbering import chinese, number

STYLES = """<w:styles><w:style w:styleId='1'><w:name w:val='heading 1'/></w:style>
<w:style w:styleId='2'><w:name w:val='heading 2'/></w:style><w:style w:styleId='3'><w:name w:val='own'/>
<w:basedOn w:val='2'/></w:style><w:style w:styleId='T'><w:name w:val='Title'/></w:style>
<w:style w:styleId='L'><w:name w:val='loop'/><w:basedOn w:val='L'/></w:style></w:styles>"""


def level(at, format, text):
    return f"<w:lvl w:ilvl='{at}'><w:numFmt w:val='{format}'/><w:lvlText w:val='{text}'/></w:lvl>"


NUMBERING = (
    "<w:numbering><w:abstractNum w:abstractNumId='0'>"
    + level(0, "taiwaneseCountingThousand", "第%1條")
    + level(1, "taiwaneseCountingThousand", "（%2）")
    + "</w:abstractNum><w:abstractNum w:abstractNumId='1'>"
    + level(0, "decimal", "%1.")
    + level(1, "bullet", "•")
    + level(2, "lowerLetter", "%3)")
    + "</w:abstractNum><w:num w:numId='5'><w:abstractNumId w:val='0'/></w:num><w:num w:numId='6'><w:abstractNumId"
    " w:val='1'/></w:num><w:num w:numId='7'><w:abstractNumId w:val='1'/><w:lvlOverride w:ilvl='0'><w:startOverride"
    " w:val='4'/></w:lvlOverride></w:num></w:numbering>"
)


def text(body, **parts):
    return read(docx(body, **parts)).text.strip()


def test_headings_by_style_by_inheritance_and_below_a_title():
    body = p("甲", "1") + p("乙", "3") + p("文字", "L")
    assert text(body, styles=STYLES) == "# 甲\n\n## 乙\n\n文字"
    assert text(p("書", "T") + body, styles=STYLES) == "# 書\n\n## 甲\n\n### 乙\n\n文字"


def test_lists_nest_and_labels_are_counted():
    body = (
        p("一", num="6/0") + p("二", num="6/1") + p("三", num="6/0") + p("句") + p("四", num="6/0") + p("五", num="7/0")
    )
    assert text(body, numbering=NUMBERING) == "1. 一\n   - 二\n2. 三\n\n句\n\n3. 四\n4. 五"
    law = (
        p("總則", num="5/0") + p("名詞", num="5/1") + p("範圍", num="5/1") + p("罰則", num="5/0") + p("附則", num="5/1")
    )
    assert text(law, numbering=NUMBERING) == "第一條 總則\n\n（一）名詞\n\n（二）範圍\n\n第二條 罰則\n\n（一）附則"
    assert text(p("甲", num="6/2") + p("乙", num="0/0"), numbering=NUMBERING) == "a) 甲\n\n乙"


def test_what_is_not_seen_is_left_out_and_nothing_comes_twice():
    def run(text):
        return f"<w:r><w:t>{text}</w:t></w:r>"

    box = f"<w:txbxContent>{p('方框')}</w:txbxContent>"
    body = (
        f"<w:p>{run('看得見')}<w:del>{run('刪去')}</w:del><w:ins>{run('加上')}</w:ins>"
        "<w:r><w:rPr><w:vanish/></w:rPr><w:t>隱藏</w:t></w:r><w:r><w:instrText>PAGE</w:instrText></w:r>"
        f"<w:r><w:ruby><w:rt>{run('ㄓㄨˋ')}</w:rt><w:rubyBase>{run('注')}</w:rubyBase></w:ruby></w:r>"
        f"<w:r><mc:AlternateContent><mc:Choice><w:drawing>{box}</w:drawing></mc:Choice>"
        f"<mc:Fallback><w:pict>{box}</w:pict></mc:Fallback></mc:AlternateContent></w:r></w:p>"
        f"<w:sdt><w:sdtContent>{p('控制項')}</w:sdtContent></w:sdt>"
    )
    assert text(body) == "看得見加上注\n\n方框\n\n控制項"


def test_tables_merged_cells_and_frames():
    def cell(text, extra=""):
        return f"<w:tc><w:tcPr>{extra}</w:tcPr>{p(text)}</w:tc>"

    span, down, on = "<w:gridSpan w:val='2'/>", "<w:vMerge w:val='restart'/>", "<w:vMerge/>"
    rows = [
        cell("甲|乙", span) + cell("丙"),
        cell("1", down) + cell("2") + cell("3"),
        cell("", on) + cell("4") + cell("5"),
    ]
    table = "<w:tbl>" + "".join(f"<w:tr>{row}</w:tr>" for row in rows) + "</w:tbl>"
    assert text(table) == "| 甲\\|乙 |  | 丙 |\n| --- | --- | --- |\n| 1 | 2 | 3 |\n|  | 4 | 5 |"
    assert text(f"<w:tbl><w:tr>{cell('框')}</w:tr></w:tbl>") == "框"


def test_notes_stand_at_the_end_in_the_order_of_their_marks():
    def mark(kind, id):
        return f"<w:r><w:{kind}Reference w:id='{id}'/></w:r>"

    body = f"<w:p>{mark('footnote', 9)}<w:r><w:t>文</w:t></w:r>{mark('endnote', 2)}{mark('footnote', 9)}</w:p>"
    notes = f"<w:footnotes><w:footnote w:id='9'>{p('甲')}</w:footnote></w:footnotes>"
    ends = f"<w:endnotes><w:endnote w:id='2'>{p('乙')}</w:endnote></w:endnotes>"
    assert text(body, footnotes=notes, endnotes=ends) == "[^1]文[^2][^1]\n\n[^1]: 甲\n\n[^2]: 乙"


def test_formulas_are_latex():
    def t(text):
        return f"<m:r><m:t>{text}</m:t></m:r>"

    root = f"<m:rad><m:radPr/><m:deg/><m:e>{t('π')}</m:e></m:rad>"
    half = f"<m:f><m:num>{t('1')}</m:num><m:den>{t('2')}</m:den></m:f>"
    power = f"<m:sSup><m:e>{half}</m:e><m:sup>{t('n')}</m:sup></m:sSup>"
    body = f"<w:p><w:r><w:t>式</w:t></w:r><m:oMath>{power}{t('≤')}{root}</m:oMath></w:p>"
    assert text(body) == r"式${\frac{1}{2}}^{n}\le \sqrt{\pi}$"


def test_properties():
    core = (
        "<dc:title>書名</dc:title><dc:creator>王小明</dc:creator><dc:rights>CC BY 4.0</dc:rights>"
        "<t:created>2024-01-01T00:00:00Z</t:created><t:modified>2024-05-06T07:08:09Z</t:modified>"
    )
    reading = read(docx(p("文"), core))
    assert reading.title == "書名"
    assert reading.meta == {"author": "王小明", "date": "2024-05-06T07:08:09", "licence": "CC BY 4.0"}


def test_a_file_of_the_library_that_everybody_uses():
    document = pytest.importorskip("docx").Document()
    document.add_heading("標題", 0)
    document.add_heading("章", 1)
    document.add_paragraph("項目", "List Bullet")
    document.add_paragraph("第一", "List Number")
    table = document.add_table(2, 2)
    for at, cell in enumerate(cell for row in table.rows for cell in row.cells):
        cell.text = str(at)
    out = io.BytesIO()
    document.save(out)
    assert read(out.getvalue()).text == "# 標題\n\n## 章\n\n- 項目\n1. 第一\n\n| 0 | 1 |\n| --- | --- |\n| 2 | 3 |\n"


def test_refusals():
    reasons = []
    for data in (
        docx(""),
        office("word/document.xml", "<x/>"),
        docx("<w:p>"),
        docx("<w:tbl>" * 300 + "</w:tbl>" * 300),
    ):
        with pytest.raises(Unreadable) as error:
            read(data)
        reasons.append(error.value.reason)
    assert reasons == ["empty", "broken-docx", "broken-xml", "too-deep"]


def test_tables_in_tables_as_deep_as_xml_may_nest():
    deep = "<w:tbl><w:tr><w:tc>" * 80 + p("底") + "</w:tc></w:tr></w:tbl>" * 80
    assert text(deep) == "底"


@pytest.mark.parametrize(
    ("value", "format", "shown"),
    [
        (3, "taiwaneseCountingThousand", "三"),
        (12, "chineseCounting", "十二"),
        (12, "ideographLegalTraditional", "壹拾貳"),
        (105, "taiwaneseCountingThousand", "一百零五"),
        (110, "taiwaneseCountingThousand", "一百一十"),
        (1005, "taiwaneseCountingThousand", "一千零五"),
        (20, "taiwaneseDigital", "二〇"),
        (3, "ideographTraditional", "丙"),
        (11, "ideographTraditional", "11"),
        (4, "lowerRoman", "iv"),
        (1994, "upperRoman", "MCMXCIV"),
        (28, "lowerLetter", "bb"),
        (7, "decimalZero", "07"),
        (7, "hebrew1", "7"),
        (0, "upperRoman", "0"),
    ],
)
def test_numbers_as_word_shows_them(value, format, shown):
    assert number(value, format) == shown


def test_chinese_numbers_are_all_different():
    assert len({chinese(value) for value in range(1, 10_000)}) == 9_999


def run(text, settings=""):
    return f"<w:r><w:rPr>{settings}</w:rPr><w:t xml:space='preserve'>{text}</w:t></w:r>"


WINGDINGS = "<w:rFonts w:ascii='Wingdings' w:hAnsi='Wingdings'/>"
RAISED = "<w:vertAlign w:val='superscript'/>"
BOX = "<w:r><w:fldChar w:fldCharType='begin'><w:ffData><w:checkBox>{}</w:checkBox></w:ffData></w:fldChar></w:r>"


@pytest.mark.parametrize(
    ("runs", "shown"),
    [
        ("<w:r><w:sym w:font='Wingdings 2' w:char='F052'/></w:r>", "同意 ☑"),
        ("<w:r><w:sym w:font='Wingdings' w:char='F0A8'/></w:r>", "同意 ☐"),
        ("<w:r><w:sym w:font='Wingdings' w:char='FE'/></w:r>", "同意 ☑"),
        ("<w:r><w:sym w:font='Symbol' w:char='F0B3'/></w:r>" + run("5"), "同意 ≥5"),
        ("<w:r><w:sym w:font='Wingdings' w:char='F0FF'/></w:r>", "同意 \ufffd"),
        (run("þo", WINGDINGS), "同意 ☑☐"),
        (run("\uf0fe是", WINGDINGS), "同意 ☑是"),
        (BOX.format("<w:default w:val='0'/>"), "同意 ☐"),
        (BOX.format("<w:default w:val='0'/><w:checked/>"), "同意 ☑"),
        (run("10") + run("-3", RAISED), "同意 10^-3"),
        (run("10") + run("-", RAISED) + run("3", RAISED), "同意 10^-3"),
        (run("1") + run("st", RAISED), "同意 1st"),
    ],
)
def test_what_type_alone_says_is_text(runs, shown):
    assert text(f"<w:p>{run('同意 ')}{runs}</w:p>") == shown


def test_a_table_in_a_cell_is_a_line():
    def rows(*lines):
        return (
            "<w:tbl>"
            + "".join(f"<w:tr>{''.join(f'<w:tc>{cell}</w:tc>' for cell in row)}</w:tr>" for row in lines)
            + ("</w:tbl>")
        )

    inner = rows((p("郵件"), p("隔日")), (p("貨件"), p("三日")))
    made = text(rows((p("項目"), p("說明")), (p("國內"), p("見內表") + inner + p("表後"))))
    assert made.split("\n")[-1] == "| 國內 | 見內表 郵件 隔日；貨件 三日 表後 |"
