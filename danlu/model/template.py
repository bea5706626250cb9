"""The chat template: a tokenizer's own Jinja text is the only one, in training, export and serving alike.

A model without a template gets a named one (`templates/*.jinja`), saved with it from then on:

- gemma   Google's turns (https://ai.google.dev/gemma/docs/core/prompt-structure); no system role exists, so a system
          message opens the first user turn
- chatml  `<|im_start|>role … <|im_end|>`; the vocabulary must have both tokens
- alpaca  `### Instruction:` and `### Response:` in plain text, ended by the tokenizer's own end-of-sequence token

Which tokens are trained is read off any template by differences: the prompt that asks for an answer must open the
conversation that holds the answer, and what lies between that prompt and the first stop token is the answer.

Not covered: templates with tools, several templates in one model, and markers (`{% generation %}`), which the
differences make unnecessary.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from danlu.errors import ModelError, nearest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TAG = re.compile(r"<[^<>\s]{1,60}>|\[/?[A-Za-z_]{1,30}\]")
_WIDE = str.maketrans("<>[]", "＜＞［］")
TEMPLATES = ("alpaca", "chatml", "gemma")
_NEEDS = {"gemma": ("<start_of_turn>", "<end_of_turn>"), "chatml": ("<|im_start|>", "<|im_end|>"), "alpaca": ()}


_NAMED_TEMPLATE = f"use one of the named templates: --set STEP.template=NAME ({', '.join(TEMPLATES)})"


class Unwritten(ModelError):
    """The template does not write this conversation: a role it does not know, turns in another order."""


class Turn(Protocol):
    """Anything with a role and a content, `records.Message` above all."""

    @property
    def role(self) -> str: ...

    @property
    def content(self) -> str: ...


Messages = Sequence[Turn | Mapping[str, str]]


def ensure_template(tokenizer: PreTrainedTokenizerBase, name: str | None = None) -> None:
    """Give `tokenizer` the named template; with None it keeps its own, or gets the first of chatml, gemma and alpaca
    whose tokens its vocabulary has. ModelError for an unknown name or a vocabulary without the template's tokens."""
    if name is None:
        if tokenizer.chat_template:
            return
        name = next(word for word in ("chatml", "gemma", "alpaca") if not _missing(tokenizer, word))
    if name not in TEMPLATES:
        raise ModelError(
            f"unknown chat template {name!r}", nearest=nearest(name, TEMPLATES), next=f"known: {', '.join(TEMPLATES)}"
        )
    if missing := _missing(tokenizer, name):
        raise ModelError(
            f"the template {name} needs {missing}, which this vocabulary does not have",
            where=str(tokenizer.name_or_path),
            next="use template alpaca, which needs no token of its own",
        )
    text = source(name)
    starts = tokenizer("").input_ids == [tokenizer.bos_token_id]
    tokenizer.chat_template = "{{- bos_token }}\n" + text if starts and "bos_token" not in text else text


def source(name: str) -> str:
    """The Jinja text of a named template."""
    return (Path(__file__).parent / "templates" / f"{name}.jinja").read_text(encoding="utf-8")


def _missing(tokenizer: PreTrainedTokenizerBase, name: str) -> str:
    vocabulary = tokenizer.get_vocab()
    wanted = _NEEDS[name] or (str(tokenizer.eos_token),)
    return ", ".join(token for token in wanted if token not in vocabulary)


def text(tokenizer: PreTrainedTokenizerBase, messages: Messages, answer: bool = False) -> str:
    """The conversation as the template writes it; with `answer`, up to where the assistant begins to speak."""
    from jinja2 import TemplateError

    if not tokenizer.chat_template:
        raise ModelError(
            "the tokenizer has no chat template",
            where=str(tokenizer.name_or_path),
            next=f"name one: {', '.join(TEMPLATES)}",
        )
    plain = [{"role": _role(m), "content": _harmless(tokenizer, _content(m))} for m in messages]
    try:
        return str(tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=answer))
    except (TemplateError, ValueError) as error:  # ValueError: no message at all
        raise Unwritten(
            f"the chat template refused: {error}",
            where=_where(tokenizer),
            next=f"leave such turns out, or {_NAMED_TEMPLATE}",
        ) from None


def render(tokenizer: PreTrainedTokenizerBase, messages: Messages, answer: bool = False) -> list[int]:
    """The tokens of `messages`; with `answer`, ending where the assistant begins to speak (the prompt of serving)."""
    return _tokens(tokenizer, text(tokenizer, messages, answer))


def sequences(tokenizer: PreTrainedTokenizerBase, messages: Messages) -> list[tuple[list[int], list[bool]]]:
    """A conversation as what is to be trained: tokens, and which of them are learnt (every assistant message and the
    stop token after it, nothing else).

    The prompt before each answer is, token for token, the one that serving makes for it. Mostly all answers fit into
    one sequence. A template that writes an earlier answer otherwise once there is a later one (Qwen 3 leaves out what
    it thought) cannot have it so: then each answer that is not the beginning of the next prompt ends a sequence.

    Raises Unwritten when the template does not write this conversation, and ModelError when it never ends an answer
    with a stop token.
    """
    stops = set(stop_tokens(tokenizer))
    made: list[tuple[list[int], list[tuple[int, int]]]] = []  # tokens, and the spans of them that are learnt
    for i, message in enumerate(messages):
        if _role(message) != "assistant":
            continue
        ids, span = _answer(tokenizer, messages[: i + 1], stops)
        end = made[-1][1][-1][1] if made else 0
        if made and ids[:end] == made[-1][0][:end] and span[0] >= end:
            made[-1] = (ids, [*made[-1][1], span])
        else:
            made.append((ids, [span]))
    if not made:
        raise Unwritten(
            "a conversation without an assistant message has nothing to train",
            where=_where(tokenizer),
            next="danlu data validate FILE",
        )
    return [(ids, [any(start <= k < end for start, end in spans) for k in range(len(ids))]) for ids, spans in made]


def _answer(
    tokenizer: PreTrainedTokenizerBase, messages: Messages, stops: set[int]
) -> tuple[list[int], tuple[int, int]]:
    """The tokens of a conversation whose last message is an answer, and where that answer lies, its stop token
    included."""
    prompt, whole = text(tokenizer, messages[:-1], answer=True), text(tokenizer, messages)
    _check_prefix(tokenizer, prompt, whole)
    before, ids = _tokens(tokenizer, prompt), _tokens(tokenizer, whole)
    if ids[: len(before)] != before:
        ids = before + _tokens(tokenizer, whole[len(prompt) :])
    end = next((k + 1 for k in range(len(before), len(ids)) if ids[k] in stops), None)
    if end is None:
        raise ModelError(
            "the chat template ends an answer with no stop token", where=_where(tokenizer), next=_NAMED_TEMPLATE
        )
    return ids, (len(before), end)


def writes(tokenizer: PreTrainedTokenizerBase, messages: Messages) -> bool:
    """Whether the template writes this conversation, up to an answer."""
    try:
        sequences(tokenizer, messages)
    except Unwritten:
        return False
    return True


def encode(tokenizer: PreTrainedTokenizerBase, messages: Messages) -> tuple[list[int], list[bool]]:
    """The last of `sequences`: the conversation up to its last answer, as serving would write it."""
    return sequences(tokenizer, messages)[-1]


def stop_tokens(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that end an answer: the tokenizer's end of sequence, and the special token that its template writes
    after one; sorted."""
    found = {tokenizer.eos_token_id} - {None}
    if tokenizer.chat_template:
        probe = [{"role": "user", "content": "1"}]
        prompt = text(tokenizer, probe, answer=True)
        whole = text(tokenizer, [*probe, {"role": "assistant", "content": "2"}])
        _check_prefix(tokenizer, prompt, whole)
        tail = _tokens(tokenizer, whole[len(prompt) :].partition("2")[2])
        special = [token for token in tail if not tokenizer.decode([token], skip_special_tokens=True)]
        found |= set(special[:1])
    return sorted(int(token) for token in found)


def _tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False).input_ids
    return ids


def _harmless(tokenizer: PreTrainedTokenizerBase, content: str) -> str:
    """`content` with its control tokens written with full-width brackets, as `LlamaServer` does when serving: what a
    message says can not end its turn."""

    def write(match: re.Match[str]) -> str:
        ids = _tokens(tokenizer, match[0])
        control = len(ids) == 1 and not tokenizer.decode(ids, skip_special_tokens=True)
        return match[0].translate(_WIDE) if control else match[0]

    return _TAG.sub(write, content)


def _content(message: Turn | Mapping[str, str]) -> str:
    return message["content"] if isinstance(message, Mapping) else message.content


def _role(message: Turn | Mapping[str, str]) -> str:
    return message["role"] if isinstance(message, Mapping) else message.role


def _where(tokenizer: Any) -> str:
    return f"chat template of {tokenizer.name_or_path or 'this tokenizer'}"


def _check_prefix(tokenizer: PreTrainedTokenizerBase, prompt: str, whole: str) -> None:
    if whole.startswith(prompt):
        return
    at = next((k for k, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), len(whole))
    raise Unwritten(
        "the prompt that asks for an answer is not how the answered conversation begins: "
        f"at character {at} {prompt[at : at + 20]!r} became {whole[at : at + 20]!r}",
        where=_where(tokenizer),
        next=_NAMED_TEMPLATE,
    )
