"""data.instruct: examples that a reader would recognise, each with the span that proves it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danlu.data import structure
from danlu.data.candidates import announced, candidates, spaced
from danlu.data.flow import blocks
from danlu.data.instruct import Often
from danlu.data.seen import keys
from danlu.data.structure import plain, sections
from danlu.errors import DataError
from danlu.records import Document
from danlu.text.grounding import REFUSAL, grounded_prompt, question_of

PAGE = """# 注意力

開場白說明了注意力的用途與限制。

## 核心觀念

### 遮罩的作用

遮罩讓**未來**的位置看不到，見[文件](http://x.tw)與 `mask`。權重是 $a_i*b_i$，總和為 1。

常見的做法有三種：

- 加上負無限大，**再**做 softmax。
- 乘上零。
- 直接裁掉矩陣。

```python
x = 1
```

### 為什麼要縮放

因為維度很大時，內積的變異數也會跟著變大。

## 名詞解釋

- **秩（rank）**：矩陣中線性獨立方向的數目。
- **Token**：模型處理文字的最小單位。

## 常見陷阱

- **遮罩加錯位置**：在 softmax 之後才遮，權重加起來就不是一。
- **看圖說話**：如下圖所示，曲線會往下掉到很低的地方。

## 常見問題

### 頭數要設多少？

先決定每個頭的維度，再用隱藏維度去除。

**問：要用幾張卡？**
答：看模型的大小，小模型一張就夠用了。

## 延伸閱讀

- **某書**：這是一本很好的書，值得一讀再讀。
"""


def shapes(text: str, title: str = "注意力") -> dict[str, dict[str, str]]:
    document = Document(id="d", text=text, source="d", title=title)
    found: dict[str, dict[str, str]] = {}
    for one in candidates(document, sections(text), 320):
        found.setdefault(one.method, {})[one.questions[0]] = one.answer
    return found


def test_every_shape_is_found_and_reads_well():
    found = shapes(PAGE)
    assert found["definition"] == {
        "什麼是秩？": "矩陣中線性獨立方向的數目。",
        "什麼是 Token？": "模型處理文字的最小單位。",
    }
    assert found["pitfall"]["談到注意力，「遮罩加錯位置」要注意什麼？"] == "在 softmax 之後才遮，權重加起來就不是一。"
    assert found["qa"] == {
        "頭數要設多少？": "先決定每個頭的維度，再用隱藏維度去除。",
        "要用幾張卡？": "看模型的大小，小模型一張就夠用了。",
    }
    assert found["list"] == {
        "談到「遮罩的作用」，常見的做法有哪三種？": "- 加上負無限大，再做 softmax。\n- 乘上零。\n- 直接裁掉矩陣。"
    }
    assert found["section"]["為什麼要縮放？"] == "因為維度很大時，內積的變異數也會跟著變大。"
    masks = found["section"]["請說明注意力中的「遮罩的作用」。"]
    assert masks.startswith("遮罩讓未來的位置看不到，見文件與 mask。權重是 $a_i*b_i$，總和為 1。\n\n常見的做法")
    assert masks.endswith("- 直接裁掉矩陣。")


def test_drops_have_reasons(steps, opened):
    made = steps("data.instruct", documents=steps.documents(Document(id="d", text=PAGE, source="d", title="注意力")))
    result = opened(made)
    reasons = {drop.detail.split(": ", 1)[1]: drop.reason for drop in result.dropped}
    assert [reason for asked, reason in reasons.items() if "看圖說話" in asked] == ["context-bound"]
    assert {reason for asked, reason in reasons.items() if "某書" in asked or "延伸閱讀" in asked} == {
        "skipped-heading"
    }
    assert set(result.reasons) <= {"context-bound", "skipped-heading", "no-prose", "too-short"}


def test_a_heading_that_many_documents_share_is_not_asked_for(steps, opened):
    texts = {
        name: f"# {name}\n\n## 使用方式\n\n這裡說明{name}要怎麼使用，步驟不多。\n" for name in ("甲物", "乙物", "丙物")
    }
    made = steps.documents(*(Document(id=name, text=text, source=name, title=name) for name, text in texts.items()))
    with pytest.raises(DataError, match="no example"):
        steps("data.instruct", documents=made)


def bare(text: str) -> str:
    """Without list marks and white space."""
    return re.sub(r"[\s*-]|^\d+\.", "", text, flags=re.MULTILINE)


def test_every_answer_is_its_span_without_markup(steps, opened, chapters):
    made = steps("data.read", paths=chapters)
    documents = {document.id: document for document in opened(made).documents}
    result = opened(steps("data.instruct", documents=made))
    assert len(result.examples) >= 25 * len(chapters)
    for example in result.examples:
        evidence = documents[example.document].text[example.start : example.end]
        answer = example.messages[-1].content
        assert evidence
        assert "```" not in evidence
        assert "**" not in answer
        assert not answer.endswith("：")
        if answer != REFUSAL:
            assert bare(plain(evidence)) == bare(answer)
            assert 12 <= len(answer) <= 320
        asked = example.messages[-2].content
        if example.method.endswith("+passages"):
            assert bare(evidence) in bare(asked)
        if example.method == "refuse":
            assert answer == REFUSAL
            assert bare(evidence) not in bare(asked)
    for chapter in documents:
        assert sum(example.document == chapter for example in result.examples) >= 25


def test_passages_come_from_the_same_document(steps, opened, chapters):
    made = steps("data.read", paths=chapters)
    documents = {document.id: document.text for document in opened(made).documents}
    result = opened(steps("data.instruct", documents=made, grounded=0.8, refuse=0.2))
    for example in result.examples:
        asked = example.messages[-2].content
        lines = [line for line in asked.split("\n\n問題：")[0].split("\n")[2:] if line.strip()]
        for line in lines:
            if not re.match(r"\[\d\] ", line):
                assert line in documents[example.document]
    shares = [sum(example.method == "refuse" for example in result.examples) / len(result.examples)]
    shares.append(sum(example.method.endswith("+passages") for example in result.examples) / len(result.examples))
    assert 0.12 < shares[0] < 0.3
    assert 0.7 < shares[1] < 0.88


def test_system_message_and_no_passages(steps, opened):
    documents = steps.documents(Document(id="d", text=PAGE, source="d", title="注意力"))
    result = opened(steps("data.instruct", documents=documents, system="你是助教。", grounded=0, refuse=0))
    assert {tuple(message.role for message in one.messages) for one in result.examples} == {
        ("system", "user", "assistant")
    }
    assert len({example.id for example in result.examples}) == len(result.examples)


def test_questions_of_announcements():
    asked = {
        "詞元數量會影響這幾件事": "詞元數量會影響哪幾件事？",
        "收集的時候，有幾件事會直接決定成敗": "收集的時候，有哪幾件事會直接決定成敗？",
        "要調整時，建議照這個順序動手": "要調整時，建議照什麼順序動手？",
        "常見的組合如下": "常見的組合有哪些？",
        "一份報告應該包含": "一份報告應該包含哪些？",
        "使用資料之前要確認三件事": "使用資料之前要確認哪三件事？",
        "主要步驟依序是": "主要步驟依序是什麼？",
        "我們來看看": "",
    }
    assert {sentence: announced(sentence) for sentence in asked} == asked


@given(st.text(alphabet="# -*`$：？（）字詞ab\n1.>|\\[]", max_size=200))
def test_spans_hold_for_any_markdown(text):
    for section in sections(text):
        for block in section.blocks:
            assert 0 <= block.start <= block.end <= len(text)
            for item in block.items:
                assert block.start <= item.start <= item.end <= block.end
    document = Document(id="d", text=text, source="d", title="題")
    for one in candidates(document, sections(text), 320):
        assert 0 <= one.start <= one.end <= len(text)


def test_plain_keeps_formulas_and_drops_markup():
    assert (
        plain(r"**設** $x_1*y_1*\|z\|$ 與 [字](u) 與 `a_b`，*斜*[^1] [看][ref]")
        == r"設 $x_1*y_1*\|z\|$ 與 字 與 a_b，斜 看"
    )
    assert plain("一行\n接著\nEnglish\nmore") == "一行接著 English more"
    assert spaced("請說明KV快取的3種") == "請說明 KV 快取的 3 種"


@given(st.text("ab字，。 #-+1.|:\"'(){}=/@\t\u3000\n\x0b\u2028^%;?!*`[]_$&<\\", max_size=20))
def test_words_without_markup_are_what_the_parser_makes_of_them(text):
    out = "".join(map(structure._words, structure._markdown().parseInline(text)[0].children or []))
    out = structure._REFERENCE.sub(r"\1", structure._FOOTNOTE.sub("", out))
    assert plain(text) == re.sub(r"[ \t]*\n[ \t]*", lambda found: structure._between(out, *found.span()), out).strip()


def test_grounded_prompt():
    prompt = grounded_prompt("什麼是秩？", ["甲\n\n問題：乙", "丙 "])
    assert question_of(prompt) == "什麼是秩？"
    assert question_of("直接問") == "直接問"
    assert "\n\n[1] 甲" in prompt
    assert "\n\n[2] 丙\n\n問題：" in prompt
    assert REFUSAL in prompt


def test_small_blocks_make_what_one_block_makes(steps, monkeypatch):
    shared = "\n\n## 使用方式\n\n這裡說明要怎麼使用，步驟並不多。\n\n- **詞元（token）**：模型處理文字的最小單位。\n"
    texts = {f"d{at}": PAGE.replace("# 注意力", f"# 第{at}章") + shared for at in range(12)}
    documents = steps.documents(**texts)
    whole = steps("data.instruct", documents=documents)
    path = documents.file("documents.jsonl")
    monkeypatch.setattr("danlu.data.instruct.blocks", lambda path: blocks(path, 3000))
    monkeypatch.setattr("danlu.data.flow.cores", lambda: 1)
    assert len(blocks(path, 3000)) >= 4
    cut = steps("data.instruct", documents=documents)
    assert cut.content == whole.content
    reasons = next(entry["dropped"] for entry in whole.manifest["report"] if entry["type"] == "funnel")
    assert reasons["duplicate"] >= 12
    assert reasons["shared-heading"] >= 12


def test_headings_are_counted_by_document():
    count = Often()
    for found in ([3, 5], [3], [5, 7], [], [3, 9]):
        count.add(keys(sorted(found)))
    assert count.at_least(3).tolist() == [3]
    assert count.at_least(2).tolist() == [3, 5]
    for _ in range(300):
        count.add(keys([9]))
    assert count.at_least(255).tolist() == [9]


CHAIN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from one_step import Steps
steps = Steps(Path(sys.argv[2]))
read = steps("data.read", paths=[Path(path) for path in sys.argv[3:]])
unique = steps("data.dedup", documents=steps("data.clean", documents=read))
examples = steps("data.instruct", documents=unique)
print(examples.content, steps("data.split", examples=examples, documents=unique).content)
"""


def test_two_runs_are_the_same_to_the_byte(chapters, tmp_path):
    printed = []
    for seed in ("1", "2"):
        arguments = [
            sys.executable,
            "-c",
            CHAIN,
            str(Path(__file__).parent),
            str(tmp_path / seed),
            *map(str, chapters[:4]),
        ]
        path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
        printed.append(subprocess.run(arguments, env=environment, check=True, capture_output=True, text=True).stdout)
    assert printed[0] == printed[1]
    assert len(printed[0].split()) == 2


STATUTE = (
    "某某圖書館辦法\n\n第一章 總則\n第 1 條\n本辦法依圖書館法第八條訂定之。\n第 2 條\n本館掌理下列事項：\n一、圖書之採編。\n"  # noqa: E501
    "二、讀者之服務。\n第 3 條\n依前條規定辦理者，應先申請。\n"
)
POLICY = "# 資安政策\n\n一、目的\n為保護公司資料，特訂定本政策。\n二、密碼至少十二碼，每半年應更換一次，不得重複。\n"


@pytest.mark.parametrize("format", ["text", "markdown"])
def test_a_statute_and_a_policy_give_examples(steps, opened, format):
    documents = [
        Document(id=f"{name}{i}", source=name, text=text.replace("某某", f"某{i}"), format=format)
        for i in range(4)
        for name, text in (("law", STATUTE), ("policy", POLICY))
    ]
    made = opened(steps("data.instruct", documents=steps.documents(*documents), grounded=0, refuse=0))
    pairs = {example.messages[0].content: example.messages[1].content for example in made.examples}
    assert any("某2圖書館辦法第 2 條" in question.replace(" ", "").replace("第2條", "第 2 條") for question in pairs)
    assert "本館掌理下列事項：\n一、圖書之採編。\n二、讀者之服務。" in pairs.values()
    assert "為保護公司資料，特訂定本政策。" in pairs.values()
    assert "密碼至少十二碼，每半年應更換一次，不得重複。" in pairs.values()
    assert made.reasons["context-bound"] == 4
