"""The package around Word, PowerPoint and Excel files (Office Open XML): parts, their relations, their properties."""

from __future__ import annotations

import posixpath
from types import TracebackType
from typing import Any

from danlu.data.readers import Unreadable, sound
from danlu.data.readers.archive import Archive
from danlu.data.readers.tree import properties, tree, value

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


class Package:
    """The parts of an office file. Raises Unreadable "empty", "encrypted", "broken-FORMAT", or as `Archive` does."""

    def __init__(self, data: bytes, format: str) -> None:
        refuse_old(data, format)
        self.format = format
        self.archive = Archive(data)

    def __enter__(self) -> Package:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.archive.close()

    def part(self, name: str) -> Any:
        """The root element of a part; None when there is none of this name."""
        if any(member.name == name for member in self.archive.members()):
            return tree(self.archive.read(name), name)
        return None

    def relations(self, name: str) -> dict[str, tuple[str, str]]:
        """The parts that a part names: id → (the last word of the kind, name of the part). Links outside are left out.

        The package's own relations are those of the name "".
        """
        folder, base = posixpath.split(name)
        root = self.part(posixpath.join(folder, "_rels", f"{base}.rels"))
        found: dict[str, tuple[str, str]] = {}
        for each in root if root is not None else ():
            if value(each, "TargetMode") == "External":
                continue
            target = value(each, "Target")
            path = target.lstrip("/") if target.startswith("/") else posixpath.join(folder, target)
            found[value(each, "Id")] = (value(each, "Type").rpartition("/")[2], posixpath.normpath(path))
        return found

    def main(self, kind: str) -> tuple[str, Any]:
        """(name, root element) of the part that the package is about. `kind` is the local name of its root element.

        Raises Unreadable "broken-FORMAT" when the package is about something else.
        """
        names = [target for relation, target in self.relations("").values() if relation == "officeDocument"]
        root = self.part(names[0]) if names else None
        if root is None:
            raise Unreadable(f"broken-{self.format}", "a ZIP file, but no office document")
        if root.tag.rpartition("}")[2] != kind:
            raise Unreadable(f"broken-{self.format}", f"its main part is <{root.tag.rpartition('}')[2]}>, not <{kind}>")
        return names[0], root

    def properties(self) -> dict[str, str]:
        """`title`, `author`, `date`, `licence`, when the file states them."""
        names = [target for relation, target in self.relations("").values() if relation == "core-properties"]
        root = self.part(names[0]) if names else None
        found = {} if root is None else properties(root)
        found.pop("language", None)  # that of the program's menus, more often than not
        return {key: sound(text) for key, text in found.items()}


def refuse_old(data: bytes, format: str) -> None:
    """Raises Unreadable for an empty file, and for the container of old or of encrypted office files."""
    if not data.strip(b"\0 \t\r\n"):
        raise Unreadable("empty", "nothing in the file")
    if data.startswith(_OLE):
        if "EncryptedPackage".encode("utf-16-le") in data:
            raise Unreadable("encrypted", "it opens only with a password")
        raise Unreadable(f"broken-{format}", "an office file of before 2007; save it in today's format")
