"""What a tokenizer does to a text before it looks for tokens, and llama.cpp does not: done where a text enters it.

Qwen's tokenizers bring a text to Unicode's form NFC; llama.cpp has no such step, so that an é written as e and a
combining accent (as macOS writes file names) becomes other tokens than in training. The vocabulary of a GGUF file can
not be changed to that effect. `quant.gguf` therefore writes what is to be done into the file, under keys of our own,
and every way of ours into llama.cpp (scoring, chat, serving, parity) does it: they all ask the `Border` of the file.
Texts that are in that form already, as nearly all are, are not changed, whoever serves the file.

Not covered: other programs that serve the file; they give texts in another form as other tokens.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal, cast

FORM = "danlu.tokenizer.form"
"""The Unicode form (NFC, NFD, NFKC, NFKD) that texts are brought to."""

PREFIX = "danlu.tokenizer.prefix"
""" "first": a text that does not begin with a control token or a space gets a space before it."""

STRIP = "danlu.tokenizer.strip"
"""Control tokens, a space between two, that take the white space after them with them (Phi-3's). llama.cpp knows some
of that, but for ASCII's white space only: an ideographic space that begins a paragraph stays."""

_MARKS = re.compile(r"(<[^<>\s]{1,60}>|\[/?[A-Za-z_]{1,30}\])")


@dataclass(frozen=True)
class Border:
    """`form`, `prefix` and `strip` are the values of the keys above; None or empty for a file without them."""

    form: str | None = None
    prefix: str | None = None
    strip: frozenset[str] = frozenset()

    def message(self, text: str) -> str:
        """What a message says, as it is to be given to llama.cpp (where tokens strip, it stands right after one)."""
        return self._formed(text.lstrip() if self.strip else text)

    def _formed(self, text: str) -> str:
        if self.form is None:
            return text
        return unicodedata.normalize(cast('Literal["NFC", "NFD", "NFKC", "NFKD"]', self.form), text)

    def whole(self, text: str) -> str:
        """A text with control tokens in it; these stay as they are, and what is between them is changed by itself."""
        parts = _MARKS.split(text)
        for at in range(0, len(parts), 2):
            follows = at > 0 and parts[at - 1] in self.strip
            parts[at] = self._formed(parts[at].lstrip() if follows else parts[at])
        return "".join(parts)
