"""Words on the list are found, counted and weighed; words that only look like them are not."""

from __future__ import annotations

from collections import Counter

import pytest

from danlu.text import variants
from danlu.text.toxic import toxic, weight

INNOCENT = [
    "幹部會議討論主幹道、樹幹與骨幹教師，能幹的人才幹得好。",
    "操作手冊說明操場的使用，情操教育與體操選手。",
    "夜市的雞排、雞腿與雞蛋糕，機器與機會八成相等。",
    "山的南面靠北邊的路，座位靠北側，宿舍靠北投。",
    "腰靠腰墊，要靠腰部的力量；靠杯墊與靠杯架。",
    "過去死亡人數，除去死角，失去死者的家屬去死神面前。",
    "六畜生產與家畜生育，六畜興旺。",
    "其中出現國內射擊選手，體內射出的光線，海內射程。",
    "貴賤人皆有之，貧賤人家。",
    "他媽的手很巧，他媽的錢包不見了。去你媽家吃飯。",
    "新北七堵與台北七號，公園北七街。",
    "Scunthorpe assesses classes; a cocktail in Essex; therapist and fire-retardant Shiitake.",
    "一群交流的社群交談，人群交通。",
]


@pytest.mark.parametrize("text", INNOCENT)
def test_what_only_looks_toxic_is_not(text):
    assert toxic(text) == Counter()
    assert toxic(variants.fold(text)) == Counter()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("幹你娘，靠北喔！", {("幹你娘", 3): 1, ("靠北", 1): 1}),
        ("干你娘", {("干你娘", 3): 1}),
        ("你這個王八蛋，王八蛋去死吧", {("王八蛋", 2): 2, ("去死", 2): 1}),
        ("What the FUCK, fucking shit.", {("fuck", 2): 1, ("fucking", 2): 1, ("shit", 1): 1}),
        ("你媽逼", {("你媽逼", 3): 1}),
        ("死支那豬", {("死支那", 3): 1}),
        ("白痴", {("白痴", 1): 1}),
        ("", {}),
    ],
)
def test_words_are_counted_with_their_severity(text, found):
    assert toxic(text) == Counter(found)


def test_weight():
    assert weight(toxic("fuck this shit, 幹你娘")) == 6
    assert weight(toxic("今天天氣很好")) == 0


def test_each_word_of_the_list_is_found_in_both_scripts():
    rows = variants.rows("toxic.tsv")
    assert len(rows) > 90
    for word, severity, *_ in rows:
        assert severity in "123"
        assert weight(toxic(f"，{word}。")) >= int(severity)
        assert toxic(variants.fold(word))


def test_the_shared_good_text_has_hardly_any(request):
    import json
    from pathlib import Path

    path = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "rc" / "drcd" / "DRCD_dev.json"
    if not path.is_file():
        pytest.skip("../shared/data is not here")
    data = json.loads(path.read_text(encoding="utf-8"))["data"]
    paragraphs = [part["context"] for article in data for part in article["paragraphs"]]
    hits = [found for text in paragraphs if (found := toxic(text))]
    assert len(paragraphs) == 1000
    assert len(hits) <= 3, hits
