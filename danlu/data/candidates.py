"""Questions and answers that a Markdown text already holds: one function a shape, each with the answer's span.

    definition   - **詞（English）**：說明                    什麼是詞？
    pitfall      the same under a heading about pitfalls     「…」要注意什麼？
    point        the same anywhere else                      請說明…中的「…」。
    qa           a heading ending in ？ and its text; 問：… 答：…
    section      a heading and its first paragraphs          請說明…中的「…」。
    list         a sentence ending in ： and its list        …哪幾件事？

Questions are written by rule from the words of the text, in Taiwan Chinese. Not covered: tables, code, figures, what a
paragraph says without one of these shapes, and whether an answer is true.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from danlu.data.structure import Block, Item, Section, plain
from danlu.records import Document

_LEAD = re.compile(r"(?:\*\*|__)(?P<term>.+?)(?:(?:\*\*|__)\s*[：:]|[：:]\s*(?:\*\*|__))\s*(?P<said>\S.*)", re.DOTALL)
_ENGLISH = re.compile(r"\s*[（(][^（）()]*[A-Za-z][^（）()]*[）)]$")
_GLOSSARY = re.compile(r"名詞|術語|詞彙|用語|辭典|定義|glossary|terms", re.IGNORECASE)
_PITFALL = re.compile(r"陷阱|誤區|誤解|地雷|注意事項|常見錯誤|pitfall|gotcha", re.IGNORECASE)
_ASKS = re.compile(r"^(?:為什麼|為何|如何|怎麼|怎樣|什麼|何時|何謂|哪|誰|是否)")
_ASKED = re.compile(r"(?:\*\*)?(?:問|Q)\s*\d*\s*[：:.]\s*(?:\*\*)?\s*(?P<question>[^\n]+?)(?:\*\*)?\s*(?:\n|$)")
_ANSWERED = re.compile(r"(?:\*\*)?(?:答|A)\s*\d*\s*[：:.]\s*(?:\*\*)?\s*(?P<answer>\S.*)", re.DOTALL)
_NUMBERED = re.compile(r"第[^，。]{1,12}[條點]")
_ENDS = tuple("。！？…」』）.!?$")
_HAN = r"\u3400-\u9fff"


@dataclass(frozen=True)
class Candidate:
    """A question in one or more wordings and the answer taken from [start, end). `reason` says why it is no good."""

    method: str
    questions: tuple[str, ...]
    answer: str
    start: int
    end: int
    section: int
    reason: str = ""


def candidates(document: Document, sections: list[Section], longest: int) -> Iterator[Candidate]:
    """Every candidate of a document, in the order of the text. An answer made of several blocks takes as many as fit
    in `longest` characters."""
    title = document.title or next((section.path[0] for section in sections if section.clause), "")
    for at, section in enumerate(sections):
        yield from _opening(document.text, title, at, section, longest)
        for before, block in zip((None, *section.blocks), section.blocks, strict=False):
            if block.kind == "paragraph":
                yield from _dialogue(document.text, at, before, block)
            elif block.kind == "list":
                for item in block.items:
                    yield from _led(document.text, title, at, section, item)
                if before is not None and before.kind == "paragraph":
                    yield from _listed(document.text, title, at, section, before, block)


def _opening(text: str, title: str, at: int, section: Section, longest: int) -> Iterator[Candidate]:
    """The heading's question, answered by the first blocks under it."""
    if not section.heading or not section.blocks:
        return
    taken = _first_blocks(text, section.blocks, longest)
    start, end = (taken[0].start, taken[-1].end) if taken else (section.blocks[0].start, section.blocks[0].end)
    answer = "\n\n".join(words(text, block) for block in taken)
    reason = "" if taken else "too-long" if section.blocks[0].kind == "paragraph" else "no-prose"
    heading = section.heading
    if section.clause and not heading.endswith(("？", "?")):
        yield Candidate("section", _of_clause(title, heading), answer, start, end, at, reason)
    elif heading.endswith(("？", "?")):
        yield Candidate("qa", (heading.replace("?", "？"),), answer, start, end, at, reason)
    elif heading == title:
        questions = (f"請簡單介紹「{title}」。", f"「{title}」在談什麼？")
        yield Candidate("section", tuple(map(spaced, questions)), answer, start, end, at, reason)
    elif _ASKS.match(heading):
        yield Candidate("section", (spaced(f"{heading}？"),), answer, start, end, at, reason)
    else:
        yield Candidate("section", _about(title, heading), answer, start, end, at, reason)


def _first_blocks(text: str, blocks: tuple[Block, ...], longest: int) -> list[Block]:
    """The leading prose that fits, and does not end in the announcement of something that was left out."""
    taken: list[Block] = []
    size = 0
    for block in blocks:
        size += len(words(text, block))
        asks = block.kind == "paragraph" and _ASKED.match(text[block.start : block.end])
        if block.kind == "other" or block.code or asks or (taken and size > longest):
            break
        taken.append(block)
    while taken and taken[-1].kind == "paragraph" and not words(text, taken[-1]).endswith(_ENDS):
        taken.pop()
    return taken


def _led(text: str, title: str, at: int, section: Section, item: Item) -> Iterator[Candidate]:
    """A list entry that begins with a bold term and a colon."""
    found = _LEAD.match(text[item.start : item.end])
    if found is None:
        return
    name = plain(found["term"])
    term = _ENGLISH.sub("", name)
    start = item.start + found.start("said")
    path = " ".join(section.path)
    method, questions = "point", _about(title, term)
    if term.endswith(("？", "?")):
        method, questions = "qa", (term.replace("?", "？"),)
    elif _PITFALL.search(path):
        method = "pitfall"
        questions = (
            f"談到{title}，「{term}」要注意什麼？",
            f"「{term}」是什麼樣的問題？",
            f"在{title}這個主題中，「{term}」為什麼是個陷阱？",
        )
    elif _GLOSSARY.search(path) or term != name:
        method = "definition"
        questions = (f"什麼是{term}？", f"請解釋{term}。", f"{term}是什麼意思？", f"請問{term}是什麼？")
    yield Candidate(method, tuple(map(spaced, questions)), plain(found["said"]), start, item.end, at)


def _dialogue(text: str, at: int, before: Block | None, block: Block) -> Iterator[Candidate]:
    """問：… 答：… in one paragraph or in two."""
    here = text[block.start : block.end]
    asked = _ASKED.match(here)
    offset = block.start
    if asked:
        answered = _ANSWERED.match(here, asked.end())
    elif before is not None and before.kind == "paragraph":
        asked = _ASKED.fullmatch(text[before.start : before.end])
        answered = _ANSWERED.match(here)
    else:
        return
    if asked and answered:
        start = offset + answered.start("answer")
        yield Candidate("qa", (plain(asked["question"]),), plain(answered["answer"]), start, block.end, at)


def _listed(text: str, title: str, at: int, section: Section, before: Block, block: Block) -> Iterator[Candidate]:
    """A list that the sentence before it announces."""
    said = words(text, before)
    if not said.endswith(("：", ":")):
        return
    sentence = re.split(r"[。！？\n]", said[:-1])[-1]
    asked = announced(sentence)
    topic = f"「{section.heading}」" if section.heading and section.heading != title else title
    question = spaced(f"談到{topic}，{asked or sentence}" if topic else asked or sentence)
    reason = "holds-code" if block.code else "" if asked else "no-question"
    yield Candidate("list", (question,), words(text, block), block.start, block.end, at, reason)


_NUMBER = r"幾|[兩二三四五六七八九十]|\d+ ?"
_RULES = (
    (r"(步驟|方法|做法|原因|規則|內容|項目|差別|重點|組合|條件|理由|用途|優點|缺點|例子)如下$", r"\1有哪些"),
    (r"(?<=[包分])(括|含|成|為)$", r"\1哪些"),
    (rf"(?:這|以下|下面|下列|底下)(?:的)?({_NUMBER})(?=[{_HAN}])", r"哪\1"),
    (rf"有(?:好|下列|以下)?({_NUMBER})(?=[個種項件點類步條大組樣層])", r"有哪\1"),
    (rf"(?<=分[成為])({_NUMBER})(?=[個種項件點類步條大組樣層])", r"哪\1"),
    (rf"(?<![第哪這那每])({_NUMBER})(?=[個種項件點類步條組層][{_HAN}]{{0,8}}$)", r"哪\1"),
    (r"(?:這|以下|下面|下列|底下)(?:的|這)?些", "哪些"),
    (r"這(?:個|樣的|種)(順序|次序|方式|做法|流程|步驟|規則|格式|形式)", r"什麼\1"),
    (r"(?:以下|下列|底下)(?:是|為)(?:一?些)?", "有哪些"),
    (rf"(?:以下|下列|底下)(?:的)?(?:一些)?(?=[{_HAN}])", "哪些"),
    (r"(?<![就但還可不])(是|為)$", r"\1什麼"),
)


def announced(sentence: str) -> str:
    """The question that an announcing sentence answers (…會影響這幾件事 → …會影響哪幾件事？); empty when no rule fits.

    Its last clause is asked about, or else the whole.
    """
    head, comma, clause = sentence.rpartition("，")
    for before, part in ((head + comma, clause), ("", sentence)):
        for pattern, asked in _RULES:
            changed = re.sub(pattern, asked, part, count=1)
            if changed != part:
                return re.sub(r"如下$", "", before + changed) + "？"
    return ""


def words(text: str, block: Block) -> str:
    """A block without its markup; a list keeps its marks, one line an entry."""
    if block.kind != "list":
        return plain(text[block.start : block.end])
    return "\n".join(f"{'  ' * item.depth}{item.mark} {plain(text[item.start : item.end])}" for item in block.items)


def _about(title: str, topic: str) -> tuple[str, ...]:
    if not title or title == topic:
        return (f"請說明「{topic}」。", f"「{topic}」是什麼意思？")
    asked = (
        f"請說明{title}中的「{topic}」。",
        f"談到{title}，「{topic}」指的是什麼？",
        f"在{title}裡，「{topic}」要怎麼理解？",
    )
    return tuple(map(spaced, asked))


def _of_clause(title: str, name: str) -> tuple[str, ...]:
    """Questions about a clause, which is known by its number or its caption: of which text must be said."""
    of = title if title != name else ""
    if not _NUMBERED.match(name):
        asked = (f"{of}對「{name}」有什麼規定？", f"請說明{of}中的「{name}」。", f"{of}的「{name}」規定什麼？")
        return tuple(map(spaced, asked))
    asked = (f"{of}{name}規定什麼？", f"請說明{of}{name}的內容。", f"{of}{name}的規定是什麼？")
    return tuple(map(spaced, asked))


def spaced(text: str) -> str:
    """`text` with one space between Chinese and Latin letters or digits, as is usual in Taiwan."""
    text = re.sub(rf"(?<=[{_HAN}])(?=[A-Za-z0-9])", " ", text)
    return re.sub(rf"(?<=[A-Za-z0-9])(?=[{_HAN}])", " ", text)
