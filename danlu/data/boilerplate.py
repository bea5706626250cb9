"""data.boilerplate: without the lines that a source says on every page: menus, footers, running heads, page numbers."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections import Counter, deque
from collections.abc import Iterator
from itertools import islice, takewhile
from pathlib import PurePosixPath
from typing import IO, Annotated, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from pydantic import Field

from danlu.artifact import Artifact, Draft
from danlu.data.clean import by_place
from danlu.data.flow import Block, Each, Tally, blocks, spread
from danlu.data.seen import Seen, keys
from danlu.records import Document, Drop
from danlu.registry import From, Settings
from danlu.text import quoted
from danlu.track import Track

Array = Any
T = TypeVar("T")

_SKETCH = 1 << 24
_CHUNK = 1 << 20
_SHOWN, _EXCERPT = 20, 80
_EDGE, _FEWEST_PAGES, _MOST_NUMBERS = 2, 3, 4
_NUMBER = re.compile(r"[0-9]{1,6}")
_SENTENCE = re.compile('[。！？；，、：][」』）)"]*\\s*$')
_LABEL = re.compile(
    r"\W*(?:(?:附件|附表|附圖|附錄|表|圖|單元|課次?|練習|習題|範例|例題|問題|題|步驟|活動|主題|案例|項目|作業|實驗|方案)\s*[\d-]+"
    r"|(?:unit|lesson|chapter|section|part|table|figure|fig|appendix|exercise|question|step|case|week|day|annex|q)"
    r"[ .]*\d+|第\s*\d+\s*[條章節編篇款項卷回課講週周天題單組關步冊])(?![\d/])",
    re.I,
)
"""What is numbered by itself, not by the page."""
_STRUCTURE = re.compile(
    r"[\W_]*$|#{1,6} |\||第[ ]?[\d〇零一二三四五六七八九十百千 ]{1,8}(?:[條条章節节編编篇款目項项卷回課课講讲]|之)"
    r"|(?:chapter|section|article) \w",
    re.I,
)


class BoilerplateSettings(Settings):
    documents: Annotated[str, From("documents")]
    """The step that made the documents."""

    share: Annotated[float, Field(gt=0, le=1)] = 0.3
    """A line is boilerplate that at least this share of its source's documents say."""

    min_documents: Annotated[int, Field(ge=2, le=200)] = 5
    """… and at least so many of them."""

    page_share: Annotated[float, Field(gt=0, le=1)] = 0.6
    """A running head is a line at the top or bottom of at least this share of a document's pages, the page's
    number aside."""

    min_characters: Annotated[int, Field(ge=1)] = 1
    """Drop a document of which fewer characters than this are left, white space not counted."""


class Boilerplate(Each[BoilerplateSettings]):
    """Takes out lines that repeat over a source, and the heads, feet and numbers of pages. Drops `only-boilerplate`.

    A source is a web site (the host of `meta.url`), a file of many documents, or a folder. Equal documents of a source
    count as one: what they say is said once, and which copies go is for `data.dedup` to say. Lines are compared without
    white space at their ends. Headings (# …, 第三條 …), rows of tables, code and lines without a letter or digit are no
    boilerplate: they are structure.

    Page heads and feet are looked for among the first and last two lines of each page, in documents of three pages and
    more (`meta.pages`), from the edge inwards: what is inside of a line that stays, stays. They say the same on most
    pages, but for one number that goes up with the pages; a line with such a number that is a sentence or
    a label (第 3 課負責。, 附件 3, Unit 3) is no foot.

    Not covered: boilerplate inside a line, near copies of a document, lines that differ a little from page to page (a
    date), heads of more than two lines, heads that name the section, pages numbered in Roman or Chinese numerals."""

    Settings = BoilerplateSettings
    label = "boilerplate"
    hint = "raise share or min_documents in data.boilerplate"
    boilerplate: frozenset[int] = frozenset()
    """Hashes of (source, line)."""

    def prepare(self, source: Artifact, track: Track) -> None:
        parts = blocks(source.file("documents.jsonl"))
        bar = track.bar("repeated lines", sum(part.count for part in parts), unit="document")
        with Repeats(self.settings.min_documents) as repeats:
            for part, found in zip(parts, spread(lines_of, parts, track), strict=True):
                repeats.add(found)
                bar.update(part.count)
            bar.close()
            self.boilerplate = repeats.lines(self.settings.share)

    def judge(self, document: Document, tally: Tally) -> Document | Drop:
        edges = Edges.of(document, self.settings.page_share)
        name = origin(document)
        removed: Counter[str] = Counter()

        def change(part: str, place: int | None) -> str:
            page = part if place is None else edges.without(part, place, removed)
            return self._without(page, name, removed)

        text, spans = by_place(document, change)
        if not removed:
            return document
        tally.counts.update({f"line {line[:_EXCERPT]}": count for line, count in removed.items()})
        tally.counts["documents"] += 1
        if len("".join(text.split())) < self.settings.min_characters:
            detail = f"{removed.total()} lines"
            return Drop(id=document.id, source=document.source, reason="only-boilerplate", detail=detail)
        ending = "\n" if document.text.endswith("\n") else ""
        meta = document.meta | spans
        return document.model_copy(update={"text": text.rstrip("\n") + ending, "meta": meta})

    def _without(self, text: str, name: str, removed: Counter[str]) -> str:
        """`text` without boilerplate lines, and without the empty lines that this leaves."""
        if not self.boilerplate:
            return text
        kept: list[str] = []
        here: Counter[str] = Counter()
        for line, plain in candidates(text):
            if plain and key(name, plain) in self.boilerplate:
                here[plain] += 1
            elif line.strip() or not here or not kept or kept[-1].strip():
                kept.append(line)
        removed.update(here)
        return "\n".join(kept).strip("\n") if here else text

    def finish(self, out: Draft, tally: Tally) -> None:
        lines = Counter({name[5:]: count for name, count in tally.counts.items() if name.startswith("line ")})
        shown = sorted(lines.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
        out.table("Lines taken out most often", ["line", "times"], [[line, count] for line, count in shown])
        out.metrics.update(lines_removed=lines.total(), documents_changed=tally.counts["documents"])


def origin(document: Document) -> str:
    """The source whose pages say the same: the host of a web page, a file of many documents, or a folder."""
    host = urlsplit(str(document.meta.get("url") or "")).hostname
    if host:
        return f"//{host}"
    return document.source if document.id != document.source else str(PurePosixPath(document.source).parent)


def candidates(text: str) -> Iterator[tuple[str, str]]:
    """Each line, and its text without white space at its ends; empty where the line is structure or in code."""
    code = deque(span for span in quoted.code(text) if "\n" in text[slice(*span)])
    at = 0
    for line in text.split("\n"):
        end = at + len(line)
        plain = line.strip()
        while code and code[0][1] <= at:
            code.popleft()
        inside = bool(code) and code[0][0] <= end
        yield line, "" if inside or _STRUCTURE.match(plain) else plain
        at = end + 1


def key(origin: str, line: str) -> int:
    """64 bits of the hash of a line of a source."""
    return int.from_bytes(
        hashlib.blake2b(f"{origin}\0{line}".encode("utf-8", "replace"), digest_size=8).digest(), "big"
    )


class Found(NamedTuple):
    """A document: where it is from, the key of its text in that source, and those of its lines, each once."""

    origin: str
    text: int
    lines: Array


def lines_of(block: Block) -> list[Found]:
    """The documents of a block; of equal ones in it the first."""
    import numpy

    found: dict[int, Found] = {}
    for document in block.records():
        name = origin(document)
        text = key(name, document.text.strip())
        if text not in found:
            lines = {key(name, plain) for _, plain in candidates(document.text) if plain}
            found[text] = Found(name, text, numpy.array(sorted(lines), numpy.uint64))
    return list(found.values())


class Repeats:
    """Counts the documents that say a line, in memory that hardly grows with them.

    Of equal documents the first counts (8 bytes a document). Every line adds one to two of the counters of a sketch
    (count-min; Cormode and Muthukrishnan, 2005; 32 MiB), which are never too low; lines rest in a temporary file, 12
    bytes each. Those that the sketch leaves are counted exactly."""

    def __init__(self, least: int) -> None:
        import numpy

        self.least = least
        self.seen = Seen()
        self.places: dict[str, int] = {}
        self.sizes: list[int] = []
        self.sketch = numpy.zeros((2, _SKETCH), numpy.uint8)
        self.file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> Repeats:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def add(self, found: list[Found]) -> None:
        import numpy

        fresh = self.seen.new(keys(document.text for document in found)).tolist()
        new = [document for document, first in zip(found, fresh, strict=True) if first]
        for document in new:
            place = self.places.setdefault(document.origin, len(self.places))
            self.sizes += [0] * (place == len(self.sizes))
            self.sizes[place] += 1
            rows = numpy.empty(len(document.lines), _ROW)
            rows["key"], rows["origin"] = document.lines, place
            self.file.write(rows.tobytes())
        if not new:
            return
        everything = numpy.concatenate([document.lines for document in new])
        for at, counters in zip(_counters(everything), self.sketch, strict=True):
            at, count = numpy.unique(at, return_counts=True)
            counters[at] = numpy.minimum(255, counters[at] + count)

    def lines(self, share: float) -> frozenset[int]:
        """The keys of the lines that enough documents of their source say: `share` of them and `least` of them."""
        import numpy

        bounds = numpy.maximum(self.least, numpy.ceil(share * numpy.array(self.sizes) - 1e-9)).astype(numpy.int64)
        counts: Counter[tuple[int, int]] = Counter()
        self.file.seek(0)
        while data := self.file.read(_CHUNK * numpy.dtype(_ROW).itemsize):
            rows = numpy.frombuffer(data, _ROW)
            first, second = (counters[at] for at, counters in zip(_counters(rows["key"]), self.sketch, strict=True))
            often = numpy.minimum(first, second) >= numpy.minimum(255, bounds[rows["origin"]])
            kept, times = numpy.unique(rows[often], return_counts=True)
            counts.update(dict(zip(kept.tolist(), times.tolist(), strict=True)))
        return frozenset(line for (line, place), times in counts.items() if times >= bounds[place])


_ROW = [("key", "<u8"), ("origin", "<u4")]


def _counters(keys: Array) -> tuple[Array, Array]:
    """Where in each row of the sketch a line is counted."""
    return keys & (_SKETCH - 1), keys >> 40 & (_SKETCH - 1)


class Edges(NamedTuple):
    """Forms of the first (`top`) and last (`bottom`) lines of a document's pages that most pages have."""

    top: frozenset[str] = frozenset()
    bottom: frozenset[str] = frozenset()

    @staticmethod
    def of(document: Document, share: float) -> Edges:
        pages = document.meta.get("pages") or []
        if len(pages) < _FEWEST_PAGES:
            return Edges()
        found = Counter[str](), Counter[str]()
        for place, (*_, start, end) in enumerate(pages):
            lines = [line for line in document.text[start:end].split("\n") if line.strip()]
            for counts, edge in zip(found, _edges(lines), strict=True):
                counts.update({form for line in edge for form in forms(line, place)})
        enough = max(_FEWEST_PAGES, share * len(pages))
        return Edges(*(frozenset(form for form, count in counts.items() if count >= enough) for counts in found))

    def without(self, page: str, place: int, removed: Counter[str]) -> str:
        """A page without its head and foot; what is taken out is counted in `removed`, numbers as #."""
        if not any(self):
            return page
        lines = page.split("\n")
        top, bottom = _edges([at for at, line in enumerate(lines) if line.strip()])
        out: set[int] = set()
        for known, edge in ((self.top, top), (self.bottom, bottom[::-1])):
            out.update(takewhile(lambda at: not known.isdisjoint(forms(lines[at], place)), edge))  # noqa: B023
        if not out:
            return page
        removed.update(_NUMBER.sub("#", lines[at].strip()) for at in sorted(out))
        return "\n".join(line for at, line in enumerate(lines) if at not in out).strip("\n")


def _edges(lines: list[T]) -> tuple[list[T], list[T]]:
    return lines[:_EDGE], lines[_EDGE:][-_EDGE:]


def forms(line: str, place: int) -> list[str]:
    """What a head or foot is known by on the page at `place`: the line itself, and, but for sentences and labels, the
    line with one of its numbers as the distance to the place, which is the same on every page where that number counts
    the pages."""
    plain = line.strip()[:_EXCERPT]
    if _SENTENCE.search(line) or _LABEL.match(plain):
        return [plain]
    return [plain] + [
        f"{plain[: found.start()]}\0{int(found[0]) - place}\0{plain[found.end() :]}"
        for found in islice(_NUMBER.finditer(plain), _MOST_NUMBERS)
    ]
