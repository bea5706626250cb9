"""data.examples: instruction files in anybody's format → examples."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal, TypeVar, get_args

from danlu.artifact import Artifact, Draft
from danlu.data import formats
from danlu.data.files import printable
from danlu.data.flow import Block, encoded, spread
from danlu.data.formats import files
from danlu.data.formats.alpaca import INPUT
from danlu.data.formats.fields import Fault, content_id
from danlu.data.seen import Seen, key, keys
from danlu.errors import DataError, UsageError
from danlu.records import Drop, Example, Message, Preference
from danlu.registry import Settings, Source, Step
from danlu.track import Track

if TYPE_CHECKING:
    from danlu.data.formats.files import Raw
    from danlu.data.seen import Keys

_LOOKED_AT = 100
_BATCH = 1000
_MOST = 20

ExampleFormat = Literal[
    "auto", "danlu", "alpaca", "messages", "sharegpt", "completion-messages", "completion", "question", "text"
]
R = TypeVar("R", bound="ReadingSettings")


class ReadingSettings(Settings):
    paths: Annotated[tuple[Path, ...], Source()]
    """JSON and JSONL files, or folders of them."""

    to_taiwan: bool = False
    """Convert what people and assistants say to Taiwan's characters and words; code and tool calls stay."""

    licence: str = "unknown"
    """The licence of these records, carried by every artifact made from them."""


class ExamplesSettings(ReadingSettings):
    format: ExampleFormat = "auto"
    """The format of the files; auto looks at each file. Those of `danlu data validate --help`."""

    labels: Literal["good", "all"] = "good"
    """good: answers that people found bad (KTO's label false) are dropped; all: they stay, with their label."""


@dataclass(frozen=True)
class File:
    """A file to read: `source` is its name as reports show it, `format` that of its records."""

    path: Path
    source: str
    format: str = ""
    fault: Fault | None = None


@dataclass
class Batch:
    """Some records of one file, read: their lines, ids and the keys that duplicates are known by; and the drops."""

    came: int = 0
    lines: list[bytes] = field(default_factory=list)
    names: list[tuple[str, str]] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[tuple[str, str]] = field(default_factory=Counter)
    content: list[int] = field(default_factory=list)
    labelled: list[tuple[int, Example]] = field(default_factory=list)

    def keys(self) -> Keys:
        return keys(self.content)

    def ids(self) -> Keys:
        return keys(key(id) for id, _ in self.names)


class Reading(Step[R]):
    """Reads files of records, whatever their format, as records of `record` into `<makes>.jsonl`.

    What cannot be read is dropped with file and line: `broken-json`, `not-utf-8`, `too-long` (a record of more than 32
    MiB), `not-an-object`, `missing-field`, `wrong-type`, `empty`, `unknown-role`, `turn-order`, `no-answer`,
    `not-an-answer`, `same-answers`, `broken-tools`, `broken-tool-call`, `choices`, `reserved-field`, `duplicate` (the
    same words as an earlier record, by a 64-bit hash). A file whose format nobody knows counts as one record:
    `unknown-format`, `other-kind`; so does a link that leads out of its folder: `link-outside`. A record whose id
    another record has gets a new one; the old one stays in `meta`.
    """

    record: type[Example] | type[Preference]

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        held = list(named(self.settings.paths))
        outside = {path: source for path, source in held if _leads_out(path, self.settings.paths)}
        found = [self._file(path, source) for path, source in held if path not in outside]
        total = Batch()
        kept: Counter[str] = Counter()
        came: Counter[str] = Counter()
        seen, ids = Seen(), Seen()
        drops: Counter[str] = Counter()
        bar = track.bar(self.makes, None, unit="record")
        with out.file(f"{self.makes}.jsonl").open("wb") as lines, out.file("dropped.jsonl").open("wb") as dropped:
            for file, batch in self._batches(found, track):
                fresh = seen.new(batch.keys())
                lines.writelines(self._kept(batch, fresh, ids, total.counts))
                batch.drops += _repeated(batch, fresh)
                dropped.write(b"".join(map(encoded, batch.drops)))
                drops.update(drop.reason for drop in batch.drops)
                kept[file.source] += int(fresh.sum())
                self.later(file, batch, out)
                came[file.source] += batch.came
                total.counts.update(batch.counts)
                total.faults.update(batch.faults)
                bar.update(batch.came)
            for path, source in outside.items():
                detail = f"it points out of the folder, to {printable(os.readlink(path))}"
                dropped.write(encoded(Drop(id=source, source=source, reason="link-outside", detail=detail)))
                drops["link-outside"] += 1
                came[source] += 1
            self.finish(lines, dropped, kept, drops)
        bar.close()
        reasons = dict(sorted(drops.items()))
        if not kept.total():
            told = ", ".join(f"{reason} {count}" for reason, count in reasons.items()) or "the files are empty"
            where = " ".join(str(path) for path in self.settings.paths[:3])
            raise DataError(f"no record could be read: {told}", where=where, next=f"danlu data validate {where}")
        for _, source in roots(self.settings.paths):
            out.licences[source] = {"licence": self.settings.licence, "terms": ""}
        out.funnel(self.makes, came.total(), kept.total(), reasons, unit="records")
        rows = [[one.source, one.format or "?", came[one.source], kept[one.source]] for one in found[:_MOST]]
        out.table(f"Files ({len(rows)} of {len(found)})", ["file", "format", "records", "kept"], rows)
        self._report(out, total)
        out.metrics.update(
            {self.makes: self.made(kept.total()), **{name: total.counts[name] for name in sorted(total.counts)}}
        )

    def judge(self, record: Any) -> tuple[str, str]:
        """Why a record that can be read is dropped all the same, as reason and detail; empty when it is not."""
        return "", ""

    def later(self, file: File, batch: Batch, out: Draft) -> None:
        """Keep what can only be written when everything was read."""

    def finish(self, lines: BinaryIO, dropped: BinaryIO, kept: Counter[str], drops: Counter[str]) -> None:
        """Write what was kept for the end, and count it."""

    def made(self, kept: int) -> int:
        """How many records were made of those kept."""
        return kept

    def format(self) -> str:
        """The format that the settings name, or "auto"."""
        raise NotImplementedError

    def _report(self, out: Draft, total: Batch) -> None:
        faults = sorted(total.faults.items(), key=lambda entry: (-entry[1], entry[0]))[:_MOST]
        if faults:
            out.table("Faults", ["reason", "field", "records"], [[*name, count] for name, count in faults])
        if self.settings.to_taiwan:
            names = {"converted": "converted from Simplified", "terms": "terms replaced"}
            rows = [[told, total.counts[name]] for name, told in names.items()]
            out.table("To Taiwan's words", ["change", "records or terms"], rows)

    def _file(self, path: Path, source: str) -> File:
        name = self.format()
        if name == "auto":
            looked = [raw.value for raw in islice(files.records(path), _LOOKED_AT) if raw.fault is None]
            found = formats.detect(looked)
            if found is None:
                names = ", ".join(sorted(looked[0])[:8]) if looked and isinstance(looked[0], dict) else "no records"
                return File(path, source, "", Fault("unknown-format", "", f"no known format: {names}"))
            name = found
        if not self.reads(name):
            other = "data.preferences" if formats.FORMATS[name].makes is Preference else "data.examples"
            return File(path, source, name, Fault("other-kind", "", f"is {name}: {other} reads it"))
        return File(path, source, name)

    def reads(self, name: str) -> bool:
        """Whether a file of that format is for this step."""
        return formats.FORMATS[name].makes is self.record

    def _batches(self, found: list[File], track: Track) -> Iterator[tuple[File, Batch]]:
        """Every file's records: lines in several processes, lists here, always in order."""
        for file in found:
            if file.fault is not None:
                drop = Drop(id=file.source, source=file.source, reason=file.fault.reason, detail=file.fault.what)
                yield file, Batch(came=1, drops=[drop])
                continue
            cut = files.spans(file.path)
            if len(cut) == 1:
                raws = files.within(cut[0])
                while some := list(islice(raws, _BATCH)):
                    yield file, self.batch(some, file.source, file.format)
            else:
                for batch in spread(_Work(self, file.source, file.format), cut, track):
                    yield file, batch

    def batch(self, raws: Iterable[Raw], source: str, name: str) -> Batch:
        """The records of some lines. Runs in other processes."""
        batch = Batch()
        format = formats.FORMATS[name]
        for raw in raws:
            batch.came += 1
            place = f"{source}:{raw.line}"
            made, faults = (None, [raw.fault]) if raw.fault else formats.parse(format, raw.value)
            if made is None:
                batch.faults.update({(fault.reason, _general(fault.field)) for fault in faults})
                detail = "; ".join(str(fault) for fault in faults[:5])[:500]
                batch.drops.append(Drop(id=place, source=place, reason=faults[0].reason, detail=detail))
                continue
            reason, detail = self.judge(made)
            if self.settings.to_taiwan and not reason:
                made = to_taiwan(made, batch.counts)
            made = made.model_copy(update={"source": made.source or place, "method": made.method or name})
            if reason:
                batch.drops.append(Drop(id=made.id, source=place, reason=reason, detail=detail))
                continue
            if not isinstance(made, self.record) and isinstance(made, Example):
                batch.labelled.append((key(content_id(made)), made))
                continue
            batch.lines.append(encoded(made))
            batch.names.append((made.id, place))
            batch.content.append(key(content_id(made)))
        return batch

    def _kept(self, batch: Batch, fresh: Any, ids: Seen, counts: Counter[str]) -> Iterator[bytes]:
        """The lines that are no duplicates, each under an id that no other record has."""
        unused = ids.new(batch.ids()[fresh])
        lines = [line for line, new in zip(batch.lines, fresh, strict=True) if new]
        for line, free in zip(lines, unused, strict=True):
            if free:
                yield line
                continue
            record = self.record.model_validate_json(line)
            meta = {**record.meta, "id": record.id}
            counts["renamed"] += 1
            yield encoded(record.model_copy(update={"id": content_id(record), "meta": meta}))


class _Work:
    """What is done to a block of a file; picklable."""

    def __init__(self, step: Reading[Any], source: str, format: str) -> None:
        self.step, self.source, self.format = step, source, format

    def __call__(self, block: Block) -> Batch:
        return self.step.batch(files.within(block), self.source, self.format)


class Examples(Reading[ExamplesSettings]):
    """Reads instruction files in the formats of `danlu.data.formats`; see Reading for what is dropped. Besides:
    `found-bad`, an answer with the label false. An example without a method gets its format's name, and the file and
    line that it stands in as `source`. Not covered: pictures, sound, Parquet and CSV (data.hub, danlu data table).
    """

    Settings = ExamplesSettings
    makes = "examples"
    record = Example

    def format(self) -> str:
        return self.settings.format

    def judge(self, record: Example) -> tuple[str, str]:
        if record.label is False and self.settings.labels == "good":
            return "found-bad", "label: false"
        return "", ""


def _general(name: str) -> str:
    """conversations.3.value → conversations.*.value"""
    return ".".join("*" if part.isdigit() else part for part in name.split("."))


def _repeated(batch: Batch, fresh: Any) -> list[Drop]:
    return [
        Drop(id=id, source=place, reason="duplicate", detail="the same words as an earlier record")
        for (id, place), new in zip(batch.names, fresh, strict=True)
        if not new
    ]


def roots(paths: Iterable[Path]) -> list[tuple[Path, str]]:
    """Each path given with the name that reports show: its last part, and as many before it as tell it apart."""
    given = list(dict.fromkeys(path.absolute().resolve() for path in paths))
    depth = 1
    while len({path.parts[-depth:] for path in given}) < len(given):
        depth += 1
    return [(path, printable("/".join(path.parts[-depth:]))) for path in given]


def named(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Every file of the paths, once, with its name; DataError for a path that is not there."""
    seen: set[Path] = set()
    for root, name in roots(paths):
        try:
            held = files.files(root)
        except UsageError as error:
            raise DataError(error.problem.what, where=error.problem.where, nearest=error.problem.nearest) from None
        for path in held:
            if path not in seen:
                seen.add(path)
                yield path, name if path == root else f"{name}/{printable(path.relative_to(root).as_posix())}"


def _leads_out(path: Path, given: Iterable[Path]) -> bool:
    """Whether a file found in one of the folders given is a link to somewhere else; one given itself is wanted."""
    return path.is_symlink() and not any(path.resolve().is_relative_to(root.absolute().resolve()) for root in given)


# --- to Taiwan's words ---


def to_taiwan(record: Example | Preference, counts: Counter[str]) -> Example | Preference:
    """The record with what people and assistants say in Taiwan's characters and words; what was done is counted."""
    done: Counter[str] = Counter()

    def turns(messages: list[Message]) -> list[Message]:
        spoken = ("system", "user", "assistant")
        return [
            one.model_copy(update={"content": taiwan(one.content, done)}) if one.role in spoken else one
            for one in messages
        ]

    update: dict[str, Any]
    if isinstance(record, Example):
        update = {"messages": turns(record.messages)}
    else:
        answers = {name: taiwan(getattr(record, name), done) for name in ("chosen", "rejected")}
        update = {"prompt": turns(record.prompt), **answers}
    size = record.meta.get(INPUT)
    if isinstance(size, int):
        asked = record.messages if isinstance(record, Example) else record.prompt
        given = next((one.content[-size:] for one in reversed(asked) if one.role == "user"), "")
        update["meta"] = {**record.meta, INPUT: len(taiwan(given, Counter()))}
    if done["converted"]:
        counts["converted"] += 1
    counts["terms"] += done["terms"]
    own = record.id == content_id(record)
    changed = record.model_copy(update=update)
    return changed.model_copy(update={"id": content_id(changed)}) if own else changed


def taiwan(text: str, counts: Counter[str]) -> str:
    """`text` in Taiwan's characters (if it has Simplified ones) and words, Markdown code left as it is."""
    from danlu.text import usage
    from danlu.text.script import in_taiwan

    converted = in_taiwan(text)
    counts["converted"] += converted != text
    text = converted
    hits = usage.count(text)
    counts["terms"] += hits
    return usage.fix(text) if hits else text


assert set(get_args(ExampleFormat)) - {"auto"} == {
    name for name, format in formats.FORMATS.items() if format.makes is Example
}
