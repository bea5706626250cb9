"""Any folder of text: .txt and .md files, one text each, and .jsonl files, one text a line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from danlu.eval.adapters import Adapter, Rows, Sorting
from danlu.eval.adapters.files import lines, need, text

SUFFIXES = (".jsonl", ".md", ".txt")


def read(files: Sequence[Path], split: str, field: str = "text") -> Rows:
    """One row a text: {id, title, text, subject (the file's name without suffix)}. `field` names the text's field in
    JSONL. Dropped: `empty`, `duplicate`."""
    kept = Sorting()
    for path in files:
        if path.suffix == ".jsonl":
            found = [
                (str(row.get("id", where)), str(row.get("title", "")), str(need(row, field, where)))
                for where, row in lines(path)
            ]
        else:
            found = [(path.name, path.stem, text(path))]
        for name, title, words in found:
            if not words.strip():
                kept.drop("empty")
            else:
                kept.keep({"id": name, "title": title, "text": words, "subject": path.stem}, unlike=words)
    return kept.done(files)


class _Texts(Adapter):
    """All files of the folder and of those below it (of the data folder itself only those at its top), whatever the
    split; files that say whose they are (SOURCE, LICENSE, README) are no text."""

    def find(self, folder: Path, split: str, root: bool = False) -> list[Path]:
        every = folder.glob("*") if root else folder.rglob("*")
        found = [path for path in sorted(every) if path.suffix in SUFFIXES and path.is_file()]
        return [path for path in found if path.stem.upper() not in ("SOURCE", "LICENSE", "LICENCE", "README", "NOTICE")]


TEXTS = _Texts(("*",), read, arguments=("field",))
