"""data.clean: documents in one form, in Taiwan's characters and words, without what is too short or not Chinese."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

from danlu.artifact import Draft
from danlu.data.flow import Each, Tally
from danlu.records import Document, Drop
from danlu.registry import From, Settings
from danlu.text import mojibake, quoted, usage
from danlu.text.census import census
from danlu.text.normalise import normalise
from danlu.text.script import in_taiwan, script

_CHINESE = 0.1
_MOST_ROUNDS = 20
_BESIDE = 400
"""Characters of a Simplified document that tell what script its pages and its title are in."""
_REPAIRED = "repaired encoding"
_NORMALISED = "normalised"
_CONVERTED = "converted from Simplified"
_TERMS = "given Taiwan's terms"
_SPANS = ("pages", "slides", "sheets")


class CleanSettings(Settings):
    documents: Annotated[str, From("documents")]
    """The step that made the documents."""

    repair: bool = True
    """Mend lines that were decoded in the wrong encoding, where that is sure (`danlu.text.mojibake`)."""

    to_taiwan: Literal["auto", "never"] = "auto"
    """auto: what is in Simplified Chinese is put into Taiwan's characters, span by span (`danlu.text.spans`): a
    quotation, a paragraph or a whole document. Taiwan's own text stays as it is, and so do Japanese, Korean and
    Cantonese."""

    characters: Literal["standard", "everyday"] = "standard"
    """Which of two forms that mean the same converted text gets: the standard's (臺灣) or the everyday one (台灣).
    What is in Taiwan's characters already stays as it is."""

    taiwan_terms: bool = True
    """Replace mainland terms by Taiwan's (軟件 → 軟體), wherever `danlu text check` would report them outside of
    quotations."""

    quotations: Literal["keep", "change"] = "keep"
    """keep: what stands in 「」, 『』, “” and titles in 《》 keep their words; Simplified characters are converted in
    them too."""

    allow: tuple[str, ...] = ()
    """Words that stay as they are: proper names."""

    language: Literal["zh", "any"] = "zh"
    """zh: drop documents of which fewer than a tenth of the letters outside code are Chinese, and Japanese ones."""

    min_characters: int = 50
    """Drop documents with fewer characters than this, white space and code not counted."""


class Clean(Each[CleanSettings]):
    """Mends encodings, normalises (`danlu.text.normalise`), converts to Taiwan Chinese, and drops `too-short` and
    `not-chinese`.

    Fenced code stays as it is, to the byte; inline code keeps its characters' script. The spans of pages, slides and
    sheets are kept right. Not covered: the quality of what a text says (`data.filter`), boilerplate
    (`data.boilerplate`), personal data (`data.pii`).
    """

    Settings = CleanSettings
    label = "clean"
    hint = "lower min_characters, or set language: any"

    def judge(self, document: Document, tally: Tally) -> Document | Drop:
        cleaned = self.clean(document, tally.counts)
        reason = self._reason(cleaned)
        return Drop(id=document.id, source=document.source, reason=reason) if reason else cleaned

    def finish(self, out: Draft, tally: Tally) -> None:
        changes = tally.counts
        rows: list[list[object]] = [[what, changes[what]] for what in (_REPAIRED, _NORMALISED, _CONVERTED, _TERMS)]
        out.table("Documents changed", ["change", "documents"], rows)
        out.metrics.update(converted=changes[_CONVERTED], terms_replaced=changes["terms"])

    def clean(self, document: Document, changes: Counter[str]) -> Document:
        """The document in one form; what was done to it is counted in `changes`."""
        was = document.text
        if self.settings.repair:
            document, repaired = mended(document)
            changes[_REPAIRED] += repaired
        before = script(document.text)
        done: Counter[str] = Counter()
        beside = document.text[:_BESIDE] if before == "simplified" else ""

        def whole(text: str) -> str:
            plain = outside_fences(text, normalise)
            done[_NORMALISED] |= plain.strip() != text.strip()
            taiwan = in_taiwan(plain, beside, self.settings.characters) if self.settings.to_taiwan == "auto" else plain
            done[_CONVERTED] |= taiwan != plain
            fixed = self._terms(taiwan, done) if self.settings.taiwan_terms else taiwan
            done[_TERMS] |= fixed != taiwan
            return fixed

        text, places = by_spans(document, whole)
        title = whole(document.title)
        changes.update(done)
        meta = document.meta | places
        if done[_CONVERTED]:
            meta["converted_from"] = before if before == "simplified" else "mixed"
        if was != document.text:
            meta["repaired"] = True
        return document.model_copy(update={"text": text + "\n", "title": title, "meta": meta})

    def _terms(self, text: str, done: Counter[str]) -> str:
        """`text` in Taiwan's words, until there is nothing more to replace."""
        for _ in range(_MOST_ROUNDS):
            kept = quoted.quotations(text) if self.settings.quotations == "keep" else []
            hits = [
                hit
                for hit in usage.find(text, self.settings.allow)
                if not any(start <= hit.start and hit.end <= end for start, end in kept)
            ]
            if not hits:
                break
            done["terms"] += len(hits)
            text = usage.replaced(text, hits)
        return text

    def _reason(self, document: Document) -> str:
        """Why the document is dropped; empty when it is kept."""
        prose = outside_code(document.text, lambda text: text, code=lambda text: "")
        counts = census(prose)
        if counts.visible < self.settings.min_characters:
            return "too-short"
        if self.settings.language == "any":
            return ""
        chinese = counts.han >= _CHINESE * counts.letters and script(prose) != "other"
        return "" if chinese else "not-chinese"


def mended(document: Document) -> tuple[Document, bool]:
    """The document with the damage of a wrong decoding undone, and whether there was any. The spans of its pages,
    slides and sheets are kept right."""
    text, lines = mojibake.repair(document.text)
    if not lines:
        return document, False
    if not any(name in document.meta for name in _SPANS):
        return document.model_copy(update={"text": text}), True
    text, spans = by_spans(document, lambda part: mojibake.repair(part)[0])
    return document.model_copy(update={"text": text, "meta": document.meta | spans}), True


def outside_code(text: str, change: Callable[[str], str], code: Callable[[str], str] = lambda text: text) -> str:
    """`text` with `change` made to everything but Markdown code, to which `code` is done."""
    pieces, at = [], 0
    for start, end in quoted.code(text):
        pieces += [change(text[at:start]), code(text[start:end])]
        at = end
    return "".join([*pieces, change(text[at:])])


def outside_fences(text: str, change: Callable[[str], str]) -> str:
    """`text` with `change` made to each stretch between fenced code blocks; one empty line at most stays beside it."""
    pieces, at = [], 0
    fences = [span for span in quoted.code(text) if _is_fence(text[slice(*span)])]
    for start, end in [*fences, (len(text), len(text))]:
        stretch = text[at:start]
        changed = change(stretch).strip("\n")
        inner = stretch.strip("\n")
        before = min(2, len(stretch) - len(stretch.lstrip("\n"))) if at else 0
        after = min(2, len(stretch) - len(stretch.rstrip("\n"))) if inner and start < end else 0
        pieces += ["\n" * before, changed, "\n" * (after if changed else 0), text[start:end]]
        at = end
    return "".join(pieces).rstrip("\n")


def _is_fence(code: str) -> bool:
    return "\n" in code and code.lstrip(" \t>").startswith(("```", "~~~"))


def by_spans(document: Document, change: Callable[[str], str]) -> tuple[str, dict[str, Any]]:
    """The document's text with `change` made to each of its pages (or slides, or sheets) and to what lies between them,
    and the spans of these where they are now; with `change` made to the whole where there are none.

    A span is [start, end) in characters, with or without a name before it.
    """
    return by_place(document, lambda part, place: change(part))


def by_place(document: Document, change: Callable[[str, int | None], str]) -> tuple[str, dict[str, Any]]:
    """`by_spans` whose `change` is told which page it is given, from 0; None for what is between and for the whole."""
    name = next((name for name in _SPANS if document.meta.get(name)), None)
    if name is None:
        return change(document.text, None), {}
    out = ""
    spans: list[list[Any]] = []
    for span, part in _parts(document.text, document.meta[name]):
        changed = change(part, None if span is None else len(spans))
        if span is None and not changed.strip():
            continue
        out += "\n\n" if out else ""
        if span is not None:
            spans.append([*span[:-2], len(out), len(out) + len(changed)])
        out += changed
    return out, {name: spans}


def _parts(text: str, spans: list[list[Any]]) -> Iterator[tuple[list[Any] | None, str]]:
    """Each span with its text, and what stands between them, with None."""
    at = 0
    for span in spans:
        start, end = span[-2:]
        yield None, text[at:start]
        yield span, text[start:end]
        at = max(at, end)
    yield None, text[at:]
