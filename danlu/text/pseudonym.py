"""Stand-ins for personal data: the same input gives the same stand-in, and nobody without the key can tell which.

`pseudonym(type, value, key)` is HMAC-SHA256 of the type and the value in one form (`canonical`), turned into a value
that is right in form, check digit and all, but lies where nothing has been given out; `reserved(type, value)` says
whether a value lies there, so that a stand-in is never taken for a person's data again:

    national id, resident id   letter Y (no longer given since the 1970s) with 9 in the third place (given only later)
    passport, tax id           numbers that begin with 000            health card      numbers that begin with 9999
    mobile                     the block 0999                         landline         02-00…: no local number begins so
    e-mail                     @pseudonym.invalid (RFC 2606)          address          化名路, of no town
    payment card               Luhn, first digit 9: no network's      bank account     bank code 999
    IPv4, IPv6                 240.0.0.0/4 (RFC 1112), 100::/64 (RFC 6666)
    name                       a surname and two of the ten stems     birth date       in 1900
    plate, LINE, barcode, certificate    OIO-…, danlu-…, /000…, ZZ…
    medical record, policy               MR-000…, PN-000…

Known as never given: e-mail, payment card, both nets, landline, ids. For the others no list of what was given is
public; they are unlikely. Two inputs can meet in one stand-in (a million of each kind; fewer for tax ids, names and
dates). A stand-in is a pseudonym, not anonymity: whoever has the key and a list of values can try them all.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Callable

from danlu.text import identifiers

_STEMS = "甲乙丙丁戊己庚辛壬癸"
_SURNAMES = "陳林黃張李王吳劉蔡楊許鄭謝郭洪曾廖賴徐周"
_RESERVED = {
    "national-id": re.compile(r"[Yy][ -]?[12][ -]?9.*"),
    "resident-id": re.compile(r"[Yy][ -]?[89][ -]?9.*"),
    "passport": re.compile(r"000.*"),
    "tax-id": re.compile(r"000.*"),
    "health-card": re.compile(r"9999.*"),
    "citizen-certificate": re.compile(r"ZZ.*"),
    "carrier-barcode": re.compile(r"/000.*"),
    "mobile": re.compile(r"0999.*"),
    "landline": re.compile(r"02-00.*"),
    "email": re.compile(r".*@pseudonym\.invalid"),
    "line-id": re.compile(r"danlu-.*"),
    "address": re.compile(r".*化名路.*", re.DOTALL),
    "birth-date": re.compile(r"1900年.*"),
    "name": re.compile(rf".[{_STEMS}]{{2}}"),
    "credit-card": re.compile(r"9.*"),
    "bank-account": re.compile(r"999-.*"),
    "medical-record": re.compile(r"MR-000.*"),
    "policy-number": re.compile(r"PN-000.*"),
    "plate": re.compile(r"OIO-.*"),
    "ip": re.compile(r"(?:2[45][0-9]|0|127)\..*|100::.*|::1?"),
}


def reserved(type: str, value: str) -> bool:
    """Whether `value` lies where the stand-ins of its type lie (for addresses of machines also: this very machine)."""
    return _RESERVED[type].fullmatch(value) is not None


def canonical(type: str, value: str) -> str:
    """One form of a value however it is written: half-width, without separators, +886 as 0."""
    plain = unicodedata.normalize("NFKC", value).strip()
    if type == "birth-date":
        date = identifiers.birth_date(plain)
        return date.isoformat() if date else plain
    if type == "email":
        return plain.lower()
    if type == "address":
        return re.sub(r"\s", "", plain).replace("台", "臺")
    if type in ("name", "ip", "carrier-barcode", "line-id"):
        return plain
    joined = re.sub(r"[^0-9A-Za-z]", "", plain).upper()
    return re.sub(r"^(?:00)?8860?", "0", joined) if type in ("mobile", "landline") else joined


def pseudonym(type: str, value: str, key: bytes) -> str:
    """The stand-in for `value`. Types without a form of their own get eight hexadecimal digits."""
    mac = hmac.digest(key, f"{type}\0{canonical(type, value)}".encode(), hashlib.sha256)
    number = int.from_bytes(mac[:16], "big")
    return _MADE[type](number) if type in _MADE else f"[{type}-{mac.hex()[:8]}]"


def _digits(number: int, count: int) -> str:
    return f"{number % 10**count:0{count}d}"


def _identity(sexes: str, number: int) -> str:
    nine = f"Y{sexes[number % 2]}9{_digits(number // 2, 6)}"
    return nine + identifiers.check_digit(nine)


def _tax(number: int) -> str:
    """The first valid one at or after a number."""
    start = number % 10**5
    valid = (f"000{(start + step) % 10**5:05d}" for step in range(10**5))
    return next(value for value in valid if identifiers.tax_id(value))


def _card(number: int) -> str:
    first = f"9{_digits(number, 14)}"
    joined = next(first + digit for digit in "0123456789" if identifiers.luhn(first + digit))
    return "-".join(joined[at : at + 4] for at in range(0, 16, 4))


def _name(number: int) -> str:
    surname, given = _SURNAMES[number % 20], number // 20
    return surname + _STEMS[given % 10] + _STEMS[given // 10 % 10]


_MADE: dict[str, Callable[[int], str]] = {
    "national-id": lambda number: _identity("12", number),
    "resident-id": lambda number: _identity("89", number),
    "passport": lambda number: f"000{_digits(number, 6)}",
    "tax-id": _tax,
    "health-card": lambda number: f"9999{_digits(number, 8)}",
    "citizen-certificate": lambda number: f"ZZ{_digits(number, 14)}",
    "carrier-barcode": lambda number: f"/000{_digits(number, 4)}",
    "mobile": lambda number: f"0999-{_digits(number, 3)}-{_digits(number // 1000, 3)}",
    "landline": lambda number: f"02-00{_digits(number, 2)}-{_digits(number // 100, 4)}",
    "email": lambda number: f"u{number % 16**8:08x}@pseudonym.invalid",
    "line-id": lambda number: f"danlu-{number % 16**8:08x}",
    "address": lambda number: f"臺北市化名區化名路{1 + number % 9999}號{1 + number // 9999 % 30}樓",
    "birth-date": lambda number: f"1900年{1 + number % 12}月{1 + number // 12 % 28}日",
    "name": _name,
    "credit-card": _card,
    "bank-account": lambda number: f"999-{_digits(number, 12)}",
    "medical-record": lambda number: f"MR-000{_digits(number, 7)}",
    "policy-number": lambda number: f"PN-000{_digits(number, 7)}",
    "plate": lambda number: f"OIO-{_digits(number, 4)}",
    "ip": lambda number: f"240.{number % 256}.{number // 256 % 256}.{number // 65536 % 256}",
}


def fingerprint(key: bytes) -> str:
    """Eight hexadecimal digits that tell one key from another, and nothing about it."""
    return hmac.digest(key, b"danlu pseudonym key", hashlib.sha256).hex()[:8]
