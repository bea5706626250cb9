"""Formats: whatever a record says is carried from one to another and back, or the record is not written at all."""

import contextlib
import json
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.data.formats import ALIASES, FORMATS, Cannot, detect, dump, files, named, parse
from danlu.data.formats.fields import content_id
from danlu.errors import UsageError
from danlu.records import Example, Message, Preference, ToolCall

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
SAID = TEXT.filter(str.strip)
NAMES = st.sampled_from(
    ["source", "lang", "input", "label", "kto_tag", "id", "tools", "system", "text", "A", "name", "turns", "history"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | TEXT, lambda inner: st.lists(inner, max_size=2), max_leaves=4
)
META = st.dictionaries(NAMES | TEXT, JSON, max_size=2)
CALLS = st.lists(
    st.builds(ToolCall, name=SAID, arguments=st.dictionaries(TEXT, JSON, max_size=2), id=st.just("") | TEXT),
    min_size=1,
    max_size=2,
)
TOOLS = st.just([]) | st.lists(st.dictionaries(TEXT, JSON, max_size=2), min_size=1, max_size=2)


@st.composite
def turns(draw: st.DrawFn, last: str) -> list[Message]:
    """A conversation that a template takes, with whatever a turn can carry."""
    rich = draw(st.booleans())
    made = [Message(role="system", content=draw(SAID))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(0, 2))):
        made += [Message(role="user", content=draw(SAID)), Message(role="assistant", content=draw(SAID))]
    made.append(Message(role="user", content=draw(SAID)))
    if rich and draw(st.booleans()):
        made.append(Message(role="assistant", content=draw(st.just("") | SAID), tool_calls=draw(CALLS)))
        made.append(Message(role="tool", content=draw(TEXT), name=draw(st.just("") | TEXT), tool_call_id="call"))
    if last == "assistant":
        made.append(Message(role="assistant", content=draw(SAID)))
    if rich:
        made = [one.model_copy(update={"meta": draw(META)}) if draw(st.booleans()) else one for one in made]
    return made


@st.composite
def examples(draw: st.DrawFn) -> Example:
    made = Example(
        id=draw(st.just("") | TEXT),
        messages=draw(turns("assistant")),
        document=draw(st.just("") | TEXT),
        start=draw(st.integers(0, 9)),
        end=draw(st.integers(0, 9)),
        method=draw(st.just("") | TEXT),
        source=draw(st.just("") | TEXT),
        tools=draw(TOOLS),
        label=draw(st.none() | st.booleans()),
        meta=draw(META),
    )
    return made if made.id else made.model_copy(update={"id": content_id(made)})


@st.composite
def preferences(draw: st.DrawFn) -> Preference:
    made = Preference(
        id=draw(st.just("") | TEXT),
        prompt=draw(turns("user")),
        chosen=draw(SAID),
        rejected=draw(SAID),
        document=draw(st.just("") | TEXT),
        method=draw(st.just("") | TEXT),
        tools=draw(TOOLS),
        meta=draw(META),
    )
    return made if made.id else made.model_copy(update={"id": content_id(made)})


def through(name: str, record: Any) -> Any:
    """The record written in a format, as JSON, and read again."""
    text = json.dumps(dump(FORMATS[name], record), ensure_ascii=False)
    made, faults = parse(FORMATS[name], json.loads(text))
    assert not faults, (name, text, faults)
    return made


@settings(max_examples=300, deadline=None)
@given(record=examples() | preferences(), path=st.lists(st.sampled_from(sorted(FORMATS)), min_size=1, max_size=4))
def test_any_way_through_formats_that_can_carry_it_is_lossless(record, path):
    now = record
    for name in path:
        with contextlib.suppress(Cannot):
            now = through(name, now)
    assert now == record


def test_a_label_and_a_field_of_that_name_are_not_mixed_up():
    made, _ = parse(FORMATS["completion"], {"prompt": "問", "completion": "答", "label": None})
    assert through("completion", made) == made
    with pytest.raises(Cannot, match="label"):
        dump(FORMATS["completion"], made.model_copy(update={"label": False}))


@settings(max_examples=200, deadline=None)
@given(examples())
def test_the_rich_formats_carry_everything_that_has_no_clashing_name(record):
    plain = record.model_copy(
        update={"meta": {}, "messages": [one.model_copy(update={"meta": {}}) for one in record.messages]}
    )
    plain = plain.model_copy(update={"id": "one"})
    assert through("messages", plain) == plain
    assert through("danlu", record) == record


RAW = {
    "alpaca": {
        "instruction": "翻譯",
        "input": "hello",
        "output": "你好",
        "system": "你是譯者",
        "history": [["甲", "乙"]],
    },
    "sharegpt": {
        "conversations": [
            {"from": "human", "value": "天氣？"},
            {"from": "function_call", "value": '{"name": "weather", "arguments": {"city": "臺北"}}'},
            {"from": "observation", "value": "26 度"},
            {"from": "gpt", "value": "26 度。"},
        ],
        "system": "助理",
        "tools": '[{"name": "weather"}]',
        "kto_tag": True,
        "split": "a",
    },
    "messages": {
        "messages": [
            {"role": "user", "content": "天氣？", "weight": 0},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {"type": "function", "id": "c1", "function": {"name": "weather", "arguments": {"city": "臺北"}}}
                ],
            },
            {"role": "tool", "content": "26 度", "name": "weather", "tool_call_id": "c1"},
            {"role": "assistant", "content": "26 度。"},
        ],
        "tools": [{"name": "weather"}],
        "label": False,
        "id": 7,
    },
    "completion": {"prompt": "一加一？", "completion": "二。", "label": True, "id": "x"},
    "completion-messages": {
        "prompt": [{"role": "user", "content": "一加一？"}],
        "completion": [{"role": "assistant", "content": "二。"}],
    },
    "question": {"question": "一加一？", "answer": "二。", "subject": "算術"},
    "text": {"text": "一段話。"},
    "trl": {"prompt": "問", "chosen": "好", "rejected": "壞", "score_chosen": 3.5},
    "trl-messages": {
        "prompt": [{"role": "user", "content": "問"}],
        "chosen": [{"role": "assistant", "content": "好"}],
        "rejected": [{"role": "assistant", "content": "壞"}],
    },
    "sharegpt-preference": {
        "conversations": [{"from": "human", "value": "問"}],
        "chosen": {"from": "gpt", "value": "好"},
        "rejected": {"from": "gpt", "value": "壞"},
        "system": "助理",
    },
    "alpaca-preference": {"instruction": "問", "input": "這個", "chosen": "好", "rejected": "壞"},
}


@pytest.mark.parametrize("name", sorted(RAW))
def test_a_record_as_people_write_it_comes_back_field_by_field(name):
    assert detect([RAW[name]]) == name
    made, faults = parse(FORMATS[name], RAW[name])
    assert not faults
    assert dump(FORMATS[name], made) == RAW[name]


def test_every_format_is_tried_above():
    assert set(RAW) | {"danlu", "danlu-preference"} == set(FORMATS)
    assert set(ALIASES.values()) <= set(FORMATS)
    from danlu.data.examples import ExampleFormat
    from danlu.data.preferences import PreferenceFormat

    assert set(get_args(ExampleFormat)) | set(get_args(PreferenceFormat)) == {*FORMATS, "auto"}


def test_alpaca_through_sharegpt_finds_its_input_again():
    made, _ = parse(FORMATS["alpaca"], RAW["alpaca"])
    assert made.messages[-2].content == "翻譯\nhello"
    assert dump(FORMATS["alpaca"], through("sharegpt", made)) == RAW["alpaca"]


@pytest.mark.parametrize(
    ("name", "record", "told"),
    [
        ("alpaca", {"instruction": "問", "ouput": "答"}, "missing-field output ouput"),
        ("alpaca", {"instruction": "問", "output": 5}, "wrong-type output"),
        ("alpaca", {"instruction": " ", "output": "答"}, "empty instruction"),
        ("alpaca", {"instruction": "問", "output": "答", "history": [["甲"]]}, "wrong-type history.1"),
        ("sharegpt", {"conversations": [{"from": "humna", "value": "問"}]}, "unknown-role conversations.1.from human"),
        ("sharegpt", {"conversations": [{"from": "gpt", "value": "答"}]}, "turn-order turn.1"),
        ("sharegpt", {"conversations": [{"from": "human", "value": "問"}]}, "no-answer"),
        ("sharegpt", {"conversations": [{"from": "human"}]}, "missing-field conversations.1.value"),
        ("sharegpt", {"conversations": [{"from": "function_call", "value": "f("}]}, "broken-tool-call"),
        ("sharegpt", {"conversations": [{"from": "human", "value": "問"}], "tools": "[{"}, "broken-tools tools"),
        ("messages", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "wrong-type messages.1"),
        ("messages", {"messages": []}, "empty messages"),
        ("trl", {"prompt": "問", "chosen": "同", "rejected": "同"}, "same-answers"),
        ("trl", {"chosen": "好", "rejected": "壞"}, "missing-field prompt"),
        ("question", {"question": "問", "answer": "A", "A": "甲", "B": "乙"}, "choices"),
        ("completion", {"prompt": "問", "completion": "答", "danlu": {"start": "x"}}, "reserved-field danlu"),
        ("danlu", {"id": "1", "messages": [{"role": "user", "content": "x"}], "star": 3}, "wrong-type star start"),
        ("text", ["x"], "not-an-object"),
    ],
)
def test_faults_name_the_field_and_the_nearest(name, record, told):
    made, faults = parse(FORMATS[name], record)
    assert made is None
    first = faults[0]
    assert " ".join(filter(None, (first.reason, first.field, first.near or ""))).startswith(told)


def test_an_implicit_prompt_is_what_both_answers_begin_with():
    asked = [{"role": "system", "content": "助理"}, {"role": "user", "content": "問"}]
    pair = {
        name: [*asked, {"role": "assistant", "content": said}] for name, said in (("chosen", "好"), ("rejected", "壞"))
    }
    made, faults = parse(FORMATS["trl-messages"], pair)
    assert not faults
    assert [one.content for one in made.prompt] == ["助理", "問"]
    again, _ = parse(FORMATS["trl-messages"], {"prompt": "問", **pair})
    assert again == made
    _, faults = parse(FORMATS["trl-messages"], {"prompt": "別的", **pair})
    assert faults[0].field == "prompt"


@settings(max_examples=300, deadline=None)
@given(
    record=st.dictionaries(NAMES | st.sampled_from(["messages", "prompt", "chosen"]), JSON | st.just([{}]), max_size=4)
)
def test_any_json_is_judged_without_a_crash(record):
    for format in FORMATS.values():
        made, faults = parse(format, record)
        assert (made is None) == bool(faults)


def test_unknown_format_is_told_with_the_nearest():
    with pytest.raises(UsageError) as caught:
        named("sharegtp")
    assert caught.value.problem.nearest == "sharegpt"
    assert named("chatml") is FORMATS["messages"]


# --- files ---


def test_lines_and_lists_give_the_same_records_with_their_lines(tmp_path):
    records = [{"text": f"第{at}筆\n" + "字" * (at % 7)} for at in range(50)]
    lines = tmp_path / "a.jsonl"
    lines.write_bytes(b"\xef\xbb\xbf" + "\n\n".join(json.dumps(one, ensure_ascii=False) for one in records).encode())
    listed = tmp_path / "a.json"
    listed.write_text(json.dumps(records, ensure_ascii=False, indent=2), encoding="utf-8")
    one, other = list(files.records(lines)), list(files.records(listed))
    assert [raw.value for raw in one] == [raw.value for raw in other] == records
    assert [raw.line for raw in one] == [1 + 2 * at for at in range(50)]
    assert [raw.line for raw in other] == [2 + 3 * at for at in range(50)]


def test_spans_of_any_size_hold_every_line_once(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"n": {at}, "x": "{"字" * (at % 97)}"}}\n' for at in range(800)), encoding="utf-8")
    monkeypatch.setattr(files, "_CHUNK", 1000)
    monkeypatch.setattr(files, "_BLOCK", 3000)
    assert len(files.spans(path)) > 10
    found = list(files.records(path))
    assert [(raw.line, raw.value["n"]) for raw in found] == [(at + 1, at) for at in range(800)]
    monkeypatch.setattr(files, "_CHUNK", 7)
    listed = tmp_path / "a.json"
    listed.write_text(
        json.dumps([{"n": at, "x": [1.5, "字\n"]} for at in range(100)], ensure_ascii=False), encoding="utf-8"
    )
    assert [raw.value["n"] for raw in files.records(listed)] == list(range(100))


def test_broken_lines_are_single_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LONGEST", 5000)
    bad = {
        "broken JSON": b'{"a": ',
        "not UTF-8": '{"a": "中文"}'.encode("big5"),
        "NaN": b'{"a": NaN}',
        "twice": b'{"a": 1, "a": 2}',
        "surrogate": b'{"a": "\\ud800"}',
        "deep": b"[" * 4000 + b"]" * 900,
        "long": b'{"a": "' + b"x" * 9000 + b'"}',
        "digits": b'{"a": ' + b"9" * 4900 + b"}",
    }
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(line for one in bad.values() for line in (one, b'{"ok": 1}')))
    found = list(files.records(path))
    assert [raw.line for raw in found] == list(range(1, 17))
    assert [raw.fault is None for raw in found] == [False, True] * len(bad)
    assert {raw.fault.reason for raw in found if raw.fault} == {"broken-json", "not-utf-8", "too-long"}


def test_a_broken_list_gives_what_came_before(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[{"a": 1},\n{"a": 2},\n{"a": tru},\n{"a": 4}]', encoding="utf-8")
    found = list(files.records(path))
    assert [raw.value for raw in found] == [{"a": 1}, {"a": 2}, None]
    assert found[2].line == 3
    assert found[2].fault.reason == "broken-json"
    path.write_bytes("[{}, {}]".encode("utf-16"))
    assert [raw.fault.reason for raw in files.records(path)] == ["not-utf-8"]
    path.write_text("", encoding="utf-8")
    assert list(files.records(path)) == []


def test_the_demo_sets_come_back_from_every_format_that_takes_them(shared):
    folder = shared / "instruct" / "llama-factory-demo"
    kinds = {}
    for path in sorted(folder.glob("*_demo.json")):
        raws = list(files.records(path))
        name = detect(raw.value for raw in raws)
        kinds[path.name] = name
        made = [record for raw in raws if (record := parse(FORMATS[name], raw.value)[0])]
        assert len(made) >= 0.99 * len(raws) == 0.99 * (1000 if "alpaca" in path.name else 300)
        carried = 0
        for record in made:
            for other, format in FORMATS.items():
                try:
                    assert format.makes is not type(record) or through(other, record) == record
                    carried += format.makes is type(record)
                except Cannot:
                    continue
        assert carried >= 4 * len(made)
    assert kinds == {
        "alpaca_zh_demo.json": "alpaca",
        "dpo_zh_demo.json": "sharegpt-preference",
        "glaive_toolcall_zh_demo.json": "sharegpt",
        "kto_en_demo.json": "messages",
    }


def test_benchmarks_are_read_or_refused_never_misread(shared):
    read = {}
    for path in sorted((shared / "bench" / "twinkle-examples").rglob("*.jsonl")):
        raws = list(files.records(path))
        name = detect(raw.value for raw in raws)
        good = [parse(FORMATS[name], raw.value)[0] for raw in raws] if name else []
        read[path.parent.name] = (name, sum(one is not None for one in good))
    assert read["gsm8k"] == ("question", 20)
    assert read["tmmluplus"] == ("question", 0)
    assert read["simple"] == (None, 0)
