"""Recall and precision of personal data over generated documents, by type and by kind of document, and its speed.

    python bench/pii.py                       every template eight times, about ten seconds
    python bench/pii.py --each 40 --seed 7    more of them, drawn anew
    python bench/pii.py --wrong 20            what was missed and what was wrong, with what stands about it

The documents are made from the templates in tests/text/pii_documents, in sets: the code was tuned on `tuning` first;
each other set was written afterwards and measured once before the code was changed again. A hit counts as right when
type, start and end are. Speed is that of `danlu.text.pii.report` on statutes and on DRCD. The last line is JSON.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "text")]

from pii_documents import SETS, Count, documents, measured  # noqa: E402

from danlu.text import pii  # noqa: E402

DATA = ROOT.parent / "shared" / "data"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=8, help="documents of every template")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--wrong", type=int, default=0, help="how many wrong and missed ones to show")
    args = parser.parse_args()
    line: dict[str, Any] = {"each": args.each, "seed": args.seed}
    for which in SETS:
        out = measured(
            (document, [(hit.type, hit.start, hit.end) for hit in pii.report(document.text)])
            for document in documents(which, args.seed, args.each)
        )
        _show(which, out.whole, {**out.types, **out.kinds})
        for name, told in (("missed", out.missed), ("wrong", out.wrong)):
            for one, times in told.most_common(args.wrong):
                print(f"    {name} {times}: {one!r}")
        line[which] = _row(out.whole) | {"types": {name: _row(count) for name, count in sorted(out.types.items())}}
    line["million_characters_a_second"] = {name: _speed(texts) for name, texts in _texts().items()}
    print(json.dumps(line))
    return 0


def _show(which: str, whole: Count, counts: dict[str, Count]) -> None:
    print(f"{which}: {whole.planted} planted, {whole.lookalikes} look-alikes")
    for name, count in [("all", whole), *sorted(counts.items())]:
        print(f"  {name:24} n {count.planted:5}  recall {count.recall:.4f}  precision {count.precision:.4f}")


def _row(count: Count) -> dict[str, float]:
    return {"planted": count.planted, "recall": round(count.recall, 4), "precision": round(count.precision, 4)}


def _texts() -> dict[str, list[str]]:
    """Statutes and DRCD's paragraphs, where they are."""
    laws, drcd = DATA / "corpus" / "tw-law-large.jsonl.gz", next(DATA.glob("rc/**/*DRCD*dev*.json"), None)
    found: dict[str, list[str]] = {}
    if laws.exists():
        with gzip.open(laws, "rt", encoding="utf-8") as lines:
            found["statutes"] = [json.loads(line)["text"] for line, _ in zip(lines, range(1500), strict=False)]
    if drcd:
        articles = json.loads(drcd.read_text(encoding="utf-8"))["data"]
        found["drcd"] = [paragraph["context"] for article in articles for paragraph in article["paragraphs"]]
    return found


def _speed(texts: Iterable[str], report: Callable[[str], Any] = pii.report) -> float:
    """The best of three runs, in processor time."""
    texts, best = list(texts), float("inf")
    for _ in range(3):
        began = time.process_time()
        for text in texts:
            report(text)
        best = min(best, time.process_time() - began)
    return round(sum(map(len, texts)) / best / 1e6, 2)


if __name__ == "__main__":
    sys.exit(main())
