"""XML: the text of the elements, a paragraph each, whatever they are called; attributes and comments are left out.

A feed (RSS, Atom) gives a document for each item (`danlu.data.readers.feed`).
An element with text of its own is a paragraph, with all that is in it. The title is the first `title` element. Entities
are refused (`danlu.data.readers.tree`). Not covered: what the elements mean, style sheets, includes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.entities import html5
from pathlib import Path
from typing import Any

from danlu.data.readers import USUAL, Bad, How, Reading, Unreadable, bounded, feed, one, sound
from danlu.data.readers.text import decoded
from danlu.data.readers.tree import below, properties, tree, words

_DECLARATION = re.compile(r"^\s*<\?xml\b[^>]*\?>")
_NAMED = re.compile(r"&([A-Za-z][A-Za-z0-9]{1,30});")
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def each(path: Path, how: How = USUAL) -> Iterator[Reading | Bad]:
    """Raises Unreadable "broken-xml", "xml-entities", "too-deep", "too-large", "empty"."""
    data = bounded(path)
    root, told = parsed(data)
    if found := feed.items(root):
        yield from feed.read_items(root, found, told)
        return
    yield one(lambda _: _whole(root, told), data)


def _whole(root: Any, told: dict[str, Any]) -> Reading:
    paragraphs: list[str] = []
    todo = [root]
    while todo:
        element = todo.pop()
        if (element.text or "").strip() or any((child.tail or "").strip() for child in element):
            paragraphs.append(words(element))
        else:
            todo.extend(reversed(element))
    if not paragraphs:
        raise Unreadable("empty", "no element holds a text")
    meta = {**told, **{key: value for key, value in properties(root).items() if key != "title"}}
    title = words(next(below(root, "title"), None))
    return Reading(sound("\n\n".join(paragraphs)) + "\n", sound(title)[:300], meta)


def parsed(data: bytes) -> tuple[Any, dict[str, Any]]:
    """(the root element, what `text.decoded` tells). The text is decoded here, not by the XML library, which refuses a
    file for one byte, and Big5 for what Microsoft and Hong Kong added to it; control characters are left out."""
    text, meta = decoded(data)
    text = _ILLEGAL.sub("", _DECLARATION.sub("", text)).strip()
    if "<!ENTITY" not in text:
        text = _NAMED.sub(_character, text)
    return tree(text.encode(), "the file"), meta


def _character(found: re.Match[str]) -> str:
    """The character of an entity of HTML, which feeds use without declaring it; those of XML stay."""
    return found[0] if found[1] in ("lt", "gt", "amp", "quot", "apos") else html5.get(found[1] + ";", found[0])
