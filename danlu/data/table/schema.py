"""What a table must look like: a pandera schema in a YAML file, made by `fit`, to be edited by people.

The columns and their types are checked strictly; add pandera's checks where you know more (`in_range`, `isin`,
`str_matches`, …). A row that breaks a check is told with its number and left out; a missing column or another type
stops the work, since no row would be right then.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from danlu.errors import DataError, nearest
from danlu.extras import need

if TYPE_CHECKING:
    import polars as pl


class Violation(NamedTuple):
    """Row (from 1, the header not counted), column, the check that it breaks, and the value."""

    row: int
    column: str
    check: str
    value: str


def infer(frame: pl.DataFrame, target: str | None) -> str:
    """The YAML of a schema: the frame's columns and types; the target may be absent, any value may be missing."""
    pandera = need("pandera.polars", "table")
    columns = {
        name: pandera.Column(dtype, nullable=True, required=name != target) for name, dtype in frame.schema.items()
    }
    return str(pandera.DataFrameSchema(columns).to_yaml())


def load(path: Path) -> Any:
    pandera = need("pandera.polars", "table")
    try:
        return pandera.DataFrameSchema.from_yaml(path)
    except FileNotFoundError:
        raise DataError("no such schema", where=str(path), next="danlu data table fit writes one") from None
    except Exception as error:  # a YAML error, or any of pandera's own about what stands in it
        raise DataError(f"no pandera schema: {str(error).splitlines()[0][:200]}", where=str(path)) from None


def conformed(frame: pl.DataFrame, schema: Any) -> pl.DataFrame:
    """`frame` with the schema's columns in its types, as far as that loses nothing (whole numbers to floats, an empty
    column to any type). DataError: a column is missing, or has another type."""
    polars = need("polars", "table")
    for name, wanted in schema.columns.items():
        if name not in frame.columns:
            if not wanted.required:
                continue
            raise DataError(f"the table has no column {name!r}", nearest=nearest(name, frame.columns))
        dtype = wanted.dtype.type
        given = frame.schema[name]
        if given == dtype:
            continue
        harmless = given == polars.Null or (given.is_integer() and (dtype.is_numeric()))
        if not harmless and dtype != polars.String:
            bad = next((str(value) for value in frame[name] if not _as(value, dtype)), "")
            raise DataError(f"column {name!r} is {given}, not {dtype}", where=f"{name}: {bad[:40]}" if bad else name)
        frame = frame.with_columns(polars.col(name).cast(dtype))
    return frame


def _as(value: Any, dtype: Any) -> bool:
    polars = need("polars", "table")
    try:
        return value is None or polars.Series([value]).cast(dtype) is not None
    except polars.exceptions.PolarsError:
        return False


def violations(frame: pl.DataFrame, schema: Any) -> list[Violation]:
    """What breaks the schema's checks, by row. DataError for what is wrong with a whole column."""
    pandera = need("pandera", "table")
    try:
        schema.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as error:
        cases = error.failure_cases
    else:
        return []
    whole = cases.filter(cases["index"].is_null())
    if whole.height:
        first = whole.row(0, named=True)
        raise DataError(
            f"column {first['column'] or first['failure_case']!r} breaks {first['check']}: {first['failure_case']}"
        )
    found = [
        Violation(int(case["index"]) + 1, str(case["column"]), str(case["check"]), str(case["failure_case"]))
        for case in cases.iter_rows(named=True)
    ]
    return sorted(found)
