"""An assistant with documents: a Chat around a Chat, whose every sentence is checked against what it cites.

The last question is searched for. When the evidence is too weak, the answer is `REFUSAL` and the model is not asked.
Else the model answers from the passages; each sentence that a passage supports (`danlu.rag.verify`) is passed on with a
marker [n], and the others are left out and counted. When nothing is left, the best passage is quoted as it stands.

What the passages say is data: they stand inside the user's turn, and what could end that turn, begin a line as another
passage or as the question, is written in full-width characters. An order hidden in a document can still sway what the
model writes; it cannot add a sentence that no passage supports.

Not covered: questions that only make sense with the turns before them (search reads the last question alone).
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from danlu.errors import DataError, StorageError
from danlu.model.chat import GREEDY, Chat, Delta, Measured, Options, PromptTooLong, Usage
from danlu.rag.search import Hit, Searcher, evidence
from danlu.rag.verify import Quote, echoes, support, windows
from danlu.records import Chunk, Message
from danlu.text.grounding import REFUSAL, grounded_prompt, titled
from danlu.text.segment import tokens
from danlu.text.sentences import sentences

UNVERIFIED = "模型的回答無法由文件證實，以下引用文件原文："
"""Begins an answer that only quotes."""

_REPEATS = 2
_QUOTED = 160
_ROOM = 32
_MARKER = re.compile(r"\s*[\[［]\d{1,2}[\]］]")
_CONTROL = re.compile(r"<[^<>\s]{1,60}>|\[/?[A-Za-z_]{2,30}\]")
_FORGED = re.compile(
    r"^\s*(?:\[\d+\]|(?:#+\s*)?(?:問題|user|assistant|system|model|instruction|response|input)\s*[:：])",
    re.MULTILINE | re.IGNORECASE,
)
_WIDE = str.maketrans("<>[]:：", "＜＞［］﹕﹕")


@dataclass(frozen=True)
class Grounding:
    """How an assistant answers. `top` passages are given to the model; below `threshold` of evidence (0 to 1, see
    `danlu.rag.search.evidence`) it says that the documents do not tell; `system` begins the conversation."""

    top: int = 3
    threshold: float = 0.5
    system: str = ""


class Assistant:
    """`chat` answers, `searcher` finds. Its deltas carry whole sentences, `sources`, and at the end `grounding`:

    mode             "generated", "quoted" (nothing of the model's answer was supported) or "refused"
    evidence         what the search found, 0 to 1
    passages         how many the model was given
    passages_weak    how many were found, but by themselves below the threshold
    passages_cut     how many did not fit the context
    unsupported      sentences left out because no passage says them
    echoed           sentences left out because they only say the question again
    repeated         sentences left out because they had been said; after two the model is stopped
    cut_short        1 when the last sentence was left out because max_tokens ended it
    """

    def __init__(self, chat: Chat, searcher: Searcher, settings: Grounding = Grounding()) -> None:
        self.chat = chat
        self.searcher = searcher
        self.settings = settings

    def stream(self, messages: Sequence[Message], options: Options = GREEDY) -> Iterator[Delta]:
        question = self._question(messages)
        hits = self.searcher.search(question, self.settings.top)
        strength = evidence(hits)
        facts: dict[str, Any] = {"evidence": round(strength, 3)}
        if strength < self.settings.threshold:
            yield Delta(REFUSAL, "stop", Usage(0, 0), [], {"mode": "refused", **facts})
            return
        strong = [hit for hit in hits if evidence([hit]) >= self.settings.threshold] or hits[:1]
        prompt, given = self._prompt(messages, question, strong, options)
        facts.update(passages=len(given), passages_weak=len(hits) - len(strong), passages_cut=len(strong) - len(given))
        yield from self._answer(prompt, question, [hit.chunk for hit in given], options, facts)

    def _question(self, messages: Sequence[Message]) -> str:
        if not messages or messages[-1].role != "user" or not messages[-1].content.strip():
            raise DataError("the last message is no question: it must be the user's, and not empty")
        if isinstance(self.chat, Measured) and (count := self.chat.count(messages)) + _ROOM > self.chat.context:
            raise PromptTooLong(count, self.chat.context)
        return messages[-1].content

    def _prompt(
        self, messages: Sequence[Message], question: str, hits: Sequence[Hit], options: Options
    ) -> tuple[list[Message], Sequence[Hit]]:
        """The conversation with the passages in its last turn, and the hits that fit beside an answer."""
        system = [Message(role="system", content=self.settings.system)] if self.settings.system else []
        before = [*system, *messages[:-1]]
        count, context = 0, 0
        for given in range(len(hits), 0, -1):
            passages = [harmless(titled(hit.chunk.headings, hit.chunk.text)) for hit in hits[:given]]
            prompt = [*before, Message(role="user", content=grounded_prompt(question, passages))]
            if not isinstance(self.chat, Measured):
                return prompt, hits
            count, context = self.chat.count(prompt), self.chat.context
            room = options.max_tokens if given > 1 else min(_ROOM, options.max_tokens)
            if count + room <= context:
                return prompt, hits[:given]
        raise PromptTooLong(count, context)

    def _answer(
        self, prompt: list[Message], question: str, given: list[Chunk], options: Options, facts: dict[str, Any]
    ) -> Iterator[Delta]:
        checked = Checked(question, given, self.searcher)
        finish, usage = "stop", None
        stream = self.chat.stream(prompt, options)
        for delta in stream:
            finish, usage = delta.finish or finish, delta.usage or usage
            yield from checked.feed(delta.text)
            if checked.refused or checked.counts["repeated"] >= _REPEATS:
                _close(stream)
                break
        yield from checked.end(cut=finish == "length")
        mode = "refused" if checked.refused else "generated" if checked.sources else "quoted"
        if mode == "refused":
            yield Delta(REFUSAL, sources=[])
        elif mode == "quoted":
            quote = self._best(question, given)
            yield Delta(f"{UNVERIFIED}\n{quote.text}[{checked.cite(quote)}]", sources=checked.sources)
        grounding = {"mode": mode, **facts, **checked.counts}
        yield Delta("", finish if mode == "generated" else "stop", usage, checked.sources, grounding)

    def _best(self, question: str, given: list[Chunk]) -> Quote:
        """The sentences that hold most of the question's words, first ones first, of the best passage that has any to
        offer: not too long, and no question itself."""
        for chunk in given:
            fitting = [quote for quote in windows(chunk) if _tells(quote)]
            if fitting:
                break
        else:
            return windows(given[0], 1)[0]

        def rank(quote: Quote) -> tuple[float, int, int]:
            return round(self.searcher.coverage(question, set(tokens(quote.text))), 3), -quote.start, quote.end

        return max(fitting, key=rank)


@dataclass
class Checked:
    """An answer as it comes in, sentence by sentence, each passed on only with its source."""

    question: str
    passages: list[Chunk]
    searcher: Searcher
    refused: bool = False
    sources: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=lambda: Counter(unsupported=0, echoed=0, repeated=0, cut_short=0))
    _pending: str = ""
    _said: set[str] = field(default_factory=set)
    _started: bool = False
    _gap: str = ""

    def feed(self, text: str) -> Iterator[Delta]:
        """Take a piece of text; give the sentences that it completes."""
        self._pending += text
        spans = sentences(self._pending)
        done = 0
        for (start, end), following in itertools.pairwise(spans):
            yield from self._sentence(self._pending[start:end])
            if self._started and "\n" in self._pending[end : following[0]]:
                self._gap = "\n"
            done = following[0]
        self._pending = self._pending[done:]

    def end(self, cut: bool) -> Iterator[Delta]:
        """Give what is left; a sentence that was cut off is left out."""
        last = self._pending.strip()
        self._pending = ""
        if last and cut and last[-1] not in "。！？!?」』）":
            self.counts["cut_short"] += 1
        elif last:
            yield from self._sentence(last)

    def cite(self, quote: Quote) -> int:
        """The number of a source, added when it is new. The quote is checked against the document itself."""
        document = self.searcher.documents.get(quote.chunk.document)
        if document is None or document.text[quote.start : quote.end] != quote.text:
            raise StorageError(
                "a passage of the index is not what its document says",
                where=f"{quote.chunk.document}:{quote.start}-{quote.end}",
                next="danlu run RECIPE --force index makes the index again",
            )
        entry = {
            "document": document.id,
            "source": document.source,
            "title": document.title,
            "headings": quote.chunk.headings,
            "start": quote.start,
            "end": quote.end,
            "quote": quote.text,
        }
        for source in self.sources:
            if {**source, **entry} == source:
                return int(source["n"])
        self.sources = [*self.sources, {"n": len(self.sources) + 1, **entry}]
        return len(self.sources)

    def _sentence(self, text: str) -> Iterator[Delta]:
        plain = _MARKER.sub("", text).strip()
        if not self._started and plain and REFUSAL.startswith(plain.rstrip("。")):
            self.refused = True
        if not plain or self.refused:
            return
        if plain in self._said:
            self.counts["repeated"] += 1
            return
        self._said.add(plain)
        if echoes(plain, self.question):
            self.counts["echoed"] += 1
            return
        quote = support(plain, self.passages)
        if quote is None:
            self.counts["unsupported"] += 1
            return
        gap, self._gap, self._started = self._gap, "", True
        yield Delta(f"{gap}{plain}[{self.cite(quote)}]", sources=self.sources)


def harmless(passage: str) -> str:
    """A passage that cannot pass for anything but a passage: no control tokens, no blank lines, no line that begins as
    another passage, a question or a speaker."""
    passage = _CONTROL.sub(lambda match: match[0].translate(_WIDE), passage)
    passage = re.sub(r"\n\s*\n", "\n", passage)
    return _FORGED.sub(lambda match: match[0].translate(_WIDE), passage)


def _tells(quote: Quote) -> bool:
    return quote.end - quote.start <= _QUOTED and not any(mark in quote.text for mark in "？?")


def _close(stream: Iterator[Delta]) -> None:
    close = getattr(stream, "close", None)
    if close is not None:
        close()
