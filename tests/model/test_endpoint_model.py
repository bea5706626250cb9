"""Endpoints as a LanguageModel, over real HTTP on this machine: one that scores prompts, and ones that misbehave."""

from __future__ import annotations

import json
import math
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from danlu.errors import EndpointError
from danlu.model.endpoint_model import EndpointModel
from danlu.model.language_model import Answer, Continuation, Failure, Generation, LogLikelihood, Rolling
from danlu.model.subject import open_model
from danlu.records import Message

KEY = "sk-very-secret-0123456789"
Reply = tuple[int, dict[str, str], bytes]


class Server:
    """Answers each POST by `reply(path, body)`; `seen` keeps (path, body, key)."""

    def __init__(self, reply: Callable[[str, dict[str, Any]], Reply]) -> None:
        self.seen: list[tuple[str, dict[str, Any], str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.seen.append((self.path, body, self.headers.get("authorization", "")))
                status, headers, data = reply(self.path, body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(data) + int(headers.get("x-missing", "0"))))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[Server, EndpointModel]]]:
    """A server, and a model that asks it without ever sleeping; `slept` collects what it would have slept."""
    opened: list[tuple[Server, EndpointModel]] = []

    def make(reply: Callable[[str, dict[str, Any]], Reply], **settings: Any) -> tuple[Server, EndpointModel]:
        server = Server(reply)
        plain = httpx.HTTPTransport(verify=False)  # reading the certificates takes longer than most tests
        settings = {"retries": 2, "sleep": lambda seconds: None, "timeout": 5.0, "transport": plain} | settings
        opened.append((server, EndpointModel(server.url, "m", **settings)))
        return opened[-1]

    yield make
    for server, model in opened:
        model.close()
        server.close()


def said(value: object, status: int = 200, **headers: str) -> Reply:
    return status, headers, json.dumps(value).encode()


def completion(text: str, finish: str = "stop", **more: object) -> dict[str, object]:
    choice = {"index": 0, "text": text, "finish_reason": finish, **more}
    return {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}


def echo(path: str, body: dict[str, Any]) -> Reply:
    """A server that scores prompts: BOS, then one token a character; log p of a character is minus its code point over
    100, and "a" is always the likeliest. As servers do, it writes one token more."""
    if not body.get("echo"):
        return said(completion("生成"))
    tokens = ["<bos>", *body["prompt"], "!"]
    logs = [None, *(-ord(c) / 100 for c in body["prompt"]), -0.1]
    tops = [None, *({"a": -0.97, c: -ord(c) / 100} for c in body["prompt"]), {"!": -0.1}]
    return said(
        completion(
            body["prompt"] + "!", "length", logprobs={"tokens": tokens, "token_logprobs": logs, "top_logprobs": tops}
        )
    )


def test_log_likelihoods_by_echo(serve: Any) -> None:
    server, model = serve(echo)
    asked = [
        Continuation("甲乙", "aa"),
        Continuation("甲乙", "b"),
        Continuation("甲乙 ", "b"),
        Continuation("", "ab"),
        Rolling("aab"),
        Continuation("x", ""),
    ]
    found = dict(model.answer(asked))
    assert found[0] == LogLikelihood(pytest.approx(-1.94), True, 2)
    assert found[1] == LogLikelihood(pytest.approx(-0.98), False, 1)
    assert found[2] == LogLikelihood(pytest.approx(-0.98 - 0.32), False, 2)
    assert found[3] == LogLikelihood(pytest.approx(-1.95), False, 2)
    assert found[4] == LogLikelihood(pytest.approx(-2.92), False, 3)
    assert found[5] == Failure("unsupported", "there is no token to score")
    prompts = [body["prompt"] for _, body, _ in server.seen]
    assert prompts.count("甲乙") == 1, "the length of a context is asked once"


def test_log_likelihoods_by_prompt_logprobs(serve: Any) -> None:
    def vllm(path: str, body: dict[str, Any]) -> Reply:
        if "prompt_logprobs" not in body:
            return said(completion("!", logprobs=None))
        places = [None] + [
            {"1": {"logprob": -0.5, "rank": 1}}
            if c == "a"
            else {"2": {"logprob": -3.0, "rank": 7}, "1": {"logprob": -0.5, "rank": 1}}
            for c in body["prompt"]
        ]
        return said(completion("!", prompt_logprobs=places))

    _, model = serve(vllm)
    found = dict(model.answer([Continuation("xy", "aa"), Continuation("xy", "ab"), Continuation("", "a")]))
    assert found[0] == LogLikelihood(-1.0, True, 2)
    assert found[1] == LogLikelihood(-3.5, False, 2)
    assert found[2].reason == "unsupported"


@pytest.mark.parametrize(
    "reply",
    [
        said(completion("!", logprobs=None)),
        said(completion("!", logprobs={"tokens": ["!"], "token_logprobs": [-0.1], "top_logprobs": [{"!": -0.1}]})),
        said({"error": {"message": "there is no such route"}}, 404),
        said({"error": {"message": "echo is not supported"}}, 400),
    ],
    ids=["no logprobs", "only what it wrote", "no route", "refused"],
)
def test_a_server_that_does_not_score_prompts_is_said_to_be_one(serve: Any, reply: Reply) -> None:
    server, model = serve(lambda path, body: reply)
    found = dict(model.answer([Continuation("a", "b"), Continuation("a", "c"), Rolling("d")]))
    assert {result.reason for result in found.values()} == {"unsupported"}
    assert all("how likely the tokens of a prompt are" in result.detail for result in found.values())
    assert len(server.seen) == 2, "it is found out once"


def test_answers_to_messages_and_to_plain_prompts(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def both(path: str, body: dict[str, Any]) -> Reply:
        if path.endswith("/chat/completions"):
            events = [
                {"choices": [{"delta": {"content": "對；不對"}, "finish_reason": "stop"}]},
                {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}},
            ]
            lines = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
            return 200, {"content-type": "text/event-stream"}, lines.encode()
        return said(completion("一二三四五", "length"))

    server, model = serve(both)
    messages = (Message(role="user", content="對嗎？"),)
    asked = [
        Generation(messages, max_tokens=7, temperature=0.5, seed=3),
        Generation("數：", stop=("甲", "乙", "丙", "丁", "四")),
        Generation(messages, stop=("；",)),
    ]
    found = dict(model.answer(asked))
    assert found == {0: Answer("對；不對", "stop", 4), 1: Answer("一二三", "stop", 1), 2: Answer("對", "stop", 4)}
    bodies = {json.dumps(body.get("stop")): (path, body) for path, body, _ in server.seen}
    path, body = bodies["null"]
    assert path == "/v1/chat/completions"
    assert (body["max_tokens"], body["temperature"], body["seed"]) == (7, 0.5, 3)
    plain = next(body for path, body, _ in server.seen if path == "/v1/completions")
    assert (plain["prompt"], plain["stop"]) == ("數：", ["甲", "乙", "丙", "丁"])
    assert {key for *_, key in server.seen} == {f"Bearer {KEY}"}
    assert KEY not in json.dumps([dict(model.facts), model.fingerprint, model.name])


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_that_only_chats_is_asked_in_its_chat_and_the_facts_say_so(serve: Any, status: int) -> None:
    def chats(path: str, body: dict[str, Any]) -> Reply:
        if not path.endswith("/chat/completions"):
            return said({"error": {"message": "no such route"}}, status)
        event = {"choices": [{"delta": {"content": body["messages"][0]["content"][::-1]}, "finish_reason": "stop"}]}
        return 200, {"content-type": "text/event-stream"}, f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n".encode()

    server, model = serve(chats, at_once=1)
    found = dict(model.answer([Generation("甲乙"), Generation("丙丁"), Continuation("甲", "乙"), Rolling("甲")]))
    assert [found[0], found[1]] == [Answer("乙甲", "stop", 0), Answer("丁丙", "stop", 0)]
    assert {found[2].reason, found[3].reason} == {"unsupported"}  # type: ignore[union-attr]
    assert sum(path == "/v1/completions" and "logprobs" not in body for path, body, _ in server.seen) < 4
    assert "in its chat template" in model.facts["note"]


def test_what_passes_is_tried_again_and_costs_nothing(serve: Any) -> None:
    slept: list[float] = []
    left = [
        said({"error": {"message": "slow down"}}, 429, **{"retry-after": "7"}),
        said({"error": {"message": "oops"}}, 500),
        (200, {}, b'{"choices": [{"te'),
        said(completion("好")),
    ]
    server, model = serve(lambda path, body: left.pop(0), retries=3, sleep=slept.append)
    assert dict(model.answer([Generation("a")])) == {0: Answer("好", "stop", 1)}
    assert len(server.seen) == 4
    assert max(slept) == pytest.approx(7, abs=0.5)


BROKEN = {
    "rate-limited": said({"error": {"message": f"{KEY} is over its limit"}}, 429),
    "server-error": said({"error": {"message": "boom"}}, 500),
    "timeout": said({"error": {"message": "upstream"}}, 504),
    "unreadable": (200, {}, b"<html>garbage</html>"),
    "refused": said({"error": {"message": "bad words"}}, 400),
    "too-long": said({"error": {"message": "This model's maximum context length is 16 tokens"}}, 400),
}


@pytest.mark.parametrize("reason", BROKEN)
def test_what_remains_is_a_failure_with_its_reason(serve: Any, monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def mostly(path: str, body: dict[str, Any]) -> Reply:
        return BROKEN[reason] if "壞" in body["prompt"] else echo(path, body)

    server, model = serve(mostly)
    asked = [
        Generation("好"),
        Generation("壞"),
        Continuation("好", "b"),
        Continuation("壞", "b"),
        Continuation("好", "壞"),
    ]
    found = dict(model.answer(asked))
    assert [found[place].reason for place in (1, 3, 4)] == [reason] * 3
    assert isinstance(found[0], Answer)
    assert isinstance(found[2], LogLikelihood)
    assert KEY not in str(found)
    tries = sum(body["prompt"] == "壞" and not body.get("echo") for _, body, _ in server.seen)
    assert tries == (1 if reason in ("refused", "too-long") else 3)


def test_silence_and_a_line_cut_short_are_counted(serve: Any) -> None:
    never = threading.Event()

    def silent(path: str, body: dict[str, Any]) -> Reply:
        never.wait(0.4)
        return said(completion("too late"))

    _, model = serve(silent, timeout=0.1, retries=1)
    assert dict(model.answer([Generation("a")]))[0].reason == "timeout"


@pytest.mark.parametrize(
    "choice",
    [{"text": None, "finish_reason": "stop"}, {"text": "a"}, {}, {"text": "半", "finish_reason": "content_filter"}],
)
def test_an_answer_that_is_none_is_no_empty_string(serve: Any, choice: dict[str, Any]) -> None:
    _, model = serve(lambda path, body: said({"choices": [choice]}))
    result = dict(model.answer([Generation("a")]))[0]
    assert isinstance(result, Failure)
    assert result.reason == ("refused" if choice.get("finish_reason") == "content_filter" else "unreadable")


def test_log_probabilities_that_vanish_are_not_a_length_of_zero(serve: Any) -> None:
    def fickle(path: str, body: dict[str, Any]) -> Reply:
        return said(completion("!", logprobs=None)) if body["prompt"] == "甲" else echo(path, body)

    _, model = serve(fickle)
    assert dict(model.answer([Continuation("甲", "b")]))[0].reason == "unreadable"


def test_log_probabilities_that_are_no_numbers_are_unreadable(serve: Any) -> None:
    def broken(path: str, body: dict[str, Any]) -> Reply:
        reply = json.loads(echo(path, body)[2])
        if "壞" in body["prompt"]:
            reply["choices"][0]["logprobs"]["token_logprobs"][-2] = math.nan
        return said(reply)

    _, model = serve(broken)
    assert dict(model.answer([Continuation("甲", "壞")]))[0].reason == "unreadable"


def test_a_wrong_key_or_model_ends_the_run_with_the_next_step(serve: Any) -> None:
    _, model = serve(lambda path, body: said({"error": {"message": "no such key"}}, 401))
    with pytest.raises(EndpointError, match="OPENAI_API_KEY"):
        list(model.answer([Generation("a"), Continuation("a", "b")]))
    _, model = serve(lambda path, body: said({"error": {"message": "no such model"}}, 404))
    with pytest.raises(EndpointError, match="a model named 'm'"):
        list(model.answer([Generation((Message(role="user", content="a"),))]))


def test_nobody_at_home_ends_the_run() -> None:
    model = EndpointModel("http://127.0.0.1:9/v1", "m", retries=1, sleep=lambda seconds: None)
    with pytest.raises(EndpointError, match="cannot be reached"):
        list(model.answer([Generation("a")]))
    model.close()


def test_results_come_as_they_are_known_and_leaving_early_stops_the_asking(serve: Any) -> None:
    gate = threading.Event()

    def slow(path: str, body: dict[str, Any]) -> Reply:
        if body["prompt"] != "first":
            gate.wait(5)
        return said(completion(body["prompt"]))

    server, model = serve(slow, at_once=2)
    stream = model.answer([Generation("last"), Generation("first"), *(Generation(str(n)) for n in range(50))])
    assert next(stream) == (1, Answer("first", "stop", 1))
    gate.set()
    stream.close()  # type: ignore[attr-defined]
    assert len(server.seen) < 10


def test_open_model_of_an_address(serve: Any) -> None:
    server, _ = serve(echo)
    model = open_model(f"endpoint:{server.url}#m")
    assert dict(model.answer([Generation("a")]))[0] == Answer("生成", "stop", 1)
    assert (model.name, model.context, model.count("a")) == (f"endpoint:{server.url}#m", None, None)
    assert model.fingerprint == EndpointModel(server.url, "m").fingerprint
    model.close()


def test_danlu_serve_answers_messages_and_says_that_it_does_not_score() -> None:
    """The real app over a scripted Chat."""
    pytest.importorskip("fastapi")
    uvicorn = pytest.importorskip("uvicorn")
    from danlu.model.fake import Scripted
    from danlu.serve.app import make_app

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_app(Scripted({"好": "你好"}), "m"), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    model = open_model(f"endpoint:http://127.0.0.1:{listener.getsockname()[1]}/v1#m")
    found = dict(model.answer([Generation((Message(role="user", content="好嗎？"),)), Continuation("好", "嗎")]))
    model.close()
    server.should_exit = True
    thread.join(10)
    assert found[0] == Answer("你好", "stop", 2)
    assert found[1].reason == "unsupported"
