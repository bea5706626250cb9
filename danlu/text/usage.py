"""Taiwan usage: finds Simplified characters and mainland terms, says the Taiwan word, and mends them.

The vocabulary is two tables: OpenCC's (`opencc_phrases.tsv`) and ours (`terms.tsv`), which adds what OpenCC lacks,
overrules it and says how the ambiguous words are judged by their neighbours. All is matched folded to Simplified
characters, so that 軟件 and 软件 are one term; where matches overlap the longest wins, then the leftmost. A match is a
term only where it is a word (`danlu.text.lattice`): one across words (出租|車位) or in another (博客來) is none.

What is left alone (code, addresses, block quotes, quotations marked as mainland usage) is in `danlu.text.quoted`; in a
title (《…》, 〈…〉) words are left alone too, characters are not.

Not covered: grammar, style and word order; terms that neither table lists; ambiguous words without a telling neighbour
(left alone); names of people and places beyond OpenCC's list.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from operator import add
from typing import Literal, NamedTuple

from danlu.text import lattice, quoted, variants
from danlu.text.spans import any_simplified, to_traditional

Kind = Literal["simplified", "term"]


@dataclass(frozen=True)
class Hit:
    """`found` at [start, end) characters, line and column from 1; `suggestion` is the Taiwan word.

    `kind` is "term" for a mainland term in either script, "simplified" for characters alone.
    """

    start: int
    end: int
    line: int
    column: int
    found: str
    suggestion: str
    kind: Kind


def find(text: str, allow: Iterable[str] = frozenset()) -> list[Hit]:
    """Every hit in `text`, in order, none overlapping. Words in `allow` are left alone, with all that they contain."""
    alone = quoted.merged(quoted.spans(text) + _occurrences(text, allow))
    titles = quoted.merged(alone + [match.span() for match in _TITLE.finditer(text)])
    terms = [match for match in _terms(text) if not _inside(match.start, match.end, titles)]
    found: list[tuple[int, int, str, Kind]] = [(match.start, match.end, match.taiwan, "term") for match in terms]
    if any_simplified(text):
        taken = quoted.merged(alone + [(match.start, match.end) for match in terms])
        found += [(start, end, taiwan, "simplified") for start, end, taiwan in _simplified(text, taken)]
    return list(_located(text, sorted(found)))


def fix(text: str, allow: Iterable[str] = frozenset()) -> str:
    """`text` with every hit replaced by its suggestion, until none is left; idempotent.

    Nothing that `find` leaves alone is touched. Line ends, spaces and everything else stay as they are.
    """
    allow = frozenset(allow)
    for _ in range(_MOST_ROUNDS):
        hits = find(text, allow)
        if not hits:
            break
        text = replaced(text, hits)
    return text


def replaced(text: str, hits: Iterable[Hit]) -> str:
    """`text` with `hits` (in order, as `find` gave them for it) replaced, once."""
    pieces, at = [], 0
    for hit in hits:
        pieces += [text[at : hit.start], hit.suggestion]
        at = hit.end
    return "".join([*pieces, text[at:]])


def count(text: str, allow: Iterable[str] = frozenset()) -> int:
    """How many hits `find` has in `text`."""
    return len(find(text, allow))


def taiwan_usage(text: str, allow: Iterable[str] = frozenset()) -> float:
    """Hits per 1,000 characters of `text`, white space not counted; lower is better, 0.0 for an empty text.

    A measure of vocabulary and script alone: it says nothing about grammar, truth or tone, knows only the listed terms,
    and counts a run of neighbouring Simplified characters as one hit. Code and marked quotations are not searched but
    their characters are counted.
    """
    characters = sum(map(len, text.split()))
    return 1000 * count(text, allow) / characters if characters else 0.0


# --- terms ---

_WINDOW = 16
"""Characters on each side in which a neighbour speaks for or against an ambiguous word."""
_MOST_ROUNDS = 20
_TITLE = re.compile("《[^《》\n]{1,80}》|〈[^〈〉\n]{1,80}〉")
_TERM_COUNT = 60
"""At most how common a mainland term of two characters is taken to be, among the 60 million words of the lexicon: it is
rarer in Taiwan's text than there. One of three or more lies across words less easily, and counts `_LONGER` times more
for each further character."""
_LONGER = 8
_PROTECTED_COUNT = 400
"""At least how common a word to leave alone is taken to be."""
_STOP = re.compile("[。！？!?\n]")
_AROUND = " `*_「」"
"""What may stand between a word and the cue beside it."""


class Cue(NamedTuple):
    """Words of which one must stand (directly before, directly after, or near), or the official register."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    near: re.Pattern[str] | None
    official: bool

    def holds(self, folded: str, start: int, end: int) -> bool:
        left = _STOP.split(folded[max(0, start - _WINDOW) : start])[-1]
        right = _STOP.split(folded[end : end + _WINDOW])[0]
        if left.rstrip(_AROUND).endswith(self.before) or right.lstrip(_AROUND).startswith(self.after):
            return True
        if self.near is not None and (self.near.search(left) or self.near.search(right)):
            return True
        return self.official and _is_official(folded, start, end)


class Term(NamedTuple):
    """One row of the vocabulary: a hit when `only` holds and `never` does not; `taiwan` None protects the word."""

    taiwan: str | None
    only: Cue | None = None
    never: Cue | None = None

    def speaks(self, folded: str, start: int, end: int) -> bool:
        if self.never and self.never.holds(folded, start, end):
            return False
        return self.only is None or self.only.holds(folded, start, end)


class Match(NamedTuple):
    start: int
    end: int
    taiwan: str


class Vocabulary(NamedTuple):
    terms: dict[str, list[Term]]
    """The rows of each term, in their order; the first that speaks is taken."""
    lengths: dict[str, tuple[int, ...]]
    """The lengths of the terms that begin with each pair of characters, longest first."""


@lru_cache(maxsize=1)
def vocabulary() -> Vocabulary:
    """Both tables, folded; ours overrules OpenCC's. A Taiwan word that holds a mainland one (浮水印) is protected."""
    opencc = {variants.fold(term).lower(): [Term(taiwan)] for term, taiwan in variants.rows("opencc_phrases.tsv")}
    ours: dict[str, list[Term]] = {}
    for row in variants.rows("terms.tsv"):
        words, taiwan, only, never = [*row, "", ""][:4]
        for word in words.split("|"):
            term = Term(None if taiwan == "=" else taiwan, _cue(only), _cue(never))
            ours.setdefault(variants.fold(word).lower(), []).append(term)
    terms = opencc | ours
    for word in {term.taiwan for found in terms.values() for term in found if term.taiwan}:
        folded = variants.fold(word).lower()
        if folded not in terms and any(piece in terms for piece in _pieces(folded)):
            terms[folded] = [Term(None)]
    lengths: dict[str, set[int]] = {}
    for known in terms:
        lengths.setdefault(known[:2], set()).add(len(known))
    longest_first = {pair: tuple(sorted(found, reverse=True)) for pair, found in lengths.items()}
    return Vocabulary(terms, longest_first)


def _pieces(word: str) -> Iterator[str]:
    for start in range(len(word)):
        for end in range(start + 2, len(word) + 1):
            yield word[start:end]


def _cue(column: str) -> Cue | None:
    words = variants.fold(column).lower().split()
    if not words:
        return None
    near = [re.escape(word) for word in words if word[0] not in "<>§"]
    return Cue(
        tuple(word[1:] for word in words if word[0] == "<"),
        tuple(word[1:] for word in words if word[0] == ">"),
        re.compile("|".join(near)) if near else None,
        "§" in words,
    )


_OFFICIAL_WINDOW = 250
_OFFICIAL_LEAST = 4
"""Four of the phrases stand within 250 characters of 98 % of 1,572 places in statutes, of 0.2 % of 6,188 in prose."""
_OFFICIAL = re.compile(
    variants.fold(
        "主管機關|前[項條款]|各款|左列|下列|準用|核[定准發]|備查|檢[具附送]|本(?:辦法|細則|準則|規則|條例|規程|標準|[法局會部處府署])"
        "|條第|[所另訂]定|規定|掌理|事項|或其|辦理|依[前本法]|不得|所屬|機關|審查|擬訂|以上者|業務|暨"
        "|應[於經予依由設將有]|其他有關|設備|及其|之[管研設處建整規審使維作程訂分執編]|二、|職等|學系|學年"
    )
)


@lru_cache(maxsize=1)
def _phrases(folded: str) -> tuple[list[int], list[str]]:
    """Where the set phrases of statutes stand in a text, and which they are."""
    found = [(match.start(), match[0]) for match in _OFFICIAL.finditer(folded)]
    return [at for at, _ in found], [phrase for _, phrase in found]


def _is_official(folded: str, start: int, end: int) -> bool:
    """Whether [start, end) stands in the language of Taiwan's statutes, where 計算機 and 用戶 are usual words."""
    places, phrases = _phrases(folded)
    first, last = bisect_left(places, start - _OFFICIAL_WINDOW), bisect_left(places, end + _OFFICIAL_WINDOW)
    return len(set(phrases[first:last])) >= _OFFICIAL_LEAST


def _terms(text: str) -> Iterator[Match]:
    """The mainland terms of `text`, in order, none overlapping."""
    words = vocabulary()
    folded = variants.fold(text).lower()
    if len(folded) != len(text):
        folded = variants.fold(text)
    pairs = words.lengths
    places = [at for at, pair in enumerate(map(add, folded, folded[1:])) if pair in pairs]
    cluster: list[tuple[int, int]] = []
    reach = 0
    for at in places:
        for length in pairs[folded[at : at + 2]]:
            if at + length <= len(folded) and folded[at : at + length] in words.terms:
                if at >= reach:
                    yield from _chosen(text, folded, cluster, words)
                    cluster = []
                cluster.append((at, at + length))
                reach = max(reach, at + length)
    yield from _chosen(text, folded, cluster, words)


def _chosen(text: str, folded: str, cluster: list[tuple[int, int]], words: Vocabulary) -> list[Match]:
    """Of overlapping matches that are words the longest, then the leftmost; a hit where its neighbours say so."""
    verdicts = {span: _verdict(text, folded, span, words) for span in cluster}
    if not any(verdicts.values()):
        return []
    kept: list[tuple[int, int]] = []
    for start, end in sorted(cluster, key=lambda span: (span[0] - span[1], span[0])):
        free = all(end <= other or start >= other_end for other, other_end in kept)
        if free and verdicts[start, end] is not None and _is_word(folded, start, end, words):
            kept.append((start, end))
    return [match for span in sorted(kept) if (match := verdicts[span])]


def _verdict(text: str, folded: str, span: tuple[int, int], words: Vocabulary) -> Match | Literal[False] | None:
    """The hit that `span` is; False where it is to be left alone, with all in it; None where nothing speaks."""
    start, end = span
    rows = words.terms[folded[start:end]]
    term = next((term for term in rows if term.speaks(folded, start, end)), None)
    if term is None:
        return False if any(term.never and term.never.holds(folded, start, end) for term in rows) else None
    if term.taiwan in (None, text[start:end]):
        return False
    return Match(start, end, term.taiwan)


def _is_word(folded: str, start: int, end: int, words: Vocabulary) -> bool:
    count = lattice.lexicon().counts.get(folded[start:end], 0)
    if any(term.taiwan for term in words.terms[folded[start:end]]):
        count = min(max(count, 8), max(_TERM_COUNT, count**0.6) * _LONGER ** (end - start - 2))
    else:
        count = max(count, _PROTECTED_COUNT)
    return lattice.margin(folded, start, end, count) > 0


# --- Simplified characters ---


def _simplified(text: str, taken: list[quoted.Span]) -> Iterator[tuple[int, int, str]]:
    """Runs of Simplified characters outside of `taken`, with their Taiwan form.

    Where a span is evidently Simplified, those that both scripts use are judged too (头发后面 → 頭髮後面).
    """
    after = to_traditional(text)
    changed = [at for at, (old, new) in enumerate(zip(text, after, strict=True)) if old != new]
    for start, end in _runs([at for at in changed if not _inside(at, at + 1, taken)]):
        yield start, end, after[start:end]


def _runs(places: list[int]) -> Iterator[tuple[int, int]]:
    start = previous = None
    for at in places:
        if start is None or previous is None or at != previous + 1:
            if start is not None and previous is not None:
                yield start, previous + 1
            start = at
        previous = at
    if start is not None and previous is not None:
        yield start, previous + 1


# --- places ---


def _inside(start: int, end: int, spans: list[quoted.Span]) -> bool:
    """Whether [start, end) touches one of the sorted `spans`."""
    index = bisect_right(spans, start, key=_start) - 1
    if index >= 0 and spans[index][1] > start:
        return True
    return index + 1 < len(spans) and spans[index + 1][0] < end


def _start(span: quoted.Span) -> int:
    return span[0]


def _occurrences(text: str, words: Iterable[str]) -> list[quoted.Span]:
    pattern = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True) if word)
    return [match.span() for match in re.finditer(pattern, text)] if pattern else []


def _located(text: str, found: list[tuple[int, int, str, Kind]]) -> Iterator[Hit]:
    line, line_start = 1, 0
    for start, end, taiwan, kind in found:
        newlines = text.count("\n", line_start, start)
        if newlines:
            line += newlines
            line_start = text.rfind("\n", 0, start) + 1
        yield Hit(start, end, line, start - line_start + 1, text[start:end], taiwan, kind)
