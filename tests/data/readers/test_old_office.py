"""Word 97–2003, Rich Text and Outlook messages."""

import contextlib

import pytest
from compound import attachment, doc, message, ole

from danlu.data.readers import Bad, How, Unreadable, msg, readings, rtf
from danlu.data.readers import doc as word


def plain(text: str, style: int = 0) -> tuple[str, int, bool, bool]:
    return (text, style, False, False)


def reason(read, data):
    with pytest.raises(Unreadable) as error:
        read(data)
    return error.value.reason


# ── Word ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_word_paragraphs_headings_and_tables():
    row = [
        ("項目\x07", 0, True, False),
        ("\x07", 0, True, False),
        ("費用\x07", 0, True, False),
        ("\x07", 0, True, True),
    ]
    more = [
        ("場地\r", 0, True, False),
        ("大\x07", 0, True, False),
        ("x\x07", 0, True, False),
        ("700\x07", 0, True, False),
    ]
    end = ("\x07", 0, True, True)
    data = doc(plain("借書辦法\r", 1), plain("宏碁😀\x0b第二行\r"), plain("細則\r", 2), *row, *more, end, plain("末\r"))
    reading = word.read(data)
    assert reading.text == (
        "# 借書辦法\n\n宏碁😀\n第二行\n\n## 細則\n\n"
        "| 項目 |  | 費用 |\n| --- | --- | --- |\n| 場地 大 | x | 700 |\n\n末\n"
    )
    assert reading.title == "借書辦法"


def test_word_pieces_of_8_and_16_bits_fields_and_notes():
    link = 'see \x13 HYPERLINK "http://x" \x14here\x15 caf\xe9\r'
    data = doc(plain("本文\x02。\x13PAGE\x15\r"), narrow=link, notes="\x02 註解一。\r")
    assert word.read(data).text == "see here café\n\n本文[^1]。\n\n[^1]: 註解一。\n"


def test_word_files_that_are_something_else():
    assert word.read(rb"{\rtf1 text}").text == "text\n"
    assert "字" in word.read("<html><body><p>字</p></body></html>".encode()).text
    assert reason(word.read, doc(plain("x\r"), flags=0x300)) == "encrypted"
    assert reason(word.read, ole({"Other": b"x"})) == "broken-doc"
    assert reason(word.read, b"no document") == "broken-doc"
    assert reason(word.read, doc(plain("\r"))) == "empty"
    assert reason(word.read, bytes(3000)) == "empty"


@pytest.mark.parametrize("step", [7, 11])
def test_damaged_word_files_give_a_reason_or_a_text(step):
    whole = doc(plain("一\r"), ("二\x07", 0, True, False), ("\x07", 0, True, True), plain("三\r"))
    for at in range(0, len(whole), len(whole) // (step * 10)):
        for data in (whole[:at], whole[:at] + bytes([at % 256]) + whole[at + 1 :]):
            with contextlib.suppress(Unreadable):  # and nothing else
                word.read(data)


# ── Rich Text ────────────────────────────────────────────────────────────────────────────────────────────────────────


def escaped(text: str, codec: str = "cp950") -> str:
    return "".join(chr(b) if b < 128 and chr(b) not in "\\{}" else f"\\'{b:02x}" for b in text.encode(codec))


HEAD = r"{\rtf1\ansi\ansicpg950\deff0{\fonttbl{\f0\fcharset136 M;}{\f1\fcharset0 Arial;}{\f2\fcharset134 S;}}"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (escaped("功能許可：宏碁"), "功能許可：宏碁"),
        (rf"{{\f1 {escaped('裡面')}}}{{\f2 {escaped('简体', 'gbk')}}}", "裡面简体"),
        (r"\u27284?\u-10179?\u-8704?", "檔😀"),
        (r"\uc2\u27284\'c0\'c9 x", "檔 x"),
        (r"{\uc0\u27284}y", "檔y"),
        (r"a\~b\_c\{d\}\\e\line f\tab g", "a b-c{d}\\e\nf\tg"),
        (r"{\v hidden}{\*\new thing}{\header H}{\pict 00ff}{\deleted x}shown", "shown"),
        (r"{\field{\*\fldinst HYPERLINK x}{\fldrslt link}}", "link"),
        (r"{\*\bkmkstart a}{\shp{\*\shpinst{\sp{\sn x}}{\shptxt box\par}}}", "box"),
        (r"one\par two{\footnote note}\par", "one\n\ntwo[^1]\n\n[^1]: note"),
        (r"{\stylesheet{\s1 heading 1;}{\s2 \'bc\'d0\'c3D 2;}}\s1 A\par\pard\s2 B\par\pard c", "# A\n\n## B\n\nc"),
        (r"{\upr{? }{\*\ud{\u27284 ?}}}", "檔"),
        (
            r"\trowd\intbl A\cell B\cell\row\trowd\intbl\cell D\par e\cell\row\pard z",
            "| A | B |\n| --- | --- |\n|  | D e |\n\nz",
        ),
        (r"\bin4 }}{{after", "after"),
    ],
)
def test_rich_text(body, text):
    assert rtf.read((HEAD + body + "}").encode()).text == text + "\n"


def test_rich_text_properties_and_faults():
    info = rf"{{\info{{\title {escaped('測試')}}}{{\author {escaped('王小明')}}}}}"
    reading = rtf.read((HEAD + info + "x}").encode())
    assert (reading.title, reading.meta) == ("測試", {"author": "王小明"})
    assert rtf.read(rb"{\rtf1\ansi\ansicpg950{\fonttbl{\f0\fcharset136 x;}}\f0 a\'ff b}").meta == {"undecodable": 1}
    assert reason(rtf.read, b"") == "empty"
    assert reason(rtf.read, rb"{\rtf1 }") == "empty"
    assert reason(rtf.read, b"plain") == "broken-rtf"
    assert reason(rtf.read, rb"{\rtf1" + b"{" * 2000) == "too-deep"


# ── Outlook ──────────────────────────────────────────────────────────────────────────────────────────────────────────

SENT = 133_488_864_000_000_000  # 2024-01-05 00:00 UTC


@pytest.fixture
def told(tmp_path):
    def go(streams):
        path = tmp_path / "a.msg"
        path.write_bytes(ole(streams))
        return list(readings(path, How(source="a.msg")))

    return go


def test_outlook_messages(told):
    texts = {0x37: "週年慶", 0x1000: "各位讀者：\r\n請查收。", 0xC1A: "王小明", 0x5D01: "w@example.com"}
    (found,) = told(message(texts, SENT))
    assert (found.title, found.text) == ("週年慶", "各位讀者：\n請查收。\n")
    assert found.meta == {"author": "王小明 <w@example.com>", "date": "2024-01-05T00:00:00+00:00"}


def test_outlook_properties_in_big5(told):
    texts = {
        0x37: "圖書館週年慶".encode("big5"),
        0x1000: "宏碁公司恒溫€".encode("cp950"),
        0xC1A: "王小明".encode("big5"),
    }
    (found,) = told(message(texts))
    assert (found.title, found.text, found.meta["author"]) == ("圖書館週年慶", "宏碁公司恒溫€\n", "王小明")


def test_outlook_bodies_in_html_and_in_packed_rich_text(told):
    (page,) = told(message({0x37: "a", 0x1013: "<meta charset=big5><p>本文在此，請查收附件。</p>".encode("big5")}))
    assert page.text == "本文在此，請查收附件。\n"
    packed = bytes.fromhex(
        "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
    )  # the example of [MS-OXRTFCP] 3.1.1
    assert msg.unpacked(packed) == rb"{\rtf1\ansi\ansicpg1252\pard hello world}" + b"\r\n"
    (rich,) = told(message({0x37: "a", 0x1009: packed}))
    assert rich.text == "hello world\n"


def test_outlook_attachments_and_messages_in_messages(told):
    inner = "__attach_version1.0_#00000001/__substg1.0_3701000D/"
    streams = message({0x37: "外", 0x1000: "外文"}) | attachment(0, "公告.txt", "附件內容".encode("big5"))
    streams |= attachment(2, "x.exe", b"MZ")
    streams |= {"__attach_version1.0_#00000001/__properties_version1.0": bytes(8)}
    streams |= message({0x37: "內", 0x1000: "內文"}, prefix=inner, header=24)
    found = told(streams)
    assert [(each.part, getattr(each, "text", getattr(each, "reason", ""))) for each in found] == [
        ("", "外文\n"),
        ("attachment 1 公告.txt", "附件內容"),
        ("attachment 2 message", "內文\n"),
        ("attachment 3 x.exe", "unsupported-format"),
    ]


def test_outlook_files_that_are_none(told, tmp_path):
    with pytest.raises(Unreadable, match="broken-msg"):
        told({"WordDocument": b"x"})
    for data, why in ((b"", "empty"), (b"text", "broken-msg"), (ole(message({}))[:700], "broken-msg")):
        (tmp_path / "b.msg").write_bytes(data)
        with pytest.raises(Unreadable, match=why):
            list(readings(tmp_path / "b.msg"))
    assert told(message({0x37: "只有主旨"})) == [Bad("", "empty", "a message without a text")]
