"""The encoding that a text says of itself: XML declarations, `<meta charset>`, and the names of charsets.

Names are those of the WHATWG Encoding Standard (https://encoding.spec.whatwg.org/#names-and-labels), which takes
`gb2312` for GB18030, `big5` for Microsoft's and Hong Kong's supersets and `iso-8859-1` for Windows-1252, as what calls
itself so mostly is. Not covered: UTF-7 and `x-user-defined`, which nothing that is read here needs.
"""

from __future__ import annotations

import codecs
import re

_HEAD = 4096
_XML = re.compile(rb"""^\s*<\?xml[^>]*?\bencoding\s*=\s*["']([\w.:-]{2,40})["']""")
_META = re.compile(rb"""<meta\b[^>]*?\bcharset\s*=\s*["']?\s*([\w.:-]{2,40})""", re.IGNORECASE)
_BIG5 = ("cp950", "big5hkscs")
_ALIASES = {
    **dict.fromkeys(("big5", "big5eten", "cnbig5", "xxbig5", "big5hkscs", "cp950", "ms950", "950"), _BIG5),
    **dict.fromkeys(("gb2312", "gbk", "gb18030", "xgbk", "chinese", "cp936", "936", "euccn"), ("gb18030",)),
    **dict.fromkeys(("shiftjis", "sjis", "xsjis", "windows31j", "cp932", "mskanji"), ("cp932",)),
    **dict.fromkeys(("eucjp", "xeucjp"), ("euc_jp",)),
    **dict.fromkeys(("euckr", "ksc5601", "ksc56011987", "windows949", "cp949", "uhc", "korean"), ("cp949",)),
    **dict.fromkeys(("iso88591", "latin1", "ascii", "usascii", "windows1252", "cp1252", "l1"), ("cp1252",)),
    **dict.fromkeys(("iso88599", "latin5", "windows1254"), ("cp1254",)),
    **dict.fromkeys(("tis620", "iso885911", "windows874"), ("cp874",)),
    **dict.fromkeys(("hzgb2312", "hz"), ("hz",)),
    **dict.fromkeys(("xeuctw", "euctw"), ("euc_tw",)),
}


def codecs_of(label: str) -> tuple[str, ...]:
    """The Python codecs to try for the name of a charset, best first; none when the name is not known.

    UTF-16 and UTF-32 are left out: without their mark or NUL bytes a text is in neither, whatever it says.
    """
    plain = re.sub(r"[^a-z0-9]", "", label.lower())
    if plain in _ALIASES:
        return _ALIASES[plain]
    try:
        found = codecs.lookup(label)
    except (LookupError, ValueError):
        return ()
    known = found._is_text_encoding and not found.name.startswith(("utf-16", "utf-32", "utf-7"))
    return (found.name,) if known and found.name not in ("idna", "punycode", "unicode_escape", "undefined") else ()


def stated(data: bytes) -> str:
    """The charset that an XML declaration or a `<meta>` near the beginning states; empty when none does."""
    head = data[:_HEAD].removeprefix(codecs.BOM_UTF8)
    if not head.lstrip().startswith(b"<"):
        return ""
    found = _XML.search(head) or _META.search(head)
    return found[1].decode("ascii", "replace") if found else ""
