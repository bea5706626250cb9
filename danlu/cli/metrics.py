"""`danlu metrics FILE`: classic metrics of a file of predictions."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from danlu.errors import UsageError

EPILOG = """\
examples:
  danlu metrics predictions.csv --kind classification
  danlu metrics spam.jsonl --kind classification --positive spam --plots plots/
  danlu metrics houses.parquet --kind regression --truth price --predicted guess --unit TWD
  danlu metrics clusters.csv --kind clustering --features x --features y
  danlu metrics predictions.csv --kind classification --model svm --task news --store store
  danlu leaderboard                            … and there it stands beside the other models

One row an item, with columns y_true, y_pred and, where there are scores, y_score: the probability of the positive
class, an object {class: p}, a list in the order of --classes, or one column a class (y_score_cat). Several classes an
item: lists, or texts with --separator between them. Each score has n and a bootstrap standard error; what is not
defined is said.

Exit codes: 0 well, 2 wrong usage, 3 missing extra, 5 storage, 6 the predictions are off.
"""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "metrics", description="Classic metrics of a file of predictions, with errors and plots.", epilog=EPILOG
    )
    parser.add_argument("predictions", type=Path, metavar="FILE", help="predictions: .jsonl, .csv, .tsv or .parquet")
    parser.add_argument("--kind", required=True, choices=("classification", "regression", "clustering"))
    _options(parser)
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write the plots there, as PNG")
    parser.add_argument("--store", type=Path, metavar="DIR", help="keep the results there, for compare and leaderboard")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=metrics)


def _options(parser: argparse.ArgumentParser) -> None:
    """The settings of eval.classic, each with its own description."""
    from danlu.eval.classic.step import ClassicSettings

    for name, field in ClassicSettings.model_fields.items():
        if name in ("predictions", "kind"):
            continue
        several = isinstance(field.default, tuple)
        text = str(field.description).replace("\n", " ").replace("`", "").replace("%", "%%")
        shown = "" if field.default in (None, "", ()) else f" (default {field.default})"
        parser.add_argument(
            f"--{name}",
            action="append" if several else "store",
            default=argparse.SUPPRESS,
            metavar="COLUMN" if name in ("truth", "predicted", "score", "id", "group", "features") else name.upper(),
            help=text + shown + ("; may be repeated" if several else ""),
        )


def metrics(args: argparse.Namespace) -> int:
    import json

    from pydantic import ValidationError

    from danlu.eval.classic.step import ClassicSettings, keep, measured
    from danlu.track import Track

    try:
        given = {name: value for name, value in vars(args).items() if name in ClassicSettings.model_fields}
        settings = ClassicSettings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"--{first['loc'][0]}: {first['msg']}", next="danlu metrics --help") from None
    results, outcome = measured(settings, Track(quiet=args.json))
    drawn = _plots(args.plots, outcome) if args.plots else {}
    kept = None
    if args.store:
        from danlu.artifact import Store

        kept = keep(settings, results, outcome, Store(args.store))
    if args.json:
        told = {"results": results.model_dump(mode="json"), "plots": drawn, "artifact": kept.id if kept else None}
        print(json.dumps(told, ensure_ascii=False, indent=1))
        return 0
    _print(results, outcome)
    for file, title in drawn.items():
        print(f"{file}  {title}")
    if kept:
        print(f"kept: {kept.path}\nnext: danlu leaderboard --store {args.store}")
    return 0


def _plots(folder: Path, outcome: Any) -> dict[str, str]:
    from danlu.errors import StorageError, storage_error

    try:
        folder.mkdir(parents=True, exist_ok=True)
        return {str(folder / file): title for file, title in outcome.draw(folder).items()}
    except OSError as error:
        raise storage_error(error, str(folder)) or StorageError(str(error.strerror), where=str(folder)) from None


def _print(results: Any, outcome: Any) -> None:
    from danlu.cli.plan import print_table
    from danlu.eval.page import plus_minus

    task = results.tasks[0]
    print(f"{results.model['name']}: {task.task}, {task.kind}, {task.came:,} items, {task.data['source']}\n")
    rows = [
        [f"{task.task}.{score.name}", plus_minus(score.value, score.stderr), score.unit, score.better, f"{score.n:,}"]
        for score in task.scores
    ]
    print_table(["score", "value ± standard error", "unit", "better", "n"], rows)
    for title, columns, lines in outcome.tables:
        print(f"\n{title}")
        print_table(
            columns, [[f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in line] for line in lines]
        )
    for note in task.notes:
        print(f"note: {note}", file=sys.stderr)
