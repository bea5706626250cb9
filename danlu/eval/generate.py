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
    """The most probable answer to each conversation, token by token, up to a stop token or `max_tokens`.

    Prompts are padded on the left, longest first; the stop token is not part of the answer.
    """
    import torch

    from danlu.model import template

    rows = [template.render(tokenizer, prompt, answer=True) for prompt in prompts]
    stops = template.stop_tokens(tokenizer)
    order = sorted(range(len(rows)), key=lambda place: (-len(rows[place]), place))
    answers = [""] * len(rows)
    bar = track.bar("answers", len(rows), "answer")
    for start in range(0, len(order), batch):
        places = order[start : start + batch]
        width = max(len(rows[place]) for place in places)
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else stops[0]
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
            end = next((at for at, token in enumerate(row) if token in stops), len(row))
            answers[place] = tokenizer.decode(row[:end], skip_special_tokens=True).strip()
        bar.update(len(places))
    bar.close()
    return answers
