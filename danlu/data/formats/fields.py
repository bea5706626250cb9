"""One record of a file taken apart: what is known is taken, what is wrong is named, what is left is kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from danlu.artifact import digest
from danlu.errors import nearest
from danlu.records import Example, Message, Preference, ToolCall

HOME = "danlu"
"""The one field that is ours in a foreign format: where the answer was taken from and how, when that is known."""

LABELS = ("label", "kto_tag")
_HOME = {"document": str, "start": int, "end": int, "method": str, "source": str}

P = TypeVar("P", Example, Preference)


class Fault(NamedTuple):
    """Something wrong with a record: a reason in kebab case, the field, what, the nearest name, and how to mend it."""

    reason: str
    field: str
    what: str
    near: str | None = None
    mend: str | None = None

    def __str__(self) -> str:
        head = f"{self.field}: {self.what}" if self.field else self.what
        near = f" (did you mean {self.near}?)" if self.near else ""
        return head + near + (f"; {self.mend}" if self.mend else "")


class Cannot(ValueError):
    """A format has no place for something of this record, so the record is not written at all."""


class Fields:
    """The fields of one record, each taken once; `rest` is what nobody took, `faults` is all that is wrong."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.rest = dict(record)
        self.faults: list[Fault] = []

    def fault(self, reason: str, field: str, what: str, near: str | None = None, mend: str | None = None) -> None:
        self.faults.append(Fault(reason, field, what, near, mend))

    def text(self, name: str, required: bool = True) -> str:
        """A text. One that is required must not be blank; one that is not may be absent or null."""
        value = self._taken(name, required)
        if value is None:
            return ""
        if not isinstance(value, str):
            self.fault("wrong-type", name, f"a text is wanted, not {kind(value)}")
            return ""
        if required and not value.strip():
            self.fault("empty", name, "is empty", mend="write it, or leave the record out")
        return value

    def items(self, name: str, required: bool = True) -> list[Any]:
        """A list; one that is required must not be empty."""
        value = self._taken(name, required)
        if value is None:
            return []
        if not isinstance(value, list):
            self.fault("wrong-type", name, f"a list is wanted, not {kind(value)}")
            return []
        if required and not value:
            self.fault("empty", name, "is an empty list")
        return value

    def label(self, name: str) -> bool | None:
        """Whether the answer was found good, when the field is there and is true or false."""
        return self.rest.pop(name) if isinstance(self.rest.get(name), bool) else None

    def tools(self, name: str = "tools") -> list[dict[str, Any]]:
        """The functions that may be called: a list of objects, or the same as a JSON text."""
        value = self.rest.pop(name, None)
        if isinstance(value, str):
            try:
                value = json.loads(value) if value.strip() else []
            except (ValueError, RecursionError):
                self.fault("broken-tools", name, "is no JSON", mend="a JSON list of function schemas is wanted")
                return []
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(tool, dict) for tool in value):
            self.fault("broken-tools", name, f"a list of function schemas is wanted, not {kind(value)}")
            return []
        return value

    def _taken(self, name: str, required: bool) -> Any:
        if name in self.rest:
            value = self.rest.pop(name)
            if value is None and required:
                self.fault("wrong-type", name, "is null")
            return value
        if required:
            known = ", ".join(sorted(self.rest)[:8])
            near = nearest(name, self.rest)
            mend = f"rename {near} to {name}" if near else f"the record has {known}" if known else "the record is empty"
            self.fault("missing-field", name, "is missing", near, mend)
        return None

    def example(
        self, messages: list[Message], tools: list[dict[str, Any]] | None = None, label: bool | None = None
    ) -> Example | None:
        """The Example of these messages with all that is left; None when something was wrong."""
        home, id = self._home(), self._id()
        if self.faults:
            return None
        made = Example(id=id, messages=messages, tools=tools or [], label=label, meta=self.rest, **home)
        return made if id else made.model_copy(update={"id": content_id(made)})

    def preference(
        self, prompt: list[Message], chosen: str, rejected: str, tools: list[dict[str, Any]] | None = None
    ) -> Preference | None:
        """The Preference of these with all that is left; None when something was wrong."""
        home, id = self._home(), self._id()
        if not self.faults and chosen == rejected:
            self.fault("same-answers", "rejected", "is the chosen answer, word for word")
        if {"start", "end"} & home.keys():
            self.fault("reserved-field", HOME, "a preference has no start and end")
        if self.faults:
            return None
        made = Preference(
            id=id, prompt=prompt, chosen=chosen, rejected=rejected, tools=tools or [], meta=self.rest, **home
        )
        return made if id else made.model_copy(update={"id": content_id(made)})

    def _id(self) -> str:
        """The record's own id where it is a text; any other stays in `rest`."""
        value = self.rest.get("id")
        return str(self.rest.pop("id")) if isinstance(value, str) and value else ""

    def _home(self) -> dict[str, Any]:
        value = self.rest.pop(HOME, {})
        if not isinstance(value, dict) or any(type(part) is not _HOME.get(name) for name, part in value.items()):
            self.fault("reserved-field", HOME, f"this name is Danlu's own: {', '.join(_HOME)}", mend="rename the field")
            return {}
        return value


def content_id(record: Example | Preference) -> str:
    """The id of a record that came without one: the hash of what it says."""
    said = record.model_dump(include={"messages", "prompt", "chosen", "rejected", "tools", "label"})
    return digest(said)[:16]


def carried(body: dict[str, Any], record: Example | Preference, known: Iterable[str]) -> dict[str, Any]:
    """`body` with what else the record says: its id (unless it follows from the content), provenance and `meta`.

    `known` are the names that the format reads; Cannot when a field in `meta` has one of them.
    """
    if not record.id:
        raise Cannot("an empty id")
    taken = {*known, HOME}
    for name, value in record.meta.items():
        labels = name in LABELS and not isinstance(value, bool)
        if name in body or (name in taken and not labels):
            raise Cannot(f"a field of its own named {name!r}")
    out = dict(body)
    own = record.meta.get("id")
    if record.id != content_id(record):
        if "id" in record.meta:
            raise Cannot("two ids")
        out["id"] = record.id
    elif isinstance(own, str) and own:
        raise Cannot("two ids")
    home = {name: value for name in _HOME if (value := getattr(record, name, None))}
    if home:
        out[HOME] = home
    return {**out, **record.meta}


# --- turns ---

_AFTER: dict[str | None, tuple[str, ...]] = {
    None: ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user",),
    "tool": ("tool", "assistant"),
}


def wrong_turns(messages: list[Message], last: tuple[str, ...] = ("assistant",)) -> Fault | None:
    """The first thing that makes a conversation no good for learning: an empty turn, an order of turns that no chat
    template takes, or an end in the wrong role."""
    before: Message | None = None
    for at, message in enumerate(messages):
        allowed = _AFTER[before.role if before else None]
        if before is not None and before.tool_calls:
            allowed = ("tool", "user")
        if message.role not in allowed:
            after = f"after {before.role}" if before else "at the beginning"
            return Fault("turn-order", f"turn.{at + 1}", f"{message.role} {after}; {' or '.join(allowed)} is wanted")
        if message.tool_calls and message.role != "assistant":
            return Fault("turn-order", f"turn.{at + 1}", f"a {message.role} calls no tools")
        if not message.content.strip() and not message.tool_calls and message.role != "tool":
            return Fault("empty", f"turn.{at + 1}", f"what the {message.role} says is empty")
        before = message
    if before is None or before.role not in last:
        found = f"it ends with the {before.role}'s turn" if before else "there is none"
        return Fault("no-answer", "", f"{found}; {' or '.join(last)} must come last")
    return None


def checked(messages: list[Message], last: tuple[str, ...] = ("assistant",)) -> list[Message]:
    """`messages`; Cannot when `wrong_turns` has something to say."""
    fault = wrong_turns(messages, last)
    if fault is not None:
        raise Cannot(fault.what)
    return messages


def only_text(messages: list[Message], tools: list[dict[str, Any]]) -> None:
    """Cannot, unless the messages are nothing but role and text."""
    if tools:
        raise Cannot("tools")
    for message in messages:
        if message.tool_calls or message.role == "tool":
            raise Cannot("tool calls")
        if message.name or message.tool_call_id or message.meta:
            raise Cannot("fields of a single turn")


def called(fields: Fields, place: str, value: Any) -> ToolCall | None:
    """A tool call as OpenAI nests it, or flat: {name, arguments}, the arguments an object or its JSON text."""
    if not isinstance(value, dict):
        fields.fault("broken-tool-call", place, f"an object is wanted, not {kind(value)}")
        return None
    call = {name: part for name, part in value.items() if name not in ("type", "function", "id")}
    inner = value.get("function")
    if isinstance(inner, dict) and not call and value.get("type", "function") == "function":
        call = dict(inner)
    name, arguments, id = call.pop("name", None), call.pop("arguments", {}), value.get("id") or ""
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError):
            arguments = None
    if not isinstance(name, str) or not name:
        fields.fault("broken-tool-call", place, "the name of the function is missing", nearest("name", call))
    elif not isinstance(arguments, dict):
        fields.fault("broken-tool-call", f"{place}.arguments", "an object is wanted, or its JSON text")
    elif call or not isinstance(id, str):
        fields.fault("broken-tool-call", place, f"nothing is known of {', '.join(sorted(call)) or 'such an id'}")
    else:
        return ToolCall(name=name, arguments=arguments, id=id)
    return None


def kind(value: Any) -> str:
    """What a JSON value is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    names = {str: "a text", list: "a list", dict: "an object", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)
