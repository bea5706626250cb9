"""A blind arena: people see two answers to one question, do not know whose they are, and say which is better.

As in Chatbot Arena (Chiang et al., 2024, arXiv:2403.04132), but the questions and all answers are there before the
first vote: how fast an answer came would tell whose it is. Which pair a voter sees next is the one with the fewest
votes; which answer stands left is drawn from the seed, the voter and the question. Names are told after the vote. It
counts while the answers are those that were shown; "both bad" is a tie in the ratings (`danlu.eval.ratings`).

Not covered: a voter who cheats (votes again in a new session), and answers that tell whose they are.
"""

from __future__ import annotations

import datetime
import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Literal, cast

from danlu.artifact import digest
from danlu.errors import DataError
from danlu.eval.answers import Answers, Item
from danlu.eval.ratings import Game, Ratings, bradley_terry, record
from danlu.eval.votes import Choice, Vote, Votes, shown

RESAMPLES = 500
PRIOR = 1.0
FEW = 10
"""Questions below which none are drawn again for a bootstrap."""


@dataclass(frozen=True)
class Pair:
    """A question and two models, in the order of the voter's page."""

    item: Item
    left: str
    right: str


class Arena:
    """What is to be voted on, and the votes so far. Safe for several threads.

    DataError: fewer than two sides, two of one name, or no question that two of them answered in full.
    """

    def __init__(
        self,
        items: Sequence[Item],
        sides: Sequence[Answers],
        votes: Votes,
        seed: int = 0,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        self.sides = {side.name: side for side in sides}
        if len(sides) < 2 or len(self.sides) < len(sides):
            raise DataError("an arena needs two sides or more, each with a name of its own")
        self.votes, self.seed, self._now = votes, seed, now
        self.items = {item.id: item for item in items}
        self.matches = [
            (item, a, b)
            for item in items
            for a, b in combinations(sorted(self.sides), 2)
            if self._complete(item, a) and self._complete(item, b)
        ]
        if not self.matches:
            raise DataError("no question has whole answers of two sides")
        self._lock = threading.Lock()
        self._board: tuple[int, dict[str, Any]] | None = None

    def next(self, token: str) -> Pair | None:
        """What the voter with this token sees next; None when there is nothing more."""
        with self._lock:
            voted = {_key(vote.id, vote.left, vote.right) for vote in self._mine(token)}
            left = [match for match in self.matches if _key(match[0].id, *match[1:]) not in voted]
            if not left:
                return None
            counts = Counter(_key("", vote.left, vote.right) for vote in self.votes.all)
            here = Counter(_key(vote.id, vote.left, vote.right) for vote in self.votes.all)

            def wanted(match: tuple[Item, str, str]) -> tuple[int, int, str]:
                item, a, b = match
                return counts[_key("", a, b)], here[_key(item.id, a, b)], self._drawn("next", token, item.id, a, b)

            item, a, b = min(left, key=wanted)
            return self._placed(token, item, a, b)

    def ticket(self, token: str, pair: Pair) -> str:
        """By which a vote says what it is about; the same after a restart."""
        return self._drawn("ticket", token, pair.item.id, *sorted((pair.left, pair.right)))

    def vote(self, token: str, ticket: str, choice: Choice) -> Vote:
        """Keep the vote. DataError: the ticket is nobody's, or was used."""
        with self._lock:
            match = next(
                (m for m in self.matches if self._drawn("ticket", token, m[0].id, m[1], m[2]) == ticket),
                None,
            )
            if match is None:
                raise DataError("這一組已經不在了，請看下一組")
            pair = self._placed(token, *match)
            key = _key(pair.item.id, pair.left, pair.right)
            if any(_key(vote.id, vote.left, vote.right) == key for vote in self._mine(token)):
                raise DataError("這一組您已經投過了，請看下一組")
            made = Vote(
                id=pair.item.id,
                left=pair.left,
                right=pair.right,
                choice=choice,
                voter=voter(token),
                time=self._now().isoformat(timespec="seconds"),
                answers=shown(pair.left, pair.right, pair.item.id, self.sides),
            )
            self.votes.add(made)
            return made

    def progress(self, token: str) -> tuple[int, int]:
        """(voted, in all) of this voter."""
        known = {_key(item.id, a, b) for item, a, b in self.matches}
        return sum(_key(vote.id, vote.left, vote.right) in known for vote in self._mine(token)), len(self.matches)

    def board(self) -> dict[str, Any]:
        """Ratings with intervals, and who won how often against whom, for JSON."""
        with self._lock:
            votes = list(self.votes.all)
            if self._board is None or self._board[0] != len(votes):
                self._board = len(votes), self._rated(votes)
            return self._board[1]

    def _rated(self, votes: Sequence[Vote]) -> dict[str, Any]:
        counted = [vote for vote in votes if self._counts(vote)]
        games = [Game(vote.left, vote.right, _outcome(vote.choice), vote.id) for vote in counted]
        ratings, why = rated(games, self.seed)
        return {
            "votes": len(counted),
            "voters": len({vote.voter for vote in counted}),
            "questions": len({vote.id for vote in counted}),
            "bad": sum(vote.choice == "bad" for vote in counted),
            "left_wins": sum(vote.choice == "left" for vote in counted),
            "right_wins": sum(vote.choice == "right" for vote in counted),
            "not_counted": len(votes) - len(counted),
            "damaged": self.votes.damaged,
            "models": sorted(self.sides),
            "ratings": [asdict(one) for one in ratings.ratings] if ratings else [],
            "why": why,
            "prior": ratings.prior if ratings else 0.0,
            "met": [[a, b, wins, met] for (a, b), (wins, met) in sorted(record(games).items())],
        }

    def _counts(self, vote: Vote) -> bool:
        """Whether a vote is about answers of this arena, as they are now."""
        item = self.items.get(vote.id)
        names = (vote.left, vote.right)
        if item is None or vote.left == vote.right or not all(name in self.sides for name in names):
            return False
        if not all(self._complete(item, name) for name in names):
            return False
        return shown(vote.left, vote.right, vote.id, self.sides) == vote.answers

    def _complete(self, item: Item, name: str) -> bool:
        return len(self.sides[name].texts.get(item.id, ())) == len(item.turns)

    def _mine(self, token: str) -> list[Vote]:
        who = voter(token)
        return [vote for vote in self.votes.all if vote.voter == who and self._counts(vote)]

    def _placed(self, token: str, item: Item, a: str, b: str) -> Pair:
        turned = int(self._drawn("place", token, item.id, a, b)[:8], 16) % 2
        return Pair(item, b, a) if turned else Pair(item, a, b)

    def _drawn(self, *what: str) -> str:
        """Random, but the same for the same seed, voter and question."""
        return digest([self.seed, *what])[:32]


def rated(games: Sequence[Game], seed: int = 0) -> tuple[Ratings | None, str]:
    """Ratings, and in a word why they are none ("none") or took a prior ("prior"). The bootstrap draws questions, where
    there are enough of them for that to mean something."""
    if not any(game.outcome != "tie" for game in games):
        return None, "none"
    resamples = RESAMPLES if len({game.cluster for game in games}) >= FEW else 0
    try:
        return bradley_terry(games, resamples=resamples, seed=seed), ""
    except DataError:
        return bradley_terry(games, prior=PRIOR, resamples=resamples, seed=seed), "prior"


def voter(token: str) -> str:
    """What the file holds of a voter's token: enough to know them again, not enough to be them."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]


def pair_shown(pair: Pair, sides: Mapping[str, Answers]) -> dict[str, Any]:
    """What the page is told of a pair: everything but the names."""
    return {
        "turns": list(pair.item.turns),
        "category": pair.item.category,
        "left": list(sides[pair.left].texts[pair.item.id]),
        "right": list(sides[pair.right].texts[pair.item.id]),
    }


def _key(id: str, a: str, b: str) -> tuple[str, str, str]:
    first, second = sorted((a, b))
    return id, first, second


def _outcome(choice: Choice) -> Literal["a", "b", "tie"]:
    return cast(Literal["a", "b", "tie"], {"left": "a", "right": "b", "tie": "tie", "bad": "tie"}[choice])
