"""eval.run as a step, and a real (tiny, random) model: no score depends on how it was computed."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from pydantic import ValidationError

from danlu.artifact import Artifact
from danlu.errors import DataError, ModelError
from danlu.eval.ask import evaluate
from danlu.eval.cache import Cache
from danlu.eval.environment import commit, environment
from danlu.eval.fake import Choices
from danlu.eval.results import read_results, read_samples
from danlu.eval.run import RunSettings
from danlu.model.subject import open_model
from danlu.records import Example, Message, write_jsonl

SIGNS = "丹爐是一座煉的子嗎abcdefghijk"


def questions(count: int) -> list[dict[str, str]]:
    draw = random.Random(5)

    def text(most: int) -> str:
        return "".join(draw.choices(SIGNS, k=draw.randrange(2, most)))

    return [
        {"question": text(40), **{letter: text(6) for letter in "ABCD"}, "answer": draw.choice("ABCD"), "subject": s}
        for s in ("爐子", "煉丹")
        for _ in range(count // 2)
    ]


QUESTIONS = questions(16)
TASK = """\
task: quiz
dataset_path: quiz
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}\\nA. {{A}}\\nB. {{B}}\\nC. {{C}}\\nD. {{D}}\\n"
doc_to_choice: ["{{A}}", "{{B}}", "{{C}}", "{{D}}"]
doc_to_target: "{{['A', 'B', 'C', 'D'].index(answer)}}"
target_delimiter: ""
num_fewshot: 2
metric_list: [{metric: acc}, {metric: acc_norm}]
metadata: {version: 1.5}
danlu:
  title: 爐子小測驗
  subject: subject
  templates: {short: {doc_to_text: "{{question}}"}}
"""


@pytest.fixture
def quiz(tmp_path: Path) -> Path:
    """A folder with a task file, and its data in `data`."""
    folder = tmp_path / "tasks"
    (folder / "data" / "quiz").mkdir(parents=True)
    (folder / "quiz.yaml").write_text(TASK, encoding="utf-8")
    lines = [json.dumps(one, ensure_ascii=False) for one in QUESTIONS]
    (folder / "data" / "quiz" / "test.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def done(folder: Path, quiz: list[dict[str, str]], cache: Cache | None = None, **options):
    model = open_model(str(folder), **options)
    try:
        (found,) = evaluate(model, [Choices(quiz, shots=2)], cache=cache)
    finally:
        model.close()
    logs = {one.doc.id: [result.value for result in one.results] for one in found.asked}
    return logs, {sample.id: sample.values for sample in found.samples}


def test_no_score_depends_on_batch_order_processes_or_the_cache(speaking, tmp_path: Path) -> None:
    folder = speaking("model", initializer_range=0.3, max_position_embeddings=2048)
    logs, values = done(folder, QUESTIONS)
    assert len(logs) == 16
    assert len({value for some in logs.values() for value in some}) > 40, "the model tells the choices apart"
    with Cache(tmp_path / "cache") as cache:
        others = [
            done(folder, QUESTIONS, batch_tokens=64),
            done(folder, QUESTIONS, processes=2),
            done(folder, QUESTIONS, cache=cache),
            done(folder, QUESTIONS, cache=cache, batch_tokens=32),
        ]
    for other_logs, other_values in others:
        assert other_values == values
        for id, some in logs.items():
            assert other_logs[id] == pytest.approx(some, abs=1e-5)
    assert others[3][0] == others[2][0], "from the cache bit for bit"


def test_no_score_depends_on_the_other_questions(speaking) -> None:
    folder = speaking("model", initializer_range=0.3)
    model = open_model(str(folder))
    tasks = [Choices([one]) for one in QUESTIONS[:5]]
    together = next(evaluate(model, [Choices(QUESTIONS[4::-1])]))
    alone = [each.asked[0] for each in evaluate(model, tasks)]
    model.close()
    by_id = {one.doc.id: [result.value for result in one.results] for one in together.asked}
    for one in alone:
        assert [result.value for result in one.results] == pytest.approx(by_id[one.doc.id], abs=1e-5)


class Interrupted(Exception):
    pass


def test_stopped_at_any_request_and_resumed_the_scores_are_the_same(speaking, tmp_path: Path) -> None:
    folder = speaking("model", initializer_range=0.3)
    model = open_model(str(folder))
    task = Choices(QUESTIONS, shots=2)
    (calm,) = evaluate(model, [task])
    whole, came = model.answer, []

    def stopping(requests):
        for number, (place, result) in enumerate(whole(requests)):
            if number == 11 and len(requests) > 20:
                raise Interrupted
            came.append(requests[place])
            yield place, result

    model.answer = stopping
    with Cache(tmp_path / "cache") as cache:
        for _ in range(4):
            with pytest.raises(Interrupted):
                next(evaluate(model, [task], cache=cache))
        (resumed,) = evaluate(model, [task], cache=cache)
    model.close()
    assert len(came) == len(set(came)) == 64, "each request is answered once"
    assert [s.values for s in resumed.samples] == [s.values for s in calm.samples]
    assert resumed.result.scores == calm.result.scores
    for one, other in zip(resumed.asked, calm.asked, strict=True):
        values = [result.value for result in one.results]
        assert values == pytest.approx([result.value for result in other.results], abs=1e-5)


def test_a_real_context_too_short_for_the_shots(speaking) -> None:
    folder = speaking("model", initializer_range=0.3)
    model = open_model(str(folder), context=96)
    task = Choices(QUESTIONS, shots=5)
    (refused,) = evaluate(model, [task])
    assert refused.result.failures == {"too-long": 16}
    (fewer,) = evaluate(model, [task], fewer_shots=True)
    model.close()
    fitting = [one for one in fewer.asked if one.failure is None]
    assert len(fitting) == fewer.result.scores[0].n > 8
    assert all(one.shots < 5 for one in fitting)
    assert any("shots instead of 5" in note for note in fewer.result.notes)
    assert fewer.result.failures == ({"too-long": 16 - len(fitting)} if len(fitting) < 16 else {})


# The step


def test_the_step_leaves_results_samples_tables_and_a_plot(speaking, quiz, bench) -> None:
    model = bench.folder(speaking("tuned", initializer_range=0.3), "model")
    made = bench.run(
        "eval.run", tasks=("quiz",), model=model, include=(quiz,), data=quiz / "data", permute=True, templates=True
    )
    results = read_results(made.path)
    assert results.model["name"] == "tuned"
    assert results.model["facts"]["backend"] == "transformers"
    (task,) = results.tasks
    assert (task.came, task.shots, task.version, task.title) == (16, 2, "1.5", "爐子小測驗")
    assert set(task.subjects) == {"爐子", "煉丹"}
    for score in task.scores:
        assert score.n == 16
        assert score.stderr is not None
        assert made.manifest["metrics"][f"quiz.{score.name}"] == score.value
    samples = list(read_samples(made.path, "quiz"))
    assert len(samples) == 16
    assert sum(sample.values["acc"] for sample in samples) / 16 == results.score("quiz.acc").value
    assert "<text" in made.file("plots/quiz.svg").read_text(encoding="utf-8")
    titles = [block["title"] for block in made.manifest["report"]]
    assert any("Scores of tuned" in title for title in titles)
    assert any("choices moved" in title for title in titles)
    assert any("several wordings" in title for title in titles)
    assert json.loads(made.file("positions.json").read_text())[0]["n"] == 16
    assert {"danlu", "python", "torch", "threads"} <= set(results.environment)


def test_in_a_recipe_by_the_name_of_a_folder(speaking, quiz, tmp_path: Path, capsys) -> None:
    from danlu.cli.main import main

    speaking("mine", initializer_range=0.3)
    step = {"use": "eval.run", "name": "./mine", "tasks": ["quiz"], "include": ["tasks"], "data": "tasks/data"}
    recipe = tmp_path / "scores.yaml"
    recipe.write_text(json.dumps({"seed": 3, "steps": {"scores": {**step, "limit": 6}}}), encoding="utf-8")
    words = ["run", str(recipe), "--track", "none", "--quiet", "--store", str(tmp_path / "store")]
    assert main(words) == 0
    folder = tmp_path / "store" / "runs" / "scores"
    results = read_results(folder / "scores")
    assert results.tasks[0].seed == 3
    assert results.score("quiz.acc").n == 6
    assert "quiz.acc" in (folder / "report.html").read_text(encoding="utf-8")
    assert main(words) == 0
    assert json.loads((folder / "run.json").read_text())["steps"][0]["state"] == "cached"
    data = quiz / "data" / "quiz" / "test.jsonl"
    data.write_text("\n".join(data.read_text(encoding="utf-8").splitlines()[1:]), encoding="utf-8")
    assert main(words) == 0
    assert json.loads((folder / "run.json").read_text())["steps"][0]["state"] == "made"


def test_the_content_does_not_depend_on_the_clock(speaking, quiz, bench) -> None:
    model = bench.folder(speaking("tuned", initializer_range=0.3), "model")
    given = {"tasks": ("quiz",), "model": model, "include": (quiz,), "data": quiz / "data"}
    one = bench.run("eval.run", "one", **given)
    other = bench.run("eval.run", "other", **given)
    assert read_results(one.path).seconds != read_results(other.path).seconds
    assert one.content == other.content
    assert bench.run("eval.run", "third", **given, limit=5).content != one.content


def test_questions_that_the_model_was_trained_on(speaking, quiz, bench) -> None:
    model = bench.folder(speaking("tuned", initializer_range=0.3), "model")
    seen = max(QUESTIONS, key=lambda one: len(one["question"]))["question"]
    with bench.store.draft("split") as draft:
        turns = [Message(role="user", content=seen), Message(role="assistant", content="是")]
        write_jsonl(draft.file("train.jsonl"), [Example(id="1", messages=turns)])
        split = bench.store.commit(draft, {"id": "split", "kind": "split"})
    made = bench.run("eval.run", tasks=("quiz",), model=model, include=(quiz,), data=quiz / "data", trained_on=split)
    told = json.loads(made.file("contamination.json").read_text(encoding="utf-8"))
    assert len(told["tasks"]["quiz"]["seen"]) == 1
    assert any("1 of 16 questions were seen in training" in note for note in read_results(made.path).tasks[0].notes)


def test_nothing_that_fits_is_an_error_and_leaves_no_artifact(speaking, quiz, bench) -> None:
    model = bench.folder(speaking("tuned"), "model")
    with pytest.raises(ModelError, match="every question failed"):
        bench.run("eval.run", tasks=("quiz",), model=model, include=(quiz,), data=quiz / "data", context=8)
    assert [one.kind for one in bench.store.all()] == []


def test_a_gguf_step_with_several_formats_wants_one_named(quiz, bench, tmp_path: Path) -> None:
    folder = tmp_path / "gguf"
    folder.mkdir()
    (folder / "formats.json").write_text(json.dumps({"q8_0": "a.gguf", "q4_k_m": "b.gguf"}))
    artifact = Artifact(folder, {"id": "gguf", "kind": "gguf", "content": "c", "files": {}, "licences": {}})
    with pytest.raises(DataError, match="q8_0, q4_k_m"):
        bench.run("eval.run", tasks=("quiz",), gguf=artifact, include=(quiz,), data=quiz / "data")


@pytest.mark.parametrize("given", [{}, {"model": "a", "name": "b"}, {"gguf": "a", "model": "b", "name": "c"}])
def test_exactly_one_model(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="exactly one of model, gguf and name"):
        RunSettings(tasks=("quiz",), **given)


def test_the_environment_names_the_commit_only_of_a_checkout_that_holds_the_code(tmp_path: Path) -> None:
    import subprocess

    found = environment()
    assert found["processors"] >= 1
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    assert commit(folder) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@t"]
    subprocess.run([*git, "init", "-q"], check=True)
    assert commit(folder) is None, "a checkout that does not track the code"
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "x"], check=True)
    made = commit(folder)
    assert made is not None
    assert len(made) == 40
    (folder / "__init__.py").write_text("changed")
    assert commit(folder) == made + "+"
