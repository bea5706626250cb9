"""Artifacts: folders on disk in standard formats, each with a manifest that says what made it.

The store is one folder::

    store/
      artifacts/<id>/       finished artifacts, never changed afterwards; artifact.json is the manifest
      work/<id>/            what a step keeps to resume from; removed once its artifact is finished
      drafts/               artifacts being written; a leftover here is never read
      locks/<id>            one writer for each artifact, released by the kernel when its process dies
      runs/<recipe>/        report.html and run.json of the latest run

An artifact appears by one rename after each of its files was synced, so that it is there whole or not at all.

`id` says what was asked for: the hash of the step's settings, the content of its inputs and the version of its code.
`content` says what came out: the hash of the files, without anything that depends on the clock or the machine. Two
undisturbed runs of one recipe on one machine give the same `content`; floating-point results may differ between kinds
of processor.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from danlu.errors import StorageError, nearest

MANIFEST = "artifact.json"


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value` (sorted keys, UTF-8; file names that are none keep their odd bytes)."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def leaves(path: Path, folder: Path) -> bool:
    """Whether `path`, found under `folder`, is a symbolic link that leads out of it."""
    return path.is_symlink() and not path.resolve().is_relative_to(folder.resolve())


def tree_files(root: Path) -> list[Path]:
    """Every regular file under `root`, sorted by its path in POSIX form."""
    return sorted((p for p in root.rglob("*") if p.is_file()), key=lambda p: p.relative_to(root).as_posix())


def path_digest(path: Path) -> str:
    """SHA-256 of a file, or of a folder's relative names and bytes."""
    if path.is_file():
        return file_digest(path)
    return digest({p.relative_to(path).as_posix(): file_digest(p) for p in tree_files(path)})


@dataclass(frozen=True)
class Artifact:
    """A finished artifact. `manifest` is what artifact.json holds."""

    path: Path
    manifest: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.manifest["id"])

    @property
    def kind(self) -> str:
        return str(self.manifest["kind"])

    @property
    def content(self) -> str:
        return str(self.manifest["content"])

    @property
    def licences(self) -> dict[str, dict[str, str]]:
        """The licence and terms of every model and source that went in: name → {licence, terms}."""
        return dict(self.manifest["licences"])

    def file(self, name: str) -> Path:
        path = self.path / name
        if not path.exists():
            raise StorageError(
                f"{name} is missing from the artifact",
                where=str(self.path),
                nearest=nearest(name, self.manifest["files"]),
                next="danlu run RECIPE --force STEP makes it again",
            )
        return path

    def verify(self) -> list[str]:
        """The names of the files whose bytes are no longer those that were written; empty when all is well."""
        return [
            name
            for name, facts in self.manifest["files"].items()
            if not (self.path / name).is_file() or file_digest(self.path / name) != facts["sha256"]
        ]

    def whole(self) -> bool:
        """Whether every file is there with the size that was written: cheap, reads no bytes (`verify` does)."""
        return all(
            (self.path / name).is_file() and (self.path / name).stat().st_size == facts["size"]
            for name, facts in self.manifest["files"].items()
        )

    @staticmethod
    def load(path: Path) -> Artifact:
        try:
            return Artifact(path, json.loads((path / MANIFEST).read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise StorageError(
                f"not an artifact: {error}", where=str(path), next="remove this folder; danlu run RECIPE makes it again"
            ) from None


@dataclass
class Draft:
    """The folder that a step writes into. `work` outlives a killed process; `path` does not."""

    path: Path
    work: Path
    licences: dict[str, dict[str, str]] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    report: list[dict[str, Any]] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)

    def file(self, name: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def table(self, title: str, columns: list[str], rows: list[list[Any]]) -> None:
        """Add a table to the report."""
        self.report.append({"type": "table", "title": title, "columns": columns, "rows": rows})

    def funnel(self, title: str, came: int, kept: int, dropped: dict[str, int], unit: str = "records") -> None:
        """Add a stage of the data funnel to the report; `came` must equal `kept` plus all of `dropped`."""
        if came != kept + sum(dropped.values()):
            raise AssertionError(f"{title}: {came} came, {kept} kept, {dropped} dropped: the funnel leaks")
        self.report.append(
            {"type": "funnel", "title": title, "came": came, "kept": kept, "dropped": dropped, "unit": unit}
        )

    def image(self, title: str, name: str) -> None:
        """Add a picture, a file of this artifact, to the report."""
        self.report.append({"type": "image", "title": title, "file": name})

    def text(self, title: str, text: str) -> None:
        """Add a paragraph to the report."""
        self.report.append({"type": "text", "title": title, "text": text})

    def unstable(self, folder: str, content: str) -> None:
        """Say that `folder` holds the same `content` (a digest) whatever its bytes are: a database with random file
        names, say. Its files are still checked by `verify`."""
        self.digests[folder] = content


class Store:
    """A folder of artifacts. Safe for several processes at once on one machine (flock; not for NFS without locks)."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        try:
            for name in ("artifacts", "work", "drafts", "locks", "runs"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"the store cannot be made: {error.strerror}",
                where=str(self.root),
                next="choose another with --store DIR",
            ) from None

    def get(self, id: str) -> Artifact | None:
        path = self.root / "artifacts" / id
        return Artifact.load(path) if (path / MANIFEST).exists() else None

    def all(self) -> list[Artifact]:
        """Every artifact, oldest first."""
        paths = (self.root / "artifacts").iterdir()
        found = [Artifact.load(path) for path in paths if (path / MANIFEST).exists()]
        return sorted(found, key=lambda artifact: (artifact.manifest["created"], artifact.id))

    @contextlib.contextmanager
    def lock(
        self, id: str, wait: bool = True, who: str = "", waiting: Callable[[str], None] | None = None
    ) -> Iterator[bool]:
        """Hold the one writer's place for `id`; yields whether it was free at once. With `wait=False` yields False
        and holds nothing when another process has it.

        `who` is left in the lock file for others to read; `waiting` is called with the holder's before this one waits.
        """
        with (self.root / "locks" / id).open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                free = True
            except BlockingIOError:
                free = False
                if waiting is not None:
                    file.seek(0)
                    waiting(file.read())
                if wait:
                    fcntl.flock(file, fcntl.LOCK_EX)
            if who and (free or wait):
                file.truncate(0)
                file.write(who)
                file.flush()
            yield free

    @contextlib.contextmanager
    def draft(self, id: str) -> Iterator[Draft]:
        """A fresh folder to write in; whatever was not committed is removed at the end."""
        path = Path(tempfile.mkdtemp(prefix=f"{id}.", dir=self.root / "drafts"))
        work = self.root / "work" / id
        work.mkdir(parents=True, exist_ok=True)
        try:
            yield Draft(path, work)
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def commit(self, draft: Draft, facts: dict[str, Any]) -> Artifact:
        """Finish `draft`: hash, sync and rename it. `facts` are the manifest's other entries (id, kind, step, …).

        With the same id already there (a forced step) the old artifact is moved aside before the rename and removed
        after it; `clean` puts it back if the process dies between the two.
        """
        files = {
            path.relative_to(draft.path).as_posix(): {"sha256": file_digest(path), "size": path.stat().st_size}
            for path in tree_files(draft.path)
        }
        stable = {name: entry["sha256"] for name, entry in files.items() if name.split("/")[0] not in draft.digests}
        manifest = {
            **facts,
            "content": digest({"files": stable, "digests": draft.digests}),
            "files": files,
            "licences": {**facts.get("licences", {}), **draft.licences},
            "metrics": draft.metrics,
            "report": draft.report,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        }
        text = json.dumps(manifest, ensure_ascii=False, indent=1, sort_keys=True)
        (draft.path / MANIFEST).write_text(text, encoding="utf-8")
        _sync_tree(draft.path)
        final = self.root / "artifacts" / str(facts["id"])
        aside = Path(tempfile.mkdtemp(prefix=f"{facts['id']}.", dir=self.root / "drafts")) if final.exists() else None
        if aside is not None:
            os.replace(final, aside / "old")
        os.replace(draft.path, final)
        _sync(final.parent)
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(draft.work, ignore_errors=True)
        return Artifact(final, manifest)

    def clean(self) -> int:
        """Remove what killed processes left in drafts/, as far as nobody is writing it; returns how many folders.

        A finished artifact that was moved aside and not yet replaced is put back."""
        removed = 0
        for path in (self.root / "drafts").iterdir():
            id = path.name.split(".")[0]
            with self.lock(id, wait=False) as free:
                if not free:
                    continue
                final = self.root / "artifacts" / id
                if (path / "old" / MANIFEST).exists() and not final.exists():
                    os.replace(path / "old", final)
                shutil.rmtree(path, ignore_errors=True)
                removed += 1
        return removed


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_tree(root: Path) -> None:
    for path in root.rglob("*"):
        _sync(path)
    _sync(root)
