"""The plain and container formats: JSON, JSON Lines, CSV, Parquet, mail, subtitles, gettext, XML, gzip, source code."""

import contextlib
import datetime
import email.message
import gzip
import io
import json
import re
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.data import readers
from danlu.data.readers import READERS, Bad, How, Reading, Unreadable, module, readings
from danlu.data.readers.csv import delimiter
from danlu.data.readers.fields import iso_date, record
from danlu.data.readers.markdown import first_heading, front_matter
from danlu.data.readers.po import entries

PROSE = "檢索增強生成先找出相關的段落，再請模型根據段落回答問題。\n"


@pytest.fixture
def told(tmp_path):
    """What a file of this name says: a list of Reading and Bad, or the reason why it says nothing."""

    def go(name: str, data: bytes | str, **how) -> list[Reading | Bad]:
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return list(readings(path, How(source=name, **how)))

    return go


def reason(call, *args, **how) -> str:
    with pytest.raises(Unreadable) as error:
        call(*args, **how)
    return error.value.reason


def test_every_row_of_the_table_has_a_module_that_reads():
    for suffix, name in READERS.items():
        found = module(name)
        assert hasattr(found, "read") != hasattr(found, "each"), suffix
        assert found.__doc__


def test_every_reason_that_a_reader_gives_is_in_the_table():
    folder = Path(readers.__file__).parent
    given = {
        reason
        for path in folder.glob("*.py")
        for found in re.finditer(r"(?:Unreadable|Bad)\(([^()]*)", path.read_text(encoding="utf-8"))
        for reason in re.findall(r'"([a-z]+(?:-[a-z]+)+|empty|binary|encrypted|hidden)"', found[1])
    }
    assert {"too-deep", "no-text-field", "record-too-long"} < given
    told = set(re.findall(r"^    ([\w-]+) {2,}", readers.__doc__ or "", re.MULTILINE))
    assert {reason for reason in given if not reason.startswith("broken-")} <= told


# ── which field is the text ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_record_tells_its_text_title_date_author_licence():
    value = {
        "Title": "標題", "content": PROSE, "created_at": "2024/5/1", "licence": "CC BY 4.0", "authors": ["甲", "乙"],
        "URL": "https://example.tw/1", "id": 7, "lang": "zh-TW", "views": 3,
    }  # fmt: skip
    found = record(value, How(), "line 1", lines=[1, 1])
    assert (found.text, found.title, found.part) == (PROSE, "標題", "line 1")
    del found.meta["sha256"]
    assert found.meta == {
        "lines": [1, 1], "author": "甲、乙", "licence": "CC BY 4.0", "url": "https://example.tw/1", "language": "zh-TW",
        "date": "2024-05-01", "id": "7",
    }  # fmt: skip


def test_known_fields_have_their_order_and_named_ones_come_first():
    value = {"summary": "摘要", "text": "全文", "other": "別的", "no": "甲"}
    assert record(value, How(), "").text == "全文"
    assert record({**value, "text": ""}, How(), "").text == "摘要"
    named = record(value, How(text="other", title="summary", id="no"), "line 1")
    assert (named.text, named.title, named.part) == ("別的", "摘要", "甲")
    missing = record(value, How(text="body"), "line 1")
    assert (missing.reason, missing.detail) == ("no-text-field", "no field 'body'; there are summary, text, other, no")


@pytest.mark.parametrize(
    ("value", "reason"),
    [({"question": "x"}, "no-text-field"), ({}, "no-text-field"), (3, "no-text-field"), (None, "no-text-field"),
     ({"text": " "}, "empty"), ({"text": None}, "empty"), ({"text": 3}, "empty"), ("", "empty")],
)  # fmt: skip
def test_a_record_without_a_text_has_its_reason(value, reason):
    assert record(value, How(), "x").reason == reason


def test_sections_become_headings():
    law = {
        "法規名稱": "某法", "最新異動日期": "20240501",
        "法規內容": [{"編章節": "第 一 章 總則"}, {"條號": "第 1 條", "條文內容": "為某事。"}],
    }  # fmt: skip
    found = record(law, How(), "")
    assert (found.title, found.meta["date"]) == ("某法", "2024-05-01")
    assert found.text == "## 第 一 章 總則\n\n### 第 1 條\n\n為某事。"
    assert record({"paragraphs": ["床前明月光", "疑是地上霜"]}, How(), "").text == "床前明月光\n疑是地上霜"
    assert record({"paragraphs": [{"context": "甲"}, {"context": "乙"}]}, How(), "").text == "甲\n\n乙"


@pytest.mark.parametrize(
    ("value", "date"),
    [
        ("2024-05-01", "2024-05-01"), ("2024/5/1", "2024-05-01"), ("20130123", "2013-01-23"), (20130123, "2013-01-23"),
        ("2024-05-01T08:30:00Z", "2024-05-01T08:30:00Z"), ("2024-05-01 08:30:00+08:00", "2024-05-01T08:30:00+08:00"),
        ("2024-05", "2024-05"), ("民國 113 年 5 月 1 日", "2024-05-01"),
        ("Wed, 01 May 2024 08:00:00 +0800", "2024-05-01T08:00:00+08:00"),
        (datetime.date(2024, 5, 1), "2024-05-01"), (datetime.datetime(2024, 5, 1, 8), "2024-05-01T08:00:00"),
        ("1700000000", ""), ("13/01/2024", ""), ("2024-13-01", ""), ("yesterday", ""), (True, ""), (None, ""), ("", ""),
    ],
)  # fmt: skip
def test_dates_are_iso_or_nothing(value, date):
    assert iso_date(value) == date


@given(st.one_of(st.text(max_size=40), st.integers(), st.none(), st.lists(st.text(max_size=3), max_size=3)))
def test_no_value_makes_a_date_fail(value):
    assert isinstance(iso_date(value), str)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["text", "title", "data", "id", "x", "paragraphs", "date"]), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(JSON, st.sampled_from(["", "text", "x"]))
def test_any_json_is_texts_or_reasons(tmp_path_factory, value, text):
    path = tmp_path_factory.mktemp("json") / "a.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    try:
        found = list(readings(path, How(text=text)))
    except Unreadable:
        return
    assert found
    assert all(item.reason if isinstance(item, Bad) else item.text.strip() for item in found)


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_json_is_one_document_or_records(told):
    one = told("a.json", json.dumps({"title": "題", "text": PROSE, "tags": [{"x": 1}]}))
    assert [(found.text, found.title, found.part) for found in one] == [(PROSE, "題", "")]
    listed = told("b.json", json.dumps([{"text": "甲"}, "乙", 3]))
    assert [found.part for found in listed] == ["record 1", "record 2", "record 3"]
    assert [type(found) for found in listed] == [Reading, Reading, Bad]
    wrapped = told("c.json", json.dumps({"version": "1", "data": [{"content": "甲"}, {"content": "乙"}]}))
    assert [(found.text, found.part) for found in wrapped] == [("甲", "data 1"), ("乙", "data 2")]
    keyed = told("d.json", json.dumps({"k1": {"text": "甲"}, "k2": {"text": "乙"}}))
    assert [(found.text, found.part) for found in keyed] == [("甲", "k1"), ("乙", "k2")]


def test_json_in_other_encodings_and_what_is_none(told):
    assert told("a.json", '{"text": "資料庫"}'.encode("utf-16"))[0].text == "資料庫"
    assert told("b.json", '\ufeff{"text": "資料庫"}')[0].text == "資料庫"
    assert told("c.json", json.dumps({"text": PROSE}, ensure_ascii=False).encode("big5"))[0].text == PROSE
    for data in ("{", '{"text": NaN}', "[1,]", "{'text': 1}", '{"text": "a"} x'):
        assert reason(told, "d.json", data) == "broken-json"
    assert reason(told, "e.json", "[]") == "empty"
    assert reason(told, "f.json", '{"a": 1}') == "no-text-field"


def test_lines_of_json(told):
    lines = [json.dumps({"text": "甲"}), "", "{broken", json.dumps({"q": 1}), json.dumps({"text": "乙"}) + "\r"]
    found = told("a.jsonl", "\n".join(lines))
    assert [(item.part, item.text if isinstance(item, Reading) else item.reason) for item in found] == [
        ("line 1", "甲"), ("line 3", "broken-json"), ("line 4", "no-text-field"), ("line 5", "乙"),
    ]  # fmt: skip
    assert found[3].meta["lines"] == [5, 5]
    assert reason(told, "b.jsonl", "\n \n") == "empty"
    pretty = json.dumps({"data": [{"text": PROSE}] * 9}, indent=2)
    assert reason(told, "c.jsonl", pretty) == "broken-json"


def test_gzip_is_what_is_in_it(told):
    lines = json.dumps({"text": "甲"}) + "\n" + json.dumps({"text": "乙"})
    found = told("a.jsonl.gz", gzip.compress(lines.encode()))
    assert [(item.text, item.part, item.format) for item in found] == [
        ("甲", "line 1", "jsonl"),
        ("乙", "line 2", "jsonl"),
    ]
    (note,) = told("a.md.gz", gzip.compress(f"# 題\n\n{PROSE}".encode()))
    assert (note.title, note.part, note.format) == ("題", "", "markdown")
    assert [item.part for item in told("t.json.gz", gzip.compress(b'[{"text": "x"}]'))] == ["record 1"]
    cut = gzip.compress(lines.encode())[:-9]
    assert reason(told, "b.jsonl.gz", cut) == "broken-gzip"
    assert reason(told, "c.txt.gz", b"no gzip") == "broken-gzip"
    assert [item.reason for item in told("d.tar.gz", gzip.compress(b"x"))] == ["broken-tar"]
    assert reason(told, "e.nothing.gz", gzip.compress(b"x")) == "unsupported-format"


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_rows_with_a_text_are_documents(told):
    data = '\ufeffid,title,content\n1,甲,"第一行\n第二行"\n\n2,乙,第三行\n3,丙,\n'
    found = told("a.csv", data)
    assert [item.part for item in found] == ["row 1", "row 2", "row 3"]
    assert [item.text for item in found[:2]] == ["第一行\n第二行", "第三行"]
    assert [item.meta["lines"] for item in found[:2]] == [[2, 3], [5, 5]]
    assert found[2].reason == "empty"
    named = told("a.csv", data, text="title", id="id")
    assert [(item.text, item.part) for item in named] == [("甲", "1"), ("乙", "2"), ("丙", "3")]
    assert reason(told, "a.csv", data, text="body") == "no-text-field"


def test_a_table_without_a_text_is_markdown(told):
    (found,) = told("a.tsv", "縣市\t人口\n臺北市\t250\n")
    assert found.text == "| 縣市 | 人口 |\n| --- | --- |\n| 臺北市 | 250 |\n"
    assert (found.part, found.meta["lines"]) == ("", [1, 2])
    long = told("b.csv", "a,b\n" + "1,2\n" * 2500)
    assert [item.part for item in long] == ["rows 1-1000", "rows 1001-2000", "rows 2001-2500"]
    assert all(item.text.startswith("| a | b |\n| --- | --- |\n") for item in long)
    assert sum(item.text.count("| 1 | 2 |") for item in long) == 2500


def test_tables_in_other_encodings_and_broken_ones(told):
    data = "題號;內容\n1;" + PROSE
    for codec in ("big5", "utf-16", "gb18030"):
        (found,) = told("a.csv", data.encode(codec))
        assert found.text == PROSE.strip()
    assert reason(told, "b.csv", b"") == "empty"
    assert reason(told, "c.csv", "text\n") == "empty"
    assert reason(told, "d.csv", 'a,text\n1,"' + "x" * (17 * 2**20)) == "record-too-long"
    assert reason(told, "e.csv", b"a,text\n1,x\0y\n") == "binary"
    rows = b"a,text\n" + "1,字\n".encode() * 20_000
    assert told("f.csv", rows + b"1,x\0y\n")[-1].text == "xy"
    last = told("g.csv", rows + b"1,\xff\n")[-1]
    assert (last.text, last.meta["undecodable"]) == ("\ufffd", 1)


@pytest.mark.parametrize(
    ("sample", "mark"),
    [("a,b\n1,2\n", ","), ("a;b\n1,5;2\n", ";"), ("a\tb\n", "\t"), ("a|b|c\n", "|"), ("a\nb\n", ",")],
)
def test_the_delimiter_is_told(sample, mark):
    assert delimiter(sample) == mark


def test_parquet_rows(told, tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [{"text": f"第 {at} 列", "when": datetime.date(2024, 5, 1), "blob": b"\0"} for at in range(700)]
    table = arrow.table({"text": [row["text"] for row in rows], "date": [row["when"] for row in rows]})
    parquet.write_table(table, tmp_path / "x.parquet", row_group_size=100)
    data = (tmp_path / "x.parquet").read_bytes()
    found = told("a.parquet", data)
    assert [item.text for item in found] == [row["text"] for row in rows]
    assert (found[-1].part, found[-1].meta["date"]) == ("row 700", "2024-05-01")
    assert reason(told, "b.parquet", data, text="body") == "no-text-field"
    assert reason(told, "c.parquet", data[:-20]) == "broken-parquet"
    assert reason(told, "d.parquet", b"PAR1") == "broken-parquet"
    with_hole = data[:200] + b"\xff" * 50 + data[250:]
    with contextlib.suppress(Unreadable):
        assert all(isinstance(item, Reading | Bad) for item in told("e.parquet", with_hole))


# ── mail ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def mail(text: str = PROSE, subject: str = "開會通知", html: str = "") -> email.message.EmailMessage:
    message = email.message.EmailMessage()
    message["From"] = "王小明 <ming@example.tw>"
    message["Subject"] = subject
    message["Date"] = "Wed, 01 May 2024 08:00:00 +0800"
    if text:
        message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html") if text else message.set_content(html, subtype="html")
    return message


def test_a_message_and_what_is_attached(told):
    message = mail(html="<p>看不到</p>")
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("in/a.txt", "壓縮檔裡的字")
    message.add_attachment("附件的字".encode("big5"), "text", "plain", filename="../附件.txt")
    message.add_attachment(held.getvalue(), "application", "zip", filename="a.zip")
    message.add_attachment(mail("轉寄的信", "轉寄"), filename="fwd.eml")
    message.add_attachment(b"MZ", "application", "octet-stream", filename="a.exe")
    body, note, inner, forwarded, program = told("a.eml", bytes(message))
    assert (body.text, body.title, body.part) == (PROSE, "開會通知", "")
    assert body.meta == {"author": "王小明 <ming@example.tw>", "date": "2024-05-01T08:00:00+08:00"}
    assert (note.text, note.part, note.format) == ("附件的字", "attachment 1 附件.txt", "text")
    assert (inner.text, inner.part) == ("壓縮檔裡的字", "attachment 2 a.zip#in/a.txt")
    assert (forwarded.text, forwarded.title, forwarded.format) == ("轉寄的信\n", "轉寄", "email")
    assert (program.part, program.reason) == ("attachment 4 a.exe", "unsupported-format")


def test_html_mail_and_charsets(told):
    (page,) = told("a.eml", bytes(mail("", html=f"<html><body><h1>題</h1><p>{PROSE}</p></body></html>")))
    assert page.text.startswith("# 題\n\n檢索")
    for charset in ("big5", "utf-8", "x-unknown"):
        head = f"From: a@b\nSubject: =?big5?B?{'uOquxg=='}?=\nContent-Type: text/plain; charset={charset}\n\n"
        (found,) = told("b.eml", head.encode() + PROSE.encode("big5"))
        assert (found.text, found.title) == (PROSE, "資料")
    assert reason(told, "c.eml", "這不是信") == "broken-email"
    assert told("d.eml", "From: a@b\n\n")[0].reason == "empty"


def test_a_box_of_mail(told):
    one, two = bytes(mail("第一封\n>From 引文\n")), bytes(mail("", "空的"))
    box = b"From a@b Wed May 1\n" + one + b"\nFrom c@d Thu May 2\n" + two + b"\nFrom e@f\n" + bytes(mail("第三封"))
    found = told("a.mbox", box)
    assert [(item.part, item.text if isinstance(item, Reading) else item.reason) for item in found] == [
        ("message 1", "第一封\nFrom 引文\n"), ("message 2", "empty"), ("message 3", "第三封\n"),
    ]  # fmt: skip
    assert reason(told, "b.mbox", "text") == "broken-email"


def test_a_message_of_a_thousand_parts_is_refused(told):
    parts = "".join("--x\n\nteil\n" for _ in range(1100))
    data = f"From: a@b\nContent-Type: multipart/mixed; boundary=x\n\n{parts}--x--\n"
    assert reason(told, "a.eml", data) == "too-large"
    nested = "Content-Type: message/rfc822\n\n" * 2000 + "x"
    with contextlib.suppress(Unreadable):
        assert told("b.eml", f"From: a@b\n{nested}")


# ── subtitles, catalogues, XML, source code, Markdown ────────────────────────────────────────────────────────────────


def test_subtitles_are_what_is_said(told):
    srt = "1\n00:00:01,000 --> 00:00:02,000\n<i>各位好</i>\n\n2\n00:00:02,000 --> 00:00:03,000\n各位好\n今天談&amp;說\n"
    (found,) = told("a.srt", srt)
    assert found.text == "各位好\n今天談&說\n"
    assert (found.meta["cues"], found.meta["lines"]) == (2, [1, 8])
    vtt = "WEBVTT\n\nNOTE 註\n\n00:01.000 --> 00:02.000 align:start\n<v 王>第一句\n\nSTYLE\n::cue {}\n"
    assert told("a.vtt", vtt)[0].text == "第一句\n"
    assert reason(told, "b.srt", PROSE) == "broken-subtitles"
    assert reason(told, "c.srt", "1\n00:00:01,000 --> 00:00:02,000\n\n") == "empty"


PO = r"""
msgid ""
msgstr ""
"Project-Id-Version: 某專案 1.0\n"
"PO-Revision-Date: 2024-05-01 08:00+0800\n"
"Language: zh_TW\n"

#: a.c:1
msgid "one"
msgstr "一「\"引\"」\n二"

#, fuzzy
msgid "two"
msgstr "不確定"

msgid "three"
msgid_plural "threes"
msgstr[0] "三個"
"東西"

msgid "four"
msgstr ""
#~ msgid "old"
#~ msgstr "舊"
"""


def test_a_catalogue_is_its_translations(told):
    (found,) = told("a.po", PO)
    assert found.text == '一「"引"」\n二\n\n三個東西\n'
    assert (found.title, found.meta["language"], found.meta["messages"]) == ("某專案 1.0", "zh_TW", 4)
    assert found.meta["date"].startswith("2024-05-01T08:00")
    assert [entry.texts.get("msgid") for entry in entries(PO)] == ["", "one", "two", "three", "four"]
    assert reason(told, "b.po", 'msgid "x"\nmsgstr ""\n') == "empty"
    assert reason(told, "c.po", PROSE) == "broken-po"


def test_xml_is_its_text(told):
    data = '<?xml version="1.0" encoding="big5"?><書><title>題</title><章 a="1">'
    data += "<p>第一<b>段</b>。</p><!-- 註 --><p>第二段</p></章></書>"
    (found,) = told("a.xml", data.encode("big5"))
    assert (found.text, found.title) == ("題\n\n第一段。\n\n第二段\n", "題")
    bomb = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'
    theft = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'
    assert reason(told, "b.xml", bomb) == reason(told, "c.xml", theft) == "xml-entities"
    assert reason(told, "d.xml", "<a>" * 100_000) in ("too-deep", "broken-xml")
    assert reason(told, "e.xml", "<a><b/></a>") == "empty"
    assert reason(told, "f.xml", "no xml") == "broken-xml"


def test_source_code_is_text_as_it_is(told):
    code = "def f():\n    return '資料'  # 註\n"
    (found,) = told("a.py", code)
    assert (found.text, found.meta["lines"], found.meta["encoding"]) == (code, [1, 2], "utf-8")


def test_front_matter_states_what_is_known(told):
    data = f"---\ntitle: 題\ndate: 2024-05-01\nlicense: CC BY 4.0\nauthor: 甲\n---\n{PROSE}"
    (found,) = told("a.md", data)
    assert (found.meta["date"], found.meta["licence"], found.meta["author"]) == ("2024-05-01", "CC BY 4.0", "甲")
    assert found.meta["lines"] == [7, 7]
    assert found.meta["sha256"]
    bomb = "---\na: &a [x,x,x]\n" + "".join(f"b{n}: &b{n} [*a,*a,*a]\n" for n in range(30)) + f"---\n{PROSE}"
    assert front_matter(bomb) == ({}, bomb)
    deep = "---\na: " + "[" * 5000 + "\n---\n"
    assert front_matter(deep) == ({}, deep)


def test_the_first_heading_outside_code():
    assert first_heading("```\n# no\n```\n\n  ## 是的 ##\n") == "是的"
    assert first_heading("~~~~\n# no\n```\n~~~~\n底線\n===\n") == "底線"
    assert first_heading("文\n\n---\n#tag\n####### 七\n") == ""
    assert first_heading("# " + " " * 10**6 + "x") == "x"


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted({s for s, m in READERS.items() if m in (
        "text", "markdown", "json", "jsonl", "csv", "parquet", "email", "subtitles", "po", "xml", "zip", "gzip")})),
    data=st.binary(max_size=300) | st.text(max_size=200).map(str.encode) | st.sampled_from([
        PO.encode(), bytes(mail()), b"PK\x05\x06" + b"\0" * 18, gzip.compress(b"x"), b"PAR1PAR1", b"\xff\xfe" * 5])
    .flatmap(lambda whole: st.integers(0, len(whole)).map(lambda cut: whole[:cut])),
)  # fmt: skip
def test_no_reader_lets_another_error_out(tmp_path_factory, name, data):
    path = tmp_path_factory.getbasetemp() / f"any{name}"
    path.write_bytes(data)
    found: list[Reading | Bad] = []
    with contextlib.suppress(Unreadable):
        found = list(readings(path))
        assert found
    for item in found:
        assert item.reason if isinstance(item, Bad) else item.text
