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
from dataclasses import dataclass
from functools import lru_cache
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


@dataclass(frozen=True)
class Layout:
    """Which of some fields say what: those that may hold the text (the first that does, does), and the others."""

    texts: tuple[str, ...]
    title: str
    id: str
    dates: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]


@lru_cache(1024)
def layout(names: tuple[Any, ...], text: str = "", title: str = "", id: str = "") -> Layout:
    """The layout of a record with these fields; `text`, `title` and `id` are those that were named for it."""
    keys = {_key(name): name for name in reversed(names)}

    def those(known: Iterable[str]) -> tuple[str, ...]:
        return tuple(keys[name] for name in known if name in keys)

    def first(known: Iterable[str]) -> str:
        return next(iter(those(known)), "")

    facts = {"author": first(AUTHOR), "licence": first(LICENCE), "url": first(URL), "language": first(LANGUAGE)}
    return Layout(
        texts=(text,) if text else those(TEXT),
        title=title if title in names else first(TITLE),
        id=id or first(ID),
        dates=those(DATE),
        facts=tuple((what, name) for what, name in facts.items() if name),
    )


def record(value: Any, how: How, part: str, raw: bytes = b"", **meta: Any) -> Reading | Bad:
    """The record's text with what else is known of it; `raw` is what the hash is of, the text where there is none."""
    if isinstance(value, str):
        value = {"text": value}
    if not isinstance(value, Mapping):
        return Bad(part, "no-text-field", f"the record is no object but {_kind(value)}")
    known = layout(tuple(value), how.text, how.title, how.id)
    if how.text and how.text not in value:
        return Bad(part, "no-text-field", f"no field {how.text!r}; there are {told(value)}")
    if not known.texts:
        return Bad(part, "no-text-field", f"there are {told(value)}")
    text = sound(next(filter(None, (prose(value[name]) for name in known.texts)), ""))
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        return Bad(part, "empty", f"nothing in {', '.join(known.texts)}")
    if len(text) > LONGEST:
        return Bad(part, "record-too-long", f"{len(text)} characters; {LONGEST} are read at most")
    if meta.pop("undecodable", 0) and (lost := text.count("\ufffd")):
        meta["undecodable"] = lost
    meta["sha256"] = hashlib.sha256(raw or text.encode()).hexdigest()
    meta |= _about(value, known)
    title = _line(value.get(known.title)) if known.title else ""
    return Reading(text, title, meta, _line(value.get(how.id)) or part if how.id else part)


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
        known = layout(tuple(item))
        text = next(filter(None, (prose(item[name], depth - 1) for name in known.texts)), "")
        head = _line(item.get(known.title)) if known.title else ""
        level = "###" if text and bare else "##"
        sections += [f"{level} {head}"] if head else []
        sections += [text.strip()] if text.strip() else []
    return "\n\n".join(sections)


def known(names: Iterable[str]) -> str:
    """The name among these of a field that holds a text; empty when there is none."""
    return next(iter(layout(tuple(names)).texts), "")


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
            return day + text[found.end(3) : found.end()].replace(" ", "T")
        if found := _DIGITS.fullmatch(text):
            return datetime.date(int(found[1]), int(found[2]), int(found[3])).isoformat()
        if found := _ROC.match(text):
            return datetime.date(int(found[1]) + 1911, int(found[2]), int(found[3])).isoformat()
        return email.utils.parsedate_to_datetime(text).isoformat() if not text.isdigit() else ""
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""


def stated(front: Mapping[str, Any]) -> dict[str, str]:
    """`date`, `author`, `licence`, `url`, `language` as far as a record or a front matter states them."""
    return _about(front, layout(tuple(front)))


def _about(value: Mapping[str, Any], known: Layout) -> dict[str, str]:
    found = {what: line for what, name in known.facts if (line := _line(value[name]))}
    date = next((day for name in known.dates if (day := iso_date(value[name]))), "")
    if date:
        found["date"] = date
    id = _line(value.get(known.id)) if known.id else ""
    if id:
        found["id"] = id
    return found


def _key(name: Any) -> str:
    return _PLAIN.sub("", str(name)).casefold()


def _line(value: Any) -> str:
    """A short value in one line; a list of names with 、 between; empty for anything else."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = "、".join(value[:20])
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return sound(" ".join(str(value)[: 2 * _SHORT].split())[:_SHORT])


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
