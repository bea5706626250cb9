"""`danlu text check`: Simplified characters and mainland terms, with the Taiwan word."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.errors import DanluError, DataError, UsageError, nearest, storage_error

if TYPE_CHECKING:
    from danlu.text.usage import Hit

ENDINGS = (".md", ".markdown", ".txt", ".html", ".htm")
_LARGE = 3_000_000

EPILOG = """\
examples:
  danlu text check README.zh-TW.md           one file: path:line:column: found → suggestion
  danlu text check handbook notes.txt        every .md, .txt and .html under a folder, and a file
  danlu text check --fix handbook            write the Taiwan words into the files
  danlu text check --allow names.txt draft   leave the words of names.txt (one a line) alone
  pbpaste | danlu text check -               standard input; with --fix, mended on standard output

left alone: code (fenced, inline, <pre>, <code>), addresses, HTML tags, block quotes (> ...), a quotation marked as
mainland usage (「軟件」（中國用語）), and whatever stands between <!-- danlu: off --> and <!-- danlu: on -->.

exit code: 0 clean, 1 hits, 2 wrong usage, 5 a file cannot be written, 6 a file cannot be read as text.
"""


@dataclass
class Checked:
    """What was found in one file. With --fix, `hits` are those that were there before."""

    path: str
    characters: int
    hits: list[Hit]
    left: int = 0


@dataclass
class Result:
    files: list[Checked] = field(default_factory=list)
    errors: list[DanluError] = field(default_factory=list)


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser("text", description="Traditional Chinese as Taiwan writes it.", epilog=EPILOG)
    parser.set_defaults(run=lambda args: parser.print_help() or 2)
    actions = parser.add_subparsers(metavar="ACTION")
    check = actions.add_parser(
        "check",
        help="find Simplified characters and mainland terms; --fix mends them",
        description="Find Simplified characters and mainland terms, with line, column and the Taiwan word.",
        epilog=EPILOG,
    )
    check.add_argument("paths", nargs="+", metavar="FILE", help="a file, a folder, or - for standard input")
    check.add_argument("--fix", action="store_true", help="replace each hit by the Taiwan word, in place")
    check.add_argument("--allow", type=Path, metavar="FILE", help="words to leave alone, one a line; # a comment")
    check.add_argument("--json", action="store_true", help="print the result as JSON")
    check.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from danlu.track import Track

    allow = _allowed(args.allow)
    paths = list(_files(args.paths))
    track = Track(quiet=args.json)
    result = Result()
    for path in track.over(paths, "checking", unit="file"):
        try:
            result.files.append(_check(path, allow, args.fix, track))
        except (DataError, OSError) as error:
            result.errors.append(_told(error, path))
    _print_json(result, args.fix) if args.json else _print(result, args.fix, "-" in args.paths)
    if result.errors:
        return max(error.exit_code for error in result.errors)
    return int(any(checked.left for checked in result.files))


# --- which files ---


def _files(names: list[str]) -> Iterator[str]:
    seen = set()
    for name in names:
        for path in [name] if name == "-" else _expanded(Path(name)):
            if path not in seen:
                seen.add(path)
                yield path


def _expanded(path: Path) -> list[str]:
    if path.is_dir():
        found = sorted(each for each in path.rglob("*") if each.suffix.lower() in ENDINGS and each.is_file())
        kept = [str(each) for each in found if not any(part.startswith(".") for part in each.relative_to(path).parts)]
        if not kept:
            raise UsageError(f"nothing to check here: no {', '.join(ENDINGS)}", where=str(path))
        return kept
    if not path.exists():
        known = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        near = nearest(path.name, known)
        raise UsageError("no such file or folder", where=str(path), nearest=near and str(path.parent / near))
    return [str(path)]


def _allowed(path: Path | None) -> frozenset[str]:
    if path is None:
        return frozenset()
    if not path.is_file():
        _expanded(path)
        raise UsageError("--allow wants a file", where=str(path))
    text, _ = _decoded(path.read_bytes(), str(path))
    words = (line.split("#")[0].strip() for line in text.splitlines())
    return frozenset(word for word in words if word)


# --- one file ---


def _check(path: str, allow: frozenset[str], fix: bool, track: Any) -> Checked:
    from danlu.text import usage

    data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    if len(data) > _LARGE:
        track.note(f"checking {path} ({len(data) / 1e6:.0f} MB)")
    text, encoding = _decoded(data, path)
    if not encoding.startswith("utf"):
        track.note(f"{path}: read as {encoding}")
    hits = usage.find(text, allow)
    checked = Checked(path, sum(map(len, text.split())), hits, len(hits))
    if fix and (hits or path == "-"):
        fixed = usage.fix(text, allow)
        checked.left = usage.count(fixed, allow)
        _write(path, _encoded(fixed, encoding, data, path))
    return checked


def _decoded(data: bytes, path: str) -> tuple[str, str]:
    from danlu.text.encoding import decode

    try:
        return decode(data)
    except ValueError as error:
        binary = str(error).startswith("binary")
        step = None if binary else f"iconv -f ENCODING -t UTF-8 {path}"
        raise DataError(f"not a text file: {error}", where=path, next=step) from None


def _encoded(text: str, encoding: str, data: bytes, path: str) -> bytes:
    from danlu.text.encoding import encode

    try:
        return encode(text, encoding, data)
    except UnicodeEncodeError as error:
        lacking = error.object[error.start : error.end]
        raise DataError(
            f"{encoding} has no {lacking!r}, so the mended text cannot be written back; the file was left as it was",
            where=path,
            next=f"iconv -f {encoding} -t UTF-8 {path}",
        ) from None


def _write(path: str, data: bytes) -> None:
    """Aside, then renamed over the file that `path` leads to, with its permissions."""
    import os
    import shutil
    import tempfile

    if path == "-":
        sys.stdout.buffer.write(data)
        return
    target = Path(path).resolve()
    handle, aside = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(target, aside)
        os.replace(aside, target)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def _told(error: Exception, path: str) -> DanluError:
    if isinstance(error, DanluError):
        return error
    return storage_error(error, path) or DataError(str(error), where=path)


# --- the result ---


def _print(result: Result, fixed: bool, piped: bool) -> None:
    stream = sys.stderr if fixed and piped else sys.stdout
    for checked in result.files:
        for hit in checked.hits:
            print(f"{checked.path}:{hit.line}:{hit.column}: {hit.found} → {hit.suggestion}", file=stream)
    for error in result.errors:
        print(f"danlu: {error}", file=sys.stderr)
    print(_summary(result, fixed), file=stream)


def _summary(result: Result, fixed: bool) -> str:
    hits = sum(len(checked.hits) for checked in result.files)
    left = sum(checked.left for checked in result.files)
    characters = sum(checked.characters for checked in result.files)
    parts = [f"{_many(len(result.files), 'file')}, {characters:,} characters: {_many(hits, 'hit')}"]
    if hits:
        touched = sum(1 for checked in result.files if checked.hits)
        parts[0] += f" in {_many(touched, 'file')}, {1000 * hits / characters:.2f} per 1,000 characters"
        parts.append(f"{hits - left} fixed, {left} left" if fixed else "danlu text check --fix mends them")
    if result.errors:
        parts.append(f"{_many(len(result.errors), 'file')} not checked")
    return "; ".join(parts)


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _print_json(result: Result, fixed: bool) -> None:
    import json

    hits = sum(len(checked.hits) for checked in result.files)
    left = sum(checked.left for checked in result.files)
    table = {
        "files": len(result.files),
        "characters": sum(checked.characters for checked in result.files),
        "count": hits,
        "fixed": hits - left if fixed else 0,
        "hits": [{"path": checked.path, **vars(hit)} for checked in result.files for hit in checked.hits],
        "errors": [vars(error.problem) for error in result.errors],
    }
    print(json.dumps(table, ensure_ascii=False, indent=1))
