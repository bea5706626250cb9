"""Numbers as a spreadsheet shows them: number formats (ECMA-376 part 1, 18.8.30–31) to text.

    shown("912345678", "0000-000-000") == "0912-345-678"
    shown("45296", '[$-404]e"年"m"月"d"日"') == "113年1月5日"

Colours are left out, as is the space that only aligns (`_x`, `*x`, `?`). Dates that follow the reader's own region
(formats 14 and 22) are ISO 8601. Years of the Republic are those of the locale 404 and its like. A format that cannot
be applied, or a date before 1900, gives the plain number. Not covered: numerals in words (`[DBNum1]`), eras of other
calendars, the sections for text.
"""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache

GENERAL = "General"
_TAIWAN = '[$-404]e"年"m"月"d"日"'
_CLOCK = '上午/下午hh"時"mm"分"'
BUILTIN = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 5: '"$"#,##0;-"$"#,##0', 6: '"$"#,##0;-"$"#,##0',
    7: '"$"#,##0.00;-"$"#,##0.00', 8: '"$"#,##0.00;-"$"#,##0.00', 9: "0%", 10: "0.00%", 11: "0.00E+00", 12: "# ?/?",
    13: "# ??/??", 14: "yyyy-mm-dd", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy", 18: "h:mm AM/PM", 19: "h:mm:ss AM/PM",
    20: "h:mm", 21: "h:mm:ss", 22: "yyyy-mm-dd h:mm", 27: "[$-404]e/m/d", 28: _TAIWAN, 29: _TAIWAN, 30: "m/d/yy",
    31: 'yyyy"年"m"月"d"日"', 32: 'hh"時"mm"分"', 33: 'hh"時"mm"分"ss"秒"', 34: _CLOCK, 35: f'{_CLOCK}ss"秒"',
    36: "[$-404]e/m/d", 37: "#,##0;-#,##0", 38: "#,##0;-#,##0", 39: "#,##0.00;-#,##0.00", 40: "#,##0.00;-#,##0.00",
    41: "#,##0;-#,##0;-", 42: '"$"#,##0;-"$"#,##0;-', 43: "#,##0.00;-#,##0.00;-",
    44: '"$"#,##0.00;-"$"#,##0.00;-', 45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss.0", 48: "##0.0E+0", 49: "@",
    50: "[$-404]e/m/d", 51: _TAIWAN, 52: _CLOCK, 53: f'{_CLOCK}ss"秒"', 54: _TAIWAN, 55: _CLOCK,
    56: f'{_CLOCK}ss"秒"', 57: "[$-404]e/m/d", 58: _TAIWAN,
}  # fmt: skip
"""The formats that files name by number only; 27 to 58 as in Taiwan."""

_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"?|\\(?P<escaped>.)|[_*].|\[(?P<bracket>[^\]]*)\]'
    r"|(?P<half>上午/下午|AM/PM|am/pm|A/P|a/p)|(?P<exponent>[Ee][+-]0+)|(?P<general>General)"
    r"|(?P<date>y+|m+|d+|h+|s+|e+|g+|a{3,4}|Y+|M+|D+|H+|S+)|(?P<digits>[0#?]+)|(?P<mark>[.,%/@])|(?P<other>.)",
    re.DOTALL,
)
_CONDITION = re.compile(r"(<=|>=|<>|<|>|=)(-?\d+(?:\.\d+)?)$")
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_LAST = 2_958_466
Token = tuple[str, str]


def shown(raw: str, format: str, *, since_1904: bool = False) -> str:
    """The number `raw` (as the file writes it) under a number format."""
    try:
        number = Decimal(raw.strip())
    except InvalidOperation:
        return raw
    if not number.is_finite():
        return raw
    try:
        tokens, negative = _section(format, number)
        if not tokens or any(kind == "general" for kind, _ in tokens):
            return _around(tokens, plain(raw))
        if any(kind in ("date", "half", "elapsed") for kind, _ in tokens):
            return _dated(tokens, number, since_1904)
        text = _number(tokens, abs(number))
    except (ValueError, ArithmeticError, IndexError):
        return plain(raw)
    return f"-{text}" if negative and any(digit in "123456789" for digit in text) else text


def plain(raw: str) -> str:
    """A number without a format: whole ones in full, others in up to 15 digits."""
    number = Decimal(raw.strip())
    if number == number.to_integral_value() and abs(number) < Decimal(10) ** 21:
        return (
            f"{number.to_integral_value():f}".replace("-0", "0") if number == 0 else f"{number.quantize(Decimal(1)):f}"
        )
    return f"{float(number):.15G}"


def _section(format: str, number: Decimal) -> tuple[Sequence[Token], bool]:
    """(the tokens of the section that is for this number, whether a minus is to be written before it)."""
    sections = _sections(format)[:3]
    conditions = [_condition(tokens) for tokens in sections]
    if any(conditions):
        for tokens, condition in zip(sections, conditions, strict=True):
            if condition is None or _holds(number, *condition):
                return tokens, number < 0
        return (), False
    if number == 0 and len(sections) > 2:
        return sections[2], False
    if number < 0 and len(sections) > 1:
        return sections[1], False
    return sections[0], number < 0


@lru_cache(4096)
def _sections(format: str) -> list[list[Token]]:
    """The sections of a format as (kind, what it says): literal, digits, mark, date, half, elapsed, bracket …"""
    found: list[list[Token]] = [[]]
    for match in _TOKEN.finditer(format[:1000]):
        kind, text = match.lastgroup or "", match[match.lastgroup] if match.lastgroup else ""
        if kind == "other" and text == ";":
            found.append([])
        elif kind == "bracket" and text.startswith("$"):
            symbol, _, place = text[1:].partition("-")
            found[-1] += [("literal", symbol)] if symbol else []
            found[-1] += [("locale", place.lower())] if place else []
        elif kind == "bracket" and re.fullmatch(r"h+|m+|s+", text.lower()):
            found[-1].append(("elapsed", text.lower()))
        elif kind in ("quoted", "escaped", "other"):
            found[-1].append(("literal", text))
        elif kind:
            found[-1].append((kind, text.lower() if kind == "date" else text))
    return found


def _condition(tokens: Sequence[Token]) -> tuple[str, str] | None:
    matches = (_CONDITION.match(text) for kind, text in tokens if kind == "bracket")
    return next(((match[1], match[2]) for match in matches if match), None)


def _holds(number: Decimal, sign: str, bound: str) -> bool:
    limit = Decimal(bound)
    return {
        "<": number < limit, "<=": number <= limit, ">": number > limit, ">=": number >= limit,
        "=": number == limit, "<>": number != limit,
    }[sign]  # fmt: skip


def _around(tokens: Sequence[Token], number: str) -> str:
    texts = [text if kind == "literal" else number if kind == "general" else "" for kind, text in tokens]
    return "".join(texts).strip() or number


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _number(tokens: Sequence[Token], number: Decimal) -> str:
    """A number that is not negative, under the tokens of its section."""
    number = number.scaleb(2 * sum(token == ("mark", "%") for token in tokens))
    places = [at for at, (kind, _) in enumerate(tokens) if kind == "digits"]
    if not places:
        return "".join(text for kind, text in tokens if kind in ("literal", "mark")).replace("@", f"{number:f}").strip()
    if ("mark", "/") in tokens:
        return _fraction(tokens, number, places)
    exponent = next((text for kind, text in tokens if kind == "exponent"), "")
    point = next((at for at, token in enumerate(tokens) if token == ("mark", ".")), len(tokens))
    if exponent:
        return _scientific(tokens, number, point, exponent)
    last = max((at for at in places if at < point), default=-1)
    scale = 0
    while last + scale + 1 < len(tokens) and tokens[last + scale + 1] == ("mark", ","):
        scale += 1
    grouped = any(token == ("mark", ",") for token in tokens[:last])
    decimals = "".join(text for kind, text in tokens[point:] if kind == "digits")
    rounded = number.scaleb(-3 * scale).quantize(Decimal(1).scaleb(-len(decimals)), ROUND_HALF_UP)
    whole, _, part = f"{rounded:f}".partition(".")
    left = _whole(tokens[:point], whole.lstrip("0"), grouped)
    return (left + (_decimals(tokens[point:], part) if point < len(tokens) else "")).strip()


def _whole(tokens: Sequence[Token], digits: str, grouped: bool) -> str:
    """The digits before the point put into their places from the right; those too many stand in the first place."""
    out: list[str] = []
    first = next((at for at, (kind, _) in enumerate(tokens) if kind == "digits"), len(tokens))
    count = 0
    for at in range(len(tokens) - 1, -1, -1):
        kind, text = tokens[at]
        if kind == "literal" or (kind == "mark" and text in "%/@"):
            out.append(text)
            continue
        if kind != "digits":
            continue
        places = list(reversed(text))
        if at == first:
            places += ["#"] * max(0, len(digits) - len(places))
        for place in places:
            digit = digits[-1:] or ("0" if place == "0" else "")
            digits = digits[:-1]
            if digit:
                out.append("," if grouped and count and count % 3 == 0 else "")
                out.append(digit)
                count += 1
    return "".join(reversed(out))


def _decimals(tokens: Sequence[Token], digits: str) -> str:
    places = "".join(text for kind, text in tokens if kind == "digits")
    least = places.rfind("0") + 1
    kept = digits[:least] + digits[least:].rstrip("0")
    out = []
    for kind, text in tokens:
        if kind == "digits":
            out.append(kept[: len(text)])
            kept = kept[len(text) :]
        elif kind == "literal" or (kind == "mark" and text != ","):
            out.append(text)
    return "".join(out)


def _scientific(tokens: Sequence[Token], number: Decimal, point: int, exponent: str) -> str:
    places = sum(len(text) for kind, text in tokens[point:] if kind == "digits")
    wide = max(sum(len(text) for kind, text in tokens[:point] if kind == "digits"), 1)
    power = number.adjusted() if number else 0
    power -= power % wide if wide > 1 else 0
    mantissa = number.scaleb(-power).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    if mantissa >= 10**wide:
        power += wide
        mantissa = number.scaleb(-power).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    sign = "-" if power < 0 else "+" if exponent[1] == "+" else ""
    return f"{mantissa:f}{exponent[0]}{sign}{abs(power):0{len(exponent) - 2}d}"


def _fraction(tokens: Sequence[Token], number: Decimal, places: Sequence[int]) -> str:
    slash = tokens.index(("mark", "/"))
    below = "".join(text for kind, text in tokens[slash + 1 :] if kind in ("digits", "literal") and text.strip())
    mixed = sum(at < slash for at in places) > 1
    whole = int(number) if mixed else 0
    rest = Fraction(number) - whole
    if below.isdigit() and int(below):
        top, bottom = round(rest * int(below)), int(below)
    else:
        near = rest.limit_denominator(10 ** min(len(below) or 1, 4) - 1)
        top, bottom = near.numerator, near.denominator
    if mixed and top == bottom:
        whole, top = whole + 1, 0
    if mixed and not top:
        return str(whole)
    return f"{whole} {top}/{bottom}" if whole else f"{top}/{bottom}"


# ── dates and times ──────────────────────────────────────────────────────────────────────────────────────────────────


def _dated(tokens: Sequence[Token], number: Decimal, since_1904: bool) -> str:
    """A date or a time of day; the number counts days. Raises ValueError for dates that there are not."""
    tokens = _minutes(tokens)
    if number < 0 or number >= _LAST:
        raise ValueError("no date")
    places = max((_fraction_of_seconds(tokens)), 0)
    days = int(number)
    seconds = ((number - days) * 86400).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    if seconds >= 86400:
        days, seconds = days + 1, seconds - 86400
    first = datetime.date(1904, 1, 1) if since_1904 else datetime.date(1899, 12, 30 if days > 59 else 31)
    day = first + datetime.timedelta(days)
    place = next((text for kind, text in tokens if kind == "locale"), "")
    if place in ("f800", "f400"):
        return f"{day.year}年{day.month}月{day.day}日" if place == "f800" else _clock(seconds)
    half = any(kind == "half" for kind, _ in tokens)
    out = []
    for at, (kind, text) in enumerate(tokens):
        if kind == "date":
            out.append(_field(text, day, seconds, half, place))
        elif kind == "half":
            out.append(_half(text, seconds >= 43200))
        elif kind == "elapsed":
            total = days * 86400 + int(seconds)
            out.append(f"{total // {'h': 3600, 'm': 60, 's': 1}[text[0]]:0{len(text)}d}")
        elif kind == "digits" and at and tokens[at - 1] == ("mark", "."):
            out.append(f"{seconds % 1:.{places}f}"[2:])
        elif kind in ("literal", "mark", "digits"):
            out.append(text)
    return "".join(out).strip()


def _minutes(tokens: Sequence[Token]) -> list[Token]:
    """The tokens with `m` as `n` where it means minutes: after hours, or before seconds."""
    found = list(tokens)
    fields = [at for at, (kind, _) in enumerate(found) if kind in ("date", "elapsed")]
    for before, at, after in zip([None, *fields], fields, [*fields[1:], None], strict=False):
        kind, text = found[at]
        hours = before is not None and found[before][1][0] == "h"
        seconds = after is not None and found[after][1][0] == "s"
        if kind == "date" and text[0] == "m" and len(text) <= 2 and (hours or seconds):
            found[at] = (kind, "n" * len(text))
    return found


def _fraction_of_seconds(tokens: Sequence[Token]) -> int:
    pairs = itertools.pairwise(tokens)
    return next((len(text) for mark, (kind, text) in pairs if mark == ("mark", ".") and kind == "digits"), 0)


def _field(text: str, day: datetime.date, seconds: Decimal, half: bool, place: str) -> str:
    whole = int(seconds)
    hour = whole // 3600
    width = min(len(text), 2)
    match text[0]:
        case "y":
            return f"{day.year % 100:02d}" if len(text) <= 2 else str(_republic(day.year, place, calendar=True))
        case "e":
            return f"{_republic(day.year, place):0{width}d}"
        case "g":
            return ("中華民國" if len(text) > 2 else "民國") if _taiwan(place) and day.year > 1911 else ""
        case "m":
            names = {3: _MONTHS[day.month - 1][:3], 4: _MONTHS[day.month - 1], 5: _MONTHS[day.month - 1][0]}
            chinese = len(text) in (3, 4) and place.endswith(("404", "804"))
            return f"{day.month}月" if chinese else names.get(len(text)) or f"{day.month:0{width}d}"
        case "d" | "a":
            if len(text) <= 2:
                return f"{day.day:0{width}d}"
            chinese = text[0] == "a" or _taiwan(place)
            name = ("週" if len(text) == 3 else "星期") + "一二三四五六日"[day.weekday()]
            return name if chinese else _DAYS[day.weekday()][: 3 if len(text) == 3 else None]
        case "h":
            return f"{(hour % 12 or 12) if half else hour:0{width}d}"
        case "n":
            return f"{whole // 60 % 60:0{width}d}"
    return f"{whole % 60:0{width}d}"


def _half(text: str, afternoon: bool) -> str:
    return text.split("/")[afternoon]


def _clock(seconds: Decimal) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _taiwan(place: str) -> bool:
    return place.startswith(("zh-tw", "zh-hant-tw")) or place.endswith("404")


def _republic(year: int, place: str, calendar: bool = False) -> int:
    """The year as `e` writes it: of the Republic in Taiwan. `yyyy` does only where the locale names that calendar
    (its third byte is 4, as in `[$-1040404]`)."""
    taiwan = _taiwan(place) and year > 1911
    return year - 1911 if taiwan and (not calendar or re.fullmatch(r"[0-9a-f]{0,2}040404", place)) else year
