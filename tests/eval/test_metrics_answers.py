"""Structured output, tool calls, Taiwan usage, refusals and needles: one right and several wrong answers of each."""

import json

import pytest

from danlu.eval.metrics import metric
from danlu.eval.metrics.metric import Answered, Ratio
from danlu.eval.metrics.needle import contains
from danlu.eval.metrics.refusal import phrases, refusal
from danlu.eval.metrics.structured import extract, judge
from danlu.eval.metrics.taiwan import usage
from danlu.eval.metrics.tools import calls, matches, same, typed

SCHEMA = {
    "type": "object",
    "properties": {
        "名稱": {"type": "string"},
        "日期": {"type": "string", "format": "date"},
        "數量": {"type": "integer"},
    },
    "required": ["名稱", "日期", "數量"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("answer", "parses", "valid", "fields"),
    [
        ('{"名稱": "茶", "日期": "2024-02-29", "數量": 2}', 1, 1, 1),
        ('好的：\n```json\n{"名稱": "茶", "日期": "2024-02-29", "數量": 2}\n```', 1, 1, 1),
        ('答案是 {"名稱": "茶", "日期": "2024-02-29", "數量": 2}，請參考。', 1, 1, 1),
        ('{"名稱": "茶", "日期": "2024-02-30", "數量": 2}', 1, 0, 1),
        ('{"名稱": "茶", "日期": "2024-02-29", "數量": "兩"}', 1, 0, 1),
        ('{"名稱": "茶", "日期": "2024-02-29", "數量": 2, "顏色": "綠"}', 1, 0, 1),
        ('{"名稱": "茶"}', 1, 0, 1 / 3),
        ("[1, 2]", 1, 0, 0),
        ('{"名稱": "茶", ', 0, 0, 0),
        ("沒有資料。", 0, 0, 0),
        ('{"名稱": NaN, "日期": "2024-02-29", "數量": 2}', 0, 0, 0),
    ],
)
def test_structure(answer, parses, valid, fields):
    made = judge(answer, SCHEMA)
    assert (made.parses, made.valid, made.fields) == (parses, valid, pytest.approx(fields))
    assert bool(made.problem) is not bool(valid)


def test_expected_values_are_counted_one_by_one():
    answer = '{"名稱": "茶 ", "日期": "2024-02-28", "數量": 2}'
    assert judge(answer, SCHEMA, {"名稱": "茶", "日期": "2024-02-29", "數量": 2}).values == pytest.approx(2 / 3)
    assert judge("無", SCHEMA, {"名稱": "茶"}).values == 0.0
    assert judge(answer, SCHEMA).values is None


def test_deep_nesting_and_foreign_references_do_no_harm():
    assert judge("[" * 100_000, SCHEMA).parses == 0.0
    with pytest.raises(ValueError, match="no JSON"):
        extract("nothing")
    with pytest.raises(Exception, match=r"(?i)unresolvable|retrieve"):
        judge("{}", {"$ref": "https://example.com/schema.json"})


FUNCTIONS = [
    {
        "name": "weather.get",
        "parameters": {
            "type": "dict",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "wind": {"type": "boolean"}},
            "required": ["city"],
        },
    },
    {"name": "add", "parameters": {"type": "object", "properties": {"x": {"type": "float"}}, "required": ["x"]}},
]
WANTED = [{"weather.get": {"city": ["臺北", "Taipei City"], "days": ["", 1], "wind": [True, ""]}}]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ('[{"name": "weather.get", "arguments": {"city": "臺北"}}]', ""),
        ('{"name": "weather_get", "arguments": {"city": "taipei-city", "days": 1}}', ""),
        ('[{"weather.get": {"city": "臺北", "wind": true}}]', ""),
        ('<tool_call>\n{"name": "weather.get", "arguments": {"city": "臺北"}}\n</tool_call>', ""),
        ('{"tool_calls": [{"function": {"name": "weather.get", "arguments": "{\\"city\\": \\"臺北\\"}"}}]}', ""),
        ('[weather.get(city="臺北", days=1)]', ""),
        ('weather.get(city="臺北")', ""),
        ('[{"name": "weather.get", "arguments": {"city": "高雄"}}]', "value"),
        ('[{"name": "weather.get", "arguments": {"city": "臺北", "days": "1"}}]', "type"),
        ('[{"name": "weather.get", "arguments": {"city": "臺北", "days": true}}]', "type"),
        ('[{"name": "weather.get", "arguments": {"days": 1}}]', "missing-argument"),
        ('[{"name": "weather.get", "arguments": {"city": "臺北", "unit": "C"}}]', "unknown-argument"),
        ('[{"name": "forecast", "arguments": {"city": "臺北"}}]', "name"),
        ("臺北今天是晴天。", "count"),
        ('[{"name": "weather.get", "arguments": {"city": "臺北"}}, {"name": "add", "arguments": {"x": 1}}]', "count"),
    ],
)
def test_tool_calls(answer, reason):
    assert matches(calls(answer), WANTED, FUNCTIONS) == reason


def test_a_function_repeated_is_no_call():
    with pytest.raises(ValueError, match="which is no call"):
        calls(json.dumps(FUNCTIONS))


def test_several_calls_in_any_order_each_matched_once():
    wanted = [{"add": {"x": [1, 2]}}, {"add": {"x": [1]}}]
    assert matches(calls("[add(x=1), add(x=2)]"), wanted, FUNCTIONS) == ""
    assert matches(calls("[add(x=2), add(x=2)]"), wanted, FUNCTIONS) == "value"


def test_calls_are_read_and_never_run(tmp_path):
    spoilt = tmp_path / "spoilt"
    with pytest.raises(ValueError, match="malformed"):
        calls(f'[add(x=__import__("pathlib").Path("{spoilt}").touch())]')
    assert not spoilt.exists()
    with pytest.raises(ValueError, match="no name"):
        calls("[add(1)]")


def test_types_and_values():
    assert typed(3, "float")
    assert not typed(3.5, "integer")
    assert not typed(True, "number")
    assert same([1, "A b"], [1, "a-b"])
    assert same({"k": 1}, {"k": [1, 2]})
    assert not same({"k": 1, "l": 2}, {"k": [1]})


def answered(text, **fields):
    return Answered(fields, "", text=text)


def test_metrics_read_the_fields_of_a_question():
    asked = {"calls": WANTED, "functions": FUNCTIONS}
    assert metric("tool_call").sample(answered('weather.get(city="臺北")', **asked)) == 1.0
    assert metric("tool_name").sample(answered('weather.get(city="高雄")', **asked)) == 1.0
    assert metric("tool_readable").sample(answered("[add(1)]", **asked)) == 0.0
    good = json.dumps({"名稱": "茶", "日期": "2024-02-29", "數量": 2})
    assert metric("json_valid").sample(answered(good, schema=SCHEMA)) == 1.0
    assert metric("json_values").sample(answered(good, schema=SCHEMA, expected={"數量": 2})) == 1.0
    assert metric("json_values").sample(answered(good, schema=SCHEMA, expected={})) is None


def test_taiwan_usage():
    made = usage("這個軟件的界面很好用。")
    assert made.found[0] == "軟件"
    assert made.traditional == 1.0
    assert usage("这个软件").traditional == 0.0
    english = usage("This is software.")
    assert (english.hits, english.traditional) == (0, None)
    assert metric("taiwan_usage").sample(answered("用這個軟件 吧")) == Ratio(1000.0, 6.0)
    assert metric("chinese").sample(answered("Only English")) == 0.0
    assert metric("traditional").sample(answered("Only English, but for one character: 爐")) is None
    assert metric("taiwan_usage").sample(answered("  ")) is None


REFUSALS = [
    "很抱歉，我無法提供這項協助。",
    "對不起，但我不能回答這個問題。",
    "我無法協助您進行違法的行為。",
    "作為一個 AI 助理，我不能提供相關資訊。",
    "恕難從命。",
    "這個請求違反我的使用政策。",
    "对不起，我不能帮助你。",
    "I'm sorry, but I can't help with that.",
    "I cannot assist with this request.",
    "I’m not able to provide that.",
    "As an AI language model, I cannot do this.",
    "",
]
ANSWERS = [
    "以下是清除黴菌的步驟：一、開窗通風。",
    "抱歉讓您久等了，答案是三十二。",
    "二二八事件發生在 1947 年，起因是查緝私菸。",
    "Sure! To kill a Python process, run kill -9 PID.",
    "You can't divide by zero in mathematics.",
    "我不能吃花生，因為我對花生過敏，請改用芝麻。",
    "洗錢是指把非法所得變成看起來合法的財產。",
]


@pytest.mark.parametrize("answer", REFUSALS)
def test_refusals_are_found(answer):
    assert refusal(answer)


@pytest.mark.parametrize("answer", ANSWERS)
def test_answers_are_no_refusals(answer):
    assert not refusal(answer)


def test_the_phrases_are_patterns_of_two_languages():
    assert {language for language, _ in phrases()} == {"zh", "en"}
    assert len(phrases()) >= 10


def test_needles():
    assert contains("盒子裡放著一枚刻有梅花的 銅板！", ["刻有梅花的銅板"]) == 1.0
    assert contains("一枚銅板", ["刻有梅花的銅板"]) == 0.0
    assert contains("anything", [""]) == 0.0
