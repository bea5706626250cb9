"""The board of all models: what is compared with what, ranks that admit ties, and the page in a real browser.

`DANLU_SCREENSHOTS=1` keeps the picture in docs/; else it goes to pytest's temporary folder.
"""

import json
import os
import random
import re
import shutil
from pathlib import Path

import pytest

from danlu.eval.leaderboard import board, interval, render
from danlu.eval.page import number, places, plus_minus, ticks
from danlu.eval.stored import all_results

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DOCS = Path(__file__).parent.parent.parent / "docs"
HOSTILE = "</script><script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">'\"&${1}$x"


def drawn(seed, share, count):
    chance = random.Random(seed)
    return [float(chance.random() < share) for _ in range(count)]


def column(made, name):
    task, metric = name.split(".")
    return [one for one in made.columns if (one.task, one.metric) == (task, metric)]


@pytest.fixture
def three(lab):
    """Three models: two alike, one far better, on one task."""
    for name, share in (("alike-1", 0.50), ("alike-2", 0.52), ("far", 0.95)):
        lab.keep(name, [(lab.task("tmmluplus"), lab.samples(drawn(name, share, 200), subjects=["物理", "歷史"]))])
    return board(all_results(lab.store))


def test_ranks_are_ranges_where_intervals_overlap(three):
    (only,) = three.columns
    ranks = {row.name: row.cells[only].rank for row in three.rows}
    assert ranks == {"far": (1, 1), "alike-1": (2, 3), "alike-2": (2, 3)}
    assert three.rows[0].name == "far"


def test_a_rank_never_contradicts_the_intervals(lab):
    for place in range(8):
        better = "lower" if place % 2 else "higher"
        task = lab.task("ppl")
        samples = lab.samples(drawn(place, 0.1 * place + 0.1, 60))
        score = lab.score("acc", samples, better="lower")
        lab.keep(f"m{place}", [(task.model_copy(update={"scores": [score]}), samples)], facts={"backend": better})
    made = board(all_results(lab.store))
    (only,) = made.columns
    cells = [row.cells[only] for row in made.rows]
    for one in cells:
        surely_better = sum(interval(other.score)[1] < interval(one.score)[0] for other in cells)
        assert one.rank[0] == surely_better + 1
        assert one.rank[0] <= one.rank[1] <= len(cells)


def test_all_wrong_of_few_is_not_surely_worse(lab):
    from danlu.eval.statistics import wilson

    for name, right in (("none", 0), ("some", 2), ("all", 12)):
        lab.keep(name, [(lab.task("t"), lab.samples([1.0] * right + [0.0] * (12 - right)))])
    made = board(all_results(lab.store))
    cells = {row.name: row.cells[made.columns[0]] for row in made.rows}
    assert cells["none"].score.stderr == 0
    assert interval(cells["none"].score) == pytest.approx(wilson(0, 12))
    assert interval(cells["all"].score) == pytest.approx(wilson(12, 12))
    assert {name: cell.rank for name, cell in cells.items()} == {"all": (1, 1), "some": (2, 3), "none": (2, 3)}


def test_other_versions_and_shots_are_other_columns(lab):
    for place, changed in enumerate(({}, {"shots": 0}, {"version": "2"})):
        lab.keep(f"m{place}", [(lab.task("drcd", **changed), lab.samples([1.0, 0.0, 1.0]))])
    made = board(all_results(lab.store))
    assert len(column(made, "drcd.acc")) == 3
    assert all(len(row.cells) == 1 for row in made.rows)


def test_what_else_differs_is_marked(lab):
    same = lab.samples(drawn(1, 0.5, 20))
    for name in ("one", "two"):
        lab.keep(name, [(lab.task("drcd", prompt="p", data={"digest": "d"}), same)])
    odd = lab.task("drcd", prompt="q", data={"digest": "e"}, seed=7, failures={"timeout": 3})
    lab.keep("odd", [(odd, same[:15])])
    made = board(all_results(lab.store))
    marks = {row.name: row.cells[made.columns[0]].marks for row in made.rows}
    assert marks["one"] == marks["two"] == ()
    assert marks["odd"] == ("題數不同", "資料不同", "提問不同", "種子不同", "3 題失敗")
    page = render(made)
    for mark in marks["odd"]:
        assert mark in page


def test_the_latest_result_of_a_measurement_counts_and_weights_do_not_mix(lab):
    lab.keep("m", [(lab.task("drcd"), lab.samples([0.0] * 9 + [1.0]))])
    lab.keep("m", [(lab.task("drcd"), lab.samples([1.0] * 9 + [0.0]))])
    lab.keep("m", [(lab.task("drcd"), lab.samples([0.0, 1.0] * 5))], fingerprint="other")
    lab.keep("m", [(lab.task("drcd"), lab.samples([0.0, 1.0] * 5))], facts={"backend": "llama.cpp"})
    made = board(all_results(lab.store))
    assert made.replaced == 1
    values = sorted(row.cells[made.columns[0]].score.value for row in made.rows)
    assert values == [0.5, 0.5, 0.9]


def test_data_cannot_break_out_of_the_page(lab):
    task = lab.task("drcd", title=HOSTILE)
    samples = lab.samples([1.0, 0.0, 1.0, 1.0], subjects=[HOSTILE, "好"])
    lab.keep(HOSTILE, [(task, samples)], facts={"backend": HOSTILE})
    page = render(board(all_results(lab.store)))
    assert page.count("<script>") == 1
    assert "<img" not in page
    assert "&lt;img" in page
    assert not re.search(r"https?://(?!www\.w3\.org)", page)


def test_the_page_is_the_same_bytes(three):
    assert render(three) == render(three)


def test_json_is_plain(three):
    told = json.loads(json.dumps(three.as_json(), ensure_ascii=False))
    assert {one["name"] for one in told["models"]} == {"alike-1", "alike-2", "far"}
    assert all(score["n"] == 200 and score["stderr"] > 0 for one in told["models"] for score in one["scores"])


def test_numbers_are_as_precise_as_their_errors():
    assert plus_minus(0.43219, 0.0123) == "0.432 ± 0.012"
    assert plus_minus(12.3456, 2.5) == "12.3 ± 2.5"
    assert plus_minus(12345.6, 250.0) == "12,346 ± 250"
    assert number(float("nan")) == "–"
    assert places(None, 0.0) == 3
    assert ticks(0.0, 1.0) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(0.23, 0.31) == [0.24, 0.26, 0.28, 0.3]


@pytest.fixture
def full(lab):
    """Five models on four tasks, as a store may hold them. All numbers are drawn."""
    subjects = ["物理", "化學", "臺灣歷史", "會計學", "資訊安全", "中醫診斷學", "國文", "地理"]
    strength = {"demo-270m": 0.27, "demo-270m-tutor": 0.34, "demo-135m": 0.25, "demo-1b": 0.44}
    easy = {"物理": -0.05, "國文": 0.12, "臺灣歷史": 0.08, "資訊安全": 0.1}

    def right(name, share, count):
        chance = random.Random(name)
        return [float(chance.random() < share + easy.get(subjects[at % 8], 0.0)) for at in range(count)]

    for name, share in {**strength, "demo-7b": 0.58}.items():
        count = 160 if name == "demo-1b" else 400
        data = {"digest": "ab12", "source": "demo"}
        tmmlu = lab.task("tmmluplus", title="臺灣的多學科選擇題", data=data, prompt="p")
        span = [min(1.0, share + 0.3) * random.Random(f"{name}{at}").random() ** 0.5 for at in range(150)]
        usage = [abs(random.Random(f"u{name}{at}").gauss(2.4 - 3 * share, 0.9)) for at in range(80)]
        usual = lab.task("taiwan_usage", "hits", kind="generate_until", shots=0, title="臺灣用語")
        hits = lab.samples(usage, "hits")
        scores = [lab.score("hits", hits, better="lower", unit="hits per 1,000 characters")]
        tasks = [
            (tmmlu, lab.samples(right(name, share, count), subjects=subjects)),
            (lab.task("drcd", "f1", kind="generate_until", shots=1), lab.samples(span, "f1")),
            (usual.model_copy(update={"scores": scores, "came": 80}), hits),
        ]
        if name != "demo-7b":
            version = "2" if name == "demo-135m" else "1"
            task = lab.task("belebele", version=version, shots=0, failures={"too-long": 2} if version == "2" else {})
            tasks.append((task, lab.samples(right(f"b{name}", share, 200))))
        facts = {"backend": "llama.cpp q4_k_m" if name == "demo-7b" else "transformers 5", "dtype": "bfloat16"}
        lab.keep(name, tasks, facts=facts, fingerprint=f"{random.Random(name).getrandbits(64):016x}")
    return board(all_results(lab.store))


def test_a_reader_sorts_filters_and_toggles(full, tmp_path):
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: the page is not tested in a browser")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    file = tmp_path / "leaderboard.html"
    file.write_text(render(full), encoding="utf-8")
    asked, wrong = [], []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 1500}, locale="zh-TW")
        page.route("**/*", lambda route: route.continue_() if route.request.url.startswith("file:") else route.abort())
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(file.as_uri())
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            folder = DOCS if os.environ.get("DANLU_SCREENSHOTS") == "1" and scheme == "light" else tmp_path
            page.screenshot(path=folder / ("leaderboard.png" if scheme == "light" else "leaderboard-dark.png"))
        heads = page.locator("#board thead th")
        place = {one.task: at for at, one in reversed(list(enumerate(full.columns, 1)))}

        def values(at):
            cells = [row.nth(at - 1) for row in (r.locator("td") for r in page.locator("#board tbody tr").all())]
            return [cell.get_attribute("data-value") for cell in cells]

        tmmlu, hits, belebele = place["tmmluplus"], place["taiwan_usage"], place["belebele"]
        heads.nth(tmmlu).locator("button").click()
        assert heads.nth(tmmlu).get_attribute("aria-sort") == "descending"
        assert page.locator("#board tbody th").first.inner_text().startswith("demo-7b")
        found = [float(value) for value in values(tmmlu)]
        assert found == sorted(found, reverse=True)
        heads.nth(tmmlu).locator("button").click()
        assert [float(value) for value in values(tmmlu)] == sorted(found)
        heads.nth(hits).locator("button").click()
        assert heads.nth(hits).get_attribute("aria-sort") == "ascending"
        assert heads.nth(tmmlu).get_attribute("aria-sort") == "none"
        heads.nth(belebele).locator("button").click()
        told = values(belebele)
        assert [value is None for value in told] == sorted(value is None for value in told), "missing ones come last"
        heads.nth(0).locator("button").click()
        names = [text.split("\n")[0] for text in page.locator("#board tbody th").all_inner_texts()]
        assert names == ["demo-1b", "demo-7b", "demo-135m", "demo-270m", "demo-270m-tutor"]
        page.fill("#search", "DEMO-270")
        assert page.locator("#board tbody tr:visible").count() == 2
        page.fill("#search", "")
        page.locator("[data-show=drcd]").click()
        assert page.locator("#board thead th:visible").count() == len(full.columns)
        dots = page.locator("g[data-model='0']")
        assert dots.first.is_visible()
        page.locator("button[data-model='0']").click()
        assert not dots.first.is_visible()
        assert page.title() == "模型排行榜 — Danlu"
        browser.close()
    assert [url for url in asked if not url.startswith("file:")] == []
    assert wrong == []
