"""A file → a Polars frame: CSV and TSV in any encoding, Parquet, JSON, JSON Lines, and spreadsheets (first sheet)."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.errors import DataError, nearest
from danlu.extras import need
from danlu.text.encoding import decode

if TYPE_CHECKING:
    import polars as pl

ENDINGS = (".csv", ".tsv", ".parquet", ".json", ".jsonl", ".ndjson", ".xlsx", ".xlsm", ".xls", ".ods")
MISSING = ("", "NA", "N/A", "n/a", "null", "NULL", "NaN", "nan", "None")
"""What stands for a missing value in text formats."""


def read(path: Path) -> pl.DataFrame:
    """The table in `path`. DataError: no such file, unknown ending, broken, no rows, a column name given twice."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise DataError(
            f"{ending or 'a file without ending'} is no table", where=str(path), next=f"give one of {' '.join(ENDINGS)}"
        )
    try:
        frame = _read(path, ending)
    except FileNotFoundError:
        beside = nearest(path.name, (one.name for one in path.parent.iterdir())) if path.parent.is_dir() else None
        raise DataError("no such file", where=str(path), nearest=beside) from None
    except (OSError, *_errors()) as error:
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(f"the table cannot be read: {told[0][:200]}", where=str(path)) from None
    if not frame.height or not frame.width:
        raise DataError("the table has no rows", where=str(path), next="a header line and at least one row are needed")
    return frame


def _errors() -> tuple[type[Exception], ...]:
    polars = need("polars", "table")
    calamine = need("python_calamine", "office")
    return (polars.exceptions.PolarsError, calamine.CalamineError, ValueError)


def _read(path: Path, ending: str) -> pl.DataFrame:
    polars = need("polars", "table")
    if ending in (".csv", ".tsv"):
        return _delimited(path)
    if ending == ".parquet":
        return polars.read_parquet(path)
    if ending == ".json":
        return polars.read_json(path, infer_schema_length=None)
    if ending in (".jsonl", ".ndjson"):
        return polars.read_ndjson(path, infer_schema_length=None)
    return _sheet(path)


def _delimited(path: Path) -> pl.DataFrame:
    text, _ = decode(path.read_bytes())
    first = text.lstrip("\r\n").splitlines()[:1]
    if not first:
        raise ValueError("it is empty")
    separator = max(",\t;|", key=lambda mark: (first[0].count(mark), mark == ","))
    _once(next(csv.reader(first, delimiter=separator)), path)
    return need("polars", "table").read_csv(
        io.BytesIO(text.encode()),
        separator=separator,
        infer_schema_length=None,
        null_values=list(MISSING),
        try_parse_dates=True,
    )


def _sheet(path: Path) -> pl.DataFrame:
    polars = need("polars", "table")
    book = need("python_calamine", "office").CalamineWorkbook.from_path(str(path))
    rows = book.get_sheet_by_index(0).to_python()
    if not rows:
        raise ValueError("the first sheet is empty")
    names = [str(cell) for cell in rows[0]]
    _once(names, path)
    columns: dict[str, list[Any]] = {
        name: [None if row[at] in MISSING else row[at] for row in rows[1:]] for at, name in enumerate(names)
    }
    return polars.DataFrame(columns, strict=False)


def _once(names: list[str], path: Path) -> None:
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise DataError(f"the column {twice[0]!r} is given twice", where=f"{path}:1", next="rename one of them")


def column(frame: pl.DataFrame, name: str, what: str) -> None:
    """DataError with the nearest column when `frame` has no column `name`."""
    if name not in frame.columns:
        raise DataError(
            f"{what}: the table has no column {name!r}",
            nearest=nearest(name, frame.columns),
            next=f"it has {', '.join(frame.columns[:20])}",
        )


def write(frame: pl.DataFrame, path: Path) -> None:
    """Write a frame by its ending (.parquet, .csv, .jsonl), aside and then renamed."""
    writers = {".parquet": "write_parquet", ".csv": "write_csv", ".jsonl": "write_ndjson"}
    if path.suffix.lower() not in writers:
        raise DataError(f"cannot write {path.suffix or 'a file without ending'}", where=str(path), next="use .parquet")
    aside = path.with_name(f".{path.name}.part")
    try:
        getattr(frame, writers[path.suffix.lower()])(aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
