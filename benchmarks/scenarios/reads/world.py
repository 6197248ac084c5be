"""The posts, the users, and who reads and reacts."""

from __future__ import annotations

import random
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from benchmarks.support.ids import spread_id
from reactions.demo.trace import Trace

BITS = 62


@dataclass(frozen=True, slots=True)
class World:
    """The posts and the users.

    Attributes:
        reactors: reactions on the first viral post; its users have the numbers from 1 to this one.
        strangers: users with higher numbers, who never reacted before.
        viral, regular: posts, the most popular first.
        viral_size: reactions on each other viral post.
        newcomers: share of reads by users who reacted a moment ago.
        others: share of reads by users who never reacted; the rest are old reactors.
        readers: number of old reactors, and of strangers, that read at all.
        trace: a file whose reactions arrive in place of random ones.
    """

    reactors: int
    strangers: int
    viral: tuple[int, ...]
    regular: tuple[int, ...]
    viral_size: int
    newcomers: float
    others: float
    readers: int
    trace: Path | None

    def user(self, number: int) -> int:
        return spread_id(number, BITS)


@dataclass(frozen=True, slots=True)
class Plan:
    """The number of calls, the share of writes among them, and who makes them."""

    calls: int
    writes: float
    processes: int
    threads: int


class Zipf:
    """Draws a number from 1 to n; the chance of r is proportional to 1/r^s."""

    def __init__(self, n: int, s: float = 1.0) -> None:
        self._sums = list(accumulate(1 / rank**s for rank in range(1, n + 1)))

    def draw(self, chance: random.Random) -> int:
        return 1 + bisect(self._sums, chance.random() * self._sums[-1])


def arrivals(world: World, number: int, of: int) -> Iterator[tuple[int, int, str | None]]:
    """The endless (user, post, reaction) of one process: random, or a trace over and over."""
    chance = random.Random(number)
    posts = world.viral + world.regular
    popular = Zipf(len(posts))
    types = ("like", "love", "laugh", "wow", "sad", "angry")
    if world.trace is not None:
        yield from _replayed(world, number, of, posts, types)
    fresh = 2 * world.reactors + world.strangers + number
    while True:
        fresh += of
        user = world.user(fresh if chance.random() < 0.7 else 1 + chance.randrange(world.reactors))
        post = posts[popular.draw(chance) - 1]
        yield user, post, None if chance.random() < 0.03 else chance.choice(types)


def _replayed(
    world: World, number: int, of: int, posts: Sequence[int], types: Sequence[str]
) -> Iterator[tuple[int, int, str | None]]:
    """The events of a trace: popular items become popular posts, a third of its users reactors."""
    assert world.trace is not None  # noqa: S101 - for the type checker
    trace = Trace(world.trace)
    ranks = Counter(event.post_id for event in trace)
    rank = {item: place for place, (item, _) in enumerate(ranks.most_common())}
    kinds: dict[str, str] = {}
    while True:
        for user, item, reaction in trace:
            if user % of != number:
                continue
            mapped = user % world.reactors if user % 3 == 0 else world.reactors + user
            name = reaction and kinds.setdefault(reaction, types[len(kinds) % len(types)])
            yield world.user(1 + mapped), posts[rank[item] % len(posts)], name
