from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from danlu.train.attention import install
from danlu.train.pack import Encoded, epoch_order, micro_batches, pack

lengths = st.lists(st.integers(1, 50), min_size=1, max_size=30)


@given(lengths, st.integers(1, 80))
def test_micro_batches_keep_every_sequence_in_order_and_within_the_budget(sizes, budget):
    groups = micro_batches(sizes, budget)
    assert [place for group in groups for place in group] == list(range(len(sizes)))
    assert all(len(group) == 1 or sum(sizes[i] for i in group) <= budget for group in groups)


@given(st.integers(1, 200), st.integers(0, 5), st.integers(0, 5))
def test_an_epoch_is_a_permutation_and_a_function_of_seed_and_epoch(count, seed, epoch):
    order = epoch_order(count, seed, epoch)
    assert sorted(order) == list(range(count))
    assert order == epoch_order(count, seed, epoch)


def test_packing_accounts_for_every_token(examples):
    packed = pack(examples)
    assert packed.ids.numel() == sum(len(example.ids) for example in examples) == packed.bounds[-1]
    assert len(packed.targets) == sum(example.weight for example in examples)


def test_the_first_token_of_a_sequence_is_never_a_target():
    packed = pack([Encoded([5, 6], [True, True]), Encoded([7, 8], [True, False])])
    assert packed.targets.tolist() == [6]
    assert packed.index.tolist() == [0]


def test_packed_logits_equal_each_sequence_alone(tiny, examples):
    alone, together = tiny(), tiny()
    install(together)
    packed = pack(examples)
    with torch.no_grad():
        ours = together(
            input_ids=packed.ids, position_ids=packed.positions, bounds=packed.bounds, use_cache=False
        ).logits[0]
        for start, end, example in zip(packed.bounds, packed.bounds[1:], examples, strict=False):
            theirs = alone(input_ids=torch.tensor([example.ids])).logits[0]
            torch.testing.assert_close(ours[start:end], theirs, atol=2e-5, rtol=1e-4)


def test_a_neighbour_changes_nothing(tiny, examples):
    """Change every token of one packed sequence: the others' logits stay bit for bit."""
    model = tiny()
    install(model)
    other = Encoded([(token + 13) % 96 + 1 for token in examples[1].ids], examples[1].trained)
    a, b = pack([examples[0], examples[1], examples[2]]), pack([examples[0], other, examples[2]])
    with torch.no_grad():
        x, y = (
            model(input_ids=p.ids, position_ids=p.positions, bounds=p.bounds, use_cache=False).logits[0] for p in (a, b)
        )
    _, first, second, _ = a.bounds
    assert torch.equal(x[:first], y[:first])
    assert torch.equal(x[second:], y[second:])
    assert not torch.equal(x[first:second], y[first:second])
