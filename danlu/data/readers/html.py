"""HTML: the main text as Markdown (headings, lists, definition lists, tables, code, quotations); no script, no style.

Left out: navigation, footers, asides, forms, and whatever is hidden (`hidden`, `aria-hidden`, `display: none`), since
a reader would not have seen it either. On a page that does not mark its main text, also parts that call themselves
furniture (`class="sidebar"`) and parts that are little but links (Kohlschütter et al., 2010), unless nearly nothing
would be left. Links and emphasis keep their words only; a formula is the TeX that it carries. Not covered: text that a
script or a style sheet makes, frames, and tables with merged cells (each cell is written once).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from danlu.data.readers import Reading, Unreadable, sound
from danlu.data.readers.text import decoded
from danlu.extras import need

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_SKIP = frozenset(
    """
    script style noscript template nav footer aside form button svg iframe head select textarea dialog object audio
    video canvas -comment
    """.split()  # noqa: SIM905 - a list of words reads better so
)
_INLINE = frozenset(
    """
    a abbr b bdi bdo cite code data dfn del em font i img input ins kbd label mark math q rp rt ruby s samp small span
    strike strong sub sup time tt u var wbr
    """.split()  # noqa: SIM905 - a list of words reads better so
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_WIDE = r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
_WRAP = re.compile(rf"(?<={_WIDE})[ \t\r\f]*\n\s*(?={_WIDE})")
_SPACE = re.compile(r"[ \t\r\n\f]+")
_NESTED = re.compile(r"\n\n(?=- |\d+\. )")
_DEEP = 100
_FURNITURE = frozenset(
    """
    ad ads advert advertisement banner breadcrumb breadcrumbs comments consent cookie cookies footer menu nav navbar
    navigation newsletter pager pagination related share sharebar sharing sidebar sitemap social subscribe toolbar
    """.split()  # noqa: SIM905 - a list of words reads better so
)
_ROLES = frozenset(
    ["alert", "banner", "complementary", "contentinfo", "dialog", "menu", "menubar", "navigation", "search"]
)
_BOXES = frozenset(["div", "section", "ul", "ol", "table", "header", "td", "center"])
_DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?)?")
_DATES = ("article:modified_time", "datemodified", "article:published_time", "datepublished", "dc.date", "date")
_LINKS = 4
_LINKED = 0.7
_LEAST = 100
_CLOSED = re.compile(
    rb"<(title|script|style|textarea|iframe|noscript|a|div|p|span|td|th|li|i|b|em|strong)\b([^<>]*?)/>"
)


def read(data: bytes) -> Reading:
    """The title is `<title>`, else the first heading of the main text."""
    lexbor = need("selectolax.lexbor", "data")
    if data.lstrip().startswith(b"<?xml"):
        data = _CLOSED.sub(rb"<\1\2></\1>", data)
    source, meta = decoded(data)
    try:
        tree = lexbor.LexborHTMLParser(source)
    except (lexbor.SelectolaxError, ValueError) as error:
        raise Unreadable("undecodable", f"no HTML: {error}") from None
    root = _main(tree)
    text = "\n\n".join(_blocks(root)) if root is not None else ""
    if root is not None and root.tag == "body" and len(text) > _LEAST:
        _prune(root)
        less = "\n\n".join(_blocks(root))
        text = less if len(less) >= _LEAST else text
    if not text.strip():
        raise Unreadable("empty", "no text outside scripts and navigation")
    heading = re.search(r"^#+ (.+)$", text, re.MULTILINE)
    title = tree.css_first("title")
    name = _tidy(title.text(deep=True)) if title is not None else ""
    return Reading(text + "\n", name or (heading[1] if heading else ""), {**meta, **_properties(tree)})


def _main(tree: Any) -> LexborNode | None:
    """`<main>`, else the only `<article>`, else the body."""
    for selector in ("main, [role=main]", "article"):
        found = tree.css(selector)
        if len(found) == 1:
            return found[0]  # type: ignore[no-any-return]
    return tree.body  # type: ignore[no-any-return]


def _prune(root: LexborNode, depth: int = 0) -> None:
    """Takes furniture out of a page: what its class, id or role says, and boxes in which nearly all words are links."""
    for child in list(root.iter()):
        if child.tag not in _BOXES or depth > _DEEP // 4:
            continue
        names = set(re.split(r"[^a-z]+", f"{child.attributes.get('class')} {child.attributes.get('id')}".lower()))
        main = child.css_first("main, article, h1") is not None
        if not main and (child.attributes.get("role") in _ROLES or names & _FURNITURE or _linked(child)):
            child.decompose()
        else:
            _prune(child, depth + 1)


def _linked(node: LexborNode) -> bool:
    links = node.css("a")
    if len(links) < _LINKS:
        return False
    words = len("".join(node.text(deep=True).split()))
    return sum(len("".join(link.text(deep=True).split())) for link in links) >= _LINKED * max(words, 1)


def _properties(tree: Any) -> dict[str, str]:
    """`author`, `date` (of the last change, else of publication), `language` and `licence`, where the page says so."""
    said: dict[str, str] = {}
    for node in tree.css("meta[content]"):
        held = node.attributes
        name = held.get("name") or held.get("property") or held.get("itemprop") or held.get("http-equiv") or ""
        said.setdefault(name.lower(), sound(" ".join((held.get("content") or "").split()))[:300])
    found = {"author": said.get("author") or said.get("article:author") or said.get("dc.creator") or ""}
    dates = (said.get(name, "") for name in _DATES)
    found["date"] = next((match[0] for date in dates if (match := _DATE.match(date))), "")
    root = tree.css_first("html[lang]")
    found["language"] = (root.attributes.get("lang") or "") if root is not None else ""
    licence = tree.css_first("link[rel~=license][href], a[rel~=license][href]")
    found["licence"] = (licence.attributes.get("href") or "") if licence is not None else said.get("dc.rights", "")
    return {key: sound(value)[:300] for key, value in found.items() if value}


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
    if node.tag == "math":
        formula = node.css_first("annotation[encoding='application/x-tex']")
        return f"${_words(formula.text(deep=True)).strip()}$" if formula is not None else ""
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
