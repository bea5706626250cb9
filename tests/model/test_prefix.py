"""The engine against a plain forward of transformers, a sequence at a time, on tiny random models of several
families."""

import contextlib
import random

import pytest

from danlu.model import shortlist
from danlu.model.language_model import Answer, Continuation, Failure, Generation, LogLikelihood, Rolling
from danlu.model.prefix import TransformersModel

LETTERS = "abcdefghijk 丹爐是一座煉的子嗎？。\n龘€"  # the last two are no tokens of their own: bytes


def causal(kind: str, vocabulary: int):
    """A tiny random model; windows of 16 tokens where the family has them."""
    import torch
    import transformers as t

    torch.manual_seed(1)
    sizes = {
        "vocab_size": vocabulary, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0,
        "max_position_embeddings": 256, "initializer_range": 0.3,
    }  # fmt: skip
    layers = {"head_dim": 8, "sliding_window": 16}
    layers["layer_types"] = ["sliding_attention", "full_attention", "sliding_attention"]
    gemma = sizes | layers | {"query_pre_attn_scalar": 8}
    capped = {"attn_logit_softcapping": 1.0, "final_logit_softcapping": 3.0}
    small = {"vocab_size": vocabulary, "bos_token_id": 2, "eos_token_id": 1, "initializer_range": 0.3}
    made = {
        "gemma3": lambda: t.Gemma3ForCausalLM(t.Gemma3TextConfig(**gemma | {"num_key_value_heads": 1})),
        "gemma2": lambda: t.Gemma2ForCausalLM(t.Gemma2Config(**gemma | capped)),
        "llama": lambda: t.LlamaForCausalLM(t.LlamaConfig(**sizes)),
        "mistral": lambda: t.MistralForCausalLM(t.MistralConfig(**sizes, sliding_window=16)),
        "qwen2": lambda: t.Qwen2ForCausalLM(t.Qwen2Config(**sizes)),
        "qwen3": lambda: t.Qwen3ForCausalLM(t.Qwen3Config(**sizes, head_dim=8)),
        "cohere": lambda: t.CohereForCausalLM(t.CohereConfig(**sizes, logit_scale=0.5)),
        "granite": lambda: t.GraniteForCausalLM(t.GraniteConfig(**sizes, logits_scaling=3.0)),
        "gpt2": lambda: t.GPT2LMHeadModel(t.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=256, **small)),
        "neox": lambda: t.GPTNeoXForCausalLM(t.GPTNeoXConfig(**sizes)),
        "bloom": lambda: t.BloomForCausalLM(t.BloomConfig(hidden_size=32, n_layer=2, n_head=4, **small)),
        "mamba": lambda: t.MambaForCausalLM(t.MambaConfig(hidden_size=32, num_hidden_layers=2, state_size=8, **small)),
    }
    return made[kind]().eval()


SHARED = ["gemma3", "gemma2", "llama", "mistral", "qwen2", "qwen3", "cohere", "granite", "gpt2", "neox"]
ALONE = ["bloom", "mamba"]


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory, tiny_tokenizer):
    """The folder of a family's tiny model."""
    folders = {}

    def make(kind: str):
        if kind not in folders:
            folders[kind] = tmp_path_factory.mktemp(kind)
            causal(kind, len(tiny_tokenizer)).save_pretrained(folders[kind])
            tiny_tokenizer.save_pretrained(folders[kind])
        return folders[kind]

    return make


@pytest.fixture
def opened(folder_of):
    made = []

    def make(kind: str = "gemma3", **settings) -> TransformersModel:
        model = TransformersModel(folder_of(kind), name=kind, fingerprint=kind, **settings)
        made.append(model)
        return model

    yield make
    for model in made:
        model.close()


def few_shot(seed: int, questions: int = 9, context: int = 40) -> list[Continuation]:
    """Questions of two subjects behind the examples of their subject, each with choices of one and of several
    letters."""
    draw = random.Random(seed)

    def text(longest: int) -> str:
        return "".join(draw.choice(LETTERS) for _ in range(draw.randint(1, longest)))

    asked = []
    for _ in range(2):
        examples = text(context)
        for _ in range(questions):
            question = examples + text(20)
            asked += [Continuation(question, choice) for choice in ("a", "b", " 丹爐", text(6), text(6))]
    draw.shuffle(asked)
    return asked


def plain(model: TransformersModel, request: Continuation) -> tuple[float, bool]:
    """The same by definition: tokens of the whole cut at the context's, one forward, no cache, no batch."""
    import torch

    own = causal_of(model)
    tokens = model.tokenizer(request.context + request.continuation).input_ids
    start = len(model.tokenizer(request.context.rstrip()).input_ids) if request.context else 1
    with torch.inference_mode():
        logs = torch.log_softmax(own(torch.tensor([tokens])).logits[0].double(), -1)
    value = sum(float(logs[k - 1, tokens[k]]) for k in range(start, len(tokens)))
    return value, all(int(logs[k - 1].argmax()) == tokens[k] for k in range(start, len(tokens)))


KNOWN = {}


def causal_of(model: TransformersModel):
    """An untouched copy of the model, with eager attention (the only one that soft-caps)."""
    if model.name not in KNOWN:
        KNOWN[model.name] = causal(model.name, len(model.tokenizer))
        KNOWN[model.name].config._attn_implementation = "eager"
    return KNOWN[model.name]


def answers(model: TransformersModel, requests: list) -> list:
    found = dict(model.answer(requests))
    assert sorted(found) == list(range(len(requests)))
    return [found[place] for place in range(len(requests))]


@pytest.mark.parametrize("kind", SHARED + ALONE)
def test_values_are_those_of_a_plain_forward(opened, kind):
    model = opened(kind, batch_tokens=29)
    asked = [*few_shot(3, questions=3), Continuation("", "丹爐a"), Continuation("a b  ", "c")]
    for request, found in zip(asked, answers(model, asked), strict=True):
        value, greedy = plain(model, request)
        assert found.value == pytest.approx(value, abs=2e-4, rel=1e-5)
        assert found.greedy == greedy
    assert model.facts["sharing"].split(":")[0] == ("prefixes" if kind in SHARED else "none")


def test_what_cannot_branch_is_said(folder_of, capsys):
    from danlu.track import Track

    TransformersModel(folder_of("mamba"), name="a mamba", fingerprint="m", track=Track())
    assert "a mamba: shared beginnings are computed again" in capsys.readouterr().err


def test_greedy_is_found(opened):
    """With a random model hardly any continuation is greedy: make one."""
    model = opened()
    first = answers(model, [Generation("a丹", max_tokens=3)])[0]
    found = answers(model, [Continuation("a丹", first.text), Continuation("a丹", first.text + "b")])
    assert model.tokenizer("a丹" + first.text).input_ids[-1] != model.tokenizer.eos_token_id
    assert [one.greedy for one in found] == [plain(model, Continuation("a丹", first.text))[1], False]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["gemma3", "gpt2"])
def test_batch_and_order_change_nothing(opened, kind, seed):
    asked: list = [*few_shot(seed), Rolling("丹爐是一座煉丹的爐子嗎" * 9), Rolling("a")]
    right = answers(opened(kind, batch_tokens=4096), asked)
    order = list(range(len(asked)))
    random.Random(seed).shuffle(order)
    for size in (1, 7, 64):
        found = answers(opened(kind, batch_tokens=size), [asked[k] for k in order])
        for k, one in zip(order, found, strict=True):
            assert one.value == pytest.approx(right[k].value, abs=1e-5, rel=1e-5)
            assert (one.greedy, one.tokens) == (right[k].greedy, right[k].tokens)


@pytest.mark.skipif(not shortlist.available(), reason="this processor has no VNNI instructions: all is float32")
def test_perplexity_under_a_large_vocabulary(tmp_path, tiny_tokenizer, monkeypatch):
    """Most of the words in eight bits: the sum of a text stays within 1e-5 in any order and without that way."""
    causal("qwen3", 33_000).save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    draw = random.Random(4)
    asked = [Rolling("".join(draw.choice(LETTERS[:20]) for _ in range(draw.randint(80, 300)))) for _ in range(14)]
    used = []
    usual = shortlist.Shortlist.logs
    monkeypatch.setattr(shortlist.Shortlist, "logs", lambda *one: used.append(1) or usual(*one))
    found = []
    for mode, asking in (("eight", asked), ("eight", asked[::-1]), ("float32", asked)):
        if mode == "float32":
            monkeypatch.setattr(shortlist, "available", lambda: False)
        with contextlib.closing(TransformersModel(tmp_path, fingerprint="large")) as model:
            assert model.facts["perplexity"].startswith(mode)
            found.append([one.value for one in answers(model, asking)])
    assert len(used) == 2
    assert found[0] == pytest.approx(found[1][::-1], rel=1e-5)
    assert found[0] == pytest.approx(found[2], rel=1e-5)


def test_a_part_of_the_requests_has_the_same_values(opened):
    """As after a kill and a resume."""
    model, asked = opened(batch_tokens=50), few_shot(5)
    right = answers(model, asked)
    for k, one in zip(range(17, len(asked)), answers(model, asked[17:]), strict=True):
        assert one.value == pytest.approx(right[k].value, abs=1e-5, rel=1e-5)


def test_processes_change_nothing(opened):
    asked: list = [*few_shot(2), Generation("a丹爐", max_tokens=5), Rolling("丹爐" * 30), Continuation("a" * 300, "b")]
    right = answers(opened(), asked)
    model = opened(processes=2)
    assert (model.facts["processes"], model.context) == (2, 256)
    for one, other in zip(right, answers(model, asked), strict=True):
        if isinstance(one, LogLikelihood):
            assert other.value == pytest.approx(one.value, abs=1e-5, rel=1e-5)
        else:
            assert one == other


def test_each_shared_token_is_computed_once(opened):
    """The examples of a subject and the context of a question go through the model once."""
    model = opened(batch_tokens=64)
    seen = []
    own = model._engine._forward
    model._engine._forward = lambda ids, places, tree: seen.append(ids.shape[1]) or own(ids, places, tree)
    asked = few_shot(1)
    answers(model, asked)
    sequences = {tuple(context + rest[:-1]) for context, rest in model.encoder.pairs(asked)}
    beginnings = {sequence[: k + 1] for sequence in sequences for k in range(len(sequence))}
    assert sum(seen) == len(beginnings) < sum(map(len, sequences)) / 3
    assert set(seen[:-1]) == {64}


def test_what_is_too_long_fails_and_nothing_is_cut(opened):
    model = opened(context=20)
    fits = "a" * 18  # and BOS, and all but the last token of the continuation
    found = answers(model, [Continuation(fits, "bc"), Continuation(fits, "bcd"), Generation(fits, max_tokens=2)])
    assert isinstance(found[0], LogLikelihood)
    assert found[0].tokens == 2
    assert found[1] == Failure("too-long", "21 tokens, the context holds 20")
    assert found[2] == Failure("too-long", "19 tokens and 2 to write, the context holds 20")
    assert isinstance(answers(model, [Generation(fits, max_tokens=1)])[0], Answer)


def test_what_has_no_token_is_no_zero(opened):
    found = answers(opened(), [Continuation("ab", ""), Continuation("ab", "c")])
    assert found[0] == Failure("unsupported", "there is no token to score")
    assert isinstance(found[1], LogLikelihood)


def test_a_continuation_that_begins_inside_a_character_of_bytes(opened):
    """用 is three byte tokens, and 丹爐 is one token of its own: the cut falls inside it, as in the harness."""
    model = opened()
    pair = model.encoder.pairs(
        [Continuation("a丹", "爐"), Continuation("a", "用"), Continuation("a ", "用"), Continuation("a", " 用")]
    )
    whole = model.tokenizer("a丹爐").input_ids
    assert pair[0] == (model.tokenizer("a丹").input_ids, whole[len(model.tokenizer("a丹").input_ids) :])
    assert len(pair[1][1]) == 3
    assert pair[2] == pair[3]
    found = answers(model, [Continuation("a", "用")])[0]
    assert (found.tokens, found.value) == (3, pytest.approx(plain(model, Continuation("a", "用"))[0], abs=2e-4))


def test_a_text_that_begins_with_its_beginning_token_gets_no_second_one(opened):
    model = opened()
    assert model.encoder.encode(["<bos>ab", "ab"])[0] == model.encoder.encode(["ab"])[0]
    assert model.count("<bos>ab") == model.count("ab") == 3


def test_rolling_windows_by_an_independent_calculation(opened):
    import torch

    text = "".join(random.Random(4).choice(LETTERS) for _ in range(70))
    for kind, context in [("gemma3", 23), ("llama", 10), ("mamba", 16), ("gemma3", 256)]:
        model = opened(kind, context=context, batch_tokens=13)
        own, tokens = causal_of(model), model.tokenizer(text).input_ids
        value, done = 0.0, 0
        while done < len(tokens):
            end = min(done + context, len(tokens))
            start = max(0, end - context)
            before = [2] if start == 0 else [tokens[start - 1]]
            with torch.inference_mode():
                logs = torch.log_softmax(own(torch.tensor([before + tokens[start : end - 1]])).logits[0].double(), -1)
            value += sum(float(logs[k - start, tokens[k]]) for k in range(done, end))
            done = end
        found = answers(model, [Rolling(text)])[0]
        assert found.value == pytest.approx(value, rel=1e-5)
        assert (found.tokens, found.greedy) == (len(tokens), False)


@pytest.mark.parametrize("kind", ["gemma3", "llama", "qwen2", "gpt2", "mamba"])
def test_greedy_answers_are_those_of_generate(opened, kind):
    import torch

    model = opened(kind, batch_tokens=32)
    prompts = ["丹爐是", "丹爐是一座", "a", "丹爐是一座煉丹的爐子嗎" * 3, "abc\n", "a"]
    own = causal_of(model)
    expected = []
    for prompt in prompts:
        ids = torch.tensor([model.tokenizer(prompt).input_ids])
        ends = sorted(model._ends())
        made = own.generate(ids, max_new_tokens=24, do_sample=False, eos_token_id=ends, pad_token_id=0)[
            0, ids.shape[1] :
        ]
        made = made.tolist()
        stopped = made[-1] in ends
        text = model.tokenizer.decode(made[:-1] if stopped else made, skip_special_tokens=True)
        expected.append(Answer(text, "stop" if stopped else "length", len(made)))
    assert answers(model, [Generation(prompt, max_tokens=24) for prompt in prompts]) == expected


@pytest.mark.parametrize("kind", ["gemma3", "mamba"])
def test_an_answer_ends_before_the_first_stop(opened, kind):
    model = opened(kind)
    whole = answers(model, [Generation("丹爐", max_tokens=24)])[0].text
    later, sooner = whole[9:11], whole[4:6]
    found = answers(model, [Generation("丹爐", stop=(later, sooner), max_tokens=24)])[0]
    ends = [at for at in (whole.find(later), whole.find(sooner)) if at >= 0]
    assert found.text == whole[: min(ends)]
    assert found.finish == "stop"
    assert found.tokens < 24


def test_sampling_depends_on_the_seed_alone(opened):
    asked = [Generation("丹爐", max_tokens=8, temperature=1.5, top_p=0.9, seed=seed) for seed in range(6)]
    model = opened()
    together = answers(model, asked)
    assert [answers(model, [one])[0] for one in reversed(asked)] == together[::-1]
    assert len({one.text for one in together}) > 1


def test_messages_are_rendered_by_the_template(opened):
    from danlu.model import template
    from danlu.records import Message

    model = opened()
    messages = (Message(role="user", content="a丹"),)
    written = template.text(model.tokenizer, messages, answer=True)
    found = answers(model, [Generation(messages, max_tokens=6), Generation(written, max_tokens=6)])
    assert found[0] == found[1]


def test_a_json_schema_is_refused(opened):
    found = answers(opened(), [Generation("a", json_schema={"type": "object"})])
    assert found == [Failure("unsupported", "generation by a JSON schema")]
