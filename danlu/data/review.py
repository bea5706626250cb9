"""A page on which a human judges what a filter did: samples of every reason, a button each, the decisions to download.

The page is one file that loads nothing: its policy forbids every address, its one script is named by hash, all text
from data is escaped. The decisions are JSON lines: {"id", "decision": "keep" or "drop", "verdict", "excerpt"};
`excerpt` is the hash of the text that was shown: a decision about a text that has changed since is not followed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import string
from collections import Counter
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Literal, NamedTuple

from danlu.artifact import Draft
from danlu.data.flow import EXCERPT, Sample, Tally
from danlu.errors import DataError, nearest
from danlu.records import Document

KEPT = "kept"


class Decision(NamedTuple):
    decision: Literal["keep", "drop"]
    excerpt: str

    def fits(self, document: Document) -> bool:
        """Whether the document still says what the reviewer saw."""
        return self.excerpt == excerpt(document.text)


def excerpt(text: str) -> str:
    """The hash of what a sample shows of `text`."""
    return hashlib.sha256(text[:EXCERPT].encode("utf-8", "surrogatepass")).hexdigest()[:16]


def page(tally: Tally) -> str:
    """The page for a step's samples: those of the kept first, then by reason; the same bytes for the same samples."""
    reasons = [KEPT, *sorted(set(tally.samples) - {KEPT})]
    counts = Counter(tally.reasons) + Counter({KEPT: tally.kept})
    sections = [_section(reason, counts[reason], tally.samples.get(reason, [])) for reason in reasons]
    names = [(reason, escape(reason)) for reason in reasons]
    links = "".join(f'<a href="#{name}">{name} {counts[reason]:,}</a>' for reason, name in names)
    source = Path(__file__).with_name("review.html").read_text(encoding="utf-8")
    script = Path(__file__).with_name("review.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return string.Template(source).substitute(
        hash=digest, script=script, links=links, sections="\n".join(sections), came=f"{tally.came:,}"
    )


def _section(reason: str, count: int, samples: Iterable[Sample]) -> str:
    cards = "\n".join(_card(reason, sample) for sample in samples)
    name = escape(reason)
    what = "kept" if reason == KEPT else "dropped"
    return (
        f'<section id="{name}"><h2>{name}</h2>'
        f'<p class="what">{count:,} documents {what}. <span data-figure="{name}"></span></p>{cards}</section>'
    )


def _card(reason: str, sample: Sample) -> str:
    facts = {"id": sample.id, "verdict": reason, "excerpt": excerpt(sample.text)}
    detail = f'<span class="chip">{escape(sample.detail)}</span>' if sample.detail else ""
    text = sample.text.replace("\r", "")
    return (
        f'<article class="card" data-facts="{escape(json.dumps(facts, ensure_ascii=False))}">'
        f'<h3>{escape(sample.id)} {detail}</h3><p class="what">{escape(sample.source)}</p>'
        f"<pre>{escape(text)}</pre>"
        '<p class="decide"><button data-decision="keep">Keep</button> <button data-decision="drop">Drop</button></p>'
        "</article>"
    )


def read_decisions(path: Path) -> dict[str, Decision]:
    """The decisions of a file, by document; DataError for a line that is none, or two that disagree."""
    found: dict[str, Decision] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the decisions cannot be read: {error}", where=str(path)) from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        id, decision = _decision(line, where)
        if found.setdefault(id, decision) != decision:
            raise DataError(
                f"{id!r} is decided twice, and differently", where=where, next="remove one of the two lines"
            )
    return found


def _decision(line: str, where: str) -> tuple[str, Decision]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"not a decision: {error}", where=where) from None
    fields = {"id", "decision", "excerpt"}
    if not isinstance(row, dict) or not all(isinstance(row.get(field), str) for field in fields):
        raise DataError(
            "not a decision: needs id, decision and excerpt, all strings",
            where=where,
            next="use the file that review.html gives out",
        )
    if row["decision"] not in ("keep", "drop"):
        near = nearest(row["decision"], ["keep", "drop"])
        raise DataError(f"decision is keep or drop, not {row['decision']!r}", where=where, nearest=near)
    return row["id"], Decision(row["decision"], row["excerpt"])


def report(out: Draft, decisions: dict[str, Decision], tally: Tally) -> None:
    """A table of how far the reviewer agreed with each verdict, with a 95 % interval (Wilson, 1927)."""
    rows: list[list[object]] = []
    by_verdict: dict[str, Counter[str]] = {}
    for name, count in tally.counts.items():
        kind, *rest = name.split("\0")
        if kind == "review":
            by_verdict.setdefault(rest[0], Counter())[rest[1]] += count
    for verdict, said in sorted(by_verdict.items()):
        right, n = said["keep" if verdict == KEPT else "drop"], said.total()
        low, high = wilson(right, n)
        rows.append([verdict, n, right, f"{right / n:.2f}", f"{low:.2f} – {high:.2f}"])
    out.table("Reviewed", ["verdict", "reviewed", "agreed", "precision", "95 % interval"], rows)
    followed = sum(said.total() for said in by_verdict.values())
    stale = tally.counts["stale"]
    missing = len(decisions) - followed - stale
    if stale or missing:
        out.text(
            "Decisions not followed",
            f"{stale} are about a text that has changed since, {missing} about a document that is not here.",
        )
    out.metrics.update(reviewed=followed)


def wilson(right: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a share of `right` in `n`; (0, 1) for none."""
    if not n:
        return 0.0, 1.0
    share, square = right / n, z * z / n
    centre, width = share + square / 2, z * (share * (1 - share) / n + square / 4 / n) ** 0.5
    return max(0.0, (centre - width) / (1 + square)), min(1.0, (centre + width) / (1 + square))
