"""data.filter: each rule drops what it is for, with the value measured, and can be turned off."""

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from danlu.data import flow
from danlu.data.filter import RULES, Filter, FilterSettings
from danlu.data.review import excerpt
from danlu.errors import DataError
from danlu.records import Document

GOOD = (
    "機器學習的模型需要大量的資料，我們先把文件收集起來，再用程式清理。\n"
    "清理的時候要注意編碼與標點，並且記下每一份被丟掉的文件是為了什麼原因。\n\n"
    "接下來才是訓練：把資料切成小批次，一步一步更新參數，直到驗證集的損失不再下降為止。\n"
)
ENGLISH = (
    "The model is trained on text that was cleaned before, and it is evaluated with care after that.\n"
    "Each of the documents has a source, so that nobody needs to guess where a sentence came from.\n"
)
JAPANESE = (
    "これは日本語の文章です。機械学習について説明しますが、データを集めることから始めます。\n"
    "次にモデルを訓練して、結果を丁寧に評価します。最後に、その使い方を皆さんに紹介します。\n"
)
SIMPLIFIED = (
    "机器学习的模型需要大量的数据，我们先把文件收集起来，再用程序清理，并且检查每一个步骤的结果。\n"
    "接下来才是训练：把数据切成小批次，一步一步更新参数，直到验证集的损失不再下降为止。\n"
)
OFF = {name: None for name in FilterSettings.model_fields if name.startswith(("min_", "max_"))} | {
    "lorem_ipsum": None,
    "top_ngrams": None,
    "duplicate_ngrams": None,
    "rows": "prose",
}

MENU = "首頁 產品 新聞 活動 下載 聯絡 會員 購物車 客服 門市 品牌 徵才 電子報 常見問題 隱私 網站導覽 商品分類。"
POLICY = "本網站使用 cookies 以提升您的體驗。\n請啟用 JavaScript 才能看網頁。\n隱私權政策是這樣的。\n"
AGAIN = "很長的一行重複了一次，說的是同樣的事情，字數也是一樣的多，所以在全文裡占的比例就很高。\n"


def each(line, marks="甲乙丙丁戊己庚辛壬癸"):
    return "\n".join(line.format(mark) for mark in marks)


BAD = {
    "too-short": ("min_characters", "太短了。"),
    "garbled": ("max_replacement", GOOD + "\ufffd" * 9),
    "few-letters": ("min_letters", "1,234 5,678 9,012 的 在\n" * 4),
    "symbols": ("max_symbols", GOOD + "★☆" * 40),
    "few-stop-words": ("min_stop_words", MENU),
    "bullet-lines": ("max_bullet_lines", each("- 第{}項是清單裡的一項，說明的是我們要做的事情。")),
    "ellipsis-lines": ("max_ellipsis_lines", each("這是被截斷的第{}則摘要，要看的人請按這裡看全文……")),
    "unpunctuated-lines": ("min_punctuated_lines", each("這裡是沒有標點的一行文字而且很長很長很長說的是第{}件")),
    "short-lines": ("max_short_lines", each("我們的第{}個，好的。")),
    "curly-braces": ("max_braces", GOOD + "{a}{b}{c}{d}"),
    "policy-lines": ("max_policy_lines", GOOD + POLICY),
    "duplicate-lines": ("max_duplicate_lines", GOOD + "看更多的內容。\n" * 4),
    "duplicate-line-characters": ("max_duplicate_line_characters", GOOD + AGAIN * 2),
    "duplicate-paragraphs": ("max_duplicate_paragraphs", GOOD + "\n\n看更多的內容。" * 4),
    "duplicate-paragraph-characters": ("max_duplicate_paragraph_characters", GOOD + f"\n{AGAIN}" * 2),
    "hash-marks": ("max_hashes", GOOD + "#" * 30),
    "ellipses": ("max_ellipses", GOOD + "好……的……嗎……是……在……有……不……了……這……我……\n"),
    "line-ends": ("max_line_ends", "\n".join("我的書在你那裡。")),
    "menu": ("max_menu", "首頁 | 關於我們 | 最新消息 | 聯絡我們 | 會員登入\n回首頁 | 上一頁 | 下一頁 | 友善列印\n"),
    "lorem-ipsum": ("lorem_ipsum", GOOD + "Lorem ipsum dolor sit amet."),
    "toxic": ("max_toxic", GOOD + "幹你娘，你這個王八蛋去死吧。"),
    "top-ngram": ("top_ngrams", GOOD + "哈哈，" * 60),
    "duplicate-ngrams": ("duplicate_ngrams", each("依照本辦法第三條規定應檢附下列文件向主管機關申請之{}。")),
}


def judged(text, **settings):
    found = Filter(FilterSettings(documents="x", **settings)).reason(Document(id="a", source="a", text=text))
    return found[0] if found else None


HEADED = """# 常見問題

## 如何申請借書證？

攜帶身分證到櫃檯填寫申請表，十分鐘內可以取件，第一次辦理的讀者不收費用。

## 遺失借書證怎麼辦？

請立即來電掛失，並於三十日內補辦，工本費五十元，掛失之前的損失由讀者自行負責。
"""


@pytest.mark.parametrize("text", [GOOD, ENGLISH, JAPANESE, SIMPLIFIED, HEADED])
def test_good_text_stays(text):
    assert judged(text) is None


@pytest.mark.parametrize(("reason", "setting", "text"), [(reason, *row) for reason, row in BAD.items()])
def test_each_rule_alone_drops_what_it_is_for_and_can_be_turned_off(reason, setting, text):
    alone = OFF | {setting: FilterSettings(documents="x").__getattribute__(setting)}
    assert judged(text, **alone) == reason
    assert judged(GOOD, **alone) is None
    assert judged(text, **OFF) is None


def test_every_reason_is_tested_and_documented():
    reasons = {rule.reason for rule in RULES}
    by_hand = {"too-long", "short-mean-line"}
    assert reasons <= BAD.keys() | by_hand
    documented = " ".join(field.description or "" for field in FilterSettings.model_fields.values())
    for reason in BAD.keys() | by_hand | {"wrong-language", "wrong-script", "too-few-tokens", "too-many-tokens"}:
        assert re.search(rf"\b{reason}\b", documented), reason


def test_rules_that_are_off_by_default():
    assert judged(GOOD, max_characters=20) == "too-long"
    assert judged(GOOD, min_mean_line=60) == "short-mean-line"
    assert judged(ENGLISH, language=["zh"]) == "wrong-language"
    assert judged(JAPANESE, language=["zh", "en"]) == "wrong-language"
    assert judged(SIMPLIFIED, script=["traditional"]) == "wrong-script"
    assert judged(GOOD, language=["zh"], script=["traditional"]) is None


def test_code_is_skipped_or_measured():
    text = GOOD + "\n```c\nint main(void) { { { return 0; } } }\n```\n"
    assert judged(text) is None
    assert judged(text, code="measure") == "curly-braces"
    assert judged(text, code="measure", max_braces=None) is None
    assert judged("```c\n{{{{{{{{}}}}}}}\n```", **OFF | {"max_braces": 0.1}) == "curly-braces"


def test_tokens_are_counted_by_the_tokenizer_that_is_named(tmp_path):
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    characters = {character: place for place, character in enumerate(["?", *sorted(set(GOOD))])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(characters, unk_token="?"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    name, count = str(tmp_path), len(GOOD)
    assert judged(GOOD, tokenizer=name, min_tokens=count, max_tokens=count) is None
    assert judged(GOOD, tokenizer=name, min_tokens=count + 1) == "too-few-tokens"
    assert judged(GOOD, tokenizer=name, max_tokens=count - 1) == "too-many-tokens"


@pytest.mark.parametrize("wrong", [{"min_tokens": 3}, {"tokenizer": "x"}, {"max_symbols": 2}, {"language": ["tw"]}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        FilterSettings(documents="x", **wrong)


def test_the_step_counts_and_says_the_value(steps, opened):
    documents = steps.documents(good=GOOD, short="太短了。", toxic=BAD["toxic"][1])
    made = opened(steps("data.filter", documents=documents))
    assert [document.id for document in made.documents] == ["good"]
    assert made.reasons == {"too-short": 1, "toxic": 1}
    details = {drop.id: drop.detail for drop in made.dropped}
    assert details["short"] == "4, at least 50"
    assert details["toxic"].startswith("7, at most 5: ")
    with pytest.raises(DataError, match="too-short 1"):
        steps("data.filter", documents=steps.documents(short="太短了。"))


def test_the_same_however_many_processes(steps, monkeypatch):
    texts = [GOOD, ENGLISH, *(text for _, text in BAD.values())]
    documents = steps.documents(**{f"d{i}": text + str(i) for i, text in enumerate(texts * 3)})
    whole = steps("data.filter", documents=documents)
    cut = flow.blocks
    monkeypatch.setattr(flow, "blocks", lambda path: cut(path, 4000))
    monkeypatch.setattr(flow, "cores", lambda: 2)
    assert steps("data.filter", documents=documents).content == whole.content


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.text(max_size=200), st.lists(st.sampled_from(GOOD.split()), max_size=20).map("\n".join)))
def test_any_text_is_judged(text):
    one = Filter(FilterSettings(documents="x", min_characters=None)).reason(Document(id="a", source="a", text=text))
    assert one is None or (one[0] and isinstance(one[1], str))


def write(path, *rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_reviewer_overrules_the_rules_and_is_reported(steps, opened, tmp_path):
    texts = {"good": GOOD, "bad": GOOD + "第二篇。\n", "short": "太短了。", "old": "改過了。"}
    rows = [
        {"id": "short", "decision": "keep", "excerpt": excerpt(texts["short"])},
        {"id": "bad", "decision": "drop", "excerpt": excerpt(texts["bad"])},
        {"id": "old", "decision": "keep", "excerpt": excerpt("原來的。")},
        {"id": "gone", "decision": "keep", "excerpt": excerpt("")},
    ]
    decisions = write(tmp_path / "decisions.jsonl", *rows)
    made = steps("data.filter", documents=steps.documents(**texts), decisions=decisions)
    assert [document.id for document in opened(made).documents] == ["good", "short"]
    assert {drop.id: drop.reason for drop in opened(made).dropped} == {"bad": "reviewed", "old": "too-short"}
    table = next(entry for entry in made.manifest["report"] if entry["title"] == "Reviewed")
    assert [row[:4] for row in table["rows"]] == [["kept", 1, 0, "0.00"], ["too-short", 1, 0, "0.00"]]
    told = next(entry for entry in made.manifest["report"] if entry["title"] == "Decisions not followed")
    assert told["text"].startswith("1 are about a text that has changed since, 1 about a document")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["{"], "decisions.jsonl:1: not a decision"),
        (['{"id": "a"}'], "needs id, decision and excerpt"),
        (['{"id": "a", "decision": "keeep", "excerpt": ""}'], "did you mean: keep"),
        ([f'{{"id": "a", "decision": "{word}", "excerpt": ""}}' for word in ("keep", "drop")], "decided twice"),
    ],
)
def test_decisions_that_are_none(steps, tmp_path, lines, message):
    path = tmp_path / "decisions.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DataError) as error:
        steps("data.filter", documents=steps.documents(a=GOOD), decisions=path)
    assert message in str(error.value)


def test_shared_good_corpora_mostly_stay(shared):
    drcd = json.loads((shared / "rc" / "drcd" / "DRCD_dev.json").read_text(encoding="utf-8"))["data"]
    texts = [part["context"] for article in drcd for part in article["paragraphs"]]
    kept = sum(judged(text) is None for text in texts)
    assert len(texts) == 1000
    assert kept >= 990


HOSTILE = [
    *("中" * 300_000, "。" * 300_000, "\n" * 300_000, "(" * 300_000, "1 " * 150_000, "e" + "\u0301" * 300_000),
    *("use " * 80_000 + "cookie", "enable " * 40_000 + "javascript", "```\n" * 80_000, "`a``" * 70_000),
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_judged_in_time(text):
    assert judged(text) is not None


ROWS = {
    "table": "# 場地收費表\n\n| 場地 | 平日 | 假日 |\n|---|---|---|\n| 會議室 | 450 | 700 |\n| 大廳 | 1200 | 1800 |\n",
    "numbers": "| 年度 | 營收 | 稅後淨利 |\n|---|---|---|\n| 2019 | 1,234,567 | 12 |\n| 2020 | 2,234,567 | 345 |\n",
    "csv": "姓名,分機,電子郵件\n王小明,1201,ming@example.com\n李美華,1202,mei@example.com\n陳志強,1203,c@example.com\n",
    "tabs": "品號\t數量\t單價\t金額\nA001\t10\t120\t1200\nA002\t5\t80\t400\nA003\t12\t30\t360\n",
    "check list": "- [ ] 關閉電源\n- [ ] 檢查門窗\n- [x] 清點鑰匙\n- [ ] 填寫值班日誌\n- [ ] 回報警衛室\n",
    "form": "借書證申請表\n\n姓名：＿＿＿＿\n身分證字號：＿＿＿＿\n聯絡電話：____\n通訊地址：____\n承辦人：____\n",
    "fields": "申請人：王小明\n電話：0912-345-678\n申請項目：□ 新辦 ■ 補發\n規費：100元\n收件日期：114年3月5日\n",
    "questions": "Q1：如何申請借書證？\nA1：請帶身分證到櫃臺。\nQ2：可以借幾本？\nA2：二十本。\n",
    "contacts": "通訊錄\n\n館長室 02-2755-2823 分機 1101\n推廣課 02-2755-2823 分機 2101\n採編課 02-2755-2823 分機 31\n",
    "prices": "飲料價目表\n紅茶 25 元\n綠茶 25 元\n奶茶 40 元\n珍珠奶茶 50 元\n拿鐵咖啡 65 元\n檸檬汁 45 元\n",
    "list": "- 週一休館\n- 週二至週五 08:30 至 21:00\n- 國定假日休館\n- 寒暑假延長開放時間\n- 自習室每日開放\n",
    "states": "| 日期 | 狀態 |\n|---|---|\n" + "".join(f"| 2024-01-{day:02} | 正常 |\n" for day in range(1, 31)),
    "feed": "明日停班停課縣市一覽表\n\n中央氣象署上午發布海上颱風警報，各縣市政府陸續宣布停班停課消息，詳細名單請見內文\n",  # noqa: E501
}
JUNK = {
    "menu": "- 首頁\n- 產品\n- 新聞\n- 活動\n- 下載\n- 聯絡\n- 會員\n- 購物車\n- 客服\n- 門市\n- 登入\n- 註冊\n" * 2,
    "duplicate-rows": "| 無 | 紅茶 | 25 元 |\n" * 40,
    "codes": "\n".join(f"{place * 2654435761987 % 2**64:016x}a1b2c3d4  file{place}.bin" for place in range(1, 30)),
    "few-row-letters": "".join(f"| {place} | {place * place} | {place**3} |\n" for place in range(20)),
}


@pytest.mark.parametrize("text", ROWS.values(), ids=ROWS)
def test_tables_lists_and_forms_stay(text):
    assert judged(text) is None


@pytest.mark.parametrize(("reason", "text"), JUNK.items(), ids=JUNK)
def test_junk_in_rows_goes(reason, text):
    assert judged(text) == reason
