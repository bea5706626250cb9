"""`danlu chat` and `danlu serve` as their users start them, with every socket but loopback blocked."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from danlu.artifact import Store
from danlu.text.grounding import REFUSAL

ROOT = Path(__file__).parent.parent.parent
ASK = "訪客停車怎麼收費？"

_spec = importlib.util.spec_from_file_location("blocked_network", ROOT / "tests" / "blocked_network.py")
assert _spec is not None
assert _spec.loader is not None
network = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(network)


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory, smollm: Path) -> Path:
    """A folder with a store, and in it the latest run of a recipe `library` that made an assistant."""
    from library import documents, index

    from danlu.rag.assistant import Assistant, AssistantSettings
    from danlu.track import Track

    folder = tmp_path_factory.mktemp("kitchen")
    store = Store(folder / "store")
    made = {"index": index(store, documents())}
    with store.draft("gguf") as draft:
        shutil.copy(smollm, draft.file("smol.gguf"))
        draft.file("formats.json").write_text(json.dumps({"q4_1": "smol.gguf"}))
        made["gguf"] = store.commit(draft, {"id": "gguf", "kind": "gguf"})
    with store.draft("assistant") as draft:
        settings = AssistantSettings(gguf="gguf", index="index", format="q4_1", max_tokens=16, context=1024)
        Assistant(settings).run(made, draft, Track(quiet=True))
        store.commit(draft, {"id": "assistant", "kind": "assistant", "recipe": "library"})
    run = store.root / "runs" / "library"
    run.mkdir()
    steps = [{"name": "assistant", "makes": "assistant", "id": "assistant", "content": "x", "references": {}}]
    (run / "run.json").write_text(json.dumps({"recipe": "library", "steps": steps}))
    return folder


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("DANLU_API_KEY", "DANLU_STORE")}
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH", "")]))
    shut = network.blocked(folder)
    shut["PYTHONPATH"] = os.pathsep.join([shut["PYTHONPATH"], kept["PYTHONPATH"]])
    return {**kept, **shut, "PYTHONUTF8": "1"}


def danlu(kitchen: Path, folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "danlu", *arguments],
        cwd=kitchen,
        env=environment(folder),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_chat_answers_with_sources(kitchen: Path, tmp_path: Path) -> None:
    ran = danlu(kitchen, tmp_path, "chat", "library", "--ask", ASK, "--ask", "玉山有多高？", "--json")
    assert ran.returncode == 0, ran.stderr
    parking, mountain = json.loads(ran.stdout)
    text = (ROOT / "tests/rag/corpus/停車場.md").read_text(encoding="utf-8")
    for source in parking["sources"]:
        assert text[source["start"] : source["end"]] == source["quote"]
    assert parking["grounding"]["mode"] in ("generated", "quoted")
    assert mountain["answer"] == REFUSAL
    assert network.attempts(tmp_path) == []


def test_a_conversation_ends_with_the_input(kitchen: Path, tmp_path: Path) -> None:
    ran = danlu(kitchen, tmp_path, "chat", "library", "--max-tokens", "8", stdin=f"\n{ASK}\n玉山有多高？\n")
    assert ran.returncode == 0, ran.stderr
    assert "[1] corpus/停車場.md" in ran.stdout
    assert f"答：{REFUSAL}" in ran.stdout
    assert network.attempts(tmp_path) == []


def test_without_documents_the_model_speaks_alone(kitchen: Path, tmp_path: Path) -> None:
    asked = ("--ask", "Count from 1 to 20.", "--json", "--max-tokens", "8")
    ran = danlu(kitchen, tmp_path, "chat", "assistant", "--no-rag", *asked)
    assert ran.returncode == 0, ran.stderr
    (answer,) = json.loads(ran.stdout)
    assert answer["answer"].startswith("1")
    assert (answer["sources"], answer["finish"]) == (None, "length")


@pytest.fixture(scope="module")
def served(kitchen: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("served")
    process = subprocess.Popen(
        [sys.executable, "-m", "danlu", "serve", "library", "--port", "0", "--slots", "2"],
        cwd=kitchen,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    address = next((found[0] for line in lines if (found := re.search(r"http://127\.0\.0\.1:\d+", line))), None)
    if address is None:
        pytest.fail(process.communicate()[1])
    yield address, folder
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0


def test_serve_answers_the_official_client_and_hands_out_the_page(served: tuple[str, Path]) -> None:
    address, folder = served
    transport = httpx.HTTPTransport(retries=20)
    direct = httpx.Client(trust_env=False, transport=transport)
    api = openai.OpenAI(base_url=f"{address}/v1", api_key="none", http_client=direct)
    made: Any = api.chat.completions.create(model="library", messages=[{"role": "user", "content": ASK}])
    assert made.choices[0].message.grounding["mode"] in ("generated", "quoted")
    assert "[1]" in made.choices[0].message.content
    page = direct.get(address)
    assert "丹爐助理" in page.text
    for asset in re.findall(r"(?:src|href)=\"(\./[^\"]+\.(?:js|css))\"", page.text):
        assert direct.get(f"{address}/{asset[2:]}").status_code == 200
    assert len(api.embeddings.create(model=api.models.list().data[1].id, input="甲").data[0].embedding) == 384
    assert network.attempts(folder) == []


MISTAKES = {
    "an unknown name": (["chat", "librery"], 2, "did you mean: library"),
    "a step that does not chat": (["chat", "index"], 2, "kind index does not chat"),
    "no GGUF": (["chat", "none.gguf"], 7, "no such GGUF"),
    "an endpoint without a model": (["chat", "endpoint:http://127.0.0.1:1/v1"], 2, "endpoint:URL#MODEL"),
    "JSON without a question": (["chat", "library", "--json"], 2, "--ask"),
    "an open door without a key": (["serve", "library", "--host", "0.0.0.0"], 2, "DANLU_API_KEY"),
    "a port that cannot be": (["serve", "library", "--port", "99999"], 2, "--port"),
    "no store": (["chat", "library", "--store", "elsewhere"], 5, "no store"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_one_clear_error(kitchen: Path, tmp_path: Path, name: str) -> None:
    arguments, code, told = MISTAKES[name]
    ran = danlu(kitchen, tmp_path, *arguments)
    assert (ran.returncode, "Traceback" in ran.stderr) == (code, False), ran.stderr
    assert told in ran.stderr
