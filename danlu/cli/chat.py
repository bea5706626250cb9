"""`danlu chat TARGET`: talk to an assistant in the terminal."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.errors import StorageError, UsageError, nearest

if TYPE_CHECKING:
    from danlu.artifact import Store
    from danlu.model.chat import Chat, Delta, Options
    from danlu.records import Message

EPILOG = """\
TARGET is one of:
  a recipe (file or name)     the assistant that its latest run made
  an artifact (id or folder)  an assistant, or a model of kind gguf
  an artifact of kind model or adapter, a folder in Hugging Face's format, a hub id (org/name)      in transformers
  gemma-3-270m, FILE.gguf     a built-in model (danlu model ls) or a file, alone
  endpoint:URL#MODEL          any OpenAI-compatible endpoint; its key is read from OPENAI_API_KEY
  script:FILE.json            no model: a rehearsal, {"text found in the question": "answer"}

examples:
  danlu chat recipes/tutor.yaml
  danlu chat tutor --ask 什麼是 LoRA？ --ask 玉山有多高？ --json
  danlu chat recipes/tutor.yaml --no-rag
  danlu chat endpoint:http://127.0.0.1:8000/v1#tutor

Markers like [1] in an answer refer to the sources listed after it. Ctrl-D ends.
"""

MODES = {
    "generated": "依據文件回答",
    "quoted": "直接引用原文",
    "refused": "文件中沒有提到",
    "courtesy": "沒有查文件",
    "asked": "反問",
    "plain": "沒有查文件",
}


@dataclass
class Opened:
    """A Chat that is ready. `documents` says whether it answers from documents; `close` frees it."""

    chat: Chat
    name: str
    max_tokens: int = 512
    documents: bool = False
    ask: list[str] = field(default_factory=list)
    close: Callable[[], None] = lambda: None


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "chat",
        description="Talk to an assistant in the terminal.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    target_arguments(parser)
    parser.add_argument("--ask", action="append", metavar="QUESTION", help="ask this and end; may be repeated")
    parser.add_argument("--max-tokens", type=_positive, metavar="N", help="the longest answer")
    parser.add_argument("--temperature", type=float, default=0.0, metavar="T", help="0 is greedy, the default")
    parser.add_argument("--json", action="store_true", help="print the answers to --ask as JSON")
    parser.set_defaults(run=chat)


def target_arguments(parser: argparse.ArgumentParser) -> None:
    """What `chat` and `serve` share."""
    from danlu.cli.plan import store_argument

    parser.add_argument("target", metavar="TARGET", help="what to talk to; see below")
    parser.add_argument("--no-rag", action="store_true", help="the assistant's model alone, without its documents")
    store_argument(parser)


def chat(args: argparse.Namespace) -> int:
    from danlu.model.chat import Options

    if args.json and not args.ask:
        raise UsageError("--json is for answers to --ask", next="danlu chat TARGET --ask QUESTION --json")
    opened = open_target(args.target, args.store, rag=not args.no_rag, slots=1)
    options = Options(max_tokens=args.max_tokens or opened.max_tokens, temperature=args.temperature)
    try:
        if not args.ask:
            return _converse(opened, options)
        return _print_json(opened, args.ask, options) if args.json else _answer_all(opened, args.ask, options)
    finally:
        opened.close()


def open_target(target: str, store: Path, *, rag: bool, slots: int) -> Opened:
    """Make a Chat of TARGET. UsageError or StorageError when it names nothing."""
    from danlu.model import named
    from danlu.model.catalog import CATALOG
    from danlu.model.find import gguf_file

    if target.startswith("endpoint:"):
        return _endpoint(target.removeprefix("endpoint:"))
    if target.startswith("script:"):
        return Opened(named.script(Path(target.removeprefix("script:"))), Path(target).stem)
    path = Path(target)
    if path.suffix == ".gguf":
        return _model(path, path.stem, slots)
    if target in CATALOG:
        return _model(gguf_file(target), target, slots, template=CATALOG[target].template)
    if (path / "artifact.json").is_file():
        return _artifact(path, rag, slots)
    if named.is_weights(path):
        return _weights(path, path.name)
    if not path.exists() and named.HUB_ID.fullmatch(target):
        return _weights(target, target)
    return _artifact(in_store(target, store), rag, slots)


def _endpoint(address: str) -> Opened:
    from danlu.model.endpoint import Endpoint

    url, _, model = address.rpartition("#")
    if not url or not model:
        raise UsageError(
            f"an endpoint is written endpoint:URL#MODEL, not endpoint:{address}",
            next="for example endpoint:http://127.0.0.1:8000/v1#tutor",
        )
    return Opened(Endpoint(url, model), model)


def _model(path: Path, name: str, slots: int, context: int = 4096, template: str | None = None) -> Opened:
    from danlu.model.llama_server import LlamaServer

    server = LlamaServer(path, context=context, slots=slots, template=template)
    return Opened(server, name, close=server.close)


def _weights(model: Path | str, name: str) -> Opened:
    from danlu.model.answering import ModelChat
    from danlu.model.subject import open_model

    chat = ModelChat(open_model(str(model)))
    return Opened(chat, name, close=chat.close)


def _artifact(folder: Path, rag: bool, slots: int) -> Opened:
    from danlu.artifact import Artifact

    artifact = Artifact.load(folder)
    name = str(artifact.manifest.get("recipe") or artifact.id)
    if artifact.kind == "gguf":
        import json

        formats = json.loads(artifact.file("formats.json").read_text(encoding="utf-8"))
        return _model(artifact.file(next(iter(formats.values()))), name, slots)
    if artifact.kind == "assistant":
        return _assistant(folder, name, rag, slots)
    if artifact.kind in ("model", "adapter"):
        return _weights(folder, name)
    raise UsageError(f"an artifact of kind {artifact.kind} does not chat", where=str(folder), next="danlu ls")


def _assistant(folder: Path, name: str, rag: bool, slots: int) -> Opened:
    from danlu.rag.assistant import grounded, parts

    saved, model, index = parts(folder)
    opened = _named(model, name) if isinstance(model, str) else _model(model, name, slots, saved.context)
    opened.max_tokens, opened.ask = saved.max_tokens, saved.ask
    if rag:
        opened.chat, opened.documents = grounded(opened.chat, index, saved), True
    return opened


def _named(model: str, name: str) -> Opened:
    """A built-in model, an endpoint or a script, as an assistant names it."""
    from contextlib import ExitStack

    from danlu.model import named

    stack = ExitStack()
    found = stack.enter_context(named.opened(model))
    return Opened(found.chat, name, close=stack.close)


def in_store(target: str, root: Path) -> Path:
    """The folder of the artifact that a recipe's latest run made, or that an id names."""
    from danlu.artifact import Store
    from danlu.model.catalog import CATALOG

    if not root.is_dir():
        near = nearest(target, CATALOG)
        if near is not None:
            raise UsageError(f"nothing is called {target!r}", nearest=near, next="danlu model ls")
        raise StorageError("there is no store here", where=str(root), next="danlu run RECIPE, or --store DIR")
    store = Store(root)
    name = _recipe_name(target)
    if (store.root / "runs" / name / "run.json").is_file():
        return _of_run(store, name)
    fitting = [path for path in sorted((store.root / "artifacts").iterdir()) if path.name.startswith(target)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        some = ", ".join(path.name for path in fitting[:4])
        raise UsageError(f"{target!r} is the beginning of {len(fitting)} ids: {some}", next="danlu ls")
    if Path(target).is_file():
        raise StorageError("this recipe was not run yet", where=target, next=f"danlu run {target}")
    runs = store.root / "runs"
    known = [*CATALOG, *([path.name for path in runs.iterdir()] if runs.is_dir() else [])]
    raise UsageError(f"nothing is called {target!r}", nearest=nearest(target, known), next="danlu chat --help")


def _recipe_name(target: str) -> str:
    from danlu.recipe.schema import read_recipe

    return read_recipe(Path(target)).name if Path(target).is_file() else target


def _of_run(store: Store, name: str) -> Path:
    from danlu.recipe.run import load_record

    steps = load_record(store.root / "runs" / name)["steps"]
    made = [step["id"] for step in steps if step["makes"] == "assistant" and step["content"]]
    if not made:
        raise StorageError(
            f"the latest run of {name!r} made no assistant",
            where=str(store.root),
            next=f"run the recipe to its end (danlu show {name} tells how far it came), or add a rag.assistant step",
        )
    return store.root / "artifacts" / str(made[-1])


def _converse(opened: Opened, options: Options) -> int:
    from danlu.records import Message

    print(f"{opened.name}（按 Ctrl-D 結束）")
    talk: list[Message] = []
    while True:
        try:
            question = input("\n你：").strip()
        except EOFError:
            print()
            return 0
        if question:
            talk.append(Message(role="user", content=question))
            answer = _say(opened, talk, options)
            talk.append(Message(role="assistant", content=answer.text))


def _answer_all(opened: Opened, questions: list[str], options: Options) -> int:
    from danlu.records import Message

    for question in questions:
        print(f"\n你：{question}")
        _say(opened, [Message(role="user", content=question)], options)
    return 0


def _say(opened: Opened, talk: list[Message], options: Options) -> Delta:
    """Print the answer as it comes, then how it came about and its sources."""
    from danlu.model.chat import gather

    deltas = []
    print("答：", end="", flush=True)
    for delta in opened.chat.stream(talk, options):
        print(delta.text, end="", flush=True)
        deltas.append(delta)
    print()
    whole = gather(deltas)
    if whole.grounding:
        print(f"〔{MODES[whole.grounding['mode']]}〕")
    for source in whole.sources or []:
        where = " › ".join(source["headings"]) or source["title"]
        print(f"  [{source['n']}] {source['source']} {source['start']}–{source['end']}　{where}")
        print("      " + source["quote"].replace("\n", "\n      "))
    return whole


def _print_json(opened: Opened, questions: list[str], options: Options) -> int:
    import dataclasses
    import json

    from danlu.model.chat import gather
    from danlu.records import Message

    answers = []
    for question in questions:
        whole = gather(opened.chat.stream([Message(role="user", content=question)], options))
        answers.append({"question": question, "answer": whole.text, **dataclasses.asdict(whole)})
        del answers[-1]["text"]
    print(json.dumps(answers, ensure_ascii=False, indent=1))
    return 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value
