"""Datasets in other layouts: every row that comes is a question or is counted with its reason; the real files where
they are here."""

import json
from pathlib import Path

import pytest

from danlu.errors import DataError, UsageError
from danlu.eval.adapters import ADAPTERS, adapter, read_rows
from danlu.eval.adapters.tmmlu import choices

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture
def shared():
    if not SHARED.is_dir():
        pytest.skip("../shared/data is not here")
    return SHARED


def test_every_row_of_the_table_is_an_adapter():
    for name in ADAPTERS:
        assert adapter(name).patterns
    with pytest.raises(UsageError) as caught:
        adapter("drdc")
    assert caught.value.problem.nearest == "drcd"


def test_an_argument_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError) as caught:
        read_rows({"name": "needle", "length": [100]}, tmp_path)
    assert caught.value.problem.nearest == "lengths"


def test_no_file_is_none_and_no_question_is_an_error(tmp_path):
    assert read_rows("drcd", tmp_path, "DRCD", "dev") is None
    (tmp_path / "DRCD_dev.json").write_text('{"data": []}')
    with pytest.raises(DataError, match="no question is left"):
        read_rows("drcd", tmp_path, "", "dev")


def test_a_place_outside_of_the_data_folder_is_not_looked_at(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "DRCD_dev.json").write_text('{"data": []}')
    assert read_rows({"name": "drcd", "places": [".."]}, tmp_path / "data", "../", "dev") is None


def test_a_dataset_may_be_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "xstest.jsonl").write_text('{"prompt": "a", "label": "safe"}', encoding="utf-8")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "xstest").symlink_to(tmp_path / "elsewhere")
    assert len(read_rows("xstest", tmp_path / "data", "xstest", "test").rows) == 1


@pytest.mark.parametrize(
    ("name", "file", "text", "where"),
    [
        ("drcd", "DRCD_dev.json", "{", "DRCD_dev.json"),
        ("drcd", "DRCD_dev.json", "{}", "DRCD_dev.json"),
        ("xstest", "xstest.jsonl", '{"prompt": "a", "label": "safe"}\nnonsense', "xstest.jsonl:2"),
        ("xstest", "xstest.jsonl", '{"id": 1}', "xstest.jsonl:1"),
        ("ttqa", "TTQA_mc.json", "[]", "TTQA_mc.json"),
        ("mt_bench", "question.jsonl", '{"question_id": 1}', "question.jsonl:1"),
        ("texts", "a.jsonl", '{"body": "x"}', "a.jsonl:1"),
    ],
)
def test_what_cannot_be_read_names_file_and_line(tmp_path, name, file, text, where):
    (tmp_path / file).write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_rows(name, tmp_path, "", "dev")
    assert where in caught.value.problem.where


def test_choices_are_taken_out_of_a_question():
    assert choices("何者正確？(A) 甲 (B)乙（C）丙 (D) 丁。") == ("何者正確？", ["甲", "乙", "丙", "丁"])
    assert choices("小組(A)與小組(B)？(A)一(B)二(C)三(D)四") == ("小組(A)與小組(B)？", ["一", "二", "三", "四"])
    assert choices("大腸桿菌(E) coli？(A)一(B)二(C)三(D)四(E)五") == (
        "大腸桿菌(E) coli？",
        ["一", "二", "三", "四", "五"],
    )
    assert choices("(A)一(B)二(D)四") is None
    assert choices("斷\n行(A)一\n列(B)two\nwords(C)三(D)四") == ("斷行", ["一列", "two words", "三", "四"])


def test_a_needles_lengths_are_checked_and_what_is_too_short_is_counted(tmp_path):
    (tmp_path / "short.txt").write_text("一句話。" * 60, encoding="utf-8")
    found = read_rows({"name": "needle", "lengths": [200, 4000], "depths": [50], "needles": 1}, tmp_path)
    assert (found.came, len(found.rows), found.dropped) == (2, 1, {"haystack-too-short": 1})
    with pytest.raises(UsageError, match="lengths from 100"):
        read_rows({"name": "needle", "lengths": [10]}, tmp_path)


REAL = {
    "drcd": ("drcd", "", "dev", 3524, 3524),
    "tmmlu": ("tmmlu", "", "test", 1861, 1683),
    "tmmlu, examples": ("tmmlu", "", "dev", 1861, 135),
    "ttqa": ("ttqa", "", "test", 103, 103),
    "penguins": ("penguins", "", "test", 149, 149),
    "mt_bench": ("mt_bench", "", "test", 80, 80),
    "xstest, safe": ({"name": "xstest", "label": "safe"}, "", "test", 225, None),
    "xstest, unsafe": ({"name": "xstest", "label": "unsafe"}, "", "test", 225, None),
    "spider": ("sql", "bench/twinkle-examples/spider", "dev", 10, 10),
    "bird": ("sql", "bench/twinkle-examples/bird", "dev", 10, 10),
    "spider2": ("sql", "bench/twinkle-examples/spider2_lite", "dev", 10, 10),
    "bfcl": ("bfcl", "bench/twinkle-examples/bfcl", "test", 23, 20),
    "bfcl, joined": ("bfcl", "bench/twinkle-examples/bfcl_v1", "test", 15, 15),
    "tmmluplus": ("subjects", "bench/twinkle-examples/tmmluplus", "test", 20, 20),
    "mmlu": ("subjects", "bench/twinkle-examples/mmlu", "test", 20, 20),
    "a book": ("texts", "corpus/rust-book-tw", "test", 106, 106),
}


@pytest.mark.parametrize("case", REAL)
def test_the_real_files(shared, case):
    named, place, split, came, kept = REAL[case]
    found = read_rows(named, shared, place, split)
    assert found.came == came
    assert kept is None or len(found.rows) == kept
    assert len(found.rows) + sum(found.dropped.values()) == came
    assert all(path.is_file() for path in found.files)
    assert all(json.dumps(row, ensure_ascii=False) for row in found.rows)


def test_both_labels_of_xstest_are_all_of_it(shared):
    halves = [read_rows({"name": "xstest", "label": label}, shared, "", "test") for label in ("safe", "unsafe")]
    assert sum(len(half.rows) for half in halves) == 225
    assert {row["label"] for row in halves[1].rows} == {"unsafe"}


def test_questions_about_absent_databases_are_counted(shared):
    with pytest.raises(DataError, match="436 no-database"):
        read_rows("sql", shared, "sql/spider", "dev")
