"""data.evolve: examples whose instructions are made harder, step by step, or turned into new ones beside them."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Annotated, Literal

from pydantic import Field

from danlu.artifact import Artifact, Draft, digest
from danlu.data.core import core
from danlu.data.requests import Failure, Ledger, Request, ledger
from danlu.data.structured import Shape, parse, schema
from danlu.data.synthesize.novelty import rouge_l, units
from danlu.data.synthesize.prompts import messages
from danlu.data.synthesize.writing import Harvest, Writing, answered, conversation, example_batches, instruction
from danlu.records import Example
from danlu.registry import From, Step
from danlu.track import Track

Way = Literal["constrain", "deepen", "concretise", "reason", "complicate", "widen"]

_OF_THE_PROMPT = re.compile(
    r"原指令|新的指令|改寫後|改寫前|given prompt|rewritten prompt|#\s*(?:given|rewritten|created) prompt", re.IGNORECASE
)


class EvolveSettings(Writing):
    examples: Annotated[str, From("examples")]
    """The step that made the examples to begin with."""

    rounds: Annotated[int, Field(ge=1, le=10)] = 2
    """How often each instruction evolves; each round starts from what the one before made."""

    ways: Annotated[tuple[Way, ...], Field(min_length=1)] = (
        *("constrain", "deepen", "concretise", "reason", "complicate"),
        "widen",
    )
    """Of these a way is drawn for each instruction and round: the first five deepen it, widen makes another one."""

    check_gain: bool = True
    """Ask the model whether the evolved instruction is any different (one more request each)."""

    max_similarity: Annotated[float, Field(gt=0, le=1)] = 0.9
    """An evolved instruction with this ROUGE-L or more to the one before has gained nothing."""

    max_characters: Annotated[int, Field(ge=1)] = 1500
    """Drop evolved instructions with more characters."""

    keep_originals: bool = True
    """Keep the examples that came, beside what they became."""


class Rewritten(Shape):
    instruction: str


class Same(Shape):
    same: bool


@dataclass
class Line:
    """An example and the instruction that its line of descent has come to."""

    origin: Example
    current: str
    way: Way = "deepen"
    evolved: str = ""


class Evolve(Step[EvolveSettings]):
    """Evol-Instruct (Xu et al., 2024, "WizardLM", arXiv:2304.12244): deepen (constraints, depth, concrete terms, steps
    of reasoning, more complicated input) and widen, a way drawn for each instruction and round.

    Eliminated, as there: `no-gain` (too like the one before, or the model says that both ask the same), `refusal` and
    `no-answer` (the instruction cannot be answered), `copied-prompt` (words of our own prompt in it); `too-long`;
    `duplicate` (another one became the same); `not-json`, `wrong-shape`, `cut-off`, `refused` of the requests. An
    instruction whose evolution fails goes into the next round as it was. Answers are written by the same model. An
    evolved example keeps the document of its origin, without a span, and names its origin in `meta`.

    Not covered: several turns (the last question alone evolves), and whether an answer is true.
    """

    Settings = EvolveSettings
    makes = "examples"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        self.harvest = Harvest(out, "evolve", self.settings)
        self.ways: Counter[tuple[str, str]] = Counter()
        self.seen: set[bytes] = set()
        with ledger(self.settings, out, track, "evolve") as asking:
            for batch in example_batches(inputs["examples"]):
                self._batch(asking, batch)
            self.harvest.finish("examples and evolutions", "another model may follow the prompts better")
            asking.report(out)
        rows = [[way, what, count] for (way, what), count in sorted(self.ways.items())]
        out.table("Ways", ["way", "outcome", "instructions"], rows)

    def _batch(self, asking: Ledger, batch: list[Example]) -> None:
        if self.settings.keep_originals:
            for example in batch:
                self.harvest.keep(example)
        lines = [Line(example, instruction(example)) for example in batch]
        for number in range(self.settings.rounds):
            left = list(self._rewritten(asking, lines, number))
            if self.settings.check_gain:
                left = list(self._gained(asking, left, number))
            for line in self._answered(asking, left, number):
                line.current = line.evolved

    def _rewritten(self, asking: Ledger, lines: list[Line], number: int) -> Iterator[Line]:
        """Those whose instruction was rewritten in a way that the rules accept."""
        options = asking.options(schema(Rewritten), self.settings.seed)
        for line in lines:
            line.way = Random(f"{self.settings.seed} {number} {line.origin.id}").choice(self.settings.ways)
        requests = [Request(messages(f"evolve_{line.way}", instruction=line.current), options) for line in lines]
        for line, result in zip(lines, asking.parsed(requests, _rewritten), strict=True):
            line.evolved = "" if isinstance(result, Failure) else self.harvest.mend(result)
            failure = result if isinstance(result, Failure) else self._eliminated(line)
            if failure is None:
                yield line
            else:
                self._drop(line, number, failure)

    def _eliminated(self, line: Line) -> Failure | None:
        copied = _OF_THE_PROMPT.search(line.evolved)
        if copied and copied[0] not in line.current:
            return Failure("copied-prompt", copied[0])
        if len(line.evolved) > self.settings.max_characters:
            return Failure("too-long", f"{len(line.evolved)} characters")
        if _mark(line.evolved) in self.seen:
            return Failure("duplicate", "another example became the same")
        likeness = rouge_l(units(line.current), units(line.evolved))
        if likeness >= self.settings.max_similarity:
            return Failure("no-gain", f"similarity {likeness:.2f}")
        return None

    def _gained(self, asking: Ledger, lines: list[Line], number: int) -> Iterator[Line]:
        options = asking.options(schema(Same), self.settings.seed)
        requests = [Request(messages("same", first=line.current, second=line.evolved), options) for line in lines]
        for line, result in zip(lines, asking.parsed(requests, lambda text: parse(text, Same)), strict=True):
            if isinstance(result, Same) and not result.same:
                yield line
            else:
                failure = result if isinstance(result, Failure) else Failure("no-gain", "the model says: the same")
                self._drop(line, number, failure)

    def _answered(self, asking: Ledger, lines: list[Line], number: int) -> Iterator[Line]:
        """Those whose instruction was answered, and kept."""
        options = asking.options(seed=self.settings.seed)
        requests = (Request(messages("answer", instruction=line.evolved), options) for line in lines)
        for line, result in zip(lines, asking.parsed(requests, answered), strict=True):
            if isinstance(result, Failure):
                self._drop(line, number, result)
                continue
            self.ways[line.way, "kept"] += 1
            self.seen.add(_mark(line.evolved))
            self.harvest.keep(
                Example(
                    id=digest(["evolve", number, line.origin.id, line.evolved])[:16],
                    messages=conversation(self.settings, line.evolved, self.harvest.mend(result)),
                    document=line.origin.document,
                    method=f"evolve:{line.way}",
                    meta={"origin": line.origin.id, "round": number + 1},
                )
            )
            yield line

    def _drop(self, line: Line, number: int, failure: Failure) -> None:
        self.ways[line.way, failure.reason] += 1
        id = digest(["evolve", number, line.origin.id])[:16]
        detail = f"round {number + 1}, {line.way}, of {line.origin.id}: {failure.detail}｜{line.evolved[:80]}"
        self.harvest.drop(id, line.origin.document or line.origin.source, Failure(failure.reason, detail))


def _rewritten(text: str) -> str | Failure:
    found = parse(text, Rewritten)
    if isinstance(found, Failure):
        return found
    return found.instruction.strip() or Failure("no-answer", "an empty instruction")


def _mark(text: str) -> bytes:
    return hashlib.sha256(core(text).encode()).digest()[:12]
