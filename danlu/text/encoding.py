"""Bytes to text: UTF-8, UTF-16 and UTF-32, Big5 (cp950) and GB18030 told apart by how plausible they read.

Not covered: Shift JIS, EUC-JP and EUC-KR (named and refused), Latin-1 and other 8-bit encodings (refused, never
guessed), UTF-16 without a mark where no character is below U+0100, and texts of fewer than about four Chinese
characters in a legacy encoding, where Big5 and GB18030 can be equally plausible.
"""

from __future__ import annotations

import codecs
import re

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")

_LEGACY = ("cp950", "big5hkscs", "gb18030")

_FOREIGN = (("cp932", "Japanese in Shift JIS"), ("euc_jp", "Japanese in EUC-JP"), ("cp949", "Korean in EUC-KR"))

_SAMPLE = 2**14
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")
_KANA = re.compile(r"[\u3041-\u3096\u30a1-\u30fa\uac00-\ud7a3]")
_TEXT = re.compile(
    r"[\t\n\r\x20-\x7e\u00a0-\u024f\u2010-\u203f\u3000-\u30ff\u3105-\u312f\u4e00-\u9fff\uac00-\ud7a3\uff01-\uff60]"
)

_COMMON = frozenset(
    "的一是不了在人有我他這這个個们們中来來上大为為和国國地到以说說时時要就出会會可也你对對生能而子那得于於着著下"
    "自之年过過发發后後作里裡用道行所然家种種事成方多经經么麼去法学學如都同现現当當没沒动動面起看定天分还還进進好小"
    "部其些主样樣理心她本前开開但因只从從想实實日军軍者意无無力它与與长長把机機十民第公此已工使情明性知全三又关關"
    "点點正业業外将將两兩高间間由问問很最重并並物手应應战戰向头頭文体體政美相见見被利什二等产產或新己制身果加西斯"
    "月话話合回特代内內信表化老给給世位次度门門任常先海通教儿兒原东東声聲提立及比员員解水名真论論处處走义義各入几幾"
    "口认認条條平系气氣题題活尔爾更别別打女变變四神总總何电電数數安少报報才结結反受目太量再感建务務做接必场場件计計"
    "管期市直德资資命山金指克许許统統区區保至队隊形社便空决決治展马馬科司五基眼书書非则則听聽白却卻界达達光放强強即"
    "像难難且权權思王象完设設式色路记記南品住告类類求据據程北边邊死张張该該交规規万萬取拉格望觉覺术術领領共确確传傳"
    "师師观觀清今切院让讓识識候带帶导導争爭运運灣台臺請謝語言模型資料"
)

_CONTROL = frozenset(range(32)) - {9, 10, 12, 13, 27}


def decode(data: bytes) -> tuple[str, str]:
    """`data` as text, and the name of the Python codec that read it (a byte order mark is taken off).

    Raises ValueError, with the reason and the offset in bytes, when the data is binary or in no encoding known here.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _strict(data, name), name
    if b"\0" in data and (wide := _wide(data)):
        return wide
    _refuse_binary(data)
    if b"\x1b$" in data:
        raise ValueError("it looks like Japanese or Chinese in ISO-2022, which is not read: convert it to UTF-8")
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        first_bad = error.start
    readings = [(text, name) for name in _LEGACY if (text := _read(data, name)) is not None]
    best = max(readings, key=lambda reading: plausibility(reading[0]), default=None)
    sure = plausibility(best[0]) if best else 0.0
    told = f"not UTF-8 (byte 0x{data[first_bad]:02x} at offset {first_bad})"
    if sure < 0.65 and (foreign := _foreign(data)):
        raise ValueError(f"{told}; it looks like {foreign}, which is not read: convert it to UTF-8")
    if best is None or sure < 0.55:
        raise ValueError(f"{told}, nor Big5 or GB18030 text")
    return best


def plausibility(text: str) -> float:
    """How much `text` reads like modern Chinese: the share of its non-ASCII characters that are everyday ones, 0 to 1.

    A character among the few hundred commonest counts fully, punctuation and any other character of Big5's first level
    or of GB 2312's first level by half. The first few thousand are looked at.
    """
    letters = _beyond_ascii(text)
    if not letters:
        return 1.0
    return sum(1.0 if letter in _COMMON else 0.5 * _everyday(letter) for letter in letters) / len(letters)


def _beyond_ascii(text: str) -> str:
    """The first `_SAMPLE` characters that are no ASCII."""
    found: list[str] = []
    count = 0
    for run in _BEYOND_ASCII.finditer(text):
        found.append(run[0][: _SAMPLE - count])
        count += len(found[-1])
        if count >= _SAMPLE:
            break
    return "".join(found)


def _wide(data: bytes) -> tuple[str, str] | None:
    """UTF-32 or UTF-16 without a mark: nearly every character is one that texts have, and each has its own kind."""
    for name in _WIDE:
        unit = 4 if "32" in name else 2
        head = data[: unit * _SAMPLE]
        if len(data) % unit or (text := _read(head[: len(head) - 4 * (len(head) < len(data))], name)) is None:
            continue
        sure = len(_TEXT.findall(text)) >= 0.95 * len(text) and any(mark in text for mark in " \n。，")
        if sure and (whole := _read(data, name)) is not None and "\0" not in whole:
            return whole, name
    return None


def _foreign(data: bytes) -> str:
    """The name of an encoding of a neighbour's, when much of the text under it is kana or hangul."""
    for name, told in _FOREIGN:
        letters = _beyond_ascii(data[: 4 * _SAMPLE].decode(name, "ignore"))
        strict = _read(data, name) is not None
        if strict and len(_KANA.findall(letters)) > 0.4 * len(letters):
            return told
    return ""


def _everyday(character: str) -> bool:
    if character in "，。、；：？！「」『』（）《》〈〉…—　“”‘’·":
        return True
    for codec, low, high in (("big5", 0xA4, 0xC6), ("gb2312", 0xB0, 0xD7)):
        try:
            lead = character.encode(codec)[0]
        except UnicodeEncodeError:
            continue
        if low <= lead <= high:
            return True
    return False


def _read(data: bytes, name: str) -> str | None:
    try:
        return data.decode(name)
    except UnicodeDecodeError:
        return None


def _strict(data: bytes, name: str) -> str:
    try:
        text = data.decode(name)
    except UnicodeDecodeError as error:
        raise ValueError(f"begins as {name} but breaks off at byte offset {error.start}: {error.reason}") from None
    if "\0" in text:
        raise ValueError(f"binary: a NUL character in what begins as {name}")
    return text


def _refuse_binary(data: bytes) -> None:
    nul = data.find(b"\0")
    if nul >= 0:
        raise ValueError(f"binary: a NUL byte at offset {nul}")
    control = sum(data.count(byte) for byte in _CONTROL)
    if control > len(data) / 100:
        raise ValueError(f"binary: {control} control bytes in {len(data)}")


def encode(text: str, name: str, like: bytes = b"") -> bytes:
    """`text` in the encoding `name` of `decode`, with the byte order mark that the original bytes `like` began with.

    Raises UnicodeEncodeError when a legacy encoding lacks a character.
    """
    for mark, plain in (
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if name in ("utf-16", "utf-32") and like.startswith(mark):
            return mark + text.encode(plain)
    return text.encode(name)
