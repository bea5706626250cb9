"""What type alone says: symbol fonts (Wingdings, Wingdings 2, Symbol) as Unicode (☑ and no þ), powers as `10^-3`.

An office file says only a font and a code from 0x20 to 0xFF, also as U+F020 to U+F0FF. Source: the mapping that Unicode
7.0 adopted for Wingdings (L2/11-052) and Adobe's table of the Symbol encoding; empty boxes are all ☐, as forms mean
them. A code that is not here becomes U+FFFD, so that something is seen to be missing. Not covered: Webdings and
Wingdings 3.
"""

from __future__ import annotations

import re

_SYMBOL = dict(zip(range(0x61, 0x7B), "αβχδεφγηιϕκλμνοπθρστυϖωξψζ", strict=True))
_SYMBOL |= dict(zip(range(0x41, 0x5B), "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ", strict=True))
_SYMBOL |= {code: chr(code) for code in (*range(0x20, 0x41), 0x5B, 0x5D, 0x5F, *range(0x7B, 0x7F))}
_SYMBOL |= dict(
    zip(
        (0x22, 0x24, 0x27, 0x2A, 0x2D, 0x40, 0x5C, 0x5E, *range(0xA1, 0xFF)),
        "∀∃∋∗−≅∴⊥ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…⏐⎯↵ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓◊〈®©™∑⎛⎜⎝⎡⎢⎣⎧⎨⎩⎪\ufffd〉∫⌠⎮⌡⎞⎟⎠⎤⎥⎦⎫⎬⎭",
        strict=True,
    )
)
_WINGDINGS = dict(
    zip(
        range(0x21, 0x7F),
        "✏✂✁👓🔔📖🕯☎✆✉🖃📪📫📬📭📁📂📄🗏🗐🗄⌛⌨🖰🖲💻🖴💾🖬✇✍🖎✌👌👍👎☜☞☝☟✋☺😐☹💣☠⚐⚑✈☼💧❄🕆✞🕈✠✡☪☯ॐ☸♈♉♊♋♌♍♎♏♐♑♒♓&&●❍■☐☐☐☐⬧⧫◆❖⬥☒⮹⌘🏵🏶❝❞",
        strict=True,
    )
)
_WINGDINGS |= {0x20: " "} | dict(zip(range(0x80, 0x96), "⓪①②③④⑤⑥⑦⑧⑨⑩⓿❶❷❸❹❺❻❼❽❾❿", strict=True))
_WINGDINGS |= dict(zip(range(0x9E, 0xB7), "·•▪○⭕◯◉◎🔿▪☐🟂✦★✶✴✹✵⯐⌖⟡⌑⯑✪✰", strict=True))
_WINGDINGS |= dict(zip(range(0xB7, 0xC3), "🕐🕑🕒🕓🕔🕕🕖🕗🕘🕙🕚🕛", strict=True))
_WINGDINGS |= {0xD8: "➢", 0xDC: "➲"} | dict(zip(range(0xDF, 0xF5), "←→↑↓↖↗↙↘⇐➔⇑⇓⇖⇗⇙⇘⇦⇨⇧⇩⬄⇳", strict=True))
_WINGDINGS |= dict(zip(range(0xFB, 0xFF), "✗✓☒☑", strict=True))
_WINGDINGS_2 = {0x20: " ", 0x4F: "✗", 0x50: "✓", 0x51: "☒", 0x52: "☑", 0x53: "☒", 0x54: "☒", 0x97: "●", 0x98: "●"}
_WINGDINGS_2 |= dict(zip(range(0x69, 0x74), "⓪①②③④⑤⑥⑦⑧⑨⑩", strict=True))
_WINGDINGS_2 |= dict(zip(range(0x74, 0x7F), "⓿❶❷❸❹❺❻❼❽❾❿", strict=True)) | {0xA3: "☐", 0xA2: "■"}
_FONTS = {"wingdings": _WINGDINGS, "wingdings 2": _WINGDINGS_2, "symbol": _SYMBOL}


def shown(text: str, font: str) -> str:
    """`text` in `font` as a reader sees it: unchanged but for the codes of a symbol font."""
    table = _FONTS.get(font.strip().lower())
    if table is None:
        return text
    return "".join(table.get(code, "\ufffd") if (code := _code(letter)) else letter for letter in text)


def _code(letter: str) -> int:
    """The code in a symbol font; 0 for a letter that is in no such font (Chinese beside it has a font of its own)."""
    code = ord(letter)
    code -= 0xF000 if 0xF020 <= code <= 0xF0FF else 0
    return code if 0x20 <= code <= 0xFF else 0


_POWER = re.compile(r"[+\-−–]?\d+(?:[./]\d+)?|[+\-−]?[a-zA-Zα-ω]|[+\-−]")
_SUM = re.compile(r"\d*[a-zα-ω](?:[+]\d*[a-zα-ω]|[+\-−]\d+)+|\d+[+\-−]\d*[a-zα-ω]")
_SPLIT = re.compile(r"(?<=\^[+\-−\d])\^(?=\d)")


def power(text: str) -> str:
    """A superscript in a line: `^` before a number, a sign or one letter (10^-3, m^2), a sum in brackets (x^(n+1)); 1st
    and marks of notes stay."""
    inner = text.strip()
    if _SUM.fullmatch(inner):
        return f"^({inner})"
    return f"^{inner}" if _POWER.fullmatch(inner) else text


def joined_powers(text: str) -> str:
    """`text` with a power that was typed in several pieces as one: ^-^3 is ^-3."""
    return _SPLIT.sub("", text)
