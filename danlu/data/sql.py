"""data.sql: the rows of a table, or of a query, in SQLite or PostgreSQL → documents."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Self

from pydantic import ConfigDict, Field, model_validator

from danlu.artifact import Artifact, Draft
from danlu.data.gather import Gathering
from danlu.data.postgresql import connector, said
from danlu.data.rows import Columns, check, documents, used
from danlu.errors import DataError, EndpointError, nearest
from danlu.extras import need
from danlu.registry import Source, Step
from danlu.track import Track

if TYPE_CHECKING:
    import sqlalchemy
    from sqlalchemy.engine import URL, Connection, CursorResult, Engine

BATCH = 500
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_SECRET = re.compile(r"(?:://[^:/@]*:(?=[^@]*@)|[?&](?:ssl)?password=)([^@&]*)", re.IGNORECASE)
_READS = re.compile(r"(\s|--[^\n]*\n|/\*.*?\*/|\()*(select|with|values|table)\b", re.IGNORECASE | re.DOTALL)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)


class SqlSettings(Columns):
    model_config = ConfigDict(hide_input_in_errors=True)

    file: Annotated[Path | None, Source()] = None
    """An SQLite file, relative to the recipe's folder; its content is part of the step's identity, but for rows that a
    writer still keeps in a -wal file beside it."""

    url: str = ""
    """The address of a database: postgresql://user:${PASSWORD}@host/name. `${NAME}` is taken from the environment when
    the step runs and written nowhere; a password that stands here is refused. sqlite:///a.db means `file: a.db`."""

    table: str = ""
    """The table or view to read (schema.table where it is not in the usual schema), in the order of its primary key."""

    query: str = ""
    """A query to read instead of a table: one SELECT, in the order that it gives the rows."""

    licence: str = "unknown"
    """The licence of these texts."""

    timeout: Annotated[float, Field(gt=0)] = 300
    """Seconds that the database may take for one answer."""

    @model_validator(mode="before")
    @classmethod
    def _sqlite(cls, values: Any) -> Any:
        url = values.get("url") if isinstance(values, dict) else None
        if isinstance(url, str) and re.match(r"sqlite(\+pysqlite)?:///", url) and not values.get("file"):
            return {**values, "url": "", "file": url.partition(":///")[2].partition("?")[0]}
        return values

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if bool(self.file) == bool(self.url):
            raise ValueError("either `file` (an SQLite file) or `url` (a server) is wanted")
        if bool(self.table) == bool(self.query):
            raise ValueError("either `table` or `query` is wanted")
        if not all(_VARIABLE.fullmatch(secret) for secret in _SECRET.findall(self.url) if secret):
            raise ValueError("no password in a recipe: write ${NAME}, and set NAME in the environment")
        if self.query and not _READS.match(self.query):
            raise ValueError("a query begins with SELECT, WITH, VALUES or TABLE")
        return self


class Sql(Step[SqlSettings]):
    """Reads a table or a query, a few hundred rows at a time, in a session that cannot write.

    SQLite is opened with mode=ro; PostgreSQL (by pg8000) reads one snapshot in a READ ONLY transaction through a
    cursor on the server. That guards against accidents, not against whoever writes the recipe: give PostgreSQL a role
    that may only read. A row's id is `id`, else the primary key, else its number. Dropped, with the reason: `empty`,
    `no-id`, `repeated-id`, `record-too-long`, `undecodable`, `binary`. DataError for a table or column that is not
    there (with the nearest name) and for a query that fails; EndpointError when the server cannot be reached.

    What a server holds is no part of the step's identity, since it changes unseen: `danlu run RECIPE --force STEP`
    reads it again. Not covered: other databases, and tables too large for one snapshot.
    """

    Settings = SqlSettings
    makes = "documents"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        settings = self.settings
        database = Database(settings)
        what = settings.table or "query"
        source = f"{database.name}/{what}"
        meta = {"table": settings.table} if settings.table else {}
        with database.connected() as connection, Gathering(out) as gathering:
            statement, keys = database.statement(connection)
            columns, rows = database.rows(connection, statement)
            bar = track.over(rows, "sql", unit="row")
            gathering.extend(documents(bar, columns, source, settings.licence, out.work, meta, keys))
        gathering.report("sql", source, "look at `text` and `query` of the data.sql step", unit="rows")
        out.licences[source] = {"licence": settings.licence, "terms": ""}
        self._tell(out, keys)

    def _tell(self, out: Draft, keys: list[str]) -> None:
        settings = self.settings
        if settings.url:
            out.text("A server", "It may hold other rows by now: `danlu run RECIPE --force STEP` reads them.")
        ordered = re.search(r"\border\s+by\b", _COMMENT.sub(" ", settings.query), re.IGNORECASE)
        if not settings.id and not keys and not ordered:
            out.text("Ids", "The rows go by their numbers, and nothing says their order: name an `id` column.")


class Database:
    """A database that is only read. What it raises never shows a password."""

    def __init__(self, settings: SqlSettings) -> None:
        self.settings = settings
        self.alchemy = need("sqlalchemy", "sql")
        self.secrets: list[str] = []
        self.deadline = 0.0
        if settings.file is not None:
            self.where = str(settings.file)
            self.name = settings.file.name
            self.engine = self._sqlite(settings.file)
        else:
            self.where = _VARIABLE.sub("${…}", settings.url)
            url = self._address()
            self.name = url.database or "database"
            self.where = url.set(query={}).render_as_string(hide_password=True)
            self.engine = self._postgresql(url)

    def _sqlite(self, path: Path) -> Engine:
        import sqlite3

        path = path.expanduser().absolute()
        if not path.is_file():
            beside = path.parent.iterdir() if path.parent.is_dir() else ()
            near = nearest(path.name, (entry.name for entry in beside))
            raise DataError("no such file", where=str(path), nearest=near, next="set `file` of the data.sql step")
        if path.stat().st_size == 0:
            raise DataError("the database is empty (0 bytes)", where=str(path))

        def connect() -> sqlite3.Connection:
            # In WAL mode SQLite would make files beside the database, which a folder that cannot be written refuses.
            still = "&immutable=1" if _write_ahead(path) and not path.with_name(path.name + "-wal").exists() else ""
            connection = sqlite3.connect(f"{path.as_uri()}?mode=ro{still}", uri=True, timeout=30)
            connection.text_factory = _lenient
            connection.execute("PRAGMA query_only=ON")
            connection.set_progress_handler(self._late, 100_000)
            return connection

        engine: Engine = self.alchemy.create_engine("sqlite://", creator=connect, poolclass=self.alchemy.pool.NullPool)
        return engine

    def _late(self) -> int:
        return int(bool(self.deadline) and time.monotonic() > self.deadline)

    def _postgresql(self, url: URL) -> Engine:
        engine: Engine = self.alchemy.create_engine(
            "postgresql+pg8000://",
            creator=connector(url, self.settings.timeout),
            poolclass=self.alchemy.pool.NullPool,
        )
        return engine

    def _address(self) -> URL:
        """The address with its variables filled in, each in its own place, so that no character needs escaping."""
        whole = _VARIABLE.fullmatch(self.settings.url)
        text = self._variable(whole) if whole else self.settings.url
        try:
            url: URL = self.alchemy.make_url(text)
        except (self.alchemy.exc.ArgumentError, ValueError):
            raise DataError(
                "not the address of a database", where="url", next="for example postgresql://user:${PASSWORD}@host/name"
            ) from None
        filled: dict[str, Any] = {
            part: _VARIABLE.sub(self._variable, value)
            for part in ("username", "password", "host", "database")
            if (value := getattr(url, part)) and not whole
        }
        query = {
            name: _VARIABLE.sub(self._variable, value) if isinstance(value, str) and not whole else value
            for name, value in url.query.items()
        }
        url = url.set(**filled, query=query)
        self.secrets.extend(filter(None, [url.password, str(query.get("password", ""))]))
        if url.get_backend_name() != "postgresql":
            raise DataError(
                f"a database of kind {url.drivername!r} is not covered", where="url",
                next="give postgresql://user:${PASSWORD}@host/name, or an SQLite `file`",
            )  # fmt: skip
        return url

    def _variable(self, found: re.Match[str]) -> str:
        value = os.environ.get(found[1])
        if value is None:
            raise DataError(
                f"the environment variable {found[1]} is not set",
                where="url",
                next=f"export {found[1]}=…, then run again",
            )
        self.secrets.append(value)
        return value

    @contextlib.contextmanager
    def connected(self) -> Iterator[Connection]:
        """A connection for reading one snapshot; what goes wrong inside becomes one clear error."""
        errors = self.alchemy.exc
        try:
            connection = self.engine.connect()
        except (errors.DBAPIError, OSError) as error:
            self._raise(error, reached=False)
        try:
            if self.engine.name == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            yield connection
        except errors.SQLAlchemyError as error:
            self._raise(error, reached=not getattr(error, "connection_invalidated", False))
        except TimeoutError as error:
            self._raise(error, reached=False)
        finally:
            with contextlib.suppress(errors.SQLAlchemyError, OSError):
                connection.close()

    def _raise(self, error: Exception, reached: bool) -> NoReturn:
        text = said(getattr(error, "orig", None) or error)
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, "***") if len(secret) > 2 else text
        if re.search("statement timeout|^interrupted$", text):
            raise DataError(
                f"the database took more than {self.settings.timeout:g} seconds for an answer", where=self.where,
                next="raise `timeout` of the data.sql step, or ask for less",
            ) from None  # fmt: skip
        if self.settings.file is not None or reached:
            bytewise = (
                "a database in SQL_ASCII: read convert_to(column, 'SQL_ASCII') with a `query`, which gives the bytes"
            )
            advice = bytewise if "invalid byte sequence" in text else "look at the data.sql step's `query` and `table`"
            raise DataError(text[:500], where=self.where, next=advice) from None
        raise EndpointError(text[:500], where=self.where, next="is the server up, and the address right?") from None

    def statement(self, connection: Connection) -> tuple[Any, list[str]]:
        """(what reads the table, the columns of its primary key); (None, []) for a query."""
        if self.settings.query:
            return None, []
        table, keys, names = self._table(connection)
        columns = used(check(self.settings, names, f"{self.where}: {self.settings.table}", "data.sql"))
        sql = self.alchemy
        wanted = [sql.column(name) for name in dict.fromkeys([*columns, *keys])]
        return sql.select(*wanted).select_from(table).order_by(*(sql.column(name) for name in keys)), keys

    def _table(self, connection: Connection) -> tuple[sqlalchemy.TableClause, list[str], list[str]]:
        """(the table, its primary key, its columns)."""
        inspector = self.alchemy.inspect(connection)
        schema, name = None, self.settings.table
        there = [*inspector.get_table_names(), *inspector.get_view_names()]
        if name not in there and "." in name:
            schema, _, name = name.partition(".")
            known = schema in inspector.get_schema_names()
            found = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)] if known else []
            there = [*there, *(f"{schema}.{table}" for table in found)]
        if self.settings.table not in there:
            raise DataError(
                f"no table {self.settings.table!r}; there are {', '.join(sorted(there)[:20]) or 'none'}",
                where=self.where,
                nearest=nearest(self.settings.table, there), next="set `table` of the data.sql step",
            )  # fmt: skip
        keys = inspector.get_pk_constraint(name, schema)["constrained_columns"]
        names = [column["name"] for column in inspector.get_columns(name, schema)]
        return self.alchemy.table(name, schema=schema), list(keys), names

    def rows(self, connection: Connection, statement: Any) -> tuple[Columns, Iterator[Mapping[str, Any]]]:
        """(the columns as checked, the rows as they come)."""
        self._begin()
        query = self.settings.query.strip().rstrip(";") if statement is None else str(statement.compile(self.engine))
        results = self._results(connection, query)
        first = next(results)
        names = list(first.keys())
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise DataError(
                f"the query gives two columns the name {repeated[0]!r}", where=self.where, next="rename one with AS"
            )
        columns = check(self.settings, names, f"{self.where}: {self.settings.table or 'query'}", "data.sql")

        def flow() -> Iterator[Mapping[str, Any]]:
            for result in chain([first], results):
                for part in result.mappings().partitions(BATCH):
                    self.deadline = 0.0
                    yield from (dict(row) for row in part)
                    self._begin()

        return columns, flow()

    def _results(self, connection: Connection, query: str) -> Iterator[CursorResult[Any]]:
        """One result that streams (SQLite), or one for each BATCH rows, from a cursor on the server (PostgreSQL)."""
        if self.engine.name == "sqlite":
            options = {"stream_results": True, "max_row_buffer": BATCH, "no_parameters": True}
            yield connection.execution_options(**options).exec_driver_sql(query)
            return
        connection.exec_driver_sql(f"DECLARE danlu NO SCROLL CURSOR FOR {query}")
        came = BATCH
        while came == BATCH:
            result = connection.exec_driver_sql(f"FETCH {BATCH} FROM danlu")
            came = result.rowcount
            yield result

    def _begin(self) -> None:
        self.deadline = time.monotonic() + self.settings.timeout


def _write_ahead(path: Path) -> bool:
    """Whether the file is in WAL mode (https://www.sqlite.org/fileformat.html, offset 18)."""
    with path.open("rb") as file:
        return file.read(20)[18:20] == b"\x02\x02"


def _lenient(data: bytes) -> str | bytes:
    """Text of an SQLite file; what is no UTF-8 stays bytes, whose encoding is told later."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
