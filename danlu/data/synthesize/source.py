"""Pieces of a document to ask about, and where in it a quotation stands."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from danlu.records import Document
from danlu.text.quoted import code
from danlu.text.sentences import sentences
from danlu.text.variants import fold

_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)


@dataclass(frozen=True)
class Piece:
    """`text` is `document.text[start:end]`; `heading` is the Markdown heading above it, if any."""

    document: Document
    start: int
    end: int
    heading: str

    @property
    def text(self) -> str:
        return self.document.text[self.start : self.end]

    @property
    def title(self) -> str:
        """A line that names the document and the heading, empty when there is neither."""
        names = " › ".join(dict.fromkeys(filter(None, [self.document.title, self.heading])))
        return f"標題：{names}\n" if names else ""


def pieces(document: Document, characters: int, fewest: int) -> Iterator[Piece]:
    """Whole sentences, as many as fit in `characters`, never across a Markdown heading; a longer sentence is cut.

    Pieces with fewer than `fewest` letters are left out.
    """
    headings = list(_headings(document.text))
    for first, last, heading in _sections(document.text, headings):
        start = end = None
        for low, high in _sized(document.text, first, last, characters):
            if start is not None and end is not None and high - start > characters:
                yield from _enough(Piece(document, start, end, heading), fewest)
                start = None
            start, end = (low if start is None else start), high
        if start is not None and end is not None:
            yield from _enough(Piece(document, start, end, heading), fewest)


def located(text: str, quote: str) -> tuple[int, int] | None:
    """Where `quote` stands in `text`, [start, end): as it is, else with letters and digits alone compared, without
    case, width and script (a model that quotes 台灣 as 臺灣, or drops a comma, is believed). None when nowhere, or
    when the quotation has fewer than two letters."""
    quote = quote.strip()
    letters, _ = _letters(quote)
    if len(letters) < 2:
        return None
    at = text.find(quote)
    if at >= 0:
        return at, at + len(quote)
    folded, places = _letters(text)
    at = folded.find(letters)
    return None if at < 0 else (places[at], places[at + len(letters) - 1] + 1)


def _headings(text: str) -> Iterator[tuple[int, int, str]]:
    fenced = code(text)
    for found in _HEADING.finditer(text):
        if not any(start <= found.start() < end for start, end in fenced):
            yield found.start(), found.end(), found[1]


def _sections(text: str, headings: list[tuple[int, int, str]]) -> Iterator[tuple[int, int, str]]:
    start, heading = 0, ""
    for at, after, name in headings:
        yield start, at, heading
        start, heading = after, name
    yield start, len(text), heading


def _sized(text: str, first: int, last: int, characters: int) -> Iterator[tuple[int, int]]:
    for low, high in sentences(text[first:last]):
        for at in range(first + low, first + high, characters):
            yield at, min(at + characters, first + high)


def _enough(piece: Piece, fewest: int) -> Iterator[Piece]:
    if sum(character.isalnum() for character in piece.text) >= fewest:
        yield piece


def _letters(text: str) -> tuple[str, list[int]]:
    """The letters and digits of `text`, folded, and the place of each in it."""
    letters: list[str] = []
    places: list[int] = []
    for at, character in enumerate(text):
        for one in _folded(character):
            letters.append(one)
            places.append(at)
    return "".join(letters), places


@lru_cache(maxsize=65536)
def _folded(character: str) -> str:
    plain = unicodedata.normalize("NFKC", character).casefold()
    return "".join(fold(one) for one in plain if one.isalnum())
