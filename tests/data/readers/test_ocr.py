"""OCR: scanned pages and pictures come out as text, in order and marked; what has none is dropped for that reason."""

import difflib
import io

import pytest

from danlu.data.readers import Unreadable, image, ocr, pdf

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("rapidocr", reason="the extra ocr is not installed")
LINES = ["Danlu reads scanned pages.", "The second line of text.", "And a third one, below."]


def drawn(*lines: str, size: tuple[int, int] = (600, 600)):
    from PIL import ImageDraw, ImageFont

    picture = Image.new("RGB", size, "white")
    for at, line in enumerate(lines):
        ImageDraw.Draw(picture).text((20, 20 + 45 * at), line, "black", ImageFont.load_default(28))
    return picture


def saved(picture, format: str, **more) -> bytes:
    out = io.BytesIO()
    picture.save(out, format, **more)
    return out.getvalue()


def test_a_picture():
    exif = Image.Exif()
    exif[306], exif[315] = "2024:05:06 07:08:09", "Somebody"
    reading = image.read(saved(drawn(*LINES), "JPEG", quality=90, exif=exif))
    assert reading.text.split("\n") == [*LINES, ""]
    assert reading.meta["ocr"] == [1]
    assert reading.meta["ocr_confidence"][0] > 0.9
    assert (reading.meta["date"], reading.meta["author"]) == ("2024-05-06T07:08:09", "Somebody")


@pytest.mark.parametrize("degrees", [180, 270])
def test_a_page_that_lies_on_its_side_is_read_in_order(degrees):
    turned = drawn(*LINES).rotate(degrees, expand=True)
    assert image.read(saved(turned, "PNG")).text.split("\n") == [*LINES, ""]


def test_pages_of_a_tiff_on_nothing_and_of_nothing():
    clear = Image.new("RGBA", (600, 600), (0, 0, 0, 0))
    clear.paste(drawn(LINES[0]).convert("RGBA").crop((0, 0, 600, 65)), (0, 0))
    frames = [clear, Image.new("RGB", (64, 64), "white")]
    reading = image.read(saved(frames[0], "TIFF", save_all=True, append_images=frames[1:]))
    assert [reading.text[start:end] for start, end in reading.meta["pages"]] == [LINES[0], ""]
    assert reading.meta["ocr"] == [1]


def test_pictures_without_text_and_broken_ones():
    found = {}
    png = saved(Image.new("RGB", (64, 64), "white"), "PNG")
    for name, data in {
        "blank": png,
        "cut": png[:40],
        "empty": b"",
        "other": b"GIF89a" + bytes(99),
        "text": b"hi",
    }.items():
        with pytest.raises(Unreadable) as error:
            image.read(data)
        found[name] = error.value.reason
    broken = dict.fromkeys(("cut", "other", "text"), "broken-image")
    assert found == {"blank": "ocr-empty", "empty": "empty"} | broken


def test_a_picture_of_too_many_pixels_is_not_unpacked():
    data = bytearray(saved(Image.new("1", (8, 8)), "BMP"))
    data[18:26] = (100_000).to_bytes(4, "little") * 2
    with pytest.raises(Unreadable) as error:
        image.read(bytes(data))
    assert error.value.reason == "too-large"


def test_without_ocr_a_picture_says_what_to_do(monkeypatch):
    monkeypatch.setattr(ocr, "find_spec", lambda name: None)
    with pytest.raises(Unreadable, match=r"danlu\[ocr\]"):
        image.read(saved(drawn("x"), "PNG"))
    monkeypatch.setattr(ocr, "_wanted", False)
    with pytest.raises(Unreadable, match="OCR is off"):
        image.read(saved(drawn("x"), "PNG"))


def test_a_scanned_page_in_traditional_chinese(shared):
    """The top of a statute, as a picture: what OCR says against the file's own text layer."""
    pdfium = pytest.importorskip("pypdfium2")
    law = next((shared / "messy" / "zh-tw-pdf").glob("*.pdf"))
    page = pdfium.PdfDocument(law)[0]
    picture = page.render(scale=150 / 72).to_pil().crop((0, 0, 1241, 700))
    reading = pdf.read(saved(picture, "PDF", resolution=150))
    assert reading.meta["ocr"] == [1]
    said, layer = ("".join(text.split()) for text in (reading.text, pdf.read(law.read_bytes()).text))
    start = said.index("法規名稱")
    said = said[start : start + 200]
    same = sum(block.size for block in difflib.SequenceMatcher(None, said, layer[:260], False).get_matching_blocks())
    assert same >= 0.97 * len(said)
    assert "中華民國國民大會受全體國民之付託" in said
    assert not set("国会体归为应") & set(said)


@pytest.mark.parametrize("degrees", [-9, 3])
def test_a_page_that_lies_aslant_is_read_in_order(degrees):
    page = Image.new("RGB", (900, 500), "white")
    beside = ["Beside it, the first one.", "Beside it, number two.", "Beside it, a third one."]
    page.paste(drawn(*LINES, size=(420, 200)), (20, 150))
    page.paste(drawn(*beside, size=(420, 200)), (470, 150))
    turned = page.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor="white")
    assert image.read(saved(turned, "PNG")).text.split("\n") == [*LINES, *beside, ""]


def test_ocr_says_that_it_is_alive_as_it_works(monkeypatch):
    told = []
    monkeypatch.setattr(ocr, "alive", lambda: told.append(1))
    lines = [f"Line number {at} of the page." for at in range(13)]
    image.read(saved(drawn(*lines), "PNG"))
    assert len(told) >= 1 + 3  # the page once, then every six lines


def test_the_rows_of_a_scanned_statement_stay_rows():
    from PIL import ImageDraw, ImageFont

    page = Image.new("RGB", (900, 500), "white")
    rows = [["Item", "This year", "Last year"], ["Cash at bank", "1,203,455", "998,120"]]
    rows += [["Inventories", "512,300", "401,772"], ["Total assets", "1,715,755", "1,399,892"]]
    for down, row in enumerate(rows):
        for x, cell in zip((40, 400, 650), row, strict=True):
            ImageDraw.Draw(page).text((x, 60 + 70 * down), cell, "black", ImageFont.load_default(30))
    assert image.read(saved(page, "PNG")).text.split("\n")[2:-1] == [f"| {' | '.join(row)} |" for row in rows[1:]]
