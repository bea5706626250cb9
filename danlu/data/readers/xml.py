"""XML: the text of the elements, a paragraph each, whatever they are called; attributes and comments are left out.

An element with text of its own is a paragraph, with all that is in it. The title is the first `title` element. Entities
are refused (`danlu.data.readers.tree`). Not covered: what the elements mean, style sheets, includes.
"""

from __future__ import annotations

from danlu.data.readers import Reading, Unreadable, sound
from danlu.data.readers.tree import below, properties, tree, words


def read(data: bytes) -> Reading:
    """Raises Unreadable "broken-xml", "xml-entities", "too-deep", "too-large", "empty"."""
    if not data.strip():
        raise Unreadable("empty", f"{len(data)} byte(s), nothing but white space")
    root = tree(data, "the file")
    paragraphs: list[str] = []
    todo = [root]
    while todo:
        element = todo.pop()
        if (element.text or "").strip() or any((child.tail or "").strip() for child in element):
            paragraphs.append(words(element))
        else:
            todo.extend(reversed(element))
    if not paragraphs:
        raise Unreadable("empty", "no element holds a text")
    meta = {key: value for key, value in properties(root).items() if key != "title"}
    title = words(next(below(root, "title"), None))
    return Reading(sound("\n\n".join(paragraphs)) + "\n", sound(title)[:300], meta)
