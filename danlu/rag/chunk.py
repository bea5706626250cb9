"""Documents to passages of a few sentences, each an exact slice of its document.

In Markdown, a passage lies under one heading and knows the path of headings above it, and fenced code is left out or
kept whole. A passage ends where a sentence ends; neighbours share their last and first sentences.

Not covered: tables cut between rows lose their header, and headings of formats other than Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from danlu.records import Chunk, Document
from danlu.text.sentences import sentences

Span = tuple[int, int]

MARKDOWN = ("markdown", "html", "docx", "pptx", "xlsx", "odt", "epub", "csv", "json")
"""Formats of documents whose text is Markdown (the readers of all but the first write it)."""

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_SOFT = re.compile(r"[，、；：,;:\s）」』)]")
_BLOCK = re.compile(r"[|>#]|[-*+] |\d+[.)] ")
_WORD = re.compile(r"\w")


@dataclass(frozen=True)
class Section:
    """A stretch of prose or a block of code, and the headings above it, outermost first."""

    start: int
    end: int
    headings: tuple[str, ...] = ()
    code: bool = False


@dataclass
class _Reading:
    """Where a walk over the lines of a Markdown text has come to."""

    headings: list[tuple[int, str]] = field(default_factory=list)
    start: int = 0
    fence: str = ""

    def section(self, end: int, code: bool = False) -> Section:
        return Section(self.start, end, tuple(name for _, name in self.headings), code)

    def enter(self, level: int, name: str) -> None:
        self.headings = [*(entry for entry in self.headings if entry[0] < level), (level, name)]


def sections(text: str) -> list[Section]:
    """The prose and code of a Markdown text in order; headings belong to none. An open fence goes to the end."""
    found: list[Section] = []
    at = _Reading()
    above, before = ("", ""), 0
    for start, end in _lines(text):
        line = text[start:end].rstrip("\n")
        mark = _FENCE.match(line)
        if at.fence:
            if mark and mark[1].startswith(at.fence) and not line.strip(" `~"):
                found.append(at.section(end, code=True))
                at.start, at.fence = end, ""
        elif mark:
            found.append(at.section(start))
            at.start, at.fence = start, mark[1]
        elif heading := _HEADING.match(line):
            found.append(at.section(start))
            at.start = end
            at.enter(len(heading[1]), heading[2])
        elif (under := _UNDERLINE.match(line)) and above[1] and not above[0] and not _BLOCK.match(above[1]):
            found.append(at.section(before))
            at.start = end
            at.enter(1 if under[1][0] == "=" else 2, above[1])
            line = ""
        above, before = (above[1], line.strip()), start
    found.append(at.section(len(text), code=bool(at.fence)))
    return [section for section in found if text[section.start : section.end].strip()]


def chunks(document: Document, target: int = 300, overlap: int = 1, code: bool = False) -> list[Chunk]:
    """The passages of a document, of about `target` characters and never more than twice as many, code apart.

    `overlap` sentences are shared by neighbours, as far as they are shorter than a quarter of `target`. For every
    chunk, `document.text[chunk.start : chunk.end] == chunk.text`.
    """
    text = document.text
    parts = sections(text) if document.format in MARKDOWN else [Section(0, len(text))]
    found: list[Chunk] = []
    for section in parts:
        spans = _code(text, section) if section.code else _packed(_pieces(text, section, target), target, overlap)
        for start, end in spans:
            if (section.code and not code) or not _WORD.search(text, start, end):
                continue
            found.append(
                Chunk(
                    id=f"{document.id}#{start}-{end}",
                    document=document.id,
                    source=document.source,
                    text=text[start:end],
                    start=start,
                    end=end,
                    headings=list(section.headings),
                )
            )
    return found


def _lines(text: str) -> Iterator[Span]:
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield start, end
        start = end


def _code(text: str, section: Section) -> list[Span]:
    return [(section.start, section.start + len(text[section.start : section.end].rstrip()))]


def _pieces(text: str, section: Section, target: int) -> list[Span]:
    """The sentences of a section; one longer than twice the target is cut after a comma or space where it can be."""
    pieces: list[Span] = []
    for start, end in sentences(text[section.start : section.end]):
        start, end = start + section.start, end + section.start
        while end - start > 2 * target:
            soft = [match.end() for match in _SOFT.finditer(text, start + target, start + 2 * target)]
            cut = soft[-1] if soft else start + 2 * target
            pieces.append(_trimmed(text, start, cut))
            start = cut
        pieces.append(_trimmed(text, start, end))
    return [(start, end) for start, end in pieces if start < end]


def _trimmed(text: str, start: int, end: int) -> Span:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())


def _packed(pieces: list[Span], target: int, overlap: int) -> list[Span]:
    """Neighbouring sentences put together up to `target` characters."""
    packed: list[Span] = []
    first = 0
    while first < len(pieces):
        last = first + 1
        while last < len(pieces) and pieces[last][1] - pieces[first][0] <= target:
            last += 1
        packed.append((pieces[first][0], pieces[last - 1][1]))
        if last == len(pieces):
            break
        end = pieces[last - 1][1]
        shared = 0
        while shared < overlap and last - shared - 1 > first and end - pieces[last - shared - 1][0] <= target // 4:
            shared += 1
        first = last - shared
    return packed
