"""XML that is safe to build a tree of: no entity is expanded, nothing outside the file is fetched, depth is bounded.

Refused: a document that declares entities, as bombs and thefts of local files do ("xml-entities"; no office format
needs them), one that is not well-formed ("broken-xml"), nests more than 255 deep ("too-deep"), or has more than `TAGS`
tags or `LARGEST` bytes ("too-large"). A plain DOCTYPE is allowed and never fetched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from danlu.data.readers import Unreadable
from danlu.extras import need

TAGS = 4_000_000
"""Most tags, counted as `<`: four million take about half a gigabyte as a tree."""

LARGEST = 1 << 26
"""Most bytes."""

_DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?)?")


def tree(data: bytes, name: str) -> Any:
    """The root element (lxml), without comments and processing instructions. `name` is for the message."""
    etree = need("lxml.etree", "office")
    if len(data) > LARGEST or data.count(b"<") > TAGS:
        raise Unreadable("too-large", f"{name}: {len(data)} bytes of XML")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        reasons = {"amplification": "xml-entities", "Excessive depth": "too-deep"}
        reason = next((reason for words, reason in reasons.items() if words in str(error)), "broken-xml")
        raise Unreadable(reason, f"{name}: {error}"[:200]) from None
    declared = root.getroottree().docinfo.internalDTD
    if declared is not None and any(True for _ in declared.iterentities()):
        raise Unreadable("xml-entities", f"{name} declares entities")
    return root


def local(element: Any) -> str:
    """The tag without its namespace (an office format has two sets of them, strict and transitional)."""
    tag: str = element.tag if isinstance(element.tag, str) else ""
    return tag.rpartition("}")[2]


def value(element: Any, name: str = "val") -> str:
    """The attribute of this local name, whatever its namespace; empty when it is not there.

    Where two attributes share the name, "}id" asks for the one that has a namespace.
    """
    if element is None:
        return ""
    for key, found in element.attrib.items():
        if key.endswith(name) and (name[0] == "}" or key.rpartition("}")[2] == name):
            return str(found)
    return ""


def child(element: Any, *path: str) -> Any:
    """The first child by local name, then its child, and so on; None where one is missing."""
    for name in path:
        if element is None:
            return None
        element = next((each for each in element if local(each) == name), None)
    return element


def chosen(element: Any) -> Any:
    """What an `mc:AlternateContent` shows: its first choice, else what stands in for it; an empty tuple for nothing."""
    found = next((each for name in ("Choice", "Fallback") for each in element if local(each) == name), None)
    return () if found is None else found


def below(element: Any, name: str) -> Iterator[Any]:
    """Every descendant of this local name, in the order of the document."""
    yield from element.iter(f"{{*}}{name}")


def words(element: Any) -> str:
    """All text below an element, one space for each run of white space."""
    return "" if element is None else " ".join("".join(element.itertext()).split())


def properties(root: Any) -> dict[str, str]:
    """Dublin Core and its like, anywhere below `root`: `title`, `author`, `date`, `licence`, `language` when stated.

    The date is that of the last change, else of the making; ISO 8601, cut after the seconds.
    """
    names = {
        "title": ("title",),
        "author": ("creator", "initial-creator"),
        "date": ("modified", "date", "created", "creation-date"),
        "licence": ("rights", "license"),
        "language": ("language",),
    }
    found: dict[str, str] = {}
    for key, tags in names.items():
        texts = (words(element) for tag in tags for element in below(root, tag))
        if key == "date":
            texts = (match[0] for text in texts if (match := _DATE.match(text)))
        text = next((text for text in texts if text), "")
        if text:
            found[key] = text[:300]
    return found
