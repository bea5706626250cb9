"""Text-to-SQL: questions with a reference statement, and the databases that they are about.

Read are the layouts of Spider (dev.json: db_id, question, query; database/<db_id>/<db_id>.sqlite), of BIRD (dev.json:
db_id, question, evidence, SQL; dev_databases/…), of JSONL with the statement inside `answer` as JSON, and a plain one
(questions.jsonl: id, db_id, question, sql; <db_id>.sql, a script that builds the database).
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from danlu.errors import DataError
from danlu.eval.adapters import Adapter, Fields, Rows, Sorting
from danlu.eval.adapters.files import lines, need, text, whole
from danlu.eval.metrics.sql import Failed, execute

FOLDERS = ("database", "databases", "dev_databases", "test_database")


def read(files: Sequence[Path], split: str) -> Rows:
    """One row a question: {id, db_id, question, evidence, query, schema, _database: {"file" or "script"}}. Dropped:
    `no-database` (its file is not there), `no-reference`, `reference-fails` (SQLite does not run the reference, or not
    within the limits), `duplicate`."""
    kept = Sorting()
    for path in files:
        asked: dict[str, list[Fields]] = defaultdict(list)
        order: list[Fields] = []
        for place, row in enumerate(_records(path)):
            fields = _fields(row, f"{path.stem}-{place}", f"{path}: {place}")
            if not fields["query"]:
                kept.drop("no-reference")
                continue
            order.append(fields)
            asked[fields["db_id"]].append(fields)
        good = {id(fields) for name in asked for fields in _answerable(kept, path.parent, name, asked[name])}
        for fields in order:
            if id(fields) in good:
                kept.keep(fields, unlike=(fields["db_id"], fields["question"]))
    return kept.done(files)


def _records(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [row for _, row in lines(path)]
    value = whole(path)
    if not isinstance(value, list):
        raise DataError("not a list of questions", where=str(path))
    return value


def _fields(row: dict[str, Any], name: str, where: str) -> Fields:
    query = row.get("query") or row.get("SQL") or row.get("sql")
    if not query and "answer" in row:
        query = json.loads(row["answer"]).get("sql")
    found = row.get("question_id", row.get("id", name))
    question = str(need(row, "question", where))
    if "the following question:" in question:  # the schema stands before it, instructions after it
        question = question.split("the following question:", 1)[1].split("\n\nOutput ONLY", 1)[0].strip()
    return {
        "id": str(found),
        "db_id": str(need(row, "db_id", where)),
        "question": question.strip(),
        "evidence": str(row.get("evidence") or "").strip(),
        "query": str(query or "").strip(),
    }


def _answerable(kept: Sorting, folder: Path, name: str, asked: Sequence[Fields]) -> list[Fields]:
    """The questions about one database whose reference runs, with its schema."""
    database = locate(folder, name)
    if database is None:
        for _ in asked:
            kept.drop("no-database")
        return []
    outcomes = execute(database, [fields["query"] for fields in asked])
    good = []
    for fields, outcome in zip(asked, outcomes, strict=True):
        if isinstance(outcome, Failed):
            kept.drop("reference-fails")
        else:
            good.append(fields)
    for fields in good:
        fields |= {"schema": schema(database), "_database": database}
    return good


def locate(folder: Path, name: str) -> dict[str, str] | None:
    """Where a database lies: a SQLite file, or a script beside the questions; None when nowhere."""
    for below in ("", *FOLDERS):
        for path in (folder / below / name / f"{name}.sqlite", folder / below / f"{name}.sqlite"):
            if path.is_file():
                return {"file": str(path.resolve())}
    script = folder / f"{name}.sql"
    return {"script": text(script)} if script.is_file() else None


def schema(database: dict[str, str]) -> str:
    """The CREATE TABLE statements of a database, in the order of their making."""
    if "file" in database:
        connection = sqlite3.connect(f"file:{quote(database['file'])}?mode=ro&immutable=1", uri=True)
    else:
        connection = sqlite3.connect(":memory:")
    try:
        if "script" in database:
            connection.executescript(database["script"])
        found = connection.execute(
            "SELECT sql FROM sqlite_master WHERE type = 'table' AND sql IS NOT NULL ORDER BY rowid"
        )
        return "\n\n".join(sql.strip() + ";" for (sql,) in found if not sql.startswith("CREATE TABLE sqlite_"))
    except sqlite3.Error as error:
        raise DataError(f"the database cannot be read: {error}", where=database.get("file", "a script")) from None
    finally:
        connection.close()


SQL = Adapter(
    ("questions.jsonl", "{split}.json", "dev.json", "dev_*.json", "*_dev.jsonl"),
    read,
    root=False,
)
