"""What a step brings in from outside: documents and drops, written as they come and counted for the report.

Used by the steps whose source is no folder of files: a git repository, a database, a web site, a hub of datasets.
"""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from danlu.artifact import Draft
from danlu.data.flow import cores, encoded
from danlu.data.guard import Killed, alive, guarded
from danlu.data.readers import READERS, Bad, How, Reading, Unreadable, readings, sound
from danlu.errors import DataError
from danlu.records import Document, Drop

_INLINE = 2**22
_SECONDS = 120.0
_MEMORY = 2 * 2**30
_MEMBERS = 8


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


@dataclass(frozen=True)
class Task:
    """A file to read: its bytes at `path`, its kind by `suffix`. `charset` is what its server says of it; `meta` and
    `licence` hold unless the file itself says otherwise; `skip` is as in `danlu.data.readers.How`.
    """

    source: str
    path: Path
    suffix: str
    licence: str
    meta: Mapping[str, Any]
    charset: str = ""
    skip: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def read_all(tasks: Sequence[Task], work: Path) -> Iterator[list[Document | Drop]]:
    """What each file says, in order, read in processes that have two minutes and 2 GiB for a document."""
    todo = [(task, str(work)) for task in tasks]
    formats = {READERS.get(task.suffix, "text") for task in tasks}
    if formats <= {"text", "markdown"} and sum(task.path.stat().st_size for task in tasks) <= _INLINE:
        yield from map(_read, todo)
        return
    results = guarded(_read, todo, seconds=_SECONDS, memory=_MEMORY, processes=cores(), again=_without)
    for task, result in zip(tasks, results, strict=True):
        if isinstance(result, Killed):
            result = [Drop(id=task.source, source=task.source, reason=result.reason, detail=result.detail)]
        yield result


def _without(item: tuple[Task, str], killed: Killed) -> tuple[Task, str] | None:
    """The file without the member that killed the child; None when it is not one, or there were many."""
    task, work = item
    if not killed.part.startswith(f"{task.source}#") or killed.part in task.skip or len(task.skip) >= _MEMBERS:
        return None
    return replace(task, skip={**task.skip, killed.part: (killed.reason, killed.detail)}), work


def _read(item: tuple[Task, str]) -> list[Document | Drop]:
    task, work = item
    out: list[Document | Drop] = []
    alive(task.source)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        path = Path(folder) / f"file{task.suffix}"
        path.write_bytes(_in_utf8(task.path.read_bytes(), task.charset, task.suffix))
        try:
            for found in readings(path, How(source=task.source, skip=task.skip)):
                alive()
                out.append(_result(found, task))
        except Unreadable as error:
            out.append(Drop(id=task.source, source=task.source, reason=error.reason, detail=sound(error.detail)))
        except RecursionError:
            detail = "nested deeper than it can be read"
            out.append(Drop(id=task.source, source=task.source, reason="too-deep", detail=detail))
    return out


def _result(found: Reading | Bad, task: Task) -> Document | Drop:
    id = f"{task.source}#{sound(found.part)}" if found.part else task.source
    if isinstance(found, Bad):
        return Drop(id=id, source=task.source, reason=found.reason, detail=sound(found.detail))
    text = sound(found.text)
    if not text.strip():
        return Drop(id=id, source=task.source, reason="empty", detail="nothing but white space")
    meta = {**task.meta, **found.meta}
    licence = str(meta.pop("licence", "") or task.licence)
    meta.setdefault("sha256", hashlib.sha256(text.encode()).hexdigest())
    format = found.format or READERS[task.suffix]
    return Document(
        id=id, text=text, source=task.source, title=sound(found.title), format=format, licence=licence, meta=meta
    )


def _in_utf8(data: bytes, charset: str, suffix: str) -> bytes:
    """A text in UTF-8 when `charset` is true of it; as it came otherwise, and the reader tells the encoding."""
    if not charset or READERS[suffix] not in ("text", "markdown", "html", "json", "jsonl", "csv", "xml"):
        return data
    try:
        return data.decode(charset).encode()
    except (LookupError, UnicodeError):
        return data
