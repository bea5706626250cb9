"""Small made-up datasets with the columns of those that lm-evaluation-harness's tasks read, laid out as on the hub.

`write_all(folder)` writes them: seeded, the same bytes each time. Sentences are words in a row; only their form
matters.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]

ENGLISH = [
    "river", "stone", "lamp", "window", "doctor", "garden", "paper", "music", "teacher", "bridge", "winter",
    "engine", "market", "forest", "letter", "kitchen", "island", "animal", "yellow", "quiet", "heavy", "bright",
    "early", "careful", "green", "opens", "carries", "finds", "breaks", "follows", "watches", "paints", "measures",
]  # fmt: skip
CHINESE = [
    "老師", "學生", "圖書館", "河川", "颱風", "醫院", "火車", "資料", "程式", "軟體", "捷運", "稻米",
    "茶葉", "法律", "會計", "細胞", "溫度", "光線", "歷史", "地圖", "觀察", "計算", "建造", "保護", "記錄",
]  # fmt: skip


class Writer:
    """Makes sentences from one seed."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)

    def words(self, low: int = 3, high: int = 8) -> str:
        return " ".join(self.random.choices(ENGLISH, k=self.random.randint(low, high)))

    def sentence(self, end: str = ".") -> str:
        return self.words().capitalize() + end

    def chinese(self, low: int = 3, high: int = 7, end: str = "") -> str:
        return "".join(self.random.choices(CHINESE, k=self.random.randint(low, high))) + end

    def texts(self, count: int, make: Callable[[], str]) -> list[str]:
        found: list[str] = []
        while len(found) < count:
            text = make()
            if text not in found:
                found.append(text)
        return found


def letters(w: Writer, names: str, make: Callable[[], str], question: str, answer: str) -> dict[str, Any]:
    return {question: make() + "？", **dict(zip(names, w.texts(len(names), make), strict=True)),
            answer: w.random.choice(names)}  # fmt: skip


def arc(w: Writer) -> dict[str, Any]:
    labels = w.random.choice([list("ABCD"), list("1234"), list("ABCDE")])
    return {"id": w.words(1, 2), "question": w.sentence("?"), "answerKey": w.random.choice(labels),
            "choices": {"text": w.texts(len(labels), w.words), "label": labels}}  # fmt: skip


def openbookqa(w: Writer) -> dict[str, Any]:
    row = arc(w)
    return {"id": row["id"], "question_stem": w.words(), "choices": row["choices"], "answerKey": row["answerKey"]}


def commonsense(w: Writer) -> dict[str, Any]:
    return {"question": w.sentence("?"), "choices": {"label": list("ABCDE"), "text": w.texts(5, w.words)},
            "answerKey": w.random.choice("ABCDE")}  # fmt: skip


def piqa(w: Writer) -> dict[str, Any]:
    first, second = w.texts(2, w.sentence)
    return {"goal": w.sentence("?"), "sol1": first, "sol2": second, "label": w.random.randint(0, 1)}


def boolq(w: Writer) -> dict[str, Any]:
    return {"question": w.words(), "passage": " ".join(w.texts(3, w.sentence)), "label": w.random.randint(0, 1)}


def copa(w: Writer) -> dict[str, Any]:
    first, second = w.texts(2, w.sentence)
    return {"premise": w.sentence(), "choice1": first, "choice2": second,
            "question": w.random.choice(["cause", "effect"]), "label": w.random.randint(0, 1)}  # fmt: skip


def xcopa(w: Writer) -> dict[str, Any]:
    first, second = w.texts(2, lambda: w.chinese(end="。"))
    return {**copa(w), "premise": w.chinese(end="。"), "choice1": first, "choice2": second}


def sciq(w: Writer) -> dict[str, Any]:
    names = ["distractor1", "distractor2", "distractor3", "correct_answer"]
    return {"question": w.sentence("?"), **dict(zip(names, w.texts(4, w.words), strict=True)), "support": w.sentence()}


def siqa(w: Writer) -> dict[str, Any]:
    names = ["answerA", "answerB", "answerC"]
    return {"context": w.sentence(), "question": w.sentence("?"), **dict(zip(names, w.texts(3, w.words), strict=True)),
            "label": str(w.random.randint(1, 3))}  # fmt: skip


def mmlu(w: Writer) -> dict[str, Any]:
    return {"question": w.sentence("?"), "subject": "anatomy", "choices": w.texts(4, w.words),
            "answer": w.random.randint(0, 3)}  # fmt: skip


def cmmlu(w: Writer) -> dict[str, Any]:
    return letters(w, "ABCD", w.chinese, "Question", "Answer")


def ceval(w: Writer) -> dict[str, Any]:
    return {**letters(w, "ABCD", w.chinese, "question", "answer"), "explanation": ""}


def tmmluplus(w: Writer) -> dict[str, Any]:
    return letters(w, "ABCD", w.chinese, "question", "answer")


def tmlu(w: Writer) -> dict[str, Any]:
    names = w.random.choice(["ABCD", "ABCDE"])
    return {**letters(w, names, w.chinese, "question", "answer"), "E": w.chinese() if "E" in names else None,
            "answer": w.random.choice("ABCD")}  # fmt: skip


def belebele(w: Writer) -> dict[str, Any]:
    answers = {f"mc_answer{place}": text for place, text in enumerate(w.texts(4, w.chinese), 1)}
    return {"flores_passage": w.chinese(8, 14, "。"), "question": w.chinese(end="？"), **answers,
            "correct_answer_num": str(w.random.randint(1, 4))}  # fmt: skip


def xnli(w: Writer) -> dict[str, Any]:
    return {"premise": w.chinese(), "hypothesis": w.chinese(), "label": w.random.randint(0, 2)}


def mathqa(w: Writer) -> dict[str, Any]:
    numbers = w.random.sample(range(10, 99), 5)
    options = " , ".join(f"{letter} ) {number}" for letter, number in zip("abcde", numbers, strict=True))
    return {"Problem": w.sentence("?"), "options": options, "correct": w.random.choice("abcde")}


def pubmedqa(w: Writer) -> dict[str, Any]:
    return {"QUESTION": w.sentence("?"), "CONTEXTS": w.texts(2, w.sentence),
            "final_decision": w.random.choice(["yes", "no", "maybe"])}  # fmt: skip


def race(w: Writer) -> dict[str, Any]:
    def problem(question: str) -> dict[str, Any]:
        return {"question": question, "options": w.texts(4, w.words), "answer": w.random.choice("ABCD")}

    problems = [problem(w.sentence("?")), problem(w.words() + "  _  ."), problem(w.sentence("?"))]
    return {"article": " ".join(w.texts(3, w.sentence)), "problems": repr(problems)}


def hellaswag(w: Writer) -> dict[str, Any]:
    return {"activity_label": w.words(1, 2), "ctx_a": w.sentence(), "ctx_b": w.words(),
            "label": str(w.random.randint(0, 3)),
            "endings": w.texts(4, lambda: w.words() + " [title]  " + w.words())}  # fmt: skip


def winogrande(w: Writer) -> dict[str, Any]:
    first, second = w.texts(2, lambda: w.words(1, 1))
    return {"sentence": f"{w.words().capitalize()} _ {w.words()}.", "option1": first, "option2": second,
            "answer": w.random.choice("12")}  # fmt: skip


def wsc(w: Writer) -> dict[str, Any]:
    before = w.sentence() + " " + w.words().capitalize()
    return {"text": f"{before} it {w.words()}.", "pronoun": "it", "pronoun_loc": len(before) + 1,
            "options": w.texts(2, lambda: "The " + w.words(1, 1)), "label": w.random.randint(0, 1)}  # fmt: skip


def logiqa(w: Writer) -> dict[str, Any]:
    return {"label": w.random.choice("abcd"), "context": w.sentence(), "question": w.sentence("?"),
            "options": w.texts(4, w.sentence)}  # fmt: skip


def truthfulqa(w: Writer) -> dict[str, Any]:
    def targets(right: int, wrong: int) -> dict[str, Any]:
        return {"choices": w.texts(right + wrong, w.sentence), "labels": [1] * right + [0] * wrong}

    return {"question": w.sentence("?"), "mc1_targets": targets(1, 3), "mc2_targets": targets(2, 3)}


def medmcqa(w: Writer) -> dict[str, Any]:
    names = ["opa", "opb", "opc", "opd"]
    return {
        "question": w.sentence("?"),
        **dict(zip(names, w.texts(4, w.words), strict=True)),
        "cop": w.random.randint(0, 3),
    }


def cola(w: Writer) -> dict[str, Any]:
    return {"sentence": w.sentence(), "label": w.random.randint(0, 1)}


def mrpc(w: Writer) -> dict[str, Any]:
    return {"sentence1": w.sentence(), "sentence2": w.sentence(), "label": w.random.randint(0, 1)}


def blimp(w: Writer) -> dict[str, Any]:
    good, bad = w.texts(2, w.sentence)
    return {"sentence_good": good, "sentence_bad": bad}


def xstorycloze(w: Writer) -> dict[str, Any]:
    said = {f"input_sentence_{place}": text for place, text in enumerate(w.texts(4, lambda: w.chinese(end="。")), 1)}
    first, second = w.texts(2, lambda: w.chinese(end="。"))
    return {**said, "sentence_quiz1": first, "sentence_quiz2": second, "answer_right_ending": w.random.randint(1, 2)}


def lambada(w: Writer) -> dict[str, Any]:
    return {"text": w.sentence() + " " + w.words()}


def asdiv(w: Writer) -> dict[str, Any]:
    return {"body": w.sentence(), "question": w.sentence("?"), "answer": f"{w.random.randint(1, 99)} (apples)"}


def wikitext(w: Writer) -> dict[str, Any]:
    middle = " , ".join(w.texts(4, w.words))
    return {"page": f" = {w.words(1, 2)} = \n\n {middle} . \n The cost was 12 @,@ 000 @-@ odd . \n"}


def pile(w: Writer) -> dict[str, Any]:
    return {"text": "\n".join([*w.texts(2, w.sentence), w.chinese(end="。")])}


def triviaqa(w: Writer) -> dict[str, Any]:
    aliases = w.texts(3, lambda: w.words(1, 2).title())
    return {"question": w.words(), "answer": {"aliases": aliases, "value": aliases[0]}}


def nq_open(w: Writer) -> dict[str, Any]:
    return {"question": w.words(), "answer": w.texts(w.random.randint(1, 2), lambda: "The " + w.words(1, 2).title())}


def gsm8k(w: Writer) -> dict[str, Any]:
    number = w.random.randint(2, 4000)
    return {"question": w.sentence("?"), "answer": f"{w.sentence()}\n#### {number:,}"}


def mgsm(w: Writer) -> dict[str, Any]:
    return {"question": w.chinese(end="？"), "answer": None, "answer_number": w.random.randint(2, 400)}


def bbh(w: Writer) -> dict[str, Any]:
    return {"input": f"not ( {w.random.choice(['True', 'False'])} ) and True is",
            "target": w.random.choice(["True", "False"])}  # fmt: skip


def iwslt(w: Writer) -> dict[str, Any]:
    return {"translation": {"en": w.sentence(), "ar": w.sentence()}}


def logieval(w: Writer) -> dict[str, Any]:
    return {"content": w.sentence(), "ideal": w.random.choice("ABCD")}


def drop(w: Writer) -> dict[str, Any]:
    def answer(number: str, spans: list[str]) -> dict[str, Any]:
        return {"number": number, "date": {"day": "", "month": "", "year": ""}, "spans": spans}

    answers = [answer(str(w.random.randint(1, 99)), []), answer("", w.texts(2, lambda: w.words(1, 2)))]
    w.random.shuffle(answers)
    others = [answer("", [w.words(1, 2)])]
    columns = {key: [other[key] for other in others] for key in ("number", "date", "spans")}
    return {"query_id": w.words(1, 1), "passage": w.sentence(), "question": w.sentence("?"), "answer": answers[0],
            "validated_answers": columns}  # fmt: skip


# dataset → (configuration or None, how it is written, {split: rows}, how a row is made)
DATASETS: dict[str, list[tuple[str | None, str, dict[str, int], Callable[[Writer], dict[str, Any]]]]] = {
    "allenai/ai2_arc": [
        ("ARC-Easy", "parquet", {"train": 9, "validation": 4, "test": 12}, arc),
        ("ARC-Challenge", "parquet", {"train": 9, "validation": 4, "test": 12}, arc),
    ],
    "baber/piqa": [(None, "jsonl", {"train": 8, "validation": 12}, piqa)],
    "aps/super_glue": [
        ("boolq", "parquet", {"train": 8, "validation": 12}, boolq),
        ("copa", "parquet", {"train": 8, "validation": 12}, copa),
    ],
    "allenai/openbookqa": [("main", "jsonl", {"train": 6, "validation": 4, "test": 12}, openbookqa)],
    "allenai/sciq": [(None, "jsonl", {"train": 6, "validation": 4, "test": 12}, sciq)],
    "tau/commonsense_qa": [(None, "parquet", {"train": 8, "validation": 12}, commonsense)],
    "lighteval/siqa": [(None, "jsonl", {"train": 8, "validation": 12}, siqa)],
    "cais/mmlu": [("anatomy", "parquet", {"dev": 5, "validation": 8, "test": 12}, mmlu)],
    "haonan-li/cmmlu": [("anatomy", "csv", {"dev": 5, "test": 12}, cmmlu)],
    "ceval/ceval-exam": [("accountant", "csv", {"dev": 5, "val": 12}, ceval)],
    "ikala/tmmluplus": [("accounting", "csv", {"train": 5, "validation": 3, "test": 12}, tmmluplus)],
    "miulab/tmlu": [("AST_biology", "jsonl", {"dev": 5, "test": 12}, tmlu)],
    "facebook/belebele": [("zho_Hant", "jsonl", {"test": 12}, belebele)],
    "facebook/xnli": [("zh", "jsonl", {"train": 6, "validation": 12}, xnli)],
    "cambridgeltl/xcopa": [("zh", "jsonl", {"validation": 6, "test": 12}, xcopa)],
    "regisss/math_qa": [(None, "jsonl", {"train": 6, "validation": 4, "test": 12}, mathqa)],
    "bigbio/pubmed_qa": [
        ("pubmed_qa_labeled_fold0_source", "jsonl", {"train": 6, "validation": 4, "test": 12}, pubmedqa)
    ],
    "EleutherAI/race": [("high", "jsonl", {"test": 12}, race)],
    "Rowan/hellaswag": [(None, "jsonl", {"train": 8, "validation": 12}, hellaswag)],
    "allenai/winogrande": [("winogrande_xl", "jsonl", {"train": 8, "validation": 12}, winogrande)],
    "lighteval/winograd_wsc": [("wsc273", "jsonl", {"test": 12}, wsc)],
    "EleutherAI/logiqa": [("logiqa", "jsonl", {"train": 6, "validation": 4, "test": 12}, logiqa)],
    "truthfulqa/truthful_qa": [("multiple_choice", "parquet", {"validation": 12}, truthfulqa)],
    "openlifescienceai/medmcqa": [(None, "jsonl", {"train": 6, "validation": 12}, medmcqa)],
    "nyu-mll/glue": [
        ("cola", "jsonl", {"train": 8, "validation": 14}, cola),
        ("mrpc", "jsonl", {"train": 8, "validation": 14}, mrpc),
    ],
    "nyu-mll/blimp": [("adjunct_island", "jsonl", {"train": 12}, blimp)],
    "juletxara/xstory_cloze": [("zh", "jsonl", {"train": 6, "eval": 12}, xstorycloze)],
    "EleutherAI/lambada_openai": [("default", "jsonl", {"test": 12}, lambada)],
    "EleutherAI/asdiv": [(None, "jsonl", {"validation": 12}, asdiv)],
    "EleutherAI/wikitext_document_level": [
        ("wikitext-2-raw-v1", "jsonl", {"train": 2, "validation": 2, "test": 8}, wikitext)
    ],
    "NeelNanda/pile-10k": [(None, "jsonl", {"train": 8}, pile)],
    "mandarjoshi/trivia_qa": [("rc.nocontext", "jsonl", {"train": 8, "validation": 12}, triviaqa)],
    "google-research-datasets/nq_open": [(None, "jsonl", {"train": 8, "validation": 12}, nq_open)],
    "openai/gsm8k": [("main", "parquet", {"train": 9, "test": 12}, gsm8k)],
    "juletxara/mgsm": [("zh", "jsonl", {"train": 4, "test": 12}, mgsm)],
    "SaylorTwift/bbh": [("boolean_expressions", "jsonl", {"test": 12}, bbh)],
    "IWSLT/iwslt2017": [("iwslt2017-en-ar", "jsonl", {"train": 4, "validation": 5, "test": 12}, iwslt)],
    "baber/logiqa2": [("logieval", "jsonl", {"train": 5, "test": 12}, logieval)],
    "EleutherAI/drop": [(None, "jsonl", {"train": 5, "validation": 12}, drop)],
}  # fmt: skip


def write_all(folder: Path) -> None:
    """Every dataset under its id; one with configurations says in its card where they lie."""
    for name, parts in DATASETS.items():
        root = folder / name
        root.mkdir(parents=True, exist_ok=True)
        card = []
        for config, form, splits, make in parts:
            files = []
            for split, count in splits.items():
                writer = Writer(f"{name} {config} {split}")
                path = f"{config or 'data'}/{split}.{form}"
                write_rows(root / path, [make(writer) for _ in range(count)])
                files.append({"split": split, "path": path})
            card.append({"config_name": config or "default", "data_files": files})
        lines = ["---", "configs: " + json.dumps(card, ensure_ascii=False), "---", ""]
        (root / "README.md").write_text("\n".join(lines), encoding="utf-8")


def write_rows(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, compression="none")
    elif path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
