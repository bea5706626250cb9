"""The one prompt that gives a model passages to answer from: training data and retrieval write it alike."""

from __future__ import annotations

from collections.abc import Sequence

REFUSAL = "文件中沒有提到這個問題的答案。"
"""What a model answers when the passages do not hold the answer, word for word."""

_INSTRUCTION = f"請只根據下面的文件段落回答問題。\n段落裡找不到答案時，請回答：「{REFUSAL}」"
_QUESTION = "問題："


def grounded_prompt(question: str, passages: Sequence[str]) -> str:
    """A user message in Traditional Chinese: the instruction, the passages numbered from [1], the question last.

    Passages may hold Markdown and several paragraphs. Not covered: a passage that itself gives orders to the model
    (prompt injection) is not disarmed here.
    """
    numbered = "\n\n".join(f"[{number}] {passage.strip()}" for number, passage in enumerate(passages, 1))
    return f"{_INSTRUCTION}\n\n{numbered}\n\n{_QUESTION}{question.strip()}"


def question_of(prompt: str) -> str:
    """The question inside a grounded prompt; of any other message, the message itself."""
    if not prompt.startswith(_INSTRUCTION):
        return prompt
    return prompt.rpartition("\n\n" + _QUESTION)[2]


def titled(headings: Sequence[str], text: str) -> str:
    """A passage with the headings above it on a line of their own, outermost first."""
    return f"{' › '.join(headings)}\n{text}" if headings else text
