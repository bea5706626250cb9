"""Readers: files → texts. One module a format, one row in `READERS` a suffix; this page is all there is to know.

| module | files | what comes out |
|---|---|---|
| text | .txt .log .rst .tex … and source code | one document, any encoding of `danlu.text.encoding` |
| markdown | .md | one document; YAML front matter apart |
| html | .html .htm .xhtml | one document: the main text as Markdown |
| pdf | .pdf | one document in reading order, its pages told; scanned pages through OCR |
| docx, pptx, xlsx, odt, epub | Word, PowerPoint, Excel, OpenDocument, books | one document as Markdown |
| doc, rtf | .doc .rtf | Word 97–2003, Rich Text: one document as Markdown |
| image | .png .jpg .tiff .webp … | one document, through OCR |
| json | .json .geojson | a document for each record or feature, or one for the whole |
| jsonl | .jsonl .ndjson | a document for each line |
| csv | .csv .tsv | a document for each row that has a text, else tables as Markdown |
| parquet | .parquet | a document for each row |
| email, msg | .eml .mbox .msg | a document for each message, and its attachments through these readers |
| notebook | .ipynb | one document: Markdown cells, code fenced, what it printed |
| subtitles | .srt .vtt | one document: what is said, without times |
| po | .po .pot | one document: the translations (gettext) |
| xml | .xml .rss .atom | one document: the text of the elements; of a feed one for each item (`feed`) |
| zip | .zip | its members through these readers, also archives in archives (two deep) |
| tar, sevenzip, rar | .tar .7z .rar | as zip; packed members of .rar where unrar, unar, 7z or bsdtar is installed |
| gzip | .gz .bz2 .xz .zst .tgz … | what is in it through these readers |

To add a format: write `danlu/data/readers/NAME.py`, add its suffixes to `READERS` and a row above, and test it in
`tests/data/readers`. Its docstring says what is kept and what is not covered; libraries are imported inside functions,
by `danlu.extras.need`. The whole of a reader::

    def read(data: bytes) -> Reading:
        text, meta = decoded(data)  # of danlu.data.readers.text: any encoding, or Unreadable
        return Reading(without_tags(text), title_of(text), meta)

A module for files of one document has ``read(data: bytes) -> Reading`` and raises `Unreadable`. A module for files of
many has ``each(path: Path, how: How) -> Iterator[Reading | Bad]``: it streams, `Reading.part` names the record, and a
record that cannot be read is a `Bad` while the others go on. Nothing else may escape from a reader; `data.read` runs
readers in processes of their own, whose time and memory are bounded. Raise or yield one of these reasons:

    empty             nothing but white space, or no record
    binary            bytes that are no text, whatever the file's name says
    undecodable       text, in no encoding that could be told with confidence
    too-large         more than this format is read of at once, in bytes, members, pages or memory
    too-deep          nested deeper than any document is: JSON, XML, archives in archives
    broken-FORMAT     damaged, or not of this format at all (broken-pdf, broken-json, broken-zip, …)
    encrypted         it opens only with a password
    unsafe-name       a member of an archive whose name leads out of it, or is a link
    zip-bomb          an archive or a member that unpacks to more than it may
    xml-entities      XML that declares entities, as bombs and thefts of local files do
    no-text-layer     a PDF of pictures in which OCR found no text, or was not to be used
    ocr-empty         a picture in which OCR found no text
    no-text-field     a record without a field that is known to hold text; the detail names the fields
    record-too-long   a record of more than 16 MiB, or a field of it
    unsupported-format   no reader for this suffix
    hidden            a member of an archive that is hidden
    crashed           the reader failed, or its process died: a defect of the reader or of a library
    too-slow          more time than the step's `seconds` for one document
    unreadable        the system refuses to give the file
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

_PLAIN = """
.text .log .rst .adoc .org .tex .py .pyi .js .mjs .ts .jsx .tsx .java .kt .scala .c .h .cc .cpp .hpp .cs .go .rs .swift
.rb .php .pl .lua .r .jl .sh .bash .ps1 .sql .css .scss .vue .yaml .yml .toml .ini .cfg .conf
"""

READERS: dict[str, str] = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "text",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
    ".doc": "doc",
    ".rtf": "rtf",
    ".pptx": "pptx",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
    ".xls": "xlsx",
    ".odt": "odt",
    ".ods": "odt",
    ".odp": "odt",
    ".epub": "epub",
    ".png": "image",
    ".jpg": "image",
    ".jpeg": "image",
    ".tif": "image",
    ".tiff": "image",
    ".webp": "image",
    ".bmp": "image",
    ".json": "json",
    ".geojson": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".ipynb": "notebook",
    ".parquet": "parquet",
    ".eml": "email",
    ".mbox": "email",
    ".msg": "msg",
    ".srt": "subtitles",
    ".vtt": "subtitles",
    ".po": "po",
    ".pot": "po",
    ".xml": "xml",
    ".rss": "xml",
    ".atom": "xml",
    ".rdf": "xml",
    ".zip": "zip",
    ".tar": "tar",
    ".7z": "sevenzip",
    ".rar": "rar",
    ".gz": "gzip",
    ".tgz": "gzip",
    ".bz2": "gzip",
    ".tbz": "gzip",
    ".tbz2": "gzip",
    ".xz": "gzip",
    ".txz": "gzip",
    ".zst": "gzip",
    ".tzst": "gzip",
} | dict.fromkeys(_PLAIN.split(), "text")
"""Suffix (lower case) → module. The order is that in which they are told to the user."""

LARGEST = 512 * 2**20
"""Bytes of the largest file that a reader of one document is given."""

LONGEST = 16 * 2**20
"""Bytes of the longest record (a line of JSONL, a row, a message without its attachments)."""


@dataclass(frozen=True)
class Reading:
    """What a file says, or one record of it, named by `part` ("line 17", "inner/file.docx").

    `meta` is plain JSON. `data.read` moves `licence` out of it into the document, and adds `sha256` where it is absent.
    """

    text: str
    title: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    part: str = ""
    format: str = ""
    """The reader that made it, where that is not the file's own: of a member of an archive."""


@dataclass(frozen=True)
class Bad:
    """A record that cannot be read, while the others of its file go on."""

    part: str
    reason: str
    detail: str = ""


class Unreadable(Exception):
    """This file cannot be read, for a `reason` that is counted; the other files are unharmed."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


@dataclass(frozen=True)
class How:
    """What the reader of a file of many documents is told.

    `source` is the file's name for the user.
    `text`, `title` and `id` are the names of the fields of a record that hold them; empty: those known to `fields`.
    `skip` holds members (`source#name`) that are not to be opened again, with the reason: they killed the process that
    read them. `depth` is how many archives the file lies in.
    """

    source: str = ""
    text: str = ""
    title: str = ""
    id: str = ""
    skip: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    depth: int = 0


USUAL = How()


def module(format: str) -> ModuleType:
    """The module of a format, by a value of `READERS`."""
    return importlib.import_module(f"danlu.data.readers.{format}")


def reader(format: str) -> Callable[[bytes], Reading]:
    """The function that reads a format of one document, by a value of `READERS`."""
    read: Callable[[bytes], Reading] = module(format).read
    return read


def readings(path: Path, how: How = USUAL) -> Iterator[Reading | Bad]:
    """What the file says, document by document, by its suffix. Raises Unreadable and OSError."""
    format = READERS.get(path.suffix.lower())
    if format is None:
        raise Unreadable("unsupported-format", f"{path.suffix or 'no suffix'}; read are {' '.join(READERS)}")
    found = module(format)
    if hasattr(found, "each"):
        yield from found.each(path, how)
        return
    yield one(found.read, bounded(path))


def one(read: Callable[[bytes], Reading], data: bytes) -> Reading:
    """The document of a file's bytes, with their SHA-256."""
    found = read(data)
    return replace(found, meta={"sha256": hashlib.sha256(data).hexdigest(), **found.meta})


def bounded(path: Path, largest: int = LARGEST, hint: str = "cut it into smaller files") -> bytes:
    """The bytes of a file. Raises Unreadable "too-large"."""
    with path.open("rb") as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise Unreadable("too-large", f"over {largest} bytes; {hint}")
    return data


def sound(text: str) -> str:
    """`text` fit to be written as UTF-8: surrogate pairs joined, lone surrogates shown as U+FFFD, NUL left out."""
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\0", "")
