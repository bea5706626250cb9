"""Several processes with a copy of a model each, which share the requests of one caller.

The requests are sorted by their text and cut into as many parts of about equal length, so that what shares a
beginning stays together. Each process has its share of the threads. What a process answers does not depend on the
others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, cast

from danlu.errors import DanluError, ModelError
from danlu.model.language_model import Continuation, Generation, Request, Result


class Workers:
    """`settings` go to each `TransformersModel`. ModelError when one cannot open it, or ends before its work."""

    def __init__(self, folder: Path, processes: int, threads: int | None, settings: Mapping[str, Any]) -> None:
        spawn = get_context("spawn")
        each = max(1, (threads or os.cpu_count() or 1) // processes)
        self.pipes: list[Connection] = []
        self.running = []
        for _ in range(processes):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=_work, args=(theirs, folder, each, dict(settings)), daemon=True)
            process.start()
            theirs.close()
            self.pipes.append(ours)
            self.running.append(process)
        opened = [self._hear(pipe) for pipe in self.pipes]
        self.context: int = opened[0]["context"]
        self.facts: Mapping[str, Any] = {**opened[0]["facts"], "processes": processes}

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Result]]:
        """As `LanguageModel.answer`, from all processes."""
        busy = {}
        for pipe, places in zip(self.pipes, shares(requests, len(self.pipes)), strict=True):
            if places:
                pipe.send([requests[place] for place in places])
                busy[pipe] = places
        while busy:
            for pipe in cast(list[Connection], wait(list(busy))):
                heard = self._hear(pipe)
                if heard is None:
                    del busy[pipe]
                else:
                    yield busy[pipe][heard[0]], heard[1]

    def close(self) -> None:
        for pipe, process in zip(self.pipes, self.running, strict=True):
            pipe.close()
            process.terminate()  # it keeps nothing that would be lost
            process.join()

    def _hear(self, pipe: Connection) -> Any:
        try:
            heard = pipe.recv()
        except (EOFError, ConnectionResetError):
            self.close()
            raise ModelError(
                "a process of the model ended before its work",
                next="fewer processes need less memory; what was answered so far is kept",
            ) from None
        if isinstance(heard, BaseException):
            self.close()
            raise heard
        return heard


def shares(requests: Sequence[Request], parts: int) -> list[list[int]]:
    """The places of the requests in sorted parts of about equal length in characters."""
    texts = [_text(one) for one in requests]
    order = sorted(range(len(requests)), key=lambda place: (texts[place], place))
    total = sum(len(text) + 1 for text in texts)
    found: list[list[int]] = [[] for _ in range(parts)]
    before = 0
    for place in order:
        found[min(parts - 1, before * parts // max(1, total))].append(place)
        before += len(texts[place]) + 1
    return found


def _text(request: Request) -> str:
    if isinstance(request, Continuation):
        return request.context + request.continuation
    if isinstance(request, Generation):
        prompt = request.prompt
        return prompt if isinstance(prompt, str) else "".join(message.content for message in prompt)
    return request.text


def _work(pipe: Connection, folder: Path, threads: int, settings: dict[str, Any]) -> None:
    """What a process does: open the model, then answer lists of requests until the pipe is closed."""
    from danlu.model.prefix import TransformersModel

    try:
        model = TransformersModel(folder, threads=threads, **settings)
    except DanluError as error:
        pipe.send(ModelError(str(error)))
        return
    pipe.send({"context": model.context, "facts": dict(model.facts)})
    while True:
        try:
            requests = pipe.recv()
        except EOFError:
            return
        for found in model.answer(requests):
            pipe.send(found)
        pipe.send(None)
