"""danlu.text.encoding: what is told with confidence is read, the neighbours' encodings are named, binaries refused."""

import array
import contextlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danlu.text.encoding import decode, encode

CHINESE = "檢索增強生成先找出相關的段落，再請模型根據段落回答問題。\nLine 2 of 3.\n"
JAPANESE = "日本語の文章をここに書いています。文字コードの判定は難しいものです。カタカナも混ぜてテストします。"
KOREAN = "한국어 문장을 여기에 씁니다. 문자 인코딩을 판별하는 것은 어렵습니다. 이 글은 시험용입니다."
GERMAN = "Über die Größe der Straße läßt sich nichts Böses sagen, schöne Grüße aus Köln."
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
        (JAPANESE, "cp932", "Japanese in Shift JIS"),
        (JAPANESE, "euc_jp", "Japanese in EUC-JP"),
        (JAPANESE, "iso2022_jp", "ISO-2022"),
        (KOREAN, "cp949", "Korean in EUC-KR"),
        (GERMAN, "latin-1", "nor Big5 or GB18030"),
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
