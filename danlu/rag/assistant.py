"""rag.assistant: a GGUF model and an index → an assistant to chat with and to serve.

assistant.json names the two artifacts by their ids, as they stand beside this one in the store; nothing is copied.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from danlu.artifact import Artifact, Draft
from danlu.errors import StorageError, UsageError, nearest
from danlu.model.chat import Chat, Options, gather
from danlu.records import Message, Record, write_jsonl
from danlu.registry import From, Settings, Step
from danlu.track import Track

FILE = "assistant.json"
_MODES = {"generated": "回答", "quoted": "引用原文", "refused": "文件未提及"}


class AssistantSettings(Settings):
    gguf: Annotated[str, From("gguf")]
    """The model that answers."""

    index: Annotated[str, From("index")]
    """The documents that it answers from."""

    format: str = "q8_0"
    """Which of the model's files to use."""

    system: str = ""
    """A system message that begins every conversation; none when empty."""

    top: Annotated[int, Field(ge=1, le=20)] = 3
    """How many passages the model is given."""

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Weaker evidence than this is answered with "not in the documents" (0 to 1; see `danlu.rag.search.evidence`)."""

    max_tokens: Annotated[int, Field(ge=1)] = 256
    """The longest answer, in tokens."""

    context: Annotated[int, Field(ge=256)] = 2048
    """The longest conversation, in tokens, passages and answer included."""

    ask: list[str] = Field(default=[])
    """Questions to answer now, for the report."""


class Saved(Record):
    """What assistant.json holds. `gguf` and `index` are the ids of artifacts beside this one."""

    gguf: str
    file: str
    format: str
    index: str
    system: str
    top: int
    threshold: float
    max_tokens: int
    context: int
    ask: list[str]


class Answer(Record):
    """A line of answers.jsonl."""

    question: str
    answer: str
    grounding: dict[str, Any]
    sources: list[dict[str, Any]]


class Assistant(Step[AssistantSettings]):
    """Puts model and index together and asks the sample questions: greedy, one at a time, nothing reused between
    them, so that the answers are the same on every run.

    UsageError: a format that the model was not written in. ModelError: an index of another tokenizer or embedder.
    """

    Settings = AssistantSettings
    makes = "assistant"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        gguf, index = inputs["gguf"], inputs["index"]
        facts = self.settings.model_dump(exclude={"gguf", "index"})
        saved = Saved(gguf=gguf.id, file=_file(gguf, self.settings.format), index=index.id, **facts)
        text = json.dumps(saved.model_dump(), ensure_ascii=False, indent=1, sort_keys=True)
        out.file(FILE).write_text(text + "\n", encoding="utf-8")
        answers = list(self._answers(saved, gguf.file(saved.file), index.path, track)) if saved.ask else []
        write_jsonl(out.file("answers.jsonl"), answers)
        rows = [[a.question, a.answer, _MODES[a.grounding["mode"]], _cited(a.sources)] for a in answers]
        out.table("Questions", ["question", "answer", "mode", "sources"], rows)
        modes = [answer.grounding["mode"] for answer in answers]
        out.metrics.update({mode: modes.count(mode) for mode in _MODES})

    def _answers(self, saved: Saved, model: Path, index: Path, track: Track) -> Iterator[Answer]:
        from danlu.model.llama_server import LlamaServer

        server = LlamaServer(model, context=saved.context, slots=1, reuse=False)
        try:
            chat = grounded(server, index, saved)
            for question in track.over(saved.ask, "ask", unit="question"):
                whole = gather(
                    chat.stream([Message(role="user", content=question)], Options(max_tokens=saved.max_tokens))
                )
                yield Answer(
                    question=question, answer=whole.text, grounding=whole.grounding or {}, sources=whole.sources or []
                )
        finally:
            server.close()


def grounded(chat: Chat, index: Path, saved: Saved) -> Chat:
    """`chat` with the documents of an index and the settings of an assistant."""
    from danlu.rag.answer import Assistant as Grounded
    from danlu.rag.answer import Grounding
    from danlu.rag.search import Searcher

    return Grounded(chat, Searcher(index), Grounding(saved.top, saved.threshold, saved.system))


def read(artifact: Path) -> Saved:
    """The assistant.json of an artifact's folder."""
    path = artifact / FILE
    try:
        return Saved.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise StorageError(f"not an assistant: {error}", where=str(path), next="danlu ls") from None


def parts(artifact: Path) -> tuple[Saved, Path, Path]:
    """(settings, the GGUF file, the folder of the index) of an assistant in a store."""
    saved = read(artifact)
    beside = artifact.absolute().parent
    for id in (saved.gguf, saved.index):
        if not (beside / id).is_dir():
            raise StorageError(
                f"artifact {id}, a part of the assistant, is not beside it",
                where=str(beside),
                next="danlu run RECIPE makes it again",
            )
    return saved, Artifact.load(beside / saved.gguf).file(saved.file), beside / saved.index


def _file(gguf: Artifact, format: str) -> str:
    formats: dict[str, str] = json.loads(gguf.file("formats.json").read_text(encoding="utf-8"))
    if format not in formats:
        raise UsageError(
            f"the model was not written in {format}; there are {', '.join(sorted(formats))}",
            where="rag.assistant: format",
            nearest=nearest(format, formats),
            next=f"add {format} to `formats` of the quant.gguf step",
        )
    return formats[format]


def _cited(sources: list[dict[str, Any]]) -> str:
    return "\n".join(f"[{source['n']}] {source['source']} {source['start']}–{source['end']}" for source in sources)
