"""Mainland terms and words: what lies across words stays, true terms are hit, and Taiwan's own text is left alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.text import lattice, usage, variants
from danlu.text.normalise import normalise

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SHARED = ROOT.parent / "shared"


def lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


ACROSS = lines(HERE / "across.txt")
PLANTED = [line.split("\t") for line in lines(HERE / "planted3.tsv")]


@pytest.mark.parametrize("sentence", ACROSS)
def test_a_term_across_words_in_a_longer_word_or_in_a_title_is_none(sentence):
    assert usage.find(sentence) == []


@pytest.mark.parametrize(("term", "right", "sentence"), PLANTED)
def test_a_term_that_is_a_word_is_hit_with_its_taiwan_word(term, right, sentence):
    assert right in usage.fix(sentence)
    assert term not in usage.fix(sentence)
    assert right in usage.fix(variants.to_traditional(variants.fold(sentence)))


@pytest.mark.parametrize("name", ["product/02_taiwan_overconverted.txt", "documents/i66_terms.txt"])
def test_the_reported_sentences_stay(name):
    path = SHARED / "cases" / name
    if not path.is_file():
        pytest.skip("../shared/cases is absent")
    text = path.read_text(encoding="utf-8")
    assert usage.fix(normalise(text)) == normalise(text) == text.strip()


def test_titles_keep_their_words_but_not_simplified_characters():
    assert (
        usage.fix("《軟件工程》與〈數據結構〉都在書架上，軟件在桌上")
        == "《軟件工程》與〈數據結構〉都在書架上，軟體在桌上"
    )
    assert usage.fix("这本《软件工程》很好") == "這本《軟件工程》很好"
    assert usage.count("《沒有關上的書名\n軟件") == 1


def test_a_term_that_only_its_cue_silences_hides_no_shorter_one():
    assert usage.fix("上傳的數據行數很多") == "上傳的資料行數很多"


def test_the_language_of_statutes_has_its_own_words():
    law = "第三條　用戶應向主管機關申請核准，並檢具下列文件辦理登錄；電子計算機之校驗，依前項規定由所屬機關為之。"
    assert usage.find(law) == []
    assert usage.count("這款 app 的用戶很多，計算機也能用") == 2


def test_fewer_than_two_false_hits_in_a_million_characters_written_in_taiwan():
    """All statutes would take long here: bench/terms.py reads them."""
    if not (SHARED / "data").is_dir():
        pytest.skip("../shared/data is absent")
    sys.path.insert(0, str(ROOT / "bench"))
    try:
        import terms
    finally:
        sys.path.pop(0)
    characters = false = 0
    for source, text in terms.taiwan():
        text = text[:1_900_000]
        found = terms.hits(text)
        characters += sum(map(len, text.split()))
        false += terms.verdicts(source, found, terms.read()).count(False)
    assert characters > 3_000_000
    assert false <= 2 * characters / 1e6


# --- the lattice ---


@pytest.mark.parametrize(
    ("text", "piece", "is_word"),
    [
        ("出租車位", "出租車", False),
        ("坐出租車去", "出租車", True),
        ("掃描儀器", "掃描儀", False),
        ("這台掃描儀壞了", "掃描儀", True),
        ("少數組員", "數組", False),
        ("這個數組很長", "數組", True),
        ("買了遊戲機", "遊戲", True),
        ("在博客來買", "博客", False),
    ],
)
def test_margin_tells_words_from_pieces(text, piece, is_word):
    folded = variants.fold(text)
    start = text.index(piece)
    assert (lattice.margin(folded, start, start + len(piece), 60) > 0) == is_word


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="出租車位博客來數組少員的 軟件，。a", min_size=1, max_size=30), st.data())
def test_margin_is_a_number_for_every_piece(text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    margin = lattice.margin(variants.fold(text), start, end, 60)
    assert margin == margin


def test_the_lexicon_is_jiebas():
    jieba = pytest.importorskip("jieba")
    counts = {}
    for line in (Path(jieba.__file__).parent / "dict.txt").read_text(encoding="utf-8").splitlines():
        word, count, _ = line.split()
        counts[word] = int(count)
    for column, words in variants.rows("words.tsv"):
        for word in words.split() if column != "tw" else []:
            assert int(column) / 1.2 <= counts[word] <= int(column) * 1.2 + 1, word


SENTENCES = st.lists(st.sampled_from([*ACROSS, *(row[2] for row in PLANTED)]), min_size=1, max_size=4).map("".join)


@settings(max_examples=100, deadline=None)
@given(SENTENCES, st.sampled_from([row[0] for row in PLANTED]))
def test_fix_is_idempotent_and_allow_is_respected(text, allowed):
    fixed = usage.fix(text)
    assert usage.find(fixed) == []
    assert usage.fix(text, [allowed]).count(allowed) >= text.count(allowed)


def test_the_point_in_a_foreign_name_is_no_full_stop():
    assert normalise("外文選手弗蘭.布林與麥可.喬丹都來過") == "外文選手弗蘭.布林與麥可.喬丹都來過"
    assert normalise("今天下雨.我們不出門") == "今天下雨。我們不出門"
