"""7z: every member through the reader of its suffix; `Reading.part` is its name.

Members are unpacked into a folder of their own under numbers, never under their names, within the limits of
`danlu.data.readers.archive`. Names that lead out and links are "unsafe-name". Not covered: passwords ("encrypted"),
several volumes, methods that py7zr lacks ("broken-7z").
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danlu.data.readers import USUAL, Bad, How, Reading, Unreadable
from danlu.data.readers.archive import LARGEST, MEMBERS, RATIO, TOTAL, unsafe
from danlu.data.readers.member import unpacked
from danlu.extras import need

_SMALL = 2**24


@dataclass(frozen=True)
class _Member:
    name: str
    raw: str
    reason: str
    detail: str


def each(path: Path, how: How = USUAL) -> Iterator[Reading | Bad]:
    """Raises Unreadable for what is wrong with the archive as a whole; a refused member is a `Bad`."""
    sevenzip = need("py7zr", "office")
    with tempfile.TemporaryDirectory() as folder:
        try:
            with sevenzip.SevenZipFile(path) as archive:
                if archive.needs_password():
                    raise Unreadable("encrypted", "it opens only with a password")
                members = _members(archive.list(), path.stat().st_size)
                kept = _Kept(Path(folder))
                wanted = [member.raw for member in members if not member.reason]
                if wanted:
                    archive.extract(targets=wanted, factory=kept)
        except Unreadable:
            raise
        except sevenzip.PasswordRequired:
            raise Unreadable("encrypted", "it opens only with a password") from None
        except Exception as error:  # py7zr raises whatever its decoders do
            raise Unreadable("broken-7z", f"{type(error).__name__}: {error}"[:200]) from None
        yield from unpacked(members, lambda member: kept.read(member.raw), how)


def _members(infos: list[Any], packed: int) -> list[_Member]:
    total = sum(info.uncompressed or 0 for info in infos)
    if len(infos) > MEMBERS or total > TOTAL or (total > _SMALL and total > RATIO * packed):
        raise Unreadable("zip-bomb", f"{len(infos)} members of {total} bytes from {packed}")
    found = []
    for info in infos:
        name = info.filename.replace("\\", "/")
        if info.is_directory:
            continue
        reason, detail = ("unsafe-name", why) if (why := unsafe(name)) else ("", "")
        if not reason and getattr(info, "is_symlink", False):
            reason, detail = "unsafe-name", "a link"
        if not reason and (info.uncompressed or 0) > LARGEST:
            reason, detail = "zip-bomb", f"{info.uncompressed} bytes; {LARGEST} are read at most"
        found.append(_Member(name, info.filename, reason, detail))
    return found


class _Kept:
    """The factory of py7zr for what it unpacks: a numbered file for each member, `TOTAL` bytes of them at most."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths: dict[str, Path] = {}
        self.count = 0

    def create(self, name: str) -> _File:
        path = self._folder / str(len(self._paths))
        self._paths[name] = path
        return _File(path, self)

    def read(self, name: str) -> bytes:
        path = self._paths.get(name)
        return path.read_bytes() if path and path.exists() else b""


class _File:
    """What py7zr writes a member to (its `Py7zIO`)."""

    def __init__(self, path: Path, kept: _Kept) -> None:
        self._file = path.open("w+b", 0)
        self._kept = kept

    def write(self, data: bytes) -> int:
        self._kept.count += len(data)
        if self._kept.count > TOTAL:
            raise Unreadable("zip-bomb", f"over {TOTAL} bytes unpacked")
        return self._file.write(data)

    def read(self, size: int | None = None) -> bytes:
        return self._file.read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def flush(self) -> None:
        self._file.flush()

    def size(self) -> int:
        return self._file.seek(0, 2)

    def close(self) -> None:
        self._file.close()
