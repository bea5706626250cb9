"""Generation: many answers at once, each token appended to its own keys and values.

Prompts are read with `Branches.read`, so the beginning that they share is computed once. An answer that ends leaves
the batch. Greedy unless a temperature is given; sampling draws with a generator of its own for each request, so an
answer does not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from danlu.model.branches import Branches
from danlu.model.language_model import Answer, Generation
from danlu.model.tree_attention import Steps

if TYPE_CHECKING:
    import torch


@dataclass
class Draft:
    """An answer on its way: the request, its place among the caller's, and the tokens so far."""

    place: int
    request: Generation
    prompt: list[int]
    made: list[int] = field(default_factory=list)
    chance: Any = None

    def choose(self, logits: torch.Tensor) -> int:
        """The next token, from float32 logits [vocabulary]."""
        import torch

        if self.request.temperature <= 0:
            return int(logits.argmax())
        if self.chance is None:
            self.chance = torch.Generator().manual_seed(self.request.seed)
        likely, tokens = torch.softmax(logits.cpu() / self.request.temperature, -1).sort(descending=True)
        before = likely.cumsum(-1) - likely
        likely = likely.masked_fill(before > self.request.top_p, 0.0) if self.request.top_p < 1 else likely
        return int(tokens[torch.multinomial(likely, 1, generator=self.chance)])


class Writer:
    """`ends` are the tokens that end an answer; `batch` answers go on side by side."""

    def __init__(self, branches: Branches, tokenizer: Any, ends: set[int], batch: int) -> None:
        self.branches, self.tokenizer, self.ends, self.batch = branches, tokenizer, ends, batch

    def write(self, drafts: Sequence[Draft]) -> Iterator[tuple[int, Answer]]:
        """(place, answer) of each draft."""
        by_prompt: dict[tuple[int, ...], list[Draft]] = {}
        for draft in drafts:
            by_prompt.setdefault(tuple(draft.prompt), []).append(draft)
        prompts = [list(prompt) for prompt in by_prompt]
        several = list(by_prompt.values())
        ready: list[tuple[Draft, dict[int, Any], torch.Tensor]] = []
        for number, keys, hidden in self.branches.read(prompts):
            ready += [(draft, dict(keys), hidden) for draft in several[number]]
            while len(ready) >= self.batch:
                yield from self._together(ready[: self.batch])
                ready = ready[self.batch :]
        if ready:
            yield from self._together(ready)

    def _together(self, ready: list[tuple[Draft, dict[int, Any], torch.Tensor]]) -> Iterator[tuple[int, Answer]]:
        import torch

        drafts = [draft for draft, _, _ in ready]
        room = max(draft.request.max_tokens for draft in drafts)
        with torch.inference_mode():
            hidden = torch.stack([state for _, _, state in ready])
            steps = Steps([keys for _, keys, _ in ready], room, hidden.device)
        while True:
            with torch.inference_mode():
                logits = self.branches.vocabulary.logits(hidden)
            kept = []
            for n, draft in enumerate(drafts):
                draft.made.append(draft.choose(logits[n]))
                answer = self._ended(draft)
                if answer is None:
                    kept.append(n)
                else:
                    yield draft.place, answer
            if not kept:
                return
            steps.keep(kept)
            drafts = [drafts[n] for n in kept]
            hidden = self.branches.step([draft.made[-1] for draft in drafts], steps)
            steps.grow()

    def _ended(self, draft: Draft) -> Answer | None:
        """The answer, once it is one."""
        return finished(self.tokenizer, draft.request, draft.made, self.ends)


def finished(tokenizer: Any, request: Generation, made: list[int], ends: set[int]) -> Answer | None:
    """The answer that these tokens are when it has ended: by an end token, a stop string or its length."""
    over = made[-1] in ends
    text = str(tokenizer.decode(made[:-1] if over else made, skip_special_tokens=True)) if over or request.stop else ""
    first = min((at for mark in request.stop if mark and (at := text.find(mark)) >= 0), default=None)
    if first is not None:
        return Answer(text[:first], "stop", len(made))
    if over:
        return Answer(text, "stop", len(made))
    if len(made) < request.max_tokens:
        return None
    return Answer(str(tokenizer.decode(made, skip_special_tokens=True)), "length", len(made))


def alone(model: Any, tokenizer: Any, ends: set[int], drafts: Sequence[Draft]) -> Iterator[tuple[int, Answer]]:
    """The answers of a model that cannot branch, one after another, by transformers' own `generate`."""
    import torch

    for draft in drafts:
        one, ids = draft.request, torch.tensor([draft.prompt], device=model.device)

        def over(made: torch.Tensor, _scores: Any, draft: Draft = draft) -> torch.Tensor:
            new = made[0, len(draft.prompt) :].tolist()
            ended = bool(new) and finished(tokenizer, draft.request, new, ends) is not None
            return torch.tensor([ended], device=made.device)

        chances: dict[str, Any] = {"do_sample": False}
        if one.temperature > 0:
            chances = {"do_sample": True, "temperature": one.temperature, "top_p": one.top_p, "top_k": 0}
        with torch.inference_mode(), torch.random.fork_rng():
            torch.manual_seed(one.seed)
            made = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=one.max_tokens,
                eos_token_id=sorted(ends) or None,
                pad_token_id=min(ends, default=0),
                stopping_criteria=[over],
                num_beams=1,
                repetition_penalty=1.0,
                **chances,
            )
        new = made[0, len(draft.prompt) :].tolist()
        answer = finished(tokenizer, one, new, ends)
        yield draft.place, answer or Answer(str(tokenizer.decode(new, skip_special_tokens=True)), "length", len(new))
