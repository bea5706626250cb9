"""What a translation must leave as it is: code, addresses, formulas, placeholders and tags become marks, ⟦1⟧, ⟦2⟧, …"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from danlu.text import quoted

_AS_IT_IS = re.compile(
    r"\$\$.+?\$\$|(?<![\\$\d])\$(?![\s\d])[^$\n]*?[^$\s\\]\$(?!\d)|\\\(.+?\\\)|\\\[.+?\\\]"
    r"|(?:https?|ftp)://[^\s<>\"'，。；、！？「」（）()]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    r"|\$?\{\{?[ ]?[A-Za-z_][\w.]*[ ]?\}?\}|%\([A-Za-z_]\w*\)[sdif]|%[sdif](?![A-Za-z])"
    r"|</?[A-Za-z][^<>\n]{0,80}>|⟦[^⟦⟧]*⟧",
    re.DOTALL,
)
_MARK = re.compile(r"⟦(\d+)⟧")
_NUMBER = re.compile(r"\d+(?:[.,:/]\d+)*")


@dataclass(frozen=True)
class Masked:
    """`text` with marks, and what each of them stands for, ⟦1⟧ first."""

    text: str
    parts: tuple[str, ...]

    def restored(self, translation: str) -> str:
        """The translation with every mark replaced by what it stands for."""
        return _MARK.sub(lambda found: self.parts[int(found[1]) - 1], translation)


def masked(text: str) -> Masked:
    """`text` with marks in the place of what is no language."""
    spans = quoted.merged(quoted.code(text) + [found.span() for found in _AS_IT_IS.finditer(text)])
    pieces, parts, at = [], [], 0
    for start, end in spans:
        parts.append(text[start:end])
        pieces += [text[at:start], f"⟦{len(parts)}⟧"]
        at = end
    return Masked("".join([*pieces, text[at:]]), tuple(parts))


def unmarked(text: str) -> str:
    """A text with marks, without them."""
    return _MARK.sub(" ", text)


def marks(text: str) -> list[str]:
    """The marks of a text, in order."""
    return [found[0] for found in _MARK.finditer(text)]


def changed_numbers(source: str, translation: str) -> list[str]:
    """The numbers written in digits that one of the two masked texts has more often than the other; 1,000 is 1000 and
    05 is 5."""
    one, two = (Counter(map(_plain, _NUMBER.findall(unmarked(text)))) for text in (source, translation))
    return sorted((one - two) | (two - one))


def _plain(number: str) -> str:
    digits = number.replace(",", "")
    return digits.lstrip("0") or "0" if digits.isdigit() else digits
