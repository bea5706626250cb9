"""data.dedup: the same documents stay whatever order they come in, and nothing is dropped on an estimate."""

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from danlu.data.dedup import DedupSettings, Near, bands, core, jaccard, ngrams
from danlu.records import Document

WORDS = "模型資料訓練評估量化部署檢索向量權重梯度損失遮罩提示詞彙"


def passage(seed: int, length: int = 300) -> str:
    return "".join(random.Random(seed).choices(WORDS, k=length))


def changed(text: str, places: int) -> str:
    letters = list(text)
    for place in random.Random(places).sample(range(len(letters)), places):
        letters[place] = "改"
    return "".join(letters)


def test_exact_and_near_duplicates_are_named(steps, opened):
    text = passage(1)
    documents = steps.documents(
        a=text,
        b="# " + "，".join(text[at : at + 7] for at in range(0, 300, 7)) + "。\n",
        c=changed(text, 3),
        d=passage(2),
    )
    result = opened(steps("data.dedup", documents=documents))
    assert [document.id for document in result.documents] == ["a", "d"]
    drops = {drop.id: drop for drop in result.dropped}
    assert drops["b"].reason == "exact-duplicate"
    assert drops["b"].detail == "of a, similarity 1.000"
    assert drops["c"].reason == "near-duplicate"
    assert drops["c"].detail.startswith("of a, similarity 0.9")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(9)))
def test_the_order_of_the_input_does_not_matter(steps, opened, order):
    texts = [passage(one // 3) for one in range(9)]
    texts = [changed(text, at % 3 * 2) if at % 3 else text for at, text in enumerate(texts)]
    documents = [Document(id=f"d{at}", text=text, source="") for at, text in enumerate(texts)]
    kept = opened(steps("data.dedup", documents=steps.documents(*(documents[at] for at in order)))).documents
    assert [document.id for document in kept] == ["d0", "d3", "d6"]


def test_no_pair_above_the_threshold_is_left_and_none_below_is_dropped():
    near = Near(DedupSettings(documents="x"))
    kept: dict[str, set[str]] = {}
    for at in range(120):
        text = core(changed(passage(at // 6), at % 6 * 3))
        grams = ngrams(text, 5)
        best = max((jaccard(grams, other) for other in kept.values()), default=0.0)
        twin = near.add(str(at), text)
        assert (twin is not None) == (best >= 0.8)
        if twin is None:
            kept[str(at)] = grams
        else:
            assert twin.similarity == best


def test_bands_reach_the_threshold():
    for threshold in (0.3, 0.5, 0.8, 0.95, 1.0):
        count, rows = bands(threshold)
        assert count * rows <= 128
        assert (1 - threshold**rows) ** count < 1e-3


def test_a_document_without_letters_is_compared_as_it_is(steps, opened):
    assert len(opened(steps("data.dedup", documents=steps.documents(a="🔥🔥", b="🎉", c="…"))).documents) == 3
