"""TAR: every member through the reader of its suffix, one after the other, nothing written to disk under its name.

`Reading.part` is the member's name, in Big5 or GBK where that is how it was written. Refused one by one: names that
lead out and links ("unsafe-name"), members beyond the limits of `danlu.data.readers.archive` ("zip-bomb"). Packed ones
(.tar.gz, .tgz, .tar.bz2, .tar.xz, .tar.zst, or only .tar) come through `danlu.data.readers.gzip`. Not covered: devices,
several volumes.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from danlu.data.readers import USUAL, Bad, How, Reading, Unreadable, gzip
from danlu.data.readers.archive import LARGEST, MEMBERS, TOTAL, unsafe
from danlu.data.readers.member import unpacked
from danlu.text.encoding import decode

_BROKEN = (tarfile.TarError, ValueError, EOFError, OverflowError, IndexError)


@dataclass(frozen=True)
class _Member:
    info: tarfile.TarInfo
    name: str
    reason: str
    detail: str


def each(path: Path, how: How = USUAL) -> Iterator[Reading | Bad]:
    """Raises Unreadable "broken-tar", "zip-bomb", "empty", also after some members: what came before stays."""
    if gzip.packed_as(path):
        yield from gzip.each(path, how)
        return
    try:
        with tarfile.open(path, "r:", encoding="utf-8", errors="surrogateescape") as archive:
            yield from unpacked(_members(archive), lambda member: _read(archive, member), how)
    except _BROKEN as error:
        raise Unreadable("broken-tar", str(error)[:200] or "no TAR header") from None


def _members(archive: tarfile.TarFile) -> Iterator[_Member]:
    total = 0
    for count, info in enumerate(archive, 1):
        archive.members = []  # kept by tarfile, for nothing here
        total += info.size
        if count > MEMBERS or total > TOTAL:
            raise Unreadable("zip-bomb", f"over {MEMBERS} members or {TOTAL} bytes")
        if info.isdir():
            continue
        name = _name(info.name)
        reason, detail = ("unsafe-name", why) if (why := unsafe(name)) else ("", "")
        if not reason and not info.isfile():
            reason, detail = "unsafe-name", "a link" if info.issym() or info.islnk() else "a device"
        if not reason and info.size > LARGEST:
            reason, detail = "zip-bomb", f"{info.size} bytes; {LARGEST} are read at most"
        yield _Member(info, name, reason, detail)


def _read(archive: tarfile.TarFile, member: _Member) -> bytes:
    try:
        file = archive.extractfile(member.info)
        return file.read() if file else b""
    except _BROKEN as error:
        raise Unreadable("broken-tar", f"{member.name}: {error}"[:200]) from None


def _name(name: str) -> str:
    raw = name.encode("utf-8", "surrogateescape")
    try:
        return decode(raw)[0].removeprefix("./")
    except ValueError:
        return raw.decode("utf-8", "backslashreplace").removeprefix("./")
