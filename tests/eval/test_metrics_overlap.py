"""Spans, ROUGE, BLEU and BERTScore against sums done by hand, by brute force and by other libraries."""

import itertools
import random
from collections import Counter

import pytest

from danlu.eval.metrics import metric
from danlu.eval.metrics.metric import Answered
from danlu.eval.metrics.overlap import Characters, bert_score, bleu_signature, rouge
from danlu.eval.metrics.span import exact, f1, first_line, normalise


def answered(text, target, **options):
    return Answered({}, target, text=text, options=options)


@pytest.mark.parametrize(
    ("answer", "references", "wanted_exact", "wanted_f1"),
    [
        ("臺北市", ["台北市"], 1.0, 1.0),
        ("「1786年」", ["１７８６ 年"], 1.0, 1.0),
        ("威廉·瓊斯", ["威廉瓊斯爵士", "瓊斯"], 0.0, 2 * 4 / (4 + 6)),
        ("歐洲各國", ["歐洲"], 0.0, 2 * 2 / (4 + 2)),
        ("亞洲", ["歐洲"], 0.0, 2 * 1 / (2 + 2)),
        ("", ["歐洲"], 0.0, 0.0),
        ("啊啊", ["啊"], 0.0, 2 * 1 / (2 + 1)),
        ("ABC Def", ["abcdef"], 1.0, 1.0),
    ],
)
def test_spans_by_hand(answer, references, wanted_exact, wanted_f1):
    assert exact(answer, references) == wanted_exact
    assert f1(answer, references) == pytest.approx(wanted_f1)


def test_span_f1_is_squads_over_characters():
    draw = random.Random(0)
    for _ in range(200):
        a, b = ("".join(draw.choices("甲乙丙丁12", k=draw.randint(1, 9))) for _ in range(2))
        same = sum((Counter(a) & Counter(b)).values())
        precision, recall = same / len(a), same / len(b)
        wanted = 2 * precision * recall / (precision + recall) if same else 0.0
        assert f1(a, [b]) == pytest.approx(wanted)


def test_an_answer_is_its_first_line():
    assert first_line("\n 「歐洲」。\n因為…") == "歐洲"
    assert normalise(" Ａ，b　Ｃ。") == "abc"


def longest_common(a, b):
    """By brute force over the subsequences of the shorter text."""
    best = 0
    for mask in range(1 << len(a)):
        kept = [a[i] for i in range(len(a)) if mask >> i & 1]
        rest = iter(b)
        if len(kept) > best and all(one in rest for one in kept):
            best = len(kept)
    return best


def test_rouge_over_characters_by_brute_force():
    draw = random.Random(1)
    for _ in range(40):
        a, b = ("".join(draw.choices("天地玄黃宇", k=draw.randint(1, 9))) for _ in range(2))
        lcs = longest_common(a, b)
        assert rouge([a], b, "rougeL") == pytest.approx(2 * lcs / (len(a) + len(b)))
        same = sum((Counter(a) & Counter(b)).values())
        assert rouge([a], b, "rouge1") == pytest.approx(2 * same / (len(a) + len(b)))
        pairs = [Counter(itertools.pairwise(x)) for x in (a, b)]
        total = sum(pairs[0].values()) + sum(pairs[1].values())
        wanted = 2 * sum((pairs[0] & pairs[1]).values()) / total if total else 0.0
        assert rouge([a], b, "rouge2") == pytest.approx(wanted)


def test_words_of_other_letters_are_one_token_each():
    assert Characters().tokenize("用 Python3 寫，很快！") == ["用", "python3", "寫", "很", "快"]
    assert rouge(["今天很熱"], "", "rougeL") == 0.0


def test_bleu_is_sacrebleus_with_chinese_tokens():
    import sacrebleu

    pairs = [("今天天氣很好，我們去公園。", "今天天氣真好，我們去公園。"), ("他喜歡看書。", "他很喜歡看書。")]
    found = metric("bleu_zh")
    items = [found.sample(answered(said, wanted)) for said, wanted in pairs]
    other = sacrebleu.corpus_bleu([said for said, _ in pairs], [[wanted for _, wanted in pairs]], tokenize="zh")
    assert found.aggregate.of(items) == pytest.approx(other.score)
    plain = sacrebleu.corpus_bleu([said for said, _ in pairs], [[wanted for _, wanted in pairs]])
    assert plain.score != pytest.approx(other.score)
    scorer = sacrebleu.metrics.BLEU(tokenize="zh")
    scorer.corpus_score(["甲"], [["甲"]])
    for part in str(scorer.get_signature()).split("|"):
        assert part.startswith(("nrefs", "version")) or part in bleu_signature({})
    assert sacrebleu.__version__ in bleu_signature({})


def test_bert_score_is_greedy_matching_of_cosines():
    import torch

    torch.manual_seed(0)
    reference, said = torch.randn(5, 7), torch.randn(3, 7)
    cosine = torch.nn.functional.cosine_similarity(reference[:, None], said[None], dim=-1)
    recall = sum(max(float(cosine[i, j]) for j in range(3)) for i in range(5)) / 5
    precision = sum(max(float(cosine[i, j]) for i in range(5)) for j in range(3)) / 3
    found = bert_score(reference, said)
    assert found[:2] == pytest.approx((precision, recall), abs=1e-6)
    assert found[2] == pytest.approx(2 * precision * recall / (precision + recall), abs=1e-6)
    assert bert_score(reference, reference)[2] == pytest.approx(1.0, abs=1e-6)
    assert bert_score(reference, said[:0]) == (0.0, 0.0, 0.0)


def test_bert_score_with_a_models_vectors(speaking):
    """The vectors are the model's own hidden states, and the score of a text with itself is one."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = speaking("embedder")
    found = metric("bert_score")
    assert found.sample(answered("丹爐是一座爐子", "丹爐是一座爐子", model=str(folder))) == pytest.approx(1.0, abs=1e-5)
    said, wanted = "一座爐子", "丹爐是什麼"
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()

    def vectors(text):
        ids = tokenizer(text, return_tensors="pt").input_ids
        special = torch.isin(ids[0], torch.tensor(tokenizer.all_special_ids))
        with torch.inference_mode():
            return model(ids).last_hidden_state[0][~special]

    other = bert_score(vectors(wanted), vectors(said))[2]
    assert found.sample(answered(said, wanted, model=str(folder))) == pytest.approx(other, abs=1e-5)
    assert found.signature({"model": str(folder)}).endswith("|layer:-1|idf:no|rescale:no")
