"""Tiny real steps for the tests of the engine, and a command line that knows them (`python toy.py run RECIPE …`).

None of them stands in for a step of Danlu: the engine under test, its store, locks and processes are the real ones.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from danlu import registry
from danlu.artifact import Artifact, Draft
from danlu.errors import GateError
from danlu.registry import From, ModelName, Settings, Source, Step
from danlu.track import Track

WORDS = {
    "toy.read": "Read",
    "toy.count": "Count",
    "toy.slow": "Slow",
    "toy.gate": "Gate",
    "toy.fill": "Fill",
    "toy.model": "Model",
    "toy.join": "Join",
}
MODULE = "toy"


class ReadSettings(Settings):
    paths: Annotated[list[Path], Source()]
    """Files to read."""
    exclude: list[str] = []  # noqa: RUF012  (pydantic copies defaults; the settings' base is not seen here)
    """Left out."""


class Read(Step[ReadSettings]):
    """Copies text files into one."""

    Settings = ReadSettings
    makes = "documents"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        files = [f for p in self.settings.paths for f in ([p] if p.is_file() else sorted(p.rglob("*.txt")))]
        texts = [file.read_text(encoding="utf-8") for file in files]
        out.file("all.txt").write_text("".join(texts), encoding="utf-8")
        out.licences["texts"] = {"licence": "CC-BY-4.0", "terms": "name us"}
        out.funnel("files", len(texts) + 1, len(texts), {"binary": 1}, "files")


class CountSettings(Settings):
    documents: Annotated[str, From("documents")]
    """What to count."""
    unit: Literal["characters", "lines"] = "characters"
    """What of it."""
    seed: int = 0
    """Counted in."""
    rank: int = 8
    """A number."""


class Count(Step[CountSettings]):
    """Counts characters."""

    Settings = CountSettings
    makes = "examples"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        text = inputs["documents"].file("all.txt").read_text(encoding="utf-8")
        for at in range(5):
            track.metric("loss", 1.0 / (at + 1), at)
        out.file("count.txt").write_text(f"{len(text)} {self.settings.seed} {self.settings.rank}", encoding="utf-8")
        out.metrics["characters"] = len(text)
        out.table("counted", ["what", "n"], [["characters", len(text)]])


class SlowSettings(Settings):
    examples: Annotated[str, From("examples")]
    """What to chew."""
    parts: int = 8
    """How many pieces, each kept in work."""
    pause: float = 0.02
    """Seconds a piece."""


class Slow(Step[SlowSettings]):
    """Works piece by piece and goes on from the pieces that it finds in its work folder."""

    Settings = SlowSettings
    makes = "split"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        seed = inputs["examples"].file("count.txt").read_text(encoding="utf-8")
        for part in range(self.settings.parts):
            kept = out.work / f"{part}.txt"
            if not kept.exists():
                time.sleep(self.settings.pause)
                fresh = out.work / f"{part}.new"
                fresh.write_text(f"{seed} part {part}\n" * 1000, encoding="utf-8")
                os.replace(fresh, kept)
            out.file(f"parts/{part}.txt").write_bytes(kept.read_bytes())


class GateSettings(Settings):
    data: Annotated[str, From("split")]
    """What to look at."""
    bound: float = 0.98
    """The least agreement."""


class Gate(Step[GateSettings]):
    """Fails when the bound is above a half."""

    Settings = GateSettings
    makes = "parity"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        out.table("parity", ["pair", "top-1"], [["adapter and merged", 0.5]])
        if self.settings.bound > 0.5:
            raise GateError("top-1 agreement is too low", {"agreement": 0.5, "bound": self.settings.bound})
        out.file("parity.json").write_text("{}", encoding="utf-8")


class FillSettings(Settings):
    data: Annotated[str, From("split")]
    """What to copy."""
    megabytes: int = 1
    """How much to write."""


class Fill(Step[FillSettings]):
    """Writes much."""

    Settings = FillSettings
    makes = "index"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        with out.file("big.bin").open("wb") as file:
            for _ in range(self.settings.megabytes):
                file.write(bytes(1 << 20))
                file.flush()


class ModelSettings(Settings):
    model: Annotated[str, ModelName()] = "gemma-3-270m"
    """A model."""


class Model(Step[ModelSettings]):
    """Names a model."""

    Settings = ModelSettings
    makes = "model"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        out.file("name.txt").write_text(self.settings.model, encoding="utf-8")


class JoinSettings(Settings):
    documents: Annotated[tuple[str, ...], From("documents")]
    """What to join."""


class Join(Step[JoinSettings]):
    """Writes the texts of several steps one after the other."""

    Settings = JoinSettings
    makes = "documents"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        texts = [inputs[f"documents.{at}"].file("all.txt").read_bytes() for at in range(len(inputs))]
        out.file("all.txt").write_bytes(b"".join(texts))


def register(steps: dict[str, str]) -> None:
    """Put the toy steps into a table of steps."""
    steps.update({word: f"{MODULE}:{name}" for word, name in WORDS.items()})


if __name__ == "__main__":
    sys.modules[MODULE] = sys.modules["__main__"]
    register(registry.STEPS)
    from danlu.cli.main import main

    sys.exit(main(sys.argv[1:]))
