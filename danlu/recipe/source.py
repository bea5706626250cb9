"""YAML with places: plain values, and the line and column that each key and value came from.

Parsed by PyYAML, its scalars read by the core schema of YAML 1.2 (section 10.3.2): `yes`, `on`, `1:30`, `1_000` and
dates are text, `010` is ten, `0o10` is eight. (By itself PyYAML follows YAML 1.1 of 2005, where these are True, True,
90, 1000, dates and 8.) No tags but those of that schema, no Python objects. A key that is given twice is a problem
(YAML libraries keep the last one silently). Anchors, aliases and merge keys (`<<`, of YAML 1.1) work; the expanded
document is bounded, so that a small file cannot unfold into gigabytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import yaml

from danlu.errors import Problem

Place = tuple[str | int, ...]
Mark = tuple[int, int]

MAX_VALUES = 20_000
MAX_DEPTH = 40
_TAG = "tag:yaml.org,2002:"
PLAIN = (f"{_TAG}map", f"{_TAG}seq")
NO_TAGS = "tags (!…) are not allowed in a recipe"

# the core schema: kind → (what its text looks like, the value of such a text)
_CORE: dict[str, tuple[re.Pattern[str], Callable[[str], Any]]] = {
    "null": (re.compile(r"~|null|Null|NULL|"), lambda text: None),
    "bool": (re.compile(r"true|True|TRUE|false|False|FALSE"), lambda text: text.lower() == "true"),
    "int": (re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"), lambda text: _integer(text)),
    "float": (
        re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
        lambda text: float(re.sub(r"\.(?=[inIN])", "", text)),
    ),
}


def _integer(text: str) -> int:
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    return int(text, base)


class _Loader(yaml.SafeLoader):
    """PyYAML's parser, with the core schema in place of its own words for plain scalars."""


_Loader.yaml_implicit_resolvers = {}
for _kind, (_look, _) in _CORE.items():
    _Loader.add_implicit_resolver(f"{_TAG}{_kind}", re.compile(f"(?:{_look.pattern})$"), None)
_Loader.add_implicit_resolver(f"{_TAG}merge", re.compile("<<$"), ["<"])


class Unreadable(Exception):
    """The text is no YAML at all; carries the problem, with its line."""

    def __init__(self, what: str, mark: Mark, next: str | None = None) -> None:
        self.what, self.mark, self.next = what, mark, next
        super().__init__(what)


class Source:
    """The values of a YAML text, with `keys` and `values`: where each stands, by its path in the document."""

    def __init__(self, text: str) -> None:
        self.keys: dict[Place, Mark] = {}
        self.values: dict[Place, Mark] = {}
        self.problems: list[tuple[Mark, Problem]] = []
        self._count = 0
        try:
            node = _Loader(text).get_single_node()
            self.data = None if node is None else self._read(node, ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise Unreadable(_wording(error), _mark(mark)) from None
        except yaml.YAMLError as error:
            raise Unreadable(str(error).splitlines()[0], (1, 1)) from None
        except RecursionError:
            raise Unreadable("nested too deeply", (1, 1)) from None

    def mark(self, place: Place, key: bool = False) -> Mark:
        """Where `place` stands; the nearest enclosing place for one that the text does not have."""
        first, second = (self.keys, self.values) if key else (self.values, self.keys)
        while place and place not in first and place not in second:
            place = place[:-1]
        return first.get(place) or second.get(place) or (1, 1)

    def _read(self, node: Any, place: Place) -> Any:
        self._count += 1
        if self._count > MAX_VALUES:
            raise Unreadable(f"more than {MAX_VALUES:,} values once its aliases are expanded", _mark(node.start_mark))
        if len(place) > MAX_DEPTH:
            raise Unreadable(f"nested deeper than {MAX_DEPTH} levels", _mark(node.start_mark))
        self.values.setdefault(place, _mark(node.start_mark))
        if not isinstance(node, yaml.ScalarNode) and node.tag not in PLAIN:
            raise Unreadable(NO_TAGS, _mark(node.start_mark))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self._read(item, (*place, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[Any, Any]:
        merged: dict[Any, Any] = {}
        own: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                several = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                for part in (self._read(item, place) for item in reversed(several)):
                    if not isinstance(part, dict):
                        raise Unreadable("<< merges mappings only", _mark(value_node.start_mark))
                    merged.update(part)
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise Unreadable("a key must be a plain word", _mark(key_node.start_mark))
            key = self._scalar(key_node)
            at = (*place, key)
            if key in own:
                line = self.keys[at][0]
                problem = Problem(f"the key {key!r} is given twice (first on line {line})", next="keep one of the two")
                self.problems.append((_mark(key_node.start_mark), problem))
                continue
            self.keys[at] = _mark(key_node.start_mark)
            self.values.pop(at, None)
            own[key] = self._read(value_node, at)
        return {**merged, **own}

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        kind = str(node.tag).removeprefix(_TAG)
        if kind in ("str", "merge"):  # `<<` as a value is two characters
            return node.value
        if kind not in _CORE:
            raise Unreadable(NO_TAGS, _mark(node.start_mark))
        look, value = _CORE[kind]
        try:
            if look.fullmatch(node.value):
                return value(node.value)
            why = f"no {kind} as YAML 1.2 writes one"
        except ValueError as error:  # an integer of thousands of digits
            why = str(error)
        raise Unreadable(f"{str(node.value)[:40]!r}: {why}", _mark(node.start_mark))


def parse_value(text: str) -> Any:
    """One value as YAML reads it (`16`, `true`, `[a, b]`, a word); Unreadable when it is none."""
    return Source(text).data


def _mark(mark: Any) -> Mark:
    return (1, 1) if mark is None else (mark.line + 1, mark.column + 1)


def _wording(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "not YAML"
    if "\\t" in problem:
        return "a tab where YAML wants spaces"
    if "could not determine a constructor" in problem:
        return NO_TAGS
    return f"not valid YAML: {problem}" + (f" {error.context}" if error.context else "")
