"""Properties of the filters of answers."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danlu.errors import DataError
from danlu.eval.harness import filters

TEXTS = st.lists(st.text(max_size=30), min_size=1, max_size=6)
DOC: dict[str, object] = {}


@given(TEXTS)
def test_taking_the_first(answers):
    assert filters.take_first()(answers, DOC) == answers[0]


@given(TEXTS, st.integers(1, 6))
def test_taking_some(answers, k):
    take = filters.take_first_k(k)
    if k > len(answers):
        with pytest.raises(DataError, match="answers are needed"):
            take(answers, DOC)
    else:
        assert take(answers, DOC) == answers[:k]


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=9))
def test_the_majority_is_the_most_frequent_and_the_earliest_of_equals(answers):
    (vote,) = filters.majority_vote()(answers, DOC)
    counts = Counter(answers)
    assert counts[vote] == max(counts.values())
    assert answers.index(vote) == min(answers.index(one) for one in counts if counts[one] == counts[vote])


@given(TEXTS)
def test_what_is_done_twice_is_done(answers):
    for made in (filters.remove_whitespace(), filters.lowercase(), filters.format_span()):
        once = made(answers, DOC)
        assert len(once) == len(answers)
        assert made(once, DOC) == once
    assert filters.remove_whitespace()(answers, DOC) == [answer.strip() for answer in answers]


@given(TEXTS)
def test_upper_and_lower(answers):
    assert filters.lowercase()(answers, DOC) == [answer.lower() for answer in answers]
    assert filters.uppercase()(answers, DOC) == [answer.upper() for answer in answers]


@given(TEXTS, st.integers(-1, 0))
def test_a_pattern_gives_what_stands_in_the_answer_or_the_fallback(answers, which):
    pattern = r"(-?[$0-9.,]{2,})|(-?[0-9]+)"
    found = filters.regex(pattern, which, "none")(answers, DOC)
    for answer, match in zip(answers, found, strict=True):
        if re.search(pattern, answer):
            assert match in answer
            assert match != "none"
        else:
            assert match == "none"


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=4))
def test_the_first_and_the_last_number(numbers):
    text = [" and ".join(f"x {number} y" for number in numbers)]
    assert filters.regex(r"(-?\d+)", 0)(text, DOC) == [str(numbers[0])]
    assert filters.regex(r"(-?\d+)", -1)(text, DOC) == [str(numbers[-1])]


@given(TEXTS, st.dictionaries(st.text(max_size=3), st.integers(), max_size=5))
def test_a_table(answers, table):
    assert filters.map_(table, -1)(answers, DOC) == [table.get(answer, -1) for answer in answers]


CHOICES = ["guilty", "guilty of romance", "not proven", "老師"]


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_a_letter_of_a_choice_or_the_fallback(answers):
    found = filters.multi_choice_regex(r"(\([A-Z]\))")(answers, {"choices": CHOICES})
    for answer, letter in zip(answers, found, strict=True):
        assert letter == "[invalid]" or re.fullmatch(r"\([A-Z]\)", letter)
        if re.search(r"\([A-Z]\)", answer):
            assert letter in answer


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("I say (C).", "(C)"),
        ("Guilty of Romance!", "(B)"),
        ("GUILTY", "(A)"),
        ("不是老師嗎", "(D)"),
        ("Answer: D", "(D)"),
        ("no idea", "[invalid]"),
    ],
)
def test_a_choice_is_found_by_its_letter_or_its_text(answer, letter):
    found = filters.multi_choice_regex(r"(\([A-Z]\))", ignore_case=True, ignore_punctuation=True)
    assert found([answer], {"choices": CHOICES}) == [letter]


def test_choices_are_needed():
    with pytest.raises(DataError, match="needs a field `choices`"):
        filters.multi_choice_regex()(["x"], {"choice": ["x"]})


def test_tags_and_spans():
    assert filters.regex_pos()(["[('dog', 'NOUN'), ('runs', 'VERB')]", "none"], DOC) == [["NOUN", "VERB"], ["invalid"]]
    text = "person: Ada, Bob $$ Location: Taipei\ndate: none"
    assert filters.format_span()([text], DOC) == ["per: ada $ per: bob $ loc: taipei"]
