from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from library import documents, index

from danlu.artifact import Artifact, Store
from danlu.errors import DataError, ModelError, StorageError
from danlu.rag.index import words
from danlu.rag.search import Searcher, evidence
from danlu.rag.words import content_words
from danlu.records import Document

INSIDE = [
    ("書可以借多久？", "借期為二十一天"),
    ("雜誌可以帶回家看嗎", "漫畫與雜誌僅供館內閱覽"),
    ("圖書室星期幾休息？", "週一休館"),
    ("逾期還書要罰多少錢", "逾期每本每日收取滯納金三元"),
    ("書弄丟了怎麼賠償？", "書本遺失時"),
    ("訪客停車怎麼收費", "訪客停車前三十分鐘免費"),
    ("EV-7K 充一度電多少錢？", "每度電收費 6.5 元"),
    ("機車要停在哪裡", "機車請停放於地下一樓東側"),
    ("跑步機一次可以用多久", "跑步機以三十分鐘為限"),
    ("幾歲可以進健身房？", "年滿十六歲"),
]
OUTSIDE = [
    *("玉山有多高？", "牛肉麵的湯頭怎麼熬", "法國的首都在哪裡", "明天台北會下雨嗎？", "誰寫了紅樓夢"),
    *("Kubernetes 的 ingress 怎麼設定", "如何挑選西瓜？", "貝多芬寫了幾首交響曲", "怎麼申請護照", "水的沸點是幾度？"),
]


def test_the_passage_that_answers_is_found(searcher: Searcher) -> None:
    ranks = []
    for question, answer in INSIDE:
        hits = searcher.search(question, 3)
        ranks.append(next((rank for rank, hit in enumerate(hits, 1) if answer in hit.chunk.text), 99))
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert sum(rank <= 3 for rank in ranks) == len(INSIDE), ranks
    assert sum(rank == 1 for rank in ranks) >= 8, ranks


def test_the_threshold_parts_what_the_documents_answer_from_what_they_do_not(searcher: Searcher) -> None:
    inside = [evidence(searcher.search(question, 3)) for question, _ in INSIDE]
    outside = [evidence(searcher.search(question, 3)) for question in OUTSIDE]
    assert sum(value >= 0.5 for value in inside) >= 9, inside
    assert sum(value < 0.5 for value in outside) >= 9, outside


def test_an_exact_code_is_found_by_the_full_text(searcher: Searcher) -> None:
    best = searcher.search("EV-7K", 1)[0]
    assert "EV-7K" in best.chunk.text
    assert best.bm25 > 0
    assert best.coverage == 1.0


def test_cosine_is_the_product_of_the_vectors(searcher: Searcher) -> None:
    from danlu.rag.index import headed

    for hit in searcher.search("訪客停車怎麼收費", 5):
        question = searcher.embedder.query(["訪客停車怎麼收費"])[0]
        passage = searcher.embedder.passage([headed(hit.chunk)])[0]
        assert hit.cosine == pytest.approx(float(question @ passage), abs=2e-3)
        assert 0 <= hit.coverage <= 1


def test_many_threads_find_the_same(searcher: Searcher) -> None:
    questions = [question for question, _ in INSIDE] * 2
    alone = [searcher.search(question, 3) for question in questions]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda question: searcher.search(question, 3), questions)) == alone


@pytest.mark.parametrize("question", ["", "？", "嗎", "*", "a" * 5000, '"AND OR (', "\0"])
def test_odd_questions_are_only_poor_ones(searcher: Searcher, question: str) -> None:
    assert evidence(searcher.search(question, 3)) < 0.5


def test_content_words_leave_the_asking_out() -> None:
    assert content_words("請問什麼是 LoRA 呢？") == ["lora"]
    assert content_words("訪客停車怎麼收費？") == ["訪客", "客停", "停車", "收費"]


def test_made_again_it_has_the_same_content(store: Store, indexed: Artifact) -> None:
    again = index(store, documents(), "again")
    assert again.content == indexed.content
    assert {name for name in again.manifest["files"] if "/" not in name} == {
        *("documents.jsonl", "chunks.jsonl", "words.json", "index.json", "dropped.jsonl"),
    }


def test_the_funnel_counts_every_character(indexed: Artifact) -> None:
    (characters,) = [entry for entry in indexed.manifest["report"] if entry.get("unit") == "characters"]
    assert characters["came"] == sum(len(document.text) for document in documents())


def test_no_white_space_in_words(searcher: Searcher) -> None:
    assert all(not word.split()[1:] and word.strip() == word for chunk in searcher.chunks for word in words(chunk))


def _copy(indexed: Artifact, folder: Path) -> Path:
    return Path(shutil.copytree(indexed.path, folder / "index"))


@pytest.mark.parametrize(("field", "message"), [("tokenizer", "another tokenizer"), ("embedder", "was made with")])
def test_an_index_of_other_tools_is_refused(indexed: Artifact, tmp_path: Path, field: str, message: str) -> None:
    folder = _copy(indexed, tmp_path)
    facts = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**facts, field: "other"}))
    with pytest.raises(ModelError, match=message) as caught:
        Searcher(folder)
    assert "--force index" in str(caught.value)


@pytest.mark.parametrize("name", ["index.json", "chunks.jsonl", "words.json", "documents.jsonl", "lance"])
def test_a_damaged_index_is_named(indexed: Artifact, tmp_path: Path, name: str) -> None:
    folder = _copy(indexed, tmp_path)
    if (folder / name).is_dir():
        shutil.rmtree(folder / name)
    else:
        (folder / name).unlink()
    with pytest.raises(StorageError, match=r"missing|cannot be opened"):
        Searcher(folder)


def test_nothing_to_search(tmp_path: Path) -> None:
    empty = [Document(id="a", text="```\ncode\n```", source="a", format="markdown")]
    with pytest.raises(DataError, match="no text"):
        index(Store(tmp_path), empty)


def test_a_document_without_a_passage_is_kept_among_the_dropped(tmp_path: Path) -> None:
    books = [*documents(), Document(id="空", text="# 只有標題\n", source="空.md", format="markdown")]
    made = index(Store(tmp_path), books)
    assert '"no-passage"' in made.file("dropped.jsonl").read_text()


@pytest.mark.parametrize(
    ("heading", "is_one"),
    [("延伸閱讀", True), ("8. 參考資料", True), ("References", True), ("參考資料的寫法", False), ("閱讀測驗", False)],
)
def test_a_list_of_things_to_read_is_told_by_its_heading(heading, is_one):
    from danlu.rag.search import is_reading_list
    from danlu.records import Chunk

    chunk = Chunk(id="1", document="d", source="s", text="x", start=0, end=1, headings=["LoRA", heading])
    assert is_reading_list(chunk) is is_one
