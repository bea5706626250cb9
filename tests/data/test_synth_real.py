"""The pipe with a real model: SmolLM2 in llama.cpp, a few requests. What so small a model writes is not the point."""

from __future__ import annotations

from typing import Literal

import pytest

from danlu.data.structured import Shape, parse, schema
from danlu.errors import DataError
from danlu.model.catalog import CATALOG
from danlu.model.chat import Options, gather
from danlu.model.named import opened as open_chat
from danlu.records import Example, Message, write_jsonl

NAME = "smollm2-135m-instruct"

pytestmark = pytest.mark.skipif(not CATALOG[NAME].parts(), reason=f"danlu model pull {NAME} installs this model")


class Rating(Shape):
    score: Literal[1, 2, 3]


def test_llama_cpp_holds_the_model_to_a_schema():
    asked = [Message(role="user", content="Say hello.")]
    with open_chat(NAME) as found:
        whole = gather(found.chat.stream(asked, Options(max_tokens=24, json_schema=schema(Rating))))
    assert isinstance(parse(whole.text, Rating), Rating), whole.text
    assert whole.finish == "stop"


def test_an_explanation_by_the_real_model(steps, tmp_path):
    """Through the step, the journal and the checks: kept, or left out with a reason that is counted."""
    (tmp_path / "styles.txt").write_text("Answer in one short sentence.", encoding="utf-8")
    talk = [Message(role="user", content="What do bees make?"), Message(role="assistant", content="honey")]
    with steps.store.draft("examples") as draft:
        write_jsonl(draft.file("examples.jsonl"), [Example(id="e", messages=talk)])
        came = steps.store.commit(draft, {"id": "examples", "kind": "examples", "step": "test"})
    settings = {"styles": tmp_path / "styles.txt", "temperature": 0, "max_tokens": 24, "attempts": 1}
    try:
        made = steps("data.explain", examples=came, chat=NAME, **settings)
    except DataError as error:
        told = str(error)
    else:
        told = "made"
        assert made.manifest["licences"][NAME]["licence"] == "Apache-2.0"
        assert made.manifest["metrics"]["requests"] == 1
        assert "origin" in (made.path / "examples.jsonl").read_text(encoding="utf-8")
    assert told == "made" or "no example is left of 1 (" in told
