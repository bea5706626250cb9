"""ShareGPT: conversations of from and value, with system and tools; and its preferences, with chosen and rejected.

    {"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}], "system": "…", "tools": "[…]"}

`function_call` turns hold the JSON of one call or of a list of calls, `observation` turns what the tool answered.
`kto_tag` is the label. user, assistant and tool are taken for human, gpt and observation; a system turn at the
beginning and the field `system` are the same. Not covered: text and a tool call in one turn.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from danlu.data.formats.alpaca import answered
from danlu.data.formats.fields import Cannot, Fault, Fields, called, carried, checked, kind, wrong_turns
from danlu.errors import nearest
from danlu.records import Example, Message, Preference, Role

_ROLES: dict[str, Role] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "tool": "tool",
    "system": "system",
}
_WRITTEN = {"user": "human", "assistant": "gpt", "tool": "observation", "system": "system"}
_TURN = ("from", "value", "name", "tool_call_id")
_KNOWN = ("conversations", "system", "tools")


def looks(record: Mapping[str, Any]) -> bool:
    return _conversing(record) and "chosen" not in record


def looks_preference(record: Mapping[str, Any]) -> bool:
    return _conversing(record) and {"chosen", "rejected"} <= record.keys()


def _conversing(record: Mapping[str, Any]) -> bool:
    turns = record.get("conversations")
    return isinstance(turns, list) and all(not isinstance(turn, dict) or "role" not in turn for turn in turns)


def read(fields: Fields) -> Example | None:
    messages, tools = _prompt(fields)
    label = fields.label("kto_tag")
    judge(fields, messages, ("assistant",))
    return fields.example(messages, tools, label)


def write(example: Example) -> dict[str, Any]:
    body = _written(checked(example.messages), example.tools)
    if example.label is not None:
        body["kto_tag"] = example.label
    return carried(body, example, (*_KNOWN, "kto_tag"))


def read_preference(fields: Fields) -> Preference | None:
    prompt, tools = _prompt(fields)
    chosen, rejected = _answer(fields, "chosen"), _answer(fields, "rejected")
    judge(fields, prompt, ("user", "tool"))
    return fields.preference(prompt, chosen, rejected, tools)


def write_preference(preference: Preference) -> dict[str, Any]:
    answered(preference)
    body = _written(checked(preference.prompt, ("user", "tool")), preference.tools)
    body["chosen"] = {"from": "gpt", "value": preference.chosen}
    body["rejected"] = {"from": "gpt", "value": preference.rejected}
    return carried(body, preference, (*_KNOWN, "chosen", "rejected"))


def judge(fields: Fields, messages: list[Message], last: tuple[str, ...]) -> None:
    """Faults of the conversation, unless one of its parts is known to be wrong already."""
    fault = None if fields.faults else wrong_turns(messages, last)
    if fault is not None:
        fields.faults.append(fault)


def _prompt(fields: Fields) -> tuple[list[Message], list[dict[str, Any]]]:
    system = fields.text("system", required=False)
    messages = [Message(role="system", content=system)] if system.strip() else []
    for at, turn in enumerate(fields.items("conversations"), 1):
        message = _turn(fields, f"conversations.{at}", turn)
        if message is not None and not (message.role == "system" and not message.content.strip()):
            messages.append(message)
    return messages, fields.tools()


def _turn(fields: Fields, place: str, turn: Any) -> Message | None:
    if not isinstance(turn, dict):
        fields.fault("wrong-type", place, f"an object with from and value is wanted, not {kind(turn)}")
        return None
    inner = Fields(turn)
    said, value = inner.text("from"), inner.text("value", required=False)
    if "value" not in turn:
        inner.fault("missing-field", "value", "is missing", nearest("value", inner.rest))
    name, answers = inner.text("name", required=False), inner.text("tool_call_id", required=False)
    role = _ROLES.get(said)
    if said and role is None:
        known = ", ".join(sorted(_ROLES))
        inner.fault("unknown-role", "from", f"nobody is called {said!r}", nearest(said, _ROLES), f"one of {known}")
    calls = _calls(inner, value) if said == "function_call" else []
    fields.faults += [Fault(one.reason, f"{place}.{one.field}", *one[2:]) for one in inner.faults]
    if inner.faults or role is None:
        return None
    content = "" if said == "function_call" else value
    return Message(role=role, content=content, name=name, tool_calls=calls, tool_call_id=answers, meta=inner.rest)


def _calls(fields: Fields, value: str) -> list[Any]:
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        fields.fault("broken-tool-call", "value", "is no JSON", mend='{"name": …, "arguments": {…}} is wanted')
        return []
    found = [called(fields, "value", one) for one in (parsed if isinstance(parsed, list) else [parsed])]
    if not found:
        fields.fault("broken-tool-call", "value", "calls nothing")
    return [call for call in found if call is not None]


def _answer(fields: Fields, name: str) -> str:
    value = fields.rest.get(name)
    if isinstance(value, str):
        return fields.text(name)
    if value is None:
        fields.text(name)
        return ""
    fields.rest.pop(name)
    message = _turn(fields, name, value)
    if message is None:
        return ""
    if message.role != "assistant" or message.tool_calls or message.name or message.meta:
        fields.fault("not-an-answer", name, "one text of the assistant's is wanted")
    elif not message.content.strip():
        fields.fault("empty", name, "is empty")
    return message.content


def _written(messages: list[Message], tools: list[dict[str, Any]]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    first = messages[0]
    if first == Message(role="system", content=first.content):
        body["system"] = first.content
        messages = messages[1:]
    body["conversations"] = [_written_turn(message) for message in messages]
    if tools:
        body["tools"] = json.dumps(tools, ensure_ascii=False)
    return body


def _written_turn(message: Message) -> dict[str, Any]:
    if message.tool_calls and message.content:
        raise Cannot("text beside a tool call")
    if message.meta.keys() & set(_TURN):
        raise Cannot("fields of a single turn that have our names")
    turn = {"from": _WRITTEN[message.role], "value": message.content}
    if message.tool_calls:
        calls = [call.model_dump() for call in message.tool_calls]
        text = json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)
        turn = {"from": "function_call", "value": text}
    if message.name:
        turn["name"] = message.name
    if message.tool_call_id:
        turn["tool_call_id"] = message.tool_call_id
    return {**turn, **message.meta}
