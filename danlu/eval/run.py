"""eval.run: what a model scores in tasks, and what these scores are worth.

Every question of every task is asked, and answers are kept in the store's cache: a killed run goes on at the request
where it stopped, and a question that failed is asked again. Beside the scores (by task and by subject, each with n,
standard error, version and direction) it can look at what a score hides: whether the place of a choice decides
(`danlu.eval.position`), how much the wording does (`danlu.eval.templates`), and which questions were seen in training
(`danlu.eval.contamination`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from danlu.artifact import Artifact, Draft, path_digest
from danlu.errors import DataError
from danlu.eval import contamination, position, templates, write
from danlu.eval.ask import Asker, Evaluated, evaluate, evaluate_one, refuse_empty
from danlu.eval.cache import CACHE, Cache
from danlu.eval.environment import environment
from danlu.eval.results import Results
from danlu.eval.task import Task
from danlu.model.language_model import LanguageModel
from danlu.registry import Aside, From, ModelName, Settings, Source, Step
from danlu.track import Track

__all__ = ["Run", "RunSettings", "Wanted", "evaluate", "measure"]


@dataclass(frozen=True)
class Wanted:
    """What is to be measured. `wordings` has, for each task that is to be asked in several wordings, each wording's
    name and the task in it; `trained_on` is training data in which the questions are looked for."""

    tasks: Sequence[Task]
    shots: int | None = None
    seed: int = 0
    fewer_shots: bool = False
    permute: bool = False
    wordings: Mapping[str, Mapping[str, Task]] | None = None
    trained_on: Path | None = None
    trained_on_name: str = ""


def measure(model: LanguageModel, name: str, wanted: Wanted, cache: Cache, out: Draft, track: Track) -> Results:
    """Measure and write all that is wanted into `out`. Raises what tasks and models raise; a ModelError or
    EndpointError when no question of any task has a score."""
    began = time.monotonic()
    asker = Asker(model, cache, track)
    fixed = _fixed(wanted.tasks) if wanted.permute else {}
    evaluated = [evaluate_one(asker, task, wanted.shots, wanted.seed, wanted.fewer_shots) for task in wanted.tasks]
    refuse_empty([one.result for one in evaluated], name)
    notes: dict[str, list[str]] = {one.task.name: list(one.result.notes) for one in evaluated}
    if wanted.permute:
        _permuted(asker, evaluated, fixed, wanted, out, notes)
    if wanted.wordings:
        _worded(asker, wanted, out, notes)
    if wanted.trained_on is not None:
        _contaminated(evaluated, wanted, out, notes, track)
    track.note(f"{name}: {asker.asked} requests asked, {asker.known} known already")
    facts = {key: value for key, value in model.facts.items() if key != "path"}
    results = Results(
        model={"name": name, "fingerprint": model.fingerprint, "facts": facts},
        tasks=[one.result.model_copy(update={"notes": notes[one.task.name]}) for one in evaluated],
        environment=environment(),
        seconds=round(time.monotonic() - began, 3),
    )
    write.write(out, results, {one.task.name: one.samples for one in evaluated})
    return results


def _fixed(tasks: Sequence[Task]) -> dict[str, str]:
    """The tasks whose choices cannot be moved, and why; DataError when that is all of them."""
    found: dict[str, DataError] = {}
    for task in tasks:
        try:
            position.movable(task)
        except DataError as error:
            found[task.name] = error
    if len(found) == len(tasks):
        raise next(iter(found.values()))
    return {name: error.problem.what for name, error in found.items()}


def _permuted(
    asker: Asker,
    evaluated: Sequence[Evaluated],
    fixed: Mapping[str, str],
    wanted: Wanted,
    out: Draft,
    notes: dict[str, list[str]],
) -> None:
    """Choices moved, where they can be; elsewhere why they cannot."""
    found = []
    for one in evaluated:
        if one.task.name in fixed:
            notes[one.task.name].append(fixed[one.task.name].removeprefix(f"{one.task.name}: "))
            continue
        bias = position.position_bias(asker, one.task, one.result.shots, wanted.seed, wanted.fewer_shots)
        out.table(*position.table(bias))
        notes[one.task.name].append(position.note(bias))
        found.append(asdict(bias))
    _write_json(out, "positions.json", found)


def _worded(asker: Asker, wanted: Wanted, out: Draft, notes: dict[str, list[str]]) -> None:
    """The tasks with several wordings."""
    found = [
        spread
        for name, some in (wanted.wordings or {}).items()
        for spread in templates.prompt_spread(asker, name, some, wanted.shots, wanted.seed, wanted.fewer_shots)
    ]
    out.table(*templates.table(found))
    for spread in found:
        notes.setdefault(spread.task, []).append(templates.note(spread))
    plain = [{**asdict(one), "scores": {k: s.model_dump() for k, s in one.scores.items()}} for one in found]
    _write_json(out, "templates.json", plain)


def _contaminated(
    evaluated: Sequence[Evaluated], wanted: Wanted, out: Draft, notes: dict[str, list[str]], track: Track
) -> None:
    """Which questions were seen in training."""
    assert wanted.trained_on is not None
    found = contamination.seen(evaluated, wanted.trained_on, wanted.seed, track)
    source = wanted.trained_on_name or str(wanted.trained_on)
    digests = {path.name: path_digest(path) for path in contamination.training_files(wanted.trained_on)}
    _write_json(out, "contamination.json", contamination.as_json(found, source, digests))
    rows = []
    for one in found:
        notes[one.task] += contamination.notes(one)
        seen = {score.name: write.value(score) for score in one.within}
        for score in one.without or one.within:
            others = write.value(score) if one.without else "–"
            rows.append([one.task, one.came, one.short, len(one.seen), score.name, seen.get(score.name, "–"), others])
    columns = ["task", "questions", "too short", "seen", "metric", "on seen", "on the others"]
    out.table(f"Questions that were seen in {source}", columns, rows)


def _write_json(out: Draft, name: str, value: Any) -> None:
    out.file(name).write_text(json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")


class RunSettings(Settings):
    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    """The tasks: names of what ships or of files in `include`, groups, or paths of YAML files (`danlu eval --list`)."""
    model: Annotated[str | None, From("model")] = None
    """The step that made the model. One of model, gguf and name must be given."""
    gguf: Annotated[str | None, From("gguf")] = None
    """The step that made the GGUF, which llama.cpp runs."""
    name: Annotated[str | None, ModelName()] = None
    """A model that no step made: a built-in name, a local folder or a hub id."""
    format: str = ""
    """Which format of the GGUF step to run, such as q4_k_m; not needed when it made only one."""
    data: Annotated[Path | None, Source()] = None
    """A folder with the datasets of the tasks, each under its name; none: what ships beside a task, or the hub."""
    include: Annotated[tuple[Path, ...], Source()] = ()
    """Folders with more task files in the format of lm-evaluation-harness."""
    shots: Annotated[int | None, Field(ge=0)] = None
    """Examples before each question; none: as many as each task says."""
    limit: Annotated[int | None, Field(ge=1)] = None
    """Most questions of each task, from the beginning; none: all."""
    fewer_shots: bool = False
    """Ask a question that does not fit the context with fewer examples, instead of counting it as failed."""
    permute: bool = False
    """Ask multiple-choice questions again with their choices moved, and report position bias."""
    templates: bool = False
    """Ask tasks whose file has several wordings (`danlu: {templates: …}`) in each of them, and report the spread."""
    trained_on: Annotated[str | None, From("split")] = None
    """The step whose train.jsonl the model was trained on: questions that stand there are reported, and the scores
    without them."""
    context: Annotated[int | None, Field(ge=1)] = None
    """Shortens the model's own context, in tokens."""
    processes: Annotated[int, Aside(), Field(ge=1)] = 1
    """Processes that each hold the model (transformers)."""
    seed: int = 0
    """Seed of the examples and of the bootstrap."""

    @model_validator(mode="after")
    def _one_model(self) -> RunSettings:
        if sum(one is not None for one in (self.model, self.gguf, self.name)) != 1:
            raise ValueError("name exactly one of model, gguf and name")
        return self


class Run(Step[RunSettings]):
    """Scores of a model in tasks, by task and by subject, each with n, standard error, version and direction.

    A question that fails (too long for the context, say) is counted with its reason and is no zero; when all fail, so
    does the step. Not covered: what no task measures.
    """

    Settings: ClassVar[type[RunSettings]] = RunSettings
    makes: ClassVar[str] = "results"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        from danlu.eval.harness import load_tasks

        settings = self.settings
        tasks = load_tasks(settings.tasks, settings.include, settings.data, settings.limit)
        wanted = Wanted(
            tasks,
            shots=settings.shots,
            seed=settings.seed,
            fewer_shots=settings.fewer_shots,
            permute=settings.permute,
            wordings=templates.wordings(tasks, settings.data, settings.limit) if settings.templates else None,
            trained_on=inputs["trained_on"].path if settings.trained_on else None,
            trained_on_name=settings.trained_on or "",
        )
        name, path = self._subject(inputs)
        with opened(path, track, context=settings.context, processes=settings.processes) as model:
            store = out.work.parents[1]
            with Cache(store / CACHE, track) as cache:
                measure(model, name, wanted, cache, out, track)

    def _subject(self, inputs: Mapping[str, Artifact]) -> tuple[str, str]:
        """(what the model is called, what opens it)."""
        settings = self.settings
        if settings.name is not None:
            return settings.name, settings.name
        if settings.model is not None:
            return settings.model, str(inputs["model"].path)
        formats: dict[str, str] = json.loads(inputs["gguf"].file("formats.json").read_text(encoding="utf-8"))
        chosen = settings.format or (next(iter(formats)) if len(formats) == 1 else "")
        if chosen not in formats:
            raise DataError(
                f"eval.run: format {settings.format!r} is none of {', '.join(formats)}",
                where=str(settings.gguf),
                next="set format to one of them",
            )
        return f"{settings.gguf}:{chosen}", str(inputs["gguf"].file(formats[chosen]))


@contextmanager
def opened(name: str, track: Track, **options: Any) -> Iterator[LanguageModel]:
    """A model by its name (`danlu.model.subject`), on this machine or, as `track.on` says, on a Ray cluster."""
    if track.on == "local":
        from danlu.model.catalog import CATALOG
        from danlu.model.find import locate
        from danlu.model.subject import open_model

        if name in CATALOG and options.get("backend") != "llama":
            locate(name, track=track)  # its first conversion shows progress; asking shows the bar of each task alone
        model = open_model(name, track=Track(quiet=True), **options)
    else:
        from danlu.eval.on_ray import open_on_ray

        model = open_on_ray(name, track, **options)
    try:
        yield model
    finally:
        model.close()
