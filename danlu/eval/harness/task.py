"""A task of a YAML file: its questions, what is asked for each, and the scores."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from danlu.errors import DataError
from danlu.eval.harness import code, template
from danlu.eval.harness.data import Dataset, Row, find_dataset
from danlu.eval.harness.filters import pipelines
from danlu.eval.harness.find import Loaded, functions
from danlu.eval.harness.measure import Measure, generation, measures
from danlu.eval.harness.prompt import Writer, messages, plain
from danlu.eval.harness.read import Function
from danlu.eval.harness.sample import SEED, draws
from danlu.eval.metrics import MEAN, Answered, Ratio
from danlu.eval.metrics.aggregate import estimate
from danlu.eval.task import Doc, Scored
from danlu.extras import need
from danlu.model.language_model import Answer, Continuation, Generation, LogLikelihood, Request, Result, Rolling
from danlu.records import Message, Score


class HarnessTask:
    """A `Task` (danlu/eval/task.py) as its YAML file describes it, with lm-evaluation-harness's prompts and scores.

    A question whose right answer is not among its choices cannot be scored: it is left out and counted in `dropped` by
    reason (lm-evaluation-harness calls such an answer wrong). Not covered: pictures and sound, tasks that are Python
    classes, and group scores.
    """

    def __init__(self, loaded: Loaded, data: Path | None = None, limit: int | None = None) -> None:
        self.loaded, self.config = loaded, loaded.config
        for field, value in loaded.read.values.items():
            for function in functions(value):
                if not loaded.trust:
                    raise code.refuse(function, field)
        self.name, self.version, self.kind = self.config.task, self.config.version(), str(self.config.output_type)
        self.title = self.config.danlu.title or self.config.task_alias or self.name
        self.shots = self.config.num_fewshot or 0
        self.measures, self.filters = measures(loaded), pipelines(loaded)
        self.generation = generation(loaded) if self.kind == "generate_until" else {}
        self.split = self.config.test_split or self.config.validation_split or ""
        if not self.split:
            raise DataError("neither test_split nor validation_split: which questions?", where=str(loaded.read.path))
        self.dataset: Dataset = find_dataset(loaded, data)
        rows = self._rows(self.split, "test_split" if self.config.test_split else "validation_split")
        if not rows:
            raise DataError(f"no question in split {self.split} of {self.dataset.source}", where=self.name)
        self.writer = Writer(loaded, list(rows[0]))
        self._examples: dict[tuple[str, int, int], dict[str, list[Row]]] = {}
        self.rows = rows[:limit]
        self.many_targets = isinstance(self._target_of_first(), list)
        self.data: Mapping[str, Any] = self._source()
        self.requests(self._all[0], 0, 0)  # what is wrong with the file shows here

    def _target_of_first(self) -> Any:
        if self.kind == "multiple_choice" and isinstance(self.writer.text(self.rows[0]), int):
            self.writer.many_inputs = True
        return self.writer.target(self.rows[0]) if self.config.doc_to_target is not None else None

    def _rows(self, split: str, field: str) -> list[Row]:
        rows = self.dataset.rows(split, self.loaded.where(field))
        return self._processed(rows, self.config.process_docs) if self.config.process_docs else rows

    def _processed(self, rows: list[Row], function: Function) -> list[Row]:
        """What the task's own `process_docs` makes of a split, which it gets as a `datasets.Dataset`."""
        library = need("datasets", "hub")
        library.disable_progress_bars()
        made = code.load(function, "process_docs")(library.Dataset.from_list(rows))
        return [dict(row) for row in made]

    def _source(self) -> dict[str, Any]:
        """Where the questions came from; `digest` is the hash of all of them."""
        return {
            "source": self.config.dataset_path or self.config.danlu.data,
            "config": self.config.dataset_name or "",
            "split": self.split,
            "licence": self.config.danlu.licence,
            "digest": hashlib.sha256("\n".join(doc.id for doc in self._all).encode()).hexdigest()[:16],
        }

    @cached_property
    def _all(self) -> list[Doc]:
        """Every question, those that cannot be scored among them. Equal questions get numbers behind their hash."""
        seen: Counter[str] = Counter()
        found = []
        for row in self.rows:
            known = {name: value for name, value in row.items() if not name.startswith("_")}
            text = json.dumps(known, ensure_ascii=False, sort_keys=True, default=str)
            key = hashlib.sha256(text.encode()).hexdigest()[:16]
            seen[key] += 1
            name = key if seen[key] == 1 else f"{key}-{seen[key]}"
            found.append(Doc(name, row, self._subject(row)))
        return found

    def _subject(self, row: Row) -> str:
        wanted = self.config.danlu.subject
        if not wanted:
            return ""
        where = self.loaded.where("danlu", "subject")
        return str(row[wanted] if wanted in row else template.render(wanted, row, "danlu.subject", where))

    @cached_property
    def _judged(self) -> tuple[list[Doc], dict[str, int]]:
        docs, dropped = [], Counter(self.dataset.dropped.get(self.split, {}))
        checked = self.kind == "multiple_choice" and self.config.process_results is None
        for doc in self._all:
            if checked and self._gold(doc.fields) is None:
                dropped["target-not-among-choices"] += 1
            else:
                docs.append(doc)
        if not docs:
            raise DataError(
                "doc_to_target: no question's right answer is among its choices",
                where=self.loaded.where("doc_to_target"),
            )
        return docs, dict(dropped)

    @property
    def dropped(self) -> dict[str, int]:
        """The questions that are left out, by reason."""
        return self._judged[1]

    def identity(self, shots: int) -> str:
        """The hash of all that decides what is asked and scored: the settings of the file, the Python beside it that
        they name, the questions, and the examples where any stand before a question."""
        seen = hashlib.sha256()
        values = self.loaded.read.values
        seen.update(json.dumps(values, ensure_ascii=False, default=lambda one: getattr(one, "spec", str(one))).encode())
        for folder in sorted({function.folder for function in functions(values)}):
            for path in sorted(folder.glob("**/*.py")):
                seen.update(path.read_bytes())
        seen.update(self.data["digest"].encode())
        if shots:
            seen.update(json.dumps(self._pool, ensure_ascii=False, sort_keys=True, default=str).encode())
        return seen.hexdigest()

    def documents(self) -> Sequence[Doc]:
        return self._judged[0]

    def query(self, doc: Doc) -> str:
        """The text by which to look for the question in training data."""
        source = self.config.doc_to_decontamination_query
        text = self.writer.text(doc.fields, source)
        return text if isinstance(text, str) else " ".join(self.writer.choices(doc.fields))

    # what is asked

    def examples(self, doc: Doc, shots: int, seed: int) -> list[Row]:
        """The examples that stand before a question. Seed 0 draws those of lm-evaluation-harness (its seed 1234)."""
        if not shots:
            return []
        subject = doc.subject if self.config.danlu.same_subject else ""
        if (subject, shots, seed) not in self._examples:
            self._examples[subject, shots, seed] = self._drawn(subject, shots, seed)
        return self._examples[subject, shots, seed][doc.id]

    def _drawn(self, subject: str, shots: int, seed: int) -> dict[str, list[Row]]:
        """The examples of every question, or of every question of one subject."""
        sampler = self.config.fewshot_config.sampler if self.config.fewshot_config else "default"
        where = self.loaded.where("fewshot_config", "sampler")
        if isinstance(sampler, Function):
            raise DataError("fewshot_config: a sampler of the task's own cannot be used", where=where)
        docs, pool = self._all, self._pool
        if subject:
            docs = [doc for doc in docs if doc.subject == subject]
            pool = [row for row in pool if self._subject(row) == subject]
            where = f"{where} (subject {subject})"
        found = draws(sampler, pool, [doc.fields for doc in docs], shots, SEED + seed, self._apart, where)
        return {doc.id: [pool[place] for place in places] for doc, places in zip(docs, found, strict=True)}

    @property
    def _fewshot_split(self) -> str | None:
        shots = self.config.fewshot_config
        return shots.split if shots and shots.split else self.config.fewshot_split

    @property
    def _apart(self) -> bool:
        """Whether the examples come from among the questions themselves (also when no split is named for either)."""
        return self._fewshot_split == self.config.test_split

    @cached_property
    def _pool(self) -> list[Row]:
        """The examples: of the split for them, else the samples in the file, else of the training split, the validation
        split or the questions."""
        config, shots, split = self.config, self.config.fewshot_config, self._fewshot_split
        if split is not None:
            rows = self.dataset.rows(split, self.loaded.where("fewshot_split"))
            process = shots.process_docs if shots and shots.process_docs else config.process_docs
            return self._processed(rows, process) if process else rows
        if shots and isinstance(shots.samples, list):
            return shots.samples
        if shots and isinstance(shots.samples, Function):
            return [dict(row) for row in code.load(shots.samples, "fewshot_config")()]
        for field in ("training_split", "validation_split", "test_split"):
            if getattr(config, field) is not None:
                return self._rows(getattr(config, field), field)
        return []

    def requests(self, doc: Doc, shots: int, seed: int) -> list[Request]:
        fields = doc.fields
        if self.kind == "loglikelihood_rolling":
            return [Rolling(str(self.writer.target(fields)))]
        contexts = self.writer.contexts(fields, self.examples(doc, shots, seed))
        if self.kind == "generate_until":
            return self._generations(contexts[0], seed)
        texts = [plain(context) for context in contexts]
        if self.kind == "loglikelihood":
            return [Continuation(texts[0], str(self.writer.target(fields)))]
        delimiter, choices = self.config.target_delimiter, self.writer.choices(fields)
        if self.writer.many_inputs:
            said = f"{delimiter}{self.writer.target(fields)}"
            asked = [Continuation(text, said) for text in texts]
        else:
            asked = [Continuation(texts[0], f"{delimiter}{choice}") for choice in choices]
        if self._unconditional:
            asked += [Continuation("", f"{delimiter}{choice}") for choice in choices]
        return list(asked)

    def _generations(self, context: Any, seed: int) -> list[Request]:
        """One request, or `repeats` of them with seeds of their own where the model samples."""
        if self.config.danlu.chat and context[-1].role == "assistant":
            raise DataError("gen_prefix cannot begin an answer in a chat", where=self.loaded.where("gen_prefix"))
        prompt = messages(context) if self.config.danlu.chat else plain(context)
        first = Generation(prompt, seed=seed, **self.generation)
        return [replace(first, seed=seed + turn) for turn in range(self.config.repeats if first.temperature > 0 else 1)]

    def follow(self, doc: Doc, requests: Sequence[Request], results: Sequence[Result]) -> list[Request]:
        """The second turn of a chat, after the model's answer to the first; none where the task has no second turn."""
        wanted = self.config.danlu.follow
        if not wanted:
            return []
        where = self.loaded.where("danlu", "follow")
        first, said = requests[0], results[0]
        if not isinstance(first, Generation) or isinstance(first.prompt, str) or not isinstance(said, Answer):
            raise DataError("danlu.follow: only a chat (`chat: true`, generate_until) has a second turn", where=where)
        fields = doc.fields
        asked = str(fields[wanted] if wanted in fields else template.render(wanted, fields, "danlu.follow", where))
        turns = (Message(role="assistant", content=said.text), Message(role="user", content=asked))
        return [replace(first, prompt=(*first.prompt, *turns))]

    @property
    def _unconditional(self) -> bool:
        return any(measure.metric is not None and measure.metric.unconditional for measure in self.measures)

    # what the answers are worth

    def score(self, doc: Doc, results: Sequence[Result]) -> Scored:
        values: dict[str, float] = {}
        weights: dict[str, float] = {}
        items: dict[str, Any] = {}
        for name, steps in self.filters.items():
            answers = []
            for answer in self._answers(results):
                for step in steps:
                    answer = step(answer, doc.fields)
                answers.append(answer)
            for metric, measure, each in self._measured(doc.fields, answers, results):
                key = metric if name == "none" else f"{metric},{name}"
                value = each(measure) if each is not None else measure
                if isinstance(value, Ratio):
                    values[key], weights[key] = float(value.top), float(value.bottom)
                elif _is_number(value):
                    values[key] = float(value)
                if each is not None or not (_is_number(measure) or isinstance(measure, Ratio)):
                    items[key] = measure
        return Scored(self._said(doc.fields, results), self._wanted(doc.fields), values, weights, items)

    def _answers(self, results: Sequence[Result]) -> list[list[Any]]:
        """The answers to each request as lm-evaluation-harness holds them: (log-likelihood, greedy), a log-likelihood
        of a
        whole text, or texts (as many as the task repeats)."""
        if self.kind == "generate_until":
            texts = [result.text for result in results if isinstance(result, Answer)]
            if self.config.danlu.follow:
                texts = ["\n\n".join(texts)]
            return [texts * self.config.repeats if len(texts) == 1 else texts]
        logs = [result for result in results if isinstance(result, LogLikelihood)]
        if self.kind == "loglikelihood_rolling":
            return [[log.value] for log in logs]
        return [[(log.value, log.greedy)] for log in logs]

    def _measured(
        self, fields: Mapping[str, Any], answers: list[Any], results: Sequence[Result]
    ) -> list[tuple[str, Any, Any]]:
        """(metric, measure, how to make a number of it) of one question."""
        if self.config.process_results is not None:
            made = code.load(self.config.process_results, "process_results")(fields, answers)
            return [(str(name), value, None) for name, value in made.items()]
        answered = self._answered(fields, answers, results)
        found: list[tuple[str, Any, Any]] = []
        for measure in self.measures:
            if measure.metric is not None:
                value = measure.metric.sample(replace(answered, options=measure.options))
                found += [(measure.name, value, measure.metric.each)] if value is not None else []
            else:
                found += _by_code(measure, answered)
        return found

    def _answered(self, fields: Mapping[str, Any], answers: list[Any], results: Sequence[Result]) -> Answered:
        if self.kind == "generate_until":
            return Answered(fields, self._reference(fields, answers[0]), text=answers[0])
        tokens = tuple(result.tokens for result in results if isinstance(result, LogLikelihood))
        if self.kind == "loglikelihood_rolling":
            return Answered(fields, str(self.writer.target(fields)), logs=(answers[0],), tokens=tokens)
        logs, greedy = zip(*answers, strict=True)
        if self.kind == "loglikelihood":
            return Answered(fields, str(self.writer.target(fields)), logs=logs, greedy=greedy, tokens=tokens)
        choices = tuple(self.writer.choices(fields))
        n = len(choices)
        return Answered(
            fields, self._gold(fields), choices, logs[:n], greedy[:n], tokens[:n], unconditional=logs[n:]
        )  # fmt: skip

    def _gold(self, fields: Mapping[str, Any]) -> int | list[int] | None:
        """The place of the right choice, or the places; None when it is none of them."""
        choices = self.writer.choices(fields)
        gold = self.writer.text(fields) if self.writer.many_inputs else self.writer.target(fields)
        places = [_place(one, choices) for one in (gold if isinstance(gold, list) else [gold])]
        kept = [place for place in places if place is not None]
        if not kept:
            return None
        return kept if isinstance(gold, list) else kept[0]

    def _reference(self, fields: Mapping[str, Any], said: Any) -> Any:
        """What a written answer is compared with: a text, or a list of them."""
        target = self.writer.target(fields) if self.config.doc_to_target is not None else None
        if self.config.doc_to_choice is not None and isinstance(target, int):
            return self.writer.choices(fields)[target]
        if isinstance(target, list):
            return target if self.many_targets or not isinstance(said, str) else str(target)
        if self.many_targets:
            return [target]
        return str(target) if isinstance(said, str) else target

    def _said(self, fields: Mapping[str, Any], results: Sequence[Result]) -> Any:
        """The answer as people read it: the text, or the choice that is most likely."""
        if self.kind == "generate_until":
            texts = [result.text for result in results if isinstance(result, Answer)]
            return texts[0] if len(texts) == 1 else texts
        if self.kind != "multiple_choice":
            return None
        choices = self.writer.choices(fields)
        logs = [result.value for result in results if isinstance(result, LogLikelihood)][: len(choices)]
        return choices[logs.index(max(logs))]

    def _wanted(self, fields: Mapping[str, Any]) -> Any:
        if self.kind == "loglikelihood_rolling" or self.config.doc_to_target is None:
            return None
        if self.kind == "multiple_choice" and self.config.process_results is None:
            choices, gold = self.writer.choices(fields), self._gold(fields)
            return [choices[place] for place in gold] if isinstance(gold, list) else choices[gold or 0]
        return self.writer.target(fields)

    def aggregate(self, docs: Sequence[Doc], scored: Sequence[Scored], seed: int) -> list[Score]:
        made = []
        for name in dict.fromkeys(key for one in scored for key in (*one.values, *one.items)):
            found = [_measure_of(one, name) for one in scored if name in one.values or name in one.items]
            base = next((name.removesuffix(f",{each}") for each in self.filters if name.endswith(f",{each}")), name)
            measure = next((one for one in self.measures if one.name == base), None)
            value, error = estimate(measure.aggregation if measure else MEAN, found)
            made.append(
                Score(
                    name=name,
                    value=value,
                    n=len(found),
                    stderr=error,
                    unit=measure.unit if measure else "score",
                    better=measure.better if measure else "higher",
                    version=measure.version(self.version) if measure else self.version,
                    seed=seed,
                )
            )
        return made


def _measure_of(scored: Scored, name: str) -> Any:
    if name in scored.items:
        return scored.items[name]
    value = scored.values[name]
    return Ratio(value, scored.weights[name]) if name in scored.weights else value


def _place(gold: Any, choices: Sequence[str]) -> int | None:
    """The place that a target means: a number that is one, or a text that is a choice."""
    if isinstance(gold, str):
        return choices.index(gold) if gold in choices else None
    whole = isinstance(gold, int) or (isinstance(gold, float) and gold.is_integer())
    return int(gold) if whole and 0 <= gold < len(choices) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or (hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0)


def _by_code(measure: Measure, answered: Answered) -> list[tuple[str, Any, Any]]:
    """What a metric of the task's own Python says; it may name several measures."""
    assert measure.function is not None
    target, said = answered.target, answered.text
    try:
        made = measure.function(references=[target], predictions=[said], **measure.options)
    except DataError as error:
        if not isinstance(error.__cause__, TypeError):
            raise
        made = measure.function([target, said])
    if isinstance(made, Mapping):
        return [(str(name), value, None) for name, value in made.items()]
    return [(measure.name, made, None)]
