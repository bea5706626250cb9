"""Feeds (RSS 0.9–2.0, RDF, Atom): a document for each item; the `xml` reader knows them by their root element.

The HTML of an item goes through the HTML reader. Of several texts (`content:encoded`, `content`, `description`,
`summary`) the longest is taken. `meta` has the item's `url`, `date`, `author` and the `feed` that it is from; the title
stays in the title. Not covered: enclosures, comments, media, what the links lead to.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

from danlu.data.readers import Bad, Reading, Unreadable, html, sound
from danlu.data.readers.fields import iso_date
from danlu.data.readers.tree import child, local, value, words

_ROOTS = frozenset(["rss", "RDF", "feed"])
_TEXTS = ("encoded", "content", "description", "summary", "body", "div")
_DATES = ("updated", "modified", "pubDate", "published", "date", "issued", "created")
_MARKUP = re.compile(r"<(?:[a-zA-Z][\w:-]*[\s/>]|!--|!\[CDATA\[)|&(?:#\d+|#x[0-9a-fA-F]+|\w{2,8});")


def items(root: Any) -> list[Any]:
    """The items of a feed, in its order; none when the root is that of no feed, or of an empty one."""
    if local(root) not in _ROOTS:
        return []
    return [each for each in root.iter("{*}item", "{*}entry") if each is not root]


def read_items(root: Any, found: list[Any], told: dict[str, Any]) -> Iterator[Reading | Bad]:
    """A document for each item; `told` is what is known of the file's encoding."""
    channel = child(root, "channel")
    of = _plain(child(channel if channel is not None else root, "title"))
    for number, item in enumerate(found, 1):
        part = f"item {number}"
        title = _plain(child(item, "title"))[:300]
        try:
            text = max((_text(each) for each in item if local(each) in _TEXTS), key=len, default="") or title
        except Unreadable as error:
            yield Bad(part, error.reason, error.detail)
            continue
        if not text.strip():
            yield Bad(part, "empty", "an item without a text")
            continue
        text = sound(text).strip() + "\n"
        meta = {name: held for name, held in told.items() if name != "undecodable"}
        if lost := text.count("\ufffd") * ("undecodable" in told):
            meta["undecodable"] = lost
        meta |= {"sha256": hashlib.sha256(text.encode()).hexdigest(), **_about(item), **({"feed": of} if of else {})}
        yield Reading(text, title, meta, part)


def _about(item: Any) -> dict[str, str]:
    """`url`, `date`, `author`, `licence`, as far as the item states them."""
    dates = (iso_date(words(each)) for name in _DATES for each in item if local(each) == name)
    author = child(item, "author", "name")
    author = author if author is not None else child(item, "author")
    author = author if author is not None else child(item, "creator")
    found = {"url": _link(item), "date": next(filter(None, dates), ""), "author": words(author)}
    found["licence"] = words(child(item, "rights")) or words(child(item, "license"))
    return {name: sound(line)[:500] for name, line in found.items() if line}


def _link(item: Any) -> str:
    """The address of the item: RSS writes it as text, Atom in `href`; else a `guid` that is an address."""
    links = [each for each in item if local(each) == "link"]
    links.sort(key=lambda each: value(each, "rel") not in ("", "alternate"))
    found = next((line for each in links if (line := value(each, "href") or words(each))), "")
    guid = words(child(item, "guid"))
    found = found or (guid if guid.startswith("http") and value(child(item, "guid"), "isPermaLink") != "false" else "")
    base = item.base or ""
    return urljoin(base, found) if found and base.startswith("http") else found


def _text(element: Any) -> str:
    """What an element says, as Markdown where it holds HTML, be it escaped or as elements."""
    if len(element):
        need_html = "".join(_serialised(each) + (each.tail or "") for each in element)
        return _page((element.text or "") + need_html)
    text = (element.text or "").strip()
    kind = value(element, "type")
    if value(element, "src") or (kind and kind not in ("html", "text/html", "xhtml", "text", "text/plain")):
        return ""
    return _page(text) if _MARKUP.search(text) else text


def _page(source: str) -> str:
    try:
        return html.read(f"<html><body>{source}</body></html>".encode("utf-8", "replace")).text.strip()
    except Unreadable as error:
        if error.reason == "empty":
            return ""
        raise


def _serialised(element: Any) -> str:
    """An element as HTML, without the prefixes of its namespace."""
    inner = (element.text or "").replace("&", "&amp;").replace("<", "&lt;")
    for each in element:
        inner += _serialised(each) + (each.tail or "").replace("&", "&amp;").replace("<", "&lt;")
    attributes = "".join(f' {name}="{held}"' for name, held in element.attrib.items() if name in ("href", "src", "alt"))
    return f"<{local(element)}{attributes}>{inner}</{local(element)}>"


def _plain(element: Any) -> str:
    """A title in a line; titles hold escaped HTML as well."""
    text = words(element)
    return sound(" ".join(_page(text).split())) if _MARKUP.search(text) else sound(text)
