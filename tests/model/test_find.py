"""Finding models: names, folders, licences, and what happens when something is wrong with them."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import pytest

from danlu.errors import ModelError, StorageError
from danlu.model import catalog, find
from danlu.model.catalog import CATALOG


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DANLU_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def built_in(speaking, tmp_path, monkeypatch):
    """A small model that travels as a built-in one does: a GGUF file in two parts, of a package."""
    from danlu.artifact import file_digest
    from danlu.quant.gguf import write
    from danlu.track import Track

    package = tmp_path / "packages" / "tiny_parts"
    package.mkdir(parents=True)
    write(speaking("made"), package / "whole.gguf", "f32", {"licence": "MIT", "terms": "x"}, Track(quiet=True))
    data = (package / "whole.gguf").read_bytes()
    (package / "a").write_bytes(data[:1000])
    (package / "b").write_bytes(data[1000:])
    (package / "TERMS").write_text("the terms")
    monkeypatch.syspath_prepend(str(package.parent))
    entry = dataclasses.replace(
        CATALOG["gemma-3-270m"], name="tiny", template="gemma", sha256=file_digest(package / "whole.gguf"),
        files=(("tiny_parts", "a"), ("tiny_parts", "b")), notices=(("tiny_parts", "TERMS"),),
    )  # fmt: skip
    monkeypatch.setitem(catalog.CATALOG, "tiny", entry)
    return package


def test_a_built_in_model_is_converted_once_and_carries_its_terms(built_in, cache):
    from danlu.model.load import load_model, load_tokenizer
    from danlu.model.template import stop_tokens

    folder = find.locate("tiny")
    assert folder.is_relative_to(cache)
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert find.locate("tiny") == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    assert load_model(folder).generation_config.eos_token_id == stop_tokens(load_tokenizer(folder)) == [1, 5]
    assert (folder / "notices" / "TERMS").read_text() == "the terms"
    facts = json.loads((folder / "source.json").read_text())
    assert facts["licence"] == "Gemma Terms of Use"
    assert facts["fingerprint"] == find.fingerprint("tiny", ".")
    assert not list(cache.glob("models/.*.part"))


def test_damaged_weights_are_refused_and_nothing_is_left(built_in, cache):
    data = bytearray((built_in / "b").read_bytes())
    data[-1] ^= 1
    (built_in / "b").write_bytes(data)
    with pytest.raises(ModelError, match="SHA-256") as caught:
        find.locate("tiny")
    assert "danlu model pull tiny --again" in str(caught.value)
    assert [path for path in cache.glob("models/*") if path.is_dir()] == []


def test_a_missing_package_names_the_command(built_in):
    (built_in / "b").unlink()
    assert find.state(CATALOG["tiny"]) == "missing"
    for ask in (find.locate, lambda name: find.fingerprint(name, ".")):
        with pytest.raises(ModelError, match="not installed") as caught:
            ask("tiny")
        assert caught.value.problem.next == "danlu model pull tiny"


def test_two_processes_convert_one_model_once(built_in):
    import os
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(find.locate, ["tiny", "tiny"]))
    assert folders[0] == folders[1]
    assert len([name for name in os.listdir(folders[0].parent) if not name.startswith(".")]) == 1


def test_an_unwritable_cache_names_the_variable(built_in, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("DANLU_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError) as caught:
        find.locate("tiny")
    assert "DANLU_CACHE" in str(caught.value)


def test_a_full_disk_is_told_and_nothing_is_left(built_in, cache, monkeypatch):
    import errno

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(find, "_write_weights", full)
    with pytest.raises(StorageError, match="disk is full"):
        find.locate("tiny")
    assert [path for path in cache.glob("models/*") if path.is_dir()] == []


def test_unknown_names_get_the_nearest():
    with pytest.raises(ModelError) as caught:
        find.locate("gemma-3-270")
    assert caught.value.problem.nearest == "gemma-3-270m"


def test_a_folder_with_pickles_only_is_refused(tmp_path):
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match="pickle") as caught:
        find.locate("old", str(tmp_path))
    assert "save_pretrained" in str(caught.value)


def test_a_local_folder_has_the_fingerprint_of_its_content(speaking, tmp_path):
    folder = speaking("mine")
    first = find.fingerprint("mine", str(tmp_path))
    assert find.fingerprint(str(folder), "/") == first
    (folder / "config.json").touch()
    assert find.fingerprint("mine", str(tmp_path)) == first
    (folder / "chat_template.jinja").write_text("another")
    assert find.fingerprint("mine", str(tmp_path)) != first


def test_licences_are_read_from_the_card(speaking, tmp_path):
    folder = speaking("mine")
    assert find.licence("mine", str(tmp_path)) == {"licence": "unknown", "terms": "unknown"}
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    (folder / "LICENSE.txt").write_text("…")
    assert find.licence("mine", str(tmp_path)) == {"licence": "apache-2.0", "terms": "LICENSE.txt"}


def test_a_converted_model_whose_package_is_gone(built_in, monkeypatch):
    """Its folder serves on; its GGUF, which only the package holds, is asked for by name. `pull` installs it."""
    find.locate("tiny")
    files = (("no_such_package", "a"), ("no_such_package", "b"))
    monkeypatch.setitem(catalog.CATALOG, "tiny", dataclasses.replace(CATALOG["tiny"], files=files))
    assert find.state(CATALOG["tiny"]) == "converted"
    assert find.locate("tiny").is_dir()
    with pytest.raises(ModelError, match="not installed") as told:
        find.gguf_file("tiny")
    assert told.value.problem.next == "danlu model pull tiny"
    from danlu.cli import model

    asked = []
    monkeypatch.setattr(model, "_install", lambda entry, again: asked.append(entry.name))
    assert model.pull(SimpleNamespace(name="tiny", again=False)) == 0
    assert asked == ["tiny"]
