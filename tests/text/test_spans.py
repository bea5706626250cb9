"""Spans of other scripts and languages are found; what Taiwan wrote stays to the byte."""

import json
import random
import re
from pathlib import Path

import pytest

from danlu.text import quoted, usage, variants
from danlu.text.script import script
from danlu.text.spans import foreign, spans, to_traditional

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"

TAIWAN = (
    "里長余先生在村里大會上宣布，可是只有三戶人家到場。巷口的電表由台電更換，占有人須自行負擔費用。"
    "干貝與烏魚子是這裡的名產，秋天舉辦采風活動，遠征隊也來參加。"
)
QUOTED = "对岸的公告写道：请各位业主于本周内办理登记，逾期将影响后续审批进度，请务必按时完成。"


@pytest.mark.parametrize(
    "text",
    [
        TAIWAN,
        "余先生與范小姐住在台北，距離公車站兩公里。",
        "于右任的書法，後人臨摹者眾；后妃的制度，宋代已備。",
        "皇后大道、茶几、万俟先生、干部與若干布料。",
        "| 姓名 | 里 | 電話 |\n|---|---|---|\n| 余志明 | 松江里 | 02-2755-2823 |",
        "- 只有一只干貝\n- 周志明征收里程\n- 佈告欄的公布",
        "## 征收與徵收\n\n制度由制憲會議訂定，發布後周知各里。",
        "《余光中詩選》、《后山與后羿》、《里斯本之夜》",
        "他回答：「余先生與此事無關，只有里長知情。」",
        "GPU 的云端？不，是雲端；Rust 的 crate 只有一個。",
        "```\nint 余 = 0; // 里面\n```",
        "横浜中華街的關帝廟、麺屋的招牌與映画館的海報。",
    ],
)
def test_text_of_taiwan_stays_to_the_byte(text):
    assert to_traditional(text) == text
    assert [hit for hit in usage.find(text) if hit.kind == "simplified"] == []


PLACES = {
    "block quote": "{t}\n\n> {s}\n\n{t}",
    "quotation": "{t}他說「{s}」大家都聽到了。{t}",
    "sentence": "{t}{s}{t}",
    "line": "{t}\n{s}\n{t}",
    "list": "- {t}\n- {s}\n- {t}",
    "cell": "| 里長的話 | 對岸的話 |\n|---|---|\n| {t} | {s} |\n",
    "heading": "# {t}\n\n## {s}\n\n{t}",
    "dialogue": "余先生：{t}\n張三：{s}\n余先生：{t}",
    "english": "The notice reads {s} and that is all. {t}",
    "first": "{s}\n\n{t}",
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_simplified_sentence_is_converted_alone(place):
    text = place.format(t=TAIWAN, s=QUOTED)
    assert to_traditional(text) == place.format(t=TAIWAN, s=variants.to_traditional(QUOTED))


def test_a_taiwan_paragraph_in_a_simplified_text_stays():
    plain = "机器学习的模型需要大量的数据，我们用这些数据来训练，然后再评估结果。"
    text = f"{plain}\n\n{TAIWAN}\n\n{plain}"
    assert to_traditional(text) == text.replace(plain, variants.to_traditional(plain))


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("里長余先生与太太只有一個孩子，在後面等著。", "里長余先生與太太只有一個孩子，在後面等著。"),
        ("這個干貝很贵，只有余先生買得起。", "這個干貝很貴，只有余先生買得起。"),
        ("村里的电表由台電更換。", "村里的電表由台電更換。"),
    ],
)
def test_a_single_slip_is_mended_without_its_neighbours(text, mended):
    assert to_traditional(text) == mended
    assert usage.fix(text) == mended


def test_shared_characters_go_with_their_neighbours():
    assert to_traditional("头发后面") == "頭髮後面"
    assert to_traditional("我们在这里。后面只有。他们说过。").endswith("後面只有。他們說過。")


JAPANESE = [
    "子会社を作り、社内の画像処理技術を開発している。映画の写真を見て、当時の状態を残念に思う。",
    "会社 映画 写真 読む",
    "株式会社",
    "東京都渋谷区",
    "国土交通省 総合政策局 会計課",
    "天気予報",
    "東京国立博物館",
]
OTHERS = [
    ("동양의 漢字 文化와 国家의 信息", "korean"),
    ("佢哋喺度嘅啲嘢，冇人嚟。", "cantonese"),
    ("香港九龍彌敦道嘅啲店舖，佢哋喺度賣嘢食，啲軟件好平。", "cantonese"),
    ("我哋喺呢度等紧你，佢话唔嚟。", "cantonese"),
]


@pytest.mark.parametrize(("text", "kind"), [*((text, "japanese") for text in JAPANESE), *OTHERS])
def test_other_languages_are_known_and_stay(text, kind):
    for whole in (text, f"{TAIWAN}\n\n{text}\n\n{TAIWAN}", f"{TAIWAN}「{text}」{TAIWAN}"):
        assert to_traditional(whole) == whole
        at = whole.index(text)
        assert all(any(s <= at + place < e for s, e in foreign(whole)) for place in range(len(text)))
        assert not [hit for hit in usage.find(whole) if at <= hit.start < at + len(text)]
    assert {span.kind for span in spans(text)} == {kind}


def test_a_simplified_text_after_another_language_is_converted():
    text = f"{JAPANESE[0]}\n\n{QUOTED}\n\n佢哋喺度嘅啲嘢。\n\n{QUOTED}"
    assert to_traditional(text) == text.replace(QUOTED, variants.to_traditional(QUOTED))


def test_classical_chinese_keeps_its_words():
    text = "子曰：「學而時習之，不亦說乎？有朋自遠方來，不亦樂乎？」"
    assert foreign(text)
    assert usage.fix(text) == text
    assert not foreign("依本條規定應檢附文件者，於期限內為之。")


def test_script_knows_japanese_without_kana():
    assert script("国土交通省 総合政策局 会計課") == "other"
    assert script(QUOTED) == "simplified"
    assert script(TAIWAN) == "traditional"


def test_quotations_are_found():
    text = "「甲『乙』」與《丙》和“丁”"
    assert [text[start:end] for start, end in quoted.quotations(text)] == ["「甲『乙』」", "《丙》", "“丁”"]


def _taiwan_texts():
    if not SHARED.is_dir():
        pytest.skip("../shared/data is not here")
    for path in sorted((SHARED / "corpus/tw-law").glob("*.json")):
        yield from (
            article["條文內容"] for article in json.loads(path.read_bytes())["法規內容"] if "條文內容" in article
        )
    for article in json.loads((SHARED / "rc/drcd/DRCD_dev.json").read_bytes())["data"]:
        yield from (paragraph["context"] for paragraph in article["paragraphs"])


def test_a_million_characters_of_taiwan_and_simplified_sentences_planted_in_them():
    """Nothing changes but real slips (胆 in DRCD); every planted sentence is converted as if it were alone."""
    only, common = variants.simplified().keys(), variants.traditional()
    source = (
        json.loads((SHARED / "instruct/llama-factory-demo/alpaca_zh_demo.json").read_bytes()) if SHARED.is_dir() else []
    )
    planted = [
        sentence
        for row in source
        for sentence in re.findall("[^。！？\n]{6,60}[。！？]", row["output"])
        if sum(character in only for character in sentence) > 1 and common.isdisjoint(sentence)
    ]
    chance = random.Random(7)
    texts = list(_taiwan_texts())
    assert sum(map(len, texts)) > 1_000_000
    changed = [old for text in texts for old, new in zip(text, to_traditional(text), strict=True) if old != new]
    assert changed == ["胆"]
    places = 0
    for text in texts:
        ends = [found.end() for found in re.finditer("[。！？]", text)]
        if not ends or places == 600 or only & set(text):
            continue
        at, sentence = chance.choice(ends), chance.choice(planted)
        left, right = chance.choice([("", ""), ("他說「", "」"), ("\n", "\n")])
        whole = text[:at] + left + sentence + right + text[at:]
        places += 1
        assert to_traditional(whole) == text[:at] + left + variants.to_traditional(sentence) + right + text[at:]
    assert places == 600
