"""`danlu plan RECIPE`: check a recipe and show what a run would make."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

EPILOG = """\
examples:
  danlu plan recipes/tutor.yaml
  danlu plan recipes/tutor.yaml --set sft.rank=16 --json

A step is cached, to make, or waits for a step whose content is not known yet. Nothing is made.
Exit codes: 0 the recipe is fine, 2 it has problems (all are shown).
"""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser("plan", description="Check a recipe and show what a run would make.", epilog=EPILOG)
    recipe_arguments(parser)
    parser.set_defaults(run=plan)


def recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """What `plan` and `run` share."""
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="the recipe, a YAML file")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="STEP.KEY=VALUE",
        help="replace a setting (VALUE as YAML; paths from the recipe's folder); may be repeated",
    )
    store_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def store_argument(parser: argparse.ArgumentParser) -> None:
    default = os.environ.get("DANLU_STORE", "store")
    parser.add_argument(
        "--store",
        type=Path,
        default=Path(default),
        metavar="DIR",
        help="where artifacts are kept (DANLU_STORE; store/)",
    )


def plan(args: argparse.Namespace) -> int:
    import json

    from danlu.artifact import Store
    from danlu.recipe.plan import make_plan, states
    from danlu.recipe.schema import read_recipe
    from danlu.track import Track

    planned = make_plan(read_recipe(args.recipe, args.set), Track(quiet=args.json))
    found = states(planned, Store(args.store) if args.store.is_dir() else None)
    if args.json:
        steps = [
            {
                "name": state.step.name,
                "use": state.step.use,
                "makes": state.step.makes,
                "state": state.state,
                "id": state.id,
                "reads": state.step.references,
                "settings": state.step.described(),
            }
            for state in found
        ]
        print(json.dumps({"recipe": planned.recipe.name, "steps": steps}, ensure_ascii=False, indent=1))
        return 0
    rows = [
        [state.step.name, state.step.use, state.state, state.id or "", ", ".join(state.step.references.values())]
        for state in found
    ]
    print_table(["step", "use", "state", "id", "reads"], rows)
    cached = sum(state.artifact is not None for state in found)
    print(f"\n{len(found)} steps, {cached} cached. Next: danlu run {args.recipe}")
    return 0


def print_table(head: list[str], rows: list[list[str]]) -> None:
    """Columns under a head (or none), as wide as their widest cell (a Chinese character counts two)."""
    lines = [head, *rows] if head else rows
    widths = [max(columns(row[i]) for row in lines) for i in range(len(lines[0]))]
    for row in lines:
        print("  ".join(cell + " " * (width - columns(cell)) for cell, width in zip(row, widths, strict=True)).rstrip())


def columns(text: str) -> int:
    import unicodedata

    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
