"""Which rows are train, validation and test: drawn at random, by class, by group, or by time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from danlu.data.table.frame import column
from danlu.errors import DataError
from danlu.extras import need

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

How = Literal["random", "stratified", "group", "time"]
SIDES = ("train", "validation", "test")


def split(
    frame: pl.DataFrame, how: How, test: float, validation: float, seed: int, by: str | None
) -> dict[str, np.ndarray]:
    """Row numbers by side, ascending; the three never meet, and together they are all rows.

    `stratified` keeps the shares of the values of `by`; `group` keeps all rows with one value of `by` on one side;
    `time` takes the latest rows by `by` for test, those before them for validation. DataError: `by` is wanted or
    unknown, a class with too few rows, an empty side.
    """
    numpy = need("numpy", "data")
    if how != "random" and not by:
        raise DataError(f"a {how} split needs a column", next="name it with --by")
    if by:
        column(frame, by, "--by")
    rows = numpy.arange(frame.height)
    rest, held = _apart(frame, rows, how, test, seed, by)
    train, middle = _apart(frame, rest, how, validation / (1 - test), seed + 1, by)
    sides = {"train": numpy.sort(train), "validation": numpy.sort(middle), "test": numpy.sort(held)}
    for name, share in (("train", 1.0), ("validation", validation), ("test", test)):
        if share and not len(sides[name]):
            raise DataError(f"the {name} side is empty: {frame.height} rows are too few", next="give more rows")
    return sides


def _apart(
    frame: pl.DataFrame, rows: np.ndarray, how: How, share: float, seed: int, by: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """(those that stay, those that are held out) of `rows`."""
    numpy = need("numpy", "data")
    if share <= 0:
        return rows, rows[:0]
    if how == "time":
        polars = need("polars", "table")
        keys = frame[by].gather(polars.Series(rows, dtype=polars.UInt32))
        if keys.null_count():
            raise DataError(f"{by!r} has {keys.null_count()} row(s) without a time", next="fill them or drop them")
        order = keys.arg_sort().to_numpy()  # stable: rows of one time keep their order
        ranked = rows[order]
        cut = len(rows) - max(1, round(share * len(rows)))
        while 0 < cut < len(rows) and frame[by][int(ranked[cut - 1])] == frame[by][int(ranked[cut])]:
            cut -= 1  # rows of one moment stay together
        return ranked[:cut], ranked[cut:]
    selection = need("sklearn.model_selection", "table")
    labels = frame[by].cast(str).fill_null("").to_numpy()[rows] if by else None
    if how == "group":
        parted = selection.GroupShuffleSplit(1, test_size=share, random_state=seed).split(rows, groups=labels)
        stay, held = next(parted)
        return rows[stay], rows[held]
    try:
        stay, held = selection.train_test_split(
            numpy.arange(len(rows)),
            test_size=share,
            random_state=seed,
            stratify=labels if how == "stratified" else None,
        )
    except ValueError as error:
        raise DataError(f"the split cannot be made: {error}", next="use --split random, or give more rows") from None
    return rows[stay], rows[held]
