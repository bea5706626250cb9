"""Does the answer hold what was asked for? For needles in a haystack and other questions with one short right answer.

Not covered: an answer that names the right thing and a wrong one beside it counts as right.
"""

from __future__ import annotations

from collections.abc import Sequence

from danlu.eval.metrics.metric import Answered, Metric
from danlu.eval.metrics.span import normalise


def contains(answer: str, references: Sequence[str]) -> float:
    """1.0 when a reference stands in the answer, both without white space, punctuation, case and width."""
    own = normalise(answer)
    return float(any(wanted in own for one in references if (wanted := normalise(one))))


def _contains(answered: Answered) -> float:
    target = answered.target
    return contains(str(answered.text), [str(one) for one in target] if isinstance(target, list) else [str(target)])


CONTAINS = Metric("contains", "higher", "share that holds the answer", ("generate_until",), _contains)
