"""Pages of PDFs in Traditional Chinese, drawn line by line: `zh` writes at a place in the font of `document`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from made import pdf

_FONT = (
    b"<< /Type /Font /Subtype /Type0 /BaseFont /MSung-Light /Encoding /UniCNS-UCS2-H /DescendantFonts [<< /Type /Font"
    b" /Subtype /CIDFontType0 /BaseFont /MSung-Light /CIDSystemInfo << /Registry (Adobe) /Ordering (CNS1) /Supplement 1"
    b" >> /DW 1000 /W [1 [250] 2 94 500] /FontDescriptor << /Type /FontDescriptor /FontName /MSung-Light /Flags 6"
    b" /FontBBox [-160 -249 1015 888] /ItalicAngle 0 /Ascent 880 /Descent -120 /StemV 58 /CapHeight 737 >> >>] >>"
)


def zh(text: str, x: float, y: float, size: float = 12, degrees: float = 0) -> bytes:
    """Text whose line begins at (x, y); one character of a font that is not in the file leaves pdfium without a box."""
    a, b = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    code = text.encode("utf-16-be").hex()
    return f"BT /F2 {size} Tf {a:.5f} {b:.5f} {-b:.5f} {a:.5f} {x} {y} Tm <{code}> Tj ET\n".encode()


def document(*contents: bytes, rotate: int = 0) -> bytes:
    """A PDF of pages that write in Helvetica (`said`) and in a font of Taiwan (`zh`)."""
    data = pdf(*contents, more=[_FONT])
    number = 5 + 2 * len(contents)
    data = data.replace(b"/F1 3 0 R", b"/F1 3 0 R /F2 %d 0 R" % number)
    return data.replace(b"/MediaBox", b"/Rotate %d /MediaBox" % rotate) if rotate else data


def lines(texts: Sequence[str], x: float, y: float, step: float = 18, size: float = 12) -> bytes:
    return b"".join(zh(text, x, y - step * at, size) for at, text in enumerate(texts))


def wrapped(text: str, columns: int) -> list[str]:
    """Text cut into lines of so many characters."""
    return [text[at : at + columns] for at in range(0, len(text), columns)]


def row(cells: Sequence[str], xs: Sequence[float], y: float, size: float = 10) -> bytes:
    return b"".join(zh(cell, x, y, size) for cell, x in zip(cells, xs, strict=True) if cell)


def rows(table: Sequence[Sequence[str]], xs: Sequence[float], y: float, step: float = 20, size: float = 10) -> bytes:
    return b"".join(row(cells, xs, y - step * at, size) for at, cells in enumerate(table))


def ruled(xs: Sequence[float], ys: Sequence[float]) -> bytes:
    across = [(xs[0], y, xs[-1], y) for y in ys]
    upright = [(x, ys[0], x, ys[-1]) for x in xs]
    return "".join(f"{x0} {y0} m {x1} {y1} l S\n" for x0, y0, x1, y1 in across + upright).encode()


def ruled_table(table: Sequence[Sequence[str]], xs: Sequence[float], top: float, step: float = 20) -> bytes:
    """Rows in a grid whose columns are parted at `xs`; single characters are written twice as wide text is not."""
    ys = [top - step * at for at in range(len(table) + 1)]
    return ruled(xs, ys[::-1]) + rows(table, [x + 4 for x in xs[:-1]], top - 14, step)
