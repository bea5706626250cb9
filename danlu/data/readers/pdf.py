"""PDF: the text layer, page after page; `meta["pages"]` holds each page's [start, end) in the text.

Lines that were broken only because the page ended are joined again: a line at least nine tenths as wide as the widest
of its page, which does not end a sentence, runs on into the next. Not covered: OCR, the order of columns beyond what
the file says, tables, hyphenation, formulas.
"""

from __future__ import annotations

import io
import logging
import re
import unicodedata

from danlu.data.readers import Reading, Unreadable, sound
from danlu.extras import need

_ENDS = tuple("。！？；：.!?;:」』）)")
_SPACES = re.compile(r"[ \t\u00a0]+")


def read(data: bytes) -> Reading:
    """Raises Unreadable "broken-pdf", "encrypted" or "no-text-layer". Pages without text are counted in
    `meta["pages_without_text"]`."""
    pages = _pages(data)
    if not any(pages):
        raise Unreadable("no-text-layer", f"{len(pages)} page(s) of pictures; OCR is not covered")
    text, spans = "", []
    for page in pages:
        text += "\n\n" if text else ""
        spans.append([len(text), len(text) + len(page)])
        text += page
    meta = {"pages": spans, "pages_without_text": sum(not page for page in pages)}
    return Reading(text + "\n", _title(data), meta)


def _pages(data: bytes) -> list[str]:
    pypdf = need("pypdf", "data")
    closed = (pypdf.errors.FileNotDecryptedError, pypdf.errors.DependencyError)
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    if b"%PDF-" not in data[:1024]:
        raise Unreadable("broken-pdf", "the file does not begin with %PDF-")
    try:
        reader = pypdf.PdfReader(io.BytesIO(data), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("encrypted", "it opens only with a password")
        return [unwrap(sound(page.extract_text())) for page in reader.pages]
    except Unreadable:
        raise
    except closed as error:
        raise Unreadable("encrypted", str(error)) from None
    except Exception as error:  # pypdf raises nearly every kind on damaged files
        raise Unreadable("broken-pdf", f"{type(error).__name__}: {error}"[:200]) from None


def _title(data: bytes) -> str:
    """The title in the file's properties, when it is one (not the name of a temporary file)."""
    try:
        found = need("pypdf", "data").PdfReader(io.BytesIO(data), strict=False).metadata
        title = sound(str(found.title or "")).strip() if found else ""
    except Exception:  # damaged properties: the text was read all the same
        return ""
    return "" if re.search(r"^untitled|\.\w{2,4}$|[\\/]", title, re.IGNORECASE) else title


def unwrap(page: str) -> str:
    """The text of a page with the lines of each paragraph joined (Chinese without a space)."""
    lines = [_SPACES.sub(" ", line).strip() for line in page.splitlines()]
    widest = max((_width(line) for line in lines), default=0)
    out: list[str] = []
    runs_on = False
    for line in lines:
        if runs_on and line:
            latin = out[-1][-1].isascii() and line[0].isascii()
            out[-1] += (" " if latin else "") + line
        else:
            out.append(line)
        runs_on = bool(line) and _width(line) >= 0.9 * widest and not line.endswith(_ENDS)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip()


def _width(line: str) -> int:
    """Columns: a Chinese character is two wide."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in line)
