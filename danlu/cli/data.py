"""`danlu data ACTION`: work on data files without a recipe. One file an action, imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import Any

ACTIONS = ("convert", "pii", "table")

EPILOG = """\
examples:
  danlu data convert train.json train.jsonl --to messages    another format of instruction data, nothing lost
  danlu data validate train.jsonl                            every bad record with its line and field
  danlu data pii notes.txt                                   personal data and secrets, by kind, line and column
  danlu data table fit train.csv --target price              missing values, outliers, scaling, encoding, split
  danlu run RECIPE                                           documents, filters, dedup: the data.* steps of a recipe

danlu data ACTION --help tells more.
"""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "data", description="Instruction files, tables and personal data, on the command line.", epilog=EPILOG
    )
    parser.set_defaults(run=lambda args: parser.print_help() or 2)
    actions = parser.add_subparsers(metavar="ACTION")
    for name in ACTIONS:
        importlib.import_module(f"danlu.cli.data_{name}").add(actions)
