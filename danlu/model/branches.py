"""The two ways to run a transformers model over many token sequences: with shared beginnings, or one after another.

`Branches` computes the trie of the sequences (`danlu.model.trie`) pack by pack; it needs a model whose attention can
be replaced and branched. `unfit` says why a model is none, by comparing numbers on a small trie. `OneByOne` serves
all other causal models (state-space models, ALiBi, attention sinks, …) through their own forward, without padding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from danlu.model.head import parts
from danlu.model.tree_attention import Steps, Tree, install
from danlu.model.trie import Layout, Pack, Run, lay_out, packs
from danlu.model.vocabulary import ROWS, Vocabulary, shaping

if TYPE_CHECKING:
    import torch

Wanted = Sequence[tuple[int, int]]
"""(place in the sequence, token whose log-likelihood behind it is asked), in rising order of places."""

Logs = list[tuple[float, bool]]
"""log p in nats, and whether it was the most probable token, of each wanted one."""


class Branches:
    """A model whose attention is `danlu.model.tree_attention`. `size`: tokens of a pack."""

    def __init__(self, model: Any, size: int) -> None:
        self.model, self.size = model, size
        self.backbone, head = parts(model)
        heavy = 4 * _size(head) >= _size(self.backbone)
        self.vocabulary = Vocabulary(head, shaping(model.config.get_text_config()), heavy=heavy)
        install(model)

    def score(
        self, sequences: Sequence[Sequence[int]], wanted: Sequence[Wanted], *, summed: bool = False
    ) -> Iterator[tuple[int, Logs]]:
        """The wanted log-likelihoods of each sequence, as they become known (`danlu.model.scoring.Engine`). No two
        sequences are equal."""
        layout = lay_out(sequences)
        asked = _Asked(layout, wanted)
        enough = self.vocabulary.rows(summed)
        for pack, hidden, _ in self.walk(layout):
            asked.take(pack, hidden)
            if asked.waiting >= enough:
                yield from asked.settle(self.vocabulary, summed)
        yield from asked.settle(self.vocabulary, summed)

    def walk(self, layout: Layout) -> Iterator[tuple[Pack, torch.Tensor, Tree]]:
        """Each pack with its hidden states, [tokens of the pack, d]."""
        import torch

        tree = Tree()
        for pack in packs(layout, self.size):
            with torch.inference_mode():
                tree.enter(pack)
            ids = torch.tensor([pack.ids], device=self.model.device)
            places = torch.tensor([pack.places], device=self.model.device)
            with torch.inference_mode():
                hidden = self._forward(ids, places, tree)[0]
            yield pack, hidden, tree

    def read(self, sequences: Sequence[Sequence[int]]) -> Iterator[tuple[int, dict[int, Any], torch.Tensor]]:
        """Each sequence with its keys and values by layer, and the hidden state of its last token, [d]."""
        for pack, hidden, tree in self.walk(lay_out(sequences)):
            for run in pack.runs:
                if run.last:
                    yield run.sequence, _copied(tree, run), hidden[run.at + run.end - run.start - 1].clone()

    def step(self, tokens: Sequence[int], steps: Steps) -> torch.Tensor:
        """One token more of each generation → its hidden states [n, d]."""
        import torch

        ids = torch.tensor(tokens, device=self.model.device)[:, None]
        with torch.inference_mode():
            return self._forward(ids, steps.filled[:, None], steps)[:, 0]

    def _forward(self, ids: torch.Tensor, places: torch.Tensor, tree: Tree | Steps) -> torch.Tensor:
        found: torch.Tensor = self.backbone(
            input_ids=ids, position_ids=places, use_cache=False, tree=tree
        ).last_hidden_state
        return found


def _size(module: Any) -> int:
    return sum(one.numel() for one in module.parameters())


class _Asked:
    """Which tokens of the row are asked about, and the answers so far."""

    def __init__(self, layout: Layout, wanted: Sequence[Wanted]) -> None:
        self.by_row: dict[int, list[tuple[int, int, int]]] = {}
        self.left = [len(one) for one in wanted]
        self.found: dict[int, list[tuple[float, bool]]] = {}
        self.hidden: list[torch.Tensor] = []
        self.rows: list[list[tuple[int, int, int]]] = []
        for sequence, one in enumerate(wanted):
            self.found[sequence] = [(0.0, False)] * len(one)
            for k, (place, token) in enumerate(one):
                self.by_row.setdefault(layout.row_of(sequence, place), []).append((sequence, k, token))
        self.order = sorted(self.by_row, reverse=True)

    @property
    def waiting(self) -> int:
        return len(self.rows)

    def take(self, pack: Pack, hidden: torch.Tensor) -> None:
        """Keep the hidden states of a pack that are asked about."""
        import torch

        chosen = []
        while self.order and self.order[-1] < pack.first + len(pack.ids):
            row = self.order.pop()
            chosen.append(row - pack.first)
            self.rows.append(self.by_row.pop(row))
        if chosen:
            self.hidden.append(hidden[torch.tensor(chosen, device=hidden.device)])

    def settle(self, vocabulary: Vocabulary, summed: bool) -> Iterator[tuple[int, Logs]]:
        """Answer what waits; the sequences that are then complete."""
        import torch

        if not self.rows:
            return
        flat = [(row, *one) for row, several in enumerate(self.rows) for one in several]
        device = self.hidden[0].device
        with torch.inference_mode():
            logs, greedy = vocabulary.logs(
                torch.cat(self.hidden),
                torch.tensor([row for row, *_ in flat], device=device),
                torch.tensor([token for *_, token in flat], device=device),
                summed=summed,
            )
        self.hidden, self.rows = [], []
        for (_, sequence, k, _), log, best in zip(flat, logs.tolist(), greedy.tolist(), strict=True):
            self.found[sequence][k] = (log, best)
            self.left[sequence] -= 1
            if not self.left[sequence]:
                yield sequence, self.found.pop(sequence)


def _copied(tree: Tree, run: Run) -> dict[int, Any]:
    return {layer: tree.along(layer, run.path) for layer in tree.row}


class OneByOne:
    """Any causal language model, a sequence at a time, through its own forward."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def score(
        self, sequences: Sequence[Sequence[int]], wanted: Sequence[Wanted], *, summed: bool = False
    ) -> Iterator[tuple[int, Logs]]:
        """As `Branches.score`."""
        import torch

        for number, (tokens, one) in enumerate(zip(sequences, wanted, strict=True)):
            with torch.inference_mode():
                logits = self.model(input_ids=torch.tensor([tokens], device=self.model.device), use_cache=False).logits[
                    0
                ]
                places = torch.tensor([place for place, _ in one], device=logits.device)
                targets = torch.tensor([token for _, token in one], device=logits.device)
                found: Logs = []
                for start in range(0, len(one), ROWS):
                    chosen = logits[places[start : start + ROWS]].float()
                    part = targets[start : start + ROWS]
                    logs = torch.log_softmax(chosen, -1).gather(1, part[:, None])[:, 0]
                    found += zip(logs.tolist(), (chosen.argmax(-1) == part).tolist(), strict=True)
            yield number, found


def unfit(model: Any, context: int) -> str:
    """Why the beginnings of sequences cannot be shared in this model; empty when they can, and the model's attention
    is then replaced. Proven on a small trie against the model's own eager forward."""
    usual = model.config._attn_implementation
    try:
        wrong = _wrong(model, context)
    except Exception as error:  # any model of any library version may refuse in its own way
        wrong = f"{type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}"
    if wrong:
        model.config._attn_implementation = usual
    return wrong


def _wrong(model: Any, context: int) -> str:
    import torch

    draw = torch.randint(
        3, model.config.get_text_config().vocab_size, (24,), generator=torch.Generator().manual_seed(0)
    )
    tokens = draw.tolist()
    sequences = [tokens[:12], tokens[:7] + tokens[12:18], tokens[:3] + tokens[18:]]
    model.config._attn_implementation = "eager"
    with torch.inference_mode():
        own = [
            model(input_ids=torch.tensor([one], device=model.device), use_cache=False).logits[0].float()
            for one in sequences
        ]
    branches = Branches(model, size=8)
    tolerance = 1e-4 if model.dtype == torch.float32 else 5e-2
    layout = lay_out(sequences)
    walked = list(branches.walk(layout))
    row, windows = torch.cat([states for _, states, _ in walked]), walked[-1][2].windows
    for number, logits in enumerate(own):
        with torch.inference_mode():
            ours = branches.vocabulary.logits(row[[layout.row_of(number, k) for k in range(len(sequences[number]))]])
        if not (ours - logits).abs().max() <= tolerance * logits.abs().max():
            return "its numbers change when sequences are branched"
    return _windows_wrong(model.config.get_text_config(), windows, context)


def _windows_wrong(config: Any, windows: dict[int, int | None], context: int) -> str:
    """The sliding windows of the layers must be those of the configuration: a small trie does not reach them."""
    if len(windows) != config.num_hidden_layers:
        return f"{len(windows)} of its {config.num_hidden_layers} layers attend in the usual way"
    kinds = getattr(config, "layer_types", None) or ["" for _ in windows]
    width = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    for layer, kind in enumerate(kinds):
        if kind not in ("", "full_attention", "sliding_attention"):
            return f"it has layers of kind {kind}"
        wanted = None if kind == "full_attention" else width
        if windows[layer] != wanted and not (windows[layer] is None and wanted is not None and context <= wanted):
            return f"layer {layer} attends with window {windows[layer]}, its configuration says {wanted}"
    return ""
