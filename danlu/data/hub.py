"""data.hub: a dataset of the Hugging Face hub, by its id or as a local folder → documents."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Self

from pydantic import Field, model_validator

from danlu.artifact import Artifact, Draft
from danlu.data.gather import Gathering
from danlu.data.readers.markdown import front_matter
from danlu.data.rows import Columns, check, documents, used
from danlu.errors import DataError, EndpointError, nearest
from danlu.extras import need
from danlu.registry import Source, Step
from danlu.track import Track

if TYPE_CHECKING:
    from datasets import DatasetBuilder, IterableDataset  # type: ignore[import-untyped]

_ID = r"[\w.-]+(/[\w.-]+)?"
_FORMATS = ("json", "csv", "parquet", "arrow", "text")
_LICENCES = {"mit": "MIT", "apache-2.0": "Apache-2.0", "unlicense": "Unlicense", "isc": "ISC", "odc-by": "ODC-By-1.0"}


class HubSettings(Columns):
    dataset: Annotated[str, Field(pattern=rf"^({_ID})?$")] = ""
    """The id of a dataset on the hub (org/name)."""

    folder: Annotated[Path | None, Source()] = None
    """A folder laid out as a dataset on the hub, relative to the recipe's folder; its content is part of the step's
    identity, and no network is needed."""

    config: str = ""
    """The configuration (subset), where there are several."""

    split: str = "train"
    """The split."""

    revision: str = ""
    """A branch, a tag or a commit of the dataset. A commit never moves; with the others the commit that was read is in
    the report, and `danlu run RECIPE --force STEP` looks where they point now."""

    licence: str = ""
    """The licence of these texts. When empty it is the one that the dataset's card (README.md) states."""

    @model_validator(mode="before")
    @classmethod
    def _path(cls, values: Any) -> Any:
        given = values.get("dataset") if isinstance(values, dict) else None
        if isinstance(given, str) and given.startswith((".", "/", "~")) and not values.get("folder"):
            return {**values, "dataset": "", "folder": given}
        return values

    @model_validator(mode="after")
    def _one(self) -> Self:
        if bool(self.dataset) == bool(self.folder):
            raise ValueError("either `dataset` (an id on the hub) or `folder` is wanted")
        if self.folder and self.revision:
            raise ValueError("a folder has no revision")
        return self


class Hub(Step[HubSettings]):
    """Reads the rows of one split, streamed: neither memory nor disk ever holds the dataset.

    Files of JSON, CSV, Parquet, Arrow and text are read; code in a dataset is never run, pickles are never opened, and
    a card that names files elsewhere is refused. A row's id is `id`, else its number. Dropped, with the reason:
    `empty`, `no-id`, `repeated-id`, `record-too-long`. DataError: a configuration, split or column that is not there
    (with the nearest name), or rows that cannot be read. EndpointError: the hub cannot be reached.

    The hub is asked only for a `dataset`, with the token of `hf auth login` where it wants one. Not covered: pictures
    and sound, and going on in the middle of a stream.
    """

    Settings = HubSettings
    makes = "documents"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        settings = self.settings
        found = Found(settings, out.work)
        split = found.split()
        licence = settings.licence or licence_of(found.card)
        meta = {name: value for name, value in (("dataset", found.name), ("revision", found.revision)) if value}
        parts = (found.name, found.builder.config.name, settings.split)
        source = "/".join(part for part in parts if part != "default")
        with Gathering(out) as gathering:
            names = found.columns(split)
            columns = check(settings, names, found.name, "data.hub")
            rows = found.rows(split.select_columns(used(columns)))
            known = (found.builder.info.splits or {}).get(settings.split)
            bar = track.over(rows, "hub", total=known.num_examples if known else None, unit="row")
            gathering.extend(documents(bar, columns, source, licence, out.work, meta))
        gathering.report("hub", source, "look at `text` of the data.hub step", unit="rows")
        out.licences[found.name] = {"licence": licence, "terms": f"https://huggingface.co/datasets/{settings.dataset}"
                                    if settings.dataset else ""}  # fmt: skip
        if found.revision and found.revision != settings.revision:
            out.text("Revision", f"{settings.revision or 'main'} was {found.revision} when this was made. It can move: "
                     f"`danlu run RECIPE --force STEP` reads where it points then, and `revision: {found.revision}` "
                     "keeps it here.")  # fmt: skip


class Found:
    """A dataset that was found: its builder, its card, the commit that is read."""

    def __init__(self, settings: HubSettings, work: Path) -> None:
        self.settings = settings
        self.library = need("datasets", "hub")
        self.library.config.HF_UPDATE_DOWNLOAD_COUNTS = False
        self.library.config.USE_PARQUET_EXPORT = False
        need("huggingface_hub", "hub").constants.HF_HUB_DISABLE_TELEMETRY = True
        self.library.disable_progress_bars()
        self.library.logging.set_verbosity(50)
        if settings.folder is not None:
            self.path = settings.folder.expanduser().resolve()
            self.name = self.path.name
            self.card = self._local_card()
        else:
            self.name = settings.dataset
        self.revision = ""
        self.builder = self._builder(work)
        if settings.folder is None:
            self.card = self._hub_card()
        self._harmless()

    def _local_card(self) -> dict[str, Any]:
        """The front matter of README.md. It may name no file outside of the folder."""
        if not self.path.is_dir():
            beside = [entry.name for entry in self.path.parent.iterdir()] if self.path.parent.is_dir() else []
            near = nearest(self.path.name, beside)
            raise DataError(
                "no such folder", where=str(self.path), nearest=near, next="set `folder` of the data.hub step"
            )
        readme = self.path / "README.md"
        card = front_matter(readme.read_text(encoding="utf-8", errors="replace"))[0] if readme.is_file() else {}
        for text in _strings(card.get("configs")):
            if "://" in text or "::" in text or text.startswith(("/", "~")) or ".." in Path(text).parts:
                raise DataError(f"the card names a file outside of the folder: {text}", where=str(readme))
        return card

    def _hub_card(self) -> dict[str, Any]:
        hub = need("huggingface_hub", "hub")
        try:
            path = hub.hf_hub_download(
                self.settings.dataset, "README.md", repo_type="dataset", revision=self.revision or None
            )
        except (hub.errors.EntryNotFoundError, OSError):
            return {}
        return front_matter(Path(path).read_text(encoding="utf-8", errors="replace"))[0]

    def _builder(self, work: Path) -> DatasetBuilder:
        settings = self.settings
        folder = str(self.path) if settings.folder is not None else settings.dataset
        try:
            builder: DatasetBuilder = self.library.load_dataset_builder(
                folder, settings.config or None, revision=settings.revision or None, cache_dir=str(work / "hub")
            )
        except Exception as error:  # the library raises most kinds
            self._raise(error)
        files = [str(file) for part in (builder.config.data_files or {}).values() for file in part]
        commits = {found[1] for file in files if (found := re.match(r"hf://datasets/.+?@([0-9a-f]{40})/", file))}
        self.revision = commits.pop() if len(commits) == 1 else ""
        return builder

    def _harmless(self) -> None:
        """Only formats that are data, and only files of this very dataset."""
        kind = type(self.builder).__module__.split(".")[-1]
        if kind not in _FORMATS:
            raise DataError(
                f"a dataset of kind {kind!r} is not read; {', '.join(_FORMATS)} are", where=self.name,
                next="give files of one of these, or read the folder with data.read",
            )  # fmt: skip
        home = f"{self.path}/" if self.settings.folder is not None else f"hf://datasets/{self.settings.dataset}@"
        for part in (self.builder.config.data_files or {}).values():
            for file in part:
                if not str(file).startswith(home):
                    raise DataError(f"the card names a file outside of the dataset: {file}", where=self.name)

    def split(self) -> IterableDataset:
        known = list(self.builder.config.data_files or {})
        if self.settings.split not in known:
            raise DataError(
                f"no split {self.settings.split!r}; there are {', '.join(known)}", where=self.name,
                nearest=nearest(self.settings.split, known), next="set `split` of the data.hub step",
            )  # fmt: skip
        try:
            found: IterableDataset = self.builder.as_streaming_dataset(split=self.settings.split)
            return found
        except Exception as error:
            self._raise(error)

    def columns(self, split: IterableDataset) -> list[str]:
        """The names of the columns; from the first row where nothing says them before."""
        try:
            return list(split.column_names or next(iter(split), {}))
        except Exception as error:
            self._raise(error)

    def rows(self, split: IterableDataset) -> Iterator[Mapping[str, Any]]:
        try:
            yield from split.decode(False) if split.features else split
        except Exception as error:
            self._raise(error)

    def _raise(self, error: Exception) -> NoReturn:
        """One clear error for what the library raised."""
        said = " ".join(str(error).split())[:300] or type(error).__name__
        errors = self.library.exceptions
        if isinstance(error, errors.DataFilesNotFoundError) or type(error).__name__ == "EmptyDatasetError":
            raise DataError(
                "no file of data was found", where=self.name, next="look at what the dataset holds"
            ) from None
        if isinstance(error, errors.DatasetNotFoundError):
            raise DataError(
                f"no such dataset, revision or file on the hub, or not one that you may read: {said}", where=self.name,
                next="look at https://huggingface.co/datasets, or log in with hf auth login",
            ) from None  # fmt: skip
        wanted = re.search(r"Available: (\[.*?\])|pick one among the available configs: (\[.*?\])", said)
        if wanted:
            names = [str(name) for name in ast.literal_eval(wanted[1] or wanted[2])]
            raise DataError(
                f"no configuration {self.settings.config!r}; there are {', '.join(names)}", where=self.name,
                nearest=nearest(self.settings.config, names), next="set `config` of the data.hub step",
            ) from None  # fmt: skip
        if self.settings.dataset and (isinstance(error, ConnectionError) or _from_network(error)):
            raise EndpointError(
                f"the hub cannot be reached: {said}", where=self.name,
                next=f"where there is a network: hf download --repo-type dataset {self.name} --local-dir DIR; "
                     "then `folder: DIR` instead of `dataset`",
            ) from None  # fmt: skip
        raise DataError(
            f"the rows cannot be read: {said}", where=self.name,
            next="data.read reads such files too, and leaves out only the bad lines",
        ) from None  # fmt: skip


def licence_of(card: Mapping[str, Any]) -> str:
    """The licence that a card states, as SPDX writes it where that is known; "unknown" when it states none."""
    stated = card.get("license") or card.get("licence") or "unknown"
    names = [str(name) for name in (stated if isinstance(stated, list) else [stated])]
    if names == ["other"]:
        return str(card.get("license_name") or "other")
    return " AND ".join(dict.fromkeys(_spelled(name) for name in names))


def _spelled(name: str) -> str:
    low = name.lower()
    if re.match(r"(cc|bsd|gpl|lgpl|agpl|mpl|gfdl)\d?-", low) or low == "cc0-1.0":
        return low.upper().replace("-CLAUSE", "-Clause")
    return _LICENCES.get(low, name)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _from_network(error: Exception) -> bool:
    kinds = {kind.__module__.split(".")[0] for kind in type(error).__mro__}
    return bool(kinds & {"httpx", "requests", "aiohttp", "huggingface_hub"})
