"""Taiwan usage: finds Simplified characters and mainland terms, says the Taiwan word, and mends them.

The vocabulary is two tables: OpenCC's (`opencc_phrases.tsv`) and ours (`terms.tsv`), which adds what OpenCC lacks,
overrules it and says how the ambiguous words are judged by their neighbours. All is matched folded to Simplified
characters, so that 軟件 and 软件 are one term; where matches overlap the longest wins, then the leftmost. Where two
common words (`words.tsv`) meet inside a term (少數|組員, 產業內|核心), there is no term.

What is left alone (code, addresses, block quotes, quotations marked as mainland usage) is in `danlu.text.quoted`.

Not covered: grammar, style and word order; terms that neither table lists; ambiguous words without a telling neighbour
(left alone); names of people and places beyond OpenCC's list.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from operator import add
from typing import Literal, NamedTuple

from danlu.text import quoted, variants
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
    terms = [match for match in _terms(text) if not _inside(match.start, match.end, alone)]
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
_STOP = re.compile("[。！？!?\n]")
_AROUND = " `*_「」"
"""What may stand between a word and the cue beside it."""


class Cue(NamedTuple):
    """Words of which one must stand (directly before, directly after, or near)."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    near: re.Pattern[str] | None

    def holds(self, folded: str, start: int, end: int) -> bool:
        left = _STOP.split(folded[max(0, start - _WINDOW) : start])[-1]
        right = _STOP.split(folded[end : end + _WINDOW])[0]
        if left.rstrip(_AROUND).endswith(self.before) or right.lstrip(_AROUND).startswith(self.after):
            return True
        return self.near is not None and bool(self.near.search(left) or self.near.search(right))


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
    words: frozenset[str]
    """Common words of two characters that are no terms."""


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
    common = {variants.fold(row[0]) for row in variants.rows("words.tsv")}
    return Vocabulary(terms, longest_first, frozenset(common - terms.keys()))


def _pieces(word: str) -> Iterator[str]:
    for start in range(len(word)):
        for end in range(start + 2, len(word) + 1):
            yield word[start:end]


def _cue(column: str) -> Cue | None:
    words = variants.fold(column).lower().split()
    if not words:
        return None
    near = [re.escape(word) for word in words if word[0] not in "<>"]
    return Cue(
        tuple(word[1:] for word in words if word[0] == "<"),
        tuple(word[1:] for word in words if word[0] == ">"),
        re.compile("|".join(near)) if near else None,
    )


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
    """Of overlapping matches the longest, then the leftmost; a hit where its neighbours say so."""
    kept: list[tuple[int, int]] = []
    for start, end in sorted(cluster, key=lambda span: (span[0] - span[1], span[0])):
        if all(end <= other or start >= other_end for other, other_end in kept):
            kept.append((start, end))
    result = []
    for start, end in sorted(kept):
        if start and folded[start - 1 : start + 1] in words.words and folded[end - 1 : end + 1] in words.words:
            continue
        term = next((term for term in words.terms[folded[start:end]] if term.speaks(folded, start, end)), None)
        if term is not None and term.taiwan not in (None, text[start:end]):
            result.append(Match(start, end, term.taiwan))
    return result


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
