"""DRCD in its own JSON (that of SQuAD 1.1): DRCD_dev.json, DRCD_test.json, DRCD_training.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from danlu.eval.adapters import Adapter, Rows, Sorting
from danlu.eval.adapters.files import need, whole

FILES = {"train": "training", "validation": "dev"}


def read(files: Sequence[Path], split: str) -> Rows:
    """One row a question: {id, title, context, question, answers: [text, …]}. Dropped: `no-answer`;
    `answer-not-in-text` (no reference stands in the paragraph: the question cannot be answered by extraction);
    `duplicate`."""
    kept = Sorting()
    for path in files:
        for article in need(whole(path), "data", str(path)):
            for paragraph in article["paragraphs"]:
                context = paragraph["context"]
                for asked in paragraph["qas"]:
                    answers = list(
                        dict.fromkeys(one["text"] for one in asked.get("answers", []) if one["text"].strip())
                    )
                    if not answers:
                        kept.drop("no-answer")
                    elif not any(answer in context for answer in answers):
                        kept.drop("answer-not-in-text")
                    else:
                        row = {"id": asked["id"], "title": article.get("title", ""), "context": context}
                        row |= {"question": asked["question"].strip(), "answers": answers}
                        kept.keep(row, unlike=(context, row["question"]))
    return kept.done(files)


class _Splits(Adapter):
    """The split `validation` lies in a file called dev, `train` in one called training."""

    def find(self, folder: Path, split: str, root: bool = False) -> list[Path]:
        return super().find(folder, FILES.get(split, split), root)


DRCD = _Splits(("DRCD_{split}.json", "drcd_{split}.json", "{split}.json"), read, places=("rc/drcd", "DRCD", "drcd"))
