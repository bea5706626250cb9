"""data.examples and data.preferences: anybody's files, each record kept or dropped with its file and line."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from danlu.artifact import Artifact
from danlu.data.formats import files
from danlu.errors import DataError
from danlu.records import Drop, Example, Preference, read_jsonl


def loaded(artifact: Artifact) -> SimpleNamespace:
    kind = Preference if artifact.kind == "preferences" else Example
    records = list(read_jsonl(artifact.file(f"{artifact.kind}.jsonl"), kind))
    drops = list(read_jsonl(artifact.file("dropped.jsonl"), Drop))
    funnel = next(entry for entry in artifact.manifest["report"] if entry["type"] == "funnel")
    assert funnel["came"] == funnel["kept"] + len(drops)
    return SimpleNamespace(records=records, drops=drops, reasons=funnel["dropped"], came=funnel["came"])


def jsonl(path: Path, *records: object) -> Path:
    lines = [one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in records]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def asked(question: str, answer: str, **more: object) -> dict:
    return {"instruction": question, "output": answer, **more}


def test_files_of_several_formats_are_read_and_faults_named(steps, tmp_path):
    jsonl(tmp_path / "a.jsonl", asked("一？", "甲"), "{broken", asked("二？", ""), asked("一？", "甲"))
    pair = [{"role": "user", "content": "三？"}, {"role": "assistant", "content": "丙"}]
    (tmp_path / "b.json").write_text(json.dumps([{"messages": pair}, {"messages": pair[:1]}]), encoding="utf-8")
    (tmp_path / "c.json").write_text('{"name": "settings"}', encoding="utf-8")
    jsonl(tmp_path / "d.jsonl", {"prompt": "問", "chosen": "好", "rejected": "壞"})
    made = loaded(steps("data.examples", paths=[tmp_path]))
    assert [one.messages[-1].content for one in made.records] == ["甲", "丙"]
    assert [one.source.split("/")[-1] for one in made.records] == ["a.jsonl:1", "b.json:1"]
    assert [one.method for one in made.records] == ["alpaca", "messages"]
    found = {drop.source.split("/")[-1]: drop.reason for drop in made.drops}
    assert found == {
        "a.jsonl:2": "broken-json",
        "a.jsonl:3": "empty",
        "a.jsonl:4": "duplicate",
        "b.json:1": "no-answer",
        "c.json": "unknown-format",
        "d.jsonl": "other-kind",
    }


def test_labels_tell_bad_answers_from_good_ones(steps, tmp_path):
    rows = [{"prompt": "問", "completion": said, "label": good} for said, good in (("好", True), ("壞", False))]
    path = jsonl(tmp_path / "kto.jsonl", *rows, {"prompt": "別的", "completion": "也好"})
    good = loaded(steps("data.examples", paths=[path]))
    assert [one.messages[-1].content for one in good.records] == ["好", "也好"]
    assert good.reasons == {"found-bad": 1}
    every = loaded(steps("data.examples", paths=[path], labels="all"))
    assert [one.label for one in every.records] == [True, False, None]


def test_ids_are_kept_and_never_shared(steps, tmp_path):
    first = jsonl(tmp_path / "a.jsonl", asked("一？", "甲", id="1"), asked("二？", "乙", id="2", topic="x"))
    second = jsonl(tmp_path / "b.jsonl", asked("三？", "丙", id="1"))
    made = loaded(steps("data.examples", paths=[first, second]))
    assert [one.id for one in made.records][:2] == ["1", "2"]
    assert len({one.id for one in made.records}) == 3
    assert made.records[1].meta == {"topic": "x"}
    assert made.records[2].meta == {"id": "1"}


def test_to_taiwan_converts_words_and_leaves_code_and_calls(steps, tmp_path):
    code = "用 `软件` 这个变量：\n```\n软件 = 1\n```\n软件很好。"
    calls = [
        {"from": "human", "value": "软件在哪里？"},
        {"from": "function_call", "value": '{"name": "find", "arguments": {"what": "软件"}}'},
        {"from": "observation", "value": "软件"},
        {"from": "gpt", "value": "在硬盘里。"},
    ]
    one = jsonl(tmp_path / "a.jsonl", asked("软件是什么？", code, input="数据库的质量"))
    other = jsonl(tmp_path / "b.jsonl", {"conversations": calls})
    made = loaded(steps("data.examples", paths=[one, other], to_taiwan=True))
    assert made.records[0].messages[0].content == "軟體是什麼？\n資料庫的品質"
    assert made.records[0].meta["input_characters"] == len("資料庫的品質")
    assert made.records[0].messages[1].content == "用 `软件` 這個變數：\n```\n软件 = 1\n```\n軟體很好。"
    assert [message.content for message in made.records[1].messages] == ["軟體在哪裡？", "", "软件", "在硬碟裡。"]
    assert made.records[1].messages[1].tool_calls[0].arguments == {"what": "软件"}


def test_blocks_in_several_processes_give_what_one_pass_gives(steps, tmp_path, monkeypatch):
    records = [asked(f"第 {at % 40} 題？", f"答 {at % 40}") if at % 9 else {"instruction": at} for at in range(120)]
    path = jsonl(tmp_path / "a.jsonl", *records)
    whole = steps("data.examples", paths=[path])
    monkeypatch.setattr(files, "_CHUNK", 500)
    monkeypatch.setattr(files, "_BLOCK", 900)
    assert len(files.spans(path)) > 3
    cut = steps("data.examples", paths=[path], licence="unknown ")
    assert (whole.path / "examples.jsonl").read_bytes() == (cut.path / "examples.jsonl").read_bytes()
    assert loaded(whole).reasons == loaded(cut).reasons == {"duplicate": 66, "wrong-type": 14}


def test_nothing_readable_is_one_clear_error(steps, tmp_path):
    path = jsonl(tmp_path / "a.jsonl", {"a": 1}, {"b": 2})
    with pytest.raises(DataError, match="unknown-format 1") as caught:
        steps("data.examples", paths=[path])
    assert "danlu data validate" in caught.value.problem.next
    with pytest.raises(DataError, match="no such file"):
        steps("data.examples", paths=[tmp_path / "b.jsonl"])


# --- preferences ---


def test_pairs_and_labels_become_preferences(steps, tmp_path):
    pairs = jsonl(
        tmp_path / "a.jsonl", {"prompt": "問", "chosen": "好", "rejected": "壞", "margin": 2}, {"prompt": "問"}
    )
    rows = [
        ("甲？", "對", True),
        ("乙？", "錯", False),
        ("甲？", "不對", False),
        ("乙？", "是", True),
        ("甲？", "對！", True),
    ]
    kto = [{"prompt": ask, "completion": said, "label": good} for ask, said, good in rows]
    labelled = jsonl(tmp_path / "b.jsonl", *kto, {"prompt": "丙？", "completion": "沒有標記"})
    made = loaded(steps("data.preferences", paths=[pairs, labelled]))
    found = [(one.prompt[-1].content, one.chosen, one.rejected) for one in made.records]
    assert found == [("問", "好", "壞"), ("甲？", "對", "不對"), ("乙？", "是", "錯")]
    assert made.records[0].meta == {"margin": 2}
    assert made.reasons == {"missing-field": 1, "no-label": 1, "unpaired": 1}
    assert made.came == 8


def test_the_demo_sets(steps, shared):
    folder = shared / "instruct" / "llama-factory-demo"
    examples = loaded(steps("data.examples", paths=[folder]))
    assert len(examples.records) >= 1400
    assert examples.came == 1000 + 91 + 300 + 300 + 2
    preferences = loaded(steps("data.preferences", paths=[folder / "dpo_zh_demo.json"], to_taiwan=True))
    assert len(preferences.records) >= 280
    assert sum("软件" in one.chosen or "这" in one.chosen for one in preferences.records) < 20
