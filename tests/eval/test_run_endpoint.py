"""An endpoint that answers 429, 500, nonsense or too late: counted, asked again by the next run, never a zero."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from danlu.artifact import Store
from danlu.cli.main import main
from danlu.eval.ask import evaluate
from danlu.eval.cache import Cache
from danlu.eval.harness import load_tasks
from danlu.eval.results import read_results, read_samples
from danlu.model.endpoint_model import EndpointModel

COUNT = 24
TASK = """\
task: sums
dataset_path: sums
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["。"], max_gen_toks: 16}
metric_list: [{metric: exact_match}]
"""


class Server:
    """Answers `a+1=？` rightly, as `behave` (the question's number → status, or seconds to wait) lets it; `seen` counts
    the times that each question came."""

    def __init__(self) -> None:
        self.seen: Counter[int] = Counter()
        self.behave: Callable[[int], int | float | str] = lambda number: 200
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                number = int(body["prompt"].split("+")[0])
                server.seen[number] += 1
                how = server.behave(number)
                if isinstance(how, float):
                    time.sleep(how)
                text = f"{number + 1}。還有別的" if how != "nonsense" else None
                said = {"choices": [{"text": text, "finish_reason": "stop"}], "usage": {"completion_tokens": 3}}
                self._send(how if isinstance(how, int) else 200, said)

            def _send(self, status: int, said: object) -> None:
                data = json.dumps(said).encode()
                try:
                    self.send_response(status)
                    self.send_header("content-length", str(len(data)))
                    self.send_header("retry-after", "0")
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    pass  # whoever asked is gone

            def log_message(self, *_: object) -> None:
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server():
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def sums(tmp_path: Path, monkeypatch) -> Path:
    """A folder with a task of sums and its data; the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "sums").mkdir(parents=True)
    (tmp_path / "sums.yaml").write_text(TASK, encoding="utf-8")
    rows = [{"question": f"{at}+1=？", "answer": str(at + 1)} for at in range(COUNT)]
    (tmp_path / "data" / "sums" / "test.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return tmp_path


def words(server: Server, store: str = "store") -> list[str]:
    name = f"endpoint:{server.url}#m"
    return ["eval", name, "--tasks", "sums.yaml", "--data", "data", "--store", store, "--quiet"]


def test_rate_limits_and_server_errors_are_counted_and_mended_by_the_next_run(server, sums, capsys) -> None:
    server.behave = {3: 429, 5: 500, 6: 503}.get  # type: ignore[assignment]
    assert main(words(server)) == 1
    told = capsys.readouterr().out
    assert "sums: 1 of 24 questions have no score: rate-limited" in told
    assert "sums: 2 of 24 questions have no score: server-error" in told
    (artifact,) = Store(sums / "store").all()
    (task,) = read_results(artifact.path).tasks
    assert (task.came, task.scores[0].n, task.scores[0].value) == (24, 21, 1.0)
    assert [sample.failed for sample in read_samples(artifact.path, "sums")][3:7] == [
        "rate-limited", "", "server-error", "server-error",
    ]  # fmt: skip
    server.behave, server.seen = lambda number: 200, Counter()
    assert main(words(server)) == 0
    assert server.seen == Counter({3: 1, 5: 1, 6: 1}), "only what failed is asked again"
    (mended,) = Store(sums / "store").all()
    assert mended.id == artifact.id
    (task,) = read_results(mended.path).tasks
    assert (task.failures, task.scores[0].n, task.scores[0].value) == ({}, 24, 1.0)
    server.seen = Counter()
    assert main(words(server)) == 0
    assert not server.seen, "what is whole is not asked again"


def test_timeouts_and_nonsense_are_counted(server, sums) -> None:
    server.behave = {2: 1.5, 4: "nonsense"}.get  # type: ignore[assignment]
    model = EndpointModel(server.url, "m", timeout=0.5, retries=1, sleep=lambda seconds: None)
    tasks = load_tasks(["sums.yaml"], data=sums / "data")
    with Cache(sums / "cache") as cache:
        (first,) = evaluate(model, tasks, cache=cache)
        assert first.result.failures == {"timeout": 1, "unreadable": 1}
        assert (server.seen[2], server.seen[4], server.seen[7]) == (2, 2, 1)
        assert first.result.scores[0].n == 22
        server.behave = lambda number: 200
        (second,) = evaluate(model, tasks, cache=cache)
    model.close()
    assert second.result.failures == {}
    assert sum(server.seen.values()) == 22 + 2 * 2 + 2


def test_an_endpoint_that_only_fails_is_an_error_and_no_table(server, sums, capsys) -> None:
    server.behave = lambda number: 429
    assert main(words(server)) == 8
    told = capsys.readouterr()
    assert told.out == ""
    assert "every question failed" in told.err
    assert "rate-limited 24" in told.err
    assert Store(sums / "store").all() == []


def test_an_endpoint_that_is_not_there_is_one_clear_error(sums, monkeypatch, capsys) -> None:
    import danlu.model.endpoint_model as module

    monkeypatch.setattr(module.random, "uniform", lambda low, high: 0.0)
    name = "endpoint:http://127.0.0.1:9/v1#m"
    assert main(["eval", name, "--tasks", "sums.yaml", "--data", "data", "--store", "store", "--quiet"]) == 8
    assert "Traceback" not in capsys.readouterr().err


def test_killed_at_any_moment_the_same_command_goes_on(server, sums) -> None:
    server.behave = lambda number: 0.06
    command = [sys.executable, "-m", "danlu", *words(server), "--at-once", "2", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    draw, kills = random.Random(8), 0
    for wanted in (5, 14):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        while len(server.seen) < wanted and process.poll() is None:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.1))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
    last = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert last.returncode == 0, last.stderr
    assert kills == 2
    assert len(server.seen) == COUNT
    assert sum(server.seen.values()) - COUNT <= 2 * kills, "asked twice: no more than were in flight at each kill"
    server.behave = lambda number: 200
    calm = subprocess.run(
        [*command[:3], *words(server, "calm"), "--json"], capture_output=True, text=True, env=environment
    )
    (told,), (expected,) = json.loads(last.stdout), json.loads(calm.stdout)
    assert told["tasks"] == expected["tasks"]
    (one,), (other,) = Store(sums / "store").all(), Store(sums / "calm").all()
    assert one.content == other.content
