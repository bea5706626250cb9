"""Runs a step of the data room in a store of its own, without the recipe engine."""

from pathlib import Path
from typing import Any

from danlu.artifact import Artifact, Store, digest
from danlu.records import Document, write_jsonl
from danlu.registry import step_class
from danlu.track import Track

QUIET = Track(quiet=True)


class Steps:
    """`steps("data.clean", documents=artifact, min_characters=3)` runs the step and returns its artifact."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)

    def __call__(self, use: str, track: Track = QUIET, **settings: Any) -> Artifact:
        kind = step_class(use)
        inputs = {key: value for key, value in settings.items() if isinstance(value, Artifact)}
        several = {
            key: value
            for key, value in settings.items()
            if isinstance(value, list) and value and isinstance(value[0], Artifact)
        }
        inputs |= {f"{key}.{at}": one for key, value in several.items() for at, one in enumerate(value)}
        names = {key: tuple(one.id for one in value) for key, value in several.items()}
        parsed = kind.Settings(
            **{key: names.get(key) or (inputs[key].id if key in inputs else value) for key, value in settings.items()}
        )
        id = digest([use, parsed.model_dump(mode="json")])[:16]
        with self.store.draft(id) as draft:
            kind(parsed).run(inputs, draft, track)
            return self.store.commit(draft, {"id": id, "kind": kind.makes, "step": use})

    def documents(self, *documents: Document, **texts: str) -> Artifact:
        """An artifact of these documents; a keyword is the id of a document with that text."""
        made = [*documents, *(Document(id=id, text=text, source=id) for id, text in texts.items())]
        id = digest([document.model_dump() for document in made])[:16]
        with self.store.draft(id) as draft:
            write_jsonl(draft.file("documents.jsonl"), made)
            write_jsonl(draft.file("dropped.jsonl"), [])
            return self.store.commit(draft, {"id": id, "kind": "documents", "step": "test"})
