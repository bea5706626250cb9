"""`danlu ls`: list artifacts, or the steps that a recipe can use."""

from __future__ import annotations

import argparse
from typing import Any

EPILOG = """\
examples:
  danlu ls                      the artifacts in the store, oldest first
  danlu ls --steps              the words that a recipe can use
  danlu ls --steps train.sft    the settings of one of them
  danlu ls --schema             the JSON schema of recipes, for editors
"""


def add(subparsers: Any) -> None:
    from danlu.cli.plan import store_argument

    parser = subparsers.add_parser(
        "ls", description="List artifacts, or the steps that a recipe can use.", epilog=EPILOG
    )
    parser.add_argument(
        "--steps", nargs="?", const="", metavar="WORD", help="the steps there are, or the settings of one"
    )
    parser.add_argument("--schema", action="store_true", help="the JSON schema of recipes")
    store_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=ls)


def ls(args: argparse.Namespace) -> int:
    from danlu.recipe import reference

    if args.schema:
        return _print_json(reference.schema())
    if args.steps == "":
        return _steps(args.json, reference.steps())
    if args.steps:
        return _settings(args.json, reference.step(args.steps))
    return _artifacts(args)


def _artifacts(args: argparse.Namespace) -> int:
    from danlu.artifact import Store
    from danlu.cli.plan import print_table
    from danlu.recipe.measure import size

    found = Store(args.store).all() if args.store.is_dir() else []
    keys = ("id", "kind", "recipe", "step", "use", "created")
    rows = [
        {
            **{key: artifact.manifest[key] for key in keys},
            "size": sum(facts["size"] for facts in artifact.manifest["files"].values()),
        }
        for artifact in found
    ]
    if args.json:
        return _print_json(rows)
    if not rows:
        print(f"no artifacts in {args.store}. Next: danlu run RECIPE")
        return 0
    head = ["id", "kind", "recipe", "step", "use", "created", "size"]
    cells = [[str(row[key]) for key in keys[:-1]] + [row["created"][:19], size(row["size"])] for row in rows]
    print_table(head, cells)
    return 0


def _steps(as_json: bool, steps: list[dict[str, str]]) -> int:
    from danlu.cli.plan import print_table

    if as_json:
        return _print_json(steps)
    print_table(["use", "makes", "what it does"], [[step["use"], step["makes"], step["summary"]] for step in steps])
    print("\nNext: danlu ls --steps WORD shows the settings of one.")
    return 0


def _settings(as_json: bool, step: dict[str, Any]) -> int:
    import textwrap

    if as_json:
        return _print_json(step)
    print(f"{step['use']} makes {step['makes']}\n\n{step['doc']}\n")
    for field in step["settings"]:
        default = "required" if field["required"] else f"default {field['default']}"
        print(f"{field['name']}: {field['type']}  ({default})")
        print(textwrap.fill(field["doc"], 100, initial_indent="    ", subsequent_indent="    "))
    return 0


def _print_json(value: Any) -> int:
    import json

    print(json.dumps(value, ensure_ascii=False, indent=1))
    return 0
