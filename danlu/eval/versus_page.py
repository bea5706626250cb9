"""A comparison of two results as a page: the table, the intervals as a plot, and the questions that flipped."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from html import escape
from typing import Any

from danlu.eval.page import number, page, ticks
from danlu.eval.versus import Change, Comparison, Flip

VERDICTS = {"better": "變好", "worse": "變差", "unclear": "看不出差別", "unknown": "無法檢定"}
TESTS = {"McNemar": "McNemar", "paired t": "成對 t 檢定", "independent": "獨立樣本", "none": "–"}
_WIDE, _LEFT, _RIGHT, _TALL = 1080, 300, 40, 34


def render(made: Comparison, flips: int = 10) -> str:
    """The page, with at most `flips` questions won and as many lost of each score."""
    title = f"{made.new} 與 {made.base} 的比較"
    body = [
        f'<header><h1>{escape(made.new)} <span class="what">與</span> {escape(made.base)}</h1>'
        '<p class="what">基準在後，新的在前；差 = 新的 − 基準，在同一批題目上成對計算。</p></header>',
        _list("注意", made.warnings, "card wrong"),
        "<h2>差異</h2>",
        _table(made.changes),
        '<p class="what">± 是差的標準誤，區間是成對 bootstrap 的 95 % 區間。'
        "對錯題用 McNemar 精確檢定，其餘用成對 t 檢定；p 值以 Holm 法一併校正，校正後小於 0.05 才說變好或變差。</p>",
        "<h2>差的 95 % 區間（以標準誤為單位）</h2>",
        _forest(made.changes),
        _list("說明", made.notes, "what"),
        _flips(made, flips),
        "<footer>Danlu 丹爐。這一頁不需要網路，也不含任何外部資源。</footer>",
    ]
    return page(f"{title} — Danlu", "\n".join(filter(None, body)))


def _list(title: str, lines: Sequence[str], kind: str) -> str:
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<div class="{kind}"><b>{title}</b><ul>{items}</ul></div>'


def _table(changes: Sequence[Change]) -> str:
    names = ("分數", "基準", "新的", "差", "95 % 區間", "n", "變好 / 變差", "p", "Holm", "")
    head = "".join(f"<th{' class=number' if 0 < at < 9 else ''}>{name}</th>" for at, name in enumerate(names))
    rows = "".join(_row(one) for one in changes)
    return (
        '<div class="card flush"><div class="scroll"><table class="board"><thead><tr>'
        f"{head}</tr></thead><tbody>{rows}</tbody></table></div></div>"
    )


def _row(one: Change) -> str:
    way = "越高越好" if one.better == "higher" else "越低越好"
    error = one.stderr
    shown = f' <span class="se">± {number(error, error)}</span>' if error is not None else ""
    span = f"{number(one.low, error, True)} … {number(one.high, error, True)}" if one.low is not None else "–"
    p = [f"{value:.3g}" if value is not None else "–" for value in (one.p, one.holm)]
    wrong = f'<small class="mark">{escape(one.incomparable)}</small>' if one.incomparable else ""
    cells = [
        number(one.base, error),
        number(one.new, error),
        f"<b>{number(one.difference, error, True)}</b>{shown}",
        span,
        f"{one.n:,}" if one.paired else "不成對",
        f"{one.won:,} / {one.lost:,}" if one.paired else "–",
        f"{p[0]}<small>{TESTS[one.test]}</small>",
        p[1],
    ]
    kind = one.verdict if one.verdict in ("better", "worse") else "what"
    return (
        f'<tr><th scope="row">{escape(one.name)}<small>{way} · {escape(one.unit)}</small>{wrong}</th>'
        + "".join(f'<td class="number">{cell}</td>' for cell in cells)
        + f'<td class="{kind}">{VERDICTS[one.verdict]}</td></tr>'
    )


def _forest(changes: Sequence[Change]) -> str:
    """The interval of each difference in its own standard errors, so that all fit on one scale; better is right."""
    shown = [(one, _spread(one)) for one in changes]
    drawn = [(one, spread) for one, spread in shown if spread is not None]
    if not drawn:
        return ""
    reach = max(2.5, *(abs(value) for _, spread in drawn for value in spread)) * 1.05
    reach = min(reach, 30.0)
    width = _WIDE - _LEFT - _RIGHT

    def across(value: float) -> float:
        return _LEFT + width * (min(max(value, -reach), reach) + reach) / (2 * reach)

    bottom = 6 + _TALL * len(drawn)
    lines = []
    for tick in ticks(-reach, reach, 8):
        x = f"{across(tick):.1f}"
        lines.append(f'<line class="{"grid" if tick else "zero"}" x1="{x}" x2="{x}" y1="6" y2="{bottom}"/>')
        lines.append(f'<text class="soft" x="{x}" y="{bottom + 18}" text-anchor="middle">{tick:g}</text>')
    for at, (one, (low, middle, high)) in enumerate(drawn):
        y = 6 + _TALL * at + _TALL / 2
        colour = {"better": "var(--kept)", "worse": "var(--accent)"}.get(one.verdict, "var(--soft)")
        left, right = f"{across(low):.1f}", f"{across(high):.1f}"
        lines.append(
            f'<text x="{_LEFT - 14}" y="{y + 4:.1f}" text-anchor="end">{escape(one.name[:38])}</text>'
            f'<line x1="{left}" x2="{right}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="3"/>'
            f'<circle cx="{across(middle):.1f}" cy="{y}" r="5" fill="{colour}"/>'
        )
    return (
        f'<div class="card"><figure class="scroll"><svg viewBox="0 0 {_WIDE} {bottom + 28}" role="img" '
        f'aria-label="intervals of the differences">{"".join(lines)}</svg><figcaption>往右是變好，往左是變差。'
        "</figcaption></figure></div>"
    )


def _spread(one: Change) -> tuple[float, float, float] | None:
    if one.low is None or one.high is None or not one.stderr:
        return None
    low, middle, high = (value / one.stderr for value in (one.low, one.difference, one.high))
    if not all(map(math.isfinite, (low, middle, high))):
        return None
    return (low, middle, high) if one.better == "higher" else (-high, -middle, -low)


def _flips(made: Comparison, most: int) -> str:
    parts = []
    for name, sides in made.flips.items():
        if not most or not (sides["won"] or sides["lost"]):
            continue
        won = _side(f"變好的 {len(sides['won']):,} 題", sides["won"][:most])
        lost = _side(f"變差的 {len(sides['lost']):,} 題", sides["lost"][:most])
        parts.append(f'<div class="card"><h3>{escape(name)}</h3>{won}{lost}</div>')
    return f"<h2>翻轉的題目</h2>{''.join(parts)}" if parts else ""


def _side(title: str, flips: Sequence[Flip]) -> str:
    if not flips:
        return ""
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td class="long">{escape(_told(value))}</td>'
            for value in (flip.subject, flip.prompt[-600:], flip.target, flip.base, flip.new)
        )
        + "</tr>"
        for flip in flips
    )
    head = "".join(f"<th>{name}</th>" for name in ("科目", "題目（結尾）", "正解", "基準", "新的"))
    return (
        f'<details><summary>{title}，列出 {len(flips)} 題</summary><div class="scroll"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _told(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 600 else text[:600] + "…"
