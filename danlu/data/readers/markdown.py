"""Markdown: the text stays as it is, but for a YAML front matter, which becomes `meta["front_matter"]`."""

from __future__ import annotations

import json
import re
from typing import Any

from danlu.data.readers import Reading
from danlu.data.readers.fields import stated
from danlu.data.readers.text import decoded, spanned

_FRONT = re.compile(r"\A---[ \t]*\n(.*?\n)(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_ALIAS = re.compile(r"(?:^|[\s\[{,:-])[&*][^\s*]")
_MARK = re.compile(r"[*`]|!?\[([^\]\[]*)\]\([^()]*\)")
_LONGEST = 2**16
_WIDE = 500


def read(data: bytes) -> Reading:
    """The title is the front matter's `title`, else the first heading. What the front matter states of date, author,
    licence and language is in `meta` too."""
    text, meta = decoded(data)
    lines = text.count("\n")
    front, text = front_matter(text)
    if front:
        meta = {**meta, **stated(front), "front_matter": front}
    title = front.get("title")
    first = lines - text.count("\n") + 1
    return Reading(text, str(title) if title else first_heading(text), spanned(text, meta, first))


def front_matter(text: str) -> tuple[dict[str, Any], str]:
    """(front matter, the rest). A block between `---` lines that is no YAML mapping belongs to the text, and so does
    one with aliases, which can stand for more than any memory holds."""
    import yaml

    found = _FRONT.match(text)
    if found is None or len(found[1]) > _LONGEST or _ALIAS.search(found[1]):
        return {}, text
    try:
        front = yaml.safe_load(found[1])
    except (yaml.YAMLError, RecursionError, ValueError, TypeError):
        return {}, text
    if not isinstance(front, dict):
        return {}, text
    plain: dict[str, Any] = json.loads(json.dumps({str(key): value for key, value in front.items()}, default=str))
    return plain, text[found.end() :]


def first_heading(text: str) -> str:
    """The first heading outside code fences, without its marks; empty when there is none."""
    fence = before = ""
    for line in text.split("\n"):
        bare = line.strip()
        mark = bare[: len(bare) - len(bare.lstrip("`~"))]
        if fence:
            fence = "" if mark.startswith(fence) and not bare.strip("`~") else fence
            before = ""
            continue
        if len(mark) >= 3 and not line.startswith("    "):
            fence, before = mark, ""
            continue
        level = len(bare) - len(bare.lstrip("#"))
        if 0 < level <= 6 and bare[level : level + 1] in (" ", "\t") and not line.startswith("    "):
            name = bare[level:].strip().rstrip("#").strip()
            if name:
                return _bare(name)
        if before and bare and not bare.strip("=" if bare[0] == "=" else "-"):
            return _bare(before)
        before = bare if line[:1].strip() else ""
    return ""


def _bare(name: str) -> str:
    return _MARK.sub(r"\1", name[:_WIDE]).strip()
