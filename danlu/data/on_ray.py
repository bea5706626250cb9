"""Beyond one machine: the blocks of `danlu.data.flow` as a Ray Data dataset.

The blocks' bytes travel through Ray's object store, which spills to disk when it is full, so that the nodes need no
folder in common; Danlu's own code travels too (`py_modules`), so that every node runs the version that is recorded.
What else a step needs (its extras) must be installed on the nodes. A node that dies costs time, nothing else: Ray Data
runs its blocks again elsewhere, and the results are taken in the order of the blocks.

Not covered: a head node or driver that dies (the run is started again and goes on from its finished steps), and paths
other than the blocks', which must be there on every node (word lists, decisions, tokenizer folders of a setting).
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import danlu
from danlu.data.flow import Block
from danlu.errors import DanluError, DataError
from danlu.extras import need
from danlu.track import Track

T = TypeVar("T")
R = TypeVar("R")


def spread_on_ray(work: Callable[[T], R], items: Sequence[T], track: Track) -> Iterator[R]:
    """`danlu.data.flow.spread` on the cluster that `track.on` names: "ray" is RAY_ADDRESS's, or a fresh one on this
    machine; "ray://host:port" a cluster's client port. DataError when it cannot be reached, or lost too many nodes."""
    ray = _connected(track.on)
    arrow = need("pyarrow", "ray")
    schema = arrow.schema([("item", arrow.large_binary())])

    def shipped(item: T) -> Any:
        carried = replace(item, data=item.read()) if isinstance(item, Block) else item
        return ray.put(arrow.table({"item": [pickle.dumps(carried)]}, schema=schema))

    def on_node(table: Any) -> Any:
        return arrow.table({"item": [_done(work, cell.as_py()) for cell in table["item"]]}, schema=schema)

    try:
        dataset = ray.data.from_arrow_refs([shipped(item) for item in items])
        for row in dataset.map_batches(on_node, batch_size=1, batch_format="pyarrow").iter_rows():
            result = pickle.loads(row["item"])  # our own bytes, from our own work on our own cluster
            if isinstance(result, DanluError):
                raise result
            yield result
    except ray.exceptions.RayError as error:
        told = str(error).strip().splitlines()
        raise DataError(
            f"the work on Ray failed: {told[-1] if told else type(error).__name__}",
            where=track.on,
            next="see `ray status`; the same command goes on, finished steps are kept",
        ) from error


def _done(work: Callable[[Any], Any], item: bytes) -> bytes:
    """The pickled result; an error that is the user's to mend is a result too, so that Ray does not try it again."""
    try:
        return pickle.dumps(work(pickle.loads(item)))  # bytes that `spread_on_ray` made
    except DanluError as error:
        return pickle.dumps(error)


def _connected(on: str) -> Any:
    """Ray, connected once in this process; usage reports to its makers are off."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    ray = need("ray", "ray")
    need("ray.data", "ray")
    if not ray.is_initialized():
        fresh = on == "ray" and "RAY_ADDRESS" not in os.environ
        options: dict[str, Any] = {"include_dashboard": False} if fresh else {}
        try:
            ray.init(
                address=on if on.startswith("ray://") else None,
                runtime_env={"py_modules": [str(Path(danlu.__file__).parent)]},
                log_to_driver=False,
                logging_level=logging.ERROR,
                **options,
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise DataError(
                f"no Ray cluster answers: {str(error).splitlines()[0]}",
                where=on,
                next="ray start --head --ray-client-server-port=10001, then --on ray://HOST:10001",
            ) from error
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    return ray
