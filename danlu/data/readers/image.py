"""Pictures (.png .jpg .tiff .webp .bmp): their text through OCR; every picture of a TIFF is a page.

`meta["ocr"]` numbers the pages that were read, `meta["ocr_confidence"]` says how surely, 0 to 1, and `meta["pages"]` is
[[start, end), …]. Turned as the camera says. Not covered: what the picture shows.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from typing import Any

from danlu.data.guard import alive
from danlu.data.readers import Reading, Unreadable, ocr, sound
from danlu.data.readers.pdf import laid
from danlu.extras import need

PIXELS = 100_000_000
"""Most pixels of a picture; larger ones are bombs more often than pages."""

PAGES = 2_000
"""Most pictures in a file."""

_SIDE = 4_000
_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")


def read(data: bytes) -> Reading:
    """Raises "broken-image", "too-large", "ocr-empty", or "no-text-layer" where OCR is off."""
    if not data:
        raise Unreadable("empty", "nothing in the file")
    if not ocr.available():
        raise Unreadable("no-text-layer", f"a picture; {ocr.advice()}")
    pages = []
    for picture in _pictures(data):
        alive()
        pages.append(ocr.page(picture))
    read = {number: page for number, page in enumerate(pages, 1) if page.blocks}
    if not read:
        raise Unreadable("ocr-empty", f"no text in {len(pages)} picture(s)")
    text, spans = laid([page.blocks for page in pages])
    meta = {"pages": spans, "ocr": list(read), "ocr_confidence": [page.confidence for page in read.values()]}
    return Reading(text + "\n", "", {**meta, **_taken(data)})


def _pictures(data: bytes) -> Iterator[Any]:
    """Each picture as an array, height × width × 3, blue first; larger ones are made smaller."""
    image = need("PIL.Image", "ocr")
    numpy = need("numpy", "ocr")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with image.open(io.BytesIO(data), formats=_FORMATS) as opened:
                frames = getattr(opened, "n_frames", 1)
                if frames > PAGES or opened.width * opened.height > PIXELS:
                    raise Unreadable("too-large", f"{frames} picture(s) of {opened.width} × {opened.height} pixels")
                for frame in range(frames if opened.format == "TIFF" else 1):
                    opened.seek(frame)
                    if opened.width * opened.height > PIXELS:
                        raise Unreadable("too-large", f"a picture of {opened.width} × {opened.height} pixels")
                    yield numpy.ascontiguousarray(numpy.asarray(_flat(opened))[:, :, ::-1])
    except Unreadable:
        raise
    except image.DecompressionBombError as error:
        raise Unreadable("too-large", str(error)[:200]) from None
    except Exception as error:  # Pillow raises nearly every kind on damaged files
        raise Unreadable("broken-image", f"{type(error).__name__}: {error}"[:200]) from None


def _flat(opened: Any) -> Any:
    """The picture upright, on white, at most `_SIDE` pixels long."""
    image = need("PIL.Image", "ocr")
    upright = need("PIL.ImageOps", "ocr").exif_transpose(opened)
    if max(upright.size) > _SIDE:
        upright.thumbnail((_SIDE, _SIDE))
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        ground = image.new("RGBA", upright.size, "white")
        return image.alpha_composite(ground, upright.convert("RGBA")).convert("RGB")
    return upright.convert("RGB")


def _taken(data: bytes) -> dict[str, str]:
    """The date and the author that the camera or the scanner wrote down."""
    image = need("PIL.Image", "ocr")
    try:
        with image.open(io.BytesIO(data), formats=_FORMATS) as opened:
            exif = opened.getexif()
    except Exception:  # damaged properties: the text was read all the same
        return {}
    date = re.match(r"(\d{4}):(\d\d):(\d\d) (\d\d:\d\d:\d\d)", str(exif.get(306, "")))
    author = sound(str(exif.get(315, ""))).strip()
    found = {"date": f"{date[1]}-{date[2]}-{date[3]}T{date[4]}"} if date else {}
    return {**found, "author": author[:300]} if author else found
