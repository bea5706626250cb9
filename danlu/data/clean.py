"""data.clean: documents in one form, in Taiwan's characters and words, without what is too short or not Chinese."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

from danlu.artifact import Artifact, Draft
from danlu.errors import DataError
from danlu.records import Document, Drop, read_jsonl, write_jsonl
from danlu.registry import From, Settings, Step
from danlu.text import quoted, usage, variants
from danlu.text.normalise import normalise
from danlu.text.script import script
from danlu.track import Track

_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_CHINESE = 0.1
_NORMALISED = "normalised"
_CONVERTED = "converted from Simplified"
_TERMS = "given Taiwan's terms"


class CleanSettings(Settings):
    documents: Annotated[str, From("documents")]
    """The step that made the documents."""

    to_taiwan: Literal["auto", "never"] = "auto"
    """auto: a document that is in Simplified Chinese, or mixes both scripts, is converted to Taiwan's characters."""

    taiwan_terms: bool = True
    """Replace mainland terms by Taiwan's (軟件 → 軟體), wherever `danlu text check` would report them."""

    allow: tuple[str, ...] = ()
    """Words that stay as they are: proper names."""

    language: Literal["zh", "any"] = "zh"
    """zh: drop documents of which fewer than a tenth of the letters outside code are Chinese, and Japanese ones."""

    min_characters: int = 50
    """Drop documents with fewer characters than this, white space and code not counted."""


class Clean(Step[CleanSettings]):
    """Normalises (`danlu.text.normalise`), converts to Taiwan Chinese, and drops `too-short` and `not-chinese`.

    Fenced code stays as it is, to the byte; inline code keeps its characters' script. A PDF's page spans are kept
    right. Not covered: the quality of what a text says, boilerplate, personal data.
    """

    Settings = CleanSettings
    makes = "documents"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        came = list(read_jsonl(inputs["documents"].file("documents.jsonl"), Document))
        kept: list[Document] = []
        drops: list[Drop] = []
        changes: Counter[str] = Counter()
        for document in track.over(came, "clean", unit="document"):
            cleaned = self.clean(document, changes)
            reason = self._reason(cleaned)
            if reason:
                drops.append(Drop(id=document.id, source=document.source, reason=reason))
            else:
                kept.append(cleaned)
        reasons = dict(sorted(Counter(drop.reason for drop in drops).items()))
        if not kept:
            raise DataError(
                f"no document is left of {len(came)}: {reasons}", next="lower min_characters, or set language: any"
            )
        write_jsonl(out.file("documents.jsonl"), kept)
        write_jsonl(out.file("dropped.jsonl"), drops)
        out.funnel("clean", len(came), len(kept), reasons, unit="documents")
        rows: list[list[object]] = [[what, changes[what]] for what in (_NORMALISED, _CONVERTED, _TERMS)]
        out.table("Documents changed", ["change", "documents"], rows)
        out.metrics.update(documents=len(kept), converted=changes[_CONVERTED], terms_replaced=changes["terms"])

    def clean(self, document: Document, changes: Counter[str]) -> Document:
        """The document in one form; what was done to it is counted in `changes`."""
        foreign = self.settings.to_taiwan == "auto" and script(document.text) in ("simplified", "mixed")
        done: Counter[str] = Counter()

        def whole(text: str) -> str:
            plain = outside_fences(text, normalise)
            done[_NORMALISED] |= plain.strip() != text.strip()
            taiwan = outside_code(plain, variants.to_traditional) if foreign else plain
            done[_CONVERTED] |= taiwan != plain
            if not self.settings.taiwan_terms:
                return taiwan
            done["terms"] += usage.count(taiwan, self.settings.allow)
            fixed = usage.fix(taiwan, self.settings.allow)
            done[_TERMS] |= fixed != taiwan
            return fixed

        meta = dict(document.meta)
        if "pages" in meta:
            text, meta["pages"] = by_page(document.text, meta["pages"], whole)
        else:
            text = whole(document.text)
        changes.update(done)
        if done[_CONVERTED]:
            meta["converted_from"] = script(document.text)
        return document.model_copy(update={"text": text + "\n", "title": whole(document.title), "meta": meta})

    def _reason(self, document: Document) -> str:
        """Why the document is dropped; empty when it is kept."""
        prose = outside_code(document.text, lambda text: text, code=lambda text: "")
        if sum(map(len, prose.split())) < self.settings.min_characters:
            return "too-short"
        if self.settings.language == "any":
            return ""
        letters = sum(character.isalpha() for character in prose)
        chinese = len(_HAN.findall(prose)) >= _CHINESE * letters and script(prose) != "other"
        return "" if chinese else "not-chinese"


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


def by_page(text: str, pages: list[list[int]], change: Callable[[str], str]) -> tuple[str, list[list[int]]]:
    """`change` made to each page's [start, end); the new text and the new spans."""
    out, spans = "", []
    for start, end in pages:
        page = change(text[start:end])
        out += "\n\n" if out else ""
        spans.append([len(out), len(out) + len(page)])
        out += page
    return out, spans
