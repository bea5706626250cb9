"""Answers in JSON: what shape is asked for, and whether an answer has it.

Accepted is one JSON object of the shape, alone, in one code fence, or behind the thoughts of a reasoning model
(`<think>…</think>`). Everything else is a `Failure`: nothing is guessed, cut out or mended.
"""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import ValidationError

from danlu.data.requests import Failure
from danlu.model.structured import S as S
from danlu.model.structured import Shape as Shape
from danlu.model.structured import schema as schema

_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>\s*", re.DOTALL)
_FENCE = re.compile(r"\A```(?:json)?[ \t]*\n(.*?)\n?```\Z", re.DOTALL)


def parse(text: str, shape: type[S]) -> S | Failure:
    """The answer as `shape`; Failure "not-json" or "wrong-shape" with the first thing that is wrong."""
    text = without_thoughts(text)
    fenced = _FENCE.match(text)
    try:
        value = json.loads(fenced[1] if fenced else text, parse_constant=_refuse, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        return Failure("not-json", f"{error}: {text[:80]!r}")
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the answer"
        return Failure("wrong-shape", f"{field}: {first['msg']}")


def without_thoughts(text: str) -> str:
    """The answer of a reasoning model without what it thought aloud before."""
    return _THOUGHTS.sub("", text).strip()


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found
