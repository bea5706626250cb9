"""Task files that are wrong, and what is said about them; includes, groups, tags, the sandbox."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from danlu.errors import DanluError, DataError, UsageError
from danlu.eval.harness import known_tasks, load_tasks
from danlu.eval.harness.task import HarnessTask
from danlu.model.language_model import Answer, Continuation, Generation, LogLikelihood

BASE: dict[str, Any] = {
    "task": "one",
    "dataset_path": "org/things",
    "output_type": "multiple_choice",
    "training_split": "train",
    "test_split": "test",
    "doc_to_text": "Q: {{question}}\nA:",
    "doc_to_target": "answer",
    "doc_to_choice": "{{choices}}",
    "metadata": {"version": 2.0},
}
ROWS = [
    {"question": f"question {place}", "choices": ["yes", "no", "maybe"], "answer": place % 3, "topic": f"t{place % 2}"}
    for place in range(8)
]


class Place:
    """A folder of task files and a folder of data."""

    def __init__(self, root: Path) -> None:
        self.tasks, self.data = root / "tasks", root / "data"
        self.tasks.mkdir()
        self.rows("test", ROWS)
        self.rows("train", [{**row, "question": "shown " + str(row["question"])} for row in ROWS])

    def rows(self, split: str, rows: list[dict[str, Any]], dataset: str = "org/things") -> Path:
        path = self.data / dataset / f"{split}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        return path

    def file(self, name: str = "one.yaml", text: str | None = None, **changes: Any) -> Path:
        settings = {key: value for key, value in {**BASE, **changes}.items() if value is not ...}
        path = self.tasks / name
        path.write_text(text or yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), encoding="utf-8")
        return path

    def load(self, *names: str, **options: Any) -> list[HarnessTask]:
        return load_tasks(names or ["one"], [self.tasks], self.data, **options)  # type: ignore[return-value]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def prompts(task: HarnessTask, shots: int = 0, seed: int = 0) -> list[str]:
    found = []
    for doc in task.documents():
        request = task.requests(doc, shots, seed)[0]
        assert isinstance(request, Continuation)
        found.append(request.context)
    return found


def wrong(place: Place, kind: type[DanluError] = DataError, **changes: Any) -> str:
    """The message about a file with these changes; it always says where."""
    path = place.file(**changes)
    with pytest.raises(kind) as raised:
        place.load()
    assert str(path) in str(raised.value) or path.name in str(raised.value)
    return str(raised.value)


def test_a_plain_task(place):
    place.file()
    (task,) = place.load()
    assert (task.name, task.kind, task.version, task.shots) == ("one", "multiple_choice", "2.0", 0)
    assert prompts(task)[0] == "Q: question 0\nA:"
    doc = task.documents()[0]
    assert [r.continuation for r in task.requests(doc, 0, 0)] == [" yes", " no", " maybe"]
    scored = task.score(
        doc, [LogLikelihood(-1.0, True, 1), LogLikelihood(-2.0, False, 1), LogLikelihood(-3.0, False, 1)]
    )
    assert scored.values == {"acc": 1.0, "acc_norm": 1.0 if -1 / 3 > -2 / 2 else 0.0}
    assert (scored.answer, scored.target) == ("yes", "yes")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"doc_to_tekst": "x"}, ["doc_to_tekst: no such key", "did you mean: doc_to_text"]),
        ({"output_type": "multiple_choise"}, ["output_type", "did you mean: multiple_choice"]),
        ({"test_split": "tset"}, ["no split 'tset'", "there are", "test, train", "did you mean: test"]),
        ({"doc_to_text": ...}, ["no doc_to_text"]),
        ({"doc_to_target": ...}, ["no doc_to_target"]),
        ({"doc_to_choice": ...}, ["no doc_to_choice"]),
        ({"dataset_path": ...}, ["no dataset_path"]),
        ({"test_split": ...}, ["neither test_split nor validation_split"]),
        ({"doc_to_text": "{{questoin}}"}, ["doc_to_text", "'questoin' is undefined", "did you mean: question"]),
        ({"doc_to_text": "{% if %}"}, ["doc_to_text: not a Jinja template"]),
        ({"doc_to_choice": "{{question}}"}, ["doc_to_choice: this is no list"]),
        ({"doc_to_image": "image"}, ["doc_to_image: pictures"]),
        ({"doc_to_audio": "sound"}, ["doc_to_audio: sound"]),
        ({"use_prompt": "promptsource:x"}, ["use_prompt: templates of promptsource"]),
        ({"repeats": 0}, ["repeats: "]),
        ({"num_fewshot": "five"}, ["num_fewshot: "]),
        ({"danlu": {"chat": True}}, ["danlu.chat: a conversation is for generate_until"]),
        ({"danlu": {"titel": "x"}}, ["danlu.titel: no such key", "did you mean: title"]),
        ({"fewshot_config": {"samples": []}, "fewshot_splitt": "x"}, ["did you mean: fewshot_split"]),
        ({"metric_list": [{"metrik": "acc"}]}, ["metric_list.0.metric: Field required"]),
        ({"fewshot_config": {"sampler": 3}}, ["fewshot_config.sampler: "]),
        ({"fewshot_config": {"smapler": "x"}}, ["fewshot_config.smapler: no such key", "did you mean: sampler"]),
        ({"metric_list": [{"metric": "acc", "ignore_case": True}]}, ["acc has no argument 'ignore_case'"]),
        ({"metric_list": [{"metric": "bleu"}]}, ["bleu cannot measure a task of kind multiple_choice"]),
        ({"filter_list": [{"name": "x", "filter": [{"function": "regexx"}]}]}, ["did you mean: regex"]),
        (
            {"filter_list": [{"name": "x", "filter": [{"function": "regex", "regex_patern": "a"}]}]},
            ["regex has no argument", "did you mean: regex_pattern"],
        ),
        ({"filter_list": [{"name": "x", "filter": [{"function": "regex", "regex_pattern": "("}]}]}, ["no regular"]),
        ({"filter_list": [{"name": "x", "filter": [{"function": "take_first_k"}]}]}, ["take_first_k: "]),
    ],
)
def test_what_is_wrong_is_said(place, changes, said):
    message = wrong(place, **changes)
    for words in said:
        assert words in message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metric_list": [{"metric": "accc"}]}, ["unknown metric 'accc'", "did you mean: acc"]),
        ({"metric_list": [{"metric": "acc", "aggregation": "maen"}]}, ["unknown aggregation", "did you mean: mean"]),
    ],
)
def test_a_metric_that_is_not_known(place, changes, said):
    message = wrong(place, UsageError, **changes)
    for words in said:
        assert words in message


def test_the_line_of_the_mistake_is_told(place):
    path = place.file(text="task: one\noutput_type: generate_until\n\nnum_shots: 3\n")
    with pytest.raises(DataError, match="num_shots: no such key") as raised:
        place.load()
    assert f"{path}:4: " in str(raised.value)
    assert "did you mean: num_fewshot" in str(raised.value)


@pytest.mark.parametrize("text", ["task: [one", "- a\n- b\n", "task: !python/object:os.system one\n"])
def test_what_is_no_task_file(place, text):
    path = place.file(text=text)
    with pytest.raises(DataError) as raised:
        place.load(str(path))
    assert str(path) in str(raised.value)


def test_an_unreadable_file_beside_is_told_of_when_a_name_is_missing(place):
    place.file()
    place.file("bad.yaml", text="task: [two\n")
    assert [task.name for task in place.load("one")] == ["one"]
    with pytest.raises(UsageError, match="1 files could not be read") as raised:
        place.load("onne")
    assert "did you mean: one" in str(raised.value)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ question.__init__.__globals__['os'] }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ self.__init__.__globals__ }}",
        "{{ lipsum.__globals__['os'].popen('touch escaped') }}",
        "{{ choices.append('more') }}",
        "{% for i in range(10**9) %}x{% endfor %}",
    ],
)
def test_a_template_cannot_leave_its_sandbox(place, template, monkeypatch):
    monkeypatch.chdir(place.tasks)
    assert "doc_to_text" in wrong(place, doc_to_text=template)
    assert not (place.tasks / "escaped").exists()
    place.file()
    assert place.load()[0].documents()[0].fields["choices"] == ["yes", "no", "maybe"]


def test_code_beside_a_file_runs_only_when_trusted(place):
    (place.tasks / "own.py").write_text(
        "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"
        "def text(doc): return 'own ' + doc['question']\n"
        "def broken(doc): return doc['nothing']\n"
        "def docs(rows): return rows.filter(lambda row: row['answer'] == 1)\n",
        encoding="utf-8",
    )
    text = yaml.safe_dump({**BASE, "doc_to_text": "X"}, sort_keys=False)
    path = place.file(text=text.replace("doc_to_text: X", "doc_to_text: !function own.text"))
    with pytest.raises(UsageError, match=r"doc_to_text runs the Python of own\.text") as refused:
        place.load()
    assert f"{path}:6: " in str(refused.value)
    assert "--trust-task-code" in str(refused.value)
    assert not (place.tasks / "ran").exists()
    assert prompts(place.load(trust_code=True)[0])[0] == "own question 0"
    assert (place.tasks / "ran").exists()
    place.file(text=text.replace("doc_to_text: X", "doc_to_text: !function own.broken"))
    with pytest.raises(DataError, match=r"own\.broken raised KeyError: 'nothing'"):
        place.load(trust_code=True)
    place.file(text=text.replace("doc_to_text: X", "doc_to_text: !function own.txet"))
    with pytest.raises(DataError, match=r"own\.py has no txet") as missing:
        place.load(trust_code=True)
    assert "did you mean: text" in str(missing.value)
    place.file(text=text + "process_docs: !function own.docs\n")
    assert [doc.fields["question"] for doc in place.load(trust_code=True)[0].documents()] == [
        "question 1",
        "question 4",
        "question 7",
    ]


def test_includes(place):
    place.file("_base", **{"task": ..., "num_fewshot": 2})
    (place.tasks / "two.yaml").write_text("include: _base\ntask: two\nnum_fewshot: 1\n", encoding="utf-8")
    (task,) = place.load("two")
    assert (task.name, task.shots, task.version) == ("two", 1, "2.0")
    (place.tasks / "two.yaml").write_text("task: two\ninclude: _bace\n", encoding="utf-8")
    with pytest.raises(DataError, match="includes _bace, which is not there") as raised:
        place.load(str(place.tasks / "two.yaml"))
    assert "two.yaml:2" in str(raised.value)
    assert "did you mean: _base" in str(raised.value)
    (place.tasks / "a.yaml").write_text("task: a\ninclude: b.yaml\n", encoding="utf-8")
    (place.tasks / "b.yaml").write_text("include: a.yaml\n", encoding="utf-8")
    with pytest.raises(DataError, match="includes itself"):
        place.load(str(place.tasks / "a.yaml"))


def test_groups_tags_and_wildcards(place):
    place.file("one.yaml", tag="easy")
    place.file("two.yaml", task="two", tag=["easy", "hard"])
    group = {"group": "all", "task": ["one", {"task": "two", "num_fewshot": 3}, {"group": "inner", "task": ["hard"]}]}
    place.file("all.yaml", text=yaml.safe_dump(group))
    names = [task.name for task in place.load("all")]
    assert names == ["one", "two"]
    assert [task.shots for task in place.load("all")] == [0, 3]
    assert [task.name for task in place.load("easy")] == ["one", "two"]
    assert [task.name for task in place.load("hard")] == ["two"]
    assert [task.name for task in place.load("tw*", "one")] == ["two", "one"]
    ours = {known.name: known.what for known in known_tasks([place.tasks])}
    assert {"one": "task", "two": "task", "all": "group", "easy": "tag", "hard": "tag"}.items() <= ours.items()
    place.file("loop.yaml", text=yaml.safe_dump({"group": "loop", "task": ["loop"]}))
    with pytest.raises(DataError, match="without an end"):
        place.load("loop")
    place.file("bad.yaml", text=yaml.safe_dump({"group": "bad", "task": ["one", "twoo"]}))
    with pytest.raises(UsageError, match="'twoo'") as raised:
        place.load("bad")
    assert "bad.yaml:4" in str(raised.value)


def test_own_tasks_go_before_what_ships(place):
    place.file(task="gsm8k", metadata={"version": "mine"})
    assert place.load("gsm8k")[0].version == "mine"


def test_examples_are_never_the_question_itself(place):
    place.file(fewshot_split="test")
    (task,) = place.load()
    for doc in task.documents():
        for seed in range(5):
            examples = task.examples(doc, 4, seed)
            assert len(examples) == 4
            assert doc.fields not in examples


def test_examples_depend_on_the_seed_and_on_nothing_else(place):
    place.file()
    whole, part = prompts(place.load()[0], 3, 7), prompts(place.load(limit=3)[0], 3, 7)
    assert whole[:3] == part
    assert whole != prompts(place.load()[0], 3, 8)
    (task,) = place.load()
    late = task.documents()[-1]
    assert task.requests(late, 3, 7)[0].context == whole[-1]
    assert whole[0].count("shown") == 3


def test_too_few_examples(place):
    assert "9 examples are asked for before each question, 8 are there" in _asked(place, 9)
    assert "8 examples are asked for" in _asked(place, 8, fewshot_split="test")
    assert "no sampler 'balanced'" in _asked(place, 1, fewshot_config={"sampler": "balanced"})


def _asked(place: Place, shots: int, **changes: Any) -> str:
    place.file(**changes)
    (task,) = place.load()
    with pytest.raises(DataError) as raised:
        task.requests(task.documents()[0], shots, 0)
    return str(raised.value)


def test_examples_of_the_same_subject(place):
    place.file(danlu={"subject": "topic", "same_subject": True}, fewshot_config={"sampler": "first_n"})
    (task,) = place.load()
    for doc in task.documents():
        assert {row["topic"] for row in task.examples(doc, 4, 0)} == {doc.subject}


def test_questions_without_a_right_answer_are_counted(place):
    place.rows("test", [*ROWS, {**ROWS[0], "answer": 5}, {**ROWS[0], "answer": "E"}])
    place.file()
    (task,) = place.load()
    assert len(task.documents()) == 8
    assert task.dropped == {"target-not-among-choices": 2}
    place.rows("test", [{**ROWS[0], "answer": 9}])
    with pytest.raises(DataError, match="no question's right answer is among its choices"):
        place.load()[0].documents()


def test_ids_are_of_the_fields_alone(place):
    place.rows("test", [{**ROWS[0], "_file": "/a"}, ROWS[1], ROWS[1]])
    place.file()
    first = [doc.id for doc in place.load()[0].documents()]
    place.rows("test", [{**ROWS[0], "_file": "/b"}, ROWS[1], ROWS[1]])
    assert [doc.id for doc in place.load()[0].documents()] == first
    assert len(set(first)) == 3


def test_a_conversation_and_repeats(place):
    place.file(
        output_type="generate_until", doc_to_choice=..., doc_to_target="{{choices[answer]}}", description="Be brief.",
        generation_kwargs={"until": ["\n", ""], "do_sample": True, "temperature": 0.5, "max_gen_toks": 7}, repeats=3,
        danlu={"chat": True},
        filter_list=[{"name": "vote", "filter": [{"function": "majority_vote"}, {"function": "take_first"}]}],
    )  # fmt: skip
    (task,) = place.load()
    doc = task.documents()[0]
    requests = task.requests(doc, 1, 4)
    assert [request.seed for request in requests] == [4, 5, 6]
    first = requests[0]
    assert isinstance(first, Generation)
    assert (first.stop, first.max_tokens, first.temperature) == (("\n",), 7, 0.5)
    assert [message.role for message in first.prompt] == ["system", "user", "assistant", "user"]
    scored = task.score(doc, [Answer("no", "stop", 1), Answer("yes", "stop", 1), Answer("yes", "stop", 1)])
    assert scored.values == {"exact_match,vote": 1.0}


@pytest.mark.parametrize(("key", "value"), [("num_beams", 4), ("top_k", 5), ("repetition_penalty", 1.2)])
def test_generation_settings_that_would_be_ignored(place, key, value):
    message = wrong(place, output_type="generate_until", doc_to_choice=..., generation_kwargs={key: value})
    assert f"{key} is not supported" in message


def test_code_that_needs_a_package_that_is_not_there(place):
    (place.tasks / "own.py").write_text("import no_such_package.part\n", encoding="utf-8")
    place.file(text=yaml.safe_dump(BASE) + "process_docs: !function own.docs\n")
    with pytest.raises(
        UsageError, match=r"own\.py needs a Python package: No module named 'no_such_package'"
    ) as raised:
        place.load(trust_code=True)
    assert "pip install no_such_package" in str(raised.value)


def test_an_aggregation_of_the_tasks_own(place):
    (place.tasks / "own.py").write_text(
        "def share(items): return sum(gold == said for gold, said in items) / len(items)\n"
        "def length(references, predictions, extra): return {'long': len(predictions[0]) + extra, 'both': 1.0}\n"
        "def judge(doc, results): return {'said': float(results[0] == doc['choices'][0]), 'pair': (1.0, 2)}\n",
        encoding="utf-8",
    )
    written = {**BASE, "output_type": "generate_until", "doc_to_target": "{{choices[answer]}}"}
    text = yaml.safe_dump({key: value for key, value in written.items() if key != "doc_to_choice"})
    entries = (
        "metric_list:\n- {metric: f1, aggregation: !function own.share}\n- {metric: !function own.length, extra: 2}\n"
    )
    place.file(text=text + entries)
    (task,) = place.load(trust_code=True, limit=2)
    docs = task.documents()
    scored = [task.score(doc, [Answer("yes", "stop", 1)]) for doc in docs]
    assert scored[0].items == {"f1": ("yes", "yes")}
    assert {score.name: score.value for score in task.aggregate(docs, scored, 0)} == {
        "f1": 0.5,
        "long": 5.0,
        "both": 1.0,
    }
    judged = (
        "metric_list:\n- {metric: said}\n- {metric: pair, aggregation: weighted_perplexity, higher_is_better: false}\n"
    )
    place.file(text=text + judged + "process_results: !function own.judge\n")
    (task,) = place.load(trust_code=True, limit=2)
    scored = [task.score(doc, [Answer("yes", "stop", 1)]) for doc in task.documents()]
    by_name = {score.name: score for score in task.aggregate(task.documents(), scored, 0)}
    assert by_name["said"].value == 1.0
    assert by_name["pair"].value == pytest.approx(math.exp(-0.5))
    assert by_name["pair"].better == "lower"
