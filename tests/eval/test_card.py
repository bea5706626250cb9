"""The card of a model: read by the hub's own library, true to the lineage, and safe against what names contain."""

import json

import pytest
import yaml

from danlu.artifact import Store
from danlu.errors import DataError
from danlu.eval.card import Card, CardSettings, check, front_matter, lineage, render
from danlu.eval.results import read_results
from danlu.track import Track

HOSTILE = "a|b\n---\nlicense: mit\n<script>alert(1)</script> `x` ```\n# 假標題 [x](javascript:alert(1))"


def commit(store, id, kind, inputs=(), **facts):
    """An artifact as a run makes it, of other artifacts."""
    licences = {}
    for one in inputs:
        licences |= one.licences
    entries = {
        f"from.{at}": {"step": one.manifest["step"], "id": one.id, "content": one.content}
        for at, one in enumerate(inputs)
    }
    given = {
        "step": id,
        "use": f"test.{kind}",
        "recipe": "tutor",
        "recipe_text": "recipe: tutor\nsteps: {}\n",
        "sets": [],
    }
    given |= {"settings": {}, "inputs": entries, "sources": {}, "models": {}}
    licences |= facts.pop("licences", {})
    with store.draft(id) as draft:
        draft.file("data.txt").write_text(id, encoding="utf-8")
        return store.commit(draft, {"id": id, "kind": kind, "licences": licences, **given, **facts})


@pytest.fixture
def kitchen(lab):
    """A model of a base model and a data set of the hub, its GGUF, and the results of that."""
    store = lab.store
    data = commit(
        store, "read", "documents", use="data.hub", settings={"dataset": "org/news"}, licences={"org/news": LICENCE}
    )
    base = {"gemma-3-270m": {"licence": "Gemma Terms of Use", "terms": "https://ai.google.dev/gemma/terms"}}
    sft = commit(
        store,
        "sft",
        "adapter",
        [data],
        use="train.sft",
        settings={"model": "gemma-3-270m"},
        models={"model": "hash"},
        licences=base,
    )
    model = commit(store, "merged", "model", [sft], use="merge.adapter", sets=["sft.rank=16"])
    gguf = commit(store, "gguf", "gguf", [model], use="quant.gguf")
    samples = lab.samples([1.0, 0.0, 1.0, 1.0])
    loose = lab.keep(
        "merged", [(lab.task("tmmluplus", title="臺灣多學科", failures={"too-long": 2}, data=DATA), samples)]
    )
    manifest = {
        **loose.manifest,
        "inputs": {"gguf": {"step": "gguf", "id": gguf.id, "content": gguf.content}},
        "step": "scores",
    }
    (loose.path / "artifact.json").write_text(json.dumps(manifest), encoding="utf-8")
    return {"store": store, "model": model, "results": type(loose)(loose.path, manifest), "loose": lab}


LICENCE = {"licence": "CC-BY-4.0", "terms": "https://creativecommons.org/licenses/by/4.0/"}
DATA = {"source": "ikala/tmmluplus", "split": "test", "digest": "d", "licence": "MIT"}


def written(kitchen, **settings):
    given = CardSettings(model="merged", results=("scores",), **settings)
    with kitchen["store"].draft("card") as draft:
        inputs = {"model": kitchen["model"], "results.0": kitchen["results"]}
        Card(given).run(inputs, draft, Track(quiet=True))
        return draft.file("README.md").read_text(encoding="utf-8")


def test_the_hub_reads_every_score(kitchen):
    from huggingface_hub import ModelCard

    data = ModelCard(written(kitchen)).data
    (one,) = data.eval_results
    assert (one.metric_type, one.metric_name, one.metric_value) == ("accuracy", "tmmluplus.acc", 0.75)
    assert (one.dataset_type, one.dataset_name, one.dataset_split) == ("ikala/tmmluplus", "臺灣多學科", "test")
    assert one.metric_args["n"] == 4
    assert one.metric_args["stderr"] == pytest.approx(0.25)
    assert (one.metric_args["better"], one.metric_args["shots"]) == ("higher", 5)
    assert (data.license, data.base_model, data.base_model_relation) == ("gemma", "google/gemma-3-270m", "finetune")
    assert (data.datasets, data.model_name, data.metrics) == (["org/news"], "tutor-merged", ["accuracy"])
    assert data.danlu["lineage"] == {"read": "read", "sft": "sft", "merged": "merged"}


def test_the_text_tells_scores_licences_lineage_and_recipe(kitchen):
    text = written(kitchen, purpose="回答文件裡的問題。", limits="不要用來看病。", name="家教")
    for told in (
        "# 家教",
        "回答文件裡的問題。",
        "不要用來看病。",
        "| tmmluplus.acc | 0.75 ± 0.25 | 4 | 越高越好（share） | 5 | 1 | transformers 5 |",
        "too-long 2 題沒有答案，不計入分數",
        "| org/news | CC-BY-4.0 |",
        "| sft | train.sft | adapter | sft |",
        "`--set sft.rank=16`",
        "```yaml\nrecipe: tutor",
    ):
        assert told in text


def test_results_of_another_model_are_refused(kitchen):
    other = kitchen["loose"].keep("other", [(kitchen["loose"].task("t"), kitchen["loose"].samples([1.0, 0.0]))])
    kitchen["results"] = other
    with pytest.raises(DataError, match="were measured on another model"):
        written(kitchen)


def test_an_artifact_that_is_gone_is_said(kitchen):
    import shutil

    shutil.rmtree(kitchen["store"].root / "artifacts" / "read")
    assert lineage(kitchen["model"]).gone == ["read"]
    assert "已不在庫中：read" in written(kitchen)


@pytest.mark.parametrize(
    ("licences", "named", "wanted"),
    [
        ({"base": ("Apache-2.0", "")}, "", {"license": "apache-2.0"}),
        ({"base": ("Apache-2.0", "")}, "mit", {"license": "mit"}),
        ({"base": ("unknown", "unknown")}, "", {}),
        (
            {"base": ("Apache-2.0", "https://a.example/a"), "more": ("Odd Licence", "https://b.example/b")},
            "",
            {"license": "other", "license_name": "apache-2.0-and-odd-licence", "license_link": "https://a.example/a"},
        ),
    ],
)
def test_licences_in_the_hubs_words(tmp_path, licences, named, wanted):
    store = Store(tmp_path / "store")
    settings = {f"m{at}": name for at, name in enumerate(licences)}
    told = {name: {"licence": licence, "terms": terms} for name, (licence, terms) in licences.items()}
    model = commit(store, "m", "model", settings=settings, models=dict.fromkeys(settings, "h"), licences=told)
    front = front_matter("m", model, lineage(model), [], CardSettings(model="m", results=("r",), licence=named))
    assert {key: value for key, value in front.items() if key.startswith("license")} == wanted


def test_names_cannot_break_out(lab):
    from huggingface_hub import ModelCard

    samples = lab.samples([1.0, 0.0])
    loose = lab.keep(HOSTILE, [(lab.task("t", title=HOSTILE, data={"source": HOSTILE}, notes=["acc"]), samples)])
    model = commit(
        lab.store, "m", "model", licences={HOSTILE: {"licence": HOSTILE, "terms": HOSTILE}}, recipe_text="a: ```b```"
    )
    settings = CardSettings(model="m", results=("r",), name=HOSTILE, purpose=HOSTILE)
    text = render(model, [read_results(loose.path)], settings)
    check(text, 1)
    data = ModelCard(text).data
    assert data.license is None
    assert data.eval_results[0].dataset_name == HOSTILE
    body = text.split("\n---\n", 1)[1]
    assert "<script>" not in body
    assert "[x](javascript" not in body
    assert body.count("\n# ") == 1
    assert "````yaml" in body
    assert yaml.safe_load(text.split("\n---\n", 1)[0].removeprefix("---\n"))["danlu"]["artifact"] == "m"


def test_a_card_that_the_hub_cannot_read_is_refused():
    with pytest.raises(DataError, match="0 of the card's 1 scores"):
        check("---\nlanguage: zh\n---\n# x\n", 1)
    with pytest.raises(DataError, match="would not read"):
        check("---\nmodel-index: 3\n---\n# x\n", 1)
