"""robots.txt as RFC 9309 reads it, with Crawl-delay, which it does not know and many sites use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

LARGEST = 500 * 1024
"""Bytes that are read; the RFC wants at least so many."""

_LINE = re.compile(r"^\s*([A-Za-z-]+)\s*:\s*(.*?)\s*$")
_TOKEN = re.compile(r"[A-Za-z_-]+")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")


@dataclass(frozen=True)
class Robots:
    """What one crawler may do on one host. `rules` are (pattern, allowed)."""

    rules: tuple[tuple[str, bool], ...] = ()
    delay: float = 0.0

    def allows(self, path: str) -> bool:
        """Whether a path (with its query) may be fetched: the longest pattern decides, and of two equal ones Allow."""
        path = normal(path or "/")
        fitting = [(len(pattern), allowed) for pattern, allowed in self.rules if fits(pattern, path)]
        return max(fitting)[1] if fitting and path != "/robots.txt" else True


def parse(data: bytes, product: str) -> Robots:
    """The rules for the crawler that calls itself `product`: its own groups together, else those of `*`."""
    text = data[:LARGEST].decode("utf-8-sig", "replace")
    groups = list(_groups(text.splitlines()))
    own = [group for agents, group in groups if product.lower() in agents]
    lines = [line for group in own or [group for agents, group in groups if "*" in agents] for line in group]
    rules = [(normal(value), key == "allow") for key, value in lines if key in ("allow", "disallow") and value]
    delays = [float(value) for key, value in lines if key == "crawl-delay" and re.fullmatch(r"\d{1,9}(\.\d+)?", value)]
    return Robots(tuple(rules), max(delays, default=0.0))


def _groups(lines: Iterable[str]) -> Iterator[tuple[set[str], list[tuple[str, str]]]]:
    """(names of crawlers in lower case, the lines for them)."""
    agents: set[str] = set()
    rules: list[tuple[str, str]] = []
    naming = False
    for line in lines:
        found = _LINE.match(line.split("#")[0])
        if found is None:
            continue
        key, value = found[1].lower(), found[2]
        if key == "user-agent":
            if not naming and agents:
                yield agents, rules
                agents, rules = set(), []
            naming = True
            token = _TOKEN.match(value)
            agents.add("*" if value.startswith("*") else token[0].lower() if token else "")
        elif key in ("allow", "disallow", "crawl-delay"):
            naming = False
            rules.append((key, value))
    if agents:
        yield agents, rules


def fits(pattern: str, path: str) -> bool:
    """Whether the path begins as the pattern says: `*` is any run of characters, a final `$` the end of the path."""
    whole = pattern.endswith("$")
    first, *rest = pattern.removesuffix("$").split("*") if whole else pattern.split("*")
    if not path.startswith(first):
        return False
    at = len(first)
    for number, piece in enumerate(rest, 1):
        if whole and number == len(rest):
            return len(path) - at >= len(piece) and path.endswith(piece)
        at = path.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return not whole or at == len(path)


def normal(path: str) -> str:
    """One spelling for paths that are the same: other than ASCII as %XX, letters and digits never so."""

    def plain(found: re.Match[str]) -> str:
        character = chr(int(found[1], 16))
        return character if re.fullmatch(r"[A-Za-z0-9._~-]", character) else found[0].upper()

    text = "".join(
        character if character.isascii() else "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "replace"))
        for character in path
    )
    return _ESCAPE.sub(plain, text)
