"""Taiwan usage: recall on planted terms, false alarms on correct Taiwan text, and what must be left alone."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.text import usage, variants

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DATA = ROOT.parent / "shared" / "data"


def planted(name: str) -> list[list[str]]:
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if line[:1] not in "#"]


PLANTED = planted("planted.tsv")

RIGHT = """
質量守恆定律說明化學反應前後的質量不變。
這顆小球的質量為三公斤，從斜面上滑下。
太陽的質量大約是地球的三十三萬倍。
水平線上出現一艘船，水平方向的分力是零。
地面要保持水平，洗衣機才不會晃。
原告應依行政訴訟程序提起訴訟。
立法院三讀通過法案，由總統公布。
他通過了律師考試，家人都很支持他。
附件的文件請簽名後寄回，文件名稱不得更改。
請到三號窗口繳費，餐廳的菜單在桌上。
民主化的進程很長，血液循環很快。
本條的補助對象為低收入戶，檢查項目如附表。
檢察官持搜索票搜索住宅，並扣押證物。
商標登錄之後，護照遺失要辦理註銷。
公司用大數據預測銷量，數據機放在客廳。
用戶端會先連到伺服器，部署開源模型要寫提示詞。
這件事與我們相信息息相關。
老師要在線上開會，也要教在線性代數之後的課。
增加載重會讓國內存款減少嗎？
讓使用戶外裝備的人先登記，各自定義目標。
各電視頻道的聲音頻率不同，其實時間還早。
經營銷售通路，刺激活動參與，資源回收站在旁邊。
鏡像對稱、幼兒園、博士後、半導體、卷積與微調都是臺灣的用語。
自行車道旁邊有一家賣菠蘿麵包的店。
使用者透過網路下載軟體，把檔案存進資料夾。
台灣、里長、松樹、面對、表演、采風、皇后、干擾、只有、范先生、游泳、雲林。
很多任務需要團隊列隊完成，不勝枚舉。
"""


def hit(sentence: str, term: str) -> bool:
    start = sentence.index(term)
    return any(found.start < start + len(term) and found.end > start for found in usage.find(sentence))


@pytest.mark.parametrize(("name", "least"), [("planted.tsv", 340), ("planted2.tsv", 360)])
def test_recall_on_planted_terms(name, least):
    rows = planted(name)
    assert len(rows) >= least
    missed = [(term, sentence) for term, sentence in rows if not hit(sentence, term)]
    assert len(missed) <= 0.05 * len(rows), missed


def test_few_false_alarms_on_text_written_to_trip_it():
    text = (HERE / "clean.txt").read_text(encoding="utf-8")
    characters = sum(map(len, text.split()))
    assert characters >= 9_000
    assert usage.count(text) <= 2 * characters / 10_000, usage.find(text)


def test_two_common_words_that_meet_inside_a_term_are_no_term():
    assert usage.find("多數組織，產業內核心技術，少數據點，電視頻道") == []
    assert usage.count("這個數組，系統內核，這些數據，這段視頻") == 4


@pytest.mark.parametrize("sentence", RIGHT.split())
def test_correct_taiwan_text_has_no_hit(sentence):
    assert usage.find(sentence) == []


def test_the_handbook_is_clean():
    chapters = sorted((ROOT / "handbook").glob("*/*.md"))
    assert len(chapters) >= 12
    text = "\n".join(chapter.read_text(encoding="utf-8") for chapter in chapters)
    hits = usage.find(text)
    assert len(hits) <= 2 * len(text) / 10_000, hits


@pytest.mark.parametrize(("name", "bound"), [("law", 1.0), ("drcd", 7.0)])
def test_false_alarms_on_public_text(name, bound):
    """DRCD's articles are partly written in mainland terms, so most of its hits are true; the statutes' are not."""
    if not DATA.is_dir():
        pytest.skip("../shared/data is absent")
    text = law() if name == "law" else drcd()
    assert 10_000 * usage.count(text) / sum(map(len, text.split())) <= bound


def law() -> str:
    def strings(node: object) -> list[str]:
        if isinstance(node, str):
            return [node]
        values = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
        return [each for value in values for each in strings(value)]

    files = sorted((DATA / "corpus" / "tw-law").glob("*.json"))
    return "\n".join("\n".join(strings(json.loads(file.read_text(encoding="utf-8-sig")))) for file in files)


def drcd() -> str:
    articles = json.loads((DATA / "rc" / "drcd" / "DRCD_dev.json").read_text(encoding="utf-8"))["data"]
    return "\n\n".join(paragraph["context"] for article in articles for paragraph in article["paragraphs"])


# --- what a hit says ---


def test_a_hit_says_where_and_what():
    first, second = usage.find("第一行沒事。\n我用這個軟件，数据很多。")
    assert (first.line, first.column, first.found, first.suggestion, first.kind) == (2, 5, "軟件", "軟體", "term")
    assert (second.line, second.column, second.found, second.suggestion, second.kind) == (2, 8, "数据", "資料", "term")


def test_a_simplified_term_is_one_hit_and_characters_follow_their_clause():
    hits = [(found.found, found.suggestion, found.kind) for found in usage.find("这个软件很好，头发后面干净")]
    assert ("软件", "軟體", "term") in hits
    assert len([found for found, _, _ in hits if "软" in found or "件" in found]) == 1
    assert usage.fix("这个软件很好，头发后面干净") == "這個軟體很好，頭髮後面乾淨"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("產品質量", "產品品質"),
        ("英語水平很高", "英語水準很高"),
        ("打開文件夾", "打開資料夾"),
        ("文件的後綴是 .csv", "檔案的副檔名是 .csv"),
        ("Python 程序", "Python 程式"),
        ("聽說這份履歷的信息太少", "聽說這份履歷的資訊太少"),
        ("手機發送信息", "手機發送訊息"),
        ("中國人工智能", "中國人工智慧"),
        ("程序員", "程式設計師"),
    ],
)
def test_suggestions_follow_the_neighbours(wrong, right):
    assert usage.fix(wrong) == right


def test_the_measure_counts_hits_by_characters_without_space():
    assert usage.taiwan_usage("軟件 很\n好") == pytest.approx(250)
    assert usage.taiwan_usage("軟體很好") == 0
    assert usage.taiwan_usage("") == usage.taiwan_usage(" \n") == 0


# --- what is left alone ---

ALONE = [
    "```python\nprint('軟件')  # 数据\n```\n",
    "~~~\n視頻\n~~~\n",
    "參數 `軟件` 與 ``視 ` 頻視頻`` 不動",
    "> 引文裡的軟件與数据\n> 第二行的視頻\n",
    "見 https://example.org/軟件/a 說明",
    "[說明](軟件.md)",
    "<!-- danlu: off -->軟件\n\n视频<!-- danlu: on -->",
    "<!-- danlu: off -->軟件直到最後",
    "「軟件」（中國用語）在臺灣叫軟體",
    "軟體，大陸稱為「軟件」。",
    "中國大陸用語「視頻」、「軟件」都不用",
    "簡體字：说、话、语、请。這四個字",
    "「視頻」（支語）與「給力」（支那用語）",
    '<pre>軟件</pre><code class="x">視頻</code><img alt="軟件">',
]


@pytest.mark.parametrize("text", ALONE)
def test_code_addresses_and_marked_quotations_are_left_alone(text):
    assert usage.find(text) == []
    assert usage.fix(text + "\n\n軟件") == (text + "\n\n軟體" if "最後" not in text else text + "\n\n軟件")


def test_what_is_not_marked_is_not_left_alone():
    assert usage.count("「軟件」很好用") == 1
    assert usage.count("> [!NOTE]\n> 軟件\n") == 1
    assert usage.count("一個 ` 號之後的軟件\n\n另一段的 ` 號") == 1
    assert usage.count("<!-- danlu: off -->軟件<!-- danlu: on -->軟件") == 1


def test_allowed_words_are_left_alone():
    assert usage.find("清華大學人工智能學院的軟件", allow=["人工智能學院"])[0].found == "軟件"
    assert usage.count("人工智能學院與人工智能", allow=["人工智能學院"]) == 1


# --- the vocabulary ---


def test_no_suggestion_is_itself_a_hit():
    suggestions = {row.taiwan for rows in usage.vocabulary().terms.values() for row in rows if row.taiwan}
    assert len(suggestions) > 1000
    assert {word for word in suggestions if usage.find(word)} == set()


def test_opencc_phrases_are_those_of_the_package(tmp_path):
    opencc = pytest.importorskip("opencc")
    if opencc.__version__ != "1.4.2":
        pytest.skip(f"the table was made from opencc 1.4.2, here is {opencc.__version__}")
    share = Path(opencc.__file__).parent / "clib" / "share" / "opencc" / "TWPhrases.ocd2"
    config = {
        "name": "phrases",
        "segmentation": {"type": "mmseg", "dict": {"type": "ocd2", "file": str(share)}},
        "conversion_chain": [{"dict": {"type": "ocd2", "file": str(share)}}],
    }
    path = tmp_path / "phrases.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    converter = opencc.OpenCC(str(path))
    rows = variants.rows("opencc_phrases.tsv")
    assert len(rows) > 800
    assert [row for row in rows if converter.convert(row[0]) != row[1]] == []


# --- properties ---

PIECES = st.sampled_from(
    [
        *(term for term, _ in PLANTED),
        *"的了在與把這个们发后里面干`>「」（）\n 。，aA1#",
        "```\n",
        "軟體",
        "檔案",
        "程式",
    ]
)
TEXTS = st.lists(PIECES, max_size=30).map("".join)


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_fix_leaves_no_hit_and_is_idempotent(text):
    fixed = usage.fix(text)
    assert usage.find(fixed) == []
    assert usage.fix(fixed) == fixed


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_hits_are_in_order_and_say_what_is_there(text):
    hits = usage.find(text)
    lines = text.split("\n")
    for found in hits:
        assert text[found.start : found.end] == found.found != found.suggestion
        assert lines[found.line - 1][found.column - 1 :].startswith(found.found.split("\n")[0])
    assert all(left.end <= right.start for left, right in pairwise(hits))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_any_text_can_be_checked(text):
    assert usage.find(usage.fix(text)) == []
