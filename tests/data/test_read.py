"""data.read: every format and encoding in, every bad file out with its reason and nothing else harmed."""

import contextlib
import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import pytest

from danlu.data.files import labels
from danlu.data.readers import READERS, Unreadable, module, reader, sound
from danlu.errors import DataError

PROSE = "檢索增強生成先找出相關的段落，再請模型根據段落回答問題。這樣的系統需要可靠的資料，也需要可靠的評估。\n"


def folder(root: Path, **files: bytes | str) -> Path:
    root.mkdir(exist_ok=True)
    for name, content in files.items():
        path = root / name.replace("__", ".")
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def pdf(*pages: str) -> bytes:
    """A small PDF with one line of Latin text a page; an empty string is a page without text."""
    streams = [f"BT /F1 12 Tf 72 720 Td ({page}) Tj ET" if page else "" for page in pages]
    kids = " ".join(f"{4 + 2 * at} 0 R" for at in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for at, stream in enumerate(streams):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * at} 0 R"
            " /Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    out, places = "%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    tail = f"trailer << /Size {size} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    return (out + f"xref\n0 {size}\n0000000000 65535 f \n{table}" + tail).encode("latin-1")


def test_bad_files_are_dropped_with_their_reasons_and_the_rest_is_read(steps, opened, tmp_path):
    root = folder(
        tmp_path / "in",
        good__md=f"# 標題\n\n{PROSE}",
        big5__txt=PROSE.encode("big5"),
        utf16__txt=PROSE.encode("utf-16"),
        fake__md=b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4,
        zip__md=b"PK\x03\x04" + b"abc" * 50,
        broken__pdf=b"%PDF-1.7\nthis is no pdf",
        nopdf__pdf=b"hello",
        cut__pdf=pdf("Hello")[:200],
        scan__pdf=pdf("", ""),
        paper__pdf=pdf("Hello world", "", "Second page"),
        empty__md=b"",
        blank__txt=b" \n\n\t",
        odd__txt=bytes(range(0xC0, 0x100)) * 9,
        sheet__xyz=b"PK",
        page__html=f"<html><body><script>x()</script><p>{PROSE}</p></body></html>",
        nothing__html="<html><body><script>x()</script></body></html>",
        noext=PROSE,
    )
    (root / ".hidden.md").write_text(PROSE, encoding="utf-8")
    (root / "out").mkdir()
    (root / "out" / "x.md").write_text(PROSE, encoding="utf-8")
    read = opened(steps("data.read", paths=[root]))
    assert {drop.id.removeprefix("in/"): drop.reason for drop in read.dropped} == {
        "fake.md": "binary",
        "zip.md": "binary",
        "broken.pdf": "broken-pdf",
        "nopdf.pdf": "broken-pdf",
        "cut.pdf": "broken-pdf",
        "scan.pdf": "no-text-layer",
        "empty.md": "empty",
        "blank.txt": "empty",
        "odd.txt": "undecodable",
        "sheet.xyz": "unsupported-format",
        "nothing.html": "empty",
        "noext": "unsupported-format",
        ".hidden.md": "hidden",
        "out": "excluded",
    }
    documents = {document.id.removeprefix("in/"): document for document in read.documents}
    assert set(documents) == {"good.md", "big5.txt", "utf16.txt", "paper.pdf", "page.html"}
    assert documents["big5.txt"].text == documents["utf16.txt"].text == PROSE
    assert documents["big5.txt"].meta["encoding"] == "cp950"
    assert documents["good.md"].title == "標題"
    paper = documents["paper.pdf"]
    assert [paper.text[start:end] for start, end in paper.meta["pages"]] == ["Hello world", "", "Second page"]
    assert paper.meta["pages_without_text"] == 1
    assert read.came == 19


def test_unreadable_files_and_odd_names(steps, opened, tmp_path):
    root = folder(tmp_path / "in", good__md=PROSE)
    (root / "gone.md").symlink_to(tmp_path / "nowhere.md")
    (root / "again.md").symlink_to(root / "good.md")
    Path(os.fsdecode(os.fsencode(root) + "/舊檔".encode("big5") + b".md")).write_text(PROSE, encoding="utf-8")
    read = opened(steps("data.read", paths=[root]))
    assert {drop.id: drop.reason for drop in read.dropped} == {
        "in/gone.md": "unreadable",
        "in/good.md": "listed-twice",
    }
    assert [document.id for document in read.documents] == ["in/again.md", r"in/\xc2\xc2\xc0\xc9.md"]


def test_a_missing_path_names_the_nearest(steps, tmp_path):
    folder(tmp_path / "handbook", a__md=PROSE)
    with pytest.raises(DataError) as error:
        steps("data.read", paths=[tmp_path / "handbok" / "deep"])
    assert error.value.problem.nearest == str(tmp_path / "handbook")
    assert error.value.problem.where == str(tmp_path / "handbok")


def test_an_empty_folder_and_a_folder_of_nothing_readable(steps, tmp_path):
    with pytest.raises(DataError, match="empty"):
        steps("data.read", paths=[folder(tmp_path / "empty")])
    with pytest.raises(DataError, match=r"unsupported-format 1") as error:
        steps("data.read", paths=[folder(tmp_path / "in", a__xyz="x", b__md=b"\0\1\2")])
    assert "in/b.md: binary" in str(error.value)
    assert not list((steps.store.root / "artifacts").iterdir())


def test_sources_do_not_depend_on_where_the_folder_lies(steps, opened, tmp_path):
    ids = []
    for place in ("one", "two"):
        root = folder(tmp_path / place, x__md=PROSE) and folder(
            tmp_path / place / "books", a__md=PROSE, b__md=PROSE + PROSE
        )
        ids.append([document.id for document in opened(steps("data.read", paths=[root])).documents])
    assert ids[0] == ids[1] == ["books/a.md", "books/b.md"]
    both = [tmp_path / "one" / "books", tmp_path / "two" / "books", tmp_path / "one" / "books"]
    assert list(labels(both).values()) == ["one/books", "two/books"]


def test_exclude_takes_names_at_any_depth_and_paths(steps, opened, tmp_path):
    root = folder(tmp_path / "in", a__md=PROSE, README__md=PROSE)
    folder(root / "sub", README__md=PROSE, b__md=PROSE, c__md=PROSE)
    read = opened(steps("data.read", paths=[root], exclude=["README.md", "sub/c*"]))
    assert [document.id for document in read.documents] == ["in/a.md", "in/sub/b.md"]
    assert read.reasons == {"excluded": 3}


def test_each_document_says_where_it_is_from(steps, opened, tmp_path):
    """Source, span, hash, the date that it states (never the file's), and the licence that it states."""
    root = folder(
        tmp_path / "in",
        a__md=f"---\nlicense: CC BY 4.0\ndate: 2024-05-01\n---\n{PROSE}",
        b__txt=PROSE,
        c__jsonl=json.dumps({"text": PROSE, "updated": "20130123", "licence": "CC0"}) + "\n",
    )
    first = steps("data.read", paths=[root], licence="MIT")
    a, b, c = opened(first).documents
    assert (a.licence, b.licence, c.licence) == ("CC BY 4.0", "MIT", "CC0")
    assert first.licences == {"in": {"licence": "MIT; CC BY 4.0; CC0", "terms": ""}}
    assert (a.meta["date"], c.meta["date"], b.meta.get("date")) == ("2024-05-01", "2013-01-23", None)
    assert [document.meta["lines"] for document in (a, b, c)] == [[5, 5], [1, 1], [1, 1]]
    assert b.meta["sha256"] == hashlib.sha256(PROSE.encode()).hexdigest()
    assert c.id == "in/c.jsonl#line 1"
    for path in root.iterdir():
        os.utime(path, (10**9, 10**9))
    assert steps("data.read", paths=[root], licence="MIT", seconds=99).content == first.content


def test_fields_that_are_named_are_used_in_archives_too(steps, opened, tmp_path):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("a.csv", "no,text,題目,說明\n7,甲,乙,丙\n")
    root = folder(tmp_path / "in", x__zip=held.getvalue())
    made = opened(steps("data.read", paths=[root], text_field="說明", title_field="題目", id_field="no"))
    assert [(each.text, each.title, each.id, each.format) for each in made.documents] == [
        ("丙", "乙", "in/x.zip#a.csv#7", "csv")
    ]


def test_front_matter_and_title():
    read = reader("markdown")
    reading = read(f"---\ntitle: 書名\ndate: 2024-05-01\n---\n# 章\n\n{PROSE}".encode())
    assert (reading.title, reading.text[:3]) == ("書名", "# 章")
    assert reading.meta["front_matter"] == {"title": "書名", "date": "2024-05-01"}
    rule = read(f"---\n只是一條線\n---\n{PROSE}".encode())
    assert rule.text.startswith("---")
    assert "front_matter" not in rule.meta
    assert read(b"```\n# no\n```\n\n## `Rc<T>` **x**\n").title == "Rc<T> x"


def test_html_keeps_structure_and_leaves_out_what_nobody_sees():
    page = """<html><head><title>頁 名</title><meta charset=utf-8></head><body><nav>導覽</nav><main>
    <h1>標題</h1><p>第一行
    第二行，<b>粗</b>與 <code>x_1</code>。<br>換行</p><p hidden>看不見</p><p style="display:none">隱藏</p>
    <ul><li>甲<ul><li>乙</li></ul></li><li>丙</li></ul><dl><dt>秩</dt><dd>方向的數目</dd></dl>
    <pre><code>a = 1
b = 2</code></pre><table><tr><th>甲</th><th>乙</th></tr><tr><td>1</td><td>2</td></tr></table>
    <blockquote><p>引文</p></blockquote></main><footer>頁尾</footer></body></html>"""
    reading = reader("html")(page.encode())
    assert reading.title == "頁 名"
    assert reading.text.split("\n\n") == [
        "# 標題",
        "第一行第二行，粗與 `x_1`。\n換行",
        "- 甲\n  - 乙\n- 丙",
        "- **秩**：方向的數目",
        "```\na = 1\nb = 2\n```",
        "| 甲 | 乙 |\n| --- | --- |\n| 1 | 2 |",
        "> 引文\n",
    ]


def test_deeply_nested_html_is_read():
    assert "底" in reader("html")(("<div>" * 5000 + "底" + "</div>" * 5000).encode()).text


def test_sound_text_can_always_be_written():
    assert sound("a\0b\ud800c\ud83d\udd25") == "ab\ufffdc🔥"


def test_messy_files_of_the_world(steps, opened, shared):
    """The world's PDFs, pages and encodings: each is read or dropped with a reason, and none stops the run."""
    read = opened(steps("data.read", paths=[shared / "messy"], ocr=False))
    kinds = {document.format for document in read.documents}
    assert kinds >= {"markdown", "text", "html", "pdf", "json", "csv", "email", "subtitles"}
    assert len(read.documents) > 150
    assert {"no-text-layer", "encrypted", "undecodable", "binary"} <= set(read.reasons)
    law = next(document for document in read.documents if document.id.endswith("中華民國憲法.pdf"))
    assert law.title == "中華民國憲法"
    assert len(law.meta["pages"]) == 19
    assert "非由法院依法定程序，不得審問處罰。非依法定程序之逮捕、拘禁、審問、處罰，得拒絕之。" in law.text


@pytest.mark.parametrize("format", sorted(name for name in set(READERS.values()) if hasattr(module(name), "read")))
@pytest.mark.parametrize(
    "data", [b"", b"\0", b"\xff\xfe", b"%PDF-", b"---\n: [\n---\n", b"<" * 999, bytes(range(256)), "\ufeff字".encode()]
)
def test_no_reader_lets_another_error_out(format, data):
    with contextlib.suppress(Unreadable):
        assert reader(format)(data).text.strip()


def test_damage_is_counted_in_the_report(steps, opened, tmp_path):
    text = "本館訂於五月一日舉辦週年慶活動，邀請全體讀者參加。"
    (tmp_path / "a.txt").write_bytes(text.encode("big5")[:-1])
    (tmp_path / "b.txt").write_bytes(b"\xff" + text.encode() + b"\xff\n")
    (tmp_path / "c.txt").write_text(text, encoding="utf-8")
    artifact = steps("data.read", paths=[tmp_path])
    made = opened(artifact)
    assert [document.meta.get("undecodable", 0) for document in made.documents] == [1, 2, 0]
    report = [entry["text"] for entry in artifact.manifest["report"] if entry["type"] == "text"]
    assert report == ["U+FFFD stands in 3 place(s) of 2 document(s) for bytes that mean nothing."]
