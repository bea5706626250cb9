"""Texts side by side: prompt and completion, question and answer, text alone, and TRL's plain pairs.

    {"prompt": "…", "completion": "…", "label": true}
    {"question": "…", "answer": "…"}
    {"text": "…"}
    {"prompt": "…", "chosen": "…", "rejected": "…"}

A prompt is what the user says, a completion what the assistant answers. A text alone is an answer to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from danlu.data.formats.alpaca import answered
from danlu.data.formats.fields import Cannot, Fields, carried, checked, only_text
from danlu.records import Example, Message, Preference

_CHOICES = {"A", "B", "choices", "options"}


def looks(record: Mapping[str, Any]) -> bool:
    return "prompt" in record and "completion" in record


def looks_question(record: Mapping[str, Any]) -> bool:
    return "question" in record and "answer" in record


def looks_text(record: Mapping[str, Any]) -> bool:
    return "text" in record


def looks_preference(record: Mapping[str, Any]) -> bool:
    return {"prompt", "chosen", "rejected"} <= record.keys()


def read(fields: Fields) -> Example | None:
    return _pair(fields, "prompt", "completion", fields.label("label"))


def write(example: Example) -> dict[str, Any]:
    body = _written(example, "prompt", "completion")
    if example.label is not None:
        body["label"] = example.label
    return carried(body, example, ("prompt", "completion", "label"))


def read_question(fields: Fields) -> Example | None:
    choices = sorted(_CHOICES & fields.rest.keys())
    if choices:
        fields.fault("choices", choices[0], "an item with choices is no question and answer", mend="eval reads these")
    return _pair(fields, "question", "answer", None)


def write_question(example: Example) -> dict[str, Any]:
    if example.label is not None:
        raise Cannot("a label")
    body = _written(example, "question", "answer")
    return carried(body, example, ("question", "answer", *_CHOICES))


def read_text(fields: Fields) -> Example | None:
    return fields.example([Message(role="assistant", content=fields.text("text"))])


def write_text(example: Example) -> dict[str, Any]:
    only_text(example.messages, example.tools)
    if len(example.messages) != 1 or example.messages[0].role != "assistant" or example.label is not None:
        raise Cannot("a question")
    if not example.messages[0].content.strip():
        raise Cannot("an empty text")
    return carried({"text": example.messages[0].content}, example, ("text",))


def read_preference(fields: Fields) -> Preference | None:
    prompt, chosen, rejected = fields.text("prompt"), fields.text("chosen"), fields.text("rejected")
    return fields.preference([Message(role="user", content=prompt)], chosen, rejected)


def write_preference(preference: Preference) -> dict[str, Any]:
    answered(preference)
    prompt = checked(preference.prompt, ("user",))
    only_text(prompt, preference.tools)
    if len(prompt) != 1:
        raise Cannot("several turns")
    body = {"prompt": prompt[0].content, "chosen": preference.chosen, "rejected": preference.rejected}
    return carried(body, preference, ("prompt", "chosen", "rejected"))


def _pair(fields: Fields, asked: str, told: str, label: bool | None) -> Example | None:
    messages = [
        Message(role="user", content=fields.text(asked)),
        Message(role="assistant", content=fields.text(told)),
    ]
    return fields.example(messages, label=label)


def _written(example: Example, asked: str, told: str) -> dict[str, Any]:
    messages = checked(example.messages)
    only_text(messages, example.tools)
    if [message.role for message in messages] != ["user", "assistant"]:
        raise Cannot("a system message" if messages[0].role == "system" else "several turns")
    return {asked: messages[0].content, told: messages[1].content}
