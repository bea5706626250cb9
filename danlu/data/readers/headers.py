"""Headers of e-mail as they are really written: encoded words cut inside a character, and raw bytes of any encoding.

RFC 2047 wants every encoded word whole and every header in ASCII; mail programs of Taiwan cut Big5 anywhere, and others
write it raw. Neighbouring words of one charset are therefore joined before they are decoded, and raw bytes are told as
any text is. Not covered: nothing is checked against the RFCs.
"""

from __future__ import annotations

import base64
import binascii
import quopri
import re
from email.message import Message

from danlu.data.readers import sound
from danlu.text.charset import codecs_of
from danlu.text.encoding import salvage

_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*)\?=")
_FOLD = re.compile(r"\r?\n[ \t]*")
_NAME = re.compile(r"""\b(?:file)?name\s*=\s*("(?:[^"\\\\]|\\\\.)*"|[^;]+)""", re.IGNORECASE)
_RAW = re.compile("[\udc80-\udcff]")


def header(message: Message, name: str, hint: str = "", most: int = 500) -> str:
    """A header in one line; `hint` is the charset of raw bytes. Empty when it is not there."""
    return " ".join(sound(unworded(raw(message, name), hint)).split())[:most]


def raw(message: Message, name: str) -> str:
    """The first header of this name as it came: raw bytes as surrogates, lines folded."""
    return next((str(value) for key, value in message.raw_items() if key.lower() == name), "")


def unworded(text: str, hint: str = "") -> str:
    """The text with its encoded words and its raw bytes decoded."""
    text = _FOLD.sub(" ", text)
    out: list[str] = []
    held: list[tuple[str, str]] = []
    charset, at = "", 0
    for found in _WORD.finditer(text):
        between = text[at : found.start()]
        own = found[1].partition("*")[0].lower()
        if held and (between.strip() or own != charset):
            out.append(_joined(held, charset))
            held = []
            between = between if between.strip() else ""
        elif held:
            between = ""
        out.append(_bytes_told(between, hint))
        charset = own
        held.append((found[2].lower(), found[3]))
        at = found.end()
    out.append(_joined(held, charset) if held else "")
    out.append(_bytes_told(text[at:], hint))
    return "".join(out)


def filename(part: Message) -> str:
    """The name of an attachment out of raw headers, where the usual way gives none that can be read."""
    for name in ("content-disposition", "content-type"):
        if found := _NAME.search(_FOLD.sub(" ", raw(part, name))):
            return unworded(found[1].strip().strip('"'))
    return ""


def _joined(words: list[tuple[str, str]], charset: str) -> str:
    """Neighbouring words of one charset; base64 that is cut inside four letters is joined before it is decoded."""
    if all(kind == "b" for kind, _ in words) and any(len(text.strip()) % 4 for _, text in words[:-1]):
        words = [("b", "".join(text.strip().rstrip("=") for _, text in words))]
    return told(b"".join(_undone(kind, text) for kind, text in words), charset)


def _undone(kind: str, text: str) -> bytes:
    data = text.encode("ascii", "surrogateescape")
    if kind == "q":
        return quopri.decodestring(data.replace(b"_", b" "), header=False)
    letters = re.sub(rb"[^A-Za-z0-9+/]", b"", data)
    try:
        return base64.b64decode(letters[: len(letters) - (len(letters) % 4 == 1)] + b"=" * (-len(letters) % 4))
    except (binascii.Error, ValueError):
        return data


def _bytes_told(text: str, hint: str) -> str:
    """Text in which raw bytes stand as surrogates."""
    if not _RAW.search(text):
        return text
    return told(text.encode("utf-8", "surrogateescape"), hint)


def told(data: bytes, charset: str) -> str:
    """Bytes in the charset that is named for them, unless it is evidently wrong."""
    try:
        return salvage(data, charset).text
    except ValueError:
        codec = next(iter(codecs_of(charset)), "utf-8")
        return data.decode(codec if codec != "euc_tw" else "utf-8", "replace")
