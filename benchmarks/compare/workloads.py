"""The operations that every contender gets: the same seed gives the same operations."""

from __future__ import annotations

import random
import zlib
from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, starmap
from pathlib import Path
from typing import NamedTuple

from benchmarks.compare.mix import FEED, TYPES, Mix
from reactions.demo.trace import Trace

FIRST_POST = 1_000
HOT_POST = 4_242
BESIDE_POST = 4_342
"""A post of the same shard as HOT_POST."""

POSTS = 5_000
"""Posts of Zipf popularity: the n-th gets n times fewer reactions than the first."""

USERS = 1_000_000

REPEATED, REMOVED = 0.05, 0.05
"""Shares of events that change, or remove, a recent reaction."""


class Operation(NamedTuple):
    """A reaction of a user on one post (code 0 removes it); or a read of a feed (code FEED)."""

    user: int
    code: int
    posts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Workload:
    """A named sequence of operations.

    Attributes:
        name: ``hot``, ``zipf``, ``trace``, that of a mix; or ``beside``, in which every other
            operation is a feed that the contender ``beside`` turns into a call of the bare script.
        trace: the file of a ``trace``.
        mix: what a mix consists of.
    """

    name: str
    trace: Path | None = None
    mix: Mix | None = None

    @property
    def lead_in(self) -> float:
        """The time before the measurement, as a share of the measured time."""
        return 0.5 if self.mix else 0.0

    def operations(self, seed: int, number: int, clients: int) -> Iterator[Operation]:
        """The operations of one client. No two clients share a user: each user's order is kept."""
        if self.trace is not None:
            return _replayed(self.trace, number, clients)
        # A text as seed: with numbers, neighbouring clients would begin alike.
        chance = random.Random(f"{self.name}/{seed}/{number}")
        if self.mix is not None:
            return starmap(Operation, self.mix.operations(chance, number, clients))
        return _made_up(self.name, chance, number, clients)


def _made_up(name: str, chance: random.Random, number: int, clients: int) -> Iterator[Operation]:
    weights = list(accumulate(1 / rank for rank in range(1, POSTS + 1)))
    recent: list[tuple[int, int]] = []
    pick, whole = chance.random, weights[-1]

    def user_of(most: int) -> int:
        return 1 + number + clients * int(pick() * (most // clients))

    def post() -> int:
        return (
            HOT_POST if name in ("hot", "beside") else FIRST_POST + bisect(weights, pick() * whole)
        )

    while True:
        if name == "beside":
            yield Operation(user_of(USERS), FEED, (BESIDE_POST,))
        luck, code = pick(), chance.randint(1, TYPES)
        user, where = user_of(USERS), post()
        if recent and luck < REPEATED + REMOVED:
            user, where = chance.choice(recent)
            code = 0 if luck < REMOVED else code
        elif len(recent) < 1_000:
            recent.append((user, where))
        else:
            recent[chance.randrange(1_000)] = (user, where)
        yield Operation(user, code, (where,))


def _replayed(path: Path, number: int, clients: int) -> Iterator[Operation]:
    for user, post, reaction in Trace(path):
        if user % clients == number:
            code = 1 + zlib.crc32(reaction.encode()) % TYPES if reaction else 0
            yield Operation(user, code, (post,))


def outcome(operations: Iterable[Operation]) -> Counter[int]:
    """Type code -> number of (post, user) that have it in the end."""
    final = {(op.posts[0], op.user): op.code for op in operations if op.code != FEED}
    return Counter(code for code in final.values() if code)
