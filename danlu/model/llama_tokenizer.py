"""The vocabulary inside a GGUF file as a tokenizer, with as much of transformers' interface as scoring needs.

The tokens are llama.cpp's own; the names of control tokens in a text become those tokens, as in transformers.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from danlu.model.llama import LlamaFile


@dataclass(frozen=True)
class Encoded:
    input_ids: Any


class LlamaTokenizer:
    """`file` must stay open. Texts get the BOS that the file says they begin with, unless told otherwise."""

    def __init__(self, file: LlamaFile) -> None:
        self.file = file
        self.name_or_path = str(file.path)
        self.bos_token_id, self.bos_token = file.special("bos")
        self.eos_token_id, self.eos_token = file.special("eos")
        self.chat_template: str | None = file.metadata("tokenizer.chat_template")

    def __call__(self, text: str | Sequence[str], add_special_tokens: bool = True, verbose: bool = True) -> Encoded:
        """The tokens of a text, or of each of several."""
        if isinstance(text, str):
            return Encoded(self.file.tokenize(text, special=True, bounds=add_special_tokens))
        return Encoded([self.file.tokenize(one, special=True, bounds=add_special_tokens) for one in text])

    def decode(self, tokens: int | Sequence[int], skip_special_tokens: bool = False) -> str:
        """The text of tokens; bytes that are no UTF-8 are written U+FFFD."""
        some = [tokens] if isinstance(tokens, int) else tokens
        whole = b"".join(self.file.piece(token, special=not skip_special_tokens) for token in some)
        return whole.decode("utf-8", "replace")

    def get_vocab(self) -> dict[str, int]:
        """Every token by its name."""
        return self._vocabulary

    @functools.cached_property
    def _vocabulary(self) -> dict[str, int]:
        return {self.file.token_name(token): token for token in range(self.file.n_vocab)}

    @functools.cached_property
    def ends(self) -> set[int]:
        """The tokens at which llama.cpp stops writing."""
        return {token for token in range(self.file.n_vocab) if self.file.ends_generation(token)}

    def apply_chat_template(
        self, messages: list[dict[str, str]], tokenize: bool = False, add_generation_prompt: bool = False
    ) -> str:
        """The conversation as the template writes it (text only), rendered by transformers."""
        from transformers.utils.chat_template_utils import render_jinja_template

        rendered: Any = render_jinja_template(  # (texts, masks), whatever its annotation says
            [messages],
            chat_template=self.chat_template,
            add_generation_prompt=add_generation_prompt,
            bos_token=self.bos_token,
            eos_token=self.eos_token,
        )
        return str(rendered[0][0])
