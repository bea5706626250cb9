"""`danlu text check`: what it prints, its exit codes, how it writes, and every bad input."""

from __future__ import annotations

import io
import json
import os
import stat
import sys

import pytest

from danlu.cli.main import main


def check(capsys, *arguments):
    code = main(["text", "check", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def draft(tmp_path):
    path = tmp_path / "draft.md"
    path.write_text("# 說明\n\n這個軟件會處理数据。\n", encoding="utf-8")
    return path


def test_a_hit_is_told_with_its_place(capsys, draft):
    code, out, _ = check(capsys, draft)
    assert code == 1
    assert f"{draft}:3:3: 軟件 → 軟體\n{draft}:3:8: 数据 → 資料\n" in out
    assert "1 file, 13 characters: 2 hits in 1 file" in out


def test_clean_text_exits_zero(capsys, tmp_path):
    (tmp_path / "a.txt").write_text("這個軟體很好。", encoding="utf-8")
    assert check(capsys, tmp_path)[0] == 0


def test_a_folder_is_walked_and_other_files_are_not_read(capsys, tmp_path, draft):
    for name in ("b.html", "sub/c.txt", ".git/d.md", "e.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("軟件", encoding="utf-8")
    _, out, _ = check(capsys, tmp_path, draft, "--json")
    result = json.loads(out)
    paths = {os.path.relpath(hit["path"], tmp_path) for hit in result["hits"]}
    assert paths == {"b.html", "draft.md", "sub/c.txt"}
    assert result["files"] == 3
    assert result["count"] == 4


def test_fix_writes_the_taiwan_words_and_keeps_everything_else(capsys, tmp_path):
    path = tmp_path / "draft.md"
    path.write_bytes("\ufeff軟件\r\n視頻 \r\n`軟件`".encode())
    path.chmod(0o640)
    code, out, _ = check(capsys, path, "--fix")
    assert code == 0
    assert "2 fixed, 0 left" in out
    assert path.read_bytes() == "\ufeff軟體\r\n影片 \r\n`軟件`".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_fix_goes_through_a_link_and_leaves_clean_files_alone(capsys, tmp_path, draft):
    link = tmp_path / "link.md"
    link.symlink_to(draft)
    check(capsys, link, "--fix")
    assert link.is_symlink()
    assert "軟體" in draft.read_text(encoding="utf-8")
    before = draft.stat().st_mtime_ns
    check(capsys, draft, "--fix")
    assert draft.stat().st_mtime_ns == before


def test_big5_is_read_and_written_as_big5(capsys, tmp_path):
    path = tmp_path / "old.txt"
    path.write_bytes("這個軟件是二十年前寫的，資料都還在。".encode("cp950"))
    code, out, err = check(capsys, path)
    assert code == 1
    assert "軟件 → 軟體" in out
    assert "read as cp950" in err
    check(capsys, path, "--fix")
    assert path.read_bytes().decode("cp950") == "這個軟體是二十年前寫的，資料都還在。"


def test_standard_input(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("軟件".encode())))
    code, out, _ = check(capsys, "-")
    assert code == 1
    assert out.startswith("-:1:1: 軟件 → 軟體\n")


def test_allowed_words(capsys, tmp_path, draft):
    allow = tmp_path / "allow.lst"
    allow.write_text("# 專有名稱\n軟件  # 公司名\n\n", encoding="utf-8")
    assert "軟件" not in check(capsys, draft, "--allow", allow)[1]


# --- bad input: one clear error, nothing written, the rest still checked ---


def test_a_missing_file_tells_the_nearest(capsys, tmp_path, draft):
    code, _, err = check(capsys, tmp_path / "draf.md")
    assert code == 2
    assert "no such file" in err
    assert "did you mean" in err
    assert "draft.md" in err


def test_an_empty_folder_is_told(capsys, tmp_path):
    code, _, err = check(capsys, tmp_path)
    assert code == 2
    assert "nothing to check" in err


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\0\0", bytes(range(128, 256)) * 2])
def test_what_is_no_text_is_told_and_the_others_are_checked(capsys, tmp_path, draft, data):
    (tmp_path / "picture.md").write_bytes(data)
    code, out, err = check(capsys, tmp_path)
    assert code == 6
    assert "軟件 → 軟體" in out
    assert err.count("danlu:") == 1
    assert "picture.md" in err
    assert "not a text file" in err


def test_a_word_that_big5_lacks_leaves_the_file_as_it_was(capsys, tmp_path, monkeypatch):
    from danlu.text import usage

    path = tmp_path / "old.txt"
    data = "這個軟件是二十年前寫的，資料都還在。".encode("cp950")
    path.write_bytes(data)
    monkeypatch.setattr(usage, "fix", lambda text, allow: text.replace("軟件", "软件"))
    code, _, err = check(capsys, path, "--fix")
    assert code == 6
    assert "cp950 has no" in err
    assert path.read_bytes() == data


def test_a_full_disk_leaves_the_file_as_it_was(capsys, monkeypatch, draft):
    before = draft.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = check(capsys, draft, "--fix")
    assert code == 5
    assert "disk is full" in err
    assert draft.read_bytes() == before
    assert list(draft.parent.iterdir()) == [draft]


def test_help_and_wrong_options(capsys):
    assert main(["text", "check", "--fixx", "a.md"]) == 2
    assert "--fix" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["text", "check", "--help"])
    assert ended.value.code == 0
    assert "examples:" in capsys.readouterr().out
