"""PDF: text in place, tables once, properties, and every bomb refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import pdf, said

from danlu.data.readers import Unreadable, ocr
from danlu.data.readers.pdf import STREAM, garbled, read


@pytest.fixture(autouse=True)
def _without_ocr(monkeypatch):
    monkeypatch.setattr(ocr, "available", lambda: False)


def reason(data: bytes) -> str:
    with pytest.raises(Unreadable) as error:
        read(data)
    return error.value.reason


def lines(*pieces: tuple[int, int, int, int]) -> bytes:
    return "".join(f"{x0} {y0} m {x1} {y1} l S\n" for x0, y0, x1, y1 in pieces).encode()


def ruled(xs: list[int], ys: list[int]) -> bytes:
    return lines(*((xs[0], y, xs[-1], y) for y in ys), *((x, ys[0], x, ys[-1]) for x in xs))


def cells(*rows: str, x: int = 105, y: int = 605, wide: int = 100, high: int = 20) -> bytes:
    """Rows from the top, cells parted by spaces, each in its place; `.` is empty."""
    out = b""
    for down, row in enumerate(rows):
        for across, word in enumerate(row.split()):
            out += b"" if word == "." else said(word, x + wide * across, y - high * down)
    return out


def test_a_table_stands_where_it_was_and_its_text_comes_once():
    grid = ruled([100, 200, 300], [560, 580, 600, 620])
    page = said("Before.", 72, 700) + grid + cells("A B", "one two", "three .") + said("After.", 72, 500)
    assert read(pdf(page)).text == "Before.\n\n| A | B |\n| --- | --- |\n| one | two |\n| three |  |\n\nAfter.\n"


def test_rectangles_rule_a_table_too_and_merged_cells_are_written_once():
    boxes = "".join(f"{100 + 100 * x} {560 + 20 * y} 100 20 re S\n" for x in range(2) for y in range(2))
    page = boxes.encode() + lines((100, 620, 300, 620), (100, 600, 100, 620), (300, 600, 300, 620))
    page += cells("wide", "one two", "three four")
    assert read(pdf(page)).text == "| wide |  |\n| --- | --- |\n| one | two |\n| three | four |\n"


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_table_on_a_turned_page(degrees):
    turn = {90: "0 1 -1 0 612 0 cm ", 180: "-1 0 0 -1 612 792 cm ", 270: "0 -1 1 0 0 792 cm "}[degrees].encode()
    page = turn + ruled([100, 200, 300], [580, 600, 620]) + cells("A B", "one two")
    page = page.replace(b"580", b"480").replace(b"600", b"500").replace(b"620", b"520").replace(b"Td", b"Td")
    page = turn + ruled([100, 200, 300], [480, 500, 520]) + cells("A B", "one two", y=505)
    data = pdf(page).replace(b"/MediaBox", b"/Rotate %d /MediaBox" % degrees)
    assert read(data).text == "| A | B |\n| --- | --- |\n| one | two |\n"


def test_frames_axes_and_empty_grids_are_no_tables():
    frame = ruled([90, 400], [550, 650]) + said("Framed.", 100, 600)
    axes = lines((100, 300, 100, 500), (100, 400, 300, 400), (200, 300, 200, 500), (150, 350, 250, 350))
    grid = ruled(list(range(100, 400, 20)), list(range(100, 300, 20))) + said("9", 105, 105) + said("8", 185, 185)
    assert "|" not in read(pdf(frame, axes + said("0", 105, 405), grid)).text


def test_pages_are_told_apart_and_words_are_joined():
    reading = read(pdf(said("First page"), b"", said("Third page")))
    assert [reading.text[start:end] for start, end in reading.meta["pages"]] == ["First page", "", "Third page"]
    assert reading.meta["pages_without_text"] == 1


def test_properties():
    info = "/Title (A title) /Author (Somebody) /CreationDate (D:20240102030405+08'00') /ModDate (D:20240506070809Z)"
    rights = (
        b"<< /Length 99 >>\nstream\n<dc:rights><rdf:Alt><rdf:li xml:lang='x'>CC BY 4.0</rdf:li></rdf:Alt>\nendstream"
    )
    reading = read(pdf(said("Enough text for a page."), info=info, more=[rights]))
    assert reading.title == "A title"
    told = {key: reading.meta[key] for key in ("author", "date", "licence")}
    assert told == {"author": "Somebody", "date": "2024-05-06T07:08:09", "licence": "CC BY 4.0"}
    assert read(pdf(said("x"), info="/Title (C:\\\\a.doc)")).title == ""


def test_without_ocr_a_scan_says_what_to_install():
    with pytest.raises(Unreadable, match=r"danlu\[ocr\]") as error:
        read(pdf(b"", b"0 0 100 100 re f"))
    assert error.value.reason == "no-text-layer"


def test_a_million_objects():
    reading = read(pdf(said("Still here, and readable."), more=[b"<< >>"] * 1_000_000))
    assert reading.text == "Still here, and readable.\n"


def test_bombs_are_refused():
    blank = b" " * (STREAM + 1)
    assert reason(pdf(said("x") + blank)) == "too-large"
    twice = pdf(said("x")).replace(b"/Filter /FlateDecode", b"/Filter [/FlateDecode /FlateDecode]")
    assert reason(twice) == "too-large"
    many = pdf(said("x")).replace(b"/Kids [4 0 R] /Count 1", b"/Kids [" + b"4 0 R " * 20_001 + b"] /Count 20001")
    assert reason(many) == "too-large"


def test_loops_and_lies_about_pages():
    loop = pdf(said("x")).replace(b"/Kids [4 0 R]", b"/Kids [2 0 R]")
    assert reason(loop) in ("broken-pdf", "no-text-layer")
    lie = pdf(said("Enough text for a page.")).replace(b"/Count 1", b"/Count 2000000000")
    assert read(lie).text == "Enough text for a page.\n"
    deep = pdf(said("Enough text for a page."), more=[b"[" * 100_000 + b"]" * 100_000])
    assert read(deep).text == "Enough text for a page.\n"


@settings(deadline=None)
@given(st.data())
def test_damage_is_one_clear_reason_or_text(data):
    whole = pdf(said("Hello world, all of it.") + ruled([100, 200, 300], [580, 600, 620]), said("Second page"))
    raw = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    for damaged in (bytes(raw), whole[: data.draw(st.integers(0, len(whole)))]):
        try:
            assert read(damaged).text.strip()
        except Unreadable as error:
            told = error.reason
        else:
            told = ""
        assert told in ("", "broken-pdf", "no-text-layer", "too-large", "encrypted")


def test_glyphs_that_mean_nothing_are_told_from_text():
    assert garbled("\ue000\ue001\ue002字")
    assert garbled("\ufffd\ufffd\ufffda")
    assert not garbled("一般的文字，with English & 123。\ue000")
    assert not garbled("")
