"""rag.assistant: a model and an index → an assistant to chat with and to serve.

assistant.json names the artifacts by their ids, as they stand beside this one in the store, and a built-in model or an
endpoint by its name; a GGUF file from elsewhere is copied.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from danlu.artifact import Artifact, Draft
from danlu.errors import StorageError, UsageError, nearest
from danlu.model.chat import Chat, Options, gather
from danlu.records import Message, Record, write_jsonl
from danlu.registry import ChatName, From, Settings, Step
from danlu.track import Track

FILE = "assistant.json"
_MODES = {
    "generated": "回答",
    "quoted": "引用原文",
    "refused": "文件未提及",
    "courtesy": "招呼",
    "asked": "反問",
    "plain": "未查文件",
}


class AssistantSettings(Settings):
    gguf: Annotated[str, From("gguf", or_=ChatName())]
    """The model that answers: a step that makes a GGUF file, or, without training, a GGUF file, a built-in model or an
    endpoint."""

    index: Annotated[str, From("index")]
    """The documents that it answers from."""

    format: str = "q8_0"
    """Which of the model's files to use, where a step made it."""

    system: str = ""
    """A system message that begins every conversation; none when empty."""

    top: Annotated[int, Field(ge=1, le=20)] = 3
    """How many passages the model is given."""

    search: Literal["weighed", "words", "vectors"] = "weighed"
    """How passages are found: by words and vectors weighed together, or by one alone (see `danlu.rag.search`)."""

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Weaker evidence than this is answered with "not in the documents" (0 to 1; see `danlu.rag.search.strength`)."""

    max_tokens: Annotated[int, Field(ge=1)] = 256
    """The longest answer, in tokens."""

    context: Annotated[int, Field(ge=256)] = 2048
    """The longest conversation, in tokens, passages and answer included."""

    ask: list[str] = Field(default=[])
    """Questions to answer now, for the report."""


class Saved(Record):
    """What assistant.json holds. `gguf` and `index` are the ids of artifacts beside this one; without `gguf`, the model
    is `file`, a file of this artifact, or `chat`, a Chat's name (see `danlu.model.named`)."""

    gguf: str = ""
    file: str = ""
    chat: str = ""
    format: str
    index: str
    system: str
    top: int
    search: str = "weighed"
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
        index = inputs["index"]
        facts = self.settings.model_dump(exclude={"gguf", "index"})
        named, model = self._model(inputs.get("gguf"), out)
        saved = Saved(index=index.id, **named, **facts)
        text = json.dumps(saved.model_dump(), ensure_ascii=False, indent=1, sort_keys=True)
        out.file(FILE).write_text(text + "\n", encoding="utf-8")
        answers = list(self._answers(saved, model, index.path, track)) if saved.ask else []
        write_jsonl(out.file("answers.jsonl"), answers)
        rows = [[a.question, a.answer, _MODES[a.grounding["mode"]], _cited(a.sources)] for a in answers]
        out.table("Questions", ["question", "answer", "mode", "sources"], rows)
        modes = [answer.grounding["mode"] for answer in answers]
        out.metrics.update({mode: modes.count(mode) for mode in _MODES})

    def _model(self, gguf: Artifact | None, out: Draft) -> tuple[dict[str, str], Path | str]:
        """How assistant.json names the model, and the model: a file, or a Chat's name."""
        if gguf is not None:
            file = _file(gguf, self.settings.format)
            return {"gguf": gguf.id, "file": file}, gguf.file(file)
        name = self.settings.gguf
        path = Path(name.removeprefix("script:")).expanduser()
        if not name.endswith(".gguf") and not name.startswith("script:"):
            return {"chat": name}, name
        copy = out.file(path.name)
        shutil.copyfile(path, copy)
        return {"file": path.name}, _copied(copy)

    def _answers(self, saved: Saved, model: Path | str, index: Path, track: Track) -> Iterator[Answer]:
        with opened(model, saved.context) as inner:
            chat = grounded(inner, index, saved)
            for question in track.over(saved.ask, "ask", unit="question"):
                whole = gather(
                    chat.stream([Message(role="user", content=question)], Options(max_tokens=saved.max_tokens))
                )
                yield Answer(
                    question=question, answer=whole.text, grounding=whole.grounding or {}, sources=whole.sources or []
                )


@contextmanager
def opened(model: Path | str, context: int) -> Iterator[Chat]:
    """The Chat of a GGUF file or of a name, for one question at a time; closed at the end."""
    if isinstance(model, str):
        from danlu.model import named

        with named.opened(model, at_once=1) as found:
            yield found.chat
        return
    from danlu.model.llama_server import LlamaServer

    server = LlamaServer(model, context=context, slots=1, reuse=False)
    try:
        yield server
    finally:
        server.close()


def grounded(chat: Chat, index: Path, saved: Saved) -> Chat:
    """`chat` with the documents of an index and the settings of an assistant."""
    from danlu.rag.answer import Assistant as Grounded
    from danlu.rag.answer import Grounding
    from danlu.rag.search import Searcher

    return Grounded(chat, Searcher(index, by=saved.search), Grounding(saved.top, saved.threshold, saved.system))


def read(artifact: Path) -> Saved:
    """The assistant.json of an artifact's folder."""
    path = artifact / FILE
    try:
        return Saved.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise StorageError(f"not an assistant: {error}", where=str(path), next="danlu ls") from None


def parts(artifact: Path) -> tuple[Saved, Path | str, Path]:
    """(settings, the GGUF file or the Chat's name, the folder of the index) of an assistant in a store."""
    saved = read(artifact)
    beside = artifact.absolute().parent
    for id in (saved.gguf, saved.index):
        if id and not (beside / id).is_dir():
            raise StorageError(
                f"artifact {id}, a part of the assistant, is not beside it",
                where=str(beside),
                next="danlu run RECIPE makes it again",
            )
    if saved.gguf:
        return saved, Artifact.load(beside / saved.gguf).file(saved.file), beside / saved.index
    return saved, saved.chat or _copied(Artifact.load(artifact).file(saved.file)), beside / saved.index


def _copied(file: Path) -> Path | str:
    """A copied file as a model: a GGUF file, or the name of a script."""
    return file if file.suffix == ".gguf" else f"script:{file}"


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
