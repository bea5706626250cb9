"""Who may come in."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient

from danlu.errors import UsageError
from danlu.model.fake import Scripted
from danlu.serve.app import Limits, make_app
from danlu.serve.door import check_bind

KEY = "a-long-random-key-of-the-test"
ASK = {"model": "fake", "messages": [{"role": "user", "content": "你好"}]}
PATH = "/v1/chat/completions"


def client(**settings: Any) -> TestClient:
    app = make_app(Scripted(["好"]), "fake", **settings)
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8000", "[::1]:8000", "LOCALHOST"])
def test_loopback_names_may_come_in(host: str) -> None:
    assert client().post(PATH, json=ASK, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.org", "", "[", "10.0.0.1"])
def test_rebound_names_may_not(host: str) -> None:
    response = client().post(PATH, json=ASK, headers={"Host": host})
    assert (response.status_code, response.json()["error"]["code"]) == (403, "host_not_allowed")
    assert client().get("/healthz", headers={"Host": host}).status_code == 403


def test_other_sites_are_not_answered() -> None:
    strange = client().post(PATH, json=ASK, headers={"Origin": "https://evil.example"})
    assert strange.status_code == 403
    assert client().post(PATH, json=ASK, headers={"Origin": "null"}).status_code == 403
    own = client().post(PATH, json=ASK, headers={"Origin": "http://127.0.0.1"})
    assert own.status_code == 200
    assert not any(name.startswith("access-control") for name in [*own.headers, *strange.headers])
    assert client().options(PATH, headers={"Origin": "https://evil.example"}).status_code == 403


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", f"Basic {KEY}", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", "Bearer 鑰匙"]
)
def test_without_the_key_nobody_comes_in(header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.encode()}
    for response in (
        client(key=KEY).post(PATH, json=ASK, headers=headers),
        client(key=KEY).get("/v1/models", headers=headers),
    ):
        assert response.status_code == 401
        assert response.json()["error"]["type"] == "authentication_error"
        assert response.headers["www-authenticate"] == "Bearer"
        assert KEY not in response.text


def test_a_key_in_chinese() -> None:
    key = "祕密-鑰匙-123"
    for given, status in ((key, 200), (key + "4", 401), ("x", 401)):
        headers = {"Authorization": f"Bearer {given}".encode()}
        assert client(key=key).get("/v1/models", headers=headers).status_code == status


def half(address: str, sent: bytes, leave: bool) -> bytes:
    """What the server says to a client that sends no more than `sent`."""
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=20) as line:
        line.sendall(sent)
        said = b"" if leave else line.recv(65536)
        while said and not leave and (more := line.recv(65536)):
            said += more
        return said


def test_who_is_slow_is_let_go_and_who_leaves_costs_one_line(
    running: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps({**ASK, "stream": True}).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "
    begun = f"{head}{len(body)}\r\n\r\n".encode() + body[:9]
    caplog.set_level(logging.DEBUG, "danlu.serve.door")
    with running(make_app(Scripted(["好"] * 99), "fake", limits=Limits(patience=0.3)), patience=0.3) as address:
        assert half(address, begun, leave=False).startswith(b"HTTP/1.1 408")
        assert half(address, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n", leave=False) == b""
        assert half(address, b"", leave=False) == b""
        assert half(address, f"{head}{len(body)}\r\nConnection: close\r\n\r\n".encode() + body, False).count(b"data:")
        caplog.clear()
        for _ in range(20):
            half(address, begun, leave=True)
            half(address, f"{head}{len(body)}\r\n\r\n".encode() + body, leave=True)
        assert client().get("/healthz").status_code == 200
    lines = [record for record in caplog.records if record.levelno > logging.DEBUG]
    assert not lines, [record.getMessage() for record in lines]


def test_with_the_key_from_anywhere() -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Host": "assistant.example"}
    assert client(key=KEY, host="0.0.0.0").post(PATH, json=ASK, headers=headers).status_code == 200
    assert client(key=KEY).get("/healthz").status_code == 200


def test_what_is_too_large_is_refused_said_or_not() -> None:
    small = client(limits=Limits(body=1000))
    large = {**ASK, "messages": [{"role": "user", "content": "大" * 1000}]}
    assert small.post(PATH, json=large).status_code == 413
    unsaid = small.post(PATH, content=(b"x" * 100 for _ in range(50)), headers={"Content-Type": "application/json"})
    assert (unsaid.status_code, unsaid.json()["error"]["code"]) == (413, "request_too_large")
    assert small.post(PATH, json=ASK, headers={"Content-Length": "-1"}).status_code == 413


def test_a_page_may_load_nothing_from_elsewhere() -> None:
    policy = client().get("/healthz").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_an_open_door_wants_a_key(host: str) -> None:
    with pytest.raises(UsageError, match="no key is set") as caught:
        check_bind(host, None)
    assert "DANLU_API_KEY" in str(caught.value)
    check_bind(host, KEY)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_loopback_needs_none(host: str) -> None:
    check_bind(host, None)
