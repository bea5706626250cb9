"""`danlu compare A B`: what changed from one result to another, how sure that is, and whether it may stand."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from danlu.eval.gate import Verdict
    from danlu.eval.versus import Change, Comparison

EPILOG = """\
examples:
  danlu compare gemma-3-270m ./my-model        the latest results of two models, question by question
  danlu compare 3fa9c1 8be2d0 --flips 5        two artifacts of the store; five questions won and five lost a score
  danlu compare old/ new/ --out page.html      two folders with results.json; a page with plots
  danlu compare base new --fail-if 'tmmluplus.acc < base - 2se' --fail-if 'taiwan_usage.taiwan_usage > 1.5'

--fail-if TASK.METRIC < BOUND says when to fail. BOUND is made of numbers, `base` (the same score of A), `se` (the
standard error of the paired difference; of both scores combined where the questions are not the same), + - * / and
brackets. A score that is missing, not finite, measured on nothing or in another version fails too. In a CI's workflow:

  - run: danlu eval ./candidate --tasks tmmluplus,drcd --store store
  - run: danlu compare production ./candidate --store store --fail-if 'tmmluplus.acc < base - 2se'

Exit codes: 0 well, 2 an expression is off, 4 a gate failed, 5 no store, 6 no such results.
"""


def add(subparsers: Any) -> None:
    from danlu.cli.plan import store_argument

    parser = subparsers.add_parser(
        "compare",
        description="Two results of the same questions: differences with errors, flips, gates.",
        epilog=EPILOG,
    )
    parser.add_argument("base", metavar="A", help="the base: a model, an artifact's id, recipe.step or a folder")
    parser.add_argument("new", metavar="B", help="what is compared with it")
    parser.add_argument(
        "--fail-if", action="append", default=[], metavar="EXPR", help="exit with 4 when this is true; may be repeated"
    )
    parser.add_argument(
        "--flips", type=int, default=0, metavar="N", help="show N questions won and N lost of each score"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE.html", help="write a page with plots and the flipped questions"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap (default 0)")
    store_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=compare)


def compare(args: argparse.Namespace) -> int:
    import json

    from danlu.artifact import Store
    from danlu.eval import gate, versus
    from danlu.eval.stored import find
    from danlu.track import Track

    expressions = [gate.parse(text) for text in args.fail_if]
    store = Store(args.store) if args.store.is_dir() else None
    base, new = find(args.base, store), find(args.new, store)
    made = versus.compare(base, new, args.seed, Track(quiet=args.json))
    verdicts = gate.judge(expressions, new, base, made)
    if args.out:
        from danlu.eval.page import write
        from danlu.eval.versus_page import render

        write(args.out, render(made, args.flips or 10))
    if args.json:
        told = made.as_json(args.flips) | {"gates": [vars(verdict) for verdict in verdicts]}
        print(json.dumps(told, ensure_ascii=False, indent=1))
        return 4 if any(verdict.failed for verdict in verdicts) else 0
    _print(made, verdicts, args.flips)
    if args.out:
        print(f"\n{args.out}")
    gate.require(verdicts)
    return 0


def _print(made: Comparison, verdicts: list[Verdict], flips: int) -> None:
    from danlu.cli.plan import print_table

    for text in made.warnings:
        print(f"WARNING: {text}", file=sys.stderr)
    print(f"base: {made.base}\nnew:  {made.new}\n")
    head = ["score", "better", "base", "new", "difference", "95 % interval", "n", "won", "lost", "p", "Holm", ""]
    print_table(head, [_row(one) for one in made.changes])
    tests = sorted({f"{one.test} ({'paired' if one.paired else 'not paired'})" for one in made.changes})
    print(f"\np: {', '.join(tests)}; Holm-corrected over {sum(one.p is not None for one in made.changes)} scores")
    for text in made.notes:
        print(f"note: {text}")
    if flips:
        _print_flips(made, flips)
    for verdict in verdicts:
        print(f"gate: fail if {verdict.expression} … {'FAILED: ' + verdict.reason if verdict.failed else 'holds'}")
        for hint in verdict.hints:
            print(f"WARNING: {hint}", file=sys.stderr)


def _row(one: Change) -> list[str]:
    from danlu.eval.page import number

    error = one.stderr
    shown = f" ± {number(error, error)}" if error is not None else ""
    span = f"{number(one.low, error, True)} … {number(one.high, error, True)}" if one.low is not None else "–"
    p = [f"{value:.3g}" if value is not None else "–" for value in (one.p, one.holm)]
    counts = [f"{one.n:,}", f"{one.won:,}", f"{one.lost:,}"] if one.paired else ["–", "–", "–"]
    values = [number(one.base, error), number(one.new, error), f"{number(one.difference, error, True)}{shown}", span]
    return [one.name, one.better, *values, *counts, *p, f"{one.verdict}{' !' if one.incomparable else ''}"]


def _print_flips(made: Comparison, most: int) -> None:
    import json

    for name, sides in made.flips.items():
        for side, found in sides.items():
            for flip in found[:most]:
                prompt = flip.prompt.strip()[-200:].replace("\n", " ⏎ ")
                answers = " → ".join(json.dumps(value, ensure_ascii=False)[:80] for value in (flip.base, flip.new))
                print(f"\n{name} {side}  {flip.id[:12]}  {flip.subject}\n  {prompt}")
                print(f"  target {json.dumps(flip.target, ensure_ascii=False)[:80]}; {answers}")
