"""data.sql: rows of SQLite and PostgreSQL in order, nothing ever written, no password ever shown."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from danlu.artifact import file_digest
from danlu.data.readers import LONGEST
from danlu.data.sql import SqlSettings
from danlu.errors import DataError, EndpointError

PROSE = "檢索增強生成先找出相關的段落，再請模型根據段落回答問題。"
SECRET = "hun:ter/2@%$ 密"


@pytest.fixture
def database(tmp_path):
    """A factory of SQLite files: `database("CREATE …", …)`."""

    def make(*statements: str, name: str = "books.sqlite", rows: dict[str, list[tuple]] | None = None) -> Path:
        path = tmp_path / name
        connection = sqlite3.connect(path)
        for statement in statements:
            connection.execute(statement)
        for table, values in (rows or {}).items():
            connection.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * len(values[0]))})", values)
        connection.commit()
        connection.close()
        return path

    return make


BOOKS = "CREATE TABLE books (id INTEGER PRIMARY KEY, name TEXT, body TEXT, day TEXT, price REAL)"


def test_rows_become_documents_in_the_order_of_the_key(steps, opened, database):
    rows = [(3, "丙", PROSE, "2024-05-01", 9.5), (1, "甲", "第一段。\r\n第二段。", "民國 113 年 5 月 1 日", None)]
    path = database(BOOKS, rows={"books": rows})
    artifact = steps(
        "data.sql",
        file=path,
        table="books",
        text=["name", "body"],
        title="name",
        date="day",
        keep=["price"],
        licence="MIT",
    )
    first, second = opened(artifact).documents
    assert (first.id, first.source, first.title, first.licence) == (
        "books.sqlite/books#1",
        "books.sqlite/books",
        "甲",
        "MIT",
    )
    assert first.text == "甲\n\n第一段。\n第二段。"
    assert (
        first.meta.items()
        >= {"date": "2024-05-01", "lines": [1, 1], "table": "books", "columns": {"price": None}}.items()
    )
    assert (second.id, second.meta["date"], second.meta["columns"]) == (
        "books.sqlite/books#3",
        "2024-05-01",
        {"price": 9.5},
    )
    assert artifact.licences == {"books.sqlite/books": {"licence": "MIT", "terms": ""}}
    assert steps("data.sql", url=f"sqlite:///{path}", table="books", text="body").manifest["kind"] == "documents"


def test_the_text_column_is_known_by_its_name_or_must_be_named(steps, opened, database):
    path = database(BOOKS, "CREATE TABLE odd (a TEXT, b TEXT)", rows={"books": [(1, "甲", PROSE, "", 1)]})
    assert opened(steps("data.sql", file=path, table="books")).documents[0].text == PROSE
    with pytest.raises(DataError, match="no column is named like a text; there are a, b"):
        steps("data.sql", file=path, table="odd")


def test_bad_rows_are_dropped_with_their_reasons(steps, opened, database):
    rows = [
        ("a", PROSE), ("a", "又一次。"), (None, PROSE), ("b", None), ("c", " \n"), ("d", PROSE.encode("big5")),
        ("e", b"\x89PNG\r\n\x1a\n" + bytes(range(256))), ("f", "x" * (LONGEST + 1)), ("g", 12), ("h", "a\0b"),
    ]  # fmt: skip
    path = database("CREATE TABLE notes (code, body)", rows={"notes": rows})
    read = opened(steps("data.sql", file=path, table="notes", text="body", id="code"))
    assert {d.id.partition("#")[2]: d.text for d in read.documents} == {"a": PROSE, "d": PROSE, "g": "12", "h": "ab"}
    assert {drop.id.partition("#")[2]: drop.reason for drop in read.dropped} == {
        "a": "repeated-id", "row 3": "no-id", "b": "empty", "c": "empty", "e": "binary", "f": "record-too-long",
    }  # fmt: skip


def test_text_in_another_encoding_inside_an_sqlite_file(steps, opened, database):
    """A column that says TEXT and holds Big5: sqlite3 itself raises on it."""
    path = database("CREATE TABLE notes (body TEXT)")
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO notes VALUES (CAST(? AS TEXT))", (PROSE.encode("big5"),))
    connection.commit()
    connection.close()
    assert opened(steps("data.sql", file=path, table="notes")).documents[0].text == PROSE


def test_html_columns_are_read_as_pages(steps, opened, database):
    page = f"<h1>標題</h1><nav>首頁</nav><p>{PROSE}</p>"
    path = database("CREATE TABLE posts (body TEXT)", rows={"posts": [(page,)]})
    document = opened(steps("data.sql", file=path, table="posts", format="html")).documents[0]
    assert (document.format, document.title) == ("html", "標題")
    assert PROSE in document.text
    assert "首頁" not in document.text


def test_a_query_reads_what_it_says(steps, opened, database):
    path = database(BOOKS, rows={"books": [(n, f"第{n}冊", PROSE * n, "", n) for n in range(1, 6)]})
    query = (
        "-- the last two; 'ten % of :all'\n"
        "SELECT body AS 內容, id FROM books WHERE name LIKE '%冊' ORDER BY id DESC LIMIT 2;"
    )
    artifact = steps("data.sql", file=path, query=query, id="id")
    assert [d.id for d in opened(artifact).documents] == ["books.sqlite/query#5", "books.sqlite/query#4"]
    assert "Ids" not in [block["title"] for block in artifact.manifest["report"]]
    unordered = steps("data.sql", file=path, query="SELECT body FROM books")
    assert "Ids" in [block["title"] for block in unordered.manifest["report"]]
    with pytest.raises(DataError, match="two columns the name 'body'"):
        steps("data.sql", file=path, query="SELECT body, body FROM books")


def test_nothing_is_written_by_whatever_query(steps, database, tmp_path):
    path = database(BOOKS, rows={"books": [(1, "甲", PROSE, "", 1)]})
    before = file_digest(path)
    for query in (
        "WITH x AS (SELECT 1) DELETE FROM books",
        "WITH x AS (SELECT 1) INSERT INTO books SELECT 2, '', '', '', 0 RETURNING body",
        "SELECT body FROM books; DELETE FROM books",
        f"SELECT body FROM books; ATTACH '{tmp_path / 'new.db'}' AS n",
    ):
        with pytest.raises(DataError):
            steps("data.sql", file=path, query=query)
    for query in ("DELETE FROM books", "ATTACH 'x' AS y", "PRAGMA query_only=OFF", "", "  "):
        with pytest.raises(ValidationError):
            SqlSettings(file=path, query=query)
    assert file_digest(path) == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["books.sqlite", "store"]


def test_a_database_in_wal_mode_is_read_and_left_alone(steps, opened, database, tmp_path):
    path = database("PRAGMA journal_mode=WAL", BOOKS, rows={"books": [(1, "甲", PROSE, "", 1)]})
    assert len(opened(steps("data.sql", file=path, table="books")).documents) == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["books.sqlite", "store"]
    writer = sqlite3.connect(path)
    writer.execute("INSERT INTO books VALUES (2, '乙', ?, '', 1)", (PROSE,))
    writer.commit()
    assert len(opened(steps("data.sql", file=path, table="books", keep="id")).documents) == 2
    writer.close()


def test_a_query_that_never_ends_is_stopped(steps, database):
    path = database(BOOKS)
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) AS body FROM n"
    with pytest.raises(DataError, match=r"more than 0\.2 seconds"):
        steps("data.sql", file=path, query=endless, timeout=0.2)


def test_errors_name_the_nearest(steps, database, tmp_path):
    path = database(BOOKS, "CREATE VIEW short AS SELECT id, body FROM books", rows={"books": [(1, "甲", PROSE, "", 1)]})
    cases = [
        ({"table": "boks"}, "no table 'boks'", "books"),
        ({"table": "main.books2"}, "no table", None),
        ({"table": "books", "text": "boddy"}, "no column 'boddy'", "body"),
        ({"table": "books", "text": "body", "keep": "pric"}, "no column 'pric'", "price"),
        ({"query": "SELECT body FROM boks"}, "no such table: boks", None),
        ({"query": "SELECT body FROM books", "id": "Body"}, "no column 'Body'", "body"),
        ({"query": "SELECT FROM"}, "syntax error", None),
    ]
    for more, what, near in cases:
        with pytest.raises(DataError, match=what) as caught:
            steps("data.sql", file=path, **more)
        assert near is None or caught.value.problem.nearest == near
    with pytest.raises(DataError, match=r"nothing came"):
        steps("data.sql", file=path, query="SELECT body FROM books WHERE id > 9")
    with pytest.raises(DataError, match="no such file") as caught:
        steps("data.sql", file=tmp_path / "book.sqlite", table="books")
    assert caught.value.problem.nearest == "books.sqlite"
    other = tmp_path / "x.sqlite"
    other.write_text("not a database, whatever its name says" * 50, encoding="utf-8")
    with pytest.raises(DataError, match="not a database"):
        steps("data.sql", file=other, table="books")
    assert len(list(steps("data.sql", file=path, table="short").file("documents.jsonl").open())) == 1


@pytest.mark.parametrize(
    "given",
    [
        {"url": f"postgresql://user:{SECRET}@host/db", "table": "a"},
        {"url": "postgresql://user:hunter2@host/db", "table": "a"},
        {"url": "postgresql://user:hunter2${X}@host/db", "table": "a"},
        {"url": "postgresql://user@host/db?password=hunter2", "table": "a"},
        {"url": "postgresql://user:${X}@host/db?sslmode=require&password=hunter2", "table": "a"},
        {"url": "postgresql://h/db"},
        {"url": "postgresql://h/db", "table": "a", "query": "SELECT 1"},
        {"table": "a"},
    ],
)
def test_settings_that_leak_or_do_not_say_what_to_read(given):
    with pytest.raises(ValidationError) as caught:
        SqlSettings(**given)
    assert "hunter2" not in str(caught.value)
    assert "hun:ter" not in str(caught.value)


def test_sqlite_addresses_become_files():
    assert SqlSettings(url="sqlite:///a/b.db", table="t").file == Path("a/b.db")
    assert SqlSettings(url="sqlite:////a/b.db?mode=rw", table="t").file == Path("/a/b.db")


def test_a_server_that_cannot_be_reached(steps, monkeypatch):
    with pytest.raises(DataError, match="environment variable NOT_THERE is not set"):
        steps("data.sql", url="postgresql://user:${NOT_THERE}@127.0.0.1/db", table="a")
    monkeypatch.setenv("THE_WORD", SECRET)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(EndpointError) as caught:
        steps("data.sql", url=f"postgresql://user:${{THE_WORD}}@127.0.0.1:{port}/db", table="a")
    assert SECRET not in str(caught.value)
    assert f"user:***@127.0.0.1:{port}/db" in str(caught.value)
    monkeypatch.setenv("THE_WORD", "mysql://user:hunter2@h/db")
    with pytest.raises(DataError, match="kind 'mysql' is not covered"):
        steps("data.sql", url="${THE_WORD}", table="a")
    monkeypatch.setenv("THE_WORD", "hunter2")
    with pytest.raises(DataError, match="not the address") as caught:
        steps("data.sql", url="${THE_WORD}", table="a")
    assert "hunter2" not in str(caught.value)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(
        st.one_of(st.none(), st.text(max_size=20), st.binary(max_size=8), st.integers(), st.floats()), max_size=12
    )
)
def test_every_row_is_kept_or_dropped(steps, opened, tmp_path, texts):
    path = tmp_path / "all.sqlite"
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (body)")
    texts = [text for text in texts if not isinstance(text, int) or abs(text) < 2**63]
    connection.executemany("INSERT INTO t VALUES (?)", [(_stored(text),) for text in [*texts, PROSE]])
    connection.commit()
    connection.close()
    read = opened(steps("data.sql", file=path, table="t", keep="body"))
    assert read.came == len(texts) + 1
    assert read.documents[-1].text == PROSE


def _stored(value):
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def test_chinook(steps, opened, shared):
    """A database of eleven tables: columns with dates that SQLAlchemy parses, a key of two columns, Latin letters."""
    path = shared / "sql" / "chinook" / "Chinook_Sqlite.sqlite"
    before = file_digest(path)
    tracks = opened(steps("data.sql", file=path, table="Track", text="Name", keep=["Composer", "UnitPrice"]))
    assert len(tracks.documents) == 3503
    assert tracks.documents[0].id == "Chinook_Sqlite.sqlite/Track#1"
    assert {d.meta["columns"]["UnitPrice"] for d in tracks.documents} == {0.99, 1.99}
    people = opened(steps("data.sql", file=path, table="Employee", text=["Title"], date="HireDate"))
    assert people.documents[0].meta["date"] == "2002-08-14T00:00:00"
    pairs = opened(steps("data.sql", file=path, table="PlaylistTrack", text="TrackId"))
    assert len({d.id for d in pairs.documents}) == 8715
    query = "SELECT AlbumId, Title || ' / ' || Name AS text FROM Album JOIN Artist USING (ArtistId) ORDER BY AlbumId"
    joined = steps("data.sql", file=path, id="AlbumId", query=query)
    assert opened(joined).documents[0].text == "For Those About To Rock We Salute You / AC/DC"
    assert file_digest(path) == before


# ── PostgreSQL, a real server ───────────────────────────────────────────────────────────────────────────────────────


def _binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).resolve().parent if on_path else None


@pytest.fixture(scope="module")
def postgres():
    """The address of a fresh server on a loopback port, run by an unprivileged user, with the password in THE_WORD."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    root = Path(tempfile.mkdtemp(prefix="danlu-pg-"))
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    if user:
        os.chown(root, 65534, 65534)
    root.chmod(0o700)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    word = root / "word"
    word.write_text(SECRET, encoding="utf-8")
    word.chmod(0o644)
    place = {"cwd": "/", "env": {**os.environ, "HOME": str(root), "LC_ALL": "C"}}

    def run(name: str, *words: object) -> list[str]:
        return [*user, str(binaries / name), "-D", str(root / "data"), *map(str, words)]

    words = ("-U", "danlu", "--pwfile", word, "-E", "UTF8", "--auth=scram-sha-256", "--no-sync", "--locale=C")
    subprocess.run(run("initdb", *words), check=True, capture_output=True, **place)
    words = ("-h", "127.0.0.1", "-p", port, "-k", root, "-c", "fsync=off", "-c", "shared_buffers=16MB")
    process = subprocess.Popen(run("postgres", *words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **place)
    try:
        _await(port, process)
        yield {
            "host": "127.0.0.1",
            "port": port,
            "user": "danlu",
            "password": SECRET,
            "database": "postgres",
            "folder": root,
        }
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)
        shutil.rmtree(root, ignore_errors=True)


def _await(port: int, process: subprocess.Popen) -> None:
    from pg8000 import native

    for _ in range(200):
        assert process.poll() is None, "postgres ended"
        try:
            native.Connection("danlu", host="127.0.0.1", port=port, password=SECRET, database="postgres").close()
            return
        except (native.InterfaceError, native.DatabaseError):
            time.sleep(0.1)
    raise AssertionError("postgres does not answer")


@pytest.fixture
def server(postgres, monkeypatch):
    """(the address for a recipe, a function that executes SQL)."""
    from pg8000 import native

    monkeypatch.setenv("THE_WORD", SECRET)
    facts = {key: value for key, value in postgres.items() if key != "folder"}

    def execute(statement: str):
        with native.Connection(**facts) as connection:
            return connection.run(statement)

    execute("DROP SCHEMA IF EXISTS shop CASCADE")
    execute("DROP TABLE IF EXISTS books")
    execute("CREATE TABLE books (id int PRIMARY KEY, body text, day timestamptz, price numeric(8,2), tags jsonb)")
    return f"postgresql://danlu:${{THE_WORD}}@127.0.0.1:{postgres['port']}/postgres", execute


def test_postgresql_rows(steps, opened, server, postgres):
    url, execute = server
    execute(
        "INSERT INTO books SELECT n, '第' || n || '冊 50% 的 ' || repeat('文', n % 7), '2024-05-01 08:00+08', n, "
        "'{\"類\": [1, null]}' FROM generate_series(1500, 1, -1) n"
    )
    artifact = steps("data.sql", url=url, table="books", date="day", keep=["price", "tags"])
    found = opened(artifact).documents
    assert [d.id for d in found[:2]] == ["postgres/books#1", "postgres/books#2"]
    assert len(found) == 1500
    assert found[0].meta["columns"] == {"price": "1.00", "tags": {"類": [1, None]}}
    assert datetime.fromisoformat(found[0].meta["date"]) == datetime(2024, 5, 1, tzinfo=UTC)
    told = "".join(path.read_text(encoding="utf-8") for path in artifact.path.iterdir())
    assert SECRET not in told
    assert "hun" not in told
    query = "SELECT id, body FROM books WHERE body LIKE '%50% 的%' AND id::text <> ':x' ORDER BY id LIMIT 3"
    assert [d.id for d in opened(steps("data.sql", url=url, query=query, id="id")).documents][-1] == "postgres/query#3"
    through_socket = f"postgresql://danlu:${{THE_WORD}}@/postgres?host={postgres['folder']}&port={postgres['port']}"
    assert len(opened(steps("data.sql", url=through_socket, table="books")).documents) == 1500


def test_postgresql_address_from_the_environment(steps, opened, server, monkeypatch):
    from urllib.parse import quote

    url, execute = server
    execute("INSERT INTO books VALUES (1, '甲。')")
    monkeypatch.setenv("DATABASE_URL", url.replace("${THE_WORD}", quote(SECRET, safe="")))
    assert opened(steps("data.sql", url="${DATABASE_URL}", table="books")).documents[0].text == "甲。"


def test_postgresql_schemas_views_and_nearest_names(steps, opened, server):
    url, execute = server
    execute("CREATE SCHEMA shop")
    execute("CREATE TABLE shop.items (sku text PRIMARY KEY, content text)")
    execute("INSERT INTO shop.items VALUES ('a/1', '甲。')")
    execute("CREATE VIEW shop.short AS SELECT content FROM shop.items")
    assert opened(steps("data.sql", url=url, table="shop.items")).documents[0].id == "postgres/shop.items#a/1"
    assert opened(steps("data.sql", url=url, table="shop.short")).documents[0].id == "postgres/shop.short#row 1"
    with pytest.raises(DataError, match=r"no table 'shop\.item'") as caught:
        steps("data.sql", url=url, table="shop.item")
    assert caught.value.problem.nearest == "shop.items"


def test_postgresql_is_never_written(steps, server):
    url, execute = server
    execute("INSERT INTO books VALUES (1, '甲。')")
    for query, what in (
        ("WITH gone AS (DELETE FROM books RETURNING *) SELECT body FROM gone", "read-only|DECLARE CURSOR"),
        ("SELECT body FROM books; DELETE FROM books", "read-only|multiple|cursor"),
        ("SELECT body FROM books; SET TRANSACTION READ WRITE; DELETE FROM books", "before any query|multiple|cursor"),
        ("SELECT setval('x', 1) AS body", "does not exist|read-only"),
        ("SELECT body FROM books; COMMIT; BEGIN READ WRITE; DELETE FROM books; COMMIT", "multiple|cursor"),
    ):
        with pytest.raises(DataError, match=what):
            steps("data.sql", url=url, query=query)
    assert execute("SELECT count(*) FROM books") == [[1]]


def test_postgresql_errors_are_clear_and_hide_the_password(steps, server, monkeypatch):
    url, _ = server
    with pytest.raises(DataError, match=r"more than 0\.3 seconds"):
        steps("data.sql", url=url, query="SELECT pg_sleep(30)::text AS body", timeout=0.3)
    with pytest.raises(DataError, match='relation "boks" does not exist'):
        steps("data.sql", url=url, query="SELECT body FROM boks")
    with pytest.raises(EndpointError, match="no_such") as caught:
        steps("data.sql", url=url.replace("/postgres", "/no_such"), table="books")
    assert SECRET not in str(caught.value)
    monkeypatch.setenv("THE_WORD", "wrong-word")
    with pytest.raises(EndpointError, match="password authentication failed") as caught:
        steps("data.sql", url=url, table="books")
    assert "wrong-word" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_postgresql_streams_through_a_cursor_on_the_server(steps, server, monkeypatch):
    """Rows are fetched some hundred at a time: the client never holds the table."""
    from pg8000.core import CoreConnection

    url, execute = server
    execute("INSERT INTO books SELECT n, 'x' FROM generate_series(1, 3000) n")
    taken = []
    plain = CoreConnection.execute_unnamed

    def counted(self, statement, *more, **options):
        context = plain(self, statement, *more, **options)
        taken.extend([len(context.rows)] if statement.startswith("FETCH") else [])
        return context

    monkeypatch.setattr(CoreConnection, "execute_unnamed", counted)
    steps("data.sql", url=url, table="books")
    assert taken == [500] * 6 + [0]


def test_postgresql_cells_that_python_has_no_value_for(steps, opened, server):
    url, execute = server
    cells = {
        "NULL::int": None, "7::int8": 7, "1.50::numeric": "1.50", "0.5::float4": 0.5, "'NaN'::float8": None,
        "'\\x00ff'::bytea": "00ff", "true": True, "'{a,NULL,\"b,c\"}'::text[]": ["a", None, "b,c"],
        "'[2:3]={1,2}'::int[]": "[2:3]={1,2}", "'infinity'::timestamptz": "infinity",
        "'0044-03-15 BC'::date": "0044-03-15 BC",
        "'20000-01-01'::timestamp": "20000-01-01 00:00:00", "'2024-05-01 08:00:00.5+08'::timestamptz":
        "2024-05-01T00:00:00.500000+00:00", "'24:00'::time": "24:00:00", "'1 year 2 mons'::interval": "1 year 2 mons",
        "'192.168.0.1/24'::inet": "192.168.0.1/24", "'[1,5)'::int4range": "[1,5)", "ROW(1, 'x')": "(1,x)",
        "'{\"a\": 1e400, \"b\": [null]}'::json": {"a": None, "b": [None]},
        "'550e8400-e29b-41d4-a716-446655440000'::uuid": "550e8400-e29b-41d4-a716-446655440000",
    }  # fmt: skip
    execute("ALTER ROLE danlu SET DateStyle = 'SQL, DMY'; ALTER ROLE danlu SET bytea_output = 'escape'")
    query = "SELECT 'x' AS body, " + ", ".join(f"{cell} AS c{n}" for n, cell in enumerate(cells))
    keep = [f"c{n}" for n in range(len(cells))]
    found = opened(steps("data.sql", url=url, query=query, keep=keep)).documents[0].meta["columns"]
    execute("ALTER ROLE danlu RESET ALL")
    assert {cell: found[name] for cell, name in zip(cells, keep, strict=True)} == cells


def test_postgresql_in_ascii_that_holds_big5(steps, opened, server):
    url, execute = server
    execute("DROP DATABASE IF EXISTS old")
    execute("CREATE DATABASE old ENCODING 'SQL_ASCII' TEMPLATE template0")
    url = url.replace("/postgres", "/old")
    raw = f"SELECT convert_from('\\x{PROSE.encode('big5').hex()}', 'SQL_ASCII') AS body"
    with pytest.raises(DataError, match="invalid byte sequence") as caught:
        steps("data.sql", url=url, query=raw)
    assert "convert_to(column, 'SQL_ASCII')" in str(caught.value)
    query = f"SELECT convert_to(body, 'SQL_ASCII') AS body FROM ({raw}) AS notes"
    assert opened(steps("data.sql", url=url, query=query)).documents[0].text == PROSE


@pytest.mark.parametrize(
    ("more", "what", "near"),
    [
        ("?sslmod=require", "no 'sslmod' in an address", "sslmode"),
        ("?sslmode=requires", "no sslmode 'requires'", "require"),
        ("?options=-csearch_path%3Dshop", "no 'options' in an address", None),
        ("?host=a&host=b", "'host' is given twice", None),
        ("?port=http", "not a port", None),
        ("?sslmode=verify-full&sslrootcert=/not/there.pem", "not a file of certificates", None),
    ],
)
def test_what_an_address_may_say(steps, more, what, near):
    with pytest.raises(DataError, match=what) as caught:
        steps("data.sql", url=f"postgresql://danlu@127.0.0.1/postgres{more}", table="books")
    assert near is None or caught.value.problem.nearest == near


def test_postgresql_over_tls(steps, opened, server, postgres):
    """The server's certificate names `localhost`, and is signed by itself."""
    url, execute = server
    execute("INSERT INTO books VALUES (1, '甲。')")
    query = "SELECT ssl::text AS body FROM pg_stat_ssl WHERE pid = pg_backend_pid()"

    def used(more: str) -> str:
        return opened(steps("data.sql", url=f"{url}{more}", query=query)).documents[0].text

    with pytest.raises(EndpointError, match="Server refuses SSL"):
        used("?sslmode=require")
    assert used("") == "false"
    root = postgres["folder"]
    words = (
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-subj",
        "/CN=localhost",
    )
    words += ("-addext", "subjectAltName=DNS:localhost", "-keyout", root / "data/server.key")
    subprocess.run(["openssl", *words, "-out", root / "data/server.crt"], check=True, capture_output=True)
    for name in ("server.key", "server.crt"):
        if os.geteuid() == 0:
            os.chown(root / "data" / name, 65534, 65534)
        (root / "data" / name).chmod(0o600)
    try:
        execute("ALTER SYSTEM SET ssl = on")
        execute("SELECT pg_reload_conf()")
        time.sleep(0.5)
        assert [used(more) for more in ("", "?sslmode=require", "?sslmode=disable")] == ["true", "true", "false"]
        known = f"sslrootcert={root / 'data/server.crt'}"
        with pytest.raises(EndpointError, match="CERTIFICATE_VERIFY_FAILED"):
            used("?sslmode=verify-full")
        with pytest.raises(EndpointError, match="IP address mismatch"):
            used(f"?sslmode=verify-full&{known}")
        assert used(f"?sslmode=verify-ca&{known}") == "true"
        url = url.replace("127.0.0.1", "localhost")
        assert used(f"?sslmode=verify-full&{known}") == "true"
    finally:
        execute("ALTER SYSTEM RESET ssl")
        execute("SELECT pg_reload_conf()")


def test_postgresql_goes_away(steps, server, caplog):
    url, execute = server
    execute("INSERT INTO books SELECT n, 'x' FROM generate_series(1, 3000) n")
    with pytest.raises((DataError, EndpointError), match=r"terminating connection|network error"):
        steps("data.sql", url=url, query="SELECT pg_terminate_backend(pg_backend_pid())::text AS body FROM books")
    with pytest.raises(DataError, match="division by zero"):
        steps("data.sql", url=url, query="SELECT (1 / (700 - id))::text AS body FROM books ORDER BY id")
    assert not caplog.records
