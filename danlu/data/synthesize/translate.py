"""data.translate: examples in English or Simplified Chinese → examples in the Chinese of Taiwan."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from danlu.artifact import Artifact, Draft, digest
from danlu.data.requests import Failure, Ledger, Request, ledger
from danlu.data.structured import Shape, parse, schema
from danlu.data.synthesize.kept import Masked, changed_numbers, marks, masked, unmarked
from danlu.data.synthesize.prompts import messages
from danlu.data.synthesize.writing import Harvest, Writing, example_batches, taiwanese
from danlu.errors import DataError
from danlu.records import Example, Message
from danlu.registry import From, Source, Step
from danlu.text import usage
from danlu.text.script import script
from danlu.track import Track

_HAN = re.compile(r"[\u3400-\u9fff]")
_LETTER = re.compile(r"[^\W\d_]")
_FEW = 12


class TranslateSettings(Writing):
    examples: Annotated[str, From("examples")]
    """The step that made the examples."""

    glossary: Annotated[Path | None, Source()] = None
    """A table of terms (.csv or .tsv, UTF-8): a term of the source and its translation in each row."""

    simplified: Literal["convert", "ask"] = "convert"
    """convert: text that is Chinese already is converted and mended by rule, without a request."""

    repairs: Annotated[int, Field(ge=0, le=3)] = 1
    """How often the model is told what is wrong with its translation, and asked again."""

    piece_characters: Annotated[int, Field(ge=200)] = 2000
    """Longer messages are translated in pieces, cut at empty lines."""


class Translation(Shape):
    translation: str


@dataclass
class Piece:
    """A piece of a message on its way: `complaints` are what is wrong with `text`, the translation so far; `asked`
    says that it needs a model."""

    example: int
    message: int
    source: Masked
    after: str
    text: str = ""
    asked: bool = False
    complaints: list[str] = field(default_factory=list)
    failure: Failure | None = None


class Translate(Step[TranslateSettings]):
    """Translation of every message, checked against what must not change.

    Code, addresses, formulas, placeholders and tags are marks (⟦1⟧) for the model and are put back after. A
    translation is then mended to Taiwan usage (`danlu.text.usage`) and checked: every mark exactly once
    (`mark-lost`), the same numbers in digits (`number-changed`), the glossary's terms (`term-missed`), Chinese in
    Traditional characters (`not-translated`, `not-traditional`), no mainland words left (`mainland-words`), neither
    cut short nor blown up (`odd-length`). What fails is told to the model and asked again; then the example is dropped
    with that reason, or with the request's `not-json`, `wrong-shape`, `cut-off`, `refused`. `tools`: an example with
    tool calls is left out. Text that is Traditional Chinese already is mended by rule alone.

    An example keeps its document, names its origin in `meta`, and has no span. Not covered: whether the meaning is
    whole, for which data.judge comes after; other languages than English and Chinese are translated as they come.
    """

    Settings = TranslateSettings
    makes = "examples"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        self.glossary = glossary(self.settings.glossary)
        self.harvest = Harvest(out, "translate", self.settings)
        self.ways: Counter[str] = Counter()
        with ledger(self.settings, out, track, "translate") as asking:
            for batch in example_batches(inputs["examples"]):
                self._batch(asking, batch)
            self.harvest.finish(hint="another model, or more repairs")
            asking.report(out)
        rows: list[list[object]] = [[way, count] for way, count in sorted(self.ways.items())]
        rows += [["words mended to Taiwan usage", self.harvest.mended]]
        out.table("Pieces of text", ["what", "pieces"], rows)

    def _batch(self, asking: Ledger, batch: list[Example]) -> None:
        left = [piece for at, example in enumerate(batch) if not _tools(example) for piece in self._pieces(at, example)]
        waiting = [piece for piece in left if piece.asked]
        for again in range(self.settings.repairs + 1):
            self._translated(asking, waiting, again)
            waiting = [piece for piece in waiting if piece.failure]
        for at, example in enumerate(batch):
            mine = [piece for piece in left if piece.example == at]
            self._finish(example, mine)

    def _pieces(self, at: int, example: Example) -> Iterator[Piece]:
        for number, message in enumerate(example.messages):
            whole = masked(message.content)
            for text, after in _cut(whole.text, self.settings.piece_characters):
                by_rule = self._by_rule(text)
                self.ways["asked" if by_rule is None else "by rule"] += 1
                yield Piece(at, number, Masked(text, whole.parts), after, by_rule or "", by_rule is None)

    def _by_rule(self, text: str) -> str | None:
        """The text itself where there is nothing to translate, the converted text where it is Chinese; else None."""
        plain = unmarked(text)
        if not _LETTER.search(plain):
            return text
        chinese = len(_HAN.findall(plain)) * 2 > len(_LETTER.findall(plain))
        if not chinese or (self.settings.simplified == "ask" and script(plain) != "traditional"):
            return None
        mended, count = taiwanese(text)
        self.harvest.mended += count
        return mended

    def _translated(self, asking: Ledger, waiting: list[Piece], again: int) -> None:
        options = asking.options(schema(Translation), self.settings.seed)
        requests = [Request(self._prompt(piece), options) for piece in waiting]
        results = asking.parsed(requests, lambda text: parse(text, Translation))
        for piece, result in zip(waiting, results, strict=True):
            if isinstance(result, Failure):
                piece.failure, piece.complaints = result, []
                continue
            if again:
                self.ways["asked again"] += 1
            piece.text, count = taiwanese(result.translation.strip())
            self.harvest.mended += count
            piece.failure = self._check(piece)

    def _prompt(self, piece: Piece) -> tuple[Message, ...]:
        terms = [f"{source} → {target}" for source, target in self._terms(piece.source.text)]
        listed = "4. 下列詞語照表翻譯：\n" + "\n".join(terms) + "\n" if terms else ""
        first = messages("translate", glossary=listed, text=piece.source.text)
        if not piece.complaints:
            return first
        told = messages("retranslate", complaints="\n".join(f"- {one}" for one in piece.complaints))
        return (*first, Message(role="assistant", content=piece.text), *told)

    def _terms(self, text: str) -> list[tuple[str, str]]:
        return [(source, target) for source, target, pattern in self.glossary if pattern.search(unmarked(text))]

    def _check(self, piece: Piece) -> Failure | None:
        """The first thing that is wrong; `complaints` tell all of it to the model, in its language."""
        wrong = list(self._wrong(piece.source.text, piece.text))
        piece.complaints = [complaint for _, _, complaint in wrong]
        return Failure(wrong[0][0], wrong[0][1]) if wrong else None

    def _wrong(self, source: str, text: str) -> Iterator[tuple[str, str, str]]:
        """(reason, detail, complaint) of everything that is wrong with a translation."""
        plain, before = unmarked(text), unmarked(source)
        wanted, found = Counter(marks(source)), Counter(marks(text))
        lost = sorted((wanted - found) | (found - wanted))
        if lost:
            yield "mark-lost", " ".join(lost), f"這些記號要剛好出現一次：{'、'.join(lost)}"
        if numbers := changed_numbers(source, text):
            yield "number-changed", " ".join(numbers), f"這些數字和原文不一致：{'、'.join(numbers)}"
        missed = [f"{a} → {b}" for a, b in self._terms(source) if b.casefold() not in text.casefold()]
        if missed:
            yield "term-missed", "; ".join(missed), f"沒有照表翻譯：{'；'.join(missed)}"
        if len(_LETTER.findall(before)) > _FEW and not _HAN.search(plain):
            yield "not-translated", plain[:60], "沒有翻譯成中文"
        elif script(plain) not in ("traditional", "other"):
            yield "not-traditional", plain[:60], "要用繁體中文"
        if left := usage.find(text):
            words = "、".join(f"{hit.found}（{hit.suggestion}）" for hit in left[:5])
            yield "mainland-words", words, f"要用臺灣的用語：{words}"
        if len(before) > 40 and not 0.1 < len(plain.strip()) / len(before.strip()) < 2:
            yield "odd-length", f"{len(before)} → {len(plain)} characters", "譯文的長度和原文相差太多"

    def _finish(self, example: Example, mine: list[Piece]) -> None:
        failed = next((piece for piece in mine if piece.failure), None)
        if _tools(example):
            self._drop(example, Failure("tools", "tool calls are not translated"))
        elif failed is not None and failed.failure is not None:
            self._drop(example, failed.failure)
        else:
            self.harvest.keep(self._example(example, mine))

    def _example(self, example: Example, mine: list[Piece]) -> Example:
        talk = []
        for number, message in enumerate(example.messages):
            pieces = [piece for piece in mine if piece.message == number]
            text = "".join(piece.source.restored(piece.text) + piece.after for piece in pieces)
            talk.append(message.model_copy(update={"content": text}))
        changed = {
            "id": digest(["translate", example.id])[:16],
            "messages": talk,
            "start": 0,
            "end": 0,
            "method": f"{example.method}+translate" if example.method else "translate",
            "meta": {**example.meta, "origin": example.id},
        }
        return example.model_copy(update=changed)

    def _drop(self, example: Example, failure: Failure) -> None:
        self.harvest.drop(example.id, example.source or example.document, failure)


def glossary(path: Path | None) -> list[tuple[str, str, re.Pattern[str]]]:
    """(term, translation, pattern that finds the term), longest terms first. DataError names a row that is none."""
    if path is None:
        return []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the glossary cannot be read: {error}", where=str(path)) from None
    found: dict[str, str] = {}
    for number, row in enumerate(csv.reader(text.splitlines(), delimiter="\t" if path.suffix == ".tsv" else ","), 1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#"):
            continue
        if len(cells) < 2 or not cells[0] or not cells[1]:
            raise DataError(
                "a row of a glossary is a term and its translation", where=f"{path}:{number}", next="term,translation"
            )
        found[cells[0]] = cells[1]
    return [(term, found[term], _pattern(term)) for term in sorted(found, key=lambda term: (-len(term), term))]


def _pattern(term: str) -> re.Pattern[str]:
    edge = [r"(?<![A-Za-z0-9])", r"(?![A-Za-z0-9])"] if term.isascii() else ["", ""]
    return re.compile(edge[0] + re.escape(term) + edge[1], re.IGNORECASE)


def _cut(text: str, characters: int) -> Iterator[tuple[str, str]]:
    """(piece, the white space after it): the whole text, or pieces of whole paragraphs."""
    parts = re.split(r"(\n[ \t]*\n\s*)", text)
    held, gap = parts[0], ""
    for space, part in zip(parts[1::2], parts[2::2], strict=True):
        if len(held) + len(gap) + len(space) + len(part) > characters:
            yield held, space
            held = part
        else:
            held += space + part
    yield held, ""


def _tools(example: Example) -> bool:
    return bool(example.tools) or any(message.tool_calls or message.role == "tool" for message in example.messages)
