"""Tasks by name: the index over folders of YAML files, and groups and tags opened into their tasks."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from danlu.errors import DanluError, DataError, UsageError, nearest
from danlu.eval.harness.read import Function, Key, Memo, Read, read_yaml
from danlu.eval.harness.schema import TaskConfig, task_config

GROUP_KEYS = ("group", "group_alias", "task", "aggregate_metric_list", "metadata", "tag")
DEPTH = 20  # groups within groups


@dataclass(frozen=True)
class Known:
    """A name that can be loaded. `members` are the tasks of a tag, or the names that a group lists."""

    name: str
    what: Literal["task", "group", "tag"]
    path: Path | None
    title: str = ""
    summary: str = ""
    kind: str = ""
    members: tuple[str, ...] = ()


@dataclass(frozen=True)
class Loaded:
    """A task's settings with the file that they came from; `trust` says whether its Python may run."""

    config: TaskConfig
    read: Read
    trust: bool

    def where(self, *key: str | int) -> str:
        return self.read.where(key)

    def named(self, dataset_name: str) -> Loaded:
        """The same task over another configuration of its dataset."""
        return replace(self, config=self.config.model_copy(update={"dataset_name": dataset_name}))


@dataclass
class Index:
    known: dict[str, Known] = field(default_factory=dict)
    unread: list[DanluError] = field(default_factory=list)


class Finder:
    """Finds tasks in folders; the first folder that has a name wins."""

    def __init__(self, folders: Sequence[Path], trust: bool = False) -> None:
        for folder in folders:
            if not folder.is_dir():
                raise UsageError("no such folder of tasks", where=str(folder))
        self.folders, self.trust = list(folders), trust
        self._memo: Memo = {}

    def known(self) -> list[Known]:
        """Every task, group and tag, by name."""
        return sorted(self._index.known.values(), key=lambda one: one.name)

    def configs(self, names: Sequence[str]) -> list[Loaded]:
        """The tasks behind some names, each once, in order. A name may hold the wildcards * and ?."""
        found: dict[str, Loaded] = {}
        for name in names:
            for loaded in self._one(name, {}, "", 0):
                found.setdefault(loaded.config.task, loaded)
        return list(found.values())

    def _one(self, name: str, over: Mapping[str, Any], where: str, depth: int) -> Iterator[Loaded]:
        if name.endswith((".yaml", ".yml")):
            yield from self._file(Path(name), over, depth)
            return
        if any(sign in name for sign in "*?["):
            matching = [known.name for known in self.known() if fnmatch.fnmatch(known.name, name)]
            if not matching:
                raise UsageError(f"no task is called like {name!r}", where=where, next="danlu eval --list")
            for one in matching:
                yield from self._one(one, over, where, depth)
            return
        known = self._find(name)
        if known is None:
            raise self._unknown(name, where)
        if known.path is not None:
            yield from self._file(known.path, over, depth)
            return
        for member in known.members:
            yield from self._one(member, over, where, depth)

    def _unknown(self, name: str, where: str) -> UsageError:
        unread = self._index.unread
        said = f"; {len(unread)} files could not be read, the first: {unread[0]}" if unread else ""
        return UsageError(
            f"no task, group or tag is called {name!r}{said}", where=where, nearest=nearest(name, self._index.known),
            next="danlu eval --list",
        )  # fmt: skip

    def _file(self, path: Path, over: Mapping[str, Any], depth: int) -> Iterator[Loaded]:
        read = read_yaml(path.expanduser().resolve(), self._memo)
        if "group" in read.values and not isinstance(read.values.get("task"), str):
            yield from self._group(read, read.values, over, depth)
            return
        if "task" not in read.values and "class" not in read.values:
            raise DataError("neither a task nor a group: it has no `task`", where=str(path))
        merged = Read(read.path, {**read.values, **over}, read.places)
        yield Loaded(task_config(merged), merged, self.trust)

    def _group(self, read: Read, group: Mapping[str, Any], over: Mapping[str, Any], depth: int) -> Iterator[Loaded]:
        """The tasks of a group. What it says beside its own keys holds for each of them, whatever their own files
        say."""
        where = read.where(("task",))
        if depth > DEPTH:
            raise DataError("groups within groups, without an end", where=where)
        inherited = {key: value for key, value in group.items() if key not in GROUP_KEYS} | dict(over)
        members = group.get("task")
        for place, member in enumerate([members] if isinstance(members, str) else members or []):
            there = read.where(("task", place))
            if isinstance(member, str):
                yield from self._one(member, inherited, there, depth + 1)
            elif isinstance(member, Mapping):
                yield from self._inline(read, member, inherited, ("task", place), depth + 1)
            else:
                raise DataError(f"a group lists names or tasks, not {member!r}", where=there)

    def _inline(
        self, read: Read, member: Mapping[str, Any], over: Mapping[str, Any], key: Key, depth: int
    ) -> Iterator[Loaded]:
        """An entry of a group with settings of its own: a group, a known task with other settings, or a new task."""
        if "group" in member:
            name = str(member["group"])
            if self._find(name):
                rest = {key: value for key, value in member.items() if key != "group"}
                yield from self._one(name, {**over, **rest}, read.where(key), depth)
            else:
                yield from self._group(read, member, over, depth)
            return
        name = str(member.get("task", ""))
        if not name:
            raise DataError("an entry of a group needs `task` or `group`", where=read.where(key))
        settings = {**over, **member}
        if self._find(name) is None:
            places = {part[len(key) :]: place for part, place in read.places.items() if part[: len(key)] == key}
            inline = Read(read.path, settings, {part: place for part, place in places.items() if part})
            yield Loaded(task_config(inline), inline, self.trust)
        else:
            rest = {key: value for key, value in settings.items() if key != "task"}
            yield from self._one(name, rest, read.where(key), depth)

    def _find(self, name: str) -> Known | None:
        """What has a name. Thousands of files are parsed only when no file that holds the word has it as its own."""
        if "_index" not in self.__dict__:
            for folder in self.folders:
                for path in _files(folder):
                    own: dict[str, Known] = {}
                    if name.encode() in path.read_bytes():
                        self._add(path, own, [])
                    if name in own and own[name].what != "tag":
                        return own[name]
        return self._index.known.get(name)

    @cached_property
    def _index(self) -> Index:
        index = Index()
        for folder in self.folders:
            own: dict[str, Known] = {}
            for path in _files(folder):
                self._add(path, own, index.unread)
            for name, known in own.items():
                index.known.setdefault(name, known)
        return index

    def _add(self, path: Path, own: dict[str, Known], unread: list[DanluError]) -> None:
        """The names in one file. A file that cannot be read is told of when a name is not found."""
        try:
            values = read_yaml(path.resolve(), self._memo).values
        except DanluError as error:
            unread.append(error)
            return
        given = values.get("danlu")
        extension = given if isinstance(given, dict) else {}
        title = str(extension.get("title") or values.get("task_alias") or values.get("group_alias") or "")
        summary, kind = str(extension.get("summary", "")), str(values.get("output_type", ""))
        task = values.get("task")
        if "group" in values and not isinstance(task, str):
            members = tuple(_name(member) for member in task or []) if isinstance(task, list) else ()
            group = Known(str(values["group"]), "group", path, title, summary, members=members)
            own.setdefault(group.name, group)
        elif isinstance(task, str | int):
            own.setdefault(str(task), Known(str(task), "task", path, title, summary, kind))
            tags = values.get("tag") or []
            for tag in [tags] if isinstance(tags, str) else tags:
                before = own.get(tag, Known(str(tag), "tag", None))
                if before.what == "tag":
                    own[str(tag)] = Known(str(tag), "tag", None, members=tuple(sorted({*before.members, str(task)})))


def _files(folder: Path) -> list[Path]:
    paths = sorted(folder.glob("**/*.yaml"), key=lambda path: path.as_posix())
    return [path for path in paths if not {"__pycache__", ".ipynb_checkpoints"} & set(path.parts)]


def _name(member: Any) -> str:
    return str(member.get("task") or member.get("group")) if isinstance(member, Mapping) else str(member)


def functions(value: Any) -> Iterator[Function]:
    """Every `!function` in the settings of a task, wherever it stands."""
    if isinstance(value, Function):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from functions(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from functions(inner)
