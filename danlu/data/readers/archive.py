"""ZIP containers, read without trusting them: what .zip, .docx, .pptx, .xlsx, .epub and .odt files are made of.

    archive = Archive(data)                 # or a path; raises Unreadable for what is wrong with the whole container
    for member in archive.members():        # files only, in the order of the directory
        if not member.reason:               # "unsafe-name", "encrypted", "zip-bomb", "broken-zip": this member alone
            data = archive.read(member.name)

Refused whole: a damaged directory ("broken-zip"), members that overlap, more members or more bytes in all than allowed
("zip-bomb"). Refused one by one: names with `..`, absolute names and links ("unsafe-name"), members that claim too many
bytes, or too many for their packed size ("zip-bomb"), that need a password ("encrypted"), that come twice, are damaged,
or are packed by anything but deflate ("broken-zip"). Nothing is ever written to disk. Sizes are those of the directory;
a member that unpacks to more than it declares is cut there and fails its checksum.

Not covered: ZIP inside ZIP (the caller counts the depth), several volumes, passwords.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from danlu.data.readers import Unreadable
from danlu.text.encoding import decode

MEMBERS = 20_000
"""Most members of a container."""

TOTAL = 1 << 30
"""Most bytes of all members together, unpacked."""

LARGEST = 1 << 28
"""Most bytes of one member, unpacked."""

RATIO = 200
"""Most unpacked bytes for a packed one, in members beyond `_SMALL` bytes (deflate reaches 1,032)."""

_SMALL = 1 << 24
_DIRECTORY = 1 << 26
_CHUNK = 1 << 20
_HEADER = 30
_UTF8 = 0x800
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, ValueError, EOFError, OSError, RuntimeError)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class Member:
    """A file in the container: its name with `/`, its unpacked size, and why it is refused (`reason`), if it is."""

    name: str
    size: int
    reason: str = ""
    detail: str = ""


class Archive:
    """The members of a ZIP file, `total` bytes and `members` of them at most, each `largest` bytes at most."""

    def __init__(
        self, source: bytes | Path, *, members: int = MEMBERS, total: int = TOTAL, largest: int = LARGEST
    ) -> None:
        self._file = _Bounded(io.BytesIO(source) if isinstance(source, bytes) else source.open("rb", 0))
        self._largest = largest
        try:
            self._zip = zipfile.ZipFile(self._file)
            self._members = self._checked(members, total)
        except Unreadable:
            self.close()
            raise
        except _BROKEN as error:
            self.close()
            raise Unreadable("broken-zip", str(error)[:200] or "no ZIP directory") from None

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def members(self) -> Iterator[Member]:
        """Every file, also the refused ones; folders are not yielded."""
        for member, _ in self._members:
            yield member

    def names(self) -> list[str]:
        """The names that `read` takes."""
        return list(self._readable)

    def __contains__(self, name: str) -> bool:
        return name in self._readable

    def read(self, name: str) -> bytes:
        """The bytes of a member. Raises Unreadable with the member's reason, or "broken-zip" when it is not there."""
        if name not in self._readable:
            refused = next((member for member, _ in self._members if member.name == name), None)
            reason, detail = (refused.reason, refused.detail) if refused else ("broken-zip", "no such member")
            raise Unreadable(reason, f"{name}: {detail}")
        info = self._readable[name]
        parts = []
        try:
            with self._zip.open(info) as file:
                while part := file.read(_CHUNK):
                    parts.append(part)
        except _BROKEN as error:
            raise Unreadable("broken-zip", f"{name}: {error}"[:200]) from None
        return b"".join(parts)

    def _checked(self, most: int, total: int) -> list[tuple[Member, zipfile.ZipInfo]]:
        infos = self._zip.infolist()
        if len(infos) > most:
            raise Unreadable("zip-bomb", f"{len(infos)} members; {most} are read at most")
        size = sum(info.file_size for info in infos)
        if size > total:
            raise Unreadable("zip-bomb", f"{size} bytes unpacked; {total} are read at most")
        _apart(infos)
        found: list[tuple[Member, zipfile.ZipInfo]] = []
        self._readable: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            name = _name(info)
            if name.endswith("/") and not info.file_size:
                continue
            reason, detail = _problem(info, name, self._largest)
            if not reason and name in self._readable:
                reason, detail = "broken-zip", "an earlier member has the same name"
            if not reason:
                self._readable[name] = info
            found.append((Member(name, info.file_size, reason, detail), info))
        return found


class _Bounded(io.BufferedReader):
    """A file that refuses to be read into memory as a whole: the directory of a ZIP file is read in one piece."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > _DIRECTORY:
            raise Unreadable("zip-bomb", f"a directory of {size} bytes")
        return super().read(size)


def _name(info: zipfile.ZipInfo) -> str:
    """The name with `/`; a name that is not marked as UTF-8 is in the code page of its writer (Big5, GBK), if told."""
    name = info.filename
    if not info.flag_bits & _UTF8 and not name.isascii():
        raw = name.encode("cp437", "replace")
        try:
            name = decode(raw)[0]
        except ValueError:
            name = raw.decode("utf-8", "backslashreplace")
    return name.replace("\\", "/")


def unsafe(name: str) -> str:
    """Why a member of this name (with `/`) is not read; empty when it is."""
    parts = name.split("/")
    if not name.strip() or name.startswith("/") or ":" in parts[0] or ".." in parts:
        return "a name that leads out of the folder it would be unpacked to"
    if any(ord(character) < 32 or character == "\x7f" for character in name):
        return "a name with control characters"
    return ""


def _problem(info: zipfile.ZipInfo, name: str, largest: int) -> tuple[str, str]:
    if why := unsafe(name):
        return "unsafe-name", why
    if stat.S_ISLNK(info.external_attr >> 16):
        return "unsafe-name", "a link"
    if info.flag_bits & 0x1:
        return "encrypted", "it opens only with a password"
    if info.file_size > largest:
        return "zip-bomb", f"{info.file_size} bytes unpacked; {largest} are read at most"
    if info.file_size > _SMALL and info.file_size > RATIO * info.compress_size:
        return "zip-bomb", f"{info.file_size} bytes from {info.compress_size}"
    if info.compress_type not in _METHODS:
        return "broken-zip", f"packed by method {info.compress_type}; stored and deflated are read"
    return "", ""


def _apart(infos: list[zipfile.ZipInfo]) -> None:
    """Members that share bytes make a small file unpack to a large one (Fifield, "A better zip bomb", 2019)."""
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise Unreadable("zip-bomb", f"{info.filename!a} shares its bytes with another member")
        end = info.header_offset + _HEADER + info.compress_size
