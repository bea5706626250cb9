"""data.git: the files of one commit of a git repository → documents."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, model_validator

from danlu.artifact import Artifact, Draft
from danlu.data.gather import Gathering, Task, read_all
from danlu.data.licence import NAMES, spdx, together
from danlu.errors import DataError, EndpointError, nearest
from danlu.registry import Settings, Step
from danlu.track import Track

_URL = re.compile(r"(https|ssh|file)://(?P<rest>.+)", re.IGNORECASE)
_SCP = re.compile(r"(?P<user>[\w.-]+@)?(?P<host>[\w.-]+):(?!/?/)(?P<path>.+)")
_HASH = re.compile(r"[0-9a-f]{7,64}")
_DATE = re.compile(rb"\x01(\d{4}-\d\d-\d\dT[\d:]+(?:Z|[+-]\d\d:\d\d))\x02(.*)", re.DOTALL)
_POINTER = b"version https://git-lfs.github.com/spec/"
_SAFE = (
    "core.hooksPath=/dev/null", "core.fsmonitor=false", "core.askPass=", "gc.auto=0", "maintenance.auto=false",
    "protocol.version=2", "core.quotePath=false", "log.showSignature=false", "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
)  # fmt: skip


class GitSettings(Settings):
    model_config = ConfigDict(hide_input_in_errors=True)

    repository: str
    """A folder with a repository (relative to the recipe's folder), or its address: https://, ssh://, git@host:path or
    file://. Credentials come from git's own helpers or an SSH agent, never from here."""

    revision: str = "HEAD"
    """A branch, a tag or a commit. A commit never moves; with the others, the commit that was read is told in the
    report, and `danlu run RECIPE --force STEP` looks where they point now."""

    include: tuple[str, ...] = ()
    """Patterns (`*` and `?`) of what to read: a name at any depth, or a path from the root. Everything when
    empty."""

    exclude: tuple[str, ...] = ()
    """Patterns of what to leave out: a name at any depth, or a path from the root."""

    licence: str = ""
    """The licence of these texts. When empty it is told from the LICENSE file nearest above each file."""

    history: bool = True
    """Fetch the whole history, for the date of each file's last change and the number of its authors. Without it only
    one commit is fetched, and its date is each file's."""

    max_file_bytes: Annotated[int, Field(gt=0)] = 20 * 2**20
    """A larger file is dropped."""

    max_bytes: Annotated[int, Field(gt=0)] = 2 * 2**30
    """What may be fetched, and what the files that are read may hold together."""

    timeout: Annotated[float, Field(gt=0)] = 1800
    """Seconds that fetching may take."""

    @model_validator(mode="after")
    def _plain(self) -> Self:
        if self.repository.startswith("-") or self.revision.startswith("-") or not self.revision.strip():
            raise ValueError("repository and revision must not begin with '-'")
        address = _URL.fullmatch(self.repository)
        if "::" in self.repository.split("/")[0] or ("://" in self.repository and address is None):
            raise ValueError("a repository is a folder or an address of https://, ssh://, git@host:path or file://")
        if address and ":" in address["rest"].split("/")[0].rpartition("@")[0]:
            raise ValueError("no password in a recipe: set up a git credential helper or an SSH key instead")
        return self


@dataclass(frozen=True)
class Entry:
    """A path of the commit's tree. `reason` says why it is not read, if so."""

    path: str
    blob: str
    size: int
    reason: str = ""
    detail: str = ""


@dataclass
class Change:
    """When a file changed last, and by how many people it was ever changed."""

    date: str
    authors: set[int] = field(default_factory=set)


class Git(Step[GitSettings]):
    """Reads the files of one commit, each by the reader of its name; nothing is checked out and no hook or filter runs.

    The documents carry the commit, the path, the licence, and when (author date) and by how many authors the file was
    last changed. Left out, with the reason: those of the readers, and `unsupported-format`, `not-included`, `excluded`,
    `too-large`, `link` (a symbolic link), `submodule`, `lfs-pointer` (the file itself is in Git LFS). EndpointError
    when a repository cannot be fetched; DataError for an unknown revision (with the nearest name), too many bytes, or
    nothing left to read.

    Only the protocols https, ssh and file are used, and nobody is asked for a password. Not covered: submodules, LFS,
    renames (the last change of a renamed file is its renaming), uncommitted changes.
    """

    Settings = GitSettings
    makes = "documents"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        settings = self.settings
        repository = Repository(settings, out.work, track)
        commit, kind = repository.fetch()
        name = label(settings.repository)
        entries = [self._judged(entry) for entry in repository.tree(commit)]
        self._bounded(entries)
        licences = self._licences(repository, entries)
        changes = repository.changes(commit, {entry.path for entry in entries if not entry.reason})
        with Gathering(out) as gathering:
            kept, pointers = repository.export([entry for entry in entries if not entry.reason], out.work / "blobs")
            for entry in entries:
                if entry.reason:
                    gathering.drop(f"{name}/{entry.path}", entry.reason, entry.detail)
            for entry in pointers:
                gathering.drop(f"{name}/{entry.path}", "lfs-pointer", "the repository holds only a pointer to the file")
            tasks = [
                Task(
                    source=f"{name}/{entry.path}",
                    path=path,
                    suffix=PurePosixPath(entry.path).suffix.lower(),
                    licence=settings.licence or nearest_licence(entry.path, licences),
                    meta=self._meta(commit, entry.path, changes.get(entry.path)),
                )
                for entry, path in kept
            ]
            for task, results in zip(tasks, track.over(read_all(tasks, out.work), "git", len(tasks)), strict=True):
                gathering.extend(results)
                out.licences[f"{name} ({task.licence})"] = {"licence": task.licence, "terms": ""}
        gathering.report("git", name, "look at `include` and `exclude` of the data.git step")
        out.text("Commit", _told(settings.revision, kind, commit))

    def _meta(self, commit: str, path: str, change: Change | None) -> dict[str, Any]:
        meta: dict[str, Any] = {"commit": commit, "path": path}
        if change:
            meta["date"] = change.date
        if change and self.settings.history:
            meta["authors"] = len(change.authors)
        return meta

    def _judged(self, entry: Entry) -> Entry:
        settings = self.settings
        if entry.reason:
            return entry
        if matches(entry.path, settings.exclude):
            return Entry(entry.path, entry.blob, entry.size, "excluded")
        if settings.include and not matches(entry.path, settings.include):
            return Entry(entry.path, entry.blob, entry.size, "not-included")
        if not supported(entry.path):
            suffix = PurePosixPath(entry.path).suffix or "no extension"
            return Entry(entry.path, entry.blob, entry.size, "unsupported-format", suffix)
        if entry.size > settings.max_file_bytes:
            detail = f"{entry.size:,} bytes, more than max_file_bytes ({settings.max_file_bytes:,})"
            return Entry(entry.path, entry.blob, entry.size, "too-large", detail)
        return entry

    def _bounded(self, entries: list[Entry]) -> None:
        total = sum(entry.size for entry in entries if not entry.reason)
        if total > self.settings.max_bytes:
            raise DataError(
                f"the files to read hold {total:,} bytes, more than max_bytes ({self.settings.max_bytes:,})",
                where=self.settings.repository,
                next="narrow `include`, or raise `max_bytes` of the data.git step",
            )

    def _licences(self, repository: Repository, entries: list[Entry]) -> dict[str, str]:
        """Folder → licence, for the folders with a licence file of a sensible size."""
        if self.settings.licence:
            return {}
        found: dict[str, list[str]] = {}
        with repository.blobs() as blob:
            for entry in entries:
                path = PurePosixPath(entry.path)
                if NAMES.fullmatch(path.name) and entry.size < 200_000 and entry.reason not in ("link", "submodule"):
                    text = blob(entry.blob).decode("utf-8", "replace")
                    found.setdefault(str(path.parent), []).append(spdx(text))
        return {folder: together(names) for folder, names in found.items()}


class Repository:
    """A bare copy of the repository in the step's work folder."""

    def __init__(self, settings: GitSettings, work: Path, track: Track) -> None:
        if shutil.which("git") is None:
            raise DataError("data.git needs the program git", next="apt-get install git, or what your system calls it")
        self.settings, self.track = settings, track
        self.path = work / "repository.git"
        self.seen = work / "commit"
        where = settings.repository
        if not _URL.fullmatch(where) and not (_SCP.fullmatch(where) and not Path(where).exists()):
            folder = Path(where).expanduser()
            if not folder.is_dir():
                raise DataError(
                    "no such folder", where=str(folder.absolute()), next="set `repository` of the data.git step"
                )
            where = folder.resolve().as_uri()
        self.url = where

    def fetch(self) -> tuple[str, str]:
        """(the commit that `revision` means, "branch", "tag" or "commit"); a copy of an earlier attempt serves."""
        if self.seen.exists():
            commit, kind = self.seen.read_text(encoding="utf-8").split()
            return commit, kind
        refs = self._refs()
        ref, kind = self._resolve(refs)
        form = "sha256" if len(next(iter(refs.values()))) == 64 else "sha1"
        self._git("init", "--quiet", "--bare", "--template=", f"--object-format={form}", str(self.path), bare=False)
        self._transfer(ref, kind)
        found = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}", check=False)
        commit = found.decode().strip()
        if not commit:
            raise self._unknown(refs)
        self.seen.write_text(f"{commit} {kind}", encoding="utf-8")
        return commit, kind

    def _refs(self) -> dict[str, str]:
        """The names that the repository gives, each with its commit or tag object."""
        listed = self._remote("ls-remote", "--quiet", "--", self.url).decode("utf-8", "replace")
        pairs = (line.split("\t", 1) for line in listed.splitlines() if "\t" in line)
        refs = {name: hash for hash, name in pairs if not name.endswith("^{}")}
        if not refs:
            raise DataError("the repository has no commit", where=self.settings.repository)
        return refs

    def _resolve(self, refs: dict[str, str]) -> tuple[str, str]:
        """(what to ask git for, its kind)."""
        revision = self.settings.revision
        for name, kind in (
            (revision, "tag" if revision.startswith("refs/tags/") else "branch"),
            (f"refs/heads/{revision}", "branch"),
            (f"refs/tags/{revision}", "tag"),
        ):
            if name in refs:
                return refs[name], kind
        if _HASH.fullmatch(revision.lower()):
            return revision.lower(), "commit"
        raise self._unknown(refs)

    def _unknown(self, refs: dict[str, str]) -> DataError:
        short = [name.removeprefix("refs/heads/").removeprefix("refs/tags/") for name in refs]
        return DataError(
            f"the repository has no revision {self.settings.revision!r}",
            where=self.settings.repository,
            nearest=nearest(self.settings.revision, short),
            next=f"git ls-remote {self.settings.repository}",
        )

    def _transfer(self, ref: str, kind: str) -> None:
        """Bring `ref` and its history; all branches and tags for a commit that is not given by its hash."""
        words = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules"]
        depth = [] if self.settings.history else ["--depth=1"]
        if len(ref) in (40, 64):
            try:
                self._remote(*words, *depth, "--", self.url, ref)
                return
            except EndpointError:
                if kind != "commit":
                    raise
        self._remote(*words, "--", self.url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")

    def tree(self, commit: str) -> Iterator[Entry]:
        """Everything in the commit, by path."""
        for line in self._git("ls-tree", "-r", "-z", "-l", "--full-tree", commit).split(b"\0")[:-1]:
            facts, _, name = line.partition(b"\t")
            mode, kind, blob, size = facts.decode().split()
            path = name.decode("utf-8", "backslashreplace")
            reason = "submodule" if kind == "commit" else "link" if mode == "120000" else ""
            yield Entry(path, blob, 0 if size == "-" else int(size), reason)

    def changes(self, commit: str, paths: set[str]) -> dict[str, Change]:
        """The last change of each path, and the authors of all of its changes."""
        if not self.settings.history:
            date = self._git("log", "-1", "--format=%aI", commit).decode().strip()
            return {path: Change(date) for path in paths}
        people: dict[bytes, int] = {}
        found: dict[str, Change] = {}
        date, author = "", 0
        for token in self._log(commit):
            head = _DATE.fullmatch(token)
            if head:
                date, author = head[1].decode(), people.setdefault(head[2], len(people))
                continue
            path = token.removeprefix(b"\n").decode("utf-8", "backslashreplace")
            if path in paths:
                found.setdefault(path, Change(date)).authors.add(author)
        return found

    def _log(self, commit: str) -> Iterator[bytes]:
        """The pieces of the log between NULs: of each commit its head, then the paths that it changed."""
        words = ["log", "-z", "-c", "--no-renames", "--name-only", "--format=%x01%aI%x02%aE", commit]
        process = subprocess.Popen(self._words(*words), stdout=subprocess.PIPE, env=environment())
        assert process.stdout is not None
        try:
            rest = b""
            while piece := process.stdout.read(2**20):
                *whole, rest = (rest + piece).split(b"\0")
                yield from (token for token in whole if token)
        finally:
            process.stdout.close()
            process.kill()
            process.wait()

    def export(self, entries: list[Entry], folder: Path) -> tuple[list[tuple[Entry, Path]], list[Entry]]:
        """(the files, each with the path of its bytes; those of which the repository holds only an LFS pointer)."""
        folder.mkdir(exist_ok=True)
        kept: list[tuple[Entry, Path]] = []
        pointers: list[Entry] = []
        with self.blobs() as blob:
            for entry in self.track.over(entries, "unpack", unit="file"):
                path = folder / entry.blob
                data = blob(entry.blob)
                if data.startswith(_POINTER):
                    pointers.append(entry)
                    continue
                path.write_bytes(data)
                kept.append((entry, path))
        return kept, pointers

    @contextlib.contextmanager
    def blobs(self) -> Iterator[Any]:
        """A function: the hash of a blob → its bytes."""
        process = subprocess.Popen(
            self._words("cat-file", "--batch"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
        )
        into, out = process.stdin, process.stdout
        assert into is not None
        assert out is not None

        def blob(hash: str) -> bytes:
            into.write(hash.encode() + b"\n")
            into.flush()
            head = out.readline().split()
            if len(head) != 3:
                raise DataError(f"an object of the repository is missing: {hash}", where=self.settings.repository)
            data = out.read(int(head[2]))
            out.read(1)
            return data

        try:
            yield blob
        finally:
            into.close()
            out.close()
            process.wait()

    def _words(self, *words: str, bare: bool = True) -> list[str]:
        settings = [part for setting in _SAFE for part in ("-c", setting)]
        return ["git", *settings, *([f"--git-dir={self.path}"] if bare else []), *words]

    def _git(self, *words: str, bare: bool = True, check: bool = True) -> bytes:
        done = subprocess.run(self._words(*words, bare=bare), capture_output=True, env=environment())
        if check and done.returncode:
            raise DataError(f"git {words[0]}: {_message(done.stderr)}", where=self.settings.repository)
        return done.stdout

    def _remote(self, *words: str) -> bytes:
        """Run git against the repository itself, bounded in time and in what it may bring."""
        line = self._words(*words, bare=words[0] != "ls-remote")
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment(), start_new_session=True
            )
            try:
                self._watch(process)
            finally:
                _end(process)
            out.seek(0)
            err.seek(0)
            if process.returncode == 0:
                return out.read()
            raise EndpointError(
                f"git {words[0]}: {_message(err.read())}",
                where=self.settings.repository,
                next=f"git ls-remote {self.settings.repository} shows whether you may read it",
            )

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        end, wait, before = time.monotonic() + self.settings.timeout, 0.01, _held(self.path)
        bar = self.track.bar("fetch", None, unit="B")
        try:
            while process.poll() is None:
                held = _held(self.path)
                bar.update(max(0, held - before))
                before = held
                if time.monotonic() > end:
                    what = f"fetching took more than {self.settings.timeout:g} seconds"
                    raise EndpointError(what, where=self.settings.repository, next=_less("timeout"))
                if held > self.settings.max_bytes:
                    what = f"the repository is larger than max_bytes ({self.settings.max_bytes:,})"
                    raise DataError(what, where=self.settings.repository, next=_less("max_bytes"))
                time.sleep(wait)
                wait = min(1.0, wait * 1.5)
        finally:
            bar.close()


def environment() -> dict[str, str]:
    """The variables for git: nobody is asked anything, only three protocols, messages in English."""
    mine = ("GIT_SSH", "GIT_SSL", "GIT_CONFIG")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name.startswith(mine)}
    kept.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
    return {
        **kept,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "https:ssh:file",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_ATTR_NOSYSTEM": "1",
        "SSH_ASKPASS": "",
        "GCM_INTERACTIVE": "never",
        "LC_ALL": "C",
    }


def label(repository: str) -> str:
    """A short name without scheme, user and `.git`: `github.com/owner/name`, or a folder's own name."""
    address, short = _URL.fullmatch(repository), _SCP.fullmatch(repository)
    if address and not repository.lower().startswith("file:"):
        host, _, path = address["rest"].partition("/")
        name = f"{host.rpartition('@')[2]}/{path}"
    elif short and not address and not Path(repository).exists():
        name = f"{short['host']}/{short['path']}"
    else:
        path_ = Path(address["rest"] if address else repository).expanduser().absolute().resolve()
        name = path_.parent.name if path_.name == ".git" else path_.name
    return name.strip("/").removesuffix(".git") or "repository"


def matches(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether a pattern names the path, or a file or folder on its way."""
    parts = PurePosixPath(path).parts
    ways = {*parts, *("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))}
    return any(fnmatchcase(way, pattern.rstrip("/")) for pattern in patterns for way in ways)


def supported(path: str) -> bool:
    from danlu.data.readers import READERS

    return PurePosixPath(path).suffix.lower() in READERS


def nearest_licence(path: str, licences: Mapping[str, str]) -> str:
    """The licence of the nearest folder above `path` that has one."""
    return next((licences[str(folder)] for folder in PurePosixPath(path).parents if str(folder) in licences), "unknown")


def _less(setting: str) -> str:
    return f"set history: false to fetch one commit only, or raise `{setting}` of the data.git step"


def _told(revision: str, kind: str, commit: str) -> str:
    if kind == "commit":
        return f"{commit}: a commit never changes, so this step is made once."
    return (
        f"{revision} ({kind}) was {commit} when this was made. A {kind} can move: `danlu run RECIPE --force STEP` "
        f"reads where it points then, and `revision: {commit}` keeps it here."
    )


def _message(error: bytes) -> str:
    lines = [line for line in error.decode("utf-8", "replace").splitlines() if line.strip()]
    told = [
        line.removeprefix("fatal: ").removeprefix("error: ") for line in lines if line.startswith(("fatal", "error"))
    ]
    return "; ".join(dict.fromkeys(told or lines[-1:]))[:400] or "failed without a word"


def _held(folder: Path) -> int:
    """Bytes in the files of a folder that another process is writing."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and those that it started (git-remote-https, ssh)."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()
