"""Mainland terms: what `danlu text check` hits in text written in Taiwan, and in mainland prose.

Taiwan: statutes, DRCD's paragraphs, the Python documentation's catalogues, the Rust book, the handbook. Some of it has
mainland words all the same (DRCD is Wikipedia, partly turned from Simplified by machine, as are some catalogues), so a
hit is true or false, which only a reader can tell. What a reader said stands in terms_read.tsv: source, term, how
often, and "true" or "false"; a hit beyond those is unread and counts as false.

    python bench/terms.py                      rates and characters a second
    python bench/terms.py --show taiwan        every hit in context, with its verdict
    python bench/terms.py --save hits.json     keep the hits; later, --against hits.json lists those lost and won
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from danlu.text import usage  # noqa: E402

SHARED = ROOT.parent / "shared" / "data"
READ = Path(__file__).with_name("terms_read.tsv")
AROUND = 14


def taiwan() -> Iterator[tuple[str, str]]:
    """(source, text) of what was written in Taiwan."""
    with gzip.open(SHARED / "corpus" / "tw-law-large.jsonl.gz", "rt", encoding="utf-8") as file:
        yield "statutes", "\n\n".join(f"{row['law']}\n{row['text']}" for row in map(json.loads, file))
    articles = json.loads((SHARED / "rc" / "drcd" / "DRCD_dev.json").read_text(encoding="utf-8"))["data"]
    yield "drcd", "\n\n".join(paragraph["context"] for article in articles for paragraph in article["paragraphs"])
    catalogues = sorted((SHARED / "corpus" / "python-docs-po").rglob("*.po"))
    yield "python-docs-po", "\n\n".join(said for path in catalogues for said in messages(path))
    for source, folder in (("rust-book-tw", SHARED / "corpus" / "rust-book-tw"), ("handbook", ROOT / "handbook")):
        yield source, "\n\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.md")))


def mainland() -> Iterator[tuple[str, str]]:
    """(source, text) of mainland prose, in either script."""
    for name in ("alpaca_zh_demo", "dpo_zh_demo", "glaive_toolcall_zh_demo"):
        told = json.loads((SHARED / "instruct" / "llama-factory-demo" / f"{name}.json").read_text(encoding="utf-8"))
        yield name, "\n\n".join(strings(told))
    pages = sorted((SHARED / "corpus" / "ms-dataexplorer-zh-tw").rglob("*.md"))
    yield "ms-dataexplorer", "\n\n".join(path.read_text(encoding="utf-8") for path in pages)
    yield "copywriting", (SHARED / "corpus" / "copywriting" / "README.zh-Hans.md").read_text(encoding="utf-8")


def messages(path: Path) -> Iterator[str]:
    """The translations of a gettext catalogue."""
    for found in re.finditer(r'^msgstr "(.*)"\n((?:".*"\n)*)', path.read_text(encoding="utf-8"), re.M):
        text = found[1] + "".join(line[1:-1] for line in found[2].splitlines())
        yield text.replace(r"\n", "\n").replace(r"\"", '"')


def strings(node: object) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else []:
        yield from strings(value)


def hits(text: str) -> list[usage.Hit]:
    """The terms in `text`; in Simplified characters they are read as `script.to_taiwan` reads them."""
    return [hit for hit in usage.find(text) if hit.kind == "term"]


def context(text: str, hit: usage.Hit) -> str:
    before, after = text[max(0, hit.start - AROUND) : hit.start], text[hit.end : hit.end + AROUND]
    return f"{before}【{hit.found}→{hit.suggestion}】{after}".replace("\n", "⏎")


def read() -> dict[str, Counter[str]]:
    """Of each source, how many hits of each term (`found→suggestion`) a reader found true."""
    true: dict[str, Counter[str]] = defaultdict(Counter)
    for line in READ.read_text(encoding="utf-8").splitlines():
        source, term, count, verdict = line.split("\t")
        if verdict == "true":
            true[source][term] += int(count)
    return true


def verdicts(source: str, found: list[usage.Hit], true: dict[str, Counter[str]]) -> list[bool]:
    """Whether each hit was found true. Those of a term beyond the number read are not."""
    left = Counter(true.get(source, {}))
    result = []
    for hit in found:
        term = f"{hit.found}→{hit.suggestion}"
        left[term] -= 1
        result.append(left[term] >= 0)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", choices=("taiwan", "mainland"))
    parser.add_argument("--save", type=Path)
    parser.add_argument("--against", type=Path)
    args = parser.parse_args()
    if not SHARED.is_dir():
        sys.exit(f"nothing to measure: {SHARED} is absent")
    kept: dict[str, list[tuple[int, int, str]]] = {}
    total = Counter({"characters": 0, "hits": 0, "false": 0})
    for side, sources in (("taiwan", taiwan), ("mainland", mainland)):
        for source, text in sources():
            found = measured(side, source, text, total)
            kept[source] = [(hit.start, hit.end, context(text, hit)) for hit in found]
            if args.show == side:
                for (_, _, told), true in zip(kept[source], verdicts(source, found, read()), strict=True):
                    print("  ", "true " if true or side == "mainland" else "FALSE", told)
    false, characters = total["false"], total["characters"]
    print(
        f"written in Taiwan: {total['hits']} hits in {characters:,} characters, {false} of them false or unread, ",
        end="",
    )
    print(f"{1e6 * false / characters:.2f} per million")
    if args.save:
        args.save.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")
    if args.against:
        compare(json.loads(args.against.read_text(encoding="utf-8")), kept)


def measured(side: str, source: str, text: str, total: Counter[str]) -> list[usage.Hit]:
    """The hits of one source, after a line about them; Taiwan's go into `total`."""
    usage.find(text[:1000])
    begun = time.perf_counter()
    found = hits(text)
    took = time.perf_counter() - begun
    characters = sum(map(len, text.split()))
    per_million = 1e6 * len(found) / characters
    line = f"{side} {source}: {len(found)} hits in {characters:,} characters, {per_million:.1f} per million"
    if side == "taiwan":
        false = verdicts(source, found, read()).count(False)
        total.update(characters=characters, hits=len(found), false=false)
        line += f", {false} false or unread"
    print(f"{line}; {characters / took / 1e6:.2f} million characters/s", flush=True)
    return found


def compare(old: dict[str, list[list]], new: dict[str, list[tuple]]) -> None:
    """Hits that only one of two runs has; a hit of which any part is hit still is not lost."""
    for source in new:
        for name, one, other in (("lost", old[source], new[source]), ("won", new[source], old[source])):
            covered = {at for start, end, _ in other for at in range(start, end)}
            gone = [told for start, end, told in one if covered.isdisjoint(range(start, end))]
            print(f"{source}: {len(gone)} {name}")
            for told in gone:
                print("  ", told)


if __name__ == "__main__":
    main()
