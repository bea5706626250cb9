"""data.pii through the store, and Presidio both ways."""

import json
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from danlu.data import pii as step
from danlu.data.pii import LABELS, Edits, Pii, PiiSettings, key, mask, partial, report
from danlu.errors import DataError, UsageError
from danlu.records import Document
from danlu.text import credentials, pii
from danlu.text.pseudonym import canonical, pseudonym, reserved

VALUES = {
    "national-id": "A123456789",
    "resident-id": "A800000014",
    "passport": "312345678",
    "health-card": "000012345678",
    "tax-id": "04595257",
    "citizen-certificate": "AB12345678901234",
    "carrier-barcode": "/P4SV.-I",
    "mobile": "0912-345-678",
    "landline": "(02)2345-6789",
    "email": "wang.xm@gmail.com",
    "line-id": "amy_123",
    "address": "106臺北市大安區忠孝東路四段100巷5弄2號3樓",
    "birth-date": "民國79年5月3日",
    "name": "王小明",
    "credit-card": "4111-1111-1111-1111",
    "bank-account": "822-123456789012",
    "medical-record": "1234567",
    "policy-number": "AB12345678",
    "plate": "ABC-1234",
    "ip": "140.112.8.116",
    "secret-aws": "AKIAQ3EGVSWGW7XNTR5B",
    "secret-password": "Tr0ub4dor&3",
}
TEXT = """身分證字號：A123456789　居留證：A800000014　護照號碼：312345678　健保卡號：000012345678
統一編號 04595257，自然人憑證 AB12345678901234，手機條碼 /P4SV.-I，LINE ID：amy_123
手機 0912-345-678，電話 (02)2345-6789，信箱 wang.xm@gmail.com
地址：106臺北市大安區忠孝東路四段100巷5弄2號3樓，出生日期：民國79年5月3日，聯絡人：王小明
信用卡號 4111-1111-1111-1111，匯款帳號 822-123456789012，車牌 ABC-1234，來源 140.112.8.116
病歷號碼：1234567　保單號碼：AB12345678
AWS：AKIAQ3EGVSWGW7XNTR5B，密碼：Tr0ub4dor&3
"""
TYPES = sorted(VALUES)
WORDS = [
    "統編",
    "統一編號",
    "手機",
    "帳號",
    "護照",
    "健保卡",
    "生日",
    "車牌",
    "LINE",
    "訂單編號",
    "先生",
    "號",
    "：",
    "，",
    "〔",
    "〕",
]
WORDS += ["\n", " ", "匯款", "密碼", "token=", "@", "://a:"]


@pytest.fixture(autouse=True)
def known_key(monkeypatch):
    monkeypatch.setenv(step.KEY, "a key for the tests only")


def table(artifact):
    """{type: [action, found, documents]}"""
    entry = next(entry for entry in artifact.manifest["report"] if entry["type"] == "table")
    return {row[0]: row[2:] for row in entry["rows"]}


def written(artifact) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in artifact.path.rglob("*") if path.is_file())


def test_the_text_holds_one_of_each():
    assert {hit.type: TEXT[hit.start : hit.end] for hit in report(TEXT)} == VALUES
    assert sorted(pii.TYPES) == [type for type in TYPES if not type.startswith("secret")]


@pytest.mark.parametrize("action", ["mask", "partial", "pseudonymise"])
def test_no_value_is_left_anywhere_and_twice_is_once(steps, opened, action):
    first = steps("data.pii", documents=steps.documents(a=TEXT, b="沒有個資的一句話。"), default=action)
    for value in VALUES.values():
        assert value not in written(first)
    assert opened(first).documents[1].text == "沒有個資的一句話。"
    assert {type: row[1:] for type, row in table(first).items()} == {type: [1, 1] for type in TYPES}
    assert first.manifest["metrics"]["found"] == len(VALUES)
    again = steps("data.pii", documents=first, default=action)
    assert opened(again).documents == opened(first).documents
    assert again.manifest["metrics"]["found"] == 0
    assert report(opened(first).documents[0].text) == []


def test_the_same_value_gets_the_same_stand_in_however_it_is_written(steps, opened):
    texts = {
        "a": "手機 0912-345-678，聯絡人：王小明",
        "b": "手機：０９１２３４５６７８；生日：1990/05/03",
        "c": "請打+886 912 345 678 找王小明先生，他是民國79年5月3日出生",
    }
    made = opened(steps("data.pii", documents=steps.documents(**texts), default="pseudonymise")).documents
    found = {type: pseudonym(type, VALUES[type], key()) for type in ("mobile", "name", "birth-date")}
    assert all(found["mobile"] in document.text for document in made)
    assert all(found["name"] in made[at].text for at in (0, 2))
    assert all(found["birth-date"] in made[at].text for at in (1, 2))
    assert made[2].text.startswith("請打0999-")


def test_another_key_gives_other_stand_ins_and_the_report_tells_them_apart(steps, monkeypatch):
    documents = steps.documents(a=TEXT)
    one = steps("data.pii", documents=documents, default="pseudonymise")
    monkeypatch.setenv(step.KEY, "another key for the tests")
    steps.store.root = steps.store.root.with_name("other")
    type(steps.store)(steps.store.root)
    other = steps("data.pii", documents=documents, default="pseudonymise")
    assert one.id == other.id
    assert one.content != other.content
    told = [next(e["text"] for e in a.manifest["report"] if e["type"] == "text") for a in (one, other)]
    assert told[0] != told[1]
    assert "for the tests" not in written(one) + written(other)


def test_a_key_is_made_once_for_its_owner_alone(tmp_path, monkeypatch):
    monkeypatch.delenv(step.KEY)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    made = key()
    path = tmp_path / "danlu" / "pseudonym.key"
    assert key() == made
    assert len(made) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("short")
    with pytest.raises(DataError, match="too short"):
        key()
    monkeypatch.setenv(step.KEY, "short")
    with pytest.raises(UsageError, match="shorter than 16"):
        key()


@pytest.mark.parametrize("type", LABELS)
def test_a_mask_is_not_found_itself_and_announces_nothing(type):
    for text in (mask(type), f"{mask(type)} 04595257", f"帳號：{mask(type)}", f"{mask(type)}：Abcd1234!"):
        assert [text[hit.start : hit.end] for hit in report(text)] == []


def test_drop_says_which_types_and_how_many_but_not_what(steps, opened):
    documents = steps.documents(a=TEXT, b="密碼：Tr0ub4dor&3", c="手機 0912-345-678", d="沒事")
    made = steps("data.pii", documents=documents, actions={"national-id": "drop", "secret": "drop"})
    held = opened(made)
    assert [document.id for document in held.documents] == ["c", "d"]
    assert held.documents[0].text == f"手機 {mask('mobile')}"
    assert [(drop.id, drop.reason, drop.detail) for drop in held.dropped] == [
        ("a", "personal-data", "national-id 1, secret-aws 1, secret-password 1"),
        ("b", "secret", "secret-password 1"),
    ]
    assert not [value for value in VALUES.values() if value in written(made)]


def test_nothing_left_is_an_error_without_the_values(steps):
    with pytest.raises(DataError, match="no document is left of 1") as caught:
        steps("data.pii", documents=steps.documents(a=TEXT), default="drop")
    assert not [value for value in VALUES.values() if value in str(caught.value)]


def test_keep_counts_only_and_allow_lets_pass(steps, opened):
    documents = steps.documents(a=TEXT)
    kept = steps("data.pii", documents=documents, default="keep")
    assert opened(kept).documents[0].text == TEXT
    assert table(kept)["mobile"] == ["keep", 1, 1]
    allowed = steps("data.pii", documents=documents, allow=["０２２３４５６７８９", "WANG.XM@gmail.com"])
    text = opened(allowed).documents[0].text
    assert "(02)2345-6789" in text
    assert "wang.xm@gmail.com" in text
    assert "0912" not in text
    assert "landline" not in table(allowed)


@pytest.mark.parametrize("action", ["mask", "partial", "pseudonymise"])
def test_spans_stay_on_their_pages_and_meta_is_cleaned(steps, opened, action):
    pages = ["第一頁 0912-345-678 完", "A123456789", "第三頁，地址：臺北市大安區忠孝東路四段100號"]
    starts = [0, len(pages[0]) + 2, len(pages[0]) + len(pages[1]) + 4]
    spans = [[start, start + len(page)] for start, page in zip(starts, pages, strict=True)]
    meta = {
        "pages": spans,
        "sheets": [["0922-333-444", *spans[0]], ["乙", *spans[1]]],
        "author": "amy@gmail.com",
        "front_matter": {"phones": ["0912-345-678", 3]},
    }
    document = Document(id="x", text="\n\n".join(pages), source="x", title="王小明先生的信", meta=meta)
    made = opened(steps("data.pii", documents=steps.documents(document), default=action)).documents[0]
    shown = [made.text[start:end] for start, end in made.meta["pages"]]
    assert shown[0].startswith("第一頁 ")
    assert shown[0].endswith(" 完")
    assert shown[2].startswith("第三頁，地址：")
    assert "\n\n".join(shown) == made.text
    assert [made.text[start:end] for _, start, end in made.meta["sheets"]] == shown[:2]
    for value in ("0912-345-678", "A123456789", "amy@gmail.com", "0922-333-444", "王小明"):
        assert value not in made.model_dump_json()
    assert made.meta["front_matter"]["phones"][1] == 3


def test_ids_and_sources_stay_and_are_counted(steps, opened):
    made = steps("data.pii", documents=steps.documents(**{"A123456789.txt": "一句話"}))
    assert opened(made).documents[0].id == "A123456789.txt"
    assert any("1 documents hold" in entry.get("text", "") for entry in made.manifest["report"])


def test_what_a_mask_brings_next_to_its_label_is_found_too(steps, opened):
    far = "、".join(["臺北市大安區忠孝東路四段100巷5弄2號3樓"] * 3)
    text = f"統一編號（{far}）04595257"
    assert "tax-id" not in {hit.type for hit in report(text)}
    made = steps("data.pii", documents=steps.documents(a=text))
    assert report(opened(made).documents[0].text) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"actions": {"natoinal-id": "mask"}}, "did you mean 'national-id'"),
        ({"actions": {"secret": "pseudonymise"}}, "cannot be 'pseudonymise'"),
        ({"actions": {"secret-aws": "partial"}}, "cannot be 'partial'"),
        ({"default": "remove"}, "mask"),
    ],
)
def test_a_wrong_setting_is_told(wrong, message):
    with pytest.raises(ValidationError, match=message):
        PiiSettings(documents="x", **wrong)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.sampled_from([*VALUES.values(), *TEXT.splitlines()]),
            st.sampled_from(WORDS),
            st.text("0123456789-A.：號路 先生王一二", max_size=12),
        ),
        max_size=12,
    ),
    st.sampled_from(["mask", "partial", "pseudonymise"]),
)
def test_whatever_stands_beside_it_nothing_is_found_a_second_time(pieces, action):
    from collections import Counter

    each = Pii(PiiSettings(documents="x", default=action))
    each.key = b"k" * 16
    text = "".join(pieces)
    once, _ = each.redact(text, Counter())
    assert report(once) == []
    assert each.redact(once, Counter()) == (once, [])


@given(st.text(max_size=40), st.data())
def test_edits_move_every_place_with_its_character(text, data):
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    hits = [pii.Hit("x", a, b, 1.0, "") for a, b in zip(cuts[::2], cuts[1::2], strict=False)]
    edits = Edits(hits, [data.draw(st.text(max_size=5)) for _ in hits])
    new = edits.made(text)
    for place, character in enumerate(text):
        if not any(hit.start <= place < hit.end for hit in hits):
            assert new[edits.place(place)] == character
    assert edits.place(len(text)) == len(new)


@pytest.mark.parametrize("type", pii.TYPES)
def test_stand_ins_are_in_form_reserved_and_one_way(type):
    from danlu.text import identifiers

    value = VALUES[type]
    made = [pseudonym(type, value, secret) for secret in (b"one", b"one", b"two")]
    assert made[0] == made[1] != made[2]
    assert reserved(type, made[0])
    assert not reserved(type, value)
    checks = {
        "national-id": identifiers.national_id,
        "resident-id": identifiers.resident_id,
        "tax-id": identifiers.tax_id,
        "carrier-barcode": identifiers.mobile_barcode,
        "citizen-certificate": identifiers.citizen_certificate,
        "credit-card": lambda value: identifiers.luhn(value.replace("-", "")),
    }
    assert checks.get(type, bool)(made[0])
    assert canonical(type, made[0]) != canonical(type, value)


def test_partial_shows_the_end_or_the_head():
    shown = {type: partial(type, VALUES[type]) for type in ("mobile", "name", "email", "address", "birth-date")}
    assert shown == {
        "mobile": "＊＊＊＊-＊＊＊-678",
        "name": "王＊＊",
        "email": "＊＊＊＊.＊＊@＊＊＊＊＊.com",
        "address": "106" + "＊" * 22,
        "birth-date": "民國79＊＊＊＊＊",
    }


def test_many_blocks_give_the_same_as_one(steps, opened, monkeypatch):
    texts = {f"d{number}": TEXT + str(number) for number in range(40)}
    documents = steps.documents(**texts)
    whole = steps("data.pii", documents=documents)
    from danlu.data import flow

    monkeypatch.setattr(flow.blocks, "__defaults__", (2000,))
    monkeypatch.setattr(flow, "cores", lambda: 1)
    steps.store.root = steps.store.root.with_name("other")
    type(steps.store)(steps.store.root)
    assert steps("data.pii", documents=documents).content == whole.content


# --- Presidio -----------------------------------------------------------------------------------------------------


def test_recipes_may_ask_presidio_too(steps, opened):
    pytest.importorskip("presidio_analyzer")
    text = "IBAN：DE89370400440532013000，錢包 16Yeky6GMjeNkAiNcBY7ZhrLoMSgg1BoyZ，手機 0912-345-678"
    made = steps(
        "data.pii",
        documents=steps.documents(a=text),
        presidio=["IbanRecognizer", "CryptoRecognizer", "EmailRecognizer"],
        actions={"presidio-crypto": "keep"},
    )
    assert opened(made).documents[0].text == (
        "IBAN：〔presidio-iban-code〕，錢包 16Yeky6GMjeNkAiNcBY7ZhrLoMSgg1BoyZ，手機 〔手機號碼〕"
    )
    with pytest.raises(UsageError, match="no pattern recogniser") as caught:
        steps("data.pii", documents=steps.documents(a=text), presidio=["IbanRecogniser"])
    assert caught.value.problem.nearest == "IbanRecognizer"


def test_our_recognizers_serve_a_presidio_of_ones_own():
    pytest.importorskip("presidio_anonymizer")
    from presidio_anonymizer.entities import OperatorConfig

    from danlu.data.presidio import ENTITIES, analyzer, anonymizer, masks

    engine = analyzer(("IbanRecognizer",))
    results = engine.analyze(TEXT, language="zh")
    assert {result.entity_type: TEXT[result.start : result.end] for result in results} == {
        ENTITIES[type]: value for type, value in VALUES.items()
    }
    only = engine.analyze(TEXT, language="zh", entities=["TW_NATIONAL_ID"])
    assert [TEXT[result.start : result.end] for result in only] == ["A123456789"]
    masked = anonymizer().anonymize(TEXT, results, masks()).text
    each = Pii(PiiSettings(documents="x"))
    from collections import Counter

    assert masked == each.redact(TEXT, Counter())[0]
    stand_in = OperatorConfig("pseudonymise", {"key": key()})
    made = anonymizer().anonymize(TEXT, results, {"TW_NATIONAL_ID": stand_in}).text
    assert pseudonym("national-id", "A123456789", key()) in made


def test_presidio_is_not_imported_until_it_is_asked_for():
    import subprocess
    import sys

    code = "import sys, danlu.data.pii; print([m for m in sys.modules if m in ('spacy', 'presidio_analyzer')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.replace("'", '"')) == []


def test_over_the_corpora_of_the_project(shared: Path):
    """Statutes name nobody: what is found in 60,005 articles can be counted on one hand, and there is no secret."""
    import gzip

    with gzip.open(shared / "corpus" / "tw-law-large.jsonl.gz", "rt", encoding="utf-8") as lines:
        found = [hit.type for line in lines for hit in report(json.loads(line)["text"])]
    assert len(found) <= 5
    assert set(found) <= {"name"}
    book = [path.read_text(encoding="utf-8") for path in sorted((shared / "corpus" / "rust-book-tw").rglob("*.md"))]
    assert sorted({text[hit.start : hit.end] for text in book for hit in report(text)}) == ["someone@example.com"]
    assert len(book) > 100
    assert not [hit for text in book for hit in credentials.report(text)]
