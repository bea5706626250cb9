"""A `LanguageModel` as a Chat: weights in safetensors (a folder, an adapter on its base) answer in transformers.

An answer comes whole, as its only delta, and one conversation waits for the other: a GGUF of the same model in
llama.cpp is faster and streams. Not covered: what `Generation` has no word for (top_k, min_p and penalties), which is
refused.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from danlu.errors import DataError, ModelError
from danlu.model.chat import GREEDY, Delta, Options
from danlu.model.language_model import Answer, Failure, Generation, LanguageModel
from danlu.records import Message


class ModelChat:
    """`model` answers messages; `close` closes it."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self._one = threading.Lock()

    def stream(self, messages: Sequence[Message], options: Options = GREEDY) -> Iterator[Delta]:
        if options.top_k or options.min_p or options.frequency_penalty or options.presence_penalty:
            raise DataError("top_k, min_p and penalties are for models in llama.cpp and endpoints")
        asked = Generation(
            tuple(messages), options.stop, options.max_tokens, options.temperature, options.top_p, options.seed,
            options.json_schema,
        )  # fmt: skip
        with self._one:
            ((_, result),) = self.model.answer([asked])
        if isinstance(result, Failure) and result.reason == "too-long":
            raise DataError(f"the prompt is too long: {result.detail}", next="a shorter conversation, or max_tokens")
        if not isinstance(result, Answer):
            detail = result.detail if isinstance(result, Failure) else ""
            raise ModelError(f"the model gave no answer: {detail}", where=self.model.name, next="danlu model ls")
        yield Delta(result.text, result.finish)

    def close(self) -> None:
        self.model.close()
