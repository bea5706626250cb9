"""`danlu arena A B [C …]`: a page where people vote on answers without knowing whose they are."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.errors import UsageError

if TYPE_CHECKING:
    from danlu.eval.arena import Arena

EPILOG = """\
A, B, … are files of answers (JSONL: id, answer), folders or ids of results, or models that are asked before the page
opens: endpoint:URL#MODEL, FILE.gguf, a built-in model, a recipe or assistant, script:FILE.json.

examples:
  danlu arena before.jsonl after.jsonl --questions questions.jsonl
  danlu arena gemma-3-270m tutor endpoint:https://api.openai.com/v1#gpt-4.1 --questions questions.jsonl --port 8100
  danlu arena before.jsonl after.jsonl --votes votes.jsonl --board --json      the ratings alone, no page
  danlu judge before.jsonl after.jsonl --judge CHAT --labels votes.jsonl       does a judge say what people said?

Each vote is synced to the file before the voter is thanked; the same command goes on with it. Without the environment
variable DANLU_API_KEY the page answers to this machine only; with it, the page asks for it (user name danlu). There is
no TLS: put a proxy before it.
"""


def add(subparsers: Any) -> None:
    from danlu.cli.judge import side_arguments
    from danlu.cli.plan import store_argument

    parser = subparsers.add_parser(
        "arena",
        description="A page where people vote on two answers without knowing whose they are.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sides", nargs="+", metavar="ANSWERS", help="A, B, …: whose answers are compared; see below")
    side_arguments(parser)
    parser.add_argument(
        "--votes", type=Path, default=Path("votes.jsonl"), metavar="FILE", help="where votes are kept (votes.jsonl)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8100, help="the port to listen on; 0 takes a free one (8100)")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.add_argument("--board", action="store_true", help="print the ratings and end")
    parser.add_argument("--json", action="store_true", help="print the ratings as JSON and end")
    store_argument(parser)
    parser.set_defaults(run=arena)


def arena(args: argparse.Namespace) -> int:
    import os

    from danlu.cli.serve import listen, run
    from danlu.extras import need
    from danlu.serve.door import KEY_VARIABLE, Door, check_bind

    if len(args.sides) < 2:
        raise UsageError("an arena needs two sides or more", next="danlu arena --help")
    if args.board or args.json:
        return _board(args)
    key = os.environ.get(KEY_VARIABLE) or None
    check_bind(args.host, key)
    need("uvicorn", "serve")
    listener = listen(args.host, args.port)
    try:
        with _opened(args) as made:
            from danlu.eval.arena_app import make_app

            app = make_app(made, key)
            app.add_middleware(Door, key=key, host=args.host, body=10_000)
            host = f"[{args.host}]" if ":" in args.host else args.host
            address = f"http://{host}:{listener.getsockname()[1]}/"
            print(f"arena   {address}" + ("   (user danlu, password: the key)" if key else ""))
            print(f"votes   {args.votes}   {len(made.votes.all)} so far, {len(made.matches)} pairs of answers")
            print("Ctrl-C ends.", flush=True)
            if args.open:
                import webbrowser

                webbrowser.open(address)
            run(app, listener)
    except KeyboardInterrupt:
        pass
    finally:
        listener.close()
    return 0


@contextmanager
def _opened(args: argparse.Namespace) -> Iterator[Arena]:
    """The arena of the command line; its file of votes is held until the end."""
    from danlu.cli.judge import gathered
    from danlu.eval.arena import Arena
    from danlu.eval.cache import Cache
    from danlu.eval.votes import Votes
    from danlu.track import Track

    track = Track(quiet=args.json)
    with Cache(args.votes.with_name(args.votes.name + ".replies.sqlite"), track) as cache:
        items, sides = gathered(args, cache, track)
    votes = Votes(args.votes)
    try:
        if votes.damaged:
            track.note(f"{args.votes}: {votes.damaged} lines are no votes; a copy is in {args.votes}.damaged")
        yield Arena(items, sides, votes, args.seed)
    finally:
        votes.close()


def _board(args: argparse.Namespace) -> int:
    import json

    with _opened(args) as made:
        found = made.board()
    if args.json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
        return 0
    print(f"{found['votes']} votes of {found['voters']} voters on {found['questions']} questions")
    for one in found["ratings"]:
        print(
            f"{one['rank']:>3}  {one['name']:<32} {one['rating']:7.1f} ± {one['stderr']:5.1f}   "
            f"95 % {one['low']:.0f} to {one['high']:.0f}   {one['wins']} won, {one['ties']} tied, {one['losses']} lost"
        )
    if found["why"] == "none":
        print("no vote has a winner yet, so there is no rating")
    if found["why"] == "prior":
        print("one side never lost, or models never met: each has a win and a loss against an average one added")
    for name, what in (("not_counted", "votes are about other models or answers"), ("damaged", "lines are no votes")):
        if found[name]:
            print(f"{found[name]} {what}: not counted")
    return 0
