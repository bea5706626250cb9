"""The shape of an answer in JSON, and its schema as whoever answers takes it (`Options.json_schema`)."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict


class Shape(BaseModel):
    """Base of the shapes: every field is required, no other is allowed, and a number in quotes is no number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


S = TypeVar("S", bound=Shape)


def schema(shape: type[Shape]) -> dict[str, Any]:
    """The JSON schema of a shape, as endpoints with strict response_format and llama.cpp's grammars take it."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items() if key not in ("title", "description")}
        return [plain(inner) for inner in value] if isinstance(value, list) else value

    found: dict[str, Any] = plain(shape.model_json_schema())
    return found
