"""Summaries and translations against references: ROUGE over characters, BLEU with Chinese tokens, BERTScore.

ROUGE (Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004) by the package rouge_score, F-measure, with
a tokenizer of our own: each Han character, kana or hangul is a token, and each run of other letters and digits (lower
case). The package's own tokenizer drops Chinese altogether, and every Chinese summary then scores 0.

`bleu_zh` is sacrebleu's BLEU with `tokenize="zh"` (Post, "A Call for Clarity in Reporting BLEU Scores", WMT 2018).

BERTScore (Zhang et al., ICLR 2020): the cosine of each token of one text with its nearest in the other, averaged over
the tokens: recall over the reference's, precision over the answer's, F1 of both. Token vectors are the hidden states
of the model that the task's file names (`model`: a built-in name, a folder or a hub id; `layer`, the last one by
default). No weights by idf, no baseline rescaling: compare such scores only under one embedder, which the version
names.

Not covered: whether what is said is true. All of these reward the words of the reference; a summary that
turns a statement into its opposite by one character loses almost nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from danlu.errors import DataError
from danlu.eval.metrics.metric import Aggregation, Answered, Metric
from danlu.extras import need

TEXT = ("generate_until",)
_TOKEN = re.compile(r"[\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]"
                    r"|[\U00020000-\U0003ffff]|[^\W_]", re.UNICODE)  # fmt: skip
_WORD = re.compile(r"[a-z0-9\u00c0-\u024f]+")
MOST = 512
"""Tokens of a text that BERTScore looks at; the rest is an error, never cut."""


class Characters:
    """A tokenizer for rouge_score: characters of Chinese, words of the rest."""

    def tokenize(self, text: str) -> list[str]:
        tokens, at = [], 0
        folded = text.lower()
        while found := _TOKEN.search(folded, at):
            word = _WORD.match(folded, found.start())
            tokens.append((word or found).group())
            at = (word or found).end()
        return tokens


def rouge(references: Sequence[str], answer: str, kind: str) -> float:
    """F-measure of "rouge1", "rouge2", … or "rougeL", for the best of the references."""
    found = _scorer(kind).score_multi([str(one) for one in references], answer)
    return float(found[kind].fmeasure)


@lru_cache(maxsize=8)
def _scorer(kind: str) -> Any:
    return need("rouge_score.rouge_scorer", "eval").RougeScorer([kind], tokenizer=Characters())


def _pair(answered: Answered) -> tuple[list[str], str]:
    target, said = answered.target, answered.text
    references = [str(one) for one in target] if isinstance(target, list) else [str(target)]
    if not isinstance(said, str):
        raise DataError("a metric of overlap measures one text an answer", next="end the filters with take_first")
    if not any(reference.strip() for reference in references):
        raise DataError("a question without a reference")
    return references, said


def _rouge_version(options: Mapping[str, Any]) -> str:
    from importlib.metadata import version

    return f"rouge_score.{version('rouge_score')}|tok:characters"


def _bleu(items: Sequence[tuple[list[str], str]]) -> float:
    most = max(len(references) for references, _ in items)
    columns: list[list[str | None]] = [
        [references[place] if place < len(references) else None for references, _ in items] for place in range(most)
    ]
    return float(_bleu_of().corpus_score([said for _, said in items], columns).score)


def _bleu_of() -> Any:
    return need("sacrebleu.metrics.bleu", "eval").BLEU(tokenize="zh")


def _sentence_bleu(item: tuple[list[str], str]) -> float:
    """For comparing two models question by question; the score itself is over the corpus."""
    scorer = need("sacrebleu.metrics.bleu", "eval").BLEU(tokenize="zh", effective_order=True)
    return float(scorer.sentence_score(item[1], item[0]).score)


def bleu_signature(options: Mapping[str, Any]) -> str:
    """How sacrebleu names this BLEU: its version belongs to every figure."""
    return f"sacrebleu.{need('sacrebleu', 'eval').__version__}|tok:zh|case:mixed|smooth:exp|eff:no"


def bert_score(reference: Any, answer: Any) -> tuple[float, float, float]:
    """Precision, recall and F1 of two matrices of token vectors (float [tokens, width]); 0 where one has no token."""
    if not len(reference) or not len(answer):
        return 0.0, 0.0, 0.0
    a = reference / reference.norm(dim=-1, keepdim=True)
    b = answer / answer.norm(dim=-1, keepdim=True)
    cosines = a @ b.T
    recall, precision = float(cosines.max(1).values.mean()), float(cosines.max(0).values.mean())
    total = precision + recall
    return precision, recall, 2 * precision * recall / total if total > 0 else 0.0


class Embedder:
    """Token vectors of a text: hidden states of one layer, without those of the special tokens."""

    def __init__(self, name: str, layer: int) -> None:
        from danlu.model import find
        from danlu.model.load import load_tokenizer

        folder = find.locate(name)
        self.layer = layer
        self.tokenizer = load_tokenizer(folder)
        self.model = need("transformers", "eval").AutoModel.from_pretrained(folder, dtype="float32")
        self.model.eval()
        self.fingerprint = find.fingerprint(name, ".")

    @lru_cache(maxsize=4096)  # noqa: B019 - one embedder a process, kept with its texts
    def vectors(self, text: str) -> Any:
        """float32 [tokens, width]"""
        torch = need("torch", "eval")
        encoded = self.tokenizer(text, return_tensors="pt", return_special_tokens_mask=True)
        special = encoded.pop("special_tokens_mask")[0].bool()
        if encoded["input_ids"].shape[1] > MOST:
            raise DataError(f"a text of {encoded['input_ids'].shape[1]} tokens; BERTScore takes at most {MOST}")
        ids = {key: value for key, value in encoded.items() if key in ("input_ids", "attention_mask")}
        with torch.inference_mode():
            states = self.model(**ids, output_hidden_states=True).hidden_states[self.layer][0]
        return states[~special]


@lru_cache(maxsize=1)
def embedder(name: str, layer: int) -> Embedder:
    return Embedder(name, layer)


def _named(options: Mapping[str, Any]) -> Embedder:
    if not options.get("model"):
        raise DataError("bert_score needs `model`: a built-in name, a folder or a hub id of the embedder")
    return embedder(str(options["model"]), int(options.get("layer", -1)))


def _bert(answered: Answered) -> float:
    references, said = _pair(answered)
    by = _named(answered.options)
    own = by.vectors(said)
    return max(bert_score(by.vectors(reference), own)[2] for reference in references)


def _bert_version(options: Mapping[str, Any]) -> str:
    by = _named(options)
    return f"{options['model']}@{by.fingerprint[:12]}|layer:{by.layer}|idf:no|rescale:no"


def _rouge_metric(name: str, kind: str) -> Metric:
    def sample(answered: Answered) -> float:
        references, said = _pair(answered)
        return rouge(references, said, kind)

    return Metric(name, "higher", "F-measure over characters", TEXT, sample, signature=_rouge_version)


ROUGE1 = _rouge_metric("rouge1_zh", "rouge1")
ROUGE2 = _rouge_metric("rouge2_zh", "rouge2")
ROUGE_L = _rouge_metric("rougeL_zh", "rougeL")
CORPUS_BLEU_ZH = Aggregation("bleu_zh", _bleu, "bootstrap", 100)
BLEU_ZH = Metric("bleu_zh", "higher", "BLEU", TEXT, _pair, CORPUS_BLEU_ZH, _sentence_bleu, signature=bleu_signature)
BERT_SCORE = Metric(
    "bert_score", "higher", "F1 of cosines", TEXT, _bert, options=("model", "layer"), signature=_bert_version
)
