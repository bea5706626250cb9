"""GeoJSON (RFC 7946): what the properties of each feature say; `json` and `jsonl` know it by its types.

The text is the property that holds one (of `fields.TEXT`, else of `DESCRIBED`); the others stand below it, one a line,
so that an address or a telephone number is not lost. The title is that of `fields.TITLE`. Not covered: the geometry,
foreign members.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from danlu.data.readers.fields import layout

DESCRIBED = (
    *("說明", "描述", "簡介", "介紹", "敘述", "內容說明", "description", "desc", "popupContent", "備註"),
    *("说明", "简介", "介绍", "remarks", "note"),
)


def features(value: Mapping[str, Any]) -> Iterator[tuple[str, Any]] | None:
    """(name, record) of each feature; None when the value is no GeoJSON."""
    found = {"FeatureCollection": value.get("features"), "Feature": [value]}.get(str(value.get("type")))
    if not isinstance(found, list):
        return None
    return ((f"features {number}", record(item)) for number, item in enumerate(found, 1))


def record(feature: Any) -> Any:
    """The properties of a feature, with its `id`, and under `text` all that they say."""
    held = feature.get("properties") if isinstance(feature, dict) else None
    if not isinstance(held, dict):
        return feature
    known = layout(tuple(held))
    said = {name: words for name, value in held.items() if (words := _words(value)) and name != known.title}
    main = next((name for name in (*known.texts, *DESCRIBED) if name in said), "")
    lines = [f"- {name}：{' '.join(words.split())}" for name, words in said.items() if name != main]
    text = "\n\n".join(filter(None, [said.get(main, ""), "\n".join(lines)]))
    kept = {name: value for name, value in held.items() if name not in known.texts}
    return {**({"id": feature["id"]} if "id" in feature else {}), **kept, "text": text}


def _words(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    return "" if value is None or isinstance(value, dict | list) else str(value)
