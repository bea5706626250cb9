"""Where a task's questions are found, and how files become rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from danlu.errors import DanluError, DataError, EndpointError
from danlu.eval.harness import load_tasks
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


class Hub:
    """Stands for the hub: `datasets` that finds what it is told to find."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: str = "parquet", error: Exception | None = None) -> None:
        import datasets

        self.asked: list[tuple[str, str | None, dict[str, object]]] = []

        def builder(path: str, name: str | None = None, **kwargs: object) -> object:
            self.asked.append((path, name, kwargs))
            if error is not None:
                raise error
            return type("Found", (), {"__module__": f"datasets.packaged_modules.{kind}.{kind}"})()

        monkeypatch.setattr(datasets, "load_dataset_builder", builder)
        monkeypatch.setattr(datasets, "load_dataset", lambda path, name=None, **kwargs: {"test": [{"question": "q?"}]})


TASK = """\
task: far
dataset_path: org/far
dataset_name: small
dataset_kwargs: {trust_remote_code: true, revision: abc}
test_split: test
doc_to_text: "{{question}}"
doc_to_target: "x"
"""


def test_the_hub_is_asked_last_and_for_files_of_data_alone(tmp_path, monkeypatch):
    (tmp_path / "far.yaml").write_text(TASK, encoding="utf-8")
    hub = Hub(monkeypatch)
    (task,) = load_tasks(["far"], [tmp_path])
    assert [doc.fields for doc in task.documents()] == [{"question": "q?"}]
    assert hub.asked == [("org/far", "small", {"revision": "abc"})]
    put(tmp_path / "data/far/small/test.jsonl", {"question": "nearer?"})
    (task,) = load_tasks(["far"], [tmp_path], tmp_path / "data")
    assert [doc.fields for doc in task.documents()] == [{"question": "nearer?"}]
    assert len(hub.asked) == 1
    Hub(monkeypatch, kind="webdataset")
    with pytest.raises(DataError, match="a dataset of kind webdataset"):
        load_tasks(["far"], [tmp_path])


def test_a_hub_out_of_reach(tmp_path, monkeypatch):
    (tmp_path / "far.yaml").write_text(TASK, encoding="utf-8")
    Hub(monkeypatch, error=ConnectionError("Couldn't reach the Hub"))
    with pytest.raises(EndpointError, match="the hub cannot be reached for org/far") as raised:
        load_tasks(["far"], [tmp_path], tmp_path)
    assert f"put the dataset into {tmp_path}/org/far and give --data {tmp_path}" in str(raised.value)
    Hub(monkeypatch, error=ValueError("BuilderConfig 'small' not found"))
    with pytest.raises(DataError, match="org/far cannot be loaded"):
        load_tasks(["far"], [tmp_path])


def test_a_folder_of_data_that_is_not_there(tmp_path):
    (tmp_path / "far.yaml").write_text(TASK, encoding="utf-8")
    with pytest.raises(DataError, match="no such folder of data"):
        load_tasks(["far"], [tmp_path], tmp_path / "nowhere")


def test_questions_beside_the_file(tmp_path):
    put(tmp_path / "few.jsonl", {"question": "near?"})
    text = TASK.replace("dataset_path: org/far\ndataset_name: small\n", "")
    (tmp_path / "far.yaml").write_text(text + "danlu: {data: few.jsonl, licence: CC0}\n", encoding="utf-8")
    (task,) = load_tasks(["far"], [tmp_path])
    assert [doc.fields for doc in task.documents()] == [{"question": "near?"}]
    assert (task.data["licence"], task.data["source"]) == ("CC0", "few.jsonl")
    (tmp_path / "far.yaml").write_text(text + "danlu: {data: fewer.jsonl}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"no fewer\.jsonl beside this file") as raised:
        load_tasks(["far"], [tmp_path])
    assert "did you mean: few.jsonl" in str(raised.value)
    (tmp_path / "far.yaml").write_text(text + "danlu: {data: ../x.jsonl}\n", encoding="utf-8")
    with pytest.raises(DataError, match="beside this file"):
        load_tasks(["far"], [tmp_path])


def test_files_that_a_task_names(tmp_path):
    put(tmp_path / "own.jsonl", {"question": "own?"})
    text = TASK.replace("org/far", "json").replace(
        "{trust_remote_code: true, revision: abc}", "{data_files: {test: own.jsonl}}"
    )
    (tmp_path / "far.yaml").write_text(text, encoding="utf-8")
    (task,) = load_tasks(["far"], [tmp_path])
    assert [doc.fields for doc in task.documents()] == [{"question": "own?"}]
    (tmp_path / "far.yaml").write_text(text.replace("own.jsonl", "else.jsonl"), encoding="utf-8")
    with pytest.raises(DataError, match=r"no file else\.jsonl"):
        load_tasks(["far"], [tmp_path])


def test_several_configurations_are_one_task(tmp_path):
    for name in ("law", "art"):
        put(tmp_path / f"data/org/far/{name}/test.jsonl", {"question": f"{name}?"})
    text = TASK.replace("dataset_name: small\n", "") + "danlu: {configs: [law, art], subject: subject}\n"
    (tmp_path / "far.yaml").write_text(text, encoding="utf-8")
    (task,) = load_tasks(["far"], [tmp_path], tmp_path / "data")
    assert [(doc.subject, doc.fields["question"]) for doc in task.documents()] == [("law", "law?"), ("art", "art?")]


@pytest.mark.parametrize(
    ("kwargs", "asked"),
    [
        ("{data_dir: part}", "part?"),
        ("{data_files: {test: other.jsonl}}", "other?"),
        ("{data_files: {test: part/*}}", "part?"),
    ],
)
def test_a_part_of_a_folder(tmp_path, kwargs, asked):
    put(tmp_path / "data/org/far/test.jsonl", {"question": "whole?"})
    put(tmp_path / "data/org/far/other.jsonl", {"question": "other?"})
    put(tmp_path / "data/org/far/part/test.jsonl", {"question": "part?"})
    text = TASK.replace("dataset_name: small\n", "").replace("{trust_remote_code: true, revision: abc}", kwargs)
    (tmp_path / "far.yaml").write_text(text, encoding="utf-8")
    (task,) = load_tasks(["far"], [tmp_path], tmp_path / "data")
    assert [doc.fields["question"] for doc in task.documents()] == [asked]
