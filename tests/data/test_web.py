"""data.web: a real server on loopback; every page asked for once, politely, within bounds, from where it may be."""

import contextlib
import gzip
import shutil
import socket
import ssl
import subprocess
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.robotparser import RobotFileParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from danlu.data import fetch
from danlu.data.fetch import Missed, address, addresses, public, taken, unpacked
from danlu.data.robots import Robots, fits, normal, parse
from danlu.errors import DataError, EndpointError

PROSE = "檢索增強生成先找出相關的段落，再請模型根據段落回答問題。這樣的系統需要可靠的資料，也需要可靠的評估。"
HTML = {"Content-Type": "text/html; charset=utf-8"}


def page(title: str = "標題") -> bytes:
    """An HTML page; it is read in a child process, which takes a second to start."""
    body = "".join(f"<p>{PROSE}第{n}段。</p>" for n in range(3))
    head = f"<html><head><title>{title}</title></head>"
    return f"{head}<body><article><h1>{title}</h1>{body}</article></body></html>".encode()


def note(title: str = "標題", **headers: str):
    """A page in Markdown, which is read at once."""
    return 200, {"Content-Type": "text/markdown", **headers}, f"# {title}\n\n{PROSE}\n".encode()


class Site:
    """`site["/path"] = body | (status, headers, body) | function of the handler`; `site.log` are the requests."""

    def __init__(self) -> None:
        self.pages = {}
        self.log = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                site.log.append((self.path, dict(self.headers)))
                found = site.pages.get(self.path, (404, {}, b"not here"))
                if callable(found):
                    found = found(self)
                if found is None:
                    return
                status, headers, body = found if isinstance(found, tuple) else (200, HTML, found)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __setitem__(self, path, answer) -> None:
        self.pages[path] = answer

    def asked(self) -> list[str]:
        return [path for path, _ in self.log]


@pytest.fixture
def site():
    made = Site()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def pauses(monkeypatch):
    """What would have been waited for, in seconds; nobody waits."""
    waited = []
    monkeypatch.setattr(fetch, "pause", waited.append)
    return waited


@pytest.fixture
def web(steps, site, pauses):
    """Run data.web on paths of the site."""

    def run(*paths: str, sitemap=(), **more):
        given = {"allow_local": True, "delay": 0, "timeout": 5, "retries": 2} | more
        return steps("data.web", urls=[site.url + path for path in paths], sitemap=sitemap, **given)

    return run


def test_pages_of_all_kinds(web, opened, site):
    site["/a"] = (200, {**HTML, "Last-Modified": "Wed, 01 May 2024 08:00:00 GMT"}, page())
    site["/big5"] = (200, {"Content-Type": "text/html; charset=big5"}, page().decode().encode("big5"))
    site["/notes.md"] = (200, {"Content-Type": "text/plain; charset=utf-8"}, f"# 筆記\n\n{PROSE}\n".encode())
    site["/plain"] = (200, {"Content-Type": "text/plain"}, PROSE.encode("big5"))
    site["/rows"] = (200, {"Content-Type": "application/jsonl"}, f'{{"text": "{PROSE}"}}\n{{"text": ""}}\n'.encode())
    site["/zipped"] = (200, {**HTML, "Content-Encoding": "gzip"}, gzip.compress(page(title="壓縮")))
    site["/raw"] = (200, {**HTML, "Content-Encoding": "deflate"}, zlib.compress(page(title="壓縮"))[2:-4])
    site["/movie"] = (200, {"Content-Type": "video/mp4"}, b"\0" * 100)
    site["/broken.pdf"] = (200, {"Content-Type": "application/pdf"}, b"%PDF-1.7 no")
    site["/路/頁?q=值"] = page()
    site["/%E8%B7%AF/%E9%A0%81?q=%E5%80%BC"] = page(title="中文網址")
    artifact = web("/a", "/big5", "/notes.md", "/plain", "/rows", "/zipped", "/raw", "/movie", "/broken.pdf",
                   "/路/頁?q=值", "/nothing", licence="CC-BY-4.0")  # fmt: skip
    read = opened(artifact)
    found = {d.id.removeprefix(site.url): d for d in read.documents}
    assert list(found) == ["/a", "/big5", "/notes.md", "/plain", "/rows#line 1", "/zipped", "/raw",
                           "/%E8%B7%AF/%E9%A0%81?q=%E5%80%BC"]  # fmt: skip
    assert all(PROSE in document.text for document in found.values())
    first = found["/a"]
    assert (first.title, first.licence, first.format) == ("標題", "CC-BY-4.0", "html")
    assert first.meta.items() >= {"url": f"{site.url}/a", "status": 200, "date": "2024-05-01T08:00:00+00:00"}.items()
    assert {drop.id.removeprefix(site.url): drop.reason for drop in read.dropped} == {
        "/movie": "unsupported-format", "/nothing": "http-404", "/rows#line 2": "empty", "/broken.pdf": "broken-pdf",
    }  # fmt: skip
    assert {headers["User-Agent"].split("/")[0] for _, headers in site.log} == {"Danlu"}
    assert site.asked()[0] == "/robots.txt"
    assert artifact.licences[site.url[7:]]["licence"] == "CC-BY-4.0"


def test_robots_is_kept(web, opened, site, pauses):
    site["/robots.txt"] = (
        200,
        {},
        b"User-agent: *\nDisallow: /\n\nUser-agent: danlu\nDisallow: /private\nCrawl-delay: 7\n",
    )
    site["/a"] = site["/b"] = note()
    site["/away"] = (302, {"Location": "/private/x"}, b"")
    read = opened(web("/a", "/private/x", "/away"))
    assert {drop.id.removeprefix(site.url): drop.reason for drop in read.dropped} == {
        "/private/x": "robots", "/away": "robots"
    }  # fmt: skip
    assert site.asked() == ["/robots.txt", "/a", "/away"]
    assert [round(wait) for wait in pauses] == [7]
    site["/robots.txt"] = (200, {}, b"User-agent: *\nCrawl-delay: 3600\n")
    with pytest.raises(DataError, match="asks for 3600 seconds"):
        web("/b")


def test_robots_that_cannot_be_read_forbids_all_and_one_that_is_not_there_nothing(web, opened, site):
    site["/a"] = note()
    assert opened(web("/a")).kept == 1
    site["/robots.txt"] = (503, {}, b"")
    with pytest.raises(DataError, match=r"robots.*answers 503"):
        web("/a", licence="x")
    site["/robots.txt"] = (301, {"Location": "/other.txt"}, b"")
    site["/other.txt"] = b"User-agent: *\nDisallow: /a"
    with pytest.raises(DataError, match="robots"):
        web("/a", licence="y")


def test_busy_hosts_are_asked_again_when_they_say(web, opened, site, pauses):
    answers = [(429, {"Retry-After": "9"}, b""), (503, {}, b""), note()]
    site["/a"] = lambda _: answers.pop(0)
    site["/always"] = (503, {}, b"")
    site["/later"] = (429, {"Retry-After": "86400"}, b"")
    site["/dated"] = (503, {"Retry-After": "Wed, 01 May 2999 08:00:00 GMT"}, b"")
    read = opened(web("/a", "/always", "/later", "/dated"))
    assert [d.id for d in read.documents] == [f"{site.url}/a"]
    assert pauses[:2] == [9, 2]
    assert {drop.id.removeprefix(site.url): drop.reason for drop in read.dropped} == {
        "/always": "http-503", "/later": "busy", "/dated": "busy"
    }  # fmt: skip
    assert site.asked().count("/always") == 3


def test_the_pause_between_two_requests_to_a_host(web, site, pauses):
    for n in range(4):
        site[f"/{n}"] = note(f"第{n}頁")
    web("/0", "/1", "/2", "/3", delay=5)
    assert len(pauses) == 4
    assert all(4 < wait <= 5 for wait in pauses)


def test_redirects_stay_where_they_may(web, opened, site):
    port = site.server.server_port
    site["/a"] = note()
    site["/moved"] = (301, {"Location": "/a#part"}, b"")
    site["/more"] = (302, {"Location": "moved"}, b"")
    site["/loop"] = (302, {"Location": "/loop"}, b"")
    site["/other"] = (302, {"Location": f"http://localhost:{port}/b"}, b"")
    site["/file"] = (302, {"Location": "file:///etc/passwd"}, b"")
    site["/login"] = (302, {"Location": f"http://me:word@127.0.0.1:{port}/a"}, b"")
    read = opened(web("/more", "/a", "/loop", "/other", "/file", "/login"))
    assert [(d.id.removeprefix(site.url), d.meta["url"]) for d in read.documents] == [("/more", f"{site.url}/a")]
    assert {drop.id.removeprefix(site.url): drop.reason for drop in read.dropped} == {
        "/a": "same-page", "/loop": "too-many-redirects", "/other": "redirected-away", "/file": "bad-address",
        "/login": "bad-address",
    }  # fmt: skip
    assert "/b" not in site.asked()


def test_pages_are_bounded(web, opened, site):
    def endless(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "text/html")
        handler.end_headers()
        try:
            for _ in range(10_000):
                handler.wfile.write(b"x" * 65536)
        except OSError:
            site.stopped = True

    def cut(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"half")
        handler.close_connection = True

    def silent(handler):
        time.sleep(0.8)
        handler.close_connection = True

    site["/endless"], site["/cut"], site["/silent"] = endless, cut, silent
    site["/bomb"] = (200, {**HTML, "Content-Encoding": "gzip"}, gzip.compress(b"\0" * 50_000_000))
    site["/lie"] = (200, {**HTML, "Content-Encoding": "gzip"}, b"no gzip")
    site["/br"] = (200, {**HTML, "Content-Encoding": "br"}, b"?")
    site["/a"] = note()
    paths = ("/a", "/endless", "/cut", "/silent", "/bomb", "/lie", "/br")
    read = opened(web(*paths, max_page_bytes=1_000_000, timeout=0.3, retries=0))
    assert {drop.id.removeprefix(site.url): drop.reason for drop in read.dropped} == {
        "/endless": "too-large", "/cut": "cut-off", "/silent": "timeout", "/bomb": "too-large", "/lie": "broken-answer",
        "/br": "broken-answer",
    }  # fmt: skip


def test_all_pages_together_are_bounded(web, opened, site):
    for n in range(6):
        site[f"/{n}"] = note(f"第{n}頁")
    size = len(note("第0頁")[2])
    read = opened(web(*(f"/{n}" for n in range(6)), "/0", max_bytes=2 * size + 10, max_pages=4))
    assert len(read.documents) == 2
    assert read.reasons == {"listed-twice": 1, "over-budget": 2, "over-max-pages": 2}
    assert "/3" not in site.asked()


def test_a_killed_run_pays_no_page_twice(web, opened, site, monkeypatch):
    """Cut at every request in turn: each address is asked for once over all the attempts, and the outcome is that of
    an undisturbed run."""
    site["/sitemap.xml"] = (
        f"<urlset><url><loc>{site.url}/2</loc></url><url><loc>{site.url}/gone</loc></url></urlset>".encode()
    )
    site["/0"], site["/1"], site["/2"] = (note(f"第{n}頁") for n in range(3))
    site["/3"] = (302, {"Location": "/2"}, b"")
    given = {"sitemap": site.url + "/sitemap.xml"}
    undisturbed = web("/0", "/1", "/3", **given)
    paid = sorted(site.asked())
    site.log.clear()
    plain, left = fetch.Fetcher._request, 0

    def dying(self, *words):
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        return plain(self, *words)

    monkeypatch.setattr(fetch.Fetcher, "_request", dying)
    artifact = None
    while artifact is None:
        left = 1
        with contextlib.suppress(KeyboardInterrupt):
            artifact = web("/0", "/1", "/3", **given)
    assert sorted(site.asked()) == paid
    assert artifact.content == undisturbed.content


def test_a_cache_that_stays_asks_only_for_what_changed(web, opened, site, tmp_path):
    def fresh(handler):
        if handler.headers.get("If-None-Match") == '"1"':
            return 304, {"ETag": '"1"'}, b""
        return note("不變", ETag='"1"')

    site["/same"] = fresh
    site["/new"] = note("舊", **{"Last-Modified": "Wed, 01 May 2024 08:00:00 GMT"})
    first = opened(web("/same", "/new", cache=tmp_path / "cache"))
    site["/new"] = note("新")
    site.log.clear()
    second = opened(web("/same", "/new", cache=tmp_path / "cache"))
    assert [d.title for d in first.documents] == ["不變", "舊"]
    assert [d.title for d in second.documents] == ["不變", "新"]
    sent = dict(site.log)
    assert sent["/same"]["If-None-Match"] == '"1"'
    assert sent["/new"]["If-Modified-Since"] == "Wed, 01 May 2024 08:00:00 GMT"


def test_sitemaps(web, opened, site):
    named = "http://www.sitemaps.org/schemas/sitemap/0.9"

    def urls(*entries):
        inner = "".join(f"<url><loc>{loc}</loc><lastmod>{day}</lastmod></url>" for loc, day in entries)
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="{named}">{inner}</urlset>'.encode()

    site["/index.xml"] = (
        f'<sitemapindex xmlns="{named}"><sitemap><loc>{site.url}/1.xml.gz</loc></sitemap>'
        f"<sitemap><loc>{site.url}/2.txt</loc></sitemap><sitemap><loc>{site.url}/index.xml</loc></sitemap>"
        f"<sitemap><loc>{site.url}/broken.xml</loc></sitemap><sitemap><loc>{site.url}/none.xml</loc></sitemap>"
        f"<sitemap><loc>{site.url}/evil.xml</loc></sitemap></sitemapindex>"
    ).encode()
    site["/1.xml.gz"] = (200, {"Content-Type": "application/gzip"}, gzip.compress(urls(
        (f"{site.url}/a", "2024-05-01"), (f"{site.url}/b#x", "junk"), (f"{site.url}/draft/c", ""),
        ("http://elsewhere.example/d", ""), ("javascript:alert(1)", ""), (f"{site.url}/a", ""))))  # fmt: skip
    site["/2.txt"] = (200, {}, f"{site.url}/e\nnot an address\n".encode())
    site["/broken.xml"] = (200, {}, b"<urlset><url><loc>http")
    site["/evil.xml"] = (
        200,
        {},
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><urlset><url><loc>&x;</loc></url></urlset>',
    )
    site["/a"], site["/b"], site["/e"] = note("甲"), note("乙"), note("戊")
    read = opened(web(sitemap=f"{site.url}/index.xml", exclude="*/draft/*"))
    assert [(d.title, d.meta.get("date")) for d in read.documents] == [("甲", "2024-05-01"), ("乙", None), ("戊", None)]
    assert [(drop.id.removeprefix(site.url), drop.reason) for drop in read.dropped] == [
        ("/draft/c", "excluded"), ("http://elsewhere.example/d", "other-host"), ("javascript:alert(1)", "bad-address"),
        ("/a", "listed-twice"), ("/index.xml", "listed-twice"), ("/broken.xml", "broken-sitemap"),
        ("/none.xml", "http-404"), ("/evil.xml", "broken-sitemap"),
    ]  # fmt: skip
    only = opened(web(sitemap=f"{site.url}/index.xml", include=["*/a", "*/e"]))
    assert [d.title for d in only.documents] == ["甲", "戊"]
    with pytest.raises(EndpointError, match="the sitemap cannot be read: http-404"):
        web(sitemap=f"{site.url}/sitemap.xml")
    with pytest.raises(EndpointError, match="broken-sitemap"):
        web(sitemap=f"{site.url}/broken.xml")


def test_this_machine_and_private_networks_are_refused(steps, site, pauses):
    site["/a"] = note()
    port = site.server.server_port
    for url in (f"{site.url}/a", f"http://localhost:{port}/a", f"http://2130706433:{port}/a", f"http://0x7f.1:{port}/a",
                f"http://[::ffff:127.0.0.1]:{port}/a", f"http://0.0.0.0:{port}/a"):  # fmt: skip
        with pytest.raises(DataError, match="private-address"):
            steps("data.web", urls=url, delay=0)
    assert not site.log


def test_a_name_that_turns_private_after_it_was_looked_at(steps, site, pauses, monkeypatch):
    """DNS rebinding: the address that is checked is the one that is connected to, each time anew."""
    real = socket.getaddrinfo
    answers = [["127.0.0.1"], ["93.184.216.34", "10.0.0.1"]]

    def resolve(name, port, *rest, **more):
        if name == "rebinding.example":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (place, port)) for place in answers[0]]
        return real(name, port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    site["/a"] = note()
    url = f"http://rebinding.example:{site.server.server_port}/a"
    for _ in range(2):
        with pytest.raises(DataError, match="private-address"):
            steps("data.web", urls=url, delay=0)
        answers.pop(0) if len(answers) > 1 else None
    assert not site.log
    answers[0] = ["127.0.0.1"]
    made = steps("data.web", urls=url, delay=0, allow_local=True)
    assert made.manifest["metrics"]["documents"] == 1
    assert {headers["Host"] for _, headers in site.log} == {f"rebinding.example:{site.server.server_port}"}


def test_a_site_may_move_to_its_own_www(steps, opened, site, pauses, monkeypatch):
    real = socket.getaddrinfo

    def resolve(name, port, *rest, **more):
        return real("127.0.0.1" if name.endswith(".example") else name, port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    port = site.server.server_port
    site["/a"] = (301, {"Location": f"http://www.books.example:{port}/b"}, b"")
    site["/b"] = note()
    made = steps("data.web", urls=f"http://books.example:{port}/a", allow_local=True, delay=0)
    assert opened(made).documents[0].meta["url"] == f"http://www.books.example:{port}/b"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_certificates_are_checked_for_the_name_not_for_the_address(steps, site, pauses, monkeypatch, tmp_path):
    """The connection goes to an address that was looked at; the certificate must still be that of the name."""
    key, proof = tmp_path / "key.pem", tmp_path / "proof.pem"
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    words += ["-subj", "/CN=named.example"]
    words += ["-addext", "subjectAltName=DNS:named.example", "-keyout", str(key), "-out", str(proof)]
    subprocess.run(["openssl", *words], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(proof, key)
    site.server.socket = context.wrap_socket(site.server.socket, server_side=True)
    real = socket.getaddrinfo

    def resolve(name, port, *rest, **more):
        return real("127.0.0.1" if name.endswith(".example") else name, port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setenv("SSL_CERT_FILE", str(proof))
    site["/a"] = note()
    port = site.server.server_port
    made = steps("data.web", urls=f"https://named.example:{port}/a", allow_local=True, delay=0)
    assert made.manifest["metrics"]["documents"] == 1
    with pytest.raises(DataError, match="CERTIFICATE_VERIFY_FAILED"):
        steps("data.web", urls=f"https://other.example:{port}/a", allow_local=True, delay=0, retries=0)


@pytest.mark.parametrize(
    ("place", "open_"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True), ("127.0.0.1", False), ("10.1.2.3", False),
        ("172.16.0.1", False), ("192.168.1.1", False), ("169.254.169.254", False), ("100.64.0.1", False),
        ("0.0.0.0", False), ("224.0.0.1", False), ("255.255.255.255", False), ("::1", False), ("::", False),
        ("fe80::1%eth0", False), ("fc00::1", False), ("ff02::1", False), ("::ffff:10.0.0.1", False),
        ("::ffff:93.184.216.34", True), ("64:ff9b::7f00:1", False), ("2002:7f00:1::", False), ("2001:0:1::", False),
        ("2001:db8::1", False), ("::127.0.0.1", False),
    ],
)  # fmt: skip
def test_public_addresses(place, open_):
    assert public(place) is open_


def test_hosts_that_do_not_answer(web, steps, pauses):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DataError, match="unreachable 2"):
        steps(
            "data.web", urls=[f"http://127.0.0.1:{port}/a", f"http://127.0.0.1:{port}/b"], allow_local=True, retries=1
        )
    assert len(pauses) <= 4  # the host's robots.txt is tried twice, its pages are not
    with pytest.raises(DataError, match="bad-address 3"):
        steps("data.web", urls=["ftp://a/b", "//a/b", "http://[::1/"])


def test_settings(web):
    with pytest.raises(ValidationError, match="either `urls` or `sitemap`"):
        web()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("HTTP://Example.ORG:80", "http://example.org/"),
        ("https://example.org:443/a?b#c", "https://example.org/a?b"),
        ("http://example.org:81/%7Ea/路", "http://example.org:81/%7Ea/%E8%B7%AF"),
        ("http://例子.測試/", "http://xn--fsqu00a.xn--g6w251d/"),
        ("http://[::1]:8080/", "http://[::1]:8080/"),
        (" http://a/b c ", "http://a/b%20c"),
    ],
)
def test_one_spelling_of_an_address(given, told):
    assert address(given) == told
    assert address(told) == told


@given(st.text(max_size=60))
def test_an_address_is_stable_or_refused(text):
    for url in (text, f"http://{text}", f"http://a/{text}"):
        with contextlib.suppress(Missed):
            once = address(url)
            assert address(once) == once
            assert "\n" not in once
            assert once.isascii()


@given(st.binary(max_size=2000), st.integers(1, 300), st.booleans())
def test_unpacking_gives_the_bytes_and_never_more_than_asked(data, step, raw):
    packed = zlib.compress(data)[2:-4] if raw else gzip.compress(data)
    pieces = [packed[at : at + step] for at in range(0, len(packed), step)]
    if not raw or step > 1:
        assert b"".join(unpacked(pieces, 10_000)) == data
        assert b"".join(unpacked(pieces, 100)) == data[:100]


def test_a_body_is_cut_or_refused():
    assert taken([b"abc", b"def"], "", 6, float("inf")) == b"abcdef"
    assert taken([b"abc", b"def"], "", 4, float("inf"), cut=True) == b"abcd"
    with pytest.raises(Missed, match="too-large"):
        taken([b"abc", b"def"], "identity", 5, float("inf"))
    with pytest.raises(Missed, match="too-slow"):
        taken([b"abc"], "", 5, 0.0)


def test_names_that_cannot_be_resolved():
    with pytest.raises(Missed, match="unreachable"):
        addresses("no-such-name.invalid", 80, False)
    with pytest.raises(Missed, match="unreachable"):
        addresses("a" * 300, 80, False)


# ── robots.txt ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rules", "path", "allowed"),
    [
        ("Disallow: /", "/a", False),
        ("Disallow:", "/a", True),
        ("Disallow: /a\nAllow: /a/b", "/a/b/c", True),
        ("Allow: /a/b\nDisallow: /a", "/a/x", False),
        ("Disallow: /a\nAllow: /a", "/a", True),
        ("Disallow: /*.pdf$", "/x/y.pdf", False),
        ("Disallow: /*.pdf$", "/x/y.pdf?z", True),
        ("Disallow: /a*/b", "/axx/bcd", False),
        ("Disallow: /*?", "/a", True),
        ("Disallow: /*?", "/a?b", False),
        ("Disallow: /%E8%B7%AF", "/路/x", False),
        ("Disallow: /路", "/%e8%b7%af", False),
        ("Disallow: /%61", "/a", False),
        ("Disallow: /a%2Fb", "/a/b", True),
        ("Disallow: /a # comment", "/a", False),
        ("Disallow: /", "/robots.txt", True),
        ("disallow : /a", "/a", False),
        ("Noindex: /a", "/a", True),
        ("Disallow: /fish*", "/fish.html", False),
        ("Disallow: /$", "/", False),
        ("Disallow: /$", "/a", True),
    ],
)
def test_rules_of_rfc_9309(rules, path, allowed):
    assert parse(f"User-agent: *\n{rules}\n".encode(), "Danlu").allows(path) is allowed


def test_groups_of_rfc_9309():
    text = (
        b"\xef\xbb\xbfUser-agent: a\nUser-agent: DANLU/2.0 (x)\nSitemap: http://a/\nDisallow: /1\n\nUser-agent: *\n"
        b"Disallow: /2\nCrawl-delay: 3\nUser-agent: danlu\n\nDisallow: /3\nCrawl-delay: 1.5\n"
        b"User-agent: danlubot\nDisallow: /4"
    )
    own = parse(text, "Danlu")
    assert [own.allows(f"/{n}") for n in (1, 2, 3, 4)] == [False, True, False, True]
    assert own.delay == 1.5
    other = parse(text, "other")
    assert [other.allows(f"/{n}") for n in (1, 2, 3, 4)] == [True, False, True, True]
    assert other.delay == 3
    assert parse(b"Disallow: /", "Danlu") == Robots()


@given(
    st.lists(st.tuples(st.booleans(), st.text("ab", min_size=1, max_size=4).map(lambda t: "/" + t)), max_size=1),
    st.text("ab", max_size=6),
)
def test_the_same_verdict_as_the_standard_library_where_it_has_one(rules, path):
    """urllib.robotparser knows no wildcards and takes the first rule, not the longest, so: one plain rule."""
    lines = ["User-agent: *", *(f"{'Allow' if allow else 'Disallow'}: {value}" for allow, value in rules)]
    peer = RobotFileParser()
    peer.parse(lines)
    mine = parse("\n".join(lines).encode(), "Danlu")
    assert mine.allows("/" + path) == peer.can_fetch("Danlu", "http://h/" + path)


@given(st.text("ab*$/", max_size=12), st.text("ab/", max_size=20))
def test_patterns_fit_as_a_regular_expression_does(pattern, path):
    import re

    body = pattern.removesuffix("$")
    expression = ".*".join(map(re.escape, body.split("*"))) + (r"\Z" if pattern.endswith("$") else "")
    assert fits(pattern, path) == bool(re.match(expression, path))


@given(st.text(max_size=30))
def test_one_spelling_of_a_path(path):
    assert normal(normal(path)) == normal(path)
    assert normal(path).isascii()


@given(st.binary(max_size=300))
def test_any_bytes_are_a_robots_txt(data):
    parse(data, "Danlu").allows("/a")
