"""A GGUF file in llama.cpp as a `LanguageModel`: what is scored is what will be served.

Requests are asked in the order of their tokens, and the beginning that one shares with the one before it stays in the
context: the examples are computed once for a subject, a question once for all its choices. Logits are computed only
where a token is scored.

llama.cpp picks its kernels by the number of tokens in a step, and rounds activations to 8 bits beside quantized
weights, so that a step of another length moves a logit of a 4-bit model by up to one. Steps here are therefore
multiples of eight tokens, filled up where need be, in one sequence: such steps give the same bits whatever came before,
and results do not depend on batch, order, what is asked beside them, or the number of threads.

Not covered: GPUs, several answers written side by side, LoRA adapters beside a GGUF file, models with an encoder, and
those (LongRoPE) that read a text otherwise when the context was opened longer.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.artifact import file_digest
from danlu.errors import ModelError
from danlu.extras import need
from danlu.model.language_model import Answer, Failure, Generation, Request, Result
from danlu.model.llama import Grammar, LlamaFile
from danlu.model.llama_tokenizer import LlamaTokenizer
from danlu.model.pairs import Encoder
from danlu.model.scoring import scored

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

BLOCK = 4096  # requests that are tokenized together
UNIT = 8  # a step is a multiple of so many tokens
STEP = 512  # the longest step
OUTPUTS = 64  # places with logits in a step; 64 MiB at 262,144 tokens of vocabulary
ROOM = 256  # a context is opened for a multiple of so many tokens


class LlamaModel:
    """`context` shortens the model's own; `template` names a chat template (`danlu.model.template`) in place of the
    file's. Raises ModelError for a file that llama.cpp cannot load or that is no causal language model."""

    def __init__(
        self,
        path: Path | str,
        *,
        name: str | None = None,
        fingerprint: str | None = None,
        context: int | None = None,
        threads: int | None = None,
        template: str | None = None,
    ) -> None:
        self.name = name or str(path)
        self._sequence = LlamaSequence(path, threads)
        try:
            self.tokenizer = LlamaTokenizer(self._sequence)
            if template is not None:
                from danlu.model.template import ensure_template

                ensure_template(self.tokenizer, template)  # type: ignore[arg-type]
            self.encoder = Encoder(self.tokenizer)
        except BaseException:
            self.close()
            raise
        self.fingerprint = fingerprint or file_digest(Path(path))
        self.context: int | None = min(self._sequence.trained, context or self._sequence.trained)
        self.facts: Mapping[str, Any] = {
            "backend": "llama.cpp",
            "version": f"xllamacpp {importlib.metadata.version('xllamacpp')}",
            "dtype": self._sequence.format,
            "attention": "float32",
            "device": "cpu",
            "context": self.context,
            "threads": threads,
            "sharing": "prefixes" if self._sequence.rewinds else "none: this model's state cannot be taken back",
        }

    def count(self, text: str) -> int:
        """See `LanguageModel.count`."""
        return len(self.encoder.encode([text])[0])

    def close(self) -> None:
        """Free the model; the object is of no use afterwards."""
        self._sequence.close()

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Result]]:
        """See `LanguageModel.answer`: scored requests in the order of their tokens, then the generated ones."""
        for start in range(0, len(requests), BLOCK):
            block = list(enumerate(requests[start : start + BLOCK], start))
            asked = [(place, one) for place, one in block if not isinstance(one, Generation)]
            yield from scored(asked, self.encoder, self.context or 0, self._sequence)
            yield from self._write([(place, one) for place, one in block if isinstance(one, Generation)])

    def _write(self, asked: list[tuple[int, Generation]]) -> Iterator[tuple[int, Result]]:
        ready: list[tuple[list[int], int, Generation, Grammar | None]] = []
        for place, one in asked:
            try:
                prompt, grammar = self._prompt(one), self._grammar(one)
            except ModelError as error:  # this request's template or schema, not the model
                yield place, Failure("unsupported", error.problem.what)
                continue
            if failure := self._cannot_write(one, prompt):
                yield place, failure
            elif one.max_tokens < 1:
                yield place, Answer("", "length", 0)
            else:
                ready.append((prompt, place, one, grammar))
        for prompt, place, one, grammar in sorted(ready, key=lambda item: item[:2]):
            yield place, self._written(prompt, one, grammar)

    def _prompt(self, one: Generation) -> list[int]:
        from danlu.model import template

        if isinstance(one.prompt, str):
            return self.encoder.encode([one.prompt])[0]
        return template.render(self.tokenizer, one.prompt, answer=True)  # type: ignore[arg-type]

    def _grammar(self, one: Generation) -> Grammar | None:
        if one.json_schema is None:
            return None
        convert = need("xllamacpp", "quant").json_schema_to_grammar
        try:
            # compact JSON: where white space is free, a small model may write nothing else
            text = str(convert(json.dumps({**one.json_schema, "x-guidance": {"whitespace_flexible": False}})))
        except (RuntimeError, ValueError, TypeError) as error:
            raise ModelError(f"llama.cpp has no grammar for this JSON schema: {error}") from None
        return Grammar(self._sequence, text)

    def _cannot_write(self, one: Generation, prompt: list[int]) -> Failure | None:
        if not prompt:
            return Failure("unsupported", "the prompt has no token")
        if len(prompt) + one.max_tokens > (self.context or 0):
            detail = f"{len(prompt)} tokens and {one.max_tokens} to write, the context holds {self.context}"
            return Failure("too-long", detail)
        return None

    def _written(self, prompt: list[int], one: Generation, grammar: Grammar | None) -> Answer:
        from danlu.model.drafts import finished

        made: list[int] = []
        for token in self._sequence.write(prompt, one.max_tokens, chooser(one, grammar)):
            made.append(token)
            if (answer := finished(self.tokenizer, one, made, self.tokenizer.ends)) is not None:
                return answer
        raise AssertionError("an answer ends at its longest")


class LlamaSequence(LlamaFile):
    """One sequence of tokens in llama.cpp, whose beginning stays for the next one. `trained` is the context that the
    model was trained for, `rewinds` whether tokens can be taken back (not from a recurrent state)."""

    def __init__(self, path: Path | str, threads: int | None = None) -> None:
        super().__init__(path, weights=True)
        self._threads = threads
        self._room = 0
        self._kept: list[int] = []
        lib, model = self._lib, self._model
        causal = self.metadata(f"{self.metadata('general.architecture')}.attention.causal")
        if lib.llama_model_has_encoder(model) or causal == "false":
            self.close()
            raise ModelError("this GGUF file holds no causal language model", where=str(path))
        self.trained = int(lib.llama_model_n_ctx_train(model))
        self.rewinds = not (lib.llama_model_is_recurrent(model) or lib.llama_model_is_hybrid(model))

    @property
    def format(self) -> str:
        """llama.cpp's name for how the weights are stored, "Q4_K - Medium" for example."""
        name: bytes = self._lib.llama_ftype_name(self._lib.llama_model_ftype(self._model))
        return name.decode("utf-8", "replace")

    def score(
        self, sequences: list[list[int]], wanted: list[list[tuple[int, int]]], *, summed: bool = False
    ) -> Iterator[tuple[int, list[tuple[float, bool]]]]:
        """See `danlu.model.scoring.Engine`."""
        self._reserve(max(map(len, sequences), default=0))
        for number in sorted(range(len(sequences)), key=sequences.__getitem__):
            tokens: dict[int, list[int]] = {}
            for position, token in wanted[number]:
                tokens.setdefault(position, []).append(token)
            known = {}
            for position, row in self._rows(sequences[number], sorted(tokens)):
                for token, log in zip(tokens[position], self._logs(row, tokens[position]), strict=True):
                    known[position, token] = log
            yield number, [known[pair] for pair in wanted[number]]

    def write(self, prompt: list[int], most: int, choose: Callable[[Array], int]) -> Iterator[int]:
        """At most `most` tokens after `prompt`, each chosen from its logits, float32 [n_vocab]."""
        self._reserve(len(prompt) + most)
        ((_, row),) = self._rows(prompt, [len(prompt) - 1])
        try:
            for count in range(most):
                token = choose(row)
                yield token
                if count + 1 < most:
                    row = self._decode([token], [True])[0]
        finally:
            self._rewind(len(prompt))

    def _logs(self, row: Array, tokens: Sequence[int]) -> list[tuple[float, bool]]:
        """(log p, whether no token is more likely) of tokens, by their logits."""
        import numpy as np

        top = row.max()
        total = float(top) + math.log(float(np.exp(row - top).sum(dtype=np.float64)))
        if not math.isfinite(total):
            raise ModelError("llama.cpp predicts numbers that are not finite", where=str(self.path))
        return [(float(row[token]) - total, bool(row[token] >= top)) for token in tokens]

    def _rows(self, ids: list[int], positions: list[int]) -> Iterator[tuple[int, Array]]:
        """(position, logits after it) of ascending `positions`; a row is valid until the next step."""
        start = self._rewind(min(_common(self._kept, ids), positions[0]))
        while start < len(ids):
            end = min(start + STEP, len(ids))
            here = [position for position in positions if start <= position < end][:OUTPUTS]
            if len(here) == OUTPUTS:
                end = here[-1] + 1
            fill = -(end - start) % UNIT if self.rewinds else 0
            wanted = set(here)
            rows = self._decode(ids[start:end] + [0] * fill, [k in wanted for k in range(start, end + fill)])
            self._kept = ids[:end]
            if fill:
                self._rewind(end)
            yield from zip(here, rows, strict=True)
            start = end

    def _rewind(self, length: int) -> int:
        """Keep the first `length` tokens, or none where that cannot be; how many are kept."""
        memory = self._lib.llama_get_memory(self._context)
        if not self._lib.llama_memory_seq_rm(memory, 0, length, -1):
            self._lib.llama_memory_clear(memory, True)
            length = 0
        self._kept = self._kept[:length]
        return length

    def _reserve(self, tokens: int) -> None:
        """Open a context that holds so many tokens, unless it does."""
        if tokens + UNIT > self._room:
            if self._context:
                self._lib.llama_free(self._context)
            self._room = -(-(tokens + UNIT) // ROOM) * ROOM
            self._context, self._kept = None, []
            self._open_context(self._room, OUTPUTS, self._threads)


def chooser(one: Generation, grammar: Grammar | None) -> Callable[[Array], int]:
    """How the next token is chosen from logits [vocabulary]: the most likely one, or drawn (temperature, then the
    smallest set of the likeliest tokens that holds top_p) by a generator of this request's own; within the grammar."""
    import numpy as np

    chance = np.random.default_rng(one.seed)

    def draw(row: Array) -> int:
        if one.temperature <= 0:
            return int(row.argmax())
        scaled = (row.astype(np.float64) - float(row.max())) / one.temperature
        likely = np.exp(scaled)
        likely /= likely.sum()
        if one.top_p < 1:
            order = np.argsort(-likely, kind="stable")
            before = likely[order].cumsum() - likely[order]
            likely[order[before > one.top_p]] = 0
            likely /= likely.sum()
        return int(chance.choice(len(likely), p=likely))

    def choose(row: Array) -> int:
        token = draw(row)
        if grammar is None:
            return token
        if not grammar.allows(token):
            token = draw(grammar.masked(row))
        grammar.accept(token)
        return token

    return choose


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two sequences begin with alike."""
    return next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
