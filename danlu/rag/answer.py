"""An assistant with documents: a Chat around a Chat, whose every sentence is checked against what it cites.

A greeting is answered as one, a word that asks nothing is asked back, and a chore of the client's (Open WebUI wants a
title) goes to the model alone (`danlu.rag.turn`). A question is searched for, with the one before when it leans on it.
When the evidence is too weak, the answer is `REFUSAL` and the model is not asked.

Else the model answers from the passages. Before it, the sentences that answer best are chosen from the passages: the
quote. A sentence of the model is passed on, with a marker [n], when a passage supports it (`danlu.rag.verify`) and it
says what the quote says or covers as much of the question; the others are left out and counted. An answer that covers
less than the quote is followed by the quote, and when nothing is left, the quote is the answer: a model can add to
quoting, and not take away.

What the passages say is data: they stand inside the user's turn, and what could end that turn, begin a line as another
passage or as the question, is written in full-width characters. An order hidden in a document can still sway what the
model writes; it cannot add a sentence that no passage supports.

Not covered: questions that lean on what the assistant said, and not on what was asked (那第二個呢): it asks back.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from danlu.errors import DataError, StorageError
from danlu.model.chat import GREEDY, Chat, Delta, Measured, Options, PromptTooLong, Usage
from danlu.rag.index import words
from danlu.rag.search import Hit, Searcher, evidence
from danlu.rag.turn import Turn, last_turn
from danlu.rag.verify import Quote, asks, echoes, support, windows
from danlu.rag.words import content_words
from danlu.records import Chunk, Message
from danlu.text.grounding import REFUSAL, grounded_prompt, titled
from danlu.text.segment import tokens
from danlu.text.sentences import sentences

UNVERIFIED = "模型的回答無法由文件證實，以下引用文件原文："
"""Begins an answer that only quotes."""

ALSO = "原文："
"""Begins a quote that follows an answer."""

OFFER = "我依據文件回答問題，文件有{titles}。請把想知道的事寫成完整的一句話。"
COURTESIES = {
    "greeting": "你好！" + OFFER,
    "thanks": "不客氣！還想知道什麼，請直接問。",
    "farewell": "再見！有問題歡迎隨時再來。",
    "about": "我是依據文件回答問題的助理，每一句都附上出處；文件裡沒有的，我會說沒有。" + OFFER,
    "unclear": "請問你想知道什麼？" + OFFER,
}
"""What is said to a turn that is no question, by its kind."""

WHAT = "請問你指的是什麼？請把問題寫成完整的一句話，例如寫出名稱。"
"""Asks back when a question leans on what cannot be found."""

_TITLES = 3
_CHORE = 256
_OWN = 0.5
_POINTED = 0.9
_WANTS = (
    (re.compile("為什麼|為何|原因|怎麼會"), re.compile("因|由於|為了|所以|導致|使|才能|以免|避免|以便|如此|目的")),
    (
        re.compile("多少|多久|多[大長高]|幾|何時|什麼時候"),
        re.compile(r"[\d〇零一二兩三四五六七八九十百千萬億年月日時]"),
    ),
)
_REPEATS = 2
_QUOTED = 160
_LEFT_OUT = ("unsupported", "aside", "questions", "echoed", "repeated", "cut_short")
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

    mode             "generated", "quoted" (nothing of the model's answer was supported) or "refused"; and where no
                     document was asked for, "courtesy", "asked" (back) or "plain" (the model alone)
    evidence         what the search found, 0 to 1
    passages         how many the model was given
    passages_weak    how many were found, but by themselves below the threshold
    passages_cut     how many did not fit the context
    question         what was searched for, when it is not what was asked: with the question before
    unsupported      sentences left out because no passage says them
    aside            sentences left out because the quote answers better
    questions        sentences left out because they only ask
    echoed           sentences left out because they only say the question again
    repeated         sentences left out because they had been said; after two the model is stopped
    cut_short        1 when the last sentence was left out because max_tokens ended it
    """

    def __init__(self, chat: Chat, searcher: Searcher, settings: Grounding = Grounding()) -> None:
        self.chat = chat
        self.searcher = searcher
        self.settings = settings

    def stream(self, messages: Sequence[Message], options: Options = GREEDY) -> Iterator[Delta]:
        turn = self._turn(messages)
        if turn.kind == "chore":
            yield from self._chore(messages, options)
        elif turn.kind != "question":
            yield _said(COURTESIES[turn.kind].format(titles=self._titles()), turn.kind)
        else:
            yield from self._question(messages, turn, options)

    def _turn(self, messages: Sequence[Message]) -> Turn:
        if not messages or messages[-1].role != "user" or not messages[-1].content.strip():
            raise DataError("the last message is no question: it must be the user's, and not empty")
        if isinstance(self.chat, Measured) and (count := self.chat.count(messages)) + _ROOM > self.chat.context:
            raise PromptTooLong(count, self.chat.context)
        return last_turn(messages)

    def _chore(self, messages: Sequence[Message], options: Options) -> Iterator[Delta]:
        """What the model says, unchecked: no document is asked for."""
        yield from self.chat.stream(messages, replace(options, max_tokens=min(options.max_tokens, _CHORE)))
        yield Delta("", sources=[], grounding={"mode": "plain"})

    def _titles(self) -> str:
        names = list(dict.fromkeys(doc.title or doc.source for doc in self.searcher.documents.values()))
        some = "、".join(f"《{name}》" for name in names[:_TITLES])
        return f"{some}等 {len(names)} 份" if len(names) > _TITLES else some

    def _question(self, messages: Sequence[Message], turn: Turn, options: Options) -> Iterator[Delta]:
        question, hits, strength = self._find(turn)
        facts: dict[str, Any] = {"evidence": round(strength, 3)}
        if question != turn.text:
            facts["question"] = question
        if strength < self.settings.threshold:
            text, mode = (
                (WHAT, "asked")
                if turn.before and not (turn.alone and content_words(turn.text))
                else (REFUSAL, "refused")
            )
            yield Delta(text, "stop", Usage(0, 0), [], {"mode": mode, **facts})
            return
        strong = [hit for hit in hits if hit.evidence >= self.settings.threshold]
        quote = self._best(turn, question, [hit.chunk for hit in strong], messages)
        if quote is None:
            yield Delta(WHAT, "stop", Usage(0, 0), [], {"mode": "asked", **facts})
            return
        prompt, given = self._prompt(messages, turn.text, strong, options)
        facts.update(passages=len(given), passages_weak=len(hits) - len(strong), passages_cut=len(strong) - len(given))
        yield from self._answer(prompt, question, [hit.chunk for hit in given], quote, options, facts)

    def _find(self, turn: Turn) -> tuple[str, list[Hit], float]:
        """What was searched for, what was found, and how strong it is: of the ways to read a turn, the first that the
        documents answer."""
        own = content_words(turn.text)
        tries = [turn.joined if own else " ".join(turn.before)] if turn.before else [turn.text]
        if turn.before and turn.alone and own:
            tries.insert(0, turn.text)
        found: tuple[str, list[Hit], float] = (turn.text, [], 0.0)
        for question in tries:
            hits = self.searcher.search(question, self.settings.top)
            if question != turn.text:
                hits = [hit for hit in hits if self._has_own(turn, hit)]
            if evidence(hits) >= self.settings.threshold:
                return question, hits, evidence(hits)
            found = max(found, (question, hits, evidence(hits)), key=lambda one: one[2])
        return found

    def _has_own(self, turn: Turn, hit: Hit) -> bool:
        """Whether a passage holds what a leaning question adds to the one before."""
        if turn.points:
            return False
        if not any(len(word) > 1 for word in content_words(turn.text)):
            return True
        return self.searcher.coverage(turn.text, set(words(hit.chunk))) >= _OWN

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
        self,
        prompt: list[Message],
        question: str,
        given: list[Chunk],
        quote: Quote,
        options: Options,
        facts: dict[str, Any],
    ) -> Iterator[Delta]:
        checked = Checked(question, given, self.searcher, quote)
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
            yield Delta(f"{UNVERIFIED}\n{quote.text}[{checked.cite(quote)}]", sources=checked.sources)
        elif checked.lacks():
            yield Delta(f"\n{ALSO}{quote.text}[{checked.cite(quote)}]", sources=checked.sources)
        grounding = {"mode": mode, **facts, **checked.counts}
        yield Delta("", finish if mode == "generated" else "stop", usage, checked.sources, grounding)

    def _best(self, turn: Turn, question: str, given: list[Chunk], messages: Sequence[Message]) -> Quote | None:
        """The sentences that hold most of the question's words, first ones first, of the best passage that has any to
        offer: not too long, and no question itself. Of a question with no word of its own, sentences that were not
        said before and that tell what is asked (a reason, a number); None when there are none."""
        bare = bool(turn.before) and question != turn.text and not content_words(turn.text)
        said = "".join(message.content for message in messages if message.role == "assistant") if bare else ""
        wants = [answer for asked, answer in _WANTS if bare and asked.search(turn.text)]

        def fits(quote: Quote) -> bool:
            return _tells(quote) and quote.text not in said and all(want.search(quote.text) for want in wants)

        def rank(quote: Quote) -> tuple[float, int, int]:
            return round(self.searcher.coverage(question, set(tokens(quote.text))), 3), -quote.start, quote.end

        for chunk in given:
            fitting = [quote for quote in windows(chunk, 1 if bare else 3) if fits(quote)]
            if fitting:
                return max(fitting, key=rank)
        return None if bare else windows(given[0], 1)[0]


@dataclass
class Checked:
    """An answer as it comes in, sentence by sentence, each passed on only with its source."""

    question: str
    passages: list[Chunk]
    searcher: Searcher
    quote: Quote
    refused: bool = False
    sources: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(_LEFT_OUT, 0)))
    _cited: list[Quote] = field(default_factory=list)
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

    def lacks(self) -> bool:
        """Whether what was passed on says nothing of the quote, or covers less of the question."""
        if not any(self._within(cited) for cited in self._cited):
            return True
        return self._coverage("\n".join(quote.text for quote in self._cited)) < self._coverage(self.quote.text)

    def _within(self, cited: Quote) -> bool:
        """Whether a quotation shares text with the quote."""
        same = cited.chunk.document == self.quote.chunk.document
        return same and cited.start < self.quote.end and self.quote.start < cited.end

    def _to_the_point(self, text: str, cited: Quote) -> bool:
        """Whether a sentence says something of the quote, or covers about as much of the question."""
        if self._within(cited):
            return True
        least = _POINTED * self._coverage(self.quote.text)
        return self._coverage(text) >= least

    def _coverage(self, text: str) -> float:
        return self.searcher.coverage(self.question, set(tokens(text)))

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
        quote = None
        if asks(plain):
            self.counts["questions"] += 1
        elif echoes(plain, self.question):
            self.counts["echoed"] += 1
        elif (quote := support(plain, self.passages)) is None:
            self.counts["unsupported"] += 1
        elif not self._to_the_point(plain, quote):
            self.counts["aside"] += 1
            quote = None
        if quote is None:
            return
        self._cited.append(quote)
        gap, self._gap, self._started = self._gap, "", True
        yield Delta(f"{gap}{plain}[{self.cite(quote)}]", sources=self.sources)


def harmless(passage: str) -> str:
    """A passage that cannot pass for anything but a passage: no control tokens, no blank lines, no line that begins as
    another passage, a question or a speaker."""
    passage = _CONTROL.sub(lambda match: match[0].translate(_WIDE), passage)
    passage = re.sub(r"\n\s*\n", "\n", passage)
    return _FORGED.sub(lambda match: match[0].translate(_WIDE), passage)


def _said(text: str, kind: str) -> Delta:
    return Delta(text, "stop", Usage(0, 0), [], {"mode": "asked" if kind == "unclear" else "courtesy"})


def _tells(quote: Quote) -> bool:
    return quote.end - quote.start <= _QUOTED and not any(mark in quote.text for mark in "？?")


def _close(stream: Iterator[Delta]) -> None:
    close = getattr(stream, "close", None)
    if close is not None:
        close()
