"""The usual steps on columns, as one scikit-learn pipeline, fitted on the train rows alone.

Numbers: outliers, missing values, scale. Words: missing is a category of its own, then the encoding. Dates become year,
month, day and weekday. Which columns are used, and how, is decided on the train rows too (`roles`).

Not covered: text columns (they are left out and told), interactions, feature selection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin

from danlu.data.table.settings import TableSettings
from danlu.errors import DataError
from danlu.extras import need

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

_MISSING = "(missing)"


class Roles(NamedTuple):
    """Columns by what is done with them; `left` is column → why it is not used."""

    numbers: list[str]
    words: list[str]
    dates: list[str]
    left: dict[str, str]


def roles(train: pl.DataFrame, settings: TableSettings) -> Roles:
    """Decided on the train rows: what is constant or all missing there cannot help, what has a value of its own in most
    rows is an identifier or a text."""
    found = Roles([], [], [], {})
    for name, dtype in train.schema.items():
        values = train[name].drop_nulls()
        distinct = values.n_unique()
        many = distinct > max(50, train.height / 2)
        if name == settings.target:
            continue
        if name in settings.drop or name == settings.by:
            found.left[name] = "asked for" if name in settings.drop else "the rows are split by it"
        elif not values.len():
            found.left[name] = "missing in every train row"
        elif distinct == 1:
            found.left[name] = "the same in every train row"
        elif name in settings.categories:
            found.words.append(name)
        elif dtype.is_temporal() and dtype.base_type().__name__ in ("Date", "Datetime"):
            found.dates.append(name)
        elif dtype.is_numeric() or dtype.base_type().__name__ == "Boolean":
            found.numbers.append(name)
        elif many or dtype.is_nested():
            found.left[name] = "a list or a record" if dtype.is_nested() else f"{distinct} different words: text or id"
        else:
            found.words.append(name)
    if not (found.numbers or found.words or found.dates):
        raise DataError(f"no column can be used ({found.left})", next="see danlu data table profile FILE")
    return found


def features(frame: pl.DataFrame, use: Roles) -> Any:
    """The columns that the pipeline reads, as a pandas frame: floats with NaN, words with a mark for missing."""
    polars = need("polars", "table")
    column = polars.col
    numbers = [column(name).cast(polars.Float64) for name in use.numbers]
    parts = [
        getattr(column(name).dt, part)().cast(polars.Float64).alias(f"{name}.{part}")
        for name in use.dates
        for part in ("year", "month", "day", "weekday")
    ]
    words = [column(name).cast(polars.String).fill_null(_MISSING) for name in use.words]
    chosen = frame.select([*numbers, *parts, *words])
    floats = [name for name, dtype in chosen.schema.items() if dtype == polars.Float64]
    endless = [float("inf"), float("-inf")]
    finite = column(floats).replace(endless, None).fill_null(float("nan"))
    return chosen.with_columns(finite).to_pandas()


class Fences(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Tukey's fences of each column, learnt in `fit`; `transform` moves what lies outside to the fence. NaN stays."""

    def fit(self, X: Any, y: Any = None) -> Fences:
        numpy = need("numpy", "data")
        values = numpy.asarray(X, dtype=float)
        self.n_features_in_ = values.shape[1]
        self.feature_names_in_ = numpy.asarray(getattr(X, "columns", range(values.shape[1])), dtype=object)
        low, high = numpy.nanpercentile(values, [25, 75], axis=0)
        self.low_, self.high_ = low - 1.5 * (high - low), high + 1.5 * (high - low)
        return self

    def transform(self, X: Any) -> np.ndarray:
        return need("numpy", "data").clip(X, self.low_, self.high_)

    def outside(self, X: Any) -> np.ndarray:
        """Whether each row has a number outside, (rows,) of bool."""
        numpy = need("numpy", "data")
        values = numpy.asarray(X, dtype=float)
        return ((values < self.low_) | (values > self.high_)).any(axis=1)


def pipeline(columns: list[str], words: list[str], kind: str, settings: TableSettings) -> Any:
    """The unfitted ColumnTransformer for `features`; `kind` is the target's: continuous, binary, multiclass, none."""
    make = need("sklearn.pipeline", "table").make_pipeline
    prepare = need("sklearn.preprocessing", "table")
    impute = need("sklearn.impute", "table").SimpleImputer
    numbers = [name for name in columns if name not in words]
    filled = (
        impute(strategy="constant", fill_value=0.0, add_indicator=True, keep_empty_features=True)
        if settings.missing == "zero"
        else impute(strategy=settings.missing, add_indicator=True, keep_empty_features=True)
    )
    scaler = {
        "standard": prepare.StandardScaler,
        "minmax": lambda: prepare.MinMaxScaler(clip=False),
        "robust": prepare.RobustScaler,
        "none": lambda: "passthrough",
    }[settings.scale]()
    steps = [*([Fences()] if settings.outliers == "clip" else []), filled, scaler]
    parts = [("numbers", make(*steps), numbers)] if numbers else []
    if words:
        parts.append(("words", _encoder(prepare, kind, settings), words))
    return need("sklearn.compose", "table").ColumnTransformer(parts, verbose_feature_names_out=False)


def _encoder(prepare: Any, kind: str, settings: TableSettings) -> Any:
    if settings.encode == "onehot":
        few = settings.rare if settings.rare > 1 else None
        unknown = "infrequent_if_exist" if few else "ignore"
        return prepare.OneHotEncoder(handle_unknown=unknown, min_frequency=few, sparse_output=False)
    if settings.encode == "ordinal":
        return prepare.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    if kind == "none":
        raise DataError("target encoding needs a target", next="name it with --target, or use --encode onehot")
    folds = need("sklearn.model_selection", "table")
    fold = folds.KFold if kind == "continuous" else folds.StratifiedKFold
    return prepare.TargetEncoder(target_type=kind, cv=fold(5, shuffle=True, random_state=settings.seed))


def target_kind(train: pl.DataFrame, target: str | None) -> str:
    """continuous (numbers with more than 20 values), binary, multiclass; none without a target."""
    if target is None:
        return "none"
    distinct = train[target].n_unique()
    if distinct < 2:
        raise DataError(f"the target {target!r} has one value in all {train.height} train rows", next="choose another")
    if train.schema[target].is_numeric() and (distinct > 20 or train.schema[target].is_float()):
        return "continuous"
    return "binary" if distinct == 2 else "multiclass"
