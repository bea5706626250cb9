"""Which Han characters are Simplified, and how variants fold together: two small tables made from OpenCC's.

The tables are files of this package, so that nothing here needs OpenCC but `_opencc`, the way
back to Simplified, which only making training data needs.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

Style = Literal["standard", "everyday"]
"""Which of two forms that mean the same: that of the standard (臺灣), or the everyday one (台灣)."""


def rows(name: str) -> list[list[str]]:
    """The rows of a tab-separated file of this package; `#` begins a comment line."""
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]


@lru_cache(maxsize=1)
def _tables() -> tuple[dict[int, str], dict[str, str]]:
    fold: dict[int, str] = {}
    simplified: dict[str, str] = {}
    for kind, character, other in rows("opencc_characters.tsv"):
        if kind == "fold":
            fold[ord(character)] = other
        else:
            simplified[character] = other
    return fold, simplified


def fold(text: str) -> str:
    """`text` with every Traditional character or variant as its Simplified form, of the same length: for matching."""
    return text.translate(_tables()[0])


def folding() -> dict[int, str]:
    """The table of `fold`: the code of each Traditional character or variant, and its Simplified form."""
    return _tables()[0]


def simplified() -> dict[str, str]:
    """Each character that is only ever Simplified, with its Taiwan form (the commonest, where there are several).

    Characters that Traditional text uses in their own right (后 里 面 只 干 台 松 云 范 采 表 …) are not in it.
    """
    return _tables()[1]


@lru_cache(maxsize=1)
def traditional() -> frozenset[str]:
    """The characters that Simplified text never uses."""
    common = {chr(code) for code, plain in _tables()[0].items() if plain != chr(code)}
    return frozenset(character for character in common if not _in_gb2312(character))


def to_traditional(text: str, style: Style = "standard") -> str:
    """Simplified to Traditional characters in Taiwan's standard, of the same length; vocabulary is left as it is.

    All of `text` is taken for Simplified: 后 and 里 in it are judged by their context (`danlu.text.conversion`).
    """
    from danlu.text.conversion import convert

    return convert(text, style)


def plain_to_taiwan(text: str) -> str:
    """`text` with each character of `simplified()` replaced by its commonest Taiwan form, of the same length."""
    return text.translate(_plain())


@lru_cache(maxsize=1)
def _plain() -> dict[int, str]:
    return {ord(character): taiwan for character, taiwan in simplified().items()}


@lru_cache(maxsize=2)
def _opencc(config: str) -> Any:
    import opencc

    return opencc.OpenCC(config)


def _in_gb2312(character: str) -> bool:
    try:
        character.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True
