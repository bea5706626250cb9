"""Which questions were seen in training, and what the scores are without them.

The rule is that of the step data.decontaminate, the other way round (`danlu.text.overlap`): a question is seen when
half of the 13-character pieces of one of its texts stand in one training record. A score on seen questions may measure
memory. Not covered: questions that were seen in other words or another language, what the base model was trained on,
and questions whose texts are all shorter than 13 letters and digits, which are counted as too short.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danlu.artifact import MANIFEST, Artifact
from danlu.errors import DataError, nearest
from danlu.eval.ask import Evaluated
from danlu.records import Score
from danlu.text.overlap import NGRAM, OVERLAP, Items
from danlu.track import Track

_TRAINING = {
    "documents": ("documents.jsonl",),
    "examples": ("examples.jsonl",),
    "preferences": ("preferences.jsonl",),
    "split": ("train.jsonl",),
}


@dataclass(frozen=True)
class Seen:
    """What of one task was seen. `seen`: question → the largest share of one of its texts in one record; `within` and
    `without` are the scores on the seen and on the other questions."""

    task: str
    came: int
    short: int
    seen: Mapping[str, float]
    within: Sequence[Score]
    without: Sequence[Score]


def seen(evaluated: Sequence[Evaluated], source: Path, seed: int, track: Track) -> list[Seen]:
    """Look for the questions of all tasks in the training data at `source`: a JSONL file, or the folder of an artifact
    (of a split, its train.jsonl). DataError when it cannot be read."""
    items = [Items([list(_texts(one.doc.fields)) for one in each.asked]) for each in evaluated]
    shares: list[dict[str, float]] = [{} for _ in evaluated]
    records = 0
    for path in training_files(source):
        for text in track.over(_records(path), f"looking for questions in {path.name}", unit="record"):
            records += 1
            for each, known, found in zip(evaluated, items, shares, strict=True):
                for at, share in known.found(text).items():
                    id = each.asked[at].doc.id
                    found[id] = max(share, found.get(id, 0.0))
    if not records:
        raise DataError("no record of training data", where=str(source), next="danlu eval --help")
    return [
        _judged(each, known.short, dict(sorted(found.items())), seed)
        for each, known, found in zip(evaluated, items, shares, strict=True)
    ]


def _judged(each: Evaluated, short: int, found: dict[str, float], seed: int) -> Seen:
    others = [one.doc.id for one in each.asked if one.doc.id not in found]
    return Seen(
        task=each.task.name,
        came=len(each.asked),
        short=short,
        seen=found,
        within=each.among(found, seed),
        without=each.among(others, seed),
    )


def training_files(source: Path) -> list[Path]:
    """The JSONL files that a path stands for."""
    if source.is_file():
        return [source]
    if not source.is_dir():
        here = [path.name for path in source.parent.iterdir()] if source.parent.is_dir() else []
        raise DataError("no such training data", where=str(source), nearest=nearest(source.name, here))
    kind = Artifact.load(source).kind if (source / MANIFEST).is_file() else ""
    names = _TRAINING.get(kind)
    found = [source / name for name in names] if names else sorted(source.glob("*.jsonl"))
    if not found or not all(path.is_file() for path in found):
        raise DataError(
            "no training data in this folder: expected JSONL files, or an artifact of kind " + ", ".join(_TRAINING),
            where=str(source),
        )
    return found


def _records(path: Path) -> Iterator[str]:
    """All text of each line."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                record = json.loads(line) if line.strip() else ""
            except ValueError as error:
                raise DataError(f"not JSON Lines in UTF-8: {error}", where=f"{path}:{number}") from None
            yield "\n".join(_texts(record))


def _texts(value: Any) -> Iterator[str]:
    """The strings in a value, wherever they stand; fields that begin with `_` are about this machine."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            if not str(key).startswith("_"):
                yield from _texts(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _texts(part)


def notes(found: Seen) -> list[str]:
    """One line for people: how many were seen, and the scores with and without them."""
    short = f"; {found.short} too short to look for" if found.short else ""
    told = [f"contamination: {len(found.seen)} of {found.came} questions were seen in training{short}"]
    rest = {score.name: score for score in found.without}
    for score in found.within:
        if other := rest.get(score.name):
            told.append(f"{score.name}: {_shown(score)} on seen questions, {_shown(other)} on the others")
    return told


def _shown(score: Score) -> str:
    return f"{score.value:.4f}" + (f" ± {score.stderr:.4f}" if score.stderr is not None else "") + f" (n {score.n})"


def as_json(found: Sequence[Seen], source: str, digests: Mapping[str, str]) -> dict[str, Any]:
    """What contamination.json holds."""
    tasks = {
        one.task: {
            "came": one.came,
            "too_short": one.short,
            "seen": dict(one.seen),
            "scores_on_seen": [score.model_dump() for score in one.within],
            "scores_on_others": [score.model_dump() for score in one.without],
        }
        for one in found
    }
    return {"source": source, "digests": dict(digests), "ngram": NGRAM, "overlap": OVERLAP, "tasks": tasks}
