"""Where a task's questions are found, and how files become rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from danlu.errors import DanluError, DataError
from danlu.eval.harness.data import local_dataset, read_rows


def put(path: Path, *rows: dict[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def names(folder: Path, config: str | None = None) -> dict[str, list[object]]:
    found = local_dataset(folder, config, "task.yaml:3")
    return {split: [row["n"] for row in found.rows(split, "task.yaml:4")] for split in found.splits}


def test_a_card_says_which_file_is_which_split(tmp_path):
    put(tmp_path / "a/x.jsonl", {"n": 1})
    put(tmp_path / "b/y-0.jsonl", {"n": 2})
    put(tmp_path / "b/y-1.jsonl", {"n": 3})
    card = {"configs": [
        {"config_name": "one", "data_files": [{"split": "dev", "path": "a/x.jsonl"}]},
        {"config_name": "two", "default": True, "data_files": {"test": "b/*.jsonl"}},
        {"config_name": "three", "data_files": "a/*"},
    ]}  # fmt: skip
    (tmp_path / "README.md").write_text(f"---\n{json.dumps(card)}\n---\n# things\n", encoding="utf-8")
    assert names(tmp_path, "one") == {"dev": [1]}
    assert names(tmp_path) == {"test": [2, 3]}
    assert names(tmp_path, "three") == {"train": [1]}
    with pytest.raises(DataError, match="there are one, two, three") as raised:
        names(tmp_path, "tree")
    assert "did you mean: three" in str(raised.value)


@pytest.mark.parametrize("path", ["../x.jsonl", "/etc/passwd", "~/x", "https://example.org/x.jsonl"])
def test_a_card_cannot_name_a_file_elsewhere(tmp_path, path):
    card = {"configs": [{"config_name": "default", "data_files": path}]}
    (tmp_path / "README.md").write_text(f"---\n{json.dumps(card)}\n---\n", encoding="utf-8")
    with pytest.raises(DataError, match="outside of the folder"):
        names(tmp_path)


@pytest.mark.parametrize(
    ("files", "config", "expected"),
    [
        (["train.jsonl", "test.jsonl"], None, {"train", "test"}),
        (["train.jsonl", "test.jsonl"], "main", {"train", "test"}),
        (
            ["data/train-00000-of-00002.jsonl", "data/train-00001-of-00002.jsonl", "data/test-0.jsonl"],
            None,
            {"train", "test"},
        ),
        (["law/val.jsonl", "law/test.jsonl", "art/test.jsonl"], "law", {"val", "test"}),
        (["val/law_val.jsonl", "test/law_test.jsonl", "test/art_test.jsonl"], "law", {"val", "test"}),
        (["dev/law.jsonl", "test/law.jsonl"], "law", {"dev", "test"}),
        (["law-train.jsonl", "law-auxiliary_train.jsonl"], "law", {"train", "auxiliary_train"}),
        (["things.jsonl"], None, {"train"}),
    ],
)
def test_names_of_files_without_a_card(tmp_path, files, config, expected):
    for place, file in enumerate(files):
        put(tmp_path / file, {"n": place})
    assert set(names(tmp_path, config)) == expected


def test_a_split_by_another_word(tmp_path):
    put(tmp_path / "dev.jsonl", {"n": 1})
    found = local_dataset(tmp_path, None, "")
    assert found.rows("validation", "") == [{"n": 1}]
    put(tmp_path / "val.jsonl", {"n": 2})
    with pytest.raises(DataError, match="no split 'validation'"):
        local_dataset(tmp_path, None, "").rows("validation", "")


def test_another_configuration_is_never_read_instead(tmp_path):
    put(tmp_path / "test.jsonl", {"n": 1})
    with pytest.raises(DataError, match="no configuration 'anatomy'"):
        names(tmp_path, "anatomy")


def test_an_empty_folder(tmp_path):
    with pytest.raises(DataError, match="no file of data"):
        names(tmp_path)


def test_columns_of_csv_are_what_they_hold_throughout(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('id,a,b,c,d\n1,2,x,1.5,True\n2,,NA,2,False\n3,4,"y, z",3,True\n', encoding="utf-8")
    assert read_rows(path) == [
        {"id": 1, "a": 2.0, "b": "x", "c": 1.5, "d": True},
        {"id": 2, "a": None, "b": None, "c": 2.0, "d": False},
        {"id": 3, "a": 4.0, "b": "y, z", "c": 3.0, "d": True},
    ]


def test_csv_is_read_as_pandas_reads_it(tmp_path):
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "x.csv"
    columns = {
        "whole": ["1", "-2", "+3"], "gaps": ["1", "", "3"], "parts": ["1e3", ".5", "-2."], "text": ["1", "x", "2.0"],
        "empty": ["", "NA", "null"], "zeros": ["007", "010", "1"], "mixed": ["True", "False", "TRUE"],
        "words": ["None", "none", "n/a"], "spaces": [" 1", "2 ", "3"],
    }  # fmt: skip
    lines = [",".join(columns), *(",".join(row) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    frame = pandas.read_csv(path).astype(object)
    theirs = frame.where(frame.notna(), None).to_dict("records")
    assert read_rows(path) == theirs
    assert [[type(v) for v in row.values()] for row in read_rows(path)] == [
        [type(v) for v in row.values()] for row in theirs
    ]


def test_rows_lacking_a_key_have_none(tmp_path):
    path = put(tmp_path / "x.jsonl", {"a": 1}, {"b": 2})
    assert read_rows(path) == [{"a": 1, "b": None}, {"a": None, "b": 2}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.jsonl", b'{"a": 1}\n{"a": \n'),
        ("x.json", b"[1, 2]"),
        ("x.jsonl", b'{"a": "\xff"}\n'),
        ("x.csv", b"a,b\n1,2,3\n"),
        ("x.csv", b""),
        ("x.parquet", b"not parquet"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DanluError) as raised:
        read_rows(path)
    assert str(path) in str(raised.value)
