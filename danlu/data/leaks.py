"""What of one side of a split can be found in the examples of another, in bounded memory and by several processes.

Three things are looked for: the same question or answer (letters and digits compared), a paragraph of the example that
stands in the held-out documents or answers, and a held-out answer that stands in the example. The last two are by
n-grams of characters (Brown et al., 2020, "Language Models are Few-Shot Learners", appendix C, with characters instead
of words), kept as sorted 64-bit hashes: at most 2²⁵ of the documents and 2²³ of the answers, of more than that the same
sample on both sides (`danlu.data.pieces`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.data import pieces
from danlu.data.core import core
from danlu.data.pieces import Bounded, below
from danlu.data.seen import among, key, keys
from danlu.data.structure import plain
from danlu.records import Example
from danlu.text.grounding import REFUSAL, question_of

if TYPE_CHECKING:
    from danlu.data.pieces import Numbers
    from danlu.data.seen import Keys

FEWEST = 8
_COMPARED = 3
_MOST = 2**25
_MOST_ANSWERS = 2**23
_COMMON = 20
_NAMES = ("questions", "answers", "pieces", "wanted", "owner", "sizes")


class Gathered:
    """What is looked for, as it is gathered: n-grams of the documents and of the answers."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.documents = Bounded(_MOST)
        self.answers: list[Keys] = []
        self.owners: list[Numbers] = []
        self.count = 0
        self.held = 0
        self.bound = 2**64

    def add_answers(self, found: Keys, owner: Numbers, count: int) -> None:
        """The n-grams of `count` answers, as `pieces.of_each` gives them."""
        import numpy as np

        self.documents.add(np.unique(found))
        keep = found < self.bound if self.bound < 2**64 else np.ones(len(found), dtype=bool)
        self.answers.append(found[keep])
        self.owners.append((owner[keep] + self.count).astype(np.int32))
        self.count += count
        self.held += len(self.answers[-1])
        while self.held > _MOST_ANSWERS:
            self.bound //= 2
            for at, some in enumerate(self.answers):
                self.owners[at] = self.owners[at][some < self.bound]
                self.answers[at] = below(some, self.bound)
            self.held = sum(map(len, self.answers))

    def write(self, folder: Path, questions: Keys, answers: Keys) -> Leaks:
        """Everything as sorted arrays in `folder`, for other processes to map."""
        import numpy as np

        wanted = np.concatenate([np.zeros(0, dtype=np.uint64), *self.answers])
        owner = np.concatenate([np.zeros(0, dtype=np.int32), *self.owners])
        order = np.argsort(wanted, kind="stable")
        wanted, owner = wanted[order], owner[order]
        telling = np.searchsorted(wanted, wanted, "right") - np.searchsorted(wanted, wanted, "left") <= _COMMON
        wanted, owner = wanted[telling], owner[telling]
        arrays = {
            "questions": np.unique(questions),
            "answers": np.unique(answers),
            "pieces": self.documents.all(),
            "wanted": wanted,
            "owner": owner,
            "sizes": np.bincount(owner, minlength=self.count).astype(np.int32),
        }
        folder.mkdir(parents=True, exist_ok=True)
        for name in _NAMES:
            pieces.save(folder / f"{name}.npy", arrays[name])
        return Leaks(str(folder), self.length, self.documents.bound, self.bound)


class Leaks:
    """What of a held-out side can be found in examples. Small to hand to a process: the arrays stay on disk, unless
    `carried` takes them along to a machine that has no such disk."""

    def __init__(self, folder: str, length: int, bound: int, answer_bound: int) -> None:
        self.folder, self.length, self.bound, self.answer_bound = folder, length, bound, answer_bound
        self.arrays: dict[str, Any] = {}

    def carried(self) -> Leaks:
        """The same with its arrays in it."""
        import numpy as np

        self.arrays = {name: np.asarray(self.array(name)) for name in _NAMES}
        return self

    def array(self, name: str) -> Any:
        return self.arrays[name] if self.arrays else pieces.mapped(f"{self.folder}/{name}.npy")

    def found(self, examples: Sequence[Example], overlap: float, side: str) -> list[str]:
        """For each example what makes it contaminated, in words; empty when it is clean."""
        told = self._same(examples, side)
        left = [at for at, said in enumerate(told) if not said]
        texts = [(at, paragraph) for at in left for paragraph in paragraphs(examples[at])]
        found, owner = pieces.of_each([text for _, text in texts], self.length)
        self._paragraphs(told, texts, found, owner, overlap, side)
        self._answers(told, texts, found, owner, overlap, side)
        return told

    def _same(self, examples: Sequence[Example], side: str) -> list[str]:
        asked = among(self.array("questions"), keys(question_key(one) for one in examples))
        answered = among(self.array("answers"), keys(answer_key(one) for one in examples))
        words = {(True, True): "asks the same", (True, False): "asks the same", (False, True): "has the same answer"}
        said = [words.get((bool(one), bool(other)), "") for one, other in zip(asked, answered, strict=True)]
        return [f"a {side} example {what}" if what else "" for what in said]

    def _paragraphs(
        self, told: list[str], texts: list[tuple[int, str]], found: Keys, owner: Numbers, overlap: float, side: str
    ) -> None:
        """A paragraph of which much stands in the held-out documents."""
        whole, compared, known = pieces.shares(found, owner, len(texts), self.array("pieces"), self.bound)
        for at in ((whole >= FEWEST) & (compared >= _COMPARED) & (known >= overlap * compared)).nonzero()[0]:
            example = texts[at][0]
            share = known[at] / compared[at]
            told[example] = told[example] or f"{share:.2f} of a paragraph stands in the {side} documents"

    def _answers(
        self, told: list[str], texts: list[tuple[int, str]], found: Keys, owner: Numbers, overlap: float, side: str
    ) -> None:
        """A held-out answer of which much stands in the example."""
        import numpy as np

        wanted, of, sizes = self.array("wanted"), self.array("owner"), self.array("sizes")
        if not len(wanted) or not len(found):
            return
        example = np.array([at for at, _ in texts], dtype=np.int64)[owner]
        hit = among(wanted, found)
        found, example = pieces.distinct(found[hit], example[hit])
        first, last = np.searchsorted(wanted, found, "left"), np.searchsorted(wanted, found, "right")
        times = last - first
        places = np.repeat(first, times) + np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
        pairs, shared = np.unique(np.repeat(example, times) * len(sizes) + of[places], return_counts=True)
        told_of, answers = np.divmod(pairs, len(sizes))
        share = shared / sizes[answers]
        for at in ((sizes[answers] >= FEWEST) & (share >= overlap)).nonzero()[0]:
            told[told_of[at]] = told[told_of[at]] or f"{share[at]:.2f} of a {side} answer stands in it"


def question(example: Example) -> str:
    """The last thing that the user asks, without the passages."""
    asked = [message.content for message in example.messages if message.role == "user"]
    return question_of(asked[-1]) if asked else ""


def question_key(example: Example) -> int:
    """The key of the question; of an example without one, of its id, which nothing else has."""
    asked = question(example)
    return key(core(asked)) if asked else key(f"\0{example.id}")


def answer_key(example: Example) -> int:
    """The key of the answer."""
    return key(core(example.messages[-1].content))


def answer_of(example: Example) -> str:
    """The answer as it is looked for in other examples; empty for a refusal, which says nothing."""
    answer = example.messages[-1].content
    return "" if answer == REFUSAL else core(plain(answer))


def paragraphs(example: Example) -> Iterator[str]:
    """Every line of the example's user and assistant messages, without markup, as `core` compares them."""
    for message in example.messages:
        if message.role != "system":
            yield from (core(plain(line)) for line in message.content.split("\n") if line.strip())
