"""PowerPoint, Excel, OpenDocument and e-books: what they say, where it stands, and what is refused."""

import io

import openpyxl
import pytest
from made import epub, odf, office, p, pptx, relations, shape, zipped

from danlu.data.readers import Unreadable, odt, xlsx
from danlu.data.readers import epub as epub_reader
from danlu.data.readers import pptx as slides
from danlu.data.readers.xlsx import CELLS


def reason(read, data):
    with pytest.raises(Unreadable) as error:
        read(data)
    return error.value.reason


def spans(reading, kind):
    return [(name, reading.text[start:end]) for name, start, end in reading.meta[kind]]


def sheets(**rows):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, cells in rows.items():
        sheet = book.create_sheet(name)
        for row in cells:
            sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def test_slides_with_title_lists_tables_and_notes():
    row = "<a:tr><a:tc>{}</a:tc><a:tc{}>{}</a:tc></a:tr>"
    cells = [f"<a:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></a:txBody>" for text in "甲乙丙丁"]
    rows = row.format(cells[0], "", cells[1]) + row.format(cells[2], " hMerge='1'", cells[3])
    table = f"<a:tbl>{rows}</a:tbl>"
    frame = f"<p:graphicFrame><a:graphic>{table}</a:graphic></p:graphicFrame>"
    deep = "<a:p><a:pPr lvl='1'/><a:r><a:t>深</a:t></a:r></a:p>"
    counted = "<a:p><a:pPr><a:buAutoNum type='arabicPeriod'/></a:pPr><a:r><a:t>數</a:t></a:r></a:p>"
    first = shape("點", deep, kind="body") + shape("題目", kind="title") + shape("8", kind="sldNum") + frame
    notes = f"<p:notes xmlns:p='{P}' xmlns:a='{A}'>{shape('備忘', kind='body')}{shape('3', kind='sldNum')}</p:notes>"
    data = pptx(
        first,
        "<p:grpSp>" + shape(counted, counted) + "</p:grpSp>",
        shape("藏", kind="title"),
        hidden=(2,),
        **{"ppt__n0": notes, "ppt___rels__s0.xml": relations(n="notesSlide n0.xml")},
    )
    reading = slides.read(data)
    assert spans(reading, "slides") == [
        ("題目", "# 題目\n\n- 點\n  - 深\n\n| 甲 | 乙 |\n| --- | --- |\n| 丙 |  |\n\n> 備忘"),
        ("2", "1. 數\n2. 數"),
    ]
    assert reading.meta["hidden"] == ["藏"]
    assert reading.title == "題目"


P = "http://schemas.openxmlformats.org/presentationml/2006/main"
A = "http://schemas.openxmlformats.org/drawingml/2006/main"


def test_a_chart_is_its_figures():
    from pptx import Presentation
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE
    from pptx.util import Inches

    show = Presentation()
    slide = show.slides.add_slide(show.slide_layouts[5])
    slide.shapes.title.text = "營收"
    data = CategoryChartData()
    data.categories = ["第一季", "第二季"]
    data.add_series("北區", (1, 2.5))
    data.add_series("南區", (3, None))
    slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 0, Inches(4), Inches(3), data)
    out = io.BytesIO()
    show.save(out)
    table = "|  | 北區 | 南區 |\n| --- | --- | --- |\n| 第一季 | 1 | 3 |\n| 第二季 | 2.5 |  |"
    assert slides.read(out.getvalue()).text == f"# 營收\n\n{table}\n"


def test_sheets_are_tables_parted_by_empty_rows():
    import datetime

    data = sheets(
        甲=[["名", "數", None], ["a|b", 1.0], [None], ["只有一格"], [None], [True, 0.1 + 0.2, "x\ny"]],
        空=[],
        乙=[["日", "時"], [datetime.date(2024, 5, 6), datetime.datetime(2024, 5, 6, 7, 8)]],
    )
    first = "| 名 | 數 |\n| --- | --- |\n| a\\|b | 1 |"
    last = "| TRUE | 0.3 | x y |\n| --- | --- | --- |"
    assert spans(xlsx.read(data), "sheets") == [
        ("甲", f"## 甲\n\n{first}\n\n只有一格\n\n{last}"),
        ("空", ""),
        ("乙", "## 乙\n\n| 日 | 時 |\n| --- | --- |\n| 2024-05-06 | 2024-05-06 7:08:00 |"),
    ]


def test_hidden_sheets_are_named_and_left_out():
    book = openpyxl.load_workbook(io.BytesIO(sheets(甲=[["x", "y"]], 乙=[["z"]])))
    book["乙"].sheet_state = "hidden"
    out = io.BytesIO()
    book.save(out)
    reading = xlsx.read(out.getvalue())
    assert (reading.text, reading.meta["hidden"]) == ("## 甲\n\n| x | y |\n| --- | --- |\n", ["乙"])


def test_two_cells_at_the_ends_of_a_sheet_are_refused_and_empty_ones_are_not_cells():
    main = "<workbook xmlns='{0}' xmlns:r='{1}'><sheets><sheet name='s' sheetId='1' r:id='r0'/></sheets></workbook>"
    main = main.format(S, "http://schemas.openxmlformats.org/officeDocument/2006/relationships")

    def book(cells):
        sheet = f"<worksheet xmlns='{S}'><sheetData>{cells}</sheetData></worksheet>"
        named = {"xl__worksheets__s": sheet, "xl___rels__workbook.xml": relations(r0="worksheet worksheets/s.xml")}
        return office("xl/workbook.xml", main, **named)

    near = '<row r="1"><c r="A1"><v>1</v></c><c r="B1"><v>2</v></c></row>'
    far = '<row r="1048576"><c r="XFD1048576"{}</row>'
    assert xlsx.read(book(near + far.format("/>"))).text == "## s\n\n| 1 | 2 |\n| --- | --- |\n"
    bomb = near + far.format("><v>2</v></c>")
    for cells in (bomb, bomb.replace('"', "'"), bomb.replace("r=", "\n r =")):
        assert reason(xlsx.read, book(cells)) == "too-large"
    prefixed = bomb.replace("<row", f"<x:row xmlns:x='{S}'").replace("<c", f"<x:c xmlns:x='{S}'")
    assert reason(xlsx.read, book(prefixed.replace("</row", "</x:row").replace("</c", "</x:c"))) == "too-large"


S = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def test_opendocument_text():
    lists = (
        "<text:list-style style:name='L'><text:list-level-style-number text:level='1' style:num-format='1'/>"
        "<text:list-level-style-bullet text:level='2'/></text:list-style>"
    )
    inner = "<text:list><text:list-item><text:p>深</text:p></text:list-item></text:list>"
    body = (
        "<text:p text:style-name='Title'>書</text:p><text:h text:outline-level='2'>章</text:h>"
        "<text:tracked-changes><text:p>刪去</text:p></text:tracked-changes>"
        "<text:p>一<text:s/>二<text:line-break/>三<text:note><text:note-citation>1</text:note-citation>"
        "<text:note-body><text:p>註</text:p></text:note-body></text:note><office:annotation>批</office:annotation></text:p>"
        f"<text:list text:style-name='L'><text:list-item><text:p>甲</text:p></text:list-item>"
        f"<text:list-item>{inner}</text:list-item><text:list-item><text:p>乙</text:p></text:list-item></text:list>"
    )
    meta = "<dc:title>名</dc:title><dc:creator>王小明</dc:creator><dc:date>2024-05-06T07:08:09.123</dc:date>"
    reading = odt.read(odf(body, styles=lists, meta=meta))
    assert reading.text.strip() == "# 書\n\n## 章\n\n一 二\n三[^1]\n\n1. 甲\n   - 深\n2. 乙\n\n[^1]: 註"
    assert (reading.title, reading.meta) == ("名", {"author": "王小明", "date": "2024-05-06T07:08:09"})


def test_opendocument_sheets_with_repeated_cells():
    def row(*cells, more=""):
        return f"<table:table-row {more}>{''.join(cells)}</table:table-row>"

    def cell(text, times=1):
        inside = f"<text:p>{text}</text:p>" if text else ""
        return f"<table:table-cell table:number-columns-repeated='{times}'>{inside}</table:table-cell>"

    ends = row(cell("", 16384), more="table:number-rows-repeated='1048576'")
    sheet = f"<table:table table:name='表'>{row(cell('a'), cell('b', 2))}{row(cell(1), cell(2))}{ends}</table:table>"
    reading = odt.read(odf(sheet, "spreadsheet"))
    assert spans(reading, "sheets") == [("表", "## 表\n\n| a | b | b |\n| --- | --- | --- |\n| 1 | 2 |  |")]
    bomb = row(cell("x", 1000), more=f"table:number-rows-repeated='{CELLS}'")
    assert reason(odt.read, odf(f"<table:table>{bomb}</table:table>", "spreadsheet")) == "too-large"


def test_opendocument_slides():
    frame = "<draw:frame presentation:class='{}'><draw:text-box><text:p>{}</text:p></draw:text-box></draw:frame>"
    page = f"<draw:page draw:name='頁'>{frame.format('outline', '文')}{frame.format('title', '題')}<presentation:notes>"
    reading = odt.read(odf(page + frame.format("notes", "備忘") + "</presentation:notes></draw:page>", "presentation"))
    assert spans(reading, "slides") == [("題", "# 題\n\n文\n\n> 備忘")]


def test_a_book_is_read_in_the_order_of_its_spine():
    page = "<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'><head><title/></head><body>{}</body></html>"
    chapters = {"z.xhtml": page.format("<h1>第一章</h1>"), "cover.xhtml": page.format("<img src='x'/>")}
    chapters["a.xhtml"] = page.format("<h1>第二章</h1><p>文</p>")
    meta = "<dc:title>書</dc:title><dc:creator>王小明</dc:creator><dc:rights>CC0</dc:rights>"
    data = epub(chapters, f"{meta}<dc:language>zh-TW</dc:language>")
    reading = epub_reader.read(data)
    assert spans(reading, "chapters") == [("第一章", "# 第一章"), ("第二章", "# 第二章\n\n文")]
    assert reading.title == "書"
    assert {key: reading.meta[key] for key in ("author", "licence", "language")} == {
        "author": "王小明",
        "licence": "CC0",
        "language": "zh-TW",
    }


def test_books_that_are_refused():
    page = "<html><body><p>文</p></body></html>"
    lock = "<encryption><CipherReference URI='OEBPS/a.xhtml'/></encryption>"
    assert reason(epub_reader.read, epub({"a.xhtml": page}, **{"META-INF__encryption": lock})) == "encrypted"
    font = lock.replace("a.xhtml", "font.ttf")
    assert epub_reader.read(epub({"a.xhtml": page}, **{"META-INF__encryption": font})).text == "文\n"
    assert reason(epub_reader.read, epub({"../../../etc/passwd": page})) == "broken-zip"
    assert reason(epub_reader.read, zipped({"a": "b"})) == "broken-epub"
    assert reason(epub_reader.read, epub({})) == "empty"


def test_formats_that_changed_places():
    from made import docx

    word, show = docx(p("文")), pptx(shape("文"))
    assert reason(slides.read, word) == "broken-pptx"
    assert reason(xlsx.read, show) == "broken-xlsx"
    assert reason(odt.read, word) == "broken-odt"
    assert reason(epub_reader.read, show) == "broken-epub"


def test_shapes_are_read_by_their_place():
    """A real deck, written by python-pptx: placeholders take their places from the layout, boxes have their own."""
    pptx_library = pytest.importorskip("pptx")
    from pptx.util import Cm

    deck = pptx_library.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[3])
    boxes = [("右下", 13, 13), ("左下", 1, 13), ("頁首說明", 1, 0)]
    for text, left, top in boxes:
        slide.shapes.add_textbox(Cm(left), Cm(top), Cm(10), Cm(1)).text_frame.text = text
    slide.shapes.title.text = "年度計畫"
    slide.placeholders[2].text_frame.text = "右欄"
    slide.placeholders[1].text_frame.text = "左欄"
    run = slide.placeholders[1].text_frame.paragraphs[0].add_run()
    run.text = "2"
    run.font._element.set("baseline", "30000")
    file = io.BytesIO()
    deck.save(file)
    made = slides.read(file.getvalue()).text.replace("- ", "").split()
    assert made == ["#", "年度計畫", "頁首說明", "左欄^2", "左下", "右欄", "右下"]
