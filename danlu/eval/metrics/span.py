"""Extractive answers: exact match and F1 over characters.

The rules of SQuAD (Rajpurkar et al., EMNLP 2016) as DRCD applies them to Chinese (Shao et al., "DRCD: a Chinese
Machine Reading Comprehension Dataset", 2018): a token is a character; the best of the references counts. Before the
comparison both texts are folded (Unicode NFKC, lower case) and lose white space and punctuation; 臺 and 台 are one, as
are 裏 and 裡.

Not covered: answers that say the same in other words; numbers written out (十二 and 12 differ).
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

from danlu.errors import DataError
from danlu.eval.metrics.metric import Answered, Metric

_SAME = str.maketrans({"臺": "台", "裏": "裡", "爲": "為", "衆": "眾", "綫": "線", "着": "著"})


def normalise(text: str) -> str:
    """The characters of a text that count."""
    folded = unicodedata.normalize("NFKC", text).lower().translate(_SAME)
    return "".join(c for c in folded if not c.isspace() and unicodedata.category(c)[0] not in "PC")


def exact(answer: str, references: Sequence[str]) -> float:
    """1.0 when the answer is one of the references, else 0.0."""
    own = normalise(answer)
    return float(any(own == normalise(reference) for reference in references))


def f1(answer: str, references: Sequence[str]) -> float:
    """The harmonic mean of precision and recall over characters (as a bag), for the best of the references."""
    return max((_f1(normalise(answer), normalise(reference)) for reference in references), default=0.0)


def _f1(answer: str, reference: str) -> float:
    if not answer or not reference:
        return float(answer == reference)
    same = (Counter(answer) & Counter(reference)).total()
    return 2 * same / (len(answer) + len(reference))


def first_line(answer: str) -> str:
    """What an answer says first: its first line with words, without the quotation marks around it."""
    line = next((line.strip() for line in answer.splitlines() if line.strip()), "")
    return line.strip("「」『』“”\"'。．. ")


def _references(answered: Answered) -> list[str]:
    target = answered.target
    found = [str(one) for one in target] if isinstance(target, list) else [str(target)]
    if not any(normalise(one) for one in found):
        raise DataError("a question without a reference")
    return found


def _exact(answered: Answered) -> float:
    return exact(first_line(str(answered.text)), _references(answered))


def _span_f1(answered: Answered) -> float:
    return f1(first_line(str(answered.text)), _references(answered))


SPAN_EXACT = Metric("span_exact", "higher", "share equal", ("generate_until",), _exact)
SPAN_F1 = Metric("span_f1", "higher", "F1 over characters", ("generate_until",), _span_f1)
