"""The Python that lies beside a task's YAML file (`!function module.name`): run only for who trusts it."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from danlu.errors import DanluError, DataError, UsageError, nearest
from danlu.eval.harness.read import Function

TRUST = "read that file, and if you trust it run the same command with --trust-task-code"


def refuse(function: Function, field: str) -> UsageError:
    """The error for code that nobody has said to trust."""
    return UsageError(f"{field} runs the Python of {function.spec}, which is off", where=function.where, next=TRUST)


def load(function: Function, field: str) -> Callable[..., Any]:
    """Import what a `!function` names. Call it only when the user trusts the file. What the code raises when it runs
    becomes a DataError."""
    module_name, _, name = function.spec.rpartition(".")
    path = (function.folder / f"{module_name.replace('.', '/')}.py").resolve()
    if not module_name or not path.is_file():
        beside = [entry.stem for entry in function.folder.glob("*.py")]
        raise DataError(
            f"{field}: {function.spec}: there is no {path.name}", where=function.where,
            nearest=nearest(module_name, beside),
        )  # fmt: skip
    module = _module(path, function)
    if not hasattr(module, name):
        raise DataError(
            f"{field}: {path.name} has no {name}", where=function.where, nearest=nearest(name, vars(module))
        )
    found = getattr(module, name)
    return found if isinstance(found, type) else _guarded(found, function, field)


def _module(path: Path, function: Function) -> Any:
    name = f"danlu_task_{hashlib.sha256(str(path).encode() + path.read_bytes()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        del sys.modules[name]
        package = (error.name or "").split(".")[0]
        raise UsageError(
            f"{path.name} needs a Python package: {error}", where=function.where,
            next=f"pip install {package}" if package else None,
        ) from None  # fmt: skip
    except Exception as error:
        del sys.modules[name]
        raise DataError(f"{path.name}: {type(error).__name__}: {error}", where=function.where) from error
    return module


def _guarded(function: Callable[..., Any], source: Function, field: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except DanluError:
            raise
        except Exception as error:
            raise DataError(
                f"{field}: {source.spec} raised {type(error).__name__}: {error}", where=source.where
            ) from error

    return call
