"""Every file of the shared data, of all kinds, and 60,005 law articles as one large source, from files to examples.

No file is left out. What no reader reads (sound, video, databases, old office formats, files without a suffix) is
`unsupported-format`. Pictures and scanned pages are `no-text-layer` here, as OCR takes a second or more for each; they
are read too, in some minutes, by: DANLU_OCR=1 pytest -s tests/data/test_shared_corpus.py
"""

import json
import os
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from one_step import Steps

pytestmark = pytest.mark.timeout(1200)

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
OCR = "DANLU_OCR" in os.environ
LAWS = "data/corpus/tw-law-large.jsonl.gz"
STAGES = (
    *("data.read", "data.boilerplate", "data.clean", "data.filter", "data.pii"),
    *("data.dedup", "data.decontaminate", "data.instruct"),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The artifact of each stage, by the word of its step."""
    if not SHARED.is_dir():
        pytest.skip("../shared/data is not here")
    steps = Steps(tmp_path_factory.mktemp("corpus") / "store")
    more = {"data.decontaminate": {"sets": [SHARED / "bench" / "tmmlu"]}}
    found = {"data.read": steps("data.read", paths=[SHARED], ocr=OCR)}
    for use in STAGES[1:]:
        found[use] = steps(use, documents=found[STAGES[len(found) - 1]], **more.get(use, {}))
    return found


def lines(artifact, name):
    with artifact.file(name).open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.fixture(scope="module")
def read(made):
    return SimpleNamespace(**{name: lines(made["data.read"], f"{name}.jsonl") for name in ("documents", "dropped")})


def test_the_funnel_adds_up_at_every_stage(made):
    before = None
    for use in STAGES:
        artifact = made[use]
        funnel = next(entry for entry in artifact.manifest["report"] if entry["type"] == "funnel")
        kept = "examples" if use == "data.instruct" else "documents"
        reasons = Counter(drop["reason"] for drop in lines(artifact, "dropped.jsonl"))
        print(f"{use}: {funnel['came']} came, {funnel['kept']} kept, {dict(sorted(reasons.items()))}")
        assert reasons == funnel["dropped"], use
        assert len(lines(artifact, f"{kept}.jsonl")) == funnel["kept"], use
        assert funnel["came"] == funnel["kept"] + sum(reasons.values()), use
        if use != "data.instruct":  # which counts examples
            assert before in (None, funnel["came"]), use
            before = funnel["kept"]
    assert funnel["kept"] > 1000


def test_every_file_is_read_or_named_with_its_reason(read):
    held = {f"data/{path.relative_to(SHARED).as_posix()}" for path in SHARED.rglob("*") if path.is_file()}
    told = {record["source"] for record in [*read.documents, *read.dropped]}
    assert told == held
    assert len(held) > 1600
    assert all(drop["reason"] for drop in read.dropped)


def test_no_reader_failed(read):
    """A reader's defect shows as one of these; a damaged file never does."""
    failed = [drop for drop in read.dropped if drop["reason"] in ("crashed", "too-slow", "too-large", "unreadable")]
    assert failed == []


def test_the_law_articles_are_all_there(read):
    articles = [document for document in read.documents if document["source"] == LAWS]
    assert len(articles) == 60_005
    assert [document["meta"]["lines"] for document in articles] == [[at, at] for at in range(1, 60_006)]
    assert all(document["meta"].get("date", "").count("-") == 2 for document in articles)


def test_each_document_says_where_it_is_from(read):
    ids = [record["id"] for record in [*read.documents, *read.dropped]]
    assert len({document["id"] for document in read.documents}) == len(read.documents)
    assert all(id == record["source"] or id.startswith(record["source"] + "#")
               for id, record in zip(ids, [*read.documents, *read.dropped], strict=True))  # fmt: skip
    assert all(len(document["meta"]["sha256"]) == 64 for document in read.documents)
    spanned = {"text", "markdown", "csv", "jsonl", "subtitles", "po", "pdf", "image"}
    for document in read.documents:
        if document["format"] in spanned:
            assert {"lines", "pages"} & set(document["meta"]), document["id"]
        for start, end in document["meta"].get("pages", []):
            assert 0 <= start <= end <= len(document["text"])


def test_every_kind_of_file_is_read(read):
    formats = {document["format"] for document in read.documents}
    wanted = "csv docx email html json jsonl markdown odt pdf po pptx subtitles text xlsx xml" + " image" * OCR
    assert formats >= set(wanted.split())
    closed = {Path(drop["source"]).suffix for drop in read.dropped if "OCR is off" in drop["detail"]}
    assert closed == (set() if OCR else {".jpg", ".jpeg", ".png", ".tiff", ".webp", ".pdf"})
