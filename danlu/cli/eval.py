"""`danlu eval MODEL … --tasks TASK`: what models score."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.errors import UsageError

if TYPE_CHECKING:
    from danlu.artifact import Artifact, Store
    from danlu.eval.results import Results
    from danlu.eval.task import Task
    from danlu.model.subject import Subject
    from danlu.track import Track

EPILOG = """\
examples:
  danlu eval --list                                        the tasks that ship
  danlu eval gemma-3-270m --tasks tmmluplus --data data/   TMMLU+ from data/tmmluplus (without --data, from the hub)
  danlu eval gemma-3-270m ./mine --tasks drcd,perplexity --limit 100     two models, the first 100 questions
  danlu eval 3fa9c1 --tasks tmmluplus --shots 0            a model of the store, without examples
  danlu eval mine-q4_k_m.gguf --tasks tmmluplus            llama.cpp
  danlu eval endpoint:http://127.0.0.1:8000/v1#gpt --tasks gsm8k     whatever speaks OpenAI's protocol
  danlu eval mine --tasks my_task --include ./tasks        a task of your own, in lm-evaluation-harness's format
  danlu eval mine --tasks tmmluplus --permute              does the place of a choice decide?
  danlu eval mine --tasks my_task --templates              … or the wording (danlu: {templates: …} in the task's file)
  danlu eval mine --tasks drcd --contamination train.jsonl questions seen in training, and the scores without them

Stopped in any way, the same command goes on at the request where it stopped; what failed is asked again. A finished
call is not made again: it shows the results that are there. Next: danlu compare A B, danlu leaderboard.
A task whose dataset is not there is left out, and so are tasks that an endpoint cannot answer (one that only chats
gives no likelihoods); both are said.
Exit codes: 0 well, 1 some questions or tasks have no score (they are counted, and no zeros), 2 usage, 3 missing extra,
5 storage, 6 data or a task's file, 7 model, 8 endpoint, 130 interrupted.
"""


def add(subparsers: Any) -> None:
    from danlu.cli.plan import store_argument

    parser = subparsers.add_parser("eval", description="What models score in tasks.", epilog=EPILOG + _keys())
    parser.add_argument("models", nargs="*", metavar="MODEL", help="a built-in name, folder, hub id, artifact, GGUF, …")
    parser.add_argument("--tasks", metavar="A,B", help="names of tasks, groups or tags (with * and ?), or YAML files")
    parser.add_argument("--list", action="store_true", help="the tasks there are")
    parser.add_argument("--data", type=Path, metavar="DIR", help="a folder with the datasets, each under its name")
    parser.add_argument(
        "--include", type=Path, action="append", default=[], metavar="DIR", help="more YAML tasks; may be repeated"
    )
    parser.add_argument("--shots", type=_count(0), metavar="N", help="examples before a question (the task's own)")
    parser.add_argument("--fewer-shots", action="store_true", help="fewer examples where they do not fit the context")
    parser.add_argument("--limit", type=_count(1), metavar="N", help="the first N questions of each task")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the examples and the bootstrap (0)")
    _checks(parser)
    _models(parser)
    store_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run)


def _keys() -> str:
    """What a task's file may hold, from its schema."""
    import textwrap

    from danlu.eval.harness.schema import Extension, TaskConfig

    keys = ", ".join(name for name in TaskConfig.model_fields if name != "danlu")
    own = {name: (field.description or "").replace("\n", " ") for name, field in Extension.model_fields.items()}
    lines = [textwrap.fill(keys, 116, initial_indent="  ", subsequent_indent="  "), "and under danlu:"]
    lines += [
        textwrap.fill(f"{name:<14} {doc}", 116, initial_indent="  ", subsequent_indent=" " * 17)
        for name, doc in own.items()
    ]
    return "\nA task's file holds the keys of lm-evaluation-harness:\n" + "\n".join(lines) + "\n"


def _checks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--permute", action="store_true", help="multiple choice again with the choices moved")
    parser.add_argument("--templates", action="store_true", help="tasks with several wordings in each of them")
    parser.add_argument(
        "--contamination", type=Path, metavar="PATH", help="training data: JSONL, or an artifact's folder"
    )
    parser.add_argument(
        "--trust-task-code", action="store_true", help="run the Python that task files name (!function)"
    )


def _models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backend", default="auto", metavar="NAME", help="auto, transformers, llama or endpoint (default auto)"
    )
    parser.add_argument(
        "--dtype", default="float32", metavar="TYPE", help="float32, bfloat16 or float16 (transformers)"
    )
    parser.add_argument("--context", type=_count(1), metavar="N", help="a shorter context than the model's own")
    parser.add_argument(
        "--processes", type=_count(1), default=1, metavar="N", help="copies of the model (transformers)"
    )
    parser.add_argument("--threads", type=_count(1), metavar="N", help="processor threads")
    parser.add_argument("--on", default="local", metavar="WHERE", help="local, ray, or ray://HOST:PORT")
    parser.add_argument("--timeout", type=float, default=120.0, metavar="S", help="of a request to an endpoint (120 s)")
    parser.add_argument("--at-once", type=_count(1), default=8, metavar="N", help="requests to an endpoint at once (8)")
    parser.add_argument(
        "--key-variable", default="OPENAI_API_KEY", metavar="NAME", help="which holds an endpoint's key"
    )


def _count(least: int) -> Any:
    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {least} on")
        return int(text)

    return number


def run(args: argparse.Namespace) -> int:
    from danlu.artifact import Store
    from danlu.eval.harness import load_what_is_there
    from danlu.model.subject import subject
    from danlu.track import Track

    if args.list:
        return _list(args)
    _check(args)
    track = Track(quiet=args.quiet or args.json, on=args.on)
    there = args.store if args.store.is_dir() else None
    subjects = [subject(name, args.backend, there) for name in dict.fromkeys(args.models)]
    names = [name.strip() for name in args.tasks.split(",") if name.strip()]
    tasks, left_out = load_what_is_there(names, args.include, args.data, args.limit, args.trust_task_code)
    for name, error in left_out.items():
        track.note(f"left out: {name}: {error.problem.what}")
    if args.contamination is not None:
        from danlu.eval.contamination import training_files

        training_files(args.contamination)
    store = Store(args.store)
    try:
        found = [_evaluated(args, one, tasks, store, track) for one in subjects]
    except KeyboardInterrupt:
        print("\ninterrupted; what was answered is kept. The same command goes on where it stopped", file=sys.stderr)
        return 130
    if args.json:
        _print_json(found)
    else:
        for artifact, results, made in found:
            _print(artifact, results, made)
        for name, error in left_out.items():
            print(f"\nleft out: {name}: {error}")
        print("\nNext: danlu compare A B for differences question by question; danlu leaderboard for all models")
    return int(bool(left_out) or any(task.failures for _, results, _ in found for task in results.tasks))


def _check(args: argparse.Namespace) -> None:
    """What the command line must say."""
    if not args.models:
        raise UsageError("which MODEL?", next="danlu model ls lists the built-in ones; danlu eval --help")
    if not args.tasks:
        raise UsageError("which --tasks?", next="danlu eval --list")
    if args.on not in ("local", "ray") and not args.on.startswith("ray://"):
        raise UsageError(f"--on {args.on}: not a place to work", nearest="ray", next="danlu eval --help")


def _evaluated(
    args: argparse.Namespace, found: Subject, tasks: list[Task], store: Store, track: Track
) -> tuple[Artifact, Results, bool]:
    """The results of one model and whether they were made now. Those that are there are taken, unless questions failed
    for a reason that asking again may mend: then these are asked again, and the results replaced."""
    from danlu.eval.ask import TRANSIENT
    from danlu.eval.results import read_results
    from danlu.recipe.plan import cached

    settings = _settings(args, found, tasks)
    id = _identity(settings)

    def waiting(holder: str) -> None:
        track.note(f"{found.name}: waits for {holder or 'another process'}, which is measuring the same")

    with store.lock(id, who="danlu eval", waiting=waiting):
        artifact = cached(store, id)
        if artifact is not None:
            results = read_results(artifact.path)
            again = sum(count for task in results.tasks for why, count in task.failures.items() if why in TRANSIENT)
            if not again:
                return artifact, results, False
            track.note(f"{found.name}: {again} questions that failed are asked again")
        return *_measured(args, found, tasks, store, settings, id, track), True


def _measured(
    args: argparse.Namespace,
    found: Subject,
    tasks: list[Task],
    store: Store,
    settings: dict[str, Any],
    id: str,
    track: Track,
) -> tuple[Artifact, Results]:
    from danlu.errors import DanluError, storage_error
    from danlu.eval.cache import CACHE, Cache
    from danlu.eval.run import Wanted, measure, opened
    from danlu.eval.templates import wordings
    from danlu.recipe.measure import Cost

    wanted = Wanted(
        tasks,
        shots=args.shots,
        seed=args.seed,
        fewer_shots=args.fewer_shots,
        permute=args.permute,
        wordings=wordings(tasks, args.data, args.limit) if args.templates else None,
        trained_on=args.contamination,
    )
    cost = Cost()
    try:
        with cost, store.draft(id) as draft, Cache(store.root / CACHE, track) as cache:
            with opened(found.name, track, **_options(args)) as model:
                results = measure(model, found.name, wanted, cache, draft, track)
            draft.licences.update(_licences(found))
            facts = _facts(settings, id, results, cost)
            return store.commit(draft, facts), results
    except DanluError:
        raise
    except Exception as error:
        told = storage_error(error, str(store.root))
        if told is None:
            raise
        raise told from error


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """What opens a model, of the command line."""
    options = {
        "backend": args.backend,
        "dtype": args.dtype,
        "context": args.context,
        "processes": args.processes,
        "timeout": args.timeout,
        "at_once": args.at_once,
        "key_variable": args.key_variable,
        "store": args.store,
    }
    return options | ({"threads": args.threads} if args.threads else {})


def _settings(args: argparse.Namespace, found: Subject, tasks: list[Task]) -> dict[str, Any]:
    """All that decides what comes out, as the manifest keeps it."""
    from danlu.artifact import path_digest
    from danlu.eval.contamination import training_files
    from danlu.eval.write import source_of
    from danlu.model.subject import fingerprint

    trained = (
        {path.name: path_digest(path) for path in training_files(args.contamination)} if args.contamination else {}
    )
    return {
        "model": found.name,
        "fingerprint": fingerprint(found),
        "backend": found.kind,
        "dtype": args.dtype if found.kind == "transformers" else "",
        "context": args.context,
        "tasks": [source_of(task, args.shots) for task in tasks],
        "shots": args.shots,
        "fewer_shots": args.fewer_shots,
        "limit": args.limit,
        "seed": args.seed,
        "permute": args.permute,
        "templates": args.templates,
        "contamination": trained,
    }


def _identity(settings: dict[str, Any]) -> str:
    from danlu.artifact import digest
    from danlu.recipe.code import code_version

    return digest({"use": "eval.run", "settings": settings, "code": code_version("danlu.eval.run")})[:16]


def _licences(found: Subject) -> dict[str, dict[str, str]]:
    from danlu.model.catalog import CATALOG
    from danlu.model.find import folder_licence, licence

    if found.name in CATALOG:
        return {found.name: licence(found.name, ".")}
    return {found.name: folder_licence(found.path)} if found.kind == "transformers" else {}


def _facts(settings: dict[str, Any], id: str, results: Results, cost: Any) -> dict[str, Any]:
    """The manifest's other entries, as those of a recipe's step."""
    from danlu.recipe.code import code_version

    return {
        "id": id,
        "kind": "results",
        "step": "eval",
        "use": "eval.run",
        "recipe": "",
        "settings": settings,
        "inputs": {},
        "sources": {},
        "models": {"model": settings["fingerprint"]},
        "code": code_version("danlu.eval.run"),
        "licences": {},
        "seconds": results.seconds,
        "peak_bytes": cost.peak,
        "environment": results.environment,
    }


def _print(artifact: Artifact, results: Results, made: bool) -> None:
    from danlu.cli.plan import print_table
    from danlu.eval.write import COLUMNS, rows, value

    facts = results.model["facts"]
    told = ", ".join(str(facts[name]) for name in ("backend", "version", "dtype", "device") if facts.get(name))
    print(f"\n{results.model['name']}  ({told})")
    if facts.get("note"):
        print(facts["note"])
    print_table(COLUMNS, [[str(cell) for cell in row] for row in rows(results.tasks)])
    for task in results.tasks:
        if task.subjects and task.scores:
            name = task.scores[0].name
            print(f"\n{task.task}: {name} by subject")
            by = {subject: next((s for s in some if s.name == name), None) for subject, some in task.subjects.items()}
            cells = [
                [f"  {subject}", value(s), f"n {s.n}"] if s else [f"  {subject}", "no score", ""]
                for subject, s in by.items()
            ]
            print_table([], cells)
    for task in results.tasks:
        if task.failures == {"unsupported": task.came}:
            why = (note.removeprefix("unsupported, for example: ") for note in task.notes)
            print(f"left out: {task.task}: {next(why, 'this model cannot be asked so')}")
            continue
        for reason, count in task.failures.items():
            print(f"{task.task}: {count} of {task.came} questions have no score: {reason}")
        for note in task.notes:
            print(f"{task.task}: {note}")
    state = "results" if made else "was there already:"
    print(f"{state} {artifact.id}  {artifact.path}")


def _print_json(found: list[tuple[Artifact, Results, bool]]) -> None:
    import json

    told = [
        {"artifact": artifact.id, "path": str(artifact.path), "made": made, **results.model_dump(mode="json")}
        for artifact, results, made in found
    ]
    print(json.dumps(told, ensure_ascii=False, indent=1))


def _list(args: argparse.Namespace) -> int:
    import json

    from danlu.cli.plan import print_table
    from danlu.eval.harness import known_tasks

    known = known_tasks(args.include)
    if args.json:
        told = [
            {"name": one.name, "what": one.what, "title": one.title, "summary": one.summary, "kind": one.kind}
            for one in known
        ]
        print(json.dumps(told, ensure_ascii=False, indent=1))
        return 0
    rows = [[one.name, one.what, one.kind, one.title, one.summary] for one in known]
    print_table(["name", "", "kind", "title", "what it measures"], rows)
    print("\nNext: danlu eval MODEL --tasks NAME")
    return 0
