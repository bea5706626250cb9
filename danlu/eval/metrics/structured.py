"""Structured output: does the answer hold JSON, does it keep the schema, are the required fields there?

The schema is JSON Schema 2020-12 unless it names another draft, checked by `jsonschema`, formats (date, email, …)
included as far as that library checks them without further packages. As in JSONSchemaBench (Geng et al., "Generating
Structured Outputs from Language Models", 2025) validity says nothing of whether the values are true: `expected`
fields, where a question has them, are compared one by one.

Not covered: other formats than JSON; `$ref` to another document (refused: nothing is fetched).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from danlu.errors import DataError
from danlu.eval.metrics.metric import Answered, Metric
from danlu.extras import need


@dataclass(frozen=True)
class Structure:
    """Each is 0.0 or 1.0 but `fields`, the share of the required fields that are there, and `values`, the share of the
    expected ones that are right (None where nothing is expected). `problem` says the first thing that is wrong."""

    parses: float
    valid: float
    fields: float
    values: float | None
    problem: str


def extract(answer: str) -> Any:
    """The JSON value of an answer: a ```json block, or the first object or list in it. ValueError when there is
    none."""
    block = re.search(r"```(?:json)?[ \t]*\n(.*?)(?:```|\Z)", answer, flags=re.DOTALL | re.IGNORECASE)
    text = (block.group(1) if block else answer).strip()
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError:
        start = re.search(r"[{\[]", text)
        if start is None:
            raise ValueError("no JSON") from None
        return json.JSONDecoder(parse_constant=_no_constant).raw_decode(text[start.start() :])[0]


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def judge(answer: str, schema: Mapping[str, Any], expected: Mapping[str, Any] | None = None) -> Structure:
    """What an answer is worth against a schema."""
    nothing = None if not expected else 0.0
    try:
        value = extract(answer)
    except (ValueError, RecursionError) as error:
        return Structure(0.0, 0.0, 0.0, nothing, str(error) or "nested too deeply")
    problem = violation(value, schema)
    required = list(schema.get("required", []))
    own = value if isinstance(value, dict) else {}
    fields = sum(name in own for name in required) / len(required) if required else float(not problem)
    values = None
    if expected:
        values = sum(name in own and same(own[name], wanted) for name, wanted in expected.items()) / len(expected)
    return Structure(1.0, float(not problem), fields, values, problem)


def violation(value: Any, schema: Mapping[str, Any]) -> str:
    """The first thing by which a value breaks a schema, "" when it keeps it."""
    jsonschema = need("jsonschema", "eval")
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    registry = need("referencing", "eval").Registry()
    validator = kind(schema, format_checker=kind.FORMAT_CHECKER, registry=registry)
    first = min(validator.iter_errors(value), key=lambda error: list(map(str, error.absolute_path)), default=None)
    if first is None:
        return ""
    place = "/".join(map(str, first.absolute_path))
    return f"{place}: {first.message}" if place else str(first.message)


def same(value: Any, wanted: Any) -> bool:
    """Equality of JSON values, where a list of `{"any": [...]}` in the data allows several; strings without the space
    around them."""
    if isinstance(wanted, dict) and set(wanted) == {"any"}:
        return any(same(value, one) for one in wanted["any"])
    if isinstance(value, str) and isinstance(wanted, str):
        return value.strip() == wanted.strip()
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    return bool(value == wanted)


def _structure(answered: Answered) -> Structure:
    schema = answered.fields.get("schema")
    if not isinstance(schema, Mapping):
        raise DataError("a question without a schema")
    return judge(str(answered.text), schema, answered.fields.get("expected") or None)


def _values(answered: Answered) -> float | None:
    return _structure(answered).values


KINDS = ("generate_until",)
PARSES = Metric("json_parses", "higher", "share that is JSON", KINDS, lambda a: _structure(a).parses)
VALID = Metric("json_valid", "higher", "share that keeps the schema", KINDS, lambda a: _structure(a).valid)
FIELDS = Metric("json_fields", "higher", "share of required fields", KINDS, lambda a: _structure(a).fields)
VALUES = Metric("json_values", "higher", "share of expected values", KINDS, _values)
