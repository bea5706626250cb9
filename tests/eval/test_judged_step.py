"""eval.judge as a step of a recipe."""

from __future__ import annotations

import json

import pytest

from danlu.errors import DataError
from danlu.eval.results import Results, Sample, TaskResult
from danlu.records import write_jsonl

pytest.importorskip("scipy")

GOOD, BAD = "好的回答", "差的回答"


@pytest.fixture
def answered(bench, tmp_path):
    """A factory of results artifacts whose answers are given."""

    def make(name, *answers):
        task = TaskResult(task="talk", version="1", kind="generate_until", shots=0, seed=0, came=3, scores=[])
        folder = tmp_path / name
        (folder / "samples").mkdir(parents=True)
        (folder / "results.json").write_text(Results(model={"name": name}, tasks=[task]).model_dump_json(), "utf-8")
        samples = [Sample(id=f"q{at}", prompt=f"user: 題{at}", answer=said) for at, said in enumerate(answers)]
        write_jsonl(folder / "samples" / "talk.jsonl", samples)
        return bench.folder(folder, "results")

    return make


@pytest.fixture
def judge(tmp_path):
    say = {name: json.dumps({"reason": "", "winner": name}) for name in "AB"}
    script = {"題2": "看不懂", f'"A 的回答": "{GOOD}': say["A"], f'"B 的回答": "{GOOD}': say["B"]}
    path = tmp_path / "judge.json"
    path.write_text(json.dumps(script, ensure_ascii=False), encoding="utf-8")
    return f"script:{path}"


def test_it_scores_reports_and_keeps_every_verdict(bench, answered, judge):
    base, tuned = answered("before", BAD, BAD, BAD), answered("after", GOOD, GOOD, GOOD)
    made = bench.run("eval.judge", base=base, tuned=tuned, judge=judge, task="talk")
    scores = json.loads(made.file("scores.json").read_text("utf-8"))["tuned"]
    assert (scores["model"], scores["against"]) == ("after", "before")
    assert (scores["scores"][0]["value"], scores["scores"][0]["n"]) == (1.0, 2)
    kept = [json.loads(line) for line in made.file("comparisons.jsonl").read_text("utf-8").splitlines()]
    assert [one["failed"] for one in kept] == ["", "", "not-json"]
    funnel = next(part for part in made.manifest["report"] if part["type"] == "funnel")
    assert (funnel["came"], funnel["kept"], funnel["dropped"]) == (3, 2, {"not-json": 1})
    assert made.licences[judge]["licence"] == "a script, no model"


def test_questions_of_several_turns_come_from_a_file(bench, answered, judge, tmp_path):
    rows = [{"id": f"x{at}", "turns": [f"題{at}", "然後？"]} for at in range(2)]
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    base, tuned = answered("before", [BAD, BAD], [BAD, BAD]), answered("after", [GOOD, GOOD], [GOOD, GOOD])
    with pytest.raises(DataError, match="name the questions"):
        bench.run("eval.judge", base=base, tuned=tuned, judge=judge, task="talk")
    lists = json.loads((tmp_path / "judge.json").read_text("utf-8"))
    for name in "AB":
        lists[f'"{name} 的回答": [\n  "{GOOD}'] = json.dumps({"reason": "", "winner": name})
    (tmp_path / "judge.json").write_text(json.dumps(lists, ensure_ascii=False), encoding="utf-8")
    made = bench.run("eval.judge", "two", base=base, tuned=tuned, judge=judge, task="talk", questions=path)
    kept = [json.loads(line) for line in made.file("comparisons.jsonl").read_text("utf-8").splitlines()]
    assert [(one["id"], one["turn"], one["winner"]) for one in kept] == [
        ("x0", 1, "b"), ("x0", 2, "b"), ("x1", 1, "b"), ("x1", 2, "b"),
    ]  # fmt: skip
