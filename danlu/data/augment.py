"""data.augment: more ways to ask the same, by templates and without a model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from danlu.artifact import Artifact, Draft, digest
from danlu.data.flow import Block, blocks, encoded, spread
from danlu.data.formats.alpaca import INPUT
from danlu.data.instruct import draw
from danlu.records import Example, Message
from danlu.registry import From, Settings, Step
from danlu.text.grounding import question_of
from danlu.track import Track

Kind = Literal["paraphrase", "register", "typo", "width", "prefix"]

_LONGEST = 80
_HAN = r"\u3400-\u9fff"
_QUOTED = re.compile(r"「[^」]*」|『[^』]*』|`[^`]*`")


class AugmentSettings(Settings):
    examples: Annotated[str, From("examples")]
    """The step that made the examples."""

    share: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Share of the examples that get a variant beside them."""

    kinds: Annotated[tuple[Kind, ...], Field(min_length=1)] = ("paraphrase", "register", "typo", "width", "prefix")
    """How a question may differ: paraphrase (another form of the question), register (politeness, as people in Taiwan
    write), typo (one slip of the input method, or a missing mark), width (half-width marks, spaces left out,
    full-width letters), prefix (an instruction before it). One kind a variant, each equally often where it can be."""

    seed: int = 0
    """Seed of which examples get a variant, and which."""


class Augment(Step[AugmentSettings]):
    """Adds, after an example, one that asks the same in another way: same answer, same document and span, same
    `method`; `meta` names its `origin` and the kind (`augmented`), so that data.split keeps the two together.

    Only the last question of the user changes, in a prompt with passages the question alone; what stands in quotation
    marks or code is never touched by a slip. A question that no kind fits (long, of several lines) gets no variant and
    is counted. Nothing is dropped. Not covered: other languages than Chinese, answers in another style.
    """

    Settings = AugmentSettings
    makes = "examples"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        parts = blocks(inputs["examples"].file("examples.jsonl"))
        counts: Counter[str] = Counter()
        bar = track.bar("augment", sum(part.count for part in parts), unit="example")
        with out.file("examples.jsonl").open("wb") as file:
            for part, (lines, found) in zip(parts, spread(partial(_block, self.settings), parts, track), strict=True):
                file.write(lines)
                counts.update(found)
                bar.update(part.count)
        bar.close()
        out.file("dropped.jsonl").write_bytes(b"")
        came = sum(part.count for part in parts)
        made = sum(counts[kind] for kind in self.settings.kinds)
        out.funnel("augment", came + made, came + made, {}, unit="examples")
        each: dict[str, int] = {"as they came": came}
        each.update({kind: counts[kind] for kind in self.settings.kinds})
        each["chosen, but no kind fits"] = counts[""]
        out.table("Examples by kind", ["kind", "examples"], [[*row] for row in each.items()])
        out.metrics.update(examples=came + made, augmented=made)


def _block(settings: AugmentSettings, block: Block) -> tuple[bytes, Counter[str]]:
    lines: list[bytes] = []
    counts: Counter[str] = Counter()
    for example in block.records(Example):
        lines.append(encoded(example))
        if draw(settings.seed, "augment", example.id) / 2**64 < settings.share:
            found = variant(example, settings)
            counts[found.meta["augmented"] if found else ""] += 1
            lines += [encoded(found)] if found else []
    return b"".join(lines), counts


def variant(example: Example, settings: AugmentSettings) -> Example | None:
    """The example with its last question asked in another way; None when no kind fits."""
    at = max((at for at, one in enumerate(example.messages) if one.role == "user"), default=None)
    if at is None:
        return None
    prompt = example.messages[at].content
    asked = question_of(prompt)
    order = sorted(settings.kinds, key=lambda kind: draw(settings.seed, "kind", kind, example.id))
    for kind in order:
        said = KINDS[kind](asked, draw(settings.seed, kind, "wording", example.id))
        if not said or said == asked:
            continue
        changed = Message(**{**example.messages[at].model_dump(), "content": prompt.removesuffix(asked) + said})
        meta = {name: value for name, value in example.meta.items() if name != INPUT}
        meta |= {"origin": example.meta.get("origin") or example.id, "augmented": kind}
        return example.model_copy(
            update={
                "id": digest([example.id, kind, said])[:16],
                "messages": [*example.messages[:at], changed, *example.messages[at + 1 :]],
                "meta": meta,
            }
        )
    return None


# --- the kinds: a question, and a number that chooses among wordings; empty when the kind does not fit ---

_T = r"(?P<x>[^，。？！\n]{1,40}?)"
_FORMS: tuple[tuple[str, str], ...] = (
    (rf"談到{_T}，(?P<y>[^。？！\n]{{1,60}}？)", "關於{x}，{y}|說到{x}，{y}|在{x}這個主題上，{y}|就{x}來說，{y}"),
    (rf"什麼是{_T}？", "{x}是什麼？|請解釋{x}。|{x}指的是什麼？|可以說明一下什麼是{x}嗎？|{x}是什麼意思？"),
    (rf"(?:請問)?{_T}是什麼(?:意思)?？", "什麼是{x}？|請解釋{x}。|{x}指的是什麼？|可以解釋一下{x}嗎？"),
    (rf"請解釋{_T}。", "什麼是{x}？|{x}是什麼意思？|可以解釋一下{x}嗎？|請說明{x}。"),
    (rf"(?:請說明|請介紹|請簡單介紹){_T}。", "可以說明一下{x}嗎？|請解釋{x}。|能不能介紹{x}？|我想了解{x}。"),
    (rf"(?:為什麼|為何){_T}？", "為何{x}？|為什麼{x}？|請說明為什麼{x}。|{x}，原因是什麼？"),
    (rf"(?:如何|怎麼|要怎麼|該怎麼|怎樣){_T}？", "要怎麼{x}？|該如何{x}？|請說明如何{x}。|{x}要怎麼做？"),
    (rf"{_T}有哪些？", "請列出{x}。|{x}有什麼？|可以列出{x}嗎？|請問{x}有哪些？"),
)
_POLITE = (
    ("請問", ""),
    ("想請教一下，", ""),
    ("不好意思，", ""),
    ("", "謝謝！"),
    ("麻煩你了，", ""),
    ("老師好，", ""),
    ("想問一下，", "感謝！"),
    ("你好，", ""),
    ("拜託，", "有點急，謝謝！"),
)
_CASUAL = (("欸，", ""), ("求解：", ""), ("新手發問，", ""), ("", "有人知道嗎？"), ("", "感恩！"), ("問一下，", ""))
_SLIPS = (
    ("再", "在"),
    ("在", "再"),
    ("應該", "因該"),
    ("已經", "以經"),
    ("做", "作"),
    ("作", "做"),
    ("的", "得"),
    ("得", "的"),
    ("須", "需"),
    ("需", "須"),
    ("甚麼", "什麼"),
    ("什麼", "甚麼"),
    ("嗎", "ㄇ"),
    ("因為", "應為"),
    ("計畫", "計劃"),
    ("身分", "身份"),
    ("哪", "那"),
    ("模型", "模形"),
    ("訓練", "訓鍊"),
    ("資料", "資科"),
    ("檢索", "檢所"),
    ("注意", "住意"),
    ("怎麼", "怎嚜"),
    ("請問", "請門"),
    ("說明", "說名"),
)
_PREFIXES = (
    "請用繁體中文回答：",
    "請回答下面的問題。\n",
    "問題：",
    "請以正體中文回覆。\n",
    "請根據你所知的回答：",
    "以下是使用者的問題，請回答。\n",
    "請幫我回答：",
    "Q：",
)


def paraphrase(asked: str, lot: int) -> str:
    """Another form of the same question."""
    if len(asked) > _LONGEST:
        return ""
    for pattern, forms in _FORMS:
        found = re.fullmatch(pattern, asked)
        if found:
            parts = {name: text.strip() for name, text in found.groupdict().items()}
            others = [said for form in forms.split("|") if (said := _spaced(form.format(**parts))) != asked]
            return others[lot % len(others)] if others else ""
    return ""


def register(asked: str, lot: int) -> str:
    """Politer, or more casual, as in a message or on a forum."""
    if len(asked) > _LONGEST or "\n" in asked or not asked.endswith(("？", "。")):
        return ""
    table = _POLITE if lot % 3 else _CASUAL
    before, after = table[lot // 3 % len(table)]
    if asked.startswith(("請", "想", "可以", "能不能", "我想", "你好")) and before:
        before, after = "", "謝謝！"
    return before + asked + after


def typo(asked: str, lot: int) -> str:
    """One slip: a word that sounds or looks alike, a character typed twice, or the final mark left out."""
    if len(asked) > 2 * _LONGEST:
        return ""
    alone = [found.span() for found in _QUOTED.finditer(asked)]
    places = [
        (found.start(), right, wrong)
        for right, wrong in _SLIPS
        for found in re.finditer(right, asked)
        if not any(start <= found.start() < end for start, end in alone)
    ]
    if places and lot % 4:
        at, right, wrong = places[lot // 4 % len(places)]
        return asked[:at] + wrong + asked[at + len(right) :]
    return asked[:-1] if asked.endswith(("？", "。")) else ""


def width(asked: str, lot: int) -> str:
    """Half-width marks, no space between Chinese and Latin, or full-width letters and digits."""
    if "`" in asked or len(asked) > 2 * _LONGEST:
        return ""
    ways: tuple[Callable[[str], str], ...] = (_half, _tight, _wide)
    said = [text for way in ways if (text := way(asked)) != asked]
    return said[lot % len(said)] if said else ""


def prefix(asked: str, lot: int) -> str:
    """An instruction before the question."""
    return _PREFIXES[lot % len(_PREFIXES)] + asked


KINDS: dict[str, Callable[[str, int], str]] = {
    "paraphrase": paraphrase,
    "register": register,
    "typo": typo,
    "width": width,
    "prefix": prefix,
}

_HALF = str.maketrans("，？！：；（）", ",?!:;()")
_FULL = {code: code + 0xFEE0 for a, z in ("09", "AZ", "az") for code in range(ord(a), ord(z) + 1)}


def _half(text: str) -> str:
    return text.translate(_HALF)


def _tight(text: str) -> str:
    return re.sub(rf"(?<=[{_HAN}]) (?=[A-Za-z0-9])|(?<=[A-Za-z0-9]) (?=[{_HAN}])", "", text)


def _wide(text: str) -> str:
    return re.sub(r"(?<![A-Za-z0-9])[A-Za-z0-9]{1,8}(?![A-Za-z0-9])", lambda found: found[0].translate(_FULL), text)


def _spaced(text: str) -> str:
    """One space between Chinese and Latin letters or digits."""
    text = re.sub(rf"(?<=[{_HAN}])(?=[A-Za-z0-9])", " ", text)
    return re.sub(rf"(?<=[A-Za-z0-9])(?=[{_HAN}])", " ", text)
