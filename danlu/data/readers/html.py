"""HTML: the main text as Markdown (headings, lists, definition lists, tables, code, quotations); no script, no style.

Left out: navigation, footers, controls of forms, and whatever is hidden (`hidden`, `aria-hidden`, `display: none`),
since a reader would not have seen it either; but what a button opens (accordions, tabs) is read, and the button is its
heading. Where a page marks its main text, prose beside it is kept (a lead before `<main>`) and all else is not. Where
it does not, parts that are little but links (Kohlschütter et al., 2010) are left out, and parts that call themselves
furniture (`class="sidebar"`) when they also look like it: links, or no sentence (`danlu.data.readers.furniture`).
Links and emphasis keep their words only; a superscript is `10^-3`; a formula is the TeX that it carries. A merged cell
of a table stands in each of its places (one as wide as the table, once), several head rows become one (費用-平日), a
table of layout is the blocks of its cells. Not covered: text that a script or a style sheet makes, and frames.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from danlu.data.readers import Reading, Unreadable, furniture, sound
from danlu.data.readers.grid import table
from danlu.data.readers.numbering import number
from danlu.data.readers.symbols import power
from danlu.data.readers.text import decoded
from danlu.extras import need

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_SKIP = frozenset(
    """
    script style noscript template nav footer button svg iframe head select textarea dialog object audio video canvas
    datalist progress meter -comment
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
_NESTED = re.compile(r"\n\n(?=- |(?:\d+|[A-Za-z]{1,6})\. )")
_DEEP = 100
_DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?)?")
_DATES = ("article:modified_time", "datemodified", "article:published_time", "datepublished", "dc.date", "date")
_LEAST = 100
_CELLS = 64
"""Most columns or rows that one merged cell spans: a page may say 65534."""
_NUMBERED = {"a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman"}
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
    furniture.open_panels(tree)
    root, marked = _main(tree)
    text = "\n\n".join(_blocks(root)) if root is not None else ""
    if root is not None and not marked and len(text) > _LEAST:
        furniture.prune(root)
        less = "\n\n".join(_blocks(root))
        text = less if len(less) >= _LEAST else text
    if not text.strip():
        raise Unreadable("empty", "no text outside scripts and navigation")
    heading = re.search(r"^#+ (.+)$", text, re.MULTILINE)
    title = tree.css_first("title")
    name = _tidy(title.text(deep=True)) if title is not None else ""
    return Reading(text + "\n", name or (heading[1] if heading else ""), {**meta, **_properties(tree)})


def _main(tree: Any) -> tuple[LexborNode | None, bool]:
    """The body, and whether the page marks its text: then only `<main>`, else the only `<article>`, and the prose
    beside it are left in the body."""
    for selector in ("main, [role=main]", "article"):
        found = [node for node in tree.css(selector) if node.text(deep=True).strip()]
        if len(found) == 1:
            furniture.prune_beside(found[0])
            return tree.body, True
    return tree.body, False


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
        return not (node.tag == "button" and furniture.opens(node)) and not (
            node.tag == "footer" and node.parent is not None and node.parent.tag == "blockquote"
        )
    if node.tag in ("form", "aside", "fieldset") and furniture.controls(node):
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
        elif child.tag == "table" and not _hidden(child):
            out.append(f" {_in_words(child, depth + 1)} ")
        elif not _hidden(child):
            inner = _inline(child, depth + 1, "".join(out)) if child.tag == "sup" else _flat(child, depth + 1)
            out.append(inner if child.tag in _INLINE else f" {inner} ")
    return "".join(out)


def _inline(node: LexborNode, depth: int, before: str) -> str:
    """The words of an inline element after `before`: a power has `^` in front (10^-3, m^2); marks of notes (in links or
    brackets) and ordinals (1st) stay as they are."""
    inner = _flat(node, depth)
    if node.tag != "sup" or node.css_first("a") is not None or not before.strip():
        return inner
    return power(inner)


def _in_words(table: LexborNode, depth: int) -> str:
    """A table inside a cell, in a line: cells apart by spaces, rows by semicolons."""
    rows = (" ".join(text for cell in row if (text := _tidy(_flat(cell, depth)))) for row in _rows(table))
    return "；".join(row.replace("\n", " ") for row in rows if row)


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
            inline.append(_inline(child, depth, "".join(inline) if tag == "sup" else ""))
        else:
            flush()
            out.extend(_block(child, tag, depth + 1))
    flush()
    return out


def _block(node: LexborNode, tag: str, depth: int) -> list[str]:
    if tag in _HEADINGS:
        text = _tidy(_flat(node, depth)).replace("\n", " ")
        return [f"{'#' * _HEADINGS[tag]} {text}"] if text else []
    if tag == "button":
        text = _tidy(_flat(node, depth)).replace("\n", " ")
        return [f"### {text}"] if text else []
    if tag in ("ul", "ol", "menu"):
        return _list(node, depth)
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


def _list(node: LexborNode, depth: int) -> list[str]:
    """A list with the numbers that a browser shows: `start`, `value`, `reversed` and `type` are kept."""
    lines: list[str] = []
    items = [child for child in node.iter() if not _hidden(child)]
    step = -1 if "reversed" in node.attributes else 1
    at = _whole(node.attributes.get("start"), len(items) if step < 0 else 1)
    for child in items:
        inner = _NESTED.sub("\n", "\n\n".join(_blocks(child, depth)))
        if child.tag == "li":
            at = _whole(child.attributes.get("value"), at)
        if not inner:
            continue
        shown = number(at, _NUMBERED.get(node.attributes.get("type") or "", "decimal"))
        at += step
        mark = f"{shown}. " if node.tag == "ol" else "- "
        lines.append(mark + re.sub(r"\n(?=.)", "\n" + " " * len(mark), inner))
    return ["\n".join(lines)] if lines else []


def _whole(said: str | None, otherwise: int) -> int:
    found = re.fullmatch(r"\s*([+-]?\d{1,9})\s*", said or "")
    return int(found[1]) if found else otherwise


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


def _rows(table: LexborNode) -> list[list[LexborNode]]:
    """The cells of each row of a table, those of tables inside it not among them."""
    rows = []
    for child in table.iter():
        parts = child.iter() if child.tag in ("thead", "tbody", "tfoot") else [child]
        for row in parts:
            if row.tag == "tr" and not _hidden(row):
                rows.append([cell for cell in row.iter() if cell.tag in ("td", "th") and not _hidden(cell)])
    return rows


def _table(node: LexborNode, depth: int) -> list[str]:
    """A table as Markdown below its caption; one that only lays out a page, as the blocks of its cells."""
    rows = _rows(node)
    caption = next((child for child in node.iter() if child.tag == "caption" and not _hidden(child)), None)
    blocks = [_tidy(_flat(caption, depth))] if caption is not None else []
    if _lays_out(node, rows):
        return blocks + [block for row in rows for cell in row for block in _blocks(cell, depth)]
    texts, heads = _grid(rows, depth)
    if heads > 1:
        joined = ["-".join(dict.fromkeys(filter(None, column))) for column in zip(*texts[:heads], strict=True)]
        texts = [joined, *texts[heads:]]
    made = table(texts)
    return [block for block in [*blocks, made] if block]


def _lays_out(node: LexborNode, rows: list[list[LexborNode]]) -> bool:
    """Whether a table is there for its looks: it says so, is one cell, or holds tables or headings and has no head."""
    cells = [cell for row in rows for cell in row]
    if node.attributes.get("role") in ("presentation", "none") or len(cells) == 1:
        return True
    if any(cell.tag == "th" for cell in cells):
        return False
    return node.css_first("td table, td h1, td h2, td h3, td h4, td form") is not None


def _grid(rows: list[list[LexborNode]], depth: int) -> tuple[list[list[str]], int]:
    """The texts of a table, row by column, a merged cell in each of its places; and how many rows are its head."""
    placed: list[dict[int, str]] = [{} for _ in rows]
    for at, row in enumerate(rows):
        column = 0
        for cell in row:
            while column in placed[at]:
                column += 1
            text = _tidy(_flat(cell, depth)).replace("\n", " ")
            wide = min(max(_whole(cell.attributes.get("colspan"), 1), 1), _CELLS) if len(row) > 1 else 1
            high = _whole(cell.attributes.get("rowspan"), 1) or len(rows)
            for below in placed[at : at + min(max(high, 1), _CELLS)]:
                for over in range(column, column + wide):
                    below.setdefault(over, text)
            column += wide
    width = max((max(row, default=-1) + 1 for row in placed), default=0)
    heads = 0
    while heads < len(rows) and rows[heads] and all(cell.tag == "th" for cell in rows[heads]):
        heads += 1
    heads = heads if heads < len(rows) and (heads < 2 or _merged(rows[:heads])) else 1
    return [[row.get(column, "") for column in range(width)] for row in placed], heads


def _merged(rows: list[list[LexborNode]]) -> bool:
    return any("colspan" in cell.attributes or "rowspan" in cell.attributes for row in rows for cell in row)
