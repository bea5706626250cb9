"""Traditional or Simplified: which script a text is in, and the way to Taiwan's."""

from __future__ import annotations

from typing import Literal

from danlu.text import quoted, spans, usage
from danlu.text.census import Census, census
from danlu.text.variants import Style

Script = Literal["traditional", "simplified", "mixed", "other"]


def script(text: str) -> Script:
    """The script of `text`, by the characters that only one of the two scripts uses.

    "mixed" when the rarer of the two makes up a tenth or more of them; "other" when the text has no Han characters, or
    most of it is Japanese or Korean (`danlu.text.spans`). A text of which every character is shared by both scripts
    (人工) is "traditional": nothing in it needs converting. This is a word for the whole; what is converted is decided
    by span.
    """
    foreign = sum(end - start for start, end, kind in spans.told(text) if kind in ("japanese", "korean"))
    return "other" if foreign > len(text) / 2 else script_of(census(text))


def script_of(counts: Census) -> Script:
    """`script` of the text that has these counts; Japanese is told by its kana alone, a fifth of the Han characters."""
    if not counts.han or counts.kana > counts.han / 5:
        return "other"
    simplified, traditional = counts.simplified, counts.traditional
    if not simplified or simplified < (simplified + traditional) / 10:
        return "traditional"
    return "mixed" if traditional >= (simplified + traditional) / 10 else "simplified"


def in_taiwan(text: str, beside: str = "", style: Style = "standard") -> str:
    """`text` with what is Simplified in it in Taiwan's characters, but for Markdown code and quotations that are noted
    to be mainland usage. `beside` is what stands before it: it tells of a page without evidence of its own. `style` is
    that of `danlu.text.conversion`."""
    after = spans.to_traditional(f"{beside}\n\n{text}", style)[len(beside) + 2 :]
    if after == text:
        return text
    for start, end in quoted.merged(quoted.code(text) + quoted.marked(text)):
        after = after[:start] + text[start:end] + after[end:]
    return after


def to_taiwan(text: str) -> str:
    """`text` in Taiwan's characters and words: `spans.to_traditional` for the characters, `usage.fix` for the words.

    Words are chosen by context (程序 stays in a law and becomes 程式 beside code), which OpenCC's own `s2twp` does not
    do. Characters are converted wherever they are Simplified, words only outside of what `danlu.text.quoted` leaves
    alone.
    """
    return usage.fix(spans.to_traditional(text))
