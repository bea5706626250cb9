"""Messages, as OpenAI, ChatML and TRL have them: role and content, with tool calls; TRL's conversational pairs.

    {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}], "tools": […], "label": true}
    {"prompt": [messages], "completion": [messages]}
    {"prompt": [messages], "chosen": [messages], "rejected": [messages]}

A tool call's arguments are written as an object, as chat templates want them, and read as an object or its JSON text.
`developer` is taken for system, `function` for tool; a content of one text part for its text. Without `prompt`, the
messages that chosen and rejected begin with are the prompt. Not covered: pictures and sound; a chosen answer of several
messages, or with a tool call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from danlu.data.formats.alpaca import answered
from danlu.data.formats.fields import Cannot, Fault, Fields, called, carried, checked, kind
from danlu.data.formats.sharegpt import judge
from danlu.errors import nearest
from danlu.records import Example, Message, Preference, Role

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_TURN = ("role", "content", "name", "tool_calls", "tool_call_id", "function_call")


def looks(record: Mapping[str, Any]) -> bool:
    return _turns(record.get("messages")) or _turns(record.get("conversations"))


def looks_completion(record: Mapping[str, Any]) -> bool:
    return _turns(record.get("prompt")) and "completion" in record


def looks_preference(record: Mapping[str, Any]) -> bool:
    return {"chosen", "rejected"} <= record.keys() and (_turns(record["chosen"]) or _turns(record["rejected"]))


def _turns(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(turn, dict) and "role" in turn for turn in value)


def read(fields: Fields) -> Example | None:
    name = "conversations" if "messages" not in fields.rest and "conversations" in fields.rest else "messages"
    messages = messages_of(fields, name)
    tools, label = fields.tools(), fields.label("label")
    judge(fields, messages, ("assistant",))
    return fields.example(messages, tools, label)


def write(example: Example) -> dict[str, Any]:
    body: dict[str, Any] = {"messages": _written(checked(example.messages))}
    _add(body, example)
    return carried(body, example, ("messages", "conversations", "tools", "label"))


def read_completion(fields: Fields) -> Example | None:
    prompt = messages_of(fields, "prompt")
    answer = messages_of(fields, "completion")
    tools, label = fields.tools(), fields.label("label")
    if not fields.faults and any(message.role in ("user", "system") for message in answer):
        fields.fault("not-an-answer", "completion", "only the assistant's and tools' turns can be one")
    judge(fields, [*prompt, *answer], ("assistant",))
    if not fields.faults and prompt[-1].role != "user":
        fields.fault("turn-order", "prompt", "the prompt must end with the user's turn")
    return fields.example([*prompt, *answer], tools, label)


def write_completion(example: Example) -> dict[str, Any]:
    messages = checked(example.messages)
    asked = max(at for at, message in enumerate(messages) if message.role == "user") + 1
    body: dict[str, Any] = {"prompt": _written(messages[:asked]), "completion": _written(messages[asked:])}
    _add(body, example)
    return carried(body, example, ("prompt", "completion", "tools", "label"))


def read_preference(fields: Fields) -> Preference | None:
    chosen = messages_of(fields, "chosen")
    rejected = messages_of(fields, "rejected")
    shared = _shared(chosen, rejected)
    prompt, chosen, rejected = _asked(fields, chosen[:shared]), chosen[shared:], rejected[shared:]
    tools = fields.tools()
    for name, answer in (("chosen", chosen), ("rejected", rejected)):
        plain = len(answer) == 1 and answer[0] == Message(role="assistant", content=answer[0].content)
        if not fields.faults and not (plain and answer[0].content.strip()):
            fields.fault("not-an-answer", name, "one text of the assistant's is wanted after the prompt")
    judge(fields, prompt, ("user", "tool"))
    if fields.faults:
        return None
    return fields.preference(prompt, chosen[0].content, rejected[0].content, tools)


def write_preference(preference: Preference) -> dict[str, Any]:
    answered(preference)
    body: dict[str, Any] = {
        "prompt": _written(checked(preference.prompt, ("user", "tool"))),
        "chosen": [{"role": "assistant", "content": preference.chosen}],
        "rejected": [{"role": "assistant", "content": preference.rejected}],
    }
    if preference.tools:
        body["tools"] = preference.tools
    return carried(body, preference, ("prompt", "chosen", "rejected", "tools"))


def _shared(chosen: list[Message], rejected: list[Message]) -> int:
    """How many messages the two begin with alike, the last one of either never counted."""
    most = min(len(chosen), len(rejected)) - 1
    return next((at for at in range(max(most, 0)) if chosen[at] != rejected[at]), max(most, 0))


def _asked(fields: Fields, shared: list[Message]) -> list[Message]:
    """The prompt: a list of messages, a text, or what both answers begin with; given twice, it must be the same."""
    given = fields.rest.get("prompt")
    if isinstance(given, str):
        fields.rest.pop("prompt")
        asked = [Message(role="user", content=given)]
        same = not shared or [message for message in shared if message.role != "system"] == asked
        asked = shared or asked
    elif "prompt" in fields.rest:
        asked = messages_of(fields, "prompt")
        same = not shared or shared == asked
    else:
        asked, same = shared, True
    if not same:
        fields.fault("not-an-answer", "prompt", "is not what chosen and rejected begin with")
    return asked


def messages_of(fields: Fields, name: str) -> list[Message]:
    """The messages of a field."""
    return _messages(fields, name, fields.items(name))


def _messages(fields: Fields, name: str, turns: list[Any]) -> list[Message]:
    found = [_turn(fields, f"{name}.{at}", turn) for at, turn in enumerate(turns, 1)]
    return [one for one in found if one is not None and not (one.role == "system" and not one.content.strip())]


def _turn(fields: Fields, place: str, turn: Any) -> Message | None:
    if not isinstance(turn, dict):
        fields.fault("wrong-type", place, f"an object with role and content is wanted, not {kind(turn)}")
        return None
    inner = Fields(turn)
    said = inner.text("role")
    role = _ROLES.get(said)
    if said and role is None:
        known = ", ".join(sorted(_ROLES))
        inner.fault("unknown-role", "role", f"nobody is called {said!r}", nearest(said, _ROLES), f"one of {known}")
    calls = _calls(inner)
    content = _content(inner, bool(calls))
    name, answers = inner.text("name", required=False), inner.text("tool_call_id", required=False)
    fields.faults += [Fault(one.reason, f"{place}.{one.field}", *one[2:]) for one in inner.faults]
    if inner.faults or role is None:
        return None
    return Message(role=role, content=content, name=name, tool_calls=calls, tool_call_id=answers, meta=inner.rest)


def _calls(inner: Fields) -> list[Any]:
    old = inner.rest.pop("function_call", None)
    given = inner.items("tool_calls", required=False)
    found = [called(inner, "tool_calls", one) for one in ([old] if old is not None else given)]
    if old is not None and given:
        inner.fault("broken-tool-call", "function_call", "stands beside tool_calls")
    return [call for call in found if call is not None]


def _content(inner: Fields, calls: bool) -> str:
    value = inner.rest.get("content")
    if isinstance(value, list):
        inner.rest.pop("content")
        part = value[0] if len(value) == 1 else None
        if (
            isinstance(part, dict)
            and part == {"type": "text", "text": part.get("text")}
            and isinstance(part["text"], str)
        ):
            return part["text"]
        inner.fault("wrong-type", "content", "one text is wanted; pictures, sound and several parts are not covered")
        return ""
    if "content" not in inner.rest and not calls:
        inner.fault("missing-field", "content", "is missing", nearest("content", inner.rest))
        return ""
    return inner.text("content", required=False)


def _written(messages: list[Message]) -> list[dict[str, Any]]:
    return [_written_turn(message) for message in messages]


def _written_turn(message: Message) -> dict[str, Any]:
    if message.meta.keys() & set(_TURN):
        raise Cannot("fields of a single turn that have our names")
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.name:
        turn["name"] = message.name
    if message.tool_calls:
        turn["tool_calls"] = [
            {
                "type": "function",
                **({"id": call.id} if call.id else {}),
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        turn["tool_call_id"] = message.tool_call_id
    return {**turn, **message.meta}


def _add(body: dict[str, Any], example: Example) -> None:
    if example.tools:
        body["tools"] = example.tools
    if example.label is not None:
        body["label"] = example.label
