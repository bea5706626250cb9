"""Names that are no UTF-8, links and equal files in an input folder: a reason each, in plan, run and JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from danlu.cli.main import main

BIG5 = os.fsdecode(b"\xa4\xa4\xa4\xe5")
TEXT = "# 甲\n\n農民在春天播種，秋天收成，冬天修剪果樹。\n"
RECORD = json.dumps({"messages": [{"role": "user", "content": "甲？"}, {"role": "assistant", "content": "乙。"}]})


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in" / f"d{BIG5}").mkdir(parents=True)
    (tmp_path / "in" / f"d{BIG5}" / "deep.md").write_text(TEXT.replace("甲", "丙"), encoding="utf-8")
    (tmp_path / "in" / f"{BIG5}.md").write_text(TEXT, encoding="utf-8")
    for name in ("a.md", "b.md"):
        (tmp_path / "in" / name).write_text(TEXT.replace("甲", "乙"), encoding="utf-8")
    (tmp_path / "secret.md").write_text(TEXT, encoding="utf-8")
    (tmp_path / "in" / "leaves.md").symlink_to("../secret.md")
    (tmp_path / "in" / "inside.md").symlink_to("a.md")
    (tmp_path / "in" / "gone.md").symlink_to("nowhere.md")
    for one, other in (("loop1.md", "loop2.md"), ("loop2.md", "loop1.md")):
        (tmp_path / "in" / one).symlink_to(other)
    (tmp_path / "in" / "up").symlink_to("..")
    return tmp_path


def told(folder: Path, name: str, artifact: str) -> list[dict]:
    path = folder / "s" / "runs" / "odd" / artifact / name
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("recipe", ["odd.yaml", f"{BIG5}.yaml"])
def test_plan_run_and_json(folder, capsys, recipe):
    Path(recipe).write_text("recipe: odd\nsteps:\n  read: {use: data.read, paths: [in]}\n", encoding="utf-8")
    assert main(["plan", recipe, "--store", "s", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"][0]["state"] == "to make"
    assert main(["run", recipe, "--store", "s", "--json"]) == 0
    json.loads(capsys.readouterr().out)
    assert {drop["id"]: drop["reason"] for drop in told(folder, "dropped.jsonl", "read")} == {
        "in/leaves.md": "link-outside",
        "in/inside.md": "listed-twice",
        "in/gone.md": "unreadable",
        "in/loop1.md": "unreadable",
        "in/loop2.md": "unreadable",
        "in/up": "link-to-folder",
    }
    ids = {document["id"] for document in told(folder, "documents.jsonl", "read")}
    assert ids == {"in/a.md", "in/b.md", r"in/\xa4\xa4\xa4\xe5.md", r"in/d\xa4\xa4\xa4\xe5/deep.md"}


def test_the_content_of_a_file_with_such_a_name_counts(folder, capsys):
    Path("odd.yaml").write_text("recipe: odd\nsteps:\n  read: {use: data.read, paths: [in]}\n", encoding="utf-8")
    ids = []
    for text in (TEXT, TEXT + "乙\n"):
        Path("in", f"{BIG5}.md").write_text(text, encoding="utf-8")
        main(["plan", "odd.yaml", "--store", "s", "--json"])
        ids.append(json.loads(capsys.readouterr().out)["steps"][0]["id"])
    assert ids[0] != ids[1]


def test_instruction_files(folder):
    for name in (f"{BIG5}.jsonl", "b.jsonl"):
        Path("in", name).write_text(RECORD + "\n", encoding="utf-8")
    Path("other.jsonl").write_text(RECORD.replace("甲", "丁") + "\n", encoding="utf-8")
    Path("in", "leaves.jsonl").symlink_to("../other.jsonl")
    Path("odd.yaml").write_text("recipe: odd\nsteps:\n  ex: {use: data.examples, paths: [in]}\n", encoding="utf-8")
    assert main(["run", "odd.yaml", "--store", "s"]) == 0
    assert len(told(folder, "examples.jsonl", "ex")) == 1
    reasons = {drop["source"].split(":")[0]: drop["reason"] for drop in told(folder, "dropped.jsonl", "ex")}
    assert reasons == {r"in/\xa4\xa4\xa4\xe5.jsonl": "duplicate", "in/leaves.jsonl": "link-outside"}


def test_an_error_that_names_such_a_file_is_json(folder, capsys):
    assert main(["plan", f"{BIG5}x.yaml", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["problems"][0]["where"] == f"{BIG5}x.yaml"
