"""Whole documents of many kinds with personal data planted in them, made from a seed.

A kind is a text file in one of five folders, written in the order of `SETS`, each after the code had been mended for
the one before; the variants of a kind stand between lines of =====.
⟨type⟩ and ⟨type:way⟩ are slots for a value of a type (`danlu.text.pii.TYPES`), ⟨!kind⟩ for a look-alike
(`pii_cases.LOOKALIKES`). Whatever else a template says is no personal data either: a hit there is wrong.
The names are Faker's for Taiwan, drawn apart from the lists of the code under test.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from faker.providers.person.zh_TW import Provider as Taiwanese
from pii_cases import LOOKALIKES, VALUES

from danlu.text.pseudonym import reserved

HERE = Path(__file__).parent / "pii_documents"
SETS = ("tuning", "heldout", "fresh", "blind", "last")
SLOT = re.compile(r"⟨(!?)([a-z0-9-]+)(?::([a-z]+))?⟩")
COMPOUND = ("歐陽", "司馬", "張簡", "上官", "諸葛", "范姜")
TRIBAL = "瓦歷斯．諾幹 夷將·拔路兒 孫大川‧巴厄拉邦 谷辣斯·尤達卡 高潞．以用 鄭天財·撒可努 巴奈．庫穗"
ROMAN = "Wang Chen Lin Huang Chang Li Wu Liu Tsai Yang Hsu Cheng Hsieh Kuo Chiu Tseng Liao Lai Chou Yeh"
GIVEN = "Hsiao-Ming Yu-Ting Chih-Hao Mei-Ling Chia-Hao Shu-Fen Ya-Ting Chun-Chieh Wei-Ting Yi-Chun"


@dataclass(frozen=True)
class Filled:
    """A document of a kind: its text, the planted [(type, start, end)], and how many look-alikes are in it."""

    kind: str
    text: str
    planted: list[tuple[str, int, int]]
    lookalikes: int


def name(rng: random.Random) -> str:
    """Surnames by their frequency in Taiwan; one in twenty a compound, one in ten a given name of one character."""
    surnames = list(Taiwanese.last_names)
    surname = rng.choices(surnames, list(Taiwanese.last_names.values()))[0]
    given = rng.choice(list(Taiwanese.first_names))
    if rng.random() < 0.05:
        surname = rng.choice(COMPOUND)
    return surname + (rng.choice(given) if rng.random() < 0.1 else given)


def roman(rng: random.Random) -> str:
    surname, given = rng.choice(ROMAN.split()), rng.choice(GIVEN.split())
    return rng.choice([f"{surname} {given}", f"{given} {surname}", f"{surname.upper()}, {given.upper()}"])


WAYS = {
    "name": name,
    "name:en": roman,
    "name:tribal": lambda rng: rng.choice(TRIBAL.split()),
    "name:spaced": lambda rng: rng.choice([" ", "\u3000"]).join(name(rng)),
}  # fmt: skip


def broken(value: str, rng: random.Random) -> str:
    """A value with a line break between two of its digits, as narrow columns and mail clients make it."""
    places = [at for at in range(3, len(value) - 2) if value[at - 1].isalnum() and value[at].isalnum()]
    at = rng.choice(places)
    return f"{value[:at]}\n{value[at:]}"


def made(type: str, way: str, rng: random.Random) -> str:
    make = WAYS.get(f"{type}:{way}") or WAYS.get(type) or VALUES[type]
    value = make(rng)
    while reserved(type, value):  # where the stand-ins lie: what is found there is no person's
        value = make(rng)
    return broken(value, rng) if way == "broken" else value


def filled(kind: str, template: str, rng: random.Random) -> Filled:
    pieces: list[str] = []
    planted: list[tuple[str, int, int]] = []
    at = done = lookalikes = 0
    for slot in SLOT.finditer(template):
        before = template[done : slot.start()]
        value = LOOKALIKES[slot[2]](rng) if slot[1] else made(slot[2], slot[3] or "", rng)
        pieces += [before, value]
        at += len(before)
        if slot[1]:
            lookalikes += 1
        else:
            planted.append((slot[2], at, at + len(value)))
        at += len(value)
        done = slot.end()
    return Filled(kind, "".join([*pieces, template[done:]]), planted, lookalikes)


def documents(which: str, seed: int, each: int) -> Iterator[Filled]:
    """`each` documents of every template of a set."""
    rng = random.Random(f"{which} {seed}")
    for path in sorted((HERE / which).glob("*.txt")):
        for template in path.read_text(encoding="utf-8").split("\n=====\n"):
            for _ in range(each):
                yield filled(path.stem, template, rng)


@dataclass
class Count:
    """What was planted, told, and both at once."""

    planted: int = 0
    told: int = 0
    right: int = 0
    lookalikes: int = 0

    @property
    def recall(self) -> float:
        return self.right / self.planted if self.planted else 1.0

    @property
    def precision(self) -> float:
        return self.right / self.told if self.told else 1.0


@dataclass
class Measured:
    """Counts over all, by type and by kind of document; a hit is right when type, start and end are."""

    whole: Count = field(default_factory=Count)
    types: dict[str, Count] = field(default_factory=dict)
    kinds: dict[str, Count] = field(default_factory=dict)
    missed: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)


def measured(found: Iterable[tuple[Filled, list[tuple[str, int, int]]]]) -> Measured:
    """`found`: each document with the hits (type, start, end) in it."""
    out = Measured()
    for document, hits in found:
        planted, told = set(document.planted), set(hits)
        for type in {type for type, *_ in planted | told}:
            count = out.types.setdefault(type, Count())
            count.planted += sum(one[0] == type for one in planted)
            count.told += sum(one[0] == type for one in told)
            count.right += sum(one[0] == type for one in planted & told)
        for count in (out.whole, out.kinds.setdefault(document.kind, Count())):
            count.planted += len(planted)
            count.told += len(told)
            count.right += len(planted & told)
            count.lookalikes += document.lookalikes
        out.missed.update(around(document.text, *one) for one in planted - told)
        out.wrong.update(around(document.text, *one) for one in told - planted)
    return out


def around(text: str, type: str, start: int, end: int) -> str:
    """What was found or missed, with what stands about it."""
    return f"{type}: {text[max(0, start - 12) : start]}[{text[start:end]}]{text[end : end + 6]}"
