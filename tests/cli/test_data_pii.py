"""`danlu data pii` tells places and types, and never the values."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.cli import data_pii
from danlu.data.flow import Tally
from danlu.data.pii import Pii, PiiSettings
from danlu.data.readers import Reading, Unreadable, readings
from danlu.errors import DataError
from danlu.records import Document

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


PIECES = """
市話(02)2712-3456轉123|(02) 2712 3457 # 123|4111 1111 1111 1111|1200|2026|0912-345-|678|0912345678|A123456789
身分證|統一編號|04595257|帳號：|822-123456789012|要保人|黃志明|：|，|學生|吳佳穎|王小明先生|姓名| 手機
LINE ID：amy_123|amy@gmail.com|病歷號碼|1234567|訂單編號|密碼：Tr0ub4dor&3|AKIAQ3EGVSWGW7XNTR5B|〔手機號碼〕
臺北市大安區忠孝東路四段100號|民國79年5月3日|生|(|)|#|-|.
"""
MARKS = ["\n", "\n\n", " ", "\u3000", "\t", ",", "|", "\u200b", "０９", "。"]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.sampled_from([piece for line in PIECES.split("\n") for piece in line.split("|") if piece] + MARKS)
        | st.text("0123456789-.()＃#：A王先生號路 \n", max_size=8),
        max_size=14,
    ),
    st.sampled_from([".txt", ".md", ".csv"]),
)
def test_the_command_and_the_step_find_the_same_in_any_text(pieces: list[str], suffix: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, f"a{suffix}")
        path.write_text("".join(pieces), encoding="utf-8")
        out = io.StringIO()
        quiet, empty = contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(DataError)
        with contextlib.redirect_stdout(out), quiet, empty:  # an empty file cannot be read: the JSON says so before
            data_pii.run(argparse.Namespace(paths=[path], type=None, json=True))
        told = json.loads(out.getvalue())
        found: Counter[str] = Counter()
        with contextlib.suppress(Unreadable):
            for one in readings(path):
                if isinstance(one, Reading):
                    document = Document(id="a", text=one.text, source="a", title=one.title, meta=one.meta)
                    tally = Tally()
                    Pii(PiiSettings(documents="x")).judge(document, tally)
                    found.update({name[6:]: count for name, count in tally.counts.items() if name.startswith("found ")})
    assert told["counts"] == dict(found)


def test_the_title_and_what_else_is_known_of_a_document_are_looked_into(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    row = {"text": "沒有個資的一句話，寫在這裡。", "title": "王小明先生的信", "author": "amy@gmail.com"}
    path.write_text(json.dumps(row), encoding="utf-8")
    told = json.loads(danlu("--json", str(path)).stdout)
    assert told["counts"] == {"email": 1, "name": 1}
    assert any("(title)" in place["source"] for place in told["places"])
