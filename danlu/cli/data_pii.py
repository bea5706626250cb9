"""`danlu data pii`: personal data and secrets in files of any format that Danlu reads."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.errors import DataError, UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from danlu.data.files import Found
    from danlu.data.readers import Reading
    from danlu.text.pii import Hit

EPILOG = """\
examples:
  danlu data pii letters.txt minutes.docx           file:line:column: type, with the ends of what was found
  danlu data pii --type mobile --type email notes/   these types only, every readable file of a folder
  danlu data pii --json crawl.jsonl                 counts and places, never the values

The values are never shown whole. To mask, drop or pseudonymise them, use the step data.pii in a recipe.
exit code: 0 nothing found, 1 something found, 2 wrong usage, 6 a file cannot be read.
"""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "pii",
        help="personal data and secrets in files",
        description="Personal data and secrets in files.",
        epilog=EPILOG,
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE", help="a file or a folder")
    parser.add_argument("--type", action="append", metavar="TYPE", help="this type only; may be repeated")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from danlu.data.files import files
    from danlu.data.pii import everywhere, parts
    from danlu.data.readers import sound
    from danlu.text import credentials, pii
    from danlu.track import Track

    known = (*pii.TYPES, *credentials.TYPES)
    for name in args.type or ():
        if name not in known:
            raise UsageError(f"--type: unknown type {name!r}", nearest=nearest(name, known), next=", ".join(known))
    wanted = set(args.type or known)
    places: list[dict[str, Any]] = []
    unread: list[dict[str, str]] = []
    found = list(files(args.paths, ()))
    for file in Track(quiet=args.json).over(found, "looking", unit="file"):
        for source, reading, reason in _readings(file):
            if reason:
                unread.append({"source": source, "reason": reason})
                continue
            meta = {name: value for name, value in reading.meta.items() if name != "licence"}
            for part, text in parts(sound(reading.text), sound(reading.title), meta):
                places += [_place(source, part, text, hit) for hit in everywhere(text) if hit.type in wanted]
    counts = dict(sorted(Counter(place["type"] for place in places).items()))
    if args.json:
        print(json.dumps({"counts": counts, "places": places, "unread": unread}, ensure_ascii=False, indent=1))
    else:
        _print(places, counts, unread)
    if unread and len(unread) == len(found):
        raise DataError("no file could be read", where=unread[0]["source"], next="danlu data pii --help")
    return int(bool(places))


def _readings(file: Found) -> Iterator[tuple[str, Reading, str]]:
    """(source, document, reason) of each document of a file, as `data.read` reads it; a reason stands for one that
    cannot be read."""
    from danlu.data.readers import Bad, How, Reading, Unreadable, readings

    nothing = Reading("")
    if file.reason:
        yield file.source, nothing, file.reason
        return
    try:
        for one in readings(file.path, How(file.source)):
            source = f"{file.source}#{one.part}" if one.part else file.source
            yield (source, nothing, one.reason) if isinstance(one, Bad) else (source, one, "")
    except Unreadable as error:
        yield file.source, nothing, error.reason
    except OSError as error:
        yield file.source, nothing, str(error.strerror)


def _place(source: str, part: str, text: str, hit: Hit) -> dict[str, Any]:
    line = text.count("\n", 0, hit.start) + 1
    column = hit.start - text.rfind("\n", 0, hit.start)
    value = text[hit.start : hit.end].strip()
    shown = f"{value[:1]}…{value[-1:]}" if len(value) > 3 else "…"
    source = f"{source} ({part})" if part else source
    return {"source": source, "line": line, "column": column, "type": hit.type, "shown": shown, "why": hit.why}


def _print(places: list[dict[str, Any]], counts: dict[str, int], unread: list[dict[str, str]]) -> None:
    for place in places:
        print(f"{place['source']}:{place['line']}:{place['column']}: {place['type']} {place['shown']} ({place['why']})")
    for one in unread:
        print(f"{one['source']}: not read: {one['reason']}", file=sys.stderr)
    print(", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing found")
