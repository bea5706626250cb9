"""Taiwan usage of what a model writes: mainland terms and Simplified characters, by `danlu.text`.

`taiwan_usage` is hits per 1,000 characters (white space not counted) over all answers; `traditional` the share of the
answers with Chinese in which not one character is Simplified. An answer in which not one letter in ten is a Han
character is none in Chinese, and has no part in the second.

Not covered: what `danlu.text.usage` does not find (grammar, style, terms that no table lists); whether the answer is
right. An empty answer has no part in either: `n` of the score says how many had one.
"""

from __future__ import annotations

from dataclasses import dataclass

from danlu.eval.metrics.metric import RATIO, Answered, Metric, Ratio
from danlu.text import variants
from danlu.text.census import census
from danlu.text.script import script_of
from danlu.text.usage import find


@dataclass(frozen=True)
class Usage:
    """`traditional` is None for an answer without Chinese."""

    hits: int
    characters: int
    traditional: float | None
    found: tuple[str, ...] = ()


def usage(answer: str) -> Usage:
    """The hits of one answer and the words that were found."""
    hits = find(answer)
    characters = sum(not c.isspace() for c in answer)
    counts = census(answer)
    chinese = script_of(counts) != "other" and 10 * counts.han >= counts.han + counts.latin
    simplified = bool(variants.simplified().keys() & set(answer))
    return Usage(len(hits), characters, float(not simplified) if chinese else None, tuple(hit.found for hit in hits))


def _usage(answered: Answered) -> Ratio | None:
    made = usage(str(answered.text))
    return Ratio(1000.0 * made.hits, float(made.characters)) if made.characters else None


def _traditional(answered: Answered) -> float | None:
    return usage(str(answered.text)).traditional


KINDS = ("generate_until",)
TAIWAN_USAGE = Metric("taiwan_usage", "lower", "hits per 1,000 characters", KINDS, _usage, RATIO)
TRADITIONAL = Metric("traditional", "higher", "share of Chinese answers", KINDS, _traditional)
CHINESE = Metric("chinese", "higher", "share with Chinese", KINDS, lambda a: float(_traditional(a) is not None))
