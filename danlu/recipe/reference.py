"""The reference of steps and settings, made from the classes themselves: for people, and a JSON schema for editors."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

from pydantic.json_schema import models_json_schema

from danlu import registry
from danlu.registry import ChatName, From, ModelName, Settings, Step, markers


def steps() -> list[dict[str, str]]:
    """Each step word with what it makes and the first sentence of its docstring."""
    classes = {word: registry.step_class(word) for word in registry.STEPS}
    return [{"use": word, "makes": found.makes, "summary": _summary(found)} for word, found in classes.items()]


def step(word: str) -> dict[str, Any]:
    """A step's docstring and its settings: name, type, default, what it means. UsageError for an unknown word."""
    found = registry.step_class(word)
    special = markers(found.Settings)
    settings = [
        {
            "name": name,
            "type": _type(special.get(name), field.annotation),
            "required": field.is_required(),
            "default": None if field.is_required() else _default(field.get_default(call_default_factory=True)),
            "doc": field.description or "",
        }
        for name, field in found.Settings.model_fields.items()
    ]
    return {"use": word, "makes": found.makes, "doc": _doc(found), "settings": settings}


def schema() -> dict[str, Any]:
    """The JSON schema of a recipe, one alternative for each step word."""
    classes: dict[str, type[Settings]] = {word: registry.step_class(word).Settings for word in registry.STEPS}
    references, shared = models_json_schema([(found, "validation") for found in classes.values()])
    definitions = dict(shared.get("$defs", {}))
    alternatives = []
    for word, found in classes.items():
        own = dict(definitions[references[(found, "validation")]["$ref"].rpartition("/")[2]])
        own["title"] = word
        own["properties"] = {"use": {"const": word}, **own.get("properties", {})}
        own["required"] = ["use", *own.get("required", [])]
        alternatives.append(own)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Danlu recipe",
        "type": "object",
        "additionalProperties": False,
        "required": ["steps"],
        "properties": {
            "recipe": {"type": "string", "description": "The recipe's name."},
            "description": {"type": "string"},
            "seed": {"type": "integer", "minimum": 0, "description": "The default seed of every step that has one."},
            "steps": {"type": "object", "minProperties": 1, "additionalProperties": {"oneOf": alternatives}},
        },
        "$defs": definitions,
    }


def _doc(found: type[Step[Settings]]) -> str:
    return inspect.cleandoc(found.__doc__ or "")


def _summary(found: type[Step[Settings]]) -> str:
    paragraph = " ".join(_doc(found).split("\n\n")[0].split())
    return re.split(r"(?<=\.) (?=[A-Z])", paragraph)[0]


def _type(marker: object, annotation: Any) -> str:
    if isinstance(marker, From):
        step = f"name of a step that makes {marker.kind}"
        return f"{step}, or a {_type(marker.or_, annotation)}" if marker.or_ else step
    if isinstance(marker, ModelName):
        return "model: built-in name, local folder or hub id"
    if isinstance(marker, ChatName):
        return "chat: endpoint:URL#MODEL, FILE.gguf, a built-in model, or script:FILE.json"
    text = getattr(annotation, "__name__", "") if not hasattr(annotation, "__args__") else ""
    return text or re.sub(r"\b(typing|pathlib|collections\.abc)\.", "", str(annotation)).replace("NoneType", "None")


def _default(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False, default=str)
