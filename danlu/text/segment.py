"""Words for full-text search, the same for the index and the query.

Chinese is cut into single characters and overlapping pairs, which needs no dictionary, finds every substring and never
disagrees with itself; anything else into words in lower case. Not covered: synonyms, stemming, and Simplified against
Traditional (convert both with `script.to_taiwan` first).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

_HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_PIECE = re.compile(rf"(?P<han>[{_HAN}]+)|(?P<word>[^\W_{_HAN}]+(?:[._'-][^\W_{_HAN}]+)*[+#]*)")
_PART = re.compile(r"[^\W_]+[+#]*")


def tokens(text: str) -> list[str]:
    """The tokens of `text` in order: 檢索增強 → 檢 檢索 索 索增 增 增強 強; Q4_K_M → q4_k_m q4 k m; C++ → c++.

    Full-width letters and digits count as half-width ones (NFKC).
    """
    result: list[str] = []
    for match in _PIECE.finditer(unicodedata.normalize("NFKC", text).lower()):
        piece = match[0]
        if match["han"]:
            for index, character in enumerate(piece):
                result.append(character)
                result += [piece[index : index + 2]] * (index + 1 < len(piece))
        else:
            parts = _PART.findall(piece)
            result += [piece, *parts] if len(parts) > 1 else [piece]
    return result


def _hash() -> str:
    probe = "檢索增強生成 Q4_K_M、C++ 與 don't：3.14ＡＢ１"
    return hashlib.sha256("\n".join([_PIECE.pattern, _PART.pattern, *tokens(probe)]).encode()).hexdigest()[:16]


TOKENIZER_HASH = _hash()
"""Changes when the tokens change: an index keeps it, and a query with another one is refused."""
