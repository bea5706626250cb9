"""`danlu show WHAT`: the lineage of a recipe's latest run or of one artifact."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.errors import StorageError, UsageError, nearest

if TYPE_CHECKING:
    from danlu.artifact import Artifact, Store

EPILOG = """\
examples:
  danlu show tutor                  the latest run of a recipe, by its name …
  danlu show recipes/tutor.yaml     … or by its file
  danlu show tutor.sft              one of its steps
  danlu show 3fa9c1                 an artifact, by the beginning of its id
  danlu show tutor --verify         read every file again and compare its hash

Exit codes: 0 well, 1 with --verify when a file is no longer what was written, 5 nothing of that name.
"""


def add(subparsers: Any) -> None:
    from danlu.cli.plan import store_argument

    parser = subparsers.add_parser(
        "show", description="What made an artifact: its lineage, settings, licences and metrics.", epilog=EPILOG
    )
    parser.add_argument("what", metavar="WHAT", help="a recipe's name or file, recipe.step, or an artifact's id")
    parser.add_argument("--verify", action="store_true", help="read every file again and compare its hash")
    store_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=show)


def show(args: argparse.Namespace) -> int:
    import json

    from danlu.artifact import Store

    if not args.store.is_dir():
        raise StorageError("there is no store", where=str(args.store), next="danlu run RECIPE makes one")
    store = Store(args.store)
    found, run = _find(store, args.what)
    damaged = _verify(store, found) if args.verify else {}
    if args.json:
        artifacts = {id: _known(store, id).manifest for id in _closure(store, found)}
        print(json.dumps({"run": run, "artifacts": artifacts, "damaged": damaged}, ensure_ascii=False, indent=1))
        return 1 if damaged else 0
    if run is not None:
        _print_run(store, run)
    _print_tree(store, found)
    if len(found) == 1 and run is None:
        _print_artifact(found[0])
    for id, names in damaged.items():
        print(f"damaged: {store.root / 'artifacts' / id}: {', '.join(names)}")
    if args.verify and not damaged:
        print("every file is what was written")
    return 1 if damaged else 0


def _find(store: Store, what: str) -> tuple[list[Artifact], dict[str, Any] | None]:
    """The artifacts asked for; with a recipe also the record of its latest run, and the artifacts nothing else read."""
    from danlu.recipe.run import load_record
    from danlu.recipe.schema import read_recipe

    name = read_recipe(Path(what)).name if Path(what).is_file() else what
    if (store.root / "runs" / name / "run.json").is_file():
        run = load_record(store.root / "runs" / name)
        read = {other for step in run["steps"] for other in step["references"].values()}
        made = {step["name"]: step["id"] for step in run["steps"] if step["content"]}
        followed = {o for step in run["steps"] if step["content"] for o in step["references"].values()} & read
        return [_known(store, id) for step, id in made.items() if step not in followed], run
    recipe, _, step_name = what.rpartition(".")
    if recipe and (store.root / "runs" / recipe / "run.json").is_file():
        steps = load_record(store.root / "runs" / recipe)["steps"]
        ids = {step["name"]: step["id"] for step in steps if step["content"]}
        if step_name in ids:
            return [_known(store, ids[step_name])], None
        what = f"the latest run of {recipe!r} has no {step_name!r}"
        raise UsageError(what, nearest=nearest(step_name, ids), next=f"danlu show {recipe}")
    fitting = [path.name for path in (store.root / "artifacts").iterdir() if path.name.startswith(what)]
    if len(fitting) == 1:
        return [_known(store, fitting[0])], None
    if fitting:
        some = ", ".join(sorted(fitting)[:4])
        raise UsageError(f"{what!r} is the beginning of {len(fitting)} ids: {some}", next="danlu ls")
    runs = [path.name for path in (store.root / "runs").iterdir()]
    raise StorageError(
        f"nothing is called {what!r}", where=str(store.root), nearest=nearest(what, runs), next="danlu ls"
    )


def _known(store: Store, id: str) -> Artifact:
    artifact = store.get(id)
    if artifact is None:
        raise StorageError(f"the artifact {id} is gone", where=str(store.root), next="danlu run RECIPE makes it again")
    return artifact


def _closure(store: Store, roots: list[Artifact]) -> list[str]:
    """The ids of `roots` and of everything that they were made from, inputs first."""
    seen: dict[str, None] = {}

    def visit(id: str) -> None:
        if id in seen:
            return
        artifact = store.get(id)
        for entry in artifact.manifest["inputs"].values() if artifact else ():
            visit(entry["id"])
        if artifact:
            seen[id] = None

    for root in roots:
        visit(root.id)
    return list(seen)


def _verify(store: Store, roots: list[Artifact]) -> dict[str, list[str]]:
    from danlu.track import Track

    ids = _closure(store, roots)
    found = {id: _known(store, id).verify() for id in Track().over(ids, "verifying")}
    return {id: names for id, names in found.items() if names}


def _print_run(store: Store, run: dict[str, Any]) -> None:
    from danlu.cli.plan import print_table
    from danlu.recipe.measure import duration, size

    print(f"{run['recipe']}: {run['state']}, {run['started']}\n")
    rows = [
        [s["name"], s["use"], s["state"], s["id"] or "", duration(s["seconds"]), size(s["peak_bytes"])]
        for s in run["steps"]
    ]
    print_table(["step", "use", "state", "id", "time", "peak"], rows)
    if run["error"]:
        print(f"\n{run['error']}")
    print(f"\nreport: {store.root / 'runs' / run['recipe'] / 'report.html'}\n\nlineage, results first:\n")


def _print_tree(store: Store, roots: list[Artifact]) -> None:
    seen: set[str] = set()

    def line(field: str, artifact: Artifact, entry: dict[str, str] | None) -> str:
        m = artifact.manifest
        changed = " (made again since, with other content)" if entry and entry["content"] != artifact.content else ""
        again = " …" if artifact.id in seen else ""
        label = f"{field}: " if field else ""
        return f"{label}{m['step']}  {m['use']} → {m['kind']}  {artifact.id}{changed}{again}"

    def visit(artifact: Artifact, indent: str) -> None:
        if artifact.id in seen:
            return
        seen.add(artifact.id)
        m = artifact.manifest
        outside = [f"{field}: {m['settings'][field]}" for field in (*m["sources"], *m["models"])]
        children = list(m["inputs"].items())
        for number, text in enumerate(outside):
            last = number == len(outside) - 1 and not children
            print(f"{indent}{'└─' if last else '├─'} {text}")
        for number, (field, entry) in enumerate(children):
            last = number == len(children) - 1
            child = store.get(entry["id"])
            text = line(field, child, entry) if child else f"{field}: {entry['step']}  {entry['id']} (gone)"
            print(f"{indent}{'└─' if last else '├─'} {text}")
            if child:
                visit(child, indent + ("   " if last else "│  "))

    for root in roots:
        print(line("", root, None))
        visit(root, "")


def _print_artifact(artifact: Artifact) -> None:
    from danlu.cli.plan import print_table
    from danlu.recipe.measure import duration, size

    m = artifact.manifest
    print(f"\n{artifact.path}\nkind {artifact.kind}, content {artifact.content}")
    print(f"made {m['created']} in {duration(m['seconds'])}, peak memory {size(m['peak_bytes'])}")
    for title, pairs in (("settings", m["settings"]), ("metrics", m["metrics"])):
        if pairs:
            print(f"\n{title}")
            print_table([], [[f"  {name}", str(value)] for name, value in pairs.items()])
    if m["licences"]:
        print("\nlicences")
        for name, facts in m["licences"].items():
            print(f"  {name}: {facts.get('licence', '')}  {facts.get('terms', '')}".rstrip())
    print("\nfiles")
    for name, facts in m["files"].items():
        print(f"  {name}  {size(facts['size'])}")
