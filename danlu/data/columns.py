"""The lines of a JSONL file of documents as arrays: no Python object a line, and the interpreter's lock let go.

Import it late: it imports numba and pyarrow. Arrow reads the JSON; whatever it reads in another way than pydantic does
(or not at all) goes through pydantic, line by line, which has the last word on what a document is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from danlu.data.flow import Block
from danlu.data.minhash import Array, compiled, laid, np
from danlu.extras import need

pyarrow = need("pyarrow", "data")
need("pyarrow.json", "data")

_MOST = 2**31 - 2**10
_FIELDS = ("id", "source", "text")


class Columns(NamedTuple):
    """The n lines of a block that hold something: `starts` (bytes from the block's start) and `sizes` without the line
    end, both (n,); the ids as UTF-8 end to end and the length of each; the sources; the texts as (codes, bounds)."""

    starts: Array
    sizes: Array
    ids: bytes
    id_sizes: Array
    sources: Any
    codes: Array
    bounds: Array


def columns(block: Block) -> Columns:
    """What a block of documents holds; a DataError names the file, line and field of a line that is no document."""
    data = block.read()
    return _by_arrow(data) or _by_pydantic(data, block)


def _by_arrow(data: bytes) -> Columns | None:
    """None where Arrow cannot be trusted to see what pydantic sees: no object on each line, a field that is missing or
    no string, text that is no UTF-8, a block that is too large."""
    if not 0 < len(data) < _MOST:
        return None
    starts, sizes, plain = line_places(np.frombuffer(data, np.uint8))
    if not plain:
        return None
    json = pyarrow.json
    schema = pyarrow.schema([(name, pyarrow.string()) for name in _FIELDS])
    try:
        table = json.read_json(
            pyarrow.py_buffer(data),
            json.ReadOptions(use_threads=False, block_size=len(data) + 1),
            json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
    except pyarrow.ArrowInvalid:
        return None
    if len(table) != len(starts) or any(table[name].null_count for name in _FIELDS):
        return None
    id_bounds, ids = _strings(table["id"])
    text_bounds, texts = _strings(table["text"])
    _, sources = _strings(table["source"])
    codes, bounds, valid = decoded(texts, text_bounds)
    if not (valid and decoded(ids, id_bounds)[2] and decoded(sources, np.array([0, len(sources)], np.int32))[2]):
        return None
    return Columns(starts, sizes, ids.tobytes(), np.diff(id_bounds).astype(np.int64), table["source"], codes, bounds)


def _strings(column: Any) -> tuple[Array, Array]:
    """(bounds, bytes) of a column of strings, the first one at 0."""
    array = column.combine_chunks()
    array = array.chunk(0) if isinstance(array, pyarrow.ChunkedArray) else array
    bounds = np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]
    held = np.frombuffer(array.buffers()[2] or b"", np.uint8)[bounds[0] : bounds[-1]]
    return bounds - bounds[0], held


def _by_pydantic(data: bytes, block: Block) -> Columns:
    documents = list(block.records())
    lengths = np.fromiter(map(len, lines := data.split(b"\n")), np.int64, len(lines))
    held = [at for at, line in enumerate(lines) if line.strip()]
    ids = [document.id.encode() for document in documents]
    return Columns(
        (np.cumsum(lengths + 1) - lengths - 1)[held],
        lengths[held],
        b"".join(ids),
        np.fromiter(map(len, ids), np.int64, len(ids)),
        pyarrow.array([document.source for document in documents], pyarrow.string()),
        *laid([document.text for document in documents]),
    )


@compiled
def line_places(data: Array) -> tuple[Array, Array, bool]:
    """(starts, sizes, whether each line that is not empty begins with a brace and ends with one)."""
    count = 1
    for byte in data:
        count += byte == 10
    starts = np.empty(count, np.int64)
    sizes = np.empty(count, np.int64)
    plain = True
    found = 0
    start = 0
    for at in range(len(data) + 1):
        if at == len(data) or data[at] == 10:
            if at > start:
                plain = plain and data[start] == 123 and data[at - 1] == 125
                starts[found] = start
                sizes[found] = at - start
                found += 1
            start = at + 1
    return starts[:found], sizes[:found], plain


@compiled
def decoded(data: Array, bounds: Array) -> tuple[Array, Array, bool]:
    """(codes, bounds, valid) of UTF-8 strings laid end to end; not valid as soon as one is no UTF-8 (RFC 3629)."""
    count = 0
    for byte in data:
        count += (byte & 0xC0) != 0x80
    codes = np.empty(count, np.uint32)
    out = np.zeros(len(bounds), np.int64)
    filled = 0
    for text in range(len(bounds) - 1):
        at, end = bounds[text], bounds[text + 1]
        while at < end:
            first = np.uint32(data[at])
            more = 0 if first < 0x80 else 1 if first < 0xE0 else 2 if first < 0xF0 else 3
            least = np.uint32(0 if more == 0 else 0x80 if more == 1 else 0x800 if more == 2 else 0x10000)
            code = first if more == 0 else first & np.uint32(0x3F >> more)
            if 0x80 <= first < 0xC2 or first > 0xF4 or at + more >= end:
                return codes, out, False
            for step in range(1, more + 1):
                byte = np.uint32(data[at + step])
                if byte & 0xC0 != 0x80:
                    return codes, out, False
                code = np.uint32(code << 6 | byte & 0x3F)
            if code < least or code > 0x10FFFF or 0xD800 <= code < 0xE000:
                return codes, out, False
            codes[filled] = code
            filled += 1
            at += more + 1
        out[text + 1] = filled
    return codes, out, True
