"""The formats of instruction and preference data: one table, and the way between a format and our records.

Whatever a record says is carried, or the record is not written at all: unknown fields are kept in `meta` and written
beside the known ones, provenance goes into the one field `danlu`. What counts as the same, and is written in one way:
an optional field that is empty and one that is absent; the names of a role (human, user); white space inside of JSON
texts (tools, calls). To add a format, write `looks`, `read` and `write` and add a row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from danlu.data.formats import alpaca, completion, messages, sharegpt
from danlu.data.formats.fields import Cannot, Fault, Fields, kind
from danlu.errors import UsageError, nearest
from danlu.records import Example, Preference

__all__ = ["ALIASES", "FORMATS", "Cannot", "Fault", "Format", "detect", "dump", "named", "parse"]


class Format(NamedTuple):
    """`looks` judges by the fields' names, `read` takes a record apart, `write` puts one together (or `Cannot`)."""

    makes: type[Example] | type[Preference]
    about: str
    looks: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Fields], Example | Preference | None]
    write: Callable[[Any], dict[str, Any]]


def _own(made: type[Example] | type[Preference]) -> Callable[[Fields], Example | Preference | None]:
    def read(fields: Fields) -> Example | Preference | None:
        try:
            return made.model_validate(fields.rest)
        except ValidationError as error:
            for one in error.errors():
                place = ".".join(str(part) for part in one["loc"])
                fields.fault("wrong-type", place, one["msg"], nearest(place, made.model_fields))
            return None

    return read


def _written(record: Example | Preference) -> dict[str, Any]:
    return record.model_dump()


def _looks_own(record: Mapping[str, Any]) -> bool:
    return {"id", "messages", "document", "method"} <= record.keys()


def _looks_own_preference(record: Mapping[str, Any]) -> bool:
    return (
        {"id", "prompt", "chosen", "rejected", "document"} <= record.keys()
        and isinstance(record["prompt"], list)
        and isinstance(record["chosen"], str)
    )


FORMATS: dict[str, Format] = {
    "danlu-preference": Format(
        Preference,
        "a Preference as Danlu keeps it: every field",
        _looks_own_preference,
        _own(Preference),
        _written,
    ),
    "alpaca-preference": Format(
        Preference,
        "instruction, input, chosen, rejected",
        alpaca.looks_preference,
        alpaca.read_preference,
        alpaca.write_preference,
    ),
    "sharegpt-preference": Format(
        Preference,
        "conversations, and chosen and rejected as turns",
        sharegpt.looks_preference,
        sharegpt.read_preference,
        sharegpt.write_preference,
    ),
    "trl-messages": Format(
        Preference,
        "prompt, chosen, rejected as lists of messages (TRL, conversational)",
        messages.looks_preference,
        messages.read_preference,
        messages.write_preference,
    ),
    "trl": Format(
        Preference,
        "prompt, chosen, rejected as texts (TRL, standard)",
        completion.looks_preference,
        completion.read_preference,
        completion.write_preference,
    ),
    "danlu": Format(Example, "an Example as Danlu keeps it: every field", _looks_own, _own(Example), _written),
    "alpaca": Format(Example, "instruction, input, output, system, history", alpaca.looks, alpaca.read, alpaca.write),
    "messages": Format(
        Example, "messages of role and content; tools, tool calls", messages.looks, messages.read, messages.write
    ),
    "sharegpt": Format(
        Example, "conversations of from and value; system, tools", sharegpt.looks, sharegpt.read, sharegpt.write
    ),
    "completion-messages": Format(
        Example,
        "prompt and completion as lists of messages",
        messages.looks_completion,
        messages.read_completion,
        messages.write_completion,
    ),
    "completion": Format(
        Example, "prompt and completion as texts; label", completion.looks, completion.read, completion.write
    ),
    "question": Format(
        Example,
        "question and answer",
        completion.looks_question,
        completion.read_question,
        completion.write_question,
    ),
    "text": Format(Example, "text alone", completion.looks_text, completion.read_text, completion.write_text),
}
"""Every format, in the order in which they are looked for. KTO's label is `label` of messages and completion, and
`kto_tag` of alpaca and sharegpt."""

ALIASES = {"chatml": "messages", "openai": "messages", "kto": "completion", "dpo": "trl", "qa": "question"}


def named(name: str) -> Format:
    """The format of that name; UsageError with the nearest when there is none."""
    known = ALIASES.get(name, name)
    if known not in FORMATS:
        near = nearest(name, [*FORMATS, *ALIASES])
        raise UsageError(f"unknown format {name!r}", nearest=near, next=f"one of {', '.join(FORMATS)}")
    return FORMATS[known]


def detect(records: Iterable[Any]) -> str | None:
    """The name of the format that most of the records look like; None when none does."""
    votes: Counter[str] = Counter()
    for record in records:
        if isinstance(record, dict):
            found = next((name for name, format in FORMATS.items() if format.looks(record)), None)
            votes[found or ""] += 1
    del votes[""]
    return max(votes, key=lambda name: (votes[name], -list(FORMATS).index(name))) if votes else None


def parse(format: Format, record: Any) -> tuple[Example | Preference | None, list[Fault]]:
    """The record, or all that is wrong with it; never both."""
    if not isinstance(record, dict):
        return None, [Fault("not-an-object", "", f"an object is wanted, not {kind(record)}")]
    fields = Fields(record)
    made = format.read(fields)
    return (None, fields.faults) if fields.faults else (made, [])


def dump(format: Format, record: Example | Preference) -> dict[str, Any]:
    """The record in that format; Cannot when something of it has no place there."""
    if not isinstance(record, format.makes):
        other = "two answers to choose from" if format.makes is Preference else "a place for the rejected answer"
        raise Cannot(f"the format wants {other}")
    return format.write(record)
