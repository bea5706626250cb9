"""HTML: the main text as Markdown (headings, lists, definition lists, tables, code, quotations); no script, no style.

Left out: navigation, footers, asides, forms, and whatever is hidden (`hidden`, `aria-hidden`, `display: none`), since
a reader would not have seen it either. Links and emphasis keep their words only. Not covered: text that a script or a
style sheet makes, frames, and tables with merged cells (each cell is written once).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from danlu.data.readers import Reading, Unreadable
from danlu.data.readers.text import decoded
from danlu.extras import need

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_SKIP = frozenset(
    """
    script style noscript template nav footer aside form button svg math iframe head select textarea dialog object audio
    video canvas -comment
    """.split()  # noqa: SIM905 - a list of words reads better so
)
_INLINE = frozenset(
    """
    a abbr b bdi bdo cite code data dfn del em font i img input ins kbd label mark q rp rt ruby s samp small span strike
    strong sub sup time tt u var wbr
    """.split()  # noqa: SIM905 - a list of words reads better so
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_WIDE = r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
_WRAP = re.compile(rf"(?<={_WIDE})[ \t\r\f]*\n\s*(?={_WIDE})")
_SPACE = re.compile(r"[ \t\r\n\f]+")
_NESTED = re.compile(r"\n\n(?=- |\d+\. )")
_DEEP = 100


def read(data: bytes) -> Reading:
    """The title is `<title>`, else the first heading of the main text."""
    lexbor = need("selectolax.lexbor", "data")
    source, meta = decoded(data)
    try:
        tree = lexbor.LexborHTMLParser(source)
    except (lexbor.SelectolaxError, ValueError) as error:
        raise Unreadable("undecodable", f"no HTML: {error}") from None
    root = _main(tree)
    text = "\n\n".join(_blocks(root)) if root is not None else ""
    if not text.strip():
        raise Unreadable("empty", "no text outside scripts and navigation")
    heading = re.search(r"^#+ (.+)$", text, re.MULTILINE)
    title = tree.css_first("title")
    name = _tidy(title.text(deep=True)) if title is not None else ""
    return Reading(text + "\n", name or (heading[1] if heading else ""), meta)


def _main(tree: Any) -> LexborNode | None:
    """`<main>`, else the only `<article>`, else the body."""
    for selector in ("main, [role=main]", "article"):
        found = tree.css(selector)
        if len(found) == 1:
            return found[0]  # type: ignore[no-any-return]
    return tree.body  # type: ignore[no-any-return]


def _hidden(node: LexborNode) -> bool:
    if node.tag in _SKIP:
        return True
    attributes = node.attributes
    return (
        "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or bool(_HIDDEN.search(attributes.get("style") or ""))
    )


def _words(text: str) -> str:
    """Text with HTML's white space: runs are one space, and a line break between two Chinese characters is none."""
    return _SPACE.sub(" ", _WRAP.sub("", text))


def _flat(node: LexborNode, depth: int) -> str:
    """The words of an inline element."""
    if depth > _DEEP:
        return _words(node.text(deep=True))
    if node.tag == "code":
        code = _words(node.text(deep=True)).strip()
        return f"`{code}`" if code and "`" not in code else code
    out = []
    for child in node.iter(include_text=True):
        if child.tag == "-text":
            out.append(_words(child.text_content or ""))
        elif child.tag == "br":
            out.append("\n")
        elif not _hidden(child):
            inner = _flat(child, depth + 1)
            out.append(inner if child.tag in _INLINE else f" {inner} ")
    return "".join(out)


def _tidy(inline: str) -> str:
    lines = (_SPACE.sub(" ", line).strip() for line in inline.split("\n"))
    return "\n".join(line for line in lines if line)


def _blocks(node: LexborNode, depth: int = 0) -> list[str]:
    """The blocks of an element as Markdown, in the order of the page."""
    out: list[str] = []
    inline: list[str] = []

    def flush() -> None:
        text = _tidy("".join(inline))
        inline.clear()
        if text:
            out.append(text)

    for child in node.iter(include_text=True):
        tag = child.tag or ""
        if tag == "-text":
            inline.append(_words(child.text_content or ""))
        elif tag == "br":
            inline.append("\n")
        elif _hidden(child):
            continue
        elif tag in _INLINE or depth > _DEEP:
            inline.append(_flat(child, depth))
        else:
            flush()
            out.extend(_block(child, tag, depth + 1))
    flush()
    return out


def _block(node: LexborNode, tag: str, depth: int) -> list[str]:
    if tag in _HEADINGS:
        text = _tidy(_flat(node, depth)).replace("\n", " ")
        return [f"{'#' * _HEADINGS[tag]} {text}"] if text else []
    if tag in ("ul", "ol"):
        return _list(node, tag == "ol", depth)
    if tag == "dl":
        return _definitions(node, depth)
    if tag == "pre":
        code = node.text(deep=True).strip("\n")
        fence = "````" if "```" in code else "```"
        return [f"{fence}\n{code}\n{fence}"] if code.strip() else []
    if tag == "blockquote":
        inner = "\n\n".join(_blocks(node, depth))
        return ["\n".join(f"> {line}".rstrip() for line in inner.split("\n"))] if inner else []
    if tag == "table":
        return _table(node, depth)
    return _blocks(node, depth)


def _list(node: LexborNode, ordered: bool, depth: int) -> list[str]:
    lines: list[str] = []
    for child in node.iter():
        if _hidden(child):
            continue
        inner = _NESTED.sub("\n", "\n\n".join(_blocks(child, depth)))
        if inner:
            mark = f"{len(lines) + 1}. " if ordered else "- "
            lines.append(mark + re.sub(r"\n(?=.)", "\n" + " " * len(mark), inner))
    return ["\n".join(lines)] if lines else []


def _definitions(node: LexborNode, depth: int) -> list[str]:
    """`<dt>` and `<dd>` as `- **term**：meaning`."""
    lines: list[str] = []
    terms: list[str] = []
    for child in node.css("dt, dd"):
        text = _tidy(_flat(child, depth)).replace("\n", " ")
        if child.tag == "dt":
            terms.append(text)
        elif text:
            lines.append(f"- **{'、'.join(terms)}**：{text}" if terms else f"  {text}" if lines else f"- {text}")
            terms = []
    return ["\n".join(lines)] if lines else []


def _table(node: LexborNode, depth: int) -> list[str]:
    rows = []
    for row in node.css("tr"):
        cells = [cell for cell in row.iter() if cell.tag in ("td", "th") and not _hidden(cell)]
        if cells:
            rows.append([_tidy(_flat(cell, depth)).replace("\n", " ").replace("|", r"\|") for cell in cells])
    if not any(any(row) for row in rows):
        return []
    width = max(len(row) for row in rows)
    lines = ["| " + " | ".join(row + [""] * (width - len(row))) + " |" for row in rows]
    return ["\n".join([lines[0], "|" + " --- |" * width, *lines[1:]])]
