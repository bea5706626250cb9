"""data.dedup: a pure function of the set of documents, nothing dropped on an estimate, nothing quadratic."""

import random
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from danlu.data import dedup, flow
from danlu.data.core import core, folded, jaccard, ngrams, whole
from danlu.data.dedup import DedupSettings, bands
from danlu.errors import DataError
from danlu.records import Document

WORDS = "模型資料訓練評估量化部署檢索向量權重梯度損失遮罩提示詞彙"
SLOW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def here(monkeypatch):
    """All work in this process: what other processes do is the same, and they take seconds to start."""
    monkeypatch.setattr(flow, "cores", lambda: 1)


def passage(seed: int, length: int = 300) -> str:
    return "".join(random.Random(seed).choices(WORDS, k=length))


def changed(text: str, places: int, seed: int = 0) -> str:
    letters = list(text)
    chance = random.Random(f"{places} {seed}")
    for place in chance.sample(range(len(letters)), places):
        letters[place] = chr(chance.randrange(0x4E00, 0x9000))
    return "".join(letters)


def greedy(texts: dict[str, str], threshold: float = 0.8, length: int = 5) -> dict[str, tuple[str, float]]:
    """The rule by brute force: each document, in the order of the ids, against all that were kept; what says exactly
    the same as one before is told of as that one was."""
    kept: dict[str, set[str]] = {}
    drops = {}
    firsts: dict[str, str] = {}
    for id in sorted(texts):
        first = firsts.setdefault(core(texts[id]), id)
        if first in drops:
            drops[id] = drops[first]
            continue
        grams = ngrams(core(texts[id]), length)
        found = [(-jaccard(grams, other), name) for name, other in kept.items()]
        if found and -min(found)[0] >= threshold:
            drops[id] = (min(found)[1], -min(found)[0])
        else:
            kept[id] = grams
    return drops


def told(result) -> dict[str, str]:
    return {drop.id: drop.detail for drop in result.dropped}


def details(drops: dict[str, tuple[str, float]]) -> dict[str, str]:
    return {id: f"of {first}, similarity {value:.3f}" for id, (first, value) in drops.items()}


def test_exact_and_near_duplicates_are_named(steps, opened):
    text = passage(1)
    documents = steps.documents(
        a=text,
        b="# " + "，".join(text[at : at + 7] for at in range(0, 300, 7)) + "。\n",
        c=changed(text, 3),
        d=passage(2),
    )
    result = opened(steps("data.dedup", documents=documents))
    assert [document.id for document in result.documents] == ["a", "d"]
    drops = {drop.id: drop for drop in result.dropped}
    assert drops["b"].reason == "exact-duplicate"
    assert drops["b"].detail == "of a, similarity 1.000"
    assert drops["c"].reason == "near-duplicate"
    assert drops["c"].detail.startswith("of a, similarity 0.9")


words = st.text(st.sampled_from("甲乙丙 ，Aａé"), max_size=12)
edited = st.builds(lambda at, places: changed(passage(at, 60), places), st.integers(0, 2), st.integers(0, 4))
corpora = st.dictionaries(st.text("abAB甲乙", min_size=1, max_size=3), words | edited, min_size=1, max_size=16)


@SLOW
@given(texts=corpora, threshold=st.sampled_from([0.5, 0.7, 0.8, 0.95, 1.0]), length=st.sampled_from([1, 3, 5]))
def test_it_is_the_greedy_rule(steps, opened, texts, threshold, length):
    result = opened(steps("data.dedup", documents=steps.documents(**texts), threshold=threshold, ngram=length))
    assert told(result) == details(greedy(texts, threshold, length))
    assert [document.id for document in result.documents] == sorted(texts.keys() - told(result).keys())
    assert all(document.text == texts[document.id] for document in result.documents)


@SLOW
@given(data=st.data(), texts=corpora)
def test_neither_order_nor_sharding_matters(here, steps, data, texts):
    shuffled = data.draw(st.permutations(sorted(texts)))
    shards = [[] for _ in range(3)]
    for id in shuffled:
        shards[data.draw(st.integers(0, 2))].append(Document(id=id, text=texts[id], source="s"))
    whole_set = steps.documents(*(Document(id=id, text=texts[id], source="s") for id in sorted(texts)))
    one = steps("data.dedup", documents=whole_set)
    several = steps("data.dedup", documents=[steps.documents(*shard) for shard in shards])
    for name in ("documents.jsonl", "dropped.jsonl"):
        assert one.file(name).read_bytes() == several.file(name).read_bytes()


def family(count: int, seed: int = 0) -> dict[str, str]:
    """Passages of 100 to 400 characters, four edits of each."""
    chance = random.Random(seed)
    texts = {}
    for at in range(count // 5):
        text = passage(seed * 1000 + at, chance.randrange(100, 400))
        for edit in range(5):
            texts[f"{chance.randrange(10**9):09d}"] = changed(text, chance.randrange(0, 14) if edit else 0, edit)
    return texts


def test_no_planted_duplicate_is_missed_and_none_is_made_up(steps, opened):
    texts = family(1000)
    result = opened(steps("data.dedup", documents=steps.documents(**texts)))
    expected = details(greedy(texts))
    assert 300 < len(expected) < 800
    assert told(result) == expected


def test_several_processes_write_the_same_bytes(steps, monkeypatch):
    texts = family(300, seed=1)
    made = []
    for size in (4 * 2**20, 20_000):
        monkeypatch.setattr(dedup, "blocks", lambda path, size=size, cut=dedup.blocks: cut(path, size))
        monkeypatch.setattr(dedup, "_BATCH", size)
        monkeypatch.setattr(dedup, "_PART", size)
        monkeypatch.setattr(dedup, "_ALONE", 0)
        made.append(steps("data.dedup", documents=steps.documents(**texts), substring=20))
        monkeypatch.undo()
    assert made[0].manifest["content"] == made[1].manifest["content"]


def test_the_hash_seed_of_the_interpreter_does_not_matter(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from pathlib import Path; from one_step import Steps; from test_dedup import family;"
        "steps = Steps(Path(sys.argv[2])); made = steps('data.dedup', documents=steps.documents(**family(60)));"
        "print(made.manifest['content'])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / seed)],
            check=True, capture_output=True, text=True, env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin"},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(said) == 1
    assert len(said.pop()) == 65


def test_twenty_thousand_copies_of_one_form(here, steps, opened):
    form = passage(7, 120)
    chance = random.Random(0)
    documents = [
        Document(id=f"{at:05d}", text=form[: (cut := chance.randrange(120))] + f"{at:05d}" + form[cut:], source="s")
        for at in range(20_000)
    ]
    result = opened(steps("data.dedup", documents=steps.documents(*documents)))
    assert len(result.documents) == 1
    assert result.reasons == {"near-duplicate": 19_999}


def test_a_crowd_below_the_threshold_is_not_compared_pair_by_pair(steps, opened, monkeypatch):
    """Every two of them share more than half and less than the threshold: all stay, each after `MOST` looks."""
    from danlu.data import minhash

    monkeypatch.setattr(minhash, "MOST", 20)
    form = passage(8, 200)
    texts = {f"{at:03d}": changed(form, 8, at) for at in range(200)}
    result = opened(steps("data.dedup", documents=steps.documents(**texts), threshold=0.9))
    assert told(result) == details(greedy(texts, 0.9))


def test_the_most_alike_are_looked_at_first():
    from danlu.data.minhash import fewer, np

    votes = np.array([3, 1, 2, 3, 1, 2, 2], np.int32)
    found = np.array([6, 5, 4, 3, 2, 1, 0])
    assert found[: fewer(found, 7, votes, 4, 4)].tolist() == [0, 2, 3, 5]
    found = np.array([2, 0, 1])
    assert found[: fewer(found, 3, votes, 4, 3)].tolist() == [0, 1, 2]


def test_empty_and_short_documents(steps, opened):
    texts = {"a": "", "b": "", "c": "…", "d": "…", "e": "！", "f": "甲", "g": "甲。", "h": "甲乙丙丁", "i": " "}
    result = opened(steps("data.dedup", documents=steps.documents(**texts)))
    assert [document.id for document in result.documents] == ["a", "c", "e", "f", "h", "i"]
    assert result.reasons == {"exact-duplicate": 3}


def test_a_document_without_letters_is_compared_as_it_is(steps, opened):
    assert len(opened(steps("data.dedup", documents=steps.documents(a="🔥🔥", b="🎉", c="…"))).documents) == 3


def test_ten_megabytes_in_one_document(here, steps, opened):
    text = passage(3, 3_500_000)
    result = opened(steps("data.dedup", documents=steps.documents(a=text, b=changed(text, 9), c=passage(4))))
    assert [document.id for document in result.documents] == ["a", "c"]
    assert told(result) == {"b": "of a, similarity 1.000"}
    assert result.reasons == {"near-duplicate": 1}


def test_the_same_record_in_two_steps_is_one(here, steps, opened):
    a, b = Document(id="a", text="甲", source="x"), Document(id="b", text="乙", source="y")
    result = opened(steps("data.dedup", documents=[steps.documents(a, b), steps.documents(b)]))
    assert result.documents == [a, b]
    assert told(result) == {"b": "of b, similarity 1.000"}


def test_one_id_for_two_documents_is_refused(here, steps):
    one, other = (steps.documents(Document(id="a", text=text, source="x")) for text in "甲乙")
    with pytest.raises(DataError, match="two different documents have the id 'a'") as error:
        steps("data.dedup", documents=[one, other])
    assert str(one.path) in str(error.value)
    assert str(other.path) in str(error.value)


def test_each_source_is_reported(here, steps, opened):
    made = steps("data.dedup", documents=[steps.documents(a="甲", b="乙"), steps.documents(c="甲", d="丙")])
    table = next(entry for entry in made.manifest["report"] if entry["title"] == "Sources")
    assert [row[1:] for row in table["rows"]] == [[2, 2], [2, 1]]


def test_a_damaged_line_is_named(steps):
    documents = steps.documents(a="甲")
    with documents.file("documents.jsonl").open("ab") as file:
        file.write(b'{"id": "b"}\n')
    with pytest.raises(DataError, match="Field required") as error:
        steps("data.dedup", documents=documents)
    assert "documents.jsonl:2" in str(error.value)


def test_a_last_line_without_an_end_is_a_line(steps, opened):
    documents = steps.documents(a="甲", b="乙")
    path = documents.file("documents.jsonl")
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert [document.id for document in opened(steps("data.dedup", documents=documents)).documents] == ["a", "b"]


def test_one_name_or_several():
    assert DedupSettings(documents="x").documents == ("x",)
    assert DedupSettings(documents=["x", "y"]).documents == ("x", "y")
    with pytest.raises(ValidationError):
        DedupSettings(documents=[])


def test_bands_reach_the_threshold():
    for threshold in (0.3, 0.5, 0.8, 0.95, 1.0):
        count, rows = bands(threshold)
        assert count * rows <= 128
        assert (1 - threshold**rows) ** count < 1e-3


def test_a_pair_shares_as_many_bands_as_it_should():
    """The S-curve of the theory, over 4,000 pairs with a known similarity."""
    from danlu.data import minhash

    a, b = minhash.permutations(100, 0)
    chance = random.Random(0)
    for common, other in ((80, 10), (50, 25)):
        pairs = []
        for _ in range(4000):
            letters = [chr(chance.randrange(0x4E00, 0x9F00)) for _ in range(common + 2 * other)]
            pairs += ["".join(letters[: common + other]), "".join(letters[:common] + letters[common + other :])]
        signs = minhash.sign(*minhash.cores(pairs), 1, a, b, 2)
        shared = (signs[::2] == signs[1::2]).mean()
        expected = minhash.np.mean([jaccard(set(x), set(y)) ** 2 for x, y in zip(pairs[::2], pairs[1::2], strict=True)])
        assert abs(shared - expected) < 0.01


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=120) | st.text(st.sampled_from("가각각aA\u0301é\u3099か゛ﷺİßΐ①ﬃ，。_ 𝔸"), max_size=80))
def test_core_is_what_unicodedata_says(text):
    from danlu.data import minhash

    expected = whole(text) or text
    assert core(text) == expected
    assert core(text * 60) == (whole(text * 60) or text * 60)
    codes, bounds = minhash.cores([text, "甲", text])
    assert str(codes[: bounds[1]].tobytes(), "utf-32-le", "surrogatepass") == expected
    assert bounds.tolist() == [0, len(expected), len(expected) + 1, 2 * len(expected) + 1]


def test_every_character_is_folded_alone_or_not_at_all():
    """Each assigned character between a letter and characters that join: what the table says, or its refusal."""
    codes = [code for code in range(0x110000) if unicodedata.category(chr(code)) not in ("Cn", "Co", "Cs")]
    assert len(codes) > 140_000
    refused = 0
    for code in codes:
        alone = folded(code)
        if alone is None:
            refused += 1
            continue
        for before, after in (("e", "o"), ("가", "ᄀ")):
            assert whole(before + chr(code) + after) == whole(before) + alone + whole(after), hex(code)
    assert 500 < refused < 3000


def first_occurrences(texts: list[str], length: int) -> list[str]:
    """What stays of each text when every passage of `length` characters that occurs before is cut: by brute force."""
    seen: set[str] = set()
    left = []
    for text in texts:
        firsts: dict[str, int] = {}
        cut = set()
        for at in range(len(text) - length + 1):
            window = text[at : at + length]
            if window in seen or firsts.get(window, at) <= at - length:
                cut.update(range(at, at + length))
            firsts.setdefault(window, at)
        seen.update(firsts)
        left.append("".join(letter for at, letter in enumerate(text) if at not in cut))
    return left


@settings(max_examples=60, deadline=None)
@given(data=st.data(), length=st.sampled_from([6, 9, 20]))
def test_what_occurs_before_is_cut_to_the_character(data, length, tmp_path_factory):
    from danlu.data import minhash
    from danlu.data.passages import Passages, without

    chance = random.Random(data.draw(st.integers(0, 10**6)))
    texts: list[str] = []
    for _ in range(data.draw(st.integers(1, 10))):
        pieces = ["".join(chance.choices(WORDS, k=chance.randrange(40))) for _ in range(3)]
        for _ in range(chance.randrange(4) if texts else 0):
            one, at = chance.choice(texts), chance.randrange(40)
            pieces.insert(chance.randrange(4), one[at : at + chance.randrange(1, 60)])
        texts.append("".join(pieces))
    passages = Passages(tmp_path_factory.mktemp("store") / "texts", length, 10_000)
    cut = len(texts) // 2
    spans = [span for part in (texts[:cut], texts[cut:]) for span in passages.add(*minhash.laid(part))]
    assert [without(text, span) for text, span in zip(texts, spans, strict=True)] == first_occurrences(texts, length)


def test_repeated_passages_are_cut_and_told(steps, opened):
    notice = passage(50, 60)
    a = Document(id="a", text=passage(51) + notice + passage(52), source="s")
    b = Document(
        id="b", text="前言" + notice + passage(53), source="s", meta={"pages": [[0, 2], [2, 62], [62, 362]], "x": 1}
    )
    c = Document(id="c", text=notice + "。", source="s")
    made = steps("data.dedup", documents=steps.documents(c, b, a), substring=50)
    result = opened(made)
    assert result.documents[0] == a
    assert result.documents[1].text == "前言" + passage(53)
    assert result.documents[1].meta == {"pages": [[0, 2], [2, 2], [2, 302]], "x": 1}
    assert [(drop.id, drop.reason) for drop in result.dropped] == [("c", "all-repeated")]
    table = made.manifest["report"][-2]
    assert table["rows"] == [[2, 2, 120]]


def test_a_monotonous_text_keeps_its_first_passage(steps, opened):
    made = steps("data.dedup", documents=steps.documents(a="甲" * 1_000_000, b="乙" * 50 + "甲" * 50), substring=30)
    first, second = opened(made).documents
    assert first.text == "甲" * 30
    assert second.text == "乙" * 50


def test_a_short_substring_is_refused():
    with pytest.raises(ValidationError, match="at least 20"):
        DedupSettings(documents="x", substring=10)
