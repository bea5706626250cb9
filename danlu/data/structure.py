"""The structure of a Markdown text: its sections with their blocks, each with its span of characters in the text.

Parsed by markdown-it-py (CommonMark with tables). Inline formulas (`$…$`, `$$…$$`) are kept as they are. Statutes and
policies, whose headings are numbers (`danlu.text.clauses`), have a section for each clause. Not covered: the inside of
block quotes and tables, footnotes, headings inside lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from danlu.extras import need
from danlu.text.clauses import clauses

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_LINE = re.compile(r"\r\n?|\n")
_MATH = re.compile(r"\$\$.+?\$\$|\$(?! )[^$\n]*?[^$\s\\]\$(?!\d)", re.DOTALL)
_FOOTNOTE = re.compile(r"\[\^[^\]]+\]")
_REFERENCE = re.compile(r"(?<![A-Za-z0-9_\])])\[([^\[\]]+)\]\[[^\[\]]*\]")
_MARKUP = frozenset("\\`*_[]<>&$!~\r\0")
_LONGEST_TITLE = 40
_ENTRY = re.compile(r"[一二三四五六七八九十]{1,3}、|[（(][一二三四五六七八九十\d]{1,3}[）)]|\d{1,2}[.、]")
_WIDE = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")


@dataclass(frozen=True)
class Item:
    """One entry of a list: the span of its first paragraph, how deep it lies, and its mark (`-` or `1.`)."""

    start: int
    end: int
    depth: int
    mark: str


@dataclass(frozen=True)
class Block:
    """A top-level block. "other" is whatever is no prose: code, a table, a quotation, HTML, a rule."""

    kind: Literal["paragraph", "list", "other"]
    start: int
    end: int
    items: tuple[Item, ...] = ()
    code: bool = False


@dataclass(frozen=True)
class Section:
    """A heading and the blocks up to the next heading. `path` holds the plain headings above it and its own. `clause`
    says that it is a statute's or a policy's."""

    heading: str
    level: int
    path: tuple[str, ...]
    blocks: tuple[Block, ...]
    clause: bool = False


def sections(text: str) -> list[Section]:
    """The sections of `text` in order; text before the first heading is a section with an empty heading of level 0."""
    numbered = clauses(text)
    if not numbered:
        return _of_markdown(text)
    found = _of_markdown(text[: numbered[0].start])
    top = [(0, name) for name in found[-1].path or _title(text[: numbered[0].start])]
    above: list[tuple[int, str]] = top
    for clause, end in zip(numbered, [*(one.start for one in numbered[1:]), len(text)], strict=True):
        above = [(level, name) for level, name in above if level < clause.level] + [(clause.level, clause.name)]
        blocks = [
            _moved(block, clause.body) for section in _of_markdown(text[clause.body : end]) for block in section.blocks
        ]
        path = tuple(name for _, name in above)
        found.append(Section(clause.name, clause.level, path, tuple(blocks), clause=True))
    return found


def _title(before: str) -> list[str]:
    """The first line of what stands before the first clause, where it looks like a title."""
    line = before.strip().split("\n", 1)[0].strip("# \t\u3000")
    return (
        [line] if line and len(line) <= _LONGEST_TITLE and not line.endswith(("。", "，", "；", "：", ".", ":")) else []
    )


def _moved(block: Block, by: int) -> Block:
    items = tuple(replace(item, start=item.start + by, end=item.end + by) for item in block.items)
    return replace(block, start=block.start + by, end=block.end + by, items=items)


def _of_markdown(text: str) -> list[Section]:
    """The sections that Markdown's headings make."""
    starts = [0, *(found.end() for found in _LINE.finditer(text))]
    tokens = _blocks_only().parse(text)
    found: list[tuple[str, int, tuple[str, ...], list[Block]]] = [("", 0, (), [])]
    above: list[tuple[int, str]] = []
    for at, token in enumerate(tokens):
        if token.level or token.nesting < 0 or token.map is None:
            continue
        if token.type == "heading_open":
            level, heading = int(token.tag[1]), plain(tokens[at + 1].content)
            above = [(other, name) for other, name in above if other < level] + [(level, heading)]
            found.append((heading, level, tuple(name for _, name in above), []))
        else:
            found[-1][3].append(_block(text, starts, tokens, at))
    return [Section(heading, level, path, tuple(blocks)) for heading, level, path, blocks in found]


def _block(text: str, starts: list[int], tokens: list[Token], at: int) -> Block:
    token = tokens[at]
    if token.type == "paragraph_open":
        return Block("paragraph", *_span(text, starts, tokens[at + 1]))
    first, last = token.map or [0, 0]
    end = starts[last] if last < len(starts) else len(text)
    start, end = starts[first], len(text[:end].rstrip())
    if token.type not in ("bullet_list_open", "ordered_list_open"):
        return Block("other", start, end)
    inside = list(_inside(tokens, at))
    code = any(each.type in ("fence", "code_block", "html_block", "table_open") for each in inside)
    return Block("list", start, end, tuple(_items(text, starts, inside)), code)


def _inside(tokens: list[Token], at: int) -> Iterator[Token]:
    for token in tokens[at:]:
        yield token
        if token.nesting < 0 and token.level == tokens[at].level:
            return


def _items(text: str, starts: list[int], inside: list[Token]) -> Iterator[Item]:
    depth, waiting, mark = -1, False, "-"
    for token in inside:
        if token.type.endswith("_list_open"):
            depth += 1
        elif token.type.endswith("_list_close"):
            depth -= 1
        elif token.type == "list_item_open":
            waiting, mark = True, f"{token.info}." if token.info else "-"
        elif token.type == "inline" and waiting:
            waiting = False
            yield Item(*_span(text, starts, token), depth, mark)


def _span(text: str, starts: list[int], inline: Token) -> tuple[int, int]:
    """The characters of a paragraph, without the marks and the indentation around it."""
    first, last = inline.map or [0, 1]
    lines = inline.content.split("\n")
    start = text.find(lines[0], starts[first])
    tail = text.find(lines[-1], max(start, starts[last - 1]))
    if min(start, tail) < 0:  # a tab was widened: take the lines whole
        return starts[first], len(text[: starts[last] if last < len(starts) else len(text)].rstrip())
    return start, tail + len(lines[-1])


def plain(text: str) -> str:
    """Inline Markdown as words: no emphasis, links, images, tags or code ticks; formulas stay.

    A line break between two Chinese characters is left out, before 一、 (一) or 1. it stays, any other is a space.
    """
    if _MARKUP.isdisjoint(text):
        out = text
    else:
        out = "".join(_words(token) for token in _markdown().parseInline(text)[0].children or [])
        out = _REFERENCE.sub(r"\1", _FOOTNOTE.sub("", out))
    out = re.sub(r"[ \t]*\n[ \t]*", lambda found: _between(out, *found.span()), out)
    return out.strip()


def _words(token: Token) -> str:
    if token.type in ("text", "text_special"):
        return token.content.replace("**", "")
    if token.type in ("code_inline", "math"):
        return token.content
    return "\n" if token.type in ("softbreak", "hardbreak") else ""


def _between(text: str, start: int, end: int) -> str:
    if _ENTRY.match(text, end):
        return "\n"
    wide = bool(start and _WIDE.match(text, start - 1) and _WIDE.match(text, end))
    return "" if wide else " "


def _math(state: Any, silent: bool) -> bool:
    """An inline rule: a formula is one token, so that its underscores and backslashes are no Markdown."""
    found = _MATH.match(state.src, state.pos)
    if found is None:
        return False
    if not silent:
        state.push("math", "", 0).content = found[0]
    state.pos = found.end()
    return True


@lru_cache(maxsize=1)
def _blocks_only() -> MarkdownIt:
    """A parser that leaves the inside of paragraphs alone."""
    markdown: MarkdownIt = need("markdown_it", "data").MarkdownIt("commonmark").enable("table")
    markdown.core.ruler.enableOnly(["normalize", "block"])
    return markdown


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    markdown: MarkdownIt = need("markdown_it", "data").MarkdownIt("commonmark").enable("table")
    markdown.inline.ruler.before("escape", "math", _math)
    return markdown
