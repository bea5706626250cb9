"""A connection to a Ray cluster, for whatever is spread over more machines than this one."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import danlu
from danlu.errors import DataError
from danlu.extras import need

_START = "ray start --head --ray-client-server-port=10001, then --on ray://HOST:10001"


def connected(on: str) -> Any:
    """The module `ray`, connected once in this process to the cluster that `on` names: "ray" is RAY_ADDRESS's, or a
    fresh one on this machine; "ray://host:port" a cluster's client port. Danlu's own code travels to the nodes, so that
    they run the version that is recorded; usage reports to Ray's makers are off. DataError when no cluster answers."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if on.startswith("ray://"):
        _answers(on)
    if on.startswith("ray://") and (Path.home() / ".ray" / "auth_token").exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # as `ray start` does; Ray reads it when it is imported
    ray = need("ray", "ray")
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
            raise DataError(f"no Ray cluster answers: {str(error).splitlines()[0]}", where=on, next=_START) from error
    return ray


def _answers(address: str) -> None:
    """Raise DataError when nothing listens there: Ray itself would try for half a minute."""
    place = urlsplit(address)
    try:
        socket.create_connection((place.hostname or "", place.port or 10001), timeout=5).close()
    except (OSError, ValueError) as error:
        raise DataError(f"no Ray cluster answers: {error}", where=address, next=_START) from None
