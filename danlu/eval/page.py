"""Pages of scores: one HTML file each that needs nothing else, with numbers as precise as their errors allow.

All text that comes from models and tasks is escaped; the page's own policy forbids every load, and every script but its
own.
"""

from __future__ import annotations

import base64
import hashlib
import math
import string
from html import escape
from pathlib import Path

from danlu.errors import StorageError, storage_error

FOLDER = Path(__file__).parent


def page(title: str, body: str, script: str = "") -> str:
    """The page; `body` is HTML, `title` is text."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    template = string.Template((FOLDER / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(title),
        body=body,
        source=f"'sha256-{digest}'" if script else "'none'",
        script=f"<script>{script}</script>\n" if script else "",
    )


def places(error: float | None, value: float = 0.0) -> int:
    """How many decimals are worth showing beside a standard error: two digits of the error, four at most."""
    size = error if error and math.isfinite(error) else abs(value) / 100
    if not size or not math.isfinite(size):
        return 3
    return max(0, min(4, 1 - math.floor(math.log10(size))))


def number(value: float | None, error: float | None = None, sign: bool = False) -> str:
    """A value as precise as its error allows."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:{'+' if sign else ''},.{places(error, value)}f}"


def plus_minus(value: float, error: float | None) -> str:
    """value ± error as text; without an error the value alone."""
    if error is None or not math.isfinite(error):
        return number(value)
    return f"{number(value, error)} ± {error:.{places(error)}f}"


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers between `low` and `high`, some `count` of them."""
    span = (high - low) or 1.0
    step = 10 ** math.floor(math.log10(span / count))
    step *= next(by for by in (1, 2, 5, 10) if span / (step * by) <= count)
    first = math.ceil(low / step - 1e-9)
    return [round(place * step, 12) for place in range(first, math.floor(high / step + 1e-9) + 1)]


def write(path: Path, text: str) -> None:
    """Write a page so that it is there whole or not at all; StorageError when it cannot be."""
    aside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise storage_error(error, str(path)) or StorageError(str(error.strerror), where=str(path)) from None
