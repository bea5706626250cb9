"""data.self_instruct: new instructions from seed examples and personas, then their answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Annotated

from pydantic import Field

from danlu.artifact import Artifact, Draft, digest
from danlu.data.requests import Failure, Ledger, Request, ledger
from danlu.data.structured import Shape, parse, schema
from danlu.data.synthesize.novelty import Measure, Pool
from danlu.data.synthesize.prompts import lines, messages
from danlu.data.synthesize.writing import Harvest, Writing, answered, conversation, example_batches, instruction
from danlu.errors import DataError
from danlu.records import Example, Message
from danlu.registry import From, Source, Step
from danlu.track import Track

_NEEDS_MORE_THAN_TEXT = re.compile(
    r"這張(?:圖|照片)|下圖|附圖|圖片中|影片|錄音|音檔|附件|上傳|點擊|開啟連結|今天的(?:天氣|新聞|股價)"
    r"|(?:image|video|audio) (?:above|below)",
    re.IGNORECASE,
)
_HAN = re.compile(r"[\u3400-\u9fff]")


class SelfInstructSettings(Writing):
    seeds: Annotated[str, From("examples")]
    """The step that made the seed examples: a few dozen good instructions, written by people."""

    personas: Annotated[Path | None, Source()] = None
    """A text file with a persona a line, each of whom asks in turn; the package's own forty when not given."""

    count: Annotated[int, Field(ge=1)] = 100
    """How many examples to make."""

    per_request: Annotated[int, Field(ge=1, le=20)] = 4
    """How many instructions are asked for at once."""

    per_round: Annotated[int, Field(ge=1, le=256)] = 16
    """Requests of a round: they are shown the same pool; what they bring joins it before the next."""

    seeds_shown: Annotated[int, Field(ge=1)] = 6
    """Seed instructions that a request is shown."""

    own_shown: Annotated[int, Field(ge=0)] = 2
    """Instructions made in earlier rounds that a request is shown."""

    measure: Measure = "rouge-l"
    """How likeness is measured: rouge-l, or ngram (Jaccard similarity of character trigrams)."""

    max_similarity: Annotated[float, Field(gt=0, le=1)] = 0.7
    """An instruction this much like one of the pool is not new."""

    min_characters: Annotated[int, Field(ge=1)] = 6
    """Drop instructions with fewer characters."""

    max_characters: Annotated[int, Field(ge=1)] = 400
    """Drop instructions with more characters, data included."""

    patience: Annotated[int, Field(ge=1)] = 3
    """Stop after so many rounds in a row that brought nothing new."""


class Written(Shape):
    instruction: str
    input: str


class Instructions(Shape):
    items: list[Written]


class SelfInstruct(Step[SelfInstructSettings]):
    """Self-Instruct (Wang et al., 2023, arXiv:2212.10560) with personas (after Ge et al., 2024, arXiv:2406.20094).

    Each request is shown seeds and own instructions, drawn anew, and a persona; what comes back joins the pool when it
    is new, and is then answered by the same model. Drops: `not-json`, `wrong-shape`, `cut-off`, `refused` (by the
    endpoint), `no-answer` of a request for instructions or of an answer; `refusal` (the answer says no); `too-short`,
    `too-long`; `not-chinese`; `needs-more-than-text`; `not-new`, with the instruction that it is like. Seeds are in the
    pool and not in the result. The examples have no document; the model's terms are their licence.

    Not covered: the paper's split into classification and other tasks, and whether an answer is true.
    """

    Settings = SelfInstructSettings
    makes = "examples"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        seeds = [instruction(one) for batch in example_batches(inputs["seeds"]) for one in batch]
        seeds = sorted({seed for seed in seeds if seed and len(seed) <= self.settings.max_characters})
        if not seeds:
            raise DataError("no seed instruction came", next="give data.self_instruct a step with some examples")
        self.seeds = seeds
        self.personas = lines(self.settings.personas, "personas.txt")
        self.pool = Pool(self.settings.max_similarity, self.settings.measure)
        for seed in seeds:
            self.pool.add(seed)
        self.own: list[str] = []
        self.harvest = Harvest(out, "self-instruct", self.settings)
        with ledger(self.settings, out, track, "self-instruct") as asking:
            rounds = self._rounds(asking)
            self.harvest.finish("candidates", "another model, or a lower max_similarity, may bring more")
            asking.report(out)
        out.table(
            "Rounds", ["round", "instructions", "new", "answered"], [[at, *row] for at, row in enumerate(rounds, 1)]
        )

    def _rounds(self, asking: Ledger) -> list[list[int]]:
        rounds: list[list[int]] = []
        in_vain = 0
        while self.harvest.kept < self.settings.count and in_vain < self.settings.patience:
            number, before = len(rounds), self.harvest.kept
            found = self._instructions(asking, number)
            new = list(self._new(found, self.settings.count - before))
            self._answer(asking, new)
            rounds.append([len(found), len(new), self.harvest.kept - before])
            in_vain = 0 if self.harvest.kept > before else in_vain + 1
        if self.harvest.kept < self.settings.count:
            asking.track.note(f"self-instruct: nothing new in {in_vain} rounds, ended at {self.harvest.kept} examples")
        return rounds

    def _instructions(self, asking: Ledger, number: int) -> list[str]:
        """What the requests of a round bring, in order."""
        random = Random(f"{self.settings.seed} {number}")
        options = asking.options(schema(Instructions), self.settings.seed)
        requests = [
            Request(self._prompt(random), options, n=100 * (number * self.settings.per_round + at))
            for at in range(self.settings.per_round)
        ]
        found: list[str] = []
        results = asking.parsed(requests, lambda text: parse(text, Instructions))
        for request, result in zip(requests, results, strict=True):
            if isinstance(result, Failure):
                self.harvest.drop(digest(["self-instruct", request.n])[:16], "self-instruct", result)
            else:
                found += [f"{one.instruction.strip()}\n\n{one.input.strip()}".strip() for one in result.items]
        return found

    def _prompt(self, random: Random) -> tuple[Message, ...]:
        shown = random.sample(self.seeds, min(self.settings.seeds_shown, len(self.seeds)))
        shown += random.sample(self.own, min(self.settings.own_shown, len(self.own)))
        random.shuffle(shown)
        examples = "\n".join(f"- {' '.join(one.split())}" for one in shown)
        persona = random.choice(self.personas)
        return messages("instructions", count=self.settings.per_request, persona=persona, examples=examples)

    def _new(self, found: list[str], wanted: int) -> Iterator[str]:
        """Those that may stay, at most `wanted`; they join the pool. The rest of the last round is not needed."""
        for text in found:
            text = self.harvest.mend(text)
            failure = self._failure(text) if wanted > 0 else Failure("not-needed", "there are enough")
            if failure is None:
                self.pool.add(text)
                self.own.append(text)
                wanted -= 1
                yield text
            else:
                id = digest(["self-instruct", self.harvest.came, text])[:16]
                self.harvest.drop(id, "self-instruct", Failure(failure.reason, f"{failure.detail}｜{text[:80]}"))

    def _failure(self, text: str) -> Failure | None:
        if len(text) < self.settings.min_characters:
            return Failure("too-short", f"{len(text)} characters")
        if len(text) > self.settings.max_characters:
            return Failure("too-long", f"{len(text)} characters")
        if not _HAN.search(text):
            return Failure("not-chinese")
        if found := _NEEDS_MORE_THAN_TEXT.search(text):
            return Failure("needs-more-than-text", found[0])
        if twin := self.pool.like(text):
            return Failure("not-new", f"{twin.similarity:.2f} like {twin.text[:60]}")
        return None

    def _answer(self, asking: Ledger, new: list[str]) -> None:
        options = asking.options(seed=self.settings.seed)
        requests = [Request(messages("answer", instruction=text), options) for text in new]
        for text, result in zip(new, asking.parsed(requests, answered), strict=True):
            id = digest(["self-instruct", text])[:16]
            if isinstance(result, Failure):
                self.harvest.drop(id, "self-instruct", result)
                continue
            talk = conversation(self.settings, text, self.harvest.mend(result))
            self.harvest.keep(Example(id=id, messages=talk, method="self-instruct"))
