"""danlu data convert and validate, by their own parser."""

import argparse
import json
from pathlib import Path

import pytest

from danlu.cli import data_convert
from danlu.errors import DataError, UsageError


def danlu(*words: object) -> int:
    parser = argparse.ArgumentParser()
    data_convert.add(parser.add_subparsers())
    args = parser.parse_args([str(word) for word in words])
    return int(args.run(args))


@pytest.fixture
def alpaca(tmp_path: Path) -> Path:
    records = [
        {"instruction": "一？", "input": "甲", "output": "乙", "topic": "數"},
        {"instruction": "二？", "output": "丙", "system": "助理"},
    ]
    path = tmp_path / "alpaca.json"
    path.write_text(json.dumps(records, ensure_ascii=False, indent=1), encoding="utf-8")
    return path


def test_there_and_back_is_the_same(alpaca, tmp_path, capsys):
    assert danlu("convert", alpaca, tmp_path / "chat.jsonl", "--to", "messages") == 0
    assert danlu("convert", tmp_path / "chat.jsonl", tmp_path / "back.json", "--to", "alpaca") == 0
    back = json.loads((tmp_path / "back.json").read_text(encoding="utf-8"))
    assert back == [{"input": "", **one} for one in json.loads(alpaca.read_text(encoding="utf-8"))]
    assert "2 records written" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alpaca.json", "back.json", "chat.jsonl"]


def test_what_has_no_place_is_left_out_told_and_counted(alpaca, tmp_path, capsys):
    target = tmp_path / "out.jsonl"
    assert danlu("convert", alpaca, target, "--to", "completion", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["records"], told["good"], told["written"]) == (2, 1, 1)
    assert told["faults"] == [{"reason": "no-place", "field": "", "count": 1}]
    assert told["shown"][0]["where"] == f"{alpaca}:8"
    assert "a system message" in told["shown"][0]["what"]
    target.unlink()
    assert danlu("convert", alpaca, target, "--to", "completion", "--strict") == 6
    assert not target.exists()
    assert "--strict" in capsys.readouterr().out


def test_nothing_is_overwritten(alpaca, tmp_path):
    target = tmp_path / "out.jsonl"
    target.write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="there already"):
        danlu("convert", alpaca, target, "--to", "messages")
    assert target.read_text(encoding="utf-8") == "mine"
    assert danlu("convert", alpaca, target, "--to", "messages", "--force") == 0
    with pytest.raises(UsageError, match="same file"):
        danlu("convert", alpaca, alpaca, "--to", "messages", "--force")
    with pytest.raises(UsageError, match="must end in"):
        danlu("convert", alpaca, tmp_path / "out.csv", "--to", "messages")
    with pytest.raises(UsageError, match="unknown format"):
        danlu("convert", alpaca, tmp_path / "x.jsonl", "--to", "mesages")


def test_pairs_become_labelled_records_but_not_the_other_way(tmp_path, capsys):
    pairs, kto = tmp_path / "pairs.jsonl", tmp_path / "kto.jsonl"
    pairs.write_text('{"prompt": "問", "chosen": "好", "rejected": "壞", "n": 1}\n', encoding="utf-8")
    assert danlu("convert", pairs, kto, "--to", "kto") == 0
    written = [json.loads(line) for line in kto.read_text(encoding="utf-8").splitlines()]
    assert [(one["completion"], one["label"], one["n"]) for one in written] == [("好", True, 1), ("壞", False, 1)]
    assert "of each pair" in capsys.readouterr().out
    assert danlu("convert", pairs, tmp_path / "own.jsonl", "--to", "danlu") == 0
    assert json.loads((tmp_path / "own.jsonl").read_text(encoding="utf-8"))["prompt"][0]["role"] == "user"
    with pytest.raises(UsageError, match="wants two"):
        danlu("convert", kto, tmp_path / "x.jsonl", "--to", "trl")


def test_validate_names_file_line_field_and_nearest(tmp_path, capsys):
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_text('{"prompt": "問", "completion": "答"}\n', encoding="utf-8")
    rows = ['{"instruction": "問", "output": "答"}', '{"instruction": "問", "ouput": "答"}', "{"]
    bad.write_text("\n".join(rows + rows[1:2] * 30), encoding="utf-8")
    assert danlu("validate", good) == 0
    assert danlu("validate", bad, good) == 1
    said = capsys.readouterr()
    assert f"{bad}:2: output: is missing\n  did you mean: ouput\n  next: rename ouput to output" in said.err
    assert said.err.count(": is missing") == 19
    assert "32 faults in 32 records: 31 missing-field (output), 1 broken-json; the first 20 are shown" in said.out
    assert danlu("validate", "--json", "--show", 1, bad) == 1
    told = json.loads(capsys.readouterr().out)["files"][0]
    assert (told["records"], told["good"], len(told["shown"])) == (33, 1, 1)


def test_files_in_no_known_format(tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n', encoding="utf-8")
    assert danlu("validate", path) == 6
    assert "no known format" in capsys.readouterr().out
    with pytest.raises(DataError, match="no known format"):
        danlu("convert", path, tmp_path / "b.jsonl", "--to", "alpaca")
    with pytest.raises(UsageError, match="no such file"):
        danlu("validate", tmp_path / "b.jsonl")
