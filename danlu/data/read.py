"""data.read: files and folders → documents."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from danlu.artifact import Artifact, Draft
from danlu.data.readers import READERS, Unreadable, reader
from danlu.errors import DataError, nearest
from danlu.records import Document, Drop, write_jsonl
from danlu.registry import Settings, Source, Step
from danlu.track import Track


class ReadSettings(Settings):
    paths: Annotated[list[Path], Source()]
    """Files and folders to read. Folders are walked whole, in the order of their names."""

    licence: str = "unknown"
    """The licence of these texts, carried by every document and by every artifact made from them."""

    exclude: tuple[str, ...] = ("out", "node_modules", "__pycache__")
    """Patterns (`*` and `?`) of what to leave out of folders: a name at any depth, or a path from the folder given."""


@dataclass(frozen=True)
class Found:
    """A file to read, or a reason why not. `source` begins with the name of the folder given, never with the path to
    it, so that the same folder gives the same documents wherever it lies."""

    source: str
    path: Path
    reason: str = ""
    detail: str = ""


class Read(Step[ReadSettings]):
    """Reads Markdown, text, HTML and PDF (by file name), each in its own encoding.

    What cannot be read is dropped with its reason (those of `danlu.data.readers`, and `unsupported-format`,
    `unreadable`, `hidden`, `excluded`, `listed-twice`) and the rest goes on. An excluded or hidden folder counts as
    one. DataError: a path that is not there, a folder without files, or nothing left to go on with.

    Not covered: OCR, office formats, archives, links to folders (not followed).
    """

    Settings = ReadSettings
    makes = "documents"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        found = list(files(self.settings.paths, self.settings.exclude))
        documents: list[Document] = []
        drops: list[Drop] = []
        for file in track.over(found, "read", unit="file"):
            result = self._read(file)
            (documents if isinstance(result, Document) else drops).append(result)  # type: ignore[arg-type]
        reasons = dict(sorted(Counter(drop.reason for drop in drops).items()))
        if not documents:
            raise _nothing(self.settings.paths, drops, reasons)
        for root in labels(self.settings.paths).values():
            out.licences[root] = {"licence": self.settings.licence, "terms": ""}
        write_jsonl(out.file("documents.jsonl"), documents)
        write_jsonl(out.file("dropped.jsonl"), drops)
        self._report(out, documents, drops, reasons)

    def _read(self, file: Found) -> Document | Drop:
        if file.reason:
            return Drop(id=file.source, source=file.source, reason=file.reason, detail=file.detail)
        format = READERS[file.path.suffix.lower()]
        try:
            reading = reader(format)(file.path.read_bytes())
        except Unreadable as error:
            return Drop(id=file.source, source=file.source, reason=error.reason, detail=error.detail)
        except OSError as error:
            return Drop(id=file.source, source=file.source, reason="unreadable", detail=str(error.strerror))
        return Document(
            id=file.source,
            text=reading.text,
            source=file.source,
            title=reading.title,
            format=format,
            licence=self.settings.licence,
            meta=reading.meta,
        )

    def _report(self, out: Draft, documents: list[Document], drops: list[Drop], reasons: dict[str, int]) -> None:
        out.funnel("read", len(documents) + len(drops), len(documents), reasons, unit="files")
        kinds: Counter[tuple[str, str]] = Counter()
        sizes: Counter[tuple[str, str]] = Counter()
        for document in documents:
            kind = (document.format, str(document.meta.get("encoding", "")))
            kinds[kind] += 1
            sizes[kind] += len(document.text)
        rows = [[*kind, kinds[kind], sizes[kind]] for kind in sorted(kinds)]
        out.table("What was read", ["format", "encoding", "documents", "characters"], rows)
        blank = sum(document.meta.get("pages_without_text", 0) for document in documents)
        if blank:
            out.text("PDF pages without text", f"{blank} page(s) hold only pictures, which are not read.")
        out.metrics.update(documents=len(documents), characters=sum(sizes.values()), dropped=len(drops))


def labels(paths: list[Path]) -> dict[Path, str]:
    """A short name for each path: its last part, with as many parts before it as tell it from the others."""
    roots = list(dict.fromkeys(path.absolute().resolve() for path in paths))
    names = dict.fromkeys(roots, 1)
    while True:
        shown = {root: "/".join(root.parts[-names[root] :]) for root in roots}
        repeated = {name for name, times in Counter(shown.values()).items() if times > 1}
        if not repeated:
            return {root: _printable(name) for root, name in shown.items()}
        names = {root: names[root] + (shown[root] in repeated) for root in roots}


def files(paths: list[Path], exclude: Iterable[str]) -> Iterator[Found]:
    """Everything that the paths hold, each once, sorted within its folder.

    Raises DataError for a path that does not exist, with the nearest name beside it, and for a folder without files.
    """
    for path in paths:
        if not path.exists():
            raise _missing(path)
    seen: set[Path] = set()
    for root, label in labels(paths).items():
        held = [Found(label, root)] if root.is_file() else list(_walk(root, label, exclude))
        if not held:
            raise DataError("the folder is empty: nothing to read", where=str(root), next="put documents into it")
        for file in held:
            real = file.path.resolve()
            if file.reason or real not in seen:
                seen.add(real)
                yield _supported(file)
            else:
                yield Found(file.source, file.path, "listed-twice", "an earlier path brought the same file")


def _walk(root: Path, label: str, exclude: Iterable[str]) -> Iterator[Found]:
    def refuse(error: OSError) -> None:
        path = Path(error.filename)
        unreadable.append(Found(_under(label, root, path), path, "unreadable", str(error.strerror)))

    unreadable: list[Found] = []
    for folder, below, names in os.walk(root, onerror=refuse):
        below.sort()
        for name in sorted([*below, *names]):
            path = Path(folder, name)
            source = _under(label, root, path)
            excluded = "excluded" if _excluded(path.relative_to(root), exclude) else ""
            reason = "hidden" if name.startswith(".") else excluded
            if reason and name in below:
                below.remove(name)
            if reason or name not in below:
                yield Found(source, path, reason)
    yield from unreadable


def _excluded(path: Path, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(text, pattern.rstrip("/")) for pattern in patterns for text in (path.name, path.as_posix()))


def _under(label: str, root: Path, path: Path) -> str:
    return f"{label}/{_printable(path.relative_to(root).as_posix())}" if path != root else label


def _printable(name: str) -> str:
    """A file name that is not UTF-8, with its odd bytes as `\\xNN`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _supported(file: Found) -> Found:
    if file.reason or file.path.suffix.lower() in READERS:
        return file
    suffix = file.path.suffix or "no extension"
    return Found(file.source, file.path, "unsupported-format", f"{suffix}; read are {' '.join(READERS)}")


def _missing(path: Path) -> DataError:
    """Names the nearest existing entry of the nearest existing folder above the path."""
    path = path.absolute()
    while not path.parent.exists():
        path = path.parent
    beside = nearest(path.name, (entry.name for entry in path.parent.iterdir())) if path.parent.is_dir() else None
    return DataError(
        "no such file or folder",
        where=str(path),
        nearest=str(path.parent / beside) if beside else None,
        next="set `paths` of the data.read step to what exists",
    )


def _nothing(paths: list[Path], drops: list[Drop], reasons: dict[str, int]) -> DataError:
    shown = "\n".join(f"  {drop.source}: {drop.reason} {drop.detail}".rstrip() for drop in drops[:10])
    more = f"\n  … and {len(drops) - 10} more" if len(drops) > 10 else ""
    counts = ", ".join(f"{reason} {count}" for reason, count in reasons.items())
    return DataError(
        f"no document could be read ({counts})\n{shown}{more}",
        where=", ".join(str(path) for path in paths),
        next="give Markdown, text, HTML or PDF files",
    )
