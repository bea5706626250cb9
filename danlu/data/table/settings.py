"""The settings of `danlu data table fit`; the command line's options are made from them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from danlu.data.table.split import How
from danlu.registry import Settings


class TableSettings(Settings):
    target: str | None = None
    """The column to be predicted; it is carried along unchanged. Target encoding and stratified splits need it."""

    missing: Literal["median", "mean", "most_frequent", "zero"] = "median"
    """What takes the place of a missing number; a column `missingindicator_…` says where."""

    outliers: Literal["none", "clip", "drop"] = "none"
    """Tukey's fences (1.5 interquartile ranges beyond the quartiles; Tukey, 1977): `clip` moves numbers to the fence,
    everywhere; `drop` leaves train rows with one out, and counts them."""

    scale: Literal["standard", "minmax", "robust", "none"] = "standard"
    """`standard`: mean 0, deviation 1; `minmax`: 0 to 1; `robust`: median 0, interquartile range 1."""

    encode: Literal["onehot", "ordinal", "target"] = "onehot"
    """How categories become numbers. An unknown one is all zeros, -1, or the target's mean. `target` is cross-fitted on
    the train side (Micci-Barreca, 2001)."""

    rare: Annotated[int, Field(ge=1)] = 1
    """With `onehot`: categories with fewer train rows share one column."""

    split: How = "random"
    """How test and validation rows are chosen."""

    by: str | None = None
    """The column of a stratified (default: the target), group or time split."""

    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the rows kept for testing."""

    validation: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the rows kept for validation."""

    drop: tuple[str, ...] = ()
    """Columns that are not to be used."""

    categories: tuple[str, ...] = ()
    """Columns of numbers that are codes (postal codes, say), or of many different words, to be used as categories."""

    seed: int = 0
    """Seed of the split and of cross-fitting."""
