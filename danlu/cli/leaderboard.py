"""`danlu leaderboard`: one page with the results of every model in the store."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from danlu.errors import DataError, StorageError

EPILOG = """\
examples:
  danlu leaderboard                              leaderboard.html from the results in store/
  danlu leaderboard --store shared --out a.html  another store, another file
  danlu leaderboard --json                       the same as data

The page needs no network: columns sort, tasks and models can be hidden, ranks are ranges where intervals overlap.
Results of another version or with other shots are columns of their own; what else differs is marked.

Exit codes: 0 well, 5 no store, or the page cannot be written, 6 no results in it.
"""


def add(subparsers: Any) -> None:
    from danlu.cli.plan import store_argument

    parser = subparsers.add_parser(
        "leaderboard", description="One page with the results of every model in the store.", epilog=EPILOG
    )
    parser.add_argument(
        "--out", type=Path, default=Path("leaderboard.html"), metavar="FILE.html", help="the page (leaderboard.html)"
    )
    store_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the board as JSON, and write no page")
    parser.set_defaults(run=leaderboard)


def leaderboard(args: argparse.Namespace) -> int:
    import json

    from danlu.artifact import Store
    from danlu.eval.leaderboard import board, render
    from danlu.eval.page import write
    from danlu.eval.stored import all_results

    if not args.store.is_dir():
        raise StorageError("there is no store", where=str(args.store), next="danlu eval MODEL --tasks TASK makes one")
    found = all_results(Store(args.store))
    if not found:
        raise DataError("no results in this store", where=str(args.store), next="danlu eval MODEL --tasks TASK")
    made = board(found)
    if args.json:
        print(json.dumps(made.as_json(), ensure_ascii=False, indent=1))
        return 0
    write(args.out, render(made))
    print(f"{args.out}: {len(made.rows)} models, {len(made.columns)} columns")
    return 0
