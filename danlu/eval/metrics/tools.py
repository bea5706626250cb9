"""Tool calls: is the right function called with the right arguments?

The AST match of BFCL (Patil et al., "The Berkeley Function Calling Leaderboard", ICML 2025): an answer is right when
it makes as many calls as the reference, each call of the reference is matched by another one of the answer with the
same function name, every argument has a type that the schema allows and one of the values that the reference allows,
every required argument is there, and no argument is unknown. Strings are compared without case, spaces and
punctuation, as there. An optional argument whose reference allows "" may be absent.

Calls are read from JSON ({"name": …, "arguments": {…}}, a list of them, OpenAI's `tool_calls`, <tool_call> elements)
and from Python's syntax (`[f(a=1), g(b="x")]`), which is parsed and never run.

Not covered: multi-turn use, what a call returns, Java and JavaScript.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from danlu.errors import DataError
from danlu.eval.metrics.metric import Answered, Metric
from danlu.records import ToolCall

Allowed = Mapping[str, Mapping[str, Sequence[Any]]]
"""A call of the reference as BFCL writes it: {function: {argument: [values that are right]}}."""

_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "float": (int, float),
    "double": (int, float),
    "string": (str,),
    "boolean": (bool,),
    "array": (list,),
    "tuple": (list,),
    "object": (dict,),
    "dict": (dict,),
}


def calls(answer: str) -> list[ToolCall]:
    """The calls that an answer makes, none when it makes none. ValueError when what it holds cannot be read as
    calls."""
    tagged = re.findall(r"<tool_call>\s*(.*?)\s*</tool_call>", answer, flags=re.DOTALL)
    block = re.search(r"```(?:json|python|tool_code)?[ \t]*\n(.*?)(?:```|\Z)", answer, flags=re.DOTALL)
    if tagged:
        return [call for text in tagged for call in _from_json(json.loads(text))]
    text = (block.group(1) if block else answer).strip()
    start = re.search(r"[{\[]", text)
    if start and (found := _json_in(text[start.start() :])) is not None:
        return found
    return _python(text)


def _json_in(text: str) -> list[ToolCall] | None:
    try:
        value = json.JSONDecoder().raw_decode(text)[0]
    except ValueError:
        return None
    return _from_json(value)


def _from_json(value: Any) -> list[ToolCall]:
    if isinstance(value, dict) and isinstance(value.get("tool_calls"), list):
        value = value["tool_calls"]
    made = []
    for one in value if isinstance(value, list) else [value]:
        one = one.get("function", one) if isinstance(one, dict) and isinstance(one.get("function"), dict) else one
        if not isinstance(one, dict):
            raise ValueError("a call is no object")
        name, arguments = one.get("name"), one.get("arguments", one.get("parameters", {}))
        if not isinstance(name, str) and len(one) == 1:  # {"f": {"a": 1}}, as BFCL's prompts ask for it
            name, arguments = next(iter(one.items()))
        if isinstance(arguments, str):
            arguments = json.loads(arguments)
        if "arguments" not in one and isinstance(arguments, dict) and "properties" in arguments:
            raise ValueError("the description of a function, which is no call")
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise ValueError("a call without a name or with arguments that are no object")
        made.append(ToolCall(name=name, arguments=arguments))
    return made


def _python(text: str) -> list[ToolCall]:
    if not re.match(r"\[?\s*[A-Za-z_][\w.]*\s*\(", text):
        return []
    if text.startswith("[") and "]" in text:
        text = text[: text.rindex("]") + 1]
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"calls that cannot be read: {error}") from None
    nodes = tree.elts if isinstance(tree, ast.List | ast.Tuple) else [tree]
    made = []
    for node in nodes:
        if not isinstance(node, ast.Call) or node.args or any(word.arg is None for word in node.keywords):
            raise ValueError("a call with arguments that have no name")
        arguments = {str(word.arg): _plain(ast.literal_eval(word.value)) for word in node.keywords}
        made.append(ToolCall(name=ast.unparse(node.func), arguments=arguments))
    return made


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | set):
        return [_plain(one) for one in value]
    return value


def matches(made: Sequence[ToolCall], wanted: Sequence[Allowed], functions: Sequence[Mapping[str, Any]]) -> str:
    """ "" when the calls are right, else the first reason: count, name, unknown-argument, missing-argument, type,
    value."""
    if len(made) != len(wanted):
        return "count"
    schemas = {str(f["name"]): f for f in functions}
    reasons = [[_one(call, allowed, schemas) for call in made] for allowed in wanted]
    if _assign([[not reason for reason in row] for row in reasons]):
        return ""
    order = ("value", "type", "missing-argument", "unknown-argument", "name")
    bad = [min(row, key=lambda reason: order.index(reason) if reason else -1) for row in reasons]
    return next((reason for reason in bad if reason), "value")


def _assign(fits: Sequence[Sequence[bool]]) -> bool:
    """Whether each row can have a column of its own (Kuhn's augmenting paths)."""
    taken: dict[int, int] = {}

    def place(row: int, seen: set[int]) -> bool:
        for column, fit in enumerate(fits[row]):
            if fit and column not in seen:
                seen.add(column)
                if column not in taken or place(taken[column], seen):
                    taken[column] = row
                    return True
        return False

    return all(place(row, set()) for row in range(len(fits)))


def _one(call: ToolCall, allowed: Allowed, schemas: Mapping[str, Mapping[str, Any]]) -> str:
    name, values = next(iter(allowed.items()))
    if _name(call.name) != _name(name):
        return "name"
    parameters = schemas.get(name, {}).get("parameters", {})
    properties = parameters.get("properties", {})
    if any(argument not in values for argument in call.arguments):
        return "unknown-argument"
    for argument, right in values.items():
        if argument not in call.arguments:
            if argument in parameters.get("required", ()) or "" not in right:
                return "missing-argument"
            continue
        given, declared = call.arguments[argument], properties.get(argument, {}).get("type")
        if isinstance(declared, str) and not typed(given, declared):
            return "type"
        if not any(same(given, one) for one in right):
            return "value"
    return ""


def _name(name: str) -> str:
    """A dot is an underscore: most interfaces allow no dot in the name of a function (as in BFCL)."""
    return name.replace(".", "_")


def typed(value: Any, declared: str) -> bool:
    """Whether a value has a type of the schema; a whole number does for a float, a truth value for no number."""
    kinds = _TYPES.get(declared)
    if kinds is None:  # "any", and words that are no type
        return True
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def same(value: Any, right: Any) -> bool:
    """Whether a value is the right one; lists and objects item by item. In an object of the reference each field lists
    the values that are right, as BFCL writes it."""
    if isinstance(value, str) and isinstance(right, str):
        return _bare(value) == _bare(right)
    if isinstance(value, list) and isinstance(right, list):
        return len(value) == len(right) and all(map(same, value, right))
    if isinstance(value, dict) and isinstance(right, dict):
        return all(_field(value, key, options) for key, options in right.items()) and set(value) <= set(right)
    if isinstance(value, bool) or isinstance(right, bool):
        return value is right
    return bool(value == right)


def _field(value: Mapping[str, Any], key: str, options: Any) -> bool:
    several = options if isinstance(options, list) else [options]
    return any(same(value[key], one) for one in several) if key in value else "" in several


def _bare(text: str) -> str:
    return re.sub(r"[\s,./\-_*^，。、；：]", "", text).lower().replace("'", '"')


def problem(answered: Answered) -> str:
    """What is wrong with the calls of an answer: "" for nothing, `unreadable`, or a word of `matches`."""
    fields = answered.fields
    if not fields.get("calls") or not fields.get("functions"):
        raise DataError("a question without functions and the calls that are right")
    try:
        made = calls(str(answered.text))
    except (ValueError, SyntaxError, RecursionError):
        return "unreadable"
    return matches(made, fields["calls"], fields["functions"])


def _named(answered: Answered) -> float:
    """Whether the functions are the right ones, whatever their arguments."""
    try:
        made = sorted(_name(call.name) for call in calls(str(answered.text)))
    except (ValueError, SyntaxError, RecursionError):
        return 0.0
    return float(made == sorted(_name(next(iter(wanted))) for wanted in answered.fields["calls"]))


KINDS = ("generate_until",)
TOOL_CALL = Metric("tool_call", "higher", "share right", KINDS, lambda a: float(not problem(a)))
TOOL_NAME = Metric("tool_name", "higher", "share with the right functions", KINDS, _named)
TOOL_READABLE = Metric("tool_readable", "higher", "share readable", KINDS, lambda a: float(problem(a) != "unreadable"))
