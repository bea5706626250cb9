"""Plots whose labels are other people's words: SVG in which text stays text.

The page that shows a plot brings the fonts, so that Chinese labels are right on a machine without a Chinese font too,
where a PNG would show boxes.
"""

from __future__ import annotations

import unicodedata
import warnings
from pathlib import Path
from typing import Any

from danlu.extras import need

FONTS = ("Noto Sans CJK TC", "Noto Sans TC", "PingFang TC", "Microsoft JhengHei", "WenQuanYi Zen Hei", "sans-serif")
"""The fonts that the page is asked for, the first that it has."""
_OWN = "DejaVu Sans"
"""The font that matplotlib brings, by which it measures."""
_DATELESS = {"Date": None, "Creator": None}


def new(width: float, height: float) -> Any:
    """A matplotlib Figure of so many inches."""
    need("matplotlib", "eval")
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure


def save(figure: Any, path: Path) -> None:
    """Write `figure` to `path`, the same bytes each time."""
    from matplotlib import rc_context
    from matplotlib.text import Text

    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {"svg.fonttype": "none", "svg.hashsalt": "danlu", "font.family": [_OWN]}
    with rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        texts = figure.findobj(Text)
        said = [text.get_text() for text in texts]
        for text in texts:
            text.set_text(_measured(text.get_text()))
        figure.draw_without_rendering()  # the layout leaves room for what the page will show
        figure.set_layout_engine("none")
        for text, words in zip(texts, said, strict=True):
            text.set_text(words)
        figure.savefig(path, format="svg", metadata=_DATELESS)
    fonts = ", ".join(f"'{name}'" if " " in name else name for name in FONTS)
    path.write_text(path.read_text(encoding="utf-8").replace(f"'{_OWN}'", fonts), encoding="utf-8")


def _measured(text: str) -> str:
    """`text` with a letter as wide (an em) in place of each full-width one, which matplotlib's font lacks."""
    return "".join("W" if unicodedata.east_asian_width(letter) in "WF" else letter for letter in text)
