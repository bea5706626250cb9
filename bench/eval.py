"""Evaluation: seconds, peak memory and equality of danlu.eval against lm-evaluation-harness (pinned, in .envs/eval).

Both sides read the same YAML task files over the same questions of TMMLU (Taiwan examinations; five examples before
each question, by subject) with the same model folder, in float32 on the same threads, and write every log-likelihood.
Each side is a process of its own, timed from its start to its written results. Three sections:

    letters   the answer is a letter, one token; the harness's logits cache is on (its default), which answers the
              four choices of a question with one forward
    texts     the answer is the text of a choice, several tokens
    rolling   perplexity of articles of Taiwan's laws, put together to documents

The harness runs with the batch size that is its fastest on a small part of the requests. Its `auto` is not among
them: it begins with 64 rows, whose logits and log-probabilities over 262,144 words do not fit this memory, and on a
CPU that ends the process. Subjects are those with the shortest questions, which keeps the harness's side to minutes.

    .venv/bin/pip install -e '.[bench]' && .venv/bin/python bench/eval.py --questions 50
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sides import ROOT, environment, finish, timed

MODEL = "gemma-3-270m"
PINS = ["lm_eval==0.4.13", "torch==2.13.0", "transformers==5.24.0", "accelerate"]
DATA = ROOT.parent / "shared" / "data"
BATCHES = (1, 4, 8)  # 16 was slower where its logits fit, and 16 whole documents' do not
SHOTS = 5
LETTERS = """\
task: {name}
dataset_path: json
dataset_kwargs:
  data_files: {{dev: {folder}/{name}-dev.jsonl, test: {folder}/{name}-test.jsonl}}
test_split: test
fewshot_split: dev
fewshot_config: {{sampler: first_n}}
num_fewshot: {shots}
output_type: multiple_choice
description: "以下是關於{subject}的單選題，請選出正確的答案。\\n\\n"
doc_to_text: "{{{{question.strip()}}}}\\nA. {{{{A}}}}\\nB. {{{{B}}}}\\nC. {{{{C}}}}\\nD. {{{{D}}}}\\n答案："
doc_to_choice: {choice}
doc_to_target: answer
target_delimiter: ""
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
metadata: {{version: 1.0}}
"""
CHOICE = {"letters": '["A", "B", "C", "D"]', "texts": '"{{[A, B, C, D]}}"'}
ROLLING = """\
task: {name}
dataset_path: json
dataset_kwargs:
  data_files: {{test: {folder}/{name}-test.jsonl}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list: [{{metric: bits_per_byte}}]
metadata: {{version: 1.0}}
"""

# What is asked


def write_tasks(folder: Path, section: str, subjects: int, questions: int) -> dict[str, Any]:
    """The YAML and data files of a section; what is in them."""
    if section == "rolling":
        texts = law_documents(questions)
        write_rows(folder / "laws-test.jsonl", [{"text": text} for text in texts])
        (folder / "laws.yaml").write_text(ROLLING.format(name="laws", folder=folder), encoding="utf-8")
        return {"tasks": ["laws"], "documents": len(texts), "characters": sum(map(len, texts))}
    from danlu.eval.adapters import read_rows

    found = {split: read_rows("tmmlu", DATA / "bench", "tmmlu", split) for split in ("dev", "test")}
    if found["test"] is None or found["dev"] is None:
        raise SystemExit(f"no questions in {DATA / 'bench' / 'tmmlu'}")
    names = shortest(found["test"].rows, subjects, questions)
    for number, subject in enumerate(names):
        name = f"{section}{number}"
        for split, count in (("dev", SHOTS), ("test", questions)):
            rows = [flat(row) for row in found[split].rows if row["subject"] == subject and len(row["choices"]) == 4]
            write_rows(folder / f"{name}-{split}.jsonl", rows[:count])
        text = LETTERS.format(name=name, folder=folder, shots=SHOTS, subject=subject, choice=CHOICE[section])
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    left_out = {why: n for why, n in found["test"].dropped.items() if why != "other-split"}
    return {
        "tasks": [f"{section}{number}" for number in range(len(names))],
        "subjects": names,
        "questions": questions * len(names),
        "left_out": {"of": found["test"].came, **left_out},
    }


def shortest(rows: list[dict[str, Any]], subjects: int, questions: int) -> list[str]:
    """The subjects with the shortest questions among those that have enough with four choices."""
    lengths: dict[str, list[int]] = {}
    for row in rows:
        if len(row["choices"]) == 4:
            lengths.setdefault(row["subject"], []).append(len(row["question"]) + sum(map(len, row["choices"])))
    enough = {subject: some for subject, some in lengths.items() if len(some) >= questions}
    if len(enough) < subjects:
        raise SystemExit(f"only {len(enough)} subjects have {questions} questions")
    return sorted(enough, key=lambda subject: statistics.mean(enough[subject][:questions]))[:subjects]


def flat(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "question": row["question"],
        **dict(zip("ABCD", row["choices"], strict=True)),
        "answer": "ABCD".index(row["answer"]),
    }


def law_documents(count: int) -> list[str]:
    """Documents of at least 800 characters, each of consecutive articles."""
    documents, parts = [], []
    with gzip.open(DATA / "corpus" / "tw-law-large.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            parts.append(json.loads(line)["text"])
            if sum(map(len, parts)) >= 800:
                documents.append("\n".join(parts))
                parts = []
            if len(documents) == count:
                break
    return documents


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


# The sides. Each writes {task: [[[what was asked, log-likelihood], …] of each question]}


def ours(args: argparse.Namespace) -> None:
    from danlu.eval.ask import evaluate
    from danlu.eval.harness import load_tasks
    from danlu.model.language_model import Continuation, LogLikelihood, Rolling
    from danlu.model.subject import open_model
    from danlu.track import Track

    tasks = load_tasks(args.tasks, include=[args.folder])
    model = open_model(args.model, threads=args.threads)
    made = {}
    for done in evaluate(model, tasks, track=Track()):
        rows = made[done.task.name] = []
        for one in done.asked:
            rows.append([])
            for request, result in zip(one.requests, one.results, strict=True):
                assert isinstance(result, LogLikelihood), result
                assert isinstance(request, Continuation | Rolling)
                asked = [request.text] if isinstance(request, Rolling) else [request.context, request.continuation]
                rows[-1].append([asked, result.value])
    args.out.write_text(json.dumps(made, ensure_ascii=False), encoding="utf-8")


def theirs(args: argparse.Namespace) -> None:
    import lm_eval
    from lm_eval.tasks import TaskManager

    found = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": args.model, "dtype": "float32", "logits_cache": True},
        tasks=args.tasks,
        task_manager=TaskManager(include_path=str(args.folder), include_defaults=False),
        batch_size=args.batch,
        device="cpu",
        bootstrap_iters=0,
        log_samples=True,
    )
    made = {}
    for name, samples in found["samples"].items():
        rows = made[name] = []
        for sample in sorted(samples, key=lambda one: one["doc_id"]):
            asked = list(sample["arguments"])
            values = [one[0][0] if isinstance(one[0], list | tuple) else one[0] for one in sample["resps"]]
            rows.append([[list(what), float(value)] for what, value in zip(asked, values, strict=True)])
    args.out.write_text(json.dumps(made, ensure_ascii=False), encoding="utf-8")


def choose(args: argparse.Namespace) -> None:
    """Seconds of the harness's model on the first questions of a task, by batch size."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    asked = json.loads(args.data.read_text(encoding="utf-8"))
    kind = "loglikelihood" if len(asked[0]) == 2 else "loglikelihood_rolling"
    requests = [Instance(kind, {}, tuple(one), n) for n, one in enumerate(asked)]
    model = HFLM(args.model, dtype="float32", device="cpu", logits_cache=True)
    seconds = {}
    getattr(model, kind)(requests[:4], disable_tqdm=True)
    for size in BATCHES:
        model.batch_size_per_gpu = size
        began = time.perf_counter()
        getattr(model, kind)(requests, disable_tqdm=True)
        seconds[size] = time.perf_counter() - began
    args.out.write_text(json.dumps(seconds), encoding="utf-8")


# Measuring


def section(name: str, args: argparse.Namespace, subjects: int, questions: int) -> dict[str, Any]:
    """Both sides of a section."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        facts = write_tasks(folder, name, subjects, questions)
        a, rows = side("ours", folder, facts, args)
        asked = [one[0] for task in rows.values() for question in task[:2] for one in question]
        (folder / "some.json").write_text(json.dumps(asked[:8], ensure_ascii=False))
        _, seconds = side("choose", folder, facts, args, ["--data", str(folder / "some.json")])
        best = min(seconds, key=seconds.__getitem__)
        print(f"{name}: seconds of the harness by batch size: {seconds}", file=sys.stderr)
        b, others = side("theirs", folder, facts, args, ["--batch", best])
    needed = {} if name == "rolling" else {"flop": work(Path(args.model), rows)}
    return facts | compared(rows, others) | needed | {
        "ratio": b["seconds"] / a["seconds"],
        "memory_ratio": a["peak_memory"] / b["peak_memory"],
        "seconds": {"danlu": a["seconds"], "lm_eval": b["seconds"]},
        "peak_memory": {"danlu": a["peak_memory"], "lm_eval": b["peak_memory"]},
        "batch_size": {"chosen": int(best), "seconds_on_a_part": seconds},
    }  # fmt: skip


def side(
    which: str, folder: Path, facts: dict[str, Any], args: argparse.Namespace, more: list[str] | None = None
) -> tuple[dict[str, float], Any]:
    """Seconds and peak memory of a side, and what it wrote."""
    python = sys.executable if which == "ours" else environment("eval", PINS)
    out = folder / f"{which}.json"
    command = [
        python, __file__, "--side", which, "--folder", str(folder), "--out", str(out), "--model", args.model,
        "--threads", str(args.threads), *(more or []), "--tasks", *facts["tasks"],
    ]  # fmt: skip
    offline = dict.fromkeys(("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"), "1")
    threads = {"OMP_NUM_THREADS": str(args.threads), "TOKENIZERS_PARALLELISM": "true"}
    caches = {"HF_DATASETS_CACHE": str(folder / "datasets")}
    return timed(which, command, folder / f"{which}-log", offline | threads | caches), json.loads(out.read_text())


def compared(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """How the values of the two sides differ; refuses sides that were not asked the same words."""
    same, differences, tokens = [], [], []
    for name, rows in ours.items():
        for mine, other in zip(rows, theirs[name], strict=True):
            assert [what for what, _ in mine] == [what for what, _ in other], f"{name}: not the same request"
            a, b = ([value for _, value in one] for one in (mine, other))
            same.append(a.index(max(a)) == b.index(max(b)))
            differences += [abs(x - y) for x, y in zip(a, b, strict=True)]
            tokens += [abs(x - y) / abs(y) for x, y in zip(a, b, strict=True)]
    return {
        "same_predictions": sum(same) / len(same),
        "largest_difference": max(differences),
        "largest_relative_difference": max(tokens),
        "values": len(differences),
    }


def fastest_product(threads: int) -> float:
    """Floating-point operations a second of a large float32 matrix product on the same threads."""
    import torch

    from danlu.model import onednn

    torch.set_num_threads(threads)
    a, b = torch.randn(512, 640), torch.randn(8192, 640)
    rates = []
    for _ in range(12):
        began = time.perf_counter()
        onednn.product(a, b, None)
        rates.append(2 * 512 * 640 * 8192 / (time.perf_counter() - began))
    return max(rates)


def work(folder: Path, rows: dict[str, Any]) -> float:
    """Floating-point operations that the shared work needs: two a weight and token of the trie, and two a weight of
    the head and scored place; attention is not counted."""
    from danlu.model.language_model import Continuation
    from danlu.model.load import load_tokenizer
    from danlu.model.pairs import Encoder
    from danlu.model.trie import lay_out

    config = json.loads((folder / "config.json").read_text())
    width, heads = config["hidden_size"], config["num_attention_heads"] + config["num_key_value_heads"]
    layer = 2 * width * heads * config["head_dim"] + 3 * width * config["intermediate_size"]
    encoder = Encoder(load_tokenizer(folder))
    tokens, places = 0, 0
    for task in rows.values():
        pairs = encoder.pairs([Continuation(*one[0]) for question in task for one in question])
        tokens += lay_out([list(one) for one in {(*a, *b[:-1]) for a, b in pairs}]).total
        places += len({(*a, *b[:k]) for a, b in pairs for k in range(len(b))})
    return 2.0 * (tokens * layer * config["num_hidden_layers"] + places * width * config["vocab_size"])


def everything(args: argparse.Namespace) -> None:
    from danlu.model.find import locate
    from danlu.track import Track

    args.model = str(locate(MODEL, track=Track()))
    sizes = {
        "letters": (args.subjects, args.questions),
        "texts": (args.subjects, max(2, args.questions // 20)),
        "rolling": (0, args.questions),
    }
    found = {name: section(name, args, *sizes[name]) for name in args.sections}
    main = found[args.sections[0]]
    mfu = main.get("flop", 0.0) / main["seconds"]["danlu"] / fastest_product(args.threads)
    line = {
        "ratio": round(main["ratio"], 3),
        "memory_ratio": round(main["memory_ratio"], 3),
        "agreement": round(main["same_predictions"], 4),
        "mfu": round(mfu, 3),
    }
    detail = {"model": MODEL, "threads": args.threads, "shots": SHOTS, "peers": PINS, **found}
    finish("eval", line, detail, ["torch", "transformers", "tokenizers"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=4, help="subjects (default 4)")
    parser.add_argument("--questions", type=int, default=16, help="questions of each subject (default 16)")
    parser.add_argument("--threads", type=int, default=2, help="threads of both sides (default 2)")
    parser.add_argument(
        "--sections", nargs="+", default=["letters", "texts", "rolling"], choices=["letters", "texts", "rolling"]
    )
    for name, kind in (("side", str), ("model", str), ("folder", Path), ("out", Path), ("data", Path), ("batch", int)):
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    parser.add_argument("--tasks", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    sides = {"ours": ours, "theirs": theirs, "choose": choose}
    (sides[args.side] if args.side else everything)(args)


if __name__ == "__main__":
    sys.exit(main())
