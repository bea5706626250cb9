"""The prompts: text files beside this one, read as messages."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from string import Template
from typing import cast

from danlu.records import Message, Role

_ROLE = re.compile(r"^\[(system|user|assistant)\]\n", re.MULTILINE)
_FOLDER = Path(__file__).parent


def messages(name: str, **values: object) -> tuple[Message, ...]:
    """The messages of prompts/<name>.txt, each `$name` filled in with its value; a missing value is a KeyError."""
    filled = ((role, Template(text).substitute(values).strip()) for role, text in _parts(name))
    return tuple(Message(role=cast(Role, role), content=content) for role, content in filled if content)


def lines(path: Path | None, default: str) -> list[str]:
    """The lines with text of a file of the user's, or of the package's own."""
    text = (path or _FOLDER / default).read_text(encoding="utf-8-sig")
    return [line.strip() for line in text.splitlines() if line.strip()]


def paragraphs(path: Path | None, default: str) -> list[str]:
    """The texts between lines of `---` of a file of the user's, or of the package's own."""
    text = (path or _FOLDER / default).read_text(encoding="utf-8-sig")
    return [part.strip() for part in re.split(r"(?m)^---+[ \t]*$", text) if part.strip()]


@lru_cache
def _parts(name: str) -> tuple[tuple[str, str], ...]:
    text = (_FOLDER / "prompts" / f"{name}.txt").read_text(encoding="utf-8")
    found = _ROLE.split(text)[1:]
    return tuple(zip(found[::2], found[1::2], strict=True))
