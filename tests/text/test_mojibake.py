"""Damage is planted in real sentences and must be mended; what only looks odd must stay."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.text.mojibake import repair

TAIWAN = "臺灣的行政區劃分為直轄市、縣、市三種，其下再分鄉鎮市區。\n機器學習的模型需要大量的資料，並且要仔細檢查。"
CHINA = "机器学习是人工智能的一个分支，数据很重要。\n我们用软件处理这些数据，然后让用户使用。"


@pytest.mark.parametrize(
    ("text", "right", "wrong"),
    [
        (TAIWAN, "utf-8", "latin-1"),
        (TAIWAN, "utf-8", "sloppy-windows-1252"),
        (TAIWAN, "cp950", "latin-1"),
        (TAIWAN, "cp950", "gb18030"),
        (CHINA, "gb18030", "latin-1"),
        (CHINA, "utf-8", "latin-1"),
    ],
)
def test_what_was_read_wrongly_is_read_again(text, right, wrong):
    import ftfy.bad_codecs  # noqa: F401 - registers Windows-1252 as browsers read it

    damaged = text.encode(right).decode(wrong)
    assert damaged != text
    assert repair(damaged) == (text, 2)
    assert repair(text) == (text, 0)


def test_one_damaged_line_in_a_good_text():
    line = "這一行被讀成別的編碼了，其他的都好好的。"
    text = f"{TAIWAN}\n{line.encode('cp950').decode('gb18030')}\n第三行沒有事。"
    assert repair(text) == (f"{TAIWAN}\n{line}\n第三行沒有事。", 1)
    assert repair("CafÃ© dâ€™Ã©tÃ©") == ("Café d’été", 1)


@pytest.mark.parametrize(
    "text",
    [
        "これは日本語の文章です。機械学習について説明しますが、中国語ではありません。データを集めて、モデルを訓練します。",
        "안녕하세요 반갑습니다 오늘은 날씨가 좋네요",
        "Привет, как дела? Сегодня хорошая погода",
        "Le café est très agréable à l'été où ça naît",
        "魑魅魍魎饕餮耄耋龜鱉鼈鼉",
        "（一）㈠①②③④⑤⑥⑦⑧⑨⑩",
        "┌──┬──┐\n│甲│乙│\n└──┴──┘",
        "表ポあA鷗ŒéＢ逍Üßªąñ丂㐀𠀀",
        "lone \ud800 surrogate 中文測試",
        "",
    ],
)
def test_what_only_looks_odd_stays(text):
    assert repair(text) == (text, 0)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_lines_are_kept_and_counted(text):
    new, mended = repair(text)
    assert new.count("\n") == text.count("\n")
    assert (mended == 0) == (new == text)
