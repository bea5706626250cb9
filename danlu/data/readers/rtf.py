r"""Rich Text (.rtf): paragraphs, headings, tables and footnotes as Markdown, in any code page (`\'xx`, `\uN`).

Bytes are in the code page of their font, else of the document; a font that calls itself ANSI in a Big5 document is read
as Big5 where that is possible. Headings are told by their outline level or the name of their style. Left out: headers,
footers, comments, hidden and deleted text, pictures. Not covered: numbers of lists that only the word processor makes,
merged cells, tables in tables (their cells become lines).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

from danlu.data.readers import Reading, Unreadable, sound
from danlu.data.readers.grid import table

DEEPEST = 1000
_TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\(.)|([{}])|[\r\n]+|([^\\{}\r\n]+)", re.DOTALL
)
_CHARSETS = {
    0: "cp1252", 77: "mac_roman", 128: "cp932", 129: "cp949", 134: "gb18030", 136: "cp950", 161: "cp1253",
    162: "cp1254", 163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874",
    238: "cp1250",
}  # fmt: skip
_WIDE = ("cp950", "gb18030", "cp936", "cp932", "cp949")
_WORDS = """
colortbl pict object header headerl headerr headerf footer footerl footerr footerf annotation atnid atnauthor xe tc rxe
fldinst nonshppict revtbl listtable listoverridetable rsidtbl generator filetbl themedata datastore upr
"""
_SKIPPED = frozenset(_WORDS.split())
_KEPT = frozenset(["shptxt", "shpinst", "ud", "fldrslt"])
_SPACES = {"tab": "\t", "line": "\n", "emdash": "—", "endash": "–", "bullet": "•", "lquote": "‘", "rquote": "’"}
_SPACES |= {"ldblquote": "“", "rdblquote": "”", "emspace": " ", "enspace": " ", "qmspace": " ", "softline": "\n"}
_SYMBOLS = str.maketrans({0xF0B7: "•", 0xF0A7: "▪", 0xF0FE: "☑", 0xF0FD: "☒", 0xF0A8: "☐", 0xF06F: "☐", 0xF0FC: "✓"})


@dataclass(frozen=True)
class _State:
    """What holds up to the end of a group."""

    skip: bool = False
    hidden: bool = False
    place: str = ""
    codec: str = ""
    after: int = 1


@dataclass
class _Parser:
    codec: str = "cp1252"
    fonts: dict[int, str] = field(default_factory=dict)
    styles: dict[int, int] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    blocks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    state: _State = _State()
    held: bytearray = field(default_factory=bytearray)
    words: list[str] = field(default_factory=list)
    note: list[str] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    inside: bool = False
    level: int = 0
    ignore: int = 0
    font: int = 0
    style: int = -1
    lost: int = 0

    # ── text ──

    def text(self, data: bytes) -> None:
        """Bytes of text, which wait for the rest of their character."""
        taken = min(self.ignore, len(data))
        self.ignore -= taken
        self.held += data[taken:]

    def flush(self) -> None:
        data = bytes(self.held)
        self.held.clear()
        if not data or (self.state.skip and self.state.place not in ("title", "author")):
            return
        self.put(self.decoded(data))

    def decoded(self, data: bytes) -> str:
        codec = self.state.codec or self.codec
        if codec == "cp1252" and self.codec in _WIDE and not data.isascii():
            codec = self.codec
            try:
                return data.decode(codec)
            except UnicodeDecodeError:
                return data.decode("cp1252", "replace")
        text = data.decode(codec, "replace")
        self.lost += text.count("\ufffd")
        return text

    def put(self, text: str) -> None:
        place = self.state.place
        if place in ("title", "author"):
            self.facts[place] = self.facts.get(place, "") + text
        elif place == "stylesheet":
            found = re.match(r"\s*(?:heading|標題)\s*(\d)", text, re.IGNORECASE)
            if found and self.style >= 0:
                self.styles[self.style] = int(found[1])
        elif place == "fonttbl":
            return
        elif not self.state.skip and not self.state.hidden:
            (self.note if place == "footnote" else self.words).append(text.translate(_SYMBOLS))

    # ── structure ──

    def paragraph(self) -> None:
        self.flush()
        if self.state.place == "footnote":
            self.note.append(" ")
            return
        if self.state.skip:
            return
        if self.inside:
            self.words.append("\n")
            return
        text = "".join(self.words).strip()
        self.words.clear()
        self.end_table()
        if text:
            self.blocks.append("#" * self.level + " " + " ".join(text.split()) if self.level else text)

    def cell(self) -> None:
        self.flush()
        self.cells.append("".join(self.words).strip())
        self.words.clear()

    def row(self) -> None:
        self.flush()
        self.rows += [self.cells] if self.cells else []
        self.cells = []

    def end_table(self) -> None:
        if self.cells:
            self.row()
        if self.rows and (block := table(self.rows)):
            self.blocks.append(block)
        self.rows = []

    def close(self, outer: _State) -> None:
        """The end of a group."""
        self.flush()
        if self.state.place == "footnote" and outer.place != "footnote":
            self.notes.append(f"[^{len(self.notes) + 1}]: " + " ".join("".join(self.note).split()))
            self.note.clear()
        if self.state.place == "shptxt" and outer.place != "shptxt" and not self.inside:
            self.words.append("\n")
        self.state = outer

    # ── control words ──

    def word(self, name: str, number: int | None, starred: bool) -> None:
        if name == "u" and number is not None:
            self.flush()
            self.put(chr(number % 65536))
            self.ignore = self.state.after
            return
        self.ignore = 0
        if name in ("f", "fcharset", "cpg", "ansicpg", "uc", "s") and number is not None:
            self.number(name, number)
        elif name in _SPACES:
            self.flush()
            self.put(_SPACES[name])
        elif name in ("fonttbl", "stylesheet", "title", "author", "footnote", *_KEPT):
            self.flush()
            self.enter(name)
        elif starred or name in _SKIPPED or name == "info":
            self.flush()
            self.state = replace(self.state, skip=True)
        else:
            self.layout(name, number)

    def number(self, name: str, number: int) -> None:
        if name == "f":
            self.flush()
            self.font = number
            self.state = replace(self.state, codec=self.fonts.get(number, ""))
        elif name == "ansicpg":
            self.codec = _codec(number) or self.codec
        elif name == "uc":
            self.state = replace(self.state, after=max(0, min(number, 20)))
        elif name == "s":
            self.style = number
            self.level = self.styles.get(number, 0) if not self.state.skip else self.level
        elif codec := _CHARSETS.get(number, "") if name == "fcharset" else _codec(number):
            self.fonts[self.font] = codec

    def enter(self, name: str) -> None:
        """The beginning of a part that is looked at."""
        if name == "footnote":
            if not self.state.skip:
                self.words.append(f"[^{len(self.notes) + 1}]")
                self.state = replace(self.state, place=name)
        elif name in ("title", "author", "fonttbl", "stylesheet"):
            self.facts.pop(name, "")  # written twice where it is no ASCII; the second is in Unicode
            self.state = replace(self.state, place=name, skip=name in ("fonttbl", "stylesheet") or self.state.skip)
            if name in ("fonttbl", "stylesheet"):
                self.state = replace(self.state, skip=False)
        else:
            self.state = replace(self.state, skip=False, place=name if name == "shptxt" else self.state.place)
            if name == "shpinst":
                self.state = replace(self.state, skip=True)

    def layout(self, name: str, number: int | None) -> None:
        if name in ("par", "sect", "page"):
            self.paragraph()
        elif self.state.skip or self.state.place in ("fonttbl", "stylesheet"):
            return
        elif name == "pard":
            self.flush()
            self.inside, self.level = False, 0
        elif name == "intbl":
            self.inside = True
        elif name == "cell":
            self.cell()
        elif name in ("row", "nestrow"):
            self.row() if name == "row" else self.put("\n")
        elif name == "nestcell":
            self.flush()
            self.put(" ")
        elif name == "outlinelevel" and number is not None:
            self.level = number + 1 if 0 <= number < 6 else 0
        elif name in ("v", "deleted"):
            self.flush()
            self.state = replace(self.state, hidden=number != 0)
        elif name == "plain":
            self.flush()
            self.state = replace(self.state, hidden=False, codec="")


def read(data: bytes) -> Reading:
    """The title is that of the properties, else the first heading. Raises "broken-rtf", "too-deep", "empty"."""
    if not data.strip(b"\0 \t\r\n"):
        raise Unreadable("empty", "nothing in the file")
    if not data.lstrip().startswith(b"{\\rtf"):
        raise Unreadable("broken-rtf", "it does not begin with {\\rtf")
    parser = _Parser()
    _parse(data, parser)
    parser.inside = False
    parser.state = _State()
    parser.paragraph()
    parser.end_table()
    blocks = [*parser.blocks, *(["\n".join(parser.notes)] if parser.notes else [])]
    text = sound("\n\n".join(re.sub(r"[ \t]*\n[ \t]*", "\n", block) for block in blocks)).strip()
    if not text:
        raise Unreadable("empty", "no text in it")
    heading = re.search(r"^#+ (.+)$", text, re.MULTILINE)
    title = " ".join(sound(parser.facts.get("title", "")).split())[:300] or (heading[1] if heading else "")
    meta: dict[str, Any] = {"author": author} if (author := sound(parser.facts.get("author", "")).strip()[:300]) else {}
    return Reading(text + "\n", title, {**meta, **({"undecodable": parser.lost} if parser.lost else {})})


def _parse(data: bytes, parser: _Parser) -> None:
    stack: list[_State] = []
    at, starred = 0, False
    while found := _TOKEN.match(data, at):
        at = found.end()
        name, number, hexed, sign, brace, plain = found.groups()
        if brace == b"{":
            parser.flush()
            stack.append(parser.state)
            if len(stack) > DEEPEST:
                raise Unreadable("too-deep", f"over {DEEPEST} groups in each other")
        elif brace and stack:
            parser.close(stack.pop())
            parser.ignore = 0
        elif name == b"bin":
            at += max(0, int(number or 0))
        elif name:
            parser.word(name.decode(), int(number) if number else None, starred)
        elif hexed:
            parser.text(bytes([int(hexed, 16)]))
        elif sign:
            _sign(parser, sign)
        elif plain:
            parser.text(plain)
        starred = sign == b"*"


def _sign(parser: _Parser, sign: bytes) -> None:
    """A control symbol."""
    if sign in (b"\\", b"{", b"}"):
        parser.text(sign)
    elif sign in (b"~", b"_"):
        parser.flush()
        parser.put(" " if sign == b"~" else "-")
    elif sign in (b"\n", b"\r"):
        parser.paragraph()


def _codec(page: int) -> str:
    """The codec of a code page; empty when it is not known."""
    names = {936: "gb18030", 950: "cp950", 10000: "mac_roman", 65001: "utf-8", 54936: "gb18030"}
    if page in names:
        return names[page]
    known = (437, 708, 720, 737, 775, 850, 852, 855, 857, 858, 860, 861, 862, 863, 864, 865, 866, 869, 874, 932, 949)
    return f"cp{page}" if (page in known and page != 708) or 1250 <= page <= 1258 else ""
