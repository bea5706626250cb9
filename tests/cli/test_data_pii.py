"""`danlu data pii` tells places and types, and never the values."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

NOTE = "承辦人的身分證字號 A123456789，手機 0912-345-678。\n第二行沒有。\nDB_PASSWORD=x9Kq2LmZ81pQw3\n"


def danlu(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "danlu", "data", "pii", *words], capture_output=True, text=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "note.txt").write_text(NOTE, encoding="utf-8")
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in ("今天天氣很好。", NOTE)), encoding="utf-8"
    )
    (tmp_path / "noise.bin").write_bytes(b"\0\1\2")
    return tmp_path


def test_every_place_is_told_with_line_and_column_and_no_value(folder: Path) -> None:
    done = danlu(str(folder))
    assert done.returncode == 1, done.stderr
    assert ":1:11: national-id" in done.stdout
    assert ":3:13: secret-password" in done.stdout
    assert "rows.jsonl#line 2" in done.stdout
    assert "noise.bin: not read: unsupported-format" in done.stderr
    for value in ("A123456789", "0912-345-678", "x9Kq2LmZ81pQw3"):
        assert value not in done.stdout + done.stderr
    told = json.loads(danlu("--json", str(folder)).stdout)
    assert told["counts"] == {"mobile": 2, "national-id": 2, "secret-password": 2}
    assert "A123456789" not in json.dumps(told)


def test_types_can_be_chosen_and_a_wrong_one_is_told(folder: Path) -> None:
    done = danlu("--type", "mobile", "--json", str(folder / "note.txt"))
    assert json.loads(done.stdout)["counts"] == {"mobile": 1}
    wrong = danlu("--type", "mobil", str(folder))
    assert wrong.returncode == 2
    assert "did you mean: mobile" in wrong.stderr


def test_clean_files_and_missing_ones(folder: Path) -> None:
    (folder / "clean.md").write_text("# 標題\n\n條文第 12 條，訂單編號 1234567890。", encoding="utf-8")
    assert danlu(str(folder / "clean.md")).returncode == 0
    assert danlu(str(folder / "nothing.md")).returncode == 6
    assert danlu(str(folder / "noise.bin")).returncode == 6
