"""Personal data as people write it in Taiwan: where it stands in a text, of which type, how sure, and why.

`report(text)` gives the hits, in order and without overlap. A number is a hit when its form and its check digit are
right, and no word beside it says that it is something else (訂單編號, ISBN, 版本 …). Where a form alone says too
little (eight digits may be anything) the word beside it is required: `NEEDS_LABEL` lists those types. Full-width
digits, digits in Chinese characters (at least eight in a row), separators and invisible characters inside a number are
seen through; the offsets are always those of the text as it came.

Scores: 0.85 and more, form (and check digit) and the word beside it; 0.75 form and check digit; 0.6 form alone.

A cell of a table is looked at with its header before it. A number that a line break cuts in two is one.

Not covered: names that neither a role, a title, a colon nor a personal number announces, pen names, addresses without a
house number or in English, numbers read wrongly by OCR, what a picture shows, who can be found from facts put together.
Nor can a form tell a person from an office: a town hall's address is an address, and a statesman's name is a name (but
for the dead of the history books, `danlu.text.name_words.HISTORICAL`). A student's number is none of the types. What is
well formed but never given to anybody (`danlu.text.pseudonym`) is not told.
"""

from __future__ import annotations

import ipaddress
import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from danlu.text import identifiers
from danlu.text.columns import columns
from danlu.text.names import beside, names
from danlu.text.pseudonym import reserved

LABELS = {
    "national-id": "身分證字號",
    "resident-id": "居留證號碼",
    "passport": "護照號碼",
    "health-card": "健保卡號",
    "tax-id": "統一編號",
    "citizen-certificate": "自然人憑證編號",
    "carrier-barcode": "手機條碼",
    "mobile": "手機號碼",
    "landline": "市話號碼",
    "email": "電子郵件",
    "line-id": "LINE 帳號",
    "address": "地址",
    "birth-date": "出生日期",
    "name": "姓名",
    "credit-card": "信用卡號",
    "bank-account": "銀行帳號",
    "medical-record": "病歷號碼",
    "policy-number": "保單號碼",
    "plate": "車牌號碼",
    "ip": "網路位址",
}
"""Every type, and what it is called in Chinese."""

TYPES = tuple(LABELS)
NEEDS_LABEL = (
    "passport", "health-card", "tax-id", "citizen-certificate", "carrier-barcode", "line-id", "birth-date",
    "bank-account", "medical-record", "policy-number", "plate", "name",
)  # fmt: skip
"""Types that are told only with a word beside them that says what they are."""


class Hit(NamedTuple):
    """`text[start:end]` is of `type`, with `score` 0 to 1; `why` says what spoke for it, never the value."""

    type: str
    start: int
    end: int
    score: float
    why: str


def report(text: str, types: Collection[str] = TYPES) -> list[Hit]:
    """The personal data in `text`, of `types`, in order and without overlap: of two hits the surer one, then the longer
    one stays."""
    found = [hit for scan in _SCANS for hit in scan(text)]
    if any(mark in text for mark in _TABLES):
        found = _in_columns(text, found)
    found += _beside(text, found)
    return apart(hit for hit in found if hit.type in types)


def apart(hits: Iterable[Hit]) -> list[Hit]:
    """Hits without overlap, in order; the surer, then the longer, then the earlier one stays."""
    kept: list[Hit] = []
    starts: list[int] = []
    for hit in sorted(hits, key=lambda hit: (-hit.score, hit.start - hit.end, hit.start, hit.type)):
        at = bisect_left(starts, hit.start)
        free = at == len(kept) or hit.end <= kept[at].start
        if free and (at == 0 or kept[at - 1].end <= hit.start):
            starts.insert(at, hit.start)
            kept.insert(at, hit)
    return kept


# --- the text as it is looked at: half-width, nothing invisible ---------------------------------------------------

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]")
_PLAIN = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_PLAIN |= dict.fromkeys(map(ord, "‐‑‒–—―−﹣"), ord("-"))
_PLAIN |= dict.fromkeys(map(ord, "\u00a0\u2002\u2003\u2009\u202f\u3000\t"), ord(" "))
_CHINESE_DIGITS = str.maketrans("零〇○一二三四五六七八九", "000123456789")
_SEPARATORS = "\\- .()/+\r\n\u00ad\u200b-\u200f\u2060-\u2064\ufeff\u00a0\u3000（）－／．＋‐‑‒–—―−﹣"
_REGION = re.compile(rf"[0-9０-９](?:[{_SEPARATORS}]{{0,3}}[0-9０-９]){{5}}")
_SPOKEN = re.compile(r"[零〇○一二三四五六七八九](?:[ \-－\n]?[零〇○一二三四五六七八九]){7,}")
_AROUND = 32


@dataclass(frozen=True)
class _View:
    """A stretch of the text in plain form; `at[i]` is where its character `i` came from."""

    text: str
    at: Sequence[int]

    def hit(self, type: str, start: int, end: int, score: float, why: str) -> Hit:
        return Hit(type, self.at[start], self.at[end - 1] + 1, score, why)


def _view(text: str, start: int, end: int) -> _View:
    at: Sequence[int] = range(start, end)
    piece = text[start:end]
    if piece.isascii():
        return _View(piece.replace("\t", " "), at)
    if _INVISIBLE.search(piece):
        at = [place for place, character in zip(at, piece, strict=True) if not _INVISIBLE.match(character)]
        piece = _INVISIBLE.sub("", piece)
    piece = _SPOKEN.sub(lambda run: run[0].translate(_CHINESE_DIGITS), piece)
    return _View(piece.translate(_PLAIN), at)


def _around(text: str, pattern: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """The stretches with something that `pattern` finds in them, with what stands around, without overlap."""
    start = end = -1
    for found in pattern.finditer(text):
        if start >= 0 and found.start() - _AROUND <= end:
            end = min(len(text), found.end() + _AROUND)
            continue
        if start >= 0:
            yield start, end
        start, end = max(0, found.start() - _AROUND), min(len(text), found.end() + _AROUND)
    if start >= 0:
        yield start, end


# --- the words beside a number ------------------------------------------------------------------------------------


def _ascii(words: str) -> str:
    return rf"(?<![A-Za-z])(?:{words})(?![A-Za-z])"


_WORDS = {
    "certificate": "自然人憑證|憑證",
    "carrier": "手機條碼|載具條碼|載具",
    "health": f"健保 ?(?:IC ?)?卡?|健康保險卡?|{_ascii('NHI(?: card)?')}",
    "resident": f"統一證號|居留證?|外僑|外籍|移工|看護|{_ascii('ARC|UI|resident')}",
    "national": f"身[分份]證(?:統一)?|證號|證字|{_ascii('ID|national')}",
    "passport": f"護照|{_ascii('passport')}",
    "line": f"{_ascii('LINE')}[ 的]?(?:{_ascii('ID')}|帳號)",
    "tax": f"統編|統一編號|營利事業(?:統一)?|稅籍|扣繳單位|{_ascii('tax(?: id)?|VAT|UBN|BAN')}",
    "medical": f"病歷(?:表|卡)?(?:號碼?|編號)|{_ascii('MRN|chart no|medical record(?: no)?')}",
    "policy": f"(?:保單|保險[單證])(?:號碼?|編號|字號)|{_ascii('policy(?: no| number)')}",
    "mobile": f"手機|行動(?:電話)?|門號|簡訊|{_ascii('cell|mobile|whatsapp')}",
    "phone": f"電話|市話|專線|總機|傳真|聯[絡繫]|來電|[撥打洽電]|{_ascii('TEL|FAX|phone|call')}",
    "card": f"信用卡|金融卡|簽帳卡|卡號|刷卡|卡片|{_ascii('VISA|Mastercard|JCB|AMEX|credit|debit|card')}",
    "bank": "帳[號戶]|戶頭|匯[款到至入給]|(?<!外)匯(?=[ :]*$)|轉[帳入]|存[摺簿]|薪轉|受款|劃撥|局號"
    f"|銀行|郵局|分行|農會|信用合作社|{_ascii('bank|account|IBAN')}",
    "ip": f"位址|{_ascii('IP|IPv4|IPv6|address|host|ping|ssh|DNS')}|主機|伺服器|來源|連線|連入",
}
_OTHER = (
    "訂單|單號|序列?號|流水號|編號|貨號|料號|批號|票號|書號|型號|機號|案號|文號|字號|學號|工號|發票|包裹|出貨|掛號信?|快遞|代碼|保固|驗證|統計|型錄|國際標準書號|版本?|雜湊"
    "|座標|章節|韌體|驅動|套件|[經緯]度|[東西]經|[南北]緯|專利|郵遞區號|[代條兌換驗證識別色]碼|代號|追蹤|字?第$"
    "|單(?=[ :是為]{0,3}$)|==|[#]$|"
    + _ascii(
        "ISBN|ISSN|DOI|EAN|UPC|ver|version|v|commit|hash|sha|md5|GPS|SKU|model|release|rev|issue|PR|epoch|timestamp|millis|ts"
        "|(?:application|order|invoice|serial|tracking|trace|request|session|transaction|product|item|build|ticket|batch|case|shipment)"
        "(?:[ _-]?(?:id|no|number|num|code))?"
    )
)
_SUFFIX = "(?:統一)?(?:編號|號碼|字號|卡號|號)?(?: (?:no|number)(?![A-Za-z]))?"
_GROUPS = [f"(?P<{name}>(?:{words.lower()}){_SUFFIX})" for name, words in _WORDS.items()]
_LABEL = re.compile("|".join([*_GROUPS, f"(?P<other>{_OTHER.lower()})"]))
_GAP = re.compile(r"[^0-9\n]*\n?[^0-9\n]*|[0-9A-Z\s、,/及和與跟或;.\-]*")
_SHORT_GAP = re.compile(r"[^0-9\n到至給由向請撥打洽寄傳]{0,5}|升級[到至]v? ?")
_MEASURED = re.compile(
    r" ?(?:元|圓|塊|人[次份數]?|[次公]噸|噸|次|萬|億|美[元金]|日圓|歐元|[%]|公[斤里尺]|個|筆|票|股|張|點)"
)


class _Number(NamedTuple):
    """A candidate: as it is written, its digits (and capital letters) alone, the nearest word before it that names a
    kind of number, whether only filler stands between, and what stands before and behind."""

    text: str
    value: str
    label: str
    near: bool
    before: str
    after: str


def _named(before: str) -> tuple[str, bool]:
    """The last word of `before` that names a kind of number, and whether only filler stands behind it."""
    label, near = "", False
    for found in _LABEL.finditer(before.lower()):
        label, filler = found.lastgroup or "", _SHORT_GAP if found.lastgroup == "other" else _GAP
        near = filler.fullmatch(before, found.end()) is not None
    return label, near


def _number(view: _View, start: int, end: int, named: dict[int, tuple[str, bool]]) -> _Number:
    """`named` keeps the word before a place, which several shapes may begin at."""
    before = view.text[max(0, start - 26) : start]
    if start not in named:
        named[start] = _named(before)
    text = view.text[start:end]
    value = re.sub(r"[^0-9A-Za-z]", "", text)
    return _Number(text, value, *named[start], before, view.text[end : end + 12])


_ATTACHED = re.compile(
    r"(?<![A-Za-z0-9])(?:tel|fax|phone|mobile|cell|no|id|card|visa|line|[tmfpeho])[.]?\Z", re.IGNORECASE
)


def _torn(number: _Number) -> bool:
    """Whether the candidate is a piece of something longer: a code, a decimal, a date."""
    if re.match(r"-[0-9A-Za-z]|\.[0-9]|[0-9A-Za-z]", number.after):
        return True
    before = _ATTACHED.sub("", number.before)
    return bool(re.search(r"[0-9][-./]\Z|[A-Za-z][-.]\Z|[0-9A-Za-z.$]\Z", before))


def _card_torn(number: _Number) -> bool:
    """A card with separators may stand in a row of other groups: torn is what a group of four goes on with."""
    if not re.search(r"[^0-9]", number.text):
        return _torn(number)
    behind = re.match(r"-(?:[0-9]{4}(?![0-9])|[A-Za-z])|\.[0-9]|[0-9A-Za-z]", number.after)
    before = _ATTACHED.sub("", number.before)
    return bool(behind or re.search(r"(?:(?<![0-9])[0-9]{4}|[A-Za-z])-\Z|[0-9A-Za-z.$]\Z", before))


def _score(number: _Number, *labels: str) -> tuple[float, str]:
    return (0.9, "check digit and label") if number.label in labels and number.near else (0.75, "check digit")


_Judged = tuple[float, str] | None


def _identity(number: _Number, valid: Callable[[str], bool]) -> _Judged:
    said = number.label in ("national", "resident")
    if (
        (number.label == "other" and number.near)
        or not valid(number.value.upper())
        or not (said or number.value.isupper())
    ):
        return None
    if re.search(r"[ -]", number.text) and not said:
        return (0.6, "check digit, with separators")
    return _score(number, "national", "resident")


def _mobile(number: _Number) -> _Judged:
    if number.label in ("other", "bank", "card", "tax", "health", "passport") and number.near:
        return None
    return (0.9, "form and label") if number.label in ("mobile", "phone") else (0.75, "form")


_AREAS = {"2": (8,), "3": (7,), "37": (6,), "4": (7, 8), "49": (7,), "5": (7,), "6": (7,), "7": (7,), "8": (7,)}
_AREAS |= {"82": (6,), "826": (5,), "836": (5,), "89": (6,)}


def _landline(number: _Number) -> _Judged:
    digits = re.sub(r"[^0-9]", "", re.split(r"#|ext|轉|分機|x", number.text, flags=re.IGNORECASE)[0])
    said, abroad = number.label in ("phone", "mobile") and number.near, re.match(r"(?:\+|00)?\(?\+?886", number.text)
    digits = re.sub(r"^(?:00)?886", "", digits).removeprefix("0") if abroad else digits.removeprefix("0")
    split = any(len(digits) - len(area) in _AREAS.get(area, ()) for area in (digits[:1], digits[:2], digits[:3]))
    if not split or (number.label not in ("", "phone", "mobile", "ip") and number.near):
        return None
    if said:
        return 0.9, "area code, length and label"
    plain = re.match(r"\(|0[0-9]+[-) .]|(?:\+|00|\(\+)|886[-) ]", number.text)
    return (0.7, "area code, length and separators") if plain else None


def _local(number: _Number) -> _Judged:
    return (0.6, "form and label") if number.label == "phone" and number.near else None


def _card(number: _Number) -> _Judged:
    said_else = number.label in ("other", "bank") and number.near
    if said_else or not identifiers.payment_card(number.value):
        return None
    return _score(number, "card")


_MOVED = re.compile(
    r"(?:匯款|匯[到至入給]|轉[帳入]|存入|銀行|郵局|分行|農會|信用合作社)[^帳戶號]{0,8}[,|\t，][^帳戶號]*\Z"
)


_POST = re.compile(r"局號[ :是為]{0,3}\Z|(?:局號|郵局)[^帳]*帳[號戶][ :是為]{0,3}\Z")


def _bank(number: _Number) -> _Judged:
    """A row of a statement (跨行轉帳,1384965549) tells an amount, not an account. The post's numbers have seven
    digits each."""
    said = number.label == "bank" and number.near and not _MOVED.search(number.before)
    day = re.fullmatch(r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:[0-2][0-9]|3[01])", number.value)
    least = 7 if _POST.search(number.before) else 8
    return (0.9, "length and label") if said and not day and least <= len(number.value) <= 17 else None


def _record(label: str) -> Callable[[_Number], _Judged]:
    beside = re.compile(
        rf"(?:{_WORDS[label].lower()}){_SUFFIX}[\s:=#.|*\"'「」()\[\]【】為是碼]*(?:no\.?|number)?[\s:=#.|]*\Z"
    )

    def judge(number: _Number) -> _Judged:
        said = number.label == label and beside.search(number.before.lower())
        return (0.92, "form and label") if said and sum(map(str.isdigit, number.value)) >= 5 else None

    return judge


def _labelled(label: str, length: range, behind: str = "") -> Callable[[_Number], _Judged]:
    def judge(number: _Number) -> _Judged:
        said = (number.label == label and number.near) or (behind and re.match(behind, number.after))
        good = said and len(number.value) in length
        return (0.9, "length and label") if good else None

    return judge


def _tax(number: _Number) -> _Judged:
    behind = re.match(r" ?[(\[](?:公司)?統一?編號?", number.after)
    if not identifiers.tax_id(number.value) or not (behind or (number.label == "tax" and number.near)):
        return None
    return 0.9, "check digit and label"


def _health(number: _Number) -> _Judged:
    said = number.label == "health" or (number.label == "card" and "健保" in number.before)
    return (0.85, "length and label") if said and number.near and len(number.value) == 12 else None


def _certificate(number: _Number) -> _Judged:
    good = number.label == "certificate" and number.near and identifiers.citizen_certificate(number.value.upper())
    return (0.9, "form and label") if good else None


_AREA = "(?:826|836|82|89|37|49|[2-8])"
_EXTENSION = r"(?:#|轉(?:分機)?|分機|ext\.?|x(?=[0-9]))[ :]{0,2}[0-9]{1,6}"
_GAP4 = r"(?:[ .\-/]{0,2})"
_POLICY = r"[0-9]{2,6}字?第[0-9]{0,4}[A-Za-z]{0,4}[0-9]{5,12}"
_CODE = r"[A-Za-z]{0,4}-?[0-9]{3,15}(?:-[0-9A-Za-z]{1,8}){0,3}|[A-Za-z0-9]{6,20}(?:-[0-9A-Za-z]{1,6}){0,2}"


class _Shape(NamedTuple):
    """A type of number: how it is written, what judges a candidate, and what tells it from a piece of a longer one."""

    type: str
    pattern: re.Pattern[str]
    judge: Callable[[_Number], _Judged]
    torn: Callable[[_Number], bool] = _torn


_NUMBERS = [
    _Shape(
        "national-id",
        re.compile(r"[A-Za-z][ -]{0,2}[12](?:[ -]{0,2}[0-9]){8}"),
        lambda number: _identity(number, identifiers.national_id),
    ),
    _Shape(
        "resident-id",
        re.compile(r"[A-Za-z](?:[ -]?[89]|[A-Da-d])(?:[ -]{0,2}[0-9]){8}"),
        lambda number: _identity(number, identifiers.resident_id),
    ),
    _Shape("citizen-certificate", re.compile(r"[A-Za-z]{2}(?: ?[0-9]){14}"), _certificate),
    _Shape(
        "passport",
        re.compile(r"(?:[A-Za-z]{1,2} ?)?[0-9](?: ?[0-9]){6,8}"),
        _labelled("passport", range(8, 10), " ?號?的?護照"),
    ),
    _Shape("health-card", re.compile(r"[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{4}|[0-9](?: ?[0-9]){11}"), _health),
    _Shape("tax-id", re.compile(r"[0-9]{8}|[0-9](?: ?[0-9]){7}|[0-9]{4}-[0-9]{4}"), _tax),
    _Shape("medical-record", re.compile(_CODE), _record("medical")),
    _Shape("policy-number", re.compile(rf"{_POLICY}|{_CODE}"), _record("policy")),
    _Shape(
        "mobile",
        re.compile(
            r"(?:0|(?:\(\+?886\)|(?:\+|00)?886)[ \-]{0,2}(?:\(0\)|0)?)[ -]?9(?:[ .\-/_]{0,2}[0-9]){8}"
            r"|\(0 ?9 ?[0-9] ?[0-9] ?\)(?:[ .\-]{0,2}[0-9]){6}"
        ),
        _mobile,
    ),
    _Shape(
        "landline",
        re.compile(
            rf"(?:\(0{_AREA}\)|0{_AREA}|(?:\(\+?886\)|(?:\+|00)?886)[ )\-]{{0,2}}(?:\(?0?\)?)-?(?:\({_AREA}\)|{_AREA}))"
            r"[ .\-]{0,3}[0-9]{2,4}[ .\-]{0,3}[0-9]{3,4}(?:[0-9]{2})?"
            rf"(?:[,;]? ?(?:\( ?{_EXTENSION} ?\)|{_EXTENSION}))?",
            re.IGNORECASE,
        ),
        _landline,
    ),
    _Shape("landline", re.compile(r"[2-8][0-9]{2,3}-[0-9]{4}"), _local),
    _Shape(
        "credit-card",
        re.compile(
            rf"[0-9]{{4}}{_GAP4}[0-9]{{4}}{_GAP4}[0-9]{{4}}{_GAP4}[0-9]{{4}}(?:{_GAP4}[0-9]{{3}}(?![0-9]))?"
            rf"|3[0-9]{{3}}{_GAP4}[0-9]{{6}}{_GAP4}[0-9]{{4,5}}|[0-9]{{13,19}}"
        ),
        _card,
        _card_torn,
    ),
    _Shape(
        "credit-card", re.compile(rf"[0-9]{{4}}{_GAP4}[0-9]{{4}}{_GAP4}[0-9]{{4}}{_GAP4}[0-9]{{4}}"), _card, _card_torn
    ),
    _Shape(
        "credit-card",
        re.compile(r"[0-9](?: [0-9]){12,18}|(?=[0-9]+ [0-9]+(?![0-9 ]))[0-9](?: ?[0-9]){12,18}(?![0-9])"),
        _card,
        _card_torn,
    ),
    _Shape(
        "bank-account",
        re.compile(
            r"(?:\([0-9]{3}\) ?|[0-9]{3} ?(?=[0-9]{10}))?"
            r"(?:[0-9]{10,16}|[0-9](?:-?[0-9]){6,16}|[0-9]{2,7}(?:[ -][0-9]{1,8}){1,5})(?![0-9])"
        ),
        _bank,
    ),
]


def _numbers(text: str) -> Iterator[Hit]:
    """What has at least six digits: looked for only where digits stand. Numbers that a line break cuts in two are
    looked for afterwards, with the break read as a space."""
    for start, end in [*_around(text, _REGION), *_around(text, _SPOKEN)]:
        view = _view(text, start, end)
        yield from _numbers_in(view)
        joined = _joined(view)
        if joined:
            yield from (hit for hit in _numbers_in(joined) if "\n" in text[hit.start : hit.end] and _one(text, hit))


def _numbers_in(view: _View) -> Iterator[Hit]:
    named: dict[int, tuple[str, bool]] = {}
    for type, pattern, judge, torn in _NUMBERS:
        at = 0
        while found := pattern.search(view.text, at):
            number, at = _number(view, *found.span(), named), found.start() + 1
            if torn(number) or _MEASURED.match(number.after) or reserved(type, number.text):
                continue
            judged = judge(number)
            if judged:
                at = found.end()
                yield view.hit(type, *found.span(), *judged)


_BREAK = re.compile(r"(?<=[0-9A-Za-z\-])[ ]*\r?\n[ ]*(?=[\-0-9])|(?<=[)])\r?\n[ ]*(?=[0-9])")


def _joined(view: _View) -> _View | None:
    """The view with a space for every line break that digits stand around; None when there is none."""
    pieces: list[str] = []
    at: list[int] = []
    done = 0
    for cut in _BREAK.finditer(view.text):
        pieces += [view.text[done : cut.start()], " "]
        at += [*view.at[done : cut.start()], view.at[cut.start()]]
        done = cut.end()
    if not pieces:
        return None
    return _View("".join([*pieces, view.text[done:]]), [*at, *view.at[done:]])


def _one(text: str, hit: Hit) -> bool:
    """Whether a number over a line break is one: two lines that are numbers of their own are none."""
    if hit.score >= 0.9 and hit.type not in ("bank-account", "medical-record", "policy-number"):
        return True
    first, second = re.split(r"\s*\n\s*", text[hit.start : hit.end], maxsplit=1)
    return (
        hit.type in ("national-id", "resident-id", "mobile", "credit-card")
        or first.endswith("-")
        or second.startswith("-")
    )


# --- what a word announces ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Announced:
    """A type that follows a word: `label`, and `value` behind it."""

    type: str
    label: re.Pattern[str]
    value: re.Pattern[str]
    more: re.Pattern[str] = re.compile(r" ?[、,/及和與] ?")

    def __call__(self, text: str) -> Iterator[Hit]:
        for label in self.label.finditer(text):
            view = _view(text, label.end(), min(len(text), label.end() + 80))
            at = 0
            while found := self.value.match(view.text, at):
                start, end = found.span("value")
                if not reserved(self.type, found["value"]):
                    yield view.hit(self.type, start, end, 0.85, "form and label")
                more = self.more.match(view.text, end)
                if not more:
                    break
                at = more.end()


_PLATES = (
    "[A-Z]{3}-?[0-9]{3,4}|[0-9]{3,4}-?[A-Z]{2,3}|[A-Z]{2}-?[0-9]{3,4}|[A-Z][0-9]-?[0-9]{4}|[0-9][A-Z]-?[0-9]{4}"
    "|[0-9]{4}-?(?:[A-Z][0-9]|[0-9][A-Z])|[A-Z]{2}[A-Z0-9]-[0-9]{3}"
)
_plate = _Announced(
    "plate",
    re.compile("車牌|車號|牌照"),
    re.compile(rf"[^0-9A-Za-z\n。;,]{{0,8}}(?P<value>(?i:{_PLATES}))(?![0-9A-Za-z]|-[0-9A-Za-z])"),
)
_vehicle = _Announced(
    "plate",
    re.compile("(?:機車|汽車|車輛|轎車|客車|貨車)(?=[ :：]{0,2}[A-ZＡ-Ｚ])"),
    re.compile(r"[ :]{0,2}(?P<value>[A-Z]{3}-[0-9]{4})(?![0-9A-Za-z]|-[0-9A-Za-z])"),
)
_carrier = _Announced(
    "carrier-barcode",
    re.compile(r"手機條碼|載具"),
    re.compile(r"[^0-9A-Za-z/\n。]{0,12}(?P<value>/[0-9A-Z+.\-]{7})(?![0-9A-Za-z+\-/])"),
)
_LINE = re.compile(r"LINE|Line|line|賴")
_LINE_ID = re.compile(
    r"(?:(?P<said>[^0-9A-Za-z@\n。:]{0,10}(?:(?:ID|Id|id)(?![A-Za-z])|帳號)[^0-9A-Za-z@\n。]{0,8})"
    r"|[^0-9A-Za-z@\n。:]{0,6}: ?| ?(?:帳號)?是 ?)"
    r"(?P<value>@?(?!(?:pay|https?|today|bot|app|id)\b)[A-Za-z0-9][A-Za-z0-9._\-]{2,19})(?![0-9A-Za-z@])"
)


def _lines(text: str) -> Iterator[Hit]:
    """LINE ID：…; after 加 and 我的 also 加 LINE：… and 我的賴是…; LINE：… alone in capitals."""
    for line in _LINE.finditer(text):
        before = text[max(0, line.start() - 4) : line.start()]
        if before[-1:].isascii() and before[-1:].isalpha():
            continue
        view = _view(text, line.end(), min(len(text), line.end() + 48))
        found = _LINE_ID.match(view.text)
        mine = "加" in before or "我的" in before or (line[0] == "LINE" and ":" in view.text[:8])
        said = found and (found["said"] or mine) and not found["value"].isdigit()
        if found and said and not reserved("line-id", found["value"]):
            yield view.hit("line-id", *found.span("value"), 0.85, "form and label")


# --- birth dates --------------------------------------------------------------------------------------------------

_BIRTH = re.compile(
    r"[出生誕DdBb](?:(?P<before>(?<=出)生(?:年月日|日期|年次)?[於在]?|(?<=生)日(?:期)?|(?<![產發衍孳再學先後醫誕]生)(?<=生)於"
    r"|(?<=[Dd])ate of [Bb]irth|(?<=[Bb])irth[ _-]?(?:[Dd]ate|day)|(?<=d)ob(?![a-z])|(?<=D)OB|(?<=[Bb])orn(?: on)?)"
    r"|(?<=[日號0-9 ][出誕])(?P<after>生)|(?<=[日號0-9 ]生)(?P<alive>(?=[\s，。、；,;）)】]|$|於)))"
)


def _birth(text: str) -> Iterator[Hit]:
    for label in _BIRTH.finditer(text):
        if label["before"]:
            view = _view(text, label.end(), min(len(text), label.end() + 40))
            found = identifiers.DATE.search(view.text)
            if found and re.fullmatch(
                r"(?:\((?:西元|民國|西曆)[^()0-9]{0,6}\))?[\s:=是為於在|*()\[\]【】「」\"']{0,8}",
                view.text[: found.start()],
            ):
                yield from _birth_at(view, found)
        if label["before"] and "生" not in label[0]:
            continue
        view = _view(text, max(0, label.start() - 28), label.start())
        for found in identifiers.DATE.finditer(view.text):
            if not view.text[found.end() :].strip():
                yield from _birth_at(view, found)


def _birth_at(view: _View, found: re.Match[str]) -> Iterator[Hit]:
    start = found.start() + len(found[0]) - len(found[0].lstrip())
    torn = re.match(r"[0-9]", view.text[found.end() :]) or re.search(r"[0-9]\Z", view.text[: found.start()])
    if not torn and identifiers.birth_date(found[0]) and not reserved("birth-date", found[0]):
        yield view.hit("birth-date", start, found.end(), 0.85, "date and label")


# --- addresses ----------------------------------------------------------------------------------------------------

_NUM = r"[ ]?(?:[0-9０-９]{1,4}|[一二三四五六七八九十百〇零]{1,6})[ ]?"
_HOUSE = re.compile(r"[0-9０-９一二三四五六七八九十百〇零][ ]?號")
_HAN = "\u4e00-\u9fff"
_CITY = (
    "(?:[臺台]灣省?)?(?:(?:[臺台][北中南]|新北|桃園|高雄|基隆|新竹|嘉義)市"
    "|(?:新竹|苗栗|彰化|南投|雲林|嘉義|屏東|宜蘭|花蓮|[臺台]東|澎湖|金門|連江|桃園|[臺台][北中南]|高雄)縣)"
)
_ADDRESS = re.compile(
    rf"(?P<code>(?<![0-9０-９\-])[0-9０-９]{{3}}(?:-?[0-9０-９]{{2,3}})?[ \u3000]?(?={_CITY}))?"
    rf"(?P<city>{_CITY})?[ ]?"
    rf"(?P<town>[{_HAN}]{{1,3}}?[區鄉鎮市])?[ ]?"
    rf"(?P<village>[{_HAN}]{{1,4}}?[村里])?(?:{_NUM}鄰)?[ ]?"
    rf"(?P<road>(?:[市縣](?=[府民政場]))?(?:(?![市縣區往遷到])[{_HAN}]){{1,7}}?(?:路|街|大道)(?:{_NUM}段)?)?"
    rf"(?P<lane>(?:[{_HAN}]{{1,3}})??{_NUM}巷)?(?:{_NUM}弄)?(?:{_NUM}衖)?"
    rf"{_NUM}(?:[之\-－]{_NUM})?號(?:[之\-－]{_NUM})?"
    rf"(?:[、,，]?[ ]?(?:地下|B)?{_NUM}(?:樓|[FfＦ](?![A-Za-z]))(?:之{_NUM}|[\-－][0-9０-９]{{1,3}})?)?"
    rf"(?:[ ]?(?:[A-Z0-9０-９]{{1,4}})室)?"
)
_LEAD = re.compile(rf".*(?:[座坐]?落|[到在於從往是為住址寄送：:，,\s]|[^{_HAN}])")
_PLACE = re.compile("[路街道巷弄村里鄰]")
_NOT_ROAD = re.compile(r"(?:公|鐵|網|線|電|迴|馬|道|走|通|思|套|高速公|快速道)路$|逛街$")
_NOT_HOUSE = re.compile(r"[線橋機艇艦出道車月公院館省國碼]|高[速鐵]")


def _addresses(text: str) -> Iterator[Hit]:
    """Anchored on 號 with a number before it; what stands left of it must make it a place."""
    done = 0
    for house in _HOUSE.finditer(text):
        if house.start() < done:
            continue
        low = max(done, text.rfind("\n", 0, house.start()) + 1, house.start() - 48)
        if not _PLACE.search(text, low, house.start()):
            continue
        high = min(len(text), house.end() + 20)
        for found in _ADDRESS.finditer(text[low:high]):
            if not found.start() + low <= house.start() < found.end() + low:
                continue
            hit = _address(found, low, text[found.end() + low : found.end() + low + 2])
            if hit:
                done = hit.end
                yield hit
            break


def _address(found: re.Match[str], low: int, after: str) -> Hit | None:
    """The address in a match: without a city it is cut where a word before it ends (他搬到中山路 → 中山路)."""
    road, town, start = found["road"] or "", found["town"] or "", found.start()
    place = bool(road and not _NOT_ROAD.search(re.sub(rf"{_NUM}段$", "", road)))
    if _NOT_HOUSE.match(after) or reserved("address", found[0]):
        return None
    if not found["city"]:
        head = next((found.start(name) for name in ("town", "village", "road", "lane") if found[name]), None)
        if head is None or not (place or (town and (found["village"] or found["lane"]))):
            return None
        name = found[next(name for name in ("town", "village", "road", "lane") if found[name])]
        lead = _LEAD.match(name[:-2])
        start = head + (lead.end() if lead else 0)
    elif not (place or found["village"] or found["lane"] or (town and road)):
        return None
    end = found.start() + len(found[0].rstrip())
    return Hit("address", start + low, end + low, 0.85 if found["city"] else 0.7, "place and house number")


# --- names --------------------------------------------------------------------------------------------------------


def _names(text: str) -> Iterator[Hit]:
    for start, end, score, why in names(text):
        if not reserved("name", text[start:end]):
            yield Hit("name", start, end, score, why)


_PERSONAL = ("national-id", "resident-id", "mobile", "landline", "birth-date")


def _beside(text: str, found: list[Hit]) -> list[Hit]:
    numbers = [hit for hit in found if hit.type in _PERSONAL]
    return [
        Hit("name", *one)
        for hit in numbers
        for one in beside(text, hit.start, hit.end)
        if not reserved("name", text[one[0] : one[1]])
    ]


# --- columns ------------------------------------------------------------------------------------------------------

_TABLES = ("|", "│", "\t", ",", "／", "  ", "\u3000\u3000")
_HEAD = re.compile(
    "姓名|名字|本名|[人者員師長友戶方生]$|家長|配偶|父親|母親|生日|出生|統編|統一編號|帳[號戶]|護照|病歷|保單|保險單|電話|手機|聯絡|行動"
    "|賴|載具|手機條碼|車牌|車號|身[分份]證|居留證|證號|健保卡|信用卡|卡號|憑證"
    f"|{_ascii('name|birth(?:day|date| date)?|dob|tax id|account|passport|phone|mobile|tel|line(?: id)?|card|MRN')}",
    re.IGNORECASE,
)
_HEAD_OTHER = re.compile(rf"(?:{_OTHER})$|(?:金額|數量|餘額|支出|收入|單價|總[計額價])", re.IGNORECASE)
_OWN = re.compile("身[分份]證|居留證|統一編號|電話|手機|卡號|證號|帳號|護照|健保|病歷|保單")


@lru_cache(maxsize=4096)
def _is_head(cell: str) -> bool:
    return bool(_HEAD.search(cell) or _HEAD_OTHER.search(cell))


def _in_columns(text: str, found: list[Hit]) -> list[Hit]:
    """`found` with what the headers of tables say: each cell is looked at as if its header stood before it, and what
    stands under 訂單編號 or 金額 is nothing else."""
    cells: list[Hit] = []
    others: list[tuple[int, int]] = []
    for head, start, end in columns(text, _is_head):
        if _HEAD_OTHER.search(head) and not _OWN.search(head):
            others.append((start, end))
        elif end - start <= 80:
            cells += _in_cell(text, head, start, end)
    starts = [start for start, _ in others]
    kept = []
    for hit in found:
        at = bisect_left(starts, hit.start + 1) - 1
        if at < 0 or hit.end > others[at][1]:
            kept.append(hit)
    return kept + cells


def _in_cell(text: str, head: str, start: int, end: int) -> Iterator[Hit]:
    shown = f"{head}："
    line = shown + text[start:end]
    for scan in (_numbers, _plate, _carrier, _lines, _birth, _names):
        for hit in scan(line):
            if hit.start >= len(shown):
                low, high = hit.start - len(shown) + start, hit.end - len(shown) + start
                yield Hit(hit.type, low, high, hit.score, hit.why)


# --- the net ------------------------------------------------------------------------------------------------------

_MAIL_USER = re.compile(r"[A-Za-z0-9._%+\-]+\Z")
_MAIL_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9@])")
_NOT_MAIL = re.compile(r"(?:png|jpe?g|gif|svg|webp|js|css|ts|py|md|json|html?|pdf)$", re.IGNORECASE)
_IP4 = re.compile(r"\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9A-Za-z]|\.[0-9]|-[A-Za-z])")
_IP6 = re.compile(r":[0-9A-Fa-f]{0,4}:")
_IP6_WHOLE = re.compile(r"(?<![0-9A-Za-z:.])[0-9A-Fa-f:]{6,39}(?![0-9A-Za-z:])")


def _emails(text: str) -> Iterator[Hit]:
    for mark in "@＠":
        at = text.find(mark)
        while at >= 0:
            user = _MAIL_USER.search(_plain(text[max(0, at - 64) : at]))
            host = _MAIL_HOST.match(_plain(text[at + 1 : at + 255]))
            name = user[0].lstrip(".%+-") if user else ""
            foreign = user and _plain(text[max(0, at - len(user[0]) - 3) : at - len(user[0])]) == "://"
            if name and name != "git" and not foreign and host and not _NOT_MAIL.search(host[0]):
                start, end = at - len(name), at + 1 + host.end()
                if not reserved("email", _plain(text[start:end])):
                    yield Hit("email", start, end, 0.9, "form")
            at = text.find(mark, at + 1)


def _plain(piece: str) -> str:
    return piece if piece.isascii() else piece.translate(_PLAIN)


def _addresses_of_machines(text: str) -> Iterator[Hit]:
    for tail in _IP4.finditer(text):
        head = re.search(r"(?<![0-9A-Za-z.])[0-9]{1,3}\Z", text[max(0, tail.start() - 4) : tail.start()])
        if head:
            yield from _ip(text, tail.start() - len(head[0]), tail.end())
    done = 0
    for part in _IP6.finditer(text):
        low = max(done, part.start() - 6)
        whole = _IP6_WHOLE.search(text, low, min(len(text), low + 48)) if part.start() >= done else None
        if whole and whole.start() <= part.start() < whole.end():
            done = whole.end()
            yield from _ip(text, *whole.span())


def _ip(text: str, start: int, end: int) -> Iterator[Hit]:
    try:
        address = ipaddress.ip_address(text[start:end])
    except ValueError:
        return
    before = _plain(text[max(0, start - 26) : start])
    label, near = _named(before)
    if isinstance(address, ipaddress.IPv4Address):
        version = re.match(r" ?(?:[節章條版]|以[上下前後])", text[end : end + 3])
        doubtful = bool(version) or all(part < 20 for part in address.packed)
    else:
        doubtful = len([group for group in address.exploded.split(":") if group != "0000"]) < 3
    torn = (label == "other" and near) or re.search(r"[A-Za-z]/\Z|版本?[^0-9\n]{0,6}\Z", before)
    if not torn and (label == "ip" or not doubtful) and not reserved("ip", text[start:end]):
        yield Hit("ip", start, end, *((0.85, "form and label") if label == "ip" else (0.6, "form")))


_SCANS: tuple[Callable[[str], Iterator[Hit]], ...] = (
    _numbers, _plate, _vehicle, _carrier, _lines, _birth, _addresses, _names, _emails, _addresses_of_machines,
)  # fmt: skip
