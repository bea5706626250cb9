"""danlu.text.encoding: what is told with confidence is read, the neighbours' encodings are named, binaries refused."""

import array
import contextlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danlu.text.encoding import decode, encode, salvage

CHINESE = "檢索增強生成先找出相關的段落，再請模型根據段落回答問題。\nLine 2 of 3.\n"
JAPANESE = "日本語の文章をここに書いています。文字コードの判定は難しいものです。カタカナも混ぜてテストします。"
KOREAN = "한국어 문장을 여기에 씁니다. 문자 인코딩을 판별하는 것은 어렵습니다. 이 글은 시험용입니다."
GERMAN = "Über die Größe der Straße läßt sich nichts Böses sagen, schöne Grüße aus Köln."
GREEK = "Αυτό είναι ένα κείμενο στα ελληνικά με παλιά κωδικοποίηση."
THAI = "นี่คือข้อความภาษาไทยในการเข้ารหัสแบบเก่า"
RUSSIAN = "Это русский текст в старой кодировке, который не следует принимать за китайский."


@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", [CHINESE, "DateTime,Bid,Ask\r\n07/19/2015 21:00\r\n", CHINESE * 2000 + "🔥"])
def test_wide_text_without_a_mark(name, text):
    data = text.encode(name)
    assert decode(data) == (text, name)
    assert encode(text, name, data) == data


@pytest.mark.parametrize(
    ("text", "codec", "words"),
    [
        (GREEK, "iso8859-7", "nor Big5 or GB18030"),
        (THAI, "tis-620", "nor Big5 or GB18030"),
        (RUSSIAN, "cp1251", "nor Big5 or GB18030"),
        (RUSSIAN, "koi8-r", "nor Big5 or GB18030"),
    ],
)
def test_what_is_not_read_is_named(text, codec, words):
    for times in (1, 30):
        with pytest.raises(ValueError, match=words):
            decode((text * times).encode(codec))


def test_binaries_are_no_wide_text():
    rolls = random.Random(0)
    for kind, most in (("h", 3000), ("h", 30_000), ("i", 100_000), ("B", 255)):
        for _ in range(50):
            with pytest.raises(ValueError, match=r"binary|nor Big5|Shift JIS|EUC"):
                decode(array.array(kind, [rolls.randint(0, most) for _ in range(400)]).tobytes())


def test_a_long_page_of_ascii_before_the_chinese():
    text = "<p>x</p>\n" * 50_000 + CHINESE
    assert decode(text.encode("big5")) == (text, "cp950")


@given(st.binary(max_size=200))
def test_bytes_are_text_or_an_error_in_words(data):
    with contextlib.suppress(ValueError):
        text, name = decode(data)
        assert isinstance(text, str)
        assert name


@pytest.mark.parametrize(
    ("text", "codec", "name"),
    [
        (JAPANESE, "cp932", "cp932"),
        (JAPANESE, "euc_jp", "euc_jp"),
        (JAPANESE, "iso2022_jp", "iso2022_jp_2"),
        (KOREAN, "cp949", "cp949"),
        (GERMAN, "latin-1", "cp1252"),
        ("L'été à l'école coûte “très” cher, le café est à 4 €.", "cp1252", "cp1252"),
        ("香港九龍嘅啲店舖，佢哋喺度賣嘢食，價錢唔貴，嚟嘅人好多。", "big5hkscs", "big5hkscs"),
        ("深水埗同旺角嘅街市，啲魚好新鮮，啱晒我哋屋企。", "big5hkscs", "big5hkscs"),
        ("宏碁公司恒溫控制，售價以歐元€計算。", "cp950", "cp950"),
        ("王淑芬、陳怡萱、黃冠霖、蔡孟璇、鄭詠晴", "big5", "cp950"),
        ("张伟、王秀英、李娜、刘洋、杨静、赵磊", "gbk", "gb18030"),
        ("蒹葭蒼蒼，白露為霜。所謂伊人，在水一方。", "big5", "cp950"),
        ("汉字𠮷野家的饭很好吃，我们都喜欢", "gb18030", "gb18030"),
        ("本館訂於五月一日舉辦週年慶活動", "utf-16-be", "utf-16-be"),
    ],
)
def test_what_is_told_by_how_it_reads(text, codec, name):
    data = text.encode(codec)
    assert decode(data) == (text, name)
    assert encode(text, name, data) == data


NOTICE = "本館訂於五月一日舉辦週年慶活動"


@pytest.mark.parametrize(
    ("head", "text", "codec", "name"),
    [
        ('<?xml version="1.0" encoding="big5"?><a>', "宏碁恒溫€", "cp950", "cp950"),
        ('<meta charset="windows-1252"><p>', "Crème brûlée à 4 €", "cp1252", "cp1252"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=windows-1251">', RUSSIAN, "cp1251", "cp1251"),
        ("<html><META CHARSET=iso-8859-2>", "Zażółć gęślą jaźń", "iso8859-2", "iso8859-2"),
        ('<meta charset="shift_jis">', "東京都の地図", "cp932", "cp932"),
        ("<meta charset=hz-gb-2312>", "汉字很好", "hz", "hz"),
        ('<meta charset="utf-8">', NOTICE, "big5", "cp950"),
        ('<meta charset="big5">', NOTICE, "utf-8", "utf-8"),
        ('<meta charset="iso-8859-1">', NOTICE, "big5", "cp950"),
        ('<meta charset="big5">', "本馆订于五月一日举办周年庆活动，欢迎参加", "gbk", "gb18030"),
        ('<meta charset="no-such-charset">', NOTICE, "big5", "cp950"),
    ],
)
def test_what_a_text_declares_is_used_unless_it_is_evidently_wrong(head, text, codec, name):
    assert decode(head.encode() + text.encode(codec)) == (head + text, name)


BIG5 = f"{NOTICE}，邀請全體讀者參加。\n洽詢電話請見本館網站。\n".encode("big5")


@pytest.mark.parametrize(
    ("data", "encoding", "lost"),
    [
        (BIG5[:20] + b"\xff" + BIG5[20:], "cp950", 1),
        (BIG5[:21] + b"\xff" + BIG5[22:], "cp950", 1),
        (BIG5[:-2], "cp950", 1),
        (NOTICE.encode()[:-1], "utf-8", 1),
        (NOTICE.encode()[:9] + b"\xff\xfe" + NOTICE.encode()[9:], "utf-8", 1),
        (NOTICE.encode("utf-16")[:-1], "utf-16", 1),
        (NOTICE.encode("gb18030")[:-1], "gb18030", 1),
        (b"<meta charset=windows-1252>caf\xe9 \x81 and na\xefve", "cp1252", 1),
        (b"<meta charset=shift_jis>" + JAPANESE.encode("cp932")[:-1], "cp932", 1),
    ],
)
def test_damaged_texts_are_kept_and_the_damage_counted(data, encoding, lost):
    with pytest.raises(ValueError, match="offset"):
        decode(data)
    found = salvage(data)
    assert (found.encoding, found.lost, found.text.count("\ufffd")) == (encoding, lost, lost)


def test_the_rest_of_a_line_stays_in_step_after_a_lost_byte():
    found = salvage(BIG5[:20] + b"\xff" + BIG5[20:])
    assert found.text.replace("\ufffd", "").encode("big5") == BIG5


def test_lines_of_several_encodings():
    simplified = "这个文件的第三行是简体的，我们都看得懂。\n"
    data = f"一行{NOTICE}\n".encode() + BIG5 + simplified.encode("gbk") + b"plain\n"
    found = salvage(data)
    assert found.text == f"一行{NOTICE}\n" + BIG5.decode("big5") + simplified + "plain\n"
    assert found.lost == 0
    assert dict(found.lines) == {"utf-8": 1, "cp950": 2, "gb18030": 1}


def test_too_much_damage_is_no_text():
    rolls = random.Random(1)
    for data in ((BIG5 * 3)[::3], bytes(rolls.randrange(128, 256) for _ in range(4000)), RUSSIAN.encode("koi8-r")):
        with pytest.raises(ValueError, match="nor Big5"):
            salvage(data)


@given(st.binary(max_size=200))
def test_salvage_gives_text_or_an_error_in_words(data):
    with contextlib.suppress(ValueError):
        salvage(data).text.encode()
