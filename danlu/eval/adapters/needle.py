"""A needle in a haystack: a sentence that has nothing to do with a long text is put into it, and asked for.

After Kamradt's test (2023, github.com/gkamradt/LLMTest_NeedleInAHaystack): the same needle at several lengths of the
text and several depths in it. A haystack is cut from the given texts at the ends of sentences, from a place drawn by
the seed.

Not covered: needles that must be put together or reasoned about (RULER, NeedleBench), and texts that contradict the
needle.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from danlu.errors import DataError, UsageError
from danlu.eval.adapters import Fields, Rows, Sorting
from danlu.eval.adapters.files import lines, need
from danlu.eval.adapters.texts import _Texts
from danlu.eval.adapters.texts import read as read_texts

NEEDLES = "needles.jsonl"
SHIPPED = Path(__file__).parents[1] / "tasks" / "needle"


def read(
    files: Sequence[Path],
    split: str,
    lengths: Sequence[int] = (500, 1000, 2000, 4000),
    depths: Sequence[int] = (0, 25, 50, 75, 100),
    needles: int = 2,
    seed: int = 0,
) -> Rows:
    """One row for each length (characters of the text with its needle, at most), depth (percent of the text before the
    needle) and needle: {id, context, needle, question, answer, length, depth, subject}. `needles` is how many of those
    in needles.jsonl are used (of the folder, or the shipped ones). Dropped: `haystack-too-short`."""
    if not lengths or not depths or min(lengths) < 100 or min(depths) < 0 or max(depths) > 100 or needles < 1:
        raise UsageError("needle wants lengths from 100 characters, depths from 0 to 100 and at least one needle")
    own = next((path for path in files if path.name == NEEDLES), SHIPPED / NEEDLES)
    texts = [path for path in files if path.name != NEEDLES]
    sentences = [part for row in read_texts(texts, split).rows for part in _sentences(row["text"])]
    if not sentences:
        raise DataError("no text to hide a needle in", where=str(own.parent))
    kept = Sorting()
    hidden = [(where, row) for where, row in lines(own)][:needles]
    for length in lengths:
        for depth in depths:
            for where, row in hidden:
                made = _row(
                    sentences,
                    {key: need(row, key, where) for key in ("needle", "question", "answer")},
                    length,
                    depth,
                    seed,
                )
                if made is None:
                    kept.drop("haystack-too-short")
                else:
                    kept.keep(made)
    return kept.done([own, *texts])


def _sentences(text: str) -> list[str]:
    return [part for part in re.split(r"(?<=[。！？!?\n])", text) if part.strip()]


def _row(sentences: Sequence[str], hidden: Fields, length: int, depth: int, seed: int) -> Fields | None:
    draw = random.Random(f"{seed} {length} {depth} {hidden['needle']}")
    hay = list(_cut(sentences, length - len(hidden["needle"]), draw.randrange(len(sentences))))
    size = sum(map(len, hay))
    if size < 0.8 * (length - len(hidden["needle"])):
        return None
    place, before = 0, 0
    while place < len(hay) and before + len(hay[place]) / 2 < size * depth / 100:
        before += len(hay[place])
        place += 1
    context = "".join([*hay[:place], hidden["needle"], *(["\n"] if place < len(hay) else []), *hay[place:]])
    named = {"id": f"{length}-{depth}-{hidden['answer']}", "context": context, "length": length, "depth": depth}
    return named | hidden | {"subject": f"{length} 字・深度 {depth}%"}


def _cut(sentences: Sequence[str], most: int, start: int) -> Iterator[str]:
    """Sentences from a place on, around the end of the texts, while they fit; each once."""
    for step in range(len(sentences)):
        sentence = sentences[(start + step) % len(sentences)]
        if len(sentence) > most:
            if most > 200:
                continue
            return
        most -= len(sentence)
        yield sentence


NEEDLE = _Texts(("*",), read, arguments=("lengths", "depths", "needles", "seed"))
