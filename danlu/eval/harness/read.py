"""A YAML file with its includes, where each value stands in a file, and `!function` kept as a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from danlu.errors import DataError, nearest

Key = tuple[str | int, ...]
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Function:
    """`!function module.name` as it stands in a file: `module.py` lies in `folder`. Nothing was imported."""

    spec: str
    folder: Path
    where: str


@dataclass(frozen=True)
class Read:
    """The values of a file and of what it includes, and the place (file:line) of each key and item."""

    path: Path
    values: Mapping[str, Any]
    places: Mapping[Key, str]

    def where(self, key: Key) -> str:
        """The place of the innermost known part of a key."""
        for end in range(len(key), 0, -1):
            if key[:end] in self.places:
                return self.places[key[:end]]
        return str(self.path)


class _Loader(_Base):  # type: ignore[misc]
    path: Path


def _function(loader: _Loader, node: yaml.Node) -> Function:
    where = f"{loader.path}:{node.start_mark.line + 1}"
    return Function(str(loader.construct_scalar(node)), loader.path.parent, where)


_Loader.add_constructor("!function", _function)


Memo = dict[Path, Read]


def read_yaml(path: Path, memo: Memo | None = None) -> Read:
    """A file and its includes; the file's own keys win. `memo` keeps what was read, for includes that many files share.
    DataError with file and line for what is no such file."""
    return _read(path, (), {} if memo is None else memo)


def _read(path: Path, above: tuple[Path, ...], memo: Memo) -> Read:
    if path in memo:
        return memo[path]
    own = _own(path)
    values, places = dict(own.values), dict(own.places)
    included = values.pop("include", None)
    if included is None:
        memo[path] = own
        return own
    where = own.where(("include",))
    under: dict[str, Any] = {}
    under_places: dict[Key, str] = {}
    for name in included if isinstance(included, list) else [included]:
        target = (path.parent / str(name)).resolve()
        if target in above or target == path.resolve():
            raise DataError(f"the file includes itself by way of {name}", where=where)
        if not target.is_file():
            beside = [entry.name for entry in target.parent.glob("*")]
            raise DataError(f"includes {name}, which is not there", where=where, nearest=nearest(target.name, beside))
        read = _read(target, (*above, path.resolve()), memo)
        under_places = {key: place for key, place in under_places.items() if key[0] not in read.values}
        under_places |= read.places
        under |= read.values
    under_places = {key: place for key, place in under_places.items() if key[0] not in values}
    memo[path] = Read(path, under | values, under_places | places)
    return memo[path]


def _own(path: Path) -> Read:
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        loader.path = path
        node = loader.get_single_node()
        values = loader.construct_document(node) if node is not None else None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 (byte {error.start})", where=str(path), next="save the file as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise DataError(f"not YAML: {getattr(error, 'problem', error)}", where=f"{path}{line}") from None
    if not isinstance(values, dict):
        raise DataError("not the YAML of a task: keys and values are expected", where=str(path))
    places: dict[Key, str] = {}
    _mark(node, (), path, places)
    return Read(path, {str(key): value for key, value in values.items()}, places)


def _mark(node: Any, key: Key, path: Path, places: dict[Key, str]) -> None:
    if key:
        places[key] = f"{path}:{node.start_mark.line + 1}"
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            _mark(value, (*key, str(name.value)), path, places)
            places[(*key, str(name.value))] = f"{path}:{name.start_mark.line + 1}"
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            _mark(value, (*key, place), path, places)
