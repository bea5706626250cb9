"""The licence of a folder of files, told from the words of its LICENSE file.

Titles and sentences that only one licence has are looked for (https://spdx.org/licenses/ gives the texts); nothing is
guessed from a likeness. A licence that is told is no legal advice: read it. Not covered: licences named in single
source files, exceptions, and whether a GNU licence is meant as "only" or "or later".
"""

from __future__ import annotations

import re

NAMES = re.compile(r"(licen[cs]e|copying|unlicense)([-_.].*)?", re.IGNORECASE)
"""The names of files that hold a licence: LICENSE, LICENCE.md, LICENSE-MIT, COPYING.LESSER, …"""

_TAG = re.compile(r"SPDX-License-Identifier:\s*([\w.+() -]*[\w.+)])")
_HEAD = 1500
_TITLES = [
    (r"gnu affero general public license,? version 3", "AGPL-3.0"),
    (r"gnu lesser general public license,? version 3", "LGPL-3.0"),
    (r"gnu lesser general public license,? version 2\.1", "LGPL-2.1"),
    (r"gnu general public license,? version 3", "GPL-3.0"),
    (r"gnu general public license,? version 2", "GPL-2.0"),
    (r"apache license,? version 2\.0", "Apache-2.0"),
    (r"mozilla public license,? version 2\.0", "MPL-2.0"),
    (r"eclipse public license - v 2\.0", "EPL-2.0"),
    (r"european union public licence v\. ?1\.2", "EUPL-1.2"),
    (r"boost software license - version 1\.0", "BSL-1.0"),
    (r"cc0 1\.0 universal", "CC0-1.0"),
    (r"do what the fuck you want to public license", "WTFPL"),
    (r"python software foundation license version 2", "PSF-2.0"),
]
_COMMONS = re.compile(
    r"attribution(-noncommercial)?(-sharealike|-noderivatives|-noderivs)? (\d\.\d) (international|unported|generic)"
)
_BODIES = [
    (r"this is free and unencumbered software released into the public domain", "Unlicense"),
    (r"permission is hereby granted, free of charge, to any person obtaining a copy", "MIT"),
    (r"permission to use, copy, modify, and(/or)? distribute this software for any purpose with or without fee", "ISC"),
    (r"altered source versions must be plainly marked as such", "Zlib"),
]


def spdx(text: str) -> str:
    """The SPDX identifier of a licence's text, or "unknown"."""
    tag = _TAG.search(text)
    if tag:
        return tag[1].strip()
    words = " ".join(re.sub(r"[*_#>=]+", " ", text).lower().split())
    head = words[:_HEAD]
    commons = _COMMONS.search(head)
    if commons:
        parts = [part for part in commons.groups()[:2] if part]
        short = {"-noncommercial": "-NC", "-sharealike": "-SA", "-noderivatives": "-ND", "-noderivs": "-ND"}
        return "CC-BY" + "".join(short[part] for part in parts) + f"-{commons[3]}"
    found = [(place.start(), name) for title, name in _TITLES if (place := re.search(title, head))]
    if found:
        return min(found)[1]
    bodies = [name for sentence, name in _BODIES if re.search(sentence, words)]
    if "redistributions of source code must retain" in words:
        third = re.search(r"neither the names? .{1,200} may be used to endorse", words)
        bodies.append("BSD-3-Clause" if third else "BSD-2-Clause")
    return together(bodies)


def together(licences: list[str]) -> str:
    """One expression for several licences in one place: all of them hold, the careful reading of a choice."""
    known = sorted(set(licences) - {"unknown"})
    return " AND ".join(known) or "unknown"
