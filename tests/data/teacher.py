"""An OpenAI-compatible server on loopback for tests: its answers depend on the request alone; it counts, is now and
then slow, and fails as it is told. It holds no model.

    with Teacher() as teacher:
        steps("data.ask", chat=teacher.chat, …)

`asked` counts the requests by their body (its digest), `answered` the answers that were written out whole.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from danlu.data.judge import CRITERIA

_WORDS = (
    *("颱風", "潮汐", "稻米", "電池", "腳踏車", "圖書館", "選舉", "疫苗", "火山", "音階"),
    *("保險", "蜜蜂", "橋梁", "望遠鏡", "發票", "茶葉", "海報", "語法", "病毒", "帳篷"),
)
_ASKS = (
    "請說明{0}和{1}的關係，並舉出{2}的例子。",
    "比較{0}與{1}，哪一個更像{2}？",
    "寫一封關於{0}的信給研究{1}的朋友，提到{2}。",
)


class Teacher:
    """`fail(number)` says what becomes of the request of that number (from 0): a status, or None for an answer;
    `slow` are seconds per answer."""

    def __init__(self, fail: Callable[[int], int | None] = lambda number: None, slow: float = 0.0) -> None:
        self.fail, self.slow = fail, slow
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.bodies: dict[str, dict[str, Any]] = {}
        self.texts: dict[str, str] = {}
        self.statuses: Counter[int] = Counter()
        self.keys: set[str] = set()
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def chat(self) -> str:
        return f"endpoint:http://127.0.0.1:{self._server.server_address[1]}/v1#teacher"

    def __enter__(self) -> Teacher:
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def received(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        name = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        with self.lock:
            number = self.asked.total()
            self.asked[name] += 1
            self.bodies[name] = body
            self.keys.add(handler.headers.get("Authorization", ""))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.slow:
                time.sleep(self.slow * (1 + int(name[:2], 16) / 128))
            status = self.fail(number)
            self.statuses[status or 200] += 1
            if status is not None:
                _refuse(handler, status)
                return
            text = answer(body)
            self.texts[text] = name
            _stream(handler, body, text)
            with self.lock:
                self.answered[name] += 1
        except (BrokenPipeError, ConnectionResetError):
            pass  # whoever asked was killed
        finally:
            with self.lock:
                self.at_once -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        teacher = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                try:
                    body = json.loads(self.rfile.read(length))
                except (OSError, ValueError):
                    return
                teacher.received(self, body)

            def log_message(self, format: str, *args: object) -> None:
                return

        return Handler


def answer(body: dict[str, Any]) -> str:
    """An answer in the shape that the request's schema asks for, drawn by the hash of the request."""
    asked = body["messages"][-1]["content"]
    seed = int(hashlib.sha256(json.dumps([body["messages"], body["seed"]]).encode()).hexdigest()[:12], 16)

    def word(at: int) -> str:
        return _WORDS[(seed >> (5 * at)) % len(_WORDS)]

    def instruction(at: int) -> str:
        return _ASKS[(seed >> at) % len(_ASKS)].format(word(at), word(at + 1), f"{word(at + 2)}{seed % 9973 + at}")

    schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
    wanted = set(schema.get("properties", {}))
    if wanted == {"instruction"}:
        return _json({"instruction": instruction(0)})
    if wanted == {"same"}:
        mark = "".join(" \t"[seed >> at & 1] for at in range(40))  # white space that tells the answers apart
        return _json({"same": seed % 5 == 0}) + mark
    if wanted == {"translation"}:
        return _json({"translation": asked.partition("原文：\n")[2].partition("\n\n輸出格式")[0]})
    if wanted == {"reason", "scores"}:
        return _json({"reason": f"理由 {seed}", "scores": dict.fromkeys(CRITERIA, seed % 5 + 1)})
    if wanted == {"items"} and "instruction" in json.dumps(schema):
        count = int(re.search(r"想出 (\d+) 個", asked)[1])  # type: ignore[index]
        return _json({"items": [{"instruction": instruction(at), "input": ""} for at in range(count)]})
    if wanted == {"items"}:
        text = asked.partition("文件：\n")[2].partition("\n\n輸出格式")[0]
        quote = text[seed % max(1, len(text) - 12) :][:12]
        return _json({"items": [{"question": f"{word(0)}是什麼？{seed}", "answer": quote, "quote": quote}]})
    return f"關於這個問題，{word(0)}與{word(1)}都很重要。編號 {seed}。"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _refuse(handler: BaseHTTPRequestHandler, status: int) -> None:
    data = json.dumps({"error": {"message": f"told to answer {status}"}}).encode()
    handler.send_response(status)
    if status == 429:
        handler.send_header("Retry-After", "0")
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


def _stream(handler: BaseHTTPRequestHandler, body: dict[str, Any], text: str) -> None:
    usage = {"prompt_tokens": sum(len(m["content"]) for m in body["messages"]), "completion_tokens": len(text)}
    events: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": {"content": text[at : at + 40]}, "finish_reason": None}]}
        for at in range(0, len(text), 40)
    ]
    events += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": usage}]
    data = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.end_headers()
    handler.wfile.write(data.encode())
    handler.wfile.flush()
