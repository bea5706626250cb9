"""Bytes to text: UTF-8, UTF-16 and UTF-32, Big5 (cp950, HKSCS), GB18030, Japanese, Korean and Western European.

`decode` is exact: every byte means something, and `encode` gives the same bytes back. `salvage` keeps a text that is
damaged: lines of other encodings are read in theirs, and what means nothing is U+FFFD, counted. A text is, in this
order, what its mark says; UTF-8 where it is UTF-8; what it declares (`danlu.text.charset`), unless it evidently reads
as something else; the encoding under which it is most plausible.

Not covered: EUC-TW (refused), 8-bit encodings other than Windows-1252 that nothing declares (refused, never guessed), a
few words in UTF-16 without a mark, and texts of fewer than about four Chinese characters in a legacy encoding, where
Big5 and GB18030 can be equally plausible.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from dataclasses import dataclass

from danlu.text.charset import codecs_of, stated

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")

_LEGACY = ("cp950", "big5hkscs", "gb18030")

_FOREIGN = {"cp932": ("cp932", 0.4), "euc_jp": ("euc_jp", 0.4), "cp949": ("euc_kr", 0.7)}
"""Codecs of neighbours, the codec of their everyday characters, and the least share of kana or hangul among these
(Simplified Chinese read as Korean has about six tenths; Big5 read as Korean has many, but no everyday ones)."""

_SHIFTED = ("iso2022_jp_2", "iso2022_jp_3", "iso2022_jp_ext", "iso2022_kr")
_SURE = 0.65
_LIKELY = 0.55
_NAMES = 0.4
_CLEAR = 0.2
_BIG5 = _LEGACY[:2]
_MARGIN = 0.15
_LOST = 0.1
"""Most of the characters beyond ASCII that may be lost in a text that is kept."""

_SKIPPED = 9.0
_MENDED = 2**16

_SAMPLE = 2**14
_IN_WORDS = re.compile(
    rb"(?<![\x80-\xff])(?:(?<=[A-Za-z'])[\x80-\xff]{1,2}|[\x80-\xff]{1,2}(?=[A-Za-z]))(?![\x80-\xff])"
)
_HIGH = re.compile(rb"[\x80-\xff]+")
_QUOTES = frozenset(b"\x80\x85\x91\x92\x93\x94\x95\x96\x97\xa0\xa1\xa3\xa7\xa9\xab\xae\xb0\xb7\xbb\xbf")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")
_GAPS = re.compile("\ufffd+")
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
    "嘅啲佢哋喺嘢咗唔冇睇嚟咁嗰乜啦喇嘞㗎噉攞諗係俾畀邊咩啱嗌攰"
)

_CONTROL = bytes({*range(32)} - {9, 10, 12, 13, 27})


@dataclass(frozen=True)
class Salvaged:
    """A text, the codec of most of it, in how many places U+FFFD stands for bytes that mean nothing, and, of a text of
    several encodings, how many lines beyond ASCII each of them read."""

    text: str
    encoding: str
    lost: int = 0
    lines: tuple[tuple[str, int], ...] = ()


def decode(data: bytes, declared: str = "") -> tuple[str, str]:
    """`data` as text, and the name of the Python codec that read it (a byte order mark is taken off).

    `declared` is the charset that its container names; empty: the one that the text itself does.
    Raises ValueError, with the reason and the offset in bytes, when the data is binary or in no encoding known here.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _strict(data, name), name
    if (b"\0" in data or _controls(data)) and (wide := _wide(data)):
        return wide
    _refuse_binary(data)
    if shifted := _shifted(data, declared or stated(data)):
        return shifted
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        first_bad = error.start
    guess = _guess(data)
    if believed := _believed(data, codecs_of(declared or stated(data)), guess):
        return believed
    if guess is None:
        raise ValueError(f"not UTF-8 (byte 0x{data[first_bad]:02x} at offset {first_bad}), nor Big5 or GB18030 text")
    return guess


def salvage(data: bytes, declared: str = "") -> Salvaged:
    """As `decode`, but a damaged text is kept, as long as no more than `_LOST` of it is lost. Raises ValueError."""
    try:
        return Salvaged(*decode(data, declared))
    except ValueError as error:
        refusal = error
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _judged(data.decode(name, "replace"), Counter({name: 1}), refusal)
    _refuse_binary(data)
    trusted = codecs_of(declared or stated(data))
    lines = data.splitlines(keepends=True)
    rest = b"".join(line for line in lines if not _is_utf8(line))
    main = _likeliest(rest, trusted)
    told: Counter[str] = Counter()
    texts = []
    for line in lines:
        text, name = _line(line, main)
        texts.append(text)
        told[name] += not line.isascii()
    return _judged("".join(texts), told, refusal)


def _judged(text: str, told: Counter[str], refusal: ValueError) -> Salvaged:
    """The salvaged text, unless too much of it is lost or it reads like nothing."""
    told = +told
    text = _GAPS.sub("\ufffd", text)
    count, lost = sum(map(len, _BEYOND_ASCII.findall(text))), text.count("\ufffd")
    kept = text.replace("\ufffd", "")
    doubtful = _sense(kept, told.most_common(1)[0][0]) < _LIKELY
    if "\0" in text or doubtful or lost > max(2, _LOST * count) or count <= lost:
        raise refusal
    several = tuple(told.most_common()) if len(told) > 1 else ()
    return Salvaged(text, told.most_common(1)[0][0], lost, several)


def _is_utf8(line: bytes) -> bool:
    return _read(line, "utf-8") is not None


def _line(line: bytes, main: str) -> tuple[str, str]:
    """A line in UTF-8 where it is UTF-8, though damaged; else in the `main` encoding, unless another reads better."""
    if (text := _read(line, "utf-8")) is not None:
        return text, "utf-8"
    text = line.decode("utf-8", "replace")
    if sum(character > "\u07ff" for character in text) > 3 * text.count("\ufffd"):
        return text, "utf-8"
    names = _BIG5 if main in _BIG5 else (main,)
    whole, name = next(((text, name) for name in names if (text := _read(line, name)) is not None), (None, main))
    other = _guess(line)
    if other and (whole is None or plausibility(other[0]) > plausibility(whole) + 2 * _MARGIN):
        return other
    return (whole, name) if whole is not None else (_mended(line, main), main)


def _likeliest(data: bytes, trusted: tuple[str, ...]) -> str:
    """The legacy encoding under which damaged text reads best; `trusted` are those that it declares."""

    def score(name: str) -> float:
        text = data[: 2 * _SAMPLE].decode(name, "replace")
        lost = text.count("\ufffd") / max(len(_beyond_ascii(text)), 1)
        return _sense(text.replace("\ufffd", ""), name) - lost + (name in trusted) * 2 * _MARGIN

    return max((*(name for name in trusted if name != "euc_tw"), *_LEGACY, *_FOREIGN), key=score)


def _sense(text: str, name: str) -> float:
    """How much a text reads like what its encoding is for, 0 to 1; `_LIKELY` where that is not known."""
    if name in _LEGACY:
        return plausibility(text)
    if name in ("utf-16", "utf-32"):
        return len(_TEXT.findall(text)) / max(len(text), 1)
    if name not in _FOREIGN:
        return _LIKELY
    letters = _beyond_ascii(text)
    return len(_KANA.findall(letters)) / (2 * _FOREIGN[name][1] * max(len(letters), 1))


def _mended(line: bytes, name: str) -> str:
    """A damaged line in a multi-byte encoding, with one U+FFFD for each byte to be skipped so that the rest reads best.

    The cheapest way through the bytes (Viterbi): a common character costs nothing, a rare one little, a skip much, so
    that after a lost byte the rest of the line is not read one byte off.
    """
    if len(line) > _MENDED or name not in (*_LEGACY, *_FOREIGN):
        return line.decode(name, "replace")
    widths = (1, 2, 4) if name == "gb18030" else (1, 2, 3) if name == "euc_jp" else (1, 2)
    best: list[tuple[float, int, str]] = [(0.0, 0, "")] + [(float("inf"), 0, "")] * len(line)
    for start in range(len(line)):
        cost = best[start][0]
        steps = [(start + 1, _SKIPPED, "\ufffd")]
        for width in widths:
            text = _read(line[start : start + width], name) if start + width <= len(line) else None
            if text is not None and len(text) == 1 and (width == 1) == text.isascii():
                steps.append((start + width, 0.0 if width == 1 else 3 * (1 - plausibility(text)), text))
        for end, price, text in steps:
            if cost + price < best[end][0]:
                best[end] = (cost + price, start, text)
    out, at = [], len(line)
    while at:
        out.append(best[at][2])
        at = best[at][1]
    return "".join(reversed(out))


def _shifted(data: bytes, declared: str) -> tuple[str, str] | None:
    """ISO-2022, told by its escapes, and HZ, which must be declared."""
    names = _SHIFTED if b"\x1b$" in data else ("hz",) if codecs_of(declared) == ("hz",) else ()
    found = ((text, name) for name in names if (text := _read(data, name)) is not None)
    return next(found, None)


def _guess(data: bytes) -> tuple[str, str] | None:
    """The most plausible reading of bytes that are no UTF-8; None when none is plausible."""
    readings = [(text, name) for name in _LEGACY if (text := _read(data, name)) is not None]
    best = max(readings, key=lambda reading: plausibility(reading[0]), default=None)
    sure = plausibility(best[0]) if best else 0.0
    if best and best[1] in _BIG5 and sure >= _NAMES and _apart(readings):
        return best
    if sure < _SURE and (other := _foreign(data) or _western(data)):
        return other
    return best if sure >= _LIKELY else None


def _apart(readings: list[tuple[str, str]]) -> bool:
    """Whether Big5 is much more plausible than anything else, as with lists of names, which have few common words."""
    sure = {name: plausibility(text) for text, name in readings}
    return max(sure.get(name, 0.0) for name in _BIG5) >= sure.get("gb18030", 0.0) + _CLEAR


def _believed(data: bytes, trusted: tuple[str, ...], guess: tuple[str, str] | None) -> tuple[str, str] | None:
    """What the data is under the encoding that it declares, unless it evidently reads as another."""
    for name in trusted:
        text = _read(data, name) if name != "euc_tw" else None
        if text is not None:
            return None if guess and _wrong(text, name, *guess) else (text, name)
    return None


def _wrong(text: str, name: str, other: str, guess: str) -> bool:
    """Whether the `other` text, which is the guess, shows that the text under the declared encoding is wrong."""
    letters = _beyond_ascii(text)
    if name == guess or len(letters) < 4:
        return False
    if guess not in _LEGACY:  # kana, hangul, or the few letters of Western Europe
        return name in _LEGACY and plausibility(text) < _LIKELY
    if name in _FOREIGN:
        return plausibility(other) >= _SURE and len(_KANA.findall(letters)) < len(letters) / 4
    own = plausibility(text) if name in _LEGACY else 0.0
    return plausibility(other) >= max(_SURE, own + _MARGIN)


def _western(data: bytes) -> tuple[str, str] | None:
    """Windows-1252, where bytes beyond ASCII are few, stand among ASCII letters and are letters or quotes."""
    runs = _HIGH.findall(data)
    high = b"".join(runs)
    if not high or len(high) > 0.25 * len(data) or len(_IN_WORDS.findall(data)) < 0.7 * len(runs):
        return None
    fitting = sum(byte >= 0xC0 or byte in _QUOTES for byte in high)
    text = _read(data, "cp1252") if fitting >= 0.7 * len(high) else None
    return None if text is None else (text, "cp1252")


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
        marked = any(mark in text for mark in " \n。，") or (len(text) >= 8 and plausibility(text) >= _SURE)
        if (
            marked
            and len(_TEXT.findall(text)) >= 0.95 * len(text)
            and (whole := _read(data, name)) is not None
            and "\0" not in whole
        ):
            return whole, name
    return None


def _foreign(data: bytes) -> tuple[str, str] | None:
    """Japanese or Korean, when much of the text under a neighbour's encoding is kana or hangul."""
    for name, (everyday, least) in _FOREIGN.items():
        letters = _beyond_ascii(data[: 4 * _SAMPLE].decode(name, "ignore"))
        common = letters.encode(everyday, "ignore").decode(everyday)
        if len(_KANA.findall(common)) > least * len(letters) and (text := _read(data, name)) is not None:
            return text, name
    return None


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
    if control := _controls(data):
        raise ValueError(f"binary: {control} control bytes in {len(data)}")


def _controls(data: bytes) -> int:
    """How many control bytes there are, if they are more than texts have."""
    control = len(data) - len(data.translate(None, _CONTROL))
    return control if control > len(data) / 100 else 0


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
