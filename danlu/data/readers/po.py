"""gettext catalogues (.po): the translations, a paragraph each; fuzzy, obsolete and untranslated messages left out.

`meta` says how many messages there are and how many were left out. Not covered: the pairs themselves (a reader gives
texts; the originals are not part of them), plural rules (every form is told).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from danlu.data.readers import Reading, Unreadable
from danlu.data.readers.fields import iso_date
from danlu.data.readers.text import decoded, spanned

_LINE = re.compile(r'^(msgctxt|msgid|msgid_plural|msgstr(?:\[\d+\])?)?[ \t]*"(.*)"[ \t]*$')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "t": "\t", "r": ""}


@dataclass
class Entry:
    """A message: its texts by keyword (`msgid`, `msgstr[0]`, …), and whether it is marked as fuzzy."""

    texts: dict[str, str] = field(default_factory=dict)
    fuzzy: bool = False


def read(data: bytes) -> Reading:
    """Raises Unreadable "broken-po", or "empty" where nothing is translated."""
    text, meta = decoded(data)
    said: list[str] = []
    messages = 0
    header = ""
    for entry in entries(text):
        translated = [value for key, value in entry.texts.items() if key.startswith("msgstr") and value.strip()]
        if not entry.texts.get("msgid"):
            header = header or "".join(translated)
            continue
        messages += 1
        said += [] if entry.fuzzy else [value.strip() for value in translated]
    if not messages:
        raise Unreadable("broken-po", "no msgid in it")
    if not said:
        raise Unreadable("empty", f"none of {messages} messages is translated")
    facts = dict(line.split(":", 1) for line in header.split("\n") if ":" in line)
    language = facts.get("Language", "").strip()
    date = iso_date(facts.get("PO-Revision-Date", ""))
    meta |= {"messages": messages} | ({"language": language} if language else {}) | ({"date": date} if date else {})
    title = facts.get("Project-Id-Version", "").strip()
    return Reading("\n\n".join(said) + "\n", title, spanned(text, meta))


def entries(text: str) -> Iterator[Entry]:
    """The messages of a catalogue, in order; the header is the one with the empty msgid."""
    entry, key = Entry(), ""
    for line in text.split("\n"):
        line = line.strip()
        if line.startswith("#"):
            if key.startswith("msgstr"):
                yield entry
                entry, key = Entry(), ""
            entry.fuzzy |= line.startswith("#,") and "fuzzy" in line
            continue
        found = _LINE.match(line)
        if found is None:
            continue
        word = found[1]
        if word in ("msgctxt", "msgid") and key.startswith("msgstr"):
            yield entry
            entry = Entry()
        key = word or key
        if key:
            entry.texts[key] = entry.texts.get(key, "") + _ESCAPE.sub(_unescape, found[2])
    if key:
        yield entry


def _unescape(found: re.Match[str]) -> str:
    return _ESCAPES.get(found[1], found[1])
