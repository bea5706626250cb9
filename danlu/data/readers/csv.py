"""CSV and TSV: a document for each row that has a text, else the table as Markdown.

The delimiter (comma, semicolon, tab, bar) is the one that gives rows of one width. A column that `fields` knows as a
text, or the one that was named, makes each row a document; `meta["lines"]` is the row's lines. Otherwise a document
holds up to `ROWS` rows under the same head. The first row is the head. UTF-8 is streamed; other encodings are read
up to `LARGEST` bytes. Not covered: tables without a head, comments, decimal commas.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from danlu.data.readers import LONGEST, USUAL, Bad, How, Reading, Unreadable, bounded
from danlu.data.readers.fields import known, record, told
from danlu.data.readers.grid import table
from danlu.data.readers.text import decoded

ROWS = 1000
LARGEST = 2**26
_SAMPLE = 2**16


def each(path: Path, how: How = USUAL) -> Iterator[Reading | Bad]:
    """Raises Unreadable, also after some rows: what came before stays."""
    csv.field_size_limit(LONGEST)
    with path.open("rb") as raw:
        file, meta = _text(path, raw)
        sample = file.read(_SAMPLE)
        if not sample.strip():
            raise Unreadable("empty", "nothing but white space")
        file.seek(0)
        rows = csv.reader(_sane(file), delimiter="\t" if path.suffix == ".tsv" else delimiter(sample))
        try:
            yield from _documents(rows, how, meta)
        except csv.Error as error:
            reason = "record-too-long" if "field larger" in str(error) else "broken-csv"
            raise Unreadable(reason, f"line {rows.line_num}: {error}") from None


def _documents(rows: Any, how: How, meta: dict[str, Any]) -> Iterator[Reading | Bad]:
    names = [name.strip() for name in next(rows)]
    if how.text and how.text not in names:
        raise Unreadable("no-text-field", f"no column {how.text!r}; there are {told(names)}")
    if how.text or known(names):
        count = 0
        first = rows.line_num + 1
        for row in rows:
            if any(cell.strip() for cell in row):
                count += 1
                value = dict(zip(names, row, strict=False))
                yield record(value, how, f"row {count}", **meta, lines=[first, rows.line_num])
            first = rows.line_num + 1
        if not count:
            raise Unreadable("empty", "a head without rows")
        return
    yield from _tables(names, rows, meta)


def _tables(names: Sequence[str], rows: Any, meta: dict[str, Any]) -> Iterator[Reading | Bad]:
    """The rows as Markdown tables of up to `ROWS` rows, each with the head."""
    at = 0
    while True:
        first = rows.line_num + 1 if at else 1
        held = list(islice(rows, ROWS))
        if at and not held:
            return
        text = table([names, *held])
        part = f"rows {at + 1}-{at + len(held)}" if at or len(held) == ROWS else ""
        if text:
            yield Reading(text + "\n", "", {**meta, "lines": [first, rows.line_num]}, part)
        elif not at:
            raise Unreadable("empty", "a table without text")
        if len(held) < ROWS:
            return
        at += len(held)


def delimiter(sample: str) -> str:
    """The delimiter under which most rows have one and the same width, the widest of them."""

    def score(mark: str) -> tuple[float, int]:
        try:
            widths = Counter(len(row) for row in islice(csv.reader(io.StringIO(sample), delimiter=mark), 50) if row)
        except csv.Error:
            return 0.0, 0
        width, times = widths.most_common(1)[0] if widths else (1, 0)
        return (times / sum(widths.values()), width) if width > 1 else (0.0, 0)

    return max(",\t;|", key=score)


def _text(path: Path, raw: io.BufferedReader) -> tuple[TextIO, dict[str, Any]]:
    if _utf8(raw):
        return io.TextIOWrapper(raw, "utf-8-sig", newline=""), {"encoding": "utf-8"}
    text, meta = decoded(bounded(path, LARGEST, "write it in UTF-8, which is read row by row"))
    return io.StringIO(text, newline=""), meta


def _utf8(raw: io.BufferedReader) -> bool:
    """Whether the whole file is UTF-8, without NUL near its beginning."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    plain = b"\0" not in raw.read(_SAMPLE)
    raw.seek(0)
    try:
        while plain and (block := raw.read(2**20)):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        plain = False
    raw.seek(0)
    return plain


def _sane(lines: Iterable[str]) -> Iterator[str]:
    """Lines without NUL, which the csv module refuses, and of bounded length."""
    return (line.replace("\0", "") for line in lines)
