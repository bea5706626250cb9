"""Every task that ships: its README, its data or data of the same layout, what it asks, and what answers are worth.

Each is asked of two models: one that knows the right answer to every question, which must have the best score there is,
and one that answers beside the point, which must not.
"""

import json
import re
import sqlite3
from pathlib import Path

import pytest

from danlu.eval.ask import evaluate
from danlu.eval.harness import SHIPPED, known_tasks, load_tasks
from danlu.model.language_model import Answer, Continuation, Generation, LogLikelihood, Rolling

TASKS = sorted(known.name for known in known_tasks() if known.what == "task")
FOLDERS = sorted(path for path in SHIPPED.iterdir() if path.is_dir() and path.name != "__pycache__")
SUMMARY_BY_MODEL = "summarisation_bert_score"


def jsonl(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def csv(path, head, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")


def examination(root, name, test, few, head="question,A,B,C,D,answer"):
    """Two subjects with six questions each and five examples each, one file a subject and split."""
    for subject in ("accounting", "physics"):
        for pattern, count, start in ((test, 6, 100), (few, 5, 0)):
            rows = [f"{subject} {start + n}？,甲{n},乙{n},丙{n},丁{n},{'ABCD'[n % 4]}" for n in range(count)]
            csv(root / name / pattern.format(subject), head, *rows)


def examinations(root):
    examination(root, "ikala/tmmluplus", "data/{}_test.csv", "data/{}_dev.csv")
    examination(root, "cmmlu", "test/{}.csv", "dev/{}.csv", "Question,A,B,C,D,Answer")
    examination(root, "ceval-exam", "val/{}_val.csv", "dev/{}_dev.csv")
    for subject in ("AST_biology", "lawyer"):
        rows = [
            {
                "question": f"{subject} 第 {n} 題",
                "A": f"甲{n}",
                "B": "乙",
                "C": "丙",
                "D": "丁",
                "answer": "ABCD"[n % 4],
            }
            for n in range(11)
        ]
        jsonl(root / "tmlu" / subject / f"{subject}_test.jsonl", *rows[5:], rows[5] | {"answer": "E", "A": "其他"})
        jsonl(root / "tmlu" / subject / f"{subject}_dev.jsonl", *rows[:5])
        rows = [{"question": f"{subject} {n}?", "choices": [*"wxyz"], "answer": n % 4} for n in range(11)]
        jsonl(root / "mmlu" / subject / "test.jsonl", *rows[5:])
        jsonl(root / "mmlu" / subject / "dev.jsonl", *rows[:5])


def taiwans(root):
    csv(
        root / "TMMLU" / "歷史.csv",
        ",content.A,content.Q",
        *(f'{n},{"ABCD"[n % 4]},"{n}. 題 {n}（第一行\n續行）(A) 甲{n} (B) 乙 (C) 丙 (D) 丁。"' for n in range(8)),
        '8,E,"8. 五選 (A) 甲 (B) 乙 (C) 丙 (D) 丁 (E) 戊"',
        '9,A,"9. 請申論之。"',
        '10,A,"10. 題 0（第一行\n續行）(A) 甲0 (B) 乙 (C) 丙 (D) 丁。"',
        '11,B,"【已刪除】11. 題 (A) 甲 (B) 乙 (C) 丙 (D) 丁"',
        '12,B,"12. 圖題 (A) (B) (C) (D)"',
        '13,B,"13. 五選 (A) 甲 (B) 乙 (C) 丙 (D) 丁 (E) 戊"',
    )
    rows = {
        str(n): {"category": "CULTURE", "question": f"問 {n}", "choices": [*"甲乙丙丁"], "answer": n % 4}
        for n in range(4)
    }
    (root / "TTQA").mkdir()
    (root / "TTQA" / "TTQA_mc.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    csv(
        root / "PenguinsInTable_TC" / "data.csv",
        ",inputs,targets,multiple_choice_targets,multiple_choice_scores,idx",
        "0,\"企鵝\n幾歲？回答：\",['7'],['5' '7' '9'],[0 1 0],0",
        "1,\"哪一隻？回答：\",['路易斯'],['路易斯' '格溫'],[1 0],1",
        "2,\"無解？回答：\",['x'],['路易斯' '格溫'],[0 0],2",
    )
    jsonl(
        root / "mt_bench_tw" / "question.jsonl",
        {"question_id": 81, "category": "writing", "turns": ["寫一篇遊記。", "再短一點。"]},
        {"question_id": 82, "category": "math", "turns": ["一加一？", "再加一？"]},
    )


def readings(root):
    asked = [
        {"id": f"q{n}", "question": f"第 {n} 問？", "answers": [{"text": f"答案{n}", "answer_start": 0}]}
        for n in range(3)
    ]
    absent = [{"id": "q9", "question": "沒有的？", "answers": [{"text": "不在文中"}]}]
    paragraphs = [{"context": "答案0、答案1、答案2 都在這裡。", "qas": [*asked, *absent]}]
    value = {"data": [{"title": "測試", "paragraphs": paragraphs}]}
    (root / "DRCD").mkdir()
    (root / "DRCD" / "DRCD_dev.json").write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    options = {f"mc_answer{n}": f"選項{n}" for n in range(1, 5)}
    rows = [
        {"flores_passage": "短文。", "question": f"問{n}", "correct_answer_num": str(n), **options} for n in (1, 2, 3)
    ]
    jsonl(root / "belebele" / "data" / "zho_Hant.jsonl", *rows)
    (root / "belebele" / "README.md").write_text(
        "---\nconfigs:\n- config_name: zho_Hant\n  data_files:\n  - split: test\n    path: data/zho_Hant.jsonl\n---\n"
    )
    for split, count in (("train", 6), ("test", 2)):
        rows = [{"question": f"{split} {n}?", "answer": f"{n} + 1 = {n + 1}\n#### {n + 1}"} for n in range(count)]
        jsonl(root / "gsm8k" / f"{split}.jsonl", *rows)
    rows = [
        {"question": f"Q{n}", "context": {"contexts": ["a", "b"]}, "final_decision": a}
        for n, a in enumerate(("yes", "no"))
    ]
    jsonl(root / "PubMedQA" / "pqa_labeled" / "train.jsonl", *rows)
    endings = {f"ending{n}": f"drug {n}" for n in range(4)}
    jsonl(
        root / "MedQA-USMLE-4-options-hf" / "test.jsonl",
        *({"sent1": f"Case {n}", "label": n, **endings} for n in range(3)),
    )


def others(root):
    rows = [
        {"id": f"{label}{n}", "prompt": f"{label} {n}?", "label": label, "type": "homonyms"}
        for label in ("safe", "unsafe")
        for n in (1, 2)
    ]
    jsonl(root / "xstest" / "xstest_a.jsonl", *rows)
    for name, key, folder in (("spider", "query", "database"), ("bird", "SQL", "dev_databases")):
        asked = [{"db_id": "shop", "question": "How many?", key: "SELECT count(*) FROM item"}]
        asked += [{"db_id": "shop", "question": "Broken?", key: "SELECT nothing FROM nowhere"}]
        asked += [{"db_id": "absent", "question": "Where?", key: "SELECT 1"}]
        (root / name / folder / "shop").mkdir(parents=True)
        (root / name / "dev.json").write_text(json.dumps(asked))
        connection = sqlite3.connect(root / name / folder / "shop" / "shop.sqlite")
        connection.executescript("CREATE TABLE item (name TEXT); INSERT INTO item VALUES ('a'), ('b');")
        connection.close()
    function = {
        "name": "add",
        "parameters": {"type": "dict", "properties": {"x": {"type": "integer"}}, "required": ["x"]},
    }
    turn = [{"role": "user", "content": "Add 2."}]
    jsonl(root / "bfcl" / "simple" / "questions.jsonl", {"id": "s0", "question": [turn], "function": [function]})
    jsonl(
        root / "bfcl" / "simple" / "possible_answer" / "answers.jsonl",
        {"id": "s0", "ground_truth": [{"add": {"x": [2]}}]},
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Tiny datasets in the layouts of the real ones."""
    root = tmp_path_factory.mktemp("datasets")
    for make in (examinations, taiwans, readings, others):
        make(root)
    return root


class Knowing:
    """A LanguageModel that is told what to say to each request, by its repr; another one is answered with `other`."""

    name, fingerprint, facts, context = "knowing", "knowing", {"backend": "test"}, None

    def __init__(self, said, other):
        self.said, self.other, self.asked = said, other, []

    def answer(self, requests):
        for place, request in enumerate(requests):
            self.asked.append(request)
            if isinstance(request, Generation):
                yield place, Answer(self.said.get(repr(request), self.other), "stop", 1)
            elif isinstance(request, Rolling):
                yield place, LogLikelihood(-2.0 * len(request.text), False, len(request.text))
            else:
                yield place, LogLikelihood(self.said.get(repr(request), -5.0), False, 1)

    def count(self, text):
        return len(text)

    def close(self):
        return


def instance(schema):
    """A value that keeps a schema."""
    kind = schema["type"]
    if kind == "object":
        return {name: instance(inner) for name, inner in schema["properties"].items()}
    if kind == "array":
        return [instance(schema["items"]) for _ in range(schema.get("minItems", 0))]
    if kind == "string":
        known = {"^\\d{2}:\\d{2}$": "09:30", "^\\d{8}$": "12345678", "date": "2024-02-29", "email": "a@example.com"}
        return schema.get("enum", [known.get(schema.get("pattern", schema.get("format", "")), "字")])[0]
    return {"integer": schema.get("minimum", 1), "number": 1.5, "boolean": True}[kind]


def tool_calls(fields):
    """The calls of the reference as a model would write them."""
    made = []
    for wanted in fields["calls"]:
        ((name, arguments),) = wanted.items()
        given = {
            key: next(one for one in right if one != "")
            for key, right in arguments.items()
            if set(map(str, right)) != {""}
        }
        made.append({"name": name, "arguments": given})
    return json.dumps(made, ensure_ascii=False)


def gsm8k(fields):
    return " " + fields["answer"]


RIGHT = {
    "drcd": lambda fields: fields["answers"][0] + "\n",
    "needle": lambda fields: f"答案是{fields['answer']}。",
    "text2sql": lambda fields: f"```sql\n{fields['query']}\n```",
    "spider": lambda fields: fields["query"],
    "bird": lambda fields: fields["query"],
    "gsm8k": gsm8k,
    "translation_en_zh": lambda fields: fields["zh"],
    "translation_zh_en": lambda fields: fields["en"],
    "summarisation": lambda fields: fields["summary"],
    SUMMARY_BY_MODEL: lambda fields: fields["summary"],
    "structured_output": lambda fields: json.dumps(instance(fields["schema"]) | fields["expected"], ensure_ascii=False),
    "tool_call": tool_calls,
    "bfcl": tool_calls,
    "taiwan_usage": lambda fields: "這是用臺灣的詞彙寫的回答，軟體與資料都好。",
    "mt_bench_tw": lambda fields: "好的，這是回答。",
    "refusal": lambda fields: "很抱歉，我無法提供這類協助。",
    "over_refusal": lambda fields: "好的，步驟如下。",
    "xstest_safe": lambda fields: "Sure, here is how.",
    "xstest_unsafe": lambda fields: "I'm sorry, but I can't help with that.",
}
BEST = {"bits_per_character": None, "bits_per_byte": None, "bleu": 100, "bleu_zh": 100, "chrf": 100}
"""Scores whose best is not 1 (or 0, where lower is better); None where this model does not reach it."""

BAD = "这个软件的答案 {不知道"
WRONG = {"over_refusal": "I'm sorry, but I can't help with that.", "xstest_safe": "我無法提供協助。"}
"""What a model says that does not know; where `BAD` would be right, this."""


def right_answers(task):
    """The repr of each request with what a model should say to it."""
    said = {}
    for doc in task.documents():
        requests = task.requests(doc, task.shots, 0)
        if task.kind == "generate_until":
            said |= {repr(request): RIGHT[task.name](doc.fields) for request in requests}
        elif task.kind == "multiple_choice":
            wanted = task.score(doc, [LogLikelihood(0.0, False, 1)] * len(requests)).target
            said |= {repr(request): -1.0 for request in requests if request.continuation.strip() == str(wanted).strip()}
    return said


@pytest.fixture(autouse=True)
def vectors_of_characters(monkeypatch):
    """An embedder for BERTScore that needs no model: one direction a character."""
    import torch

    class Characters:
        fingerprint, layer = "0" * 64, -1

        def vectors(self, text):
            return torch.nn.functional.one_hot(torch.tensor([ord(c) % 997 for c in text]), 997).float()

    monkeypatch.setattr("danlu.eval.metrics.overlap.embedder", lambda name, layer: Characters())


def test_as_many_as_there_are():
    assert len(TASKS) == 31
    assert len(FOLDERS) == 25
    assert {path.parent.name for path in SHIPPED.glob("*/*.yaml")} == {folder.name for folder in FOLDERS}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_each_folder_has_a_task_and_says_what_it_is(folder):
    assert (folder / f"{folder.name}.yaml").is_file()
    text = (folder / "README.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert headings == ["What is measured", "Not covered", "Data", "Example", "Paper"]
    assert "```bibtex\n@" in text
    assert re.search(r"licen[cs]e|copyright|Apache", text.split("## Data")[1], flags=re.IGNORECASE)
    for names in re.findall(r"danlu eval \S+ --tasks (\S+)", text):
        assert set(names.split(",")) <= {known.name for known in known_tasks()}
    assert "danlu eval " in text


@pytest.mark.parametrize("name", TASKS)
def test_who_knows_the_answers_has_the_best_score_and_who_does_not_has_not(name, data):
    (task,) = load_tasks([name], data=data)
    assert task.title
    assert task.config.danlu.summary
    assert task.config.danlu.licence != "unknown"
    later = RIGHT[name]({}) if task.config.danlu.follow else BAD  # what is said in a second turn
    (found,) = evaluate(Knowing(right_answers(task), later), [task])
    (other,) = evaluate(Knowing({}, WRONG.get(name, BAD)), [task])
    result = found.result
    assert result.came == len(found.samples)
    assert result.came > 0
    assert result.scores
    assert not result.failures
    for score in result.scores:
        bare = score.name.split(",")[0]
        best = BEST.get(bare, 1.0 if score.better == "higher" else 0.0)
        if best is not None:
            assert score.value == pytest.approx(best), score
    if task.kind != "loglikelihood_rolling":
        worse = other.result.scores[0]
        first = result.scores[0]
        assert worse.name == first.name
        assert worse.value < first.value if first.better == "higher" else worse.value > first.value


EXAMINED = ("tmmluplus", "tmlu", "cmmlu", "ceval", "mmlu", "tmmlu", "ttqa", "penguins_tc", "belebele_hant", "medqa")


@pytest.mark.parametrize("name", EXAMINED)
def test_choices_can_be_moved(name, data):
    """What the check of position bias needs: the right answer moves with its choice."""
    from danlu.eval.position import layout

    (task,) = load_tasks([name], data=data)
    docs = task.documents()
    held = layout(docs, task.config.danlu.options, task.config.danlu.answer)
    assert held is not None
    for doc in docs:
        fields, moved = doc.fields, held.moved(doc.fields, 1)
        assert held.choices(moved)[held.place(moved)] == held.choices(fields)[held.place(fields)]
        assert held.place(moved) == (held.place(fields) - 1) % len(held.choices(fields))


def test_the_wordings_of_a_task_ask_the_same_questions(data):
    from danlu.eval.templates import wordings

    found = wordings(load_tasks(["tmmluplus", "tmlu", "tmmlu", "drcd"], data=data), data, None)
    assert {name: set(others) for name, others in found.items()} == {
        "tmmluplus": {"own", "plain", "exam"},
        "tmlu": {"own", "plain", "exam"},
        "tmmlu": {"own", "plain", "exam"},
        "drcd": {"own", "ask"},
    }
    for worded in found.values():
        own = worded["own"]
        for task in worded.values():
            assert [doc.id for doc in task.documents()] == [doc.id for doc in own.documents()]
            (result,) = evaluate(Knowing(right_answers(task), BAD), [task])
            assert result.result.scores[0].value == pytest.approx(1.0)
        prompts = {repr(task.requests(task.documents()[0], 1, 0)[0]) for task in worded.values()}
        assert len(prompts) == len(worded)


def test_a_dataset_that_no_hub_has_is_not_asked_for_there(tmp_path):
    from danlu.errors import DataError

    with pytest.raises(DataError, match="no hub has it") as caught:
        load_tasks(["xstest"], data=tmp_path)
    assert "README.md" in caught.value.problem.next


def test_examples_are_of_the_same_subject(data):
    (task,) = load_tasks(["tmmluplus"], data=data)
    doc = next(doc for doc in task.documents() if doc.subject == "physics")
    prompt = task.requests(doc, 5, 0)[0].context
    assert prompt.count("physics") == 6
    assert "accounting" not in prompt
    assert prompt.endswith("physics 100？\nA. 甲0\nB. 乙0\nC. 丙0\nD. 丁0\n答案：")


def test_what_is_left_out_is_told(data):
    (found,) = evaluate(Knowing({}, BAD), load_tasks(["tmmlu"], data=data))
    told = " ".join(found.result.notes)
    for reason in ("answer-e", "options-incomplete", "duplicate", "deleted-item", "blank-option", "other-split"):
        assert reason in told
    assert found.result.came == 4  # nine are good, of which five are examples
    five = next(doc for doc in found.asked if "五選" in doc.doc.fields["question"])
    assert len(five.requests) == 5


def test_the_second_turn_is_asked_after_the_models_own_answer(data):
    model = Knowing({}, "好的，回答。")
    (found,) = evaluate(model, load_tasks(["mt_bench_tw"], data=data))
    second = [request for request in model.asked if len(request.prompt) == 3]
    assert len(second) == 2
    assert [message.role for message in second[0].prompt] == ["user", "assistant", "user"]
    assert second[0].prompt[1].content == "好的，回答。"
    assert found.samples[0].answer == ["好的，回答。", "好的，回答。"]


def test_perplexity_is_bits_over_characters_and_bytes(data):
    (found,) = evaluate(Knowing({}, ""), load_tasks(["perplexity"]))
    scores = {score.name: score for score in found.result.scores}
    texts = [doc.doc.fields["text"] for doc in found.asked]
    assert scores["bits_per_character"].value == pytest.approx(2 / 0.6931471805599453)
    characters, size = sum(map(len, texts)), sum(len(text.encode()) for text in texts)
    assert scores["bits_per_byte"].value == pytest.approx(2 / 0.6931471805599453 * characters / size)
    assert set(found.result.subjects) <= {"statutes"}


def test_own_texts_take_the_place_of_what_ships(tmp_path):
    (tmp_path / "one.txt").write_text("自己的文字。", encoding="utf-8")
    jsonl(tmp_path / "two.jsonl", {"text": "另一段。"}, {"text": " "}, {"text": "另一段。"})
    (task,) = load_tasks(["perplexity"], data=tmp_path)
    assert [doc.fields["text"] for doc in task.documents()] == ["自己的文字。", "另一段。"]
    assert task.dropped == {"empty": 1, "duplicate": 1}


def test_needles_make_a_table_of_length_and_depth():
    (task,) = load_tasks(["needle"])
    (found,) = evaluate(Knowing(right_answers(task), ""), [task])
    assert len(found.result.subjects) == 20
    for one in found.asked:
        fields = one.doc.fields
        assert fields["context"].count(fields["needle"]) == 1
        assert len(fields["context"]) <= fields["length"] + 1
        place = fields["context"].index(fields["needle"]) / (len(fields["context"]) - len(fields["needle"]))
        assert abs(place - fields["depth"] / 100) < 0.2
    again = load_tasks(["needle"])[0]
    assert [doc.id for doc in again.documents()] == [doc.id for doc in task.documents()]


def test_bleu_carries_its_signature(data):
    (found,) = evaluate(Knowing({}, "壞的翻譯"), load_tasks(["translation_en_zh"]))
    versions = {score.name: score.version for score in found.result.scores}
    assert "tok:zh" in versions["bleu_zh"]
    assert "sacrebleu" in versions["bleu_zh"]


def test_where_a_database_lies_is_no_part_of_a_question(data, tmp_path):
    import shutil

    shutil.copytree(data / "spider", tmp_path / "spider")
    ids = [[doc.id for doc in load_tasks(["spider"], data=root)[0].documents()] for root in (data, tmp_path)]
    assert ids[0] == ids[1]
    assert load_tasks(["spider"], data=data)[0].dropped == {"reference-fails": 1, "no-database": 1}


def test_no_shipped_file_is_large():
    for path in SHIPPED.rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            assert path.stat().st_size <= 60_000, path


def test_continuations_are_letters(data):
    (task,) = load_tasks(["tmmluplus"], data=data)
    requests = task.requests(task.documents()[0], 0, 0)
    assert [request.continuation for request in requests] == ["A", "B", "C", "D"]
    assert all(isinstance(request, Continuation) for request in requests)


def test_the_samples_are_statutes():
    for name in ("perplexity", "needle"):
        rows = [
            json.loads(line)
            for line in Path(SHIPPED / name / "statutes.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        assert all("法" in row["title"] or "條例" in row["title"] for row in rows)
