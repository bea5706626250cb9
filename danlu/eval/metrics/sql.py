"""Text-to-SQL, judged by what the statement returns.

Execution accuracy as in Spider's test-suite evaluation (Zhong, Yu and Klein, "Semantic Evaluation for Text-to-SQL with
Distilled Test Suites", EMNLP 2020): the rows of the answer equal those of the reference as multisets, the columns in
any order, the rows in the reference's order where it has an outermost ORDER BY. `bird_accuracy` is that of BIRD (Li et
al., "Can LLM Already Serve as a Database Interface?", NeurIPS 2023): the two sets of rows are equal, columns in order.

Statements run in `sql_sandbox.py`. Not covered: several test databases for one question (a wrong statement that
happens to return the same rows of one database counts as right), partial credit by clauses, other dialects than
SQLite's.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from danlu.errors import DataError
from danlu.eval.metrics.metric import Answered, Metric

SANDBOX = Path(__file__).with_name("sql_sandbox.py")
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Limits:
    """`length`: bytes of one value; `memory`: bytes of the process; `characters`: of a whole result, as text."""

    steps: int = 50_000_000
    seconds: float = 20.0
    rows: int = 10_000
    characters: int = 5_000_000
    length: int = 1_000_000
    memory: int = 1 << 30


@dataclass(frozen=True)
class Rows:
    rows: list[Row]


@dataclass(frozen=True)
class Failed:
    """A statement without a result. `reason`: invalid (SQLite does not accept it), forbidden (anything but reading),
    several-statements, no-result, too-many-rows, too-large, too-many-steps, too-slow, crashed (the process ended),
    no-statement (the answer holds none)."""

    reason: str
    detail: str = ""


LIMITS = Limits()


def statement(answer: str) -> str:
    """The SQL of a model's answer: the first ```sql block or any block, else from the first line that begins with
    SELECT or WITH to a semicolon or an empty line; "" when there is none."""
    block = re.search(r"```(?:sql|sqlite)?[ \t]*\n?(.*?)(?:```|\Z)", answer, flags=re.DOTALL | re.IGNORECASE)
    text = block.group(1) if block else answer
    found = re.search(r"(?:^|(?<=[\s:：]))(?:SELECT|WITH)\b", text, flags=re.IGNORECASE)
    if block and not found:
        return text.strip()
    if not found:
        return ""
    rest = text[found.start() :]
    return (rest if block else re.split(r"\n\s*\n", rest)[0]).strip()


def execute(database: Mapping[str, str], queries: Sequence[str], limits: Limits = LIMITS) -> list[Rows | Failed]:
    """The outcome of each query on {"file": path of a SQLite database} or {"script": SQL that builds one}, each query
    under the limits. DataError when the database itself cannot be opened."""
    if not queries:
        return []
    job = dict(database) | {"queries": list(queries), "limits": asdict(limits)}
    most = limits.seconds * len(queries) + 30
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(SANDBOX)],
            input=json.dumps(job),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=most,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        lines = (late.stdout or b"").decode("utf-8", "replace").splitlines()
        return _outcomes(lines, len(queries), Failed("too-slow", f"still running after {most:.0f} s"))
    lines = done.stdout.splitlines()
    if done.returncode and not lines and "in connect" in done.stderr:
        last = done.stderr.strip().rsplit("\n", 1)[-1]
        raise DataError(f"the database cannot be opened: {last}", where=str(database.get("file", "the task's script")))
    return _outcomes(lines, len(queries), Failed("crashed", f"exit {done.returncode}"))


def _outcomes(lines: Sequence[str], count: int, rest: Failed) -> list[Rows | Failed]:
    found: list[Rows | Failed] = []
    for line in lines[:count]:
        made = json.loads(line)
        found.append(
            Failed(made["failed"], made["detail"])
            if "failed" in made
            else Rows([tuple(map(_value, r)) for r in made["rows"]])
        )
    return found + [rest] * (count - len(found))


def _value(value: Any) -> Any:
    """Numbers that differ by rounding alone are one: 3 and 3.0, and floats equal to ten significant digits."""
    if isinstance(value, dict):
        return bytes.fromhex(value["bytes"])
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and value.is_integer() else float(f"{value:.10g}")
    return value


def ordered(query: str) -> bool:
    """Whether the outermost SELECT has an ORDER BY (quotations and parentheses are looked past)."""
    bare = re.sub(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/", " ", query, flags=re.DOTALL)
    depth, outer = 0, []
    for character in bare:
        depth += (character == "(") - (character == ")")
        if depth == 0:
            outer.append(character)
    return re.search(r"\border\s+by\b", "".join(outer), flags=re.IGNORECASE) is not None


def equal(gold: Sequence[Row], found: Sequence[Row], in_order: bool) -> bool:
    """Whether two results are one, the columns in some order. Empty results are equal."""
    if len(gold) != len(found):
        return False
    if not gold:
        return True
    if len(gold[0]) != len(found[0]):
        return False
    left = list(gold) if in_order else Counter(gold)
    for places in _matchings(gold, found, in_order):
        moved = [tuple(row[place] for place in places) for row in found]
        if left == (moved if in_order else Counter(moved)):
            return True
    return False


def _matchings(gold: Sequence[Row], found: Sequence[Row], in_order: bool) -> Iterator[tuple[int, ...]]:
    """Orders of `found`'s columns in which each has the values of its partner: at most 10,000 are tried."""

    def key(column: Sequence[Any]) -> Any:
        return tuple(column) if in_order else frozenset(Counter(column).items())

    ours = [key(column) for column in zip(*gold, strict=True)]
    theirs = [key(column) for column in zip(*found, strict=True)]
    fitting = [[place for place, other in enumerate(theirs) if other == own] for own in ours]
    tried = 0

    def extend(chosen: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        nonlocal tried
        if len(chosen) == len(fitting):
            tried += 1
            yield chosen
            return
        for place in fitting[len(chosen)]:
            if place not in chosen and tried < 10_000:
                yield from extend((*chosen, place))

    yield from extend(())


@dataclass(frozen=True)
class Verdict:
    """`failed` is the reason why the answer has no rows, "" when it has some."""

    right: bool
    bird: bool
    failed: str


def judge(database: Mapping[str, str], gold: str, answer: str, limits: Limits = LIMITS) -> Verdict:
    """What an answer is worth. DataError when the reference itself fails: that is the data's fault, not the model's."""
    query = statement(answer)
    outcomes = execute(database, [gold, query] if query else [gold], limits)
    truth = outcomes[0]
    if isinstance(truth, Failed):
        raise DataError(f"the reference fails: {truth.reason}: {truth.detail}", where=gold[:200])
    made = outcomes[1] if query else Failed("no-statement")
    if isinstance(made, Failed):
        return Verdict(False, False, made.reason)
    return Verdict(equal(truth.rows, made.rows, ordered(gold)), set(truth.rows) == set(made.rows), "")


REFUSED = frozenset({"forbidden", "several-statements", "too-many-rows", "too-large", "too-many-steps", "too-slow"})
"""Reasons for which a statement was stopped, beside `invalid` and the like."""


@lru_cache(maxsize=256)
def _judged(database: tuple[tuple[str, str], ...], gold: str, answer: str) -> Verdict:
    return judge(dict(database), gold, answer)


def verdict(answered: Answered) -> Verdict:
    """The verdict on one answered question, whose fields hold `query` and `_database`; every metric asks for the
    same."""
    database = answered.fields.get("_database")
    if not isinstance(database, Mapping):
        raise DataError("a question without a database", next="use the adapter `sql` in the task's file")
    return _judged(tuple(sorted(database.items())), str(answered.fields["query"]), str(answered.text))


def _metric(name: str, unit: str, better: Literal["higher", "lower"], of: Callable[[Verdict], bool]) -> Metric:
    return Metric(name, better, unit, ("generate_until",), lambda answered: float(of(verdict(answered))))


EXECUTION = _metric("execution_accuracy", "share with the right rows", "higher", lambda made: made.right)
BIRD = _metric("bird_accuracy", "share with the right set of rows", "higher", lambda made: made.bird)
EXECUTABLE = _metric("executable", "share that gives rows", "higher", lambda made: not made.failed)
STOPPED = _metric("sql_stopped", "share stopped", "lower", lambda made: made.failed in REFUSED)
