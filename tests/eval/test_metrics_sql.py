"""Text-to-SQL: what is equal, what is found in an answer, and that a hostile statement does no harm."""

import sqlite3

import pytest

from danlu.errors import DataError
from danlu.eval.metrics.sql import Failed, Limits, Rows, equal, execute, judge, ordered, statement

SCRIPT = "CREATE TABLE t (a INTEGER, b TEXT); INSERT INTO t VALUES (1, '甲'), (2, '乙'), (3, '丙'), (3, '丙');"
DATABASE = {"script": SCRIPT}
COUNT = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
TIGHT = Limits(steps=2_000_000, seconds=5, rows=100, characters=20_000, length=50_000, memory=1 << 29)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("sql") / "里 名#1.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(SCRIPT)
    connection.close()
    return path


HOSTILE = {
    "ATTACH '/tmp/other.db' AS other": "forbidden",
    "PRAGMA writable_schema = 1": "forbidden",
    "PRAGMA table_info(t)": "forbidden",
    "INSERT INTO t VALUES (9, 'x')": "forbidden",
    "UPDATE t SET a = 0": "forbidden",
    "DELETE FROM t": "forbidden",
    "DROP TABLE t": "forbidden",
    "CREATE TEMP TABLE z AS SELECT 1": "forbidden",
    "VACUUM INTO '/tmp/stolen.db'": "forbidden",
    "BEGIN": "forbidden",
    "SELECT load_extension('evil')": "forbidden",
    "SELECT 1; DROP TABLE t": "several-statements",
    f"{COUNT} SELECT count(*) FROM c": "too-many-steps",
    f"{COUNT} SELECT x FROM c": "too-many-rows",
    "SELECT zeroblob(100000000)": "too-large",
    "SELECT printf('%.*c', 40000, 'x') FROM t": "too-large",
    "WITH RECURSIVE c(x) AS (SELECT hex(zeroblob(20000)) UNION ALL SELECT x FROM c) SELECT * FROM c ORDER BY x": None,
    "SELECT * FROM nowhere": "invalid",
    "SELEKT 1": "invalid",
    "": "no-result",
}


def test_a_hostile_statement_is_stopped_with_its_reason(file):
    outcomes = execute({"file": str(file)}, [*HOSTILE, "SELECT count(*) FROM t"], TIGHT)
    *stopped, after = outcomes
    for (query, reason), outcome in zip(HOSTILE.items(), stopped, strict=True):
        assert isinstance(outcome, Failed), query
        assert reason is None or outcome.reason == reason, (query, outcome)
    assert after == Rows([(4,)])


def test_nothing_was_written(file):
    before = file.read_bytes()
    execute({"file": str(file)}, list(HOSTILE), TIGHT)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_what_eats_memory_ends_and_the_rest_is_counted():
    blob = "SELECT randomblob(900000)"
    grow = f"WITH RECURSIVE c(x) AS ({blob} UNION ALL {blob} FROM c) SELECT max(x) FROM c"
    limits = Limits(steps=10**12, seconds=3, memory=300 << 20)
    first, second = execute(DATABASE, [grow, "SELECT 1"], limits)
    assert isinstance(first, Failed)
    assert first.reason in {"too-slow", "too-large", "crashed"}
    assert second == Rows([(1,)]) or (isinstance(second, Failed) and second.reason == "crashed")


def test_a_file_that_is_no_database_is_the_datas_fault(tmp_path):
    with pytest.raises(DataError, match="cannot be opened"):
        execute({"file": str(tmp_path / "absent.sqlite")}, ["SELECT 1"])
    (tmp_path / "text.sqlite").write_text("no database at all, and long enough to be looked at" * 50)
    (outcome,) = execute({"file": str(tmp_path / "text.sqlite")}, ["SELECT * FROM t"])
    assert isinstance(outcome, Failed)


@pytest.mark.parametrize(
    ("gold", "found", "in_order", "same"),
    [
        ([(1, "a"), (2, "b")], [(2, "b"), (1, "a")], False, True),
        ([(1, "a"), (2, "b")], [(2, "b"), (1, "a")], True, False),
        ([(1, "a"), (2, "b")], [("a", 1), ("b", 2)], True, True),
        ([(1,), (1,), (2,)], [(1,), (2,), (2,)], False, False),
        ([(1, 2), (2, 1)], [(1, 2), (1, 2)], False, False),
        ([(1, 2), (3, 4)], [(1, 4), (3, 2)], False, False),
        ([], [], True, True),
        ([(1,)], [(1, 1)], False, False),
        ([(None, 1)], [(1, None)], False, True),
    ],
)
def test_results_are_compared_as_multisets_with_columns_in_any_order(gold, found, in_order, same):
    assert equal(gold, found, in_order) is same


def test_order_counts_only_where_the_outermost_select_orders():
    assert ordered("SELECT a FROM t ORDER BY a")
    assert not ordered("SELECT a FROM (SELECT a FROM t ORDER BY a)")
    assert not ordered("SELECT 'order by' FROM t -- order by a")


def test_verdicts():
    assert judge(DATABASE, "SELECT a FROM t", "SELECT a FROM t ORDER BY a DESC").right
    assert not judge(DATABASE, "SELECT a FROM t ORDER BY a", "SELECT a FROM t ORDER BY a DESC").right
    doubled = judge(DATABASE, "SELECT a FROM t", "SELECT DISTINCT a FROM t")
    assert not doubled.right
    assert doubled.bird
    assert judge(DATABASE, "SELECT 1.0 * a FROM t", "SELECT a FROM t").right
    assert judge(DATABASE, "SELECT 1", "我不知道。").failed == "no-statement"
    assert judge(DATABASE, "SELECT 1", "DROP TABLE t").failed == "no-statement"
    with pytest.raises(DataError, match="the reference fails"):
        judge(DATABASE, "SELECT * FROM nowhere", "SELECT 1")


@pytest.mark.parametrize(
    "answer",
    [
        "SELECT a FROM t",
        "```sql\nSELECT a FROM t\n```\n以上是答案。",
        "```\nSELECT a FROM t```",
        "答案如下：SELECT a FROM t",
        "好的。\nSELECT a FROM t\n\n這個查詢會列出 a。",
        "```sql\nSELECT a FROM t",
    ],
)
def test_the_statement_is_found_in_an_answer(answer):
    assert statement(answer) == "SELECT a FROM t"
