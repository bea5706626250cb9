"""Jinja templates of a task, rendered in a sandbox: a template reads the fields of a question and nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from danlu.errors import DataError, nearest
from danlu.extras import need


def regex_replace(text: str, pattern: str, replacement: str, count: int = 0) -> str:
    return re.sub(pattern, replacement, text, count=count)


@lru_cache(maxsize=1)
def _environment() -> Any:
    """As lm-evaluation-harness sets it up (missing fields are errors, the last newline stays), in a sandbox."""
    jinja2, sandbox = need("jinja2", "eval"), need("jinja2.sandbox", "eval")
    environment = sandbox.ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters["regex_replace"] = regex_replace
    return environment


@lru_cache(maxsize=4096)
def _compiled(source: str) -> Any:
    return _environment().from_string(source)


def check(source: str, field: str, where: str) -> None:
    """DataError when a template is not Jinja."""
    jinja2 = need("jinja2", "eval")
    try:
        _compiled(source)
    except jinja2.TemplateSyntaxError as error:
        raise DataError(f"{field}: not a Jinja template: {error.message}", where=where) from None


def render(source: str, doc: Mapping[str, Any], field: str, where: str) -> str:
    """A template filled in with the fields of a question. DataError when the template asks for a field that is not
    there (with the nearest one), or for anything beyond the question."""
    jinja2 = need("jinja2", "eval")
    try:
        return str(_compiled(source).render(doc))
    except jinja2.TemplateSyntaxError as error:
        raise DataError(f"{field}: not a Jinja template: {error.message}", where=where) from None
    except jinja2.exceptions.SecurityError as error:
        raise DataError(f"{field}: the template reaches for what it may not: {error}", where=where) from None
    except jinja2.UndefinedError as error:
        missing = re.search(r"'([^']+)' is undefined|no attribute '([^']+)'", str(error))
        word = (missing[1] or missing[2]) if missing else ""
        raise DataError(
            f"{field}: {error}; the question's fields are {', '.join(map(str, doc))}", where=where,
            nearest=nearest(word, map(str, doc)),
        ) from None  # fmt: skip
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, re.error) as error:
        start = str(dict(doc))[:200]
        raise DataError(f"{field}: {type(error).__name__}: {error}; the question is {start}", where=where) from None


def literal(text: str, field: str, where: str) -> Any:
    """The Python value that a template wrote out, a list above all."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise DataError(f"{field}: this is no list: {text[:200]}", where=where) from None
