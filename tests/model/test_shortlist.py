"""Sums over a large vocabulary, mostly in eight bits, against float64."""

import pytest

torch = pytest.importorskip("torch")

from danlu.model import onednn, shortlist  # noqa: E402
from danlu.model.vocabulary import Vocabulary  # noqa: E402

WORDS, WIDTH, PLACES, TOPICS = 33_000, 48, 2100, 12

needs_eight_bits = pytest.mark.skipif(
    not shortlist.available(), reason="this processor has no VNNI instructions: heads are computed in float32"
)


def chance(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def head(bias: bool = False, seed: int = 0) -> torch.nn.Module:
    """A head in which word k belongs to topic k mod TOPICS."""
    layer = torch.nn.Linear(WIDTH, WORDS, bias=bias)
    topics = torch.randn(TOPICS, WIDTH, generator=chance(9))
    with torch.no_grad():
        noise = torch.randn(WORDS, WIDTH, generator=chance(seed))
        layer.weight.copy_((topics[torch.arange(WORDS) % TOPICS] + noise * 0.8) * 0.5)
        if bias:
            layer.bias.copy_(torch.randn(WORDS, generator=chance(seed + 1)))
    onednn.install(torch.nn.Sequential(layer))
    return layer.requires_grad_(False)


def places(topics: range, seed: int = 2, count: int = PLACES) -> torch.Tensor:
    """Hidden states [count, d] about some of the topics; three dimensions are large, as in real models."""
    all_topics = torch.randn(TOPICS, WIDTH, generator=chance(9))
    chosen = torch.tensor(list(topics))[torch.randint(len(topics), (count,), generator=chance(seed))]
    hidden = all_topics[chosen] * 0.8 + torch.randn(count, WIDTH, generator=chance(seed + 1)) * 0.5
    hidden[:, [3, 17, 40]] *= 6
    return hidden


def asked(hidden: torch.Tensor, seed: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and targets: one word behind each row, two behind every tenth."""
    rows = torch.cat([torch.arange(len(hidden)), torch.arange(0, len(hidden), 10)]).sort().values
    return rows, torch.randint(WORDS, (len(rows),), generator=chance(seed))


def reference(layer: torch.nn.Module, hidden: torch.Tensor, rows: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    bias = None if layer.bias is None else layer.bias.double()
    found = []
    for start in range(0, len(hidden), 256):
        logits = torch.nn.functional.linear(hidden[start : start + 256].double(), layer.weight.double(), bias)
        mine = (rows >= start) & (rows < start + 256)
        found.append(torch.log_softmax(logits, -1)[rows[mine] - start, targets[mine]])
    return torch.cat(found)


def unsure(layer: torch.nn.Module, hidden: torch.Tensor) -> torch.Tensor:
    return shortlist.Shortlist(layer, hidden).logs(hidden, *asked(hidden))[1]


@needs_eight_bits
@pytest.mark.parametrize("bias", [False, True])
def test_a_place_errs_little_and_a_text_less(bias):
    layer, hidden = head(bias), places(range(4))
    rows, targets = asked(hidden)
    wanted = reference(layer, hidden, rows, targets)
    with torch.inference_mode():
        found, greedy = Vocabulary(layer).logs(hidden, rows, targets, summed=True)
        again = unsure(layer, hidden)
    assert len(again) < len(hidden) / 2, "most places were computed in float32: this tests nothing"
    error = found.double() - wanted
    assert error.abs().max() < 5e-4
    assert error.sum().abs() / wanted.sum().abs() < 3e-6
    assert not greedy.any()


@needs_eight_bits
def test_the_errors_are_those_of_eight_bits_and_no_smaller():
    """Otherwise the float32 path ran, and the test above would not see it."""
    layer, hidden = head(), places(range(4))
    rows, targets = asked(hidden)
    with torch.inference_mode():
        roughly = Vocabulary(layer).logs(hidden, rows, targets, summed=True)[0]
        exactly = Vocabulary(layer).logs(hidden, rows, targets)[0]
    wanted = reference(layer, hidden, rows, targets)
    assert (exactly - wanted).abs().max() < 5e-5 < (roughly - wanted).abs().max()


@needs_eight_bits
def test_a_place_unlike_the_sample_is_computed_again_in_float32():
    layer, hidden = head(), places(range(3))
    strange = torch.tensor([1, 7, 2003])  # the sample is every fourth place
    with torch.inference_mode():
        listed = shortlist.Shortlist(layer, hidden)
        words = (~listed.choose(hidden[::4][:512])).nonzero().squeeze(1)[[0, 1000, -1]]
        hidden[strange] = layer.weight[words] * 60 / layer.weight[words].square().sum(1, keepdim=True)
        again = set(unsure(layer, hidden).tolist())
        assert {1, 7, 2003} <= again
        rows, targets = asked(hidden)
        found = Vocabulary(layer).logs(hidden, rows, targets, summed=True)[0]
    there = torch.isin(rows, torch.tensor(sorted(again)))
    assert torch.allclose(found[there].double(), reference(layer, hidden, rows, targets)[there], atol=2e-5)


@needs_eight_bits
def test_where_every_word_is_as_likely_nothing_is_left_to_eight_bits():
    layer, hidden = head(), places(range(4)) * 1e-4
    rows, targets = asked(hidden)
    with torch.inference_mode():
        found = Vocabulary(layer).logs(hidden, rows, targets, summed=True)[0]
    assert torch.allclose(found.double(), reference(layer, hidden, rows, targets), atol=2e-5)


@needs_eight_bits
def test_nought_everywhere_and_a_single_likely_word():
    layer, hidden = head(), places(range(2))
    hidden[:1300] = 0
    hidden[1300:] = layer.weight[77] * 30
    rows, targets = asked(hidden)
    with torch.inference_mode():
        found = Vocabulary(layer).logs(hidden, rows, targets, summed=True)[0]
    wanted = reference(layer, hidden, rows, targets)
    assert torch.isfinite(found).all()
    assert ((found - wanted).abs() <= 5e-4 + 1e-6 * wanted.abs()).all()


@needs_eight_bits
def test_another_text_later_gets_a_shortlist_of_its_own():
    layer = head()
    vocabulary = Vocabulary(layer)
    for topics in (range(3), range(6, 9)):
        hidden = places(topics, seed=topics.start)
        rows, targets = asked(hidden)
        with torch.inference_mode():
            found = vocabulary.logs(hidden, rows, targets, summed=True)[0]
        assert (found - reference(layer, hidden, rows, targets)).abs().max() < 5e-4


@needs_eight_bits
def test_a_head_that_eight_bits_spoil_stays_in_float32():
    layer, hidden = head(), places(range(4)) * 8
    rows, targets = asked(hidden)
    with torch.inference_mode():
        assert not shortlist.Shortlist(layer, hidden).serves(hidden)
        found = Vocabulary(layer).logs(hidden, rows, targets, summed=True)[0]
    wanted = reference(layer, hidden, rows, targets)
    assert torch.allclose(found.double(), wanted, rtol=1e-6, atol=1e-3)


@needs_eight_bits
@pytest.mark.parametrize("why", ["not summed", "few places", "small vocabulary", "no instructions", "shaped", "light"])
def test_who_gets_float32(why, monkeypatch):
    def refuse(*_):
        raise AssertionError("eight bits")

    monkeypatch.setattr(shortlist, "Shortlist", refuse)
    layer, count = head(), PLACES
    if why == "few places":
        count = shortlist.ENOUGH - 1
    if why == "small vocabulary":
        monkeypatch.setattr(shortlist, "LARGE", WORDS + 1)
    if why == "no instructions":
        monkeypatch.setattr(shortlist, "available", lambda: False)
    hidden = places(range(4), count=count)
    rows, targets = asked(hidden)
    shape = (lambda logits: logits * 1.0) if why == "shaped" else None
    vocabulary = Vocabulary(layer, shape, heavy=why != "light")
    with torch.inference_mode():
        found, _ = vocabulary.logs(hidden, rows, targets, summed=why != "not summed")
    assert torch.allclose(found.double(), reference(layer, hidden, rows, targets), atol=2e-5)


def test_products_that_overflow_make_it_unavailable(monkeypatch):
    """Processors before VNNI add pairs of products in 16 bits."""
    shortlist.available.cache_clear()
    monkeypatch.setattr(shortlist._Part, "product", lambda self, hidden, scale: torch.full((4, 8), 32767.0 * 32))
    assert not shortlist.available()
    monkeypatch.undo()
    shortlist.available.cache_clear()
