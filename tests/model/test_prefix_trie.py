"""The layout of a trie, and the head in slices: what they are made of, without a model."""

import random

import pytest

from danlu.model.trie import lay_out, packs
from danlu.model.vocabulary import Vocabulary, shaping


def some_sequences(seed: int) -> list[list[int]]:
    """Different sequences with many common beginnings, one of them the beginning of others."""
    draw = random.Random(seed)
    made = {tuple(draw.choices((1, 2), k=draw.randint(1, 12))) for _ in range(40)}
    return [list(one) for one in draw.sample(sorted(made), len(made))]


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
@pytest.mark.parametrize("seed", range(4))
def test_every_run_finds_its_whole_path(seed, size):
    """Follow the packs as the attention does, with tokens in place of keys: each run's path spells its sequence."""
    sequences = some_sequences(seed)
    layout = lay_out(sequences)
    stem: list[int] = []
    row: list[int] = []
    ended, computed = [], 0

    def spelled(path):
        return stem[: path.stem] + [token for a, b in path.row for token in row[a:b]]

    for pack in packs(layout, size):
        stem = spelled(pack.stem)
        row = pack.ids
        assert pack.first == computed
        computed += len(row)
        for run in pack.runs:
            whole = sequences[run.sequence]
            assert spelled(run.path) == whole[: run.end]
            assert row[run.at : run.at + run.end - run.start] == whole[run.start : run.end]
            assert pack.places[run.at : run.at + run.end - run.start] == list(range(run.start, run.end))
            ended += [run.sequence] if run.last else []
        assert len(row) == size or computed == layout.total
    beginnings = {tuple(one[: k + 1]) for one in sequences for k in range(len(one))}
    assert computed == layout.total == len(beginnings)
    assert sorted(ended) == list(range(len(sequences)))


def test_rows_of_shared_places_are_the_same():
    layout = lay_out([[1, 2, 3], [1, 2, 4], [5]])
    assert layout.row_of(0, 1) == layout.row_of(1, 1)
    assert len({layout.row_of(0, 2), layout.row_of(1, 2), layout.row_of(2, 0)}) == 3


@pytest.mark.parametrize("bias", [True, False])
def test_the_head_in_slices_is_the_head(monkeypatch, bias):
    import torch

    from danlu.model import vocabulary

    monkeypatch.setattr(vocabulary, "ROWS", 3)
    monkeypatch.setattr(vocabulary, "WORDS", 7)
    torch.manual_seed(0)
    head = torch.nn.Linear(5, 23, bias=bias)
    hidden = torch.randn(8, 5) * 4
    whole = torch.tanh(head(hidden) / 2) * 2
    best = whole.argmax(-1)
    rows = torch.tensor([0, 0, 0, 2, 3, 3, 5, 7])
    targets = torch.tensor([0, 22, int(best[0]), 6, int(best[3]), 7, 21, int(best[7])])
    logs, greedy = Vocabulary(head, lambda logits: torch.tanh(logits / 2) * 2).logs(hidden, rows, targets)
    assert torch.allclose(logs, torch.log_softmax(whole, -1)[rows, targets], atol=1e-5)
    assert greedy.tolist() == (best[rows] == targets).tolist()
    assert greedy.sum() >= 3


def test_a_sum_of_large_logits_does_not_overflow():
    import torch

    head = torch.nn.Linear(1, 9000, bias=False)
    torch.nn.init.constant_(head.weight, 1000.0)
    logs, _ = Vocabulary(head).logs(torch.ones(1, 1), torch.tensor([0]), torch.tensor([8999]))
    assert logs.item() == pytest.approx(-torch.tensor(9000.0).log().item(), rel=1e-5)


def test_what_happens_behind_the_head_is_read_from_the_configuration():
    import torch
    from transformers import CohereConfig, Gemma2Config, GraniteConfig, LlamaConfig

    one = torch.tensor([3.0])
    assert shaping(LlamaConfig()) is None
    assert float(shaping(CohereConfig(logit_scale=0.5))(one)) == 1.5
    assert float(shaping(GraniteConfig(logits_scaling=2.0))(one)) == 1.5
    assert float(shaping(Gemma2Config(final_logit_softcapping=3.0))(one)) == pytest.approx(3 * 0.76159416)
