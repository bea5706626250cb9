"""data.preferences: preference files in anybody's format → preferences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Literal, get_args

from danlu.artifact import Artifact, Draft, digest
from danlu.data import formats
from danlu.data.examples import Batch, File, Reading, ReadingSettings
from danlu.data.flow import encoded
from danlu.data.formats.fields import content_id
from danlu.data.seen import key
from danlu.records import Drop, Example, Preference
from danlu.track import Track

PreferenceFormat = Literal[
    "auto",
    "danlu-preference",
    "alpaca-preference",
    "sharegpt-preference",
    "trl-messages",
    "trl",
    "danlu",
    "alpaca",
    "messages",
    "sharegpt",
    "completion-messages",
    "completion",
]

assert {name for name, one in formats.FORMATS.items() if one.makes is Preference} < set(get_args(PreferenceFormat))


class PreferencesSettings(ReadingSettings):
    format: PreferenceFormat = "auto"
    """The format of the files; auto looks at each file. Those of `danlu data validate --help`."""


class Preferences(Reading[PreferencesSettings]):
    """Reads pairs in the formats of `danlu.data.formats`; see `danlu.data.examples.Reading` for what is dropped.

    Records with a label instead of a pair (KTO's shape) are paired: of the answers to one prompt the first good with
    the first bad one, the second with the second, and so on. Besides, dropped are `no-label` and `unpaired`, and
    `tool-call` where a labelled answer calls a tool. Labelled records wait in memory, 100 bytes each beside the file
    that holds them.
    """

    Settings = PreferencesSettings
    makes = "preferences"
    record = Preference

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        self.waiting = Waiting(out.work / "labelled.jsonl")
        try:
            super().run(inputs, out, track)
        finally:
            self.waiting.close()

    def format(self) -> str:
        return self.settings.format

    def reads(self, name: str) -> bool:
        return name in get_args(PreferenceFormat)

    def judge(self, record: Example | Preference) -> tuple[str, str]:
        if isinstance(record, Example):
            if record.label is None:
                return "no-label", "neither two answers nor a label"
            if record.messages[-1].tool_calls:
                return "tool-call", "the answer calls a tool"
        return "", ""

    def later(self, file: File, batch: Batch, out: Draft) -> None:
        for _, example in batch.labelled:
            self.waiting.add(file, example)

    def made(self, kept: int) -> int:
        return kept - self.waiting.paired

    def finish(self, lines: BinaryIO, dropped: BinaryIO, kept: Counter[str], drops: Counter[str]) -> None:
        pairs, single = self.waiting.pairs()
        for good, bad in pairs:
            one, other = self.waiting.get(good), self.waiting.get(bad)
            if one.messages[-1].content == other.messages[-1].content:
                single += [good, bad]
                continue
            lines.write(encoded(_paired(one, other)))
            self.waiting.paired += 1
            kept[self.waiting.files[good]] += 1
            kept[self.waiting.files[bad]] += 1
        for at in sorted(single):
            example = self.waiting.get(at)
            detail = f"no {'bad' if example.label else 'good'} answer to the same prompt"
            dropped.write(encoded(Drop(id=example.id, source=example.source, reason="unpaired", detail=detail)))
            drops["unpaired"] += 1


class Waiting:
    """Labelled examples on disk until all are there: in memory, the key of each one's prompt and its place."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("w+b")
        self.paired = 0
        self.prompts: list[int] = []
        self.labels: list[bool] = []
        self.places: list[int] = [0]
        self.files: list[str] = []

    def add(self, file: File, example: Example) -> None:
        asked = [message.model_dump() for message in example.messages[:-1]]
        line = encoded(example)
        self.file.write(line)
        self.prompts.append(key(digest([asked, example.tools])))
        self.labels.append(bool(example.label))
        self.places.append(self.places[-1] + len(line))
        self.files.append(file.source)

    def get(self, at: int) -> Example:
        self.file.flush()
        self.file.seek(self.places[at])
        return Example.model_validate_json(self.file.read(self.places[at + 1] - self.places[at]))

    def pairs(self) -> tuple[list[tuple[int, int]], list[int]]:
        """(good, bad) in the order of the good ones, and what is left alone."""
        groups: dict[int, tuple[list[int], list[int]]] = {}
        for at, (prompt, label) in enumerate(zip(self.prompts, self.labels, strict=True)):
            groups.setdefault(prompt, ([], []))[not label].append(at)
        found = sorted(pair for good, bad in groups.values() for pair in zip(good, bad, strict=False))
        used = {at for pair in found for at in pair}
        return found, [at for at in range(len(self.prompts)) if at not in used]

    def close(self) -> None:
        self.file.close()


def _paired(good: Example, bad: Example) -> Preference:
    made = Preference(
        id="",
        prompt=good.messages[:-1],
        chosen=good.messages[-1].content,
        rejected=bad.messages[-1].content,
        document=good.document,
        method="paired",
        source=good.source,
        tools=good.tools,
        meta=good.meta,
    )
    return made.model_copy(update={"id": content_id(made)})
