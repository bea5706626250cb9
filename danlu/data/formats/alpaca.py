"""Alpaca: instruction, input, output, with system and history; and its preferences, with chosen and rejected.

    {"instruction": "…", "input": "…", "output": "…", "system": "…", "history": [["…", "…"]], "kto_tag": true}
    {"instruction": "…", "input": "…", "chosen": "…", "rejected": "…"}

What the user says is instruction, line end, input (LLaMA-Factory's reading); `input_characters` in `meta` keeps how
much of it was the input, so that it comes apart again. An empty optional field and an absent one are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from danlu.data.formats.fields import Cannot, Fields, carried, checked, only_text, wrong_turns
from danlu.records import Example, Message, Preference

INPUT = "input_characters"
_PROMPT = ("instruction", "input", "system", "history")


def looks(record: Mapping[str, Any]) -> bool:
    return "instruction" in record and "output" in record and "chosen" not in record


def looks_preference(record: Mapping[str, Any]) -> bool:
    return {"instruction", "chosen", "rejected"} <= record.keys()


def read(fields: Fields) -> Example | None:
    messages = _asked(fields)
    messages.append(Message(role="assistant", content=fields.text("output")))
    label = fields.label("kto_tag")
    _judge(fields, messages, ("assistant",))
    return fields.example(messages, label=label)


def write(example: Example) -> dict[str, Any]:
    body, rest = _prompt(example.messages[:-1], example)
    checked(example.messages)
    body["output"] = example.messages[-1].content
    _add_context(body, example.messages)
    if example.label is not None:
        body["kto_tag"] = example.label
    return carried(body, rest, (*_PROMPT, "output", "kto_tag"))


def read_preference(fields: Fields) -> Preference | None:
    prompt = _asked(fields)
    chosen, rejected = fields.text("chosen"), fields.text("rejected")
    _judge(fields, prompt, ("user",))
    return fields.preference(prompt, chosen, rejected)


def write_preference(preference: Preference) -> dict[str, Any]:
    checked(preference.prompt, ("user",))
    answered(preference)
    body, rest = _prompt(preference.prompt, preference)
    body |= {"chosen": preference.chosen, "rejected": preference.rejected}
    _add_context(body, [*preference.prompt, Message(role="assistant", content="")])
    return carried(body, rest, (*_PROMPT, "chosen", "rejected"))


def answered(preference: Preference) -> None:
    """Cannot, unless both answers say something, and not the same."""
    if not preference.chosen.strip() or not preference.rejected.strip():
        raise Cannot("an empty answer")
    if preference.chosen == preference.rejected:
        raise Cannot("two answers that are the same")


def _asked(fields: Fields) -> list[Message]:
    """The system message, the history and the question."""
    system = fields.text("system", required=False)
    messages = [Message(role="system", content=system)] if system.strip() else []
    for at, turn in enumerate(fields.items("history", required=False), 1):
        if not isinstance(turn, list) or len(turn) != 2 or not all(isinstance(said, str) for said in turn):
            fields.fault("wrong-type", f"history.{at}", "a pair of texts is wanted: [question, answer]")
            continue
        messages.append(Message(role="user", content=turn[0]))
        messages.append(Message(role="assistant", content=turn[1]))
    given = fields.text("input", required=False)
    instruction = fields.text("instruction", required=not given.strip())
    if INPUT in fields.rest and given:
        fields.fault("reserved-field", INPUT, "this name is Danlu's own", mend="rename the field")
    if given:
        fields.rest[INPUT] = len(given)
    return [*messages, Message(role="user", content="\n".join(filter(None, (instruction, given))))]


def _judge(fields: Fields, messages: list[Message], last: tuple[str, ...]) -> None:
    """Faults of the conversation, unless one of its parts is known to be wrong already."""
    fault = None if fields.faults else wrong_turns(messages, last)
    if fault is not None:
        fields.faults.append(fault)


def _prompt(asked: list[Message], record: Any) -> tuple[dict[str, Any], Any]:
    """instruction and input, and the record without what they were told apart by."""
    only_text(asked, record.tools)
    if not asked or asked[-1].role != "user":
        raise Cannot("an answer to no question")
    content = asked[-1].content
    size = record.meta.get(INPUT)
    if size is None:
        return {"instruction": content, "input": ""}, record
    whole = isinstance(size, int) and not isinstance(size, bool) and 0 < size <= len(content)
    head, given = (content[:-size], content[-size:]) if whole else ("", "")
    if not whole or (head and (not head.endswith("\n") or head == "\n")):
        raise Cannot(f"a field of its own named {INPUT!r}")
    meta = {name: value for name, value in record.meta.items() if name != INPUT}
    return {"instruction": head[:-1], "input": given}, record.model_copy(update={"meta": meta})


def _add_context(body: dict[str, Any], messages: list[Message]) -> None:
    """system and history, where there are any; the last two messages are the question and the answer."""
    only_text(messages, [])
    before = messages[:-2]
    if before and before[0].role == "system":
        body["system"] = before[0].content
        before = before[1:]
    if before:
        said = [message.content for message in before]
        body["history"] = [list(turn) for turn in zip(said[::2], said[1::2], strict=True)]
