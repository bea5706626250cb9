"""Connections to PostgreSQL that only read, by pg8000 (BSD): addresses as libpq writes them, sockets, TLS, cells."""

from __future__ import annotations

import getpass
import socket
import ssl
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.errors import DataError, nearest
from danlu.extras import need

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

CONNECT = 15.0
_KNOWN = ("host", "port", "user", "password", "dbname", "sslmode", "sslrootcert")
_MODES = ("disable", "prefer", "require", "verify-ca", "verify-full")
_FOLDERS = ("/var/run/postgresql", "/tmp")


def connector(url: URL, timeout: float) -> Callable[[], Any]:
    """What opens a connection to `url`: a READ ONLY session that gives up after `timeout` seconds for an answer.

    What libpq takes after the `?` of an address: host (a folder is that of a unix socket), port, user, password,
    dbname, sslmode (`prefer` unless told) and sslrootcert (without one, verify-ca and verify-full trust what the system
    trusts). DataError for anything else. Calling it raises OSError or pg8000's errors. Not covered: certificates of the
    client, Kerberos, several hosts, PG* variables, .pgpass and service files.
    """
    facts = _facts(url)
    host, port, user = facts.get("host", ""), _port(facts.get("port", "5432")), facts.get("user") or getpass.getuser()
    tls = _tls(facts)
    unix = _unix(host, port)
    kind = _reader()
    session = {
        "client_encoding": "UTF8", "DateStyle": "ISO, YMD", "TimeZone": "UTC", "bytea_output": "hex",
        "default_transaction_read_only": "on", "statement_timeout": str(max(1, int(timeout * 1000))),
    }  # fmt: skip

    def connect() -> Any:
        scramp = need("scramp", "sql")
        plain = _socket(unix, host or "localhost", port)
        plain.settimeout(timeout + CONNECT)
        try:
            return kind(
                user, password=facts.get("password", ""), database=facts.get("dbname"), host=host or "localhost",
                application_name="danlu", startup_params=session, sock=plain, ssl_context=False if unix else tls,
            )  # fmt: skip
        except BaseException as error:
            plain.close()
            if isinstance(error, scramp.ScramException):
                raise ConnectionError(f"the server's proof of the password is wrong: {error}") from None
            raise

    return connect


def said(error: BaseException) -> str:
    """What the server said, in a line: the message, then its detail and hint."""
    facts = error.args[0] if error.args else ""
    parts = [facts.get(field, "") for field in "MDH"] if isinstance(facts, dict) else [str(error)]
    return " ".join(" ".join(filter(None, parts)).split())


def _facts(url: URL) -> dict[str, str]:
    facts = {"host": url.host, "user": url.username, "password": url.password, "dbname": url.database}
    facts |= {"port": str(url.port) if url.port else None}
    for name, value in url.query.items():
        if name not in _KNOWN or not isinstance(value, str):
            raise DataError(
                f"{name!r} is given twice in the address" if name in _KNOWN else f"no {name!r} in an address",
                where="url", nearest=nearest(name, _KNOWN), next=f"there are {', '.join(_KNOWN)}",
            )  # fmt: skip
        facts[name] = value
    return {name: value for name, value in facts.items() if value}


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise DataError(f"not a port: {text!r}", where="url", next="a number, 5432 for most servers")
    return int(text)


def _tls(facts: dict[str, str]) -> ssl.SSLContext | bool | None:
    """What pg8000 takes: False for none, None for TLS where the server has it, True for TLS with any certificate."""
    mode, root = facts.get("sslmode", "prefer"), facts.get("sslrootcert")
    if mode not in _MODES:
        raise DataError(
            f"no sslmode {mode!r}", where="url", nearest=nearest(mode, _MODES), next=f"there are {', '.join(_MODES)}"
        )
    if not mode.startswith("verify") and not (mode == "require" and root):
        return {"disable": False, "prefer": None, "require": True}[mode]
    try:
        context = ssl.create_default_context(cafile=None if root == "system" else root)
    except OSError as error:
        raise DataError(
            f"not a file of certificates: {error}", where=f"url, sslrootcert={root}", next="a PEM file"
        ) from None
    context.check_hostname = mode == "verify-full"
    return context


def _unix(host: str, port: int) -> str:
    """The unix socket; empty for TCP. Without a host, the usual one when it is there."""
    name = f".s.PGSQL.{port}"
    if host.startswith("/"):
        return str(Path(host) / name)
    usual = (Path(folder) / name for folder in _FOLDERS)
    return next((str(path) for path in usual if not host and path.exists()), "")


def _socket(unix: str, host: str, port: int) -> socket.socket:
    if not unix:
        plain = socket.create_connection((host, port), CONNECT)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return plain
    plain = socket.socket(socket.AF_UNIX)
    try:
        plain.settimeout(CONNECT)
        plain.connect(unix)
    except BaseException:
        plain.close()
        raise
    return plain


def _reader() -> type:
    """pg8000's connection, in which no second statement hides behind a `;`, and no odd cell stops the reading."""
    dbapi, native = need("pg8000.dbapi", "sql"), need("pg8000.converters", "sql")
    plain = {
        int, float, native.bool_in, native.bytes_in, native.numeric_in, native.json_in, native.vector_in,
        native.bool_array_in, native.int_array_in, native.float_array_in, native.numeric_array_in,
        native.json_array_in, native.string_array_in,
    }  # fmt: skip
    cells = {oid: _or_text(cell) if cell in plain else str for oid, cell in native.PG_TYPES.items()}
    cells |= {1082: _or_text(date.fromisoformat), 1114: _or_text(datetime.fromisoformat)}
    cells |= {1184: _or_text(datetime.fromisoformat)}

    class Reader(dbapi.Connection):  # type: ignore[name-defined, misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.pg_types.update(cells)

        def execute_simple(self, statement: str) -> Any:
            """By the extended protocol: the simple one runs all the statements of a text."""
            return self.execute_unnamed(statement)

        def close(self) -> None:
            """As it says; a connection that is lost already is no error."""
            try:
                super().close()
            except (dbapi.InterfaceError, OSError):
                return

    return Reader


def _or_text(cell: Callable[[str], Any]) -> Callable[[str], Any]:
    """`cell`; what Python has no value for (the year 20000, an array that starts at 2) stays PostgreSQL's text."""

    def read(text: str) -> Any:
        try:
            return cell(text)
        except (ValueError, IndexError, ArithmeticError, RecursionError):
            return text

    return read
