"""Text written in Taiwan and lists of words, in the plain form that `danlu.text.conversion_build` reads.

    python -m danlu.text.conversion_sources statutes tw-law-large.jsonl.gz > law.txt

A paragraph is a line; lines that are no Chinese prose, that hold Japanese, or a character that is only ever Simplified,
are left out and counted on standard error. `statutes` leaves out a fifth of the laws, which the benchmark measures.
The sources, with their licences, are in docs/conversion.md. Not covered: fetching them.
"""

from __future__ import annotations

import argparse
import gzip
import html
import json
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from danlu.text import variants

_HAN = re.compile("[\u4e00-\u9fff]")
_KANA = re.compile("[\u3040-\u30ff]")


def held_out(pcode: str) -> bool:
    """Whether the law of this number is one of the fifth that no model is built from."""
    return zlib.crc32(pcode.encode()) % 5 == 0


def statutes(path: Path) -> Iterator[str]:
    """The lines of the articles in a JSON Lines file (gzip) with the keys pcode and text."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            if not held_out(row["pcode"]):
                yield from row["text"].splitlines()


def markdown(folder: Path) -> Iterator[str]:
    """The prose of every Markdown file below a folder, without code, addresses and marks."""
    for path in sorted(folder.rglob("*.md")):
        text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8", errors="replace"), flags=re.S)
        text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
        text = re.sub(r"<[^>]+>|https?://\S+", "", text)
        yield from (re.sub(r"^[\s#>*|\-]+|\*\*|`|\|", "", line) for line in text.splitlines())


def transcripts(folder: Path) -> Iterator[str]:
    """The paragraphs of every transcript (Akoma Ntoso XML) of a folder."""
    for path in sorted(folder.glob("*.xml")):
        for match in re.finditer(r"<p>(.*?)</p>", path.read_text(encoding="utf-8", errors="replace"), re.S):
            yield html.unescape(re.sub("<[^>]+>", "", match[1]))


def messages(folder: Path) -> Iterator[str]:
    """The translations in every gettext catalogue below a folder."""
    for path in sorted(folder.rglob("*.po")):
        text = path.read_text(encoding="utf-8", errors="replace")
        for match in re.finditer(r'^msgstr ((?:".*"\n?)+)', text, re.M):
            line = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', match[1]))
            yield line.replace("\\n", " ").replace('\\"', '"')


def cedict(path: Path) -> Iterator[str]:
    """The Traditional head words of CC-CEDICT (gzip), those apart that are only a variant of another."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            word = line.split(" ", 1)[0]
            if "variant of" not in line and re.fullmatch("[\u3400-\u9fff·，]{2,}", word):
                yield word


def phrases(path: Path) -> Iterator[str]:
    """The first Traditional form of each phrase of OpenCC's STPhrases, read out as text with `opencc_dict`."""
    with path.open(encoding="utf-8") as file:
        yield from (line.rstrip("\n").split("\t")[1].split(" ")[0] for line in file)


def prose(lines: Iterable[str]) -> Iterator[str]:
    """The lines that are Chinese prose in Traditional characters; a short line comes once."""
    simplified = set(variants.simplified())
    seen: set[str] = set()
    dropped = 0
    for line in lines:
        line = re.sub(r"\s+", " ", line).strip()
        han = len(_HAN.findall(line))
        if han < 2 or line in seen:
            continue
        if han < len(line) / 4 or len(_KANA.findall(line)) > han / 20 or not simplified.isdisjoint(line):
            dropped += 1
            continue
        if len(line) < 400:
            seen.add(line)
        yield line
    print(f"{dropped} lines left out", file=sys.stderr)


TEXTS = {"statutes": statutes, "markdown": markdown, "transcripts": transcripts, "messages": messages}
WORDS = {"cedict": cedict, "phrases": phrases}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=[*TEXTS, *WORDS])
    parser.add_argument("path", type=Path)
    options = parser.parse_args()
    found = prose(TEXTS[options.kind](options.path)) if options.kind in TEXTS else WORDS[options.kind](options.path)
    for line in found:
        print(line)


if __name__ == "__main__":
    main()
