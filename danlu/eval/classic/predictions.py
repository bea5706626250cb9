"""A file of predictions → columns: JSON Lines, CSV, TSV or Parquet, one row an item.

A label is a text: 1, 1.0 and "1" are one class, true is "true". DataError names the column (with the nearest one), the
row and what is wrong with it; nothing is skipped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danlu.artifact import digest
from danlu.errors import DataError, nearest
from danlu.extras import need

ENDINGS = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")


@dataclass(frozen=True)
class Predictions:
    """Columns of equal length. Rows are counted from 1 in messages, as `where` says."""

    path: Path
    columns: Mapping[str, Sequence[Any]]
    first: int

    @property
    def n(self) -> int:
        return len(next(iter(self.columns.values())))

    def where(self, row: int) -> str:
        """The file and line (Parquet: row) of item `row`, from 0."""
        return f"{self.path}:{row + self.first}"

    def has(self, name: str) -> bool:
        return name in self.columns

    def column(self, name: str, what: str) -> Sequence[Any]:
        """The column; DataError with the nearest name where there is none."""
        if name not in self.columns:
            raise self.missing(name, what)
        return self.columns[name]

    def missing(self, name: str, what: str) -> DataError:
        """The error about a column that is not there."""
        return DataError(
            f"{what}: there is no column {name!r}",
            where=str(self.path),
            nearest=nearest(name, self.columns),
            next=f"it has {', '.join(list(self.columns)[:20])}; danlu metrics --help",
        )

    def identity(self, row: int, id: str | None, truth: str) -> str:
        """The same for the same item in every file: the hash of its id, else of its row and what is true of it."""
        if id is not None:
            return digest({"id": label(self.column(id, "the ids")[row])})
        value = self.columns[truth][row] if truth in self.columns else None
        told = sorted(map(label, value)) if isinstance(value, (list, tuple)) else label(value)
        return digest({"row": row, "truth": told})

    def labels(self, name: str, what: str) -> list[str]:
        """A column of classes, as texts."""
        return [self._label(value, row, name) for row, value in enumerate(self.column(name, what))]

    def _label(self, value: Any, row: int, name: str) -> str:
        if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
            raise DataError(f"{name} is missing", where=self.where(row), next="leave such rows out, and say how many")
        return label(value)

    def sets(self, name: str, what: str, separator: str) -> list[frozenset[str]]:
        """A column of sets of classes: lists, or texts with a separator between the classes (nothing: no class)."""
        found = []
        for row, value in enumerate(self.column(name, what)):
            parts = value.split(separator) if isinstance(value, str) else [] if value is None else value
            if isinstance(parts, Mapping) or not isinstance(parts, Iterable):
                raise DataError(f"{name} is no list of classes: {value!r}", where=self.where(row))
            found.append(frozenset(label(part) for part in parts if part not in (None, "")))
        return found

    def numbers(self, name: str, what: str) -> list[float]:
        """A column of finite numbers."""
        return [self.number(value, row, name) for row, value in enumerate(self.column(name, what))]

    def number(self, value: Any, row: int, name: str) -> float:
        """One finite number; DataError for anything else."""
        try:
            found = math.nan if value is None or isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            raise DataError(f"{name} is no number: {str(value)[:60]!r}", where=self.where(row)) from None
        if not math.isfinite(found):
            told = "missing" if value is None or value == "" else f"{value!r}, not a finite number"
            raise DataError(f"{name} is {told}", where=self.where(row))
        return found


def label(value: Any) -> str:
    """The class that a value names."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def in_order(classes: Iterable[str]) -> list[str]:
    """Classes as people list them: numbers by size, texts by their letters."""
    found = sorted(set(classes))
    try:
        return sorted(found, key=float)
    except ValueError:
        return found


def read(path: Path) -> Predictions:
    """The predictions in `path`; DataError when they cannot be read, or there are none."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        told = f"{ending or 'a file without ending'} is no file of predictions"
        raise DataError(told, where=str(path), next=f"give one of {' '.join(ENDINGS)}")
    if not path.is_file():
        beside = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError("no such file", where=str(path), nearest=nearest(path.name, beside))
    if ending in (".jsonl", ".ndjson"):
        made = Predictions(path, _lines(path), 1)
    else:
        made = Predictions(path, _table(path, ending), 1 if ending == ".parquet" else 2)
    if not made.columns or not made.n:
        raise DataError("there are no predictions in this file", where=str(path))
    return made


def _lines(path: Path) -> dict[str, list[Any]]:
    rows = []
    for number, line in enumerate(_text(path).rstrip("\n").split("\n"), 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"not JSON: {error}", where=f"{path}:{number}") from None
        if not isinstance(row, dict):
            raise DataError(f"not an object: {line[:60]}", where=f"{path}:{number}")
        rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 (byte {error.start})", where=str(path), next="save the file as UTF-8") from None


def _table(path: Path, ending: str) -> dict[str, list[Any]]:
    polars = need("polars", "eval")
    try:
        if ending == ".parquet":
            frame = polars.read_parquet(path)
        else:
            separator = "\t" if ending == ".tsv" else ","
            frame = polars.read_csv(_text(path).encode(), separator=separator, infer_schema=False)
    except polars.exceptions.PolarsError as error:
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(f"the table cannot be read: {told[0][:200]}", where=str(path)) from None
    columns: dict[str, list[Any]] = frame.to_dict(as_series=False)
    return columns
