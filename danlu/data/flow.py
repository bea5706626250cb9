"""The flow of documents: blocks of a JSONL file, worked on by several processes or on Ray, the results in order.

Nothing here holds a corpus in memory: a block is some megabytes of whole lines, a few blocks are under way at once, and
what comes out is written before the next is read. Where the work is done never changes what comes out, nor its order.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

from pydantic import ValidationError

from danlu.artifact import Artifact, Draft
from danlu.errors import DataError
from danlu.records import Document, Drop, Record
from danlu.registry import Settings, Step
from danlu.track import Track

BLOCK = 4 * 2**20
EXCERPT = 2000

T = TypeVar("T")
R = TypeVar("R")
S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class Block:
    """Whole lines of a JSONL file: bytes [start, end), `count` of them with text, the first one `line` (from 1).
    `data` holds the bytes themselves where the file cannot be reached."""

    path: str
    start: int
    end: int
    line: int
    count: int
    data: bytes | None = None

    def read(self) -> bytes:
        if self.data is not None:
            return self.data
        with open(self.path, "rb") as file:
            file.seek(self.start)
            return file.read(self.end - self.start)

    def records(self, kind: type[Record] = Document) -> Iterator[Any]:
        """The records; a DataError names the file, line and field of one that is none."""
        for number, line in enumerate(self.read().split(b"\n"), self.line):
            if not line.strip():
                continue
            try:
                yield kind.model_validate_json(line)
            except ValidationError as error:
                first = error.errors()[0]
                name = ".".join(str(part) for part in first["loc"])
                raise DataError(
                    f"not a {kind.__name__}: {name or 'line'}: {first['msg']}", where=f"{self.path}:{number}"
                ) from None


def blocks(path: Path, size: int = BLOCK) -> list[Block]:
    """The file cut at line ends into blocks of about `size` bytes; a longer line is a block of its own."""
    found: list[Block] = []
    start = at = count = 0
    first = number = 1
    with path.open("rb") as file:
        for line in file:
            at += len(line)
            number += 1
            count += bool(line.strip())
            if at - start >= size:
                found.append(Block(str(path), start, at, first, count))
                start, first, count = at, number, 0
    if at > start:
        found.append(Block(str(path), start, at, first, count))
    return found


def encoded(record: Record) -> bytes:
    """The line of a record as `danlu.records.write_jsonl` writes it."""
    return json.dumps(record.model_dump(), ensure_ascii=False, sort_keys=True).encode() + b"\n"


def spread(work: Callable[[T], R], items: Sequence[T], track: Track, threads: bool = False) -> Iterator[R]:
    """`work` done to each of `items`, the results in the order of the items.

    One item, or blocks that together are no more than one, are worked on here; more in as many processes as the machine
    has cores, or in threads where `work` lets go of the interpreter's lock, or on Ray when the run was started with
    `--on ray`. `work`, the items and the results must be picklable; what `work` raises is raised here.
    """
    if track.on != "local":
        from danlu.data.on_ray import spread_on_ray

        yield from spread_on_ray(work, items, track)
    elif len(items) < 2 or cores() < 2 or _small(items):
        yield from map(work, items)
    elif threads:
        from concurrent.futures import ThreadPoolExecutor

        yield from _in_order(ThreadPoolExecutor(cores()), work, items)
    else:
        yield from _in_processes(work, items)


def _small(items: Sequence[object]) -> bool:
    return sum(item.end - item.start if isinstance(item, Block) else BLOCK for item in items) <= BLOCK


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_processes(work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    count = min(cores(), len(items))
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=_worker)
    try:
        yield from _in_order(pool, work, items)
    except BrokenProcessPool:
        raise DataError(
            "a worker process was killed, by the system for want of memory most likely",
            next="free some memory, then run the same command again: finished steps are kept",
        ) from None


def _in_order(pool: Executor, work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """The results in the order of the items, a few of which are under way at once; the pool is closed at the end."""
    under_way: deque[Future[R]] = deque()
    rest = iter(items)
    try:
        under_way.extend(pool.submit(work, item) for item in islice(rest, 2 * cores()))
        while under_way:
            result = under_way.popleft().result()
            under_way.extend(pool.submit(work, item) for item in islice(rest, 1))
            yield result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _worker() -> None:
    """Leave Ctrl-C to the parent, and end when the parent is gone, however it went."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Sample(NamedTuple):
    """A document for human review. `rank` is a hash of its id: the lowest ranks are the sample, whatever the order."""

    rank: int
    id: str
    source: str
    text: str
    detail: str


@dataclass
class Tally:
    """What a step counts: `reasons` of the drops, `counts` of anything else, and `samples` by reason ("kept" for those
    that stay), at most `most` of each, their texts cut to EXCERPT characters."""

    most: int = 0
    came: int = 0
    kept: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def sample(self, document: Document, reason: str = "kept", detail: str = "") -> None:
        rank = int.from_bytes(hashlib.sha256(document.id.encode()).digest()[:8], "big")
        self._keep(reason, [Sample(rank, document.id, document.source, document.text[:EXCERPT], detail)])

    def add(self, other: Tally) -> None:
        self.came += other.came
        self.kept += other.kept
        self.reasons.update(other.reasons)
        self.counts.update(other.counts)
        for reason, found in other.samples.items():
            self._keep(reason, found)

    def _keep(self, reason: str, found: list[Sample]) -> None:
        if self.most:
            self.samples[reason] = heapq.nsmallest(self.most, [*self.samples.get(reason, []), *found])


class Each(Step[S]):
    """A step that judges one document at a time. Subclasses write `judge`, and `finish` for their report.

    `label` is the stage's name in the funnel; `sampled` is how many documents of each reason are kept for review;
    `hint` is the next command when nothing is left.
    """

    label: ClassVar[str]
    sampled: ClassVar[int] = 0
    hint: ClassVar[str] = ""
    field: ClassVar[str] = "documents"
    makes = "documents"

    def judge(self, document: Document, tally: Tally) -> Document | Drop:
        """The document, changed or not, or why it is dropped. `tally.counts` takes whatever is worth counting. Runs in
        other processes: what it needs must be in the settings, or made by `prepare`."""
        raise NotImplementedError

    def prepare(self, source: Artifact, track: Track) -> None:
        """Anything that needs a pass over all documents first; what it leaves in `self` must be picklable."""

    def finish(self, out: Draft, tally: Tally) -> None:
        """Tables, metrics and files of the step's own; the funnel is written already."""

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        source = inputs[self.field]
        self.prepare(source, track)
        total = Tally(most=self.sampled)
        parts = blocks(source.file("documents.jsonl"))
        bar = track.bar(self.label, sum(part.count for part in parts), unit="document")
        with out.file("documents.jsonl").open("wb") as kept, out.file("dropped.jsonl").open("wb") as dropped:
            for documents, drops, tally in spread(self._block, parts, track):
                kept.write(documents)
                dropped.write(drops)
                total.add(tally)
                bar.update(tally.came)
        bar.close()
        reasons = dict(sorted(total.reasons.items()))
        if not total.kept:
            told = ", ".join(f"{reason} {count}" for reason, count in reasons.items()) or "none came"
            raise DataError(f"{self.label}: no document is left of {total.came} ({told})", next=self.hint or None)
        out.funnel(self.label, total.came, total.kept, reasons, unit="documents")
        out.metrics.update(documents=total.kept)
        self.finish(out, total)

    def _block(self, block: Block) -> tuple[bytes, bytes, Tally]:
        tally = Tally(most=self.sampled)
        kept: list[bytes] = []
        drops: list[bytes] = []
        for document in block.records():
            tally.came += 1
            result = self.judge(document, tally)
            if isinstance(result, Drop):
                tally.reasons[result.reason] += 1
                tally.sample(document, result.reason, result.detail)
                drops.append(encoded(result))
            else:
                tally.kept += 1
                tally.sample(result)
                kept.append(encoded(result))
        return b"".join(kept), b"".join(drops), tally
