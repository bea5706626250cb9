from __future__ import annotations

import json

import pytest

from danlu.errors import DataError
from danlu.eval.choice import Question, accuracy, read_questions
from danlu.model.fake import Likelihoods

GOOD = {"question": "丹爐是什麼？", "choices": ["爐", "書"], "answer": 0}


def write(path, *lines):
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def test_letters_and_places_are_one(tmp_path):
    rows = [GOOD | {"answer": answer} for answer in (0, "A", " b ", 1)]
    found = read_questions(write(tmp_path / "q.jsonl", *rows))
    assert [question.answer for question in found] == [0, 0, 1, 1]
    assert found[0] == Question(**GOOD)


def test_blank_lines_unknown_fields_and_odd_line_marks_are_no_matter(tmp_path):
    strange = json.dumps(GOOD | {"question": "一\u2028二\x85三", "subject": "x"}, ensure_ascii=False)
    found = read_questions(write(tmp_path / "q.jsonl", "\ufeff", GOOD, "\n \r\n", strange + "\r\n"))
    assert [question.question for question in found] == ["丹爐是什麼？", "一\u2028二\x85三"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (GOOD | {"answer": 2}, "answer: not one of the 2 choices"),
        (GOOD | {"answer": "C"}, "answer: not one of the 2 choices"),
        (GOOD | {"answer": -1}, "answer: .*greater than or equal to 0"),
        (GOOD | {"answer": "AB"}, "answer: .*'AB' is neither a letter"),
        (GOOD | {"answer": "1"}, "answer: .*neither a letter"),
        (GOOD | {"answer": ""}, "answer: .*neither a letter"),
        (GOOD | {"answer": True}, "answer: .*integer"),
        (GOOD | {"answer": None}, "answer: .*integer"),
        ({"question": "?", "choices": ["a", "b"]}, "answer: .*required"),
        ({"choices": ["a", "b"], "answer": 0}, "question: .*required"),
        (GOOD | {"question": ""}, "question: .*at least 1"),
        (GOOD | {"choices": ["爐"]}, "choices: .*at least 2"),
        (GOOD | {"choices": "爐書"}, "choices: .*list"),
        (GOOD | {"choices": ["爐", 3]}, "choices.1: .*string"),
        (GOOD | {"choices": ["爐", " "]}, "choices: one is blank"),
        (GOOD | {"choices": ["爐", "爐"]}, "choices: .*the same"),
        ([1, 2], "line: .*dictionary"),
        ('{"question": \n', "not JSON"),
    ],
)
def test_a_bad_line_is_named_with_its_field(tmp_path, line, said):
    path = write(tmp_path / "q.jsonl", GOOD, "\n", line)
    with pytest.raises(DataError, match=said) as caught:
        read_questions(path)
    assert caught.value.problem.where == f"{path}:3"


def test_a_missing_file_names_its_neighbour(tmp_path):
    write(tmp_path / "questions.jsonl", GOOD)
    with pytest.raises(DataError, match="no such file") as caught:
        read_questions(tmp_path / "question.jsonl")
    assert caught.value.problem.nearest == "questions.jsonl"
    with pytest.raises(DataError, match="no such file"):
        read_questions(tmp_path / "no" / "folder.jsonl")


def test_an_empty_file_and_another_encoding_are_said(tmp_path):
    with pytest.raises(DataError, match="no question"):
        read_questions(write(tmp_path / "empty.jsonl", "\n\n"))
    (tmp_path / "big5.jsonl").write_bytes("丹爐".encode("big5"))
    with pytest.raises(DataError, match="not UTF-8"):
        read_questions(tmp_path / "big5.jsonl")


def token(tokenizer, text: str) -> int:
    (found,) = tokenizer(text, add_special_tokens=False).input_ids
    return found


def test_the_likeliest_choice_is_right_and_a_tie_is_wrong(tiny_tokenizer):
    scorer = Likelihoods({token(tiny_tokenizer, "爐"): 0.4, token(tiny_tokenizer, "丹"): 0.2})
    questions = [
        Question(question="?", choices=["丹", "爐"], answer=1),
        Question(question="?", choices=["丹", "爐"], answer=0),
        Question(question="?", choices=["子", "座"], answer=0),
    ]
    assert accuracy(scorer, tiny_tokenizer, questions) == [1.0, 0.0, 0.0]
    assert accuracy(scorer, tiny_tokenizer, []) == []


def test_likelihood_is_taken_per_character(tiny_tokenizer):
    """In all, 子 (0.3) beats 丹爐丹爐 (two tokens, 0.2 each); per character 0.2^(2/4) = 0.45 beats 0.3."""
    assert len(tiny_tokenizer("丹爐丹爐", add_special_tokens=False).input_ids) == 2
    scorer = Likelihoods({token(tiny_tokenizer, "丹爐"): 0.2, token(tiny_tokenizer, "子"): 0.3})
    assert accuracy(scorer, tiny_tokenizer, [Question(question="?", choices=["子", "丹爐丹爐"], answer=1)]) == [1.0]


def test_a_choice_is_scored_as_the_assistants_answer(tiny_tokenizer):
    seen = []

    class Recording(Likelihoods):
        def loglikelihood(self, pairs):
            seen.extend(pairs)
            return super().loglikelihood(pairs)

    accuracy(Recording({}), tiny_tokenizer, [Question(**GOOD)])
    assert [tiny_tokenizer.decode(context + choice) for context, choice in seen] == [
        f"<bos><start_of_turn>user\n丹爐是什麼？<end_of_turn>\n<start_of_turn>model\n{choice}"
        for choice in ("爐", "書")
    ]
