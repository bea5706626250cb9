"""The questions of a task: rows of a split, from a local folder, from beside the YAML, or from the hub.

A dataset called `org/name` is looked for, in this order: in `DATA/org/name` and `DATA/name`, where DATA is the folder
that the user named; in what the YAML names under `danlu: {data: …}` beside itself; in a folder that `dataset_path`
names; on the hub. Only the last one uses a network.

A folder is laid out as on the hub: `configs` in the front matter of README.md say which files are which split;
without them, a configuration is a folder or the beginning of a file's name, and a split is a word in the name (train,
validation or valid or val or dev, test or testing). Parquet, JSON, JSON Lines, CSV and TSV are read; CSV as pandas
reads it (numbers where a whole column is numbers, nothing for "", NA, null and the like), which is what the hub does.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from danlu.errors import DataError, EndpointError, nearest
from danlu.eval.harness import code
from danlu.eval.harness.find import Loaded
from danlu.extras import need

Row = dict[str, Any]
SUFFIXES = (".parquet", ".jsonl", ".json", ".csv", ".tsv")
WORDS = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation",
    "dev": "validation", "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
}  # fmt: skip
UNNAMED = ("default", "main", "all")
BUILDERS = ("json", "csv", "parquet")
KINDS = ("json", "csv", "parquet", "arrow", "text")
NOTHING = {
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL",
    "NaN", "None", "n/a", "nan", "null",
}  # fmt: skip


@dataclass
class Dataset:
    """The splits of one configuration. `rows(split, where)` gives the rows of one; DataError names the splits that
    there are. `dropped` counts what reading left out, by split and reason."""

    source: str
    splits: Sequence[str]
    read: Callable[[str], list[Row]]
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)

    def rows(self, split: str, where: str) -> list[Row]:
        found = _split(split, self.splits)
        if found is None:
            raise DataError(
                f"no split {split!r} in {self.source}; there are {', '.join(self.splits)}", where=where,
                nearest=nearest(split, self.splits),
            )  # fmt: skip
        return self.read(found)


class Adapted(Dataset):
    """What an adapter reads (`danlu.eval.adapters`): from the data folder, else from beside the YAML file. A split of
    which it finds no file is read as any other dataset."""

    def __init__(self, loaded: Loaded, data: Path | None) -> None:
        super().__init__(str(loaded.config.dataset_path or loaded.config.danlu.data), [], lambda split: [])
        self.loaded, self.data = loaded, data

    def rows(self, split: str, where: str) -> list[Row]:
        from danlu.eval import adapters

        config, beside = self.loaded.config, self.loaded.read.path.parent
        own = beside / config.danlu.data if config.danlu.data else None
        shipped = own if own is None or own.is_dir() else own.parent
        for folder, name in ((self.data, config.dataset_path or ""), (shipped, ".")):
            if folder is None:
                continue
            place = self.loaded.where("danlu", "adapter")
            found = adapters.read_rows(config.danlu.adapter, folder, name, split, place)
            if found is not None:
                self.source = str(found.files[0].parent) if found.files else self.source
                self.dropped[split] = dict(found.dropped)
                return found.rows
        name = config.dataset_path or ""
        if "/" not in name and _local(self.loaded, self.data) is None:
            raise DataError(
                f"no data of {name}, and no hub has it", where=where,
                next=f"--data DIR, where DIR/{name} holds it; {beside / 'README.md'} says where it is from",
            )  # fmt: skip
        return _plain(self.loaded, self.data).rows(split, where)


def find_dataset(loaded: Loaded, data: Path | None) -> Dataset:
    """The dataset of a task. DataError when it is nowhere, EndpointError when the hub cannot be reached."""
    if data is not None and not data.is_dir():
        raise DataError("no such folder of data", where=str(data))
    return Adapted(loaded, data) if loaded.config.danlu.adapter else _plain(loaded, data)


def _plain(loaded: Loaded, data: Path | None) -> Dataset:
    """A dataset whose rows are the questions; of several configurations, one after the other."""
    configs = loaded.config.danlu.configs
    if not configs:
        return _one(loaded, data)
    parts = [_one(loaded.named(name), data) for name in configs]
    common = [split for split in parts[0].splits if all(split in part.splits for part in parts)]

    def read(split: str) -> list[Row]:
        return [{"subject": name, **row} for name, part in zip(configs, parts, strict=True) for row in part.read(split)]

    return Dataset(parts[0].source, common, read)


def _one(loaded: Loaded, data: Path | None) -> Dataset:
    config = loaded.config
    if config.custom_dataset is not None:
        return _custom(loaded)
    kwargs = {key: value for key, value in (config.dataset_kwargs or {}).items() if key != "trust_remote_code"}
    folder = _local(loaded, data)
    if folder is not None:
        return _in_folder(folder, loaded, kwargs)
    if config.dataset_path in BUILDERS and "://" not in str(kwargs.get("data_files", "://")):
        return _named_files(kwargs["data_files"], loaded)
    return _hub(loaded, data, kwargs)


def _in_folder(folder: Path, loaded: Loaded, kwargs: Mapping[str, Any]) -> Dataset:
    """A folder, with the part or the files of it that `dataset_kwargs` names."""
    where = loaded.where("dataset_kwargs")
    if kwargs.get("data_dir"):
        folder = folder / str(kwargs["data_dir"])
        if not folder.is_dir() or ".." in folder.parts:
            raise DataError(f"data_dir: no folder {folder}", where=where)
    if kwargs.get("data_files"):
        lists = _file_lists(kwargs["data_files"])
        return _of_files(str(folder), {split: _expand(folder, paths, where) for split, paths in lists.items()})
    return local_dataset(folder, loaded.config.dataset_name, loaded.where("dataset_name"))


def _of_files(source: str, splits: Mapping[str, Sequence[Path]]) -> Dataset:
    return Dataset(source, list(splits), lambda split: [row for path in splits[split] for row in read_rows(path)])


def _local(loaded: Loaded, data: Path | None) -> Path | None:
    """The folder or file where a task's dataset lies."""
    config, beside = loaded.config, loaded.read.path.parent
    named = Path(config.dataset_path or "")
    if data is not None and config.dataset_path and not named.is_absolute() and ".." not in named.parts:
        for candidate in (data / config.dataset_path, data / config.dataset_path.rstrip("/").split("/")[-1]):
            if candidate.is_dir():
                return candidate
    if config.danlu.data:
        path = (beside / config.danlu.data).resolve()
        if not path.is_relative_to(beside.resolve()) or not path.exists():
            near = nearest(config.danlu.data, [entry.name for entry in beside.iterdir()])
            what = f"danlu.data: no {config.danlu.data} beside this file"
            raise DataError(what, where=loaded.where("danlu", "data"), nearest=near)
        return path
    if config.dataset_path and config.dataset_path not in BUILDERS:
        named = beside / Path(config.dataset_path).expanduser()
        if named.is_dir():
            return named
    return None


def local_dataset(folder: Path, name: str | None, where: str) -> Dataset:
    """A folder as a dataset; `name` is the configuration. One file is the split that its name says, else "test"."""
    if folder.is_file():
        splits = {_meaning(folder.stem) or "test": [folder]}
    else:
        splits = _card_splits(folder, name, where) or _named_splits(folder, name, where)
    return _of_files(str(folder), splits)


def _card_splits(folder: Path, name: str | None, where: str) -> dict[str, list[Path]] | None:
    """What `configs` in the card says; None where it says nothing."""
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    front = re.match(r"---\r?\n(.*?)\n---", text, flags=re.DOTALL)
    try:
        configs = (yaml.safe_load(front[1]) or {}).get("configs") if front else None
    except (yaml.YAMLError, AttributeError):
        raise DataError("the front matter is not YAML", where=str(card)) from None
    if not isinstance(configs, list) or not configs:
        return None
    names = [str(one.get("config_name", "default")) for one in configs]
    marked = [str(one["config_name"]) for one in configs if one.get("default")]
    wanted = name or next(iter(marked), "default" if "default" in names else names[0] if len(names) == 1 else "")
    if wanted not in names:
        raise DataError(
            f"no configuration {name or '(none is named)'} in {folder}; there are {', '.join(names)}", where=where,
            nearest=nearest(name or "", names),
        )  # fmt: skip
    chosen = configs[names.index(wanted)]
    root = folder / str(chosen.get("data_dir", "."))
    files = chosen.get("data_files")
    if files is None:
        return _by_split(_data_files(root), root, None)
    return {split: _expand(root, paths, str(card)) for split, paths in _file_lists(files).items()}


def _file_lists(files: Any) -> dict[str, list[str]]:
    """`data_files` in its four forms → the patterns of each split."""
    if isinstance(files, Mapping):
        return {str(split): [paths] if isinstance(paths, str) else list(paths) for split, paths in files.items()}
    entries = [files] if isinstance(files, str | Mapping) else files
    found: dict[str, list[str]] = {}
    for entry in entries:
        split, paths = (entry.get("split", "train"), entry["path"]) if isinstance(entry, Mapping) else ("train", entry)
        found.setdefault(str(split), []).extend([paths] if isinstance(paths, str) else paths)
    return found


def _expand(root: Path, patterns: Sequence[str], where: str) -> list[Path]:
    found: list[Path] = []
    for pattern in patterns:
        if "://" in pattern or "::" in pattern or pattern.startswith(("/", "~")) or ".." in Path(pattern).parts:
            raise DataError(f"names a file outside of the folder: {pattern}", where=where)
        matching = sorted(path for path in root.glob(pattern) if path.is_file())
        if not matching:
            raise DataError(f"no file {pattern} in {root}", where=where)
        found += matching
    return found


def _data_files(root: Path) -> list[Path]:
    return sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith((".", "dataset_info"))
    )


def _named_splits(folder: Path, name: str | None, where: str) -> dict[str, list[Path]]:
    """The splits of a folder without a card, from the names of its folders and files."""
    files = _data_files(folder)
    if not files:
        raise DataError(f"no file of data in {folder} ({', '.join(SUFFIXES)})", where=where)
    if name is None:
        return _by_split(files, folder, None)
    within = [path for path in files if name in path.relative_to(folder).parts[:-1]]
    called = [path for path in files if re.match(rf"{re.escape(name)}($|[-_.])", path.stem)]
    plain = [path for path in files if path.parent == folder and _meaning(path.stem)]
    if within or called:
        return _by_split(within or called, folder, name)
    if name in UNNAMED and plain:
        return _by_split(plain, folder, None)
    names = sorted({path.relative_to(folder).parts[0] for path in files})
    raise DataError(
        f"no configuration {name!r} in {folder}; it holds {', '.join(names[:20])}", where=where,
        nearest=nearest(name, names),
    )  # fmt: skip


def _by_split(files: Sequence[Path], root: Path, name: str | None) -> dict[str, list[Path]]:
    splits: dict[str, list[Path]] = {}
    for path in files:
        splits.setdefault(_split_of(path, root, name), []).append(path)
    return splits


def _split_of(path: Path, root: Path, name: str | None) -> str:
    """The split that a file belongs to: what its name says beside the configuration and the number of a part, unless a
    folder above it is called like a split; "train" where neither says anything, as on the hub."""
    stem = re.sub(r"-\d{5}-of-\d{5}$|[-_.]\d+$", "", path.stem)
    if name is not None and re.match(rf"{re.escape(name)}[-_.]", stem):
        stem = stem[len(name) + 1 :]
    above = next((part for part in reversed(path.relative_to(root).parts[:-1]) if part in WORDS), None)
    if stem not in WORDS and above is not None:
        return above
    return stem if _meaning(stem) or stem != path.stem else "train"


def _meaning(split: str) -> str | None:
    """train, validation or test, from a word in a split's name."""
    return next((WORDS[word] for word in re.split(r"[-_. ]+", split) if word in WORDS), None)


def _split(wanted: str, known: Sequence[str]) -> str | None:
    """The split called so, or the only one that means the same (val for validation)."""
    if wanted in known:
        return wanted
    same = [split for split in known if wanted in WORDS and _meaning(split) == WORDS[wanted]]
    return same[0] if len(same) == 1 else None


def _named_files(files: Any, loaded: Loaded) -> Dataset:
    """`dataset_path: json` with files that the YAML names, relative to it or to where the command runs."""
    where = loaded.where("dataset_kwargs")
    splits: dict[str, list[Path]] = {}
    for split, paths in _file_lists(files).items():
        for name in paths:
            found = [base / Path(name).expanduser() for base in (loaded.read.path.parent, Path.cwd())]
            path = next((path for path in found if path.is_file()), None)
            if path is None:
                raise DataError(f"no file {name}", where=where, next="give a path relative to the YAML file")
            splits.setdefault(split, []).append(path)
    return _of_files(str(loaded.read.path), splits)


def _custom(loaded: Loaded) -> Dataset:
    config = loaded.config
    assert config.custom_dataset is not None
    if not loaded.trust:
        raise code.refuse(config.custom_dataset, "custom_dataset")
    made = code.load(config.custom_dataset, "custom_dataset")(
        **(config.metadata if isinstance(config.metadata, dict) else {}), **(config.dataset_kwargs or {})
    )
    return Dataset(config.custom_dataset.spec, list(made), lambda split: [dict(row) for row in made[split]])


def _hub(loaded: Loaded, data: Path | None, kwargs: Mapping[str, Any]) -> Dataset:
    """A dataset by its id. Files of data alone are read; code in a dataset is not run, and pickles are not opened."""
    path, name = str(loaded.config.dataset_path), loaded.config.dataset_name
    advice = f"put the dataset into {data or 'DATA'}/{path} and give --data {data or 'DATA'}"
    library = need("datasets", "hub")
    library.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    need("huggingface_hub", "hub").constants.HF_HUB_DISABLE_TELEMETRY = True
    library.disable_progress_bars()
    where = loaded.where("dataset_path")
    try:
        kind = type(library.load_dataset_builder(path, name, **kwargs)).__module__.split(".")[-1]
        if kind not in KINDS:
            raise DataError(
                f"{path} is a dataset of kind {kind}; {', '.join(KINDS)} are read", where=where, next=advice
            )
        made = library.load_dataset(path, name, **kwargs)
    except DataError:
        raise
    except Exception as error:  # the library raises most kinds
        said = " ".join(str(error).split())[:300] or type(error).__name__
        if isinstance(error, ConnectionError) or "reach" in said:
            raise EndpointError(f"the hub cannot be reached for {path}: {said}", where=where, next=advice) from None
        raise DataError(f"{path} cannot be loaded: {said}", where=where, next=advice) from None
    return Dataset(path, list(made), lambda split: [dict(row) for row in made[split]])


def read_rows(path: Path) -> list[Row]:
    """The rows of one file; a key that some rows lack is None there, as in a table."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            rows = need("pyarrow.parquet", "eval").read_table(path).to_pylist()
        elif suffix in (".csv", ".tsv"):
            rows = _read_csv(path, "," if suffix == ".csv" else "\t")
        else:
            rows = _read_json(path)
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 (byte {error.start})", where=str(path), next="save the file as UTF-8") from None
    except OSError as error:
        raise DataError(f"cannot be read: {error}", where=str(path)) from None
    except ValueError as error:
        raise DataError(f"cannot be read: {error}", where=str(path)) from None
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return [{key: row.get(key) for key in keys} for row in rows]


def _read_json(path: Path) -> list[Row]:
    text = path.read_text(encoding="utf-8-sig")
    rows: list[Row]
    if text.lstrip().startswith("["):
        rows = json.loads(text)
    else:
        rows = []
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                try:
                    rows.append(json.loads(line))
                except ValueError as error:
                    raise DataError(f"not JSON: {error}", where=f"{path}:{number}") from None
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise DataError(f"row {number} is not an object of fields", where=str(path))
    return rows


def _read_csv(path: Path, delimiter: str) -> list[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = [line for line in csv.reader(file, delimiter=delimiter, strict=False) if line]
    if not lines:
        raise DataError("an empty file", where=str(path))
    head, body = lines[0], lines[1:]
    for number, line in enumerate(body, 2):
        if len(line) > len(head):
            raise DataError(f"row {number} has {len(line)} columns, the first has {len(head)}", where=str(path))
    columns = [_typed([line[place] if place < len(line) else "" for line in body]) for place in range(len(head))]
    names = [name or f"Unnamed: {place}" for place, name in enumerate(head)]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _typed(cells: list[str]) -> list[Any]:
    """A column of text as what it holds throughout: whole numbers, numbers, truth values, else text."""
    known = [None if cell == "" or cell in NOTHING else cell for cell in cells]
    held = [cell for cell in known if cell is not None]
    if held and all(re.fullmatch(r"\s*[+-]?\d+\s*", cell) for cell in held):
        return [int(cell) for cell in known if cell] if len(held) == len(known) else [_float(cell) for cell in known]
    if held and all(_is_number(cell) for cell in held):
        return [_float(cell) for cell in known]
    if held and len(held) == len(known) and {cell.lower() for cell in held} <= {"true", "false"}:
        return [str(cell).lower() == "true" for cell in known]
    return list(known)


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"\s*[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|inf|Inf|infinity|Infinity)\s*", cell) is not None


def _float(cell: str | None) -> float | None:
    return None if cell is None else float(cell)
