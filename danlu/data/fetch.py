"""Fetching pages politely: robots.txt kept, one request at a time, each answer on disk before the next is asked for.

An address is asked for once in a run, however often the run is killed and started again. What an earlier run left in
the cache is asked for with If-None-Match and If-Modified-Since, and a 304 costs no page.

A host that resolves to an address of this machine or of a private network is refused, after the resolution and at each
redirect, and the connection is made to the very address that was looked at. Not covered: proxies (the addresses could
not be checked), cookies, logins, pages that a script makes.
"""

from __future__ import annotations

import contextlib
import email.utils
import hashlib
import ipaddress
import json
import os
import re
import socket
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit, urlunsplit

from danlu.data.robots import LARGEST, Robots, parse
from danlu.extras import need

if TYPE_CHECKING:
    import httpx

LONGEST_WAIT = 120.0
"""Seconds: a host that asks for longer pauses is left alone."""

_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_MOVED = {301, 302, 303, 307, 308}
_KEPT = ("content-type", "last-modified", "etag", "location")
_PUBLIC_6 = ipaddress.ip_network("2000::/3")
pause = time.sleep


class Missed(Exception):
    """A page that was not fetched, for a `reason` that is counted.

    | reason | |
    |---|---|
    | bad-address | no http or https address, or one with a user name |
    | other-host, redirected-away | a host that nobody named, in a sitemap or behind a redirect |
    | private-address | this machine, or a private network |
    | robots | robots.txt forbids it, or cannot be read now, or asks for too long pauses |
    | http-404, http-503, … | the host's answer |
    | too-large, over-budget | more bytes than a page, or all pages together, may have |
    | timeout, unreachable, cut-off | no answer in time, no connection, an answer that broke off |
    | too-slow | a page that took ten times the timeout |
    | busy | the host asks us to wait for longer than two minutes |
    | too-many-redirects, broken-answer | |
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


@dataclass(frozen=True)
class Answer:
    """What a host said to one request. `reason` is why its body was not taken, if so."""

    url: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Page:
    """A page that was fetched: the address it was found at, and the file with its body."""

    url: str
    status: int
    headers: dict[str, str]
    body: Path


@dataclass(frozen=True)
class Manners:
    """How pages are fetched. `hosts` (as `site` names them) are those that may be asked; None is any."""

    agent: str
    delay: float
    timeout: float
    retries: int
    redirects: int
    page_bytes: int
    all_bytes: int
    hosts: frozenset[str] | None
    allow_local: bool


class Cache:
    """Answers in a folder: ADDRESS.json and ADDRESS.body, named by the hash of the address. `journal` is the file with
    the addresses that this run has asked for."""

    def __init__(self, folder: Path, journal: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.journal = folder, journal
        self.asked = set(journal.read_text(encoding="utf-8").split("\n")) if journal.exists() else set()

    def body(self, url: str) -> Path:
        return self.folder / f"{hashlib.sha256(url.encode()).hexdigest()[:40]}.body"

    def get(self, url: str) -> Answer | None:
        try:
            return Answer(**json.loads(self.body(url).with_suffix(".json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def put(self, answer: Answer, body: bytes | None) -> Answer:
        """Keep an answer; `body` None leaves the one that is there."""
        place = self.body(answer.url)
        if body is not None:
            _replace(place, body)
        _replace(place.with_suffix(".json"), json.dumps(asdict(answer), ensure_ascii=False, sort_keys=True).encode())
        self.asked.add(answer.url)
        with self.journal.open("a", encoding="utf-8") as file:
            file.write(f"\n{answer.url}\n")
        return answer


class Fetcher:
    """Use as a context manager; `page` gives a Page or raises Missed."""

    def __init__(self, manners: Manners, cache: Cache) -> None:
        self.manners, self.cache = manners, cache
        self.spent = 0
        self.requests = 0
        self._full = False
        self._next: dict[str, float] = {}
        self._robots: dict[str, Robots | Missed] = {}
        self._client: httpx.Client = need("httpx", "web").Client(
            transport=Transport(manners.allow_local),
            timeout=manners.timeout,
            headers={"User-Agent": manners.agent, "Accept-Encoding": "gzip, deflate"},
            follow_redirects=False,
        )

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def page(self, url: str, largest: int = 0) -> Page:
        """The page at an address, behind its redirects. `largest` is in bytes, instead of the manners' `page_bytes`."""
        if self._full:
            raise Missed("over-budget", "the pages before it used up what all may have")
        for hop in range(self.manners.redirects + 1):
            self._permitted(url, "redirected-away" if hop else "other-host")
            answer = self._answer(url, largest or self.manners.page_bytes)
            if answer.reason:
                raise Missed(answer.reason, answer.detail)
            if answer.status not in _MOVED or "location" not in answer.headers:
                break
            url = address(urljoin(url, answer.headers["location"]))
        else:
            raise Missed("too-many-redirects", f"more than {self.manners.redirects}")
        if answer.status not in (200, 203):
            raise Missed(f"http-{answer.status}")
        body = self.cache.body(url)
        size = body.stat().st_size
        if self.spent + size > self.manners.all_bytes:
            self._full = True
            raise Missed("over-budget", f"{size} bytes more than the {self.manners.all_bytes} of all pages")
        self.spent += size
        return Page(url, answer.status, answer.headers, body)

    def _permitted(self, url: str, elsewhere: str) -> None:
        parts = urlsplit(url)
        hosts = self.manners.hosts
        if hosts is not None and site(parts.hostname) not in hosts:
            raise Missed(elsewhere, f"{parts.hostname} is none of the hosts that were named")
        robots = self._rules(f"{parts.scheme}://{parts.netloc}")
        if not robots.allows(parts.path + (f"?{parts.query}" if parts.query else "")):
            raise Missed("robots", "robots.txt forbids it")
        if robots.delay > LONGEST_WAIT:
            raise Missed("robots", f"robots.txt asks for {robots.delay:g} seconds between two requests")

    def _rules(self, host: str) -> Robots:
        """The rules of a host (`scheme://name:port`); none when its robots.txt is not there."""
        if host not in self._robots:
            try:
                self._robots[host] = self._read_rules(host)
            except Missed as missed:
                self._robots[host] = missed
        found = self._robots[host]
        if isinstance(found, Missed):
            raise Missed(found.reason, found.detail)
        return found

    def _read_rules(self, host: str) -> Robots:
        url = f"{host}/robots.txt"
        for _ in range(6):
            answer = self._answer(url, LARGEST, cut=True)
            if answer.reason:
                raise Missed(answer.reason, f"robots.txt: {answer.detail}")
            if answer.status in _MOVED and "location" in answer.headers:
                url = address(urljoin(url, answer.headers["location"]))
                continue
            if answer.status >= 500 or answer.status == 429:
                raise Missed("robots", f"robots.txt answers {answer.status}: nothing may be fetched until it is back")
            if answer.status != 200:
                return Robots()
            return parse(self.cache.body(url).read_bytes(), self.manners.agent.partition("/")[0])
        return Robots()

    def _answer(self, url: str, largest: int, cut: bool = False) -> Answer:
        """The answer of this run to a request: from the cache when it was asked before. With `cut` a longer body is
        cut, not refused."""
        known = self.cache.get(url)
        if known is not None and known.status == 200 and not known.reason and not self.cache.body(url).exists():
            known = None
        if known is not None and url in self.cache.asked:
            return known
        fresh = known if known is not None and known.status == 200 and not known.reason else None
        for attempt in range(self.manners.retries + 1):
            last = attempt == self.manners.retries
            try:
                answer, wait = self._request(url, fresh, largest, cut)
            except Missed as missed:
                if last or missed.reason not in ("timeout", "unreachable", "cut-off"):
                    raise
                wait = 2.0**attempt
            else:
                if answer.status not in _AGAIN or last:
                    return answer
                if wait > LONGEST_WAIT:
                    raise Missed("busy", f"answers {answer.status} and asks us to wait {wait:.0f} seconds")
                wait = wait or 2.0**attempt
            pause(wait)
        raise AssertionError("unreachable")

    def _request(self, url: str, known: Answer | None, largest: int, cut: bool) -> tuple[Answer, float]:
        """(the answer, kept in the cache unless it may be another soon; the seconds to wait that the host asks for)."""
        httpx = need("httpx", "web")
        headers = {}
        if known is not None and "etag" in known.headers:
            headers["If-None-Match"] = known.headers["etag"]
        if known is not None and "last-modified" in known.headers:
            headers["If-Modified-Since"] = known.headers["last-modified"]
        host = urlsplit(url).netloc
        with self._turn(host):
            self.requests += 1
            try:
                with self._client.stream("GET", url, headers=headers) as response:
                    return self._take(url, known, response, largest, cut)
            except httpx.TimeoutException as error:
                raise Missed("timeout", type(error).__name__) from None
            except (httpx.ConnectError, httpx.UnsupportedProtocol, OSError) as error:
                raise Missed("unreachable", str(error)[:200]) from None
            except (httpx.ReadError, httpx.RemoteProtocolError) as error:
                raise Missed("cut-off", str(error)[:200]) from None
            except (httpx.HTTPError, httpx.InvalidURL, zlib.error, ValueError) as error:
                raise Missed("broken-answer", f"{type(error).__name__}: {error}"[:200]) from None
            finally:
                self._client.cookies.clear()

    def _take(
        self, url: str, known: Answer | None, response: httpx.Response, largest: int, cut: bool
    ) -> tuple[Answer, float]:
        headers = {name: response.headers[name] for name in _KEPT if name in response.headers}
        if response.status_code == 304 and known is not None:
            return self.cache.put(Answer(url, 200, {**known.headers, **headers}), None), 0.0
        answer = Answer(url, response.status_code, headers)
        if answer.status in _AGAIN:
            return answer, _retry_after(response.headers.get("retry-after", ""))
        if answer.status != 200 and answer.status != 203:
            return self.cache.put(answer, None), 0.0
        try:
            limit = time.monotonic() + 10 * self.manners.timeout
            body = taken(response.iter_raw(), response.headers.get("content-encoding", ""), largest, limit, cut)
        except Missed as missed:
            return self.cache.put(Answer(url, answer.status, headers, missed.reason, missed.detail), None), 0.0
        return self.cache.put(answer, body), 0.0

    @contextlib.contextmanager
    def _turn(self, host: str) -> Iterator[None]:
        """Wait until the host may be asked again; its pause begins when this is done."""
        wait = self._next.get(host, 0.0) - time.monotonic()
        if wait > 0:
            pause(wait)
        try:
            yield
        finally:
            robots = [rules for origin, rules in self._robots.items() if origin.endswith(f"//{host}")]
            delays = [rules.delay for rules in robots if isinstance(rules, Robots)]
            self._next[host] = time.monotonic() + max([self.manners.delay, *delays])


class Transport:
    """An httpx transport (by its methods) that looks at the address behind a name before it connects to it."""

    def __init__(self, allow_local: bool) -> None:
        self.allow_local = allow_local
        self._inner: dict[tuple[str, str], httpx.HTTPTransport] = {}
        self._proof = need("httpx", "web").create_ssl_context()

    def __enter__(self) -> Transport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        httpx = need("httpx", "web")
        name = request.url.raw_host.decode("ascii")
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        problem: Exception = Missed("unreachable", f"{name} has no address")
        for place in addresses(name, port, self.allow_local):
            # One pool for each name: a TLS connection that was proved for another name must not be used for this one.
            inner = self._inner.setdefault((name, place), httpx.HTTPTransport(verify=self._proof))
            request.extensions = {**request.extensions, "sni_hostname": name}
            request.url = request.url.copy_with(host=place)
            try:
                return inner.handle_request(request)
            except httpx.ConnectError as error:
                problem = error
        raise problem

    def close(self) -> None:
        for inner in self._inner.values():
            inner.close()


def addresses(name: str, port: int, allow_local: bool) -> list[str]:
    """The addresses behind a name. Missed "private-address" when any of them is not on the public internet."""
    try:
        found = socket.getaddrinfo(name.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Missed("unreachable", f"{name}: {error}") from None
    places = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    private = [place for place in places if not public(place)]
    if private and not allow_local:
        raise Missed("private-address", f"{name} is {private[0]}")
    return places


def public(place: str) -> bool:
    """Whether an IP address is on the public internet, and not another way to write one that is not."""
    ip = ipaddress.ip_address(place.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return public(str(ip.ipv4_mapped))
        return ip in _PUBLIC_6 and ip.is_global and ip.sixtofour is None and ip.teredo is None
    return ip.is_global and not ip.is_multicast


def address(url: str) -> str:
    """An address in one spelling, without its fragment. Missed "bad-address" for what is no address of the web."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
        host = (
            (parts.hostname or "").encode("idna").decode()
            if parts.hostname and not parts.hostname.isascii()
            else parts.hostname
        )
    except (ValueError, UnicodeError):
        raise Missed("bad-address", url[:200]) from None
    if parts.scheme not in ("http", "https") or not host:
        raise Missed("bad-address", f"http:// or https:// is wanted: {url[:200]}")
    if "@" in parts.netloc:
        raise Missed("bad-address", "an address with a user name or password")
    host = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}[parts.scheme]
    netloc = host if port in (None, usual) else f"{host}:{port}"
    return urlunsplit((parts.scheme, netloc, _escaped(parts.path) or "/", _escaped(parts.query), ""))


def site(host: str | None) -> str:
    """The name of a host without `www.`, which leads to the same site."""
    return (host or "").removeprefix("www.")


def _escaped(text: str) -> str:
    return "".join(
        character
        if "!" <= character <= "~"
        else "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "replace"))
        for character in text
    )


def taken(pieces: Iterable[bytes], encoding: str, largest: int, limit: float, cut: bool = False) -> bytes:
    """The body in pieces as they come, unpacked. Missed: "too-large", "too-slow" after `limit` (monotonic clock),
    "broken-answer" for an encoding that was not asked for."""
    encoding = encoding.strip().lower()
    if encoding in ("gzip", "x-gzip", "deflate"):
        pieces = unpacked(pieces, largest + 1)
    elif encoding not in ("", "identity"):
        raise Missed("broken-answer", f"an encoding that was not asked for: {encoding[:40]}")
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > largest and not cut:
            raise Missed("too-large", f"more than {largest} bytes")
        if len(body) > largest:
            return bytes(body[:largest])
        if time.monotonic() > limit:
            raise Missed("too-slow", "the page took ten times the timeout")
    return bytes(body)


def unpacked(pieces: Iterable[bytes], largest: int) -> Iterator[bytes]:
    """gzip or zlib data unpacked, never more than `largest` bytes of it."""
    unpacker: Any = None
    left = largest
    for piece in pieces:
        if unpacker is None:
            raw = (
                len(piece) > 1 and (piece[0] & 15 != 8 or (piece[0] << 8 | piece[1]) % 31) and piece[:2] != b"\x1f\x8b"
            )
            unpacker = zlib.decompressobj(-15 if raw else 47)
        while piece and left > 0 and not unpacker.eof:
            found = unpacker.decompress(piece, left)
            left -= len(found)
            yield found
            piece = unpacker.unconsumed_tail


def _retry_after(value: str) -> float:
    """Seconds that Retry-After asks for; 0 when it does not say."""
    if re.fullmatch(r"\d{1,9}", value.strip()):
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0


def _replace(path: Path, data: bytes) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(data)
    os.replace(fresh, path)


def header_date(headers: Mapping[str, str]) -> str:
    """Last-Modified as ISO 8601; empty when it is none."""
    try:
        return email.utils.parsedate_to_datetime(headers.get("last-modified", "")).isoformat()
    except (ValueError, TypeError):
        return ""


def charset(headers: Mapping[str, str]) -> str:
    found = re.search(r"charset\s*=\s*[\"']?([\w:.-]+)", headers.get("content-type", ""), re.IGNORECASE)
    return found[1].lower() if found else ""
