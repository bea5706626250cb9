"""Records (JSON, CSV rows, Parquet rows) → texts: which field says what.

A field is known by its name (case, `-`, `_` and spaces do not count); the lists below are in the order of preference.
A text may be a string, a list of strings (its paragraphs), or a list of records with a text each (its sections, told
as Markdown headings). Never guessed from what a field holds: a wrong guess would be silent.
"""

from __future__ import annotations

import datetime
import email.utils
import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from danlu.data.readers import LONGEST, Bad, How, Reading, sound


def _names(words: str) -> list[str]:
    return words.split()


TEXT = _names("""
text content body article document passage markdown fulltext plaintext contents paragraphs paragraph context sections
sentences sentence abstract summary 內容 全文 內文 本文 正文 文章 文字 條文 條文內容 法規內容 段落 摘要 内容 条文
""")
TITLE = _names("title headline heading name subject 標題 篇名 題名 題目 名稱 法規名稱 條號 編章節 标题")
ID = _names("id uuid uid docid key 編號 代號")
DATE = _names("""
date published publishedat pubdate datepublished createdat created updatedat updated modified lastmodified timestamp
time 日期 發布日期 發布日 公布日期 更新日期 修正日期 最新異動日期
""")
AUTHOR = _names("author authors byline creator writer 作者 撰稿人 譯者")
LICENCE = _names("license licence rights copyrightlicense 授權 授權條款")
URL = _names("url link sourceurl permalink canonicalurl webpage 網址 連結 法規網址")
LANGUAGE = _names("language lang locale 語言")

_PLAIN = re.compile(r"[\s_-]+")
_ISO = re.compile(
    r"(\d{4})[-/.](\d{1,2})(?:[-/.](\d{1,2}))?(?!\d)(?:[T ]\d{2}:\d{2}(?::\d{2})?(?:\.\d+)?(Z|[+-]\d{2}:?\d{2})?)?"
)
_DIGITS = re.compile(r"(\d{4})(\d{2})(\d{2})$")
_ROC = re.compile(r"(?:中華民國|民國)?\s*(\d{2,3})\s*年\s*(\d{1,2})\s*月\s*(\d{1,2})\s*日")
_SHORT = 500


def record(value: Any, how: How, part: str, raw: bytes = b"", **meta: Any) -> Reading | Bad:
    """The record's text with what else is known of it; `raw` is what the hash is of, the text where there is none."""
    if isinstance(value, str):
        value = {"text": value}
    if not isinstance(value, Mapping):
        return Bad(part, "no-text-field", f"the record is no object but {_kind(value)}")
    names = {_key(name): name for name in reversed(list(value))}
    field = how.text or _first(names, TEXT, lambda name: bool(prose(value[name])))
    if how.text and how.text not in value:
        return Bad(part, "no-text-field", f"no field {how.text!r}; there are {told(value)}")
    if not field:
        known = _first(names, TEXT)
        reason = ("empty", f"nothing in {known!r}") if known else ("no-text-field", f"there are {told(value)}")
        return Bad(part, *reason)
    text = sound(prose(value[field])).replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        return Bad(part, "empty", f"nothing in {field!r}")
    if len(text) > LONGEST:
        return Bad(part, "record-too-long", f"{len(text)} characters; {LONGEST} are read at most")
    meta["sha256"] = hashlib.sha256(raw or text.encode()).hexdigest()
    meta |= _about(value, names, how)
    title = how.title if how.title in value else _first(names, TITLE)
    return Reading(text, sound(_line(value.get(title))) if title else "", meta, _named(value, how, part))


def prose(value: Any, depth: int = 2) -> str:
    """The text of a field: a string, strings, or records with a text each as sections; else empty."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not depth:
        return ""
    if all(isinstance(item, str) for item in value):
        return "\n".join(value)
    if not all(isinstance(item, Mapping) for item in value):
        return ""
    sections, bare = [], any(len(item) == 1 for item in value)
    for item in value:
        names = {_key(name): name for name in reversed(list(item))}
        field = _first(names, TEXT)
        title = _first(names, TITLE)
        text = prose(item[field], depth - 1) if field else ""
        head = _line(item.get(title)) if title else ""
        level = "###" if text and bare else "##"
        sections += [f"{level} {head}"] if head else []
        sections += [text.strip()] if text.strip() else []
    return "\n\n".join(sections)


def known(names: Iterable[str]) -> str:
    """The name among these of a field that holds a text; empty when there is none."""
    return _first({_key(name): name for name in reversed(list(names))}, TEXT)


def used(names: Iterable[str], how: How) -> list[str]:
    """Those of these names whose fields `record` looks at."""
    lists = {*TEXT, *TITLE, *ID, *DATE, *AUTHOR, *LICENCE, *URL, *LANGUAGE}
    return [name for name in names if name in (how.text, how.title, how.id) or _key(name) in lists]


def told(names: Iterable[Any]) -> str:
    """The names of the fields there are, in a line."""
    shown = [sound(str(name))[:40] for name in names]
    return ", ".join(shown[:20]) + (f" and {len(shown) - 20} more" if len(shown) > 20 else "") or "none"


def iso_date(value: Any) -> str:
    """A date as ISO 8601 (2024-05-01, or with time and zone as it was given); empty when it is none.

    Read are ISO dates, also with `/` or `.`, 20240501, e-mail's dates, and Taiwan's (民國 113 年 5 月 1 日). Not
    covered: numbers of seconds, and day-month orders, which cannot be told apart.
    """
    if isinstance(value, datetime.date):
        return value.isoformat()
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not text or len(text) > 60:
        return ""
    try:
        if found := _ISO.match(text):
            if found[3] is None:
                return f"{found[1]}-{int(found[2]):02d}" if 1 <= int(found[2]) <= 12 else ""
            day = datetime.date(int(found[1]), int(found[2]), int(found[3])).isoformat()
            return day + found[0][found.end(3) :].replace(" ", "T")
        if found := _DIGITS.fullmatch(text):
            return datetime.date(int(found[1]), int(found[2]), int(found[3])).isoformat()
        if found := _ROC.match(text):
            return datetime.date(int(found[1]) + 1911, int(found[2]), int(found[3])).isoformat()
        return email.utils.parsedate_to_datetime(text).isoformat() if not text.isdigit() else ""
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""


def stated(front: Mapping[str, Any]) -> dict[str, str]:
    """`date`, `author`, `licence`, `url`, `language` as far as a record or a front matter states them."""
    return _about(front, {_key(name): name for name in reversed(list(front))}, How())


def _about(value: Mapping[str, Any], names: Mapping[str, str], how: How) -> dict[str, str]:
    found = {}
    for what, known in (("author", AUTHOR), ("licence", LICENCE), ("url", URL), ("language", LANGUAGE)):
        line = sound(_line(value.get(_first(names, known))))
        if line:
            found[what] = line
    date = next((day for name in DATE if name in names and (day := iso_date(value[names[name]]))), "")
    id = _line(value.get(how.id or _first(names, ID)))
    return found | ({"date": date} if date else {}) | ({"id": sound(id)} if id else {})


def _named(value: Mapping[str, Any], how: How, part: str) -> str:
    """The record's name: its own id when a field was set for it, else its place."""
    return sound(_line(value.get(how.id))) or part if how.id else part


def _key(name: Any) -> str:
    return _PLAIN.sub("", str(name)).casefold()


def _first(names: Mapping[str, str], known: Iterable[str], fits: Any = lambda name: True) -> str:
    return next((names[name] for name in known if name in names and fits(names[name])), "")


def _line(value: Any) -> str:
    """A short value in one line; a list of names with 、 between; empty for anything else."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = "、".join(value[:20])
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return " ".join(str(value)[: 2 * _SHORT].split())[:_SHORT]


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
