"""Datasets that lie in another layout than a table a split: each adapter turns such files into rows, and counts what it
leaves out and why.

A task's file names one, with its own arguments where it has some::

    danlu:
      adapter: drcd                                   # or
      adapter: {name: needle, lengths: [1000, 4000]}

`read_rows` looks for the adapter's files in the data folder: in `<data>/<dataset_path>`, in its last part, in
`<data>/<place>` for each of the `places` that the task's file gives or the adapter has, and, where the adapter's files
cannot be mistaken for others, in `<data>` itself. None means that the folder holds no such file: the dataset is then
read as any other. Few-shot examples come from the split that the task's file names, read in the same way.

To add one, write a function in a file of this folder and one row in `ADAPTERS`.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from danlu.errors import DataError, UsageError, nearest

Fields = dict[str, Any]


@dataclass(frozen=True)
class Rows:
    """The questions of one split. `came` = len(rows) + sum(dropped): nothing is lost without a reason. `files` are
    those that were read."""

    rows: list[Fields]
    came: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    def notes(self) -> list[str]:
        """What was left out, for people."""
        return [f"{count} of {self.came} left out: {reason}" for reason, count in sorted(self.dropped.items()) if count]


class Sorting:
    """Keeps the rows that pass and counts the others by reason."""

    def __init__(self) -> None:
        self.rows: list[Fields] = []
        self.dropped: Counter[str] = Counter()
        self._seen: set[Any] = set()

    def keep(self, row: Fields, unlike: Any = None) -> None:
        """Keep a row; one that equals an earlier one in `unlike` is dropped as `duplicate`."""
        if unlike is not None and unlike in self._seen:
            self.drop("duplicate")
            return
        self._seen.add(unlike)
        self.rows.append(row)

    def drop(self, reason: str) -> None:
        self.dropped[reason] += 1

    def done(self, files: Iterable[Path]) -> Rows:
        return Rows(self.rows, len(self.rows) + self.dropped.total(), dict(self.dropped), tuple(files))


@dataclass(frozen=True)
class Adapter:
    """`patterns` are globs of its files below a folder, of which `{split}` is a part; `places` are folders below the
    data folder where they often lie; `read(files, split, **arguments)` makes the rows. `arguments` names what a task's
    file may give. `root` says whether the data folder itself may be the dataset."""

    patterns: tuple[str, ...]
    read: Callable[..., Rows]
    places: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    root: bool = True

    def find(self, folder: Path, split: str, root: bool = False) -> list[Path]:
        """The adapter's files in one folder: those of the first pattern that finds any. `root` says that the folder is
        the data folder itself, which may hold other datasets too."""
        for pattern in self.patterns:
            found = sorted(path for path in folder.glob(pattern.replace("{split}", split)) if path.is_file())
            if found:
                return found
        return []


ADAPTERS: dict[str, str] = {
    "drcd": "danlu.eval.adapters.drcd:DRCD",
    "subjects": "danlu.eval.adapters.subjects:SUBJECTS",
    "tmmlu": "danlu.eval.adapters.tmmlu:TMMLU",
    "ttqa": "danlu.eval.adapters.ttqa:TTQA",
    "penguins": "danlu.eval.adapters.penguins:PENGUINS",
    "xstest": "danlu.eval.adapters.xstest:XSTEST",
    "sql": "danlu.eval.adapters.sql:SQL",
    "bfcl": "danlu.eval.adapters.bfcl:BFCL",
    "mt_bench": "danlu.eval.adapters.mt_bench:MT_BENCH",
    "texts": "danlu.eval.adapters.texts:TEXTS",
    "needle": "danlu.eval.adapters.needle:NEEDLE",
}


def adapter(name: str, where: str = "") -> Adapter:
    """The adapter behind a word; UsageError with the nearest word when there is none."""
    if name not in ADAPTERS:
        raise UsageError(f"unknown adapter {name!r}", where=where, nearest=nearest(name, ADAPTERS))
    module, attribute = ADAPTERS[name].split(":")
    return cast(Adapter, getattr(importlib.import_module(module), attribute))


def read_rows(
    named: str | Mapping[str, Any], data: Path, dataset_path: str = "", split: str = "test", where: str = ""
) -> Rows | None:
    """The rows of a split by the adapter that a task's file names (a word, or {name, argument, …}), or None when the
    data folder holds none of its files. `where` is the task's file, for messages."""
    given = {"name": named} if isinstance(named, str) else dict(named)
    name, places = str(given.pop("name", "")), given.pop("places", ())
    found = adapter(name, where)
    unknown = next((key for key in given if key not in found.arguments), None)
    if unknown is not None:
        raise UsageError(
            f"adapter {name} has no argument {unknown!r}",
            where=where,
            nearest=nearest(unknown, [*found.arguments, "places"]),
        )
    files = locate(found, data, [dataset_path, *places], split)
    if not files:
        return None
    rows = found.read(files, split, **given)
    if not rows.rows:
        left = ", ".join(f"{count} {reason}" for reason, count in rows.dropped.items()) or "the files are empty"
        raise DataError(f"no question is left: {left}", where=str(files[0]))
    return rows


def locate(found: Adapter, data: Path, named: Sequence[str], split: str) -> Sequence[Path]:
    """The adapter's files of a split below the data folder, from the first place that has any; `named` are the
    dataset's name and the places that the task's file gives. Links are followed, `..` is not."""
    parts = [part for name in named[:1] if name for part in (name, name.rstrip("/").rsplit("/", 1)[-1])]
    inside = [part for part in (*parts, *named[1:], *found.places) if ".." not in Path(part).parts]
    folders = [data / part.lstrip("/") for part in inside] + ([data] if found.root else [])
    for folder in folders:
        if folder.is_dir() and (files := found.find(folder, split, folder == data)):
            return files
    return []
