"""`danlu run RECIPE`: make what a recipe describes."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from danlu.errors import UsageError

EPILOG = """\
examples:
  danlu run recipes/tutor.yaml                      make what is not made yet
  danlu run recipes/tutor.yaml --set sft.rank=16    with another setting
  danlu run recipes/tutor.yaml --from sft           make sft, and all steps below it, again
  danlu run recipes/tutor.yaml --on ray://head:10001  the data steps on a Ray cluster
  danlu run recipes/tutor.yaml --force scores       make this one again; later ones follow if its content changed

Stopped in any way, the same command goes on where it stopped: finished steps are kept.
Exit codes: 0 well, 2 recipe, 3 missing extra, 4 a gate failed, 5 storage, 6 data, 7 model, 8 endpoint,
130 interrupted.
"""


def add(subparsers: Any) -> None:
    from danlu.cli.plan import recipe_arguments

    parser = subparsers.add_parser("run", description="Make what a recipe describes.", epilog=EPILOG)
    recipe_arguments(parser)
    parser.add_argument("--from", dest="start", metavar="STEP", help="make STEP and every step below it again")
    parser.add_argument("--force", action="append", default=[], metavar="STEP", help="make STEP again; may be repeated")
    parser.add_argument(
        "--track", choices=("mlflow", "none"), default="mlflow", help="where the run is tracked (default mlflow)"
    )
    parser.add_argument(
        "--on",
        default="local",
        metavar="WHERE",
        help="where data steps are worked on: local (every core), ray (RAY_ADDRESS, or a fresh one), ray://HOST:PORT",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import json
    import shlex
    from dataclasses import asdict

    from danlu.artifact import Store
    from danlu.recipe.plan import make_plan
    from danlu.recipe.run import again
    from danlu.recipe.run import run as run_plan
    from danlu.recipe.schema import read_recipe
    from danlu.recipe.tracking import tracker
    from danlu.track import Track

    if args.on not in ("local", "ray") and not args.on.startswith("ray://"):
        raise UsageError(f"--on {args.on}: not a place to work", nearest="ray", next="danlu run --help")
    quiet = args.quiet or args.json
    recipe = read_recipe(args.recipe, args.set)
    planned = make_plan(recipe, Track(quiet=quiet))
    remake = again(planned, args.start, args.force)
    store = Store(args.store)
    told = tracker(args.track, store)
    try:
        finished = run_plan(planned, store, Track(told, quiet, args.on), told, remake)
    except KeyboardInterrupt:
        sets = [word for text in args.set for word in ("--set", text)]
        command = shlex.join(["danlu", "run", str(args.recipe), *sets, "--store", str(args.store)])
        print(f"\ninterrupted; finished steps are kept. Go on with: {command}", file=sys.stderr)
        return 130
    if args.json:
        record = asdict(finished.record)
        print(json.dumps({**record, "report": str(finished.report)}, ensure_ascii=False, indent=1))
    else:
        print(f"report: {finished.report}")
    return 0
