"""The report is one file that needs nothing else, shows everything and trusts no text."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danlu.artifact import Artifact, Store
from danlu.recipe.graph import Node, _apart, draw
from danlu.recipe.report import render

HOSTILE = "<script>alert('壞')</script>\"'><img src=x onerror=alert(1)>"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PARITY = {"adapter": "sft", "merged": "merged", "gguf": "gguf", "data": "split"}
STEPS: list[tuple[str, str, str, dict[str, str], float]] = [
    ("read", "data.read", "documents", {}, 1.4),
    ("clean", "data.clean", "documents", {"documents": "read"}, 3.2),
    ("unique", "data.dedup", "documents", {"documents": "clean"}, 0.9),
    ("examples", "data.instruct", "examples", {"documents": "unique"}, 0.5),
    ("split", "data.split", "split", {"examples": "examples", "documents": "unique"}, 0.2),
    ("sft", "train.sft", "adapter", {"data": "split"}, 242.0),
    ("merged", "merge.adapter", "model", {"adapter": "sft"}, 6.1),
    ("gguf", "quant.gguf", "gguf", {"model": "merged"}, 21.0),
    ("parity", "eval.parity", "parity", PARITY, 33.0),
    ("scores", "eval.compare", "scores", {"tuned": "merged", "data": "split"}, 58.0),
    ("index", "rag.index", "index", {"documents": "unique"}, 12.0),
    ("assistant", "rag.assistant", "assistant", {"gguf": "gguf", "index": "index"}, 15.0),
]


def sample(root: Path, picture: bytes = PNG) -> tuple[dict[str, Any], dict[str, Artifact]]:
    """A run that looks like the tutor's, through a real store; some of its text is hostile."""
    store = Store(root / "store")
    artifacts: dict[str, Artifact] = {}
    for name, use, makes, references, seconds in STEPS:
        with store.draft(name) as draft:
            draft.file("result.txt").write_text(name)
            if name == "read":
                draft.licences["handbook"] = {"licence": "Apache-2.0", "terms": ""}
                draft.funnel("files", 18, 15, {"not text": 2, "empty": 1}, "files")
            if name == "unique":
                draft.funnel("documents", 1204, 966, {"near duplicate": 201, "exact duplicate": 37}, "documents")
            if name == "examples":
                draft.table("shapes", ["shape", "examples"], [["heading", 411], ["definition", 208], ["list", 97]])
            if name == "sft":
                draft.file("loss.png").write_bytes(picture)
                draft.image("loss", "loss.png")
                draft.metrics.update(loss=1.734521, tokens=182_344)
                draft.licences["gemma-3-270m"] = {
                    "licence": "Gemma Terms of Use", "terms": "https://ai.google.dev/gemma/terms"
                }  # fmt: skip
            if name == "parity":
                rows = [["adapter = merged", 1.0, 1e-9], ["merged = q8_0", 0.9931, 0.00042]]
                draft.table("top-1 agreement", ["pair", "agreement", "KL"], rows)
            if name == "scores":
                draft.table(
                    "before and after",
                    ["measure", "n", "base", "tuned", "± standard error", "better"],
                    [
                        ["bits per character", 120, 3.912, 2.874, 0.051, "lower"],
                        ["taiwan usage", 40, 1.91, 0.2, 0.1, "lower"],
                    ],
                )
                draft.table(
                    "samples",
                    ["question", "base", "tuned"],
                    [
                        ["什麼是 LoRA？", "LoRA 是一種無線電。LoRA 是一種無線電。LoRA 是一種無線電。" * 2,
                         "LoRA 把權重的改變寫成兩個小矩陣的乘積，只訓練這兩個矩陣，因此顯示卡的記憶體用得很少。"],
                        ["量化會損失什麼？", HOSTILE, "數字的精細度；所以要量測 top-1 一致率與 KL 散度。"],
                    ],
                )  # fmt: skip
                draft.text("note", f"Greedy answers.\n{HOSTILE}")
            inputs = {f: {"step": n, "id": n, "content": artifacts[n].content} for f, n in references.items()}
            licences: dict[str, dict[str, str]] = {}
            for other in references.values():
                licences.update(artifacts[other].licences)
            facts = {
                "id": name, "kind": makes, "step": name, "use": use, "recipe": "tutor", "inputs": inputs,
                "settings": {"paths": ["../handbook"], "model": "gemma-3-270m", "prompt": HOSTILE, "seed": 0},
                "sources": {"paths": "0" * 64} if name == "read" else {},
                "models": {"model": "1" * 64} if name in ("sft", "scores") else {},
                "licences": licences, "seconds": seconds, "peak_bytes": int((0.3 + seconds / 80) * 2**30),
            }  # fmt: skip
            artifacts[name] = store.commit(draft, facts)
    record = {
        "recipe": "tutor",
        "description": "一位讀過手冊的助教：從文件到可部署的繁體中文助理",
        "seed": 0,
        "text": "recipe: tutor\nsteps:\n  read: {use: data.read, paths: [../handbook]}\n" + HOSTILE,
        "sets": ["sft.rank=16"],
        "state": "finished",
        "started": "2026-01-01T08:00:00+00:00",
        "ended": "2026-01-01T08:07:00+00:00",
        "error": None,
        "figures": {},
        "environment": {"python": "3.11.7", "torch": "2.13.0"},
        "steps": [
            {
                "name": name, "use": use, "makes": makes, "references": references, "report": [], "id": name,
                "state": "cached" if name in ("read", "clean") else "made", "content": artifacts[name].content,
                "seconds": seconds, "peak_bytes": artifacts[name].manifest["peak_bytes"],
            }
            for name, use, makes, references, seconds in STEPS
        ],
    }  # fmt: skip
    return record, artifacts


class Page(HTMLParser):
    """Everything that a browser would act on: tags, attributes, ids, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return render(*sample(tmp_path_factory.mktemp("report")))


def test_hostile_text_stays_text(text: str) -> None:
    page = Page(text)
    assert "script" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert page.tags.count("img") == 1, "only the loss curve is a picture"
    assert page.words.count("<script>alert('壞')</script>") >= 3, "the text itself is shown"


def test_it_needs_nothing_from_elsewhere(text: str) -> None:
    page = Page(text)
    loads = [value for name, value in page.attributes if name in ("src", "href", "srcset", "action", "data")]
    assert all(value.startswith(("#", "data:image/png;base64,")) for value in loads), loads
    assert "link" not in page.tags
    assert "@import" not in text
    assert "url(" not in text
    assert "default-src 'none'" in text


def test_every_link_leads_somewhere(text: str) -> None:
    page = Page(text)
    anchors = {value for name, value in page.attributes if name == "id"}
    links = {value[1:] for name, value in page.attributes if name == "href" and value.startswith("#")}
    assert links <= anchors, links - anchors
    assert {f"step-{step[0]}" for step in STEPS} <= links


@pytest.mark.parametrize(
    "shown",
    [
        "一位讀過手冊的助教", "near duplicate", "1,204 → 966 documents", "bits per character", "3.912", "0.9931",
        "Gemma Terms of Use", "Apache-2.0", "4 min 2 s", "3.3 GiB", "torch", "2.13.0", "--set sft.rank=16",
        "gemma-3-270m", "../handbook", "182,344",
    ],
)  # fmt: skip
def test_it_shows(text: str, shown: str) -> None:
    assert shown in Page(text).words


def test_a_picture_that_is_gone_or_none_is_told(tmp_path: Path) -> None:
    record, artifacts = sample(tmp_path)
    (artifacts["sft"].path / "loss.png").unlink()
    assert "loss.png is not a picture that can be shown here" in render(record, artifacts)


def test_a_run_that_stopped_early_still_has_a_report(tmp_path: Path) -> None:
    record, artifacts = sample(tmp_path)
    for step in record["steps"][8:]:
        step.update(state="not reached", id=None, content=None, seconds=0.0, peak_bytes=0)
    record["steps"][8].update(state="failed", report=[{"type": "text", "title": "why", "text": HOSTILE}])
    record.update(state="failed", error=f"the gate is shut {HOSTILE}", figures={"agreement": 0.91, "bound": 0.98})
    kept = {name: artifact for name, artifact in artifacts.items() if name in [s[0] for s in STEPS[:8]]}
    page = Page(render(record, kept))
    assert "the gate is shut" in page.words
    assert "agreement: 0.91" in page.words
    assert "script" not in page.tags


def test_the_graph_draws_every_box_inside_itself_and_no_two_on_each_other() -> None:
    nodes = [Node(name, name, use, "made") for name, use, *_ in STEPS]
    edges = [(parent, name) for name, _, _, references, _ in STEPS for parent in references.values()]
    svg = draw(nodes, edges)
    width, height = (float(x) for x in re.findall(r'viewBox="0 0 (\d+) (\d+)"', svg)[0])
    boxes = [tuple(map(float, found)) for found in re.findall(r'<rect x="([\d.]+)" y="([\d.]+)"', svg)]
    assert len(boxes) == len(STEPS)
    assert svg.count('class="line"') == len(edges)
    for x, y in boxes:
        assert 0 <= x <= width - 168
        assert 0 <= y <= height - 46
        assert not [1 for a, b in boxes if (a, b) != (x, y) and abs(a - x) < 168 and abs(b - y) < 46]


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=12), st.data())
def test_places_keep_their_order_and_distance_and_their_mean(wanted: list[float], data: st.DataObject) -> None:
    gaps = data.draw(st.lists(st.floats(1, 200), min_size=len(wanted) - 1, max_size=len(wanted) - 1))
    places = _apart(wanted, gaps)
    assert all(b - a >= gap - 1e-6 for a, b, gap in zip(places, places[1:], gaps, strict=False))
    assert sum(places) == pytest.approx(sum(wanted), abs=1e-4), "nothing is pushed further than it must be"


@given(st.integers(1, 14), st.data())
def test_any_graph_without_a_cycle_can_be_drawn(count: int, data: st.DataObject) -> None:
    pairs = [(a, b) for b in range(count) for a in range(b)]
    chosen = data.draw(st.lists(st.sampled_from(pairs), unique=True, max_size=30)) if pairs else []
    svg = draw([Node(str(i), str(i), "", "made") for i in range(count)], [(str(a), str(b)) for a, b in chosen])
    assert svg.count("<rect") == count
    assert svg.count('class="line"') == len(chosen)
    assert "nan" not in svg
