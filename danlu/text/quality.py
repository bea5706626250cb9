"""What can be told of a text's quality without reading it: its lines, its marks, its commonest words, its language.

After the rules of Gopher (Rae et al., 2021), C4 (Raffel et al., 2020) and FineWeb (Penedo et al., 2024), with
characters where they count words, widths in columns (a Han character is two), and Chinese punctuation. Which share is
too much is the caller's to say (`data.filter`).

Not covered: whether what a text says is true, useful, well written or machine-made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Literal, NamedTuple

from danlu.text.census import Census

Language = Literal["zh", "en", "ja", "other"]

STOP_CHARACTERS = "的是在有不了和這这一我人他以之與与為为於于及其而或所也就得應应中上會会可你說说對对要將将用"
STOP_WORDS = frozenset(
    ["the", "be", "to", "of", "and", "that", "have", "with", "is", "in", "for", "it", "as", "are", "this"]
)
"""Of English. The first eight are Gopher's."""

_TERMINAL = frozenset("。！？…；.!?;｡﹒﹔")
_CLOSING = "」』）)】》〉”’\"'*_`"
_BULLETS = ("•", "‧", "·", "●", "○", "■", "◆", "▪", "‣", "-", "*", "+", "－", "※", "★")
_ELLIPSES = ("…", "...", "。。。")
_DOTS = re.compile(r"…+|\.\.\.+|。。。+")

_LOREM = "lorem ipsum"
_POLICY_HINTS: tuple[str, ...] = ("javascript", "cookie", "privacy policy", "terms of", "rights reserved", "隱私")
_POLICY_HINTS += ("隐私", "條款", "条款", "版權", "版权", "著作權所有", "瀏覽器", "浏览器")
_POLICY = re.compile(
    r"(?:enable|turn on|requires?|need|disabled|support|啟用|启用|開啟|开启|支援|支持|關閉|关闭)[^\n]{0,24}javascript"
    r"|javascript[^\n]{0,24}(?:is disabled|enabled|to view|required|啟用|启用|開啟|开启|功能)"
    r"|(?:use|uses|using|accept|use of|使用|接受|同意|允許|允许)[^\n]{0,12}cookies?"
    r"|cookies?[^\n]{0,12}(?:policy|政策|聲明|声明)"
    r"|privacy policy|terms of (?:use|service)|all rights reserved"
    r"|(?:隱私|隐私)(?:權|权)?(?:政策|保護|保护|聲明|声明|條款|条款)|(?:使用|服務|服务)(?:條款|条款)"
    r"|(?:版權|版权|著作權|著作权)所有|(?:瀏覽器|浏览器)不(?:支援|支持)|(?:最佳|建議|建议)(?:瀏覽|浏览)"
)


_HOLDS = re.compile("[，。！？；]|[,;] ")
_ROW = re.compile(
    r"\||[-*+•●○■□◆◇▪※☐☑☒✓✔▢]\s*\S|[（(]?(?:\d{1,3}|[一二三四五六七八九十]{1,3}|[A-Za-z])[.)、．）](?!\d)\s*\S"
    r"|[^：:。，]{1,20}[：:](?!//)|[^\n]*(?:[_＿]{2}|[□■☐☑☒])"
    r"|(?=[^\n]*\d)[^。！？\n]{0,60}?\S[ \u3000]+\S[^。！？\n]{0,60}$"
)
_DELIMITERS = ("\t", ",", ";")
_SAME, _FEWEST_ROWS = 0.6, 3
_CODE = re.compile(
    r"(?<![0-9A-Za-z])(?=[0-9A-Za-z+/=_-]*\d)(?=\d*[A-Za-z])(?:(?:0x)?[0-9a-fA-F]{8,}|[0-9A-Za-z+/=_-]{24,})(?![0-9A-Za-z])"
)
_ITEMS = re.compile(r"[|｜>›»\n\t]|\s{2,}|(?<=[\u3400-\u9fff])\s(?=[\u3400-\u9fff])")
_LINK = re.compile(r"^(?:[-*+•]\s*)?\[([^\]]*)\]\([^)]*\)$")
_MENU_WORDS = (
    "首頁 回首頁 首页 關於我們 关于我们 聯絡我們 联系我们 最新消息 產品介紹 產品 新聞 活動 下載 聯絡 會員 "
    "會員登入 會員專區 登入 登出 註冊 購物車 客服 客服中心 門市 品牌 徵才 電子報 常見問題 網站地圖 網站導覽 "
    "隱私權政策 隱私政策 服務條款 使用條款 上一頁 下一頁 回上一頁 回列表 返回 回頂端 top 列印 友善列印 轉寄 "
    "加入最愛 更多 更多消息 熱門文章 熱門 搜尋 分享 english 繁體中文 简体中文 登录 注册 搜索 上一页 下一页 "
    "更多内容 home about contact login register cart search menu next previous share news products download "
    "faq sitemap 商品分類 訂閱 追蹤 語言 跳到主要內容 會員中心 我的帳戶 結帳 收藏"
)
"""Entries of a web site's menus, in lower case."""
_MENU = frozenset(_MENU_WORDS.split(" "))
_MENU_HINTS = ("首頁", "登入", "上一頁", "聯絡我們", "首页", "登录", "上一页", "home", "login", "購物車")


class Lines(NamedTuple):
    """Shares are of the lines with text, 0 to 1; `mean` is their mean length in characters."""

    total: int
    mean: float
    punctuated: float
    bullets: float
    ellipses: float
    short: float


def lines(text: str, columns: int = 30) -> Lines:
    """The measures of the lines with text; a line of no more than `columns` columns is short.

    Headings (#) and rows of tables (|) in Markdown are no lines of text, for they are short and without punctuation in
    the best of texts.
    A line is punctuated that ends a sentence (。！？…；.!?; and whatever closes after it: 」) * …), or is longer than a
    short one and holds a mark between clauses: what a feed cuts short. Columns are guessed
    from the length in UTF-8: two for a character of three or four bytes, one for any other.
    """
    found = [line for line in map(str.strip, text.split("\n")) if line and line[0] not in "#|"]
    if not found:
        return Lines(0, 0.0, 0.0, 0.0, 0.0, 0.0)
    punctuated = bullets = ellipses = short = 0
    for line in found:
        narrow = len(line) <= columns and _width(line) <= columns
        ended = line[-1] in _TERMINAL or (line[-1] in _CLOSING and line.rstrip(_CLOSING)[-1:] in _TERMINAL)
        punctuated += ended or (not narrow and bool(_HOLDS.search(line)))
        bullets += line.startswith(_BULLETS)
        ellipses += line.endswith(_ELLIPSES)
        short += narrow
    n = len(found)
    return Lines(n, sum(map(len, found)) / n, punctuated / n, bullets / n, ellipses / n, short / n)


def _width(line: str) -> int:
    return len(line) + (0 if line.isascii() else (len(line.encode("utf-8", "replace")) - len(line)) // 2)


def words(counts: Census, latin_words: int) -> float:
    """How many words, roughly: two Han or kana characters are one, a run of any other letters is one."""
    return (counts.han + counts.kana) / 2 + latin_words


def ellipses(text: str) -> int:
    return len(_DOTS.findall(text)) if "…" in text or "..." in text or "。。。" in text else 0


def lorem(low: str) -> bool:
    """Whether `low`, a text in lower case, has printers' filler in it."""
    return _LOREM in low


def policy_lines(low: str) -> float:
    """Share of the lines with text that are about JavaScript to turn on, cookies, terms and rights, 0 to 1; `low` is a
    text in lower case."""
    if not any(hint in low for hint in _POLICY_HINTS):
        return 0.0
    found = [line for line in low.split("\n") if line.strip()]
    return sum(bool(_POLICY.search(line)) for line in found) / len(found)


def rows(text: str) -> float:
    """Share of the lines with text that are rows, 0 to 1, headings (#) aside: of a table (|) or separated by tabs,
    commas or semicolons of the same number, entries of a list (- 1. □), fields (姓名：…), blanks to fill in (____), and
    words with a number beside them (紅茶 25 元). 0 of fewer than three lines.

    Not covered: rows of words alone that only spaces part, which is what a menu looks like.
    """
    found = [line for line in map(str.strip, text.split("\n")) if line and line[0] != "#"]
    if len(found) < _FEWEST_ROWS:
        return 0.0
    hits = [bool(_ROW.match(line)) for line in found]
    for mark in _DELIMITERS:
        counts = [line.count(mark) for line in found]
        often = max(set(counts), key=counts.count)
        if often and counts.count(often) >= max(3, _SAME * len(found)):
            hits = [hit or count == often for hit, count in zip(hits, counts, strict=True)]
    return sum(hits) / len(hits)


def codes(text: str) -> float:
    """Share of the visible characters that are in hashes, addresses of memory and the like, 0 to 1."""
    visible = sum(map(len, text.split()))
    return sum(len(found[0]) for found in _CODE.finditer(text)) / visible if visible else 0.0


def menu(low: str) -> float:
    """Share of the entries that are those of a web site's menus (首頁, 登入, 上一頁), 0 to 1; 0 of fewer
    than four. `low` is a text in lower case. An entry is a line, or what |, > or spaces part."""
    if not any(hint in low for hint in _MENU_HINTS):
        return 0.0
    entries = [entry.strip(" -*+•|#") for entry in _ITEMS.split(low)]
    entries = [_LINK.sub(r"\1", entry) for entry in entries if entry]
    known = sum(entry in _MENU for entry in entries)
    return known / len(entries) if known >= 4 else 0.0


def language(low: str, counts: Census) -> Language:
    """The language of `low`, a text in lower case, whose census is `counts`, by scripts and commonest words.

    ja: kana are more than a sixth of the kana and Han together. zh: else, Han characters are a tenth of the letters or
    more. en: else, nine letters of ten are Latin and there are at least two of `STOP_WORDS`, making up a twentieth of
    the words. Anything else is other.

    Not covered: Japanese or Korean in Han characters alone and Classical Chinese (zh); what Sinitic language (zh); any
    language but English in Latin letters (other); which of two languages a mixed text is rather in.
    """
    chinese = counts.han + counts.kana
    if chinese and counts.kana > chinese / 6:
        return "ja"
    if not counts.letters:
        return "other"
    if counts.han >= counts.letters / 10:
        return "zh"
    if counts.latin < 0.9 * counts.letters:
        return "other"
    found = low.split()
    stops = [word for word in found if word in STOP_WORDS]
    return "en" if len(set(stops)) >= 2 and len(stops) >= len(found) / 20 else "other"


def stop_words(low: str, language: Language, enough: int) -> int | None:
    """How many different stop characters (zh) or stop words (en) are in `low`, a text in lower case, counted up to
    `enough`; None for any other language."""
    if language == "zh":
        found: Iterator[str] = (character for character in STOP_CHARACTERS if character in low)
    elif language == "en":
        found = iter(STOP_WORDS.intersection(low.split()))
    else:
        return None
    return sum(1 for _ in islice(found, enough))
