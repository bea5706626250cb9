"""data.explain: the same questions, answered again with the reasons."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Annotated

from pydantic import Field

from danlu.artifact import Artifact, Draft, digest
from danlu.data.core import core
from danlu.data.requests import Failure, Ledger, Request, ledger
from danlu.data.synthesize.prompts import messages, paragraphs
from danlu.data.synthesize.writing import Harvest, Writing, answered, example_batches
from danlu.errors import DataError
from danlu.records import Example, Message
from danlu.registry import From, Source, Step
from danlu.track import Track


class ExplainSettings(Writing):
    examples: Annotated[str, From("examples")]
    """The step that made the examples."""

    styles: Annotated[Path | None, Source()] = None
    """System messages that ask for an explanation, between lines of `---`; the package's own six when not given."""

    keep_style: bool = True
    """Begin the example with the system message that the model was given; with the setting `system` otherwise."""

    agree: Annotated[int, Field(ge=0)] = 0
    """Of examples whose answer has at most so many characters, drop explanations that do not hold it; 0 drops none."""


class Explain(Step[ExplainSettings]):
    """Explanation tuning (Mukherjee et al., 2023, "Orca", arXiv:2306.02707): a system message drawn for each example
    has the model explain itself, and the explanation takes the place of the answer.

    Drops: `several-turns` (an earlier answer stands before the last question, or a tool is called), `disagrees` (see
    `agree`; letters and digits compared), `refusal`, `no-answer`, `cut-off`, `refused`. An example keeps its document
    and span, which are now those of the answer that was explained, named in `meta` with the example it came from.
    Not covered: whether the steps of an explanation are true; an answer found in it may stand there to be refuted.
    """

    Settings = ExplainSettings
    makes = "examples"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        self.styles = paragraphs(self.settings.styles, "styles.txt")
        if not self.styles:
            raise DataError(
                "no system message came", where=str(self.settings.styles), next="write one, or leave it out"
            )
        self.harvest = Harvest(out, "explain", self.settings)
        with ledger(self.settings, out, track, "explain") as asking:
            for batch in example_batches(inputs["examples"]):
                self._batch(asking, batch)
            self.harvest.finish(hint="another model, or agree: 0")
            asking.report(out)

    def _batch(self, asking: Ledger, batch: list[Example]) -> None:
        left = [example for example in batch if _one_turn(example)]
        for example in batch:
            if not _one_turn(example):
                self._drop(example, Failure("several-turns", f"{len(example.messages)} messages"))
        options = asking.options(seed=self.settings.seed)
        requests = []
        for example in left:
            style = Random(f"{self.settings.seed} {example.id}").choice(self.styles)
            requests.append(
                Request(messages("explain", style=style, instruction=example.messages[-2].content), options)
            )
        for example, request, result in zip(left, requests, asking.parsed(requests, answered), strict=True):
            found = result if isinstance(result, Failure) else self._checked(example, self.harvest.mend(result))
            if isinstance(found, Failure):
                self._drop(example, found)
            else:
                self._keep(example, request.messages[0], found)

    def _checked(self, example: Example, text: str) -> str | Failure:
        wanted = example.messages[-1].content
        if len(wanted) <= self.settings.agree and core(wanted) not in core(text):
            return Failure("disagrees", f"{wanted[:60]} is not in: {text[-60:]}")
        return text

    def _keep(self, example: Example, style: Message, text: str) -> None:
        system = style.content if self.settings.keep_style else self.settings.system
        opening = [Message(role="system", content=system)] if system else []
        talk = [*opening, example.messages[-2], Message(role="assistant", content=text)]
        self.harvest.keep(
            example.model_copy(
                update={
                    "id": digest(["explain", example.id, text])[:16],
                    "messages": talk,
                    "method": "explain",
                    "label": None,
                    "meta": {**example.meta, "origin": example.id, "explained": example.messages[-1].content},
                }
            )
        )

    def _drop(self, example: Example, failure: Failure) -> None:
        self.harvest.drop(example.id, example.document or example.source, failure)


def _one_turn(example: Example) -> bool:
    roles = [message.role for message in example.messages if message.role != "system"]
    return roles == ["user", "assistant"] and not example.messages[-1].tool_calls
