"""The chat page in a real browser, with every way out but loopback shut.

`DANLU_SCREENSHOTS=1` keeps the pictures in docs/; else they go to pytest's temporary folder.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from danlu.model.chat import Delta
from danlu.model.fake import Scripted
from danlu.serve.app import make_app
from danlu.serve.page import mount, sources_html

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DOCS = Path(__file__).parent.parent.parent / "docs"
QUESTION = "訪客停車怎麼收費？"
TRUTH = "訪客停車前三十分鐘免費，之後每小時收費四十元，當日最高二百四十元。"
HOSTILE = (
    "![x](https://evil.example/x.png)<img src='https://evil.example/y.png'><script>document.title='hacked'</script>"
)
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run", "--disable-default-apps", "--lang=zh-TW"),
]


def app(chat: Any, key: str | None = None) -> Any:
    made = make_app(chat, "tutor", key=key)
    mount(made, key=key, examples=[QUESTION, "玉山有多高？"])
    return made


@pytest.fixture(scope="module")
def address(searcher: Any, running: Callable[[Any], Any]) -> Iterator[str]:
    from danlu.rag.answer import Assistant

    model = Scripted({"注入": HOSTILE, QUESTION: f"{TRUTH}圖書室也提供免費的咖啡與點心。"})

    class Both:
        """The assistant, and the bare model for a question about injection."""

        def stream(self, messages: Any, options: Any) -> Iterator[Delta]:
            chat = model if "注入" in messages[-1].content else Assistant(model, searcher)
            return chat.stream(messages, options)

    with running(app(Both())) as where:
        yield where


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: the page is not tested in a browser")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that may load from loopback only; `page.outside` lists what it tried beside that."""
    context = browser.new_context(locale="zh-TW", viewport={"width": 1280, "height": 860})
    page = context.new_page()
    page.outside = []

    def guard(route: Any) -> None:
        address = urlsplit(route.request.url)
        if address.scheme in ("data", "blob") or address.hostname in ("127.0.0.1", "localhost"):
            route.continue_()
        else:
            page.outside.append(route.request.url)
            route.abort()

    context.route("**/*", guard)
    yield page
    context.close()


def ask(page: Any, question: str) -> None:
    page.fill("#question textarea", question)
    page.press("#question textarea", "Enter")


def picture(page: Any, name: str, tmp_path: Path) -> None:
    folder = DOCS if os.environ.get("DANLU_SCREENSHOTS") == "1" else tmp_path
    folder.mkdir(exist_ok=True)
    page.screenshot(path=folder / name)


def test_a_question_gets_a_cited_answer_and_nothing_is_loaded_from_outside(
    page: Any, address: str, searcher: Any, tmp_path: Path
) -> None:
    page.goto(address)
    page.wait_for_selector("#question textarea", timeout=60_000)
    assert page.evaluate("document.documentElement.lang") == "zh-Hant-TW"
    ask(page, QUESTION)
    page.wait_for_selector("#sources .dl-mode", timeout=60_000)
    assert f"{TRUTH}[1]" in page.inner_text("#talk")
    assert "咖啡" not in page.inner_text("#talk")
    panel = page.inner_text("#sources")
    assert "依據文件回答" in panel
    assert "有 1 句話在文件中找不到依據" in panel
    quote = page.inner_text("#sources blockquote")
    start, end = map(int, re.search(r"第 (\d+)–(\d+) 字元", panel).groups())  # type: ignore[union-attr]
    assert searcher.documents["停車場.md"].text[start:end] == quote == TRUTH
    picture(page, "chat-page.png", tmp_path)
    ask(page, "玉山有多高？")
    page.wait_for_selector("#sources .dl-refused", timeout=60_000)
    assert "文件中沒有提到這個問題的答案" in page.inner_text("#talk")
    page.click("#clear")
    page.wait_for_function("!document.querySelector('#talk').innerText.includes('玉山')")
    assert page.outside == []


def test_what_a_model_says_runs_nothing_and_loads_nothing(page: Any, address: str) -> None:
    page.goto(address)
    page.wait_for_selector("#question textarea", timeout=60_000)
    ask(page, "注入")
    page.wait_for_function("document.querySelector('#talk').innerText.length > 10", timeout=60_000)
    page.wait_for_timeout(500)
    assert page.title() == "丹爐助理"
    assert page.outside == []


def test_an_error_is_shown(browser: Any, page: Any, running: Callable[[Any], Any]) -> None:
    from danlu.errors import ModelError

    with running(app(Scripted([ModelError("模型停止了", where="/secret/x.gguf")]))) as where:
        page.goto(where)
        page.wait_for_selector("#question textarea", timeout=60_000)
        ask(page, "你好")
        page.wait_for_selector("text=模型停止了", timeout=60_000)
        assert "/secret" not in page.content()


def test_the_html_loads_nothing_from_outside(address: str) -> None:
    text = httpx.get(address, trust_env=False).text
    loading = re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*(?:src|href)\s*=\s*[\"']?([^\"'\s>]+)", text)
    assert loading
    assert [found for found in loading if found.startswith(("http", "//"))] == []
    assert not re.search(r"fonts\.(?:googleapis|gstatic)|cdnjs|jsdelivr|unpkg|gradio\.live|google-analytics", text)


def test_with_a_key_the_page_asks_for_it(running: Callable[[Any], Any]) -> None:
    with running(app(Scripted(["好"]), key="page-key")) as where, httpx.Client(trust_env=False) as client:
        config = client.get(f"{where}/config")
        assert config.status_code == 401
        assert client.post(f"{where}/login", data={"username": "danlu", "password": "wrong"}).status_code == 400
        assert client.post(f"{where}/login", data={"username": "danlu", "password": "page-key"}).status_code == 200
        assert client.get(f"{where}/config").status_code == 200
        assert "page-key" not in client.get(where).text


def test_sources_are_escaped() -> None:
    source = {"n": 1, "title": "<b>", "headings": ["<i>"], "start": 0, "end": 1, "source": "<u>", "quote": "<script>"}
    made = sources_html(Delta(sources=[source], grounding={"mode": "quoted", "unsupported": 0}))
    assert not any(tag in made for tag in ("<b>\n", "<i>", "<u>", "<script>"))
    assert "&lt;script&gt;" in made
