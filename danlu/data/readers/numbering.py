"""The labels that Word and OpenDocument count for lists and headings: 1. a) 第三條 （四） 壹、 甲."""

from __future__ import annotations

_DIGITS = "零一二三四五六七八九"
_FORMAL = "零壹貳參肆伍陸柒捌玖"
_STEMS = "甲乙丙丁戊己庚辛壬癸"
_BRANCHES = "子丑寅卯辰巳午未申酉戌亥"
_ROMAN = ((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"),
          (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))  # fmt: skip


def number(value: int, format: str) -> str:
    """`value` in a number format of Word (`ST_NumberFormat`); in decimal figures where the format is not known here."""
    if value < 1:
        return str(value)
    if format in ("lowerLetter", "upperLetter"):
        letters = chr(ord("a") + (value - 1) % 26) * min((value - 1) // 26 + 1, 9)
        return letters.upper() if format == "upperLetter" else letters
    if format in ("lowerRoman", "upperRoman"):
        return _roman(value).upper() if format == "upperRoman" else _roman(value)
    if format in ("ideographLegalTraditional", "chineseLegalSimplified"):
        return chinese(value, _FORMAL, "拾佰仟", tens=True)
    if format in ("taiwaneseDigital", "ideographDigital", "japaneseDigitalTenThousand"):
        return "".join(_DIGITS[int(digit)] for digit in str(value)).replace("零", "〇")
    if format.startswith(("taiwaneseCounting", "chineseCounting", "japaneseCounting")):
        return chinese(value)
    if format == "ideographTraditional" and value <= len(_STEMS):
        return _STEMS[value - 1]
    if format == "ideographZodiac" and value <= len(_BRANCHES):
        return _BRANCHES[value - 1]
    return f"{value:02d}" if format == "decimalZero" else str(value)


def chinese(value: int, digits: str = _DIGITS, units: str = "十百千", tens: bool = False) -> str:
    """1 to 9999 as read aloud: 12 is 十二 (with `tens` 壹拾貳), 105 is 一百零五. Beyond that in decimal figures."""
    if not 0 < value < 10_000:
        return str(value)
    out = ""
    for power in (3, 2, 1, 0):
        digit = value // 10**power % 10
        if digit:
            out += digits[digit] + (units[power - 1] if power else "")
        elif out and value % 10**power and not out.endswith(digits[0]):
            out += digits[0]
    return out[1:] if 10 <= value < 20 and not tens else out


def _roman(value: int) -> str:
    out = ""
    for worth, letters in _ROMAN:
        out += letters * min(value // worth, 9)
        value %= worth
    return out
