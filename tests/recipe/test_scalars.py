"""Plain scalars of a recipe are those of YAML 1.2's core schema, and only numbers become numbers."""

from __future__ import annotations

import math

import pytest
import yaml

from danlu.errors import RecipeError
from danlu.recipe.schema import read_recipe
from danlu.recipe.source import Source, Unreadable, parse_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, word) for word in ("yes", "no", "on", "off", "Yes", "NO", "y", "n", "tRUE", "nUll", "none", "<<")),
        *((word, word) for word in ("1:30", "1_000", "2024-05-01", "2024-05-01 10:00:00", "0b11", "1.2.3", "1,5")),
        *((word, word) for word in ("+", "-.", "0o8", "0x", "-0x1f", "1e", ".e1", "１２", "inf", "nan", "Infinity")),
        *((word, None) for word in ("~", "null", "Null", "NULL", "")),
        *((word, True) for word in ("true", "True", "TRUE")),
        *((word, False) for word in ("false", "False", "FALSE")),
        ("010", 10), ("0o10", 8), ("0x1F", 31), ("-12", -12), ("+7", 7), ("0", 0),
        ("1e3", 1000.0), ("1.", 1.0), (".5", 0.5), ("-1.5E-2", -0.015), (".inf", math.inf), ("-.Inf", -math.inf),
        ("'010'", "010"), ('"yes"', "yes"), ("!!str 12", "12"), ("!!int 0o17", 15), ("!!float 3", 3.0),
        ("[yes, 010, ~]", ["yes", 10, None]), ("{a: 1:30}", {"a": "1:30"}),
    ],
)  # fmt: skip
def test_a_scalar_is_what_yaml_1_2_says(text: str, value: object) -> None:
    found = parse_value(text)
    assert (found, type(found)) == (value, type(value))


def test_not_a_number_is_one_float() -> None:
    assert math.isnan(parse_value(".nan"))


@pytest.mark.parametrize("text", ["!!int yes", "!!bool on", "!!timestamp 2024-05-01", "!!binary aGk=", "1" * 5000])
def test_a_tag_that_lies_and_an_endless_number_are_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        parse_value(text)


def test_pyyaml_itself_is_left_as_it_was() -> None:
    assert yaml.safe_load("yes") is True  # evaluation tasks are read as lm-evaluation-harness reads them


def test_a_key_given_twice_has_its_line_at_any_depth() -> None:
    source = Source("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n")
    assert [(mark[0], problem.what) for mark, problem in source.problems] == [
        (4, "the key 'c' is given twice (first on line 3)"),
        (5, "the key 'a' is given twice (first on line 1)"),
    ]


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ("min_characters: yes", "a whole number is wanted, not 'yes'"),
        ("min_characters: true", "a whole number is wanted, not True"),
        ("min_characters: 1:30", "a whole number is wanted, not '1:30'"),
        ("min_characters: 1_000", "a whole number is wanted, not '1_000'"),
        ("min_characters: '12'", "a whole number is wanted, not '12'"),
        ("min_characters: 2.5", "a whole number is wanted, not 2.5"),
        ("min_characters: 2024-05-01", "a whole number is wanted, not '2024-05-01'"),
        ("min_characters: .inf", "a whole number is wanted"),
    ],
)
@pytest.mark.parametrize("by_set", [False, True])
def test_no_text_becomes_a_number(tmp_path, setting: str, what: str, by_set: bool) -> None:
    (tmp_path / "a.md").write_text("甲\n", encoding="utf-8")
    recipe, inside = tmp_path / "r.yaml", "" if by_set else f", {setting}"
    recipe.write_text(
        f"steps:\n  read: {{use: data.read, paths: [a.md]}}\n  clean: {{use: data.clean, documents: read{inside}}}\n",
        encoding="utf-8",
    )
    sets = ["clean." + setting.replace(": ", "=", 1)] if by_set else []
    with pytest.raises(RecipeError) as found:
        read_recipe(recipe, sets)
    (problem,) = found.value.problems
    assert what in problem.what
    assert problem.where.startswith("--set clean." if by_set else f"{recipe}:3:")
    assert problem.next


def test_octal_looking_numbers_are_decimal_and_yes_is_no_switch(tmp_path) -> None:
    (tmp_path / "a.md").write_text("甲\n", encoding="utf-8")
    recipe = tmp_path / "r.yaml"
    text = "steps:\n  read: {use: data.read, paths: [a.md], licence: yes, seconds: 010, ocr: OCR}\n"
    recipe.write_text(text.replace("OCR", "false"), encoding="utf-8")
    settings = read_recipe(recipe).entries[0].settings
    assert (settings.licence, settings.seconds, settings.ocr) == ("yes", 10, False)
    recipe.write_text(text.replace("OCR", "off"), encoding="utf-8")
    with pytest.raises(RecipeError, match=r"true or false is wanted, not 'off'\n  did you mean: false"):
        read_recipe(recipe)
    with pytest.raises(RecipeError, match="finite"):
        read_recipe(recipe, ["read.seconds=.inf", "read.ocr=true"])
