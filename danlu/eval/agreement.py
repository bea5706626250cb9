"""Does a judge say what people say? Labels of people beside the verdicts of a judge on the same pairs.

As in Zheng et al. (2023, §4.2): with ties, a verdict is right when it is the person's, tie or winner; without, only
pairs count of which both named a winner. Kappa (Cohen, 1960) takes out what chance would give. Where several people
judged one pair each of their labels counts, and alpha (Krippendorff, 2004) says how far they agree among themselves: no
judge can be asked to agree with them more. The intervals take labels as independent, which those of one pair are not.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from danlu.errors import DataError
from danlu.eval.answers import question_id, rows
from danlu.eval.judge import Comparison, Winner, intervals
from danlu.eval.statistics import Estimate, kappa, krippendorff

LABELS: dict[str, Winner] = {"a": "a", "b": "b", "tie": "tie", "bad": "tie"}


@dataclass(frozen=True)
class Labels:
    """What people said of each (question, turn), the sides as the judge has them; turn 0 is the whole conversation,
    which stands for its last turn. `others` counts labels that are about other models."""

    of: Mapping[tuple[str, int], Sequence[Winner]]
    others: int = 0


@dataclass(frozen=True)
class Agreement:
    """`n` pairs of a label and a verdict. `share`, and `decided` over `n_decided` pairs where both named a winner, are
    (share, low, high); `counts[label, verdict]`; `people` is alpha among the people, None where nobody judged a pair
    twice; `kappa` is None where it is not defined (one of the sides only ever said one thing)."""

    n: int
    share: tuple[float, float, float]
    n_decided: int
    decided: tuple[float, float, float]
    kappa: Estimate | None
    counts: Mapping[tuple[str, str], int]
    people: float | None


def read_labels(path: Path, a: str, b: str) -> Labels:
    """Labels from JSONL. A line has `id`, `turn` (from 1; none: the whole conversation) and `winner`: "a", "b" or "tie"
    for the judge's sides, or a model's name; or it is a vote of the arena. DataError names the line that is neither."""
    found: dict[tuple[str, int], list[Winner]] = {}
    others = 0
    for where, row in rows(path):
        if "left" in row and "right" in row:
            if {row["left"], row["right"]} != {a, b}:
                others += 1
                continue
            said = {"left": row["left"], "right": row["right"]}.get(str(row.get("choice")), row.get("choice"))
        else:
            said = row.get("winner")
        winner = {a: "a", b: "b"}.get(str(said), str(said).lower())
        if winner not in LABELS:
            raise DataError(f"winner is {a!r}, {b!r}, a, b or tie, not {said!r}", where=where)
        turn = row.get("turn", 0)
        if not isinstance(turn, int) or isinstance(turn, bool) or turn < 0:
            raise DataError("turn is a number from 1", where=where)
        found.setdefault((question_id(row, where), turn), []).append(LABELS[winner])
    return Labels(found, others)


def agreement(comparisons: Sequence[Comparison], labels: Labels) -> Agreement:
    """How often the verdicts are those of people; DataError when no judged pair has a label."""
    last: dict[str, int] = {}
    for one in comparisons:
        last[one.id] = max(one.turn, last.get(one.id, 0))
    verdicts = {(one.id, one.turn): one.winner for one in comparisons if not one.failed}
    pairs: list[tuple[str, str]] = []
    rated: dict[tuple[str, int], list[Winner]] = {}
    for (id, turn), given in labels.of.items():
        place = (id, turn or last.get(id, 0))
        rated.setdefault(place, []).extend(given)
        pairs += [(label, verdicts[place]) for label in given if place in verdicts]
    if not pairs:
        raise DataError("no label is about a pair that was judged", next="compare the ids and names of the two files")
    decided = [(label, verdict) for label, verdict in pairs if "tie" not in (label, verdict)]
    measured, people = None, None
    with contextlib.suppress(DataError):
        measured = kappa([label for label, _ in pairs], [verdict for _, verdict in pairs])
    with contextlib.suppress(DataError):
        people = krippendorff([given for given in rated.values() if len(given) > 1])
    return Agreement(
        n=len(pairs),
        share=intervals(sum(label == verdict for label, verdict in pairs), len(pairs)),
        n_decided=len(decided),
        decided=intervals(sum(label == verdict for label, verdict in decided), len(decided)),
        kappa=measured,
        counts=Counter(pairs),
        people=people,
    )
