"""data.filter: documents of too poor a quality, in the wrong language or toxic are left out, each for one reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from danlu.artifact import Artifact, Draft
from danlu.data import review
from danlu.data.clean import outside_code
from danlu.data.flow import Each, Tally
from danlu.records import Document, Drop
from danlu.registry import From, ModelName, Settings, Source
from danlu.text import quality, repetition, toxic
from danlu.text.census import Census, census
from danlu.text.quality import Language
from danlu.text.script import Script, script_of
from danlu.track import Track

Share = Annotated[float, Field(ge=0, le=1)]
Maybe = Annotated[float | None, Field(ge=0, le=1)]
Ngrams = dict[Annotated[int, Field(ge=1, le=100)], Share]

_TOXIC_LENGTH = 1000
_ROWS = 0.5
_FEW_LINES, _FEW_CHARACTERS = 4, 300


class FilterSettings(Settings):
    """Every rule is off when its setting is null. Shares are from 0 to 1; characters are those that are no white space,
    words are two Han characters or one word of another script."""

    documents: Annotated[str, From("documents")]
    """The step that made the documents."""

    code: Literal["skip", "measure"] = "skip"
    """skip: Markdown code is no part of what is measured; a document of nothing but code is measured whole."""

    rows: Literal["own", "prose"] = "own"
    """own: a document of which half the lines or more are rows (tables, lists, forms, price lists: `quality.rows`) is
    judged by max_duplicate_rows, max_codes and min_row_letters where prose is judged by its length, its lines, its stop
    words and what it repeats. prose: every document is judged as prose."""

    language: tuple[Language, ...] | None = None
    """Keep only documents in these languages (wrong-language)."""

    script: tuple[Script, ...] | None = None
    """Keep only documents in these scripts: traditional, simplified, mixed, other (wrong-script)."""

    min_characters: Annotated[int | None, Field(ge=0)] = 50
    """too-short: fewer characters than this."""

    max_characters: Annotated[int | None, Field(ge=1)] = None
    """too-long: more characters than this."""

    tokenizer: Annotated[str | None, ModelName()] = None
    """The model whose tokenizer counts for min_tokens and max_tokens."""

    min_tokens: Annotated[int | None, Field(ge=1)] = None
    """too-few-tokens: the whole document has fewer tokens than this."""

    max_tokens: Annotated[int | None, Field(ge=1)] = None
    """too-many-tokens: the whole document has more tokens than this."""

    max_replacement: Maybe = 0.01
    """garbled: more than this share of the characters is �, what a wrong decoding leaves."""

    min_letters: Maybe = 0.4
    """few-letters: less than this share of the characters is letters (Han included)."""

    max_symbols: Maybe = 0.25
    """symbols: more than this share of the characters is symbols (Unicode's S: ＋ ＝ │ ★ 😀)."""

    min_stop_words: Annotated[int | None, Field(ge=1, le=20)] = 2
    """few-stop-words: fewer different stop characters (zh: 的 是 在 …) or stop words (en); other languages pass."""

    max_hashes: Maybe = 0.1
    """hash-marks: more # than this share of the words, those of Markdown headings not counted."""

    max_ellipses: Maybe = 0.1
    """ellipses: more … than this share of the words."""

    max_bullet_lines: Maybe = 0.9
    """bullet-lines: more than this share of the lines begins with a bullet."""

    max_ellipsis_lines: Maybe = 0.3
    """ellipsis-lines: more than this share of the lines ends with an ellipsis."""

    min_punctuated_lines: Maybe = 0.12
    """unpunctuated-lines: less than this share of the lines ends a sentence; not asked of three
    lines and fewer than 300 characters."""

    max_short_lines: Maybe = 0.8
    """short-lines: more than this share of the lines is no longer than short_line."""

    short_line: Annotated[int, Field(ge=1)] = 30
    """The columns of a short line; a Han character is two."""

    min_mean_line: Annotated[float | None, Field(ge=0)] = None
    """short-mean-line: the lines have fewer characters than this on average."""

    max_line_ends: Maybe = 0.5
    """line-ends: more line ends than this share of the words."""

    max_braces: Maybe = 0.025
    """curly-braces: more than this share of the characters is { or }; 0 drops every document with one, as C4 does."""

    lorem_ipsum: Literal["drop"] | None = "drop"
    """lorem-ipsum: printers' filler is in the text."""

    max_policy_lines: Maybe = 0.3
    """policy-lines: more than this share of the lines is about JavaScript to turn on, cookies, terms and rights."""

    max_duplicate_lines: Maybe = 0.3
    """duplicate-lines: more than this share of the lines was there before."""

    max_duplicate_line_characters: Maybe = 0.2
    """duplicate-line-characters: more than this share of the characters is in such lines."""

    max_duplicate_paragraphs: Maybe = 0.3
    """duplicate-paragraphs: more than this share of the paragraphs was there before."""

    max_duplicate_paragraph_characters: Maybe = 0.2
    """duplicate-paragraph-characters: more than this share of the characters is in such paragraphs."""

    top_ngrams: Ngrams | None = Field(default={2: 0.2, 3: 0.18, 4: 0.16})
    """top-ngram: the commonest n-gram of so many words makes up more than this share of the characters."""

    duplicate_ngrams: Ngrams | None = Field(default={5: 0.3, 6: 0.28, 7: 0.26, 8: 0.24, 9: 0.22, 10: 0.2})
    """duplicate-ngrams: n-grams of so many words that were there before hold more than this share of the characters.
    These are twice Gopher's shares: good Chinese manuals and statutes repeat more than those allow."""

    max_menu: Maybe = 0.4
    """menu: more than this share of the entries is those of a web site's menus (首頁, 登入, 上一頁)."""

    max_duplicate_rows: Maybe = 0.5
    """duplicate-rows: of a document of rows, more than this share of them was there before."""

    max_codes: Maybe = 0.3
    """codes: of a document of rows, more than this share of the characters is in hashes and the like."""

    min_row_letters: Annotated[int | None, Field(ge=0)] = 8
    """few-row-letters: a document of rows has fewer letters (Han included) than this."""

    max_toxic: Annotated[float | None, Field(ge=0)] = 5.0
    """toxic: the words of `danlu.text.toxic`, by severity (1 to 3), weigh more than this for each 1,000 characters, a
    shorter text taken for one of 1,000."""

    sampled: Annotated[int, Field(ge=0, le=1000)] = 20
    """How many documents of each reason, and of the kept, review.html shows."""

    decisions: Annotated[Path | None, Source()] = None
    """What a reviewer decided, as review.html gives it out: a reviewed document follows the decision, not the rules."""

    @model_validator(mode="after")
    def _tokens(self) -> Self:
        bounded = self.min_tokens is not None or self.max_tokens is not None
        if bounded and self.tokenizer is None:
            raise ValueError("min_tokens and max_tokens need a tokenizer")
        if self.tokenizer is not None and not bounded:
            raise ValueError("a tokenizer needs min_tokens or max_tokens")
        return self


class Measured:
    """A document's text, each of its measures taken when first asked for."""

    def __init__(self, document: Document, settings: FilterSettings) -> None:
        self.settings = settings
        self.whole = document.text
        text = document.text
        if settings.code == "skip":
            prose = outside_code(text, lambda part: part, code=lambda part: "")
            text = prose if prose.strip() else text
        self.text = text

    @cached_property
    def low(self) -> str:
        return self.text.lower()

    @cached_property
    def counts(self) -> Census:
        return census(self.text)

    @cached_property
    def characters(self) -> int:
        return max(1, self.counts.visible)

    @cached_property
    def language(self) -> Language:
        return quality.language(self.low, self.counts)

    @cached_property
    def lines(self) -> quality.Lines:
        return quality.lines(self.text, self.settings.short_line)

    @cached_property
    def units(self) -> repetition.Units:
        return repetition.units(self.text)

    @cached_property
    def words(self) -> float:
        return max(1.0, quality.words(self.counts, self.units.words))

    @cached_property
    def repeated_lines(self) -> repetition.Share:
        return repetition.duplicate_lines(self.text)

    @cached_property
    def repeated_paragraphs(self) -> repetition.Share:
        return repetition.duplicate_paragraphs(self.text)

    @cached_property
    def toxic(self) -> Counter[tuple[str, int]]:
        return toxic.toxic(self.low)

    @cached_property
    def tokens(self) -> int:
        ids: list[int] = _tokenizer(str(self.settings.tokenizer)).encode(self.whole, add_special_tokens=False)
        return len(ids)

    @property
    def stop_words(self) -> int | None:
        return quality.stop_words(self.low, self.language, self.settings.min_stop_words or 0)

    def ngrams(self, most: Ngrams) -> Ngrams:
        """`most` with each n in units: a word is two of Chinese and Japanese."""
        return {n * (2 if self.language in ("zh", "ja") else 1): share for n, share in most.items()}

    def of_lines(self, share: float) -> float | None:
        return share if self.lines.total else None

    @property
    def punctuated(self) -> float | None:
        """None for what is too short to have sentences: the item of a feed, a notice."""
        short = self.lines.total < _FEW_LINES and self.characters < _FEW_CHARACTERS
        return None if short else self.of_lines(self.lines.punctuated)

    @cached_property
    def is_rows(self) -> bool:
        return self.settings.rows == "own" and quality.rows(self.text) >= _ROWS


class Rule(NamedTuple):
    """Drops for `reason` what `measure` finds to be `side` the value of `setting`; None is not judged."""

    reason: str
    setting: str
    side: Literal["below", "above"]
    measure: Callable[[Measured], float | None]
    prose: bool = False
    """Whether a document of rows is exempt."""


RULES = (
    Rule("too-short", "min_characters", "below", lambda text: text.counts.visible, prose=True),
    Rule("too-long", "max_characters", "above", lambda text: text.counts.visible),
    Rule("garbled", "max_replacement", "above", lambda text: text.counts.replacement / text.characters),
    Rule("few-letters", "min_letters", "below", lambda text: text.counts.letters / text.characters, prose=True),
    Rule("symbols", "max_symbols", "above", lambda text: text.counts.symbol / text.characters, prose=True),
    Rule("few-stop-words", "min_stop_words", "below", lambda text: text.stop_words, prose=True),
    Rule("bullet-lines", "max_bullet_lines", "above", lambda text: text.lines.bullets, prose=True),
    Rule("ellipsis-lines", "max_ellipsis_lines", "above", lambda text: text.lines.ellipses),
    Rule(
        "unpunctuated-lines",
        "min_punctuated_lines",
        "below",
        lambda text: text.punctuated,
        prose=True,
    ),
    Rule("short-lines", "max_short_lines", "above", lambda text: text.lines.short, prose=True),
    Rule("short-mean-line", "min_mean_line", "below", lambda text: text.of_lines(text.lines.mean), prose=True),
    Rule("curly-braces", "max_braces", "above", lambda text: _count(text, "{", "}") / text.characters),
    Rule("policy-lines", "max_policy_lines", "above", lambda text: quality.policy_lines(text.low)),
    Rule("menu", "max_menu", "above", lambda text: quality.menu(text.low)),
    Rule("duplicate-lines", "max_duplicate_lines", "above", lambda text: text.repeated_lines.pieces, prose=True),
    Rule(
        *("duplicate-line-characters", "max_duplicate_line_characters", "above"),
        lambda text: text.repeated_lines.characters,
        prose=True,
    ),
    Rule(
        "duplicate-paragraphs",
        "max_duplicate_paragraphs",
        "above",
        lambda text: text.repeated_paragraphs.pieces,
        prose=True,
    ),
    Rule(
        *("duplicate-paragraph-characters", "max_duplicate_paragraph_characters", "above"),
        lambda text: text.repeated_paragraphs.characters,
        prose=True,
    ),
    Rule("hash-marks", "max_hashes", "above", lambda text: _by_word(text, _hash_marks(text)), prose=True),
    Rule("ellipses", "max_ellipses", "above", lambda text: _by_word(text, quality.ellipses(text.text))),
    Rule("line-ends", "max_line_ends", "above", lambda text: _by_word(text, text.text.strip().count("\n")), prose=True),
)
ROW_RULES = (
    Rule("duplicate-rows", "max_duplicate_rows", "above", lambda text: text.repeated_lines.pieces),
    Rule("codes", "max_codes", "above", lambda text: quality.codes(text.text)),
    Rule("few-row-letters", "min_row_letters", "below", lambda text: text.counts.letters),
)
"""What a document of rows is judged by, where prose would be dropped. In both, from the cheapest to the dearest: the
first that drops a document is its reason. Those with an answer other than a number are in `Filter.reason`."""


class Filter(Each[FilterSettings]):
    """Drops documents by heuristics after Gopher (Rae et al., 2021), C4 (Raffel et al., 2020) and FineWeb (Penedo et
    al., 2024), adapted to Chinese; the reasons are named in the settings, and `reviewed` is a reviewer's.

    A document has one reason, of the first rule that drops it, with the value measured. review.html shows a sample of
    every reason and of the kept, chosen by a hash of the id, to be judged by a human.

    Not covered: what `danlu.text.quality`, `repetition` and `toxic` say is not; perplexity and learned classifiers.
    """

    Settings = FilterSettings
    label = "filter"
    hint = "look at review.html of an earlier run, and turn rules off with null"

    def __init__(self, settings: FilterSettings) -> None:
        super().__init__(settings)
        self.decisions: dict[str, review.Decision] = {}

    @property
    def sampled(self) -> int:  # type: ignore[override]
        return self.settings.sampled

    def prepare(self, source: Artifact, track: Track) -> None:
        if self.settings.decisions is not None:
            self.decisions = review.read_decisions(self.settings.decisions)
        if self.settings.tokenizer is not None:
            _tokenizer(self.settings.tokenizer)

    def judge(self, document: Document, tally: Tally) -> Document | Drop:
        reason, detail = self.reason(document) or ("", "")
        decision = self.decisions.get(document.id)
        if decision is not None and not decision.fits(document):
            tally.counts["stale"] += 1
            decision = None
        if decision is not None:
            tally.counts[f"review\0{reason or review.KEPT}\0{decision.decision}"] += 1
            if decision.decision == "keep":
                return document
            reason, detail = "reviewed", f"was {reason}: {detail}" if reason else "was kept"
        return Drop(id=document.id, source=document.source, reason=reason, detail=detail) if reason else document

    def reason(self, document: Document) -> tuple[str, str] | None:
        """Why the rules drop the document, with what was measured; None when they keep it."""
        text, settings = Measured(document, self.settings), self.settings
        if settings.language is not None and text.language not in settings.language:
            return "wrong-language", text.language
        if settings.script is not None and (found := script_of(text.counts)) not in settings.script:
            return "wrong-script", found
        exempt = False
        for rule in RULES:
            if (why := self._broken(rule, text)) is None:
                continue
            if not (rule.prose and text.is_rows):
                return why
            exempt = True
        if exempt and (why := next(filter(None, (self._broken(rule, text) for rule in ROW_RULES)), None)):
            return why
        return self._dear(text)

    def _broken(self, rule: Rule, text: Measured) -> tuple[str, str] | None:
        """The rule's reason and what was measured, where it drops the document."""
        bound = getattr(self.settings, rule.setting)
        value = None if bound is None else rule.measure(text)
        if value is None or (value >= bound if rule.side == "below" else value <= bound):
            return None
        return rule.reason, f"{value:.4g}, {'at least' if rule.side == 'below' else 'at most'} {bound:g}"

    def _dear(self, text: Measured) -> tuple[str, str] | None:
        settings = self.settings
        if settings.lorem_ipsum is not None and quality.lorem(text.low):
            return "lorem-ipsum", ""
        if settings.max_toxic is not None and text.toxic:
            weight = toxic.weight(text.toxic) * _TOXIC_LENGTH / max(_TOXIC_LENGTH, text.characters)
            if weight > settings.max_toxic:
                words = ", ".join(f"{word} ×{count}" for (word, _), count in sorted(text.toxic.items()))
                return "toxic", f"{weight:.4g}, at most {settings.max_toxic:g}: {words}"
        if settings.top_ngrams is not None:
            most = text.ngrams(settings.top_ngrams)
            if (over := repetition.over_top(text.units, most)) is not None and not text.is_rows:
                return "top-ngram", f"{over[1]:.4g} of {over[0]}-grams, at most {most[over[0]]:g}"
        if settings.duplicate_ngrams is not None:
            most = text.ngrams(settings.duplicate_ngrams)
            if (over := repetition.over_duplicates(text.units, most)) is not None and not text.is_rows:
                return "duplicate-ngrams", f"{over[1]:.4g} of {over[0]}-grams, at most {most[over[0]]:g}"
        if settings.min_tokens is not None and text.tokens < settings.min_tokens:
            return "too-few-tokens", f"{text.tokens}, at least {settings.min_tokens}"
        if settings.max_tokens is not None and text.tokens > settings.max_tokens:
            return "too-many-tokens", f"{text.tokens}, at most {settings.max_tokens}"
        return None

    def finish(self, out: Draft, tally: Tally) -> None:
        if self.settings.sampled:
            out.file("review.html").write_bytes(review.page(tally).encode("utf-8", "replace"))
        if self.decisions:
            review.report(out, self.decisions, tally)


def _count(text: Measured, *marks: str) -> int:
    return sum(text.text.count(mark) for mark in marks)


_HEADING = re.compile(r"^#{1,6}(?= )", re.MULTILINE)


def _hash_marks(text: Measured) -> int:
    return _count(text, "#") - sum(len(marks) for marks in _HEADING.findall(text.text))


def _by_word(text: Measured, count: int) -> float:
    return count / text.words if count else 0.0


@lru_cache(maxsize=1)
def _tokenizer(name: str) -> Any:
    from danlu.model import find, load

    return load.load_tokenizer(find.locate(name))
