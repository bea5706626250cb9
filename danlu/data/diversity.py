"""data.diversity: how alike the examples of a set are, and the near-duplicates left out."""

from __future__ import annotations

import hashlib
import math
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from danlu.artifact import Artifact, Draft
from danlu.data.core import core
from danlu.data.flow import blocks, encoded
from danlu.errors import DataError
from danlu.extras import need
from danlu.records import Drop, Example
from danlu.registry import From, Settings, Step
from danlu.text.variants import fold
from danlu.track import Track

PERMUTATIONS = 64
_BANDS = 16
_NGRAM = 3
_PAIRS = 200_000
_BINS = 20
_REFERENCES = 64
_SAMPLE = 500


class DiversitySettings(Settings):
    examples: Annotated[str, From("examples")]
    """The step that made the examples."""

    near: Annotated[float, Field(ge=0.7, le=1)] = 0.8
    """An example whose instruction has this Jaccard similarity of character trigrams to an earlier one is dropped."""

    keep_all: bool = False
    """Report near-duplicates and keep them."""

    seed: int = 0
    """Seed of the pairs and samples that are measured where all would be too many."""


class Diversity(Step[DiversitySettings]):
    """Measures instructions (the last thing that the user says), and drops `near-duplicate`: one that repeats an
    earlier one, by the true Jaccard similarity of pairs that MinHash proposes (Broder, 1997; a pair at 0.8 is missed
    with a probability below 0.001, at 0.7 with 0.013). The instructions are held in memory, about a kilobyte each.

    Reported: distinct-n of characters (Li et al., 2016: different n-grams over all n-grams; it falls as a set grows, so
    compare sets of one size, for which the same is told of a sample of 500); the similarity of pairs, estimated by
    MinHash, as a histogram and a picture; self-BLEU (Zhu et al., 2018) with characters as words, the mean of n = 1 to 4
    of a sample of 64 against all others of a sample of 500, lower is more diverse; lengths; and which verbs ask for
    which nouns (the table of Wang et al., 2023, with jieba's first verb and the noun after it).

    Not covered: diversity of meaning behind other words, of answers, and of several turns.
    """

    Settings = DiversitySettings
    makes = "examples"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        source = inputs["examples"].file("examples.jsonl")
        texts = [_instruction(example) for example in _examples(source)]
        if not texts:
            raise DataError("no examples came", next="look at the report of the step before")
        signatures = signed(texts, self.settings.seed)
        twins = near_duplicates(texts, signatures, self.settings.near)
        kept = 0
        with out.file("examples.jsonl").open("wb") as keep, out.file("dropped.jsonl").open("wb") as drop:
            for at, example in enumerate(track.over(_examples(source), "diversity", len(texts), "example")):
                if at in twins and not self.settings.keep_all:
                    other, similarity = twins[at]
                    detail = f"{similarity:.3f} like: {texts[other][:80]}"
                    where = example.source or example.document
                    drop.write(encoded(Drop(id=example.id, source=where, reason="near-duplicate", detail=detail)))
                else:
                    kept += 1
                    keep.write(encoded(example))
        reasons = {"near-duplicate": len(texts) - kept} if kept < len(texts) else {}
        out.funnel("diversity", len(texts), kept, reasons, unit="examples")
        report(out, texts, signatures, len(twins), self.settings.seed)


def report(out: Draft, texts: Sequence[str], signatures: Any, twins: int, seed: int) -> None:
    """The tables, figures and the picture of a set of instructions."""
    sample = _drawn(texts, _SAMPLE, seed)
    rows: list[list[Any]] = [["instructions", len(texts)], ["near-duplicates", twins]]
    for n in (1, 2, 3):
        of_all, of_sample = distinct(texts, n), distinct(sample, n)
        rows.append([f"distinct-{n}", round(of_all, 4)])
        rows.append([f"distinct-{n} of {len(sample)}", round(of_sample, 4)])
        out.metrics[f"distinct_{n}"] = round(of_sample, 6)
    bleu = self_bleu(sample)
    histogram = similarities(signatures, seed)
    lengths = sorted(len(text) for text in texts)
    rows += [["self-BLEU", round(bleu, 4)], ["pairs compared", sum(histogram)]]
    rows += [[f"characters, {name}", lengths[int(at * (len(lengths) - 1))]] for name, at in _QUANTILES]
    out.table("Diversity", ["measure", "value"], rows)
    shares = [[f"{at / _BINS:.2f}–{(at + 1) / _BINS:.2f}", count] for at, count in enumerate(histogram) if count]
    out.table("Similarity of pairs", ["Jaccard, estimated", "pairs"], shares)
    asked = verbs_and_nouns(texts)
    out.table("Verbs and nouns", ["verb", "noun", "instructions"], [[*pair, n] for pair, n in _most(asked, 20)])
    out.metrics.update(self_bleu=round(bleu, 6), near_duplicates=twins, verb_noun_pairs=len(asked))
    picture(out.file("diversity.png"), histogram, lengths)
    out.image("Similarity of pairs, and lengths", "diversity.png")


_QUANTILES = (("shortest", 0.0), ("median", 0.5), ("95 of 100", 0.95), ("longest", 1.0))


def distinct(texts: Sequence[str], n: int) -> float:
    """Different character n-grams over all character n-grams of all texts, letters and digits alone; 0 for none."""
    seen: set[str] = set()
    total = 0
    for text in texts:
        letters = core(text)
        total += max(len(letters) - n + 1, 0)
        seen.update(letters[at : at + n] for at in range(len(letters) - n + 1))
    return len(seen) / total if total else 0.0


def self_bleu(texts: Sequence[str], references: int = _REFERENCES) -> float:
    """Mean BLEU of up to `references` texts against all others, characters as words, 1- to 4-grams, smoothed by
    adding 1 to the counts of n > 1 (Lin and Och, 2004); 0 for fewer than two texts."""
    if len(texts) < 2:
        return 0.0
    grams = [[Counter(_grams(core(text), n)) for n in range(1, 5)] for text in texts]
    most: list[dict[str, tuple[int, int, int]]] = [_most_of(n, grams) for n in range(4)]
    chosen = range(0, len(texts), max(1, math.ceil(len(texts) / references)))
    lengths = [len(core(text)) for text in texts]
    return sum(_bleu(at, grams[at], most, lengths) for at in chosen) / len(chosen)


def _bleu(at: int, own: list[Counter[str]], most: list[dict[str, tuple[int, int, int]]], lengths: list[int]) -> float:
    logs = 0.0
    for n in range(4):
        total = sum(own[n].values())
        matched = 0
        for gram, count in own[n].items():
            first, who, second = most[n][gram]
            matched += min(count, second if who == at else first)
        smooth = 1 if n else 0
        if not matched + smooth:
            return 0.0
        logs += math.log((matched + smooth) / (total + smooth)) / 4
    length = lengths[at]
    closest = min((other for who, other in enumerate(lengths) if who != at), key=lambda other: abs(other - length))
    penalty = 1.0 if length >= closest else math.exp(1 - closest / max(length, 1))
    return penalty * math.exp(logs)


def _most_of(n: int, grams: list[list[Counter[str]]]) -> dict[str, tuple[int, int, int]]:
    """Of each n-gram: its highest count in one text, in which, and the highest in any other text."""
    found: dict[str, tuple[int, int, int]] = {}
    for who, counters in enumerate(grams):
        for gram, count in counters[n].items():
            first, holder, second = found.get(gram, (0, -1, 0))
            found[gram] = (count, who, first) if count > first else (first, holder, max(second, count))
    return found


def signed(texts: Sequence[str], seed: int) -> Any:
    """MinHash signatures of the character trigrams of each text, uint32 [len(texts), 64]."""
    np = need("numpy", "data")
    random = np.random.Generator(np.random.PCG64(seed))
    a = random.integers(1, 2**32, PERMUTATIONS, dtype=np.uint64) | np.uint64(1)
    b = random.integers(0, 2**63, PERMUTATIONS, dtype=np.uint64)
    found = np.full((len(texts), PERMUTATIONS), 0xFFFFFFFF, dtype=np.uint32)
    for at, text in enumerate(texts):
        hashes = np.array([zlib.crc32(gram.encode("utf-8", "replace")) for gram in _set(text)], dtype=np.uint64)
        if len(hashes):
            with np.errstate(over="ignore"):
                mixed = (hashes[:, None] * np.uint64(0x9E3779B97F4A7C15) * a + b) >> np.uint64(32)
            found[at] = mixed.min(axis=0)
    return found


def near_duplicates(texts: Sequence[str], signatures: Any, threshold: float) -> dict[int, tuple[int, float]]:
    """Of each text that repeats an earlier one which is kept: the earlier one and the Jaccard similarity."""
    rows = PERMUTATIONS // _BANDS
    buckets: dict[tuple[int, bytes], list[int]] = {}
    twins: dict[int, tuple[int, float]] = {}
    for at, text in enumerate(texts):
        keys = [(band, signatures[at, band * rows : (band + 1) * rows].tobytes()) for band in range(_BANDS)]
        own = _set(text)
        for other in sorted({other for key in keys for other in buckets.get(key, ())}):
            theirs = _set(texts[other])
            similarity = len(own & theirs) / len(own | theirs) if own or theirs else 1.0
            if similarity >= threshold:
                twins[at] = (other, similarity)
                break
        else:
            for key in keys:
                buckets.setdefault(key, []).append(at)
    return twins


def similarities(signatures: Any, seed: int) -> list[int]:
    """How many pairs have an estimated Jaccard similarity in each of 20 bins of [0, 1]: all pairs, or 200,000 drawn."""
    np = need("numpy", "data")
    count = len(signatures)
    if count * (count - 1) // 2 <= _PAIRS:
        first, second = np.triu_indices(count, 1)
    else:
        random = np.random.Generator(np.random.PCG64(seed + 1))
        first = random.integers(0, count, _PAIRS)
        second = (first + random.integers(1, count, _PAIRS)) % count
    bins = np.zeros(_BINS, dtype=np.int64)
    for at in range(0, len(first), 20_000):
        alike = (signatures[first[at : at + 20_000]] == signatures[second[at : at + 20_000]]).mean(axis=1)
        bins += np.bincount(np.minimum((alike * _BINS).astype(int), _BINS - 1), minlength=_BINS)
    return [int(count) for count in bins]


def verbs_and_nouns(texts: Sequence[str]) -> Counter[tuple[str, str]]:
    """The first verb of each instruction and the noun after it; those without are left out. jieba's dictionary is of
    Simplified words, so it is shown folded characters."""
    need("jieba", "data").setLogLevel(60)
    posseg = need("jieba.posseg", "data")
    found: Counter[tuple[str, str]] = Counter()
    for text in texts:
        words, at = [], 0
        for word in posseg.cut(fold(text[:200])):
            words.append((text[at : at + len(word.word)], word.flag))
            at += len(word.word)
        verb = next((place for place, (word, flag) in enumerate(words) if flag in _VERBS and word not in _POLITE), None)
        if verb is not None:
            noun = next((word for word, flag in words[verb + 1 :] if flag.startswith("n") and len(word) > 1), None)
            if noun is not None:
                found[words[verb][0], noun] += 1
    return found


_VERBS = {"v", "vn"}
_POLITE = {"請", "请", "想", "要", "是", "有", "幫", "能", "可以"}


def picture(path: Path, histogram: Sequence[int], lengths: Sequence[int]) -> None:
    """A PNG of the similarity of pairs and of the lengths."""
    need("matplotlib", "train")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    left.bar([(at + 0.5) / _BINS for at in range(_BINS)], histogram, width=0.9 / _BINS, color="#2f6f9f")
    left.set(xlabel="similarity of two instructions (Jaccard, trigrams)", ylabel="pairs", yscale="symlog", xlim=(0, 1))
    right.hist(lengths, bins=min(30, max(1, len(set(lengths)))), color="#b5651d")
    right.set(xlabel="characters of an instruction", ylabel="instructions")
    figure.savefig(path, metadata={"Software": None})


def _examples(path: Path) -> Iterator[Example]:
    return (example for block in blocks(path) for example in block.records(Example))


def _instruction(example: Example) -> str:
    return next((one.content for one in reversed(example.messages) if one.role == "user"), "")


def _set(text: str) -> set[str]:
    return set(_grams(core(text), _NGRAM))


def _grams(text: str, n: int) -> list[str]:
    return [text[at : at + n] for at in range(len(text) - n + 1)] or ([text] if text else [])


def _drawn(texts: Sequence[str], count: int, seed: int) -> list[str]:
    """At most `count` of the texts, those with the lowest hashes, in their order."""
    ranks = sorted((hashlib.sha256(f"{seed} {at} {text}".encode()).digest(), at) for at, text in enumerate(texts))
    return [texts[at] for at in sorted(at for _, at in ranks[:count])]


def _most(found: Counter[tuple[str, str]], count: int) -> list[tuple[tuple[str, str], int]]:
    return sorted(found.items(), key=lambda one: (-one[1], one[0]))[:count]
