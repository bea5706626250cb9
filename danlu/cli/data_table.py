"""`danlu data table`: profile a table, split and transform it without leaks, apply the same to new data, check it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, get_args

from danlu.errors import DataError, StorageError, UsageError

EPILOG = """\
examples:
  danlu data table profile houses.csv --html houses.html          every column, with plots and warnings
  danlu data table fit houses.csv --target price --out prepared   split, then fit on the train rows alone
  danlu data table fit a.csv --target y --out p --split stratified --encode target --outliers clip
  danlu data table apply prepared new.csv --out new.parquet       the same steps on new rows
  danlu data table check new.csv --schema prepared/schema.yaml    rows that break the schema, by number

Tables: CSV and TSV in any encoding, Parquet, JSON, JSON Lines, spreadsheets (first sheet).
exit code: 0 well, 1 rows break the schema (check, apply), 2 wrong usage, 3 missing extra, 5 storage, 6 data.
"""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "table", help="profile, fit, apply and check tables", description="Tables, without leaks.", epilog=EPILOG
    )
    parser.set_defaults(run=lambda args: parser.print_help() or 2)
    actions = parser.add_subparsers(metavar="ACTION")
    _profile(actions)
    _fit(actions)
    _apply(actions)
    _check(actions)


def _action(actions: Any, name: str, help: str, run: Any) -> Any:
    action = actions.add_parser(name, help=help, description=help, epilog=EPILOG)
    action.add_argument("--json", action="store_true", help="print the result as JSON")
    action.set_defaults(run=run)
    return action


def _profile(actions: Any) -> None:
    action = _action(actions, "profile", "what is in each column", profile)
    action.add_argument("file", type=Path, metavar="FILE")
    action.add_argument("--target", metavar="COLUMN", help="warn of columns that give it away, and of rare classes")
    action.add_argument("--html", type=Path, metavar="PAGE", help="write a page with plots")
    action.add_argument("--force", action="store_true", help="replace PAGE")


def _fit(actions: Any) -> None:
    from danlu.data.table.settings import TableSettings

    action = _action(actions, "fit", "split a table, fit the steps on its train rows, transform every side", fit)
    action.add_argument("file", type=Path, metavar="FILE")
    action.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to write")
    action.add_argument("--force", action="store_true", help="replace DIR, when it is a fitted table")
    for name, field in TableSettings.model_fields.items():
        options = [word for word in get_args(field.annotation) if isinstance(word, str)]
        text = str(field.description).replace("\n", " ").replace("`", "").replace("%", "%%")
        shown = "" if field.default in (None, ()) else f" (default {field.default})"
        several = isinstance(field.default, tuple)
        action.add_argument(
            f"--{name}",
            choices=options or None,
            action="append" if several else "store",
            default=argparse.SUPPRESS,
            metavar=None if options else "COLUMN" if several or name in ("target", "by") else "N",
            help=text + shown + ("; may be repeated" if several else ""),
        )


def _apply(actions: Any) -> None:
    action = _action(actions, "apply", "the steps of a fitted table on new rows", apply)
    action.add_argument("folder", type=Path, metavar="DIR", help="what fit wrote")
    action.add_argument("file", type=Path, metavar="FILE")
    action.add_argument("--out", type=Path, required=True, metavar="FILE", help=".parquet, .csv or .jsonl")
    action.add_argument("--force", action="store_true", help="replace the output")


def _check(actions: Any) -> None:
    action = _action(actions, "check", "the rows of a table that break a schema", check)
    action.add_argument("file", type=Path, metavar="FILE")
    action.add_argument("--schema", type=Path, required=True, metavar="YAML")


def profile(args: argparse.Namespace) -> int:
    from danlu.data.table import frame, profile

    _free(args.html, args.force)
    table = frame.read(args.file)
    if args.target:
        frame.column(table, args.target, "--target")
    told = profile.profile(table, args.target)
    if args.html:
        _write(args.html, profile.page(told, args.file.name))
    if args.json:
        _print(told)
        return 0
    print(f"{args.file}: {told['rows']:,} rows, {told['columns']} columns, {told['repeated_rows']:,} repeated rows")
    for name, column in told["profile"].items():
        warnings = "; ".join(column["warnings"])
        gaps = f"{column['missing']:,} missing, {column['distinct']:,} distinct"
        print(f"  {name}  {column['type']}  {gaps}{'  ! ' + warnings if warnings else ''}")
    return 0


def fit(args: argparse.Namespace) -> int:
    from pydantic import ValidationError

    from danlu.data.table.settings import TableSettings
    from danlu.extras import need

    need("sklearn", "table")
    from danlu.data.table import fitted

    values = {name: value for name, value in vars(args).items() if name in TableSettings.model_fields}
    try:
        settings = TableSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"--{first['loc'][0]}: {first['msg']}", next="danlu data table fit --help") from None
    if args.out.exists() and not (args.force and (args.out / "table.json").exists()):
        raise UsageError("the folder is there already", where=str(args.out), next="name another, or add --force")
    told = fitted.fit(args.file, args.out, settings, lambda text: print(text, file=sys.stderr))
    if args.json:
        _print(told)
    else:
        rows = ", ".join(f"{side} {count:,}" for side, count in told["rows"].items())
        lost = "".join(f"; {count:,} left out: {reason}" for reason, count in told["dropped"].items())
        print(f"{args.out}: {rows} rows, {len(told['features'])} features{lost}")
    return 0


def apply(args: argparse.Namespace) -> int:
    from danlu.data.table import frame
    from danlu.extras import need
    from danlu.records import write_jsonl

    need("sklearn", "table")
    from danlu.data.table import fitted

    _free(args.out, args.force)
    made, broken, unknown = fitted.load(args.folder).apply(frame.read(args.file))
    frame.write(made, args.out)
    drops = [_drop(one, args.file.name) for one in broken]
    if drops:
        write_jsonl(args.out.with_name(args.out.name + ".dropped.jsonl"), drops)
    told = {"rows": made.height, "dropped": len({one.row for one in broken}), "unknown_categories": unknown}
    if args.json:
        _print(told)
    else:
        print(f"{args.out}: {made.height:,} rows, {told['dropped']:,} left out, {unknown:,} unknown categories")
    return int(bool(drops))


def check(args: argparse.Namespace) -> int:
    from danlu.data.table import frame, schema

    wanted = schema.load(args.schema)
    table = schema.conformed(frame.read(args.file), wanted)
    found = schema.violations(table, wanted)
    if args.json:
        _print({"rows": table.height, "violations": [one._asdict() for one in found]})
    else:
        for one in found[:50]:
            print(f"{args.file}: row {one.row}: {one.column}: {one.check}: {one.value}")
        print(f"{table.height:,} rows, {len({one.row for one in found}):,} of them break the schema")
    return int(bool(found))


def _drop(one: Any, name: str) -> Any:
    from danlu.records import Drop

    return Drop(id=f"row {one.row}", source=f"{name}:{one.row}", reason="schema", detail=f"{one.column}: {one.check}")


def _free(path: Path | None, force: bool) -> None:
    if path is not None and path.exists() and not force:
        raise UsageError("the file is there already", where=str(path), next="name another, or add --force")


def _write(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.part")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise StorageError(f"cannot be written: {error.strerror}", where=str(path)) from None


def _print(told: dict[str, Any]) -> None:
    try:
        print(json.dumps(told, ensure_ascii=False, indent=1, default=str))
    except ValueError as error:
        raise DataError(f"cannot be told as JSON: {error}") from None
