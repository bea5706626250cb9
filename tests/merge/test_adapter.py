"""merge.adapter: the merged model is the adapter on its base, or the step fails."""

from __future__ import annotations

import json

import pytest

from danlu.artifact import Artifact, Draft, tree_files
from danlu.errors import GateError, ModelError
from danlu.merge.adapter import Adapter
from danlu.model import find
from danlu.track import Track


@pytest.fixture
def adapter(speaking, tiny_tokenizer, tmp_path, monkeypatch):
    """A trained-looking adapter artifact on a small base model."""
    import torch
    from peft import LoraConfig, get_peft_model

    from danlu.model.load import load_model

    monkeypatch.setenv("DANLU_CACHE", str(tmp_path / "cache"))
    base = speaking("base")
    torch.manual_seed(3)
    model = get_peft_model(load_model(base), LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    model.save_pretrained(tmp_path / "adapter")
    tiny_tokenizer.save_pretrained(tmp_path / "adapter")
    facts = {"model": str(base), "fingerprint": find.fingerprint(str(base), ".")}
    (tmp_path / "adapter" / "base.json").write_text(json.dumps(facts))
    licences = {"base": {"licence": "MIT", "terms": "x"}}
    return Artifact(tmp_path / "adapter", {"id": "a", "kind": "adapter", "licences": licences, "files": {}})


def merge(adapter, folder) -> Draft:
    folder.mkdir()
    out = Draft(folder, folder)
    Adapter(Adapter.Settings(adapter="sft")).run({"adapter": adapter}, out, Track(quiet=True))
    return out


def test_merged_equals_adapter_on_base_and_differs_from_the_base(adapter, tmp_path):
    import torch

    from danlu.model.load import base_of, load_model, load_tokenizer

    out = merge(adapter, tmp_path / "merged")
    assert out.metrics["merge_error"] < 1e-3 < out.metrics["adapter_change"]
    ids = torch.arange(6, 60)[None]
    with torch.inference_mode():
        merged, adapted, base = (load_model(f)(ids).logits for f in (out.path, adapter.path, base_of(adapter.path)))
    assert torch.allclose(merged, adapted, atol=1e-4)
    assert (merged - base).abs().max() > 0.01
    assert load_tokenizer(out.path).chat_template == load_tokenizer(adapter.path).chat_template


def test_tied_embeddings_are_stored_once_and_bytes_repeat(adapter, tmp_path):
    from safetensors import safe_open

    first, second = merge(adapter, tmp_path / "one"), merge(adapter, tmp_path / "two")
    names = [path.relative_to(first.path) for path in tree_files(first.path)]
    assert [path.relative_to(second.path) for path in tree_files(second.path)] == names
    for name in names:
        data = (first.path / name).read_bytes()
        assert data == (second.path / name).read_bytes(), name
        assert str(tmp_path).encode() not in data, name
    with safe_open(first.path / "model.safetensors", "pt") as file:
        assert "lm_head.weight" not in file.keys()  # noqa: SIM118


def test_a_lost_adapter_stops_the_run(adapter, tmp_path):
    from safetensors.torch import load_file, save_file

    path = adapter.path / "adapter_model.safetensors"
    renamed = {name.replace("layers.", "layer."): value for name, value in load_file(path).items()}
    save_file(renamed, path)
    with pytest.raises(GateError, match="changes nothing"):
        merge(adapter, tmp_path / "merged")


def test_a_wrong_merge_stops_the_run(adapter, tmp_path, monkeypatch):
    import torch
    from peft.tuners.lora import LoraModel

    whole = LoraModel.merge_and_unload

    def wrong(self, *args, **kwargs):
        model = whole(self, *args, **kwargs)
        with torch.no_grad():
            model.model.layers[0].mlp.down_proj.weight += 0.1
        return model

    monkeypatch.setattr(LoraModel, "merge_and_unload", wrong)
    with pytest.raises(GateError, match="not the adapter on its base") as caught:
        merge(adapter, tmp_path / "merged")
    assert caught.value.figures["merge_error"] > caught.value.figures["tolerance"]


def test_another_base_is_refused(adapter, tmp_path):
    base = json.loads((adapter.path / "base.json").read_text())["model"]
    with open(f"{base}/config.json", "a") as file:
        file.write("\n")
    with pytest.raises(ModelError, match="not the one that the adapter was trained on"):
        merge(adapter, tmp_path / "merged")
