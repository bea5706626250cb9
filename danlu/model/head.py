"""The two halves of a causal language model, and likelihoods from them without logits at every position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from danlu.errors import ModelError
from danlu.model.scorer import Pair
from danlu.track import Track

if TYPE_CHECKING:
    import torch

SLICE = 128  # rows of logits alive at once: 128 x 262,144 x 4 bytes = 134 MB


def parts(model: Any) -> tuple[Any, Any]:
    """The backbone (token ids → hidden states) and the output head (a linear layer) of a causal language model,
    wrapped by peft or not."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return inner.base_model, inner.get_output_embeddings()


def check_plain(model: Any) -> None:
    """ModelError when the model does more behind its backbone than its head: scaled or soft-capped logits, as in
    Gemma 2, Cohere and Granite."""
    import torch

    backbone, head = parts(model)
    ids = torch.tensor([[1, 2, 3]], device=head.weight.device)
    with torch.no_grad():
        ours = head(backbone(input_ids=ids, use_cache=False).last_hidden_state)
        theirs = model(input_ids=ids, use_cache=False).logits
    if not torch.allclose(ours.float(), theirs.float(), rtol=1e-2, atol=1e-3):
        raise ModelError("the model's logits are not what its output head gives", where=type(model).__name__)


class ModelScorer:
    """A transformers model as a `Scorer`: right-padded batches of similar length, the head at the scored places only.

    `context` is the longest pair in tokens; the model's own limit holds if it is lower. Not covered: sharing the work
    of common prefixes, and models whose logits are scaled or soft-capped behind the head (refused with a ModelError).
    """

    def __init__(self, model: Any, context: int = 8192, batch_tokens: int = 2048, track: Track | None = None) -> None:
        self.model, self.batch_tokens = model, batch_tokens
        self.context = min(context, getattr(model.config, "max_position_embeddings", context))
        self.track = track or Track(quiet=True)
        check_plain(model)

    def loglikelihood(self, pairs: Sequence[Pair]) -> list[tuple[float, bool]]:
        """See `Scorer.loglikelihood`. The context must hold at least one token."""
        for place, (context, continuation) in enumerate(pairs):
            if not context or len(context) + len(continuation) > self.context:
                raise ModelError(
                    f"pair {place}: {len(context)} tokens of context and {len(continuation)} of continuation; "
                    f"1 to {self.context} in all can be scored"
                )
        found: dict[int, tuple[float, bool]] = {}
        bar = self.track.bar("scoring", sum(len(a) + len(b) for a, b in pairs), "token")
        for batch in self._batches(pairs):
            for place, result in zip(batch, self._score([pairs[i] for i in batch]), strict=True):
                found[place] = result
            bar.update(sum(len(pairs[i][0]) + len(pairs[i][1]) for i in batch))
        bar.close()
        return [found[place] for place in range(len(pairs))]

    def _batches(self, pairs: Sequence[Pair]) -> list[list[int]]:
        """Places sorted by length, longest first, cut where a padded batch would pass `batch_tokens`."""
        order = sorted(range(len(pairs)), key=lambda i: (-len(pairs[i][0]) - len(pairs[i][1]), i))
        batches: list[list[int]] = []
        for place in order:
            width = len(pairs[batches[-1][0]][0]) + len(pairs[batches[-1][0]][1]) if batches else 0
            if not batches or width * (len(batches[-1]) + 1) > self.batch_tokens:
                batches.append([])
            batches[-1].append(place)
        return batches

    def _score(self, pairs: Sequence[Pair]) -> list[tuple[float, bool]]:
        import torch

        backbone, head = parts(self.model)
        rows = [context + continuation for context, continuation in pairs]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=head.weight.device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=head.weight.device)
        with torch.no_grad():
            hidden = backbone(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
            chosen = torch.cat([hidden[i, len(c) - 1 : len(c) - 1 + len(t)] for i, (c, t) in enumerate(pairs)])
            targets = torch.tensor([t for _, part in pairs for t in part], dtype=torch.int64, device=ids.device)
            logs, greedy = token_logs(chosen, head, targets)
        results, start = [], 0
        for _, continuation in pairs:
            end = start + len(continuation)
            results.append((float(logs[start:end].double().sum()), bool(greedy[start:end].all())))
            start = end
        return results


def token_logs(hidden: torch.Tensor, head: Any, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """log p of each target (nats) and whether it is the most probable token.

    hidden: [m, d], targets: int64 [m] → float32 [m], bool [m].
    """
    import torch

    logs, greedy = [], []
    for start in range(0, len(targets), SLICE):
        logits = head(hidden[start : start + SLICE]).float()
        wanted = targets[start : start + SLICE]
        logs.append(torch.log_softmax(logits, -1).gather(1, wanted[:, None])[:, 0])
        greedy.append(logits.argmax(-1) == wanted)
    if not logs:
        return hidden.new_zeros(0), torch.zeros(0, dtype=torch.bool)
    return torch.cat(logs), torch.cat(greedy)
