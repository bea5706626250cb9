"""Jupyter notebooks (.ipynb, format 3 and 4): Markdown cells as they are, code cells fenced, their text outputs below.

The title is that of the metadata, else the first heading. Outputs are what was printed or shown as plain text, cut
after `SHOWN` characters, and HTML or Markdown where the plain text only names the object; pictures and errors' traces
are left out. Not covered: widgets, attachments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from danlu.data.readers import Reading, Unreadable, html, sound
from danlu.data.readers.json import parse
from danlu.data.readers.markdown import first_heading

SHOWN = 2000
_OBJECT = re.compile(r"<IPython\.core\.display\.(?:HTML|Markdown) object>")


def read(data: bytes) -> Reading:
    """Raises Unreadable "broken-ipynb", "empty", and as `json.parse` does."""
    if not data.strip():
        raise Unreadable("empty", "nothing in the file")
    value, meta = parse(data)
    cells = _cells(value)
    language = _language(value)
    text = "\n\n".join(block for cell in cells for block in _blocks(cell, language)).strip()
    if not text:
        raise Unreadable("empty", f"{len(cells)} cell(s) without text")
    text = sound(text) + "\n"
    stated = _dict(value, "metadata").get("title")
    title = stated if isinstance(stated, str) else ""
    names = _list(_dict(value, "metadata").get("authors"))
    authors = [each["name"] for each in names if isinstance(each, dict) and "name" in each]
    author = {"author": sound("、".join(map(str, authors)))[:300]} if authors else {}
    return Reading(text, sound(title) or first_heading(text), {**meta, **author, "cells": len(cells)})


def _cells(value: Any) -> list[Any]:
    if not isinstance(value, dict) or "nbformat" not in value:
        raise Unreadable("broken-ipynb", "JSON, but no notebook: it has no nbformat")
    sheets = value.get("worksheets")
    held = [value, *sheets] if isinstance(sheets, list) else [value]
    return [
        cell for each in held if isinstance(each, dict) for cell in _list(each.get("cells")) if isinstance(cell, dict)
    ]


def _blocks(cell: dict[str, Any], language: str) -> Iterator[str]:
    source = _joined(cell.get("source", cell.get("input"))).strip("\n")
    kind = cell.get("cell_type")
    if not source.strip():
        return
    if kind == "heading":
        level = cell.get("level")
        yield f"{'#' * (level if isinstance(level, int) and 1 <= level <= 6 else 1)} {source}"
    elif kind == "code":
        yield _fenced(source, language)
        shown = "\n".join(filter(None, map(_output, _list(cell.get("outputs"))))).strip("\n")
        if shown.strip():
            yield _fenced(shown[:SHOWN] + ("\n…" if len(shown) > SHOWN else ""), "")
    else:
        yield source


def _output(output: Any) -> str:
    """What a code cell printed, or its value as plain text."""
    if not isinstance(output, dict) or output.get("output_type") in ("error", "pyerr"):
        return ""
    data = output.get("data")
    if not isinstance(data, dict):
        return _joined(output.get("text")).rstrip("\n")
    plain = _joined(data.get("text/plain")).rstrip("\n")
    if plain and not _OBJECT.fullmatch(plain.strip()):
        return plain
    return _joined(data.get("text/markdown")).strip("\n") or _page(_joined(data.get("text/html"))) or plain


def _page(source: str) -> str:
    """The text of HTML that a cell shows; empty when it has none."""
    try:
        return html.read(f"<meta charset=utf-8>{source}".encode("utf-8", "replace")).text.strip() if source else ""
    except Unreadable:
        return ""


def _fenced(code: str, language: str) -> str:
    fence = "````" if "```" in code else "```"
    return f"{fence}{language}\n{code}\n{fence}"


def _language(value: dict[str, Any]) -> str:
    told = _dict(_dict(value, "metadata"), "language_info").get("name")
    told = told or _dict(_dict(value, "metadata"), "kernelspec").get("language")
    return told if isinstance(told, str) and told.isascii() and told.replace("+", "").isalnum() else ""


def _dict(value: dict[str, Any], name: str) -> dict[str, Any]:
    held = value.get(name)
    return held if isinstance(held, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _joined(value: Any) -> str:
    """Multi-line strings are stored as lists of lines."""
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""
