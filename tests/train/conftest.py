from __future__ import annotations

import random

import pytest

from danlu.train.pack import Encoded


@pytest.fixture
def examples() -> list[Encoded]:
    """Twenty-four random sequences of 5 to 40 tokens, the second half of each trained."""
    draw = random.Random(7)
    made = []
    for _ in range(24):
        length = draw.randrange(5, 40)
        half = length // 2
        made.append(Encoded([draw.randrange(1, 97) for _ in range(length)], [i >= half for i in range(length)]))
    return made


@pytest.fixture
def tiny():
    """A factory of small random Gemma 3 models with a sliding window shorter than the sequences."""
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    def make(seed: int = 0):
        torch.manual_seed(seed)
        config = Gemma3TextConfig(
            vocab_size=97,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=1,
            head_dim=8,
            sliding_window=8,
            layer_types=["sliding_attention", "full_attention"],
            query_pre_attn_scalar=8,
            pad_token_id=0,
        )
        return Gemma3ForCausalLM(config).eval()

    return make
