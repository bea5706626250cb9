"""Beyond one machine: requests shared out over a Ray cluster on which a model is opened several times.

One copy of the model a GPU, or one a node where the cluster has none. Requests that share a beginning go to the same
copy. Each copy is asked for some requests at a time, so that what it has answered is kept whatever becomes of it; a
copy whose node dies is opened elsewhere and asked again. What is answered does not depend on how many copies there are.

Danlu's code travels to the nodes; what it needs (the extra `model`), and a model that is a folder or a file, must be
there under the same path on every node.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from danlu.errors import DanluError, ModelError
from danlu.model.cluster import connected
from danlu.model.language_model import LanguageModel, Request, Result
from danlu.model.workers import shares
from danlu.track import Track

AT_ONCE = 256
"""Most requests that a copy is asked at a time."""

_AGAIN = 3


def open_on_ray(name: str, track: Track, **options: Any) -> RayModel:
    """A model by its name (`danlu.model.subject.open_model`) on the cluster that `track.on` names; a copy uses all
    processors of its node, or its share of them."""
    return RayModel(name, partial(_open, name, options), track)


def _open(name: str, options: Mapping[str, Any], threads: int) -> LanguageModel:
    from danlu.model.subject import open_model

    return open_model(name, **{"threads": threads, **options})


class RayModel:
    """A LanguageModel of copies on a cluster. `opening` makes one copy there, with so many threads; it must be
    picklable. `copies` is their number, by default one a GPU, or one a node where there is none. ModelError when a copy
    dies time and again."""

    def __init__(
        self, name: str, opening: Callable[[int], LanguageModel], track: Track, copies: int | None = None
    ) -> None:
        self.ray = connected(track.on)
        gpus = int(self.ray.cluster_resources().get("GPU", 0))
        nodes = [int(node["Resources"].get("CPU", 0)) for node in self.ray.nodes() if node["Alive"]]
        nodes = [processors for processors in nodes if processors] or [1]
        count = copies or gpus or len(nodes)
        threads = max(1, min(nodes) * len(nodes) // count)
        kind = self.ray.remote(Copy).options(
            num_cpus=1,
            num_gpus=1 if gpus else 0,
            scheduling_strategy="SPREAD",
            max_restarts=_AGAIN,
            max_task_retries=_AGAIN,
        )
        self.name = name
        self.copies = [kind.remote(opening, threads) for _ in range(count)]
        told = self._got([copy.facts.remote() for copy in self.copies])
        self.fingerprint, facts, self.context = told[0]
        self.facts: Mapping[str, Any] = {**facts, "copies": len(self.copies)}
        if len({one[0] for one in told}) > 1:
            self.close()
            raise ModelError(
                "the model is another one on some of the nodes", where=name, next="copy the same folder to all"
            )

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Result]]:
        waiting = [_pieces(places) for places in shares(requests, len(self.copies))]
        busy: dict[Any, tuple[int, list[int]]] = {}

        def more(at: int) -> None:
            own = waiting[at] or max(waiting, key=len)
            if own:
                places = own.pop(0) if own is waiting[at] else own.pop()
                asked = pickle.dumps([requests[place] for place in places])
                busy[self.copies[at].answer.remote(asked)] = at, places

        for at in range(len(self.copies)):
            more(at)
        while busy:
            (done, *_), _ = self.ray.wait(list(busy), num_returns=1)
            at, places = busy.pop(done)
            found = self._got([done])[0]
            more(at)
            for place, result in found:
                yield places[place], result

    def count(self, text: str) -> int | None:
        found: int | None = self._got([self.copies[0].count.remote(text)])[0]
        return found

    def close(self) -> None:
        for copy in self.copies:
            self.ray.kill(copy)
        self.copies = []

    def _got(self, refs: Sequence[Any]) -> list[Any]:
        """What the copies say; an error that is the user's to mend is raised as such."""
        try:
            found = [pickle.loads(one) for one in self.ray.get(list(refs))]  # our own bytes, from our own copies
        except self.ray.exceptions.RayError as error:
            told = str(error).strip().splitlines()
            raise ModelError(
                f"the model on Ray failed: {told[-1] if told else type(error).__name__}",
                where=self.name,
                next="see `ray status`; the same command goes on, what was answered is kept",
            ) from error
        for one in found:
            if isinstance(one, DanluError):
                raise one
        return found


def _pieces(places: list[int]) -> list[list[int]]:
    return [places[start : start + AT_ONCE] for start in range(0, len(places), AT_ONCE)]


class Copy:
    """One copy of the model, on a node. A DanluError is handed back, so that Ray does not try it again."""

    def __init__(self, opening: Callable[[int], LanguageModel], threads: int) -> None:
        self.model: LanguageModel | None = None
        self.error: DanluError | None = None
        try:
            self.model = opening(threads)
        except DanluError as error:
            self.error = error

    def _said(self, say: Callable[[LanguageModel], Any]) -> bytes:
        if self.model is None:
            return pickle.dumps(self.error)
        try:
            return pickle.dumps(say(self.model))
        except DanluError as error:
            return pickle.dumps(error)

    def facts(self) -> bytes:
        return self._said(lambda model: (model.fingerprint, dict(model.facts), model.context))

    def answer(self, asked: bytes) -> bytes:
        requests = pickle.loads(asked)  # bytes that RayModel made
        return self._said(lambda model: list(model.answer(requests)))

    def count(self, text: str) -> bytes:
        return self._said(lambda model: model.count(text))
