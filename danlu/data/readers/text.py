"""Plain text and source code, in any encoding that `danlu.text.encoding` tells: UTF-8, UTF-16, Big5, GB18030 …"""

from __future__ import annotations

import codecs
from typing import Any

from danlu.data.readers import Reading, Unreadable, sound
from danlu.text.encoding import salvage

_BINARY = (b"%PDF-", b"PK\x03\x04", b"\x7fELF", b"\x89PNG", b"GIF8", b"\xff\xd8\xff", b"\x1f\x8b")


def read(data: bytes) -> Reading:
    text, meta = decoded(data)
    return Reading(text, meta=spanned(text, meta))


def decoded(data: bytes, declared: str = "") -> tuple[str, dict[str, Any]]:
    r"""(the text with `\n` line ends, {"encoding": the name of its codec}).

    Of a damaged text the meta also has `undecodable`, the number of U+FFFD in place of bytes that mean nothing, and of
    one in several encodings `encodings`, how many lines are in each. `declared` is the charset that a container names.

    Raises Unreadable: "binary" for bytes that begin like a known binary format or hold what no text holds, "empty",
    "undecodable".
    """
    if data.startswith(_BINARY):
        raise Unreadable("binary", f"it begins like a binary file: {data[:8]!r}")
    try:
        found = salvage(data, declared)
    except ValueError as error:
        reason = "binary" if str(error).startswith("binary") else "undecodable"
        raise Unreadable(reason, str(error)) from None
    text = sound(found.text).replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise Unreadable("empty", f"{len(data)} byte(s), nothing but white space")
    meta: dict[str, Any] = {"encoding": codecs.lookup(found.encoding).name}
    if found.lost:
        meta["undecodable"] = found.lost
    if found.lines:
        meta["encodings"] = dict(found.lines)
    return text, meta


def spanned(text: str, meta: dict[str, Any], first: int = 1) -> dict[str, Any]:
    """`meta` with the lines of the file that the text is: from `first` to the last."""
    return {**meta, "lines": [first, first - 1 + text.count("\n") + (not text.endswith("\n"))]}
