"""Hostile and broken files of every format: one clear reason each, and never another error."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import BOMB, docx, epub, odf, p, pdf, pptx, relations, said, shape, zipped
from test_slides_sheets_books import sheets

from danlu.data.readers import Unreadable, ocr, reader
from danlu.data.readers.grid import table
from danlu.data.readers.tree import tree

GOOD = {
    "docx": docx(p("文字"), "<dc:title>名</dc:title>"),
    "pptx": pptx(shape("文字", kind="title"), shape("內文")),
    "xlsx": sheets(甲=[["文", "字"], [1, 2]]),
    "odt": odf("<text:p>文字</text:p>"),
    "epub": epub({"a.xhtml": "<html><body><p>文字</p></body></html>"}),
    "pdf": pdf(said("Some text on a page.")),
    "html": "<html><body><p>文字</p></body></html>".encode(),
}
FORMATS = sorted(GOOD)
ZIPPED = sorted(set(FORMATS) - {"pdf", "html"})


@pytest.fixture(autouse=True, scope="module")
def _without_ocr():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ocr, "available", lambda: False)
        yield


def outcome(format: str, data: bytes) -> str:
    """The reason, or "" when there was text."""
    try:
        text = reader(format)(data).text
    except Unreadable as error:
        return error.reason
    assert text.strip()
    return ""


@pytest.mark.parametrize("format", FORMATS)
def test_the_good_file_is_read(format):
    assert outcome(format, GOOD[format]) == ""


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_and_nuls(format):
    allowed = {"html": {"empty", "binary"}, "pdf": {"broken-pdf"}}.get(format, {"empty"})
    assert {outcome(format, b""), outcome(format, bytes(5000))} <= allowed
    assert outcome(format, bytes(range(256)) * 8) in ("binary", "undecodable", "broken-pdf", "broken-zip")


@pytest.mark.parametrize("format", ZIPPED)
def test_every_cut_of_a_file_is_refused(format):
    whole = GOOD[format]
    for at in range(0, len(whole) - 22, max(len(whole) // 60, 1)):
        assert outcome(format, whole[:at]) in ("empty", "broken-zip")


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_with_the_suffix_of_another_format(format):
    for other in FORMATS:
        told = outcome(format, GOOD[other])
        if other != format and format != "html" and (format, other) != ("xlsx", "html"):
            assert told in (f"broken-{format}", "broken-zip")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FORMATS), st.data())
def test_bytes_gone_wrong(format, data):
    raw = bytearray(GOOD[format])
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    outcome(format, bytes(raw))


_TAGS = """
w:p w:r w:t w:tbl w:tr w:tc w:pPr w:numPr w:numId w:lvl w:num w:style w:footnoteReference w:sdt w:ruby w:drawing
m:oMath m:f m:d m:dPr m:nary m:func m:m m:acc m:sPre mc:AlternateContent mc:Choice
p:sp p:nvPr p:ph p:txBody p:grpSp p:graphicFrame a:p a:pPr a:r a:t a:fld a:tbl a:tr a:tc a:br
text:p text:h text:list text:list-item text:note text:note-body text:s table:table table:table-row table:table-cell
draw:page draw:frame draw:text-box presentation:notes
"""
TAGS = _TAGS.split()
VALUES = ["", "0", "-1", "x", "９", "999999999999", "heading 1"]
WILD = st.recursive(
    st.sampled_from(["文", ""]),
    lambda inner: st.builds(
        lambda tag, name, value, children: f"<{tag} {name}='{value}'>{''.join(children)}</{tag}>",
        st.sampled_from(TAGS),
        st.sampled_from(
            ["val", "id", "ilvl", "numId", "styleId", "lvl", "type", "outline-level", "name", "style-name"]
        ),
        st.sampled_from(VALUES),
        st.lists(inner, max_size=4),
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(WILD, WILD, WILD)
def test_elements_in_places_where_none_belong(body, styles, numbering):
    names = ("w", "m", "mc", "p", "a", "text", "table", "draw", "presentation")
    spaces = "".join(f" xmlns:{name}='urn:{name}'" for name in names)

    def held(tag, inside):
        return f"<{tag}{spaces}>{inside}</{tag}>"

    outcome("docx", docx(held("w:sdt", body), styles=held("w:styles", styles), numbering=held("w:x", numbering)))
    outcome("pptx", pptx(held("p:grpSp", body)))
    for kind, tag in {"text": "text:section", "spreadsheet": "table:table", "presentation": "draw:page"}.items():
        outcome("odt", odf(held(tag, body), kind, styles=held("style:x", styles)))


@pytest.mark.parametrize("format", ["docx", "odt", "epub", "xlsx", "pptx"])
def test_entity_bombs_and_stolen_files(format):
    parts = {"docx": "word/document.xml", "odt": "content.xml", "epub": "OEBPS/book.opf", "xlsx": "xl/workbook.xml"}
    part = parts.get(format, "ppt/presentation.xml")
    theft = "<!DOCTYPE x [<!ENTITY a9 SYSTEM 'file:///etc/passwd'>]>"
    parameter = "<!DOCTYPE x [<!ENTITY % a SYSTEM 'file:///etc/passwd'> %a;]>"
    for head in (BOMB, theft, parameter):
        told = outcome(format, replaced(GOOD[format], part, lambda xml, head=head: with_head(xml, head)))
        assert told == "xml-entities"


def with_head(xml: bytes, head: str) -> bytes:
    at = xml.index(b"?>") + 2 if xml.startswith(b"<?xml") else 0
    inside = xml.index(b">", at) + 1
    return xml[:at] + head.encode() + xml[at:inside] + (b"" if b"% a" in head.encode() else b"&a9;") + xml[inside:]


def replaced(data: bytes, part: str, change) -> bytes:
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return zipped(
            {name: change(archive.read(name)) if name == part else archive.read(name) for name in archive.namelist()}
        )


def test_a_bomb_inside_a_document():
    bomb = docx(p("文"), more=" " * (1 << 25))
    assert outcome("docx", bomb) == ""
    heavy = replaced(GOOD["docx"], "word/document.xml", lambda xml: xml.replace("文字".encode(), b"x" * (1 << 25)))
    assert outcome("docx", heavy) == "zip-bomb"


def test_a_document_may_not_name_a_part_outside_of_it():
    package = {"_rels/.rels": relations(a="officeDocument ../../../etc/passwd"), "word/document.xml": "<x/>"}
    assert outcome("docx", zipped(package)) == "broken-docx"


def test_an_encrypted_or_old_document():
    old = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
    for format in ("docx", "pptx", "odt", "epub"):
        assert outcome(format, old) == f"broken-{format}"
        assert outcome(format, old + "EncryptedPackage".encode("utf-16-le")) == "encrypted"
    assert outcome("xlsx", old) == "broken-xlsx"


def test_trees_are_bounded():
    assert tree(b"<!DOCTYPE a SYSTEM 'http://127.0.0.1/x.dtd'><a><!-- --><?x ?>b</a>", "x").text == "b"
    for data, reason in {
        b"<a>" * 300 + b"</a>" * 300: "too-deep",
        b"<a>" + b"<b/>" * 4_000_000 + b"</a>": "too-large",
        b"<a>&nothing;</a>": "broken-xml",
        b"<a><b></a>": "broken-xml",
    }.items():
        with pytest.raises(Unreadable) as error:
            tree(data, "x")
        assert error.value.reason == reason


@settings(deadline=None)
@given(st.lists(st.lists(st.text("a |\n字", max_size=4), max_size=4), max_size=5))
def test_a_table_has_as_many_cells_in_every_row(rows):
    made = table(rows).split("\n")
    assert len({line.replace(r"\|", "").count("|") for line in made}) == 1
    assert "\r" not in "".join(made)
    kept = [character for row in rows for cell in row for character in cell if character.isalpha()]
    assert kept == [character for line in made for character in line if character.isalpha()]
