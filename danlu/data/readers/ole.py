"""Compound files (OLE2), what .doc and .msg are made of, read without trusting them (`olefile`)."""

from __future__ import annotations

import io
from typing import Any

from danlu.data.readers import Unreadable, sound
from danlu.extras import need

MARK = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
LARGEST = 2**28
"""Most bytes of a stream."""


class Compound:
    """The streams of a compound file by their names, `/` between. Raises Unreadable "empty", "broken-FORMAT"."""

    def __init__(self, data: bytes, format: str) -> None:
        ole = need("olefile", "office")
        self._broken = f"broken-{format}"
        if not data.strip(b"\0 \t\r\n"):
            raise Unreadable("empty", "nothing in the file")
        if not data.startswith(MARK):
            raise Unreadable(self._broken, "no compound file")
        try:
            self._file = ole.OleFileIO(io.BytesIO(data))
            self.names = ["/".join(parts) for parts in self._file.listdir()]
        except Exception as error:  # olefile meets damage with whatever error its code runs into
            raise Unreadable(self._broken, f"{type(error).__name__}: {error}"[:200]) from None
        self._known = {name.lower(): name for name in self.names}

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._known

    def read(self, name: str) -> bytes:
        """The bytes of a stream; none when it is not there."""
        if name not in self:
            return b""
        try:
            with self._file.openstream(self._known[name.lower()]) as stream:
                found: bytes = stream.read(LARGEST + 1)
        except Exception as error:
            raise Unreadable(self._broken, f"{name}: {type(error).__name__}: {error}"[:200]) from None
        if len(found) > LARGEST:
            raise Unreadable("too-large", f"{name}: over {LARGEST} bytes")
        return found

    def properties(self) -> dict[str, str]:
        """`title`, `author`, `date` of the summary, as far as it can be read."""
        try:
            told = self._file.get_metadata()
        except Exception:  # a damaged summary is no reason to lose the text
            return {}
        codec = f"cp{told.codepage % 65536}" if isinstance(told.codepage, int) else ""
        codec = {"cp65001": "utf-8", "cp936": "gb18030", "cp1200": "utf-16-le"}.get(codec, codec) or "cp1252"
        found = {"title": _text(told.title, codec), "author": _text(told.author, codec)}
        saved = told.last_saved_time or told.create_time
        if getattr(saved, "year", 0) > 1980:
            found["date"] = saved.isoformat(timespec="seconds")
        return {name: text for name, text in found.items() if text}


def _text(value: Any, codec: str) -> str:
    if isinstance(value, bytes):
        try:
            value = value.decode(codec, "replace")
        except LookupError:
            value = value.decode("latin-1")
    return " ".join(sound(value).split())[:300] if isinstance(value, str) else ""
