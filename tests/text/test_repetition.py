"""Lines, paragraphs and n-grams that repeat: against plain counting, and the short cuts against the whole way."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.text import repetition
from danlu.text.repetition import Share, duplicate_lines, duplicate_ngrams, duplicate_paragraphs, top_ngram, units

TEXT = st.text(st.sampled_from("的是在 \n,，。ab1é한カ😀"), max_size=120)
WORD = re.compile(r"[^\W_\u3041-\u30fa\u3400-\u9fff]+|\S")


def plain_duplicates(words: list[str], n: int) -> float:
    seen: set[tuple[str, ...]] = set()
    at = repeated = 0
    while at + n <= len(words):
        gram = tuple(words[at : at + n])
        if gram in seen:
            repeated += sum(map(len, gram))
            at += n
        else:
            seen.add(gram)
            at += 1
    return repeated / sum(map(len, words))


def plain_top(words: list[str], n: int) -> float:
    grams = Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1))
    if not grams:
        return 0.0
    count = max(grams.values())
    if count < 3:
        return 0.0
    longest = max(sum(map(len, gram)) for gram, times in grams.items() if times == count)
    return min(1.0, count * longest / sum(map(len, words)))


@settings(max_examples=400, deadline=None)
@given(TEXT)
def test_units_are_words_and_single_characters(text):
    words = WORD.findall(text)
    found = units(text)
    assert found.ends.tolist() == [sum(map(len, words[: i + 1])) for i in range(len(words))]
    names: dict[int, str] = {}
    for value, word in zip(found.hashes.tolist(), words, strict=True):
        assert names.setdefault(value, word) == word
    assert len(names) == len(set(words))


@settings(max_examples=400, deadline=None)
@given(TEXT.filter(str.strip), st.integers(1, 6))
def test_ngrams_equal_plain_counting(text, n):
    words, found = WORD.findall(text), units(text)
    assert duplicate_ngrams(found, n) == pytest.approx(plain_duplicates(words, n))
    assert top_ngram(found, n) == pytest.approx(plain_top(words, n))


LIMITS = st.dictionaries(st.integers(1, 8), st.sampled_from([0.0, 0.05, 0.1, 0.2, 0.5, 0.9]), min_size=1, max_size=4)


@settings(max_examples=400, deadline=None)
@given(st.one_of(TEXT, TEXT.map(lambda text: text * 3)), LIMITS)
def test_the_short_cuts_find_what_the_whole_way_finds(text, most):
    found = units(text)
    duplicates = [(n, share) for n in sorted(most) if (share := duplicate_ngrams(found, n)) > most[n]]
    tops = [(n, share) for n in sorted(most) if (share := top_ngram(found, n)) > most[n]]
    assert repetition.over_duplicates(found, most) == next(iter(duplicates), None)
    assert repetition.over_top(found, most) == next(iter(tops), None)


def test_lines_and_paragraphs():
    assert duplicate_lines("") == duplicate_lines("一\n二\n\n三") == Share(0, 0)
    assert duplicate_lines("首頁\n首頁 \n\n  首頁\n內文內文") == Share(0.5, 4 / 10)
    assert duplicate_paragraphs("甲乙\n丙\n\n甲乙\n丙\n \n\n丁") == pytest.approx((1 / 3, 4 / 9))


def test_a_word_longer_than_the_constants_and_a_repeated_one():
    long = "a" * 10_000
    assert len(units(long + "b " + long + "c").hashes) == 2
    assert top_ngram(units("很" * 500), 2) == 1.0
    assert duplicate_ngrams(units("機器學習很有趣。" * 50), 5) > 0.9


def test_space_of_any_kind_is_no_unit():
    one, other = units("模 型\u3000abc\nde"), units(" 模型 abc\tde ")
    assert one.hashes.tolist() == other.hashes.tolist()
    assert one.ends.tolist() == other.ends.tolist()
