"""Attention of a pack of a trie (`danlu.model.trie`), and of one step of many generations, in place of transformers'
own.

transformers hands attention to a named function, which gets queries and keys with their positions already in them.
Ours gives each run of a pack the keys of its own path: what the stem has of them, and slices of the row. So branches
do not see each other, nothing is padded, and no cache is copied for a branch. It serves models whose attention is
causal, with or without a sliding window and soft-capped scores; `danlu.model.prefix` proves on each model that it
gives the model's own numbers before it uses it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from danlu.model.trie import Pack, Path, Run

if TYPE_CHECKING:
    import torch

    Keys = tuple[torch.Tensor, torch.Tensor]
    Scaled = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]

NAME = "danlu_tree"


class Tree:
    """The state of a walk along the row: the stem's keys and values of each layer, [1, key heads, n, d] each, and
    those of the pack at hand."""

    def __init__(self) -> None:
        self.stem: dict[int, Keys] = {}
        self.row: dict[int, Keys] = {}
        self.runs: list[Run] = []
        self.masks: dict[Any, torch.Tensor] = {}
        self.windows: dict[int, int | None] = {}
        """The sliding window that each layer asked for."""

    def enter(self, pack: Pack) -> None:
        """Go on to the next pack: what was computed becomes its stem."""
        self.stem = {layer: self.along(layer, pack.stem) for layer in self.row}
        self.row, self.runs, self.masks = {}, pack.runs, {}

    def along(self, layer: int, path: Path, low: int = 0) -> Keys:
        """Keys and values of a path, from its token `low` on."""
        return self._gather(layer, path, low, 0), self._gather(layer, path, low, 1)

    def _gather(self, layer: int, path: Path, low: int, which: int) -> torch.Tensor:
        import torch

        pieces = []
        if path.stem > low:
            pieces.append(self.stem[layer][which][:, :, low : path.stem])
        low = max(0, low - path.stem)
        for a, b in path.row:
            if b - a > low:
                pieces.append(self.row[layer][which][:, :, a + low : b])
            low = max(0, low - (b - a))
        if not pieces:
            return self.row[layer][which][:, :, :0]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=2)

    def attend(self, layer: int, query: Any, key: Any, value: Any, window: int | None, scaled: Scaled) -> torch.Tensor:
        """query: [1, heads, T, d] → [1, heads, T, d]; each run sees its path alone."""
        import torch

        self.row[layer], self.windows[layer] = (key, value), window
        found = []
        for run in self.runs:
            low = 0 if window is None else max(0, run.start - window + 1)
            keys, values = self.along(layer, run.path, low)
            rows = query[:, :, run.at : run.at + run.end - run.start]
            found.append(scaled(rows, keys, values, self._mask(run, low, window, query), _plain(run, window)))
        return torch.cat(found, dim=2)

    def _mask(self, run: Run, low: int, window: int | None, like: torch.Tensor) -> torch.Tensor | None:
        """What is added to the scores of a run, [T, keys]; None when each query sees every key."""
        import torch

        if run.end - run.start == 1:
            return None
        name = (run.start, run.end, low, window)
        if name not in self.masks:
            ahead = torch.arange(low, run.end, device=like.device) - torch.arange(
                run.start, run.end, device=like.device
            ).unsqueeze(1)
            hidden = ahead > 0 if window is None else (ahead > 0) | (ahead <= -window)
            self.masks[name] = torch.zeros(hidden.shape, dtype=like.dtype, device=like.device).masked_fill_(
                hidden, float("-inf")
            )
        return self.masks[name]


def _plain(run: Run, window: int | None) -> bool:
    """Whether a run begins its sequence and no window cuts it: then a kernel may skip what lies ahead."""
    return run.start == 0 and run.end > 1 and (window is None or run.end <= window)


class Steps:
    """Keys and values of generations that go on side by side, and how many tokens each has.

    `filled`: [n] int64 on the model's device; `keys`, `values` of a layer: [n, key heads, room, d].
    """

    def __init__(self, sequences: list[dict[int, Keys]], more: int, device: Any) -> None:
        import torch

        lengths = [next(iter(one.values()))[0].shape[2] for one in sequences]
        self.filled = torch.tensor(lengths, device=device)
        self.longest = max(lengths)
        self.layers: dict[int, Keys] = {}
        for layer in list(sequences[0]):
            key, value = sequences[0][layer]
            room = (len(sequences), key.shape[1], self.longest + more)
            pair = key.new_zeros((*room, key.shape[3])), value.new_zeros((*room, value.shape[3]))
            for n, one in enumerate(sequences):
                for whole, part in zip(pair, one.pop(layer), strict=True):
                    whole[n, :, : lengths[n]] = part[0]
            self.layers[layer] = pair

    def attend(self, layer: int, query: Any, key: Any, value: Any, window: int | None, scaled: Scaled) -> torch.Tensor:
        """query: [n, heads, 1, d], the token behind the `filled` ones → [n, heads, 1, d]."""
        import torch

        keys, values = self.layers[layer]
        each = torch.arange(len(keys), device=keys.device)
        keys[each, :, self.filled], values[each, :, self.filled] = key[:, :, 0], value[:, :, 0]
        end = self.longest + 1
        behind = self.filled[:, None] - torch.arange(end, device=keys.device)
        hidden = behind < 0 if window is None else (behind < 0) | (behind >= window)
        mask = torch.zeros(hidden.shape, dtype=query.dtype, device=query.device).masked_fill_(hidden, float("-inf"))
        return scaled(query, keys[:, :, :end], values[:, :, :end], mask[:, None, None])

    def grow(self) -> None:
        """Each has a token more."""
        self.filled, self.longest = self.filled + 1, self.longest + 1

    def keep(self, chosen: list[int]) -> None:
        """Only these go on."""
        import torch

        if len(chosen) < len(self.filled):
            which = torch.tensor(chosen, device=self.filled.device)
            self.filled = self.filled[which]
            self.layers = {layer: (k[which], v[which]) for layer, (k, v) in self.layers.items()}


def tree_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    tree: Tree | Steps,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **rest: Any,
) -> tuple[torch.Tensor, None]:
    """What transformers calls: query [n, heads, T, d], key and value [n, key heads, T, d] → ([n, T, heads, d],
    None)."""
    import torch

    if unknown := [name for name in ("s_aux", "position_bias", "head_mask") if rest.get(name) is not None]:
        raise NotImplementedError(f"attention with {', '.join(unknown)}")
    groups = query.shape[1] // key.shape[1]

    def scaled(
        rows: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: Any, causal: bool = False
    ) -> torch.Tensor:
        if softcap is not None:
            return _capped(rows, keys, values, mask, scaling, softcap)
        grouped = groups > 1 and rows.device.type == "cpu"  # elsewhere the fast kernels want equal numbers of heads
        if not grouped:
            keys, values = _spread(keys, groups), _spread(values, groups)
        attend = torch.nn.functional.scaled_dot_product_attention
        mask = None if causal else mask
        return attend(rows, keys, values, mask, is_causal=causal, scale=scaling, enable_gqa=grouped)

    return tree.attend(module.layer_idx, query, key, value, sliding_window, scaled).transpose(1, 2), None


def _spread(heads: torch.Tensor, groups: int) -> torch.Tensor:
    """[n, key heads, L, d] → [n, heads, L, d]"""
    return heads.repeat_interleave(groups, dim=1) if groups > 1 else heads


def _capped(query: Any, keys: Any, values: Any, mask: Any, scaling: float | None, cap: float) -> torch.Tensor:
    """Attention whose scores are soft-capped (Gemma 2)."""
    import torch

    groups = query.shape[1] // keys.shape[1]
    keys, values = _spread(keys, groups), _spread(values, groups)
    scores = query @ keys.transpose(2, 3) * (scaling if scaling is not None else query.shape[-1] ** -0.5)
    scores = torch.tanh(scores / cap) * cap
    if mask is not None:
        scores = scores + mask
    found: torch.Tensor = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype) @ values
    return found


def install(model: Any) -> None:
    """Make `model` (a transformers model) use it; its backbone then needs `tree`."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, tree_attention)
    AttentionMaskInterface.register(NAME, lambda *args, **kwargs: None)
    model.config._attn_implementation = NAME
