from __future__ import annotations

import pytest
import torch

from danlu.eval.generate import greedy_answers
from danlu.model import load, template
from danlu.records import Message
from danlu.track import Track

QUIET = Track(quiet=True)
ASKED = ["丹爐是什麼？", "abc", "座", "煉丹的爐子嗎？" * 3, "user a"]


@pytest.fixture
def model(speaking):
    """A random model, its head sharpened so that batching's rounding decides nothing."""
    made = load.load_model(speaking("model", seed=5))
    with torch.no_grad():
        made.lm_head.weight.mul_(4)
    return made


def prompts():
    return [[Message(role="user", content=asked)] for asked in ASKED]


def by_hand(model, tokenizer, prompt, count: int) -> list[int]:
    ids = template.render(tokenizer, prompt, answer=True)
    made: list[int] = []
    while len(made) < count:
        with torch.no_grad():
            token = int(model(input_ids=torch.tensor([ids + made])).logits[0, -1].argmax())
        made.append(token)
    return made


def test_a_batch_answers_as_each_alone_and_as_a_plain_loop(model, tiny_tokenizer):
    together = greedy_answers(model, tiny_tokenizer, prompts(), 12, QUIET)
    assert together == greedy_answers(model, tiny_tokenizer, prompts(), 12, QUIET, batch=2)
    assert together == [greedy_answers(model, tiny_tokenizer, [prompt], 12, QUIET)[0] for prompt in prompts()]
    stops = template.stop_tokens(tiny_tokenizer)
    for answer, prompt in zip(together, prompts(), strict=True):
        made = by_hand(model, tiny_tokenizer, prompt, 12)
        end = next((at for at, token in enumerate(made) if token in stops), 12)
        assert answer == tiny_tokenizer.decode(made[:end], skip_special_tokens=True).strip()


def test_an_answer_ends_before_the_stop_token(model, tiny_tokenizer):
    """The stop token is given the embedding of what the model says third: it then wins there, and only there."""
    made = by_hand(model, tiny_tokenizer, prompts()[0], 6)
    at = next(place for place in range(1, 6) if made[place] not in made[:place])
    stop = template.stop_tokens(tiny_tokenizer)[-1]
    assert tiny_tokenizer.convert_ids_to_tokens(stop) == "<end_of_turn>"
    head = torch.nn.Linear(model.config.hidden_size, model.config.vocab_size, bias=False)
    with torch.no_grad():
        head.weight.copy_(model.lm_head.weight)
        head.weight[stop] = head.weight[made[at]] * 1.01
    model.lm_head = head
    (answer,) = greedy_answers(model, tiny_tokenizer, prompts()[:1], 6, QUIET)
    assert answer == tiny_tokenizer.decode(made[:at], skip_special_tokens=True).strip()


def test_no_prompt_has_no_answer(model, tiny_tokenizer):
    assert greedy_answers(model, tiny_tokenizer, [], 6, QUIET) == []
