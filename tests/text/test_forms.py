"""Normal form, script, conversion, sentences, tokens and encodings."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.text import variants
from danlu.text.encoding import decode, encode
from danlu.text.normalise import normalise
from danlu.text.script import script, to_taiwan
from danlu.text.segment import TOKENIZER_HASH, tokens
from danlu.text.sentences import sentences

MIXED = st.text(
    st.sampled_from(
        "你好世界說。！？…,.;:!? \t\n\r\u3000\u200b\u200d\ufeff“”‘’「」（）()`~#-12Ａ１aB⼈é\u0301\u2028|>*"
    ),
    max_size=60,
)
ANY = st.one_of(MIXED, st.text(max_size=60))


# --- normalise ---


@settings(max_examples=500, deadline=None)
@given(ANY)
def test_normalise_is_idempotent(text):
    once = normalise(text)
    assert normalise(once) == once


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("一\r\n二\r三\u2028四", "一\n二\n三\n四"),
        ("零\u200b寬\ufeff與\u00ad軟\u202e連\x00字", "零寬與軟連字"),
        ("ＧＰＴ－４ 有１７５億", "GPT－4 有175億"),
        ("你好, 世界!這樣;好:嗎?", "你好，世界！這樣；好：嗎？"),
        ("他說“你好‘世界’”。", "他說「你好『世界』」。"),
        ("等等。。。好", "等等……好"),
        ("⼈⼯智慧", "人工智慧"),
        ("cafe\u0301", "café"),
        ("英文, 1,000 與 a:b 不動", "英文, 1,000 與 a:b 不動"),
        ("碼 `你好,世界` 不動", "碼 `你好,世界` 不動"),
        ("```\n你好,世界\n```", "```\n你好,世界\n```"),
        ("行尾  \n\n\n\n下一段", "行尾\n\n下一段"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
    ],
)
def test_normal_forms(before, after):
    assert normalise(before) == after


# --- script ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("臺灣的人工智慧發展", "traditional"),
        ("台湾的人工智能发展", "simplified"),
        ("這個資料庫是用软件做的，数据很多", "mixed"),
        ("人工", "traditional"),
        ("hello 123", "other"),
        ("これは日本語のテストです", "other"),
        ("", "other"),
        ("臺灣的機器學習與資料處理還有許多問題，讓我們從頭開始談起，別把体字看錯", "traditional"),
    ],
)
def test_script(text, expected):
    assert script(text) == expected


def test_conversion_chooses_words_by_context():
    assert to_taiwan("软件在服务器上运行，用户的数据存在硬盘里。") == "軟體在伺服器上執行，使用者的資料存在硬碟裡。"
    assert to_taiwan("皇后的头发在后面") == "皇后的頭髮在後面"
    assert to_taiwan("法院的诉讼程序") == "法院的訴訟程序"


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from(sorted(variants.simplified())), min_size=1, max_size=40))
def test_conversion_leaves_no_simplified_character(text):
    assert variants.simplified().keys().isdisjoint(to_taiwan(text))


def test_every_simplified_character_is_converted():
    everything = "".join(variants.simplified())
    assert len(everything) > 3500
    assert variants.simplified().keys().isdisjoint(to_taiwan(everything))


# --- sentences ---


@settings(max_examples=500, deadline=None)
@given(ANY)
def test_sentences_hold_all_text_in_order(text):
    spans = sentences(text)
    assert all(start < end for start, end in spans)
    assert all(left[1] <= right[0] for left, right in pairwise(spans))
    held = "".join(text[start:end] for start, end in spans)
    assert "".join(held.split()) == "".join(text.split())
    assert all(text[start:end] == text[start:end].strip() for start, end in spans)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("今天下雨。明天呢？好！", ["今天下雨。", "明天呢？", "好！"]),
        ("老師說：「走吧。」學生就走了。", ["老師說：「走吧。」", "學生就走了。"]),
        ("「真的嗎？」她問。沒有人答。", ["「真的嗎？」她問。", "沒有人答。"]),
        ("他說「好。走。」的時候（大概吧。）笑了。", ["他說「好。走。」的時候（大概吧。）笑了。"]),
        ("圓周率是 3.14，版本 2.0.1 好。", ["圓周率是 3.14，版本 2.0.1 好。"]),
        ("Dr. Lin said so, e.g. here. Right! 對嗎?對。", ["Dr. Lin said so, e.g. here.", "Right!", "對嗎?", "對。"]),
        ("# 標題\n第一段。\n\n- 一\n- 二", ["# 標題", "第一段。", "- 一", "- 二"]),
        ("真的嗎？？！太好了……吧。", ["真的嗎？？！", "太好了……吧。"]),
        ("沒有結尾", ["沒有結尾"]),
        ("「沒有關的引號。第二句。", ["「沒有關的引號。", "第二句。"]),
    ],
)
def test_sentence_ends(text, expected):
    assert [text[start:end] for start, end in sentences(text)] == expected


def test_a_hard_wrapped_line_goes_on():
    text = "這一行文字很長很長很長很長很長很長很長，被編輯器\n折到下一行才結束。"
    assert len(sentences(text)) == 1


# --- segment ---


def test_tokens():
    assert tokens("檢索增強") == ["檢", "檢索", "索", "索增", "增", "增強", "強"]
    expected = ["用", "q4_k_m", "q4", "k", "m", "跑", "gpu", "c++", "也", "也行", "行"]
    assert tokens("用 Q4_K_M 跑ＧＰＵ，C++ 也行") == expected
    assert tokens("") == tokens("，。！ \n") == []


@settings(deadline=None)
@given(st.text(st.sampled_from("檢索增強生成模型資料分詞"), min_size=2, max_size=12), st.data())
def test_every_substring_is_found(text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    part = text[start : start + 4]
    assert set(tokens(part)) <= set(tokens(text))


def test_the_tokenizer_hash_is_stable():
    assert TOKENIZER_HASH == "7374e5afc615b0a6"


# --- encoding ---

TAIWAN = "臺灣的行政區劃分為直轄市、縣、市三種，其下再分鄉鎮。"
CHINA = "机器学习是人工智能的一个分支，数据很重要。"


@pytest.mark.parametrize(
    ("text", "codec", "name"),
    [
        (TAIWAN, "utf-8", "utf-8"),
        (TAIWAN, "utf-8-sig", "utf-8-sig"),
        (TAIWAN, "utf-16", "utf-16"),
        (TAIWAN, "utf-32", "utf-32"),
        (TAIWAN, "cp950", "cp950"),
        (TAIWAN, "gb18030", "gb18030"),
        (CHINA, "gb18030", "gb18030"),
        ("plain ASCII", "ascii", "utf-8"),
        ("", "ascii", "utf-8"),
    ],
)
def test_decode_and_encode(text, codec, name):
    data = text.encode(codec)
    assert decode(data) == (text, name)
    assert encode(text, name, data) == data


def test_the_byte_order_is_kept():
    data = b"\xfe\xff" + TAIWAN.encode("utf-16-be")
    assert encode(*decode(data), data) == data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"%PDF-1.7\x00\x01\x02", "NUL byte at offset 8"),
        (b"\x01\x02\x03 text", "control bytes"),
        ("café résumé".encode("latin-1"), "not UTF-8"),
        (b"\xff\xfea", "breaks off"),
    ],
)
def test_what_is_no_text_is_refused(data, reason):
    with pytest.raises(ValueError, match=reason):
        decode(data)


@pytest.mark.parametrize(
    ("text", "encoding"), [("これはテストです。日本語の文章", "shift_jis"), ("안녕하세요 반갑습니다", "euc-kr")]
)
def test_the_neighbours_encodings_are_no_chinese(text, encoding):
    assert decode(text.encode(encoding))[0] == text


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_decode_never_fails_otherwise(data):
    try:
        text, name = decode(data)
    except ValueError:
        return
    assert isinstance(text, str)
    assert name
