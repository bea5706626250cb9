"""What a step says while it works: progress on the terminal, metrics to whoever listens.

The tracker itself (MLflow) lives in `danlu.recipe`; a step only knows `Track`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sized
from typing import Protocol, TypeVar, cast

T = TypeVar("T")


class Sink(Protocol):
    """Receives metrics. `at` is the step of the curve (an optimizer step, say), None for a single value."""

    def metric(self, name: str, value: float, at: int | None) -> None: ...


class Bar(Protocol):
    def update(self, n: float = 1) -> object: ...

    def close(self) -> object: ...


class Track:
    """Handed to every step. Without a sink, metrics are dropped; with `quiet`, so are progress and notes. `on` says
    where work that can be spread is done: "local", or the address of a Ray cluster ("ray", "ray://host:port")."""

    def __init__(self, sink: Sink | None = None, quiet: bool = False, on: str = "local") -> None:
        self.sink = sink
        self.quiet = quiet
        self.on = on

    def metric(self, name: str, value: float, at: int | None = None) -> None:
        if self.sink is not None:
            self.sink.metric(name, value, at)

    def note(self, text: str) -> None:
        """One line for the user, on standard error."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def bar(self, label: str, total: float | None, unit: str = "it") -> Bar:
        """A progress bar with rate and remaining time; a line every few seconds when standard error is no terminal."""
        from tqdm import tqdm

        terminal = sys.stderr.isatty()
        bar = tqdm(
            total=total,
            desc=label,
            file=sys.stderr if terminal else _Lines(),
            unit=unit,
            unit_scale=True,
            disable=self.quiet,
            mininterval=0.2 if terminal else 5.0,
            dynamic_ncols=terminal,
            delay=1.0,
            leave=terminal,
        )
        return cast(Bar, bar)

    def over(self, items: Iterable[T], label: str, total: int | None = None, unit: str = "it") -> Iterator[T]:
        """Iterate over `items` with a progress bar."""
        bar = self.bar(label, total if total is not None else _length(items), unit)
        try:
            for item in items:
                yield item
                bar.update(1)
        finally:
            bar.close()


class _Lines:
    """A log instead of a terminal: each state of a bar becomes a line of its own."""

    def write(self, text: str) -> None:
        if text.strip():
            print(text.strip(), file=sys.stderr, flush=True)

    def flush(self) -> None:
        return


def _length(items: Iterable[object]) -> int | None:
    return len(items) if isinstance(items, Sized) else None
