"""What is done to an answer before it is measured: the filters of lm-evaluation-harness.

A filter takes the answers to one question (several where a task repeats it) and the question, and gives the answers
to measure. `take_first` and `majority_vote` choose among them. Not covered: `decontaminate`, which does nothing there
either.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from danlu.errors import DataError, nearest
from danlu.eval.harness import code
from danlu.eval.harness.find import Loaded
from danlu.eval.harness.read import Function

Answers = Any  # a list of answers, or one answer after a filter that chose it
Filter = Callable[[Answers, Mapping[str, Any]], Answers]

GSM8K = r"#### (\-?[0-9\.\,]+)"


def regex(regex_pattern: str = GSM8K, group_select: int = 0, fallback: str = "[invalid]") -> Filter:
    """The `group_select`-th match of a pattern, stripped; of several groups the first that is not empty."""
    pattern = re.compile(regex_pattern)

    def one(answer: Any) -> str:
        found = pattern.findall(answer if isinstance(answer, str) else "")
        if not found:
            return fallback
        match = found[group_select]
        if isinstance(match, tuple):
            match = next((part for part in match if part), fallback)
        return str(match).strip()

    return lambda answers, doc: [one(answer) for answer in answers]


def regex_pos(
    regex_pattern: str = r"\['(.*?)'\]", group_select: int = 0, fallback: Sequence[str] | None = None
) -> Filter:
    """The tags of a written list of ('token', 'tag') pairs. The two first arguments change nothing, as in
    lm-evaluation-harness."""

    def one(answer: Any) -> list[str]:
        pairs = re.findall(r"\('([^']*)', '([^']*)'\)", answer) if isinstance(answer, str) else answer
        return [tag for _, tag in pairs] or list(fallback or ["invalid"])

    return lambda answers, doc: [one(answer) for answer in answers]


def remove_whitespace() -> Filter:
    """Without white space at both ends."""
    return lambda answers, doc: [answer.strip() for answer in answers]


def lowercase() -> Filter:
    return lambda answers, doc: [answer.lower() for answer in answers]


def uppercase() -> Filter:
    return lambda answers, doc: [answer.upper() for answer in answers]


def map_(mapping_dict: dict[Any, Any] | None = None, default_value: Any = None) -> Filter:
    """What a table has for the answer."""
    table = mapping_dict or {}
    return lambda answers, doc: [table.get(answer, default_value) for answer in answers]


def take_first() -> Filter:
    """The first answer alone."""
    return lambda answers, doc: answers[0]


def take_first_k(k: int) -> Filter:
    """The first k answers; DataError when there are fewer."""

    def take(answers: Answers, doc: Mapping[str, Any]) -> Answers:
        if len(answers) < k:
            raise DataError(f"take_first_k: {k} answers are needed, there are {len(answers)}", next="raise `repeats`")
        return answers[:k]

    return take


def majority_vote() -> Filter:
    """The most frequent answer, the earliest of equals, as a list of one."""
    return lambda answers, doc: [Counter(answers).most_common(1)[0][0]]


@functools.lru_cache(maxsize=1)
def _punctuation() -> dict[int, None]:
    return {i: None for i in range(sys.maxunicode) if unicodedata.category(chr(i)).startswith("P")}


def multi_choice_regex(
    regex_pattern: str = GSM8K,
    group_select: int = 0,
    fallback: str = "[invalid]",
    ignore_case: bool = False,
    ignore_punctuation: bool = False,
    regexes_to_ignore: Sequence[str] | None = None,
) -> Filter:
    """The letter of a choice as "(A)": by a pattern, else by the text of a choice in the answer (the longest first),
    else by
    a letter after a colon. The question's field `choices` has the choices."""
    pattern = re.compile(regex_pattern)

    def clean(text: str) -> str:
        for ignored in regexes_to_ignore or ():
            text = re.sub(ignored, "", text)
        text = text.lower() if ignore_case else text
        return text.translate(_punctuation()) if ignore_punctuation else text

    def match(by: re.Pattern[str], answer: Any, names: Mapping[str, str]) -> str:
        found = by.findall(answer if isinstance(answer, str) else "")
        if not found:
            return ""
        chosen = found[group_select]
        if isinstance(chosen, tuple):
            chosen = next((part for part in chosen if part), "")
        chosen = chosen.strip()
        return names.get(chosen, chosen)

    def apply(answers: Answers, doc: Mapping[str, Any]) -> Answers:
        if "choices" not in doc:
            raise DataError("multi_choice_regex needs a field `choices`", nearest=nearest("choices", doc))
        texts = [clean(choice.strip()) for choice in doc["choices"]]
        letters = [chr(ord("A") + place) for place in range(len(texts))]
        by_text = re.compile("|".join(sorted(map(re.escape, texts), key=len, reverse=True)))
        by_letter = re.compile(rf":[\s]*({'|'.join(letters)})")
        of_text = dict(zip(texts, (f"({letter})" for letter in letters), strict=True))
        of_letter = {letter: f"({letter})" for letter in letters}
        return [
            match(pattern, answer, {})
            or match(by_text, clean(answer), of_text)
            or match(by_letter, answer, of_letter)
            or fallback
            for answer in answers
        ]

    return apply


_LABELS = {
    "person": "PER", "location": "LOC", "organization": "ORG", "counties": "LOC", "places": "LOC", "people": "PER",
    "persons": "PER", "company": "ORG", "country": "LOC", "continent": "LOC", "time": "DATE", "date": "DATE",
    "per": "PER", "loc": "LOC", "org": "ORG",
}  # fmt: skip


def format_span() -> Filter:
    """Named entities as "label: text $ label: text", from "label: text, text" separated by $ or line ends."""

    def one(answer: str) -> str:
        text = answer.lower()
        for word, label in _LABELS.items():
            text = re.sub(rf"\b{word}\s*:", f"{label}:", text)
        text = text.replace("$$", "$").rstrip("$").replace("\n", "$").strip()
        found = re.findall(r"\b(PER|LOC|ORG|DATE):\s*([^$]+)", text)
        spans = [(label, span.strip()) for label, spans in found for span in spans.split(",")]
        return " $ ".join(f"{label.lower()}: {span}" for label, span in spans if span.lower() != "none")

    return lambda answers, doc: [one(answer) for answer in answers]


FILTERS: dict[str, Callable[..., Filter]] = {
    "regex": regex,
    "regex_pos": regex_pos,
    "remove_whitespace": remove_whitespace,
    "lowercase": lowercase,
    "uppercase": uppercase,
    "map": map_,
    "take_first": take_first,
    "take_first_k": take_first_k,
    "majority_vote": majority_vote,
    "multi_choice_regex": multi_choice_regex,
    "format_span": format_span,
}


def pipelines(loaded: Loaded) -> dict[str, list[Filter]]:
    """The filters of a task, by the name that its metrics get; "none" where a task names none. DataError for a filter
    or
    an argument that is not known, or a pattern that is no regular expression."""
    entries = loaded.config.filter_list
    if entries is None:
        return {"none": [take_first()]}
    found: dict[str, list[Filter]] = {}
    for place, entry in enumerate(entries):
        steps = []
        for number, step in enumerate(entry.filter):
            where = loaded.where("filter_list", place, "filter", number)
            steps.append(_filter(step.function, dict(step.model_extra or {}), loaded.trust, where))
        found[entry.name] = steps
    return found


def _filter(function: str | Function, options: dict[str, Any], trust: bool, where: str) -> Filter:
    if isinstance(function, Function) or function == "custom":
        return _own(function, options, trust, where)
    if function not in FILTERS:
        known = f"; there are {', '.join(FILTERS)}"
        raise DataError(f"no filter {function!r}{known}", where=where, nearest=nearest(function, FILTERS))
    made = FILTERS[function]
    names = inspect.signature(made).parameters
    for option in options:
        if option not in names:
            raise DataError(
                f"{function} has no argument {option!r}; it has {', '.join(names) or 'none'}", where=where,
                nearest=nearest(option, names),
            )  # fmt: skip
    try:
        return made(**options)
    except re.error as error:
        raise DataError(f"{function}: no regular expression: {error}", where=where) from None
    except TypeError as error:
        raise DataError(f"{function}: {error}", where=where) from None


def _own(function: str | Function, options: dict[str, Any], trust: bool, where: str) -> Filter:
    """A filter from the task's own Python: a function of (answers of all questions, questions), or a class with
    `apply`."""
    source = options.pop("filter_fn", None) if function == "custom" else function
    if not isinstance(source, Function):
        raise DataError("a custom filter needs `filter_fn: !function module.name`", where=where)
    if not trust:
        raise code.refuse(source, "filter_list")
    loaded = code.load(source, "filter_list")
    apply = loaded(**options).apply if isinstance(loaded, type) else loaded
    return lambda answers, doc: next(iter(apply([answers], [doc])))
