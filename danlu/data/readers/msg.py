"""Outlook messages (.msg, [MS-OXMSG]): a document for the message, and its attachments through their own readers.

As `email`: the title is the subject, the author the sender, the text the plain body, else the HTML one, else the Rich
Text one. Properties of 8 bits are in the code page that the message names. Attached messages are read as messages.
Not covered: recipients, appointments' fields, encrypted messages.
"""

from __future__ import annotations

import datetime
import re
import struct
from collections.abc import Iterator
from pathlib import Path

from danlu.data.readers import USUAL, Bad, How, Reading, Unreadable, bounded, html, rtf, sound
from danlu.data.readers.headers import told as told_bytes
from danlu.data.readers.headers import unworded
from danlu.data.readers.member import DEEPEST, inside
from danlu.data.readers.ole import Compound

LARGEST = 2**28
MOST = 1000
"""Most attachments of a message."""

_SUBJECT, _BODY, _HTML, _PACKED_RTF, _SENDER, _ADDRESS, _SMTP = 0x37, 0x1000, 0x1013, 0x1009, 0xC1A, 0xC1F, 0x5D01
_LONG, _SHORT, _DATA, _SHOWN, _ADDRESSED, _HEADERS = 0x3707, 0x3704, 0x3701, 0x3001, 0x5D02, 0x7D
_SENT, _DELIVERED, _CODE_PAGE, _INTERNET_PAGE = 0x39, 0xE06, 0x3FFD, 0x3FDE
_ATTACHED = re.compile(r"__attach_version1\.0_#[0-9A-Fa-f]{8}$")
_PROPERTIES = "__properties_version1.0"
_PRESET = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor "
    rb"MS Sans SerifSymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0" + b"\r\n"
    rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
"""What compressed Rich Text may refer to before its beginning ([MS-OXRTFCP] 2.1.3.1.1)."""


def each(path: Path, how: How = USUAL) -> Iterator[Reading | Bad]:
    """Raises Unreadable "broken-msg", "empty"."""
    file = Compound(bounded(path, LARGEST), "msg")
    if not any(name.startswith("__substg1.0_") for name in file.names) and _PROPERTIES not in file:
        raise Unreadable("broken-msg", "a compound file, but no message")
    yield from _message(_Storage(file, "", 32), how, "")


class _Storage:
    """The properties of a message or of an attachment: the streams below `prefix`."""

    def __init__(self, file: Compound, prefix: str, header: int, codec: str = "") -> None:
        self.file, self.prefix = file, prefix
        self.fixed = dict(_fixed(file.read(prefix + _PROPERTIES)[header:]))
        page = self.fixed.get(_INTERNET_PAGE) or self.fixed.get(_CODE_PAGE)
        number = struct.unpack("<I", page[:4])[0] if page else 0
        names = {65001: "utf-8", 936: "gb18030", 54936: "gb18030", 20127: "", 50220: "iso-2022-jp"}
        self.codec = codec or names.get(number, f"cp{number}" if number else "")

    def data(self, tag: int) -> bytes:
        return self.file.read(f"{self.prefix}__substg1.0_{tag:04X}0102")

    def text(self, tag: int) -> str:
        """A property of text, in Unicode or in the code page of the message."""
        name = f"{self.prefix}__substg1.0_{tag:04X}"
        if wide := self.file.read(name + "001F"):
            return sound(wide.decode("utf-16-le", "replace")).strip()
        narrow = self.file.read(name + "001E").strip(b"\0")
        return sound(told_bytes(narrow, self.codec)).strip() if narrow else ""

    def line(self, tag: int) -> str:
        return " ".join(self.text(tag).split())[:500]

    def time(self, tag: int) -> str:
        """A time as ISO 8601: hundreds of nanoseconds since 1601, in UTC."""
        held = self.fixed.get(tag)
        ticks = struct.unpack("<Q", held)[0] // 10 if held else 0
        try:
            when = datetime.datetime(1601, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(microseconds=ticks)
        except OverflowError:
            return ""
        return when.isoformat(timespec="seconds") if ticks else ""


def _fixed(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, value) of each property of fixed length."""
    for at in range(0, len(data) - 15, 16):
        yield struct.unpack_from("<H", data, at + 2)[0], data[at + 8 : at + 16]


def _message(held: _Storage, how: How, part: str) -> Iterator[Reading | Bad]:
    try:
        text = _body(held)
        yield _document(held, text, part) if text.strip() else Bad(part, "empty", "a message without a text")
    except Unreadable as error:
        yield Bad(part, error.reason, error.detail)
    below = len(held.prefix)
    names = {name[below:].partition("/")[0] for name in held.file.names if name.startswith(held.prefix)}
    for number, name in enumerate(sorted(filter(_ATTACHED.match, names)), 1):
        if number > MOST:
            yield Bad(part, "too-large", f"a message of more than {MOST} attachments")
            return
        yield from _attachment(_Storage(held.file, f"{held.prefix}{name}/", 8, held.codec), number, how, part)


def _attachment(held: _Storage, number: int, how: How, part: str) -> Iterator[Reading | Bad]:
    name = held.line(_LONG) or held.line(_SHORT) or held.line(_SHOWN)
    name = name.replace("\\", "/").rpartition("/")[2][:200]
    told = f"{part + '#' if part else ''}attachment {number} {name or 'message'}"
    inner = f"{held.prefix}__substg1.0_{_DATA:04X}000D/"
    if any(each.startswith(inner) for each in held.file.names):
        if part.count("#") + how.depth + 1 >= DEEPEST["msg"]:
            yield Bad(told, "too-deep", "messages in messages")
        else:
            yield from _message(_Storage(held.file, inner, 24), how, told)
        return
    data = held.data(_DATA)
    if data:
        yield from inside(told, data, how)


def _document(held: _Storage, text: str, part: str) -> Reading:
    sender = held.line(_SENDER)
    address = held.line(_SMTP) or held.line(_ADDRESS)
    author = f"{sender} <{address}>" if sender and "@" in address and address != sender else sender or address
    date = held.time(_SENT) or held.time(_DELIVERED)
    meta = {name: value for name, value in (("author", author), ("date", date)) if value}
    return Reading(text.strip() + "\n", unworded(held.line(_SUBJECT)), meta, part)


def _body(held: _Storage) -> str:
    if text := held.text(_BODY):
        return text.replace("\r\n", "\n").replace("\r", "\n")
    page = held.data(_HTML) or held.text(_HTML).encode("utf-8", "replace")
    if page.strip():
        return html.read(page).text
    packed = held.data(_PACKED_RTF)
    return rtf.read(unpacked(packed)).text if packed else ""


def unpacked(data: bytes) -> bytes:
    """Rich Text as [MS-OXRTFCP] packs it: LZ77 over a ring of 4096 bytes. Raises Unreadable "broken-msg"."""
    if len(data) < 16:
        raise Unreadable("broken-msg", "compressed Rich Text that breaks off")
    size, kind = struct.unpack_from("<I4s", data, 4)
    if kind == b"MELA":
        return data[16 : 16 + size]
    if kind != b"LZFu" or size > LARGEST:
        raise Unreadable("broken-msg", "Rich Text in a packing that is not known")
    out = bytearray(_PRESET)
    at = 16
    while at < len(data):
        flags, at = data[at], at + 1
        for bit in range(8):
            if at >= len(data):
                break
            if not flags >> bit & 1:
                out.append(data[at])
                at += 1
                continue
            if at + 1 >= len(data):
                return bytes(out[len(_PRESET) :])
            word = data[at] << 8 | data[at + 1]
            at += 2
            back = (len(out) - (word >> 4)) % 4096
            if not back or back > len(out):
                return bytes(out[len(_PRESET) :])
            for _ in range((word & 15) + 2):
                out.append(out[-back])
        if len(out) > size + len(_PRESET):
            break
    return bytes(out[len(_PRESET) : len(_PRESET) + size])
