"""Run the Python cells of handbook chapters: `python handbook/run.py [CHAPTER.md ...] [--heavy] [--json]`.

A cell is a fence whose info string is `python` (always run) or `python heavy` (run with --heavy, else told).
Other fences are never run. The cells of a chapter share one namespace in one fresh process whose working folder is
`handbook/out/<part>/<slug>/`, emptied first. A cell is compiled at its own lines of the chapter, so errors name them.
Not covered: the process is fresh, not a sandbox. Run only chapters that you have read.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})([^`\n]*)\n(.*?)^ {0,3}\1[`~]*[ \t]*$", re.MULTILINE | re.DOTALL)
ENV = {
    "MPLBACKEND": "Agg",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
} | {f"{lib}_NUM_THREADS": "1" for lib in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "RAYON")}
CHILD = r"""
import faulthandler, json, sys, traceback, types
chapter, cells, limit = json.load(sys.stdin)
faulthandler.dump_traceback_later(limit, exit=True)  # a cell that never ends: print where it is, and stop
sys.modules["__main__"] = main = types.ModuleType("__main__")
for line, source in cells:
    news = {"cell": line}
    try:
        exec(compile("\n" * (line - 1) + source, chapter, "exec"), main.__dict__)
    except BaseException as error:
        inside = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == chapter]
        news |= {"at": (inside or [getattr(error, "lineno", line)])[-1], "error": f"{type(error).__name__}: {error}"}
    print("\n\x1e" + json.dumps(news), flush=True)  # \x1e marks news from us; other lines are the chapter's output
    "error" in news and sys.exit(1)
"""


@dataclass
class Report:
    """What happened to one chapter. Cells are named by the chapter line of their first line of code."""

    chapter: str
    cells_run: list[int] = field(default_factory=list)
    cells_not_run: list[int] = field(default_factory=list)  # heavy ones, when not asked for
    seconds: float = 0.0
    pictures: list[str] = field(default_factory=list)
    output: str = ""
    error: str = ""  # empty when every cell that was asked for ran


def chapters(root: Path = HERE) -> list[Path]:
    """Every chapter of the shelf, `<part>/<nn>-<slug>.md`."""
    return sorted(p for p in root.glob("*/[0-9][0-9]-*.md") if p.parent.name != "out")


def cells(text: str) -> list[tuple[int, str, bool]]:
    """(first line, source, heavy) of each cell. An open fence or another word after `python` is a ValueError."""
    found = []
    for fence in FENCE.finditer(text):
        language, *words = fence[2].split() or [""]
        if language == "python":
            found.append((text.count("\n", 0, fence.start(3)) + 1, fence[3], words == ["heavy"]))
            if words not in ([], ["heavy"]):
                raise ValueError(f"fence '{fence[2]}' before line {found[-1][0]}; write 'python' or 'python heavy'")
    if re.search("^ {0,3}(```|~~~)", FENCE.sub("", text), re.MULTILINE):
        raise ValueError("a fence is never closed")
    return found


def run_chapter(
    chapter: Path,
    heavy: bool = False,
    out: Path = HERE / "out",
    limit_s: float = 600,
    tell: Callable[[str], None] = lambda line: None,
) -> Report:
    """Run one chapter in a fresh process and report. `tell` is called with a line of progress for each cell."""
    chapter, began = Path(chapter).resolve(), time.monotonic()
    folder, report = Path(out).resolve() / chapter.parent.name / chapter.stem, Report(str(chapter))
    try:
        every = cells(chapter.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return Report(str(chapter), error=f"{chapter}: {error}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    todo = [(line, source) for line, source, is_heavy in every if heavy or not is_heavy]
    report.cells_not_run = [line for line, _, is_heavy in every if is_heavy and not heavy]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD],
        cwd=folder,
        env=os.environ | ENV,
        encoding="utf-8",
        errors="replace",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with child.stdin:
        json.dump([str(chapter), todo, limit_s], child.stdin)
    for line in child.stdout:
        if not line.startswith("\x1e"):
            report.output += line
        elif "error" in (news := json.loads(line[1:])):
            report.error = f"{chapter}:{news['at']}: {news['error']} (in the cell at line {news['cell']})"
        else:
            report.cells_run.append(news["cell"])
            tell(f"  cell at line {news['cell']}: ok")
    code = child.wait()
    if not report.error and len(report.cells_run) < len(todo):
        report.error = (
            f"{chapter}:{todo[len(report.cells_run)][0]}: the process ended with {code} (limit {limit_s:g} s)"
        )
    report.seconds = round(time.monotonic() - began, 2)
    report.pictures = sorted(str(p) for p in folder.rglob("*") if p.suffix in {".png", ".svg", ".jpg"})
    return report


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; 1 when a chapter failed or none was found. With --json, progress goes to stderr."""
    ask = argparse.ArgumentParser(description="Run the Python cells of handbook chapters.")
    ask.add_argument("chapter", nargs="*", type=Path, help="chapter files; the whole handbook when none is named")
    ask.add_argument("--heavy", action="store_true", help="also run the cells marked 'python heavy'")
    ask.add_argument("--json", action="store_true", help="print the reports as one JSON list on stdout")
    ask.add_argument("--out", type=Path, default=HERE / "out", help="folder for what the cells write (handbook/out)")
    todo, reports = (asked := ask.parse_args(argv)).chapter or chapters(), []
    say = partial(print, file=sys.stderr if asked.json else sys.stdout, flush=True)
    for number, chapter in enumerate(todo, 1):
        say(f"[{number}/{len(todo)}] {chapter}")
        reports.append(r := run_chapter(chapter, asked.heavy, asked.out, tell=say))
        say(
            f"  {'FAILED' if r.error else 'ok'}: {len(r.cells_run)} cells run; not run (heavy), at lines: "
            f"{r.cells_not_run or 'none'}; {r.seconds:.1f} s; pictures: {', '.join(r.pictures) or 'none'}"
        )
        say(*r.output.splitlines()[-15:], r.error, sep="\n") if r.error else None
    say(f"{sum(not r.error for r in reports)} of {len(reports)} chapters ran")
    print(json.dumps([asdict(r) for r in reports], ensure_ascii=False, indent=1)) if asked.json else None
    return 0 if reports and not any(r.error for r in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
