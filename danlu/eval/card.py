"""eval.card: the card of a model (README.md), written from its results and its lineage.

The front matter is what the Hugging Face hub reads: model-index with every score (its error, n, direction, version and
shots stand in the metric's args), licence, base model, data sets, and the ids of the artifacts. The text says the same
for people, in Taiwan's Chinese. What is not known is not said.

Not covered: uploading it, and what a model is meant for, unless `purpose` and `limits` say so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import yaml
from pydantic import Field

from danlu.artifact import MANIFEST, Artifact, Draft
from danlu.errors import DataError
from danlu.eval.page import plus_minus
from danlu.eval.results import Results, TaskResult, read_results
from danlu.extras import need
from danlu.records import Score
from danlu.registry import From, Settings, Step
from danlu.track import Track

HUB_LICENCES = {
    "apache-2.0", "mit", "gemma", "llama3", "llama3.1", "llama3.2", "llama3.3", "cc0-1.0", "cc-by-4.0", "cc-by-3.0",
    "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "bsd-3-clause", "bsd-2-clause", "gpl-3.0", "lgpl-3.0", "agpl-3.0",
    "mpl-2.0", "openrail", "unlicense", "isc", "odc-by",
}  # fmt: skip
"""Identifiers that the hub knows; any other licence is `other`, with its name and link."""

_ALIASES = {"gemma terms of use": "gemma"}
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_METRICS = {
    "acc": "accuracy", "acc_norm": "accuracy", "accuracy": "accuracy", "exact_match": "exact_match", "f1": "f1",
    "em": "exact_match", "bleu": "bleu", "chrf": "chrf", "rouge": "rouge", "perplexity": "perplexity",
    "word_perplexity": "perplexity", "byte_perplexity": "perplexity", "mcc": "matthews_correlation",
}  # fmt: skip
_BUILT_IN = {"gemma-3-270m": "google/gemma-3-270m", "smollm2-135m-instruct": "HuggingFaceTB/SmolLM2-135M-Instruct"}
"""What the built-in models are called on the hub."""

_RELATIONS = {"adapter": "adapter", "train": "finetune", "merge": "finetune", "quant": "quantized"}


class CardSettings(Settings):
    model: Annotated[str, From("model")]
    """The step that made the model."""

    results: Annotated[tuple[str, ...], From("results"), Field(min_length=1)]
    """The steps that measured it, or what was made of it (its GGUF, say)."""

    name: str = ""
    """What the model is called. Empty takes the recipe's name and the step's."""

    languages: tuple[str, ...] = ("zh", "en")
    """The languages that it is for, as two letters (ISO 639-1)."""

    licence: str = ""
    """The model's licence, as an identifier of the hub (apache-2.0). Empty takes that of the base models."""

    purpose: str = ""
    """What the model is for; a paragraph of the card."""

    limits: str = ""
    """What it must not be relied on for; a paragraph of the card."""


@dataclass(frozen=True)
class Lineage:
    """What a model was made from: artifacts, inputs first; the names of models and data sets; ids that are gone."""

    artifacts: list[Artifact]
    models: list[str] = field(default_factory=list)
    datasets: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)


class Card(Step[CardSettings]):
    """Writes a model's card, README.md with front matter, from its lineage and its results.

    Results that were measured on another model are refused. The card is read back with huggingface_hub where that is
    installed, so that the hub will read it too.
    """

    Settings: ClassVar[type[CardSettings]] = CardSettings
    makes: ClassVar[str] = "card"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        model = inputs["model"]
        measured = [artifact for name, artifact in inputs.items() if name != "model"]
        for artifact in measured:
            if model.id not in {one.id for one in lineage(artifact).artifacts}:
                raise DataError(
                    f"the results of step {artifact.manifest.get('step')!r} were measured on another model",
                    where=str(artifact.path),
                    next="name results whose `model` (or what it was made into) is this card's model",
                )
        results = [read_results(artifact.path) for artifact in measured]
        text = render(model, results, self.settings)
        check(text, sum(len(task.scores) for one in results for task in one.tasks))
        out.file("README.md").write_text(text, encoding="utf-8")
        out.text("Model card", text)


def lineage(artifact: Artifact) -> Lineage:
    """Everything that an artifact was made from, itself last. Artifacts stand beside each other in the store."""
    made = Lineage([])
    seen: set[str] = set()

    def visit(path: Path, id: str) -> None:
        if id in seen:
            return
        seen.add(id)
        if not (path / MANIFEST).is_file():
            made.gone.append(id)
            return
        one = Artifact.load(path)
        for entry in one.manifest.get("inputs", {}).values():
            visit(path.parent / entry["id"], entry["id"])
        made.artifacts.append(one)
        settings = one.manifest.get("settings", {})
        for name in one.manifest.get("models", {}):
            values = settings.get(name)
            made.models.extend(value for value in _listed(values) if value not in made.models)
        if one.manifest.get("use") == "data.hub" and settings.get("dataset") not in (None, "", *made.datasets):
            made.datasets.append(settings["dataset"])

    visit(artifact.path, artifact.id)
    return made


def _listed(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, (list, tuple)) else [] if value is None else [str(value)]


def render(model: Artifact, results: Sequence[Results], settings: CardSettings) -> str:
    """The card as text."""
    made = lineage(model)
    manifest = model.manifest
    parts_of_name = filter(None, [manifest.get("recipe"), manifest.get("step")])
    name = " ".join((settings.name or "-".join(map(str, parts_of_name)) or "model").split())
    front = front_matter(name, model, made, results, settings)
    head = yaml.safe_dump(front, allow_unicode=True, sort_keys=False, width=1000)
    parts = [
        f"# {_line(name)}",
        _line(settings.purpose),
        _base(made),
        *_section("評測", _scores(results)),
        *_section("限制", [settings.limits] if settings.limits else []),
        *_section("資料與授權", _licences(model)),
        *_section("來歷", _steps(made)),
        *_section("量測的環境", _environments(results)),
        *_section("重現", _recipe(manifest)),
        "這張卡由 Danlu 從評測結果與來歷產生，數字都附標準誤與題數。",
    ]
    return f"---\n{head}---\n\n" + "\n\n".join(filter(None, parts)) + "\n"


def _section(title: str, parts: Sequence[str]) -> list[str]:
    return [f"## {title}", *parts] if parts else []


def front_matter(
    name: str, model: Artifact, made: Lineage, results: Sequence[Results], settings: CardSettings
) -> dict[str, Any]:
    """The card's metadata, as the hub wants it."""
    front: dict[str, Any] = {"language": list(settings.languages)}
    front |= _licence(model, made, settings.licence)
    bases = [one for name in made.models if _HUB_ID.fullmatch(one := _BUILT_IN.get(name, name))]
    if bases:
        front["base_model"] = bases if len(bases) > 1 else bases[0]
        uses = [str(artifact.manifest.get("use", "")).split(".")[0] for artifact in made.artifacts]
        relation = next((_RELATIONS[use] for use in reversed(uses) if use in _RELATIONS), None)
        front |= {"base_model_relation": relation} if relation else {}
    datasets = [one for one in made.datasets if _HUB_ID.fullmatch(one)]
    if datasets:
        front["datasets"] = datasets
    front |= {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["danlu", "traditional-chinese"],
    }
    known = sorted({kind for one in results for task in one.tasks for score in task.scores if (kind := _kind(score))})
    if known:
        front["metrics"] = known
    front["danlu"] = {
        "artifact": model.id,
        "content": model.content,
        "recipe": str(model.manifest.get("recipe", "")),
        "lineage": {str(one.manifest.get("step") or one.id): one.id for one in made.artifacts},
    }
    index = [entry for one in results for task in one.tasks for entry in _index(one, task)]
    if index:
        front["model-index"] = [{"name": name, "results": index}]
    return front


def _kind(score: Score) -> str:
    """The hub's name of a metric, "" where it has none."""
    return _METRICS.get(score.name.split(",")[0], "")


def _index(results: Results, task: TaskResult) -> Iterator[dict[str, Any]]:
    """One entry of model-index for a task with scores."""
    if not task.scores:
        return
    source = str(task.data.get("source") or task.task)
    dataset = {"type": source if _HUB_ID.fullmatch(source) else task.task, "name": task.title or task.task}
    dataset |= {key: str(task.data[key]) for key in ("config", "split", "revision") if task.data.get(key)}
    metrics = []
    for score in task.scores:
        told: dict[str, Any] = {
            "n": score.n,
            "better": score.better,
            "unit": score.unit,
            "version": score.version,
            "shots": task.shots,
        }
        told |= {"stderr": score.stderr} if score.stderr is not None else {}
        told |= {"backend": backend} if (backend := (results.model.get("facts") or {}).get("backend")) else {}
        entry: dict[str, Any] = {
            "type": _kind(score) or score.name,
            "value": score.value,
            "name": f"{task.task}.{score.name}",
        }
        metrics.append({**entry, "args": told})
    yield {"task": {"type": "text-generation", "name": task.title or task.task}, "dataset": dataset, "metrics": metrics}


def _licence(model: Artifact, made: Lineage, named: str) -> dict[str, str]:
    """The model's licence in the hub's words: what the settings say, else that of the models that went in."""
    found = {one: model.licences[one] for one in made.models if one in model.licences}
    words = {named} if named else {facts.get("licence", "unknown") for facts in found.values()}
    words -= {"", "unknown"}
    if not words:
        return {}
    ids = {_ALIASES.get(word.lower(), word.lower()) for word in words}
    only = next(iter(ids))
    if len(ids) == 1 and only in HUB_LICENCES:
        return {"license": only}
    links = sorted({facts.get("terms", "") for facts in found.values()} - {"", "unknown"})
    name = re.sub(r"[^a-z0-9.-]+", "-", "-and-".join(sorted(ids))).strip("-")
    link = links[0] if links and links[0].startswith("https://") else "LICENSE"
    return {"license": "other", "license_name": name, "license_link": link}


def _line(text: str) -> str:
    """Text of others as one paragraph that Markdown and HTML leave alone."""
    escaped = text.replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([`*_\[\]|#])", r"\\\1", " ".join(escaped.split()))


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(_line(str(cell)) for cell in row) + " |" for row in rows)])


def _base(made: Lineage) -> str:
    if not made.models:
        return ""
    return f"來自：{'、'.join(_line(one) for one in made.models)}。"


def _scores(results: Sequence[Results]) -> list[str]:
    rows, notes = [], []
    for one in results:
        backend = (one.model.get("facts") or {}).get("backend", "")
        for task in one.tasks:
            way = {"higher": "越高越好", "lower": "越低越好"}
            for score in task.scores:
                value = plus_minus(score.value, score.stderr)
                direction = f"{way[score.better]}（{score.unit}）"
                rows.append([f"{task.task}.{score.name}", value, score.n, direction, task.shots, task.version, backend])
            failed = ", ".join(f"{reason} {count}" for reason, count in task.failures.items())
            notes += [f"- {_line(task.task)}：{_line(failed)} 題沒有答案，不計入分數"] if failed else []
            notes += [f"- {_line(task.task)}：{_line(note)}" for note in task.notes]
    columns = ("分數", "值 ± 標準誤", "題數", "方向", "範例數", "版本", "後端")
    return [_table(columns, rows), "\n".join(notes)] if rows else []


def _licences(model: Artifact) -> list[str]:
    rows = [[name, facts.get("licence", ""), facts.get("terms", "")] for name, facts in sorted(model.licences.items())]
    return [_table(("用到的東西", "授權", "條款"), rows)] if rows else []


def _steps(made: Lineage) -> list[str]:
    rows = [
        [one.manifest.get("step", ""), one.manifest.get("use", ""), one.kind, one.id, one.content[:16]]
        for one in made.artifacts
    ]
    gone = [f"已不在庫中：{'、'.join(made.gone)}"] if made.gone else []
    return [_table(("步驟", "方法", "產物", "id", "內容"), rows), *gone]


def _environments(results: Sequence[Results]) -> list[str]:
    found: dict[str, list[str]] = {}
    for one in results:
        for key, value in one.environment.items():
            told = found.setdefault(str(key), [])
            told += [str(value)] if str(value) not in told else []
    return [_table(("項目", "值"), [[key, "；".join(values)] for key, values in found.items()])] if found else []


def _recipe(manifest: Mapping[str, Any]) -> list[str]:
    text = str(manifest.get("recipe_text") or "").rstrip()
    if not text:
        return []
    longest = max((len(found) for found in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    sets = [f"`--set {one}`" for one in manifest.get("sets", [])]
    return ["下面的配方以 `danlu run` 執行，就會再做出這個模型。", f"{fence}yaml\n{text}\n{fence}", *sets]


def check(text: str, count: int) -> None:
    """Read a card of `count` scores as the hub's library does; DataError when it would not be read whole."""
    hub = need("huggingface_hub", "eval")
    try:
        found = hub.ModelCard(text).data.eval_results or []
    except Exception as error:
        raise DataError(f"the hub would not read this card: {error}") from None
    if len(found) != count:
        raise DataError(f"the hub reads {len(found)} of the card's {count} scores")
