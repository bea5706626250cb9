"""Two results of the same questions, score by score: what changed, how sure that is, and which questions flipped.

Questions are paired by `Sample.id`; what only one side has an answer to is counted and left out of the difference.
Where a score can be had from its questions' values (a mean, a ratio, its exponential or root, or a mean over subjects),
the difference has the standard error and the bootstrap interval of paired questions, and its p is McNemar's (exact)
for right and wrong answers and the paired t test's otherwise. Other scores (BLEU over a corpus, say) get the two
standard errors added up as independent ones, which is too wide, and this is said. The p values of all scores are
corrected together (Holm, 1979).

Not covered: three models or more at once (`danlu leaderboard`), and questions that belong together.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from danlu.errors import DataError
from danlu.eval import statistics
from danlu.eval.results import Sample, TaskResult, read_samples
from danlu.eval.stored import Held, Measured
from danlu.records import Score
from danlu.track import Track

ALPHA = 0.05
RESAMPLES = 2000
_CLOSE = 1e-6
_TIE = 1e-9

Columns = tuple[list[float], list[float]]
"""Tops and bottoms, one of each a question."""


@dataclass(frozen=True)
class Flip:
    """A question that one side has right and the other wrong (or whose value rose or fell)."""

    id: str
    subject: str
    prompt: str
    target: Any
    base: Any
    new: Any


@dataclass(frozen=True)
class Change:
    """One score of both sides. `base` and `new` are the values on the `n` shared questions where these are paired, and
    the two scores as they stand otherwise (`n` is then 0). `stderr`, `low` and `high` (95 %) are of the difference;
    None where none is defined. `won` and `lost` count the questions that got better and worse. `incomparable` says
    what makes the two numbers different measurements ("" for nothing)."""

    task: str
    metric: str
    unit: str
    better: Literal["higher", "lower"]
    base: float
    new: float
    difference: float
    stderr: float | None
    low: float | None
    high: float | None
    n: int
    test: str
    p: float | None
    won: int = 0
    lost: int = 0
    holm: float | None = None
    incomparable: str = ""

    @property
    def name(self) -> str:
        return f"{self.task}.{self.metric}"

    @property
    def paired(self) -> bool:
        return self.n > 0

    @property
    def verdict(self) -> str:
        """better, worse, unclear (the corrected p is 0.05 or more), or unknown (no p)."""
        if self.holm is None:
            return "unknown"
        if self.holm >= ALPHA or self.difference == 0:
            return "unclear"
        return "better" if (self.difference > 0) == (self.better == "higher") else "worse"


@dataclass(frozen=True)
class Comparison:
    """Everything that `danlu compare` tells. `warnings` are what makes a comparison less than one of the same questions
    in the same words; `flips` is by score, the questions won and those lost."""

    base: str
    new: str
    changes: list[Change]
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    flips: dict[str, dict[str, list[Flip]]] = field(default_factory=dict)

    def change(self, name: str) -> Change | None:
        return next((one for one in self.changes if one.name == name), None)

    def as_json(self, flips: int = 0) -> dict[str, Any]:
        """Plain values; at most `flips` questions won, and as many lost, a score."""
        rows = [{**asdict(one), "paired": one.paired, "verdict": one.verdict} for one in self.changes]
        shown = {
            name: {side: [asdict(flip) for flip in found[:flips]] for side, found in sides.items()}
            for name, sides in self.flips.items()
        }
        made = {"base": self.base, "new": self.new, "changes": rows, "warnings": self.warnings, "notes": self.notes}
        return {**made, "flips": shown} if flips else made


def compare(base: Measured, new: Measured, seed: int = 0, track: Track | None = None) -> Comparison:
    """Every score that both sides have. DataError when they have no task in common."""
    shared = [name for name in base.tasks if name in new.tasks]
    if not shared:
        raise DataError(
            f"{base.name} and {new.name} have no task in common",
            where=f"{', '.join(base.tasks) or 'nothing'} | {', '.join(new.tasks) or 'nothing'}",
            next="danlu eval MODEL --tasks TASK",
        )
    made = Comparison(base.name, new.name, [])
    made.notes.extend([*base.notes, *new.notes])
    for side, other in ((base, new), (new, base)):
        alone = [name for name in side.tasks if name not in other.tasks]
        if alone:
            made.notes.append(f"only {side.name} has {', '.join(alone)}")
    for name in (track or Track(quiet=True)).over(shared, "comparing", unit="task"):
        _task(made, base.tasks[name], new.tasks[name], seed)
    tested = [place for place, one in enumerate(made.changes) if one.p is not None]
    corrected = statistics.adjusted([made.changes[place].p or 0.0 for place in tested])
    for place, p in zip(tested, corrected, strict=True):
        made.changes[place] = replace(made.changes[place], holm=p)
    return made


def _task(made: Comparison, base: Held, new: Held, seed: int) -> None:
    """Add what one task has to tell."""
    warned, incomparable = _differences(base.result, new.result)
    made.warnings.extend(warned)
    sides = [_samples(base), _samples(new)]
    pairs = [(sides[0][key], sides[1][key]) for key in sides[0] if key in sides[1]]
    made.notes.extend(_unpaired(base.result.task, sides, len(pairs)))
    known = {score.name: score for score in new.result.scores}
    for score in base.result.scores:
        if score.name not in known:
            made.notes.append(f"{base.result.task}.{score.name}: only the base has this score")
            continue
        other = known[score.name]
        wrong = incomparable
        if score.version != other.version:
            text = f"version {score.version} of the score against {other.version}"
            made.warnings.append(f"{base.result.task}.{score.name}: {text}")
            wrong = wrong or text
        change, flips = _change(base.result.task, (score, other), sides, pairs, seed)
        made.changes.append(replace(change, incomparable=wrong))
        if change.paired:
            made.flips[change.name] = flips
        elif pairs:
            text = "does not follow from its questions' values, so the errors are added as independent ones"
            made.notes.append(f"{change.name}: {text}")


def _differences(base: TaskResult, new: TaskResult) -> tuple[list[str], str]:
    """Warnings about what was not the same, and what of it makes the numbers incomparable ("" for nothing)."""
    told, wrong = [], []
    for what, one, other in (("version", base.version, new.version), ("shots", base.shots, new.shots)):
        if one != other:
            told.append(f"{base.task}: {what} {one} against {other}: these are not the same measurement")
            wrong.append(f"{what} {one} and {other}")
    if base.shots and base.seed != new.seed:
        told.append(f"{base.task}: seed {base.seed} against {new.seed}: other examples stood before the questions")
    digests = [str(one.data.get("digest", "")) for one in (base, new)]
    if all(digests) and digests[0] != digests[1]:
        told.append(f"{base.task}: the questions come from other data ({digests[0][:12]} against {digests[1][:12]})")
    if base.prompt and new.prompt and base.prompt != new.prompt and not wrong:
        told.append(f"{base.task}: the requests differ: another prompt, another template or other questions")
    return told, ", ".join(wrong)


def _samples(held: Held) -> dict[tuple[str, int], Sample]:
    """The questions by id, and by how many times that id came before; none where there is no file of samples."""
    path = held.stored.folder / "samples" / f"{held.result.task}.jsonl"
    if not path.is_file():
        return {}
    seen: Counter[str] = Counter()
    found = {}
    for sample in read_samples(held.stored.folder, held.result.task):
        found[sample.id, seen[sample.id]] = sample
        seen[sample.id] += 1
    return found


def _unpaired(task: str, sides: Sequence[dict[tuple[str, int], Sample]], shared: int) -> Iterator[str]:
    if not all(sides):
        yield f"{task}: no questions were kept with {'either' if not any(sides) else 'one of the'} results: not paired"
        return
    for name, side in zip(("base", "new"), sides, strict=True):
        if len(side) > shared:
            alone = len(side) - shared
            yield f"{task}: {alone} of {len(side)} questions of {name} are unpaired: the other side was not asked"
        failed = Counter(sample.failed for sample in side.values() if sample.failed)
        if failed:
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(failed.items()))
            yield f"{task}: {sum(failed.values())} questions of {name} failed and are left out ({reasons})"


def _change(
    task: str,
    scores: tuple[Score, Score],
    sides: Sequence[dict[tuple[str, int], Sample]],
    pairs: Sequence[tuple[Sample, Sample]],
    seed: int,
) -> tuple[Change, dict[str, list[Flip]]]:
    """One score of both sides, paired where that can be."""
    metric = scores[0].name
    links = [_link(list(side.values()), score) for side, score in zip(sides, scores, strict=True)]
    known = [link for link in links if link is not None]
    usable = [pair for pair in pairs if all(metric in sample.values for sample in pair)]
    if len(known) < 2 or not usable or len({link.kind for link in known} - {"zero"}) > 1:
        return _independent(task, scores), {}
    link = next((one for one in known if one.kind != "zero"), known[0])
    if any(one.kind == "scaled" and not math.isclose(one.scale, link.scale, rel_tol=_CLOSE) for one in known):
        return _independent(task, scores), {}
    return _paired(task, scores[0], link, usable, seed)


def _paired(
    task: str, score: Score, link: _Link, pairs: Sequence[tuple[Sample, Sample]], seed: int
) -> tuple[Change, dict[str, list[Flip]]]:
    raw = [_columns([pair[side] for pair in pairs], score.name) for side in (0, 1)]
    subjects = [pair[0].subject for pair in pairs]
    a, b = (link.linear(columns, subjects) for columns in raw)
    found = statistics.paired_difference(a[0], b[0], a[1], b[1])
    interval = statistics.paired_bootstrap(a[0], b[0], a[1], b[1], resamples=RESAMPLES, seed=seed)
    sign = 1 if score.better == "higher" else -1
    moved = [sign * link.scale * (_value(new, score.name) - _value(base, score.name)) for base, new in pairs]
    if link.falling:
        moved = [-one for one in moved]
    flips = {
        "won": [_flip(pair) for pair, by in zip(pairs, moved, strict=True) if by > _TIE],
        "lost": [_flip(pair) for pair, by in zip(pairs, moved, strict=True) if by < -_TIE],
    }
    won, lost = len(flips["won"]), len(flips["lost"])
    binary = all(weight == 1 for _, weights in raw for weight in weights) and all(
        value in (0, 1) for values, _ in raw for value in values
    )
    finite = math.isfinite(found.stderr)
    change = Change(
        task=task,
        metric=score.name,
        unit=score.unit,
        better=score.better,
        base=math.fsum(a[0]) / math.fsum(a[1]),
        new=math.fsum(b[0]) / math.fsum(b[1]),
        difference=found.value,
        stderr=found.stderr if finite else None,
        low=interval.low if finite else None,
        high=interval.high if finite else None,
        n=len(pairs),
        test="McNemar" if binary else "paired t",
        p=statistics.mcnemar(lost, won).exact if binary else found.p,
        won=won,
        lost=lost,
    )
    return change, flips


def _independent(task: str, scores: tuple[Score, Score]) -> Change:
    """The difference of two scores whose errors are taken as independent: normal interval and two-sided p."""
    base, new = scores
    change = new.value - base.value
    error = low = high = p = None
    if base.stderr is not None and new.stderr is not None and math.isfinite(base.stderr + new.stderr):
        error = math.hypot(base.stderr, new.stderr)
        low, high = change - 1.959963984540054 * error, change + 1.959963984540054 * error
        p = math.erfc(abs(change) / error / math.sqrt(2)) if error else float(change == 0)
    return Change(
        task=task,
        metric=base.name,
        unit=base.unit,
        better=base.better,
        base=base.value,
        new=new.value,
        difference=change,
        stderr=error,
        low=low,
        high=high,
        n=0,
        test="independent" if error is not None else "none",
        p=p,
    )


def _value(sample: Sample, metric: str) -> float:
    return sample.values[metric] / (sample.weights.get(metric, 1.0) or 1.0)


def _flip(pair: tuple[Sample, Sample]) -> Flip:
    base, new = pair
    prompt = new.prompt or base.prompt
    return Flip(base.id, base.subject, prompt, base.target, base.answer, new.answer)


_CURVES: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "exp-": (lambda ratio: math.exp(min(-ratio, 700.0)), lambda ratio: -math.exp(min(-ratio, 700.0))),
    "exp": (lambda ratio: math.exp(min(ratio, 700.0)), lambda ratio: math.exp(min(ratio, 700.0))),
    "root": (lambda ratio: math.sqrt(max(ratio, 0.0)), lambda ratio: 0.5 / math.sqrt(ratio) if ratio > 0 else 0.0),
}
"""A function of a ratio, and its derivative: perplexities, and roots of mean squares."""


@dataclass(frozen=True)
class _Link:
    """How a score follows from its questions. `scaled`: a constant times sum(values) / sum(weights); a name of _CURVES:
    that function of the ratio; `subjects`: the mean of the subjects' ratios; `zero`: all are 0."""

    kind: str
    scale: float = 1.0

    @property
    def falling(self) -> bool:
        return self.kind == "exp-"

    def linear(self, columns: Columns, subjects: Sequence[str]) -> Columns:
        """Columns whose ratio is the score and whose deviations are its linearised ones (the delta method)."""
        tops, bottoms = columns
        if self.kind in ("scaled", "zero"):
            return [self.scale * top for top in tops], bottoms
        if self.kind == "subjects":
            return _by_subject(columns, subjects)
        curve, slope = _CURVES[self.kind]
        ratio = sum(tops) / sum(bottoms)
        value, by = curve(ratio), slope(ratio)
        pairs = zip(tops, bottoms, strict=True)
        return [value * bottom + by * (top - ratio * bottom) for top, bottom in pairs], bottoms


def _by_subject(columns: Columns, subjects: Sequence[str]) -> Columns:
    tops, bottoms = columns
    sums: dict[str, list[float]] = {}
    for subject, top, bottom in zip(subjects, tops, bottoms, strict=True):
        entry = sums.setdefault(subject, [0.0, 0.0])
        entry[0] += top
        entry[1] += bottom
    ratios = {subject: top / bottom for subject, (top, bottom) in sums.items() if bottom}
    value, n = sum(ratios.values()) / len(ratios), len(tops)
    rows = zip(subjects, tops, bottoms, strict=True)
    return [
        value + n / len(ratios) * (top - ratios.get(subject, 0.0) * bottom) / (sums[subject][1] or 1.0)
        for subject, top, bottom in rows
    ], [1.0] * n


def _columns(samples: Sequence[Sample], metric: str) -> Columns:
    return [one.values[metric] for one in samples], [one.weights.get(metric, 1.0) for one in samples]


def _link(samples: Sequence[Sample], score: Score) -> _Link | None:
    """How `score` follows from its samples; None when it does not."""
    held = [one for one in samples if score.name in one.values]
    tops, bottoms = _columns(held, score.name)
    if not held or sum(bottoms) <= 0 or not math.isfinite(score.value) or not all(map(math.isfinite, tops)):
        return None
    ratio = sum(tops) / sum(bottoms)

    def close(value: float) -> bool:
        return math.isclose(value, score.value, rel_tol=_CLOSE, abs_tol=1e-12)

    if close(ratio):
        return _Link("zero") if ratio == 0 else _Link("scaled")
    for kind, (curve, _) in _CURVES.items():
        if close(curve(ratio)):
            return _Link(kind)
    made = _by_subject((tops, bottoms), [one.subject for one in held])
    if close(sum(made[0]) / len(held)):
        return _Link("subjects")
    constants = (100.0, 1000.0, -1.0, -1 / math.log(2), 1 / math.log(2))
    return next((_Link("scaled", by) for by in constants if close(by * ratio)), None)
