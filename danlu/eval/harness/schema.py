"""What may stand in a task's YAML file: the keys of lm-evaluation-harness 0.4, and Danlu's own under `danlu`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from danlu.errors import DataError, nearest
from danlu.eval.harness.read import Function, Key, Read

GUIDE = "https://github.com/EleutherAI/lm-evaluation-harness/blob/main/docs/task_guide.md"


def _text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Name = Annotated[str, BeforeValidator(_text)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, use_attribute_docstrings=True)


class MetricEntry(Part):
    """One metric; keys beside these are the metric's own arguments."""

    model_config = ConfigDict(extra="allow", frozen=True, arbitrary_types_allowed=True)

    metric: Name | Function
    aggregation: str | Function | None = None
    higher_is_better: bool | None = None
    hf_evaluate: bool = False
    weight_by_size: bool | None = None  # of a group's score; changes nothing in a task's own


class FilterStep(Part):
    """One filter; keys beside `function` are its arguments."""

    model_config = ConfigDict(extra="allow", frozen=True, arbitrary_types_allowed=True)

    function: str | Function


class FilterEntry(Part):
    """Filters that run one after the other; a metric of what comes out is called `metric,name`."""

    name: Name
    filter: list[FilterStep]


class Shots(Part):
    """How the examples before a question are chosen and written, where that differs from the question."""

    sampler: str | Function = "default"
    split: str | None = None
    process_docs: Function | None = None
    samples: list[dict[str, Any]] | Function | None = None
    doc_to_text: str | int | Function | None = None
    doc_to_target: str | int | list[Any] | Function | None = None
    doc_to_choice: str | list[Any] | dict[str, Any] | Function | None = None
    gen_prefix: str | None = None
    fewshot_delimiter: str | None = None
    target_delimiter: str | None = None


class Extension(Part):
    """What Danlu adds to the format; lm-evaluation-harness knows none of it."""

    title: str = ""
    """What the task is called in tables."""
    summary: str = ""
    """One line on what it measures."""
    licence: str = "unknown"
    """The licence of the questions."""
    url: str = ""
    """Where the questions come from."""
    subject: str = ""
    """A field, or a template, that names the subject of a question: scores are given for each one too."""
    data: str = ""
    """A file or a folder beside the YAML with the questions, for what is small and free."""
    adapter: str | dict[str, Any] = ""
    """How files in another layout become rows: a word of `danlu.eval.adapters`, or {name: word, argument: …}. It reads
    the data folder, else what `data` names. Fields that begin with `_` say where things lie on this machine: they are
    no part of a question's identity."""
    configs: list[Name] = []
    """The configurations of the dataset that make up the task together; `subject` of a row is its configuration."""
    same_subject: bool = False
    """Examples come from the question's own subject alone, as each subject of an examination has its own."""
    chat: bool = False
    """Ask as a conversation, through the model's own chat template: the examples are earlier turns."""
    follow: str = ""
    """What the user says next, in a chat of two turns: a field or a template. It is asked after the model's own answer,
    and metrics measure both answers as one text."""
    templates: dict[str, dict[str, Any]] = {}
    """Other wordings, by name: keys of the task (doc_to_text, description, …) with other values."""
    options: list[str] = []
    """The fields that hold the choices, in order, or the one that holds them all, where that is not plain to see."""
    answer: str = ""
    """The field that says which choice is right, where that is not plain to see."""


class TaskConfig(Part):
    """One task."""

    task: Name
    task_alias: Name | None = None
    tag: str | list[str] | None = None
    group: Any = None
    dataset_path: str | None = None
    dataset_name: Name | None = None
    dataset_kwargs: dict[str, Any] | None = None
    custom_dataset: Function | None = None
    training_split: str | None = None
    validation_split: str | None = None
    test_split: str | None = None
    fewshot_split: str | None = None
    process_docs: Function | None = None
    doc_to_text: str | int | Function | None = None
    doc_to_target: str | int | list[Any] | Function | None = None
    doc_to_choice: str | list[Any] | dict[str, Any] | Function | None = None
    process_results: Function | None = None
    description: str | None = ""
    target_delimiter: str = " "
    fewshot_delimiter: str = "\n\n"
    fewshot_config: Shots | None = None
    num_fewshot: Annotated[int, Field(ge=0)] | None = None
    metric_list: list[MetricEntry] | None = None
    output_type: Literal["multiple_choice", "loglikelihood", "loglikelihood_rolling", "generate_until"] = (
        "generate_until"
    )
    generation_kwargs: dict[str, Any] | None = None
    repeats: Annotated[int, Field(ge=1)] = 1
    filter_list: list[FilterEntry] | None = None
    should_decontaminate: bool = False
    doc_to_decontamination_query: str | Function | None = None
    gen_prefix: str | None = None
    unsafe_code: bool = False
    metadata: Any = None
    danlu: Extension = Extension()

    def version(self) -> str:
        """The version that the file states; "0" when it states none."""
        return str(self.metadata.get("version", "0")) if isinstance(self.metadata, dict) else "0"


REFUSED = {
    "doc_to_image": "pictures cannot be asked about here",
    "doc_to_audio": "sound cannot be asked about here",
    "class": "a task that is a Python class cannot be read; only YAML tasks can",
    "use_prompt": "templates of promptsource cannot be read; write them as doc_to_text and doc_to_target",
}


def task_config(read: Read) -> TaskConfig:
    """The task in a file. DataError with file, line, field and the nearest key for the first thing that is wrong."""
    values = dict(read.values)
    for key, why in REFUSED.items():
        if values.pop(key, None) is not None:
            raise DataError(f"{key}: {why}", where=read.where((key,)))
    try:
        config = TaskConfig.model_validate(values)
    except ValidationError as error:
        raise _problem(error, read) from None
    if config.doc_to_text is None and config.output_type != "loglikelihood_rolling":
        raise DataError("no doc_to_text: how is a question written?", where=str(read.path))
    if config.doc_to_target is None and config.process_results is None:
        raise DataError("no doc_to_target: what is the right answer?", where=str(read.path))
    if config.output_type == "multiple_choice" and config.doc_to_choice is None:
        raise DataError("no doc_to_choice: a multiple_choice task has choices", where=str(read.path))
    if config.danlu.chat and config.output_type != "generate_until":
        raise DataError("danlu.chat: a conversation is for generate_until alone", where=read.where(("danlu", "chat")))
    if config.dataset_path is None and config.custom_dataset is None and not config.danlu.data:
        raise DataError("no dataset_path: where are the questions?", where=str(read.path))
    return config


def _problem(error: ValidationError, read: Read) -> DataError:
    """The first thing that is wrong, as one message; an unknown key goes first."""
    found = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")[0]
    loc = _key(found["loc"], found["type"] == "missing", read)
    field, where = ".".join(map(str, loc)), read.where(loc)
    if found["type"] == "extra_forbidden":
        near = nearest(str(loc[-1]), _known(loc[:-1]))
        return DataError(f"{field}: no such key", where=where, nearest=near, next=f"see {GUIDE}")
    words = re.findall(r"'([^']+)'", str(found.get("ctx", {}).get("expected", "")))
    return DataError(f"{field}: {found['msg']}", where=where, nearest=nearest(str(found["input"]), words))


def _key(loc: tuple[str | int, ...], missing: bool, read: Read) -> Key:
    """The key of the file that pydantic's location means, without the names of types at its end."""
    known = max((end for end in range(len(loc) + 1) if loc[:end] in read.places), default=1)
    return loc[: known + missing]


def _known(loc: Key) -> list[str]:
    model: Any = {"fewshot_config": Shots, "danlu": Extension, "filter_list": FilterEntry}.get(
        str(loc[0]) if loc else "", TaskConfig
    )
    return list(model.model_fields)
