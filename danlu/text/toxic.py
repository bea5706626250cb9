"""Rude, hateful and sexual words of Taiwan Mandarin and English, by a small list of ours with severities.

The list is `toxic.tsv`: a word, its severity (1 mild or slang, 2 insult or vulgar, 3 slur, threat or sexual violence),
and the characters that make it another word when they stand before or after (靠北 in 靠北邊, 去死 in 過去死亡). A word
of Chinese is found in either script; an English one only whole, in any case.

Not covered: what is toxic without such words, irony, quotation and reports of such words, Taiwanese and Hakka spelled
otherwise, other languages, words written around a filter (幹x娘, f*ck). 幹 and 操 alone are in no list: 幹部, 操作.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from danlu.text import variants


class Word(NamedTuple):
    severity: int
    not_after: str
    not_before: str


def toxic(text: str) -> Counter[tuple[str, int]]:
    """How often each (word, severity) stands in `text`. Where words overlap the leftmost counts, then the longest."""
    known = _list()
    low = text.lower()
    found: Counter[tuple[str, int]] = Counter()
    patterns = [known.chinese]
    if any(stem in low for stem in known.stems):
        patterns.append(known.english)
    for match in chain.from_iterable(pattern.finditer(low) for pattern in patterns):
        word = known.words[match[0]]
        if _stands(low, match, word):
            found[match[0], word.severity] += 1
    return found


def weight(found: Counter[tuple[str, int]]) -> int:
    """The words by their severity, summed."""
    return sum(severity * count for (_, severity), count in found.items())


def _stands(text: str, match: re.Match[str], word: Word) -> bool:
    if match[0].isascii():
        return True
    before, after = text[max(0, match.start() - 1) : match.start()], text[match.end() : match.end() + 1]
    return not (before and before in word.not_after) and not (after and after in word.not_before)


class List(NamedTuple):
    words: dict[str, Word]
    chinese: re.Pattern[str]
    english: re.Pattern[str]
    stems: list[str]
    """English words of which one must be in a text that `english` is to match."""


@lru_cache(maxsize=1)
def _list() -> List:
    words: dict[str, Word] = {}
    for row in variants.rows("toxic.tsv"):
        word, severity, not_after, not_before = [*row, "", ""][:4]
        entry = Word(int(severity), not_after + variants.fold(not_after), not_before + variants.fold(not_before))
        words[word] = words[variants.fold(word)] = entry
    ordered = sorted(words, key=lambda word: (-len(word), word))
    english = [word for word in ordered if word.isascii()]
    stems = [word for word in english if not any(other != word and other in word for other in english)]
    whole = rf"(?<![a-z0-9_])(?:{'|'.join(english)})(?![a-z0-9_])"
    chinese = "|".join(word for word in ordered if not word.isascii())
    return List(words, re.compile(chinese), re.compile(whole), stems)
