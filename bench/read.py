"""How like the expected text is what data.read makes of the world's documents, format by format.

    python bench/read.py                      every format, seconds
    PYTHONPATH=../other python bench/read.py  the same of another checkout

Expected is docling's ground truth (Markdown) for docx, pptx, xlsx, html and csv. There is none for PDF; there, expected
is what the same text is known to say: a LaTeX paper in two columns by the order in which LaTeX wrote it; a statute by
the Ministry of Justice's open data; office documents that were exported to PDF by the office document itself; and
statutes set here in two and three columns, drawn line by line across the columns, by the text that was set.

`ratio` is rapidfuzz's (Indel similarity: twice the longest common subsequence over both lengths), of letters and digits
in lower case: order counts, markup, spaces and punctuation do not. Addresses of links and pictures in the expected text
are left out, as they are no text. A format's figure is the mean over its files; the lowest file is named.
"""

from __future__ import annotations

import gzip
import importlib
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

from rapidfuzz.distance import Indel

ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT / "tests" / "data" / "readers"), str(ROOT)]
SHARED = ROOT.parent / "shared" / "data"
if not SHARED.is_dir():
    SHARED = ROOT.parent.parent / "shared" / "data"
MESSY = SHARED / "messy"
OFFICE = ("docx", "pptx", "xlsx", "html", "csv")
STATUTES = ("野生動物保育法", "消費者保護法", "民事訴訟法", "國立臺灣圖書館組織法", "專科以上學校教師資格審定辦法")
Case = tuple[str, str, bytes, str]
"""(format, name, bytes, expected text)"""


def letters(text: str) -> str:
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"!?\[([^\]]*)\]\([^)\s]*\)", r"\1", text)
    return "".join(re.findall(r"[^\W_]", text.lower()))


def office() -> Iterator[Case]:
    for format in OFFICE:
        for path in sorted((MESSY / "docling" / format / "sources").iterdir()):
            known = MESSY / "docling-groundtruth" / format / "groundtruth" / f"{path.name}.md"
            if known.exists():
                yield format, path.name, path.read_bytes(), known.read_text(encoding="utf-8")


def pdfs() -> Iterator[Case]:
    import pypdfium2

    paper = MESSY / "py-pdf-samples" / "026-latex-multicolumn" / "multicolumn.pdf"
    pages = [page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(paper)]
    yield "pdf, two columns", paper.name, paper.read_bytes(), re.sub(r"[\ufffe\x02]\s*", "", "".join(pages))
    law = next((MESSY / "zh-tw-pdf").glob("*.pdf"))
    yield "pdf, statute", law.name, law.read_bytes(), statute(law.stem)
    for path in sorted((MESSY / "docling" / "odf" / "sources").glob("*.od[tp].pdf")):
        if (source := path.with_suffix("")).exists():
            said = importlib.import_module("danlu.data.readers.odt").read(source.read_bytes()).text
            yield "pdf, office export", path.name, path.read_bytes(), said
    for columns in (2, 3):
        for name in STATUTES:
            text = statute(name, 1_500)
            yield f"pdf, {columns} columns by line", name, set_in(columns, text), text


def statute(name: str, most: int | None = None) -> str:
    out, chapter = [], ""
    with gzip.open(SHARED / "corpus" / "tw-law-large.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            if f'"{name}"' in line:
                told = json.loads(line)
                out += [told["chapter"]] if told["chapter"] != chapter else []
                out += [told["article"], told["text"]]
                chapter = told["chapter"]
    return "\n".join(out)[:most]


def set_in(columns: int, text: str) -> bytes:
    """A PDF of the text in columns, drawn across them line by line; a paragraph is indented by two characters."""
    from sheets import document, wrapped, zh

    wide, high = 480 // columns // 10 - 2, 40
    lines = [line for part in text.split("\n") for line in wrapped("　　" + part.strip(), wide)]
    pages = [lines[at : at + columns * high] for at in range(0, len(lines), columns * high)]
    drawn = []
    for page in pages:
        tall = -(-len(page) // columns)
        page_text = b""
        for down in range(tall):
            for across in range(columns):
                line = page[across * tall + down] if across * tall + down < len(page) else ""
                indent = len(line) - len(line.lstrip("　"))
                x = 60 + across * (480 // columns) + 10 * indent
                page_text += zh(line.strip("　"), x, 760 - 17 * down, 10) if line.strip("　") else b""
        drawn.append(page_text)
    return document(*drawn)


def said_of(format: str, name: str, data: bytes) -> str:
    """What danlu reads: the documents of a file, one after the other."""
    from danlu.data.readers import Bad, Unreadable, readings

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file.{format}"
        path.write_bytes(data)
        try:
            found = list(readings(path))
        except Unreadable as error:
            print(f"{name}: {error}", file=sys.stderr)
            return ""
    return "\n".join(each.text for each in found if not isinstance(each, Bad))


def main() -> None:
    from danlu.data.readers import ocr

    ocr.use(False)
    found: dict[str, list[tuple[float, str]]] = {}
    spent: dict[str, float] = {}
    for format, name, data, expected in (*office(), *pdfs()):
        start = time.process_time()
        said = said_of(format.partition(",")[0], name, data)
        spent[format] = spent.get(format, 0.0) + time.process_time() - start
        ratio = Indel.normalized_similarity(letters(said), letters(expected))
        found.setdefault(format, []).append((ratio, name))
    for format, ratios in found.items():
        lowest, name = min(ratios)
        told = f"{mean(ratio for ratio, _ in ratios):.4f} of {len(ratios):2} files, lowest {lowest:.4f} ({name})"
        print(f"{format:24} {told}, {spent[format]:.2f} s", file=sys.stderr)
    print(json.dumps({format: round(mean(ratio for ratio, _ in ratios), 4) for format, ratios in found.items()}))


if __name__ == "__main__":
    main()
