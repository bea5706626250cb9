"""A killed rag.index goes on where it stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest

from danlu.rag.index import embed, headed
from danlu.records import Chunk
from danlu.track import Track

CHUNKS = [
    Chunk(id=str(n), document="d", source="d", text=f"第{n}段。", start=n * 10, end=n * 10 + len(f"第{n}段。"))
    for n in range(100)
]
KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_resume import CHUNKS, Fake
from danlu.rag.index import embed
from danlu.track import Track

class Dies(Fake):
    def passage(self, texts):
        if self.asked >= 64:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().passage(texts)

embed(Dies(), CHUNKS, Track(quiet=True), Path(sys.argv[1]))
"""


class Fake:
    """Vectors of the texts' lengths; `asked` counts what was embedded."""

    name, dim = "fake", 3

    def __init__(self) -> None:
        self.asked = 0

    def passage(self, texts: Sequence[str]) -> Any:
        self.asked += len(texts)
        return numpy.array([[len(text), sum(map(ord, text)) % 97, 1] for text in texts], dtype=numpy.float32)

    query = passage

    def tokens(self, text: str) -> int:
        return len(text)


def test_a_killed_step_embeds_only_what_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(Path(__file__).parent)]
    assert subprocess.run(command, env=os.environ, check=False).returncode == -signal.SIGKILL
    again, fresh = Fake(), Fake()
    vectors = embed(again, CHUNKS, Track(), tmp_path)
    assert again.asked == 100 - 64
    assert "64 of 100 passages were there" in capsys.readouterr().err
    assert (vectors == fresh.passage([headed(chunk) for chunk in CHUNKS])).all()


def test_a_damaged_or_foreign_batch_is_made_again(tmp_path: Path) -> None:
    embed(Fake(), CHUNKS, Track(quiet=True), tmp_path)
    damaged, empty, *_ = sorted(tmp_path.glob("*.npy"))
    damaged.write_bytes(damaged.read_bytes()[:50])
    empty.write_bytes(b"")
    again = Fake()
    embed(again, CHUNKS, Track(quiet=True), tmp_path)
    assert 0 < again.asked <= 64
    other = Fake()
    other.name = "another"  # type: ignore[misc]
    embed(other, CHUNKS, Track(quiet=True), tmp_path)
    assert other.asked == 100
