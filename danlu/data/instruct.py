"""data.instruct: instruction examples from the structure of documents, without a model."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import Field

from danlu.artifact import Artifact, Draft, digest
from danlu.data.candidates import Candidate, candidates
from danlu.data.flow import Block, blocks, encoded, spread
from danlu.data.seen import Seen, key, keys
from danlu.data.structure import Block as Part
from danlu.data.structure import Section, sections
from danlu.errors import DataError
from danlu.records import Document, Drop, Example, Message
from danlu.registry import From, Settings, Step
from danlu.text.grounding import REFUSAL, grounded_prompt, titled
from danlu.track import Track

if TYPE_CHECKING:
    from danlu.data.seen import Keys

_SHARED = 3
_MOST_SHOWN = 20
_HEADING = re.compile(r"(?:^|[\r\n]) {0,3}(?:#|=+[ \t]*(?:[\r\n]|$)|-+[ \t]*(?:[\r\n]|$))")
_PASSAGE = 40
_CONTEXT = re.compile(
    r"這一?[章節篇](?!文)|(?<![一二三兩幾這那的根])本[章節書]|這本書|[上下前]一?[章節]"
    r"|第 ?[一二三四五六七八九十\d]+ ?[章節]|如[上下](?:圖|表|所示)|[左右中上下]圖"
    r"|[上下](?:面|述|方|列)的?(?:程式|例子|範例|圖|表|公式|函式|檢查|清單|數字|兩[張個])"
    r"|(?<![意企試版地])圖[中裡]|(?:範例|圖示) ?\d+|(?:^|[，。；：（見如在由從])[圖表] ?\d+"
    r"|這[一段張個]{1,2}(?:程式|圖)|以下程式|前面(?:提到|說過|介紹|看過|談過)|剛才|稍早|稍後|後面會|接下來(?:會|的|，我們)|讓我們[再來先]{0,2}看|[此本](?:章|節|附錄|範例)"
    r"|前[二三四五六兩]?條(?!件)"
)


class InstructSettings(Settings):
    documents: Annotated[str, From("documents")]
    """The step that made the documents."""

    min_characters: Annotated[int, Field(ge=1)] = 12
    """Drop answers with fewer characters."""

    max_characters: Annotated[int, Field(ge=1)] = 320
    """Drop answers with more characters; of a section, as many whole paragraphs are taken as fit."""

    grounded: Annotated[float, Field(ge=0, le=1)] = 0.35
    """Share of the examples that ask with passages to answer from, written by `danlu.text.grounding`."""

    refuse: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of the examples whose passages do not hold the answer, and whose answer says so."""

    passage_characters: Annotated[int, Field(ge=1)] = 240
    """About how long a passage is."""

    skip_headings: tuple[str, ...] = (
        *("*延伸閱讀*", "*參考資料*", "*參考文獻*", "*練習*", "*習題*", "*作業*", "*動手做*", "目錄", "致謝", "*版權*"),
        *("*這一章*", "*本章*", "*本節*", "小結", "總結", "下一步", "references", "further reading", "exercises"),
    )
    """Patterns (`*` and `?`, case ignored) of headings whose sections, with all below them, make no examples."""

    system: str = ""
    """A system message that begins every example; none when empty."""

    seed: int = 0
    """Seed of the choice of wordings, and of the examples that get passages."""


@dataclass(frozen=True)
class Page:
    """A document with its sections, and which of them may make examples."""

    document: Document
    sections: list[Section]
    skipped: list[bool]


class Instruct(Step[InstructSettings]):
    """The shapes are those of `danlu.data.candidates`; each example carries the span that its answer was taken from.

    Drops, with their reasons: `skipped-heading`; `shared-heading` (a heading that three or more documents have is part
    of their form, no topic: its own text is not asked for, what stands below it is); `no-prose` and `holds-code`
    (nothing to say without the code); `context-bound` (it speaks of 這一章, 前條 or 下面的程式); `no-question`;
    `too-short`, `too-long`; `duplicate`. Clauses of statutes and policies are no shared headings.

    Passages, those that do not answer too, come from the example's own document, so that a split by document stays
    clean. A refusal's passages are the sections least like question and answer; that they do not answer in other words
    is likely, not proved. Its span is that of the answer withheld. Not covered: questions over several documents or
    turns.
    """

    Settings = InstructSettings
    makes = "examples"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        parts = blocks(inputs["documents"].file("documents.jsonl"))
        shared = self._shared_headings(parts, track)
        total = Total()
        seen = Seen()
        bar = track.bar("instruct", sum(part.count for part in parts), unit="document")
        with out.file("examples.jsonl").open("wb") as examples, out.file("dropped.jsonl").open("wb") as dropped:
            for part, made in zip(parts, spread(partial(self._block, shared), parts, track), strict=True):
                fresh = iter(seen.new(keys(one.key for one in made if one.example)).tolist())
                for one in made:
                    kept = bool(one.example) and next(fresh)
                    (examples if kept else dropped).write(one.example if kept else one.drop)
                    total.add(one, kept)
                total.end(part)
                bar.update(part.count)
        bar.close()
        if not total.kept:
            raise DataError(
                f"no example could be made of {total.documents} document(s)",
                next="documents need headings (#, 第一條), definitions (- **詞**：說明), questions or announced lists",
            )
        total.report(out)

    def _shared_headings(self, parts: list[Block], track: Track) -> frozenset[int]:
        """The keys of the headings that three or more documents have."""
        count = Often()
        bar = track.bar("headings", sum(part.count for part in parts), unit="document")
        for part, found in zip(parts, spread(_headings, parts, track), strict=True):
            count.add(found)
            bar.update(part.count)
        bar.close()
        return frozenset(count.at_least(_SHARED).tolist())

    def _block(self, shared: frozenset[int], block: Block) -> list[Made]:
        """What is made of the documents of a block, in order. Runs in other processes."""
        made: list[Made] = []
        for document in block.records():
            page = self._page(document)
            size = len(document.text)
            for candidate in candidates(document, page.sections, self.settings.max_characters):
                judged = self._judge(page, candidate, shared)
                if judged.reason:
                    drop = encoded(self._drop(document, judged))
                    made.append(Made(document.id, size, b"", drop, judged.reason, "", 0, 0))
                    continue
                example = self._example(page, judged)
                twin = encoded(self._drop(document, replace(judged, reason="duplicate")))
                (question,), told = judged.questions, len(example.messages[-1].content)
                said = key(f"{question}\0{judged.answer}")
                made.append(Made(document.id, size, encoded(example), twin, "duplicate", example.method, told, said))
        return made

    def _page(self, document: Document) -> Page:
        found = sections(document.text)
        patterns = [pattern.lower() for pattern in self.settings.skip_headings]
        skipped = [_is_skipped(section, patterns) for section in found]
        return Page(document, found, skipped)

    def _judge(self, page: Page, candidate: Candidate, shared: frozenset[int]) -> Candidate:
        """The candidate with one wording, or with the reason why it is dropped."""
        section = page.sections[candidate.section]
        place = f"{page.document.id}:{candidate.method}:{candidate.start}"
        chosen = candidate.questions[draw(self.settings.seed, "wording", place) % len(candidate.questions)]
        reason = candidate.reason
        if page.skipped[candidate.section]:
            reason = "skipped-heading"
        elif candidate.method == "section" and not section.clause and key(section.heading) in shared:
            reason = "shared-heading"
        elif not reason:
            reason = self._reason(chosen, candidate.answer)
        return replace(candidate, questions=(chosen,), reason=reason)

    def _reason(self, question: str, answer: str) -> str:
        if len(answer) < self.settings.min_characters:
            return "too-short"
        if len(answer) > self.settings.max_characters:
            return "too-long"
        if _CONTEXT.search(answer) or _CONTEXT.search(question) or answer.endswith(("：", ":")):
            return "context-bound"
        return ""

    def _example(self, page: Page, candidate: Candidate) -> Example:
        (question,) = candidate.questions
        place = f"{page.document.id}:{candidate.method}:{candidate.start}:{question}"
        prompt, answer, method = question, candidate.answer, candidate.method
        lot = draw(self.settings.seed, "passages", place) / 2**64
        if lot < self.settings.refuse:
            passages = least_alike(page, candidate, question + answer, self.settings.passage_characters)
            if passages:
                prompt, answer, method = grounded_prompt(question, passages), REFUSAL, "refuse"
        elif lot < self.settings.refuse + self.settings.grounded:
            prompt, method = grounded_prompt(question, self._passages(page, candidate, place)), f"{method}+passages"
        system = [Message(role="system", content=self.settings.system)] if self.settings.system else []
        return Example(
            id=digest([place, prompt])[:16],
            messages=[*system, Message(role="user", content=prompt), Message(role="assistant", content=answer)],
            document=page.document.id,
            start=candidate.start,
            end=candidate.end,
            method=method,
        )

    def _passages(self, page: Page, candidate: Candidate, key: str) -> list[str]:
        """The passage that holds the answer, and in half of the cases another section before or after it."""
        size = self.settings.passage_characters
        lot = draw(self.settings.seed, "distractor", key)
        passages = [evidence(page, candidate, size, forward=lot // 2 % 2)]
        others = others_of(page, candidate, size)
        if others and lot % 2:
            passages.insert(lot // 4 % 2, others[lot // 8 % len(others)])
        return passages

    def _drop(self, document: Document, candidate: Candidate) -> Drop:
        detail = f"{candidate.method}: {candidate.questions[0]}"
        id = digest([document.id, candidate.method, candidate.start, candidate.end])[:16]
        return Drop(id=id, source=document.source, reason=candidate.reason, detail=detail)


class Made(NamedTuple):
    """A candidate, judged: the line of its example (empty when it is dropped anyway), and that of its Drop, as the
    duplicate that it may turn out to be. `key` is that of question and answer."""

    document: str
    size: int
    example: bytes
    drop: bytes
    reason: str
    method: str
    answer: int
    key: int


@dataclass
class Total:
    """What the report counts; of the documents the ones with the most examples."""

    documents: int = 0
    kept: int = 0
    answers: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    methods: Counter[str] = field(default_factory=Counter)
    each: Counter[tuple[str, int]] = field(default_factory=Counter)

    def add(self, one: Made, kept: bool) -> None:
        self.each[one.document, one.size] += kept
        if kept:
            self.kept += 1
            self.answers += one.answer
            self.methods[one.method] += 1
        else:
            self.reasons[one.reason] += 1

    def end(self, block: Block) -> None:
        """After a block, which holds its documents whole: forget all but those with the most examples."""
        self.documents += block.count
        self.each = Counter(dict(self.each.most_common(_MOST_SHOWN)))

    def report(self, out: Draft) -> None:
        reasons = dict(sorted(self.reasons.items()))
        out.funnel("instruct", self.kept + sum(reasons.values()), self.kept, reasons, unit="examples")
        out.table(
            "Examples by shape", ["shape", "examples"], [[name, self.methods[name]] for name in sorted(self.methods)]
        )
        rows = [[*document, count] for document, count in self.each.most_common()]
        shown = f" ({len(rows)} of {self.documents})" if len(rows) < self.documents else ""
        out.table(f"Examples by document{shown}", ["document", "characters", "examples"], rows)
        out.metrics.update(examples=self.kept, answer_characters=self.answers)


class Often:
    """How often each key came, up to 255 times: nine bytes a key."""

    def __init__(self) -> None:
        import numpy as np

        self.keys: Keys = np.zeros(0, dtype=np.uint64)
        self.counts: Any = np.zeros(0, dtype=np.uint8)
        self.waiting: list[Keys] = []

    def add(self, found: Keys) -> None:
        self.waiting.append(found)
        if sum(map(len, self.waiting)) > len(self.keys):
            self._merge()

    def at_least(self, times: int) -> Keys:
        """The keys that came `times` or more, sorted."""
        self._merge()
        found: Keys = self.keys[self.counts >= times]
        return found

    def _merge(self) -> None:
        import numpy as np

        ones = [np.ones(len(found), dtype=np.uint8) for found in self.waiting]
        found, counts = np.concatenate([self.keys, *self.waiting]), np.concatenate([self.counts, *ones])
        self.waiting = []
        order = np.argsort(found, kind="stable")
        found, counts = found[order], counts[order].astype(np.int64)
        first = np.flatnonzero(np.concatenate([[True], found[1:] != found[:-1]])) if len(found) else np.zeros(0, int)
        self.keys = found[first]
        sums = np.add.reduceat(counts, first) if len(found) else counts
        self.counts = np.minimum(sums, 255).astype(np.uint8)


def _headings(block: Block) -> Keys:
    """The keys of the headings of each document, each once a document."""
    found: list[int] = []
    for document in block.records():
        if _HEADING.search(document.text):
            found += {key(section.heading) for section in sections(document.text) if not section.clause}
    return keys(found)


def _is_skipped(section: Section, patterns: list[str]) -> bool:
    """Whether a heading is one of those to leave out; a clause's must be the word itself (作業程序 is no homework)."""
    if section.clause:
        return section.heading.lower() in {pattern.strip("*") for pattern in patterns}
    return any(fnmatchcase(heading.lower(), pattern) for heading in section.path for pattern in patterns)


def draw(seed: int, *what: str) -> int:
    """A number of 64 bits that depends on `seed` and `what` alone."""
    return int.from_bytes(hashlib.sha256("\0".join([str(seed), *what]).encode()).digest()[:8], "big")


def evidence(page: Page, candidate: Candidate, size: int, forward: int) -> str:
    """The answer's surroundings in its section, whole paragraphs and list entries, up to about `size` characters.

    It grows at both ends in turn, first at its end when `forward` is 1.
    """
    section = page.sections[candidate.section]
    run = next(run for run in _runs(section.blocks) if run[0][0] <= candidate.start and candidate.end <= run[-1][1])
    inside = [at for at, (start, end) in enumerate(run) if start < candidate.end and candidate.start < end]
    first, last = inside[0], inside[-1]
    while True:
        wider = [
            (low, high)
            for low, high in ((first - 1, last), (first, last + 1))
            if low >= 0 and high < len(run) and run[high][1] - run[low][0] <= size
        ]
        if not wider:
            return titled(section.path, page.document.text[run[first][0] : run[last][1]])
        first, last = wider[forward % len(wider)]
        forward = 1 - forward


def others_of(page: Page, candidate: Candidate, size: int) -> list[str]:
    """The beginnings of the document's other sections that do not hold the answer."""
    found = []
    for at, section in enumerate(page.sections):
        if at == candidate.section or page.skipped[at]:
            continue
        for run in _runs(section.blocks)[:1]:
            last = max((place for place, piece in enumerate(run) if piece[1] - run[0][0] <= size), default=0)
            passage = page.document.text[run[0][0] : run[last][1]]
            if _PASSAGE <= len(passage) <= 2 * size and candidate.answer not in passage:
                found.append(titled(section.path, passage))
    return found


def least_alike(page: Page, candidate: Candidate, text: str, size: int) -> list[str]:
    """The two passages of other sections that share the fewest pairs of characters with `text`, in the text's order."""
    others = others_of(page, candidate, size)
    pairs = _pairs(text)
    order = sorted(range(len(others)), key=lambda at: (len(pairs & _pairs(others[at])) / len(pairs), at))
    return [others[at] for at in sorted(order[:2])]


def _pairs(text: str) -> set[str]:
    return {text[at : at + 2] for at in range(len(text) - 1)}


def _runs(blocks: tuple[Part, ...]) -> list[list[tuple[int, int]]]:
    """The section's prose as runs without code or tables between: the span of each paragraph and each list entry."""
    runs: list[list[tuple[int, int]]] = [[]]
    for block in blocks:
        if block.kind == "other" or block.code:
            runs.append([])
        else:
            runs[-1].extend(_pieces(block))
    return [run for run in runs if run]


def _pieces(block: Part) -> Iterator[tuple[int, int]]:
    """The spans of a block; a list entry's reaches from its mark to the next entry."""
    tops = [item for item in block.items if item.depth == 0]
    if not tops:
        yield block.start, block.end
        return
    starts = [block.start, *(item.start - len(item.mark) - 1 for item in tops[1:])]
    for start, end in zip(starts, [*starts[1:], block.end], strict=True):
        yield start, end - (end != block.end)
