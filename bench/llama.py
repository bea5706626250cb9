"""Do llama.cpp and transformers answer alike, on the same weights?

    python bench/llama.py [--each 25] [--data DIR]

The weights are those of the built-in gemma-3-270m, which are 4-bit ones: the GGUF file itself, and what it expands to,
in transformers (float32) and as a GGUF file in f32. Asked are questions of TMMLU with four choices, the same number of
each of four subjects without examples and with five. The figures are, against transformers: the share of equal
predictions, the accuracies and their standard error, and the largest difference of a log-likelihood. Beside 4-bit
weights llama.cpp rounds the activations to 8 bits; beside float32 it differs in the order of sums and in GELU, which it
looks up in a table of 16 bits. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sides import ROOT, finish

from danlu.eval.harness import load_tasks
from danlu.model.find import gguf_file, locate
from danlu.model.language_model import LogLikelihood, Request
from danlu.model.subject import open_model
from danlu.quant.gguf import write
from danlu.track import Track

MODEL = "gemma-3-270m"
SUBJECTS, SHOTS = 4, (0, 5)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=25, help="questions of a subject, with so many examples")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "bench")
    parser.add_argument("--threads", type=int, default=None)
    args = parser.parse_args()
    questions, right = asked(args.data, args.each)
    with tempfile.TemporaryDirectory() as folder:
        files = {"f32": Path(folder) / "f32.gguf", "q4_k_m": gguf_file(MODEL)}
        write(locate(MODEL), files["f32"], "f32", {"licence": "", "terms": ""}, Track(quiet=True))
        reference = answers(MODEL, questions, args.threads)
        found = {word: answers(str(path), questions, args.threads) for word, path in files.items()}
    scores = {word: compared(reference, other, right) for word, other in found.items()}
    for word, score in scores.items():
        print(word, json.dumps(score), file=sys.stderr)
    line: dict[str, Any] = {"questions": len(right), "transformers_acc": round(accuracy(reference, right), 4)}
    for word, score in scores.items():
        line |= {f"{word}_equal": score["equal"], f"{word}_acc": score["accuracy"]}
    line["stderr"] = round(error_of(accuracy(reference, right), len(right)), 4)
    finish("llama", line, scores | {"model": MODEL, "shots": SHOTS}, ["xllamacpp", "transformers", "torch"])
    return 0


def asked(data: Path, each: int) -> tuple[list[list[Request]], list[int]]:
    """The requests of each question, and which of its choices is right."""
    (task,) = load_tasks(["tmmlu"], data=data)
    by_subject: dict[str, list[Any]] = {}
    for doc in task.documents():
        by_subject.setdefault(doc.subject, []).append(doc)
    subjects = sorted(by_subject.values(), key=len, reverse=True)[:SUBJECTS]
    chosen = [(doc, shots) for docs in subjects for number, shots in enumerate(SHOTS)
              for doc in docs[number * each :][:each]]  # fmt: skip
    letters = [doc.fields["letters"].index(doc.fields["answer"]) for doc, _ in chosen]
    return [task.requests(doc, shots, 0) for doc, shots in chosen], letters


def answers(name: str, questions: list[list[Request]], threads: int | None) -> list[list[float]]:
    """The log-likelihood of each choice of each question."""
    began = time.perf_counter()
    model = open_model(name, threads=threads)
    flat = [request for requests in questions for request in requests]
    results = dict(model.answer(flat))
    model.close()
    print(f"{model.facts['backend']} {name}: {time.perf_counter() - began:.1f} s", file=sys.stderr)
    values = iter([results[place] for place in range(len(flat))])
    found = []
    for requests in questions:
        some = [next(values) for _ in requests]
        assert all(isinstance(one, LogLikelihood) for one in some), some
        found.append([one.value for one in some if isinstance(one, LogLikelihood)])
    return found


def predicted(logs: list[list[float]]) -> list[int]:
    return [row.index(max(row)) for row in logs]


def accuracy(logs: list[list[float]], right: list[int]) -> float:
    return sum(a == b for a, b in zip(predicted(logs), right, strict=True)) / len(right)


def error_of(share: float, n: int) -> float:
    return math.sqrt(share * (1 - share) / (n - 1))


def compared(reference: list[list[float]], other: list[list[float]], right: list[int]) -> dict[str, float]:
    same = sum(a == b for a, b in zip(predicted(reference), predicted(other), strict=True))
    worst = max(abs(a - b) for x, y in zip(reference, other, strict=True) for a, b in zip(x, y, strict=True))
    return {
        "equal": round(same / len(right), 4),
        "accuracy": round(accuracy(other, right), 4),
        "largest_difference": worst,
        "n": len(right),
    }


if __name__ == "__main__":
    raise SystemExit(main())
