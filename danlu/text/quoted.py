"""The parts of a text that speak another language than its author: code, addresses and marked quotations.

Left alone are:

- fenced code blocks (``` or ~~~), inline code (`...`), and `<pre>`, `<code>`, `<script>`, `<style>` elements;
- HTML tags with their attributes and HTML comments, addresses (https://...) and the target of a Markdown link;
- block quotes (lines that begin with `>`), except alerts (`> [!NOTE]`), which are the author's own words;
- a quotation in 「」, 『』 or “” with a note before or after it that it is mainland usage: 「軟件」（中國用語）,
  大陸稱「軟件」 - see MARKERS;
- characters that a sentence lists as Simplified ones: 簡體字：说、话、语;
- Japanese, Korean, Cantonese and classical Chinese (`danlu.text.spans`);
- everything between `<!-- danlu: off -->` and `<!-- danlu: on -->` (or the end).

Not covered: code indented by four spaces (a list's paragraphs look the same), and mathematics.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from danlu.text.spans import foreign

Span = tuple[int, int]

MARKERS = (
    r"(?:中國大陸|中國|大陸|支語|支那|簡體中文|簡體|簡中|对岸|對岸)(?:的|地區|那邊)?"
    r"(?:用語|用詞|術語|說法|譯名|譯法|寫法|慣用|稱為|稱作|稱|叫做|叫|譯為|譯作|譯|說|作|字)?"
)

_OFF = re.compile(r"<!--\s*danlu:\s*off\s*-->.*?(?:<!--\s*danlu:\s*on\s*-->|\Z)", re.S)
_FENCE = re.compile(r"^[ \t]*(?:>[ \t]*)*(`{3,}|~{3,})[^\n]*\n.*?(?:^[ \t]*(?:>[ \t]*)*\1[`~]*[ \t]*$|\Z)", re.S | re.M)
_INLINE = re.compile(r"(?<!`)(`+)(?!`)(?:(?!\n[ \t]*\n).)+?(?<!`)\1(?!`)", re.S)
_OPENED = re.compile(r"<(pre|code|script|style)\b", re.I)
_CLOSED = {name: re.compile(rf"</{name}\s*>", re.I) for name in ("pre", "code", "script", "style")}
_COMMENT_OR_TAG = re.compile(r"<!--.*?-->|</?[A-Za-z][^<>]*>", re.S)
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_ADDRESS = re.compile(
    r"(?:https?|ftp|file)://(?:[^\s<>\"'，。；、！？「」『』（）()\u3400-\u9fff]|(?<=[/=_-])[\u3400-\u9fff]+)+"
    r"|(?<=\]\()[^()\s]*(?=[ )])"
)
_BLOCK_QUOTE = re.compile(r"(?:^[ \t]{0,3}>[^\n]*(?:\n|\Z))+", re.M)
_ALERT = re.compile(r"[ \t]*>[ \t]*\[!\w+\]")
_QUOTATION = re.compile(r"「[^「」\n]*」|『[^『』\n]*』|“[^“”\n]*”|《[^《》\n]*》|〈[^〈〉\n]*〉")
_QUOTE = r"(?:「[^「」\n]{1,60}」|『[^『』\n]{1,60}』|“[^“”\n]{1,60}”)"
_MARKED = re.compile(
    rf"(?:{_QUOTE}[、或和與及]?){{1,20}}[ ]?[（(][^（()）\n]{{0,12}}{MARKERS}[^（()）\n]{{0,12}}[）)]"
    rf"|{MARKERS}[為是：:]?(?:{_QUOTE}[、或和與及]?)+"
)
_HAN = r"[\u3400-\u9fff]"
_LISTED = re.compile(rf"[簡简][體体]字(?:有|是|為|如|例如|包括)?[：: ]?「?((?:{_HAN}、)+{_HAN})(?!{_HAN})")


def spans(text: str) -> list[Span]:
    """The spans of `text` to leave alone, sorted, merged where they touch."""
    found = [match.span() for match in _OFF.finditer(text)] if "danlu" in text else []
    in_code = code(text)
    found += in_code
    if "<" in text:
        for start, end in _gaps(text, in_code):
            found += [*_elements(text, start, end), *_tags(text, start, end)]
    if "://" in text or "](" in text:
        found += [match.span() for match in _ADDRESS.finditer(text)]
    if ">" in text:
        found += [match.span() for match in _BLOCK_QUOTE.finditer(text) if not _ALERT.match(match[0])]
    return merged(found + marked(text) + foreign(text))


def marked(text: str) -> list[Span]:
    """The quotations of `text` that have a note that they are mainland usage, and lists of Simplified characters."""
    listed = [match.span(1) for match in _LISTED.finditer(text)]
    if "「" in text or "『" in text or "“" in text:
        listed += [match.span() for match in _MARKED.finditer(text)]
    return merged(listed)


def quotations(text: str) -> list[Span]:
    """What stands in 「」, 『』, “”, 《》 or 〈〉, each on one line, in order; of nested ones the outer."""
    return merged([match.span() for match in _QUOTATION.finditer(text)])


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
    return [match.span() for start, end in _gaps(text, taken) for match in pattern.finditer(text, start, end)]


def _gaps(text: str, taken: list[Span]) -> Iterator[Span]:
    start = 0
    for gap_end, next_start in [*taken, (len(text), len(text))]:
        yield start, gap_end
        start = next_start


def _elements(text: str, start: int, end: int) -> Iterator[Span]:
    """Elements of text[start:end] that are closed in it; one that is not is looked for once, however often opened."""
    unclosed: set[str] = set()
    while opened := _OPENED.search(text, start, end):
        name, start = opened[1].lower(), opened.end()
        if name in unclosed:
            continue
        head = text.find(">", start, end) + 1
        if not head:
            return
        closed = _CLOSED[name].search(text, head, end)
        if closed is None:
            unclosed.add(name)
        else:
            yield opened.start(), closed.end()
            start = closed.end()


def _tags(text: str, start: int, end: int) -> Iterator[Span]:
    """Tags and comments of text[start:end]; after its last --> no comment can end, and none is looked for."""
    found = text.rfind("-->", start, end)
    last = start if found < 0 else found + 3
    for match in _COMMENT_OR_TAG.finditer(text, start, last):
        yield match.span()
    for match in _TAG.finditer(text, last, end):
        yield match.span()
