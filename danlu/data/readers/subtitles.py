"""Subtitles (.srt, .vtt): what is said, a line each, without numbers, times and tags.

A line that only repeats the one before, as captions that roll up do, is left out. Not covered: who speaks (it stays as
it is written), positions and styles.
"""

from __future__ import annotations

import html
import re

from danlu.data.readers import Reading, Unreadable
from danlu.data.readers.text import decoded, spanned

_TIMES = re.compile(r"^(?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3}\s*-->\s*(?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3}.*$")
_TAG = re.compile(r"<[^<>\n]{0,200}>|\{\\[^{}\n]{0,200}\}")
_ASIDE = ("WEBVTT", "NOTE", "STYLE", "REGION", "X-TIMESTAMP-MAP")


def read(data: bytes) -> Reading:
    """Raises Unreadable "broken-subtitles" where no line tells times."""
    text, meta = decoded(data)
    said: list[str] = []
    timed = 0
    for block in re.split(r"\n[ \t]*\n", text):
        lines = [line.strip() for line in block.strip().split("\n")]
        at = next((number for number, line in enumerate(lines[:2]) if _TIMES.match(line)), None)
        if at is None:
            if said and lines[0] and not lines[0].startswith(_ASIDE):
                said.append("\n".join(lines))
            continue
        timed += 1
        words = [" ".join(html.unescape(_TAG.sub("", line)).split()) for line in lines[at + 1 :]]
        said += [line for line in words if line and line not in said[-1:]]
    if not timed:
        raise Unreadable("broken-subtitles", "no line tells when something is said")
    if not said:
        raise Unreadable("empty", "nothing is said")
    return Reading("\n".join(said) + "\n", "", spanned(text, {**meta, "cues": timed}))
