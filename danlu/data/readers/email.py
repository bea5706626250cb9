"""E-mail: .eml is one message, .mbox many; a document for each, and its attachments through their own readers.

The title is the subject, the author the sender, the date the message's own. The text is the plain body, else the HTML
one through the HTML reader. An attachment's part is `attachment 1 name.pdf`, below its message. Encoded words that are
cut inside a character and raw bytes in headers are read (`danlu.data.readers.headers`). Not covered: encrypted or
signed content (the signature is not looked at), threads, quoted replies (they stay in the text).
"""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import IO, Any

from danlu.data.readers import LONGEST, READERS, USUAL, Bad, How, Reading, Unreadable, bounded, html, sound
from danlu.data.readers.fields import iso_date
from danlu.data.readers.headers import filename, header
from danlu.data.readers.member import inside
from danlu.data.readers.text import decoded

LARGEST = 4 * LONGEST
"""Bytes of the longest message, attachments and all."""

MOST = 1000
"""Most parts of a message."""

_POLICY = email.policy.default.clone(refold_source="none")
_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)
_SUFFIX = {"text/plain": ".txt", "text/html": ".html", "text/csv": ".csv", "message/rfc822": ".eml"}


def each(path: Path, how: How = USUAL) -> Iterator[Reading | Bad]:
    if path.suffix.lower() != ".mbox":
        yield from _message(bounded(path, LARGEST), how, "")
        return
    count = 0
    with path.open("rb") as file:
        for count, data in enumerate(_messages(file), 1):
            part = f"message {count}"
            if len(data) > LARGEST:
                yield Bad(part, "record-too-long", f"over {LARGEST} bytes")
                continue
            try:
                yield from _message(data, how, part)
            except Unreadable as error:
                yield Bad(part, error.reason, error.detail)
    if not count:
        raise Unreadable("broken-email", "no line begins with `From `: not an mbox file")


def _messages(file: IO[bytes]) -> Iterator[bytes]:
    """The messages of an mbox file; of one that is too long, no more than shows it."""
    lines: list[bytes] = []
    size, begun, blank = 0, False, True
    while line := file.readline(LONGEST):
        if blank and line.startswith(b"From "):
            if begun:
                yield _FROM.sub(rb"\1", b"".join(lines))
            lines, size, begun = [], 0, True
        elif begun and size <= LARGEST:
            lines.append(line)
            size += len(line)
        blank = not line.strip()
    if begun:
        yield _FROM.sub(rb"\1", b"".join(lines))


def _message(data: bytes, how: How, part: str) -> Iterator[Reading | Bad]:
    """The message and what is attached to it. Raises Unreadable."""
    if not data.strip():
        raise Unreadable("empty", "nothing but white space")
    try:
        message = email.message_from_bytes(data, policy=_POLICY)
        parts = list(_leaves(message))
    except (ValueError, LookupError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise Unreadable("broken-email", f"{type(error).__name__}: {error}"[:200]) from None
    if not any(name in message for name in ("from", "to", "subject", "date", "received", "content-type")):
        raise Unreadable("broken-email", "it has no header of a message")
    body = next((leaf for kind in ("text/plain", "text/html") for leaf in parts if _is_body(leaf, kind)), None)
    yield _document(message, body, part)
    number = 0
    for leaf in parts:
        if leaf is body or (not _filename(leaf, "") and (_is_body(leaf, "text/html") or not _payload(leaf).strip())):
            continue  # the body in its other form, or nothing
        number += 1
        name = f"{part + '#' if part else ''}attachment {number} {_filename(leaf)}"
        yield from inside(name, _payload(leaf), how)


def _leaves(message: EmailMessage) -> Iterator[EmailMessage]:
    """The parts that hold something, attached messages whole, in order. Raises Unreadable "too-large"."""
    todo: list[EmailMessage] = [message]
    count = 0
    while todo:
        count += 1
        if count > MOST:
            raise Unreadable("too-large", f"a message of more than {MOST} parts")
        part = todo.pop()
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            todo.extend(reversed(part.get_payload()))  # type: ignore[arg-type]
        else:
            yield part


def _is_body(part: EmailMessage, kind: str) -> bool:
    return (
        part.get_content_type() == kind
        and part.get_content_disposition() != "attachment"
        and bool(_payload(part).strip())
    )


def _document(message: EmailMessage, body: EmailMessage | None, part: str) -> Reading | Bad:
    if body is None:
        return Bad(part, "empty", "a message without a text")
    charset = _charset(body)
    try:
        text, told = decoded(_payload(body), charset)
        text = text.strip() + "\n"
        if body.get_content_type() == "text/html":
            text = html.read(text.encode("utf-8", "replace")).text
    except Unreadable as error:
        return Bad(part, error.reason, error.detail)
    if not text.strip():
        return Bad(part, "empty", "a message without a text")
    meta: dict[str, Any] = {name: told[name] for name in ("undecodable",) if name in told}
    hint = charset or told["encoding"]
    for name, value in (("author", header(message, "from", hint)), ("date", iso_date(header(message, "date")))):
        if value:
            meta[name] = value
    return Reading(text, header(message, "subject", hint), meta, part)


def _charset(part: EmailMessage) -> str:
    try:
        return part.get_content_charset() or ""
    except (ValueError, LookupError, TypeError, AttributeError, IndexError):
        return ""


def _payload(part: EmailMessage) -> bytes:
    if part.get_content_type() == "message/rfc822" and part.is_multipart():
        try:
            return part.get_payload(0).as_bytes()  # type: ignore[union-attr]
        except (ValueError, LookupError, TypeError, AttributeError, IndexError, RecursionError):
            return b""
    try:
        found = part.get_payload(decode=True)
    except (ValueError, LookupError, TypeError):
        return b""
    return found if isinstance(found, bytes) else b""


def _filename(part: EmailMessage, default: str = "message") -> str:
    """The name that the part was given, without any folder; else `default` with the suffix of its kind."""
    try:
        name = part.get_filename() or ""
    except (ValueError, LookupError, TypeError, AttributeError, IndexError):
        name = ""
    if "=?" in name or "\ufffd" in sound(name):
        name = filename(part)
    name = " ".join(sound(name).replace("\\", "/").rpartition("/")[2].split())[:200]
    kind = part.get_content_type()
    suffix = _SUFFIX.get(kind) or next((s for s in READERS if s[1:] == kind.rpartition("/")[2]), "")
    return name or (default and default + suffix)
