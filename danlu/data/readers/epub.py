"""E-books (.epub): the chapters of the spine in reading order, each as `danlu.data.readers.html` reads it.

`meta["chapters"]` is [[name, start, end], …]. Left out: the navigation page, what the spine marks as not linear, and
chapters without text (covers). Not covered: pictures, formulas in MathML, notes put back to where they are cited.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from danlu.data.guard import alive
from danlu.data.readers import Reading, Unreadable, html, sound
from danlu.data.readers.archive import Archive
from danlu.data.readers.package import refuse_old
from danlu.data.readers.tree import below, properties, tree, value

_TEXT = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")
_CHAPTERS = 10_000


def read(data: bytes) -> Reading:
    """Raises "broken-epub", "encrypted" (a book with a copy lock), "empty", and as `Archive` and `tree` do."""
    refuse_old(data, "epub")
    with Archive(data) as archive:
        path, package = _package(archive)
        meta: dict[str, Any] = {key: sound(text) for key, text in properties(package).items()}
        chapters = list(_chapters(archive, path, package))
    text, spans = "", []
    for name, chapter in chapters:
        text += "\n\n" if text else ""
        spans.append([name, len(text), len(text) + len(chapter)])
        text += chapter
    if not text:
        raise Unreadable("empty", "no chapter with text")
    return Reading(text + "\n", meta.pop("title", ""), {**meta, "chapters": spans})


def _package(archive: Archive) -> tuple[str, Any]:
    """(name, root element) of the package document, which lists what is in the book."""
    if "META-INF/container.xml" not in archive:
        raise Unreadable("broken-epub", "a ZIP file, but no book: META-INF/container.xml is missing")
    container = tree(archive.read("META-INF/container.xml"), "META-INF/container.xml")
    path = next((value(each, "full-path") for each in below(container, "rootfile")), "")
    if path not in archive:
        raise Unreadable("broken-epub", f"the package document {path!r} is missing")
    return path, tree(archive.read(path), path)


def _chapters(archive: Archive, path: str, package: Any) -> Iterator[tuple[str, str]]:
    """(title, text) of each chapter with text."""
    locked = _locked(archive)
    folder = posixpath.dirname(path)
    items = {value(each, "id"): each for each in below(package, "item")}
    spine = [each for each in below(package, "itemref") if value(each, "linear") != "no"]
    if len(spine) > _CHAPTERS:
        raise Unreadable("too-large", f"{len(spine)} chapters; {_CHAPTERS} are read at most")
    for each in spine:
        alive()
        item = items.get(value(each, "idref"))
        if item is None or value(item, "media-type") not in _TEXT or "nav" in value(item, "properties").split():
            continue
        name = posixpath.normpath(posixpath.join(folder, unquote(value(item, "href"))))
        if name in locked:
            raise Unreadable("encrypted", f"{name} is locked against copying")
        try:
            reading = html.read(archive.read(name))
        except Unreadable as error:
            if error.reason != "empty":
                raise
            continue
        yield reading.title, reading.text.strip()


def _locked(archive: Archive) -> set[str]:
    """The members that are encrypted; fonts may be in a book that is open."""
    name = "META-INF/encryption.xml"
    if name not in archive:
        return set()
    return {unquote(value(each, "URI")) for each in below(tree(archive.read(name), name), "CipherReference")}
