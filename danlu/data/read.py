"""data.read: files and folders → documents.

The way of a file: `files` finds it, `batches` puts small files together and cuts long JSON Lines into pieces, `_Work`
reads a batch in a child process that may be killed (`danlu.data.guard`) and keeps what it says in the step's work
folder, and the parent joins these in order. A run that was killed goes on with the batches that are not there yet.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Annotated, Any

from pydantic import Field

from danlu.artifact import Artifact, Draft
from danlu.data.files import Found, files, labels
from danlu.data.flow import cores, encoded, spread
from danlu.data.gather import Seen
from danlu.data.guard import Killed, alive, guarded
from danlu.data.readers import READERS, Bad, How, Reading, Unreadable, jsonl, ocr, readings, sound
from danlu.errors import DataError
from danlu.records import Document, Drop
from danlu.registry import Settings, Source, Step
from danlu.track import Track

BATCH = 2**19
"""Bytes of small files that are read together."""

PIECE = 2**25
"""Bytes of a piece of a long file of JSON Lines."""

_FILES = 32
_MEMBERS = 8
_PLAIN = frozenset({"markdown", "text"})
_LIGHT = frozenset({*_PLAIN, "html", "json", "jsonl", "csv", "po", "subtitles", "xml", "email"})
_INLINE = 2**22
_PARCEL = 2**24
_SHOWN = 10
_NOTES = {
    "undecodable": (
        "Damaged text",
        "U+FFFD stands in {times} place(s) of {documents} document(s) for bytes that mean nothing.",
    ),
    "formulas_without_value": (
        "Formulas without a value",
        "{times} cell(s) of {documents} document(s) hold a formula that was never calculated; the formula is shown.",
    ),
}
"""What `meta` counts of a document that is not whole → title and words for the report."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class ReadSettings(Settings):
    paths: Annotated[list[Path], Source()]
    """Files and folders to read. Folders are walked whole, in the order of their names."""

    licence: str = "unknown"
    """The licence of these texts, carried by every document that does not state its own, and by every artifact made
    from them."""

    exclude: tuple[str, ...] = ("out", "node_modules", "__pycache__")
    """Patterns (`*` and `?`) of what to leave out of folders: a name at any depth, or a path from the folder given."""

    text_field: str = ""
    """The field of a record (JSON, CSV, Parquet) that holds its text; empty: the first that is known (text, content,
    body, 內容 …)."""

    title_field: str = ""
    """The field of a record that holds its title; empty: the first that is known (title, name, 標題 …)."""

    id_field: str = ""
    """The field of a record that names it, no two alike; empty: its place in the file."""

    ocr: bool = True
    """Whether scanned pages and pictures are read by OCR, where the extra `ocr` is installed: seconds a page."""

    seconds: Annotated[float, Field(gt=0)] = 120
    """Most time for one document, or for a page where a reader goes page by page; beyond it it is `too-slow`."""

    memory_gb: Annotated[float, Field(ge=0.25)] = 2
    """Most memory for one document; beyond it it is `too-large`. There are as many readers as processors."""


@dataclass(frozen=True)
class Piece:
    """A file to read whole, or the lines of it that begin in bytes [start, end), the first of them number `line`."""

    found: Found
    start: int = 0
    end: int | None = None
    line: int = 1

    @property
    def size(self) -> int:
        return (self.found.size if self.end is None else self.end) - self.start


@dataclass(frozen=True)
class Batch:
    """What one child reads at a time. `skip` holds what killed a child before: name → (reason, detail)."""

    number: int
    pieces: tuple[Piece, ...]
    skip: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(piece.size for piece in self.pieces)

    @property
    def key(self) -> str:
        """Says of a result in the work folder that it is of these very files."""
        told = [
            [piece.found.source, piece.found.reason, piece.found.size, piece.found.changed, piece.start, piece.end]
            for piece in self.pieces
        ]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()


@dataclass
class Counts:
    """What was brought. `kinds` is by format and encoding, tab between: [documents, characters]; `licences` by root
    are those that documents state themselves; `notes` by the name in `_NOTES`: [documents, times]; `blank` and `unsaid`
    count pages without text, and those of whose text some cannot be told; `first` tells the first drops."""

    documents: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    kinds: dict[str, list[int]] = field(default_factory=dict)
    licences: dict[str, list[str]] = field(default_factory=dict)
    blank: int = 0
    notes: dict[str, list[int]] = field(default_factory=dict)
    unsaid: int = 0
    first: list[str] = field(default_factory=list)

    def document(self, document: Document) -> None:
        self.documents += 1
        held = self.kinds.setdefault(f"{document.format}\t{document.meta.get('encoding', '')}", [0, 0])
        held[0] += 1
        held[1] += len(document.text)
        self.blank += document.meta.get("pages_without_text", 0)
        for name in _NOTES:
            self.note(name, [1, times] if (times := document.meta.get(name, 0)) else [0, 0])
        self.unsaid += len(document.meta.get("pages_missing_text", ()))

    def drop(self, drop: Drop) -> None:
        self.reasons[drop.reason] += 1
        if len(self.first) < _SHOWN:
            self.first.append(f"{drop.id}: {drop.reason} {drop.detail}".rstrip())

    def licence(self, root: str, licence: str) -> None:
        if licence not in (held := self.licences.setdefault(root, [])) and len(held) < _SHOWN:
            held.append(licence)

    def note(self, name: str, more: list[int]) -> None:
        if any(more):
            held = self.notes.get(name, [0, 0])
            self.notes[name] = [held[0] + more[0], held[1] + more[1]]

    def add(self, other: Counts) -> None:
        self.documents += other.documents
        self.reasons.update(other.reasons)
        self.blank += other.blank
        for name, more in other.notes.items():
            self.note(name, more)
        self.unsaid += other.unsaid
        for kind, (documents, characters) in other.kinds.items():
            held = self.kinds.setdefault(kind, [0, 0])
            held[0] += documents
            held[1] += characters
        for root, licences in other.licences.items():
            for licence in licences:
                self.licence(root, licence)
        self.first += other.first[: _SHOWN - len(self.first)]


class Read(Step[ReadSettings]):
    """Reads every format of `danlu.data.readers.READERS` (by file name), each file in a process that may be killed.

    What cannot be read is dropped with its reason (those of `danlu.data.readers`, and `unsupported-format`,
    `unreadable`, `hidden`, `excluded`, `listed-twice`, `link-to-folder`, `link-outside` for a link that leads out of
    the folder, `not-a-file` for pipes and devices) and the rest goes on. An excluded or hidden folder counts as one.
    The `id` of a record is its file and its place there (`laws.jsonl#line 7`). `meta` holds the SHA-256, the lines or
    pages, and the date that the document itself states, never the file's. DataError: a path that is not there, a folder
    without files, ids that repeat, or nothing left to go on with.

    Not covered: links to folders (not followed).
    """

    Settings = ReadSettings
    makes = "documents"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        held = list(batches(files(self.settings.paths, self.settings.exclude)))
        total = Counts()
        bar = track.bar("read", sum(batch.size for batch in held), unit="B")
        with out.file("documents.jsonl").open("wb") as documents, out.file("dropped.jsonl").open("wb") as dropped:
            for batch, counts in self._results(held, out.work / "read", track):
                _Shelf(out.work / "read", batch.number).copy(documents, dropped)
                total.add(counts)
                bar.update(batch.size)
        bar.close()
        if not total.documents:
            raise _nothing(self.settings.paths, total)
        if self.settings.id_field:
            _refuse_repeated(out, self.settings.id_field)
        self._report(out, total)

    def _results(self, held: list[Batch], folder: Path, track: Track) -> Iterator[tuple[Batch, Counts]]:
        """Each batch with its counts, in order, when its results are on the shelf."""
        folder.mkdir(exist_ok=True)
        kept = {batch.number: counts for batch in held if (counts := _Shelf(folder, batch.number).done(batch.key))}
        todo = [batch for batch in held if batch.number not in kept]
        work = _Work(self.settings, str(folder))
        fresh: Iterator[Counts]
        if track.on != "local":
            fresh = _elsewhere(work, todo, track)
        elif _plain(todo):
            fresh = map(work, todo)
        else:
            fresh = _in_children(work, todo, cores())
        for batch in held:
            yield batch, kept[batch.number] if batch.number in kept else next(fresh)

    def _report(self, out: Draft, total: Counts) -> None:
        reasons = dict(sorted(total.reasons.items()))
        dropped = sum(reasons.values())
        out.funnel("read", total.documents + dropped, total.documents, reasons, unit="documents")
        rows = [[*kind.split("\t"), *total.kinds[kind]] for kind in sorted(total.kinds)]
        out.table("What was read", ["format", "encoding", "documents", "characters"], rows)
        if total.blank:
            out.text("Pages without text", f"{total.blank} page(s) hold no text that could be read.")
        for name, (documents, times) in sorted(total.notes.items()):
            title, words = _NOTES[name]
            out.text(title, words.format(times=times, documents=documents))
        if total.unsaid:
            told = f"On {total.unsaid} page(s) text is drawn in fonts that the file does not hold, and cannot be told."
            out.text("Pages with text missing", f"{told} `pages_missing_text` of a document names them.")
        characters = sum(characters for _, characters in total.kinds.values())
        out.metrics.update(documents=total.documents, characters=characters, dropped=dropped)
        for root in labels(self.settings.paths).values():
            licence = "; ".join([self.settings.licence, *total.licences.get(root, [])])
            out.licences[root] = {"licence": licence, "terms": ""}


def batches(found: Iterable[Found]) -> Iterator[Batch]:
    """The files, small neighbours together, and the pieces of long ones."""
    number, held, weight = 0, list[Piece](), 0
    for file in found:
        pieces = list(_pieces(file))
        heavy = 0 if file.reason or READERS[file.suffix] in _LIGHT else BATCH // 4
        weight += max(pieces[0].size, heavy)
        if held and (weight > BATCH or len(held) == _FILES):
            yield Batch(number, tuple(held))
            number, held, weight = number + 1, [], max(pieces[0].size, heavy)
        held.append(pieces[0])
        for piece in pieces[1:]:
            yield Batch(number, tuple(held))
            number, held, weight = number + 1, [piece], BATCH
    if held:
        yield Batch(number, tuple(held))


def _pieces(file: Found) -> Iterator[Piece]:
    """A long file of JSON Lines cut at line ends into pieces of about `PIECE` bytes; any other file whole."""
    try:
        if file.reason or READERS[file.suffix] != "jsonl" or file.size < 2 * PIECE:
            yield Piece(file)
            return
        with file.path.open("rb") as lines:
            if lines.read(2) in jsonl.WIDE:
                yield Piece(file)
                return
            lines.seek(0)
            start, line = 0, 1
            while start < file.size:
                end, count = _end(lines, start)
                yield Piece(file, start, end, line)
                start, line = end, line + count
    except OSError as error:
        yield Piece(replace(file, reason="unreadable", detail=str(error.strerror)))


def _end(lines: IO[bytes], start: int) -> tuple[int, int]:
    """(the end of the first line that ends at least `PIECE` bytes after `start`, the lines up to there)."""
    at, count = start, 0
    while block := lines.read(2**20):
        cut = max(0, start + PIECE - at)
        found = block.find(b"\n", cut) if cut < len(block) else -1
        if found >= 0:
            count += block.count(b"\n", 0, found + 1)
            at += found + 1
            lines.seek(at)
            return at, count
        count += block.count(b"\n")
        at += len(block)
    return at, count


@dataclass(frozen=True)
class _Work:
    """Reads a batch and puts what it says on the shelf in `folder`. Picklable."""

    settings: ReadSettings
    folder: str

    def __call__(self, batch: Batch) -> Counts:
        counts = Counts()
        ocr.use(self.settings.ocr)
        with _Shelf(Path(self.folder), batch.number) as shelf:
            for piece in batch.pieces:
                for result in self._results(piece, batch.skip):
                    shelf.write(result)
                    if isinstance(result, Drop):
                        counts.drop(result)
                        continue
                    counts.document(result)
                    if result.licence != self.settings.licence:
                        counts.licence(piece.found.root, result.licence)
            shelf.finish(batch.key, counts)
        return counts

    def _results(self, piece: Piece, skip: Mapping[str, tuple[str, str]]) -> Iterator[Document | Drop]:
        file = piece.found
        reason, detail = (file.reason, file.detail) if file.reason else skip.get(file.source, ("", ""))
        if reason:
            yield Drop(id=file.source, source=file.source, reason=reason, detail=detail)
            return
        alive(file.source)
        format = READERS[file.suffix]
        try:
            for found in self._readings(piece, skip):
                alive()
                yield self._result(found, file, format)
            return
        except Unreadable as error:
            reason, detail = error.reason, error.detail
        except RecursionError:
            reason, detail = "too-deep", "nested deeper than it can be read"
        except OSError as error:
            if error.errno in _FULL:
                raise
            reason, detail = "unreadable", str(error.strerror or error)
        yield Drop(id=file.source, source=file.source, reason=reason, detail=sound(detail))

    def _readings(self, piece: Piece, skip: Mapping[str, tuple[str, str]]) -> Iterator[Reading | Bad]:
        known = self.settings
        how = How(piece.found.source, known.text_field, known.title_field, known.id_field, skip)
        if piece.end is None:
            return readings(piece.found.path, how)
        return jsonl.each(piece.found.path, how, piece.start, piece.end, piece.line)

    def _result(self, found: Reading | Bad, file: Found, format: str) -> Document | Drop:
        id = f"{file.source}#{sound(found.part)}" if found.part else file.source
        if isinstance(found, Bad):
            return Drop(id=id, source=file.source, reason=found.reason, detail=sound(found.detail))
        if not found.text.strip():
            return Drop(id=id, source=file.source, reason="empty", detail="nothing but white space")
        meta = dict(found.meta)
        licence = meta.pop("licence", "") or self.settings.licence
        if "sha256" not in meta:
            meta["sha256"] = hashlib.sha256(found.text.encode("utf-8", "surrogatepass")).hexdigest()
        return Document(
            id=id,
            text=sound(found.text),
            source=file.source,
            title=sound(found.title),
            format=found.format or format,
            licence=str(licence),
            meta=meta,
        )


class _Shelf:
    """The results of a batch in the work folder; `N.done` is there when they are whole."""

    def __init__(self, folder: Path, number: int) -> None:
        self._paths = {name: folder / f"{number:07d}.{name}" for name in ("documents", "dropped", "done")}

    def __enter__(self) -> _Shelf:
        self._paths["done"].unlink(missing_ok=True)
        self._documents = self._paths["documents"].open("wb")
        self._dropped = self._paths["dropped"].open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        self._documents.close()
        self._dropped.close()

    def write(self, result: Document | Drop) -> None:
        (self._documents if isinstance(result, Document) else self._dropped).write(encoded(result))

    def finish(self, key: str, counts: Counts) -> None:
        self._documents.flush()
        self._dropped.flush()
        told = {"key": key, "counts": vars(counts), "sizes": self._sizes()}
        new = self._paths["done"].with_suffix(".new")
        new.write_text(json.dumps(told), encoding="utf-8")
        new.replace(self._paths["done"])

    def done(self, key: str) -> Counts | None:
        """The counts of results that are whole and of the files that `key` tells; else None."""
        try:
            told = json.loads(self._paths["done"].read_text(encoding="utf-8"))
            if told["key"] != key or told["sizes"] != self._sizes():
                return None
        except (OSError, ValueError, KeyError):
            return None
        counts = told["counts"]
        return Counts(**{**counts, "reasons": Counter(counts["reasons"])})

    def copy(self, documents: IO[bytes], dropped: IO[bytes]) -> None:
        for name, target in (("documents", documents), ("dropped", dropped)):
            with self._paths[name].open("rb") as file:
                shutil.copyfileobj(file, target, 2**20)

    def fill(self, documents: bytes, dropped: bytes) -> None:
        self._documents.write(documents)
        self._dropped.write(dropped)

    def take(self) -> tuple[bytes, bytes]:
        return self._paths["documents"].read_bytes(), self._paths["dropped"].read_bytes()

    def _sizes(self) -> list[int]:
        return [self._paths[name].stat().st_size for name in ("documents", "dropped")]


def _plain(todo: list[Batch]) -> bool:
    """Whether there is so little, and so harmless, that starting children would take longer."""
    pieces = [piece for batch in todo for piece in batch.pieces if not piece.found.reason]
    plain = all(READERS[piece.found.suffix] in _PLAIN for piece in pieces)
    return plain and sum(piece.size for piece in pieces) <= _INLINE


def _in_children(work: _Work, todo: list[Batch], processes: int) -> Iterator[Counts]:
    """The counts of each batch, in order, from children within the settings' bounds."""
    memory = int(work.settings.memory_gb * 2**30)
    results = guarded(
        work, todo, seconds=work.settings.seconds, memory=memory, processes=processes, again=_without_culprit
    )
    for batch, counts in zip(todo, results, strict=True):
        if isinstance(counts, Killed):
            where = batch.pieces[0].found.source
            raise DataError(f"its results cannot be kept: {counts.reason}, {counts.detail}", where=where)
        yield counts


def _without_culprit(batch: Batch, killed: Killed) -> Batch | None:
    """The batch without the file, or the member of an archive, that killed the child; without all of it when that
    cannot be told or when many members of one file did; None when nothing of it was left to read."""
    verdict = (killed.reason, killed.detail)
    sources = [piece.found.source for piece in batch.pieces]
    owner = next((name for name in sources if killed.part == name or killed.part.startswith(f"{name}#")), "")
    members = [name for name in batch.skip if name.startswith(f"{owner}#")]
    if not owner or killed.part in batch.skip:
        culprits = sources
    else:
        culprits = [owner] if len(members) >= _MEMBERS else [killed.part]
    if all(name in batch.skip for name in culprits):
        return None
    return replace(batch, skip={**batch.skip, **dict.fromkeys(culprits, verdict)})


class _Parcel:
    """Batches on the way to another machine: the bytes of their files travel with them."""

    def __init__(self, work: _Work, held: list[Batch]) -> None:
        self.work, self.held = work, held

    def __getstate__(self) -> dict[str, Any]:
        return {"work": self.work, "held": self.held, "data": [list(map(_bytes, batch.pieces)) for batch in self.held]}


def _elsewhere(work: _Work, todo: list[Batch], track: Track) -> Iterator[Counts]:
    """The counts of each batch, in order, from other machines; its results are put on the shelf here."""
    parcels: list[list[Batch]] = []
    for batch in todo:
        if not parcels or sum(held.size for held in parcels[-1]) + batch.size > _PARCEL:
            parcels.append([])
        parcels[-1].append(batch)
    results = spread(_read_parcel, [_Parcel(work, held) for held in parcels], track)
    for held, told in zip(parcels, results, strict=True):
        for batch, (documents, dropped, counts) in zip(held, told, strict=True):
            with _Shelf(Path(work.folder), batch.number) as shelf:
                shelf.fill(documents, dropped)
                shelf.finish(batch.key, counts)
            yield counts


def _read_parcel(parcel: _Parcel) -> list[tuple[bytes, bytes, Counts]]:
    """On the other machine: (documents, drops, counts) of each batch, read in a child as here."""
    data: list[list[bytes | str]] = parcel.__dict__["data"]
    with tempfile.TemporaryDirectory() as folder:
        work = replace(parcel.work, folder=folder)
        held = [_unpacked(*each, Path(folder)) for each in zip(parcel.held, data, strict=True)]
        return [
            (*_Shelf(Path(folder), batch.number).take(), counts)
            for batch, counts in zip(held, _in_children(work, held, 1), strict=True)
        ]


def _bytes(piece: Piece) -> bytes | str:
    """What the piece says, or why it cannot be read."""
    if piece.found.reason:
        return b""
    try:
        with piece.found.path.open("rb") as file:
            file.seek(piece.start)
            return file.read() if piece.end is None else file.read(piece.end - piece.start)
    except OSError as error:
        return str(error.strerror)


def _unpacked(batch: Batch, data: list[bytes | str], folder: Path) -> Batch:
    """The batch with its files in `folder`."""
    pieces = []
    for at, (piece, content) in enumerate(zip(batch.pieces, data, strict=True)):
        if isinstance(content, str):
            pieces.append(replace(piece, found=replace(piece.found, reason="unreadable", detail=content)))
            continue
        path = folder / f"{batch.number}-{at}{piece.found.suffix}"
        path.write_bytes(content)
        end = None if piece.end is None else len(content)
        pieces.append(replace(piece, found=replace(piece.found, path=path), start=0, end=end))
    return replace(batch, pieces=tuple(pieces))


def _refuse_repeated(out: Draft, field: str) -> None:
    """DataError for an id that two documents have."""
    with Seen(out.work / "ids.sqlite") as seen, out.file("documents.jsonl").open("rb") as lines:
        for line in lines:
            id = json.loads(line)["id"]
            if seen.before(id):
                raise DataError(
                    f"two records have the id {id!r}",
                    where=f"id_field: {field}",
                    next="leave id_field out of data.read",
                )


def _nothing(paths: list[Path], total: Counts) -> DataError:
    shown = "\n".join(f"  {line}" for line in total.first)
    more = sum(total.reasons.values()) - len(total.first)
    counts = ", ".join(f"{reason} {count}" for reason, count in sorted(total.reasons.items()))
    return DataError(
        f"no document could be read ({counts})\n{shown}" + (f"\n  … and {more} more" if more else ""),
        where=", ".join(str(path) for path in paths),
        next=f"give files of these kinds: {' '.join(READERS)}",
    )
