"""All models' results of a store on one page: sortable, with errors, ranks that admit ties, and plots by subject.

A column is one measurement: a score of a task in one version with one number of shots. Results of another version or
with other shots stand in another column, and what else differs within a column (questions, data, prompts, seed,
failures) is marked at the value. A row is one set of weights on one backend; of several results of one measurement the
latest counts.

A rank is a range: a model may be as good as first when no other's 95 % interval lies wholly above its own. Intervals
that overlap can still differ on paired questions: `danlu compare` tells that. Not covered: one number for a model.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from danlu.eval.page import FOLDER, number, page, places, plus_minus, ticks
from danlu.eval.results import TaskResult
from danlu.eval.stored import Stored
from danlu.records import Score

Z = 1.959963984540054
COLOURS = 8
_FACTS = ("backend", "dtype", "device", "quantization", "context")
_WIDE, _LEFT, _RIGHT = 1080, 210, 30


@dataclass(frozen=True)
class Column:
    """One measurement. `version` is that of the task, `scored` that of the score."""

    task: str
    metric: str
    version: str
    scored: str
    shots: int


@dataclass(frozen=True)
class Cell:
    """A model's score in a column. `rank` is the best and the worst place it may have; `marks` say what was not the
    same as for most others of the column."""

    score: Score
    task: TaskResult
    stored: Stored
    rank: tuple[int, int] = (0, 0)
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """A model: weights on a backend."""

    name: str
    fingerprint: str
    facts: tuple[str, ...]
    cells: Mapping[Column, Cell]


@dataclass(frozen=True)
class Board:
    """`replaced` counts values that a later result of the same measurement replaced."""

    rows: list[Row]
    columns: list[Column]
    replaced: int

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "columns": [vars(column) for column in self.columns],
            "models": [
                {
                    "name": row.name,
                    "fingerprint": row.fingerprint,
                    "facts": list(row.facts),
                    "scores": list(_plain(row)),
                }
                for row in self.rows
            ],
            "replaced": self.replaced,
        }


def _plain(row: Row) -> Iterator[dict[str, Any]]:
    for column, cell in row.cells.items():
        yield {
            **vars(column),
            "value": cell.score.value,
            "stderr": cell.score.stderr,
            "n": cell.score.n,
            "better": cell.score.better,
            "rank": list(cell.rank),
            "marks": list(cell.marks),
            "artifact": cell.stored.id,
        }


def board(found: Sequence[Stored]) -> Board:
    """The board of some results, oldest first."""
    rows: dict[tuple[str, str, tuple[str, ...]], dict[Column, Cell]] = {}
    replaced = 0
    for stored in found:
        facts = stored.results.model.get("facts") or {}
        told = tuple(f"{name} {facts[name]}" for name in _FACTS if facts.get(name) not in (None, ""))
        cells = rows.setdefault((stored.model, stored.fingerprint, told), {})
        for task in stored.results.tasks:
            for score in task.scores:
                column = Column(task.task, score.name, task.version, score.version, task.shots)
                replaced += column in cells
                cells[column] = Cell(score, task, stored)
    asked = Counter(task for cells in rows.values() for task in {column.task for column in cells})
    columns = sorted(
        {column for cells in rows.values() for column in cells},
        key=lambda one: (-asked[one.task], one.task, _order(rows, one)),
    )
    for column in columns:
        held = {key: cells[column] for key, cells in rows.items() if column in cells}
        for key, cell in held.items():
            rank, marks = _rank(cell, list(held.values())), _marks(cell, list(held.values()))
            rows[key][column] = Cell(cell.score, cell.task, cell.stored, rank, marks)
    made = [Row(name, fingerprint, facts, cells) for (name, fingerprint, facts), cells in rows.items() if cells]
    return Board(sorted(made, key=_standing), columns, replaced)


def _order(rows: Mapping[Any, Mapping[Column, Cell]], column: Column) -> tuple[int, str, str, int]:
    """The place of a score among those of its task, then version and shots."""
    cell = next(cells[column] for cells in rows.values() if column in cells)
    names = [score.name for score in cell.task.scores]
    return names.index(column.metric), column.version, column.scored, column.shots


def _standing(row: Row) -> tuple[float, str]:
    """Rows with the better mean rank first."""
    ranks = [sum(cell.rank) / 2 for cell in row.cells.values()]
    return sum(ranks) / len(ranks), row.name


def interval(score: Score) -> tuple[float, float]:
    """value ± 1.96 standard errors; without an error the value alone. Of a share that is 0 or 1, whose error is 0
    without being sure, Wilson's interval (1927)."""
    error = score.stderr if score.stderr is not None and math.isfinite(score.stderr) else 0.0
    if score.stderr == 0 and score.n and score.value in (0.0, 1.0) and score.unit.startswith("share"):
        reach = Z**2 / (score.n + Z**2)
        return (0.0, reach) if score.value == 0 else (1 - reach, 1.0)
    return score.value - Z * error, score.value + Z * error


def _rank(cell: Cell, column: Sequence[Cell]) -> tuple[int, int]:
    low, high = interval(cell.score)
    above = sum(interval(other.score)[0] > high for other in column if other is not cell)
    below = sum(interval(other.score)[1] < low for other in column if other is not cell)
    if cell.score.better == "lower":
        above, below = below, above
    return 1 + above, len(column) - below


def _marks(cell: Cell, column: Sequence[Cell]) -> tuple[str, ...]:
    """What differs from most of the column."""

    def usual(values: Sequence[Any]) -> Any:
        return Counter(values).most_common(1)[0][0]

    told = []
    if cell.score.n != usual([other.score.n for other in column]):
        told.append("題數不同")
    if _data(cell) != usual([_data(other) for other in column]):
        told.append("資料不同")
    if cell.task.prompt != usual([other.task.prompt for other in column]):
        told.append("提問不同")
    if cell.task.shots and cell.task.seed != usual([other.task.seed for other in column]):
        told.append("種子不同")
    failed = sum(cell.task.failures.values())
    return (*told, f"{failed} 題失敗") if failed else tuple(told)


def _data(cell: Cell) -> str:
    return str(cell.task.data.get("digest", ""))


def render(made: Board) -> str:
    """The page."""
    script = (FOLDER / "leaderboard.js").read_text(encoding="utf-8")
    models, scores = len(made.rows), sum(len(row.cells) for row in made.rows)
    tasks = list(dict.fromkeys(column.task for column in made.columns))
    asked = sum({(id(c.task), c.task.came): c.task.came for row in made.rows for c in row.cells.values()}.values())
    figures = {"模型": models, "任務": len(tasks), "分數": scores, "題次": asked}
    tiles = "".join(f"<div><b>{value:,}</b><span>{label}</span></div>" for label, value in figures.items())
    latest = max((c.stored.created for row in made.rows for c in row.cells.values()), default="")[:16].replace("T", " ")
    when = f"，最近一次 {escape(latest)} UTC" if latest else ""
    body = [
        f'<header><h1>模型排行榜</h1><p class="what">由 Danlu 的評測結果產生{when}。'
        "每個分數都附標準誤、題數與版本；分數的方向寫在欄名下。</p>"
        f'<div class="figures">{tiles}</div></header>',
        "<h2>分數</h2>",
        _bar(tasks),
        _table(made),
        _legend(made),
        _plots(made),
        _models(made),
        "<footer>Danlu 丹爐。這一頁不需要網路，也不含任何外部資源。</footer>",
    ]
    return page("模型排行榜 — Danlu", "\n".join(filter(None, body)), script)


def _bar(tasks: Sequence[str]) -> str:
    chips = "".join(
        f'<button class="chip" type="button" aria-pressed="true" data-show="{escape(task)}">{escape(task)}</button>'
        for task in tasks
    )
    search = '<input type="search" id="search" placeholder="篩選模型" aria-label="篩選模型">'
    return f'<div class="bar">{search}<span class="what">任務</span>{chips}</div>'


def _table(made: Board) -> str:
    head = "".join(_head(column, made) for column in made.columns)
    rows = "".join(_row(row, made) for row in made.rows)
    first = (
        '<th scope="col" aria-sort="none"><button type="button"><b>模型</b><span class="arrow"></span></button></th>'
    )
    return (
        '<div class="card flush"><div class="scroll"><table class="board" id="board">'
        f"<thead><tr>{first}{head}</tr></thead><tbody>{rows}</tbody></table></div></div>"
    )


def _head(column: Column, made: Board) -> str:
    cell = next(row.cells[column] for row in made.rows if column in row.cells)
    way = "越高越好" if cell.score.better == "higher" else "越低越好"
    scored = "" if column.scored in ("", column.version) else f" · 分數版本 {column.scored}"
    facts = escape(f"{column.shots} 個範例 · 版本 {column.version}{scored}")
    return (
        f'<th scope="col" class="number" aria-sort="none" data-task="{escape(column.task)}" '
        f'data-better="{cell.score.better}" title="{escape(cell.task.title or column.task)}"><button type="button">'
        f"<small>{escape(column.task)}</small><b>{escape(column.metric)}</b>"
        f'<span class="arrow"></span><small>{way} · {escape(cell.score.unit)}</small><small>{facts}</small>'
        "</button></th>"
    )


def _row(row: Row, made: Board) -> str:
    cells = "".join(_cell(row.cells.get(column), column, made) for column in made.columns)
    facts = f"<small>{escape(' · '.join(fact.partition(' ')[2] for fact in row.facts[:2]))}</small>"
    return (
        f'<tr data-name="{escape(row.name)}"><th scope="row">{escape(row.name)}'
        f"<small>{escape(row.fingerprint[:10])}</small>{facts}</th>{cells}</tr>"
    )


def _cell(cell: Cell | None, column: Column, made: Board) -> str:
    task = f'data-task="{escape(column.task)}"'
    if cell is None:
        return f'<td class="number none" {task}>–</td>'
    score = cell.score
    first, last = cell.rank
    alone = sum(column in row.cells for row in made.rows) == 1
    rank = "沒有對手" if alone else f"第 {first} 名" if first == last else f"第 {first}–{last} 名"
    error = score.stderr if score.stderr is not None and math.isfinite(score.stderr) else None
    shown = f' <span class="se">± {error:.{places(error)}f}</span>' if error is not None else ""
    marks = "".join(f'<small class="mark" title="{escape(_why(mark))}">{escape(mark)}</small>' for mark in cell.marks)
    best = " best" if first == 1 and not alone else ""
    order = f' data-value="{score.value!r}"' if math.isfinite(score.value) else ""
    return (
        f'<td class="number{best}" {task}{order}><b>{number(score.value, error)}</b>{shown}'
        f"<small>n = {score.n:,} · {rank}</small>{marks}</td>"
    )


def _why(mark: str) -> str:
    known = {
        "題數不同": "這一欄的其他模型多半答了另一個題數",
        "資料不同": "題目來自不同的資料，與同欄的分數不能直接比較",
        "提問不同": "送進模型的文字與同欄多數模型不同（提示、模板或題目不同）",
        "種子不同": "題目前面的範例是用另一個種子抽的",
    }
    return known.get(mark, "失敗的題目沒有計入分數")


def _legend(made: Board) -> str:
    older = f"另有 {made.replaced} 個較舊的分數已由同一量測的新結果取代。" if made.replaced else ""
    return (
        '<p class="what">點欄名排序。± 之後是標準誤；名次依 95 % 信賴區間'
        "（±1.96 個標準誤；全對或全錯時用 Wilson 區間）：區間重疊就分不出高下，"
        "名次寫成範圍，可能是第一名的都以底色標出。版本或範例數不同的結果各自成欄，不混在一起；"
        "同欄之內若題數、資料、提問或種子與多數不同，會以紅字註明。區間重疊的兩個模型，"
        f"用 <code>danlu compare A B</code> 在同一批題目上成對比較會更靈敏。{older}</p>"
    )


def _plots(made: Board) -> str:
    """A plot by subject of each task's first score that has subjects."""
    parts, seen = [], set()
    for column in made.columns:
        cells = [(place, row.cells[column]) for place, row in enumerate(made.rows) if column in row.cells]
        subjects = {
            place: {
                name: score
                for name, scores in cell.task.subjects.items()
                for score in scores
                if score.name == column.metric
            }
            for place, cell in cells
        }
        if (column.task, column.version, column.shots) in seen or max(map(len, subjects.values())) < 2:
            continue
        seen.add((column.task, column.version, column.shots))
        parts.append(_plot(column, cells[0][1], subjects))
    if not parts:
        return ""
    chips = "".join(
        f'<button class="chip" type="button" aria-pressed="true" data-model="{place}">'
        f'<i style="background:var(--m{place % COLOURS})"></i>{escape(row.name)}</button>'
        for place, row in enumerate(made.rows)
    )
    return f'<h2>各科比較</h2><div class="bar" id="models">{chips}</div>{"".join(parts)}'


def _plot(column: Column, cell: Cell, subjects: Mapping[int, Mapping[str, Score]]) -> str:
    """Dots with 95 % intervals: a row a subject, a colour a model."""
    sign = -1 if cell.score.better == "higher" else 1
    means: dict[str, list[float]] = {}
    for scores in subjects.values():
        for name, score in scores.items():
            if math.isfinite(score.value):
                means.setdefault(name, []).append(score.value)
    names = sorted(means, key=lambda name: (sign * sum(means[name]) / len(means[name]), name))
    spans = [interval(score) for scores in subjects.values() for score in scores.values() if math.isfinite(score.value)]
    low, high = min(one for one, _ in spans), max(other for _, other in spans)
    if cell.score.better == "higher" and low >= -0.5 and high <= 1.5:
        low, high = max(0.0, low), min(1.0, high)
    low, high = (low - 0.5, high + 0.5) if low == high else (low, high)
    tall = 12 + 9 * len(subjects)
    width = _WIDE - _LEFT - _RIGHT

    def across(value: float) -> float:
        return _LEFT + width * (min(max(value, low), high) - low) / (high - low)

    bottom = 8 + tall * len(names)
    lines = [
        f'<rect class="row" x="0" y="{8 + tall * at}" width="{_WIDE}" height="{tall}"/>'
        for at in range(0, len(names), 2)
    ]
    for tick in ticks(low, high, 6):
        x = f"{across(tick):.1f}"
        lines.append(f'<line class="grid" x1="{x}" x2="{x}" y1="8" y2="{bottom}"/>')
        lines.append(f'<text class="soft" x="{x}" y="{bottom + 18}" text-anchor="middle">{tick:g}</text>')
    for at, name in enumerate(names):
        y = 8 + tall * at + tall / 2 + 4.5
        lines.append(f'<text x="{_LEFT - 12}" y="{y:.1f}" text-anchor="end">{escape(_short(name))}</text>')
    for order, (place, scores) in enumerate(subjects.items()):
        dots = "".join(
            _dot(scores[name], across, 8 + tall * at + 10.5 + 9 * order)
            for at, name in enumerate(names)
            if name in scores
        )
        lines.append(f'<g data-model="{place}" style="--c:var(--m{place % COLOURS})">{dots}</g>')
    way = "越高越好" if cell.score.better == "higher" else "越低越好"
    return (
        f'<div class="card" data-task="{escape(column.task)}"><h3>{escape(column.task)}.{escape(column.metric)}</h3>'
        f'<p class="what">{escape(cell.task.title)}{"：" if cell.task.title else ""}{column.shots} 個範例，'
        f"版本 {escape(column.version)}，{way}。橫線是 95 % 信賴區間；指著點可看數字。</p>"
        f'<figure class="scroll"><svg viewBox="0 0 {_WIDE} {bottom + 28}" role="img" '
        f'aria-label="{escape(column.task)} by subject">{"".join(lines)}</svg></figure></div>'
    )


def _dot(score: Score, across: Any, y: float) -> str:
    if not math.isfinite(score.value):
        return ""
    low, high = map(across, interval(score))
    told = f"{plus_minus(score.value, score.stderr)}（n = {score.n}）"
    return (
        f'<g><title>{escape(told)}</title><line x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" y2="{y:.1f}" '
        f'stroke="var(--c)" stroke-width="2" opacity="0.55"/><circle cx="{across(score.value):.1f}" cy="{y:.1f}" r="4" '
        f'fill="var(--c)"/></g>'
    )


def _short(text: str, most: int = 26) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _models(made: Board) -> str:
    rows = []
    for row in made.rows:
        results = {cell.stored.id or str(cell.stored.folder): cell.stored for cell in row.cells.values()}
        for id, stored in results.items():
            environment = stored.results.environment
            told = ", ".join(
                f"{name} {_value(value)}" for name, value in environment.items() if not isinstance(value, Mapping)
            )
            tasks = ", ".join(task.task for task in stored.results.tasks)
            cells = (row.name, f"{id[:16]} {stored.created[:16]}", tasks, ", ".join(row.facts), told[:300])
            rows.append("<tr>" + "".join(f'<td class="long">{escape(cell)}</td>' for cell in cells) + "</tr>")
    head = "".join(f"<th>{name}</th>" for name in ("模型", "結果", "任務", "後端", "環境"))
    return (
        '<h2>結果的來歷</h2><div class="card flush"><div class="scroll"><table><thead><tr>'
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></div>"
    )


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
