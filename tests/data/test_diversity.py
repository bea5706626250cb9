"""data.diversity: the figures against their definitions, near-duplicates, the same bytes twice."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.data.core import core
from danlu.data.diversity import _drawn, distinct, near_duplicates, self_bleu, signed, similarities, verbs_and_nouns
from danlu.records import Example, Message, write_jsonl

TEXT = st.text("甲乙丙丁戊己庚辛", min_size=1, max_size=20)


@pytest.fixture
def examples(steps):
    def make(texts: list[str]):
        made = [
            Example(
                id=f"e{at}", messages=[Message(role="user", content=text), Message(role="assistant", content="好。")]
            )
            for at, text in enumerate(texts)
        ]
        with steps.store.draft("examples") as draft:
            write_jsonl(draft.file("examples.jsonl"), made)
            write_jsonl(draft.file("dropped.jsonl"), [])
            return steps.store.commit(draft, {"id": "examples", "kind": "examples", "step": "test"})

    return make


def trigrams(text: str) -> set[str]:
    letters = core(text)
    return {letters[at : at + 3] for at in range(len(letters) - 2)} or {letters}


def jaccard(one: str, two: str) -> float:
    a, b = trigrams(one), trigrams(two)
    return len(a & b) / len(a | b)


def test_distinct_n_by_hand():
    assert distinct(["甲乙甲乙", "甲乙"], 1) == 2 / 6
    assert distinct(["甲乙甲乙", "甲乙"], 2) == 2 / 4
    assert distinct(["甲"], 3) == 0


def naive_self_bleu(texts: list[str]) -> float:
    def grams(text: str, n: int) -> Counter[str]:
        return Counter(text[at : at + n] for at in range(len(text) - n + 1)) or Counter([text] if text else [])

    total = 0.0
    for at, text in enumerate(texts):
        others = [other for who, other in enumerate(texts) if who != at]
        logs = 0.0
        for n in range(1, 5):
            own = grams(text, n)
            matched = sum(min(count, max(grams(o, n)[gram] for o in others)) for gram, count in own.items())
            smooth = int(n > 1)
            logs += math.log((matched + smooth) / (sum(own.values()) + smooth)) / 4 if matched + smooth else -math.inf
        closest = min((len(o) for o in others), key=lambda length: abs(length - len(text)))
        penalty = 1 if len(text) >= closest else math.exp(1 - closest / len(text))
        total += penalty * math.exp(logs)
    return total / len(texts)


@settings(deadline=None, max_examples=60)
@given(st.lists(TEXT, min_size=2, max_size=6))
def test_self_bleu_is_the_definition(texts):
    assert self_bleu(texts) == pytest.approx(naive_self_bleu(texts))


def test_self_bleu_tells_a_repetitive_set_from_a_diverse_one():
    rng = random.Random(0)
    diverse = ["".join(chr(rng.randrange(0x4E00, 0x9000)) for _ in range(30)) for _ in range(40)]
    assert self_bleu(["請說明這個概念並且舉例。"] * 40) == pytest.approx(1)
    assert self_bleu(diverse) < 0.05


@settings(deadline=None, max_examples=40)
@given(st.lists(TEXT, max_size=12))
def test_near_duplicates_are_true_ones_of_what_stays(texts):
    found = near_duplicates(texts, signed(texts, 0), 0.8)
    for at, (other, similarity) in found.items():
        assert other < at
        assert other not in found
        assert similarity == pytest.approx(jaccard(texts[at], texts[other]))
        assert similarity >= 0.8
    firsts: dict[str, int] = {}
    for at, text in enumerate(texts):  # what is the same is always found
        assert at in found or firsts.setdefault(core(text), at) == at


def test_planted_near_duplicates_are_found():
    rng = random.Random(1)
    base = ["".join(chr(rng.randrange(0x4E00, 0x9000)) for _ in range(80)) for _ in range(200)]
    planted = [text[:40] + "改" + text[41:] for text in base]
    found = near_duplicates([*base, *planted], signed([*base, *planted], 0), 0.8)
    assert {at: other for at, (other, _) in found.items()} == {200 + at: at for at in range(200)}


def test_estimated_similarities_are_near_the_true_ones():
    rng = random.Random(2)
    texts = ["".join(rng.choice("天地玄黃宇宙洪荒") for _ in range(40)) for _ in range(30)]
    estimated = similarities(signed(texts, 0), 0)
    assert sum(estimated) == 30 * 29 // 2
    mean = sum(count * (at + 0.5) / 20 for at, count in enumerate(estimated)) / sum(estimated)
    true = [jaccard(a, b) for at, a in enumerate(texts) for b in texts[:at]]
    assert abs(mean - sum(true) / len(true)) < 0.05


def test_verbs_and_nouns():
    found = verbs_and_nouns(["請撰寫一份報告。", "請撰寫報告", "翻譯這篇文章", "嗨"])
    assert found["撰寫", "報告"] == 2
    assert sum(found.values()) == 3


def test_a_sample_is_in_order_and_drawn_by_the_seed():
    texts = [str(at) for at in range(1000)]
    one, two = _drawn(texts, 100, 0), _drawn(texts, 100, 1)
    assert one == sorted(one, key=int) != two
    assert len(one) == 100
    assert _drawn(texts[:50], 100, 0) == texts[:50]


def test_the_step_drops_reports_and_writes_the_same_bytes(steps, opened, examples, tmp_path):
    texts = [f"請說明第 {at} 個常見的自然現象是怎麼發生的，並且舉出一個臺灣生活中的例子。" for at in (1, 2)]
    texts += ["請寫一首關於秋天的詩。", "翻譯下面的句子。", texts[0].replace("，", " "), "列出三種省電的方法"]
    came = examples(texts)
    made = steps("data.diversity", examples=came)
    found = opened(made)
    assert found.reasons == {"near-duplicate": 2}
    assert [one.id for one in found.examples] == ["e0", "e2", "e3", "e5"]
    assert {entry["title"] for entry in made.manifest["report"]} >= {
        "Diversity",
        "Similarity of pairs",
        "Verbs and nouns",
    }
    assert (made.path / "diversity.png").read_bytes().startswith(b"\x89PNG")
    assert type(steps)(tmp_path / "again")("data.diversity", examples=came).content == made.content
    kept = opened(steps("data.diversity", examples=came, keep_all=True))
    assert kept.kept == 6
