"""Numbered headings of statutes and policies, and what only looks like one."""

import pytest

from danlu.text.clauses import clauses, number


def names(text):
    return [(clause.level, clause.name) for clause in clauses(text)]


def test_articles_chapters_and_references():
    text = (
        "某某辦法\n第一章 總則\n第一條\n本辦法依某法訂定之。\n第 二 條 讀者應遵守秩序。\n第二條之一（罰則）\n依\n"
        "第一條規定辦理。\n"
        "第二章 附則\n第 12-1 條\n下列事項：\n一、甲。\n二、乙。\n第三條及第四條，準用之。\n"
    )
    assert names(text) == [
        *((2, "第一章 總則"), (6, "第一條"), (6, "第 二 條"), (6, "第二條之一（罰則）"), (2, "第二章 附則")),
        (6, "第 12-1 條"),
    ]
    (third,) = [clause for clause in clauses(text) if clause.name == "第 二 條"]
    assert text[third.body :].startswith("讀者應遵守")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("要點\n一、目的\n為訂定。\n二、範圍\n全體。\n", ["目的", "範圍"]),
        ("要點\n一、本要點依法訂定。\n二、本要點自公布日施行。\n", ["第一點", "第二點"]),
        (
            "規範\n1. 目的\n為公開。\n2. 範圍\n2.1 金額\n十萬元。\n2.2 例外\n緊急者。\n",
            ["目的", "範圍", "金額", "例外"],
        ),
        ("辦理方式如下：\n一、甲。\n二、乙。\n", []),
        ("採買清單\n1. 白米 5 公斤\n2. 雞蛋 2 盒\n3. 牛奶\n", []),
        ("# 手冊\n\n## 安裝\n\n第一條 甲。\n第二條 乙。\n", []),
        ("依第三條規定，應辦理登記；第四條亦同。\n", []),
        ("# 政策\n\n第一條 甲。\n第二條（密碼） 至少十二碼。\n", ["第一條", "第二條（密碼）"]),
    ],
)
def test_clauses(text, expected):
    assert [clause.name for clause in clauses(text)] == expected


def test_numbers():
    found = [number(text) for text in ("十", "十二", "二十", "一百零三", "一〇三", "１２", "12")]
    assert found == [10, 12, 20, 103, 103, 12, 12]
