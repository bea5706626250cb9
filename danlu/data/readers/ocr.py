"""The text in a picture of a page, by RapidOCR (PP-OCRv6 through onnxruntime; the models come inside the package).

Traditional and Simplified Chinese, English and digits, each as it is printed; lines upside down or turned by a quarter
are read too, and so is a page that lies aslant. `danlu.data.readers.layout` puts lines into reading order, and finds
paragraphs and tables. One thread, so that the same picture gives the same text on a machine.

What is read is bounded by work, not by the clock: RapidOCR looks at most at 2,000 pixels of the longer side and at
`LINES` lines; after every few lines it says that it is alive, so a slow machine reads what a fast one does.

Not covered: Chinese in vertical lines, handwriting, formulas.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from statistics import median
from typing import Any

from danlu.data.guard import alive
from danlu.data.readers.layout import Block, Box, blocks, written
from danlu.extras import need

DPI = 150
"""At which pages are drawn: 200 gave no better text, 100 took 內 for 内."""

LINES = 3_000
"""Most lines of a page: more than the pixels that are looked at can hold."""

_VOTERS = 5
_ASLANT = math.radians(6)
_LEVEL = math.radians(0.2)
_wanted = True


@dataclass(frozen=True)
class Line:
    """A line of text, the corners it stands in (from its top left, clockwise; pixels), and how sure its reading is, 0
    to 1."""

    text: str
    corners: Sequence[tuple[float, float]]
    confidence: float

    @property
    def frame(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom)"""
        xs, ys = zip(*self.corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    @property
    def size(self) -> tuple[float, float]:
        """Its own width and height, however it lies."""
        first, second, _, last = self.corners
        return math.dist(first, second), math.dist(first, last)

    @property
    def angle(self) -> float:
        (x0, y0), (x1, y1) = self.corners[:2]
        return math.atan2(y1 - y0, x1 - x0)


@dataclass(frozen=True)
class Page:
    """What a picture says, and its confidence: the mean over characters, 0 to 1."""

    blocks: list[Block]
    confidence: float

    @property
    def text(self) -> str:
        return written(self.blocks)


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
    """The text of a picture: an array of uint8, height × width × 3, blue first. Without text: ([], 0.0)."""
    found = lines(picture)
    total = sum(len(line.text) for line in found)
    confidence = sum(line.confidence * len(line.text) for line in found) / total if total else 0.0
    level = boxes(found)
    return Page(blocks(level, picture.shape[1]), round(confidence, 3))


def lines(picture: Any) -> list[Line]:
    """The lines of a picture; one that lies on its side, on its head or far aslant is set upright and read again."""
    found = _read(picture)
    turn = _turn(picture, found)
    if turn:
        picture = need("numpy", "ocr").rot90(picture, turn).copy()
        found = _read(picture)
    if abs(angle := slope(found)) > _ASLANT:
        found = _read(_straight(picture, angle))
    return found


def boxes(found: Sequence[Line]) -> list[Box]:
    """Lines as a page's boxes, turned back by what most of them are aslant."""
    angle = slope(found)
    cos, sin = math.cos(angle), math.sin(angle)
    out = []
    for at, line in enumerate(found):
        left, top, right, bottom = line.frame
        if abs(angle) > _LEVEL:
            x, y = (left + right) / 2, (top + bottom) / 2
            x, y, (wide, high) = x * cos + y * sin, y * cos - x * sin, line.size
            left, top, right, bottom = x - wide / 2, y - high / 2, x + wide / 2, y + high / 2
        out.append(Box(line.text, left, top, right, bottom, at))
    return out


def slope(found: Sequence[Line]) -> float:
    """By which angle long lines fall to the right, in radians."""
    long = [line.angle for line in found if line.size[0] > 4 * line.size[1]]
    return median(long) if long else 0.0


def _straight(picture: Any, angle: float) -> Any:
    """The picture turned back by an angle, on white, whole."""
    image = need("PIL.Image", "ocr").fromarray(picture)
    turned = image.rotate(math.degrees(angle), need("PIL.Image", "ocr").Resampling.BICUBIC, True, fillcolor="white")
    return need("numpy", "ocr").array(turned)


def _read(picture: Any) -> list[Line]:
    result = _engine()(picture, use_det=True, use_cls=True, use_rec=True)
    if result.boxes is None or not result.txts:
        return []
    return [
        Line(text, [(x, y) for x, y in box], float(score))
        for text, box, score in zip(result.txts, result.boxes.tolist(), result.scores, strict=True)
    ]


def _turn(picture: Any, found: Sequence[Line]) -> int:
    """By how many quarters, against the clock, the page must be turned to stand upright: as its longest lines say."""
    voters = sorted((line.frame for line in found), key=lambda frame: min(frame[0] - frame[2], frame[1] - frame[3]))
    voters = voters[:_VOTERS]
    tall = sum(bottom - top > 1.5 * (right - left) for left, top, right, bottom in voters) * 2 > len(voters)
    flipped = 0
    for left, top, right, bottom in voters:
        crop = picture[max(int(top), 0) : int(bottom) + 1, max(int(left), 0) : int(right) + 1]
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
        "Det.max_candidates": LINES,
        "Global.log_level": "critical",
    }
    engine = need("rapidocr", "ocr").RapidOCR(params=settings)
    for model in (engine._load_det_model(), engine._load_cls_model(), engine._load_rec_model()):
        model.session = _telling(model.session)
    return engine


def _telling(session: Any) -> Any:
    """A model that says, before each batch of some lines, that the work goes on."""

    def run(batch: Any) -> Any:
        alive()
        return session(batch)

    return run
