"""What of one side of a split can be found in the examples of another, in bounded memory and by several processes.

Three things are looked for: the same question or answer (letters and digits compared), a paragraph of the example that
stands in the held-out documents or answers, and a held-out answer that stands in the example. The last two are by
n-grams of characters (Brown et al., 2020, "Language Models are Few-Shot Learners", appendix C, with characters instead
of words), kept as sorted 32-bit hashes: at most 2²⁵ of the documents and 2²³ of the answers, of more than that the same
sample on both sides (`danlu.data.pieces`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.data import pieces
from danlu.data.core import core
from danlu.data.pieces import Bounded
from danlu.data.seen import among, key, keys
from danlu.data.structure import plain
from danlu.records import Example
from danlu.text.grounding import REFUSAL, question_of

if TYPE_CHECKING:
    from danlu.data.pieces import Hashes, Numbers
    from danlu.data.seen import Keys

FEWEST = 8
_COMPARED = 3
_MOST = 2**25
_MOST_ANSWERS = 2**23
_COMMON = 20
_AT_ONCE = 2**18
_NAMES = ("questions", "answers", "pieces", "wanted", "owner", "sizes", "compared")


class Gathered:
    """What is looked for, as it is gathered: n-grams of the documents and of the answers."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.documents = Bounded(_MOST)
        self.answers: list[Hashes] = []
        self.owners: list[Numbers] = []
        self.sizes: list[Numbers] = []
        self.count = 0
        self.held = 0
        self.every = 1

    def add_answers(self, found: Hashes, owner: Numbers, count: int) -> None:
        """The n-grams of `count` answers, as `pieces.of_each` gives them."""
        import numpy as np

        self.documents.add(pieces.merged([found]))
        self.sizes.append(np.bincount(owner, minlength=count).astype(np.int32))
        keep = _sampled(found, self.every)
        self.answers.append(found[keep])
        self.owners.append((owner[keep] + self.count).astype(np.int32))
        self.count += count
        self.held += len(self.answers[-1])
        while self.held > _MOST_ANSWERS:
            self.every *= 2
            for at, some in enumerate(self.answers):
                keep = _sampled(some, self.every)
                self.answers[at], self.owners[at] = some[keep], self.owners[at][keep]
            self.held = sum(map(len, self.answers))

    def write(self, folder: Path, questions: Keys, answers: Keys) -> Leaks:
        """Everything as sorted arrays in `folder`, for other processes to map. Empties itself."""
        import numpy as np

        wanted = np.concatenate([np.zeros(0, dtype=np.uint32), *self.answers])
        owner = np.concatenate([np.zeros(0, dtype=np.int32), *self.owners])
        sizes = np.concatenate([np.zeros(0, dtype=np.int32), *self.sizes])
        self.answers, self.owners, self.sizes = [], [], []
        order = np.argsort(wanted, kind="stable")
        wanted, owner = wanted[order], owner[order]
        del order
        first = np.flatnonzero(np.concatenate([np.ones(min(1, len(wanted)), bool), wanted[1:] != wanted[:-1]]))
        times = np.diff(np.append(first, len(wanted)))
        telling = np.repeat(times <= _COMMON, times)
        wanted, owner = wanted[telling], owner[telling]
        arrays: dict[str, list[Any]] = {
            "questions": [np.unique(questions)],
            "answers": [np.unique(answers)],
            "pieces": self.documents.all(),
            "wanted": [wanted],
            "owner": [owner],
            "sizes": [sizes],
            "compared": [np.bincount(owner, minlength=self.count).astype(np.int32)],
        }
        folder.mkdir(parents=True, exist_ok=True)
        for name in _NAMES:
            pieces.save(folder / f"{name}.npy", arrays[name])
        every = self.documents.every
        self.documents = Bounded(_MOST)
        return Leaks(str(folder), self.length, every)


def _sampled(found: Hashes, every: int) -> Any:
    import numpy as np

    return (found & np.uint32(every - 1)) == 0


class Leaks:
    """What of a held-out side can be found in examples. Small to hand to a process: the arrays stay on disk, unless
    `carried` takes them along to a machine that has no such disk."""

    def __init__(self, folder: str, length: int, every: int) -> None:
        self.folder, self.length, self.every = folder, length, every
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
        texts = [[paragraph for paragraph in paragraphs(examples[at]) if len(paragraph) >= self.length] for at in left]
        for part in pieces.slices([sum(map(len, some)) for some in texts], _AT_ONCE):
            places, some = left[part], texts[part]
            owners = [at for at, each in zip(places, some, strict=True) for _ in each]
            found, owner = pieces.of_each([text for each in some for text in each], self.length)
            self._paragraphs(told, owners, found, owner, overlap, side)
            self._answers(told, owners, found, owner, overlap, side)
        return told

    def _same(self, examples: Sequence[Example], side: str) -> list[str]:
        asked = among(self.array("questions"), keys(question_key(one) for one in examples))
        answered = among(self.array("answers"), keys(answer_key(one) for one in examples))
        words = {(True, True): "asks the same", (True, False): "asks the same", (False, True): "has the same answer"}
        said = [words.get((bool(one), bool(other)), "") for one, other in zip(asked, answered, strict=True)]
        return [f"a {side} example {what}" if what else "" for what in said]

    def _paragraphs(
        self, told: list[str], owners: list[int], found: Hashes, owner: Numbers, overlap: float, side: str
    ) -> None:
        """A paragraph of which much stands in the held-out documents. `owners`: the example of each paragraph."""
        whole, compared, known = pieces.shares(found, owner, len(owners), self.array("pieces"), self.every)
        enough = (whole >= FEWEST) & (compared >= min(FEWEST, _COMPARED))
        for at in (enough & (known >= overlap * compared)).nonzero()[0]:
            said = f"{known[at] / compared[at]:.2f} of a paragraph stands in the {side} documents"
            told[owners[at]] = told[owners[at]] or said

    def _answers(
        self, told: list[str], owners: list[int], found: Hashes, owner: Numbers, overlap: float, side: str
    ) -> None:
        """A held-out answer of which much stands in the example."""
        import numpy as np

        wanted, of = self.array("wanted"), self.array("owner")
        sizes, compared = self.array("sizes"), self.array("compared")
        hit = among(wanted, found)
        if not hit.any():
            return
        found, example = pieces.distinct(found[hit], np.array(owners, dtype=np.int64)[owner[hit]])
        first, last = np.searchsorted(wanted, found, "left"), np.searchsorted(wanted, found, "right")
        times = last - first
        places = np.repeat(first, times) + np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
        pairs, shared = np.unique(np.repeat(example, times) * len(sizes) + of[places], return_counts=True)
        told_of, answers = np.divmod(pairs, len(sizes))
        share = shared / compared[answers]
        enough = (sizes[answers] >= FEWEST) & (compared[answers] >= _COMPARED)
        for at in (enough & (share >= overlap)).nonzero()[0]:
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
