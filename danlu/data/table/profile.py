"""What is in a table: every column's type, gaps, spread and warnings, as plain values and as one HTML page.

Warnings, each with its figure: `missing` (a tenth or more), `constant`, `identifier` (a value of its own in every row),
`outliers` (beyond Tukey's fences), `rare classes` and `leak` (one number says the target nearly alone: |r| ≥ 0.99).

Not covered: relations of more than two columns, drift over time, what the words mean.
"""

from __future__ import annotations

import string
from html import escape
from typing import TYPE_CHECKING, Any

from danlu.extras import need

if TYPE_CHECKING:
    import polars as pl

_BARS = 20
_TOP = 5
_FEW = 0.01

_PAGE = string.Template("""<!doctype html><html lang="en"><meta charset="utf-8"><title>$title</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #ddd;padding:.4rem .6rem;text-align:left;
vertical-align:top}.warn{color:#a33}svg{display:block}rect{fill:#58a}.num{text-align:right}</style>
<h1>$title</h1><p>$rows rows, $columns columns, $doubles repeated rows</p>
<table><tr><th>column<th>type<th>missing<th>distinct<th>values<th>spread<th>warnings</tr>$body</table>$links""")


def profile(frame: pl.DataFrame, target: str | None = None) -> dict[str, Any]:
    """{rows, columns, repeated_rows, profile: {column: …}, correlations: [[a, b, r], …]}, plain JSON.

    Correlations are Pearson's r of columns of numbers over the rows that have both, the twenty strongest.
    """
    columns = {name: _column(frame, name, target) for name in frame.columns}
    pairs = _correlations(frame)
    for one, other, r in pairs:
        if target in (one, other) and abs(r) >= 0.99:
            columns[other if one == target else one]["warnings"].append(f"leak: r = {r:.3f} with the target")
    nested = [name for name, dtype in frame.schema.items() if dtype.is_nested()]
    doubles = frame.height - frame.drop(nested).unique().height if len(nested) < frame.width else 0
    return {
        "rows": frame.height,
        "columns": frame.width,
        "repeated_rows": doubles,
        "profile": columns,
        "correlations": pairs,
    }


def _column(frame: pl.DataFrame, name: str, target: str | None) -> dict[str, Any]:
    values = frame[name]
    held = values.drop_nulls()
    told: dict[str, Any] = {"type": str(values.dtype), "missing": values.null_count(), "distinct": 0, "warnings": []}
    warn = told["warnings"]
    if told["missing"] >= frame.height / 10:
        warn.append(f"missing: {told['missing'] / frame.height:.0%}")
    if values.dtype.is_nested() or not held.len():
        return told
    told["distinct"] = held.n_unique()
    if told["distinct"] == 1:
        warn.append("constant")
    if values.dtype.is_numeric():
        told |= _numbers(held.cast(need("polars", "table").Float64), warn)
    elif told["distinct"] == held.len() > 20:
        warn.append("identifier: a value of its own in every row")
    counts = held.cast(str, strict=False).value_counts(sort=True).rows()
    told["top"] = [[value, count] for value, count in sorted(counts, key=lambda pair: (-pair[1], str(pair[0])))[:_TOP]]
    if name == target and told["distinct"] <= 50:
        rare = [str(value) for value, count in counts if count < _FEW * held.len()]
        if rare:
            warn.append(f"rare classes: {', '.join(sorted(rare)[:_TOP])}")
    return told


def _numbers(values: pl.Series, warn: list[str]) -> dict[str, Any]:
    finite = values.filter(values.is_finite())
    if finite.len() < values.len():
        warn.append(f"not finite: {values.len() - finite.len()}")
    if not finite.len():
        return {}
    low, middle, high = (float(finite.quantile(q, "linear")) for q in (0.25, 0.5, 0.75))
    fence = 1.5 * (high - low)
    outside = int(((finite < low - fence) | (finite > high + fence)).sum())
    if outside:
        warn.append(f"outliers: {outside} beyond Tukey's fences")
    heights, edges = need("numpy", "data").histogram(finite.to_numpy(), bins=_BARS)
    return {
        "mean": float(finite.mean()),
        "deviation": float(finite.std() or 0.0),
        "quantiles": [float(finite.min()), low, middle, high, float(finite.max())],
        "outliers": outside,
        "histogram": {"counts": heights.tolist(), "edges": [float(edges[0]), float(edges[-1])]},
    }


def _correlations(frame: pl.DataFrame) -> list[list[Any]]:
    polars = need("polars", "table")
    names = [name for name, dtype in frame.schema.items() if dtype.is_numeric()][:60]
    found = []
    for at, one in enumerate(names):
        for other in names[at + 1 :]:
            both = frame.select(polars.col(one, other).cast(polars.Float64)).drop_nulls()
            r = both.select(polars.corr(one, other)).item() if both.height > 2 else None
            if r is not None and r == r:
                found.append([one, other, round(float(r), 6)])
    return sorted(found, key=lambda pair: (-abs(pair[2]), pair[:2]))[:20]


def page(told: dict[str, Any], title: str) -> str:
    """The profile as an HTML page that needs nothing else."""
    rows = "".join(_row(name, column) for name, column in told["profile"].items())
    pairs = "".join(f"<li>{escape(one)} · {escape(other)}: {r:+.3f}" for one, other, r in told["correlations"])
    return _PAGE.substitute(
        title=escape(title),
        rows=f"{told['rows']:,}",
        columns=told["columns"],
        doubles=told["repeated_rows"],
        body=rows,
        links=f"<h2>Strongest correlations</h2><ul>{pairs}</ul>" if pairs else "",
    )


def _row(name: str, column: dict[str, Any]) -> str:
    tops = "<br>".join(f"{escape(str(value))[:40]} ({count:,})" for value, count in column.get("top", []))
    spread = tops
    if "quantiles" in column:
        spread = " · ".join(f"{value:.4g}" for value in column["quantiles"]) + "<br>min, quartiles, max"
    warnings = "<br>".join(map(escape, column["warnings"]))
    return (
        f"<tr><td><b>{escape(name)}</b><td>{escape(column['type'])}<td class=num>{column['missing']:,}"
        f"<td class=num>{column['distinct']:,}<td>{_bars(column)}<td>{spread}<td class=warn>{warnings}</tr>"
    )


def _bars(column: dict[str, Any]) -> str:
    heights = column.get("histogram", {}).get("counts") or [count for _, count in column.get("top", [])]
    if not heights or not max(heights):
        return ""
    wide = 120 / len(heights)
    bars = "".join(
        f'<rect x="{at * wide:.1f}" y="{40 - 40 * height / max(heights):.1f}" width="{wide - 1:.1f}" '
        f'height="{40 * height / max(heights):.1f}"/>'
        for at, height in enumerate(heights)
    )
    return f'<svg width="120" height="40" role="img" aria-label="histogram">{bars}</svg>'
