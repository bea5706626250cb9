"""The Chat protocol: its fake, and endpoints that behave and misbehave."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from danlu.errors import DanluError, EndpointError
from danlu.model.chat import Delta, Options, Usage, complete, gather
from danlu.model.endpoint import Endpoint, Passing, Refused
from danlu.model.fake import Likelihoods, Scripted
from danlu.records import Message

ASK = [Message(role="user", content="你好嗎？")]
KEY = "sk-very-secret-0123456789"


def chunk(text: str = "", finish: str | None = None, **more: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}], **more}


def stream_of(*events: object, done: bool = True) -> bytes:
    lines = [f"data: {json.dumps(event, ensure_ascii=False)}\n\n" for event in events]
    return "".join([*lines, "data: [DONE]\n\n" if done else ""]).encode()


GOOD = stream_of(
    chunk("你\u2028"),
    chunk("好"),
    chunk("", "stop"),
    {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}},
)


def endpoint(answer: Callable[[httpx.Request], httpx.Response], **settings: object) -> tuple[Endpoint, list[float]]:
    """An Endpoint whose network is `answer`, and the seconds that it slept."""
    slept: list[float] = []
    transport = httpx.MockTransport(answer)
    return Endpoint("https://api.example/v1", "m", transport=transport, sleep=slept.append, **settings), slept  # type: ignore[arg-type]


def in_turn(*responses: httpx.Response | Exception) -> Callable[[httpx.Request], httpx.Response]:
    left = list(responses)

    def answer(request: httpx.Request) -> httpx.Response:
        response = left.pop(0)
        if isinstance(response, Exception):
            raise response
        return response

    return answer


def test_scripted_counts_stops_and_raises() -> None:
    chat = Scripted({"好": "一二 three 四", "壞": DanluError("壞了")})
    whole = gather(chat.stream(ASK, Options(stop=("四",))))
    assert (whole.text, whole.finish, whole.usage) == ("一二 three ", "stop", Usage(4, 5))
    assert gather(chat.stream(ASK, Options(max_tokens=2))).finish == "length"
    with pytest.raises(DanluError, match="壞了"):
        complete(chat, [Message(role="user", content="壞")])
    assert complete(Scripted(["a", "b"]), ASK) == "a"
    assert len(chat.calls) == 3


def test_likelihoods() -> None:
    (first, greedy), (empty, _), (_, other) = Likelihoods({1: 0.5}).loglikelihood([([9], [1, 1]), ([9], []), ([], [2])])
    assert first == pytest.approx(-1.3862943611)
    assert (greedy, empty, other) == (True, 0.0, False)


def test_endpoint_streams_and_sends_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=b": hello\r\n\r\n" + GOOD.replace(b"\n", b"\r\n"))

    chat, _ = endpoint(answer)
    whole = gather(chat.stream(ASK, Options(max_tokens=7, temperature=0.5, stop=("停",), seed=3)))
    assert (whole.text, whole.finish, whole.usage) == ("你\u2028好", "stop", Usage(5, 2))
    body = json.loads(seen[0].content)
    assert (body["max_tokens"], body["temperature"], body["stop"], body["seed"]) == (7, 0.5, ["停"], 3)
    assert seen[0].headers["authorization"] == f"Bearer {KEY}"
    assert str(seen[0].url) == "https://api.example/v1/chat/completions"


def test_a_json_schema_is_sent_as_a_strict_response_format() -> None:
    bodies: list[dict[str, object]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return httpx.Response(200, content=GOOD)

    chat, _ = endpoint(answer)
    complete(chat, ASK, Options(json_schema={"type": "object"}))
    complete(chat, ASK)
    held = {"name": "answer", "strict": True, "schema": {"type": "object"}}
    assert bodies[0]["response_format"] == {"type": "json_schema", "json_schema": held}
    assert "response_format" not in bodies[1]


def test_what_remains_of_a_failure_says_its_kind() -> None:
    def raised(response: httpx.Response | Exception) -> EndpointError:
        with pytest.raises(EndpointError) as caught:
            complete(endpoint(in_turn(response), retries=0)[0], ASK)
        return caught.value

    slow = raised(httpx.Response(429, headers={"Retry-After": "7"}))
    assert isinstance(slow, Passing)
    assert (slow.kind, slow.wait) == ("429", 7.0)
    kinds = [raised(one) for one in (httpx.ReadTimeout("late"), httpx.ConnectError("no"), httpx.Response(200))]
    assert [one.kind for one in kinds if isinstance(one, Passing)] == ["timeout", "connection", "cut"]
    refused = raised(httpx.Response(400, text="no"))
    assert isinstance(refused, Refused)
    assert refused.status == 400


def test_the_key_is_taken_from_the_named_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OTHER_KEY", raising=False)
    headers: list[httpx.Headers] = []

    def answer(request: httpx.Request) -> httpx.Response:
        headers.append(request.headers)
        return httpx.Response(200, content=GOOD)

    complete(endpoint(answer, key_variable="OTHER_KEY")[0], ASK)
    assert "authorization" not in headers[0]


def test_passing_failures_are_tried_again_with_back_off() -> None:
    chat, slept = endpoint(
        in_turn(
            httpx.Response(429, headers={"Retry-After": "7"}, json={"error": {"message": "slow down"}}),
            httpx.Response(503, headers={"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}),
            httpx.ConnectError("no"),
            httpx.ReadTimeout("late"),
            httpx.Response(200, content=GOOD),
        )
    )
    assert complete(chat, ASK) == "你\u2028好"
    assert slept[:2] == [7.0, 0.0]
    assert 0 <= slept[2] <= 2.0
    assert 0 <= slept[3] <= 4.0


def test_retries_end() -> None:
    chat, slept = endpoint(lambda _: httpx.Response(500, text="oops"), retries=2)
    with pytest.raises(EndpointError, match="500: oops"):
        complete(chat, ASK)
    assert len(slept) == 2


def test_a_wait_of_an_hour_is_an_error_at_once() -> None:
    chat, slept = endpoint(lambda _: httpx.Response(429, headers={"Retry-After": "3600"}))
    with pytest.raises(EndpointError, match="429"):
        complete(chat, ASK)
    assert slept == []


@pytest.mark.parametrize("status", [400, 401, 404, 302])
def test_refusals_are_not_repeated_and_never_show_the_key(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    said = {"error": {"message": f"Incorrect API key provided: {KEY}"}}
    chat, slept = endpoint(
        lambda _: httpx.Response(status, json=said, headers={"Location": "https://elsewhere.example/"})
    )
    with pytest.raises(EndpointError, match=str(status)) as caught:
        complete(chat, ASK)
    assert slept == []
    assert KEY not in str(caught.value)
    assert KEY not in repr(caught.value)


BROKEN = {
    "broken JSON": b'data: {"choices": [\n\n',
    "not an object": b"data: [1]\n\n",
    "a foreign shape": stream_of({"hello": 1}),
    "text that is no text": stream_of(chunk(3)),  # type: ignore[arg-type]
    "an error inside": stream_of(chunk("你"), {"error": {"message": "out of memory"}}),
    "truncated": stream_of(chunk("你"), done=False),
    "done without a finish": stream_of(chunk("你")),
    "empty": b"",
    "HTML": b"<html>login</html>",
}


@pytest.mark.parametrize("name", BROKEN)
def test_nonsense_is_an_endpoint_error(name: str) -> None:
    chat, _ = endpoint(lambda _: httpx.Response(200, content=BROKEN[name]), retries=1)
    with pytest.raises(EndpointError, match=r"api\.example"):
        complete(chat, ASK)


def test_text_that_came_is_not_asked_for_twice() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, content=BROKEN["truncated"])

    deltas: list[Delta] = []
    with pytest.raises(EndpointError, match="ended before"):
        deltas.extend(endpoint(answer)[0].stream(ASK))
    assert len(asked) == 1


@pytest.fixture
def hanging_up() -> Iterator[str]:
    """A server that promises ten bytes, sends a piece of an answer, and hangs up; its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                head = b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n"
                connection.sendall(head + stream_of(chunk("半"), done=False))

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    listener.close()


def test_a_connection_cut_in_mid_answer(hanging_up: str) -> None:
    deltas = Endpoint(hanging_up, "m").stream(ASK)
    assert next(deltas).text == "半"
    with pytest.raises(EndpointError, match="hung up"):
        next(deltas)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(EndpointError, match="cannot be reached"):
        complete(Endpoint(f"http://127.0.0.1:{port}", "m", retries=0), ASK)


def test_an_address_without_a_scheme() -> None:
    with pytest.raises(EndpointError, match="http://"):
        Endpoint("localhost:8000", "m")
