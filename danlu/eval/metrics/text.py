"""Metrics of what a model wrote against one reference or several, as lm-evaluation-harness has them."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from danlu.errors import DataError
from danlu.eval.metrics.aggregate import BYPASS as NOTHING
from danlu.eval.metrics.metric import Aggregation, Answered, Metric
from danlu.extras import need

TEXT = ("generate_until",)
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_DIGITS = str.maketrans("", "", string.digits)
_IGNORE = ("regexes_to_ignore", "ignore_case", "ignore_punctuation", "ignore_numbers")


def plain(text: str, options: dict[str, Any]) -> str:
    """A text without what the options tell to ignore, in the order: regexes, case, ASCII punctuation, digits."""
    for pattern in options.get("regexes_to_ignore") or ():
        text = re.sub(pattern, "", text)
    text = text.lower() if options.get("ignore_case") else text
    text = text.translate(_PUNCTUATION) if options.get("ignore_punctuation") else text
    return text.translate(_DIGITS) if options.get("ignore_numbers") else text


def _exact_match(answered: Answered) -> float:
    """Equal to any of the references. Of multiple choice: each token of a right choice was the most probable one."""
    target = answered.target
    if answered.choices:
        return float(any(answered.greedy[place] for place in (target if isinstance(target, list) else [target])))
    options = dict(answered.options)
    if not isinstance(answered.text, str):
        return float(answered.text == target)
    references = target if isinstance(target, list) else [target]
    said = plain(answered.text, options)
    return float(any(said == plain(str(reference), options) for reference in references))


def _pair(answered: Answered) -> tuple[Any, str]:
    """(reference or references, what was written)"""
    said = answered.text
    if isinstance(said, list) and len(said) == 1:
        said = said[0]
    if not isinstance(said, str):
        raise DataError("BLEU, chrF and TER measure one text an answer", next="end the filters with take_first")
    return answered.target, said


def _corpus(function: str, **options: Any) -> Callable[[Sequence[Any]], float]:
    def of(items: Sequence[tuple[Any, str]]) -> float:
        references = [[one] if isinstance(one, str) else list(one) for one, _ in items]
        if len({len(each) for each in references}) != 1:
            raise DataError("every question needs the same number of references for a score over the corpus")
        columns = [list(column) for column in zip(*references, strict=True)]
        found = getattr(need("sacrebleu", "eval"), function)([said for _, said in items], columns, **options)
        return float(found.score)

    return of


def _signature(name: str, *options: str) -> Callable[[Mapping[str, Any]], str]:
    """How sacrebleu's figures are told apart (Post, "A Call for Clarity in Reporting BLEU Scores", WMT 2018)."""
    return lambda given: "|".join([f"sacrebleu.{need('sacrebleu', 'eval').__version__}", name, *options])


CORPUS_BLEU = Aggregation("bleu", _corpus("corpus_bleu"), "bootstrap", 100)
CORPUS_CHRF = Aggregation("chrf", _corpus("corpus_chrf"), "bootstrap", 100)
CORPUS_CHRF_PLUS = Aggregation("chrf++", _corpus("corpus_chrf", word_order=2), "bootstrap", 100)
CORPUS_TER = Aggregation("ter", _corpus("corpus_ter"), "bootstrap", 100)


EXACT_MATCH = Metric("exact_match", "higher", "share equal", (*TEXT, "multiple_choice"), _exact_match, options=_IGNORE)
BLEU = Metric(
    "bleu",
    "higher",
    "BLEU",
    TEXT,
    _pair,
    CORPUS_BLEU,
    signature=_signature("BLEU", "tok:13a", "case:mixed", "smooth:exp"),
)
CHRF = Metric(
    "chrf", "higher", "chrF", TEXT, _pair, CORPUS_CHRF, signature=_signature("chrF2", "nc:6", "nw:0", "space:no")
)
CHRF_PLUS = Metric(
    "chrf++",
    "higher",
    "chrF++",
    TEXT,
    _pair,
    CORPUS_CHRF_PLUS,
    signature=_signature("chrF2++", "nc:6", "nw:2", "space:no"),
)
_TER = _signature("TER", "case:lc", "tok:tercom", "norm:no", "punct:yes")
TER = Metric("ter", "lower", "TER", TEXT, _pair, CORPUS_TER, signature=_TER)
BYPASS = Metric("bypass", "higher", "none", (*TEXT, "loglikelihood", "multiple_choice"), lambda a: None, NOTHING)
