"""`danlu arena` through the real entry point."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from danlu.cli.main import main

pytest.importorskip("scipy")

ROOT = Path(__file__).parent.parent.parent


def lines(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines(tmp_path / "q.jsonl", [{"id": f"q{number}", "prompt": f"題目{number}"} for number in range(3)])
    for name in ("甲", "乙"):
        lines(tmp_path / f"{name}.jsonl", [{"id": f"q{number}", "answer": f"{name}說"} for number in range(3)])
    (tmp_path / "model.json").write_text(json.dumps({"題目": "丙說"}, ensure_ascii=False), encoding="utf-8")
    return tmp_path


def test_a_server_takes_votes_is_killed_and_goes_on(files, capsys):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("DANLU_API_KEY", None)
    command = [sys.executable, "-m", "danlu", "arena", "甲.jsonl", "乙.jsonl", "script:model.json"]
    command += ["--questions", "q.jsonl", "--port", "0"]
    for place in range(2):
        with subprocess.Popen(command, cwd=files, env=environment, stdout=subprocess.PIPE, text=True) as server:
            try:
                address = next(line.split()[1] for line in server.stdout if line.startswith("arena"))
                told = next(line for line in server.stdout if line.startswith("votes"))
                assert f"{place} so far, 9 pairs" in told
                with httpx.Client(base_url=address, trust_env=False) as client:
                    for _ in range(50):
                        try:
                            client.get("/")
                            break
                        except httpx.ConnectError:
                            pass
                    pair = client.get("/api/next").json()
                    said = client.post("/api/vote", json={"ticket": pair["ticket"], "choice": "left"})
                    assert said.status_code == 200, said.text
                    assert client.get("/", headers={"Host": "evil.example"}).status_code == 403
            finally:
                server.send_signal(signal.SIGKILL)
    assert main(["arena", "甲.jsonl", "乙.jsonl", "script:model.json", "--questions", "q.jsonl", "--json"]) == 0
    board = json.loads(capsys.readouterr().out)
    assert (board["votes"], board["voters"]) == (2, 2)


def test_the_board_alone(files, capsys):
    (files / "votes.jsonl").write_text("damaged\n", encoding="utf-8")
    assert main(["arena", "甲.jsonl", "乙.jsonl", "--questions", "q.jsonl", "--board"]) == 0
    told = capsys.readouterr()
    assert "no vote has a winner yet" in told.out
    assert "1 lines are no votes" in told.err
    assert (files / "votes.jsonl.damaged").read_text() == "1\tdamaged\n"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["甲.jsonl"], 2, "two sides or more"),
        (["甲.jsonl", "乙.jsonl", "--questions", "q.jsonl", "--host", "0.0.0.0"], 2, "no key is set"),
        (["甲.jsonl", "乙.jsonl"], 6, "come without their questions"),
        (["甲.jsonl", "nothing.jsonl", "--questions", "q.jsonl", "--board"], 6, "cannot be read"),
    ],
)
def test_mistakes_are_told(files, capsys, monkeypatch, words, code, told):
    monkeypatch.delenv("DANLU_API_KEY", raising=False)
    assert main(["arena", *words]) == code
    assert told in capsys.readouterr().err
