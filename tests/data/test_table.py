"""Tables: nothing of the held-out rows is learnt, a saved pipeline does what the fitted one did, mistakes are told."""

from __future__ import annotations

import io
import itertools
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes, load_wine

from danlu.data.table import frame
from danlu.data.table.fitted import fit, load
from danlu.data.table.pipeline import roles
from danlu.data.table.profile import page, profile
from danlu.data.table.settings import TableSettings
from danlu.data.table.split import split
from danlu.errors import DataError

CITIES = ["台北", "高雄", "台中", None]


def people(rows: int, seed: int = 0) -> pl.DataFrame:
    draw = random.Random(seed)
    return pl.DataFrame(
        {
            "age": [None if at % 17 == 0 else round(draw.gauss(40, 9), 3) for at in range(rows)],
            "city": [draw.choice(CITIES) for _ in range(rows)],
            "zip": [draw.randint(100, 119) for _ in range(rows)],
            "when": [f"2025-{at % 12 + 1:02}-{at % 28 + 1:02}" for at in range(rows)],
            "name": [f"第 {at} 位" for at in range(rows)],
            "same": [1] * rows,
            "bought": [draw.randint(0, 1) for _ in range(rows)],
        }
    )


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    people(300).write_csv(tmp_path / "people.csv")
    return tmp_path / "people.csv"


def fitted(source: Path, folder: Path, **values):
    told = fit(source, folder, TableSettings(**values), lambda text: None)
    return told, load(folder)


@pytest.mark.parametrize("encode", ["onehot", "ordinal", "target"])
@pytest.mark.parametrize(("outliers", "scale"), [("none", "standard"), ("clip", "robust"), ("drop", "minmax")])
def test_what_was_saved_does_what_was_fitted(csv, tmp_path, encode, outliers, scale) -> None:
    values = {"target": "bought", "encode": encode, "outliers": outliers, "scale": scale, "categories": ("zip",)}
    told, made = fitted(csv, tmp_path / "out", **values, validation=0.1)
    assert told["came"] == sum(told["rows"].values()) + sum(told["dropped"].values())
    again, broken, unknown = made.apply(frame.read(csv))
    assert (again.height, broken, unknown) == (300, [], 0)
    for side in ("validation", "test"):
        kept = pl.read_parquet(tmp_path / "out" / f"{side}.parquet")
        both = kept.join(again, on="row", suffix=".again")
        assert both.height == kept.height
        for name in told["features"]:
            np.testing.assert_allclose(both[name], both[f"{name}.again"], rtol=1e-12)


@pytest.mark.parametrize("how", ["random", "stratified"])
def test_the_held_out_rows_change_nothing_that_was_learnt(tmp_path, how) -> None:
    """The strongest form of no leak: other values in the held-out rows, and every fitted number stays the same."""
    table = people(300)
    table.write_csv(tmp_path / "a.csv")
    values = {"target": "bought", "encode": "target", "outliers": "clip", "split": how, "validation": 0.1}
    told, one = fitted(tmp_path / "a.csv", tmp_path / "a", **values)
    parts = [pl.read_parquet(tmp_path / "a" / f"{side}.parquet") for side in ("test", "validation")]
    held = {row for part in parts for row in part["row"]}
    rows = pl.Series([at + 1 in held for at in range(300)])
    changed = table.with_columns(
        age=pl.when(rows).then(1e6).otherwise(pl.col("age")),
        city=pl.when(rows).then(pl.lit("火星")).otherwise(pl.col("city")),
    )
    changed.write_csv(tmp_path / "b.csv")
    again, other = fitted(tmp_path / "b.csv", tmp_path / "b", **values)
    assert told["features"] == again["features"]
    a, b = (pl.read_parquet(tmp_path / name / "train.parquet") for name in "ab")
    assert a.equals(b)
    assert other.unknown(frame.read(tmp_path / "b.csv")) == len(held)
    people(50, seed=9).write_csv(tmp_path / "fresh.csv")
    fresh = frame.read(tmp_path / "fresh.csv")
    assert one.apply(fresh)[0].equals(other.apply(fresh)[0])


def test_parity_with_scikit_learn_on_real_tables(tmp_path) -> None:
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    for data, scale, scaler in ((load_wine, "standard", StandardScaler()), (load_diabetes, "minmax", MinMaxScaler())):
        bunch = data(as_frame=True)
        table = pl.from_pandas(bunch.frame)
        table.write_parquet(tmp_path / "t.parquet")
        told, _ = fitted(tmp_path / "t.parquet", tmp_path / data.__name__, target="target", scale=scale, seed=3)
        train, test = train_test_split(np.arange(table.height), test_size=0.2, random_state=3)
        scaler.fit(bunch.data.to_numpy()[np.sort(train)])
        kept = pl.read_parquet(tmp_path / data.__name__ / "test.parquet")
        assert kept["row"].to_list() == sorted((test + 1).tolist())
        wanted = scaler.transform(bunch.data.to_numpy()[np.sort(test)])
        np.testing.assert_allclose(kept.select(told["features"]).to_numpy(), wanted, rtol=1e-9)
        assert kept["target"].to_list() == bunch.target.to_numpy()[np.sort(test)].tolist()


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(12, 200),
    how=st.sampled_from(["random", "stratified", "group", "time"]),
    test=st.floats(0.1, 0.4),
    validation=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 9),
)
def test_the_sides_are_all_rows_once_and_keep_their_promise(rows, how, test, validation, seed) -> None:
    draw = random.Random(seed)
    table = pl.DataFrame({"key": [draw.randint(0, 3 if how == "stratified" else rows // 2) for _ in range(rows)]})
    try:
        sides = split(table, how, test, validation, seed, None if how == "random" else "key")
    except DataError:
        return
    assert sorted(row for side in sides.values() for row in side.tolist()) == list(range(rows))
    keys = {side: table["key"].to_numpy()[found] for side, found in sides.items() if len(found)}
    if how == "group":
        sets = [set(found.tolist()) for found in keys.values()]
        assert sum(map(len, sets)) == len(set().union(*sets))
    if how == "time":
        order = [keys[side] for side in ("train", "validation", "test") if side in keys]
        assert all(one.max() < other.min() for one, other in itertools.pairwise(order))


def test_roles_are_told_with_their_reason() -> None:
    table = people(300).with_columns(pl.col("when").str.to_date(), gone=pl.lit(None))
    found = roles(table, TableSettings(target="bought", drop=("zip",)))
    assert (found.numbers, found.words, found.dates) == (["age"], ["city"], ["when"])
    assert set(found.left) == {"zip", "name", "same", "gone"}
    with pytest.raises(DataError, match="no column can be used"):
        roles(table.select("same", "gone", "bought"), TableSettings(target="bought"))


def test_rows_that_break_an_edited_schema_are_told_and_left_out(csv, tmp_path) -> None:
    fitted(csv, tmp_path / "out", target="bought")
    path = tmp_path / "out" / "schema.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("  age:\n", "  age:\n    in_range: {min_value: 0, max_value: 120}\n"), encoding="utf-8"
    )
    new = people(20).with_columns(age=pl.Series([200.0, None, -1.0] + [30.0] * 17))
    rows, broken, _ = load(tmp_path / "out").apply(new.with_columns(pl.col("when").str.to_date()))
    assert [(one.row, one.column) for one in broken] == [(1, "age"), (3, "age")]
    assert rows["row"].to_list() == [2, *range(4, 21)]


def test_wrong_columns_stop_with_the_nearest_name(csv, tmp_path) -> None:
    _, made = fitted(csv, tmp_path / "out", target="bought")
    table = frame.read(csv)
    with pytest.raises(DataError) as caught:
        made.apply(table.rename({"city": "citty"}))
    assert caught.value.problem.nearest == "citty"
    with pytest.raises(DataError, match="'age' is String"):
        made.apply(table.with_columns(age=pl.lit("四十")))
    assert made.apply(table.drop("bought"))[0].height == 300  # the target may be unknown


def test_tables_of_every_kind_are_the_same_table(tmp_path) -> None:
    table = people(30).drop("when", "name")
    text = table.write_csv()
    (tmp_path / "utf8.csv").write_text(text, encoding="utf-8")
    (tmp_path / "big5.csv").write_bytes(text.encode("big5"))
    (tmp_path / "tabs.tsv").write_text(text.replace(",", "\t"), encoding="utf-8")
    table.write_parquet(tmp_path / "t.parquet")
    table.write_ndjson(tmp_path / "t.jsonl")
    from openpyxl import Workbook

    book = Workbook()
    for row in [table.columns, *table.rows()]:
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    names = ("utf8.csv", "big5.csv", "tabs.tsv", "t.parquet", "t.jsonl", "t.xlsx")
    for name in names:
        read = frame.read(tmp_path / name).with_columns(pl.col("zip", "same", "bought").cast(pl.Int64))
        assert read.equals(table), name


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("empty.csv", b"", "empty"),
        ("header.csv", b"a,b\n", "no rows"),
        ("twice.csv", b"a,b,a\n1,2,3\n", "'a' is given twice"),
        ("ragged.csv", b"a,b\n1,2\n1,2,3\n", "cannot be read"),
        ("noise.parquet", b"PAR1 no", "cannot be read"),
        ("noise.xlsx", b"PK\x03\x04 no", "cannot be read"),
        ("noise.csv", bytes(range(256)) * 9, "cannot be read"),
        ("table.doc", b"", "is no table"),
    ],
)
def test_what_is_no_table_is_one_clear_error(tmp_path, name, data, told) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=told):
        frame.read(tmp_path / name)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"bought": pl.lit(1)}, "one value"),
        ({"bought": pl.lit(None)}, "missing in every row"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_told(tmp_path, change, told) -> None:
    people(40).with_columns(**change).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=told):
        fitted(tmp_path / "t.parquet", tmp_path / "out", target="bought")
    assert not (tmp_path / "out").exists()
    assert list(tmp_path.iterdir()) == [tmp_path / "t.parquet"]


def test_endless_numbers_and_rows_without_a_target(tmp_path) -> None:
    table = people(60).with_columns(age=pl.Series([float("inf"), float("-inf")] + [20.0 + at for at in range(58)]))
    table.with_columns(bought=pl.Series([None] * 5 + [0, 1] * 27 + [1])).write_parquet(tmp_path / "t.parquet")
    told, _ = fitted(tmp_path / "t.parquet", tmp_path / "out", target="bought")
    assert told["dropped"] == {"no-target": 5}
    drops = [json.loads(line) for line in (tmp_path / "out" / "dropped.jsonl").read_text().splitlines()]
    assert [drop["id"] for drop in drops] == [f"row {at}" for at in range(1, 6)]
    for side in told["rows"]:
        kept = pl.read_parquet(tmp_path / "out" / f"{side}.parquet").select(told["features"])
        assert np.isfinite(kept.to_numpy()).all()


def test_a_pickle_is_never_loaded(csv, tmp_path) -> None:
    import pickle

    fitted(csv, tmp_path / "out", target="bought")
    (tmp_path / "out" / "pipeline.skops").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(DataError):
        load(tmp_path / "out")


def test_the_profile_says_what_polars_says(csv) -> None:
    table = frame.read(csv).with_columns(copy=pl.col("bought") * 2.0)
    told = profile(table, "bought")
    age = told["profile"]["age"]
    assert age["missing"] == table["age"].null_count() == 18
    np.testing.assert_allclose(age["quantiles"], [table["age"].quantile(q, "linear") for q in (0, 0.25, 0.5, 0.75, 1)])
    assert sum(age["histogram"]["counts"]) == 282
    assert any("leak" in warning for warning in told["profile"]["copy"]["warnings"])
    assert any("identifier" in warning for warning in told["profile"]["name"]["warnings"])
    assert told["profile"]["same"]["warnings"] == ["constant"]
    text = page(told | {"profile": {"<script>": told["profile"]["age"]}}, "<b>")
    assert "<script>" not in text
    assert "&lt;b&gt;" in text


def danlu(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "danlu", "data", "table", *words], capture_output=True, text=True)


def test_the_command_line(csv, tmp_path) -> None:
    out, made = tmp_path / "out", tmp_path / "made.parquet"
    assert danlu("profile", str(csv), "--html", str(tmp_path / "p.html")).returncode == 0
    done = danlu("fit", str(csv), "--target", "bought", "--out", str(out), "--split", "stratified", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == {"train": 240, "test": 60}
    assert danlu("fit", str(csv), "--out", str(out)).returncode == 2  # it is there already
    assert danlu("apply", str(out), str(csv), "--out", str(made)).returncode == 0
    assert danlu("apply", str(out), str(csv), "--out", str(made)).returncode == 2
    assert danlu("check", str(csv), "--schema", str(out / "schema.yaml")).returncode == 0
    wrong = danlu("fit", str(csv), "--target", "bougth", "--out", str(tmp_path / "x"))
    assert wrong.returncode == 6
    assert "did you mean: bought" in wrong.stderr
    assert danlu("fit", str(csv), "--test", "2", "--out", str(tmp_path / "x")).returncode == 2
    help = danlu("--help")
    assert "examples:" in help.stdout
    assert io.StringIO(help.stdout).readline().startswith("usage: danlu data table")
