"""The report of a run: one HTML file that needs nothing else, no network and no script.

Built from the run's record and the `report` blocks of its artifacts (see `danlu.artifact.Draft`). All text that comes
from data is escaped, pictures are inlined, and the page's own policy forbids every other load.
"""

from __future__ import annotations

import base64
import json
import math
import string
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from danlu.artifact import Artifact
from danlu.recipe.graph import Node, draw
from danlu.recipe.measure import duration, size

PICTURES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".svg": "image/svg+xml"}
LONG = 48


def render(record: Mapping[str, Any], artifacts: Mapping[str, Artifact]) -> str:
    """The page, for a run's record (run.json) and the artifacts it has so far, by step."""
    parts = [
        _header(record),
        _wrong(record),
        _section("lineage", "Lineage", _lineage(record, artifacts)),
        _section("funnel", "Data funnel", _funnels(record, artifacts)),
        _section("steps", "Steps", "".join(_step(step, artifacts.get(step["name"])) for step in record["steps"])),
        _section("cost", "Time and memory", _cost(record["steps"])),
        _section("licences", "Licences", _licences(artifacts.values())),
        _section("environment", "Environment", _pairs(record["environment"])),
        _section("recipe", "Recipe", _recipe(record)),
        "<footer>Made by Danlu. Times of cached steps are those of the run that made them.</footer>",
    ]
    template = string.Template((Path(__file__).parent / "report.html").read_text(encoding="utf-8"))
    return template.substitute(title=escape(f"{record['recipe']} — Danlu"), body="\n".join(filter(None, parts)))


def _section(anchor: str, title: str, body: str) -> str:
    return f'<section id="{anchor}"><h2>{title}</h2>{body}</section>' if body else ""


def _header(record: Mapping[str, Any]) -> str:
    steps = record["steps"]
    count = {state: sum(step["state"] == state for step in steps) for state in ("made", "cached")}
    figures = {
        "steps": str(len(steps)),
        "made now": str(count["made"]),
        "cached": str(count["cached"]),
        "in the steps made now": duration(sum(step["seconds"] for step in steps if step["state"] == "made")),
        "peak memory": size(max((step["peak_bytes"] for step in steps), default=0)),
    }
    tiles = "".join(f"<div><b>{value}</b><span>{label}</span></div>" for label, value in figures.items())
    links = ("lineage", "funnel", "steps", "cost", "licences", "environment", "recipe")
    state = escape(record["state"])
    return (
        f'<header><h1>{escape(record["recipe"])}<span class="badge {state}">{state}</span></h1>'
        f"<p>{escape(record['description'])}</p><p>{escape(record['started'])}, seed {record['seed']}</p>"
        f"<nav>{''.join(f'<a href=#{link}>{link}</a>' for link in links)}</nav>"
        f'<div class="figures">{tiles}</div></header>'
    )


def _wrong(record: Mapping[str, Any]) -> str:
    if not record["error"]:
        return ""
    figures = "".join(f"\n{escape(name)}: {_number(value)}" for name, value in record["figures"].items())
    return f'<div class="card wrong">{escape(record["error"])}{figures}</div>'


def _lineage(record: Mapping[str, Any], artifacts: Mapping[str, Artifact]) -> str:
    nodes, edges = [], []
    outside: dict[str, Node] = {}
    for step in record["steps"]:
        style = "reached" if step["state"] == "not reached" else step["state"]
        anchor = f"#step-{step['name']}"
        nodes.append(Node(step["name"], step["name"], f"{step['use']} · {step['state']}", style, anchor))
        edges += [(name, step["name"]) for name in dict.fromkeys(step["references"].values())]
        manifest = artifacts[step["name"]].manifest if step["name"] in artifacts else {"sources": {}, "models": {}}
        for style in ("sources", "models"):
            for field in manifest[style]:
                value = manifest["settings"][field]
                title = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
                key = f"{style}\0{title}"
                outside[key] = Node(key, title, style[:-1], style[:-1])
                edges.append((key, step["name"]))
    return f'<div class="card scroll">{draw([*outside.values(), *nodes], edges)}</div>'


def _blocks(step: Mapping[str, Any], artifact: Artifact | None) -> list[dict[str, Any]]:
    return list(artifact.manifest["report"] if artifact else step["report"])


def _funnels(record: Mapping[str, Any], artifacts: Mapping[str, Artifact]) -> str:
    stages = [
        (step, block)
        for step in record["steps"]
        for block in _blocks(step, artifacts.get(step["name"]))
        if block["type"] == "funnel"
    ]
    return "".join(_funnel(_stage(step, block["title"]), block) for step, block in stages)


def _stage(step: Mapping[str, Any], title: str) -> str:
    said = title in (step["name"], step["use"], step["use"].split(".")[-1])
    return step["name"] if said else f"{step['name']}: {title}"


def _funnel(title: str, block: Mapping[str, Any]) -> str:
    came, kept, unit = block["came"], block["kept"], escape(block["unit"])
    share = 100 / came if came else 0
    dropped = sorted(((why, n) for why, n in block["dropped"].items() if n), key=lambda item: -item[1])
    bars = f'<div class="kept" style="width:{kept * share:.2f}%"></div>' + "".join(
        f'<div class="lost" style="width:{count * share:.2f}%" title="{escape(reason)}: {count:,}"></div>'
        for reason, count in dropped
    )
    why = "".join(f"<span>&minus;{count:,} {escape(reason)}</span>" for reason, count in dropped)
    return (
        f'<div class="funnel"><div class="head"><span>{escape(title)}</span>'
        f"<span>{came:,} → <b>{kept:,}</b> {unit}</span></div>"
        f'<div class="track">{bars}</div><div class="why">{why or "nothing dropped"}</div></div>'
    )


def _step(step: Mapping[str, Any], artifact: Artifact | None) -> str:
    state = "" if step["state"] in ("made", "cached") else step["state"].replace("not reached", "")
    cost = f" · {duration(step['seconds'])}, peak {size(step['peak_bytes'])}" if step["peak_bytes"] else ""
    id = f" · <code>{escape(step['id'])}</code>" if step["id"] else ""
    reads = ", ".join(f'<a href="#step-{escape(n)}">{escape(n)}</a>' for n in step["references"].values())
    badge = f'<span class="badge {escape(state)}">{escape(state)}</span>' if state else ""
    head = (
        f'<div class="card" id="step-{escape(step["name"])}"><h3>{escape(step["name"])}{badge}</h3>'
        f'<p class="what">{escape(step["use"])} → {escape(step["makes"])}{id} · {escape(step["state"])}{cost}'
        f"{f' · reads {reads}' if reads else ''}</p>"
    )
    body = "".join(_block(block, artifact) for block in _blocks(step, artifact) if block["type"] != "funnel")
    if artifact is not None:
        metrics = {name: _number(value) for name, value in artifact.manifest["metrics"].items()}
        body += f"<details><summary>metrics</summary>{_pairs(metrics)}</details>" if metrics else ""
        settings = {name: _plain(value) for name, value in artifact.manifest["settings"].items()}
        body += f"<details><summary>settings</summary>{_pairs(settings)}</details>" if settings else ""
    return f"{head}{body}</div>"


def _block(block: Mapping[str, Any], artifact: Artifact | None) -> str:
    title = f"<h4>{escape(block['title'])}</h4>" if block["title"] else ""
    if block["type"] == "table":
        return title + _table(block["columns"], block["rows"])
    if block["type"] == "image" and artifact is not None:
        return f"<figure>{title}{_picture(artifact.path / block['file'], block['title'])}</figure>"
    if block["type"] == "text":
        return f'{title}<p class="text">{escape(block["text"])}</p>'
    return ""


def _picture(path: Path, title: str) -> str:
    kind = PICTURES.get(path.suffix.lower())
    if kind is None or not path.is_file():
        return f'<p class="what">{escape(path.name)} is not a picture that can be shown here</p>'
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{escape(title)}" src="data:{kind};base64,{data}">'


def _table(columns: list[str], rows: list[list[Any]]) -> str:
    numeric = [
        bool(rows) and all(isinstance(row[i], (int, float)) or row[i] is None for row in rows)
        for i in range(len(columns))
    ]
    head = "".join(
        f"<th{' class=number' if number else ''}>{escape(str(name))}</th>"
        for name, number in zip(columns, numeric, strict=True)
    )
    body = "".join("<tr>" + "".join(_cell(cell, numeric[i]) for i, cell in enumerate(row)) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(value: Any, number: bool) -> str:
    text = _plain(value)
    kind = "number" if number else "long" if len(text) > LONG or "\n" in text else ""
    return f"<td{f' class={kind}' if kind else ''}>{escape(text)}</td>"


def _cost(steps: list[dict[str, Any]]) -> str:
    longest = max((step["seconds"] for step in steps), default=0.0) or 1.0
    largest = max((step["peak_bytes"] for step in steps), default=0) or 1
    rows = "".join(
        f"<tr><td>{escape(step['name'])}</td><td>{escape(step['state'])}</td>"
        f'<td class="number">{duration(step["seconds"])}</td><td class="bar">{_rod(step["seconds"] / longest)}</td>'
        f'<td class="number">{size(step["peak_bytes"])}</td>'
        f'<td class="bar">{_rod(step["peak_bytes"] / largest)}</td></tr>'
        for step in steps
        if step["peak_bytes"]
    )
    head = '<th>step</th><th></th><th class="number">time</th><th></th><th class="number">peak memory</th><th></th>'
    return f'<div class="card scroll"><table><tr>{head}</tr>{rows}</table></div>' if rows else ""


def _rod(share: float) -> str:
    return f'<div class="rod" style="width:{max(share, 0) * 100:.1f}%"></div>'


def _licences(artifacts: Iterable[Artifact]) -> str:
    found: dict[str, dict[str, str]] = {}
    for artifact in artifacts:
        found.update(artifact.licences)
    rows = [[name, facts.get("licence", ""), facts.get("terms", "")] for name, facts in sorted(found.items())]
    return f'<div class="card">{_table(["what went in", "licence", "terms"], rows)}</div>' if rows else ""


def _recipe(record: Mapping[str, Any]) -> str:
    sets = "".join(f"--set {text}\n" for text in record["sets"])
    return f"<pre>{escape(record['text'])}</pre>" + (f"<pre>{escape(sets)}</pre>" if sets else "")


def _pairs(pairs: Mapping[str, Any]) -> str:
    rows = "".join(f"<tr><th>{escape(str(k))}</th><td>{escape(str(v))}</td></tr>" for k, v in pairs.items())
    return f'<div class="scroll"><table>{rows}</table></div>' if rows else ""


def _plain(value: Any) -> str:
    if value is None:
        return "n/a"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return _number(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _number(value: float) -> str:
    """A number for people: whole ones grouped, others with four significant digits."""
    if isinstance(value, int) or (math.isfinite(value) and value == int(value) and abs(value) < 1e15):
        return f"{int(value):,}"
    return f"{value:.4g}"
