"""The words of a page of a PDF and where they stand, upright, as `danlu.data.readers.layout` takes them.

Words are pdfium's. What lies at another angle than most of the page (a watermark, a note in the margin) stays apart.
Text that pdfium leaves out because it has no outlines for it (a single character in a font that the file does not hold)
is told by `Hidden`, and read by pdfminer.six.
"""

from __future__ import annotations

import ctypes
import io
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

from danlu.data.readers.layout import APART, Box
from danlu.data.readers.ruled import placed, things
from danlu.extras import need

_TOKEN = re.compile(r"(?:[^ \t\u00a0\r\n\ufffe\x02\u3000]|(?<!\u3000)\u3000(?!\u3000))+[\ufffe\x02]?|[\ufffe\x02]")
_HANGUL = re.compile(r"[\uac00-\ud7a3]$")
_OBJECTS = 20_000
_COLUMN = 8
_LEVEL = math.radians(0.1)
_COLLECTIONS = {"UniGB": "Adobe-GB1", "UniCNS": "Adobe-CNS1", "UniJIS": "Adobe-Japan1", "UniKS": "Adobe-Korea1"}
_LATIN = re.compile(r"(?:[A-Z]{6}\+)?(?:Helvetica|Times|Courier|Arial|Symbol|ZapfDingbats)", re.IGNORECASE)


@dataclass(frozen=True)
class Word:
    """A word, the place of its first character in the page, what stood before it ("", " " or a line end), its box in
    the page's own coordinates (y upwards) and the angle it is written at, in radians."""

    text: str
    at: int
    before: str
    left: float
    bottom: float
    right: float
    top: float
    angle: float = 0.0


def words(layer: Any) -> list[Word]:
    """The words of a pypdfium2 text page, in its order."""
    text, end, out = layer.get_text_range(), 0, []
    measure = _Measure(layer)
    for token in _TOKEN.finditer(text):
        gap = text[end : token.start()]
        before = "\n" if "\n" in gap or "\r" in gap or (out and out[-1].text[-1] in "\ufffe\x02") else " " * bool(gap)
        if out and before == "\n" and gap[:1] == " " and _HANGUL.search(out[-1].text):
            out[-1] = replace(out[-1], text=out[-1].text + " ")
        end = token.end()
        out += measure.word(token.start(), token[0], before)
    return out


def characters(word: Word, layer: Any) -> list[Word]:
    """The characters of a word one by one."""
    measure = _Measure(layer)
    return [
        Word(character, word.at + at, "" if at else word.before, *measure.box(word.at + at), word.angle)
        for at, character in enumerate(word.text)
    ]


class _Measure:
    def __init__(self, layer: Any) -> None:
        self.layer, self.raw = layer.raw, need("pypdfium2.raw", "pdf")
        self.rect = self.raw.FS_RECTF()
        count = layer.count_chars()
        self.same = self.raw.FPDFText_GetCharIndexFromTextIndex(self.layer, count - 1) == count - 1

    def box(self, at: int) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) of a character by the metrics of its font."""
        if not self.raw.FPDFText_GetLooseCharBox(self.layer, at, self.rect):
            return 0.0, 0.0, 0.0, 0.0
        return self.rect.left, self.rect.bottom, self.rect.right, self.rect.top

    def place(self, at: int) -> int:
        """Which of the page's characters a place in its text is: pdfium leaves some out of the text."""
        return at if self.same else max(self.raw.FPDFText_GetCharIndexFromTextIndex(self.layer, at), 0)

    def word(self, start: int, text: str, before: str) -> Iterator[Word]:
        """One word, or its parts where the file wrote what stands apart without a space between."""
        first = self.place(start)
        last = self.place(start + max(len(text.rstrip("\ufffe\x02")) - 1, 0))
        angle = math.remainder(-self.raw.FPDFText_GetCharAngle(self.layer, first), math.tau)  # pdfium's goes clockwise
        box, end = self.box(first), self.box(last)
        if len(text) == 1 or _together(box, end, len(text), text, angle):
            yield Word(text, first, before, *_union(box, end), angle)
            return
        part, held = "", box
        for at, character in enumerate(text):
            one = self.box(self.place(start + at)) if character not in "\ufffe\x02" else held
            if part and not _together(held, one, 2, character, angle):
                yield Word(part, first, before, *held, angle)
                part, held, before, first = "", one, " ", self.place(start + at)
            held = _union(held, one) if part else one
            part += character
        yield Word(part, first, before, *held, angle)


def _together(one: Sequence[float], other: Sequence[float], count: int, text: str, angle: float) -> bool:
    """Whether two characters of a word, `count` - 1 apart, stand as near as they should."""
    size = max(one[3] - one[1], one[2] - one[0], 1e-3)
    across, up = other[0] - one[0], other[1] - one[1]
    along = across * math.cos(angle) + up * math.sin(angle)
    aside = abs(up * math.cos(angle) - across * math.sin(angle))
    if any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in text):
        along = abs(along)
    return -0.5 * size <= along <= (1.2 * count + APART) * size + (one[2] - one[0]) and aside <= 0.8 * size


def _union(one: Sequence[float], other: Sequence[float]) -> tuple[float, float, float, float]:
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def slope(found: Sequence[Word]) -> float:
    """The angle that most of the text is written at."""
    angles: Counter[float] = Counter()
    for word in found:
        angles[round(word.angle, 3)] += len(word.text)
    return angles.most_common(1)[0][0] if angles else 0.0


def boxes(found: Sequence[Word], angle: float) -> tuple[list[str], list[Box], list[str]]:
    """The pieces of lines that are written at `angle`, upright, and the lines of what is not: before, and after."""
    level = [word for word in found if abs(math.remainder(word.angle - angle, math.tau)) < 0.01]
    first = level[0].at if level else 0
    odd = [word for word in found if abs(math.remainder(word.angle - angle, math.tau)) >= 0.01]
    before, after = ([word for word in odd if (0 <= word.at < first) == wanted] for wanted in (True, False))
    straight = [_upright(word, angle) for word in level]
    return _lines(before), _pieces(_laid(straight) if _vertical(straight) else straight), _lines(after)


def _upright(word: Word, angle: float) -> Box:
    if abs(angle) < _LEVEL:
        return Box(word.text, word.left, -word.top, word.right, -word.bottom, word.at, word.before)
    frame = (word.left, word.bottom, word.right, word.top)
    return Box(word.text, *upright(frame, angle, len(word.text)), word.at, word.before)


def upright(box: Sequence[float], angle: float, count: int = 1) -> tuple[float, float, float, float]:
    """(left, top, right, bottom), y downwards, of a box of the page turned back by `angle`."""
    cos, sin = math.cos(-angle), math.sin(-angle)
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    wide, high = box[2] - box[0], box[3] - box[1]
    if abs(cos * sin) < 1e-3:
        across, up = abs(wide * cos) + abs(high * sin), abs(high * cos) + abs(wide * sin)
    else:  # the corners of a slanting word's frame are not its own: solve for the word's own width and height
        c, s = abs(cos), abs(sin)
        spread = c * c - s * s
        across = (wide * c - high * s) / spread if abs(spread) > 0.1 else wide / c * count / (count + 1)
        up = (high * c - wide * s) / spread if abs(spread) > 0.1 else wide / c / (count + 1)
        across, up = max(across, 1e-3), max(up, 1e-3)
    middle = (x * cos - y * sin, -(x * sin + y * cos))
    return middle[0] - across / 2, middle[1] - up / 2, middle[0] + across / 2, middle[1] + up / 2


def _vertical(found: Sequence[Box]) -> bool:
    """Whether Chinese is written in vertical lines: most characters stand alone, the next one close below."""
    single = [box for box in found if len(box.text) == 1 and unicodedata.east_asian_width(box.text) == "W"]
    if len(single) < _COLUMN or len(single) < 0.7 * len(found):
        return False
    below = beside = 0
    for box, after in pairwise(sorted(single, key=lambda box: (round(box.left), box.top))):
        below += abs(after.left - box.left) < 0.3 * box.height and after.top - box.top < 1.5 * box.height
    for box, after in pairwise(sorted(single, key=lambda box: (round(box.top), box.left))):
        beside += abs(after.top - box.top) < 0.3 * box.height and after.left - box.left < 1.3 * box.width
    return below > 0.6 * len(single) > 2 * beside


def _laid(found: Sequence[Box]) -> list[Box]:
    """Vertical lines laid down: the first, on the right, on top, and what was its upper end on the left."""
    columns: list[list[Box]] = []
    for box in sorted(found, key=lambda box: -box.left):
        if not columns or columns[-1][0].left - box.left > 0.5 * box.height:
            columns.append([])
        columns[-1].append(box)
    return [
        replace(box, left=box.top, right=box.bottom, top=-box.right, bottom=-box.left, before="")
        for column in columns
        for box in sorted(column, key=lambda box: box.top)
    ]


def _pieces(found: Sequence[Box]) -> list[Box]:
    """Words put together that stand on one line, near each other."""
    out: list[list[Box]] = []
    for word in found:
        if out and word.before != "\n" and _near(out[-1][-1], word):
            out[-1].append(word)
        else:
            out.append([word])
    return [_piece(part) for part in out]


def _near(one: Box, other: Box) -> bool:
    low = max(min(one.height, other.height), 1e-3)
    if min(one.bottom, other.bottom) - max(one.top, other.top) < 0.3 * low:
        return False
    gap = max(other.left - one.right, one.left - other.right)
    return -0.5 * low < gap <= APART * max(one.height, other.height)


def _piece(part: Sequence[Box]) -> Box:
    """Words as one box; characters that were only spread over the line are one word."""
    text = part[0].text + "".join(("" if _spread(part) else word.before) + word.text for word in part[1:])
    main = max(part, key=lambda word: word.width)
    left, right = min(word.left for word in part), max(word.right for word in part)
    return replace(part[0], text=text, left=left, top=main.top, right=right, bottom=main.bottom)


def _spread(part: Sequence[Box]) -> bool:
    if len(part) < 3 or part[0].text == "第" or any(len(word.text) > 1 or word.text.isascii() for word in part):
        return False
    gaps = [after.left - before.right for before, after in pairwise(part)]
    return min(gaps) > 0.4 * part[0].height and max(gaps) - min(gaps) < 0.2 * part[0].height


def _lines(found: Sequence[Word]) -> list[str]:
    text = "".join((word.before if at else "") + word.text for at, word in enumerate(found))
    return [line.strip() for line in text.split("\n") if line.strip()]


# --- text that pdfium does not tell ---


def unsaid(page: Any) -> list[tuple[float, float]]:
    """Where things of text begin that are drawn in no font of the file and that pdfium leaves out, having no outlines:
    in the page's coordinates. Spaces are among them."""
    raw = need("pypdfium2.raw", "pdf")
    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    matrix = raw.FS_MATRIX()
    fonts: dict[int, bool] = {}
    out = []
    for at, (thing, held) in enumerate(things(page, raw)):
        if at > _OBJECTS:
            break
        if raw.FPDFPageObj_GetType(thing) != raw.FPDF_PAGEOBJ_TEXT:
            continue
        if not raw.FPDFPageObj_GetBounds(thing, left, bottom, right, top) or right.value - left.value > 0.01:
            continue
        font = raw.FPDFTextObj_GetFont(thing)
        key = ctypes.addressof(font.contents) if font else 0
        if key not in fonts:
            fonts[key] = bool(font) and _absent(font, raw)
        if fonts[key] and raw.FPDFPageObj_GetMatrix(thing, matrix):
            out.append(placed(matrix.e, matrix.f, held))
    return out


def _absent(font: Any, raw: Any) -> bool:
    """Whether a font is neither in the file nor one of those that every reader brings."""
    if raw.FPDFFont_GetIsEmbedded(font) != 0:
        return False
    name = ctypes.create_string_buffer(128)
    raw.FPDFFont_GetBaseFontName(font, name, 128)
    return not _LATIN.match(name.value.decode("utf-8", "replace"))


class Hidden:
    """A file as pdfminer.six reads it, opened when it is asked for the first time."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @cached_property
    def _pages(self) -> list[Any]:
        from pdfminer.pdfpage import PDFPage

        return list(PDFPage.get_pages(io.BytesIO(self.data)))

    def words(self, number: int, places: Sequence[tuple[float, float]]) -> tuple[list[Word], int]:
        """What is written at the places of a page (from 0), and how many of them hold text that nobody can tell."""
        try:
            found = self._strings(number)
        except Exception:  # pdfminer raises nearly every kind on damaged files: what it cannot tell is missing
            return [], len(places)
        out, missing = [], 0
        for x, y in sorted(set(places), key=lambda place: (-place[1], place[0])):
            told = next((told for (left, low), told in found if abs(left - x) < 0.5 and abs(low - y) < 0.5), None)
            if told is None or any("(cid:" in word.text for word in told):
                missing += 1
            elif "".join(word.text for word in told).strip():
                out += told
        return out, missing

    def _strings(self, number: int) -> list[tuple[tuple[float, float], list[Word]]]:
        """The strings of a page: where each begins, and its characters."""
        from pdfminer.pdfinterp import PDFPageInterpreter

        page = self._pages[number]
        page.rotate = 0
        resources, device = _pdfminer()
        PDFPageInterpreter(resources, device).process_page(page)
        left, bottom = page.mediabox[:2]
        out = []
        for string in device.strings:
            told = []
            for item in string:
                x0, y0, x1, y1 = item.bbox
                angle = math.atan2(item.matrix[1], item.matrix[0])
                before = "" if told else "\n"
                told.append(Word(item.get_text(), -1, before, x0 + left, y0 + bottom, x1 + left, y1 + bottom, angle))
            if told:
                out.append(((string[0].matrix[4] + left, string[0].matrix[5] + bottom), told))
        return out


def _pdfminer() -> tuple[Any, Any]:
    """pdfminer's fonts, and a device that keeps strings apart. It numbers characters by the font's encoding and names
    them by the font's collection; where these are of two scripts (a font of Taiwan written with UniGB-UCS2-H), the
    encoding's is right."""
    from pdfminer.cmapdb import CMapDB
    from pdfminer.converter import PDFPageAggregator
    from pdfminer.layout import LTChar
    from pdfminer.pdfinterp import PDFResourceManager
    from pdfminer.pdftypes import resolve1

    class Resources(PDFResourceManager):
        def get_font(self, objid: Any, spec: Any) -> Any:
            font = super().get_font(objid, spec)
            encoding = getattr(resolve1(spec.get("Encoding")), "name", "")
            collection = next((told for start, told in _COLLECTIONS.items() if encoding.startswith(start)), "")
            if collection and "ToUnicode" not in spec and hasattr(font, "unicode_map"):
                font.unicode_map = CMapDB.get_unicode_map(collection, font.vertical)
            return font

    class Device(PDFPageAggregator):
        def render_string(self, *told: Any) -> None:
            start = len(self.cur_item)
            super().render_string(*told)
            self.strings.append([item for item in list(self.cur_item)[start:] if isinstance(item, LTChar)])

    resources = Resources()
    device = Device(resources, laparams=None)
    device.strings = []
    return resources, device
