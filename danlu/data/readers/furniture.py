"""What of a web page is furniture: menus, banners, sidebars, controls; judged by what a part holds, not by name alone.

A class name is a hint and no proof: `social-welfare`, `related-laws` and a school's `menu` are text. A part that is
named so is left out only when it also looks like furniture; only names that are nothing else (`cookie-banner`,
`breadcrumb`) suffice by themselves. Not covered: advertisements that look like prose and are not named so.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_NAMED = frozenset(
    """
    ad ads advert advertisement banner breadcrumb breadcrumbs comments consent cookie cookies footer menu nav navbar
    navigation newsletter pager pagination related share sharebar sharing sidebar sitemap social subscribe toolbar
    """.split()  # noqa: SIM905 - a list of words reads better so
)
_SURE = re.compile(
    r"(?:(?:site|page|main|global|top|bottom)[-_]?)?"
    r"(?P<what>ads?|advert(?:isement)?s?|breadcrumbs?|cookies?|consent|newsletter|subscribe|pagination|pager|comments|sharebar"
    r"|sharing)"
    r"(?:[-_]*(?:area|bar|banner|block|box|buttons?|consent|container|form|list|message|modal|notice|popup|section|widget|wrap(?:per)?))*"
)
_ROLES = frozenset(["banner", "contentinfo", "dialog", "menu", "menubar", "navigation", "search"])
_BOXES = frozenset(["div", "section", "ul", "ol", "table", "header", "td", "center", "aside", "form", "p", "span"])
_SKIP = frozenset(["script", "style", "template", "noscript", "head", "nav", "footer"])
_SENTENCE = re.compile(r"[。！？；：!?]|[,.;:](?=\s|$)|[，、]")
_CONTROLS = "button, select, textarea, option, script, style, template, datalist"
_BLOCKS = "h1, h2, h3, h4, h5, h6, p, li, table, article, blockquote, pre, dl"
_SUBJECTS = frozenset(["consent", "newsletter", "subscribe"])
"""Of the sure names those that are also what a text is about: a form of consent, the terms of a newsletter."""
_FEW = 30
"""Letters below which a form is only its controls: 帳號 密碼 記住我 忘記密碼 登入 are 14."""
_OPENS = re.compile(r"accordion|collaps|toggle|expand|faq|question|disclosure", re.IGNORECASE)
_LINKS = 4
_LINKED = 0.7
_NAMED_LINKED = 0.3
_DEEP = 25


def prune(root: LexborNode, depth: int = 0) -> None:
    """Takes furniture out of a page that does not mark its text."""
    for child in list(root.iter()):
        if child.tag not in _BOXES or depth > _DEEP:
            continue
        main = child.css_first("main, article, h1") is not None
        if not main and is_furniture(child):
            child.decompose()
        else:
            prune(child, depth + 1)


def prune_beside(main: LexborNode) -> None:
    """Takes out what stands beside `main` in the page and is no prose: a lead paragraph before it stays."""
    at = main
    while at.parent is not None and at.tag != "body":
        for beside in list(at.parent.iter()):
            if beside.mem_id != at.mem_id and not (is_prose(beside) or beside.tag == "h1"):
                beside.decompose()
        at = at.parent


def is_furniture(node: LexborNode) -> bool:
    """Whether a part is a menu, a banner or the like: by its role, a sure name, or a name and the looks."""
    names = _names(node)
    sure = {match["what"] for name in names if (match := _SURE.fullmatch(name))}
    if node.attributes.get("role") in _ROLES or (sure and not (sure <= _SUBJECTS and _tells(node))):
        return True
    words = {word for name in names for word in re.split(r"[^a-z]+", name)}
    if words & _NAMED:
        return link_share(node) >= _NAMED_LINKED or not _SENTENCE.search(node.text(deep=True))
    return len(node.css("a")) >= _LINKS and link_share(node) >= _LINKED


def _tells(node: LexborNode) -> bool:
    """Whether a part is about consent or a newsletter rather than the box that asks for one: prose without controls."""
    words = _letters(node)
    asks = node.css_first("button, input") is not None or "cookie" in words.lower()
    return not asks and len(words) >= _FEW and "。" in words and link_share(node) < _NAMED_LINKED


def is_prose(node: LexborNode) -> bool:
    """Whether a part beside the marked text says something: sentences, few links, and no name of furniture."""
    if node.tag in _SKIP or is_furniture(node) or _names(node) & _NAMED:
        return False
    words = _letters(node)
    return len(words) >= 20 and bool(re.search(r"[。！？]|[.!?](?:\s|$)", words)) and link_share(node) < _NAMED_LINKED


def link_share(node: LexborNode) -> float:
    """The share of a part's letters that are in links; 0 where there are none."""
    words = len(_letters(node))
    return sum(len(_letters(link)) for link in node.css("a")) / words if words else 0.0


def opens(button: LexborNode) -> bool:
    """Whether a button is the heading of what it opens, or stands in a heading: not one that sends or searches."""
    at: Any = button.parent
    while at is not None and at.tag not in ("body", "form"):
        if re.fullmatch(r"h[1-6]|summary|dt|legend", at.tag or ""):
            return True
        at = at.parent
    attributes = button.attributes
    said = " ".join(attributes.get(name) or "" for name in ("class", "id", "data-toggle", "data-bs-toggle"))
    if attributes.get("type") in ("submit", "reset") or "nav" in said:
        return False
    return "aria-expanded" in attributes or attributes.get("role") == "tab" or bool(_OPENS.search(said))


def open_panels(tree: Any) -> None:
    """Shows what a click would show: panels that a button, a tab or a link of an accordion names, or that follow it."""
    named: set[str] = set()
    for opener in tree.css("[aria-controls], [data-target], [data-bs-target], [data-toggle=collapse], [aria-expanded]"):
        said = opener.attributes
        if opener.tag == "a" and (said.get("href") or "").startswith("#"):
            named.add((said.get("href") or "")[1:])
        for name in ("aria-controls", "data-target", "data-bs-target"):
            named.update(part.lstrip("#") for part in (said.get(name) or "").split())
    for link in tree.css("a[href^='#']"):
        if _OPENS.search(f"{link.attributes.get('class') or ''} {link.attributes.get('id') or ''}"):
            named.add((link.attributes.get("href") or "")[1:])
    for panel in tree.css("[id][hidden], [id][aria-hidden], [id][style], [role=tabpanel], details [hidden]"):
        if panel.attributes.get("id") in named or panel.attributes.get("role") == "tabpanel":
            _show(panel)
    for button in tree.css("button"):
        panel = button.next
        while panel is not None and panel.tag == "-text" and not (panel.text_content or "").strip():
            panel = panel.next
        if panel is not None and opens(button):
            _show(panel)


def controls(node: LexborNode) -> bool:
    """Whether a form (or an aside) holds nothing to read but its labels: a search, a login, a list of links."""
    if node.attributes.get("role") in _ROLES or is_furniture(node):
        return True
    if node.tag == "aside":
        return not _SENTENCE.search(_letters(node)) or link_share(node) >= _NAMED_LINKED
    inner = node.css(_CONTROLS)
    words = len(_letters(node)) - sum(len(_letters(each)) for each in inner)
    return words < _FEW and (node.css_first(_BLOCKS) is None or words < _FEW // 2)


def _show(panel: LexborNode) -> None:
    for name in ("hidden", "aria-hidden", "style"):
        if name in panel.attributes:
            del panel.attrs[name]


def _names(node: LexborNode) -> set[str]:
    return set(f"{node.attributes.get('class') or ''} {node.attributes.get('id') or ''}".lower().split())


def _letters(node: LexborNode) -> str:
    return " ".join(node.text(deep=True).split())
