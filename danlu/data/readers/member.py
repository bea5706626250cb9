"""Members: a file inside a file (of an archive, of a message), through the reader of its own suffix."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeVar

from danlu.data.guard import alive
from danlu.data.readers import READERS, Bad, How, Reading, Unreadable, module, one


class Named(Protocol):
    """A member of an archive, with why it is refused (`reason`, `detail`), if it is."""

    @property
    def name(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def detail(self) -> str: ...


M = TypeVar("M", bound=Named)

DEEPEST = {"zip": 2, "gzip": 2, "tar": 2, "sevenzip": 2, "rar": 2, "email": 4, "msg": 4}
"""In how many others an archive or a message may lie."""


def unpacked(members: Iterable[M], read: Callable[[M], bytes], how: How) -> Iterator[Reading | Bad]:
    """What the members of an archive say. Raises Unreadable "empty" when there are none."""
    empty = True
    for member in members:
        empty = False
        if member.reason:
            yield Bad(member.name, member.reason, member.detail)
        elif any(part.startswith((".", "__MACOSX")) for part in member.name.removeprefix("./").split("/")):
            yield Bad(member.name, "hidden")
        else:
            try:
                data = read(member)
            except Unreadable as error:
                yield Bad(member.name, error.reason, error.detail)
                continue
            yield from inside(member.name, data, how)
    if empty:
        raise Unreadable("empty", "an archive without files")


def inside(name: str, data: bytes, how: How) -> Iterator[Reading | Bad]:
    """What the member says, or why it cannot be read; `how` is that of the file it is in. Raises nothing else."""
    path = f"{how.source}#{name}"
    if path in how.skip:
        yield Bad(name, *how.skip[path])
        return
    alive(path)
    suffix = PurePosixPath(name).suffix.lower()
    format = READERS.get(suffix)
    if format is None:
        yield Bad(name, "unsupported-format", suffix or "no suffix")
        return
    if how.depth >= DEEPEST.get(format, how.depth + 1):
        yield Bad(name, "too-deep", f"it lies in {how.depth + 1} others")
        return
    try:
        for found in _found(format, suffix, data, replace(how, source=path, depth=how.depth + 1)):
            part = f"{name}#{found.part}" if found.part else name
            if isinstance(found, Reading):
                found = replace(found, format=found.format or format)
            yield replace(found, part=part)
    except Unreadable as error:
        yield Bad(name, error.reason, error.detail)


def _found(format: str, suffix: str, data: bytes, how: How) -> Iterator[Reading | Bad]:
    found = module(format)
    if not hasattr(found, "each"):
        yield one(found.read, data)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"member{suffix}")
        path.write_bytes(data)
        yield from found.each(path, how)
