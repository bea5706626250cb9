from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.errors import ModelError
from danlu.train.attention import install
from danlu.train.loss import SLICE, check_head, completion_loss, head_loss
from danlu.train.pack import pack


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3 * SLICE), st.integers(2, 60), st.integers(0, 1000), st.sampled_from([0.1, 1.0, 30.0]))
def test_head_loss_and_gradient_equal_cross_entropy_in_float64(rows, vocabulary, seed, scale):
    generator = torch.Generator().manual_seed(seed)
    hidden = (torch.randn(rows, 8, generator=generator) * scale).requires_grad_()
    weight = torch.randn(vocabulary, 8, generator=generator)
    targets = torch.randint(0, vocabulary, (rows,), generator=generator)
    head_loss(hidden, weight, targets).backward()
    exact = hidden.detach().double().requires_grad_()
    loss = torch.nn.functional.cross_entropy(exact @ weight.double().T, targets, reduction="sum")
    loss.backward()
    torch.testing.assert_close(head_loss(hidden, weight, targets).double(), loss, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(hidden.grad.double(), exact.grad, rtol=1e-3, atol=1e-3)


def test_a_hopeless_target_does_not_overflow():
    hidden, weight = torch.tensor([[1.0]], requires_grad=True), torch.tensor([[500.0], [-500.0]])
    loss = head_loss(hidden, weight, torch.tensor([1]))
    assert loss.item() == pytest.approx(1000.0)


def test_completion_loss_equals_the_models_own_labels(tiny, examples):
    """transformers' own loss on a padded batch with labels -100 outside the answers, divided by the same count."""
    model, reference = tiny(), tiny()
    install(model)
    packed = pack(examples)
    width = max(len(example.ids) for example in examples)
    ids = torch.tensor([example.ids + [0] * (width - len(example.ids)) for example in examples])
    mask = torch.tensor([[1] * len(e.ids) + [0] * (width - len(e.ids)) for e in examples])
    labels = torch.tensor(
        [
            [t if on else -100 for t, on in zip(e.ids, e.trained, strict=True)] + [-100] * (width - len(e.ids))
            for e in examples
        ]
    )
    theirs = reference(input_ids=ids, attention_mask=mask, labels=labels).loss
    ours = completion_loss(model, packed) / len(packed.targets)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_head_that_is_not_plain_is_refused(tiny, examples):
    model = tiny()
    install(model)
    assert check_head(model, pack(examples)) < 1e-5
    model.lm_head.bias = torch.nn.Parameter(torch.linspace(-3, 3, 97))
    with pytest.raises(ModelError, match="output head"):
        check_head(model, pack(examples))
