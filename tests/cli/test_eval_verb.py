"""`danlu eval`: results kept, shown again, and one clear error for whatever is off."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from danlu.artifact import Store
from danlu.cli.main import main
from danlu.eval.results import read_results, read_samples

TASK = """\
task: quiz
dataset_path: quiz
test_split: test
fewshot_split: dev
output_type: multiple_choice
doc_to_text: "{{question}}\\nA. {{A}}\\nB. {{B}}\\nC. {{C}}\\nD. {{D}}\\n答案："
doc_to_choice: [A, B, C, D]
doc_to_target: answer
target_delimiter: ""
num_fewshot: 2
metric_list: [{metric: acc}]
metadata: {version: 3.0}
danlu:
  title: 小測驗
  subject: subject
  templates: {short: {doc_to_text: "{{question}} 答："}}
"""
WORDS = ["eval", "script:model.json", "--tasks", "quiz", "--include", "tasks", "--data", "data", "--store", "store"]


def question(at: int) -> dict[str, str]:
    choices = {"A": "甲", "B": "乙", "C": "丙", "D": "丁"}
    return {"question": f"第 {at} 題？", **choices, "answer": "ABCD"[at % 4], "subject": ["法律", "數學"][at % 2]}


@pytest.fixture
def place(tmp_path: Path, monkeypatch) -> Path:
    """A folder with a model that says B, a task and its data; the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "data" / "quiz").mkdir(parents=True)
    (tmp_path / "tasks" / "quiz.yaml").write_text(TASK, encoding="utf-8")
    (tmp_path / "model.json").write_text(json.dumps({"probabilities": {"B": 0.5}}), encoding="utf-8")
    for split, count in (("test", 20), ("dev", 5)):
        lines = [json.dumps(question(at), ensure_ascii=False) for at in range(count)]
        (tmp_path / "data" / "quiz" / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def test_the_table_says_all_that_belongs_to_a_score(place: Path, capsys) -> None:
    assert main([*WORDS, "--quiet"]) == 0
    told = capsys.readouterr().out
    row = next(line.split() for line in told.splitlines() if line.startswith("quiz  acc"))
    assert row == ["quiz", "acc", "0.2500", "±", "0.0993", "20", "0", "higher", "share", "right", "2", "3.0"]
    assert "quiz: acc by subject" in told
    assert "數學" in told
    (artifact,) = Store(place / "store").all()
    assert artifact.kind == "results"
    assert artifact.id in told
    assert read_results(artifact.path).score("quiz.acc").n == 20
    assert len(list(read_samples(artifact.path, "quiz"))) == 20
    assert artifact.manifest["metrics"] == {"quiz.acc": 0.25}


def test_the_same_call_again_shows_what_is_there(place: Path, capsys) -> None:
    assert main([*WORDS, "--json"]) == 0
    (first,) = json.loads(capsys.readouterr().out)
    (artifact,) = Store(place / "store").all()
    before = artifact.path.stat().st_mtime_ns
    assert main([*WORDS, "--json"]) == 0
    (second,) = json.loads(capsys.readouterr().out)
    assert (first["made"], second["made"]) == (True, False)
    assert second | {"made": True} == first
    assert artifact.path.stat().st_mtime_ns == before
    assert main([*WORDS, "--quiet"]) == 0
    assert "was there already" in capsys.readouterr().out


def test_what_is_asked_for_decides_what_is_the_same(place: Path, capsys) -> None:
    for more in ([], ["--limit", "5"], ["--shots", "0"], ["--seed", "1"], ["--permute"], ["--templates"]):
        assert main([*WORDS, "--quiet", *more]) == 0
    (place / "model.json").write_text(json.dumps({"probabilities": {"C": 0.5}}), encoding="utf-8")
    assert main([*WORDS, "--quiet"]) == 0
    with (place / "data" / "quiz" / "test.jsonl").open("a", encoding="utf-8") as file:
        file.write("\n" + json.dumps(question(77), ensure_ascii=False))
    assert main([*WORDS, "--quiet"]) == 0
    path = place / "tasks" / "quiz.yaml"
    path.write_text(TASK.replace("答案：", "答："), encoding="utf-8")
    assert main([*WORDS, "--quiet"]) == 0
    examples = place / "data" / "quiz" / "dev.jsonl"
    examples.write_text("\n".join(examples.read_text(encoding="utf-8").splitlines()[::-1]), encoding="utf-8")
    assert main([*WORDS, "--quiet"]) == 0
    assert len(Store(place / "store").all()) == 10
    assert main([*WORDS, "--quiet", "--shots", "0"]) == 0
    assert main([*WORDS, "--quiet", "--shots", "0"]) == 0
    assert len(Store(place / "store").all()) == 11


def test_several_models_in_one_call(place: Path, capsys) -> None:
    (place / "other.json").write_text(json.dumps({"probabilities": {"A": 0.5}}), encoding="utf-8")
    assert main([*WORDS[:2], "script:other.json", "script:model.json", *WORDS[2:], "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["model"]["name"] for one in told] == ["script:model.json", "script:other.json"]
    assert len({one["artifact"] for one in told}) == 2


def test_checks_are_told_beside_the_scores(place: Path, capsys) -> None:
    assert main([*WORDS, "--permute", "--templates", "--contamination", "data/quiz/test.jsonl", "--quiet"]) == 0
    told = capsys.readouterr().out
    assert "chi-square 240.00" in told
    assert "2 wordings: acc from 0.2500 to 0.2500" in told
    assert "questions were seen in training" in told
    (artifact,) = Store(place / "store").all()
    for name in ("positions.json", "templates.json", "contamination.json"):
        json.loads(artifact.file(name).read_text(encoding="utf-8"))


def test_tasks_whose_choices_cannot_be_moved_are_told(place: Path, capsys) -> None:
    both = [*WORDS[:3], "quiz,perplexity", *WORDS[4:], "--permute", "--limit", "2", "--quiet"]
    assert main(both) == 0
    assert "perplexity: choices cannot be moved in a task of kind loglikelihood_rolling" in capsys.readouterr().out
    assert main([*WORDS[:3], "perplexity", *WORDS[4:], "--permute", "--quiet"]) == 6
    assert "choices cannot be moved" in capsys.readouterr().err


def test_a_context_too_short_for_the_shots_both_ways(place: Path, capsys) -> None:
    assert main([*WORDS, "--context", "80", "--quiet"]) == 7
    error = capsys.readouterr().err
    assert "too-long 20" in error
    assert "--fewer-shots" in error
    assert Store(place / "store").all() == []
    assert main([*WORDS, "--context", "80", "--fewer-shots", "--quiet"]) == 0
    assert "20 of 20 questions with 1 shots instead of 2" in capsys.readouterr().out


def test_some_questions_without_a_score_are_counted_and_told_by_the_exit_code(place: Path, capsys) -> None:
    long = question(1) | {"question": "很長的題目" * 40}
    with (place / "data" / "quiz" / "test.jsonl").open("a", encoding="utf-8") as file:
        file.write("\n" + json.dumps(long, ensure_ascii=False))
    assert main([*WORDS, "--context", "200", "--quiet"]) == 1
    told = capsys.readouterr().out
    assert "quiz: 1 of 21 questions have no score: too-long" in told
    assert next(line.split() for line in told.splitlines() if line.startswith("quiz  acc"))[5:7] == ["20", "1"]
    assert main([*WORDS, "--context", "200", "--quiet"]) == 1
    assert "was there already" in capsys.readouterr().out


WRONG = {
    "no tasks": (["eval", "script:model.json"], 2, "--tasks"),
    "no model": (["eval", "--tasks", "quiz"], 2, "MODEL"),
    "unknown task": ([*WORDS[:3], "quizz", *WORDS[4:]], 2, "did you mean: quiz"),
    "unknown model": (["eval", "script:modell.json", *WORDS[2:]], 7, "model.json"),
    "no data": ([*WORDS[:7], "nowhere", *WORDS[8:]], 6, "nowhere"),
    "too many shots": ([*WORDS, "--shots", "9"], 6, "9 examples"),
    "bad number": ([*WORDS, "--limit", "0"], 2, "--limit"),
    "where": ([*WORDS, "--on", "rai"], 2, "did you mean: ray"),
    "no cluster": ([*WORDS, "--on", "ray://127.0.0.1:1"], 6, "no Ray cluster answers"),
    "no training data": ([*WORDS, "--contamination", "train.jsonl"], 6, "no such training data"),
    "unknown option": ([*WORDS, "--fewer-shot"], 2, "did you mean: --fewer-shots"),
    "unknown backend": ([*WORDS, "--backend", "lama"], 7, "did you mean: llama"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_mistake_is_one_clear_error(wrong: str, place: Path, capsys) -> None:
    words, code, said = WRONG[wrong]
    assert main(words) == code
    told = capsys.readouterr()
    assert said in told.err
    assert "Traceback" not in told.err
    assert told.out == ""


BROKEN = {
    "a missing field": ("doc_to_target: answer", "doc_to_target: '{{right}}'", "right"),
    "a wrong split": ("test_split: test", "test_split: tset", "did you mean: test"),
    "no metric of that name": ("metric: acc}", "metric: ac}", "did you mean: acc"),
    "an unknown key": ("num_fewshot", "num_fewshots", "did you mean: num_fewshot"),
    "a field that no question has": ("{{question}}\\n", "{{qestion}}\\n", "did you mean: question"),
    "no YAML": ("task: quiz", "task: quiz: x", "quiz.yaml:1: not YAML"),
    "Python beside the file": ("doc_to_target: answer", "doc_to_target: !function here.answer", "--trust-task-code"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_task_is_one_clear_error(broken: str, place: Path, capsys) -> None:
    old, new, said = BROKEN[broken]
    assert old in TASK
    (place / "tasks" / "quiz.yaml").write_text(TASK.replace(old, new), encoding="utf-8")
    assert main([*WORDS[:3], "tasks/quiz.yaml", *WORDS[4:]]) in (2, 6)
    told = capsys.readouterr()
    assert said in told.err
    assert "Traceback" not in told.err
    assert told.out == ""
    assert not Store(place / "store").all()


def test_an_error_as_json(place: Path, capsys) -> None:
    assert main([*WORDS[:3], "quizz", *WORDS[4:], "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["exit_code"] == 2
    assert told["problems"][0]["nearest"] == "quiz"


def test_interrupted_says_how_to_go_on(place: Path, monkeypatch, capsys) -> None:
    from danlu.model.fake import ScriptedModel

    whole = ScriptedModel._answer

    def interrupted(self, request):
        if len(self.asked) == 30:
            raise KeyboardInterrupt
        return whole(self, request)

    monkeypatch.setattr(ScriptedModel, "_answer", interrupted)
    assert main([*WORDS, "--quiet"]) == 130
    told = capsys.readouterr()
    assert "what was answered is kept" in told.err
    assert told.out == ""
    assert Store(place / "store").all() == []
    monkeypatch.setattr(ScriptedModel, "_answer", whole)
    assert main(WORDS) == 0
    assert "51 requests asked, 29 known already" in capsys.readouterr().err


def test_the_list_of_tasks(place: Path, capsys) -> None:
    assert main(["eval", "--list"]) == 0
    told = capsys.readouterr().out
    for name in ("tmmluplus", "drcd", "taiwan_usage", "perplexity"):
        assert any(line.split()[0] == name for line in told.splitlines() if line)
    assert main(["eval", "--list", "--include", "tasks", "--json"]) == 0
    names = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert names["quiz"]["title"] == "小測驗"


def test_a_damaged_result_is_made_again(place: Path, capsys) -> None:
    assert main([*WORDS, "--quiet"]) == 0
    (artifact,) = Store(place / "store").all()
    artifact.file("results.json").write_text("{")
    assert main([*WORDS, "--json"]) == 0
    told = capsys.readouterr().out
    assert json.loads(told[told.index("[") :])[0]["made"] is True
    (again,) = Store(place / "store").all()
    assert again.verify() == []


def test_what_shows_artifacts_shows_results(place: Path, capsys) -> None:
    assert main([*WORDS, "--quiet"]) == 0
    (artifact,) = Store(place / "store").all()
    capsys.readouterr()
    assert main(["ls", "--store", "store"]) == 0
    assert "results" in capsys.readouterr().out
    assert main(["show", artifact.id[:8], "--store", "store"]) == 0
    told = capsys.readouterr().out
    assert "eval.run → results" in told
    assert "quiz.acc" in told


def test_help_has_examples_and_starts_no_heavy_library(place: Path) -> None:
    code = "import sys; from danlu.cli.main import main; main(['eval', '--list']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"torch", "transformers", "scipy", "matplotlib", "datasets"}
    told = subprocess.run([sys.executable, "-m", "danlu", "eval", "--help"], capture_output=True, text=True)
    assert told.returncode == 0
    assert "danlu eval gemma-3-270m --tasks tmmluplus" in told.stdout
    assert "doc_to_target" in told.stdout
    assert "templates      Other wordings" in told.stdout
