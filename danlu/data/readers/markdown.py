"""Markdown: the text stays as it is, but for a YAML front matter, which becomes `meta["front_matter"]`."""

from __future__ import annotations

import json
import re
from typing import Any

from danlu.data.readers import Reading
from danlu.data.readers.text import decoded

_FRONT = re.compile(r"\A---[ \t]*\n(.*?\n)(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(.+?)[ \t]*#*[ \t]*$|^(?=\S)(.+)\n(?:=+|-+)[ \t]*$", re.MULTILINE)
_FENCE = re.compile(r"^ {0,3}(```+|~~~+).*?(?:^ {0,3}\1[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"[*`]|!?\[([^\]]*)\]\([^)]*\)")


def read(data: bytes) -> Reading:
    """The title is the front matter's `title`, else the first heading."""
    text, meta = decoded(data)
    front, text = front_matter(text)
    if front:
        meta = {**meta, "front_matter": front}
    return Reading(text, str(front.get("title") or first_heading(text)), meta)


def front_matter(text: str) -> tuple[dict[str, Any], str]:
    """(front matter, the rest). A block between `---` lines that is no YAML mapping belongs to the text."""
    import yaml

    found = _FRONT.match(text)
    if found is None:
        return {}, text
    try:
        front = yaml.safe_load(found[1])
    except yaml.YAMLError:
        return {}, text
    if not isinstance(front, dict):
        return {}, text
    plain: dict[str, Any] = json.loads(json.dumps({str(key): value for key, value in front.items()}, default=str))
    return plain, text[found.end() :]


def first_heading(text: str) -> str:
    """The first heading outside code fences, without its marks; empty when there is none."""
    found = _HEADING.search(_FENCE.sub("", text))
    return _MARK.sub(r"\1", found[1] or found[2]).strip() if found else ""
