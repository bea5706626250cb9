"""Beyond one machine: the blocks of `danlu.data.flow` as a Ray Data dataset.

The blocks' bytes travel through Ray's object store, which spills to disk when it is full, so that the nodes need no
folder in common; Danlu's own code travels too (`py_modules`), so that every node runs the version that is recorded.
What else a step needs (its extras) must be installed on the nodes. A node that dies costs time, nothing else: Ray Data
runs its blocks again elsewhere, and the results are taken in the order of the blocks.

Not covered: a head node or driver that dies (the run is started again and goes on from its finished steps), and paths
other than the blocks', which must be there on every node (word lists, decisions, tokenizer folders of a setting).
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from danlu.data.flow import Block
from danlu.errors import DanluError, DataError
from danlu.extras import need
from danlu.model.cluster import connected
from danlu.track import Track

T = TypeVar("T")
R = TypeVar("R")


def spread_on_ray(work: Callable[[T], R], items: Sequence[T], track: Track) -> Iterator[R]:
    """`danlu.data.flow.spread` on the cluster that `track.on` names: "ray" is RAY_ADDRESS's, or a fresh one on this
    machine; "ray://host:port" a cluster's client port. DataError when it cannot be reached, or lost too many nodes."""
    ray = connected(track.on)
    need("ray.data", "ray")
    driver = ray.remote(num_cpus=0, resources={"node:__internal_head__": 0.001})(Driver)
    try:
        pump = driver.remote(work, [ray.put(_shipped(item)) for item in items])
        waiting = pump.next.remote()
        while (result := ray.get(waiting)) is not None:
            waiting = pump.next.remote()
            done = pickle.loads(result)  # our own bytes, from our own work on our own cluster
            if isinstance(done, DanluError):
                raise done
            yield done
    except ray.exceptions.RayError as error:
        told = str(error).strip().splitlines()
        raise DataError(
            f"the work on Ray failed: {told[-1] if told else type(error).__name__}",
            where=track.on,
            next="see `ray status`; the same command goes on, finished steps are kept",
        ) from error


class Driver:
    """Runs the dataset beside the cluster's head (Ray Data cannot be driven through a client's connection) and hands
    out its results, one at a time and in order; None at the end."""

    def __init__(self, work: Callable[[Any], Any], refs: list[Any]) -> None:
        import ray.data

        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        dataset = ray.data.from_arrow_refs(refs).map_batches(
            _on_node, fn_args=[work], batch_size=1, batch_format="pyarrow"
        )
        self.rows = iter(dataset.iter_rows())

    def next(self) -> bytes | None:
        row = next(self.rows, None)
        return None if row is None else row["item"]


def _table(item: bytes) -> Any:
    import pyarrow

    return pyarrow.table({"item": pyarrow.array([item], pyarrow.large_binary())})


def _shipped(item: Any) -> Any:
    """The item as a table of one row; a block takes its bytes along."""
    return _table(pickle.dumps(replace(item, data=item.read()) if isinstance(item, Block) else item))


def _on_node(table: Any, work: Callable[[Any], Any]) -> Any:
    """The pickled result; an error that is the user's to mend is a result too, so that Ray does not try it again."""
    (item,) = table["item"]
    try:
        return _table(pickle.dumps(work(pickle.loads(item.as_py()))))  # bytes that `_shipped` made
    except DanluError as error:
        return _table(pickle.dumps(error))
