"""Parquet: a document for each row, a batch of rows in memory at once; only the columns that are used are read.

Not covered: encrypted files, and values that are no text, list or record (they are left out).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from danlu.data.readers import USUAL, Bad, How, Reading, Unreadable
from danlu.data.readers.fields import known, record, told, used
from danlu.extras import need

_ROWS = 256


def each(path: Path, how: How = USUAL) -> Iterator[Reading | Bad]:
    """Raises Unreadable "broken-parquet", "empty", "no-text-field" (of no row can be read)."""
    arrow = need("pyarrow", "data")
    parquet = need("pyarrow.parquet", "data")
    number = 0
    try:
        with parquet.ParquetFile(path, memory_map=False) as file:
            names: list[str] = file.schema_arrow.names
            text = how.text if how.text in names else "" if how.text else known(names)
            if not text:
                missing = f"no column {how.text!r}; " if how.text else ""
                raise Unreadable("no-text-field", f"{missing}there are {told(names)}")
            for batch in file.iter_batches(_ROWS, columns=used(names, how)):
                rows: list[dict[str, Any]] = batch.to_pylist()
                for row in rows:
                    number += 1
                    yield record(row, how, f"row {number}")
    except (arrow.ArrowException, OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise Unreadable("broken-parquet", f"after {number} row(s): {' '.join(str(error).split())[:200]}") from None
    if not number:
        raise Unreadable("empty", "a table without rows")
