"""A transformers model as a `LanguageModel`: what requests share is computed once.

Scoring many choices of many questions behind the same examples repeats the same tokens. Here the token sequences of
all requests become one trie, and each of its tokens goes through the model once: the examples once for a subject, the
context once for a question, the choices as branches. The output head, more than half of a small model's work, runs
only where a token is scored, over slices of the vocabulary. Nothing is padded. Results do not depend on batch, order
or number of processes beyond the rounding of sums in float32.

The tokens are those of lm-evaluation-harness (`danlu.model.pairs`), but nothing is cut off: what does not fit the
context is a Failure "too-long". Models that cannot branch run one sequence after another, and `facts["sharing"]` says
why.

Not covered: a JSON schema for generation (a Failure "unsupported"), and models spread over several devices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from danlu.errors import ModelError
from danlu.extras import need
from danlu.model.language_model import (
    Answer,
    Failure,
    Generation,
    Request,
    Result,
)
from danlu.model.pairs import Encoder
from danlu.model.scoring import scored
from danlu.track import Track

BLOCK = 4096  # requests that are tokenized and laid out together
BATCH = 16  # answers that are generated side by side
PACK = {"cpu": 512}  # tokens of one step of the model; 4,096 on other devices
DEFAULT_CONTEXT = 2048  # of a model that states none


class TransformersModel:
    """A model folder or adapter artifact as a `LanguageModel` (see `danlu.model.subject.open_model`).

    `dtype` is float32, bfloat16 or float16; `device` a torch device, by default the first GPU, else the CPU.
    `context` shortens the model's own. `batch_tokens` is the length of one step of the model. With `processes` above
    1, as many processes have a copy of the model and their share of the threads.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        name: str | None = None,
        fingerprint: str | None = None,
        dtype: str = "float32",
        device: str | None = None,
        context: int | None = None,
        batch_tokens: int | None = None,
        processes: int = 1,
        threads: int | None = None,
        track: Track | None = None,
    ) -> None:
        from danlu.model import find

        self.name = name or str(folder)
        self.fingerprint = fingerprint or find.fingerprint(str(folder), ".")
        self.track = track or Track(quiet=True)
        self._workers: Any = None
        if processes > 1:
            from danlu.model.workers import Workers

            settings = {"dtype": dtype, "device": device, "context": context, "batch_tokens": batch_tokens}
            self._workers = Workers(Path(folder), processes, threads, {**settings, "fingerprint": self.fingerprint})
            self.facts: Mapping[str, Any] = self._workers.facts
            self.context: int | None = self._workers.context
            self._open_tokenizer(Path(folder))
        else:
            self._open(Path(folder), dtype, device, context, batch_tokens, threads)

    def _open_tokenizer(self, folder: Path) -> None:
        from danlu.model import load

        self.tokenizer: Any = load.load_tokenizer(folder)
        self.encoder = Encoder(self.tokenizer)

    def _open(
        self,
        folder: Path,
        dtype: str,
        device: str | None,
        context: int | None,
        batch_tokens: int | None,
        threads: int | None,
    ) -> None:
        torch = need("torch", "model")
        import transformers

        from danlu.model import load, onednn
        from danlu.model.branches import Branches, OneByOne, unfit

        if threads:
            torch.set_num_threads(threads)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._open_tokenizer(folder)
        self.model: Any = load.load_model(folder, dtype, device)
        self.context = _context(self.model.config, self.tokenizer, context)
        if device == "cpu" and dtype == "float32" and onednn.available():
            onednn.install(self.model)
        why = unfit(self.model, self.context)
        if why:
            self.track.note(f"{self.name}: shared beginnings are computed again for each request: {why}")
        size = batch_tokens or PACK.get(device, 4096)
        self._engine: Any = OneByOne(self.model) if why else Branches(self.model, size)
        self.facts = {
            "backend": "transformers",
            "version": transformers.__version__,
            "torch": torch.__version__,
            "dtype": dtype,
            "device": device,
            "context": self.context,
            "sharing": f"none: {why}" if why else "prefixes",
            "perplexity": dtype if why else self._engine.vocabulary.way(dtype),
        }

    def count(self, text: str) -> int:
        """See `LanguageModel.count`."""
        return len(self.encoder.encode([text])[0])

    def close(self) -> None:
        """Give the memory back; the object is of no use afterwards."""
        if self._workers is not None:
            self._workers.close()
        self.model = self._engine = self._workers = None

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Result]]:
        """See `LanguageModel.answer`: scored requests in the order of their tokens, then the generated ones."""
        bar = self.track.bar("asking", len(requests), "request")
        try:
            for place, result in self._answers(requests):
                yield place, result
                bar.update(1)
        finally:
            bar.close()

    def _answers(self, requests: Sequence[Request]) -> Iterator[tuple[int, Result]]:
        if self._workers is not None:
            yield from self._workers.answer(requests)
            return
        for start in range(0, len(requests), BLOCK):
            block = list(enumerate(requests[start : start + BLOCK], start))
            asked = [(place, one) for place, one in block if not isinstance(one, Generation)]
            yield from scored(asked, self.encoder, self.context or DEFAULT_CONTEXT, self._engine)
            yield from self._write([(place, one) for place, one in block if isinstance(one, Generation)])

    def _write(self, asked: list[tuple[int, Generation]]) -> Iterator[tuple[int, Result]]:
        from danlu.model.branches import OneByOne
        from danlu.model.drafts import Draft, Writer, alone

        if not asked:
            return
        drafts = []
        for (place, one), prompt in zip(asked, self._prompts([one for _, one in asked]), strict=True):
            if failure := self._cannot_write(one, prompt):
                yield place, failure
            elif one.max_tokens < 1:
                yield place, Answer("", "length", 0)
            else:
                drafts.append(Draft(place, one, prompt))
        ends = self._ends()
        if isinstance(self._engine, OneByOne):
            yield from alone(self.model, self.tokenizer, ends, drafts)
        else:
            yield from Writer(self._engine, self.tokenizer, ends, BATCH).write(drafts)

    def _prompts(self, asked: list[Generation]) -> list[list[int]]:
        """The tokens of each prompt; messages as the chat template writes them."""
        from danlu.model import template

        plain = iter(self.encoder.encode([one.prompt for one in asked if isinstance(one.prompt, str)]))
        return [
            next(plain) if isinstance(one.prompt, str) else template.render(self.tokenizer, one.prompt, answer=True)
            for one in asked
        ]

    def _cannot_write(self, one: Generation, prompt: list[int]) -> Failure | None:
        if one.json_schema is not None:
            return Failure("unsupported", "generation by a JSON schema")
        if not prompt:
            return Failure("unsupported", "the prompt has no token")
        if self.context is not None and len(prompt) + one.max_tokens > self.context:
            detail = f"{len(prompt)} tokens and {one.max_tokens} to write, the context holds {self.context}"
            return Failure("too-long", detail)
        return None

    def _ends(self) -> set[int]:
        """The tokens that end an answer: those of the model's generation settings, of the tokenizer and its
        template."""
        from danlu.model import template

        stated = getattr(self.model.generation_config, "eos_token_id", None)
        return {*template.stop_tokens(self.tokenizer), *(stated if isinstance(stated, list) else [stated])} - {None}


def _context(config: Any, tokenizer: Any, shorter: int | None) -> int:
    """The longest input in tokens, from the configuration or the tokenizer; ModelError when `shorter` is none."""
    text = config.get_text_config()
    names = ("n_positions", "max_position_embeddings", "n_ctx")
    found = next((int(value) for name in names if (value := getattr(text, name, None)) is not None), 0)
    if not found:
        stated = getattr(tokenizer, "model_max_length", None) or DEFAULT_CONTEXT
        found = int(stated) if stated < 1 << 30 else DEFAULT_CONTEXT
    if shorter is not None and shorter < 1:
        raise ModelError(f"a context of {shorter} tokens holds nothing")
    return min(found, shorter or found)
