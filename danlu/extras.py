"""Optional libraries: imported late, and when absent named together with the command that installs them."""

from __future__ import annotations

import importlib
from types import ModuleType

from danlu.errors import MissingExtra


def need(module: str, extra: str) -> ModuleType:
    """Import `module`, or raise MissingExtra naming the extra of pyproject.toml that brings it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or module.split(".")[0] != error.name.split(".")[0]:
            raise
        raise MissingExtra(
            f"{module} is not installed, and this step needs it", next=f"pip install 'danlu[{extra}]'"
        ) from None
