"""The measures of quality, each on texts made to have it."""

from __future__ import annotations

import pytest

from danlu.text import quality
from danlu.text.census import census
from danlu.text.quality import Lines, language, lines, policy_lines, stop_words

PROSE = "機器學習的模型需要大量的資料，我們用軟體處理這些資料。"


def test_lines():
    text = f"# 標題\n\n| 甲 | 乙 |\n{PROSE}\n- 清單\n• 還有……\n他說：「好。」\n  \n"
    found = lines(text)
    assert found.total == 4
    assert found.mean == (len(PROSE) + 4 + 6 + 7) / 4
    assert found.punctuated == 3 / 4
    assert found.bullets == 2 / 4
    assert found.ellipses == 1 / 4
    assert found.short == 3 / 4
    assert lines("\n# 只有標題\n") == Lines(0, 0.0, 0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("line", "short"), [("中" * 15, 1), ("中" * 16, 0), ("a" * 30, 1), ("a" * 31, 0), ("中" * 10 + "a" * 10, 1)]
)
def test_a_han_character_is_two_columns(line, short):
    assert lines(line).short == short


@pytest.mark.parametrize(
    ("line", "share"),
    [("好。", 1), ("好」", 0), ("「好。」", 1), ("（好！）**", 1), ("Yes.", 1), ("導覽", 0), ("，", 0), ("」", 0)],
)
def test_what_ends_a_sentence(line, share):
    assert lines(line).punctuated == share


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PROSE, "zh"),
        ("这个软件的数据很多。", "zh"),
        ("用 transformers 的 Trainer 訓練 LoRA adapter，learning rate 設為 2e-4", "zh"),
        ("これは日本語の文章です。機械学習について説明します。", "ja"),
        ("The quick brown fox jumps over the lazy dog, and that is all there is to it.", "en"),
        ("Le petit chat est sur la table et il ne veut pas descendre.", "other"),
        ("안녕하세요 오늘은 날씨가 좋네요", "other"),
        ("Привет, как дела?", "other"),
        ("import os\nx = os.environ['A']", "other"),
        ("12345", "other"),
        ("", "other"),
    ],
)
def test_language(text, expected):
    assert language(text.lower(), census(text)) == expected


def test_stop_words():
    assert stop_words(PROSE, "zh", 9) >= 2
    assert stop_words(PROSE, "zh", 2) == 2
    assert stop_words("導覽首頁產品", "zh", 2) == 0
    assert stop_words("the cat and the dog", "en", 9) == 2
    assert stop_words("これは", "ja", 2) is None


def test_policy_lines_and_filler():
    menu = "本網站使用 cookies 以提升體驗\n請啟用 JavaScript\n隱私權政策\n版權所有 © 2024\nAll Rights Reserved"
    assert policy_lines(menu.lower()) == 1
    assert policy_lines("javascript 是一種程式語言。\ncookie 很好吃。\n隱私很重要。") == 0
    assert policy_lines("") == 0
    assert quality.lorem("xx lorem ipsum dolor")
    assert not quality.lorem("lorem")


def test_ellipses_and_words():
    assert quality.ellipses("等等……好...嗎。。。。") == 3
    assert quality.words(census("機器學習 deep learning"), 2) == 4
