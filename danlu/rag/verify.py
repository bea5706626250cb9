"""Does a passage say this sentence? A check of letters, not of meaning.

A sentence is supported by one to three neighbouring sentences of a passage that hold most of its letters in the same
order, all of its numbers and Latin words, and deny what it denies. What is returned is the exact slice of the document.

Not covered: entailment. A supported sentence may leave out a condition that stands beside it, and a true sentence in
other words is not supported.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from danlu.records import Chunk
from danlu.text.sentences import sentences

SHARE = 0.7
"""How much of a sentence must stand in the quote, in runs of two letters and more."""

SHORTEST = 6
"""A sentence of fewer letters says too little to be checked."""

_WINDOW = 3
_ECHO = 0.85
_MARK = re.compile(r"(?:(?:[-*+>]|\d{1,3}[.)])[ \t]+)+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*%?|第[一二三四五六七八九十]+|[〇零一二三四五六七八九十百千萬億兩]{2,}")
_LATIN = re.compile(r"[a-z][a-z0-9]+")
_DENIAL = "不沒未無非別勿否"
_DENIED = re.compile(rf"[{_DENIAL}](?=(\w\w))")
_LONG = 8
_QUESTION = re.compile(
    r"[？?][」』）)\"'”\s]*$|[呢嗎][。.]?$|(?:什麼|甚麼|誰|哪裡|多少|哪[一些個種])[^，。！]{0,12}[。.]?$"
)
_NOT_LETTER = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Quote:
    """A slice of a document, by character offsets, that stands in `chunk`."""

    chunk: Chunk
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.chunk.text[self.start - self.chunk.start : self.end - self.chunk.start]


def support(sentence: str, passages: Sequence[Chunk]) -> Quote | None:
    """The shortest best quote that says `sentence`, or None."""
    said = letters(sentence)
    if len(said) < SHORTEST:
        return None
    best: tuple[float, int] = (0.0, 0)
    found = None
    for chunk in passages:
        for quote in windows(chunk):
            held = letters(quote.text)
            rank = (round(_share(said, held), 3), -len(held))
            if rank[0] >= SHARE and rank > best and _same_facts(sentence, quote.text, said, held):
                best, found = rank, quote
    return found


def windows(chunk: Chunk, most: int = _WINDOW) -> list[Quote]:
    """One to `most` neighbouring sentences of a passage."""
    spans = [(start + _list_mark(chunk.text, start, end), end) for start, end in sentences(chunk.text)]
    return [
        Quote(chunk, chunk.start + spans[first][0], chunk.start + spans[last][1])
        for first in range(len(spans))
        for last in range(first, min(first + most, len(spans)))
    ]


def echoes(sentence: str, question: str) -> bool:
    """Whether a sentence says nothing but the question, or holds it whole."""
    said, asked = letters(sentence), letters(question)
    return bool(said) and (_share(said, asked) >= _ECHO or (len(asked) > _LONG and asked in said))


def asks(sentence: str) -> bool:
    """Whether a sentence is a question, its marks and brackets apart: a question is no answer."""
    return _QUESTION.search(sentence.rstrip()) is not None


def letters(text: str) -> str:
    """Letters and digits alone, in one width and case."""
    return _NOT_LETTER.sub("", unicodedata.normalize("NFKC", text).lower())


def _list_mark(text: str, start: int, end: int) -> int:
    """How many characters of list or quotation marks begin a sentence."""
    mark = _MARK.match(text, start, end)
    return mark.end() - start if mark and mark.end() < end else 0


def _share(said: str, held: str) -> float:
    blocks = SequenceMatcher(None, said, held, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks if block.size > 1) / len(said)


def _same_facts(sentence: str, quote: str, said: str, held: str) -> bool:
    sentence, quote = (unicodedata.normalize("NFKC", text).lower() for text in (sentence, quote))
    return (
        set(_NUMBER.findall(sentence)) <= set(_NUMBER.findall(quote))
        and set(_LATIN.findall(sentence)) <= set(_LATIN.findall(quote))
        and _denials_kept(said, held)
    )


def _denials_kept(said: str, held: str) -> bool:
    """What the sentence denies, the quote denies; what the quote only denies, the sentence does not affirm."""
    for match in re.finditer(rf"[{_DENIAL}]\w", said):
        if match[0] not in held:
            return False
    return all(not _affirms(said, denied) or _affirms(held, denied) for denied in _DENIED.findall(held))


def _affirms(text: str, words: str) -> bool:
    return re.search(rf"(?<![{_DENIAL}]){re.escape(words)}", text) is not None
