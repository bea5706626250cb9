"""A limit for how long the head of a request may take, which uvicorn lacks; `Door` has the one for bodies."""

from __future__ import annotations

import asyncio
from typing import Any

from danlu.extras import need


def protocol(seconds: float = 30.0) -> type[asyncio.Protocol]:
    """uvicorn's h11 protocol, for `Config(http=…)`, that closes a connection whose next head takes over `seconds`.

    Between two requests of one connection uvicorn's own `timeout_keep_alive` (5 s) holds until the first byte comes.
    """
    base: Any = need("uvicorn.protocols.http.h11_impl", "serve").H11Protocol

    class Patient(base):  # type: ignore[misc]
        late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            self._arrived()
            super().connection_lost(exc)

        def _wait(self) -> None:
            """Starts the clock where a head is awaited, stops it where a request is under way."""
            if self.cycle is not None and not self.cycle.response_complete:
                self._arrived()
            elif self.late is None:
                self.late = self.loop.call_later(seconds, self._leave)

        def _arrived(self) -> None:
            if self.late is not None:
                self.late.cancel()
                self.late = None

        def _leave(self) -> None:
            self.late = None
            if self.cycle is None or self.cycle.response_complete:
                self.transport.close()

    return Patient
