"""Where Chinese and mixed text ends its sentences.

A sentence ends at 。！？ (with any closing quotes and brackets after it), at ! or ? before a space or a Chinese
character, at a full stop before a space that is no decimal, abbreviation or list number, at an empty line, and at the
end of a line that is no part of a hard-wrapped paragraph (headings, list items, table rows, short lines). It does not
end inside 「」 『』 （） 《》 “”, nor after a quotation that its sentence goes on from: 「好。」他說。 is one sentence.

Not covered: poems without punctuation on long lines, and languages other than Chinese and English.
"""

from __future__ import annotations

import re

Span = tuple[int, int]

_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|vs|etc|Fig|Eq|No|Vol|pp|cf|al|e\.g|i\.e|Inc|Ltd|Co)|\b[A-Z]|^\s*\d+)\Z"
)
_OPEN = "「『（《〈【(“"
_CLOSE = "」』）》〉】)”"
_QUOTE_CLOSE = "」』”"
_PAIR = dict(zip(_CLOSE, _OPEN, strict=True))
_MARK = re.compile(r"[。！？!?.…\n「『（《〈【(“」』）》〉】)”]")
_GOES_ON = re.compile(r"[，、；：,;:。！？的]|[^\s，。；！？「」\n]{0,4}[說道問答喊叫寫][，。：]")
_BLOCK = re.compile(r"[ \t]*(?:#{1,6}\s|[-*+]\s|\d+[.)、]\s?|\||>|```|~~~|:::|<|[-=*_]{3,}\s*$)")
_WRAPPED = 30
"""Columns (a Chinese character is two) from which a line without an end mark is taken as hard-wrapped."""
_LONGEST_QUOTE = 400


def sentences(text: str) -> list[Span]:
    """The (start, end) of each sentence in characters, in order, without the white space around them.

    Together the spans hold every character of `text` that is not white space.
    """
    result: list[Span] = []
    start = 0
    for end in _ends(text):
        if end > start:
            _add(result, text, start, end)
            start = end
    _add(result, text, start, len(text))
    return result


def _add(result: list[Span], text: str, start: int, end: int) -> None:
    piece = text[start:end]
    left = len(piece) - len(piece.lstrip())
    right = len(piece.rstrip())
    if right > left:
        result.append((start + left, start + right))


def _ends(text: str) -> list[int]:
    ends: list[int] = []
    opened: list[tuple[str, int]] = []
    for match in _MARK.finditer(text):
        mark, at = match[0], match.start()
        if mark in _OPEN:
            opened.append((mark, at))
        elif mark in _CLOSE:
            while opened and opened[-1][0] != _PAIR[mark]:
                opened.pop()
            if opened:
                opened.pop()
            if not opened and mark in _QUOTE_CLOSE and _ended_inside(text, at) and not _GOES_ON.match(text, at + 1):
                ends.append(at + 1)
        elif mark == "\n":
            if _line_ends(text, at):
                opened.clear()
                ends.append(at + 1)
        elif _is_end(text, at, mark) and not (
            opened and at - opened[-1][1] < _LONGEST_QUOTE and _closes(text, at, opened)
        ):
            opened.clear()
            ends.append(_after_marks(text, at + 1))
    return ends


def _closes(text: str, at: int, opened: list[tuple[str, int]]) -> bool:
    """Whether the innermost open quotation or bracket is closed in this paragraph, not too far on."""
    close = _CLOSE[_OPEN.index(opened[-1][0])]
    paragraph = text.find("\n\n", at)
    limit = min(at + _LONGEST_QUOTE, paragraph if paragraph >= 0 else len(text))
    return text.find(close, at, limit) >= 0


def _ended_inside(text: str, close: int) -> bool:
    before = text[close - 1 : close]
    return before in "。！？!?…" and before != ""


def _is_end(text: str, at: int, mark: str) -> bool:
    after = text[at + 1 : at + 2]
    if mark in "。！？":
        return after == "" or after not in "。！？!?…"
    if mark == "…":
        return after == "\n"
    if mark in "!?":
        return after == "" or after.isspace() or after in _CLOSE or "\u3400" <= after <= "\u9fff"
    if after and not after.isspace():
        return False
    line = text.rfind("\n", 0, at) + 1
    return not _ABBREVIATION.search(text[max(line, at - 12) : at])


def _after_marks(text: str, at: int) -> int:
    """Past closing quotes that were never opened here, so that none begins the next sentence."""
    while at < len(text) and text[at] in _CLOSE:
        at += 1
    return at


def _line_ends(text: str, at: int) -> bool:
    """Whether the line break at `at` ends a sentence: not where a paragraph is hard-wrapped."""
    following = text[at + 1 : at + 80].split("\n", 1)[0]
    line = text[text.rfind("\n", 0, at) + 1 : at]
    if not following.strip() or _BLOCK.match(following) or re.match(r"[ \t]*(?:#{1,6}\s|\||```|~~~)", line):
        return True
    return sum(2 if ord(character) > 0x2E7F else 1 for character in line.strip()) < _WRAPPED
