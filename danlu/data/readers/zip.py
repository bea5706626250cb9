"""ZIP: every member through the reader of its suffix, safely (`danlu.data.readers.archive`), archives in it two deep.

`Reading.part` is the member's name. Hidden members, and those that macOS adds, are left out as `hidden`.
Not covered: archives with a password.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from danlu.data.readers import USUAL, Bad, How, Reading
from danlu.data.readers.archive import Archive
from danlu.data.readers.member import unpacked


def each(path: Path, how: How = USUAL) -> Iterator[Reading | Bad]:
    """Raises Unreadable for what is wrong with the archive as a whole; a refused member is a `Bad`."""
    with Archive(path) as archive:
        yield from unpacked(archive.members(), lambda member: archive.read(member.name), how)
