"""Put the questions of tasks to a model, and score what it answers.

The same request is asked once, however many questions and tasks need it; all requests of a task are handed over at
once, so that the backend can group them by what they share. Each result is kept (`danlu.eval.cache`) before the next
is awaited. A question of which a request failed has no score: it is counted by its reason, never as a zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import isfinite

from danlu.errors import DataError, EndpointError, ModelError
from danlu.eval.cache import Cache, model_key, request_digest, result_key
from danlu.eval.results import Sample, TaskResult
from danlu.eval.task import Conversation, Doc, Scored, Task
from danlu.model.language_model import Failure, Generation, LanguageModel, Request, Result, Rolling
from danlu.records import Score
from danlu.track import Track

TRANSIENT = frozenset({"refused", "rate-limited", "server-error", "timeout", "unreadable"})
"""Reasons of failures that asking again may mend."""

_MENDS = {
    "too-long": "--fewer-shots, or a smaller --shots N",
    "unsupported": "another backend, or tasks of another kind: danlu eval --list",
}


@dataclass(frozen=True)
class Asked:
    """One question, what was asked for it with `shots` examples, and what came back."""

    doc: Doc
    shots: int
    requests: Sequence[Request]
    results: Sequence[Result]

    @property
    def failure(self) -> Failure | None:
        return next((result for result in self.results if isinstance(result, Failure)), None)


@dataclass(frozen=True)
class Evaluated:
    """A task with all that came of it; `scored` has None where the question failed."""

    task: Task
    asked: list[Asked]
    scored: list[Scored | None]
    result: TaskResult
    samples: list[Sample]

    def among(self, ids: Iterable[str], seed: int) -> list[Score]:
        """The scores over these questions alone, as far as they have a score; none of them: no scores."""
        wanted = set(ids)
        pairs = [(one.doc, s) for one, s in zip(self.asked, self.scored, strict=True) if s and one.doc.id in wanted]
        return self.task.aggregate([doc for doc, _ in pairs], [s for _, s in pairs], seed) if pairs else []


class Asker:
    """A model with a memory: of this run, and of the cache where there is one. `asked` counts what the model itself was
    asked, `known` what was remembered instead."""

    def __init__(self, model: LanguageModel, cache: Cache | None, track: Track) -> None:
        self.model, self.cache, self.track = model, cache, track
        self.asked = self.known = 0
        self._model = model_key(model)
        self._results: dict[bytes, Result] = {}

    def ask(self, requests: Sequence[Request], label: str) -> list[Result]:
        """The results in order. ModelError when the backend leaves a request without one."""
        digests = [request_digest(request) for request in requests]
        wanted = dict(zip(digests, requests, strict=True))
        self._recall([digest for digest in wanted if digest not in self._results])
        left = [digest for digest in wanted if digest not in self._results]
        self.known += len(wanted) - len(left)
        failures: dict[bytes, Result] = {}
        bar = self.track.bar(label, len(wanted), "request")
        bar.update(len(wanted) - len(left))
        try:
            for place, result in self.model.answer([wanted[digest] for digest in left]) if left else ():
                self._keep(left[place], result, failures)
                self.asked += 1
                bar.update(1)
        finally:
            bar.close()
        found = {**self._results, **failures} if failures else self._results
        missing = sum(digest not in found for digest in left)
        if missing:
            raise ModelError(f"the backend left {missing} of {len(left)} requests without a result", where=label)
        return [found[digest] for digest in digests]

    def _recall(self, digests: Sequence[bytes]) -> None:
        if self.cache is None or not digests:
            return
        keys = {result_key(self._model, digest): digest for digest in digests}
        self._results.update({keys[key]: result for key, result in self.cache.get(list(keys)).items()})

    def _keep(self, digest: bytes, result: Result, failures: dict[bytes, Result]) -> None:
        if isinstance(result, Failure):
            failures[digest] = result
            return
        self._results[digest] = result
        if self.cache is not None:
            self.cache.put(result_key(self._model, digest), result)


def evaluate(
    model: LanguageModel,
    tasks: Sequence[Task],
    shots: int | None = None,
    seed: int = 0,
    cache: Cache | None = None,
    fewer_shots: bool = False,
    track: Track | None = None,
) -> Iterator[Evaluated]:
    """Each task with its scores, as soon as it is done.

    `shots`: examples before each question, None: as many as the task says. A question that does not fit the model's
    context with them fails as too-long; with `fewer_shots` it is asked with the most examples that fit, and that is
    counted in the notes. DataError: a task without questions, or without as many examples.
    """
    asker = Asker(model, cache, track or Track(quiet=True))
    for task in tasks:
        yield evaluate_one(asker, task, shots, seed, fewer_shots)


def evaluate_one(asker: Asker, task: Task, shots: int | None, seed: int, fewer_shots: bool) -> Evaluated:
    """One task, asked through `asker`."""
    docs = list(task.documents())
    if not docs:
        raise DataError(f"the task {task.name} has no question", where=str(task.data.get("source", "")))
    wanted = task.shots if shots is None else shots
    asked = ask_all(asker, task, docs, wanted, seed, fewer_shots, task.name)
    scored = [None if one.failure else task.score(one.doc, one.results) for one in asked]
    samples = [_sample(one, worth) for one, worth in zip(asked, scored, strict=True)]
    found = _scores(task, asked, scored, seed)
    undefined = [f"{one.name} is not defined on these {one.n} questions" for one in found if not isfinite(one.value)]
    result = TaskResult(
        task=task.name,
        title=task.title,
        version=task.version,
        kind=task.kind,
        shots=wanted,
        seed=seed,
        came=len(docs),
        scores=_defined(found),
        subjects=_subjects(task, asked, scored, seed),
        failures=dict(sorted(Counter(one.failure.reason for one in asked if one.failure).items())),
        prompt=_prompt_digest(asked),
        data=dict(task.data),
        notes=_left_out(task) + _notes(asked, wanted) + undefined,
    )
    return Evaluated(task, asked, scored, result, samples)


def ask_all(
    asker: Asker, task: Task, docs: Sequence[Doc], shots: int, seed: int, fewer_shots: bool, label: str
) -> list[Asked]:
    """Every question in order. Those that are too long are asked again with one example less, until they fit."""
    asked = _ask(asker, task, docs, shots, seed, label)
    while fewer_shots and shots > 0:
        long = [at for at, one in enumerate(asked) if one.failure and _too_long(one)]
        if not long:
            break
        shots -= 1
        again = _ask(asker, task, [docs[at] for at in long], shots, seed, f"{label}, {shots} shots")
        for at, one in zip(long, again, strict=True):
            asked[at] = one
    return asked


def _ask(asker: Asker, task: Task, docs: Sequence[Doc], shots: int, seed: int, label: str) -> list[Asked]:
    requests = [task.requests(doc, shots, seed) for doc in docs]
    results = asker.ask([request for some in requests for request in some], label)
    asked, start = [], 0
    for doc, some in zip(docs, requests, strict=True):
        asked.append(Asked(doc, shots, some, results[start : start + len(some)]))
        start += len(some)
    return _followed(asker, task, asked, label)


def _followed(asker: Asker, task: Task, asked: list[Asked], label: str) -> list[Asked]:
    """With the results of the later turns, where a task has any (`danlu.eval.task.Conversation`): each is asked after
    what the model itself said before."""
    if not isinstance(task, Conversation):
        return asked
    turns = [[] if one.failure else task.follow(one.doc, one.requests, one.results) for one in asked]
    flat = [request for some in turns for request in some]
    results = iter(asker.ask(flat, f"{label}, second turn") if flat else ())
    return [
        replace(one, results=[*one.results, *(next(results) for _ in some)])
        for one, some in zip(asked, turns, strict=True)
    ]


def _too_long(one: Asked) -> bool:
    return any(isinstance(result, Failure) and result.reason == "too-long" for result in one.results)


def _sample(one: Asked, scored: Scored | None) -> Sample:
    facts = {"id": one.doc.id, "subject": one.doc.subject, "prompt": shown(one.requests[0]) if one.requests else ""}
    if scored is None:
        assert one.failure is not None
        return Sample(**facts, failed=one.failure.reason)
    return Sample(
        **facts,
        target=scored.target,
        answer=scored.answer,
        values=dict(scored.values),
        weights=dict(scored.weights),
    )


def shown(request: Request) -> str:
    """What a person reads of a request: the text before the answer."""
    if isinstance(request, Generation):
        if isinstance(request.prompt, str):
            return request.prompt
        return "\n".join(f"{message.role}: {message.content}" for message in request.prompt)
    return request.text if isinstance(request, Rolling) else request.context


def _scores(task: Task, asked: Sequence[Asked], scored: Sequence[Scored | None], seed: int) -> list[Score]:
    pairs = [(one.doc, worth) for one, worth in zip(asked, scored, strict=True) if worth is not None]
    return task.aggregate([doc for doc, _ in pairs], [worth for _, worth in pairs], seed) if pairs else []


def _defined(scores: Sequence[Score]) -> list[Score]:
    """Without those that have no value on these questions: a correlation of equal answers, say."""
    return [one for one in scores if isfinite(one.value)]


def _subjects(task: Task, asked: Sequence[Asked], scored: Sequence[Scored | None], seed: int) -> dict[str, list[Score]]:
    """The scores by subject, where there is more than one; a subject whose questions all failed has none."""
    names = sorted({one.doc.subject for one in asked})
    if len(names) < 2:
        return {}
    parts = {name: [at for at, one in enumerate(asked) if one.doc.subject == name] for name in names}
    return {
        name: _defined(_scores(task, [asked[at] for at in part], [scored[at] for at in part], seed))
        for name, part in parts.items()
    }


def _prompt_digest(asked: Sequence[Asked]) -> str:
    from hashlib import sha256

    every = (request_digest(request) for one in asked for request in one.requests)
    return sha256(b"".join(every)).hexdigest()


def _notes(asked: Sequence[Asked], shots: int) -> list[str]:
    """With how many examples the questions were asked that did not fit, and an example of each failure."""
    fewer = Counter(one.shots for one in asked if one.shots < shots)
    notes = [
        f"{count} of {len(asked)} questions with {some} shots instead of {shots}"
        for some, count in sorted(fewer.items(), reverse=True)
    ]
    told: dict[str, str] = {}
    for one in asked:
        if one.failure and one.failure.detail:
            told.setdefault(one.failure.reason, one.failure.detail)
    return notes + [f"{reason}, for example: {detail}" for reason, detail in sorted(told.items())]


def _left_out(task: Task) -> list[str]:
    """Rows of the dataset that the task itself does not ask, by reason, where there are any (`dropped`)."""
    dropped = dict(getattr(task, "dropped", {}))
    return [f"{count} rows not asked: {reason}" for reason, count in sorted(dropped.items())]


def refuse_empty(results: Sequence[TaskResult], model: str) -> None:
    """ModelError or EndpointError when no question of any task has a score."""
    if any(result.scores for result in results):
        return
    reasons: Counter[str] = Counter()
    for result in results:
        reasons.update(result.failures)
    told = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    detail = next((note for result in results for note in result.notes if "for example" in note), "")
    what = f"every question failed, so there is no score ({told})" + (f"; {detail}" if detail else "")
    if reasons and set(reasons) <= TRANSIENT:
        raise EndpointError(what, where=model, next="the same command asks again what failed")
    raise ModelError(what, where=model, next=_MENDS.get(reasons.most_common(1)[0][0] if reasons else ""))
