"""data.web: pages of web sites, from a list of addresses or a sitemap → documents."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

import danlu
from danlu.artifact import Artifact, Draft
from danlu.data.fetch import Cache, Fetcher, Manners, Missed, Page, address, charset, header_date, site, unpacked
from danlu.data.gather import Gathering, Task, read_all
from danlu.data.readers import READERS
from danlu.data.readers.fields import iso_date
from danlu.data.rows import Names
from danlu.errors import EndpointError
from danlu.extras import need
from danlu.records import Drop
from danlu.registry import Settings, Step
from danlu.track import Track

_TYPES = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "text/markdown": ".md",
    "text/csv": ".csv",
    "application/pdf": ".pdf",
    "application/json": ".json",
    "application/jsonl": ".jsonl",
    "application/x-ndjson": ".jsonl",
    "application/epub+zip": ".epub",
    "application/vnd.oasis.opendocument.text": ".odt",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
}
_VAGUE = ("", "text/plain", "application/octet-stream", "binary/octet-stream", "application/xml", "text/xml")
_SITEMAP_BYTES = 50 * 2**20
_SITEMAPS = 1000


class WebSettings(Settings):
    urls: Names = ()
    """Addresses of pages."""

    sitemap: Names = ()
    """Addresses of sitemaps: sitemap.xml, an index of several, either of them as .gz, or a text file of addresses."""

    include: Names = ()
    """Patterns (`*` and `?`) of the addresses in sitemaps to read. All when empty."""

    exclude: Names = ()
    """Patterns of addresses in sitemaps to leave out."""

    licence: str = "unknown"
    """The licence of these texts, where a page does not state its own."""

    same_host: bool = True
    """Stay on the hosts that `urls` and `sitemap` name, with or without www.: addresses of others in a sitemap, and
    redirects to others, are dropped."""

    allow_local: bool = False
    """Allow addresses of this machine and of private networks, for a site of one's own."""

    contact: str = ""
    """An address (web or e-mail) where the owner of a site reaches you; told to each site beside the name Danlu."""

    delay: Annotated[float, Field(ge=0)] = 1.0
    """Seconds between two requests to a host; what its robots.txt asks for is kept when it is longer."""

    timeout: Annotated[float, Field(gt=0)] = 30.0
    """Seconds to wait for a connection, and for each piece of an answer."""

    retries: Annotated[int, Field(ge=0)] = 3
    """How often a request is tried again after 429, 5xx and broken connections."""

    max_pages: Annotated[int, Field(gt=0)] = 1000
    """Pages that are asked for; further ones are dropped."""

    max_page_bytes: Annotated[int, Field(gt=0)] = 20 * 2**20
    """A larger page is dropped."""

    max_bytes: Annotated[int, Field(gt=0)] = 2 * 2**30
    """What all pages may have together."""

    max_redirects: Annotated[int, Field(ge=0)] = 5
    """Redirects that are followed for one page."""

    cache: Path | None = None
    """A folder that keeps the pages after the run, so that the next one asks only for what has changed. Without it they
    are kept until the step is finished."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.urls and not self.sitemap:
            raise ValueError("either `urls` or `sitemap` is wanted")
        return self


@dataclass(frozen=True)
class Place:
    """An address to fetch, when a sitemap says it changed, or the reason why it is not fetched."""

    url: str
    changed: str = ""
    reason: str = ""
    detail: str = ""


class Web(Step[WebSettings]):
    """Fetches pages as a polite guest and reads each by its type: robots.txt is kept, one request goes out at a time,
    a host is asked again after a pause, and 429 and 503 are heard.

    Every page is on disk before the next is asked for: a killed run asks for none twice. Documents carry the address,
    the title, and the date that the page, the sitemap or the server gives. Dropped, with the reason: what
    `danlu.data.fetch.Missed` lists, the reasons of the readers, and `excluded`, `not-included`, `over-max-pages`,
    `listed-twice`, `same-page` (another address led to it before), `unsupported-format`, `broken-sitemap`.
    EndpointError: a sitemap that was named cannot be fetched.

    A site changes unseen, so that what it says is no part of the step's identity: `danlu run RECIPE --force STEP`
    fetches it again. Not covered: links in pages (no crawling), pages made by scripts, logins, proxies, and the
    `noindex` of single pages. robots.txt is no licence: whether you may use a text is yours to find out.
    """

    Settings = WebSettings
    makes = "documents"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        settings = self.settings
        cache = Cache((settings.cache or out.work / "pages").expanduser(), out.work / "asked")
        tasks: list[Task] = []
        with Gathering(out) as gathering:
            with Fetcher(self._manners(), cache) as fetcher:
                places = self._limited(Sitemaps(settings, fetcher).places())
                seen: set[str] = set()
                for place in track.over(places, "web", unit="page"):
                    result = self._fetched(place, fetcher, seen)
                    if isinstance(result, Drop):
                        gathering.add(result)
                    else:
                        tasks.append(result)
            for results in track.over(read_all(tasks, out.work), "read", len(tasks), unit="page"):
                gathering.extend(results)
        hosts = sorted({urlsplit(url).netloc for url in seen})
        for host in hosts:
            out.licences[host] = {"licence": settings.licence, "terms": f"https://{host}"}
        gathering.report("web", ", ".join(hosts) or "data.web", "look at the addresses with a browser", unit="pages")

    def _fetched(self, place: Place, fetcher: Fetcher, seen: set[str]) -> Task | Drop:
        """The page as a file to read; `seen` are the addresses that pages were found at so far."""

        def drop(reason: str, detail: str) -> Drop:
            return Drop(id=place.url, source=place.url, reason=reason, detail=detail)

        if place.reason:
            return drop(place.reason, place.detail)
        try:
            page = fetcher.page(place.url)
        except Missed as missed:
            return drop(missed.reason, missed.detail)
        if page.url in seen:
            return drop("same-page", page.url)
        seen.add(page.url)
        suffix = kind(page)
        if suffix not in READERS:
            return drop("unsupported-format", (page.headers.get("content-type", "") or suffix or "no type")[:200])
        date = place.changed or header_date(page.headers)
        meta: dict[str, Any] = {"url": page.url, "status": page.status, **({"date": date} if date else {})}
        return Task(place.url, page.body, suffix, self.settings.licence, meta, charset(page.headers))

    def _manners(self) -> Manners:
        settings = self.settings
        named = [*settings.urls, *settings.sitemap]
        contact = f" (+{settings.contact})" if settings.contact else ""
        return Manners(
            agent=f"Danlu/{danlu.__version__}{contact}",
            delay=settings.delay,
            timeout=settings.timeout,
            retries=settings.retries,
            redirects=settings.max_redirects,
            page_bytes=settings.max_page_bytes,
            all_bytes=settings.max_bytes,
            hosts=frozenset(filter(None, map(_host, named))) if settings.same_host else None,
            allow_local=settings.allow_local,
        )

    def _limited(self, places: Iterator[Place]) -> list[Place]:
        """Each address once, and no more than `max_pages` of them to fetch."""
        found: list[Place] = []
        seen: set[str] = set()
        count = 0
        for place in places:
            if not place.reason and place.url in seen:
                place = Place(place.url, place.changed, "listed-twice")
            elif not place.reason and count >= self.settings.max_pages:
                place = Place(place.url, place.changed, "over-max-pages", f"max_pages is {self.settings.max_pages}")
            seen.add(place.url)
            count += not place.reason
            found.append(place)
        return found


class Sitemaps:
    """The addresses of the settings, those in sitemaps after those that are named."""

    def __init__(self, settings: WebSettings, fetcher: Fetcher) -> None:
        self.settings, self.fetcher = settings, fetcher

    def places(self) -> Iterator[Place]:
        for url in self.settings.urls:
            yield self._place(url)
        waiting = [(url, True) for url in reversed(self.settings.sitemap)]
        seen: set[str] = set()
        while waiting:
            url, named = waiting.pop()
            try:
                url = address(url)
                if url in seen or len(seen) >= _SITEMAPS:
                    yield Place(url, "", "listed-twice" if url in seen else "over-max-pages", "a sitemap")
                    continue
                seen.add(url)
                pages, more = entries(self.fetcher.page(url, _SITEMAP_BYTES))
            except Missed as missed:
                if named:
                    raise EndpointError(
                        f"the sitemap cannot be read: {missed.reason} {missed.detail}".rstrip(), where=url,
                        next="look at the address with a browser; most sites name theirs in /robots.txt",
                    ) from None  # fmt: skip
                yield Place(url, "", missed.reason, f"a sitemap: {missed.detail}")
                continue
            waiting.extend((inner, False) for inner in reversed(more))
            for found, changed in pages:
                yield self._listed(found, changed)

    def _place(self, url: str) -> Place:
        try:
            return Place(address(url))
        except Missed as missed:
            return Place(url, "", missed.reason, missed.detail)

    def _listed(self, url: str, changed: str) -> Place:
        place = self._place(url)
        if place.reason:
            return place
        if any(fnmatchcase(place.url, pattern) for pattern in self.settings.exclude):
            return Place(place.url, "", "excluded")
        if self.settings.include and not any(fnmatchcase(place.url, pattern) for pattern in self.settings.include):
            return Place(place.url, "", "not-included")
        return Place(place.url, iso_date(changed))


def entries(page: Page) -> tuple[list[tuple[str, str]], list[str]]:
    """(the pages of a sitemap with the time of their last change, the sitemaps in it).

    https://www.sitemaps.org/protocol.html. Missed "broken-sitemap", "too-large".
    """
    data = page.body.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = _gunzipped(data)
    if not data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        lines = data.decode("utf-8-sig", "replace").split()
        return [(line, "") for line in lines if line.startswith(("http://", "https://"))], []
    tree = need("defusedxml.ElementTree", "web")
    pages: list[tuple[str, str]] = []
    more: list[str] = []
    try:
        for _, element in tree.iterparse(io.BytesIO(data), forbid_dtd=True):
            name = element.tag.rpartition("}")[2]
            if name not in ("url", "sitemap"):
                continue
            facts = {child.tag.rpartition("}")[2]: (child.text or "").strip() for child in element}
            if name == "url" and facts.get("loc"):
                pages.append((facts["loc"], facts.get("lastmod", "")))
            elif facts.get("loc"):
                more.append(facts["loc"])
            element.clear()
    except (SyntaxError, ValueError) as error:
        raise Missed("broken-sitemap", f"{type(error).__name__}: {error}"[:200]) from None
    return pages, more


def _gunzipped(data: bytes) -> bytes:
    import zlib

    try:
        found = b"".join(unpacked([data], _SITEMAP_BYTES + 1))
    except zlib.error as error:
        raise Missed("broken-sitemap", str(error)) from None
    if len(found) > _SITEMAP_BYTES:
        raise Missed("too-large", f"a sitemap of more than {_SITEMAP_BYTES} bytes")
    return found


def kind(page: Page) -> str:
    """The suffix whose reader a page is for: by its type, or by its address where the type says little."""
    told = page.headers.get("content-type", "").partition(";")[0].strip().lower()
    suffix = PurePosixPath(urlsplit(page.url).path).suffix.lower()
    if told in _VAGUE:
        return suffix if suffix in READERS else ".txt" if told == "text/plain" else suffix
    return _TYPES.get(told, "")


def _host(url: str) -> str:
    try:
        return site(urlsplit(address(url)).hostname)
    except Missed:
        return ""
