"""The records that rooms hand to each other in memory, and the JSONL they rest in.

Every offset is in characters (Unicode code points) of the text of the Document that the record came from, start
inclusive and end exclusive, so that `document.text[start:end]` is the evidence.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from danlu.errors import DataError

Role = Literal["system", "user", "assistant", "tool"]


class Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Document(Record):
    """A text with its provenance. `source` is the path or address as the user gave it; `id` is stable across runs."""

    id: str
    text: str
    source: str
    title: str = ""
    format: str = "text"
    licence: str = "unknown"
    meta: dict[str, Any] = Field(default_factory=dict)


class Chunk(Record):
    """A passage of a Document: `headings` is the path of headings above it, outermost first."""

    id: str
    document: str
    source: str
    text: str
    start: int
    end: int
    headings: list[str] = Field(default_factory=list)


def _empty(value: object) -> bool:
    return not value


def _none(value: object) -> bool:
    return value is None


class ToolCall(Record):
    """A function that an assistant calls; `id` is what the tool's answer refers to, where there is one."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    id: str = Field(default="", exclude_if=_empty)


class Message(Record):
    """One turn. An assistant may call tools beside, or instead of, what it says; a tool's answer may name the tool and
    the call that it answers. `meta` holds what else a file said of this turn. What is empty is not written."""

    role: Role
    content: str
    name: str = Field(default="", exclude_if=_empty)
    tool_calls: list[ToolCall] = Field(default_factory=list, exclude_if=_empty)
    tool_call_id: str = Field(default="", exclude_if=_empty)
    meta: dict[str, Any] = Field(default_factory=dict, exclude_if=_empty)


class Example(Record):
    """One conversation to learn from; the last message is the answer.

    `document`, `start` and `end` say which span of which Document the answer was taken from (none when `document` is
    empty), `source` which file and line the record was read from; `method` says how it was made. `tools` are the
    functions that may be called, as JSON schemas. `label` says whether people found the answer good (as KTO wants it);
    None when nobody was asked. `meta` holds what else a file said of it.
    """

    id: str
    messages: list[Message]
    document: str = ""
    start: int = 0
    end: int = 0
    method: str = ""
    source: str = Field(default="", exclude_if=_empty)
    tools: list[dict[str, Any]] = Field(default_factory=list, exclude_if=_empty)
    label: bool | None = Field(default=None, exclude_if=_none)
    meta: dict[str, Any] = Field(default_factory=dict, exclude_if=_empty)


class Preference(Record):
    """Two answers to one prompt, of which `chosen` is the better. The other fields are those of an Example."""

    id: str
    prompt: list[Message]
    chosen: str
    rejected: str
    document: str = ""
    method: str = Field(default="", exclude_if=_empty)
    source: str = Field(default="", exclude_if=_empty)
    tools: list[dict[str, Any]] = Field(default_factory=list, exclude_if=_empty)
    meta: dict[str, Any] = Field(default_factory=dict, exclude_if=_empty)


class Score(Record):
    """A measured value that never travels alone.

    `stderr` is None only where no standard error is defined, as with a single item. `better` gives the direction.
    """

    name: str
    value: float
    n: int
    stderr: float | None
    unit: str
    better: Literal["higher", "lower"]
    version: str
    seed: int | None = None

    @field_validator("stderr")
    @classmethod
    def _of_two_or_more(cls, stderr: float | None, info: ValidationInfo) -> float | None:
        return None if info.data.get("n", 0) < 2 else stderr


class Drop(Record):
    """Something that was left out: kept beside the result, with its reason."""

    id: str
    source: str
    reason: str
    detail: str = ""


R = TypeVar("R", bound=Record)


def write_jsonl(path: Path, records: Iterable[Record]) -> int:
    """Write one JSON object a line (UTF-8, characters unescaped); returns how many."""
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            file.write(json.dumps(record.model_dump(), ensure_ascii=False, sort_keys=True) + "\n")
            count += 1
    return count


def read_jsonl(path: Path, kind: type[R]) -> Iterator[R]:
    """Yield the records of a JSONL file; a DataError names the file, line and field of the first bad one."""
    with path.open("r", encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                yield kind.model_validate_json(line)
            except ValidationError as error:
                first = error.errors()[0]
                field = ".".join(str(part) for part in first["loc"])
                raise DataError(
                    f"not a {kind.__name__}: {field or 'line'}: {first['msg']}", where=f"{path}:{number}"
                ) from None
