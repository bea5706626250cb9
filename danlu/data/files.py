"""The files under some paths, each once, in an order that does not depend on where they lie; and what is not read."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from danlu.artifact import leaves
from danlu.data.readers import READERS
from danlu.errors import DataError, nearest


@dataclass(frozen=True)
class Found:
    """A file to read, or a reason why not. `source` begins with the name of the path given (`root`), never with the
    way to it, so that the same folder gives the same documents wherever it lies. `changed` is in nanoseconds."""

    root: str
    source: str
    path: Path
    reason: str = ""
    detail: str = ""
    size: int = 0
    changed: int = 0

    @property
    def suffix(self) -> str:
        return self.path.suffix.lower()


def labels(paths: list[Path]) -> dict[Path, str]:
    """A short name for each path: its last part, with as many parts before it as tell it from the others."""
    roots = list(dict.fromkeys(path.absolute().resolve() for path in paths))
    names = dict.fromkeys(roots, 1)
    while True:
        shown = {root: "/".join(root.parts[-names[root] :]) for root in roots}
        repeated = {name for name, times in Counter(shown.values()).items() if times > 1}
        if not repeated:
            return {root: printable(name) for root, name in shown.items()}
        names = {root: names[root] + (shown[root] in repeated) for root in roots}


def files(paths: list[Path], exclude: Iterable[str]) -> Iterator[Found]:
    """Everything that the paths hold, each once, sorted within its folder.

    Raises DataError for a path that does not exist, with the nearest name beside it, and for a folder without files.
    """
    for path in paths:
        if not path.exists():
            raise _missing(path)
    seen: set[str] = set()
    for root, label in labels(paths).items():
        empty = True
        for file in _walk(root, label, exclude) if root.is_dir() else [Found(label, label, root)]:
            empty = False
            real = os.path.realpath(file.path)
            if file.reason or real not in seen:
                seen.add(real)
                yield _checked(file)
            else:
                yield replace(file, reason="listed-twice", detail="an earlier path brought the same file")
        if empty:
            raise DataError("the folder is empty: nothing to read", where=str(root), next="put documents into it")


def _walk(root: Path, label: str, exclude: Iterable[str]) -> Iterator[Found]:
    def refuse(error: OSError) -> None:
        path = Path(error.filename)
        unreadable.append(Found(label, _under(label, root, path), path, "unreadable", str(error.strerror)))

    unreadable: list[Found] = []
    for folder, below, names in os.walk(root, onerror=refuse):
        below.sort()
        for name in sorted([*below, *names]):
            path = Path(folder, name)
            found = Found(label, _under(label, root, path), path)
            excluded = "excluded" if _excluded(path.relative_to(root), exclude) else ""
            reason = "hidden" if name.startswith(".") else excluded
            detail = ""
            if not reason and path.is_symlink():
                reason, detail = _link(path, root)
            if reason and name in below:
                below.remove(name)
            if reason or name not in below:
                yield replace(found, reason=reason, detail=detail)
    yield from unreadable


def _link(path: Path, root: Path) -> tuple[str, str]:
    """Why a symbolic link is not followed, and to where it points; ("", "") for one to a file of the same folder (or
    to a device, which is told elsewhere)."""
    to = printable(os.readlink(path))
    if path.is_dir():
        return "link-to-folder", f"it points to {to}"
    if not path.exists():
        return "unreadable", f"a link to {to}, which is not there or points back"
    outside = path.is_file() and leaves(path, root)
    return ("link-outside", f"it points out of the folder, to {to}") if outside else ("", "")


def _excluded(path: Path, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(text, pattern.rstrip("/")) for pattern in patterns for text in (path.name, path.as_posix()))


def _under(label: str, root: Path, path: Path) -> str:
    return f"{label}/{printable(path.relative_to(root).as_posix())}" if path != root else label


def printable(name: str) -> str:
    """A file name that is not UTF-8, with its odd bytes as `\\xNN`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _checked(file: Found) -> Found:
    """The file with its size and time, or why it is not to be read."""
    if file.reason:
        return file
    if file.suffix not in READERS:
        detail = f"no reader for {file.suffix}" if file.suffix else "a name without a suffix"
        return replace(file, reason="unsupported-format", detail=detail)
    try:
        found = file.path.stat()
    except OSError as error:
        return replace(file, reason="unreadable", detail=str(error.strerror))
    if not stat.S_ISREG(found.st_mode):
        return replace(file, reason="not-a-file", detail="a pipe, a socket or a device")
    return replace(file, size=found.st_size, changed=found.st_mtime_ns)


def _missing(path: Path) -> DataError:
    """Names the nearest existing entry of the nearest existing folder above the path."""
    path = path.absolute()
    while not path.parent.exists():
        path = path.parent
    beside = nearest(path.name, (entry.name for entry in path.parent.iterdir())) if path.parent.is_dir() else None
    return DataError(
        "no such file or folder",
        where=str(path),
        nearest=str(path.parent / beside) if beside else None,
        next="set `paths` of the data.read step to what exists",
    )
