"""Readers: the bytes of one file → its text. One file a format; a new format is a file here and a row in `READERS`.

A reader returns a `Reading` or raises `Unreadable` with one of these reasons:

    empty           nothing but white space
    binary          bytes that are no text, whatever the file's name says
    undecodable     text, in no encoding that could be told with confidence
    broken-pdf      not a PDF, or damaged beyond what pypdf mends
    encrypted       a PDF that opens only with a password
    no-text-layer   a PDF made of pictures (not covered: OCR)
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

READERS: dict[str, str] = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "text",
    ".text": "text",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
}


@dataclass(frozen=True)
class Reading:
    """What a file says. `meta` is plain JSON: the encoding of a text, the page spans of a PDF, …"""

    text: str
    title: str = ""
    meta: dict[str, Any] = field(default_factory=dict)


class Unreadable(Exception):
    """This file cannot be read, for a `reason` that is counted; the other files are unharmed."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


def reader(format: str) -> Callable[[bytes], Reading]:
    """The function that reads a format, by a value of `READERS`."""
    read: Callable[[bytes], Reading] = importlib.import_module(f"danlu.data.readers.{format}").read
    return read


def sound(text: str) -> str:
    """`text` fit to be written as UTF-8: surrogate pairs joined, lone surrogates shown as U+FFFD, NUL left out."""
    if not text.isascii():
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\0", "")
