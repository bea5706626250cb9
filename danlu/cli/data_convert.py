"""`danlu data convert` and `danlu data validate`: instruction and preference files in another format, or checked."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.errors import DataError, UsageError

if TYPE_CHECKING:
    from danlu.data.formats import Fault, Format
    from danlu.records import Example, Preference

_LOOKED_AT = 100
_ENDINGS = (".jsonl", ".ndjson", ".json")

CONVERT = """\
examples:
  danlu data convert alpaca.json chat.jsonl --to messages       the format that is read is found out
  danlu data convert dpo.json pairs.jsonl --to trl --strict     nothing is written unless every record can be
  danlu data convert pairs.jsonl kto.jsonl --to kto             each pair becomes a good and a bad record

A record is written whole or not at all: unknown fields are kept beside the known ones, where its answer was taken from
in the field `danlu`. What cannot be read, and what the format has no place for (tools in alpaca, several turns in
completion), is left out, told with file and line, and counted.

exit code: 0 every record was written, 1 some were left out, 2 wrong usage, 5 OUT cannot be written, 6 none could be.
"""

VALIDATE = """\
examples:
  danlu data validate train.jsonl                every fault as file:line: field: what, the first 20 of them
  danlu data validate --format alpaca *.json     judge them all as Alpaca
  danlu data validate --show 0 --json train.jsonl

exit code: 0 all is well, 1 faults, 2 wrong usage, 6 a file in no known format.
"""


@dataclass
class Tally:
    """What was read of a file: all faults counted by reason and field, the first of them shown."""

    show: int
    path: str = ""
    format: str = ""
    records: int = 0
    good: int = 0
    written: int = 0
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    shown: list[dict[str, Any]] = field(default_factory=list)

    def add(self, line: int, faults: list[Fault]) -> None:
        for fault in faults:
            self.counts[fault.reason, _general(fault.field)] += 1
            if len(self.shown) < self.show:
                self.shown.append({"where": f"{self.path}:{line}", **fault._asdict()})


def add(actions: Any) -> None:
    from danlu.data.formats import ALIASES, FORMATS

    table = "\n".join(f"  {name:<20} {format.about}" for name, format in FORMATS.items())
    other = ", ".join(f"{name} = {known}" for name, known in ALIASES.items())
    formats = f"\nformats:\n{table}\n  ({other}; KTO's label is label, or kto_tag of alpaca and sharegpt)\n"
    convert = actions.add_parser(
        "convert",
        help="turn an instruction or preference file into another format",
        description="Turn an instruction or preference file into another format, losing nothing.",
        epilog=CONVERT + formats,
    )
    convert.add_argument("source", type=Path, metavar="IN", help="a .jsonl or .json file")
    convert.add_argument("target", type=Path, metavar="OUT", help="the file to write: .jsonl, or .json for one list")
    convert.add_argument("--from", dest="came", default="auto", metavar="FORMAT", help="default: find it out")
    convert.add_argument("--to", required=True, metavar="FORMAT", help="the format to write")
    convert.add_argument("--strict", action="store_true", help="write nothing unless every record can be written")
    convert.add_argument("--force", action="store_true", help="write over OUT when it is there")
    convert.set_defaults(run=run_convert)
    validate = actions.add_parser(
        "validate",
        help="check instruction or preference files, with line numbers",
        description="Check instruction or preference files: every fault with file, line, field and how to mend it.",
        epilog=VALIDATE + formats,
    )
    validate.add_argument("paths", nargs="+", type=Path, metavar="FILE", help="a file, or a folder of them")
    validate.add_argument("--format", dest="came", default="auto", metavar="FORMAT", help="default: find it out")
    validate.set_defaults(run=run_validate)
    for parser in (convert, validate):
        parser.add_argument("--show", type=int, default=20, metavar="N", help="how many faults to show (default 20)")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")


# --- validate ---


def run_validate(args: argparse.Namespace) -> int:
    from danlu.data.formats import files
    from danlu.track import Track

    named = _named(args.came)
    paths = [file for path in args.paths for file in files.files(path)]
    tallies: list[Tally] = []
    for path in paths:
        tally = Tally(max(0, args.show - sum(len(one.shown) for one in tallies)), str(path))
        tallies.append(tally)
        tally.format = args.came if named else _detected(path) or "unknown"
        if tally.format == "unknown":
            continue
        for _ in _read(path, tally, Track(quiet=args.json)):
            pass
    _tell_validated(tallies, args.json)
    if any(tally.format == "unknown" for tally in tallies):
        return 6
    return int(any(tally.counts for tally in tallies))


def _tell_validated(tallies: list[Tally], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"files": [_as_json(tally) for tally in tallies]}, ensure_ascii=False, indent=1))
        return
    for tally in tallies:
        _show(tally)
        if tally.format == "unknown":
            print(f"{tally.path}: in no known format; next: danlu data validate --help lists them")
        else:
            print(f"{tally.path}: {tally.format}, {_many(tally.records, 'record')}, {_summary(tally)}")


# --- convert ---


def run_convert(args: argparse.Namespace) -> int:
    from danlu.data.formats import files
    from danlu.track import Track

    named = _named(args.came)
    (source,) = _one_file(files.files(args.source), args.source)
    came = args.came if named else _detected(source)
    if not came:
        raise DataError("in no known format", where=str(source), next="name it: --from FORMAT; --help lists them")
    target, wanted = _target(args.to, came)
    _check_target(args.target, source, args.force)
    tally = Tally(args.show, str(source), came)
    handle, aside = tempfile.mkstemp(prefix=f".{args.target.name}.", dir=args.target.resolve().parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            _write(file, _converted(source, tally, wanted, Track(quiet=args.json)), tally, args.target)
            file.flush()
            os.fsync(file.fileno())
        refused = bool(tally.counts) and args.strict
        if tally.written and not refused:
            os.chmod(aside, 0o666 & ~_umask())
            os.replace(aside, args.target)
    finally:
        Path(aside).unlink(missing_ok=True)
    _tell_converted(tally, args.target, target, refused, args.json)
    return 6 if refused or not tally.written else int(bool(tally.counts))


def _converted(path: Path, tally: Tally, wanted: Format, track: Any) -> Iterator[dict[str, Any]]:
    """The records in the format wanted; what cannot be written goes into the tally."""
    from danlu.data.formats import Cannot, Fault, dump

    for line, record in _read(path, tally, track):
        try:
            made = [dump(wanted, one) for one in _as_wanted(record, wanted)]
        except Cannot as error:
            tally.good -= 1
            tally.add(line, [Fault("no-place", "", f"the format has no place for {error}")])
            continue
        yield from made


def _as_wanted(record: Example | Preference, wanted: Format) -> list[Any]:
    """The record itself; of a pair that becomes examples, the good answer and the bad one, each with its label."""
    from danlu.data.formats.fields import content_id
    from danlu.records import Example, Message

    if isinstance(record, (wanted.makes, Example)):
        return [record]
    own = record.id == content_id(record)
    pair = []
    for label, answer in ((True, record.chosen), (False, record.rejected)):
        made = Example(
            id=record.id,
            messages=[*record.prompt, Message(role="assistant", content=answer)],
            document=record.document,
            method=record.method,
            source=record.source,
            tools=record.tools,
            label=label,
            meta=record.meta,
        )
        pair.append(made.model_copy(update={"id": content_id(made)}) if own else made)
    return pair


def _write(file: Any, records: Iterator[dict[str, Any]], tally: Tally, target: Path) -> None:
    listed = target.suffix.lower() == ".json"
    for record in records:
        text = json.dumps(record, ensure_ascii=False)
        if listed:
            file.write(("[\n" if not tally.written else ",\n") + text)
        else:
            file.write(text + "\n")
        tally.written += 1
    if listed:
        file.write("\n]\n")


def _tell_converted(tally: Tally, target: Path, name: str, refused: bool, as_json: bool) -> None:
    if as_json:
        told = _as_json(tally) | {"to": name, "out": None if refused or not tally.written else str(target)}
        print(json.dumps({**told, "written": 0 if refused else tally.written}, ensure_ascii=False, indent=1))
        return
    _show(tally)
    print(f"{tally.path}: {tally.format}, {_many(tally.records, 'record')}, {_summary(tally)}")
    if refused:
        print(f"nothing was written (--strict): {_many(tally.records - tally.good, 'record')} cannot be")
    elif not tally.written:
        print("nothing was written: no record can be")
    else:
        pairs = " (a good and a bad one of each pair)" if tally.written > tally.good else ""
        print(f"{target}: {name}, {_many(tally.written, 'record')} written{pairs}")


def _target(name: str, came: str) -> tuple[str, Format]:
    """The format to write; UsageError when the kinds do not fit. `danlu` is that of whatever came."""
    from danlu.data.formats import FORMATS, named
    from danlu.records import Example

    wanted, source = named(name), named(came)
    if name == "danlu" and wanted.makes is not source.makes:
        name, wanted = "danlu-preference", FORMATS["danlu-preference"]
    if source.makes is Example and wanted.makes is not Example:
        raise UsageError(
            f"{came} has one answer a record, {name} wants two",
            next="records with a label are paired by the step data.preferences",
        )
    return name, wanted


def _check_target(target: Path, source: Path, force: bool) -> None:
    if target.suffix.lower() not in _ENDINGS:
        raise UsageError(f"OUT must end in {', '.join(_ENDINGS)}", where=str(target))
    if not target.resolve().parent.is_dir():
        raise UsageError("there is no such folder", where=str(target.parent), next=f"mkdir -p {target.parent}")
    if target.exists() and target.resolve() == source.resolve():
        raise UsageError("IN and OUT are the same file", where=str(target))
    if target.exists() and not force:
        raise UsageError("OUT is there already", where=str(target), next="another name, or --force to write over it")


def _one_file(found: list[Path], path: Path) -> list[Path]:
    if path.is_dir():
        raise UsageError("IN must be a file", where=str(path), nearest=str(found[0]))
    return found


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# --- both ---


def _named(name: str) -> Format | None:
    from danlu.data.formats import named

    return None if name == "auto" else named(name)


def _detected(path: Path) -> str:
    from danlu.data.formats import detect, files

    return detect(raw.value for raw in islice(files.records(path), _LOOKED_AT) if raw.fault is None) or ""


def _read(path: Path, tally: Tally, track: Any) -> Iterator[tuple[int, Example | Preference]]:
    """The good records with their lines; faults go into the tally."""
    from danlu.data.formats import files, named, parse

    format = named(tally.format)
    for raw in track.over(files.records(path), path.name, unit="record"):
        tally.records += 1
        made, faults = (None, [raw.fault]) if raw.fault else parse(format, raw.value)
        tally.add(raw.line, faults)
        if made is not None:
            tally.good += 1
            yield raw.line, made


def _show(tally: Tally) -> None:
    for fault in tally.shown:
        name = f"{fault['field']}: " if fault["field"] else ""
        print(f"{fault['where']}: {name}{fault['what']}", file=sys.stderr)
        if fault["near"]:
            print(f"  did you mean: {fault['near']}", file=sys.stderr)
        if fault["mend"]:
            print(f"  next: {fault['mend']}", file=sys.stderr)


def _summary(tally: Tally) -> str:
    if not tally.counts:
        return "no faults"
    each = sorted(tally.counts.items(), key=lambda entry: (-entry[1], entry[0]))
    told = ", ".join(f"{count} {reason}" + (f" ({name})" if name else "") for (reason, name), count in each[:8])
    more = f", and {len(each) - 8} more kinds" if len(each) > 8 else ""
    hidden = tally.counts.total() - len(tally.shown)
    first = f"; the first {len(tally.shown)} are shown" if hidden else ""
    return (
        f"{_many(tally.counts.total(), 'fault')} in {_many(tally.records - tally.good, 'record')}: {told}{more}{first}"
    )


def _as_json(tally: Tally) -> dict[str, Any]:
    counts = [
        {"reason": reason, "field": name, "count": count} for (reason, name), count in sorted(tally.counts.items())
    ]
    return {
        "path": tally.path,
        "format": tally.format,
        "records": tally.records,
        "good": tally.good,
        "faults": counts,
        "shown": tally.shown,
    }


def _general(name: str) -> str:
    return ".".join("*" if part.isdigit() else part for part in name.split("."))


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
