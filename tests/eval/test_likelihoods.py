"""Likelihoods from the two halves of a model against the model's own logits and loss."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.errors import ModelError
from danlu.model.head import ModelScorer

tokens = st.integers(1, 96)
pairs = st.lists(
    st.tuples(st.lists(tokens, min_size=1, max_size=30), st.lists(tokens, max_size=20)), min_size=1, max_size=8
)


@pytest.fixture(scope="module")
def model(tiny):
    """A random model made sure of itself, so that likelihoods are far from uniform."""
    made = tiny(3)
    with torch.no_grad():
        made.lm_head.weight.mul_(6)
    return made


def plain(model, context, continuation) -> tuple[float, bool]:
    """The definition: one forward pass over the pair alone, all logits, in float64."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([context + continuation])).logits[0].double()
    places = range(len(context) - 1, len(context) + len(continuation) - 1)
    logs = torch.log_softmax(logits, -1)
    total = sum(float(logs[place, token]) for place, token in zip(places, continuation, strict=True))
    return total, all(int(logits[place].argmax()) == t for place, t in zip(places, continuation, strict=True))


@settings(max_examples=20, deadline=None)
@given(pairs, st.integers(1, 200), st.randoms(use_true_random=False))
def test_equal_to_the_models_own_logits_whatever_the_batches_and_the_order(model, pairs, batch_tokens, random):
    expected = [plain(model, *pair) for pair in pairs]
    places = list(range(len(pairs)))
    random.shuffle(places)
    found = ModelScorer(model, batch_tokens=batch_tokens).loglikelihood([pairs[place] for place in places])
    for place, (log, greedy) in zip(places, found, strict=True):
        assert log == pytest.approx(expected[place][0], abs=1e-4, rel=1e-5)
        assert greedy == expected[place][1]


def test_equal_to_transformers_loss(model):
    context, continuation = list(range(5, 25)), list(range(40, 60))
    labels = torch.tensor([[-100] * 20 + continuation])
    with torch.no_grad():
        loss = model(input_ids=torch.tensor([context + continuation]), labels=labels).loss
    ((log, _),) = ModelScorer(model).loglikelihood([(context, continuation)])
    assert -log / 20 == pytest.approx(float(loss), rel=1e-5)


def test_a_continuation_that_the_model_would_write_is_greedy_and_any_other_is_not(model):
    context = [5, 6, 7]
    made = model.generate(torch.tensor([context]), max_new_tokens=6, do_sample=False, eos_token_id=None)[0].tolist()[3:]
    other = [*made[:-1], made[-1] % 96 + 1]
    assert [greedy for _, greedy in ModelScorer(model).loglikelihood([(context, made), (context, other)])] == [
        True,
        False,
    ]


def test_an_empty_continuation_is_certain(model):
    assert ModelScorer(model).loglikelihood([([1, 2], [])]) == [(0.0, True)]
    assert ModelScorer(model).loglikelihood([([1, 2], []), ([3], [4])])[0] == (0.0, True)
    assert ModelScorer(model).loglikelihood([]) == []


@pytest.mark.parametrize("pair", [([], [1, 2]), ([1] * 7, [2] * 4)])
def test_a_pair_that_cannot_be_scored_is_named_and_nothing_is_cut(model, pair):
    with pytest.raises(ModelError, match="pair 1"):
        ModelScorer(model, context=10).loglikelihood([([1], [2]), pair])


def test_the_models_own_limit_holds(tiny):
    short = tiny(max_position_embeddings=12)
    with pytest.raises(ModelError, match="1 to 12"):
        ModelScorer(short).loglikelihood([([1] * 10, [2] * 3)])


def test_a_model_that_does_more_behind_its_head_is_refused(tiny):
    capped = tiny(final_logit_softcapping=0.05)
    with pytest.raises(ModelError, match="output head"):
        ModelScorer(capped)
