"""Greedy answers of a transformers model, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from danlu.records import Message
from danlu.track import Track


def greedy_answers(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[Message]],
    max_tokens: int,
    track: Track,
    batch: int = 16,
) -> list[str]:
    """The most probable answer to each conversation, token by token, up to a stop token or `max_tokens`; the stop
    token is not part of it."""
    from danlu.model import template

    rows = [template.render(tokenizer, prompt, answer=True) for prompt in prompts]
    stops = template.stop_tokens(tokenizer)
    made = greedy_tokens(model, tokenizer, rows, max_tokens, track, batch)
    kept = [ids[:-1] if ids and ids[-1] in stops else ids for ids in made]
    return [tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in kept]


def greedy_tokens(
    model: Any, tokenizer: Any, rows: Sequence[list[int]], max_tokens: int, track: Track, batch: int = 16
) -> list[list[int]]:
    """The tokens that a model continues each prompt with, up to and with a stop token, or `max_tokens`.

    Prompts are padded on the left, longest first.
    """
    import torch

    from danlu.model import template

    stops = template.stop_tokens(tokenizer)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else stops[0]
    order = sorted(range(len(rows)), key=lambda place: (-len(rows[place]), place))
    answers: list[list[int]] = [[] for _ in rows]
    bar = track.bar("answers", len(rows), "answer")
    for start in range(0, len(order), batch):
        places = order[start : start + batch]
        width = max(len(rows[place]) for place in places)
        ids = torch.tensor([[pad] * (width - len(rows[p])) + rows[p] for p in places], device=model.device)
        mask = torch.tensor([[0] * (width - len(rows[p])) + [1] * len(rows[p]) for p in places], device=model.device)
        with torch.no_grad():
            made = model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=max_tokens,
                do_sample=False,
                num_beams=1,
                eos_token_id=stops,
                pad_token_id=pad,
                repetition_penalty=1.0,
            )
        for place, row in zip(places, made[:, width:].tolist(), strict=True):
            end = next((at + 1 for at, token in enumerate(row) if token in stops), len(row))
            answers[place] = row[:end]
        bar.update(len(places))
    bar.close()
    return answers
