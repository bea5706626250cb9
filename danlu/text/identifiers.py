"""Taiwan's identifiers: whether a string has the form, and the check digit, of one. Nothing is looked up.

A true answer says that the number is well formed, never that it was given to somebody. The rules:

    national id, resident id   a letter stands for two digits (A 10 … I 34, O 35, W 32), of which the tens count once
                               and the ones nine times; then weights 8 7 6 5 4 3 2 1 1; the sum is a multiple of 10.
                               The second place is 1 or 2 for nationals, 8 or 9 for residents (since 2021), and a
                               letter A to D for residents before that, of which only the ones count
    tax id (統一編號)          weights 1 2 1 2 1 2 4 1, the digits of each product added up; the sum is a multiple of 5
                               (of 10 before April 2023, which every older number also keeps); when the seventh digit is
                               7 its product 28 → 10 may count as 1 or as 0
    payment card               Luhn (ISO/IEC 7812-1), and the first digits and length of a network
"""

from __future__ import annotations

import datetime
import re
import unicodedata

_LETTERS = {letter: number for number, letter in enumerate("ABCDEFGHJKLMNPQRSTUVXYWZIO", 10)}
_NATIONAL = re.compile(r"[A-Z][12][0-9]{8}")
_RESIDENT = re.compile(r"[A-Z][89][0-9]{8}")
_RESIDENT_OLD = re.compile(r"[A-Z][A-D][0-9]{8}")
_TAX = re.compile(r"[0-9]{8}")
_BARCODE = re.compile(r"/[0-9A-Z+\-.]{7}")
_DONATION = re.compile(r"[0-9]{3,7}")
_CERTIFICATE = re.compile(r"[A-Z]{2}[0-9]{14}")
_CARD = re.compile(
    r"4[0-9]{12}(?:[0-9]{3}){0,2}"  # Visa
    r"|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"  # Mastercard
    r"|3[47][0-9]{13}"  # American Express
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12}"  # JCB
    r"|(?:6011|64[4-9][0-9]|65[0-9]{2})[0-9]{12}"  # Discover
    r"|62[0-9]{14,17}"  # UnionPay
    r"|3(?:0[0-5]|[68][0-9])[0-9]{11}"  # Diners Club
)


def national_id(value: str) -> bool:
    """國民身分證統一編號: A123456789."""
    return _NATIONAL.fullmatch(value) is not None and _checks(value)


def resident_id(value: str) -> bool:
    """外來人口統一證號, in the form since 2021 (A800000014) or the one before (AB12345677)."""
    if _RESIDENT.fullmatch(value):
        return _checks(value)
    return _RESIDENT_OLD.fullmatch(value) is not None and _checks(value[0] + str(_LETTERS[value[1]] % 10) + value[2:])


def check_digit(first_nine: str) -> str:
    """The last digit that makes a national or resident id of a letter and eight digits."""
    return str(-_sum(first_nine) % 10)


def _checks(value: str) -> bool:
    return (_sum(value[:9]) + int(value[9])) % 10 == 0


def _sum(first_nine: str) -> int:
    tens, ones = divmod(_LETTERS[first_nine[0]], 10)
    return (
        tens
        + 9 * ones
        + sum(int(digit) * weight for digit, weight in zip(first_nine[1:], range(8, 0, -1), strict=True))
    )


def tax_id(value: str) -> bool:
    """營利事業統一編號, by the rule in force since April 2023."""
    if not _TAX.fullmatch(value):
        return False
    products = [int(digit) * weight for digit, weight in zip(value, (1, 2, 1, 2, 1, 2, 4, 1), strict=True)]
    total = sum(product // 10 + product % 10 for product in products)
    return total % 5 == 0 or (value[6] == "7" and (total + 1) % 5 == 0)


def mobile_barcode(value: str) -> bool:
    """電子發票手機條碼, a personal carrier of receipts: a slash and seven of 0-9 A-Z + - . (no check digit)."""
    return _BARCODE.fullmatch(value) is not None


def donation_code(value: str) -> bool:
    """電子發票捐贈碼: three to seven digits. It names an organisation, so that no recogniser looks for it."""
    return _DONATION.fullmatch(value) is not None


def citizen_certificate(value: str) -> bool:
    """自然人憑證編號: two letters and fourteen digits (no check digit)."""
    return _CERTIFICATE.fullmatch(value) is not None


def payment_card(value: str) -> bool:
    """The digits of a payment card: a network's first digits and length, and Luhn's check."""
    return _CARD.fullmatch(value) is not None and luhn(value)


def luhn(digits: str) -> bool:
    """Whether the last digit is Luhn's check digit of the others."""
    total = sum(int(digit) for digit in digits[-1::-2])
    return (total + sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])) % 10 == 0


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CHINESE = "○〇零一二三四五六七八九十百"
_DIGITS = str.maketrans("零〇○一二三四五六七八九", "000123456789")
_N = rf"(?:[0-9]{{1,2}}|[{_CHINESE}]{{1,3}})"
DATE = re.compile(
    rf"(?P<era>(?:中華)?民國|西元)? ?(?P<y>[0-9]{{2,4}}|[{_CHINESE}]{{2,5}}) ?年 ?(?P<m>{_N}) ?月 ?(?P<d>{_N}) ?[日號]"
    r"|(?P<era2>民國)? ?(?P<y2>[0-9]{2,4})(?P<s>[/.\-])(?P<m2>[0-9]{1,2})(?P=s)(?P<d2>[0-9]{1,2})"
    r"|(?P<y3>(?:19|20)[0-9]{2}|(?:0|1)[0-9]{2}|[3-9][0-9])(?P<m3>[01][0-9])(?P<d3>[0-3][0-9])"
    r"|(?P<month>[A-Z][a-z]{2,8})\.? (?P<d4>[0-9]{1,2}),? (?P<y4>[0-9]{4})"
    r"|(?P<d5>[0-9]{1,2}) (?P<month2>[A-Z][a-z]{2,8})\.? (?P<y5>[0-9]{4})"
)


def birth_date(written: str) -> datetime.date | None:
    """The date, ROC or Gregorian, of somebody who may be alive; None when it is no date or out of 1901–2100."""
    found = DATE.fullmatch(unicodedata.normalize("NFKC", written).strip())
    if not found:
        return None
    groups = found.groupdict()
    month = groups["month"] or groups["month2"]
    year, day = (
        next(filter(None, (groups[name + n] for n in ("", "2", "3", "4", "5") if name + n in groups))) for name in "yd"
    )
    number = _MONTHS.index(month[:3].lower()) + 1 if month and month[:3].lower() in _MONTHS else 0
    said = next(filter(None, (groups["m"], groups["m2"], groups["m3"])), "")
    try:
        years = _chinese(year)
        era = groups["era"] or groups["era2"] or ""
        years += 1911 if "民國" in era or (years < 200 and era != "西元") else 0
        date = datetime.date(years, number or _chinese(said), _chinese(day))
    except ValueError:
        return None
    return date if 1901 <= date.year <= 2100 else None


def _chinese(numeral: str) -> int:
    """七十九 → 79, 一九九〇 → 1990, 12 → 12; ValueError when it is no number."""
    if numeral.isdecimal():
        return int(numeral)
    if not numeral or set(numeral) - set(_CHINESE):
        raise ValueError(numeral)
    if not set(numeral) & set("十百"):
        return int(numeral.translate(_DIGITS))
    total, digit = 0, 0
    for character in numeral:
        if character in "十百":
            total += (digit or 1) * (10 if character == "十" else 100)
            digit = 0
        else:
            digit = int(character.translate(_DIGITS))
    return total + digit
