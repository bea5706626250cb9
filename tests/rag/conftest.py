from __future__ import annotations

import pytest
from library import documents, index

from danlu.artifact import Artifact, Store
from danlu.rag.search import Searcher


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def indexed(store: Store) -> Artifact:
    return index(store, documents())


@pytest.fixture(scope="session")
def searcher(indexed: Artifact) -> Searcher:
    return Searcher(indexed.path)
