"""ZIP: every member through the reader of its suffix, safely (`danlu.data.readers.archive`), archives in it two deep.

`Reading.part` is the member's name. Hidden members, and those that macOS adds, are left out as `hidden`.
Not covered: archives with a password, TAR, 7z, RAR.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from danlu.data.readers import USUAL, Bad, How, Reading, Unreadable
from danlu.data.readers.archive import Archive
from danlu.data.readers.member import inside


def each(path: Path, how: How = USUAL) -> Iterator[Reading | Bad]:
    """Raises Unreadable for what is wrong with the archive as a whole; a refused member is a `Bad`."""
    empty = True
    with Archive(path) as archive:
        for member in archive.members():
            empty = False
            if member.reason:
                yield Bad(member.name, member.reason, member.detail)
            elif any(part.startswith((".", "__MACOSX")) for part in member.name.split("/")):
                yield Bad(member.name, "hidden")
            else:
                try:
                    data = archive.read(member.name)
                except Unreadable as error:
                    yield Bad(member.name, error.reason, error.detail)
                    continue
                yield from inside(member.name, data, how)
    if empty:
        raise Unreadable("empty", "an archive without files")
