"""Text to the tokens that are scored, as lm-evaluation-harness cuts it (HFLM of version 0.4.13), except that nothing
is left out: what is too long is for the caller to refuse.

A tokenizer adds its beginning token as it does by default, and not when the text already begins with it. Gemma adds
one, so a rolling text is scored from its own BOS on, after another BOS, there and here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from danlu.errors import ModelError
from danlu.model.language_model import Continuation

Pair = tuple[list[int], list[int]]


class Encoder:
    """`prefix` is the token that stands for the beginning of a text: BOS, or EOS where a tokenizer has none."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        found = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        if found is None:
            raise ModelError(
                "the tokenizer has neither a beginning nor an end token", where=str(tokenizer.name_or_path)
            )
        self.prefix = int(found)
        self._mark = str(tokenizer.decode(self.prefix))

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of plain texts, with the beginning token that the tokenizer adds."""
        marked = [text.startswith(self._mark) for text in texts]
        plain = iter(self._tokens([t for t, is_marked in zip(texts, marked, strict=True) if not is_marked]))
        begun = iter(self._tokens([t for t, is_marked in zip(texts, marked, strict=True) if is_marked], special=False))
        return [next(begun if is_marked else plain) for is_marked in marked]

    def pairs(self, requests: Sequence[Continuation]) -> list[Pair]:
        """(context, continuation) of each request. A continuation may come out empty."""
        moved = [_moved(one.context, one.continuation) for one in requests]
        texts = dict.fromkeys(text for context, whole in moved if context for text in (context, whole))
        known = dict(zip(texts, self.encode(list(texts)), strict=True))
        alone = dict.fromkeys(whole for context, whole in moved if not context)
        known_alone = dict(zip(alone, self._tokens(list(alone), special=False), strict=True))
        found = []
        for context, whole in moved:
            if not context or not known[context]:
                tokens = known[whole] if context else known_alone[whole]
                begins = tokens[:1] == [self.prefix]
                found.append(([self.prefix], tokens[1:] if begins else tokens))
            else:
                length = len(known[context])
                found.append((known[context], known[whole][length:]))
        return found

    def windows(self, text: str, context: int) -> list[Pair]:
        """A whole text in disjoint windows of at most `context` tokens of input."""
        tokens = self.encode([text])[0]
        found = []
        for start in range(0, len(tokens), context):
            end = min(start + context, len(tokens))
            if start == 0:
                found.append(([self.prefix], tokens[:end]))
            else:
                found.append((tokens[end - context - 1 : start], tokens[start:end]))
        return found

    def _tokens(self, texts: list[str], special: bool = True) -> list[list[int]]:
        if not texts:
            return []
        found: list[list[int]] = self.tokenizer(texts, add_special_tokens=special, verbose=False).input_ids
        return found


def _moved(context: str, continuation: str) -> tuple[str, str]:
    """The context without the white space at its end, and the whole text."""
    return context.rstrip(), context + continuation
