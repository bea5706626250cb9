"""The command line: `danlu <verb>`, one file a verb, imported when it is asked for.

Exit codes: 0 all went well; 1 a check found something (or another error of the user's); 2 wrong usage or recipe; 3 an
extra is not installed; 4 a gate failed; 5 storage; 6 data; 7 model; 8 endpoint; 130 interrupted. See `danlu.errors`.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NoReturn

from danlu.errors import DanluError, RecipeError, UsageError, nearest

VERBS = {
    "plan": "check a recipe and show what a run would make",
    "run": "make what a recipe describes",
    "show": "what made an artifact: its lineage, settings, licences and metrics",
    "ls": "list artifacts, or the steps that a recipe can use",
    "data": "instruction files, tables and personal data",
    "text": "find Simplified characters and mainland terms; Taiwan usage",
    "model": "list, fetch and describe models",
    "eval": "what models score in tasks",
    "compare": "two results, question by question, with gates",
    "leaderboard": "one page with every model's results",
    "metrics": "classic metrics of a file of predictions",
    "judge": "a model judges answers, in pairs or with grades",
    "arena": "a page where people vote, blind, on two answers",
    "chat": "talk to an assistant in the terminal",
    "serve": "an OpenAI-compatible server and a chat page",
}

EPILOG = """\
examples:
  danlu plan recipes/tutor.yaml        check it; what is cached, what is to be made
  danlu run recipes/tutor.yaml         make it; go on where it stopped
  danlu show tutor                     the lineage of its latest run
  danlu ls --steps train.sft           the settings of a step

danlu VERB --help tells more. Exit codes: 0 well, 1 found something, 2 usage or recipe, 3 missing extra,
4 gate, 5 storage, 6 data, 7 model, 8 endpoint, 130 interrupted.
"""


class Layout(argparse.RawDescriptionHelpFormatter):
    """Keeps the layout of examples, and the help of the longest verb on its line: argparse forgets that verbs are
    indented."""

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        if isinstance(action, argparse._SubParsersAction):
            self._action_max_length += 2 * self._indent_increment


class Parser(argparse.ArgumentParser):
    """An argparse parser that tells the nearest option and keeps the layout of examples."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", Layout)
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        wrong = message.removeprefix("unrecognized arguments: ").split(" ")[0] if "unrecognized" in message else ""
        near = nearest(wrong.split("=")[0], self._option_string_actions) if wrong else None
        raise UsageError(message, nearest=near, next=f"{self.prog} --help")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """A verb's own parser refuses what it does not know, so that the nearest of *its* options is told."""
        parsed, rest = super().parse_known_args(args, namespace)
        if rest and self.prog != "danlu":
            self.error("unrecognized arguments: " + " ".join(rest))
        return parsed, rest


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. Prints a DanluError without a traceback."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):  # a file name that is no UTF-8 is shown with its odd bytes as \udcNN
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # peft reads a property that transformers has renamed; nothing that a user could mend
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
    try:
        return _dispatch(arguments)
    except KeyboardInterrupt:
        print("danlu: interrupted", file=sys.stderr)
        return 130
    except DanluError as error:
        _point_to_help(error, arguments)
        print(_told(error), file=sys.stderr)
        if "--json" in arguments:
            print(json.dumps(_as_json(error), ensure_ascii=False, indent=1))
        return error.exit_code
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _dispatch(arguments: list[str]) -> int:
    import danlu

    _wait_passively()
    parser = Parser(
        prog="danlu",
        description="Danlu 丹爐: from your documents to a tested, deployed Traditional-Chinese assistant.",
        epilog=EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"danlu {danlu.__version__}")
    verb = next((word for word in arguments if not word.startswith("-")), None)
    if verb is None or (arguments[0].startswith("-") and arguments[0] in ("-h", "--help", "--version")):
        _list_verbs(parser)
        parser.parse_args(arguments)
        parser.print_help()
        return 2
    if verb not in VERBS:
        raise UsageError(f"unknown verb {verb!r}", nearest=nearest(verb, VERBS), next="danlu --help")
    verbs = parser.add_subparsers(metavar="VERB")
    importlib.import_module(f"danlu.cli.{verb}").add(verbs)
    parsed = parser.parse_args(arguments)
    return int(parsed.run(parsed))


def _wait_passively() -> None:
    """Let the threads of OpenMP (PyTorch, llama.cpp) sleep when they wait for each other (`danlu.model.threads` says
    why); it reads this when it is loaded. What the user's environment says stays."""
    for name, value in (("OMP_WAIT_POLICY", "PASSIVE"), ("GOMP_SPINCOUNT", "0"), ("KMP_BLOCKTIME", "0")):
        os.environ.setdefault(name, value)


def _list_verbs(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(metavar="VERB", title="verbs")
    for name, help in VERBS.items():
        verbs.add_parser(name, help=help)


def _point_to_help(error: DanluError, arguments: Sequence[str]) -> None:
    """A misused verb without advice of its own points to that verb's help."""
    verb = next((word for word in arguments if word in VERBS), None)
    if verb and isinstance(error, UsageError) and error.problem.next == UsageError.advice:
        error.problem = replace(error.problem, next=f"danlu {verb} --help")


def _told(error: DanluError) -> str:
    notes = "".join(f"\n  {note}" for note in getattr(error, "__notes__", []))
    if isinstance(error, RecipeError):
        count = len(error.problems)
        return f"{error}{notes}\n{count} problem{'s' if count > 1 else ''} in the recipe; nothing was run"
    figures = "".join(f"\n  {name}: {value:.6g}" for name, value in getattr(error, "figures", {}).items())
    return f"danlu: {error}{figures}{notes}"


def _as_json(error: DanluError) -> dict[str, Any]:
    problems = error.problems if isinstance(error, RecipeError) else [error.problem]
    return {
        "error": type(error).__name__,
        "exit_code": error.exit_code,
        "problems": [vars(problem) for problem in problems],
        "figures": getattr(error, "figures", {}),
    }
