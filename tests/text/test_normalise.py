"""The fast `normalise`, `script` and `census` against the plain ones, on any text and on all the shared text."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain import normalise as plain_normalise
from plain import script as plain_script

from danlu.text.census import census, codes, kinds
from danlu.text.normalise import normalise
from danlu.text.script import script_of

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
ODD = (
    "你好世界國体說。！？…,.;:!? \t\n\r\u3000\u200b\u200c\u200d\ufeff“”‘’「」（）()`~#-12Ａ１ﾊカガ⼈é\u0301\u2028|>*"
    "\u037e\u1fef\u2000\U00020001\uff61\U0001f469\x85\x0b\u00a0\ufffd\ud800"
)
ANY = st.one_of(st.text(st.sampled_from(ODD), max_size=60), st.text(max_size=60))


@settings(max_examples=600, deadline=None)
@given(ANY)
def test_the_fast_forms_equal_the_plain_ones(text):
    assert normalise(text) == plain_normalise(text)
    assert script_of(census(text)) == plain_script(text)


@settings(max_examples=300, deadline=None)
@given(ANY)
def test_normalise_is_idempotent_whatever_the_text(text):
    assert normalise(normalise(text)) == normalise(text)


@settings(max_examples=300, deadline=None)
@given(ANY)
def test_a_census_counts_every_character_once(text):
    counts = census(text)
    assert counts.length == len(text) == len(kinds(codes(text)))
    assert counts.letters == sum(map(str.isalpha, text))
    assert counts.visible == sum(not character.isspace() for character in text)
    assert [chr(code) for code in codes(text)] == list(text)


def shared_texts() -> Iterator[str]:
    kinds = {".md", ".txt", ".po", ".csv", ".json", ".jsonl", ".jsonc", ".html", ".xml", ".rst", ".eml"}
    for path in sorted(SHARED.rglob("*")):
        if path.suffix in kinds and path.is_file() and path.stat().st_size < 500_000:
            yield path.read_bytes().decode("utf-8", "replace")
    laws: dict[str, list[str]] = {}
    with gzip.open(SHARED / "corpus" / "tw-law-large.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            laws.setdefault(row["law"], []).append(row["text"])
    yield from ("\n\n".join(articles) for articles in list(laws.values())[::6])


def test_all_shared_text():
    if not SHARED.is_dir():
        pytest.skip("../shared/data is not here")
    seen = 0
    for text in shared_texts():
        made = normalise(text)
        assert made == plain_normalise(text)
        assert normalise(made) == made
        assert script_of(census(text)) == plain_script(text)
        seen += 1
    assert seen > 1000


@pytest.mark.parametrize(
    "text",
    [
        " " * 400_000 + "x",
        "“" + "中" * 400_000,
        "‘中" * 100_000,
        "。" * 400_000,
        "中," + " " * 400_000 + "中",
        "…" * 400_000,
    ],
)
def test_a_hostile_text_takes_no_more_than_its_length(text):
    assert normalise(normalise(text)) == normalise(text)
