"""The parts of a text that speak another language than its author: code, addresses and marked quotations.

Left alone are:

- fenced code blocks (``` or ~~~), inline code (`...`), and `<pre>`, `<code>`, `<script>`, `<style>` elements;
- HTML tags with their attributes and HTML comments, addresses (https://...) and the target of a Markdown link;
- block quotes (lines that begin with `>`), except alerts (`> [!NOTE]`), which are the author's own words;
- a quotation in 「」, 『』 or “” with a note before or after it that it is mainland usage: 「軟件」（中國用語）,
  大陸稱「軟件」 - see MARKERS;
- everything between `<!-- danlu: off -->` and `<!-- danlu: on -->` (or the end).

Not covered: code indented by four spaces (a list's paragraphs look the same), and mathematics.
"""

from __future__ import annotations

import re

Span = tuple[int, int]

MARKERS = (
    r"(?:中國大陸|中國|大陸|簡體中文|簡體|簡中|对岸|對岸)(?:的|地區|那邊)?"
    r"(?:用語|用詞|術語|說法|譯名|譯法|寫法|慣用|稱為|稱作|稱|叫做|叫|譯為|譯作|譯|說|作|字)?"
)

_OFF = re.compile(r"<!--\s*danlu:\s*off\s*-->.*?(?:<!--\s*danlu:\s*on\s*-->|\Z)", re.S)
_FENCE = re.compile(r"^[ \t]*(?:>[ \t]*)*(`{3,}|~{3,})[^\n]*\n.*?(?:^[ \t]*(?:>[ \t]*)*\1[`~]*[ \t]*$|\Z)", re.S | re.M)
_INLINE = re.compile(r"(?<!`)(`+)(?!`)(?:(?!\n[ \t]*\n).)+?(?<!`)\1(?!`)", re.S)
_ELEMENT = re.compile(r"<(pre|code|script|style)\b[^>]*>.*?</\1\s*>", re.S | re.I)
_TAG = re.compile(r"<!--.*?-->|</?[A-Za-z][^<>]*>", re.S)
_ADDRESS = re.compile(
    r"(?:https?|ftp|file)://(?:[^\s<>\"'，。；、！？「」『』（）()\u3400-\u9fff]|(?<=[/=_-])[\u3400-\u9fff]+)+"
    r"|(?<=\]\()[^()\s]*(?=[ )])"
)
_BLOCK_QUOTE = re.compile(r"(?:^[ \t]{0,3}>[^\n]*(?:\n|\Z))+", re.M)
_ALERT = re.compile(r"[ \t]*>[ \t]*\[!\w+\]")
_QUOTE = r"(?:「[^「」\n]{1,60}」|『[^『』\n]{1,60}』|“[^“”\n]{1,60}”)"
_MARKED = re.compile(
    rf"(?:{_QUOTE}[、或和與及]?)+[ ]?[（(][^（()）\n]{{0,12}}{MARKERS}[^（()）\n]{{0,12}}[）)]"
    rf"|{MARKERS}[為是：:]?(?:{_QUOTE}[、或和與及]?)+"
)


def spans(text: str) -> list[Span]:
    """The spans of `text` to leave alone, sorted, merged where they touch."""
    found = [match.span() for match in _OFF.finditer(text)] if "danlu" in text else []
    in_code = code(text)
    found += in_code
    if "<" in text:
        found += _outside(_ELEMENT, text, in_code) + _outside(_TAG, text, in_code)
    if "://" in text or "](" in text:
        found += [match.span() for match in _ADDRESS.finditer(text)]
    if ">" in text:
        found += [match.span() for match in _BLOCK_QUOTE.finditer(text) if not _ALERT.match(match[0])]
    if "「" in text or "『" in text or "“" in text:
        found += [match.span() for match in _MARKED.finditer(text)]
    return merged(found)


def code(text: str) -> list[Span]:
    """The spans of Markdown code alone, fenced and inline, sorted, merged where they touch."""
    fenced = [match.span() for match in _FENCE.finditer(text)] if "```" in text or "~~~" in text else []
    return merged(fenced + _outside(_INLINE, text, merged(fenced))) if "`" in text else merged(fenced)


def merged(found: list[Span]) -> list[Span]:
    """`found` sorted, overlapping or touching spans made one."""
    result: list[Span] = []
    for start, end in sorted(found):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def _outside(pattern: re.Pattern[str], text: str, taken: list[Span]) -> list[Span]:
    """Matches of `pattern` in the gaps between `taken`, so that a stray mark never reaches across a code block."""
    result, start = [], 0
    for gap_end, next_start in [*taken, (len(text), len(text))]:
        result += [match.span() for match in pattern.finditer(text, start, gap_end)]
        start = next_start
    return result
