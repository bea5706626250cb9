"""data.mix: several sets of examples as one, in the shares that the recipe asks for."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

from pydantic import Field, model_validator

from danlu.artifact import Artifact, Draft
from danlu.data.flow import Block, blocks, encoded, spread
from danlu.data.seen import key, keys
from danlu.errors import DataError
from danlu.records import Drop, Example
from danlu.registry import From, Settings, Step
from danlu.track import Track

if TYPE_CHECKING:
    from danlu.data.pieces import Numbers
    from danlu.data.seen import Keys


class MixSettings(Settings):
    examples: Annotated[tuple[str, ...], Field(min_length=1), From("examples")]
    """The steps that made the examples."""

    weights: tuple[Annotated[float, Field(ge=0)], ...] = ()
    """The share of each step in the mixture, in any unit (3, 1 is three quarters and one). None: all of everything."""

    counts: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Instead of weights: how many examples of each step."""

    total: Annotated[int | None, Field(ge=1)] = None
    """How many examples the mixture has, with weights. None: as many as there can be without taking one twice; with
    `repeat`, as many as there are."""

    repeat: bool = False
    """Take examples more than once where a step has too few. A copy gets an id of its own and names its `origin`."""

    seed: int = 0
    """Seed of which examples are taken, and of their order."""

    @model_validator(mode="after")
    def _fits(self) -> MixSettings:
        if self.weights and self.counts:
            raise ValueError("weights and counts say the same thing: give one of them")
        for name in ("weights", "counts"):
            given = getattr(self, name)
            if given and len(given) != len(self.examples):
                raise ValueError(f"{name} has {len(given)} entries, examples names {len(self.examples)} steps")
            if given and not sum(given):
                raise ValueError(f"{name} are all 0")
        if self.total is not None and not self.weights:
            raise ValueError("total needs weights")
        return self


@dataclass
class Held:
    """The examples of one step: where each line begins, its length in bytes, and the key of its bytes."""

    name: str
    file: BinaryIO
    starts: Numbers
    sizes: Numbers
    keys: Keys

    def __len__(self) -> int:
        return len(self.starts)

    def line(self, at: int) -> bytes:
        return os.pread(self.file.fileno(), int(self.sizes[at]), int(self.starts[at]))


class Mix(Step[MixSettings]):
    """Which examples are taken, and in which order, follows from the hash of `seed` and their content alone: neither
    the order of the steps nor that of their examples matters, and a larger total holds the smaller one's examples.

    What is not taken is dropped as `over-share`. In memory are 24 bytes an example. Not covered: examples that two
    steps have in common (both may be taken; data.examples and data.split see duplicates).

    DataError: a step with too few examples for its share, unless `repeat`.
    """

    Settings = MixSettings
    makes = "examples"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        held = [self._held(name, inputs[f"examples.{at}"], track) for at, name in enumerate(self.settings.examples)]
        wanted = self._wanted(held)
        bar = track.bar("mix", sum(wanted), unit="example")
        with out.file("examples.jsonl").open("wb") as lines:
            for line in self._taken(held, wanted):
                lines.write(line)
                bar.update(1)
        bar.close()
        with out.file("dropped.jsonl").open("wb") as drops:
            drops.writelines(self._dropped(held, wanted))
        self._report(out, held, wanted)
        for one in held:
            one.file.close()

    def _held(self, name: str, artifact: Artifact, track: Track) -> Held:
        import numpy as np

        path = artifact.file("examples.jsonl")
        parts = list(spread(_lines, blocks(path), track))
        starts = np.concatenate([np.zeros(0, np.int64), *(part[0] for part in parts)])
        sizes = np.concatenate([np.zeros(0, np.int32), *(part[1] for part in parts)])
        found = np.concatenate([np.zeros(0, np.uint64), *(part[2] for part in parts)])
        return Held(name, path.open("rb"), starts, sizes, found)

    def _wanted(self, held: Sequence[Held]) -> list[int]:
        """How many examples of each step."""
        have = [len(one) for one in held]
        if self.settings.counts:
            wanted = list(self.settings.counts)
        elif self.settings.weights:
            shares = [weight / sum(self.settings.weights) for weight in self.settings.weights]
            most = sum(have) if self.settings.repeat else _most(have, shares)
            wanted = divided(self.settings.total or most, shares)
        else:
            wanted = have
        for one, number in zip(held, wanted, strict=True):
            if number > len(one) and not (self.settings.repeat and len(one)):
                raise DataError(
                    f"{one.name} has {len(one)} examples, {number} are wanted of it",
                    next="a smaller total or weight in data.mix, or repeat: true",
                )
        if not sum(wanted):
            raise DataError("the mixture is empty", next="a larger total in data.mix")
        return wanted

    def _ranks(self, one: Held, copy: int) -> Keys:
        """The place of each example's copy in the mixture: 64 bits that depend on seed, copy and content."""
        import numpy as np

        salt = np.uint64(key(f"{self.settings.seed}\0{copy}"))
        mixed = (one.keys ^ salt) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(0x94D049BB133111EB)
        result: Keys = mixed ^ (mixed >> np.uint64(29))
        return result

    def _taken(self, held: Sequence[Held], wanted: Sequence[int]) -> Iterator[bytes]:
        """The lines of the mixture in its order."""
        import numpy as np

        ranks, rows = [np.zeros(0, np.uint64)], [np.zeros((0, 3), np.int64)]
        for number, (one, count) in enumerate(zip(held, wanted, strict=True)):
            for copy in range(-(-count // len(one)) if count else 0):
                found = self._ranks(one, copy)
                some = _lowest(self._ranks(one, 0), min(count - copy * len(one), len(one)))
                ranks.append(found[some])
                rows.append(np.stack([np.full(len(some), number), some, np.full(len(some), copy)], axis=1))
        every = np.concatenate(rows)[np.argsort(np.concatenate(ranks), kind="stable")]
        for number, at, copy in every.tolist():
            line = held[number].line(at)
            yield line if not copy else _copied(line, copy)

    def _dropped(self, held: Sequence[Held], wanted: Sequence[int]) -> Iterator[bytes]:
        import numpy as np

        for one, count in zip(held, wanted, strict=True):
            if count >= len(one):
                continue
            ranks = self._ranks(one, 0)
            left = np.ones(len(one), dtype=bool)
            left[_lowest(ranks, count)] = False
            places = left.nonzero()[0]
            for at in places[np.argsort(ranks[places], kind="stable")].tolist():
                example = json.loads(one.line(at))
                source = str(example.get("source") or example.get("document") or one.name)
                yield encoded(Drop(id=str(example["id"]), source=source, reason="over-share", detail=one.name))

    def _report(self, out: Draft, held: Sequence[Held], wanted: Sequence[int]) -> None:
        have = [len(one) for one in held]
        kept = sum(min(one, other) for one, other in zip(have, wanted, strict=True))
        left = sum(have) - kept
        out.funnel("mix", sum(have), kept, {"over-share": left} if left else {}, unit="examples")
        rows: list[list[object]] = []
        for one, number in zip(held, wanted, strict=True):
            before, after = _percent(len(one), sum(have)), _percent(number, sum(wanted))
            rows.append([one.name, len(one), before, number, after, round(number / max(1, len(one)), 3)])
        columns = ["step", "examples before", "share before", "examples after", "share after", "times taken"]
        out.table("The mixture", columns, rows)
        out.metrics.update(examples=sum(wanted), repeated=sum(wanted) - kept)


def divided(total: int, shares: Sequence[float]) -> list[int]:
    """`total` in whole numbers by `shares`: the largest remainders are rounded up."""
    exact = [share * total for share in shares]
    whole = [int(one) for one in exact]
    order = sorted(range(len(shares)), key=lambda at: (whole[at] - exact[at], at))
    for at in order[: total - sum(whole)]:
        whole[at] += 1
    return whole


def _most(have: Sequence[int], shares: Sequence[float]) -> int:
    """The largest total of which no step has too few."""
    total = min(int(count / share + 1e-9) for count, share in zip(have, shares, strict=True) if share)
    while total and any(one > count for one, count in zip(divided(total, shares), have, strict=True)):
        total -= 1
    return total


def _lowest(ranks: Keys, count: int) -> Any:
    """The places of the `count` lowest ranks."""
    return ranks.argsort(kind="stable")[:count]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "0.0 %"


def _copied(line: bytes, copy: int) -> bytes:
    example = Example.model_validate_json(line)
    meta = {**example.meta, "origin": example.meta.get("origin") or example.id}
    return encoded(example.model_copy(update={"id": f"{example.id}~{copy + 1}", "meta": meta}))


def _lines(block: Block) -> tuple[Numbers, Numbers, Keys]:
    """Of each line of a block: where it begins in the file, its length, the key of its bytes."""
    import numpy as np

    starts, sizes, found, at = [], [], [], block.start
    for line in block.read().split(b"\n"):
        if line.strip():
            starts.append(at)
            sizes.append(len(line) + 1)
            found.append(key(line))
        at += len(line) + 1
    return np.array(starts, dtype=np.int64), np.array(sizes, dtype=np.int32), keys(found)
