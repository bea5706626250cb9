"""A small library to search: three documents of ours, one of them hostile, and an index of them."""

from __future__ import annotations

from pathlib import Path

from danlu.artifact import Artifact, Store
from danlu.rag.index import Index, IndexSettings
from danlu.records import Document, write_jsonl
from danlu.track import Track

CORPUS = Path(__file__).with_name("corpus")


def documents() -> list[Document]:
    return [_document(path) for path in sorted(CORPUS.glob("*.md"))]


def _document(path: Path) -> Document:
    text = path.read_text(encoding="utf-8")
    title = text.split("\n")[0].removeprefix("# ")
    return Document(id=path.name, text=text, source=f"corpus/{path.name}", title=title, format="markdown")


def shelve(store: Store, books: list[Document]) -> Artifact:
    """The documents as an artifact."""
    with store.draft("documents") as draft:
        write_jsonl(draft.file("documents.jsonl"), books)
        return store.commit(draft, {"id": "documents", "kind": "documents"})


def index(store: Store, books: list[Document], id: str = "index", **settings: object) -> Artifact:
    """The documents indexed by the real step."""
    inputs = {"documents": shelve(store, books)}
    with store.draft(id) as draft:
        Index(IndexSettings(documents="documents", **settings)).run(inputs, draft, Track(quiet=True))  # type: ignore[arg-type]
        return store.commit(draft, {"id": id, "kind": "index"})
