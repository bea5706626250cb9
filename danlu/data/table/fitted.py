"""The folder of a fitted table: what `fit` learnt on its train rows, in files that people can read, and no pickle.

table.json        settings, roles, feature names, counts, what was left out and why
schema.yaml       the columns that new data must have (danlu.data.table.schema)
pipeline.skops    the scikit-learn pipeline (skops; only scikit-learn's and Danlu's own types are loaded)
train.parquet     the transformed rows, with their number in the file (`row`, from 1) and the target; and
test.parquet      validation.parquet where asked for
dropped.jsonl     the rows that were left out, with their reason
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.data.table import frame as frames
from danlu.data.table import schema as schemas
from danlu.data.table.pipeline import Fences, Roles, features, pipeline, roles, target_kind
from danlu.data.table.settings import TableSettings
from danlu.data.table.split import SIDES, split
from danlu.errors import DataError
from danlu.extras import need
from danlu.records import Drop, write_jsonl

if TYPE_CHECKING:
    import polars as pl

_TRUSTED = [
    "danlu.data.table.pipeline.Fences",
    "numpy.dtype",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
]


@dataclass(frozen=True)
class Fitted:
    """A fitted pipeline with all that `apply` needs."""

    settings: TableSettings
    use: Roles
    pipeline: Any
    names: list[str]
    schema: Any

    def apply(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[schemas.Violation], int]:
        """(the transformed rows, what broke the schema, how many unknown categories were met).

        Rows that break a check are left out. The result has the column `row`, the features, and the target where the
        frame has it.
        """
        frame = schemas.conformed(frame, self.schema)
        broken = schemas.violations(frame, self.schema)
        polars = need("polars", "table")
        numbered = frame.with_row_index("row", offset=1)
        kept = numbered.filter(~polars.col("row").is_in({one.row for one in broken}))
        if not kept.height:
            raise DataError(f"every one of {frame.height} rows breaks the schema", next="danlu data table check")
        return self.transformed(kept), broken, self.unknown(kept)

    def transformed(self, numbered: pl.DataFrame) -> pl.DataFrame:
        values = self.pipeline.transform(features(numbered, self.use))
        return self.named(values, numbered)

    def named(self, values: Any, numbered: pl.DataFrame) -> pl.DataFrame:
        polars = need("polars", "table")
        made = polars.DataFrame(values, schema=self.names, orient="row")
        carried = [name for name in ("row", self.settings.target) if name and name in numbered.columns]
        return polars.concat([numbered.select(carried[:1]), made, numbered.select(carried[1:])], how="horizontal")

    def unknown(self, frame: pl.DataFrame) -> int:
        """How many values are categories that the train rows did not have."""
        if not self.use.words:
            return 0
        known = self.pipeline.named_transformers_["words"].categories_
        table = features(frame, self.use)
        return sum(int((~table[name].isin(seen)).sum()) for name, seen in zip(self.use.words, known, strict=True))


def fit(source: Path, folder: Path, settings: TableSettings, note: Callable[[str], None]) -> dict[str, Any]:
    """Split, fit on train, transform every side, and write the folder; returns what table.json holds."""
    table = frames.read(source)
    for name in filter(None, (settings.target, *settings.drop, *settings.categories)):
        frames.column(table, name, "the settings name it")
    polars = need("polars", "table")
    by = settings.by or (settings.target if settings.split == "stratified" else None)
    drops: list[Drop] = []
    numbered = table.with_row_index("row", offset=1)
    if settings.target:
        lacking = numbered.filter(polars.col(settings.target).is_null())
        drops += [_drop(row, source, "no-target") for row in lacking["row"]]
        numbered = numbered.filter(polars.col(settings.target).is_not_null())
        if not numbered.height:
            raise DataError(f"the target {settings.target!r} is missing in every row", where=str(source))
    sides = split(numbered, settings.split, settings.test, settings.validation, settings.seed, by)
    parts = {side: numbered[sides[side].tolist()] for side in SIDES if len(sides[side])}
    use = roles(parts["train"].drop("row"), settings)
    if settings.outliers == "drop" and (use.numbers or use.dates):
        parts["train"] = _without_outliers(parts["train"], use, source, drops)
    kind = target_kind(parts["train"], settings.target)
    columns = list(features(parts["train"].head(1), use).columns)
    made = pipeline(columns, use.words, kind, settings)
    target = parts["train"][settings.target].to_numpy() if settings.target else None
    values = made.fit_transform(features(parts["train"], use), target)  # target encoding: cross-fitted on train
    names = [str(name) for name in made.get_feature_names_out()]
    text = schemas.infer(table.select([name for name in table.columns if name not in use.left]), settings.target)
    fitted = Fitted(settings, use, made, names, None)
    told = {
        "source": source.name,
        "settings": settings.model_dump(mode="json"),
        "roles": use._asdict(),
        "target": kind,
        "features": names,
        "rows": {side: parts[side].height for side in parts},
        "dropped": dict(sorted(Counter(drop.reason for drop in drops).items())),
        "came": table.height,
    }
    results = {side: fitted.transformed(part) for side, part in parts.items() if side != "train"}
    results["train"] = fitted.named(values, parts["train"])
    _write(folder, told, text, made, results, drops)
    for name, why in use.left.items():
        note(f"not used: {name} ({why})")
    return told


def _without_outliers(train: pl.DataFrame, use: Roles, source: Path, drops: list[Drop]) -> pl.DataFrame:
    numbers = features(train, use)[use.numbers] if use.numbers else None
    if numbers is None:
        return train
    outside = Fences().fit(numbers).outside(numbers)
    drops += [_drop(row, source, "outlier") for row in train["row"].to_numpy()[outside].tolist()]
    if outside.all():
        raise DataError("every train row has an outlier", next="use --outliers clip")
    return train.filter(~need("polars", "table").Series(outside))


def _drop(row: int, source: Path, reason: str) -> Drop:
    return Drop(id=f"row {row}", source=f"{source.name}:{row}", reason=reason)


def _write(
    folder: Path, told: dict[str, Any], schema: str, made: Any, results: dict[str, pl.DataFrame], drops: list[Drop]
) -> None:
    """The folder appears whole: written beside its place, then renamed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        (aside / "table.json").write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        (aside / "schema.yaml").write_text(schema, encoding="utf-8")
        need("skops.io", "table").dump(made, aside / "pipeline.skops")
        for side, result in results.items():
            result.write_parquet(aside / f"{side}.parquet")
        write_jsonl(aside / "dropped.jsonl", drops)
        aside.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def load(folder: Path) -> Fitted:
    """What `fit` wrote. DataError when it is no such folder, or holds types that are not scikit-learn's."""
    try:
        told = json.loads((folder / "table.json").read_text(encoding="utf-8"))
        made = need("skops.io", "table").load(folder / "pipeline.skops", trusted=_TRUSTED)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"not a fitted table: {error}", where=str(folder), next="danlu data table fit FILE --out DIR"
        ) from None
    except Exception as error:  # skops names what it will not load in types of its own
        raise DataError(f"the pipeline is refused: {str(error).splitlines()[0][:200]}", where=str(folder)) from None
    settings = TableSettings.model_validate(told["settings"])
    return Fitted(settings, Roles(**told["roles"]), made, told["features"], schemas.load(folder / "schema.yaml"))
