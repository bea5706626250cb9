"""Runs SELECT statements that a model wrote, in a process of its own that can do nothing else.

`python -I -S sql_sandbox.py` reads one job as JSON from its standard input and writes the outcomes as JSON. It imports
the standard library alone, so that it starts in some 30 ms. What keeps a statement harmless, from the inside out:

- an authorizer that allows reading and built-in functions, and nothing else: no ATTACH, no PRAGMA, no transaction, no
  writing, no load_extension (SQLite, "Compile-Time Authorization Callbacks");
- a database opened read-only, or built in memory from a script;
- one statement, at most `length` bytes in a value, `rows` rows and `characters` characters in a result;
- at most `steps` instructions of SQLite's virtual machine (the same on every machine), at most `seconds` of time;
- limits of the operating system on this process's memory, processor time and files, where it has such limits.

Not covered: systems without `resource` (Windows) have no limit on memory and files; a defect of SQLite itself.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from typing import Any

ALLOWED = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        getattr(sqlite3, "SQLITE_RECURSIVE", 33),
    }
)
FORBIDDEN_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"})
EVERY = 1000
"""Instructions between two looks at the clock."""


class Guard:
    """What one statement did: the first thing that was denied, and how many instructions it took."""

    def __init__(self, limits: dict[str, Any]) -> None:
        self.limits = limits
        self.denied = ""
        self.spent = 0
        self.until = 0.0
        self.over = ""

    def start(self) -> None:
        self.denied, self.over, self.spent = "", "", 0
        self.until = time.monotonic() + self.limits["seconds"]

    def authorize(
        self, action: int, first: str | None, second: str | None, database: str | None, inner: str | None
    ) -> int:
        if action in ALLOWED and not (action == sqlite3.SQLITE_FUNCTION and second in FORBIDDEN_FUNCTIONS):
            return sqlite3.SQLITE_OK
        self.denied = self.denied or f"action {action} ({second or first or ''})"
        return sqlite3.SQLITE_DENY

    def progress(self) -> int:
        self.spent += EVERY
        if self.spent > self.limits["steps"]:
            self.over = "too-many-steps"
        elif time.monotonic() > self.until:
            self.over = "too-slow"
        return bool(self.over)


def confine(limits: dict[str, Any]) -> None:
    """The operating system's own limits on this process."""
    try:
        import resource
    except ImportError:
        return
    memory, seconds = int(limits["memory"]), int(limits["seconds"] * limits["queries"]) + 5
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, memory),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            resource.setrlimit(kind, (most, most))
        except (ValueError, OSError):  # macOS refuses RLIMIT_AS
            continue


def connect(job: dict[str, Any]) -> sqlite3.Connection:
    """The job's database: a file opened read-only, or a script run in memory."""
    if "file" in job:
        from urllib.parse import quote

        connection = sqlite3.connect(f"file:{quote(job['file'])}?mode=ro&immutable=1", uri=True, isolation_level=None)
    else:
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.executescript(job["script"])
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, job["limits"]["length"])
    connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, 100_000)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000)
    connection.setlimit(sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 200)
    return connection


def run(connection: sqlite3.Connection, guard: Guard, query: str) -> dict[str, Any]:
    """{"rows"} of one statement, or {"failed": reason, "detail"}."""
    guard.start()
    try:
        cursor = connection.execute(query)
        if cursor.description is None:
            return {"failed": "no-result", "detail": "the statement gives no rows"}
        return _rows(cursor, guard.limits)
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        return {
            "failed": guard.over or ("forbidden" if guard.denied else _reason(error)),
            "detail": guard.denied or str(error),
        }
    except MemoryError:
        return {"failed": "too-large", "detail": "out of memory"}


def _reason(error: Exception) -> str:
    text = str(error)
    if any(word in text for word in ("too big", "too large", "out of memory", "disk I/O", "disk is full")):
        return "too-large"
    return "several-statements" if "one statement at a time" in text else "invalid"


def _rows(cursor: sqlite3.Cursor, limits: dict[str, Any]) -> dict[str, Any]:
    rows: list[list[Any]] = []
    characters = 0
    for row in cursor:
        if len(rows) >= limits["rows"]:
            return {"failed": "too-many-rows", "detail": f"more than {limits['rows']} rows"}
        shown = [value if not isinstance(value, bytes) else {"bytes": value.hex()} for value in row]
        characters += sum(len(str(value)) for value in shown)
        if characters > limits["characters"]:
            return {"failed": "too-large", "detail": f"more than {limits['characters']} characters"}
        rows.append(shown)
    return {"rows": rows}


def main() -> None:
    job = json.load(sys.stdin)
    job["limits"]["queries"] = len(job["queries"])
    guard = Guard(job["limits"])
    connection = connect(job)
    confine(job["limits"])
    connection.set_authorizer(guard.authorize)
    connection.set_progress_handler(guard.progress, EVERY)
    for query in job["queries"]:
        json.dump(run(connection, guard, query), sys.stdout)
        sys.stdout.write("\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
