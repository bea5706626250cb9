"""RAR (3 and 5): every member through the reader of its suffix; `Reading.part` is its name.

The directory, and members that are only stored, are read by `rarfile`; packed members need a program, one of `TOOLS`:
where none is installed they are "unsupported-format", and the detail names them. Limits are those of
`danlu.data.readers.archive`. Not covered: passwords ("encrypted"), several volumes ("broken-rar").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danlu.data.readers import USUAL, Bad, How, Reading, Unreadable
from danlu.data.readers.archive import LARGEST, MEMBERS, RATIO, TOTAL, unsafe
from danlu.data.readers.member import unpacked
from danlu.extras import need

TOOLS = "unrar, unar, 7z or bsdtar"
_SMALL = 2**24


@dataclass(frozen=True)
class _Member:
    info: Any
    name: str
    reason: str
    detail: str


def each(path: Path, how: How = USUAL) -> Iterator[Reading | Bad]:
    """Raises Unreadable for what is wrong with the archive as a whole; a refused member is a `Bad`."""
    rar = need("rarfile", "office")
    try:
        with rar.RarFile(path) as archive:
            if archive.needs_password() and not archive.infolist():
                raise Unreadable("encrypted", "it opens only with a password")
            infos = archive.infolist()
            total = sum(info.file_size for info in infos)
            if len(infos) > MEMBERS or total > TOTAL:
                raise Unreadable("zip-bomb", f"{len(infos)} members of {total} bytes")
            members = [_member(info) for info in infos if not info.is_dir()]
            yield from unpacked(members, lambda member: _read(rar, archive, member), how)
    except (rar.Error, OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise Unreadable("broken-rar", f"{type(error).__name__}: {error}"[:200]) from None


def _member(info: Any) -> _Member:
    name = info.filename.replace("\\", "/")
    reason, detail = ("unsafe-name", why) if (why := unsafe(name)) else ("", "")
    if not reason and not info.is_file():
        reason, detail = "unsafe-name", "a link"
    elif not reason and info.needs_password():
        reason, detail = "encrypted", "it opens only with a password"
    elif not reason and (
        info.file_size > LARGEST or (info.file_size > _SMALL and info.file_size > RATIO * info.compress_size)
    ):
        reason, detail = "zip-bomb", f"{info.file_size} bytes from {info.compress_size}"
    return _Member(info, name, reason, detail)


def _read(rar: Any, archive: Any, member: _Member) -> bytes:
    try:
        with archive.open(member.info) as file:
            data: bytes = file.read(LARGEST + 1)
    except rar.RarCannotExec:
        raise Unreadable("unsupported-format", f"packed RAR needs a program: install {TOOLS}") from None
    except (rar.Error, OSError, ValueError, EOFError) as error:
        raise Unreadable("broken-rar", f"{member.name}: {type(error).__name__}: {error}"[:200]) from None
    return data
