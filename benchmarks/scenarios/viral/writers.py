"""The web processes that react on the post."""

from __future__ import annotations

import random
import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.support.ids import spread_id
from reactions.api.client import Reactions

POST = 4_242

WARM_UP = 300
"""Reactions of each writer on a post of its own, before the measurement begins."""

NEVER = 255
"""Stands for a type code: no reaction of the user was acknowledged."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The workload.

    Attributes:
        users: distinct users; each reacts once.
        writers: web processes; user n belongs to writer n % writers.
        batch: items of one react_many(). All writers except the first use it once the post is
            viral.
        churn: share of reactions after which a recent reaction is changed or removed.
        bits: width of the user ids, 31 or 62.
        threshold: reactions from which a post is viral.
    """

    users: int
    writers: int
    batch: int
    churn: float
    bits: int
    threshold: int


@dataclass(slots=True)
class Written:
    """What one writer did: the beginning (s, monotonic clock) and duration (µs) of each react()."""

    events: int = 0
    began: array[float] = field(default_factory=lambda: array("d"))
    took: array[float] = field(default_factory=lambda: array("d"))
    bulk: array[float] = field(default_factory=lambda: array("d"))
    """Durations of each react_many(), in µs."""


def _share(plan: Plan, number: int) -> Iterator[tuple[int, int]]:
    """The (user number, type code) of one writer; code 0 removes. The same plan gives the same."""
    chance = random.Random(number)
    recent: list[int] = []
    for user in range(number + 1, plan.users + 1, plan.writers):
        yield user, chance.randint(1, 6)
        recent.append(user)
        if len(recent) > 2_000:
            recent = recent[1_000:]
        if chance.random() < plan.churn:
            yield chance.choice(recent), chance.choice((0, 0, 1, 2, 3, 4, 5, 6))


def work(
    meet: Callable[[], object],
    plan: Plan,
    number: int,
    counters: Any,  # noqa: ANN401 - shared memory has no public type
    final: Any,  # noqa: ANN401
) -> Written:
    """One web process; it begins once its relay has published a wake-up."""
    with Reactions() as client:
        for user in range(1, WARM_UP + 1):
            client.react(user, POST + 1 + number, "like")
        deadline = time.monotonic() + 10
        while not client.relay_stats().published and time.monotonic() < deadline:
            time.sleep(0.05)
        meet()
        return _write(client, plan, number, counters, final)


def _write(
    client: Reactions,
    plan: Plan,
    number: int,
    counters: Any,  # noqa: ANN401 - as above
    final: Any,  # noqa: ANN401
) -> Written:
    done = Written()
    names: dict[int, str | None] = {0: None}
    names |= {code: name for name, code in client.settings.reaction_types.items()}
    clock = time.monotonic
    singly = 2 * plan.threshold  # of all writers: so react() is timed well beyond the promotion
    batch: list[tuple[int, int]] = []
    for user, code in _share(plan, number):
        if number and done.events * plan.writers > singly:
            batch.append((user, code))
            if len(batch) == plan.batch:
                _flush(client, plan, batch, names, done, final)
        else:
            name, user_id = names[code], spread_id(user, plan.bits)
            began = clock()
            if name is None:
                client.unreact(user_id, POST)
            else:
                client.react(user_id, POST, name)
            done.took.append((clock() - began) * 1e6)
            done.began.append(began)
            done.events += 1
            final[user] = code
        counters[number] = done.events
    _flush(client, plan, batch, names, done, final)
    counters[number] = done.events
    return done


def _flush(
    client: Reactions,
    plan: Plan,
    batch: list[tuple[int, int]],
    names: Mapping[int, str | None],
    done: Written,
    final: Any,  # noqa: ANN401 - as above
) -> None:
    """Send the batch, and note what was acknowledged."""
    began = time.monotonic()
    client.react_many((spread_id(user, plan.bits), POST, names[code]) for user, code in batch)
    done.bulk.append((time.monotonic() - began) * 1e6)
    for user, code in batch:  # in order: the last reaction of a user wins
        final[user] = code
    done.events += len(batch)
    batch.clear()
