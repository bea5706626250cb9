"""Keys, tokens and passwords that were left in a text: where, of which kind, how sure, and why.

`report(text)` gives hits of `danlu.text.pii.Hit`. A kind with a shape of its own (a prefix that its issuer chose, a
header that decodes) is told wherever it stands; anything else only as the value of a name that says what it is
(`DB_PASSWORD=…`, 密碼：…), when it looks random enough. Placeholders are not told: `${TOKEN}`, `<password>`, `xxxx`,
AWS's …EXAMPLE, calls and names of variables. Nor are hashes, UUIDs, certificates, public keys and images in base64.

Not covered: passwords that are plain words, secrets split over lines (except private keys), encoded twice or encrypted,
shapes newer than this table. A hit is not asked of its issuer: an expired token is told like a live one.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterator

from danlu.text.pii import Hit, apart

LABELS = {
    "secret-private-key": "私密金鑰",
    "secret-aws": "AWS 金鑰",
    "secret-google": "Google 金鑰",
    "secret-azure": "Azure 金鑰",
    "secret-github": "GitHub 權杖",
    "secret-gitlab": "GitLab 權杖",
    "secret-slack": "Slack 權杖",
    "secret-openai": "OpenAI 金鑰",
    "secret-anthropic": "Anthropic 金鑰",
    "secret-huggingface": "Hugging Face 權杖",
    "secret-line": "LINE 權杖",
    "secret-stripe": "Stripe 金鑰",
    "secret-jwt": "JWT",
    "secret-connection": "連線密碼",
    "secret-token": "權杖",
    "secret-password": "密碼",
}
"""Every kind, and what it is called in Chinese."""

TYPES = tuple(LABELS)


_END = r"(?![A-Za-z0-9_+/=\-])"
_PREFIXED = [
    ("secret-aws", "AKIA ASIA", rf"[A-Z0-9]{{16}}{_END}"),
    ("secret-google", "AIza", rf"[0-9A-Za-z_\-]{{35}}{_END}"),
    ("secret-google", "GOCSPX-", rf"[0-9A-Za-z_\-]{{28}}{_END}"),
    ("secret-google", "ya29.", r"[0-9A-Za-z_\-]{30,512}"),
    ("secret-github", "ghp_ gho_ ghu_ ghs_ ghr_", rf"[A-Za-z0-9]{{36,251}}{_END}"),
    ("secret-github", "github_pat_", rf"[A-Za-z0-9_]{{60,255}}{_END}"),
    ("secret-gitlab", "glpat- gldt- glrt- glptt-", r"[A-Za-z0-9_\-.]{20,256}"),
    ("secret-slack", "xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs- xapp-", r"[0-9A-Za-z\-]{12,256}"),
    ("secret-anthropic", "sk-ant-", r"[a-z]{3,9}[0-9]{0,2}-[A-Za-z0-9_\-]{20,256}"),
    ("secret-openai", "sk-proj- sk-svcacct- sk-admin- sk-None-", r"[A-Za-z0-9_\-]{20,256}"),
    ("secret-openai", "sk-", rf"[A-Za-z0-9]{{40,64}}{_END}"),
    ("secret-huggingface", "hf_ api_org_", rf"[A-Za-z0-9]{{30,64}}{_END}"),
    ("secret-stripe", "sk_live_ sk_test_ rk_live_ rk_test_ whsec_", r"[0-9A-Za-z]{20,256}"),
    ("secret-token", "SG.", r"[\w\-]{20,24}\.[\w\-]{39,50}"),
    ("secret-token", "npm_", rf"[A-Za-z0-9]{{36}}{_END}"),
    ("secret-token", "pypi-AgE", r"[A-Za-z0-9_\-]{50,512}"),
    ("secret-token", "key- SK dapi shpat_ shpca_ shppa_ shpss_", rf"[0-9a-fA-F]{{32}}{_END}"),
    ("secret-token", "dop_v1_ doo_v1_ dor_v1_", rf"[0-9a-f]{{64}}{_END}"),
    ("secret-token", "hvs.", r"[\w\-]{24,256}"),
    ("secret-token", "gsk_", rf"[A-Za-z0-9]{{52}}{_END}"),
    ("secret-token", "AGE-SECRET-KEY-1", rf"[0-9A-Z]{{58}}{_END}"),
    ("secret-token", "lin_api_ ntn_", rf"[A-Za-z0-9]{{40,64}}{_END}"),
]
"""Kinds with a prefix of their own: what follows the prefix. Before it stands nothing that belongs to a longer run."""

_PREFIXES = [(type, prefix, re.compile(rest)) for type, prefixes, rest in _PREFIXED for prefix in prefixes.split()]
_BEFORE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+/-")
_SHAPES = [
    ("secret-aws", "cret", r"cret_?(?i:access)?_?(?i:key)[\"'\s:=]{1,8}(?P<v>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"),
    ("secret-aws", "CRET_", r"CRET_(?:ACCESS_)?KEY[\"'\s:=]{1,8}(?P<v>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"),
    ("secret-azure", "AccountKey=", r"AccountKey=(?P<v>[A-Za-z0-9+/]{86}==)"),
    ("secret-azure", "SharedAccessKey=", r"SharedAccessKey=(?P<v>[A-Za-z0-9+/]{43}=)"),
    ("secret-azure", "sig=", r"sig=(?P<v>[A-Za-z0-9%+/]{40,64}(?:%3[Dd]|=))"),
    ("secret-azure", "Q~", r"(?P<v>(?<![\w~.\-])[\w~.\-]{3}[78]Q~[\w~.\-]{31,34}(?![\w~\-]))"),
    ("secret-slack", "hooks.slack.com", r"hooks\.slack\.com/(?:services|workflows)/(?P<v>[A-Za-z0-9/+]{30,})"),
    ("secret-line", "1O/w1cDnyilFU=", r"(?<![A-Za-z0-9+/])(?P<v>[A-Za-z0-9+/]{100,}1O/w1cDnyilFU=)"),
    (
        "secret-line",
        "hannel",
        r"hannel[ _\-]?(?i:access)?[ _\-]?(?i:token)[\"'`\s:：=]{1,8}(?P<v>[A-Za-z0-9+/]{40,}={0,2})",
    ),
    ("secret-line", "hannel", rf"hannel[ _\-]?(?i:secret)[\"'`\s:：=]{{1,8}}(?P<v>[0-9a-f]{{32}}){_END}"),
    (
        "secret-line",
        "CHANNEL_",
        r"CHANNEL_(?:ACCESS_TOKEN[\"'`\s:：=]{1,8}(?P<v>[A-Za-z0-9+/]{40,}={0,2})"
        rf"|SECRET[\"'`\s:：=]{{1,8}}(?P<w>[0-9a-f]{{32}}){_END})",
    ),
    ("secret-token", ":AA", r"(?<![0-9A-Za-z])(?P<v>[0-9]{8,10}:AA[\w\-]{33})(?![\w\-])"),
]
"""Kinds with another shape: what must be in the text, the pattern, and in its group the secret."""

_COMPILED = [(type, hint, re.compile(pattern)) for type, hint, pattern in _SHAPES]
_START = r"(?<![A-Za-z0-9_+/\-])"
_JWT = re.compile(rf"{_START}eyJ[A-Za-z0-9_\-]{{8,}}\.[A-Za-z0-9_\-]{{8,}}\.[A-Za-z0-9_\-]{{16,}}")
_PRIVATE = re.compile(r"-----BEGIN ([A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?)-----")
_BODY = re.compile(r"(?:(?:\s|\\n|[\"',+])*[A-Za-z0-9+/=]{40,80})+")
_LONGEST = 24_000
_CONNECTION = re.compile(r"://[^\s:/@\"'<>]{0,64}:(?P<v>(?![0-9]{1,5}[?#,;])[^\s/\"'<>]{3,128})@(?=[A-Za-z0-9\[_])")
_BEARER = re.compile(r"(?:Bearer|Basic|bearer)\s+(?P<v>[A-Za-z0-9._~+/\-]{16,}={0,2})")
_STEMS = """
assword asswd assphrase ASSWORD ASSWD ASSPHRASE pwd Pwd PWD 密碼 通行碼 ecret ECRET oken OKEN
redential redentials REDENTIALS
pi_key pi-key piKey pikey PI_KEY PIKEY ccess_key ccess-key ccessKey CCESS_KEY uth_key uthKey UTH_KEY
ecret_key ecretKey ECRET_KEY ncryption_key NCRYPTION_KEY 金鑰 密鑰 權杖
"""
_NAMED = re.compile(
    f"(?:{'|'.join(sorted(_STEMS.split(), key=lambda stem: (-len(stem), stem)))})"
    r"[\"'`*_\]]{0,4}[ \t]{0,3}(?:=>|:=|[:=：＝]|是|為)[ \t]{0,3}(?P<quote>[\"'`*]{0,3})(?P<v>[!-~]{6,512})"
)
_PASSWORD = re.compile(r"ass(?:word|wd|phrase)|pwd|密碼|通行碼", re.IGNORECASE)
_RUN = re.compile(r"[!-~][!-~]{15}")
_MADE_UP = re.compile(r"EXAMPLE|[xX]{6}|(.)\1{7}|\.\.\.|…")
_PLACEHOLDER = re.compile(
    r"(?i)example|sample|dummy|placeholder|your|change.?(?:me|it)|replace|insert|redact|hidden|removed|xxx|\*\*|\.\.\."
    r"|…|todo|fake|foobar|lorem|^(?:my|the|some|a)[_-]?(?:secret|password|token|key)|^passw(?:or|0r)d?\d{0,3}!?$"
    r"|^(?:secret|password|passwd|token|apikey|admin|root|postgres|mysql|guest|test)[\d_-]{0,4}$"
    r"|0123456|1234567|abcdef|qwerty|(.)\1{5}"
)
_CODE = re.compile(
    r"[(){}\[\]<>$%\\]|^[A-Za-z_]\w*(?:\.\w+)+$|^(?:/|\./|https?:)|^--|^process\.|^(?:None|null|true|false)$"
)


def report(text: str, types: Collection[str] = TYPES) -> list[Hit]:
    """The secrets in `text`, of `types`, in order and without overlap."""
    found = [*_values(text), *_structured(text)]
    if _RUN.search(text):
        found += _shaped(text)
    return apart([hit for hit in found if hit.type in types])


def _shaped(text: str) -> Iterator[Hit]:
    for type, prefix, rest in _PREFIXES:
        at = text.find(prefix)
        while at >= 0:
            found = rest.match(text, at + len(prefix))
            if found and text[at - 1 : at] not in _BEFORE and _is_made(text[at : found.end()]):
                yield Hit(type, at, found.end(), 0.95, "shape")
            at = text.find(prefix, at + 1)
    for type, hint, pattern in _COMPILED:
        for found in pattern.finditer(text) if hint in text else ():
            start, end = next(found.span(name) for name, value in found.groupdict().items() if value)
            if _is_made(text[start:end]):
                yield Hit(type, start, end, 0.95, "shape")


def _is_made(value: str) -> bool:
    """Whether it was drawn at random, as it seems: no AKIA…EXAMPLE, no xxxxxxxx."""
    return not _MADE_UP.search(value) and len(set(value)) > 8


def _structured(text: str) -> Iterator[Hit]:
    """What can be looked into: private keys, JSON web tokens, addresses with a password, Authorization headers."""
    if "PRIVATE KEY" in text:
        yield from _private_keys(text)
    if "eyJ" in text:
        tokens = (found for found in _JWT.finditer(text) if _is_jwt(found[0]))
        yield from (Hit("secret-jwt", *found.span(), 0.95, "header decodes") for found in tokens)
    if "://" in text and "@" in text:
        for found in _CONNECTION.finditer(text):
            if not _placeholder(found["v"]) and not _CODE.search(found["v"]):
                yield Hit("secret-connection", *found.span("v"), 0.95, "password in an address")
    if "earer" in text or "Basic" in text:
        for found in _BEARER.finditer(text):
            if _random(found["v"], 16) and (found[0][1] != "a" or _is_basic(found["v"])):
                yield Hit("secret-token", *found.span("v"), 0.85, "Authorization header")


def _private_keys(text: str) -> Iterator[Hit]:
    """From the header to the footer; without a footer, as far as there are lines of base64."""
    for header in _PRIVATE.finditer(text):
        footer = f"-----END {header[1]}-----"
        at = text.find(footer, header.end(), header.end() + _LONGEST)
        body = _BODY.match(text, header.end(), header.end() + _LONGEST)
        end = at + len(footer) if at >= 0 else body.end() if body else header.end()
        letters = re.sub(r"[^A-Za-z0-9+/=]", "", text[header.end() : end])
        if len(letters) >= 64 and len(set(letters)) > 12:
            yield Hit("secret-private-key", header.start(), end, 0.98, "header and body")


def _values(text: str) -> Iterator[Hit]:
    """The value of a name that says password, secret, token or key."""
    for found in _NAMED.finditer(text):
        value = _value(found["v"], found["quote"])
        start = found.start("v")
        if _placeholder(value) or _CODE.search(value):
            continue
        if _PASSWORD.match(found[0]):
            if _is_password(value):
                yield Hit("secret-password", start, start + len(value), 0.8, "name and value")
        elif _random(value, 16) and not re.fullmatch(r"[a-z0-9]+(?:[-_.][a-z0-9]+){3,}", value):
            yield Hit("secret-token", start, start + len(value), 0.8, "name and random value")


def _value(run: str, quote: str) -> str:
    """The value at the beginning of a run of printable characters: to the closing quote, or to what ends a word."""
    if quote:
        end = run.find(quote[-1])
        return run[:end] if end >= 0 else run
    return re.split(r"[,;\"'`<>|]|&(?=\w+=)|\)$|\}$", run)[0].rstrip(".,;:)")


def _placeholder(value: str) -> bool:
    return len(value) < 6 or len(set(value)) < 4 or _PLACEHOLDER.search(value) is not None


def _is_password(value: str) -> bool:
    """Two kinds of characters at least, or digits alone (six of them); no word, no name of a variable."""
    kinds = [any(map(str.islower, value)), any(map(str.isupper, value)), any(map(str.isdigit, value))]
    kinds.append(any(not character.isalnum() for character in value.strip("_-.")))
    if value.isdigit():
        return 6 <= len(value) <= 16
    return sum(kinds) >= 2 and (kinds[2] or bool(re.search(r"[!@#^*+=?~]", value))) and len(value) <= 128


def _random(value: str, shortest: int) -> bool:
    """Long, of letters and digits, and at least 3 bits a character (Shannon)."""
    letters, digits = any(map(str.isalpha, value)), any(map(str.isdigit, value))
    return len(value) >= shortest and letters and digits and entropy(value) >= 3


def entropy(value: str) -> float:
    """Bits a character of the distribution of the characters in `value` (Shannon, 1948); 0 for the empty string."""
    size = len(value)
    return -sum(count / size * math.log2(count / size) for count in Counter(value).values()) if size else 0.0


def _is_jwt(value: str) -> bool:
    try:
        return "alg" in json.loads(_decoded(value.split(".")[0]))
    except (ValueError, TypeError):
        return False


def _is_basic(value: str) -> bool:
    try:
        return b":" in _decoded(value)
    except ValueError:
        return False


def _decoded(value: str) -> bytes:
    value = value.rstrip("=")
    try:
        return base64.urlsafe_b64decode(value.replace("+", "-").replace("/", "_") + "=" * (-len(value) % 4))
    except binascii.Error:
        raise ValueError(value[:0]) from None
