"""The web processes that write, and what the rows must be afterwards."""

from __future__ import annotations

import random
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from reactions.api.client import Reactions

TYPES = 6


@dataclass(frozen=True, slots=True)
class Plan:
    """The workload.

    Attributes:
        seconds: how long the writers write, in each run.
        singles, bulks: numbers of web processes that call react(), or react_many().
        batch: items of one react_many().
        posts, users: the size of the bounded set. The growing set has the same posts, and a new
            user for each reaction.
    """

    seconds: int
    singles: int
    bulks: int
    batch: int
    posts: int
    users: int

    @property
    def writers(self) -> int:
        return self.singles + self.bulks


@dataclass(slots=True)
class Written:
    """What one writer did: the end (s, monotonic clock) and the duration (ms) of each react()."""

    number: int
    made: int = 0
    ended: array[float] = field(default_factory=lambda: array("d"))
    took: array[float] = field(default_factory=lambda: array("d"))


def share(plan: Plan, number: int, growing: bool) -> Iterator[tuple[int, int, int]]:
    """The endless (user, post, code) of one writer; no two writers share a user."""
    chance = random.Random(number)
    if growing:
        user = 1_000_000 + number
        while True:
            yield user, chance.randint(1, plan.posts), chance.randint(1, TYPES)
            user += plan.writers
    mine = range(1 + number, plan.users + 1, plan.writers)
    while True:
        yield chance.choice(mine), chance.randint(1, plan.posts), chance.randint(0, TYPES)


def work(
    meet: Callable[[], object],
    plan: Plan,
    number: int,
    growing: bool,
    counters: Any,  # noqa: ANN401 - shared memory has no public type
) -> Written:
    """One web process."""
    with Reactions() as client:
        meet()
        return _write(client, plan, number, growing, counters)


def _write(
    client: Reactions,
    plan: Plan,
    number: int,
    growing: bool,
    counters: Any,  # noqa: ANN401 - as above
) -> Written:
    done, clock = Written(number), time.monotonic
    names: dict[int, str | None] = {0: None}
    names |= {code: name for name, code in client.settings.reaction_types.items()}
    events = share(plan, number, growing)
    until = clock() + plan.seconds
    while clock() < until:
        if number >= plan.singles:
            client.react_many([(u, p, names[c]) for u, p, c in _some(events, plan.batch)])
            done.made += plan.batch
        else:
            user, post, code = next(events)
            name, began = names[code], clock()
            if name is None:
                client.unreact(user, post)
            else:
                client.react(user, post, name)
            ended = clock()
            done.took.append((ended - began) * 1e3)
            done.ended.append(ended)
            done.made += 1
        counters[number] = done.made
    return done


def _some(events: Iterator[tuple[int, int, int]], number: int) -> list[tuple[int, int, int]]:
    return [next(events) for _ in range(number)]


def expected(plan: Plan, growing: bool, written: Sequence[Written]) -> dict[int, dict[int, int]]:
    """post -> user -> code, as Redis acknowledged it to the writers."""
    found: dict[int, dict[int, int]] = {}
    for each in written:
        events = share(plan, each.number, growing)
        for user, post, code in _some(events, each.made):
            if code:
                found.setdefault(post, {})[user] = code
            else:
                found.get(post, {}).pop(user, None)
    return found
