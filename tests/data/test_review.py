"""review.html: what it shows, that data cannot break out of it, and a reviewer at work in a real browser."""

import json
import shutil

import pytest

from danlu.data import review
from danlu.data.flow import EXCERPT, Tally
from danlu.data.review import read_decisions, wilson
from danlu.records import Document

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "</script><script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">'\"&${1}$x"


def tally(count=3):
    made = Tally(most=2)
    for i in range(count):
        made.came += 2
        made.kept += 1
        made.sample(Document(id=f"好{i}", source=f"folder/{i}", text=f"第{i}篇\n\n{HOSTILE}"))
        made.reasons["too-short"] += 1
        made.sample(Document(id=f"<b>{i}'\"", source=HOSTILE, text="短" * (EXCERPT + i)), "too-short", HOSTILE)
    return made


def test_the_page_is_the_same_bytes_and_shows_no_more_than_asked():
    one, other = review.page(tally()), review.page(tally())
    assert one == other
    assert one.count("<article") == 4
    assert "3 documents kept" in one
    assert "3 documents dropped" in one


def test_data_is_escaped():
    page = review.page(tally())
    assert page.count("<script>") == 1
    assert "<img" not in page
    assert "<b>0" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_wilson_against_the_textbook():
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(8, 10)
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)
    assert wilson(10, 10)[1] == 1.0


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: the page is not tested in a browser")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def test_a_reviewer_decides_downloads_and_the_filter_follows(browser, steps, opened, tmp_path):
    texts = {
        "好文": f"{HOSTILE} 我們的模型在訓練的時候需要很多資料，這是第一篇，不是廣告。" * 2,
        "短文": "太短了。",
        "爛文": "短。",
    }
    documents = steps.documents(**texts)
    first = steps("data.filter", documents=documents, duplicate_ngrams=None, max_duplicate_lines=None, top_ngrams=None)
    assert [document.id for document in opened(first).documents] == ["好文"]
    context = browser.new_context(accept_downloads=True)
    page = context.new_page()
    asked, wrong = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto((first.path / "review.html").as_uri())
    assert page.title() == "Review — Danlu"
    assert page.locator("article").count() == 3
    assert page.inner_text("#count") == "0 / 3"
    page.locator("article", has_text="好文").get_by_role("button", name="Drop").click()
    for name in ("短文", "爛文"):
        page.locator("article", has=page.locator("h3", has_text=name)).get_by_role("button", name="Keep").click()
    bad = page.locator("article", has=page.locator("h3", has_text="爛文"))
    bad.get_by_role("button", name="Keep").click()
    assert page.inner_text("#count") == "2 / 3"
    bad.get_by_role("button", name="Drop").click()
    assert page.inner_text('[data-figure="too-short"]') == "Agreed: 1 of 2."
    with page.expect_download() as download:
        page.click("#download")
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert page.title() == "Review — Danlu"
    context.close()
    assert [url for url in asked if not url.startswith(("file:", "blob:"))] == []
    assert wrong == []
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert {row["id"]: row["decision"] for row in rows} == {"好文": "drop", "短文": "keep", "爛文": "drop"}
    assert {row["verdict"] for row in rows} == {"kept", "too-short"}
    assert read_decisions(path).keys() == texts.keys()
    second = opened(steps("data.filter", documents=documents, decisions=path))
    assert [document.id for document in second.documents] == ["短文"]
    assert {drop.id: drop.reason for drop in second.dropped} == {"好文": "reviewed", "爛文": "reviewed"}
