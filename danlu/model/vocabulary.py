"""The output head of a causal language model at chosen places: log-likelihoods without logits of every place at
once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from danlu.model import shortlist

if TYPE_CHECKING:
    import torch

ROWS, WORDS = 512, 8192  # logits alive at once: 512 x 8,192 x 4 bytes = 17 MB
MANY = 4096  # hidden states that share a shortlist


class Vocabulary:
    """A head and what the model does to its logits (`shape`: scaled or soft-capped, see `shaping`). `heavy`: it is
    much of the model's work, so that a shortlist is worth its waiting for many hidden states."""

    def __init__(self, head: Any, shape: Callable[[Any], Any] | None = None, *, heavy: bool = True) -> None:
        self.head, self.shape, self.heavy = head, shape, heavy
        self._shortlist: shortlist.Shortlist | None = None

    def rows(self, summed: bool) -> int:
        """How many hidden states are worth a call of `logs`."""
        return MANY if summed and self._lists else ROWS

    def way(self, dtype: str) -> str:
        """How the sums over many tokens are computed, in words."""
        return (
            "eight bits beside a shortlist in float32, where a sample shows that they serve" if self._lists else dtype
        )

    @property
    def _lists(self) -> bool:
        return self.heavy and self.shape is None and shortlist.fits(self.head)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[m, d] → float32 [m, vocabulary]"""
        found: torch.Tensor = self.head(hidden)
        return self._shaped(found)

    def _shaped(self, logits: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.shape(logits) if self.shape else logits
        return found.float()

    def logs(
        self, hidden: torch.Tensor, rows: torch.Tensor, targets: torch.Tensor, *, summed: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """log p (nats) of target k behind the hidden state of row rows[k], and whether it is the most probable token.

        hidden: [m, d]; rows, targets: int64 [k], rows in rising order → float32 [k], bool [k]. With `summed`, see
        `danlu.model.scoring.Engine`.
        """
        import torch

        if summed and len(hidden) >= shortlist.ENOUGH and (listed := self._listed(hidden)):
            return self._summed(listed, hidden, rows, targets), torch.zeros_like(targets, dtype=torch.bool)
        logs, greedy = [], []
        for start in range(0, len(hidden), ROWS):
            end = min(len(hidden), start + ROWS)
            first, last = torch.searchsorted(rows, torch.tensor([start, end], device=rows.device)).tolist()
            one = self._logs(hidden[start:end], rows[first:last] - start, targets[first:last])
            logs.append(one[0])
            greedy.append(one[1])
        return torch.cat(logs), torch.cat(greedy)

    def _listed(self, hidden: Any) -> shortlist.Shortlist | None:
        """The head in eight bits, if that serves these hidden states."""
        if self._shortlist is None and self._lists:
            self._shortlist = shortlist.Shortlist(self.head, hidden)
        return self._shortlist if self._shortlist and self._shortlist.serves(hidden) else None

    def _summed(self, listed: shortlist.Shortlist, hidden: Any, rows: Any, targets: Any) -> torch.Tensor:
        import torch

        logs, unsure = listed.logs(hidden, rows, targets)
        if len(unsure):
            again = torch.isin(rows, unsure).nonzero().squeeze(1)
            logs[again] = self.logs(hidden[unsure], torch.searchsorted(unsure, rows[again]), targets[again])[0]
        return logs

    def _logs(self, hidden: Any, rows: Any, targets: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Over slices of the vocabulary, with a running maximum and sum (Milakov and Gimelshein, 2018, "Online
        normalizer calculation for softmax")."""
        import torch

        best = torch.full((len(hidden),), float("-inf"), device=hidden.device)
        at = torch.zeros(len(hidden), dtype=torch.int64, device=hidden.device)
        total = torch.zeros_like(best)
        wanted = torch.zeros(len(targets), device=hidden.device)
        for start, logits in self._slices(hidden):
            mine = (targets >= start) & (targets < start + logits.shape[1])
            wanted[mine] = logits[rows[mine], targets[mine] - start]
            top = logits.amax(dim=-1)
            higher = torch.maximum(best, top)
            risen = (top > best).nonzero().squeeze(1)  # fewer and fewer: an argmax costs more than a maximum
            at[risen] = logits[risen].argmax(dim=-1) + start
            total = total * (best - higher).exp_() + logits.sub_(higher[:, None]).exp_().sum(dim=-1)
            best = higher
        return wanted - (best + total.log())[rows], at[rows] == targets

    def _slices(self, hidden: torch.Tensor) -> Any:
        """(first word, float32 logits of the words from there on)"""
        import torch

        from danlu.model import onednn

        product: Callable[[Any, Any, Any], Any]
        if onednn.used_by(self.head):
            product = onednn.product
        elif type(self.head) is torch.nn.Linear:
            product = torch.nn.functional.linear
        else:  # a quantized or adapted head: only it knows how
            yield 0, self.logits(hidden).clone()
            return
        weight, bias = self.head.weight, self.head.bias
        for start in range(0, len(weight), WORDS):
            part = product(hidden, weight[start : start + WORDS], None if bias is None else bias[start : start + WORDS])
            yield start, self._shaped(part)


def shaping(config: Any) -> Callable[[Any], Any] | None:
    """What the configuration says that happens to the logits behind the head: soft-capped (Gemma 2), multiplied
    (Cohere) or divided (Granite)."""
    import torch

    if cap := getattr(config, "final_logit_softcapping", None):
        return lambda logits: torch.tanh(logits / cap) * cap
    if scale := getattr(config, "logit_scale", None):
        return lambda logits: logits * scale
    if divisor := getattr(config, "logits_scaling", None):
        return lambda logits: logits / divisor
    return None
