"""The text in a picture of a page, by RapidOCR (PP-OCRv6 through onnxruntime; the models come inside the package).

Traditional and Simplified Chinese, English and digits, each as it is printed; lines upside down or turned by a quarter
are read too. Lines are put into reading order by cutting the page at its gaps (Nagy and Seth, 1984): columns one after
the other where there are columns. One thread, so that the same picture gives the same text on a machine.

Not covered: Chinese in vertical lines, handwriting, tables (their cells come row by row, a space between), formulas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from danlu.extras import need

DPI = 150
"""At which pages are drawn: 200 gave no better text, 100 took 內 for 内."""

_FILLED = 0.6
_VOTERS = 5
_wanted = True


@dataclass(frozen=True)
class Line:
    """A line of text, where it stands in pixels from the top left, and how sure its reading is, 0 to 1."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    confidence: float

    @property
    def height(self) -> float:
        return self.bottom - self.top


@dataclass(frozen=True)
class Page:
    """The text of a picture, lines apart by line ends, and its confidence: the mean over characters, 0 to 1."""

    text: str
    confidence: float


def use(wanted: bool) -> None:
    """Whether this process reads pictures at all; it does unless it is told not to."""
    global _wanted
    _wanted = wanted


def available() -> bool:
    """Whether pictures are read: OCR is wanted, and the extra "ocr" is installed."""
    return _wanted and bool(find_spec("rapidocr") and find_spec("onnxruntime"))


def advice() -> str:
    """What to do to have pictures read, while they are not."""
    return "to read it: pip install 'danlu[ocr]'" if _wanted else "OCR is off: set `ocr` of data.read"


def page(picture: Any) -> Page:
    """The text of a picture: an array of uint8, height × width × 3, blue first. Without text: ("", 0.0)."""
    found = lines(picture)
    texts = [" ".join(line.text for line in row) for row in ordered(found)]
    total = sum(len(line.text) for line in found)
    confidence = sum(line.confidence * len(line.text) for line in found) / total if total else 0.0
    return Page("\n".join(texts), round(confidence, 3))


def lines(picture: Any) -> list[Line]:
    """The lines of a picture; one that lies on its side or on its head is turned upright and read again."""
    found = _read(picture)
    turn = _turn(picture, found)
    return _read(need("numpy", "ocr").rot90(picture, turn).copy()) if turn else found


def _read(picture: Any) -> list[Line]:
    result = _engine()(picture, use_det=True, use_cls=True, use_rec=True)
    if result.boxes is None or not result.txts:
        return []
    found = []
    for text, box, score in zip(result.txts, result.boxes.tolist(), result.scores, strict=True):
        xs, ys = [x for x, _ in box], [y for _, y in box]
        found.append(Line(text, min(xs), min(ys), max(xs), max(ys), float(score)))
    return found


def ordered(found: Sequence[Line]) -> list[list[Line]]:
    """Rows in reading order, each from left to right."""
    if len(found) < 2:
        return [list(found)] if found else []
    column = _column(found)
    if column:
        left = [line for line in found if line.right <= column]
        right = [line for line in found if line.right > column]
        return [*ordered(left), *ordered(right)]
    parts = _bands(found)
    if len(parts) > 1 and any(_column(part) for part in parts):
        return [row for part in parts for row in ordered(part)]
    return _rows(found)


def _column(found: Sequence[Line]) -> float:
    """Where a gap from top to bottom parts two columns of running text; 0 when nothing does.

    A column of a table is no column of text: running text fills the width that it stands in.
    """
    tall = sorted(line.height for line in found)[len(found) // 2]
    reach = 0.0
    for at, line in enumerate(by_left := sorted(found, key=lambda line: line.left)):
        if at and line.left - reach > 0.5 * tall:
            sides = (by_left[:at], by_left[at:])
            if all(len(side) >= 3 and _filled(side) for side in sides):
                return (line.left + reach) / 2
        reach = max(reach, line.right)
    return 0.0


def _filled(side: Sequence[Line]) -> bool:
    width = max(line.right for line in side) - min(line.left for line in side)
    wide = sorted(line.right - line.left for line in side)[len(side) // 2]
    tall = sorted(line.height for line in side)[len(side) // 2]
    return wide >= _FILLED * width and wide >= 6 * tall


def _bands(found: Sequence[Line]) -> list[list[Line]]:
    """The page cut at every gap from left to right, and bands put together again while they are columns or none is."""
    bands: list[list[Line]] = []
    reach = 0.0
    for line in sorted(found, key=lambda line: line.top):
        if not bands or line.top > reach:
            bands.append([])
        bands[-1].append(line)
        reach = max(reach, line.bottom)
    parts: list[list[Line]] = []
    for band in bands:
        beside = len(_rows(band)) < len(band)
        if parts and beside == (len(_rows(parts[-1])) < len(parts[-1])):
            parts[-1] += band
        else:
            parts.append(list(band))
    return parts


def _rows(found: Sequence[Line]) -> list[list[Line]]:
    """Lines whose middles are less than half a line apart stand side by side."""
    rows: list[list[Line]] = []
    for line in sorted(found, key=lambda line: (line.top + line.bottom, line.left)):
        middle = (line.top + line.bottom) / 2
        if rows and abs(middle - (rows[-1][0].top + rows[-1][0].bottom) / 2) < 0.5 * min(
            line.height, rows[-1][0].height
        ):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda line: line.left) for row in rows]


def _turn(picture: Any, found: Sequence[Line]) -> int:
    """By how many quarters, against the clock, the page must be turned to stand upright: as its longest lines say."""
    voters = sorted(found, key=lambda line: -max(line.right - line.left, line.height))[:_VOTERS]
    tall = sum(line.height > 1.5 * (line.right - line.left) for line in voters) * 2 > len(voters)
    flipped = 0
    for line in voters:
        left, top = max(int(line.left), 0), max(int(line.top), 0)
        crop = picture[top : int(line.bottom) + 1, left : int(line.right) + 1]
        if tall:
            crop = crop.transpose(1, 0, 2)[::-1]
        said = _engine()(crop.copy(), use_det=False, use_cls=True, use_rec=False).cls_res
        flipped += bool(said) and said[0][0] == "180"
    return (1 if tall else 0) + 2 * (flipped * 2 > len(voters))


@lru_cache(maxsize=1)
def _engine() -> Any:
    settings = {
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        "Global.log_level": "critical",
    }
    return need("rapidocr", "ocr").RapidOCR(params=settings)
