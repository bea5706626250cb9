"""Simplified to Traditional, decided in context: hand cases, and properties that hold for any text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.text import conversion, variants
from danlu.text.conversion import convert
from danlu.text.variants import to_traditional

CASES = [
    ("一只船只能载一只羊", "一隻船只能載一隻羊"),
    ("松脆饼干", "鬆脆餅乾"),
    ("参与制造", "參與製造"),
    ("可是只有他养了三只猫", "可是只有他養了三隻貓"),
    ("干皮症让皮肤不干燥", "乾皮症讓皮膚不乾燥"),
    ("皇后在后面梳头发", "皇后在後面梳頭髮"),
    ("他发现理发店里没有人", "他發現理髮店裡沒有人"),
    ("距离台北三百公里", "距離臺北三百公里"),
    ("余光中教授的论文还剩余两页", "余光中教授的論文還剩餘兩頁"),
    ("范先生示范了操作范围", "范先生示範了操作範圍"),
    ("政府征收土地时征求意见", "政府徵收土地時徵求意見"),
    ("他吃了一碗牛肉面，面带微笑", "他吃了一碗牛肉麵，面帶微笑"),
    ("干部正在干活，衣服已经晒干了", "幹部正在幹活，衣服已經曬乾了"),
    ("制度规定药品的制造", "制度規定藥品的製造"),
    ("台风过后，农民收获稻谷", "颱風過後，農民收穫稻穀"),
    ("系统关系联系", "系統關係聯繫"),
    ("恢复、复杂、答复与重复", "恢復、複雜、答覆與重複"),
    ("万里长城有几千年的历史，他在日历上做了记号", "萬里長城有幾千年的歷史，他在日曆上做了記號"),
    ("钟先生看了看时钟", "鍾先生看了看時鐘"),
    ("山谷里种稻谷", "山谷裡種稻穀"),
    ("居里夫人生于华沙", "居里夫人生於華沙"),
    ("1,200 只候鸟和 3只狗", "1,200 隻候鳥和 3隻狗"),
]


@pytest.mark.parametrize(("simplified", "taiwan"), CASES)
def test_hand_cases(simplified, taiwan):
    assert to_traditional(simplified) == taiwan


def test_no_simplified_character_is_left():
    everything = "".join(variants.simplified())
    assert not set(convert(everything)) & set(variants.simplified())


@settings(max_examples=200, deadline=None)
@given(st.text(st.one_of(st.sampled_from("后里干只发面制系于万种了几 ,.1a。\n𠮷𰻞"), st.characters()), max_size=40))
def test_length_kept_and_idempotent(text):
    converted = convert(text)
    assert len(converted) == len(text)
    assert convert(converted) == converted


def test_blocks_agree_with_the_whole(monkeypatch):
    text = "。".join(simplified for simplified, _ in CASES) * 20
    whole = convert(text)
    monkeypatch.setattr(conversion, "_BLOCK", 7)
    assert convert(text) == whole


def test_styles_differ_only_in_free_variants():
    standard, everyday = convert("台湾的台风污染", "standard"), convert("台湾的台风污染", "everyday")
    assert standard == "臺灣的颱風汙染"
    assert everyday == "台灣的颱風污染"


def test_the_model_is_small():
    assert conversion.MODEL.stat().st_size <= 5_000_000
