"""What a score may hide: the place of a choice, the wording, and questions seen in training."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.artifact import Store
from danlu.errors import DataError, UsageError
from danlu.eval import contamination, position, templates
from danlu.eval.ask import Asker, evaluate
from danlu.eval.fake import LETTERS, Choices
from danlu.eval.harness import load_tasks
from danlu.eval.position import Layout, layout, position_bias
from danlu.eval.task import Doc
from danlu.model.fake import ScriptedModel
from danlu.model.language_model import LogLikelihood
from danlu.records import Document, write_jsonl
from danlu.text.overlap import Items, core
from danlu.track import Track

QUIET = Track(quiet=True)


def question(at: int, choices: int = 4) -> dict[str, str]:
    draw = random.Random(at)
    said = {letter: f"選項{draw.randrange(10**6)}" for letter in LETTERS[:choices]}
    return {"question": f"第 {at} 題？", **said, "answer": LETTERS[draw.randrange(choices)]}


QUESTIONS = [question(at) for at in range(40)]


class Reader(ScriptedModel):
    """Knows the right choice of the questions of `known` wherever it stands; otherwise draws one by the text, or says
    always `else_says`."""

    def __init__(self, known: set[str], else_says: str = "") -> None:
        super().__init__(name="reader")
        self.known, self.else_says = known, else_says
        self.right = {one["question"]: one[one["answer"]] for one in QUESTIONS}

    def _answer(self, request):
        asked, *lines = request.context.splitlines()
        places = {line[3:]: line[0] for line in lines if line[1:3] == ". "}
        if asked in self.known:
            chosen = places[self.right[asked]]
        elif self.else_says:
            chosen = self.else_says
        else:
            chosen = random.Random(request.context).choice(sorted(places.values()))
        return LogLikelihood(-1.0 if request.continuation == chosen else -2.0, False, 1)


def bias_of(model, questions=QUESTIONS):
    return position_bias(Asker(model, None, QUIET), Choices(questions), 0, 0, False)


def test_a_model_that_knows_is_right_at_every_place() -> None:
    found = bias_of(Reader({one["question"] for one in QUESTIONS}))
    assert found.consistent == found.always == 1.0
    assert [place.here for place in found.places] == [40] * 4
    assert [place.right for place in found.places] == [40] * 4
    assert found.statistic == 0.0
    assert found.p == 1.0


def test_a_model_that_always_says_b_is_caught() -> None:
    found = bias_of(Reader(set(), "B"))
    assert [place.chosen for place in found.places] == [0, 160, 0, 0]
    assert [place.right / place.here for place in found.places] == [0, 1, 0, 0]
    assert found.consistent == 0.0
    assert found.statistic == pytest.approx(480)
    assert found.freedom == 3
    assert found.p < 1e-100


def test_half_known_half_b_and_the_figures_are_those_of_scipy() -> None:
    from scipy import stats

    known = {one["question"] for one in QUESTIONS[:20]}
    found = bias_of(Reader(known, "B"))
    assert (found.consistent, found.always, found.n) == (0.5, 0.5, 40)
    chosen = [place.chosen for place in found.places]
    assert chosen == [20, 100, 20, 20]
    expected = stats.chisquare(chosen)
    assert (found.statistic, found.p) == pytest.approx((expected.statistic, expected.pvalue))


def test_random_choices_show_no_bias() -> None:
    assert bias_of(Reader(set())).p > 0.01


def test_questions_with_different_numbers_of_choices_are_tested_apart() -> None:
    questions = [question(at, 4 if at % 2 else 3) for at in range(40)]
    found = bias_of(Reader(set(), "A"), questions)
    assert found.freedom == 2 + 3
    assert [place.here for place in found.places] == [40, 40, 40, 20]


def test_a_failed_permutation_takes_its_question_out_and_is_counted() -> None:
    model = Reader({one["question"] for one in QUESTIONS})
    model.context = max(
        len(Choices(QUESTIONS).requests(doc, 0, 0)[0].context) for doc in Choices(QUESTIONS).documents()
    )
    whole = model._answer
    from danlu.model.language_model import Failure

    model._answer = (
        lambda request: (  # type: ignore[method-assign]
            Failure("timeout")
            if request.context.startswith("第 7 題") and "A. 選項" in request.context[:20]
            else whole(request)
        )
    )
    found = bias_of(model)
    assert found.n == 39
    assert found.failures == {"timeout": 1}


SHAPES = {
    "letters": {"question": "q", "A": "x", "B": "y", "C": "z", "answer": "B"},
    "lower": {"a": "x", "b": "y", "c": "z", "label": "b"},
    "option_a": {"option_a": "x", "option_b": "y", "option_c": "z", "answer": 1},
    "belebele": {"mc_answer1": "x", "mc_answer2": "y", "mc_answer3": "z", "correct_answer_num": "2"},
    "list": {"choices": ["x", "y", "z"], "answer": 1},
    "letter of a list": {"options": ["x", "y", "z"], "answer": "B"},
    "arc": {"choices": {"text": ["x", "y", "z"], "label": ["1", "2", "3"]}, "answerKey": "2"},
    "endings": {"endings": ["x", "y", "z"], "label": "1"},
    "sol": {"sol1": "x", "sol2": "y", "label": 1},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_right_choice_moves_with_its_text(shape: str) -> None:
    fields = SHAPES[shape]
    found = layout([Doc("1", fields)])
    assert found is not None
    choices = found.choices(fields)
    assert choices[found.place(fields)] == "y"
    places = set()
    for shift in range(len(choices)):
        moved = found.moved(fields, shift)
        assert found.choices(moved)[found.place(moved)] == "y"
        assert Counter(found.choices(moved)) == Counter(choices)
        assert type(moved[found.answer]) is type(fields[found.answer])
        places.add(found.place(moved))
    assert len(places) == len(choices)
    assert found.moved(fields, 0) == fields


def test_answers_that_count_from_one_are_seen_over_all_questions() -> None:
    docs = [Doc(str(at), {"choices": ["x", "y", "z"], "answer": at}) for at in (1, 3, 2)]
    found = layout(docs)
    assert found == Layout(("choices",), "answer", base=1)


def test_choices_that_are_not_found_are_one_clear_error() -> None:
    class Strange(Choices):
        def documents(self):
            return [Doc("1", {"question": "q", "first": "x", "second": "y", "right": "x"})]

    with pytest.raises(DataError, match="are not found") as caught:
        position_bias(Asker(Reader(set()), None, QUIET), Strange(QUESTIONS), 0, 0, False)
    assert "danlu: {options:" in str(caught.value)


def test_words_that_do_not_come_from_the_fields_are_noticed() -> None:
    class Rendered(Choices):
        def _text(self, fields):
            return "這裡沒有選項。"

    with pytest.raises(DataError, match="changes nothing"):
        position_bias(Asker(ScriptedModel({"A": 0.9}), None, QUIET), Rendered(QUESTIONS[:1]), 0, 0, False)


def test_another_kind_of_task_is_refused() -> None:
    with pytest.raises(DataError, match="kind generate_until"):
        position_bias(Asker(Reader(set()), None, QUIET), Choices(QUESTIONS, kind="generate_until"), 0, 0, False)


def test_a_misread_answer_is_noticed() -> None:
    class Other(Choices):
        def score(self, doc, results):
            scored = super().score(doc, results)
            return type(scored)(scored.answer, scored.target, {"acc": 1.0 - scored.values["acc"]})

    with pytest.raises(DataError, match="is not where the field 'answer' says"):
        position_bias(Asker(Reader(set(), "B"), None, QUIET), Other(QUESTIONS), 0, 0, False)


# Wordings


def test_the_spread_over_wordings() -> None:
    task = Choices(QUESTIONS)
    polite = Choices(QUESTIONS, ask="請回答：{question}\n{choices}\n")

    class Moody(ScriptedModel):
        def _answer(self, request):
            chosen = "B" if request.context.startswith("請") else "A"
            return LogLikelihood(-1.0 if request.continuation == chosen else -2.0, False, 1)

    (found,) = templates.prompt_spread(
        Asker(Moody(), None, QUIET), "choices", {"own": task, "polite": polite}, None, 0, False
    )
    share = {letter: sum(one["answer"] == letter for one in QUESTIONS) / 40 for letter in "AB"}
    assert found.scores["own"].value == share["A"]
    assert found.scores["polite"].value == share["B"]
    assert (found.low, found.high) == (min(share.values()), max(share.values()))
    assert found.sd == pytest.approx(abs(share["A"] - share["B"]) / 2**0.5)


TASK = """\
task: quiz
dataset_path: quiz
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}\\nA. {{A}}\\nB. {{B}}\\nC. {{C}}\\nD. {{D}}\\n答："
doc_to_choice: [A, B, C, D]
doc_to_target: answer
metric_list: [{metric: acc}]
"""


@pytest.fixture
def quiz(tmp_path: Path):
    """Loads the task above with more lines in its file, over the questions of this module."""
    (tmp_path / "data" / "quiz").mkdir(parents=True)
    lines = [json.dumps(one, ensure_ascii=False) for one in QUESTIONS]
    (tmp_path / "data" / "quiz" / "test.jsonl").write_text("\n".join(lines), encoding="utf-8")

    def load(more: str = ""):
        (tmp_path / "quiz.yaml").write_text(TASK + more, encoding="utf-8")
        return load_tasks([str(tmp_path / "quiz.yaml")], data=tmp_path / "data")

    load.data = tmp_path / "data"
    return load


def test_wordings_of_a_task_file(quiz) -> None:
    tasks = quiz("danlu: {templates: {short: {doc_to_text: '問：{{question}}'}, told: {description: 請選一個。}}}\n")
    found = templates.wordings(tasks, quiz.data, 3)["quiz"]
    assert list(found) == ["own", "short", "told"]
    texts = {name: task.requests(task.documents()[0], 0, 0)[0].context for name, task in found.items()}
    assert texts["short"] == "問：第 0 題？"
    assert texts["told"] == "請選一個。" + texts["own"]
    assert len(found["short"].documents()) == 3


def test_wordings_that_are_none_or_change_the_questions_are_refused(quiz) -> None:
    with pytest.raises(UsageError, match="several wordings"):
        templates.wordings(quiz(), quiz.data, None)
    with pytest.raises(DataError, match="cannot change test_split"):
        templates.wordings(quiz("danlu: {templates: {other: {test_split: train}}}\n"), quiz.data, None)
    with pytest.raises(DataError, match="doc_to_txt"):
        templates.wordings(quiz("danlu: {templates: {other: {doc_to_txt: x}}}\n"), quiz.data, None)


def test_choices_moved_in_a_task_of_a_file(quiz) -> None:
    (task,) = quiz()
    found = position_bias(Asker(ScriptedModel({"C": 0.9}), None, QUIET), task, 0, 0, False)
    assert [place.chosen for place in found.places] == [0, 0, 160, 0]
    assert [place.right for place in found.places] == [0, 0, 40, 0]


# Seen in training

WORDS = ["丹爐", "爐火", "春天", "夜裡", "山腳下", "圖書館", "加了炭", "很旺", "老先生", "一百年", "古書", "煉成"]
PASSAGES = ["，".join(random.Random(at).choices(WORDS, k=16)) + "。" for at in range(8)]


@pytest.fixture
def asked(tmp_path: Path):
    questions = [question(at) | {"question": text} for at, text in enumerate(PASSAGES)]
    return list(evaluate(ScriptedModel({"A": 0.9}), [Choices(questions)]))


def training(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts), encoding="utf-8")
    return path


def test_questions_seen_in_training_and_the_scores_without_them(asked, tmp_path: Path) -> None:
    spaced = "　".join(PASSAGES[2]) + "！"  # another form of the same letters
    path = training(
        tmp_path / "t.jsonl", [f"前文。{PASSAGES[5]}後文。", "無關的文字，談的是別的事情。", spaced, PASSAGES[1][:9]]
    )
    (found,) = contamination.seen(asked, path, 0, QUIET)
    docs = asked[0].task.documents()
    assert set(found.seen) == {docs[2].id, docs[5].id}
    assert found.came == 8
    (within,), (without,), (whole,) = found.within, found.without, asked[0].result.scores
    assert (within.n, without.n) == (2, 6)
    assert within.value * 2 + without.value * 6 == pytest.approx(whole.value * 8)
    assert "2 of 8 questions were seen" in contamination.notes(found)[0]


def test_half_of_a_text_is_seen_and_less_is_not(asked, tmp_path: Path) -> None:
    text = core(PASSAGES[3])
    pieces = len(text) - 12
    half = text[: 12 + (pieces + 1) // 2]
    docs = asked[0].task.documents()
    assert list(contamination.seen(asked, training(tmp_path / "t", [half]), 0, QUIET)[0].seen) == [docs[3].id]
    assert not contamination.seen(asked, training(tmp_path / "t", [half[:-1]]), 0, QUIET)[0].seen
    apart = [text[:20], text[20:]]
    assert not contamination.seen(asked, training(tmp_path / "t", apart), 0, QUIET)[0].seen, "in one record"


def test_an_artifact_of_training_data(asked, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for kind, name in (("documents", "documents.jsonl"), ("split", "train.jsonl")):
        with store.draft(kind) as draft:
            write_jsonl(draft.file(name), [Document(id="1", text=PASSAGES[0], source="s")])
            write_jsonl(draft.file("test.jsonl"), [Document(id="2", text=PASSAGES[1], source="s")])
            artifact = store.commit(draft, {"id": kind, "kind": kind})
        assert list(contamination.seen(asked, artifact.path, 0, QUIET)[0].seen) == [asked[0].asked[0].doc.id]


@pytest.mark.parametrize(
    ("data", "said"), [(b"{\n", "not JSON Lines"), (b"\xff\xfe{}", "not JSON Lines"), (b"", "no record")]
)
def test_training_data_that_cannot_be_read_is_one_clear_error(data: bytes, said: str, asked, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_bytes(data)
    with pytest.raises(DataError, match=said):
        contamination.seen(asked, tmp_path / "bad.jsonl", 0, QUIET)
    with pytest.raises(DataError) as caught:
        contamination.seen(asked, tmp_path / "bed.jsonl", 0, QUIET)
    assert "bad.jsonl" in str(caught.value)


TEXT = st.text("丹爐火煉 ,。aB", max_size=30)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(TEXT, max_size=3), min_size=1, max_size=14), st.text("丹爐火煉 ,。aB", max_size=80))
def test_what_is_found_is_what_the_definition_says(items: list[list[str]], document: str) -> None:
    length = 5

    def grams(text: str) -> set[str]:
        return {core(text)[at : at + length] for at in range(len(core(text)) - length + 1)}

    often = Counter(gram for texts in items for gram in set().union(*map(grams, texts)))
    expected: dict[int, float] = {}
    for at, texts in enumerate(items):
        for text in texts:
            left = {gram for gram in grams(text) if often[gram] <= 10}
            share = len(left & grams(document)) / len(left) if left else 0.0
            if share >= 0.5:
                expected[at] = max(share, expected.get(at, 0.0))
    found = Items(items, length)
    assert found.found(document) == pytest.approx(expected)
    assert found.short == sum(not any(map(grams, texts)) for texts in items)


def test_the_same_is_found_as_by_the_step_that_cleans_training_data(tmp_path: Path) -> None:
    from danlu.data.core import code_points
    from danlu.data.core import core as folded
    from danlu.data.decontaminate import Index
    from danlu.data.decontaminate import Items as Sets

    draw = random.Random(1)
    texts = ["".join(draw.choices("丹爐火煉金木水土日月，。", k=draw.randrange(5, 60))) for _ in range(60)]
    sets = Sets(13, 0.5)
    sets.add("exam", ((str(at), [text]) for at, text in enumerate(texts)))
    index = Index(sets.save(tmp_path / "index"))
    ours = Items([[text] for text in texts])
    documents = ["".join(texts[at][: draw.randrange(60)] for at in draw.sample(range(60), 5)) for _ in range(80)]
    hits = 0
    for document in documents:
        _, grams = index.hits(code_points(folded(document)), 13)
        theirs = {item: one.share for item, one in index.found(grams).items()} if len(grams) else {}
        assert ours.found(document) == pytest.approx(theirs)
        hits += len(theirs)
    assert hits > 50


def test_choices_moved_are_told_as_a_table_and_a_line() -> None:
    title, columns, rows = position.table(bias_of(Reader(set(), "B")))
    assert "160 askings" in title
    assert len(columns) == len(rows[0])
    assert rows[1] == ["B", 40, "1.000", 160, "1.000"]
    assert "chi-square 480.00" in position.note(bias_of(Reader(set(), "B")))
