"""Builds conversion.npz, the model of `danlu.text.conversion`, from text written in Taiwan and from lists of words.

    python -m danlu.text.conversion_build --text TEXT.txt … --words WORDS.txt … [--out conversion.npz]

A text is UTF-8, a paragraph a line; a word list has a word and, where known, how often it was seen, a line. Each text
is simplified (OpenCC `tw2s`) and the model learns to say what stood there. A word is an example too, without
neighbours: it speaks where the text has not been. The learner is FTRL-proximal (McMahan et al. 2013): its L1 term
leaves most weights at zero, and the largest of the others are kept, up to `--most`.

Sources, licences and the commands are in docs/conversion.md. Needs the extra `data` (numba). Not covered: cleaning the
text; a line with a character that is only ever Simplified is left out, and counted.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.text import conversion, variants
from danlu.text.conversion import REACH, SPANS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK = 1 << 16
RARE = 3
"""A form must have been seen so often to be a form."""

STEP = 0.06
"""A weight is kept as a multiple of this, up to ±127 of them."""


@dataclass
class Pairs:
    """Simplified text, and what stood there, of one length; `weight` is that of each of its places."""

    simplified: str
    taiwan: str
    weight: float


def pairs(lines: Iterable[str], skipped: Counter[str]) -> Iterator[tuple[str, str]]:
    """Each line in Simplified characters, and in Taiwan's standard forms."""
    to_simplified, to_standard, same, only = _converters()
    for line in lines:
        line = line.strip()
        if not only.isdisjoint(line):
            skipped["simplified"] += 1
            continue
        taiwan = to_standard.convert(line)
        for standard, everyday in same.items():
            taiwan = taiwan.replace(everyday, standard)
        simplified = to_simplified.convert(taiwan)
        if len(taiwan) != len(simplified):
            skipped["length"] += 1
            continue
        yield simplified, taiwan


@lru_cache(maxsize=1)
def _converters() -> tuple[Any, Any, dict[str, str], frozenset[str]]:
    import opencc

    return opencc.OpenCC("tw2s"), opencc.OpenCC("t2tw"), conversion.free_variants(), frozenset(variants.simplified())


def text_pairs(path: Path, skipped: Counter[str]) -> Pairs:
    with path.open(encoding="utf-8") as file:
        both = list(pairs(file, skipped))
    return Pairs("\n".join(one for one, _ in both), "\n".join(two for _, two in both), 1.0)


def words(paths: Iterable[Path], skipped: Counter[str]) -> list[tuple[str, str, float]]:
    """(Simplified, Taiwan, weight) of each word of two or more characters; rivals for one spelling share its weight."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for path in paths:
        with path.open(encoding="utf-8") as file:
            rows = [line.split() for line in file if line.strip() and not line.startswith("#")]
        rows = [row for row in rows if len(row[0]) > 1]
        seen = {row[0]: float(row[1]) if len(row) > 1 and row[1].isdigit() else 1.0 for row in rows}
        total = sum(seen.values())
        for word, count in seen.items():
            for simplified, taiwan in pairs([word], skipped):
                counts[simplified][taiwan] += (1 + count) / total * 1e8
    result = []
    for simplified, rivals in counts.items():
        whole = sum(rivals.values())
        for taiwan, count in rivals.items():
            result.append((simplified, taiwan, count / whole * math.log2(2 + whole / 100)))
    return result


UNKNOWN = "\0"
SURNAMES = dict(zip("余范郁谷岳涂姜叶钟苏胡朴", "余范郁谷岳涂姜葉鍾蘇胡朴", strict=True))


def names(path: Path) -> list[tuple[str, str, float]]:
    """Examples from the names in a dictionary of jieba's (word, count, tag), whose Taiwan form follows from a rule.

    In foreign names (nrt) a character that Taiwan writes too stays what it is (希拉里: 里); so does a surname (nr), of
    which only those are taken that are hardly ever another word. All else is `UNKNOWN`.
    """
    result = []
    with path.open(encoding="utf-8") as file:
        for word, _, tag in (line.split() for line in file):
            if tag == "nrt" and len(word) > 2:
                result.append((word, word, 2.0))
            elif tag == "nr" and len(word) == 3 and word[0] in SURNAMES:
                result.append((word, SURNAMES[word[0]] + UNKNOWN * 2, 1.0))
    return result


# --- which characters are ambiguous ---


def forms_of(texts: list[Pairs], vocabulary: list[tuple[str, str, float]]) -> dict[str, list[str]]:
    """Each Simplified character that stands for several of Taiwan's, with these, the commonest first."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for text in texts:
        joint = Counter(zip(text.simplified, text.taiwan, strict=True))
        for (simplified, taiwan), count in joint.items():
            seen[simplified][taiwan] += count
    in_words: dict[str, Counter[str]] = defaultdict(Counter)
    for simplified, taiwan, _ in vocabulary:
        for one, two in zip(simplified, taiwan, strict=True):
            in_words[one][two] += 1
    result = {}
    for character in seen.keys() | in_words.keys():
        total = seen[character] + in_words[character]
        if character >= "\u3400":
            forms = [form for form, count in total.most_common() if count >= RARE]
            if len(forms) > 1:
                result[character] = forms[:8]
    return dict(sorted(result.items()))


def plain_forms(ambiguous: Iterable[str]) -> dict[str, str]:
    """Every other Simplified character with its one form: OpenCC's, character by character."""
    import opencc

    taiwan = opencc.OpenCC("s2tw")
    table = {}
    for code in (*range(0x3400, 0xA000), *range(0xF900, 0xFB00), *range(0x20000, 0x34000)):
        character = chr(code)
        form = taiwan.convert(character)
        if form != character and len(form) == 1:
            table[character] = form
    table |= variants.simplified()
    return {character: form for character, form in table.items() if character not in set(ambiguous)}


# --- examples ---


class Examples:
    """Rows of keys, ragged: example e has `width[e]` forms beyond the first, `len(SPANS)` keys for each."""

    def __init__(self, forms: dict[str, list[str]]) -> None:
        import numpy as np

        self.number = {(one, form): index for one, several in forms.items() for index, form in enumerate(several)}
        self.row = np.zeros(conversion._CODES, np.int64)
        self.width = np.array([0] + [len(several) - 1 for several in forms.values()])
        for index, character in enumerate(forms):
            self.row[ord(character)] = index + 1
        self.keys: list[NDArray[np.uint32]] = []
        self.there: list[NDArray[np.bool_]] = []
        self.label: list[NDArray[np.int8]] = []
        self.widths: list[NDArray[np.int8]] = []
        self.weight: list[NDArray[np.float32]] = []
        self.margin: list[NDArray[np.float32]] = []

    def add(
        self,
        simplified: str,
        taiwan: str,
        weights: NDArray[np.float32] | float,
        spans: NDArray[np.int64] | None = None,
        margin: float = 0,
    ) -> None:
        """`spans` [characters, 2]: how far each place may look to its left and right; without it, everywhere.

        `margin` is what the right form must lead by.
        """
        import numpy as np

        codes = conversion.as_codes(simplified)
        folded, at = conversion.folded_codes(codes)
        rows = self.row[np.minimum(codes, conversion._CODES - 1)]
        places = np.flatnonzero(rows)
        labels = np.array([self.number.get((simplified[place], taiwan[place]), -1) for place in places], np.int8)
        places, labels = places[labels >= 0], labels[labels >= 0]
        reach = np.array(SPANS)
        for start in range(0, len(places), BLOCK):
            block, label = places[start : start + BLOCK], labels[start : start + BLOCK]
            width = self.width[rows[block]]
            found = conversion.features(folded, at[block])
            there = np.ones(found.shape, bool)
            if spans is not None:
                there = (reach[None] <= spans[block][:, None]).all(axis=2)
            for wide in np.unique(width):
                some = np.flatnonzero(width == wide)
                keys = np.stack([conversion.hashed(found[some], form) for form in range(1, wide + 1)], axis=1)
                self.keys.append(keys.reshape(len(some), -1))
                self.there.append(np.repeat(there[some][:, None], wide, axis=1).reshape(len(some), -1))
                self.label.append(label[some])
                self.widths.append(np.full(len(some), wide, np.int8))
                heavy = weights[block][some] if isinstance(weights, np.ndarray) else np.full(len(some), weights)
                self.weight.append(heavy.astype(np.float32))
                self.margin.append(np.full(len(some), margin, np.float32))

    def add_words(self, vocabulary: list[tuple[str, str, float]], scale: float, margin: float) -> None:
        import numpy as np

        gap = "。" * REACH
        simplified = gap.join(word[0] for word in vocabulary)
        taiwan = gap.join(word[1] for word in vocabulary)
        spans = np.zeros((len(simplified), 2), np.int64)
        weights = np.zeros(len(simplified), np.float32)
        at = 0
        for word, _, weight in vocabulary:
            length = len(word)
            spans[at : at + length, 0] = range(length)
            spans[at : at + length, 1] = range(length - 1, -1, -1)
            weights[at : at + length] = weight * scale
            at += length + REACH
        self.add(simplified, taiwan, weights, spans, margin)

    def joined(self) -> tuple[NDArray[Any], ...]:
        """(keys, present, where each example begins, widths, labels, weights)."""
        import numpy as np

        lengths = np.concatenate([np.full(len(keys), keys.shape[1]) for keys in self.keys])
        begins = np.concatenate([[0], np.cumsum(lengths)])
        return (
            np.concatenate([keys.ravel() for keys in self.keys]),
            np.concatenate([there.ravel() for there in self.there]),
            begins,
            np.concatenate(self.widths),
            np.concatenate(self.label),
            np.concatenate(self.weight),
            np.concatenate(self.margin),
        )


# --- learning ---


def learn(examples: Examples, options: argparse.Namespace) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
    """The keys that got a weight, in order, and their weights."""
    import numpy as np

    keys, there, begins, widths, labels, weights, margins = examples.joined()
    l1 = options.l1
    known, inverse, seen = np.unique(keys, return_inverse=True, return_counts=True)
    print(f"{len(labels):,} places, {len(known):,} different strings", file=sys.stderr)
    kept = seen >= options.least
    kept[inverse[there & np.repeat(margins > 0, np.diff(begins))]] = True
    number = np.where(kept, np.cumsum(kept) - 1, -1)
    ids = np.where(there, number[inverse], -1).astype(np.int32)
    del inverse, keys, there
    size = int(kept.sum())
    total, squares = np.zeros(size, np.float32), np.zeros(size, np.float32)
    step = _ftrl()
    generator = np.random.default_rng(options.seed)
    for index in range(options.rounds):
        order = generator.permutation(len(labels))
        seed = options.seed + index
        loss = step(seed, order, ids, begins, widths, labels, weights, margins, options.dropped, total, squares, l1)
        print(f"round {index + 1}: loss {loss / weights.sum():.5f}", file=sys.stderr)
    final = np.where(np.abs(total) <= l1, 0, (np.sign(total) * l1 - total) / ((BETA + np.sqrt(squares)) / ALPHA))
    return known[kept], final.astype(np.float32)


ALPHA, BETA = 1.0, 1.0


def _ftrl() -> Any:
    """One round over the examples in `order`, compiled; returns the loss. `total` and `squares` are FTRL's z and n."""
    import numba
    import numpy as np

    @numba.njit(fastmath=True, inline="always")  # type: ignore[untyped-decorator]
    def weight_of(z, n, l1):  # type: ignore[no-untyped-def]
        if abs(z) <= l1:
            return np.float32(0)
        return np.float32(((l1 if z > 0 else -l1) - z) * ALPHA / (BETA + np.sqrt(n)))

    @numba.njit(fastmath=True)  # type: ignore[untyped-decorator]
    def run(seed, order, ids, begins, widths, labels, weights, margins, dropped, total, squares, l1):  # type: ignore[no-untyped-def]
        np.random.seed(seed)  # the generator that compiled code draws from is its own
        loss = 0.0
        scores = np.zeros(16, np.float32)
        out = np.zeros(16 * 32, np.bool_)
        for example in order:
            begin, wide, label, heavy = begins[example], widths[example], labels[example], weights[example]
            strings = (begins[example + 1] - begin) // wide
            for at in range(strings):
                out[at] = margins[example] == 0 and np.random.random() < dropped
            highest = np.float32(0)
            for form in range(wide):
                score = np.float32(0)
                for at in range(strings):
                    key = ids[begin + form * strings + at]
                    if key >= 0 and not out[at]:
                        score += weight_of(total[key], squares[key], l1)
                if label == 0:
                    score += margins[example]
                elif label == form + 1:
                    score -= margins[example]
                scores[form] = score
                highest = max(highest, score)
            whole = np.exp(-highest)
            for form in range(wide):
                whole += np.exp(scores[form] - highest)
            truth = scores[label - 1] if label > 0 else np.float32(0)
            loss -= heavy * (truth - highest - np.log(whole))
            for form in range(wide):
                gradient = heavy * (np.exp(scores[form] - highest) / whole - (1.0 if label == form + 1 else 0.0))
                if abs(gradient) < 1e-4:
                    continue
                for at in range(strings):
                    key = ids[begin + form * strings + at]
                    if key >= 0 and not out[at]:
                        weight = weight_of(total[key], squares[key], l1)
                        more = np.sqrt(squares[key] + gradient * gradient) - np.sqrt(squares[key])
                        total[key] += gradient - more / ALPHA * weight
                        squares[key] += gradient * gradient
        return loss

    return run


# --- the file ---


def save(
    out: Path, forms: dict[str, list[str]], keys: NDArray[np.uint32], weights: NDArray[np.float32], most: int
) -> None:
    """Write the model: the gaps between the sorted keys are small, so that they take two bytes and compress."""
    import numpy as np

    steps = np.clip(np.round(weights / STEP), -127, 127).astype(np.int8)
    if (steps != 0).sum() > most:
        bar = np.partition(np.abs(weights), -most)[-most]
        steps[np.abs(weights) < bar] = 0
    keys, steps = keys[steps != 0], steps[steps != 0]
    gaps, kept = [], []
    before = 0
    for key, step in zip(keys.tolist(), steps.tolist(), strict=True):
        while key - before > 0xFFFF:  # a key in between that means nothing
            gaps.append(0xFFFF)
            kept.append(0)
            before += 0xFFFF
        gaps.append(key - before)
        kept.append(step)
        before = key
    plain = plain_forms(forms)
    widest = max(map(len, forms.values()))
    np.savez_compressed(
        out,
        simplified=np.array([ord(character) for character in plain], np.uint32),
        traditional=np.array([ord(form) for form in plain.values()], np.uint32),
        ambiguous=np.array([ord(character) for character in forms], np.uint32),
        forms=np.array(
            [[ord(form) for form in several] + [0] * (widest - len(several)) for several in forms.values()], np.uint32
        ),
        gaps=np.array(gaps, np.uint16),
        weights=np.array(kept, np.int8),
    )
    print(f"{out}: {len(forms)} characters, {len(keys):,} weights, {out.stat().st_size:,} bytes", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, nargs="+", required=True)
    parser.add_argument("--words", type=Path, nargs="*", default=[])
    parser.add_argument("--names", type=Path, help="a dictionary in jieba's format")
    parser.add_argument("--out", type=Path, default=conversion.MODEL)
    parser.add_argument("--least", type=int, default=2, help="a string must be seen so often in the text")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--l1", type=float, default=0.05)
    parser.add_argument("--scale", type=float, default=1.0, help="the weight of a word against a place of the text")
    parser.add_argument("--margin", type=float, default=3.0, help="what a word's form must lead by")
    parser.add_argument("--dropped", type=float, default=0.4, help="share of a place's strings left out each time")
    parser.add_argument("--most", type=int, default=1_500_000, help="weights in the file")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    skipped: Counter[str] = Counter()
    texts = [text_pairs(path, skipped) for path in options.text]
    vocabulary = words(options.words, skipped)
    characters = sum(len(text.taiwan) for text in texts)
    print(f"{characters:,} characters, {len(vocabulary):,} words; left out: {dict(skipped)}", file=sys.stderr)
    forms = forms_of(texts, vocabulary)
    examples = Examples(forms)
    for text in texts:
        examples.add(text.simplified, text.taiwan, text.weight)
    if options.names:
        vocabulary += names(options.names)
    if vocabulary:
        examples.add_words(vocabulary, options.scale, options.margin)
    keys, weights = learn(examples, options)
    save(options.out, forms, keys, weights, options.most)


if __name__ == "__main__":
    main()
