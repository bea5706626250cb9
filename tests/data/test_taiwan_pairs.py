"""data.taiwan_pairs: the rejected answer says the same, and every pair leads back."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danlu.artifact import Artifact, digest
from danlu.data.examples import taiwan
from danlu.data.taiwan_pairs import alike, mainland
from danlu.errors import DataError
from danlu.records import Drop, Example, Message, Preference, read_jsonl, write_jsonl
from danlu.text import usage
from danlu.text.script import script

ANSWERS = {
    "rich": "這個軟體的程式碼品質很好，滑鼠與記憶體都夠用。",
    "code": "先看 `記憶體`，再執行：\n```\n軟體 = 1\n```\n資料庫會回應。",
    "archive": "國家檔案局保存歷史檔案。",
    "island": "台灣的資料庫放在雲端。",
    "plain": "Yes.",
    "mixed": "這个软件很好。",
    "mainland": "這個軟件很好，默認值是三。",
}


def example(name: str, answer: str, **more: object) -> Example:
    turns = [Message(role="user", content=f"{name}？"), Message(role="assistant", content=answer)]
    return Example(id=name, messages=turns, document=f"{name}.md", **more)


def held(steps, records: list[Example]) -> Artifact:
    id = digest([one.model_dump() for one in records])[:16]
    with steps.store.draft(id) as draft:
        write_jsonl(draft.file("examples.jsonl"), records)
        write_jsonl(draft.file("dropped.jsonl"), [])
        return steps.store.commit(draft, {"id": id, "kind": "examples", "step": "test"})


def made(artifact: Artifact) -> tuple[list[Preference], dict[str, str]]:
    drops = read_jsonl(artifact.file("dropped.jsonl"), Drop)
    return list(read_jsonl(artifact.file("preferences.jsonl"), Preference)), {drop.id: drop.reason for drop in drops}


def test_words_change_only_where_the_meaning_stays():
    changed = mainland(ANSWERS["rich"])
    assert changed.text == "這個軟件的代碼質量很好，鼠標與內存都夠用。"
    assert changed.replaced == 5
    assert mainland("國家檔案局保存歷史檔案。") == ("國家檔案局保存歷史檔案。", 0, Counter({"檔案": 2}))
    assert mainland("檔案存進隨身碟，方程式不變。").text == "文件存進U盤，方程式不變。"
    assert mainland("用 `記憶體`。").replaced == 0
    assert mainland("滑鼠與記憶體", allow=("滑鼠",)).text == "滑鼠與內存"


def test_one_pair_of_each_kind(steps):
    records = [example(name, answer) for name, answer in ANSWERS.items()]
    for kind in ("wording", "simplified", "both"):
        pairs, reasons = made(steps("data.taiwan_pairs", examples=held(steps, records), kinds=(kind,)))
        found = {one.meta["origin"]: one for one in pairs}
        assert {"rich", "code", "island"} <= set(found)
        assert {reasons["mixed"], reasons["mainland"]} == {"not-taiwan"}
        assert reasons["plain"] == "nothing-to-change"
        assert ("archive" in found) == (kind == "simplified")
        for one in pairs:
            assert one.chosen == ANSWERS[one.meta["origin"]]
            assert one.method == kind
            assert one.prompt[-1].content == f"{one.meta['origin']}？"
            assert (script(one.rejected) == "traditional") == (kind == "wording")
        assert "`記憶體`" in found["code"].rejected
        assert "軟體 = 1" in found["code"].rejected
        assert ("軟" in found["rich"].rejected) == (kind == "wording")
        assert ("內存" in found["rich"].rejected or "内存" in found["rich"].rejected) == (kind != "simplified")


def test_kinds_are_mixed_by_the_seed_and_duplicates_dropped(steps):
    records = [example(f"e{at}", f"第 {at} 個軟體的預設值。") for at in range(60)]
    twin = records[0].model_copy(update={"document": "other.md"})
    artifact = steps("data.taiwan_pairs", examples=held(steps, [*records, twin]))
    pairs, reasons = made(artifact)
    count = Counter(one.method for one in pairs)
    assert set(count) == {"wording", "simplified", "both"}
    assert min(count.values()) >= 10
    assert Counter(reasons.values()) == {"duplicate": 1}
    table = next(entry for entry in artifact.manifest["report"] if entry["title"] == "Pairs by kind")
    assert dict(table["rows"]) == count
    other, _ = made(steps("data.taiwan_pairs", examples=held(steps, [*records, twin]), seed=7))
    assert [one.method for one in other] != [one.method for one in pairs]


def test_nothing_to_make_is_an_error(steps):
    with pytest.raises(DataError, match="nothing-to-change 1"):
        steps("data.taiwan_pairs", examples=held(steps, [example("plain", "Yes.")]))


WORDS = [
    "軟體",
    "程式",
    "檔案",
    "資訊",
    "影片",
    "品質",
    "介面",
    "的",
    "在",
    "很好",
    "，",
    "。",
    "方程式",
    "記憶體",
    "x",
]
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=10).map("".join)


@given(TEXTS.filter(lambda text: not usage.count(text)))
def test_a_replaced_word_leads_back(text):
    changed = mainland(text)
    assert (changed.text == text) == (not changed.replaced)
    if changed.replaced == 1:
        assert usage.fix(changed.text) == text


def test_the_handbook_gives_pairs_that_lead_back(steps, chapters):
    examples = steps("data.instruct", documents=steps("data.read", paths=chapters[:6]))
    pairs, reasons = made(steps("data.taiwan_pairs", examples=examples))
    assert len(pairs) >= 100
    assert Counter(reasons.values())["meaning-unsure"] <= 0.15 * len(pairs)
    for one in pairs:
        assert one.rejected != one.chosen
        assert alike(taiwan(one.rejected, Counter()), one.chosen)
        assert usage.count(one.rejected) > 0
