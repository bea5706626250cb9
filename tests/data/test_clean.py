"""data.clean: Taiwan's characters and words in prose, code untouched, every drop counted."""

import pytest

from danlu.data import flow
from danlu.data.clean import outside_fences
from danlu.errors import DataError
from danlu.records import Document

CODE = "```python\nprint('软件 数据')   \n\n\n\nx = 'ＡＢＣ'\n```"
SIMPLIFIED = "机器学习的模型需要大量的数据，我们用软件处理这些数据，然后让用户使用。" * 3
TRADITIONAL = "機器學習的模型需要大量的資料，我們用軟體處理這些資料，然後讓使用者使用。" * 3


def test_simplified_is_converted_and_counted_and_code_is_not(steps, opened):
    text = f"# 软件\n\n{SIMPLIFIED}\n\n{CODE}\n\n参数 `软件` 是字符串。\n"
    made = steps("data.clean", documents=steps.documents(a=text, b=TRADITIONAL))
    cleaned = opened(made)
    first, second = cleaned.documents
    assert f"\n\n{CODE}\n\n" in first.text
    assert "`软件`" in first.text
    assert first.text.startswith("# 軟體\n\n機器學習的模型需要大量的資料")
    assert first.meta["converted_from"] == "simplified"
    assert second.text == TRADITIONAL + "\n"
    assert "converted_from" not in second.meta
    table = next(entry for entry in made.manifest["report"] if entry["title"] == "Documents changed")
    assert ["converted from Simplified", 1] in table["rows"]


def test_never_and_terms_and_allow(steps, opened):
    documents = steps.documents(a=SIMPLIFIED, b="這個軟件處理視頻，" * 12)
    kept = opened(steps("data.clean", documents=documents, to_taiwan="never", taiwan_terms=False)).documents
    assert kept[0].text == SIMPLIFIED + "\n"
    assert "軟件" in kept[1].text
    words = opened(steps("data.clean", documents=documents, allow=["視頻"])).documents[1].text
    assert "軟體" in words
    assert "視頻" in words


def test_drops_are_named(steps, opened):
    english = "This page is about large language models and nothing else. " * 5
    japanese = "これは日本語の文章です。機械学習について説明しますが、中国語ではありません。" * 4
    documents = steps.documents(good=TRADITIONAL, short="太短了。", code=CODE * 9, english=english, japanese=japanese)
    cleaned = opened(steps("data.clean", documents=documents))
    assert {drop.id: drop.reason for drop in cleaned.dropped} == {
        "short": "too-short",
        "code": "too-short",
        "english": "not-chinese",
        "japanese": "not-chinese",
    }
    anything = opened(steps("data.clean", documents=documents, language="any", min_characters=1))
    assert {document.id for document in anything.documents} == {"good", "short", "english", "japanese"}
    with pytest.raises(DataError, match="too-short"):
        steps("data.clean", documents=steps.documents(short="短。"))


def test_page_spans_stay_right(steps, opened):
    pages = ["第一页的内容是机器学习，" * 6, "第二页　说明ＧＰＵ的用途,以及软件。" * 4]
    text = "\n\n".join(pages)
    spans = [[0, len(pages[0])], [len(pages[0]) + 2, len(text)]]
    document = Document(id="a", text=text + "\n", source="a.pdf", meta={"pages": spans})
    (cleaned,) = opened(steps("data.clean", documents=steps.documents(document))).documents
    first, second = (cleaned.text[start:end] for start, end in cleaned.meta["pages"])
    assert first.startswith("第一頁的內容")
    assert first.endswith("機器學習，")
    assert second.startswith("第二頁 說明GPU的用途，以及軟體。")
    assert cleaned.text.endswith(second + "\n")


def test_cleaning_twice_changes_nothing(steps, opened, chapters):
    documents = [Document(id=path.name, text=path.read_text(encoding="utf-8"), source=path.name) for path in chapters]
    once = steps("data.clean", documents=steps.documents(*documents))
    twice = steps("data.clean", documents=once)
    assert opened(once).documents == opened(twice).documents


def test_fences_keep_their_bytes_and_their_distance():
    text = "前\n```\n a \n\n\n\n```\n後  \n\n\n\n~~~\nb\t\n~~~\n"
    assert outside_fences(text, str.rstrip) == "前\n```\n a \n\n\n\n```\n後\n\n~~~\nb\t\n~~~"


def test_wrong_encodings_are_mended_and_counted(steps, opened):
    damaged = TRADITIONAL.encode("utf-8").decode("latin-1")
    pages = ["第一頁沒有事，內容是機器學習。" * 4, "第二頁讀錯了編碼，內容是資料。" * 4]
    text = pages[0] + "\n\n" + pages[1].encode("cp950").decode("gb18030")
    spans = [[0, len(pages[0])], [len(pages[0]) + 2, len(text)]]
    book = Document(id="b", text=text, source="b.pdf", meta={"pages": spans})
    documents = steps.documents(Document(id="a", text=damaged, source="a"), book)
    made = steps("data.clean", documents=documents)
    first, second = opened(made).documents
    assert first.text == TRADITIONAL + "\n"
    assert first.meta["repaired"]
    assert [second.text[start:end] for start, end in second.meta["pages"]] == pages
    table = next(entry for entry in made.manifest["report"] if entry["title"] == "Documents changed")
    assert ["repaired encoding", 2] in table["rows"]
    never = opened(steps("data.clean", documents=documents, repair=False, language="any")).documents
    assert never[0].text != first.text


@pytest.mark.parametrize(("name", "label"), [("slides", []), ("sheets", ["工作表"])])
def test_spans_of_slides_and_sheets_stay_right_and_nothing_is_lost(steps, opened, name, label):
    parts = ["第一张的内容是机器学习，" * 5, "第二张说明软件，" * 5]
    text = f"前言的文字\n\n{parts[0]}\n\n附注\n\n{parts[1]}\n"
    spans = [[*label, text.index(part), text.index(part) + len(part)] for part in parts]
    document = Document(id="a", text=text, source="a.pptx", meta={name: spans})
    (cleaned,) = opened(steps("data.clean", documents=steps.documents(document))).documents
    first, second = (cleaned.text[span[-2] : span[-1]] for span in cleaned.meta[name])
    assert first == "第一張的內容是機器學習，" * 5
    assert second == "第二張說明軟體，" * 5
    assert all(span[:-2] == label for span in cleaned.meta[name])
    assert cleaned.text.startswith("前言的文字\n\n")
    assert "\n\n附註\n\n" in cleaned.text


def test_the_same_however_many_processes(steps, monkeypatch):
    texts = {f"d{i}": f"{TRADITIONAL if i % 3 else SIMPLIFIED}第{i}篇。" if i % 5 else "短" for i in range(60)}
    documents = steps.documents(**texts)
    whole = steps("data.clean", documents=documents)
    cut = flow.blocks
    monkeypatch.setattr(flow, "blocks", lambda path: cut(path, 3000))
    monkeypatch.setattr(flow, "cores", lambda: 2)
    assert steps("data.clean", documents=documents).content == whole.content


TAIWAN = (
    "里長余先生在村里大會上宣布，可是只有三戶人家到場。巷口的電表由台電更換，占有人須自行負擔費用。"
    "干貝與烏魚子是這裡的名產，秋天舉辦采風活動，遠征隊也來參加。"
)


def test_a_quoted_sentence_is_converted_and_taiwan_s_text_stays_to_the_byte(steps, opened):
    text = f"# 村里公告\n\n{TAIWAN}\n\n> 对岸的公告写道：请各位业主于本周内办理登记，逾期将影响审批进度。\n"
    document = Document(id="a", text=text, source="a.md", title="村里公告")
    (cleaned,) = opened(steps("data.clean", documents=steps.documents(document))).documents
    before, after = cleaned.text.split("> ")
    assert before == f"# 村里公告\n\n{TAIWAN}\n\n"
    assert after.startswith("對岸的公告寫道：請各位業主於")
    assert "審批進度" in after
    assert cleaned.title == "村里公告"
    assert cleaned.meta["converted_from"] == "mixed"


def test_quotations_keep_their_words_unless_asked(steps, opened):
    documents = steps.documents(a=f"{TAIWAN}老闆說「這個软件很好」，又提到《視頻年鑑》，我們的軟件也是。")
    kept = opened(steps("data.clean", documents=documents)).documents[0].text
    assert "「這個軟件很好」" in kept
    assert "《視頻年鑑》" in kept
    assert "我們的軟體" in kept
    changed = opened(steps("data.clean", documents=documents, quotations="change")).documents[0].text
    assert "「這個軟體很好」" in changed


def test_japanese_stays_and_is_no_chinese(steps, opened):
    kanji = "国土交通省 総合政策局 会計課 渋谷区役所 図書館 読書週間 株式会社 映画写真 天気予報 沢田気象観測所 " * 2
    text = "子会社を作り、社内の画像処理技術を開発している。映画の写真を見て、当時の状態を残念に思う。" * 2
    documents = steps.documents(a=text, b=kanji, c=TAIWAN)
    kept = opened(steps("data.clean", documents=documents, language="any")).documents
    assert [document.text.strip() for document in kept] == [text, kanji.strip(), TAIWAN]
    assert opened(steps("data.clean", documents=documents)).reasons == {"not-chinese": 2}


def test_the_house_style_is_for_what_was_converted_alone():
    from danlu.text.script import in_taiwan

    text = "臺北的污水處理廠在一九八七年啟用。\n\n台湾的污水处理厂开始运转了。\n"
    standard, everyday = in_taiwan(text), in_taiwan(text, style="everyday")
    assert standard.split("\n")[0] == everyday.split("\n")[0] == text.split("\n")[0]
    assert standard.split("\n")[2].startswith("臺灣")
    assert everyday.split("\n")[2].startswith("台灣")


def test_a_quoted_sentence_converts_no_example_whole():
    from collections import Counter

    from danlu.data.examples import taiwan
    from danlu.data.synthesize.writing import taiwanese

    text = "余先生在里長家吃干貝。\n\n他说：「这个软件的运行时间很长，请稍后再试。」\n\n只有一只干貝。"
    counts = Counter()
    for made in (taiwan(text, counts), taiwanese(text)[0]):
        assert made.startswith("余先生在里長家吃干貝。")
        assert made.endswith("只有一只干貝。")
        assert "这" not in made
    assert counts["converted"] == 1
