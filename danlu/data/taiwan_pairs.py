"""data.taiwan_pairs: preferences for Taiwan's wording, made by rule from answers that already have it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from danlu.artifact import Artifact, Draft
from danlu.data.examples import taiwan
from danlu.data.flow import Block, blocks, encoded, spread
from danlu.data.formats.fields import content_id
from danlu.data.instruct import draw
from danlu.data.seen import Seen, key, keys
from danlu.errors import DataError
from danlu.records import Drop, Example, Preference
from danlu.registry import From, Settings, Step
from danlu.text import lattice, quoted, usage, variants
from danlu.text.script import script
from danlu.track import Track

Kind = Literal["wording", "simplified", "both"]

_MOST_SHOWN = 20
_REACH = 20
"""Characters on each side of a word that are looked at."""
_LEAST_COUNT = 400
"""At least how common a Taiwan word is taken to be: the lexicon comes from the mainland."""
_ALIKE = str.maketrans("台裏着峯羣爲綫麪", "臺裡著峰群為線麵")
"""Characters that Taiwan writes in two ways: no difference in wording."""


class TaiwanPairsSettings(Settings):
    examples: Annotated[str, From("examples")]
    """The step that made the examples; their answers are the chosen ones."""

    kinds: Annotated[tuple[Kind, ...], Field(min_length=1)] = ("wording", "simplified", "both")
    """How the rejected answer differs: mainland words in Traditional characters, the same words in Simplified ones, or
    both. Of the kinds that an answer allows one is taken, each equally often."""

    min_terms: Annotated[int, Field(ge=1)] = 1
    """With mainland words: how many must be replaced at least."""

    allow: tuple[str, ...] = ()
    """Words that stay as they are: proper names."""

    seed: int = 0
    """Seed of the choice of kinds."""


class Changed(NamedTuple):
    """A text with mainland words, how many were replaced, and the Taiwan words that were left as ambiguous."""

    text: str
    replaced: int
    ambiguous: Counter[str]


class TaiwanPairs(Step[TaiwanPairsSettings]):
    """chosen is the answer as it is, rejected says the same in mainland words, Simplified characters, or both.

    Only where the meaning stays: `rejected` turned into Taiwan's wording (`danlu.text.usage`, by the neighbours of a
    word where it is ambiguous) must be `chosen` again. A word whose mainland form has another meaning there, or that
    several mainland words stand for, is left as it is and counted; code, addresses and quotations are left alone.

    Drops: `not-taiwan` (the answer itself has Simplified characters or mainland terms), `nothing-to-change` (it has no
    word that the mainland says differently, and no character that it writes differently), `meaning-unsure` (the way
    back does not lead to the same answer), `tool-call`, `found-bad` (label false), `duplicate`.

    Not covered: grammar and style, words that the tables do not list, the prompts (they stay in Taiwan's wording).
    """

    Settings = TaiwanPairsSettings
    makes = "preferences"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        parts = blocks(inputs["examples"].file("examples.jsonl"))
        counts: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        ambiguous: Counter[str] = Counter()
        seen = Seen()
        bar = track.bar("taiwan_pairs", sum(part.count for part in parts), unit="example")
        with out.file("preferences.jsonl").open("wb") as lines, out.file("dropped.jsonl").open("wb") as dropped:
            for part, (made, found) in zip(parts, spread(partial(pairs, self.settings), parts, track), strict=True):
                fresh = iter(seen.new(keys(one.key for one in made if one.line)).tolist())
                for one in made:
                    kept = bool(one.line) and next(fresh)
                    (lines if kept else dropped).write(one.line if kept else one.drop)
                    (counts if kept else reasons)[one.kind if kept else one.reason] += 1
                ambiguous.update(found)
                bar.update(part.count)
        bar.close()
        came = counts.total() + reasons.total()
        if not counts:
            told = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
            raise DataError(
                f"no pair could be made of {came} examples: {told}",
                next="the answers must be in Taiwan's wording: danlu text check FILE",
            )
        out.funnel("taiwan_pairs", came, counts.total(), dict(sorted(reasons.items())), unit="examples")
        out.table("Pairs by kind", ["kind", "pairs"], [[kind, counts[kind]] for kind in self.settings.kinds])
        most = sorted(ambiguous.items(), key=lambda entry: (-entry[1], entry[0]))[:_MOST_SHOWN]
        rows = [[word, times] for word, times in most]
        if rows:
            out.table(f"Words left as ambiguous ({len(rows)} of {len(ambiguous)})", ["word", "times"], rows)
        out.metrics.update(preferences=counts.total(), ambiguous_words=ambiguous.total())


class Made(NamedTuple):
    """An example's pair, or its drop; the drop of a pair is that of a duplicate."""

    line: bytes
    drop: bytes
    kind: str
    reason: str
    key: int


def pairs(settings: TaiwanPairsSettings, block: Block) -> tuple[list[Made], Counter[str]]:
    """What is made of a block of examples, and the ambiguous words in them."""
    made: list[Made] = []
    ambiguous: Counter[str] = Counter()
    for example in block.records(Example):
        found, reason = pair(example, settings, ambiguous)
        source = example.source or example.document
        if found is None:
            made.append(Made(b"", encoded(Drop(id=example.id, source=source, reason=reason)), "", reason, 0))
            continue
        twin = encoded(Drop(id=example.id, source=source, reason="duplicate"))
        made.append(Made(encoded(found), twin, found.method, "duplicate", key(content_id(found))))
    return made, ambiguous


def pair(example: Example, settings: TaiwanPairsSettings, ambiguous: Counter[str]) -> tuple[Preference | None, str]:
    """The preference of one example, or why there is none."""
    chosen = example.messages[-1].content
    if example.messages[-1].role != "assistant" or example.messages[-1].tool_calls:
        return None, "tool-call"
    if example.label is False:
        return None, "found-bad"
    if script(chosen) not in ("traditional", "other") or usage.count(chosen, settings.allow):
        return None, "not-taiwan"
    order = sorted(settings.kinds, key=lambda kind: draw(settings.seed, "kind", kind, example.id))
    words = mainland(chosen, settings.allow)
    ambiguous.update(words.ambiguous)
    changed = False
    for kind in order:
        rejected = _rejected(kind, chosen, words, settings.min_terms)
        if not rejected or rejected == chosen:
            continue
        changed = True
        if alike(taiwan(rejected, Counter()), chosen):
            made = Preference(
                id="",
                prompt=example.messages[:-1],
                chosen=chosen,
                rejected=rejected,
                document=example.document,
                method=kind,
                source=example.source,
                tools=example.tools,
                meta={"origin": example.id},
            )
            return made.model_copy(update={"id": content_id(made)}), ""
    return None, "meaning-unsure" if changed else "nothing-to-change"


def _rejected(kind: Kind, chosen: str, words: Changed, least: int) -> str:
    if kind == "simplified":
        return simplified(chosen)
    if words.replaced < least:
        return ""
    return words.text if kind == "wording" else simplified(words.text)


def alike(one: str, other: str) -> bool:
    """Whether two texts have the same wording: characters that Taiwan writes in two ways count as one."""
    return one.translate(_ALIKE) == other.translate(_ALIKE)


def simplified(text: str) -> str:
    """`text` in Simplified characters (OpenCC tw2s), words and Markdown code left as they are."""
    convert = variants._opencc("tw2s").convert
    pieces, at = [], 0
    for start, end in quoted.spans(text):
        pieces += [convert(text[at:start]), text[start:end]]
        at = end
    return "".join([*pieces, convert(text[at:])])


def mainland(text: str, allow: tuple[str, ...] = ()) -> Changed:
    """`text` with mainland words in Traditional characters, wherever `usage.fix` leads back to what is there."""
    table, pattern = _inverse()
    alone = quoted.merged([*quoted.spans(text), *_allowed(text, allow)])
    ambiguous: Counter[str] = Counter()
    pieces: list[str] = []
    at = replaced = 0
    for found in pattern.finditer(text):
        start, end = found.span()
        if any(start < last and first < end for first, last in alone):
            continue
        word = table[found[0]]
        if word is None or _crosses(text, start, end) or not _leads_back(text, start, end, word):
            ambiguous[found[0]] += 1
            continue
        pieces += [text[at:start], word]
        at = end
        replaced += 1
    return Changed("".join([*pieces, text[at:]]), replaced, ambiguous)


def _leads_back(text: str, start: int, end: int, word: str) -> bool:
    """Whether `word` in this place is turned into what stands there, by the sentences around it."""
    first, last = max(0, start - 40), min(len(text), end + 40)
    before = text[first:start] + word + text[end:last]
    return usage.fix(before) == text[first:last]


def _crosses(text: str, start: int, end: int) -> bool:
    """Whether [start, end) lies across words rather than being one (`danlu.text.lattice`)."""
    first, last = max(0, start - _REACH), min(len(text), end + _REACH)
    folded = variants.fold(text[first:last])
    piece = folded[start - first : end - first]
    count = max(lattice.lexicon().counts.get(piece, 0), _LEAST_COUNT)
    return lattice.margin(folded, start - first, end - first, count) <= 0


def _allowed(text: str, allow: tuple[str, ...]) -> list[quoted.Span]:
    pattern = "|".join(re.escape(word) for word in sorted(allow, key=len, reverse=True) if word)
    return [found.span() for found in re.finditer(pattern, text)] if pattern else []


@lru_cache(maxsize=1)
def _inverse() -> tuple[dict[str, str | None], re.Pattern[str]]:
    """Taiwan word → the one mainland word for it in Traditional characters, or None when several would do."""
    found: dict[str, list[str]] = {}
    for term, word in variants.rows("opencc_phrases.tsv"):
        found.setdefault(word, []).append(term)
    for row in variants.rows("terms.tsv"):
        if len(row) > 1 and row[1] and row[1] != "=":
            found.setdefault(row[1], []).extend(row[0].split("|"))
    table = {word: _one(word, terms) for word, terms in found.items() if len(word) > 1}
    words = sorted(table, key=lambda word: (-len(word), word))
    return table, re.compile("|".join(re.escape(word) for word in words))


def _one(word: str, terms: list[str]) -> str | None:
    """The mainland term for a Taiwan word: the only one, or the one that OpenCC takes."""
    different = sorted({term for term in terms if variants.fold(term) != variants.fold(word)})
    if len(different) <= 1:
        return different[0] if different else None
    taken: Any = variants._opencc("tw2sp").convert(word)
    same = [term for term in different if variants.fold(term) == taken]
    return same[0] if len(same) == 1 else None
