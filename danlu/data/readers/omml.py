"""Word's formulas (OMML) as LaTeX: fractions, scripts, roots, sums, brackets, functions, accents, matrices, arrays.

Not covered: fonts (bold, script, fraktur), colours, phantoms and boxes (their content is kept).
"""

from __future__ import annotations

from typing import Any

from danlu.data.readers.tree import child, local, value

_SYMBOLS = {
    "∑": r"\sum", "∏": r"\prod", "∐": r"\coprod", "∫": r"\int", "∬": r"\iint", "∭": r"\iiint", "∮": r"\oint",
    "⋃": r"\bigcup", "⋂": r"\bigcap", "⋁": r"\bigvee", "⋀": r"\bigwedge",
    "∞": r"\infty", "≤": r"\le", "≥": r"\ge", "≠": r"\ne", "≈": r"\approx", "≡": r"\equiv", "±": r"\pm",
    "×": r"\times", "÷": r"\div", "∙": r"\cdot", "·": r"\cdot", "⋅": r"\cdot", "→": r"\to", "⇒": r"\Rightarrow",
    "↔": r"\leftrightarrow", "∈": r"\in", "∉": r"\notin", "⊂": r"\subset", "⊆": r"\subseteq", "∪": r"\cup",
    "∩": r"\cap", "∀": r"\forall", "∃": r"\exists", "∂": r"\partial", "∇": r"\nabla", "…": r"\dots", "⋯": r"\cdots",
    "∅": r"\emptyset", "√": r"\sqrt{}", "{": r"\{", "}": r"\}", "%": r"\%", "#": r"\#", "&": r"\&", "$": r"\$",
    "_": r"\_", "−": "-",
}  # fmt: skip
_NAMES = """
    alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon varphi chi psi
    omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega epsilon vartheta phi
"""
_GREEK = dict(zip("αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩϵϑϕ", _NAMES.split(), strict=True))
_ACCENTS = {"\u0302": "hat", "\u0303": "tilde", "\u0304": "bar", "\u0305": "bar", "\u0307": "dot", "\u0308": "ddot",
            "\u20d7": "vec", "\u030c": "check", "\u0306": "breve", "\u0301": "acute", "\u0300": "grave"}  # fmt: skip
_COMMANDS = "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lim max min sup inf det exp"
_FUNCTIONS = frozenset(_COMMANDS.split())


def latex(element: Any) -> str:
    """The formula of an `m:oMath` or `m:oMathPara` element, on one line."""
    return " ".join(_all(element).split())


def _all(element: Any) -> str:
    return "".join(_one(each) for each in element) if element is not None else ""


def _one(element: Any) -> str:
    tag = local(element)
    if tag == "t":
        return "".join(_symbol(character) for character in element.text or "")
    if tag.endswith("Pr"):
        return ""
    made = _MAKERS.get(tag)
    return made(element) if made else _all(element)


def _symbol(character: str) -> str:
    if character in _GREEK:
        return f"\\{_GREEK[character]} "
    command = _SYMBOLS.get(character, character)
    return f"{command} " if command[0] == "\\" and command[-1].isalpha() else command


def _in(element: Any, name: str) -> str:
    return _all(child(element, name)).strip()


def _fraction(element: Any) -> str:
    over = r"\genfrac{}{}{0pt}{}" if value(child(element, "fPr", "type")) == "noBar" else r"\frac"
    return f"{over}{{{_in(element, 'num')}}}{{{_in(element, 'den')}}}"


def _root(element: Any) -> str:
    degree = _in(element, "deg")
    return rf"\sqrt[{degree}]{{{_in(element, 'e')}}}" if degree else rf"\sqrt{{{_in(element, 'e')}}}"


def _scripts(element: Any) -> str:
    below, above = _in(element, "sub"), _in(element, "sup")
    scripts = (f"_{{{below}}}" if below else "") + (f"^{{{above}}}" if above else "")
    base = _in(element, "e")
    if base.startswith((r"\frac", r"\genfrac")):
        base = f"{{{base}}}"
    return f"{{}}{scripts}{base}" if local(element) == "sPre" else f"{base}{scripts}"


def _nary(element: Any) -> str:
    sign = child(element, "naryPr", "chr")
    symbol = _symbol(value(sign) or "∫").strip()
    below, above = _in(element, "sub"), _in(element, "sup")
    scripts = (f"_{{{below}}}" if below else "") + (f"^{{{above}}}" if above else "")
    return f"{symbol}{scripts} {_in(element, 'e')}"


def _delimited(element: Any) -> str:
    def mark(name: str, usual: str) -> str:
        found = child(element, "dPr", name)
        return usual if found is None else _symbol(value(found)).strip() or "."

    inner = mark("sepChr", "|").join(_all(each).strip() for each in element if local(each) == "e")
    return rf"\left{mark('begChr', '(')}{inner}\right{mark('endChr', ')')}"


def _function(element: Any) -> str:
    name = _in(element, "fName")
    head = name.split("_")[0].split("^")[0].split("{")[0]
    command = "\\" if head in _FUNCTIONS else ""
    return f"{command}{name}{{{_in(element, 'e')}}}"


def _limit(element: Any) -> str:
    base, limit = _in(element, "e"), _in(element, "lim")
    base = f"\\{base}" if base in _FUNCTIONS else base
    return f"{base}_{{{limit}}}" if local(element) == "limLow" else f"{base}^{{{limit}}}"


def _accent(element: Any) -> str:
    if local(element) == "bar":
        return rf"\overline{{{_in(element, 'e')}}}"
    found = child(element, "accPr", "chr")
    accent = _ACCENTS.get(value(found), "hat") if found is not None else "hat"
    return rf"\{accent}{{{_in(element, 'e')}}}"


def _group(element: Any) -> str:
    above = value(child(element, "groupChrPr", "pos")) == "top"
    return rf"\{'over' if above else 'under'}brace{{{_in(element, 'e')}}}"


def _matrix(element: Any) -> str:
    rows = [" & ".join(_all(cell).strip() for cell in row) for row in element if local(row) == "mr"]
    return r"\begin{matrix}" + r" \\ ".join(rows) + r"\end{matrix}"


def _array(element: Any) -> str:
    rows = [_all(each).strip() for each in element if local(each) == "e"]
    if len(rows) == 1:
        return rows[0]
    return r"\begin{array}{l}" + r" \\ ".join(rows) + r"\end{array}"


_MAKERS = {
    "f": _fraction,
    "rad": _root,
    "sSup": _scripts,
    "sSub": _scripts,
    "sSubSup": _scripts,
    "sPre": _scripts,
    "nary": _nary,
    "d": _delimited,
    "func": _function,
    "limLow": _limit,
    "limUpp": _limit,
    "acc": _accent,
    "bar": _accent,
    "groupChr": _group,
    "m": _matrix,
    "eqArr": _array,
}
