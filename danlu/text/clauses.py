"""The headings of statutes, rules and policies: 第一章 總則, 第 12 條之 1, 一、目的, 1.1 適用範圍.

A line is such a heading that begins with a number of one of these forms and goes on where the one before left off.
Where there are articles (條), chapters and sections are headings above them, and 一、 is part of an article. Where
there are none, 一、 or else 1. and 1.1 are the clauses, if they count from the first without a gap and no sentence
announces them as its list. What stands behind the number is the caption when it is short and no sentence, or in
brackets (第二條（定義）), else the clause's text. 第三條規定 at the beginning of a line is a reference: behind a number
is a space, a bracket or nothing.

Not covered: tables of contents, annexes that begin at 第一條 again, (一) and 1. below 一、 as headings of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple


class Clause(NamedTuple):
    """A heading: its line is text[start:end), what it says begins at `body` (on its line, or below it). `level` counts
    from 1 for the widest; `number` says whether `name` is a number alone (第三條)."""

    start: int
    body: int
    end: int
    level: int
    name: str
    number: bool


_N = "[〇零○一二三四五六七八九十百千0-9０-９]"
_LEFT = r"^[ \t\u3000]*(?:\*\*)?"
_ARTICLE = re.compile(
    rf"{_LEFT}(?P<label>第[ ]?(?P<n>{_N}{{1,8}})(?:-(?P<m>\d{{1,3}}))?[ ]?條(?:[ ]?之[ ]?(?P<k>{_N}{{1,4}}))?)(?:\*\*)?"
    r"(?P<rest>[ \t\u3000]*(?:$|(?<=[ \t\u3000]).*$|[（(【：:].*$))",
    re.M,
)
_DIVISION = re.compile(
    rf"{_LEFT}(?P<label>第[ ]?(?P<n>{_N}{{1,6}})[ ]?(?P<kind>[編章節款目]))(?:\*\*)?"
    r"(?P<rest>[ \t\u3000]+\S.{0,30}$|[ \t\u3000]*$)",
    re.M,
)
_POINT = re.compile(r"^(?P<label>(?P<n>[一二三四五六七八九十]{1,4})、)(?P<rest>.*$)", re.M)
_DOTTED = re.compile(
    r"^(?P<label>(?P<n>\d{1,2}(?:\.\d{1,2}){0,2})(?:\.(?=[ \t\u3000])|、|(?=[ \t\u3000])))(?P<rest>.*$)", re.M
)
_LEVELS = {"編": 1, "章": 2, "節": 3, "款": 4, "目": 5}
_REFERS = re.compile(r"[ \t\u3000]*(?:[及或與至、，。]|第[ ]?[一二三四五六七八九十\d]|之(?:規定|一)|規定|所[定稱列])")
_BRACKETED = re.compile(r"[（(【][^（）()【】]{1,30}[）)】]")
_CAPTION = 24
_ENDS = ("。", "；", "：", "，", ":", ";", "、", ".")
_HEADING = re.compile(r"^ {0,3}(#{1,6}) ", re.M)
_FENCE = re.compile(r"^ {0,3}(?:```|~~~)", re.M)
_DIGITS = {
    character: value
    for digits in ("〇一二三四五六七八九", "0123456789", "０１２３４５６７８９", "零", "○")
    for value, character in enumerate(digits)
}


def clauses(text: str) -> list[Clause]:
    """The numbered headings of `text` in order; none where it has Markdown headings below its title, or fenced code."""
    if "第" not in text and "、" not in text and "." not in text:
        return []
    own = _HEADING.findall(text)
    if len(own) > 1 or own not in ([], ["#"]) or _FENCE.search(text):
        return []
    articles = list(_increasing(text, _ARTICLE, _article_number))
    points = [] if len(articles) > 1 else _ordered(text, _POINT, lambda found: (number(found["n"]),))
    found = (
        [_clause(one, 6, "") for one in articles]
        if len(articles) > 1
        else [_clause(one, 6, "第{}點") for one in points]
    )
    if len(found) < 2:
        dotted = _ordered(text, _DOTTED, lambda found: tuple(map(int, found["n"].split("."))))
        return [_clause(one, 5 + one["n"].count("."), "第 {} 點") for one in dotted]
    divisions = [
        _clause(one, _LEVELS[one["kind"]], "")
        for one in _DIVISION.finditer(text)
        if not one["rest"].rstrip().endswith(_ENDS)
    ]
    return sorted(found + divisions)


def number(written: str) -> int:
    """The value of Chinese or Arabic digits (十二, 一百零三, １２)."""
    if written.isdecimal():
        return int(written)
    if not set(written) & {"十", "百", "千"}:
        return int("".join(str(_DIGITS[character]) for character in written))
    total = digit = 0
    for character in written:
        unit = {"十": 10, "百": 100, "千": 1000}.get(character)
        total, digit = (total, _DIGITS[character]) if unit is None else (total + (digit or 1) * unit, 0)
    return total + digit


def _article_number(found: re.Match[str]) -> tuple[int, ...]:
    return number(found["n"]), number(found["m"] or found["k"] or "0")


def _increasing(
    text: str, form: re.Pattern[str], value: Callable[[re.Match[str]], tuple[int, ...]]
) -> Iterator[re.Match[str]]:
    """Matches whose number is above the one before, none that refer to another."""
    last: tuple[int, ...] = (0,)
    for found in form.finditer(text):
        if not _REFERS.match(found["rest"]) and value(found) > last:
            last = value(found)
            yield found


def _ordered(
    text: str, form: re.Pattern[str], value: Callable[[re.Match[str]], tuple[int, ...]]
) -> list[re.Match[str]]:
    """Matches that count on from 1 without a gap; none where there are fewer than two, or a sentence announces them, or
    they are entries of a list: lines without anything below any of them and no sentences."""
    found: list[re.Match[str]] = []
    last: tuple[int, ...] = (0,)
    for one in form.finditer(text):
        now = value(one)
        if now == (*last, 1) or any(now == (*last[:cut], last[cut] + 1) for cut in range(len(last))):
            found.append(one)
            last = now
    if len(found) < 2 or text[: found[0].start()].rstrip().endswith(("：", ":")):
        return []
    said = sum(
        bool(text[one.end() : following.start()].strip()) or one["rest"].rstrip().endswith("。")
        for one, following in pairwise(found)
    )
    return found if 2 * said >= len(found) else []


def _clause(found: re.Match[str], level: int, plain: str) -> Clause:
    """The heading of a match. A caption is its name; without one the number is, written as `plain` says."""
    rest = found["rest"].strip(" \t\u3000*")
    label = " ".join(found["label"].split())
    bracketed = _BRACKETED.match(rest)
    if bracketed and rest[bracketed.end() :].strip():
        body = _text_start(found, bracketed.end())
        return Clause(found.start(), body, found.end(), level, f"{label}{bracketed[0].strip()}", False)
    captioned = bool(rest) and len(rest) <= _CAPTION and not rest.endswith(_ENDS)
    bare = plain.format(found["n"]) if plain else label
    if captioned:
        name = rest if plain else f"{label}{'' if rest[0] in '（(【' else ' '}{rest}"
        return Clause(found.start(), found.end(), found.end(), level, name, False)
    body = _text_start(found, 0) if rest else found.end()
    return Clause(found.start(), body, found.end(), level, bare, True)


def _text_start(found: re.Match[str], skipped: int) -> int:
    """Where the text of a clause begins that stands on the line of its number, after `skipped` characters of it."""
    rest = found["rest"]
    at = len(rest) - len(rest.lstrip(" \t\u3000*")) + skipped
    return found.end("label") + at + len(rest[at:]) - len(rest[at:].lstrip(" \t\u3000*："))
