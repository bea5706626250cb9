"""The version of a step's code: a hash over the sources of its module and of everything of Danlu that it reaches.

Computed over the syntax trees, nothing is imported. A module reaches what it imports anywhere in it, inside functions
too, and the modules whose dotted name stands in it as a string (late imports); of a name that ends in a value
(f"danlu.data.readers.{format}"), every module of that package. The data files of a reached package (word lists,
templates) belong to it. The strings of `danlu.registry` are left out: they name every room.

Not covered: the versions of other libraries, which are recorded with each run instead, and names of modules that are
put together at run time in other ways.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import danlu
from danlu.artifact import digest, file_digest

_DOTTED = re.compile(r"danlu(\.\w+)+(:\w+)?")
_BEGUN = re.compile(r"(danlu(\.\w+)+)\.")


def code_version(module: str) -> str:
    """The hash of the code behind `module`, a dotted name (one outside danlu must be imported already)."""
    return _version(module, Path(danlu.__file__).parent)


@functools.cache
def _version(module: str, root: Path) -> str:
    files: dict[str, str] = {}
    for name in closure(module, root):
        source = _path(name, root)
        assert source is not None
        for path in _files(name, source):
            files[f"{name}/{path.relative_to(source.parent).as_posix()}"] = _file_digest(path)
    return digest(files)


def closure(module: str, root: Path) -> set[str]:
    """Every module under the package folder `root` (of danlu) that `module` reaches, itself included."""
    reached: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name.endswith(".*"):
            folder = root.joinpath(*name.split(".")[1:-1])
            waiting.extend(f"{name[:-2]}.{path.stem}" for path in folder.glob("*.py") if path.stem != "__init__")
            continue
        if _path(name, root) is None:  # a name out of a module, not a module
            name = "danlu" if name.count(".") == 1 else name
        if name in reached or _path(name, root) is None:
            continue
        reached.add(name)
        waiting.extend(_reaches(name, root))
        package = name.rpartition(".")[0]
        if package.startswith("danlu."):
            waiting.append(package)
    return reached


@functools.cache
def _reaches(name: str, root: Path) -> tuple[str, ...]:
    path = _path(name, root)
    assert path is not None
    tree = ast.parse(path.read_bytes(), filename=str(path))
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return tuple(_mentions(tree, package, strings=name != "danlu.registry"))


def _mentions(tree: ast.AST, package: str, strings: bool) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("danlu."))
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            if base.split(".")[0] == "danlu":
                if base != "danlu":
                    yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)
        elif strings and isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
            begun = _BEGUN.fullmatch(str(node.values[0].value))
            if begun and len(node.values) == 2:
                yield f"{begun[1]}.*"
        elif strings and isinstance(node, ast.Constant) and _DOTTED.fullmatch(str(node.value)):
            yield str(node.value).split(":")[0]


def _path(name: str, root: Path) -> Path | None:
    if name.split(".")[0] != "danlu":
        file = getattr(sys.modules.get(name), "__file__", None)
        return Path(file) if file else None
    base = root.joinpath(*name.split(".")[1:])
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file() and (name != "danlu" or path.parent == root):
            return path
    return None


def _files(name: str, source: Path) -> Iterator[Path]:
    """The module's source and, for a package, its data files."""
    yield source
    if source.name == "__init__.py" and name.startswith("danlu."):
        yield from _data_files(source.parent)


def _data_files(folder: Path) -> Iterator[Path]:
    for item in sorted(folder.iterdir()):
        if item.name.startswith((".", "__pycache__")):
            continue
        if item.is_dir() and not (item / "__init__.py").exists():
            yield from _data_files(item)
        elif item.is_file() and item.suffix != ".py":
            yield item


@functools.cache
def _file_digest(path: Path) -> str:
    return file_digest(path)
