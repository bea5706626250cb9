"""Chats are plain iterators: each runs in a thread of its own, and the event loop is told of every delta."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from danlu.model.chat import Chat, Delta, Options
from danlu.records import Message
from danlu.serve.door import Refusal

T = TypeVar("T")


class Desk:
    """`slots` pieces of work at once, `waiting` more in line; what comes then is refused with 503."""

    def __init__(self, slots: int, waiting: int) -> None:
        self.active = 0
        self._most = slots + waiting
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="chat")

    async def stream(self, chat: Chat, messages: Sequence[Message], options: Options) -> AsyncIterator[Delta]:
        """The deltas of `chat`. When nobody listens any more, the chat is closed at its next delta."""
        loop = asyncio.get_running_loop()
        said: asyncio.Queue[Delta | BaseException | None] = asyncio.Queue()
        gone = threading.Event()

        def tell(item: Delta | BaseException | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody listens
                loop.call_soon_threadsafe(said.put_nowait, item)

        def work() -> None:
            try:
                if not gone.is_set():
                    _pump(chat.stream(messages, options), gone, tell)
                tell(None)
            except BaseException as error:  # handed to the loop, which raises it
                tell(error)

        with self._place():
            self._pool.submit(work)
            try:
                while (item := await said.get()) is not None:
                    if isinstance(item, BaseException):
                        raise item
                    yield item
            finally:
                gone.set()

    async def call(self, work: Callable[[], T]) -> T:
        """The result of something that takes its time."""
        with self._place():
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def together(self, work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """The results of all; the first failure ends the others."""
        tasks = [asyncio.ensure_future(each) for each in work]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        if self.active >= self._most:
            raise Refusal(503, "the server is busy; try again shortly", "overloaded", headers={"Retry-After": "2"})
        self.active += 1
        try:
            yield
        finally:
            self.active -= 1


def _pump(deltas: Iterator[Delta], gone: threading.Event, tell: Callable[[Delta], None]) -> None:
    for delta in deltas:
        if gone.is_set():
            close = getattr(deltas, "close", None)
            if close is not None:
                close()
            return
        tell(delta)
