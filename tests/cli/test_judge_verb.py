"""`danlu judge` through the real entry point, with a script as the judge."""

from __future__ import annotations

import json

import pytest

from danlu.cli.main import main

pytest.importorskip("scipy")

GOOD, BAD = "台北的英文是 Taipei。", "我不知道。"


def lines(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = [{"id": f"q{number}", "prompt": f"題目{number}", "category": "甲乙"[number % 2]} for number in range(4)]
    lines(tmp_path / "q.jsonl", asked)
    lines(tmp_path / "a.jsonl", [{"id": f"q{number}", "answer": BAD} for number in range(4)])
    lines(tmp_path / "b.jsonl", [{"id": f"q{number}", "answer": GOOD} for number in range(4)])
    say = {"A": json.dumps({"reason": "對", "winner": "A"}), "B": json.dumps({"reason": "對", "winner": "B"})}
    script = {"題目3": "看不懂", f'"A 的回答": "{GOOD}"': say["A"], f'"B 的回答": "{GOOD}"': say["B"]}
    (tmp_path / "judge.json").write_text(json.dumps(script, ensure_ascii=False), encoding="utf-8")
    script = {f'"回答": "{GOOD}"': '{"reason": "", "score": 9}', f'"回答": "{BAD}"': '{"reason": "", "score": 2}'}
    (tmp_path / "grader.json").write_text(json.dumps(script, ensure_ascii=False), encoding="utf-8")
    (tmp_path / "model.json").write_text(json.dumps({"題目": GOOD}, ensure_ascii=False), encoding="utf-8")
    return tmp_path


def run(capsys, *words, code=0):
    assert main(["judge", *words]) == code
    return capsys.readouterr()


def test_pairs(files, capsys):
    told = run(capsys, "a.jsonl", "b.jsonl", "--questions", "q.jsonl", "--judge", "script:judge.json").out
    assert "win rate       1.000" in told
    assert "not judged     not-json 1" in told
    found = json.loads((files / "judged" / "judged.json").read_text(encoding="utf-8"))
    assert (found["wins"], found["losses"], found["win_rate"]["n"]) == (3, 0, 3)
    assert found["asked"] == 6 + 2 * 2  # three questions in two orders, and the unreadable one twice
    kept = [json.loads(line) for line in (files / "judged" / "comparisons.jsonl").read_text("utf-8").splitlines()]
    assert kept[3]["looks"][0]["said"] == "看不懂"
    again = run(
        capsys, "a.jsonl", "b.jsonl", "--questions", "q.jsonl", "--judge", "script:judge.json", "--json"
    )  # fmt: skip
    assert json.loads(again.out)["asked"] == 0


def test_a_model_that_is_asked_now_and_labels_of_people(files, capsys):
    lines(files / "labels.jsonl", [{"id": f"q{number}", "winner": "b"} for number in range(3)])
    words = ["a.jsonl", "script:model.json", "--questions", "q.jsonl", "--judge", "script:judge.json", "--json"]
    found = json.loads(run(capsys, *words, "--labels", "labels.jsonl").out)
    assert found["sides"] == ["a", "script:model.json"]
    assert found["agreement"]["with_ties"]["share"] == 1
    assert found["agreement"]["kappa"] is None
    assert found["categories"]["甲"]["n"] == 2


def test_grades(files, capsys):
    words = ["--questions", "q.jsonl", "--judge", "script:grader.json"]
    told = run(capsys, "a.jsonl", "b.jsonl", "--grade", *words).out
    assert "change +7.00" in told
    assert json.loads(run(capsys, "b.jsonl", *words, "--json").out)["grades"][0]["value"] == 9


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["a.jsonl", "b.jsonl", "--judge", "script:judge.json"], 6, "come without their questions"),
        (["a.jsonl", "b.jsonl", "c.jsonl", "--judge", "script:judge.json"], 2, "one or two sides"),
        (["a.jsonl", "--judge", "script:nothing.json", "--questions", "q.jsonl"], 7, "there is no file"),
        (["a.jsonl", "--judge", "nobody", "--questions", "q.jsonl"], 5, "no store"),
        (["a.jsonl", "--judge", "script:judge.json", "--labels", "x", "--questions", "q.jsonl"], 2, "about pairs"),
        (["a.jsonl", "script:model.json", "--judge", "script:judge.json"], 2, "questions of a file"),
        (["nothing.jsonl", "b.jsonl", "--judge", "script:judge.json", "--questions", "q.jsonl"], 6, "cannot be read"),
    ],
)
def test_mistakes_are_told(files, capsys, words, code, told):
    assert told in run(capsys, *words, code=code).err
