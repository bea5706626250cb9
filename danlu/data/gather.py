"""What a step brings in from outside: documents and drops, written as they come and counted for the report.

Used by the steps whose source is no folder of files: a git repository, a database, a web site, a hub of datasets.
"""

from __future__ import annotations

import hashlib
import importlib
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from danlu.artifact import Draft
from danlu.data.flow import encoded
from danlu.data.readers import READERS, Reading, Unreadable
from danlu.errors import DataError
from danlu.records import Document, Drop


class Gathering:
    """The two files of a `documents` artifact, open for writing. Use as a context manager, then call `report`."""

    def __init__(self, out: Draft) -> None:
        self.out = out
        self.kept = 0
        self.reasons: Counter[str] = Counter()
        self.examples: list[Drop] = []
        self.kinds: Counter[tuple[str, str]] = Counter()
        self.sizes: Counter[tuple[str, str]] = Counter()

    def __enter__(self) -> Gathering:
        self._documents = self.out.file("documents.jsonl").open("wb")
        self._dropped = self.out.file("dropped.jsonl").open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        self._documents.close()
        self._dropped.close()

    def add(self, result: Document | Drop) -> None:
        if isinstance(result, Drop):
            self.reasons[result.reason] += 1
            self.examples.extend([result] if len(self.examples) < 10 else [])
            self._dropped.write(encoded(result))
            return
        kind = (result.format, str(result.meta.get("encoding", "")))
        self.kept += 1
        self.kinds[kind] += 1
        self.sizes[kind] += len(result.text)
        self._documents.write(encoded(result))

    def drop(self, id: str, reason: str, detail: str = "", source: str = "") -> None:
        self.add(Drop(id=id, source=source or id, reason=reason, detail=detail))

    def extend(self, results: Iterable[Document | Drop]) -> None:
        for result in results:
            self.add(result)

    def report(self, label: str, where: str, next: str, unit: str = "documents") -> None:
        """The funnel, what was read, the metrics. DataError with the first drops when no document came."""
        reasons = dict(sorted(self.reasons.items()))
        dropped = sum(reasons.values())
        if not self.kept:
            counts = ", ".join(f"{reason} {count}" for reason, count in reasons.items()) or "nothing came"
            shown = "".join(f"\n  {drop.id}: {drop.reason} {drop.detail}".rstrip() for drop in self.examples)
            more = f"\n  … and {dropped - len(self.examples)} more" if dropped > len(self.examples) else ""
            raise DataError(f"no document could be read ({counts}){shown}{more}", where=where, next=next)
        self.out.funnel(label, self.kept + dropped, self.kept, reasons, unit=unit)
        rows = [[*kind, self.kinds[kind], self.sizes[kind]] for kind in sorted(self.kinds)]
        self.out.table("What was read", ["format", "encoding", "documents", "characters"], rows)
        self.out.metrics.update(documents=self.kept, characters=sum(self.sizes.values()), dropped=dropped)


class Seen:
    """The ids that came before, in a file, so that any number of them takes little memory."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
            "CREATE TABLE seen (id BLOB PRIMARY KEY) WITHOUT ROWID; BEGIN"
        )

    def __enter__(self) -> Seen:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def before(self, id: str) -> bool:
        """Whether this id was asked about before; it is kept for the next time."""
        key = hashlib.sha256(id.encode("utf-8", "surrogatepass")).digest()[:16]
        return self._database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (key,)).rowcount == 0


def read_data(
    data: bytes, suffix: str, source: str, work: Path, licence: str, meta: Mapping[str, Any]
) -> Iterator[Document | Drop]:
    """The documents in one file's bytes, by the reader of its `suffix`; what cannot be read is a drop.

    `work` is a folder for the file that a reader of many documents opens. The reader's own meta wins over `meta`, to
    which the SHA-256 of the bytes is added.
    """
    format = READERS.get(suffix.lower())
    if format is None:
        yield Drop(id=source, source=source, reason="unsupported-format", detail=suffix or "no extension")
        return
    meta = {**meta, "sha256": hashlib.sha256(data).hexdigest()}
    module = importlib.import_module(f"danlu.data.readers.{format}")
    try:
        for found in (
            _each(module, data, work / f"file{suffix.lower()}") if hasattr(module, "each") else [module.read(data)]
        ):
            id = f"{source}#{found.part}" if getattr(found, "part", "") else source
            if not isinstance(found, Reading):
                yield Drop(id=id, source=source, reason=found.reason, detail=found.detail)
                continue
            yield Document(
                id=id, text=found.text, source=source, title=found.title, format=format, licence=licence,
                meta={**meta, **found.meta},
            )  # fmt: skip
    except Unreadable as error:
        yield Drop(id=source, source=source, reason=error.reason, detail=error.detail)


def _each(module: Any, data: bytes, path: Path) -> Iterator[Any]:
    path.write_bytes(data)
    try:
        yield from module.each(path)
    finally:
        path.unlink()
