"""Archives beside ZIP, feeds, notebooks, GeoJSON, XML in old encodings, spreadsheets as shown, e-mail as written."""

import base64
import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile

import openpyxl
import pytest
from compound import rar

from danlu.data.readers import Bad, How, Reading, Unreadable, readings, xlsx
from danlu.data.readers import rar as rar_reader
from danlu.data.readers.headers import unworded

PROSE = "檢索增強生成先找出相關的段落，再請模型根據段落回答問題。"


@pytest.fixture
def told(tmp_path):
    def go(name: str, data: bytes | str, **how) -> list[Reading | Bad]:
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return list(readings(path, How(source=name, **how)))

    return go


def outcomes(found):
    return [(each.part, each.reason if isinstance(each, Bad) else each.text) for each in found]


# ── archives ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def tarred(files: dict[str, bytes], kind: str = "", **links: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{kind}", format=tarfile.GNU_FORMAT, encoding="big5") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, target in links.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.tar", ""), ("a.tar.gz", "gz"), ("a.tgz", "gz"), ("a.tar.bz2", "bz2"), ("a.tar.xz", "xz"), ("a.txz", "xz")],
)
def test_tar_and_packed_tar(told, name, kind):
    files = {
        "./公告.txt": PROSE.encode("big5"),
        "../up.txt": b"x",
        "/root.txt": b"x",
        ".hidden/a.txt": b"x",
        "b.exe": b"x",
    }
    assert outcomes(told(name, tarred(files, kind, link="/etc/passwd"))) == [
        ("公告.txt", PROSE),
        ("../up.txt", "unsafe-name"),
        ("/root.txt", "unsafe-name"),
        (".hidden/a.txt", "hidden"),
        ("b.exe", "unsupported-format"),
        ("link", "unsafe-name"),
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.tar", "gz"), ("a.tar", "bz2"), ("a.tgz", ""), ("a.tar.gz", ""), ("a.tar.gz", "xz"), ("a.tar.xz", "gz")],
)
def test_a_tar_is_read_however_it_is_named(told, name, kind):
    assert outcomes(told(name, tarred({"公告.txt": PROSE.encode()}, kind))) == [("公告.txt", PROSE)]


def test_a_tar_that_is_packed_again_and_again_ends(told):
    data = tarred({"公告.txt": PROSE.encode()})
    for _ in range(5):
        data = gzip.compress(data)
    assert [reason for _, reason in outcomes(told("a.tar", data))] == ["too-deep"]


def test_archives_in_archives_and_bombs(told, monkeypatch):
    inner = tarred({"x.txt": PROSE.encode()}, "gz")
    twice = tarred({"x.tar.gz": inner})
    assert outcomes(told("a.tar", twice)) == [("x.tar.gz#x.txt", PROSE)]
    deep = tarred({"b.tar": tarred({"a.tar": twice})})
    assert outcomes(told("b.tar", deep)) == [("b.tar#a.tar#x.tar.gz", "too-deep")]
    zeros = tarred({"z.txt": bytes(2**25)}, "gz")
    with pytest.raises(Unreadable, match="zip-bomb"):
        told("c.tgz", zeros)
    with pytest.raises(Unreadable, match="broken-tar"):
        told("d.tar", b"no archive" * 100)
    with pytest.raises(Unreadable, match="empty"):
        told("e.tar", tarred({}))
    monkeypatch.setattr("danlu.data.readers.tar.LARGEST", 10)
    assert outcomes(told("f.tar", tarred({"x.txt": PROSE.encode()}))) == [("x.txt", "zip-bomb")]
    cut = tarred({"x.txt": PROSE.encode(), "y.txt": PROSE.encode() * 99})
    with pytest.raises(Unreadable, match="broken-tar"):
        told("g.tar", cut[:2000])


def test_single_packed_files(told):
    assert outcomes(told("a.txt.bz2", bz2.compress(PROSE.encode()))) == [("", PROSE)]
    assert outcomes(told("a.txt.xz", lzma.compress(PROSE.encode()))) == [("", PROSE)]
    zstd = pytest.importorskip("backports.zstd")
    assert outcomes(told("a.txt.zst", zstd.compress(PROSE.encode()))) == [("", PROSE)]
    assert outcomes(told("a.tar.zst", zstd.compress(tarred({"x.txt": PROSE.encode()})))) == [("x.txt", PROSE)]
    for name, reason in (("b.txt.bz2", "broken-bzip2"), ("b.txt.xz", "broken-xz"), ("b.txt.zst", "broken-zstd")):
        with pytest.raises(Unreadable, match=reason):
            told(name, b"nothing of the kind")


def test_7z(told, tmp_path):
    sevenzip = pytest.importorskip("py7zr")

    def made(files, **more):
        out = io.BytesIO()
        with sevenzip.SevenZipFile(out, "w", **more) as archive:
            for name, data in files.items():
                archive.writestr(data, name)
        return out.getvalue()

    data = made({"資料/公告.txt": PROSE.encode("big5"), "b.exe": b"x", "c.zip": _zipped({"d.txt": PROSE})})
    assert sorted(outcomes(told("a.7z", data))) == [
        ("b.exe", "unsupported-format"),
        ("c.zip#d.txt", PROSE),
        ("資料/公告.txt", PROSE),
    ]
    for name, held, reason in (
        ("b.7z", made({"a.txt": b"x"}, password="x"), "encrypted"),
        ("c.7z", made({"a.txt": b"x"}, password="x", header_encryption=True), "encrypted"),
        ("d.7z", made({"a.txt": bytes(2**25)}), "zip-bomb"),
        ("e.7z", b"7z\xbc\xaf\x27\x1c no archive", "broken-7z"),
        ("f.7z", data[:-20], "broken-7z"),
    ):
        with pytest.raises(Unreadable, match=reason):
            told(name, held)


def _zipped(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return out.getvalue()


def test_rar(told, monkeypatch):
    pytest.importorskip("rarfile")
    files = {"note.txt": PROSE.encode("big5"), "../up.txt": b"x", "b.exe": b"x"}
    assert outcomes(told("a.rar", rar(files))) == [
        ("note.txt", PROSE),
        ("../up.txt", "unsafe-name"),
        ("b.exe", "unsupported-format"),
    ]
    assert outcomes(told("b.rar", rar({"a.txt": b"x"}, flags=4))) == [("a.txt", "encrypted")]
    with pytest.raises(Unreadable, match="broken-rar"):
        told("c.rar", b"no archive")


def test_packed_rar_without_a_program_names_those_that_do(told, monkeypatch):
    rarfile = pytest.importorskip("rarfile")

    def none(*_):
        raise rarfile.RarCannotExec("no tool")

    monkeypatch.setattr(rarfile.RarFile, "open", none)
    (found,) = told("a.rar", rar({"a.txt": b"x"}))
    assert found.reason == "unsupported-format"
    assert rar_reader.TOOLS in found.detail


# ── feeds and XML ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_rss_items_are_documents(told):
    data = (
        '<rss version="2.0"><channel><title>圖書館公告</title><item><title>春季講座 &amp;amp; 展覽</title>'
        "<link>http://example.com/1</link><pubDate>Mon, 01 Jan 2024 08:00:00 +0800</pubDate><author>王小明</author>"
        "<description>&lt;p&gt;三月五日舉辦講座。&lt;/p&gt;&lt;p&gt;地點在&lt;b&gt;三樓&lt;/b&gt;。&lt;/p&gt;</description></item>"
        "<item><title>只有標題</title></item><item><description><![CDATA[<ul><li>甲</li><li>乙</li></ul>]]></description>"
        "<guid>http://example.com/3</guid></item><item/></channel></rss>"
    )
    found = told("a.xml", data)
    assert outcomes(found) == [
        ("item 1", "三月五日舉辦講座。\n\n地點在三樓。\n"),
        ("item 2", "只有標題\n"),
        ("item 3", "- 甲\n- 乙\n"),
        ("item 4", "empty"),
    ]
    first = found[0].meta
    assert (found[0].title, first["url"], first["date"]) == (
        "春季講座 & 展覽",
        "http://example.com/1",
        "2024-01-01T08:00:00+08:00",
    )
    assert (first["author"], first["feed"], found[2].meta["url"]) == ("王小明", "圖書館公告", "http://example.com/3")


@pytest.mark.parametrize(
    ("name", "data", "text", "url"),
    [
        (
            "a.atom",
            '<feed xmlns="http://www.w3.org/2005/Atom"><title>甲</title><entry><title>一</title>'
            '<link rel="self" href="http://x/s"/>'
            '<link href="http://x/1"/><content type="html">&lt;p&gt;內文一段。&lt;/p&gt;</content>'
            "<summary>短</summary></entry></feed>",
            "內文一段。\n",
            "http://x/1",
        ),
        (
            "b.xml",
            '<feed xmlns="http://www.w3.org/2005/Atom"><entry><title>一</title><content type="xhtml">'
            '<div xmlns="http://www.w3.org/1999/xhtml"><p>第一段。</p><p>第二段。</p></div></content></entry></feed>',
            "第一段。\n\n第二段。\n",
            None,
        ),
        (
            "c.rdf",
            '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/">'
            "<channel><title>乙</title></channel><item><title>一</title><link>http://x/2</link>"
            "<description>說明文字，a &lt; b。</description></item></rdf:RDF>",
            "說明文字，a < b。\n",
            "http://x/2",
        ),
        (
            "d.rss",
            '<rss xmlns:content="http://purl.org/rss/1.0/modules/content/"><channel><item><description>短</description>'
            "<content:encoded>&lt;p&gt;很長的全文在這裡。&lt;/p&gt;</content:encoded></item></channel></rss>",
            "很長的全文在這裡。\n",
            None,
        ),
        (
            "e.xml",
            "<rss><channel><item><description>空白&nbsp;與&copy;\x08，以下文字夠長。</description></item></channel></rss>",
            "空白\xa0與©，以下文字夠長。\n",
            None,
        ),
    ],
)
def test_other_feeds(told, name, data, text, url):
    (found,) = told(name, data)
    assert (found.text, found.meta.get("url")) == (text, url)


@pytest.mark.parametrize(
    ("declared", "codec", "text"),
    [
        ("big5", "cp950", "宏碁公司採用不銹鋼外殼，恒溫控制，售價以歐元€計算。"),
        ("Big5-HKSCS", "big5hkscs", "佢哋喺度賣嘢食，價錢唔貴。"),
        ("gb2312", "gb18030", "他镕的饭很好吃，我们都喜欢。"),
        ("windows-1252", "cp1252", "The café opens at nine."),
        ("utf-8", "cp950", "宣告與內容不符的公告，仍然讀得出來。"),
        ("shift_jis", "cp932", "これは日本語の文章です。"),
    ],
)
def test_xml_in_the_encoding_that_it_declares(told, declared, codec, text):
    (found,) = told("a.xml", f'<?xml version="1.0" encoding="{declared}"?>\n<a><b>{text}</b></a>'.encode(codec))
    assert (found.text, found.meta["encoding"]) == (text + "\n", codec)


def test_damaged_xml_is_kept_and_counted(told):
    data = f'<?xml version="1.0" encoding="utf-8"?><a>{PROSE}</a>'.encode().replace("索".encode(), b"\xe7\xb4")
    (found,) = told("a.xml", data)
    assert (found.text, found.meta["undecodable"]) == (PROSE.replace("索", "\ufffd") + "\n", 1)


# ── notebooks and GeoJSON ────────────────────────────────────────────────────────────────────────────────────────────


def notebook(*cells: dict, **more) -> str:
    return json.dumps({"nbformat": 4, "metadata": {"language_info": {"name": "python"}}, "cells": list(cells), **more})


def test_notebooks(told):
    shown = {"output_type": "execute_result", "data": {"text/plain": ["3"], "image/png": "xx"}}
    printed = {"output_type": "stream", "text": ["印出\n", "兩行\n"]}
    failed = {"output_type": "error", "traceback": ["x"]}
    (found,) = told(
        "a.ipynb",
        notebook(
            {"cell_type": "markdown", "source": ["# 標題\n", "\n", "說明。"]},
            {"cell_type": "code", "source": "print(1)\n1+2", "outputs": [printed, shown, failed]},
            {"cell_type": "code", "source": "", "outputs": [printed]},
            {"cell_type": "raw", "source": "原文"},
        ),
    )
    assert found.text == "# 標題\n\n說明。\n\n```python\nprint(1)\n1+2\n```\n\n```\n印出\n兩行\n3\n```\n\n原文\n"
    assert found.title == "標題"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "empty"),
        ("{}", "broken-ipynb"),
        ("[1]", "broken-ipynb"),
        ("no json", "broken-json"),
        (notebook(), "empty"),
        (notebook({"cell_type": "code", "source": 3, "outputs": 7}), "empty"),
        (notebook(metadata=3, worksheets=[1]), "empty"),
    ],
)
def test_notebooks_that_are_none(told, data, reason):
    with pytest.raises(Unreadable, match=reason):
        told("a.ipynb", data)


@pytest.mark.parametrize("named", [{}, {"text/plain": "<IPython.core.display.HTML object>"}])
def test_what_a_cell_shows_as_html_alone(told, named):
    shown = {"text/html": ["<table><tr><th>館</th></tr>", "<tr><td>東湖</td></tr></table>"], **named}
    cell = {"cell_type": "code", "source": "x", "outputs": [{"output_type": "display_data", "data": shown}]}
    (found,) = told("a.ipynb", json.dumps({"nbformat": 4, "cells": [cell]}))
    assert found.text == "```\nx\n```\n\n```\n| 館 |\n| --- |\n| 東湖 |\n```\n"


def test_old_notebooks(told):
    cells = [{"cell_type": "heading", "level": 2, "source": "節"}, {"cell_type": "code", "input": "x", "outputs": []}]
    (found,) = told("a.ipynb", json.dumps({"nbformat": 3, "worksheets": [{"cells": cells}]}))
    assert found.text == "## 節\n\n```\nx\n```\n"


def geo(*properties, **more) -> str:
    features = [{"type": "Feature", "properties": held, "geometry": None, **more} for held in properties]
    return json.dumps({"type": "FeatureCollection", "features": features})


@pytest.mark.parametrize(
    ("properties", "text", "title"),
    [
        (
            {"名稱": "大安森林公園", "說明": "位於新生南路，佔地二十六公頃。"},
            "位於新生南路，佔地二十六公頃。",
            "大安森林公園",
        ),
        ({"name": "A", "description": "text", "電話": "02-1", "n": 3}, "text\n\n- 電話：02-1\n- n：3", "A"),
        ({"name": "A", "內容": "全文", "備註": "x"}, "全文\n\n- 備註：x", "A"),
        ({"站名": "北車", "行政區": "中正", "空": None, "表": [1]}, "- 站名：北車\n- 行政區：中正", ""),
        ({"簡介": "一段介紹", "地址": "路一號"}, "一段介紹\n\n- 地址：路一號", ""),
    ],
)
def test_geojson_features(told, properties, text, title):
    for name in ("a.json", "a.geojson"):
        (found,) = told(name, geo(properties, id="f1"))
        assert (found.text, found.title, found.part) == (text, title, "features 1")
    (line,) = told("a.jsonl", json.dumps({"type": "Feature", "properties": properties}) + "\n")
    assert (line.text, line.title) == (text, title)


@pytest.mark.parametrize("name", ["a.json", "a.geojson"])
@pytest.mark.parametrize("mark", ["", "\x1e"])
def test_json_lines_that_are_named_json(told, name, mark):
    places = [{"type": "Feature", "properties": {"說明": says}} for says in ("甲地", "乙地")]
    lines = "".join(f"{mark}{json.dumps(place)}\n" for place in places)
    assert outcomes(told(name, lines)) == [("line 1", "甲地"), ("line 2", "乙地")]
    with pytest.raises(Unreadable, match="broken-json"):
        told(name, '{\n"text": "x"\n} {\n"text": "y"\n}')


def test_geojson_without_properties_and_with_a_named_field(told):
    assert outcomes(told("a.geojson", geo(None, {}))) == [("features 1", "no-text-field"), ("features 2", "empty")]
    (found,) = told("b.geojson", json.dumps({"type": "Feature", "properties": {"說明": "一處"}}))
    assert found.text == "一處"


# ── spreadsheets ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_cells_as_they_are_shown():
    import datetime

    book = openpyxl.Workbook()
    sheet = book.active
    day = datetime.datetime(2024, 1, 5)
    cells = [
        ("電話", None), (912345678, "0000000000"), (912345678, '0000"-"000"-"000'), (0.256, "0.0%"), (0.5, "0%"),
        (1234567890123456, "General"), (day, '[$-404]e"年"m"月"d"日"'), (day, "yyyy/mm/dd"), (1200, '"NT$"#,##0'),
        ("00123", None), ("=A1+1", "General"), (True, None), (datetime.time(14, 30), "h:mm"), (-5.25, "0.0;(0.0)"),
    ]  # fmt: skip
    for at, (value, format) in enumerate(cells, 1):
        cell = sheet.cell(1, at, value)
        cell.number_format = format or "General"
    out = io.BytesIO()
    book.save(out)
    reading = xlsx.read(out.getvalue())
    assert reading.text.split("\n")[2] == (
        "| 電話 | 0912345678 | 0912-345-678 | 25.6% | 50% | 1234567890123456 | 113年1月5日 | 2024/01/05 | NT$1,200 |"
        " 00123 | =A1+1 | TRUE | 14:30 | (5.3) |"
    )
    assert reading.meta["formulas_without_value"] == 1


def test_a_page_that_calls_itself_xls(told):
    (found,) = told("a.xls", "<html><meta charset=big5><table><tr><td>甲</td><td>乙</td></tr></table>".encode("big5"))
    assert "| 甲 | 乙 |" in found.text


# ── e-mail ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def word(data: bytes, charset: str = "big5") -> str:
    return f"=?{charset}?B?{base64.b64encode(data).decode()}?="


TITLE = "圖書館週年慶活動通知書"
CUT = TITLE.encode("big5")


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (f"{word(CUT[:11])}\r\n {word(CUT[11:])}", TITLE),
        (f"{word(CUT[:5])} {word(CUT[5:9], 'BIG5')}\t{word(CUT[9:])}", TITLE),
        (f"Re: {word(CUT)} (2024)", f"Re: {TITLE} (2024)"),
        (f"{word(CUT)} plain {word('测试'.encode('gbk'), 'gb2312')}", f"{TITLE} plain 测试"),
        (word("宏碁恒溫€".encode("cp950")), "宏碁恒溫€"),
        ("=?utf-8?Q?caf=C3=A9_=E5=9C=96?=", "café 圖"),
        (f"{word(TITLE.encode()[:7], 'utf-8')} {word(TITLE.encode()[7:], 'UTF-8')}", TITLE),
        (word("日本語の件名".encode("iso2022_jp"), "ISO-2022-JP"), "日本語の件名"),
        (word("简体标题".encode("gb18030"), "gb2312*zh"), "简体标题"),
        (word(TITLE.encode(), "big5"), TITLE),
        (f"=?big5?B?{base64.b64encode(CUT).decode()[:10]}?= =?big5?B?{base64.b64encode(CUT).decode()[10:]}?=", TITLE),
        (CUT.decode("ascii", "surrogateescape"), TITLE),
        (TITLE.encode().decode("ascii", "surrogateescape"), TITLE),
        ("=?no-such?B?AAAA?= a=?b", "\x00\x00\x00 a=?b"),
    ],
)
def test_headers(header, text):
    assert unworded(header, "big5") == text


def mail(subject: bytes, body: bytes, kind: str = "text/plain", more: str = "") -> bytes:
    head = b"From: \xa4\xfd\xa4p\xa9\xfa <w@example.com>\r\nSubject: " + subject
    return head + f"\r\nDate: Thu, 1 Jun 2023 10:53:30 +0800\r\nContent-Type: {kind}\r\n{more}\r\n".encode() + body


@pytest.mark.parametrize(
    ("kind", "more", "body", "text"),
    [
        ("text/plain", "", "各位讀者好，請查收。".encode("big5"), "各位讀者好，請查收。\n"),
        ("text/plain; charset=big5", "", "宏碁恒溫€計算。".encode("cp950"), "宏碁恒溫€計算。\n"),
        ("text/plain; charset=us-ascii", "", "各位讀者好，請查收。".encode("big5"), "各位讀者好，請查收。\n"),
        ("text/plain; charset=iso-8859-1", "", "各位讀者好，請查收。".encode(), "各位讀者好，請查收。\n"),
        ("text/plain; charset=iso-2022-jp", "", "日本語の本文です。".encode("iso2022_jp"), "日本語の本文です。\n"),
        ("text/plain; charset=windows-1252", "", b"caf\xe9 \x97 \x80 4", "café — € 4\n"),
        (
            "text/plain; charset=big5",
            "Content-Transfer-Encoding: quoted-printable\r\n",
            b"=A4=A4=A4=E5=\r\nok",
            "中文ok\n",
        ),
        ("text/plain; charset=big5", "Content-Transfer-Encoding: base64\r\n", base64.b64encode(CUT), TITLE + "\n"),
        ("text/html; charset=big5", "", b"<meta charset=utf-8><p>" + CUT + b"</p>", TITLE + "\n"),
    ],
)
def test_bodies(told, kind, more, body, text):
    (found,) = told("a.eml", mail(CUT, body, kind, more))
    assert (found.text, found.title, found.meta["author"]) == (text, TITLE, "王小明 <w@example.com>")


def test_gbk_that_calls_itself_gb2312(told):
    title = "镕基先生说的话".encode("gbk")
    (found,) = told("a.eml", mail(title, title, "text/plain; charset=gb2312").replace(b"\xa4\xfd\xa4p\xa9\xfa", title))
    assert (found.text, found.title) == ("镕基先生说的话\n", "镕基先生说的话")


def test_a_damaged_body_is_counted_and_names_of_attachments_are_read(told):
    name = word(CUT[:7]) + "\r\n " + word(CUT[7:] + b".txt")
    inner = mail(CUT, b"inner " + CUT)
    parts = [
        b"Content-Type: text/plain; charset=big5\r\n\r\n" + "各位讀者好，請查收。".encode("big5") + b"\xff",
        f'Content-Type: text/plain\r\nContent-Disposition: attachment; filename="{name}"\r\n\r\n'.encode() + CUT,
        b'Content-Type: text/plain; name="' + CUT + b'.txt"\r\nContent-Disposition: attachment\r\n\r\n' + CUT,
        b"Content-Type: message/rfc822\r\n\r\n" + inner,
    ]
    body = b"--b\r\n" + b"\r\n--b\r\n".join(parts) + b"\r\n--b--\r\n"
    found = told("a.eml", mail(CUT, body, 'multipart/mixed; boundary="b"'))
    assert outcomes(found) == [
        ("", "各位讀者好，請查收。\ufffd\n"),
        (f"attachment 1 {TITLE}.txt", TITLE),
        (f"attachment 2 {TITLE}.txt", TITLE),
        ("attachment 3 message.eml", f"inner {TITLE}\n"),
    ]
    assert (found[0].meta["undecodable"], found[3].title) == (1, TITLE)
