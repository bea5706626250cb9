"""Asks lm-evaluation-harness itself, and writes what it asked and scored to tests/eval/harness_scores.json.

Run by hand, with an environment that has lm-eval 0.4.13 (`lm_eval[hf]`) and a folder with a tokenizer::

    python tests/eval/harness/make_scores.py TOKENIZER_FOLDER [TASK …]

(the bootstrap of the F1 and Matthews scores takes some minutes; the other tasks seconds).
Every task below runs from its own, unmodified YAML file over the made-up datasets of `datasets_like.py`. Tasks that
score likelihoods are asked of a tiny Llama with random weights; tasks that generate are answered by a script that draws
from right, nearly right and wrong answers, because random weights never write a right one. The YAML files and the
Python beside them are copied to tests/eval/harness_tasks/.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import random
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FROZEN = HERE.parent / "harness_scores.json"
sys.path.insert(0, str(HERE))
from datasets_like import write_all  # noqa: E402 - the folder is not a package

# task → (its YAML file, examples before each question)
TASKS = {
    "arc_easy": ("arc/arc_easy.yaml", 0),
    "arc_challenge": ("arc/arc_challenge.yaml", 5),
    "piqa": ("piqa/piqa.yaml", 0),
    "boolq": ("super_glue/boolq/default.yaml", 3),
    "copa": ("super_glue/copa/default.yaml", 2),
    "openbookqa": ("openbookqa/openbookqa.yaml", 1),
    "sciq": ("sciq/sciq.yaml", 0),
    "commonsense_qa": ("commonsense_qa/default.yaml", 4),
    "social_iqa": ("siqa/siqa.yaml", 0),
    "mmlu_anatomy": ("mmlu/default/mmlu_anatomy.yaml", 5),
    "cmmlu_anatomy": ("cmmlu/cmmlu_anatomy.yaml", 5),
    "ceval-valid_accountant": ("ceval/ceval-valid_accountant.yaml", 5),
    "tmmluplus_accounting": ("tmmluplus/default/tmmluplus_accounting.yaml", 5),
    "tmlu_AST_biology": ("tmlu/default/tmlu_AST_biology.yaml", 3),
    "belebele_zho_Hant": ("belebele/belebele_zho_Hant.yaml", 2),
    "xnli_zh": ("xnli/xnli_zh.yaml", 0),
    "xcopa_zh": ("xcopa/default_zh.yaml", 0),
    "mathqa": ("mathqa/mathqa.yaml", 2),
    "pubmedqa": ("pubmedqa/pubmedqa.yaml", 1),
    "race": ("race/race.yaml", 0),
    "hellaswag": ("hellaswag/hellaswag.yaml", 2),
    "winogrande": ("winogrande/default.yaml", 2),
    "wsc273": ("wsc273/default.yaml", 2),
    "logiqa": ("logiqa/logiqa.yaml", 0),
    "truthfulqa_mc1": ("truthfulqa/truthfulqa_mc1.yaml", 0),
    "truthfulqa_mc2": ("truthfulqa/truthfulqa_mc2.yaml", 0),
    "medmcqa": ("medmcqa/medmcqa.yaml", 3),
    "cola": ("glue/cola/default.yaml", 3),
    "mrpc": ("glue/mrpc/default.yaml", 0),
    "blimp_adjunct_island": ("blimp/adjunct_island.yaml", 0),
    "xstorycloze_zh": ("xstorycloze/default_zh.yaml", 1),
    "lambada_openai": ("lambada/lambada_openai.yaml", 0),
    "asdiv": ("asdiv/default.yaml", 3),
    "wikitext": ("wikitext/wikitext.yaml", 0),
    "pile_10k": ("pile_10k/pile_10k.yaml", 0),
    "triviaqa": ("triviaqa/default.yaml", 2),
    "nq_open": ("nq_open/nq_open.yaml", 5),
    "gsm8k": ("gsm8k/gsm8k.yaml", 5),
    "gsm8k_cot": ("gsm8k/gsm8k-cot.yaml", 8),
    "gsm8k_cot_self_consistency": ("gsm8k/gsm8k-cot-self-consistency.yaml", 8),
    "mgsm_direct_zh": ("mgsm/direct/mgsm_direct_zh.yaml", 3),
    "bbh_cot_fewshot_boolean_expressions": ("bbh/cot_fewshot/boolean_expressions.yaml", 3),
    "iwslt2017-en-ar": ("translation/iwslt2017_en-ar.yaml", 2),
    "logieval": ("logiqa2/logieval.yaml", 1),
    "mmlu_flan_cot_zeroshot_anatomy": ("mmlu/flan_cot_zeroshot/mmlu_anatomy.yaml", 0),
    "drop": ("drop/default.yaml", 1),
}


def tiny_llama(tokenizer: Path, folder: Path) -> None:
    """A Llama of two layers with random weights, wide enough apart that its choices differ."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    loaded = AutoTokenizer.from_pretrained(tokenizer)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(loaded), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=4096, initializer_range=0.4,
        bos_token_id=loaded.bos_token_id, eos_token_id=loaded.eos_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    loaded.save_pretrained(folder)


def scripted(task: str, doc: dict[str, Any], draw: random.Random) -> str:
    """An answer that is right, nearly right, or wrong."""
    number = str(doc.get("answer_number") or re.sub(r".*#### ", "", str(doc.get("answer")), flags=re.DOTALL))
    wrong = str(draw.randint(2, 4000))
    if task == "triviaqa":
        right = [doc["answer"]["aliases"][-1].lower() + "!", " " + doc["answer"]["value"]]
        return draw.choice([*right, "the lamp", doc["question"]])
    if task == "nq_open":
        return draw.choice(
            [" " + doc["answer"][0], doc["answer"][-1][4:].upper(), "A " + doc["answer"][0][4:], "stone"]
        )
    if task.startswith("gsm8k"):
        endings = [f"#### {number}", f"#### {wrong}", f"The answer is {number}.", f"The answer is {wrong}.",
                   f"so {number} apples", f"${number}", "I do not know"]  # fmt: skip
        return f" {draw.randint(1, 9)} and more. " + draw.choice(endings)
    if task.startswith("mgsm"):
        return draw.choice([f" {number}", f"大約是 {number} 個。", wrong, f"{number}.", "不知道"])
    if task.startswith("bbh"):
        said = draw.choice([doc["target"], "True", "False"])
        return draw.choice([f"We see. So the answer is {said}.", f"the answer is {said}", f"{said}."])
    if task.startswith("iwslt"):
        words = doc["translation"]["ar"].split()
        draw.shuffle(words[2:])
        return " " + " ".join(words[: draw.randint(1, len(words))] + draw.choice([[], ["stone", "lamp"]]))
    if task == "logieval":
        return draw.choice([f"  {doc['ideal']}", "A", "The answer is B", "D, because"])
    if task.startswith("mmlu_flan"):
        letter, choice = draw.choice("ABCD"), draw.choice(doc["choices"])
        right = "ABCD"[doc["answer"]]
        return draw.choice(
            [f"The answer is ({right}).", f"I think ({letter})", choice.upper(), f"Answer: {right}", "no"],
        )
    answers = doc.get("answers", [["stone"]])
    said = draw.choice([*answers, ["stone", "lamp"]])
    return draw.choice([" ".join(said), "the " + " and ".join(said), "12"])


def script_model() -> Any:
    from lm_eval.api.model import LM

    class Script(LM):
        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
            found = []
            for turn, request in enumerate(requests):
                draw = random.Random(f"{request.args[0]} {turn}")
                text = scripted(request.task_name, request.doc, draw)
                for mark in request.args[1]["until"]:
                    text = text.split(mark)[0] if mark else text
                found.append(text)
            return found

        def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> Any:
            raise NotImplementedError

        loglikelihood_rolling = loglikelihood

    return Script()


def digest(parts: tuple[Any, ...]) -> str:
    return hashlib.sha256("\0".join(str(part) for part in parts if isinstance(part, str)).encode()).hexdigest()[:16]


def asked(results: dict[str, Any], name: str) -> dict[str, Any]:
    """What one task asked, what came back and what it scored."""
    samples = results["samples"][name]
    first = [sample for sample in samples if sample["filter"] == samples[0]["filter"]]
    found = {"prompts": [], "answers": []}
    for sample in sorted(first, key=lambda sample: sample["doc_id"]):
        arguments = sample["arguments"]
        found["prompts"].append([digest(tuple(one)) for one in arguments])
        found["answers"].append([list(answers) for answers in sample["resps"]])
    scores = {
        key: value
        for key, value in results["results"][name].items()
        if "," in key and isinstance(value, float | int | str)
    }
    return {**found, "scores": scores, "higher_is_better": results["higher_is_better"][name]}


def copy_tasks(source: Path, target: Path) -> None:
    """The YAML files, what they include, and the Python beside them."""
    if target.exists():
        shutil.rmtree(target)
    for file, _ in TASKS.values():
        wanted = [source / file]
        while wanted:
            path = wanted.pop()
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
            text = path.read_text(encoding="utf-8")
            wanted += [
                (path.parent / name).resolve() for name in re.findall(r"^\"?include\"?: \"?([\w./-]+)", text, re.M)
            ]
            modules = {spec.rsplit(".", 1)[0] for spec in re.findall(r"!function\s+([\w.]+)", text)}
            wanted += [path.parent / f"{module}.py" for module in modules]


def main() -> None:
    tokenizer = Path(sys.argv[1]).resolve()
    os.environ |= {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "DISABLE_MULTIPROC": "1",
    }
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HF_HOME"] = f"{folder}/cache"
        os.chdir(folder)
        write_all(Path(folder))
        import lm_eval
        import lm_eval.tasks
        from lm_eval.models.huggingface import HFLM

        source = Path(lm_eval.__file__).parent / "tasks"
        copy_tasks(source, HERE.parent / "harness_tasks")
        tiny_llama(tokenizer, Path(folder) / "model")
        model = HFLM(pretrained=f"{folder}/model", dtype="float32", batch_size=1, device="cpu")
        script = script_model()
        manager = lm_eval.tasks.TaskManager(include_path=str(HERE.parent / "harness_tasks"), include_defaults=False)
        kept = json.loads(FROZEN.read_text(encoding="utf-8"))["tasks"] if FROZEN.is_file() else {}
        found = {name: task for name, task in kept.items() if name in TASKS}
        for name in sys.argv[2:] or TASKS:
            (file, shots) = TASKS[name]
            kind = manager._index[name].cfg.get("output_type")
            results = lm_eval.simple_evaluate(
                model=script if kind == "generate_until" else model, tasks=[name], num_fewshot=shots,
                task_manager=manager, random_seed=0,
            )  # fmt: skip
            found[name] = {"file": file, "shots": shots, "kind": kind, **asked(results, name)}
            print(name, found[name]["scores"], flush=True)
    versions = {
        one: importlib.metadata.version(one) for one in ("lm_eval", "transformers", "torch", "datasets", "sacrebleu")
    }
    text = json.dumps({"versions": versions, "tasks": found}, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    FROZEN.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
